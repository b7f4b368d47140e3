//! The module's context of a request.

use std::cell::Cell;

use nginx::request::Request;

use super::{limit, WebSocket};
use crate::metrics::Left;

/// The module's context of a request, dropped when the request is freed.
#[derive(Default)]
pub struct RequestContext {
    pub hold: Cell<Option<limit::Hold>>,
    /// Whether `websocket_limit_conn` has counted the request.
    pub limited: Cell<bool>,
    /// Whether `websocket_limit_conn` has refused the request, which continues if there is an
    /// `error_page`.
    pub refused: Cell<bool>,
    pub fate: Cell<Option<Fate>>,
    /// Whether the request has started a background subrequest.
    pub has_background: Cell<bool>,
}

/// The outcome of an upgrade.
#[derive(Clone, Copy)]
pub enum Fate {
    /// It is a tunnel of this module.
    Tunnelled,
    /// It is left to nginx's relay.
    Left(Left),
}

impl Fate {
    /// As one word, for `$websocket_state`.
    pub fn word(self) -> String {
        match self {
            Self::Tunnelled => "tunnelled".to_owned(),
            Self::Left(why) => format!("left_{}", why.as_str()),
        }
    }
}

/// Records the outcome of the upgrade of a request.
pub fn note(request: &Request, fate: Fate) {
    // a subrequest shares the context of its main request
    if let Some(context) = request.context::<WebSocket>().filter(|_| request.is_main()) {
        context.fate.set(Some(fate));
    }
}

/// The outcome of the upgrade of a request; `None` if it was not an upgrade.
pub fn fate(request: &Request) -> Option<Fate> {
    request.find_context::<WebSocket>()?.fate.get()
}

/// Whether the request has started a background subrequest.
pub fn has_background(request: &Request) -> bool {
    request.find_context::<WebSocket>().is_some_and(|context| context.has_background.get())
}

/// Whether `websocket_limit_conn` has counted or refused the request.
pub fn is_limited(request: &Request) -> bool {
    let context = request.find_context::<WebSocket>();
    context.is_some_and(|context| context.refused.get() || context.limited.get())
}

/// Whether `websocket_limit_conn` has refused the request.
pub fn is_refused(request: &Request) -> bool {
    request.find_context::<WebSocket>().is_some_and(|context| context.refused.get())
}

//! What this module keeps of a request.

use std::cell::Cell;

use nginx::request::Request;

use super::{limit, WebSocket};
use crate::metrics::Left;

/// What this module keeps of a request; it goes with the request.
#[derive(Default)]
pub struct RequestContext {
    pub hold: Cell<Option<limit::Hold>>,
    /// Whether `websocket_limit_conn` has counted it.
    pub limited: Cell<bool>,
    /// Whether `websocket_limit_conn` has refused it; it goes on where there is an `error_page`.
    pub refused: Cell<bool>,
    pub fate: Cell<Option<Fate>>,
    /// A subrequest that it does not wait for has been seen.
    pub has_background: Cell<bool>,
}

/// What became of an upgrade.
#[derive(Clone, Copy)]
pub enum Fate {
    /// It is a tunnel of this module.
    Tunnelled,
    /// nginx's own copier has it.
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

/// Notes what became of the upgrade of a request.
pub fn note(request: &Request, fate: Fate) {
    // the context of a subrequest is that of its main request
    if let Some(context) = request.context::<WebSocket>().filter(|_| request.is_main()) {
        context.fate.set(Some(fate));
    }
}

/// What became of the upgrade of a request, if it was one.
pub fn fate(request: &Request) -> Option<Fate> {
    request.find_context::<WebSocket>()?.fate.get()
}

/// Whether a request has made a subrequest that it does not wait for.
pub fn has_background(request: &Request) -> bool {
    request.find_context::<WebSocket>().is_some_and(|context| context.has_background.get())
}

/// Whether `websocket_limit_conn` has counted a request, or refused it.
pub fn is_limited(request: &Request) -> bool {
    let context = request.find_context::<WebSocket>();
    context.is_some_and(|context| context.refused.get() || context.limited.get())
}

/// Whether `websocket_limit_conn` has refused a request.
pub fn is_refused(request: &Request) -> bool {
    request.find_context::<WebSocket>().is_some_and(|context| context.refused.get())
}

//! `$websocket_*`: what the access log can say of an upgrade, whose line it writes as the request
//! is freed.

use nginx::request::Request;
use nginx::variable::{Text, Variable};

use super::context::{self, Fate};
use crate::module::counting;

/// The variables. Rewrite rules may ask before the upgrade, the log after it, so all change.
pub const ALL: [&Variable; 4] = [
    &Variable { name: "websocket_state", changes: true, get: state },
    &Variable { name: "websocket_protocol", changes: true, get: protocol },
    &Variable { name: "websocket_extensions", changes: true, get: extensions },
    &Variable { name: "websocket_active", changes: true, get: active },
];

/// What became of an upgrade.
fn state<'r>(request: &'r Request) -> Text<'r> {
    let word = context::fate(request).map(Fate::word)?;
    Some(word.into_bytes().into())
}

/// The subprotocol of the 101.
fn protocol<'r>(request: &'r Request) -> Text<'r> {
    answered(request, b"sec-websocket-protocol")
}

/// The extensions of the 101.
fn extensions<'r>(request: &'r Request) -> Text<'r> {
    answered(request, b"sec-websocket-extensions")
}

/// What the 101 says in headers of this name, in lower case here.
fn answered<'r>(request: &'r Request, name: &[u8]) -> Text<'r> {
    if request.status() != 101 {
        return None;
    }
    let values: Vec<_> = request.answered(name).map(String::from_utf8_lossy).collect();
    (!values.is_empty()).then(|| values.join(", ").into_bytes().into())
}

/// How many tunnels this worker has now.
fn active<'r>(_: &'r Request) -> Text<'r> {
    Some(counting::slot().active().to_string().into_bytes().into())
}

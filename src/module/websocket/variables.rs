//! `$websocket_*`: the outcome of an upgrade, for the access log, whose entry nginx writes when the
//! request is freed.

use nginx::request::Request;
use nginx::variable::{Text, Variable};

use super::context::{self, Fate};
use crate::module::counting;

/// The variables. Rewrite rules may read them before the upgrade and the log after it, so nginx
/// must not cache them.
pub const ALL: [&Variable; 4] = [
    &Variable { name: "websocket_state", changes: true, get: state },
    &Variable { name: "websocket_protocol", changes: true, get: protocol },
    &Variable { name: "websocket_extensions", changes: true, get: extensions },
    &Variable { name: "websocket_active", changes: true, get: active },
];

/// The outcome of the upgrade.
fn state<'r>(request: &'r Request) -> Text<'r> {
    let word = context::fate(request).map(Fate::word)?;
    Some(word.into_bytes().into())
}

/// The subprotocol in the 101.
fn protocol<'r>(request: &'r Request) -> Text<'r> {
    answered(request, b"sec-websocket-protocol")
}

/// The extensions in the 101.
fn extensions<'r>(request: &'r Request) -> Text<'r> {
    answered(request, b"sec-websocket-extensions")
}

/// The values of the fields of the 101 with this name, which must be in lower case.
fn answered<'r>(request: &'r Request, name: &[u8]) -> Text<'r> {
    if request.status() != 101 {
        return None;
    }
    let values: Vec<_> = request.answered(name).map(String::from_utf8_lossy).collect();
    (!values.is_empty()).then(|| values.join(", ").into_bytes().into())
}

/// The number of open tunnels of this worker.
fn active<'r>(_: &'r Request) -> Text<'r> {
    Some(counting::slot().active().to_string().into_bytes().into())
}

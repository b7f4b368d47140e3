//! Checks whether an upgrade is a WebSocket and whether its request can be freed.

use nginx::process::now;
use nginx::request::Request;
use nginx::upgrade::State;
use nginx::upstream::Upstream;

use super::context::{self, Fate};
use crate::busy::{Busy, Flags};
use crate::handshake::has_websocket;
use crate::metrics::{Left, RefusedBy, HANDSHAKE};
use crate::minutely::Minutely;
use crate::module::counting;
use crate::module::handshake::asks_for_websocket;

/// The status code of an upgrade.
const SWITCHING_PROTOCOLS: usize = 101;

/// The reason why an upgrade is left to nginx's relay: for the counter, and as text.
pub type Why = (Left, &'static str);

/// A tunnel lacks a resource, normally memory.
pub const NO_MEMORY: Why = (Left::Unexplained, "no memory for its tunnel");

static UNEXPLAINED: Minutely = Minutely::new();

/// Records an upgrade that is left to nginx's relay.
pub fn leave(request: &Request, (why, words): Why) {
    counting::slot().counts.leave(why);
    context::note(request, Fate::Left(why));
    if why != Left::Unexplained {
        request.log().info(format_args!("WebSocket not tunnelled: {words}"));
    } else if let Some(count) = UNEXPLAINED.pass(now()) {
        request.log().warn(format_args!(
            "WebSocket not tunnelled for an unknown reason: {words}; {count} since the last such \
             message get no Pings and no drain, please report this with the output of \"nginx -V\""
        ));
    }
}

/// Records the time that the upstream took for its 101.
pub fn count_time(request: &Request) {
    if let Some(time) = request.upstream().and_then(|upstream| upstream.header_time()) {
        counting::slot().counts.handshake.observe(&HANDSHAKE, time);
    }
}

/// Counts a handshake that was refused, if this response refuses one. Those that
/// `websocket_limit_conn` refuses are counted there, even if `error_page` produces the response.
pub fn count_refused(request: &Request) {
    let Some(upstream) = request.upstream() else { return };
    if request.status() == SWITCHING_PROTOCOLS
        || !is_asked_for(request)
        || context::is_refused(request)
    {
        return;
    }
    let reason = match upstream.status() {
        0 => RefusedBy::Unreachable,
        _ => RefusedBy::Destination,
    };
    counting::slot().counts.refuse(reason);
}

/// Whether the response is an upgrade through `proxy_pass`.
pub fn is_upgrade(request: &Request) -> bool {
    request.status() == SWITCHING_PROTOCOLS
        && request.upstream().is_some_and(|upstream| upstream.upgrades())
}

/// Whether the request can be freed and its connections taken over.
pub fn check(request: &Request) -> Result<(), Why> {
    let Some(upstream) = &request.upstream() else { return Err(NO_MEMORY) };
    if !request.is_main() || !request.has_own_connection() {
        return Err((Left::NotOfItsOwn, "its request has no connection of its own"));
    }
    if !is_websocket(request, upstream) {
        return Err((Left::NotWebSocket, "it is no WebSocket"));
    }
    match flags(request, upstream).busy() {
        None => Ok(()),
        Some(Busy::Known(words)) => Err((Left::Busy, words)),
        Some(Busy::Unexplained(words)) => Err((Left::Unexplained, words)),
    }
}

/// The state of the request.
fn flags(request: &Request, upstream: &Upstream) -> Flags {
    let state = State::of(request);
    Flags {
        count: state.count,
        reading_body: state.reading_body,
        discard_body: state.discard_body,
        blocked: state.blocked,
        subrequests: state.subrequests,
        post_action: state.post_action,
        destination: upstream.is_connected(),
        has_body: state.has_body,
        has_aio: state.has_aio,
        has_background: context::has_background(request),
    }
}

/// Whether a client asks for a WebSocket, in a main request.
pub fn is_asked_for(request: &Request) -> bool {
    request.is_main() && asks_for_websocket(request)
}

/// RFC 6455 section 4: the fields that the client must send (4.1) and those that the server must
/// send (4.2.2).
fn is_websocket(request: &Request, upstream: &Upstream) -> bool {
    request.is_get()
        && asks_for_websocket(request)
        && request.header(b"sec-websocket-key").is_some()
        && has_websocket(upstream.headers(b"upgrade"))
        && upstream.header(b"sec-websocket-accept").is_some()
}

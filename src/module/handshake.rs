//! Whether a client asks for a WebSocket.

use nginx::request::Request;

use crate::handshake::has_websocket;

/// Whether the client asks for a WebSocket in `Upgrade`.
pub fn asks_for_websocket(request: &Request) -> bool {
    request.has_upgrade() && has_websocket(request.headers(b"upgrade"))
}

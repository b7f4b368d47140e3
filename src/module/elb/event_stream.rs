//! Server-sent events: passed on without buffering.

use nginx::request::Request;

use crate::media_type::is_event_stream;

/// Disables buffering of a response that is an event stream: otherwise an event waits until others
/// fill the buffer, or until the stream ends. Such a response is not cached or stored, and
/// `limit_rate` does not apply to it.
pub fn pass_on_at_once(request: &Request) {
    let content_type = request.upstream().and_then(|upstream| upstream.content_type());
    if content_type.is_some_and(is_event_stream) {
        request.pass_on_at_once();
    }
}

//! Server-sent events: passed on as they come.

use nginx::request::Request;

use crate::media_type::is_event_stream;

/// Has nginx not buffer an answer that is a stream of events: an event would wait for others to fill
/// a buffer, and a stream that ends with its connection for that end. Such an answer is not cached or
/// stored then, and not held to `limit_rate`.
pub fn pass_on_at_once(request: &Request) {
    let content_type = request.upstream().and_then(|upstream| upstream.content_type());
    if content_type.is_some_and(is_event_stream) {
        request.pass_on_at_once();
    }
}

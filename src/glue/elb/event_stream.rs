//! Server-sent events: passed on as they come.

use ngx::ffi::ngx_http_request_t;

use crate::glue::bits::Bits;
use crate::media_type::is_event_stream;

/// Has nginx not buffer an answer that is a stream of events, as `X-Accel-Buffering: no` of the
/// destination would: an event would wait for others to fill a buffer, and a stream that ends with
/// its connection for that end. Core asks once the header is sent
/// (`ngx_http_upstream_send_response`); such an answer is not cached or stored then, and not held
/// to `limit_rate`.
pub fn pass_on_at_once(r: &mut ngx_http_request_t) {
    // SAFETY: null or the upstream of the request
    let Some(u) = (unsafe { r.upstream.as_mut() }) else { return };
    // SAFETY: null or a header of the destination's answer
    let content_type = unsafe { u.headers_in.content_type.as_ref() };
    if content_type.is_some_and(|header| is_event_stream(header.value.as_bytes())) {
        u.bits_mut().set_buffering(0);
    }
}

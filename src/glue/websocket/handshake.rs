//! Is this upgrade a WebSocket, and can its request be freed?

use ngx::ffi::{
    ngx_http_core_loc_conf_t, ngx_http_request_t, ngx_http_upstream_t, ngx_msec_t,
    NGX_HTTP_AIO_OFF, NGX_HTTP_GET, NGX_HTTP_SWITCHING_PROTOCOLS, NGX_HTTP_VERSION_11,
    NGX_LOG_INFO, NGX_LOG_WARN,
};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use super::tunnel::now;
use super::{Fate, RequestContext};
use crate::busy::{Busy, Flags, Minutely};
use crate::glue::bits::Bits;
use crate::glue::request::{asks_for_websocket, header, headers};
use crate::glue::zone;
use crate::handshake::has_websocket;
use crate::metrics::{Left, RefusedBy, HANDSHAKE};

/// Why nginx's own copier keeps an upgrade: what is counted, and in words.
pub type Why = (Left, &'static str);

/// Something that a tunnel needs is not there, memory as a rule.
pub const NO_MEMORY: Why = (Left::Unexplained, "there is no memory for its tunnel");

static UNEXPLAINED: Minutely = Minutely::new();

/// Notes an upgrade that nginx's own copier keeps.
///
/// # Safety
/// `r` is live, and nobody else holds its context.
pub unsafe fn leave(r: *mut ngx_http_request_t, (why, words): Why) {
    zone::slot().counts.leave(why);
    // SAFETY: by contract; a live request has a connection with a log
    let log = unsafe {
        RequestContext::note(r, Fate::Left(why));
        (*(*r).connection).log
    };
    if why != Left::Unexplained {
        ngx::ngx_log_error!(NGX_LOG_INFO, log, "not tunnelled: {words}");
    } else if let Some(count) = UNEXPLAINED.pass(now()) {
        ngx::ngx_log_error!(
            NGX_LOG_WARN,
            log,
            "not tunnelled: {words}, for no known cause, {count} since the last such message: \
             these WebSockets get no Pings and no drain, please report it with \"nginx -V\""
        );
    }
}

/// Counts how long the destination took for its 101.
pub fn count_time(r: &ngx_http_request_t) {
    // SAFETY: null, or the upstream of the request with its state
    let state = unsafe { r.upstream.as_ref().and_then(|u| u.state.as_ref()) };
    let unset = ngx_msec_t::MAX;
    if let Some(time) = state.map(|state| state.header_time).filter(|time| *time != unset) {
        zone::slot().counts.handshake.observe(&HANDSHAKE, time as u64);
    }
}

/// Counts the answer to a handshake that has been refused, if it is one. `websocket_limit_conn`
/// counts what it refuses, whoever makes the answer then (`error_page`).
pub fn count_refused(r: &ngx_http_request_t) {
    // SAFETY: null or the upstream of the request
    let Some(u) = (unsafe { r.upstream.as_ref() }) else { return };
    if r.headers_out.status == NGX_HTTP_SWITCHING_PROTOCOLS as usize
        || !is_asked_for(r)
        || RequestContext::is_refused(r)
    {
        return;
    }
    let by = match u.headers_in.status_n {
        0 => RefusedBy::Unreachable,
        _ => RefusedBy::Destination,
    };
    zone::slot().counts.refuse(by);
}

/// Whether an answer is an upgrade by `proxy_pass`.
pub fn is_upgrade(r: &ngx_http_request_t) -> bool {
    // SAFETY: null or the upstream of the request
    let upstream = unsafe { r.upstream.as_ref() };
    r.headers_out.status == NGX_HTTP_SWITCHING_PROTOCOLS as usize
        && upstream.is_some_and(|u| u.bits().upgrade() != 0)
}

/// Whether the request of an upgrade can be freed and its connections be ours.
pub fn check(r: &ngx_http_request_t, u: &ngx_http_upstream_t) -> Result<(), Why> {
    let is_http1 = r.stream.is_null() && r.http_version <= NGX_HTTP_VERSION_11 as usize;
    if !std::ptr::eq(r, r.main) || !is_http1 {
        return Err((Left::NotOfItsOwn, "its request has no connection of its own"));
    }
    if !is_websocket(r, u) {
        return Err((Left::NotWebSocket, "it is no WebSocket"));
    }
    match flags(r, u).busy() {
        None => Ok(()),
        Some(Busy::Known(words)) => Err((Left::Busy, words)),
        Some(Busy::Unexplained(words)) => Err((Left::Unexplained, words)),
    }
}

/// What the request says of itself.
fn flags(r: &ngx_http_request_t, u: &ngx_http_upstream_t) -> Flags {
    let core: Option<&ngx_http_core_loc_conf_t> = NgxHttpCoreModule::location_conf(r);
    let bits = r.bits();
    Flags {
        count: bits.count(),
        reading_body: bits.reading_body() != 0,
        discard_body: bits.discard_body() != 0,
        blocked: bits.blocked() != 0 || bits.aio() != 0,
        subrequests: !r.posted_requests.is_null() || !r.postponed.is_null(),
        // nginx has something to do when the request is over (`ngx_http_post_action`)
        post_action: core.is_some_and(|core| !core.post_action.data.is_null()),
        destination: !u.peer.connection.is_null(),
        has_body: r.headers_in.content_length_n > 0 || !r.headers_in.transfer_encoding.is_null(),
        has_aio: core.is_some_and(|core| core.aio as u32 != NGX_HTTP_AIO_OFF),
        has_background: RequestContext::has_background(r),
    }
}

/// Whether a client asks for a WebSocket, in a request of its own.
pub fn is_asked_for(r: &ngx_http_request_t) -> bool {
    std::ptr::eq(r, r.main) && asks_for_websocket(r)
}

/// RFC 6455 section 4: what the client has to send (4.1) and the server to answer (4.2.2).
fn is_websocket(r: &ngx_http_request_t, u: &ngx_http_upstream_t) -> bool {
    let asked = &r.headers_in.headers;
    let answered = &u.headers_in.headers;
    r.method == NGX_HTTP_GET as usize
        && asks_for_websocket(r)
        && header(asked, b"sec-websocket-key").is_some()
        && has_websocket(headers(answered, b"upgrade"))
        && header(answered, b"sec-websocket-accept").is_some()
}

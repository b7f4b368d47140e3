//! Is this upgrade a WebSocket, and can its request be freed?

use ngx::ffi::{
    ngx_http_request_t, ngx_http_upstream_t, ngx_list_part_t, ngx_list_t, ngx_table_elt_t,
    NGX_HTTP_GET, NGX_HTTP_SWITCHING_PROTOCOLS, NGX_HTTP_VERSION_11, NGX_LOG_INFO,
};

use super::worker::Worker;

/// Why nginx's own copier keeps an upgraded connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The handshake is not that of RFC 6455 section 4.
    NotWebSocket,
    /// A subrequest, or a stream of HTTP/2 or HTTP/3.
    NotOfItsOwn,
    /// Something of nginx still works on the request.
    Busy,
}

impl Unfit {
    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotWebSocket => "it is no WebSocket",
            Self::NotOfItsOwn => "its request has no connection of its own",
            Self::Busy => "its request is still being worked on",
        }
    }
}

/// Notes an upgrade that nginx's own copier keeps.
pub fn leave(r: &ngx_http_request_t, unfit: Unfit) {
    // SAFETY: called in a request's own handler, while no tunnel is at work
    if let Some(worker) = unsafe { Worker::get() } {
        worker.counts.left += 1;
    }
    // SAFETY: a live request has a connection with a log
    let log = unsafe { (*r.connection).log };
    ngx::ngx_log_error!(NGX_LOG_INFO, log, "not tunnelled: {}", unfit.as_str());
}

/// Whether an answer is an upgrade by `proxy_pass`.
pub fn is_upgrade(r: &ngx_http_request_t) -> bool {
    // SAFETY: null or the upstream of the request
    let upstream = unsafe { r.upstream.as_ref() };
    r.headers_out.status == NGX_HTTP_SWITCHING_PROTOCOLS as usize
        && upstream.is_some_and(|u| u.upgrade() != 0)
}

/// Whether the request of an upgrade can be freed and its connections be ours.
pub fn check(r: &ngx_http_request_t, u: &ngx_http_upstream_t) -> Result<(), Unfit> {
    let is_http1 = r.stream.is_null() && r.http_version <= NGX_HTTP_VERSION_11 as usize;
    if !std::ptr::eq(r, r.main) || !is_http1 {
        return Err(Unfit::NotOfItsOwn);
    }
    if !is_websocket(r, u) {
        return Err(Unfit::NotWebSocket);
    }
    let busy = r.count() != 1
        || r.blocked() != 0
        || r.aio() != 0
        || r.reading_body() != 0
        || r.discard_body() != 0
        || !r.posted_requests.is_null()
        || !r.postponed.is_null()
        || u.peer.connection.is_null();
    if busy {
        return Err(Unfit::Busy);
    }
    Ok(())
}

/// Whether a client asks for a WebSocket.
pub fn is_asked_for(r: &ngx_http_request_t) -> bool {
    std::ptr::eq(r, r.main)
        && header(&r.headers_in.headers, b"upgrade").is_some_and(is_token_websocket)
}

/// RFC 6455 section 4: what the client has to send (4.1) and the server to answer (4.2.2).
fn is_websocket(r: &ngx_http_request_t, u: &ngx_http_upstream_t) -> bool {
    let asked = &r.headers_in.headers;
    let answered = &u.headers_in.headers;
    r.method == NGX_HTTP_GET as usize
        && header(asked, b"upgrade").is_some_and(is_token_websocket)
        && header(asked, b"sec-websocket-key").is_some()
        && header(answered, b"upgrade").is_some_and(is_token_websocket)
        && header(answered, b"sec-websocket-accept").is_some()
}

fn is_token_websocket(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"websocket")
}

/// The value of the first header with this name in lower case.
fn header<'a>(list: &'a ngx_list_t, name: &'a [u8]) -> Option<&'a [u8]> {
    headers(list, name).next()
}

/// The values of all headers with this name in lower case.
pub fn headers<'a>(list: &'a ngx_list_t, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    // SAFETY: null or the next part
    let next = |part: &&'a ngx_list_part_t| unsafe { part.next.as_ref() };
    std::iter::successors(Some(&list.part), next)
        .flat_map(|part| match part.elts.is_null() {
            true => &[],
            // SAFETY: each part has nelts headers
            false => unsafe {
                std::slice::from_raw_parts(part.elts.cast::<ngx_table_elt_t>(), part.nelts)
            },
        })
        .filter(move |header| header.hash != 0 && header.key.as_bytes().eq_ignore_ascii_case(name))
        .map(|header| header.value.as_bytes())
}

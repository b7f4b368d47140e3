//! A request of nginx, as far as this crate answers it, and the phases that it passes.

use std::borrow::Cow;
use std::ptr::null_mut;

use ngx::ffi::{
    ngx_array_push, ngx_chain_t, ngx_conf_t, ngx_http_discard_request_body,
    ngx_http_finalize_request, ngx_http_handler_pt, ngx_http_output_filter, ngx_http_phases,
    ngx_http_request_t, ngx_http_send_header, ngx_int_t, ngx_list_part_t, ngx_list_push,
    ngx_list_t, ngx_pcalloc, ngx_str_t, ngx_table_elt_t, NGX_DONE, NGX_ERROR, NGX_HTTP_BAD_REQUEST,
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use crate::glue::bits::Bits;
use crate::handshake;
use crate::metrics::Health;
use crate::settings::Redirect;

pub use ngx::ffi::{
    ngx_http_phases_NGX_HTTP_POST_READ_PHASE as POST_READ,
    ngx_http_phases_NGX_HTTP_PREACCESS_PHASE as PREACCESS,
    ngx_http_phases_NGX_HTTP_REWRITE_PHASE as REWRITE,
    ngx_http_phases_NGX_HTTP_SERVER_REWRITE_PHASE as SERVER_REWRITE,
};

/// A handler that nginx calls in one of its phases.
pub type PhaseHandler = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;

/// Has nginx call `handler` for every request; `false` where there is no memory.
///
/// # Safety
/// `cf` is what nginx passes to `postconfiguration`.
pub unsafe fn register(cf: *mut ngx_conf_t, phase: ngx_http_phases, handler: PhaseHandler) -> bool {
    // SAFETY: by contract; the arrays hold handlers
    unsafe {
        let Some(core) = cf.as_ref().and_then(NgxHttpCoreModule::main_conf_mut) else {
            return false;
        };
        let Some(phase) = core.phases.get_mut(phase as usize) else { return false };
        let slot = ngx_array_push(&raw mut phase.handlers).cast::<ngx_http_handler_pt>();
        slot.as_mut().map(|slot| *slot = Some(handler)).is_some()
    }
}

/// A whole answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// What `Content-Type` says, with its parameters.
    pub content_type: &'static str,
    /// What follows the header.
    pub body: Cow<'static, str>,
    /// Further fields of the header.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Answer {
    /// The state in words, with 200 where the instance should get traffic and 503 where not.
    pub fn health(health: Health) -> Self {
        let status = match health {
            Health::Ok => 200,
            Health::Draining | Health::DestinationDown => 503,
        };
        let body = Cow::Borrowed(health.as_str());
        Self { status, content_type: "text/plain", body, headers: &[] }
    }
}

/// A thin wrapper; it owns nothing.
pub struct Request<'a> {
    r: &'a mut ngx_http_request_t,
}

impl Request<'_> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `r` is a live request, used by nobody else while the result lives.
    pub unsafe fn from_ptr(r: *mut ngx_http_request_t) -> Option<Self> {
        // SAFETY: by contract
        unsafe { r.as_mut() }.map(|r| Self { r })
    }

    /// nginx's own structure.
    pub fn raw(&self) -> &ngx_http_request_t {
        self.r
    }

    /// Whether it only asks for a resource.
    pub fn is_get_or_head(&self) -> bool {
        self.r.method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as usize != 0
    }

    /// The path as the client sent it, without the query.
    pub fn path(&self) -> &[u8] {
        let uri = self.r.unparsed_uri.as_bytes();
        uri.split(|b| *b == b'?').next().unwrap_or_default()
    }

    /// Leaves the request out of the access log (`ngx_http_free_request`).
    pub fn skip_access_log(&mut self) {
        self.r.bits_mut().set_logged(1);
    }

    /// Answers the request and is done with it: the result is for a phase handler to return.
    pub fn answer(&mut self, answer: &Answer) -> ngx_int_t {
        let rc = self.send(answer);
        // SAFETY: the request is live; after this call it may not be
        unsafe { ngx_http_finalize_request(self.r, rc) };
        NGX_DONE as _
    }

    /// Answers the request as its content handler, which returns the result.
    pub fn send(&mut self, answer: &Answer) -> ngx_int_t {
        let r: *mut ngx_http_request_t = self.r;
        // SAFETY: the request is live
        let rc = unsafe { ngx_http_discard_request_body(r) };
        if rc != 0 {
            return rc;
        }
        let body = match answer.body {
            Cow::Borrowed(text) => Some(literal(text)),
            // SAFETY: the pool is the request's
            Cow::Owned(ref text) => unsafe { ngx_str_t::from_bytes(self.r.pool, text.as_bytes()) },
        };
        let Some(body) = body else {
            return NGX_HTTP_INTERNAL_SERVER_ERROR as _;
        };
        if answer
            .headers
            .iter()
            .any(|(name, value)| self.add_header(name, literal(value)).is_none())
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR as _;
        }
        let out = &mut self.r.headers_out;
        out.status = answer.status.into();
        out.content_type = literal(answer.content_type);
        out.content_type_len = answer.content_type.split(';').next().unwrap_or_default().len();
        out.content_length_n = body.len as _;
        // SAFETY: the request is live
        let rc = unsafe { ngx_http_send_header(r) };
        if rc != 0 || self.r.bits().header_only() != 0 {
            return rc;
        }
        let Some(buf) = self.allocate::<ngx::ffi::ngx_buf_t>() else { return NGX_ERROR as _ };
        buf.pos = body.data;
        // SAFETY: one past the end of the text
        buf.last = unsafe { body.data.add(body.len) };
        // the client's answer ends with that of the main request (ngx_http_static_handler)
        let is_main = std::ptr::eq(self.r, self.r.main);
        buf.bits_mut().set_memory(1);
        buf.bits_mut().set_last_buf(is_main.into());
        buf.bits_mut().set_last_in_chain(1);
        let mut chain = ngx_chain_t { buf, next: null_mut() };
        // SAFETY: the filters copy the link, the buffer lives in the request's pool
        unsafe { ngx_http_output_filter(r, &raw mut chain) }
    }

    /// The value of the first field of the request's header with this name, in lower case.
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        header(&self.r.headers_in.headers, name)
    }

    /// Redirects to `https` on the same host with the URI as the client sent it; the result is for
    /// a phase handler to return.
    pub fn redirect_to_https(&mut self, redirect: Redirect) -> ngx_int_t {
        let host = self.r.headers_in.server.as_bytes();
        if host.is_empty() {
            // HTTP/1.0 may leave it out: there is nowhere to redirect to
            return NGX_HTTP_BAD_REQUEST as _;
        }
        let uri = self.r.unparsed_uri.as_bytes();
        let mut location = [b"https://", host].concat();
        if redirect.port != 443 {
            location.extend_from_slice(format!(":{}", redirect.port).as_bytes());
        }
        if !uri.starts_with(b"/") {
            // "GET http://host?query" (RFC 9112 3.2.2)
            location.push(b'/');
        }
        location.extend_from_slice(uri);
        match self.set_location(&location) {
            Some(()) => redirect.status as _,
            None => NGX_HTTP_INTERNAL_SERVER_ERROR as _,
        }
    }

    fn set_location(&mut self, value: &[u8]) -> Option<()> {
        // SAFETY: the pool is the request's
        let value = unsafe { ngx_str_t::from_bytes(self.r.pool, value) }?;
        self.r.headers_out.location = self.add_header("Location", value)?;
        Some(())
    }

    /// Adds a field to the header of the answer.
    fn add_header(&mut self, name: &'static str, value: ngx_str_t) -> Option<*mut ngx_table_elt_t> {
        // SAFETY: the list holds headers
        let header = unsafe { ngx_list_push(&raw mut self.r.headers_out.headers) };
        let header = header.cast::<ngx_table_elt_t>();
        if header.is_null() {
            return None;
        }
        // SAFETY: room for one header, which all-zero is a valid value of
        unsafe { header.write_bytes(0, 1) };
        // SAFETY: as above
        let field = unsafe { &mut *header };
        field.hash = 1;
        field.key = literal(name);
        field.value = value;
        Some(header)
    }

    /// A zeroed C struct in the request's pool.
    fn allocate<T: Copy>(&mut self) -> Option<&'static mut T> {
        // SAFETY: the pool is the request's; the caller keeps the value no longer than that
        unsafe { ngx_pcalloc(self.r.pool, size_of::<T>()).cast::<T>().as_mut() }
    }
}

/// Text that is always there.
pub fn literal(text: &'static str) -> ngx_str_t {
    ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() }
}

/// Whether the client asks for a WebSocket, by `Upgrade`, which core has found as it read it.
pub fn asks_for_websocket(r: &ngx_http_request_t) -> bool {
    !r.headers_in.upgrade.is_null()
        && handshake::has_websocket(headers(&r.headers_in.headers, b"upgrade"))
}

/// The value of the first header with this name in lower case.
pub fn header<'a>(list: &'a ngx_list_t, name: &[u8]) -> Option<&'a [u8]> {
    headers(list, name).next()
}

/// The values of all headers with this name in lower case.
pub fn headers<'a, 'n>(
    list: &'a ngx_list_t,
    name: &'n [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
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

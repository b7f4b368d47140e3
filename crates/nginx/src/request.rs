//! HTTP requests and their handlers.

use std::borrow::Cow;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::{
    ngx_array_push, ngx_chain_t, ngx_http_discard_request_body, ngx_http_finalize_request,
    ngx_http_handler_pt, ngx_http_output_filter, ngx_http_phases, ngx_http_request_t,
    ngx_http_send_header, ngx_int_t, ngx_list_part_t, ngx_list_push, ngx_list_t, ngx_pcalloc,
    ngx_pool_cleanup_add, ngx_str_t, ngx_table_elt_t, NGX_DECLINED, NGX_DONE, NGX_ERROR,
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_OK,
};
use ngx::http::{HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};

use crate::bits::Bits;
use crate::conf::{Conf, Error, Outcome};
use crate::guard::guarded;
use crate::log::Log;
use crate::module::{HttpModule, Module};
use crate::text::literal;

pub use ngx::ffi::{
    ngx_http_phases_NGX_HTTP_LOG_PHASE as LOG,
    ngx_http_phases_NGX_HTTP_POST_READ_PHASE as POST_READ,
    ngx_http_phases_NGX_HTTP_PREACCESS_PHASE as PREACCESS,
    ngx_http_phases_NGX_HTTP_REWRITE_PHASE as REWRITE,
    ngx_http_phases_NGX_HTTP_SERVER_REWRITE_PHASE as SERVER_REWRITE,
};

/// The return value of a handler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Status(pub(crate) ngx_int_t);

impl Status {
    /// Not handled: nginx calls the next handler.
    pub const DECLINED: Self = Self(NGX_DECLINED as _);

    /// Handled.
    pub const OK: Self = Self(NGX_OK as _);

    /// Failed: nginx ends the request.
    pub const ERROR: Self = Self(NGX_ERROR as _);

    /// Ends the request with this status code, from 300 to 599.
    pub const fn code(code: u16) -> Self {
        Self(code as ngx_int_t)
    }
}

/// A handler of requests: of a phase ([`Conf::register`]) or of the content of a location
/// ([`Conf::answer_with`]).
pub trait Handler: 'static {
    /// Handles a request. nginx closes the request with status 500 if this panics.
    fn handle(request: Request) -> Status;
}

unsafe extern "C" fn handle<H: Handler>(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_HTTP_INTERNAL_SERVER_ERROR as _, || {
        // SAFETY: nginx passes a live request to a handler
        let Some(request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        H::handle(request).0
    })
}

impl Conf<'_> {
    /// Registers `H` for every request in `phase`. nginx calls the handlers of a phase in the
    /// reverse order of their registration (`ngx_http_init_phase_handlers`). To be called in
    /// `postconfiguration`.
    ///
    /// # Errors
    /// The directive is not in `http`, or memory is exhausted.
    pub fn register<H: Handler>(&mut self, phase: ngx_http_phases) -> Outcome {
        // SAFETY: nginx passes a valid configuration; the arrays of phases hold handlers
        unsafe {
            let core = NgxHttpCoreModule::main_conf_mut(&*self.as_ptr()).ok_or(Error::Logged)?;
            let phase = core.phases.get_mut(phase as usize).ok_or(Error::Logged)?;
            let slot = ngx_array_push(&raw mut phase.handlers).cast::<ngx_http_handler_pt>();
            *slot.as_mut().ok_or_else(Error::no_memory)? = Some(handle::<H>);
        }
        Ok(())
    }

    /// Makes `H` the content handler of the location that the directive is in. To be called in a
    /// handler of a directive.
    ///
    /// # Errors
    /// The location has a content handler already, or the directive is not in `http`.
    pub fn answer_with<H: Handler>(&mut self) -> Outcome {
        // SAFETY: nginx passes a valid configuration to the handler
        let core = NgxHttpCoreModule::location_conf_mut(unsafe { &*self.as_ptr() });
        let core = core.ok_or_else(|| Error::Message("no location".to_owned()))?;
        if core.handler.is_some() {
            return Err(Error::Message(format!(
                "\"{}\" directive must be the only one of its location that answers",
                self.directive()
            )));
        }
        core.handler = Some(handle::<H>);
        Ok(())
    }
}

/// A complete response.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`, with its parameters.
    pub content_type: &'static str,
    /// The body.
    pub body: Cow<'static, str>,
    /// Further header fields: names and values.
    pub headers: &'static [(&'static str, &'static str)],
}

/// A request, borrowed for the duration of a call.
pub struct Request<'a> {
    r: NonNull<ngx_http_request_t>,
    of: PhantomData<&'a ngx_http_request_t>,
}

impl Request<'_> {
    /// Wraps nginx's pointer; `None` for null.
    ///
    /// # Safety
    /// `r` is null or a request that lives as long as the result. Called on nginx's thread.
    pub unsafe fn from_ptr(r: *mut ngx_http_request_t) -> Option<Self> {
        NonNull::new(r).map(|r| Self { r, of: PhantomData })
    }

    /// nginx's structure.
    pub fn as_ptr(&self) -> *mut ngx_http_request_t {
        self.r.as_ptr()
    }

    /// nginx's structure.
    pub(crate) fn raw(&self) -> &ngx_http_request_t {
        // SAFETY: live by the contract of `from_ptr`
        unsafe { self.r.as_ref() }
    }

    /// nginx's structure, to write a field. No caller holds the reference across another call.
    #[expect(clippy::mut_from_ref, reason = "nginx's structures are shared and mutable")]
    pub(crate) fn raw_mut(&self) -> &mut ngx_http_request_t {
        // SAFETY: live by the contract of `from_ptr`; callers write single fields and keep no
        // reference
        unsafe { &mut *self.r.as_ptr() }
    }

    /// The log of its connection, which adds the context of the request to messages.
    pub fn log(&self) -> Log<'_> {
        // SAFETY: a live request has a connection, and nginx sets a log for every connection
        unsafe { Log::from_ptr((*self.raw().connection).log) }
    }

    /// The main configuration (`http`) of module `M` for this request; `None` if nginx has not
    /// loaded `M`.
    pub fn main<M: HttpModule>(&self) -> Option<&M::Main> {
        // SAFETY: the slot of `M` in `main_conf` is null or holds what `create_main_conf` of `M`
        // has made
        unsafe { self.slot::<M>(self.raw().main_conf)?.cast::<M::Main>().as_ref() }
    }

    /// The server configuration of module `M` for this request; `None` if nginx has not loaded `M`.
    pub fn server<M: HttpModule>(&self) -> Option<&M::Server> {
        // SAFETY: the slot of `M` in `srv_conf` is null or holds what `create_srv_conf` of `M` has
        // made
        unsafe { self.slot::<M>(self.raw().srv_conf)?.cast::<M::Server>().as_ref() }
    }

    /// The location configuration of module `M` for this request; `None` if nginx has not loaded
    /// `M`. It changes when the request is redirected to another location.
    pub fn location<M: HttpModule>(&self) -> Option<&M::Location> {
        // SAFETY: the slot of `M` in `loc_conf` is null or holds what `create_loc_conf` of `M` has
        // made
        unsafe { self.slot::<M>(self.raw().loc_conf)?.cast::<M::Location>().as_ref() }
    }

    /// # Safety
    /// `slots` is null or an array with a slot for each HTTP module.
    unsafe fn slot<M: HttpModule>(&self, slots: *mut *mut c_void) -> Option<*mut c_void> {
        let slots = NonNull::new(slots)?;
        // SAFETY: the caller guarantees a slot for each HTTP module
        Some(unsafe { *slots.as_ptr().add(Module::<M>::ctx_index()?) })
    }

    /// The context of module `M` for this request, created on the first call; `None` if memory is
    /// exhausted or nginx has not loaded `M`. It is dropped when the request is freed. It survives
    /// an internal redirect: nginx clears `r->ctx` then, so the context is found through the
    /// cleanups of the request (as in `ngx_http_realip_get_module_ctx`).
    pub fn context<M: HttpModule>(&self) -> Option<&M::Context> {
        const { assert!(align_of::<M::Context>() <= align_of::<usize>(), "nginx aligns to no more") };
        if let Some(found) = self.find_context::<M>() {
            return Some(found);
        }
        // SAFETY: nginx allocates the data of the cleanup with room for a context, aligned for any
        // type of at most the alignment of a pointer; `ctx` has a slot for each HTTP module
        unsafe {
            let cleanup =
                ngx_pool_cleanup_add(self.raw().pool, size_of::<M::Context>()).as_mut()?;
            let context = cleanup.data.cast::<M::Context>();
            context.write(M::Context::default());
            cleanup.handler = Some(drop_context::<M>);
            *self.raw().ctx.add(Module::<M>::ctx_index()?) = context.cast();
            context.as_ref()
        }
    }

    /// Like [`Request::context`], but does not create one.
    pub fn find_context<M: HttpModule>(&self) -> Option<&M::Context> {
        // SAFETY: `ctx` is an array with a slot for each HTTP module
        let kept = unsafe { self.slot::<M>(self.raw().ctx) }?;
        // SAFETY: null, or a context that `context` has made for `M`
        if let Some(found) = unsafe { kept.cast::<M::Context>().as_ref() } {
            return Some(found);
        }
        let ours: unsafe extern "C" fn(*mut c_void) = drop_context::<M>;
        // SAFETY: each link is null or a cleanup of the request's pool; the handler identifies the
        // data as a context of `M`
        unsafe {
            let mut cleanup = (*self.raw().pool).cleanup;
            while let Some(link) = cleanup.as_ref() {
                if link.handler.is_some_and(|handler| std::ptr::fn_addr_eq(handler, ours)) {
                    return link.data.cast::<M::Context>().as_ref();
                }
                cleanup = link.next;
            }
        }
        None
    }

    /// Calls `work` with the main request: the parent of all subrequests, or this request itself.
    pub fn with_main<T>(&self, work: impl FnOnce(&Request) -> T) -> Option<T> {
        // SAFETY: the main request lives at least as long as its subrequests
        unsafe { Request::from_ptr(self.raw().main) }.map(|main| work(&main))
    }

    /// Whether this is the main request, not a subrequest.
    pub fn is_main(&self) -> bool {
        std::ptr::eq(self.as_ptr(), self.raw().main)
    }

    /// Whether this is a background subrequest, which its main request does not wait for.
    pub fn is_background(&self) -> bool {
        self.raw().bits().background() != 0
    }

    /// Whether the method is GET or HEAD.
    pub fn is_get_or_head(&self) -> bool {
        self.raw().method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as usize != 0
    }

    /// The URI as the client sent it.
    pub fn unparsed_uri(&self) -> &[u8] {
        self.raw().unparsed_uri.as_bytes()
    }

    /// The path as the client sent it, without the query string.
    pub fn path(&self) -> &[u8] {
        self.unparsed_uri().split(|b| *b == b'?').next().unwrap_or_default()
    }

    /// The host of the request as nginx has validated it, without a port; empty if the request
    /// names none.
    pub fn host(&self) -> &[u8] {
        self.raw().headers_in.server.as_bytes()
    }

    /// The `Host` field as the client sent it.
    pub fn host_header(&self) -> Option<&[u8]> {
        // SAFETY: null or a header field of the live request
        unsafe { self.raw().headers_in.host.as_ref() }.map(|host| host.value.as_bytes())
    }

    /// The address of the client as text; that of the realip module if it has replaced it.
    pub fn client(&self) -> &[u8] {
        // SAFETY: a live request has a connection
        unsafe { (*self.raw().connection).addr_text.as_bytes() }
    }

    /// The values of all header fields with this name, which must be in lower case.
    pub fn headers<'s, 'n>(
        &'s self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'s [u8]> + use<'s, 'n> {
        values(&self.raw().headers_in.headers, name)
    }

    /// The first value of [`Request::headers`].
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// Whether it has an `Upgrade` field.
    pub fn has_upgrade(&self) -> bool {
        !self.raw().headers_in.upgrade.is_null()
    }

    /// The status code of the response; 0 before there is one.
    pub fn status(&self) -> usize {
        self.raw().headers_out.status
    }

    /// Like [`Request::status`], but the code of the error if nginx has replaced the response by an
    /// error page.
    pub fn final_status(&self) -> usize {
        match self.raw().err_status {
            0 => self.status(),
            error => error,
        }
    }

    /// The values of all response header fields with this name, which must be in lower case. Fields
    /// that nginx stores elsewhere, such as `Content-Type`, are not in this list.
    pub fn answered<'s, 'n>(
        &'s self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'s [u8]> + use<'s, 'n> {
        values(&self.raw().headers_out.headers, name)
    }

    /// Suppresses the access log entry of this request (`ngx_http_free_request`).
    pub fn skip_access_log(&self) {
        self.raw_mut().bits_mut().set_logged(1);
    }

    /// Sends the response and finalizes the request. For a handler of a phase, which returns the
    /// result at once.
    pub fn finish(self, answer: &Answer) -> Status {
        let Status(rc) = self.send(answer);
        // SAFETY: live until this call; it consumes the value, so nothing uses the request
        // afterwards
        unsafe { ngx_http_finalize_request(self.as_ptr(), rc) };
        Status(NGX_DONE as _)
    }

    /// Sends the response. For the content handler of a location, which returns the result.
    pub fn answer(&self, answer: &Answer) -> Status {
        self.send(answer)
    }

    fn send(&self, answer: &Answer) -> Status {
        let (r, failed) = (self.as_ptr(), Status(NGX_HTTP_INTERNAL_SERVER_ERROR as _));
        // SAFETY: the request is live
        let rc = unsafe { ngx_http_discard_request_body(r) };
        if rc != 0 {
            return Status(rc);
        }
        let body = match answer.body {
            Cow::Borrowed(text) => Some(literal(text)),
            Cow::Owned(ref text) => self.keep(text.as_bytes()),
        };
        let Some(body) = body else { return failed };
        let mut fields = answer.headers.iter();
        if fields.any(|(name, value)| self.add_field(name, literal(value)).is_none()) {
            return failed;
        }
        let out = &mut self.raw_mut().headers_out;
        out.status = answer.status.into();
        out.content_type = literal(answer.content_type);
        out.content_type_len = answer.content_type.split(';').next().unwrap_or_default().len();
        out.content_length_n = body.len as _;
        // SAFETY: the request is live
        let rc = unsafe { ngx_http_send_header(r) };
        if rc != 0 || self.raw().bits().header_only() != 0 {
            return Status(rc);
        }
        // SAFETY: the pool of a live request
        let buf = unsafe { ngx_pcalloc(self.raw().pool, size_of::<ngx::ffi::ngx_buf_t>()) };
        // SAFETY: null or zeroed memory, and all-zero is a valid value of the C struct
        let Some(buf) = (unsafe { buf.cast::<ngx::ffi::ngx_buf_t>().as_mut() }) else {
            return Status::ERROR;
        };
        buf.pos = body.data;
        // SAFETY: one past the end of the body
        buf.last = unsafe { body.data.add(body.len) };
        buf.bits_mut().set_memory(1);
        // only the main request ends the response (ngx_http_static_handler)
        buf.bits_mut().set_last_buf(self.is_main().into());
        buf.bits_mut().set_last_in_chain(1);
        let mut chain = ngx_chain_t { buf, next: null_mut() };
        // SAFETY: the request is live; the filters copy the link, and the buffer is in the
        // request's pool
        Status(unsafe { ngx_http_output_filter(r, &raw mut chain) })
    }

    /// Redirects the client to `location` with status `code`. For a handler of a phase, which
    /// returns the result.
    pub fn redirect(self, code: u16, location: &[u8]) -> Status {
        let value = self.keep(location);
        match value.and_then(|value| self.add_field("Location", value)) {
            Some(field) => {
                self.raw_mut().headers_out.location = field;
                Status::code(code)
            }
            None => Status(NGX_HTTP_INTERNAL_SERVER_ERROR as _),
        }
    }

    /// Copies bytes to the memory of the request; `None` if memory is exhausted.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Option<ngx_str_t> {
        // SAFETY: the pool of a live request
        unsafe { ngx_str_t::from_bytes(self.raw().pool, bytes) }
    }

    /// Adds a field to the header of the response; `None` if memory is exhausted.
    fn add_field(&self, name: &'static str, value: ngx_str_t) -> Option<*mut ngx_table_elt_t> {
        // SAFETY: the list holds header fields
        let field = unsafe { ngx_list_push(&raw mut self.raw_mut().headers_out.headers) };
        let field = NonNull::new(field.cast::<ngx_table_elt_t>())?;
        // SAFETY: the list has just allocated room for one field, and all-zero is a valid value of
        // it
        unsafe {
            field.write_bytes(0, 1);
            let field = &mut *field.as_ptr();
            field.hash = 1;
            field.key = literal(name);
            field.value = value;
        }
        Some(field.as_ptr())
    }
}

unsafe extern "C" fn drop_context<M: HttpModule>(data: *mut c_void) {
    guarded((), || {
        // SAFETY: nginx passes the data of the cleanup, a context that `Request::context` has
        // written, once
        unsafe { data.cast::<M::Context>().drop_in_place() };
    })
}

/// The values of all fields of a header list with this name, which must be in lower case. Trusts
/// the list, as nginx does.
pub fn values<'a, 'n>(
    list: &'a ngx_list_t,
    name: &'n [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    // SAFETY: null or the next part of the list
    let next = |part: &&'a ngx_list_part_t| unsafe { part.next.as_ref() };
    std::iter::successors(Some(&list.part), next)
        .flat_map(|part| match part.elts.is_null() {
            true => &[],
            // SAFETY: each part has `nelts` header fields
            false => unsafe {
                std::slice::from_raw_parts(part.elts.cast::<ngx_table_elt_t>(), part.nelts)
            },
        })
        .filter(move |header| header.hash != 0 && header.key.as_bytes().eq_ignore_ascii_case(name))
        .map(|header| header.value.as_bytes())
}

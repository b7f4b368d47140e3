//! A request of `http`, and what handlers do with it.

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

/// What a handler answers nginx.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Status(pub(crate) ngx_int_t);

impl Status {
    /// The next handler is to be asked.
    pub const DECLINED: Self = Self(NGX_DECLINED as _);

    /// The handler has done its work.
    pub const OK: Self = Self(NGX_OK as _);

    /// The handler has failed.
    pub const ERROR: Self = Self(NGX_ERROR as _);

    /// The request ends with this status code, 300 to 599.
    pub const fn code(code: u16) -> Self {
        Self(code as ngx_int_t)
    }
}

/// A handler of requests: in a phase, see [`Conf::register`], or for the content of a location, see
/// [`Conf::answer_with`].
pub trait Handler: 'static {
    /// Works on a request.
    fn handle(request: Request) -> Status;
}

unsafe extern "C" fn handle<H: Handler>(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_HTTP_INTERNAL_SERVER_ERROR as _, || {
        // SAFETY: nginx passes the request that it works on
        let Some(request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        H::handle(request).0
    })
}

impl Conf<'_> {
    /// Has nginx call `H` for every request, in one of its phases, before the handlers that are there
    /// already (`ngx_http_init_phase_handlers`). For `postconfiguration`.
    ///
    /// # Errors
    /// There is no memory, or no `http`.
    pub fn register<H: Handler>(&mut self, phase: ngx_http_phases) -> Outcome {
        // SAFETY: what nginx passed; the arrays hold handlers
        unsafe {
            let core = NgxHttpCoreModule::main_conf_mut(&*self.as_ptr()).ok_or(Error::Logged)?;
            let phase = core.phases.get_mut(phase as usize).ok_or(Error::Logged)?;
            let slot = ngx_array_push(&raw mut phase.handlers).cast::<ngx_http_handler_pt>();
            *slot.as_mut().ok_or_else(Error::no_memory)? = Some(handle::<H>);
        }
        Ok(())
    }

    /// Makes `H` the handler that answers the requests of this location.
    ///
    /// # Errors
    /// It has one already.
    pub fn answer_with<H: Handler>(&mut self) -> Outcome {
        // SAFETY: what nginx passed
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

/// A request, lent for a call.
pub struct Request<'a> {
    r: NonNull<ngx_http_request_t>,
    of: PhantomData<&'a ngx_http_request_t>,
}

impl Request<'_> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `r` is null or a request that lives while the result does.
    pub unsafe fn from_ptr(r: *mut ngx_http_request_t) -> Option<Self> {
        NonNull::new(r).map(|r| Self { r, of: PhantomData })
    }

    /// nginx's own structure.
    pub fn as_ptr(&self) -> *mut ngx_http_request_t {
        self.r.as_ptr()
    }

    /// nginx's own structure.
    pub(crate) fn raw(&self) -> &ngx_http_request_t {
        // SAFETY: live by the contract of `from_ptr`
        unsafe { self.r.as_ref() }
    }

    /// nginx's own structure, to write a field: nobody holds a reference to it over a call.
    #[expect(clippy::mut_from_ref, reason = "nginx's structures are shared and mutable")]
    pub(crate) fn raw_mut(&self) -> &mut ngx_http_request_t {
        // SAFETY: as above
        unsafe { &mut *self.r.as_ptr() }
    }

    /// Where messages about it go.
    pub fn log(&self) -> Log<'_> {
        // SAFETY: a live request has a connection, and that a log
        unsafe { Log::from_ptr((*self.raw().connection).log) }
    }

    /// What a module has of `http`.
    pub fn main<M: HttpModule>(&self) -> Option<&M::Main> {
        // SAFETY: what the module's `create_main_conf` has made
        unsafe { self.slot::<M>(self.raw().main_conf)?.cast::<M::Main>().as_ref() }
    }

    /// What a module has of its server.
    pub fn server<M: HttpModule>(&self) -> Option<&M::Server> {
        // SAFETY: what the module's `create_srv_conf` has made
        unsafe { self.slot::<M>(self.raw().srv_conf)?.cast::<M::Server>().as_ref() }
    }

    /// What a module has of its location.
    pub fn location<M: HttpModule>(&self) -> Option<&M::Location> {
        // SAFETY: what the module's `create_loc_conf` has made
        unsafe { self.slot::<M>(self.raw().loc_conf)?.cast::<M::Location>().as_ref() }
    }

    /// # Safety
    /// `slots` are those of a level, or of the contexts.
    unsafe fn slot<M: HttpModule>(&self, slots: *mut *mut c_void) -> Option<*mut c_void> {
        let slots = NonNull::new(slots)?;
        // SAFETY: by contract one for each module of http
        Some(unsafe { *slots.as_ptr().add(Module::<M>::ctx_index()?) })
    }

    /// What a module keeps of a request, made where there is none; `None` without memory. It goes
    /// with the request. An internal redirect forgets the contexts of a request, but not its cleanups
    /// (`ngx_http_realip_get_module_ctx`), so that is where it is.
    pub fn context<M: HttpModule>(&self) -> Option<&M::Context> {
        if let Some(found) = self.find_context::<M>() {
            return Some(found);
        }
        // SAFETY: the cleanup's data has room for a context; the slot is that of the module
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

    /// As [`Request::context`]; `None` where there is none.
    pub fn find_context<M: HttpModule>(&self) -> Option<&M::Context> {
        // SAFETY: the slots for contexts
        let kept = unsafe { self.slot::<M>(self.raw().ctx) }?;
        // SAFETY: null, or what `context` has made
        if let Some(found) = unsafe { kept.cast::<M::Context>().as_ref() } {
            return Some(found);
        }
        let ours: unsafe extern "C" fn(*mut c_void) = drop_context::<M>;
        // SAFETY: each link is null or a cleanup of the request's pool
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

    /// Calls `work` with the request that a subrequest belongs to, which is the request itself where
    /// it is none.
    pub fn with_main<T>(&self, work: impl FnOnce(&Request) -> T) -> Option<T> {
        // SAFETY: the main request of one that is live is live too
        unsafe { Request::from_ptr(self.raw().main) }.map(|main| work(&main))
    }

    /// Whether it is no subrequest.
    pub fn is_main(&self) -> bool {
        std::ptr::eq(self.as_ptr(), self.raw().main)
    }

    /// Whether it is a subrequest that its main request does not wait for.
    pub fn is_background(&self) -> bool {
        self.raw().bits().background() != 0
    }

    /// Whether it only asks for a resource.
    pub fn is_get_or_head(&self) -> bool {
        self.raw().method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as usize != 0
    }

    /// The URI as the client sent it.
    pub fn unparsed_uri(&self) -> &[u8] {
        self.raw().unparsed_uri.as_bytes()
    }

    /// The path as the client sent it, without the query.
    pub fn path(&self) -> &[u8] {
        self.unparsed_uri().split(|b| *b == b'?').next().unwrap_or_default()
    }

    /// The host that it is for, without a port, as nginx has checked it; empty where it names none.
    pub fn host(&self) -> &[u8] {
        self.raw().headers_in.server.as_bytes()
    }

    /// `Host` as the client sent it.
    pub fn host_header(&self) -> Option<&[u8]> {
        // SAFETY: null or a header of the request
        unsafe { self.raw().headers_in.host.as_ref() }.map(|host| host.value.as_bytes())
    }

    /// The address of the client, in words.
    pub fn client(&self) -> &[u8] {
        // SAFETY: a live request has a connection
        unsafe { (*self.raw().connection).addr_text.as_bytes() }
    }

    /// The values of the fields of its header with this name, in lower case here.
    pub fn headers<'s, 'n>(
        &'s self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'s [u8]> + use<'s, 'n> {
        values(&self.raw().headers_in.headers, name)
    }

    /// The first of [`Request::headers`].
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// Whether it has `Upgrade`, which core looks for as it reads the header.
    pub fn has_upgrade(&self) -> bool {
        !self.raw().headers_in.upgrade.is_null()
    }

    /// The status code of its answer; 0 before there is one.
    pub fn status(&self) -> usize {
        self.raw().headers_out.status
    }

    /// As [`Request::status`]; that of an error where one was met.
    pub fn final_status(&self) -> usize {
        match self.raw().err_status {
            0 => self.status(),
            error => error,
        }
    }

    /// The values of the fields of its answer's header with this name, in lower case here.
    pub fn answered<'s, 'n>(
        &'s self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'s [u8]> + use<'s, 'n> {
        values(&self.raw().headers_out.headers, name)
    }

    /// Leaves it out of the access log (`ngx_http_free_request`).
    pub fn skip_access_log(&self) {
        self.raw_mut().bits_mut().set_logged(1);
    }

    /// Answers it and is done with it, for a handler in a phase to return.
    pub fn finish(self, answer: &Answer) -> Status {
        let Status(rc) = self.send(answer);
        // SAFETY: live; after this call it may not be, and nobody can ask it again
        unsafe { ngx_http_finalize_request(self.as_ptr(), rc) };
        Status(NGX_DONE as _)
    }

    /// Answers it, for the handler of a location to return.
    pub fn answer(&self, answer: &Answer) -> Status {
        self.send(answer)
    }

    fn send(&self, answer: &Answer) -> Status {
        let (r, failed) = (self.as_ptr(), Status(NGX_HTTP_INTERNAL_SERVER_ERROR as _));
        // SAFETY: live
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
        // SAFETY: live
        let rc = unsafe { ngx_http_send_header(r) };
        if rc != 0 || self.raw().bits().header_only() != 0 {
            return Status(rc);
        }
        // SAFETY: zeroed memory of the request, for a C struct
        let buf = unsafe { ngx_pcalloc(self.raw().pool, size_of::<ngx::ffi::ngx_buf_t>()) };
        // SAFETY: as above
        let Some(buf) = (unsafe { buf.cast::<ngx::ffi::ngx_buf_t>().as_mut() }) else {
            return Status::ERROR;
        };
        buf.pos = body.data;
        // SAFETY: one past the end of the text
        buf.last = unsafe { body.data.add(body.len) };
        buf.bits_mut().set_memory(1);
        // the client's answer ends with that of the main request (ngx_http_static_handler)
        buf.bits_mut().set_last_buf(self.is_main().into());
        buf.bits_mut().set_last_in_chain(1);
        let mut chain = ngx_chain_t { buf, next: null_mut() };
        // SAFETY: the filters copy the link, the buffer lives in the request's pool
        Status(unsafe { ngx_http_output_filter(r, &raw mut chain) })
    }

    /// Redirects it, for a handler in a phase to return.
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

    /// A copy in its memory.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Option<ngx_str_t> {
        // SAFETY: the pool is the request's
        unsafe { ngx_str_t::from_bytes(self.raw().pool, bytes) }
    }

    /// Adds a field to the header of its answer.
    fn add_field(&self, name: &'static str, value: ngx_str_t) -> Option<*mut ngx_table_elt_t> {
        // SAFETY: the list holds headers
        let field = unsafe { ngx_list_push(&raw mut self.raw_mut().headers_out.headers) };
        let field = NonNull::new(field.cast::<ngx_table_elt_t>())?;
        // SAFETY: room for one header, which all-zero is a valid value of
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
        // SAFETY: the data of a cleanup that `Request::context` has added; called once
        unsafe { data.cast::<M::Context>().drop_in_place() };
    })
}

/// The values of all headers of a list with this name, in lower case here.
pub fn values<'a, 'n>(
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

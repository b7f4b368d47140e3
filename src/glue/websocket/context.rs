//! What this module keeps of a request.

use std::ffi::c_void;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::{ngx_http_request_t, ngx_pool_cleanup_add};
use ngx::http::HttpModule;

use super::{detach, limit, Module};
use crate::guard::guarded;
use crate::metrics::Left;

/// What this module keeps of a request; it goes with the request's pool.
#[derive(Default)]
pub struct RequestContext {
    pub handover: Option<NonNull<detach::Handover>>,
    pub hold: Option<limit::Hold>,
    /// Whether `websocket_limit_conn` has refused it; it goes on where there is an `error_page`.
    pub refused: bool,
    pub fate: Option<Fate>,
    /// A subrequest that it does not wait for has been seen.
    pub has_background: bool,
}

/// What became of an upgrade.
#[derive(Clone, Copy)]
pub enum Fate {
    /// It is a tunnel of this module.
    Tunnelled,
    /// nginx's own copier has it.
    Left(Left),
}

impl Fate {
    /// As one word, for `$websocket_state`.
    pub fn word(self) -> String {
        match self {
            Self::Tunnelled => "tunnelled".to_owned(),
            Self::Left(why) => format!("left_{}", why.as_str()),
        }
    }
}

impl RequestContext {
    /// The context of a request, made where there is none.
    ///
    /// # Safety
    /// `r` is live, and nobody else holds its context.
    pub unsafe fn of<'a>(r: *mut ngx_http_request_t) -> Option<&'a mut Self> {
        // SAFETY: nginx makes the array with a slot for every HTTP module; the slot holds null or
        // what is made here, in the pool of the same request
        unsafe {
            let slot = (*r).ctx.add(Module::module().ctx_index);
            if (*slot).is_null() {
                *slot = Self::find(r).unwrap_or_else(|| Self::make(r)).cast();
            }
            (*slot).cast::<Self>().as_mut()
        }
    }

    /// Notes what became of the upgrade of a request.
    ///
    /// # Safety
    /// As `of`.
    pub unsafe fn note(r: *mut ngx_http_request_t, fate: Fate) {
        // SAFETY: by contract
        unsafe {
            // the context of a subrequest is that of its main request
            if !std::ptr::eq(r, (*r).main) {
                return;
            }
            if let Some(context) = Self::of(r) {
                context.fate = Some(fate);
            }
        }
    }

    /// What became of the upgrade of a request, if it was one.
    pub fn fate(r: &ngx_http_request_t) -> Option<Fate> {
        Self::copied(r, |context| context.fate).flatten()
    }

    /// Whether a request has made a subrequest that it does not wait for.
    pub fn has_background(r: &ngx_http_request_t) -> bool {
        Self::copied(r, |context| context.has_background).unwrap_or(false)
    }

    /// A part of the context of a request, where there is one.
    fn copied<T>(r: &ngx_http_request_t, part: impl FnOnce(&Self) -> T) -> Option<T> {
        // SAFETY: the slot holds null or a context, see `of`; what is read of it is copied
        unsafe {
            let slot = *r.ctx.add(Module::module().ctx_index);
            let context = NonNull::new(slot.cast::<Self>());
            let found = || NonNull::new(Self::find(r)?);
            context.or_else(found).map(|context| part(context.as_ref()))
        }
    }

    /// Whether `websocket_limit_conn` has counted a request, or refused it.
    pub fn is_limited(r: &ngx_http_request_t) -> bool {
        Self::tell(r, |context| context.refused || context.hold.is_some())
    }

    /// Whether `websocket_limit_conn` has refused a request.
    pub fn is_refused(r: &ngx_http_request_t) -> bool {
        Self::tell(r, |context| context.refused)
    }

    /// What the context of a request says, also after an internal redirect; `false` where there is
    /// none.
    fn tell(r: &ngx_http_request_t, what: fn(&Self) -> bool) -> bool {
        // SAFETY: a live request; a context is only looked at here
        unsafe { Self::find(r).and_then(|context| context.as_ref()) }.is_some_and(what)
    }

    /// An internal redirect forgets the contexts of a request, but not its cleanups
    /// (`ngx_http_realip_get_module_ctx`).
    ///
    /// # Safety
    /// `r` is live.
    unsafe fn find(r: *const ngx_http_request_t) -> Option<*mut Self> {
        let ours: unsafe extern "C" fn(*mut c_void) = drop_context;
        // SAFETY: by contract; each link is null or a cleanup of the pool
        unsafe {
            let mut cleanup = (*(*r).pool).cleanup;
            while let Some(link) = cleanup.as_ref() {
                if link.handler.is_some_and(|handler| std::ptr::fn_addr_eq(handler, ours)) {
                    return Some(link.data.cast());
                }
                cleanup = link.next;
            }
        }
        None
    }

    /// # Safety
    /// `r` is live.
    unsafe fn make(r: *mut ngx_http_request_t) -> *mut Self {
        // SAFETY: by contract; the cleanup's data has room for a context
        unsafe {
            let cleanup = ngx_pool_cleanup_add((*r).pool, size_of::<Self>());
            if cleanup.is_null() {
                return null_mut();
            }
            let context = (*cleanup).data.cast::<Self>();
            context.write(Self::default());
            (*cleanup).handler = Some(drop_context);
            context
        }
    }
}

unsafe extern "C" fn drop_context(data: *mut c_void) {
    guarded((), || {
        // SAFETY: the data of a cleanup that `RequestContext::make` has added; called once
        unsafe { data.cast::<RequestContext>().drop_in_place() };
    })
}

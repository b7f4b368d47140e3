//! Filters of response headers.

use ngx::ffi::{
    ngx_http_output_header_filter_pt, ngx_http_request_t, ngx_http_top_header_filter, ngx_int_t,
    NGX_ERROR, NGX_OK,
};

use crate::conf::{Conf, Outcome};
use crate::guard::guarded;
use crate::module::HttpModule;
use crate::request::{Request, Status};

/// A module that filters response headers.
pub trait HeaderFilter: HttpModule {
    /// Processes the response header of `request`, and passes it on with `next`. nginx ends the
    /// request with an error if this panics.
    fn filter(request: &Request, next: Next) -> Status;
}

/// The following filters, the last of which sends the header.
pub struct Next(ngx_http_output_header_filter_pt);

impl Next {
    /// Calls the following filters.
    pub fn filter(self, request: &Request) -> Status {
        match self.0 {
            // SAFETY: the next function in nginx's chain of filters, and a live request
            Some(next) => Status(unsafe { next(request.as_ptr()) }),
            None => Status::ERROR,
        }
    }
}

impl Status {
    /// Whether the header was sent or queued: the status is neither a failure nor another status
    /// code.
    pub fn is_sent(self) -> bool {
        self.0 != NGX_ERROR as ngx_int_t && self.0 <= NGX_OK as ngx_int_t
    }
}

impl Conf<'_> {
    /// Adds `F` in front of the filters registered so far. To be called in `postconfiguration`; a
    /// second call for the same configuration has no effect, as the filter would call itself.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn filter_headers<F: HeaderFilter>(&mut self) -> Outcome {
        if !self.life()?.is_first::<F>() {
            return Ok(());
        }
        // SAFETY: only nginx's thread uses the chain, and it is reading the configuration
        unsafe {
            F::module().next_header_filter.set(ngx_http_top_header_filter);
            ngx_http_top_header_filter = Some(filter::<F>);
        }
        Ok(())
    }
}

unsafe extern "C" fn filter<F: HeaderFilter>(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes a live request
        let Some(request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        F::filter(&request, Next(F::module().next_header_filter.get())).0
    })
}

//! The filters that an answer's header passes.

use ngx::ffi::{
    ngx_http_output_header_filter_pt, ngx_http_request_t, ngx_http_top_header_filter, ngx_int_t,
    NGX_ERROR, NGX_OK,
};

use crate::conf::Conf;
use crate::guard::guarded;
use crate::module::HttpModule;
use crate::request::{Request, Status};

/// A module with a filter for the header of each answer.
pub trait HeaderFilter: HttpModule {
    /// Works on a header, and passes it on to `next`.
    fn filter(request: &Request, next: Next) -> Status;
}

/// The rest of the filters, which send the header.
pub struct Next(ngx_http_output_header_filter_pt);

impl Next {
    /// Passes the header on.
    pub fn filter(self, request: &Request) -> Status {
        match self.0 {
            // SAFETY: the next filter of nginx's chain, and a live request
            Some(next) => Status(unsafe { next(request.as_ptr()) }),
            None => Status::ERROR,
        }
    }
}

impl Status {
    /// Whether a header was sent, or kept to be sent: neither a failure nor another status code.
    pub fn is_sent(self) -> bool {
        self.0 != NGX_ERROR as ngx_int_t && self.0 <= NGX_OK as ngx_int_t
    }
}

impl Conf<'_> {
    /// Has `F` filter the header of each answer, before the filters that are there already. For
    /// `postconfiguration`.
    pub fn filter_headers<F: HeaderFilter>(&mut self) {
        // SAFETY: globals of nginx, while it reads the configuration
        unsafe {
            F::module().next_header_filter.set(ngx_http_top_header_filter);
            ngx_http_top_header_filter = Some(filter::<F>);
        }
    }
}

unsafe extern "C" fn filter<F: HeaderFilter>(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes a live request
        let Some(request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        F::filter(&request, Next(F::module().next_header_filter.get())).0
    })
}

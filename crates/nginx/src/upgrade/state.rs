//! What nginx still does with a request.

use ngx::ffi::{ngx_http_core_loc_conf_t, NGX_HTTP_AIO_OFF, NGX_HTTP_GET, NGX_HTTP_VERSION_11};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use crate::bits::Bits;
use crate::request::Request;

/// What nginx is still doing with a request.
pub struct State {
    /// The number of users of the request (`r->count`); 1 if only nginx's relay uses it.
    pub count: u32,
    /// nginx is reading its body.
    pub reading_body: bool,
    /// nginx is reading and discarding its body.
    pub discard_body: bool,
    /// It is waiting for a thread or for the disk.
    pub blocked: bool,
    /// It has active subrequests.
    pub subrequests: bool,
    /// nginx will run a `post_action` at its end (`ngx_http_post_action`).
    pub post_action: bool,
    /// It has a body.
    pub has_body: bool,
    /// Its location uses asynchronous file I/O (`aio`).
    pub has_aio: bool,
}

impl State {
    /// The state of a request.
    pub fn of(request: &Request) -> Self {
        let r = request.raw();
        let core: Option<&ngx_http_core_loc_conf_t> = NgxHttpCoreModule::location_conf(r);
        let bits = r.bits();
        Self {
            count: bits.count(),
            reading_body: bits.reading_body() != 0,
            discard_body: bits.discard_body() != 0,
            blocked: bits.blocked() != 0 || bits.aio() != 0,
            subrequests: !r.posted_requests.is_null() || !r.postponed.is_null(),
            post_action: core.is_some_and(|core| !core.post_action.data.is_null()),
            has_body: r.headers_in.content_length_n > 0
                || !r.headers_in.transfer_encoding.is_null(),
            has_aio: core.is_some_and(|core| core.aio as u32 != NGX_HTTP_AIO_OFF),
        }
    }
}

impl Request<'_> {
    /// Whether it is an HTTP/1.x request, which has the connection to itself.
    pub fn has_own_connection(&self) -> bool {
        let r = self.raw();
        r.stream.is_null() && r.http_version <= NGX_HTTP_VERSION_11 as usize
    }

    /// Whether the method is GET.
    pub fn is_get(&self) -> bool {
        self.raw().method == NGX_HTTP_GET as usize
    }
}

//! What stands in the way of a request that is to be freed while its connections go on.

use ngx::ffi::{ngx_http_core_loc_conf_t, NGX_HTTP_AIO_OFF, NGX_HTTP_GET, NGX_HTTP_VERSION_11};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use crate::bits::Bits;
use crate::request::Request;

/// What nginx still does with a request.
pub struct State {
    /// How many hold on to it (`r->count`); 1 where nobody but nginx's own copier does.
    pub count: u32,
    /// Whether its body is being read.
    pub reading_body: bool,
    /// Whether its body is being read to be dropped.
    pub discard_body: bool,
    /// Whether it waits for another thread or the disk.
    pub blocked: bool,
    /// Whether subrequests of it are under way.
    pub subrequests: bool,
    /// Whether nginx has something to do when it is over (`ngx_http_post_action`).
    pub post_action: bool,
    /// Whether it has a body.
    pub has_body: bool,
    /// Whether its location uses asynchronous reads (`aio`).
    pub has_aio: bool,
}

impl State {
    /// That of a request.
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
    /// Whether it is of HTTP/1.x, where a connection has one request at a time.
    pub fn has_own_connection(&self) -> bool {
        let r = self.raw();
        r.stream.is_null() && r.http_version <= NGX_HTTP_VERSION_11 as usize
    }

    /// Whether its method is GET.
    pub fn is_get(&self) -> bool {
        self.raw().method == NGX_HTTP_GET as usize
    }
}

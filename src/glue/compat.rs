//! What differs between versions of nginx, each difference in one place.

use ngx::ffi::{ngx_http_upstream_srv_conf_t, NGX_CONF_UNSET};

/// Whether a `server` of an upstream block can be looked up again while running (`resolve`,
/// nginx 1.27.3).
pub const RESOLVES: bool = cfg!(nginx1_27_3);

/// Whether an upstream block has a resolver of its own.
pub fn has_resolver(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    #[cfg(nginx1_27_3)]
    return !upstream.resolver.is_null();
    #[cfg(not(nginx1_27_3))]
    return {
        let _ = upstream;
        false
    };
}

/// Whether an upstream block has a `resolver_timeout` of its own.
pub fn has_resolver_timeout(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    #[cfg(nginx1_27_3)]
    return upstream.resolver_timeout != NGX_CONF_UNSET as isize as usize;
    #[cfg(not(nginx1_27_3))]
    return {
        let _ = (upstream, NGX_CONF_UNSET);
        false
    };
}

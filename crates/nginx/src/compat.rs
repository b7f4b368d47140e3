//! What differs between versions of nginx, each difference in one place.

use ngx::ffi::{ngx_http_upstream_rr_peer_t, ngx_http_upstream_srv_conf_t, NGX_CONF_UNSET};

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

/// Keeps a peer from being freed while names are looked up again
/// (`ngx_http_upstream_rr_peer_ref`); before that could happen, peers lived as long as their zone.
///
/// # Safety
/// `peer` is live, and locked where it is shared.
pub unsafe fn reference_peer(peer: *mut ngx_http_upstream_rr_peer_t) {
    #[cfg(nginx1_27_3)]
    // SAFETY: the caller's
    unsafe {
        (*peer).refs += 1;
    }
    #[cfg(not(nginx1_27_3))]
    let _ = peer;
}

//! Differences between nginx versions, each in one place.

use ngx::ffi::{ngx_http_upstream_rr_peer_t, ngx_http_upstream_srv_conf_t, NGX_CONF_UNSET};

/// Whether the `server` directive of an upstream block supports `resolve`, which resolves a name
/// again at run time (nginx 1.27.3).
pub const RESOLVES: bool = cfg!(nginx1_27_3);

/// Whether an upstream block has its own `resolver`.
pub fn has_resolver(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    #[cfg(nginx1_27_3)]
    return !upstream.resolver.is_null();
    #[cfg(not(nginx1_27_3))]
    return {
        let _ = upstream;
        false
    };
}

/// Whether an upstream block has its own `resolver_timeout`.
pub fn has_resolver_timeout(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    #[cfg(nginx1_27_3)]
    return upstream.resolver_timeout != NGX_CONF_UNSET as isize as usize;
    #[cfg(not(nginx1_27_3))]
    return {
        let _ = (upstream, NGX_CONF_UNSET);
        false
    };
}

/// Takes a reference to a peer, so that nginx does not free it when its name resolves to other
/// addresses (`ngx_http_upstream_rr_peer_ref`). Before nginx 1.27.3 peers lived as long as their
/// zone, and this does nothing.
///
/// # Safety
/// `peer` is live. If it is in shared memory, the caller holds its lock.
pub unsafe fn reference_peer(peer: *mut ngx_http_upstream_rr_peer_t) {
    #[cfg(nginx1_27_3)]
    // SAFETY: the caller guarantees that the peer is live and locked
    unsafe {
        (*peer).refs += 1;
    }
    #[cfg(not(nginx1_27_3))]
    let _ = peer;
}

//! What the balancer knows of a tunnel: `least_conn` and `max_conns` count live connections.

use std::mem::zeroed;
use std::sync::atomic::{AtomicBool, Ordering};

use ngx::ffi::{
    ngx_cycle, ngx_http_upstream_free_round_robin_peer, ngx_http_upstream_rr_peer_data_t,
    ngx_http_upstream_rr_peer_t, ngx_http_upstream_rr_peers_t, ngx_http_upstream_t,
    ngx_peer_connection_t, ngx_process, ngx_rwlock_unlock, ngx_rwlock_wlock, NGX_LOG_NOTICE,
    NGX_PROCESS_SINGLE,
};

use crate::glue::elb::peers::{self, List};
use nginx::compat;

/// One connection more at a peer of an upstream block, given back when dropped.
pub struct Share {
    peers: *mut ngx_http_upstream_rr_peers_t,
    peer: *mut ngx_http_upstream_rr_peer_t,
}

impl Share {
    /// Takes a share of the peer that an upstream is connected to.
    pub fn take(request: &nginx::request::Request) -> Option<Self> {
        // SAFETY: null, or the upstream of a live request
        let u = unsafe { (*request.as_ptr()).upstream.as_ref() }?;
        // SAFETY: null where proxy_pass has a literal address in a variable
        let upstream = unsafe { u.upstream.as_ref() }?;
        if upstream.srv_conf.is_null() {
            // proxy_pass has made it, from an address: nothing balances by its connections
            return None;
        }
        // SAFETY: a block that serves requests is initialized and outlives them
        let Some(mut lists) = (unsafe { peers::lists(upstream) }) else {
            tell_once();
            return None;
        };
        lists.find_map(|list| Self::take_from(list, u))
    }

    fn take_from(list: List, u: &ngx_http_upstream_t) -> Option<Self> {
        // SAFETY: a global that nginx sets once per process
        if list.is_shared() && unsafe { ngx_process } == NGX_PROCESS_SINGLE as usize {
            // a reload of a single process frees the zone under its connections
            return None;
        }
        let locked = list.read();
        // SAFETY: the list is locked, and the peer's lock is taken for as long as it is changed, in
        // core's order
        unsafe {
            // core's get handlers hand out the address of the peer itself
            let peer = locked.peers().find(|peer| (**peer).sockaddr == u.peer.sockaddr)?;
            if list.is_shared() {
                ngx_rwlock_wlock(&raw mut (*peer).lock);
            }
            (*peer).conns += 1;
            compat::reference_peer(peer);
            if list.is_shared() {
                ngx_rwlock_unlock(&raw mut (*peer).lock);
            }
            Some(Self { peers: list.as_ptr(), peer })
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // SAFETY: all-zero is a valid value of both C structs
        let (mut connection, mut data): (ngx_peer_connection_t, ngx_http_upstream_rr_peer_data_t) =
            unsafe { (zeroed(), zeroed()) };
        data.peers = self.peers;
        data.current = self.peer;
        // SAFETY: the log of the running cycle
        connection.log = unsafe { (*ngx_cycle).log };
        // SAFETY: the share holds a reference on the peer; core takes its locks
        unsafe {
            ngx_http_upstream_free_round_robin_peer(&raw mut connection, (&raw mut data).cast(), 0);
        }
    }
}

fn tell_once() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        // SAFETY: the log of the running cycle
        let log = unsafe { (*ngx_cycle).log };
        ngx::ngx_log_error!(
            NGX_LOG_NOTICE,
            log,
            "open WebSockets do not count for \"least_conn\" and \"max_conns\" of an upstream \
             whose balancer is not one of nginx's own"
        );
    }
}

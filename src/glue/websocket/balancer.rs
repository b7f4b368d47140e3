//! What the balancer knows of a tunnel: `least_conn` and `max_conns` count live connections.

use std::ffi::c_void;
use std::mem::{zeroed, MaybeUninit};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use ngx::ffi::{
    dladdr, ngx_cycle, ngx_http_upstream_free_round_robin_peer, ngx_http_upstream_init_round_robin,
    ngx_http_upstream_rr_peer_data_t, ngx_http_upstream_rr_peer_t, ngx_http_upstream_rr_peers_t,
    ngx_http_upstream_t, ngx_peer_connection_t, ngx_process, ngx_rwlock_rlock, ngx_rwlock_unlock,
    ngx_rwlock_wlock, Dl_info, NGX_LOG_NOTICE, NGX_PROCESS_SINGLE,
};

use crate::glue::compat;

/// One connection more at a peer of an upstream block, given back when dropped.
pub struct Share {
    peers: *mut ngx_http_upstream_rr_peers_t,
    peer: *mut ngx_http_upstream_rr_peer_t,
}

impl Share {
    /// Takes a share of the peer that an upstream is connected to.
    pub fn take(u: &ngx_http_upstream_t) -> Option<Self> {
        // SAFETY: null where proxy_pass has a literal address in a variable
        let upstream = unsafe { u.upstream.as_ref() }?;
        if !is_cores(upstream.peer.init_upstream.map(|init| init as *const c_void)) {
            tell_once();
            return None;
        }
        // SAFETY: every balancer of core keeps its peers there (ngx_http_upstream_init_round_robin)
        let mut peers = upstream.peer.data.cast::<ngx_http_upstream_rr_peers_t>();
        // backups are a list of their own
        while !peers.is_null() {
            // SAFETY: as above; the lists are only changed under the lock that is taken here
            let share = unsafe { Self::take_from(peers, u) };
            if share.is_some() {
                return share;
            }
            // SAFETY: as above
            peers = unsafe { (*peers).next };
        }
        None
    }

    /// # Safety
    /// `peers` is a live list of core's.
    unsafe fn take_from(
        peers: *mut ngx_http_upstream_rr_peers_t,
        u: &ngx_http_upstream_t,
    ) -> Option<Self> {
        // SAFETY: by contract; a peer's lock is taken for as long as it is changed, in core's order
        unsafe {
            let shared = !(*peers).shpool.is_null();
            // a reload of a single process frees the zone under its connections
            if shared && ngx_process == NGX_PROCESS_SINGLE as usize {
                return None;
            }
            if shared {
                ngx_rwlock_rlock(&raw mut (*peers).rwlock);
            }
            let mut peer = (*peers).peer;
            // core's get handlers hand out the address of the peer itself
            while !peer.is_null() && (*peer).sockaddr != u.peer.sockaddr {
                peer = (*peer).next;
            }
            if !peer.is_null() {
                if shared {
                    ngx_rwlock_wlock(&raw mut (*peer).lock);
                }
                (*peer).conns += 1;
                compat::reference_peer(peer);
                if shared {
                    ngx_rwlock_unlock(&raw mut (*peer).lock);
                }
            }
            if shared {
                ngx_rwlock_unlock(&raw mut (*peers).rwlock);
            }
            (!peer.is_null()).then(|| Self { peers, peer })
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

/// Whether a balancer's function is part of nginx itself, whose balancers all keep their peers in
/// the round-robin lists; that of a loaded module may not.
fn is_cores(function: Option<*const c_void>) -> bool {
    let Some(function) = function else { return true };
    for slot in &KNOWN {
        let known = slot.load(Ordering::Relaxed);
        if known.cast_const() == function {
            return true;
        }
        if known.is_null() {
            let cores = is_in_nginx(function);
            if cores {
                slot.store(function.cast_mut(), Ordering::Relaxed);
            }
            return cores;
        }
    }
    is_in_nginx(function)
}

/// Functions that were found to be of nginx itself, which is never unloaded. Asking costs more than
/// all else of a handshake: dladdr goes through every symbol of the object. nginx has fewer
/// balancers than there is room.
static KNOWN: [AtomicPtr<c_void>; 8] = [const { AtomicPtr::new(null_mut()) }; 8];

/// Whether a function lies in the object that core's balancers are in.
fn is_in_nginx(function: *const c_void) -> bool {
    let cores = ngx_http_upstream_init_round_robin as *const c_void;
    matches!((base_of(function), base_of(cores)), (Some(own), Some(core)) if own == core)
}

/// Where the object with this function is loaded.
fn base_of(function: *const c_void) -> Option<*mut c_void> {
    let mut info = MaybeUninit::<Dl_info>::zeroed();
    // SAFETY: dladdr takes any address and fills info if it returns other than 0
    unsafe { (dladdr(function, info.as_mut_ptr()) != 0).then(|| info.assume_init().dli_fbase) }
}

fn tell_once() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        // SAFETY: the log of the running cycle
        let log = unsafe { (*ngx_cycle).log };
        ngx::ngx_log_error!(
            NGX_LOG_NOTICE,
            log,
            "WebSockets do not count as connections of their upstream servers: \
             its balancer is not one of nginx's own"
        );
    }
}

//! What a balancer knows of a connection that goes on after its request: `least_conn` and
//! `max_conns` count live connections.

use std::mem::zeroed;
use std::ptr::NonNull;

use ngx::ffi::{
    ngx_cycle, ngx_http_upstream_free_round_robin_peer, ngx_http_upstream_rr_peer_data_t,
    ngx_http_upstream_rr_peer_t, ngx_http_upstream_rr_peers_t, ngx_http_upstream_t,
    ngx_peer_connection_t, ngx_rwlock_unlock, ngx_rwlock_wlock,
};

use crate::compat;
use crate::life::Life;
use crate::peers::{found, lists, List};
use crate::process::{role, Role};
use crate::upstream::Upstream;

/// One connection more at a peer of an upstream block, given back when dropped. It holds the peer,
/// so core keeps that while names are looked up again.
pub struct Share {
    peers: NonNull<ngx_http_upstream_rr_peers_t>,
    peer: NonNull<ngx_http_upstream_rr_peer_t>,
    /// Of the configuration that the block is in: nothing is left to give back to when that is gone.
    life: Life,
}

/// The balancer of a block is not one of nginx's own, so nothing is known of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl Upstream<'_> {
    /// Takes a share of the peer that it is connected to; `None` where nothing counts that one's
    /// connections.
    ///
    /// # Errors
    /// See [`Foreign`].
    pub fn share(&self) -> Result<Option<Share>, Foreign> {
        let u = self.raw();
        // null where proxy_pass has a literal address in a variable
        let Some(block) = NonNull::new(u.upstream) else { return Ok(None) };
        // SAFETY: the block of a live request
        if unsafe { block.as_ref() }.srv_conf.is_null() {
            // proxy_pass has made it, from an address: nothing balances by its connections
            return Ok(None);
        }
        let found = found(block).ok_or(Foreign)?;
        // SAFETY: a configuration outlives its requests
        let mut lists = unsafe { lists(block, &found) }.ok_or(Foreign)?;
        Ok(lists.find_map(|list| take_from(list, u, &found.life)))
    }
}

fn take_from(list: List, u: &ngx_http_upstream_t, life: &Life) -> Option<Share> {
    if list.is_shared() && role() == Role::Single {
        // a reload of a single process frees the zone under its connections
        return None;
    }
    let peers = NonNull::new(list.as_ptr())?;
    let locked = list.read();
    // SAFETY: the list is locked, and the peer's lock is taken for as long as it is changed, in
    // core's order
    unsafe {
        // core's get handlers hand out the address of the peer itself
        let peer = locked.peers().find(|peer| (*peer.as_ptr()).sockaddr == u.peer.sockaddr)?;
        let raw = peer.as_ptr();
        if list.is_shared() {
            ngx_rwlock_wlock(&raw mut (*raw).lock);
        }
        (*raw).conns += 1;
        compat::reference_peer(raw);
        if list.is_shared() {
            ngx_rwlock_unlock(&raw mut (*raw).lock);
        }
        Some(Share { peers, peer, life: life.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !self.life.goes_on() {
            return;
        }
        // SAFETY: all-zero is a valid value of both C structs
        let (mut connection, mut data): (ngx_peer_connection_t, ngx_http_upstream_rr_peer_data_t) =
            unsafe { (zeroed(), zeroed()) };
        data.peers = self.peers.as_ptr();
        data.current = self.peer.as_ptr();
        // SAFETY: the log of the running cycle
        connection.log = unsafe { (*ngx_cycle).log };
        // SAFETY: the share holds a reference on the peer, whose configuration is there, and its
        // zone with it; core takes its locks
        unsafe {
            ngx_http_upstream_free_round_robin_peer(&raw mut connection, (&raw mut data).cast(), 0);
        }
    }
}

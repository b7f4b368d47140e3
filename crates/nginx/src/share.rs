//! Connections that count for a balancer after their request has ended: `least_conn` and
//! `max_conns` count open connections.

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

/// One connection of a peer, as counted by the balancer, released when dropped. It holds a
/// reference to the peer, so nginx keeps the peer when its name resolves to other addresses.
pub struct Share {
    peers: NonNull<ngx_http_upstream_rr_peers_t>,
    peer: NonNull<ngx_http_upstream_rr_peer_t>,
    /// The life of the configuration of the block. Once that is freed, there is nothing to release.
    life: Life,
}

/// The balancer of the block is not one of nginx's own, so its peers are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl Upstream<'_> {
    /// Counts one more connection for the peer that the upstream uses; `None` if no balancer counts
    /// its connections. [`Conf::find_peers`](crate::conf::Conf::find_peers) must have been called.
    ///
    /// # Errors
    /// [`Foreign`] if the balancer is not one of nginx's own.
    pub fn share(&self) -> Result<Option<Share>, Foreign> {
        let u = self.raw();
        // null if proxy_pass has an IP address in a variable
        let Some(block) = NonNull::new(u.upstream) else { return Ok(None) };
        // SAFETY: the block belongs to the configuration of a live request
        if unsafe { block.as_ref() }.srv_conf.is_null() {
            // proxy_pass has created the block implicitly: it has no balancer
            return Ok(None);
        }
        let found = found(block).ok_or(Foreign)?;
        // SAFETY: nginx keeps a configuration as long as requests use it
        let mut lists = unsafe { lists(block, &found) }.ok_or(Foreign)?;
        Ok(lists.find_map(|list| take_from(list, u, &found.life)))
    }
}

fn take_from(list: List, u: &ngx_http_upstream_t, life: &Life) -> Option<Share> {
    if list.is_shared() && role() == Role::Single {
        // a reload of a single process frees the zone while connections still use it
        return None;
    }
    let peers = NonNull::new(list.as_ptr())?;
    let locked = list.read();
    // SAFETY: the list is locked, so its peers are live; a shared peer is changed under its own
    // lock, taken after that of the list as nginx does
    unsafe {
        // nginx's balancers return the address of the peer itself, not a copy
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
        // SAFETY: nginx always has a current cycle, with a log
        connection.log = unsafe { (*ngx_cycle).log };
        // SAFETY: the share holds a reference to the peer, and the life of its configuration, with
        // its zone, has been checked; nginx takes the locks
        unsafe {
            ngx_http_upstream_free_round_robin_peer(&raw mut connection, (&raw mut data).cast(), 0);
        }
    }
}

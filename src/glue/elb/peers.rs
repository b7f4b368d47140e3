//! The peers of upstream blocks, as core's balancers keep them (`ngx_http_upstream_round_robin.h`).

use std::ffi::c_void;
use std::iter::successors;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use ngx::ffi::{
    dladdr, ngx_cached_time, ngx_http_upstream_init_round_robin, ngx_http_upstream_rr_peer_t,
    ngx_http_upstream_rr_peers_t, ngx_http_upstream_srv_conf_t, ngx_rwlock_rlock,
    ngx_rwlock_unlock, ngx_rwlock_wlock, ngx_str_t, Dl_info,
};
use ngx::http::{HttpModuleMainConf, NgxHttpUpstreamModule};

use super::destination::MainConf;
use super::Elb;
use crate::glue::conf::Conf;
use crate::metrics::Destination;

/// In `down` of a peer: taken out by `server ... down`.
pub const DOWN_BY_CONFIGURATION: usize = 1;

/// In `down` of a peer: taken out by its checks. Balancers skip a peer whose `down` is not 0.
pub const DOWN_BY_CHECK: usize = 2;

/// A list of peers: those of an upstream block, or its backups.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List(NonNull<ngx_http_upstream_rr_peers_t>);

/// A locked list.
pub struct Locked(List);

/// A locked peer of a list that is locked to be read.
struct LockedPeer<'a>(&'a Locked, *mut ngx_http_upstream_rr_peer_t);

/// What the lock of a list is while one process changes it (`NGX_RWLOCK_WLOCK`); else it is how many
/// read it.
const WRITE_LOCKED: usize = usize::MAX;

/// How long the master waits for a list: for any number of changes, and not for one that never ends.
const PATIENCE: Duration = Duration::from_millis(200);

/// The lists of an upstream block, its backups second; `None` where its balancer is not one of
/// nginx's own, and keeps its peers elsewhere or in another way.
///
/// # Safety
/// The block is initialized, and the result is used no longer than its configuration lives.
pub unsafe fn lists(upstream: &ngx_http_upstream_srv_conf_t) -> Option<impl Iterator<Item = List>> {
    let found = own(upstream)?.peers?;
    let first = NonNull::new(upstream.peer.data.cast())?;
    if first != found && !is_in_zone(upstream, first) {
        return None;
    }
    // SAFETY: the lists live as long as the configuration; `next` is set while it is made
    Some(successors(Some(List(first)), |list| unsafe {
        NonNull::new((*list.as_ptr()).next).map(List)
    }))
}

/// Core's list of a block, whose `zone` may yet copy it.
pub type Found = NonNull<ngx_http_upstream_rr_peers_t>;

fn own(upstream: &ngx_http_upstream_srv_conf_t) -> Option<&mut super::ServerConf> {
    // SAFETY: a block of a configuration
    unsafe { nginx::module::server_at::<Elb>(upstream.srv_conf).map(|conf| &mut *conf) }
}

/// Finds out which upstream blocks have core's list of peers: those whose balancer is core's, as
/// the balancer behind it that `keepalive` and `sticky` ask. They keep who that is to themselves;
/// but core's list is in the memory of the configuration, and has the name of its block at its
/// place (`ngx_http_upstream_init_round_robin`). Blocks that `proxy_pass` has made are left out:
/// they have no balancer.
///
/// To be called when all are initialized, before a `zone` copies a list.
pub fn find(cf: &mut Conf) {
    let Some(main) = NgxHttpUpstreamModule::main_conf(unsafe { &*cf.as_ptr() }) else { return };
    // SAFETY: an array of pointers to the blocks; it has no elements in an http{} without any
    for upstream in unsafe { main.upstreams.as_slice::<*mut ngx_http_upstream_srv_conf_t>() } {
        // SAFETY: the blocks live as long as the configuration that is being read
        let upstream = unsafe { &**upstream };
        if let Some(own) = own(upstream) {
            own.peers = is_balanced_by_core(upstream).then(|| found_in(cf, upstream)).flatten();
        }
    }
}

/// Whether the function that makes the peers of a block, or has another one do so, is core's; the
/// directives of the block are read.
pub fn is_balanced_by_core(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    upstream.peer.init_upstream.is_none_or(|init| is_in_nginx(init as *const c_void))
}

/// Whether [`find`] has found core's list in a block.
pub fn is_found(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    own(upstream).is_some_and(|own| own.peers.is_some())
}

fn found_in(cf: &mut Conf, upstream: &ngx_http_upstream_srv_conf_t) -> Option<Found> {
    let list = NonNull::new(upstream.peer.data.cast::<ngx_http_upstream_rr_peers_t>())?;
    if !list.is_aligned() || !is_in_pool(cf, list) {
        return None;
    }
    // SAFETY: memory of the pool, whatever it is used for, and any bits are a pointer
    let name = unsafe { (&raw const (*list.as_ptr()).name).read() };
    std::ptr::eq(name, &raw const upstream.host).then_some(list)
}

/// Whether a `T` at an address would lie in what the configuration's pool has given out in one of
/// its blocks: core's list does, as it is smaller than one (`ngx_palloc_small`).
fn is_in_pool<T>(cf: &mut Conf, what: NonNull<T>) -> bool {
    let (from, to) = (what.addr().get(), what.addr().get().saturating_add(size_of::<T>()));
    // SAFETY: the pool of the configuration that is being read
    let first = NonNull::new(unsafe { (*cf.as_ptr()).pool });
    // SAFETY: each block leads to the next or to null
    let mut blocks = successors(first, |block| NonNull::new(unsafe { block.as_ref() }.d.next));
    blocks.any(|block| {
        // SAFETY: as above
        let last = unsafe { block.as_ref() }.d.last.addr();
        block.addr().get() < from && to <= last
    })
}

/// Whether an address is in the `zone` of a block.
fn is_in_zone<T>(upstream: &ngx_http_upstream_srv_conf_t, what: NonNull<T>) -> bool {
    // SAFETY: null or the zone of the block
    let Some(zone) = (unsafe { upstream.shm_zone.as_ref() }) else { return false };
    let from = zone.shm.addr.addr();
    (from..from.saturating_add(zone.shm.size)).contains(&what.addr().get())
}

impl List {
    /// nginx's own structure.
    pub fn as_ptr(self) -> *mut ngx_http_upstream_rr_peers_t {
        self.0.as_ptr()
    }

    /// Whether it lies in a `zone`, for all workers; else each has its own.
    pub fn is_shared(self) -> bool {
        // SAFETY: live by the contract of `lists`
        unsafe { !(*self.as_ptr()).shpool.is_null() }
    }

    /// Locks the list as it is: what changes in a peer is under that peer's own lock.
    pub fn read(self) -> Locked {
        if self.is_shared() {
            // SAFETY: as above
            unsafe { ngx_rwlock_rlock(&raw mut (*self.as_ptr()).rwlock) };
        }
        Locked(self)
    }

    /// As [`List::read`]; `None` where a process keeps the list to change it for much longer than
    /// that takes.
    fn read_soon(self) -> Option<Locked> {
        if self.is_shared() {
            // SAFETY: as above; the word of the lock, as ngx_rwlock_rlock uses it
            let lock = unsafe { AtomicUsize::from_ptr((&raw mut (*self.as_ptr()).rwlock).cast()) };
            let one_more = |readers: usize| (readers != WRITE_LOCKED).then(|| readers + 1);
            let begun = Instant::now();
            while lock.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more).is_err() {
                if begun.elapsed() > PATIENCE {
                    return None;
                }
                yield_now();
            }
        }
        Some(Locked(self))
    }

    /// Locks the list and all of its peers, to change them.
    pub fn write(self) -> Locked {
        if self.is_shared() {
            // SAFETY: as above
            unsafe { ngx_rwlock_wlock(&raw mut (*self.as_ptr()).rwlock) };
        }
        Locked(self)
    }
}

impl Locked {
    /// Its peers, each live as long as the lock is held.
    pub fn peers(&self) -> impl Iterator<Item = *mut ngx_http_upstream_rr_peer_t> + use<'_> {
        // SAFETY: live by the contract of `lists`, and nobody changes a locked list
        let first = NonNull::new(unsafe { (*self.0.as_ptr()).peer });
        // SAFETY: as above
        successors(first, |peer| NonNull::new(unsafe { (*peer.as_ptr()).next }))
            .map(NonNull::as_ptr)
    }

    /// Marks a peer as down by its checks, or takes that mark off; whether that is a change. The
    /// list was locked with [`List::write`].
    ///
    /// # Safety
    /// `peer` is one of the list's.
    pub unsafe fn mark(&self, peer: *mut ngx_http_upstream_rr_peer_t, up: bool) -> bool {
        // SAFETY: by contract; the lock is exclusive
        unsafe {
            let before = (*peer).down;
            (*peer).down = if up { before & !DOWN_BY_CHECK } else { before | DOWN_BY_CHECK };
            if up && before != (*peer).down {
                // what requests found while it was down no longer holds
                (*peer).fails = 0;
            }
            // core counts the peers that are not down (ngx_http_upstream_zone_remove_peer_locked)
            let list = self.0.as_ptr();
            match (before == 0, (*peer).down == 0) {
                (true, false) => (*list).tries = (*list).tries.saturating_sub(1),
                (false, true) => (*list).tries += 1,
                _ => {}
            }
            before != (*peer).down
        }
    }
}

impl<'a> LockedPeer<'a> {
    /// # Safety
    /// `peer` is one of the list's.
    unsafe fn new(list: &'a Locked, peer: *mut ngx_http_upstream_rr_peer_t) -> Self {
        if list.0.is_shared() {
            // SAFETY: by contract; the list's lock comes first, in core's order
            unsafe { ngx_rwlock_rlock(&raw mut (*peer).lock) };
        }
        Self(list, peer)
    }
}

impl Drop for LockedPeer<'_> {
    fn drop(&mut self) {
        if self.0 .0.is_shared() {
            // SAFETY: live as long as the list is locked, and locked by us
            unsafe { ngx_rwlock_unlock(&raw mut (*self.1).lock) };
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if self.0.is_shared() {
            // SAFETY: live by the contract of `lists`, and locked by us
            unsafe { ngx_rwlock_unlock(&raw mut (*self.0.as_ptr()).rwlock) };
        }
    }
}

/// Calls `work` for each peer of a block with its list, locked to be read, and the number of that: 1
/// for a backup. What changes in a peer but `down` is under its own lock. `false` where the block
/// has no lists, see [`lists`].
///
/// # Safety
/// As of [`lists`]; `work` changes nothing, and takes no lock of the block but that of a peer.
pub unsafe fn look(
    upstream: &ngx_http_upstream_srv_conf_t,
    mut work: impl FnMut(usize, &Locked, *mut ngx_http_upstream_rr_peer_t),
) -> bool {
    // SAFETY: by contract
    let Some(lists) = (unsafe { lists(upstream) }) else { return false };
    for (number, list) in lists.enumerate() {
        let locked = list.read();
        locked.peers().for_each(|peer| work(number, &locked, peer));
    }
    true
}

/// As [`look`], for the master, which must not wait for a process that died with a list locked:
/// `false` also where one stays locked for some time.
///
/// # Safety
/// As of [`look`].
pub unsafe fn look_soon(
    upstream: &ngx_http_upstream_srv_conf_t,
    mut work: impl FnMut(*mut ngx_http_upstream_rr_peer_t),
) -> bool {
    // SAFETY: by contract
    let Some(lists) = (unsafe { lists(upstream) }) else { return false };
    for list in lists {
        let Some(locked) = list.read_soon() else { return false };
        locked.peers().for_each(&mut work);
    }
    true
}

/// Calls `work` for each peer of a block with its list, locked to be changed, and the number of
/// that: 1 for a backup. `false` where the block has no lists, see [`lists`].
///
/// # Safety
/// As of [`lists`]; `work` takes no lock of the block.
pub unsafe fn for_each(
    upstream: &ngx_http_upstream_srv_conf_t,
    mut work: impl FnMut(usize, &Locked, *mut ngx_http_upstream_rr_peer_t),
) -> bool {
    // SAFETY: by contract
    let Some(lists) = (unsafe { lists(upstream) }) else { return false };
    for (number, list) in lists.enumerate() {
        let locked = list.write();
        locked.peers().for_each(|peer| work(number, &locked, peer));
    }
    true
}

/// The destinations of all upstream blocks with `elb_destination` or `elb_check`, as this process
/// sees them: of a block without a `zone`, with `elb_check off`, it knows its own connections alone.
/// A block whose balancer comes from another module is left out.
pub fn destinations(main: &MainConf) -> Vec<Destination> {
    // SAFETY: a global of nginx
    let now = unsafe { (*ngx_cached_time).sec };
    let mut found = Vec::new();
    for (upstream, checked) in main.upstreams() {
        // SAFETY: the blocks live in the same configuration as `main`
        let upstream = unsafe { &*upstream };
        let tell = |number, list: &Locked, peer: *mut ngx_http_upstream_rr_peer_t| {
            // SAFETY: one of the list's; live as long as the locks are held, and nobody changes it
            // meanwhile
            let (_locked, peer) = unsafe { (LockedPeer::new(list, peer), &*peer) };
            let destination = Destination {
                upstream: text(&upstream.host),
                server: text(&peer.server),
                address: text(&peer.name),
                up: peer.down == 0 && (checked || !has_failed(peer, now)),
                checked,
                backup: number > 0,
                weight: u64::try_from(peer.weight).unwrap_or(0),
                connections: peer.conns as u64,
            };
            destination.add(&mut found);
        };
        // SAFETY: as above
        unsafe { look(upstream, tell) };
    }
    found
}

/// Whether failed requests keep others from a peer (`ngx_http_upstream_get_peer`).
fn has_failed(peer: &ngx_http_upstream_rr_peer_t, now: i64) -> bool {
    peer.max_fails > 0 && peer.fails >= peer.max_fails && now - peer.checked <= peer.fail_timeout
}

/// A string of nginx's as text.
pub fn text(string: &ngx_str_t) -> String {
    String::from_utf8_lossy(string.as_bytes()).into_owned()
}

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

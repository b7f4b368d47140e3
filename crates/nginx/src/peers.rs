//! The peers of upstream blocks that nginx's own balancers use
//! (`src/http/ngx_http_upstream_round_robin.h`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::iter::successors;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use ngx::ffi::{
    ngx_http_upstream_rr_peer_t, ngx_http_upstream_rr_peers_t, ngx_http_upstream_srv_conf_t,
    ngx_pool_t, ngx_rwlock_rlock, ngx_rwlock_unlock, ngx_rwlock_wlock,
};
use ngx::http::{HttpModuleMainConf, NgxHttpUpstreamModule};

use crate::block::{is_balanced_by_core, Block};
use crate::conf::{Conf, Outcome};
use crate::life::Life;
use crate::process::unix_time;
use crate::text::owned;

/// A bit in `down` of a peer: taken out by `server ... down`.
const DOWN_BY_CONFIGURATION: usize = 1;

/// A bit in `down` of a peer: taken out by [`PeerMut::mark`]. Balancers skip a peer whose `down` is
/// not 0.
const DOWN_BY_MARK: usize = 2;

/// The value of a list's lock while a process changes the list (`NGX_RWLOCK_WLOCK`); otherwise it
/// is the number of readers.
const WRITE_LOCKED: usize = usize::MAX;

/// How long [`Block::look_soon`] waits for a lock: enough for any number of changes, but not for
/// the lock of a dead process.
const PATIENCE: Duration = Duration::from_millis(200);

type BlockPtr = NonNull<ngx_http_upstream_srv_conf_t>;

/// nginx's peer list of a block, before a `zone` copies it.
#[derive(Clone)]
pub(crate) struct Found {
    list: NonNull<ngx_http_upstream_rr_peers_t>,
    pub(crate) life: Life,
}

thread_local! {
    /// The results of [`Conf::find_peers`] for all configurations that are alive.
    static FOUND: RefCell<HashMap<BlockPtr, Found>> = RefCell::default();
}

/// The result of [`Conf::find_peers`] for a block.
pub(crate) fn found(block: BlockPtr) -> Option<Found> {
    FOUND.with_borrow(|found| found.get(&block).filter(|found| found.life.goes_on()).cloned())
}

impl Conf<'_> {
    /// Determines which upstream blocks have nginx's peer list: those that use a balancer of nginx,
    /// directly or behind `keepalive` or `sticky`. These two do not reveal the balancer behind
    /// them. But nginx's list is in the pool of the configuration and has the address of the
    /// block's name at a known offset (`ngx_http_upstream_init_round_robin`). Blocks that
    /// `proxy_pass` creates implicitly are left out, as they have no balancer.
    ///
    /// To be called in `postconfiguration`, once all blocks are initialized and before a `zone`
    /// copies a list. The methods of [`Block`] that visit peers depend on it.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn find_peers(&mut self) -> Outcome {
        let life = self.life()?;
        let mut lists = Vec::new();
        // SAFETY: nginx passes a valid configuration
        let cf = unsafe { &*self.as_ptr() };
        let main = self.http_ctx().and_then(|_| NgxHttpUpstreamModule::main_conf(cf));
        if let Some(main) = main {
            // SAFETY: the array holds pointers to the blocks, which live as long as the
            // configuration being read; it is empty if http has none
            for block in unsafe { main.upstreams.as_slice::<*mut ngx_http_upstream_srv_conf_t>() } {
                let Some(block) = NonNull::new(*block) else { continue };
                // SAFETY: a block of the configuration being read
                lists.push((block, list_of(cf.pool, unsafe { block.as_ref() })));
            }
        }
        FOUND.with_borrow_mut(|found| {
            found.retain(|_, found| found.life.goes_on());
            for (block, list) in lists {
                match list {
                    Some(list) => found.insert(block, Found { list, life: life.clone() }),
                    None => found.remove(&block),
                };
            }
        });
        Ok(())
    }
}

fn list_of(
    pool: *mut ngx_pool_t,
    block: &ngx_http_upstream_srv_conf_t,
) -> Option<NonNull<ngx_http_upstream_rr_peers_t>> {
    if block.srv_conf.is_null() || !is_balanced_by_core(block) {
        return None;
    }
    let list = NonNull::new(block.peer.data.cast::<ngx_http_upstream_rr_peers_t>())?;
    if !list.is_aligned() || !is_in_pool(pool, list) {
        return None;
    }
    // SAFETY: `is_in_pool` has found it in allocated memory of the pool; any bits are a valid
    // pointer value, which is compared only
    let name = unsafe { (&raw const (*list.as_ptr()).name).read() };
    std::ptr::eq(name, &raw const block.host).then_some(list)
}

/// Whether a `T` at this address is inside the allocated part of a block of the pool. nginx's list
/// is, as it is small (`ngx_palloc_small`).
fn is_in_pool<T>(pool: *mut ngx_pool_t, what: NonNull<T>) -> bool {
    let (from, to) = (what.addr().get(), what.addr().get().saturating_add(size_of::<T>()));
    // SAFETY: `pool` is the pool of the configuration being read; each block points to the next or
    // to null
    let next = |block: &NonNull<ngx_pool_t>| NonNull::new(unsafe { block.as_ref() }.d.next);
    let mut blocks = successors(NonNull::new(pool), next);
    blocks.any(|block| {
        // SAFETY: a block of the pool
        let last = unsafe { block.as_ref() }.d.last.addr();
        block.addr().get() < from && to <= last
    })
}

/// Whether an address is in the `zone` of a block.
fn is_in_zone<T>(block: &ngx_http_upstream_srv_conf_t, what: NonNull<T>) -> bool {
    // SAFETY: null or the zone of the block
    let Some(zone) = (unsafe { block.shm_zone.as_ref() }) else { return false };
    let from = zone.shm.addr.addr();
    (from..from.saturating_add(zone.shm.size)).contains(&what.addr().get())
}

/// A peer list: the primary peers of a block, or its backup peers. Whoever has one guarantees that
/// its configuration is alive.
#[derive(Clone, Copy)]
pub(crate) struct List(NonNull<ngx_http_upstream_rr_peers_t>);

/// The peer lists of a block: primary, then backup. `None` if the balancer is not nginx's own and
/// stores its peers elsewhere.
///
/// # Safety
/// The configuration of the block is alive while the result is used.
pub(crate) unsafe fn lists(block: BlockPtr, found: &Found) -> Option<impl Iterator<Item = List>> {
    // SAFETY: the caller guarantees that the block is alive; no reference is held across a call
    // into nginx
    let block = unsafe { block.as_ref() };
    let first = NonNull::new(block.peer.data.cast())?;
    if first != found.list && !is_in_zone(block, first) {
        return None;
    }
    // SAFETY: the lists live as long as the configuration, and `next` does not change once they are
    // built
    Some(successors(Some(List(first)), |list| unsafe {
        NonNull::new((*list.as_ptr()).next).map(List)
    }))
}

impl List {
    /// nginx's structure.
    pub(crate) fn as_ptr(self) -> *mut ngx_http_upstream_rr_peers_t {
        self.0.as_ptr()
    }

    /// Whether the list is in a `zone`, shared by all workers; otherwise each worker has its own
    /// copy.
    pub(crate) fn is_shared(self) -> bool {
        // SAFETY: live by the invariant of the type
        unsafe { !(*self.as_ptr()).shpool.is_null() }
    }

    /// Locks the list for reading. The mutable state of each peer has its own lock.
    pub(crate) fn read(self) -> Locked {
        if self.is_shared() {
            // SAFETY: live by the invariant of the type; a shared list has an initialized lock
            unsafe { ngx_rwlock_rlock(&raw mut (*self.as_ptr()).rwlock) };
        }
        Locked(self)
    }

    /// Like [`List::read`], but gives up with `None` if a process holds the write lock much longer
    /// than a change takes.
    fn read_soon(self) -> Option<Locked> {
        if self.is_shared() {
            // SAFETY: live by the invariant of the type; the lock is a word that all processes
            // access atomically, as ngx_rwlock_rlock does
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

    /// Locks the list and the state of all its peers for writing.
    fn write(self) -> Locked {
        if self.is_shared() {
            // SAFETY: live by the invariant of the type; a shared list has an initialized lock
            unsafe { ngx_rwlock_wlock(&raw mut (*self.as_ptr()).rwlock) };
        }
        Locked(self)
    }
}

/// A lock on a list, released when dropped.
pub(crate) struct Locked(List);

impl Locked {
    /// The peers of the list. They are live while the lock is held.
    pub(crate) fn peers(
        &self,
    ) -> impl Iterator<Item = NonNull<ngx_http_upstream_rr_peer_t>> + use<'_> {
        // SAFETY: the list is live, and nobody changes its links while it is locked
        let first = NonNull::new(unsafe { (*self.0.as_ptr()).peer });
        // SAFETY: a peer of a locked list is live, and nobody changes its links
        successors(first, |peer| NonNull::new(unsafe { (*peer.as_ptr()).next }))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if self.0.is_shared() {
            // SAFETY: the list is live, and this value holds its lock
            unsafe { ngx_rwlock_unlock(&raw mut (*self.0.as_ptr()).rwlock) };
        }
    }
}

impl Block {
    /// Whether [`Conf::find_peers`] has found its peer list.
    pub fn has_peers(&self) -> bool {
        self.as_ptr().and_then(found).is_some()
    }

    /// Calls `work` for each peer, primary peers first, with the list locked for reading. `work`
    /// must not change the block: that would deadlock. Returns `false` if the block has no known
    /// peer list.
    pub fn look(&self, work: impl FnMut(Peer)) -> bool {
        self.visit(|list| Some(list.read()), work)
    }

    /// Like [`Block::look`], for a process that must not wait for a lock that a dead process has
    /// left, such as the master: returns `false` too if a list stays locked for 200 ms.
    pub fn look_soon(&self, work: impl FnMut(Peer)) -> bool {
        self.visit(List::read_soon, work)
    }

    /// Calls `work` for each peer, primary peers first, with the list locked for writing. `work`
    /// must not use the block: that would deadlock. Returns `false` if the block has no known peer
    /// list.
    pub fn change(&self, mut work: impl FnMut(PeerMut)) -> bool {
        self.visit(|list| Some(list.write()), |peer| work(PeerMut(peer)))
    }

    fn visit(&self, lock: impl Fn(List) -> Option<Locked>, mut work: impl FnMut(Peer<'_>)) -> bool {
        let Some(block) = self.as_ptr() else { return false };
        // SAFETY: `found` has checked that the configuration is alive; nginx does not free it
        // before this call returns
        let lists = found(block).and_then(|found| unsafe { lists(block, &found) });
        let Some(lists) = lists else { return false };
        for (number, list) in lists.enumerate() {
            let Some(list) = lock(list) else { return false };
            let is_backup = number > 0;
            list.peers().for_each(|peer| work(Peer { list: &list, peer, is_backup }));
        }
        true
    }
}

/// A peer of a locked list.
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    list: &'a Locked,
    peer: NonNull<ngx_http_upstream_rr_peer_t>,
    is_backup: bool,
}

/// A peer of a list that is locked for writing.
pub struct PeerMut<'a>(Peer<'a>);

/// The state of a peer that changes with requests.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The number of its connections.
    pub connections: u64,
    /// Whether the balancer skips it because of failed requests (`ngx_http_upstream_get_peer`).
    pub has_failed: bool,
}

/// The address of a peer: the bytes of its `sockaddr`. It identifies a peer across changes of the
/// list.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Box<[u8]>);

impl Address {
    /// Whether it is the address of this peer.
    pub fn is_of(&self, peer: &Peer) -> bool {
        *self.0 == *peer.sockaddr()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Peer<'_> {
    fn as_ptr(&self) -> *mut ngx_http_upstream_rr_peer_t {
        self.peer.as_ptr()
    }

    /// The address as text.
    pub fn name(&self) -> String {
        // SAFETY: live while the list is locked; nobody changes the name of a peer
        owned(unsafe { &(*self.as_ptr()).name })
    }

    /// The `server` that it comes from, as configured.
    pub fn server(&self) -> String {
        // SAFETY: live while the list is locked; nobody changes the server of a peer
        owned(unsafe { &(*self.as_ptr()).server })
    }

    /// The address.
    pub fn address(&self) -> Address {
        Address(self.sockaddr().into())
    }

    fn sockaddr(&self) -> &[u8] {
        // SAFETY: live while the list is locked; nginx sets `socklen` to the size of the address
        unsafe {
            let (address, len) = ((*self.as_ptr()).sockaddr, (*self.as_ptr()).socklen);
            std::slice::from_raw_parts(address.cast::<u8>(), len as usize)
        }
    }

    /// Whether it is a backup peer.
    pub fn is_backup(&self) -> bool {
        self.is_backup
    }

    /// The configured weight.
    pub fn weight(&self) -> u64 {
        // SAFETY: live while the list is locked; nobody changes the configured weight of a peer
        u64::try_from(unsafe { (*self.as_ptr()).weight }).unwrap_or(0)
    }

    fn down(&self) -> usize {
        // SAFETY: live while the list is locked; `down` changes under the write lock of the list
        // only
        unsafe { (*self.as_ptr()).down }
    }

    /// Whether it gets no requests, for any reason.
    pub fn is_down(&self) -> bool {
        self.down() != 0
    }

    /// Whether it is taken out by `server ... down`.
    pub fn is_taken_out(&self) -> bool {
        self.down() & DOWN_BY_CONFIGURATION != 0
    }

    /// Whether it is taken out by [`PeerMut::mark`].
    pub fn is_marked(&self) -> bool {
        self.down() & DOWN_BY_MARK != 0
    }

    /// The state that changes with requests, read under the peer's own lock.
    pub fn load(&self) -> Load {
        let (peer, is_shared) = (self.as_ptr(), self.list.0.is_shared());
        let now = unix_time();
        // SAFETY: live while the list is locked; the locks are taken in nginx's order, the list
        // first
        unsafe {
            if is_shared {
                ngx_rwlock_rlock(&raw mut (*peer).lock);
            }
            let (max_fails, fails) = ((*peer).max_fails, (*peer).fails);
            let (checked, timeout) = ((*peer).checked, (*peer).fail_timeout);
            let connections = (*peer).conns as u64;
            if is_shared {
                ngx_rwlock_unlock(&raw mut (*peer).lock);
            }
            let is_recent = i64::try_from(now).unwrap_or(i64::MAX) - checked <= timeout;
            Load { connections, has_failed: max_fails > 0 && fails >= max_fails && is_recent }
        }
    }
}

impl<'a> std::ops::Deref for PeerMut<'a> {
    type Target = Peer<'a>;

    fn deref(&self) -> &Peer<'a> {
        &self.0
    }
}

impl PeerMut<'_> {
    /// Sets (`up` false) or clears the mark that takes the peer out, independent of `server ...
    /// down`. Returns whether that is a change. The mark is part of the peer: in a `zone` all
    /// workers see it, and it outlives the process.
    pub fn mark(&self, up: bool) -> bool {
        let (peer, list) = (self.0.as_ptr(), self.0.list.0.as_ptr());
        // SAFETY: live while the list is locked, and the lock is exclusive
        unsafe {
            let before = (*peer).down;
            (*peer).down = if up { before & !DOWN_BY_MARK } else { before | DOWN_BY_MARK };
            if up && before != (*peer).down {
                // failures from before no longer count
                (*peer).fails = 0;
            }
            // nginx counts the peers that are not down (ngx_http_upstream_zone_remove_peer_locked)
            match (before == 0, (*peer).down == 0) {
                (true, false) => (*list).tries = (*list).tries.saturating_sub(1),
                (false, true) => (*list).tries += 1,
                _ => {}
            }
            before != (*peer).down
        }
    }
}

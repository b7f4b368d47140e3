//! The peers of upstream blocks, as core's balancers keep them
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

/// In `down` of a peer: taken out by `server ... down`.
const DOWN_BY_CONFIGURATION: usize = 1;

/// In `down` of a peer: taken out by [`PeerMut::mark`]. Balancers skip a peer whose `down` is not 0.
const DOWN_BY_MARK: usize = 2;

/// What the lock of a list is while one process changes it (`NGX_RWLOCK_WLOCK`); else it is how many
/// read it.
const WRITE_LOCKED: usize = usize::MAX;

/// How long [`Block::look_soon`] waits for a list: for any number of changes, and not for one that
/// never ends.
const PATIENCE: Duration = Duration::from_millis(200);

type BlockPtr = NonNull<ngx_http_upstream_srv_conf_t>;

/// Core's list of a block, whose `zone` may yet copy it.
#[derive(Clone)]
pub(crate) struct Found {
    list: NonNull<ngx_http_upstream_rr_peers_t>,
    pub(crate) life: Life,
}

thread_local! {
    /// What [`Conf::find_peers`] has found out, of all configurations that are there.
    static FOUND: RefCell<HashMap<BlockPtr, Found>> = RefCell::default();
}

/// What was found out about a block.
pub(crate) fn found(block: BlockPtr) -> Option<Found> {
    FOUND.with_borrow(|found| found.get(&block).filter(|found| found.life.goes_on()).cloned())
}

impl Conf<'_> {
    /// Finds out which upstream blocks have core's list of peers: those whose balancer is core's, as
    /// the balancer behind it that `keepalive` and `sticky` ask. They keep who that is to themselves;
    /// but core's list is in the memory of the configuration, and has the name of its block at its
    /// place (`ngx_http_upstream_init_round_robin`). Blocks that `proxy_pass` has made are left out:
    /// they have no balancer.
    ///
    /// For `postconfiguration`: all blocks are initialized then, and no `zone` has copied a list.
    ///
    /// # Errors
    /// There is no memory.
    pub fn find_peers(&mut self) -> Outcome {
        let life = self.life()?;
        let mut lists = Vec::new();
        // SAFETY: what nginx passed
        let cf = unsafe { &*self.as_ptr() };
        let main = self.http_ctx().and_then(|_| NgxHttpUpstreamModule::main_conf(cf));
        if let Some(main) = main {
            // SAFETY: an array of pointers to the blocks, which live as long as the configuration
            // that is being read; it has no elements in an http{} without any
            for block in unsafe { main.upstreams.as_slice::<*mut ngx_http_upstream_srv_conf_t>() } {
                let Some(block) = NonNull::new(*block) else { continue };
                // SAFETY: as above
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
    // SAFETY: memory of the pool, whatever it is used for, and any bits are a pointer
    let name = unsafe { (&raw const (*list.as_ptr()).name).read() };
    std::ptr::eq(name, &raw const block.host).then_some(list)
}

/// Whether a `T` at an address would lie in what the configuration's pool has given out in one of
/// its blocks: core's list does, as it is smaller than one (`ngx_palloc_small`).
fn is_in_pool<T>(pool: *mut ngx_pool_t, what: NonNull<T>) -> bool {
    let (from, to) = (what.addr().get(), what.addr().get().saturating_add(size_of::<T>()));
    // SAFETY: the pool of the configuration that is being read; each block leads to the next or to
    // null
    let next = |block: &NonNull<ngx_pool_t>| NonNull::new(unsafe { block.as_ref() }.d.next);
    let mut blocks = successors(NonNull::new(pool), next);
    blocks.any(|block| {
        // SAFETY: as above
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

/// A list of peers: those of a block, or its backups. Its configuration is there while it is used.
#[derive(Clone, Copy)]
pub(crate) struct List(NonNull<ngx_http_upstream_rr_peers_t>);

/// The lists of a block, its backups second; `None` where its balancer is not one of nginx's own,
/// and keeps its peers elsewhere or in another way.
///
/// # Safety
/// The configuration of the block is there while the result is used.
pub(crate) unsafe fn lists(block: BlockPtr, found: &Found) -> Option<impl Iterator<Item = List>> {
    // SAFETY: by contract; no reference is held over a call into nginx
    let block = unsafe { block.as_ref() };
    let first = NonNull::new(block.peer.data.cast())?;
    if first != found.list && !is_in_zone(block, first) {
        return None;
    }
    // SAFETY: the lists live as long as the configuration; `next` is set while it is made
    Some(successors(Some(List(first)), |list| unsafe {
        NonNull::new((*list.as_ptr()).next).map(List)
    }))
}

impl List {
    /// nginx's own structure.
    pub(crate) fn as_ptr(self) -> *mut ngx_http_upstream_rr_peers_t {
        self.0.as_ptr()
    }

    /// Whether it lies in a `zone`, for all workers; else each has its own.
    pub(crate) fn is_shared(self) -> bool {
        // SAFETY: live, see the type
        unsafe { !(*self.as_ptr()).shpool.is_null() }
    }

    /// Locks the list as it is: what changes in a peer is under that peer's own lock.
    pub(crate) fn read(self) -> Locked {
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
    fn write(self) -> Locked {
        if self.is_shared() {
            // SAFETY: as above
            unsafe { ngx_rwlock_wlock(&raw mut (*self.as_ptr()).rwlock) };
        }
        Locked(self)
    }
}

/// A locked list, until it is dropped.
pub(crate) struct Locked(List);

impl Locked {
    /// Its peers, each live as long as the lock is held.
    pub(crate) fn peers(
        &self,
    ) -> impl Iterator<Item = NonNull<ngx_http_upstream_rr_peer_t>> + use<'_> {
        // SAFETY: live, and nobody changes a locked list
        let first = NonNull::new(unsafe { (*self.0.as_ptr()).peer });
        // SAFETY: as above
        successors(first, |peer| NonNull::new(unsafe { (*peer.as_ptr()).next }))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if self.0.is_shared() {
            // SAFETY: live, and locked by us
            unsafe { ngx_rwlock_unlock(&raw mut (*self.0.as_ptr()).rwlock) };
        }
    }
}

impl Block {
    /// Whether [`Conf::find_peers`] has found its peers.
    pub fn has_peers(&self) -> bool {
        self.as_ptr().and_then(found).is_some()
    }

    /// Calls `work` for each peer, backups last, while the list is locked to be read: `work` must not
    /// change the block, it would wait for itself. `false` where the block has no peers that are known.
    pub fn look(&self, work: impl FnMut(Peer)) -> bool {
        self.visit(|list| Some(list.read()), work)
    }

    /// As [`Block::look`], for a process that must not wait for one that died with a list locked, as
    /// the master: `false` also where a list stays locked for some time.
    pub fn look_soon(&self, work: impl FnMut(Peer)) -> bool {
        self.visit(List::read_soon, work)
    }

    /// Calls `work` for each peer, backups last, while the list is locked to be changed: `work` must
    /// not use the block, it would wait for itself. `false` as of [`Block::look`].
    pub fn change(&self, mut work: impl FnMut(PeerMut)) -> bool {
        self.visit(|list| Some(list.write()), |peer| work(PeerMut(peer)))
    }

    fn visit(&self, lock: impl Fn(List) -> Option<Locked>, mut work: impl FnMut(Peer<'_>)) -> bool {
        let Some(block) = self.as_ptr() else { return false };
        // SAFETY: the configuration is there, and nginx frees none before this call is over
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

/// A peer of a locked list. What it says may be read without its own lock, but for [`Peer::load`].
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    list: &'a Locked,
    peer: NonNull<ngx_http_upstream_rr_peer_t>,
    is_backup: bool,
}

/// A peer of a list that this process has to itself.
pub struct PeerMut<'a>(Peer<'a>);

/// What requests and connections have made of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many connections it has.
    pub connections: u64,
    /// Whether failed requests keep others from it (`ngx_http_upstream_get_peer`).
    pub has_failed: bool,
}

/// The address of a peer: the bytes of its `sockaddr`. Peers come and go, so this tells which one is
/// meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Box<[u8]>);

impl Address {
    /// Whether it is that of a peer.
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

    /// The address in words.
    pub fn name(&self) -> String {
        // SAFETY: live while the list is locked, and nobody changes a peer's name
        owned(unsafe { &(*self.as_ptr()).name })
    }

    /// The `server` that it comes from, as configured.
    pub fn server(&self) -> String {
        // SAFETY: as above
        owned(unsafe { &(*self.as_ptr()).server })
    }

    /// Its address.
    pub fn address(&self) -> Address {
        Address(self.sockaddr().into())
    }

    fn sockaddr(&self) -> &[u8] {
        // SAFETY: as above; core sees to the length
        unsafe {
            let (address, len) = ((*self.as_ptr()).sockaddr, (*self.as_ptr()).socklen);
            std::slice::from_raw_parts(address.cast::<u8>(), len as usize)
        }
    }

    /// Whether it gets requests only where the others cannot.
    pub fn is_backup(&self) -> bool {
        self.is_backup
    }

    /// How much it gets beside others, as configured.
    pub fn weight(&self) -> u64 {
        // SAFETY: as above
        u64::try_from(unsafe { (*self.as_ptr()).weight }).unwrap_or(0)
    }

    fn down(&self) -> usize {
        // SAFETY: live while the list is locked, whose lock is for this too
        unsafe { (*self.as_ptr()).down }
    }

    /// Whether it gets no requests, for whichever reason.
    pub fn is_down(&self) -> bool {
        self.down() != 0
    }

    /// Whether `server ... down` takes it out.
    pub fn is_taken_out(&self) -> bool {
        self.down() & DOWN_BY_CONFIGURATION != 0
    }

    /// Whether [`PeerMut::mark`] takes it out.
    pub fn is_marked(&self) -> bool {
        self.down() & DOWN_BY_MARK != 0
    }

    /// What changes with each request: read under the peer's own lock.
    pub fn load(&self) -> Load {
        let (peer, is_shared) = (self.as_ptr(), self.list.0.is_shared());
        let now = unix_time();
        // SAFETY: live while the list is locked; the list's lock comes first, in core's order
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
    /// Takes the peer out with a mark beside what the configuration says, or takes that mark off;
    /// whether that is a change. The mark is in what balancers see of the peer, so in a `zone` it is
    /// for all workers, and outlives the process.
    pub fn mark(&self, up: bool) -> bool {
        let (peer, list) = (self.0.as_ptr(), self.0.list.0.as_ptr());
        // SAFETY: live while the list is locked, and the lock is exclusive
        unsafe {
            let before = (*peer).down;
            (*peer).down = if up { before & !DOWN_BY_MARK } else { before | DOWN_BY_MARK };
            if up && before != (*peer).down {
                // what requests found while it was down no longer holds
                (*peer).fails = 0;
            }
            // core counts the peers that are not down (ngx_http_upstream_zone_remove_peer_locked)
            match (before == 0, (*peer).down == 0) {
                (true, false) => (*list).tries = (*list).tries.saturating_sub(1),
                (false, true) => (*list).tries += 1,
                _ => {}
            }
            before != (*peer).down
        }
    }
}

//! Generations of configurations, and why a worker exits.
//!
//! A worker exits because a newer configuration has taken effect or because nginx is stopping.
//! nginx sends the same signal for both. So the master and the workers of all generations share the
//! number of the newest configuration, in memory that [`begin_configuration`] allocates.

use std::cell::RefCell;
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use ngx::ffi::{
    close, eventfd, ngx_close_connection, ngx_event_t, ngx_get_connection, ngx_shm_alloc,
    ngx_shm_t, ngx_str_t, EFD_CLOEXEC, NGX_OK,
};

use crate::bits::Bits;
use crate::cycle::Cycle;
use crate::guard::guarded;
use crate::process::now;
use crate::timer::Timer;

/// Why a worker exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// A newer configuration has taken effect.
    Superseded,
    /// nginx is stopping.
    Stopping,
}

/// Memory that the master shares with the workers of all generations.
#[derive(Default)]
struct Shared {
    /// The number of the newest configuration.
    newest: AtomicU64,
    /// Whether nginx is stopping: workers of the newest configuration are exiting.
    stopping: AtomicBool,
}

static SHARED: AtomicPtr<Shared> = AtomicPtr::new(null_mut());

/// The number of the configuration of this process.
static OWN: AtomicU64 = AtomicU64::new(0);

/// When this process began to exit, on nginx's clock in milliseconds; 0 before that.
static SINCE: AtomicU64 = AtomicU64::new(0);

/// How often a worker that exits after a reload checks whether nginx is stopping, in milliseconds:
/// it does not get a second signal (`ngx_signal_worker_processes`).
const WATCH: u64 = 250;

thread_local! {
    static WATCHING: RefCell<Option<Timer>> = const { RefCell::new(None) };
    /// The functions to call when this process begins to exit.
    static ON_LEAVING: RefCell<Vec<fn(Leaving)>> = const { RefCell::new(Vec::new()) };
    /// The functions to call when nginx stops while this process is exiting after a reload.
    static ON_STOP: RefCell<Vec<fn()>> = const { RefCell::new(Vec::new()) };
}

fn shared() -> Option<&'static Shared> {
    // SAFETY: null or the memory that `begin_configuration` has allocated, which is never freed
    unsafe { SHARED.load(Ordering::Relaxed).as_ref() }
}

/// Starts a new generation. To be called once for each configuration, in `init_module`. If memory
/// is exhausted, nginx logs that, and every exit counts as a stop.
pub fn begin_configuration(cycle: Cycle) {
    if shared().is_none() {
        let mut shm = ngx_shm_t {
            addr: null_mut(),
            size: size_of::<Shared>(),
            name: ngx_str_t::default(),
            log: cycle.log().as_ptr(),
            exists: 0,
        };
        // SAFETY: the structure has what ngx_shm_alloc reads; the memory is zeroed, which is a
        // valid `Shared`, and is never freed
        if unsafe { ngx_shm_alloc(&raw mut shm) } != NGX_OK as isize {
            return; // nginx has logged it
        }
        SHARED.store(shm.addr.cast(), Ordering::Relaxed);
    }
    if let Some(shared) = shared() {
        OWN.store(shared.newest.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        shared.stopping.store(false, Ordering::Relaxed);
    }
}

/// The number of the newest configuration, starting from 1; 0 before [`begin_configuration`].
pub fn newest() -> u64 {
    shared().map_or(0, |shared| shared.newest.load(Ordering::Relaxed))
}

/// The number of the configuration of this process.
pub fn own() -> u64 {
    OWN.load(Ordering::Relaxed)
}

/// Why this worker exits, or why it would if it did so now. Does not change anything.
pub fn why() -> Leaving {
    let Some(shared) = shared() else { return Leaving::Stopping };
    let superseded = shared.newest.load(Ordering::Relaxed) > own();
    match superseded && !shared.stopping.load(Ordering::Relaxed) {
        true => Leaving::Superseded,
        false => Leaving::Stopping,
    }
}

/// When this worker began to exit, on nginx's clock in milliseconds; `None` if it has not. Does not
/// change anything.
pub fn since() -> Option<u64> {
    match SINCE.load(Ordering::Relaxed) {
        0 => None,
        since => Some(since),
    }
}

/// Records that this worker begins to exit, and returns why and since when. If nginx is stopping,
/// announces that to the workers that are exiting after a reload; otherwise starts to watch for it.
/// Later calls return the time of the first one, or of the stop if that came later.
pub fn begin_leaving() -> (Leaving, u64) {
    let why = why();
    if why == Leaving::Stopping {
        announce_stop();
    }
    if let Some(since) = since() {
        return (why, since);
    }
    SINCE.store(now().max(1), Ordering::Relaxed);
    if why == Leaving::Superseded {
        let timer = Timer::new(watch);
        timer.set(WATCH);
        WATCHING.set(Some(timer));
    }
    (why, now())
}

/// Announces to the workers of older configurations that nginx is stopping, unless a newer
/// configuration has replaced that of this worker.
pub fn announce_stop() {
    if let (Some(shared), Leaving::Stopping) = (shared(), why()) {
        shared.stopping.store(true, Ordering::Relaxed);
    }
}

/// Registers `work` to be called if nginx stops while this process is exiting after a reload. To be
/// called in `init_process`.
pub fn on_stop(work: fn()) {
    ON_STOP.with_borrow_mut(|all| all.push(work));
}

fn watch() {
    if why() == Leaving::Superseded {
        WATCHING.with_borrow(|timer| timer.iter().for_each(|timer| timer.set(WATCH)));
        return;
    }
    SINCE.store(now().max(1), Ordering::Relaxed);
    let all = ON_STOP.with_borrow(Clone::clone);
    all.into_iter().for_each(|work| work());
}

/// Registers `work` to be called when this worker begins to exit. To be called in `init_process`.
/// nginx calls the read handler of every idle connection then (`ngx_close_idle_connections`), so
/// this uses one connection and one descriptor without traffic. Returns `false` if none is free.
pub fn on_leaving(cycle: Cycle, work: fn(Leaving)) -> bool {
    let is_made = ON_LEAVING.with_borrow(|all| !all.is_empty());
    if !is_made && !make_idle(cycle) {
        return false;
    }
    ON_LEAVING.with_borrow_mut(|all| all.push(work));
    true
}

/// Opens the idle connection; `false` if no connection or descriptor is free.
fn make_idle(cycle: Cycle) -> bool {
    let log = cycle.log().as_ptr();
    // SAFETY: called on nginx's thread in a process with connections; the descriptor is new, and
    // each connection has both events
    unsafe {
        let fd = eventfd(0, EFD_CLOEXEC as c_int);
        let c = match fd {
            -1 => null_mut(),
            _ => ngx_get_connection(fd, log),
        };
        let Some(connection) = c.as_mut() else {
            if fd != -1 {
                close(fd);
            }
            return false;
        };
        connection.bits_mut().set_idle(1);
        for event in [connection.read, connection.write] {
            (*event).log = log;
            (*event).handler = Some(on_idle);
        }
    }
    true
}

/// Called when the worker begins to exit.
unsafe extern "C" fn on_idle(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the event of the connection that `make_idle` has opened and that
        // only this function closes. A worker logs an alert for a connection that is still open
        // when it exits
        unsafe { ngx_close_connection((*ev).data.cast()) };
        let (why, _) = begin_leaving();
        let all = ON_LEAVING.with_borrow(Clone::clone);
        all.into_iter().for_each(|work| work(why));
    })
}

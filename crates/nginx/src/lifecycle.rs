//! Configurations that follow each other, and how the processes of one leave.
//!
//! A worker leaves because a newer configuration has taken over, or because nginx stops. It is told
//! by the same signal, so the master and the workers of all configurations share the number of the
//! newest one.

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

/// Why a worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// A newer configuration has taken over.
    Superseded,
    /// nginx stops.
    Stopping,
}

/// What the master shares with its workers of all configurations.
#[derive(Default)]
struct Shared {
    /// Number of the newest configuration.
    newest: AtomicU64,
    /// Whether the workers of the newest one are leaving.
    stopping: AtomicBool,
}

static SHARED: AtomicPtr<Shared> = AtomicPtr::new(null_mut());

/// Number of the configuration of this process.
static OWN: AtomicU64 = AtomicU64::new(0);

/// When this process began to leave, in nginx's milliseconds; 0 before.
static SINCE: AtomicU64 = AtomicU64::new(0);

/// How often a worker that was superseded looks whether nginx stops meanwhile, in milliseconds: it
/// gets no second signal (`ngx_signal_worker_processes`).
const WATCH: u64 = 250;

thread_local! {
    static WATCHING: RefCell<Option<Timer>> = const { RefCell::new(None) };
    /// What is called when this process begins to leave.
    static ON_LEAVING: RefCell<Vec<fn(Leaving)>> = const { RefCell::new(Vec::new()) };
    /// What is called when nginx stops while this process is leaving because it was superseded.
    static ON_STOP: RefCell<Vec<fn()>> = const { RefCell::new(Vec::new()) };
}

fn shared() -> Option<&'static Shared> {
    // SAFETY: null or the memory that `begin_configuration` has made, which is never freed
    unsafe { SHARED.load(Ordering::Relaxed).as_ref() }
}

/// A configuration takes over. To be called once for each, where it is made, before its workers
/// begin (`init_module`).
pub fn begin_configuration(cycle: Cycle) {
    if shared().is_none() {
        let mut shm = ngx_shm_t {
            addr: null_mut(),
            size: size_of::<Shared>(),
            name: ngx_str_t::default(),
            log: cycle.log().as_ptr(),
            exists: 0,
        };
        // SAFETY: the structure is filled in as ngx_shm_alloc wants it; the memory is never freed,
        // and its zeros are a valid value
        if unsafe { ngx_shm_alloc(&raw mut shm) } != NGX_OK as isize {
            return; // nginx has logged it; every exit is taken for a stop
        }
        SHARED.store(shm.addr.cast(), Ordering::Relaxed);
    }
    if let Some(shared) = shared() {
        OWN.store(shared.newest.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        shared.stopping.store(false, Ordering::Relaxed);
    }
}

/// Number of the newest configuration, 1 for the first.
pub fn newest() -> u64 {
    shared().map_or(0, |shared| shared.newest.load(Ordering::Relaxed))
}

/// Number of the configuration of this process.
pub fn own() -> u64 {
    OWN.load(Ordering::Relaxed)
}

/// Why this worker leaves, or would if it left now.
pub fn why() -> Leaving {
    let Some(shared) = shared() else { return Leaving::Stopping };
    let superseded = shared.newest.load(Ordering::Relaxed) > own();
    match superseded && !shared.stopping.load(Ordering::Relaxed) {
        true => Leaving::Superseded,
        false => Leaving::Stopping,
    }
}

/// When this worker began to leave, in nginx's milliseconds, if it has.
pub fn since() -> Option<u64> {
    match SINCE.load(Ordering::Relaxed) {
        0 => None,
        since => Some(since),
    }
}

/// This worker begins to leave: tells those that were superseded before, where nginx stops, and
/// watches for that else. Why, and since when; what counts is the first call.
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

/// Tells the workers of older configurations that nginx stops, unless this one is left for a newer
/// configuration itself.
pub fn announce_stop() {
    if let (Some(shared), Leaving::Stopping) = (shared(), why()) {
        shared.stopping.store(true, Ordering::Relaxed);
    }
}

/// Has `work` called when nginx stops while this process is leaving because it was superseded.
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

/// Has `work` called when this worker begins to leave: nginx then calls the read handler of each
/// connection that is idle (`ngx_close_idle_connections`), so one is made, of a descriptor that
/// nobody writes to. `false` where there is none left.
pub fn on_leaving(cycle: Cycle, work: fn(Leaving)) -> bool {
    let is_made = ON_LEAVING.with_borrow(|all| !all.is_empty());
    if !is_made && !make_idle(cycle) {
        return false;
    }
    ON_LEAVING.with_borrow_mut(|all| all.push(work));
    true
}

/// Makes such a connection; `false` where that cannot be.
fn make_idle(cycle: Cycle) -> bool {
    let log = cycle.log().as_ptr();
    // SAFETY: the connection is made and closed as nginx's own are
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

/// The worker begins to leave.
unsafe extern "C" fn on_idle(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the event of the connection that `on_leaving` has made; a connection
        // that is left open as a worker ends would be an alert
        unsafe { ngx_close_connection((*ev).data.cast()) };
        let (why, _) = begin_leaving();
        let all = ON_LEAVING.with_borrow(Clone::clone);
        all.into_iter().for_each(|work| work(why));
    })
}

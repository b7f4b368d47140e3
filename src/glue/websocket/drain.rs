//! How tunnels are closed when their worker leaves.

use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use ngx::ffi::{ngx_cycle, ngx_event_t, ngx_log_t, ngx_shm_alloc, ngx_shm_t, ngx_str_t, NGX_OK};
use websocket_tunnel::Drain;

use super::events;
use super::tunnel::now;
use super::worker::Random;
use crate::glue::bits::Bits;
use crate::glue::elb::shutdown;
use nginx::bits::Bits;
use nginx::event::ngx_add_timer;
use nginx::guard::guarded;
use nginx::random::Random;

/// The status code of each Close of ours: "1001 indicates that an endpoint is "going away", such
/// as a server going down" (RFC 6455 section 7.4.1).
pub const GOING_AWAY: u16 = 1001;

/// `websocket_drain`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Over how long the Closes are spread when nginx stops; `None` where nothing is drained.
    pub stop: Option<u64>,
    /// The same when a new configuration has taken over.
    pub reload: u64,
    /// How long each waits for a message boundary.
    pub grace: u64,
    /// How long each waits for the answers to its Closes.
    pub handshake: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { stop: Some(5_000), reload: 30_000, grace: 1_000, handshake: 2_000 }
    }
}

impl Times {
    /// When nginx stops, the longest that a tunnel stays open, in milliseconds; `None` where
    /// nothing is drained.
    pub fn longest(self) -> Option<u64> {
        self.stop.map(|stop| stop + self.grace + self.handshake)
    }
}

/// When and how one of many tunnels is closed; `None` where `websocket_drain` is off.
pub fn plan(times: Times, now: u64, random: &mut Random) -> Option<Drain> {
    let Times { grace, handshake, .. } = times;
    let stop = times.stop?;
    let why = why();
    let spread = match why {
        Leaving::Superseded => times.reload,
        Leaving::Stopping => stop,
    };
    let at = now.max(since(now, why) + random.next() % (spread + 1));
    Some(Drain { at, grace, handshake, code: GOING_AWAY })
}

/// When the last tunnel with these times is to be over, in nginx's milliseconds; `None` while the
/// worker does not leave, or where nothing is drained.
pub fn over_by(times: Times) -> Option<u64> {
    let since = LEAVING_SINCE.load(Ordering::Relaxed);
    times.stop.filter(|_| since > 0).map(|stop| {
        let spread = match why() {
            Leaving::Superseded => times.reload,
            Leaving::Stopping => stop,
        };
        since + spread + times.grace + times.handshake
    })
}

/// Why the worker leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
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
static LEAVING_SINCE: AtomicU64 = AtomicU64::new(0);

fn shared() -> Option<&'static Shared> {
    // SAFETY: null or the memory that `raise_generation` has made
    unsafe { SHARED.load(Ordering::Relaxed).as_ref() }
}

/// A configuration takes over: called where it is made, before its workers begin.
pub fn raise_generation(log: *mut ngx_log_t) {
    if shared().is_none() {
        let mut shm = ngx_shm_t {
            addr: null_mut(),
            size: size_of::<Shared>(),
            name: ngx_str_t::default(),
            log,
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

/// Why this worker leaves, told to those that were superseded before.
pub fn why() -> Leaving {
    let Some(shared) = shared() else { return Leaving::Stopping };
    let superseded = shared.newest.load(Ordering::Relaxed) > OWN.load(Ordering::Relaxed);
    if superseded && !shared.stopping.load(Ordering::Relaxed) {
        return Leaving::Superseded;
    }
    shared.stopping.store(true, Ordering::Relaxed);
    Leaving::Stopping
}

/// This worker begins to leave; why.
pub fn begin() -> Leaving {
    let why = why();
    since(now(), why);
    why
}

/// When this worker began to leave; whoever asks first has it begin.
fn since(now: u64, why: Leaving) -> u64 {
    match LEAVING_SINCE.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
        Err(since) => since,
        Ok(_) => {
            if why == Leaving::Superseded {
                watch_for_stop();
            }
            now
        }
    }
}

/// How often a worker that was superseded looks whether nginx stops meanwhile, in milliseconds: it
/// gets no second signal (`ngx_signal_worker_processes`).
const WATCH: usize = 250;

fn watch_for_stop() {
    static mut EVENT: MaybeUninit<ngx_event_t> = MaybeUninit::zeroed();
    // SAFETY: all-zero is a valid event; it is set up once, by the only thread, and stays
    unsafe {
        let event = (&raw mut EVENT).cast::<ngx_event_t>();
        (*event).handler = Some(on_watch);
        // nginx's debug log looks for a connection there
        (*event).data = ngx_cycle.cast();
        (*event).log = (*ngx_cycle).log;
        // the worker does not stay for it
        (*event).bits_mut().set_cancelable(1);
        ngx_add_timer(event, WATCH);
    }
}

unsafe extern "C" fn on_watch(ev: *mut ngx_event_t) {
    guarded((), || {
        if !shared().is_some_and(|shared| shared.stopping.load(Ordering::Relaxed)) {
            // SAFETY: nginx passes the event of `watch_for_stop`
            return unsafe { ngx_add_timer(ev, WATCH) };
        }
        LEAVING_SINCE.store(now(), Ordering::Relaxed);
        shutdown::hurry();
        // SAFETY: nginx calls one handler at a time
        unsafe { events::drain_all() };
    })
}

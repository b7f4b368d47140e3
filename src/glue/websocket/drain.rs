//! How tunnels are closed when their worker leaves.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use ngx::ffi::{ngx_log_t, ngx_shm_alloc, ngx_shm_t, ngx_str_t, NGX_OK};

use super::worker::Random;
use crate::session::{Drain, GOING_AWAY};

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

/// When and how one of many tunnels is closed; `None` where `websocket_drain` is off.
pub fn plan(times: Times, now: u64, random: &mut Random) -> Option<Drain> {
    let stop = times.stop?;
    let spread = if superseded() { times.reload } else { stop };
    let Times { grace, handshake, .. } = times;
    let at = now + random.next() % (spread + 1);
    Some(Drain { at, grace, handshake, code: GOING_AWAY })
}

/// Number of the newest configuration, in memory that the master shares with its workers.
static NEWEST: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());

/// Number of the configuration of this process.
static OWN: AtomicU64 = AtomicU64::new(0);

/// A configuration takes over: called where it is made, before its workers begin.
pub fn raise_generation(log: *mut ngx_log_t) {
    if NEWEST.load(Ordering::Relaxed).is_null() {
        let mut shm = ngx_shm_t {
            addr: null_mut(),
            size: size_of::<AtomicU64>(),
            name: ngx_str_t::default(),
            log,
            exists: 0,
        };
        // SAFETY: the structure is filled in as ngx_shm_alloc wants it; the memory is zeroed and
        // never freed
        if unsafe { ngx_shm_alloc(&raw mut shm) } != NGX_OK as isize {
            return; // nginx has logged it; every exit is taken for a stop
        }
        NEWEST.store(shm.addr.cast(), Ordering::Relaxed);
    }
    // SAFETY: set above
    if let Some(newest) = unsafe { NEWEST.load(Ordering::Relaxed).as_ref() } {
        OWN.store(newest.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Whether a newer configuration has taken over.
fn superseded() -> bool {
    // SAFETY: null or the shared memory
    let newest = unsafe { NEWEST.load(Ordering::Relaxed).as_ref() };
    newest.is_some_and(|newest| newest.load(Ordering::Relaxed) > OWN.load(Ordering::Relaxed))
}

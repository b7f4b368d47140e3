//! What all tunnels of a worker process share.

use std::cell::UnsafeCell;

use nginx::cycle::Cycle;
use nginx::random::Random;
use ngx::ffi::{ngx_connection_t, ngx_cycle_t};

/// Bytes that one read takes at most. The buffer costs no tunnel anything, and a large one is what
/// the speed of bulk data hangs on: fewer and larger system calls.
const SCRATCH: usize = 128 * 1024;

/// The shared state; made when the process begins.
pub struct Worker {
    /// Where every read goes to.
    pub scratch: Box<[u8]>,
    /// Random bits.
    pub random: Random,
    /// nginx's array of connections. The cycle of a single process has none after a reload, and
    /// the connections stay in that of the first.
    pub connections: (*mut ngx_connection_t, usize),
}

struct Global(UnsafeCell<Option<Worker>>);

// SAFETY: a worker of nginx is one thread
unsafe impl Sync for Global {}

static WORKER: Global = Global(UnsafeCell::new(None));

impl Worker {
    /// Makes the state of this process.
    ///
    /// # Safety
    /// Called from nginx's `init_process` with its cycle, before any tunnel.
    pub unsafe fn init(cycle: *const ngx_cycle_t) {
        let worker = Self {
            // SAFETY: by contract
            connections: unsafe { ((*cycle).connections, (*cycle).connection_n) },
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            random: Random::default(),
        };
        // SAFETY: nobody else holds it
        unsafe { *WORKER.0.get() = Some(worker) };
    }

    /// The state of this process, if it is one that serves.
    ///
    /// # Safety
    /// The caller drops it before anything else can ask for it: it takes it at the start of an
    /// event's handler, and no handler calls another.
    pub unsafe fn get<'a>() -> Option<&'a mut Self> {
        // SAFETY: exclusive by contract
        unsafe { (*WORKER.0.get()).as_mut() }
    }
}

/// Makes the state of this process; to be called as it begins.
pub fn init(cycle: Cycle) {
    // SAFETY: no tunnel is there yet
    unsafe { Worker::init(cycle.as_ptr()) };
}

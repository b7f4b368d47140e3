//! State of a worker process that all owners of connections share.

use std::cell::Cell;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::ngx_connection_t;

use crate::cycle::Cycle;
use crate::random::Random;

/// The maximum size of one read, in bytes. All connections share the buffer. A large one makes bulk
/// transfers faster, with fewer and larger system calls.
const SCRATCH: usize = 128 * 1024;

/// The state that an owner borrows for the duration of a call.
pub struct Worker {
    /// The buffer for reads.
    pub scratch: Box<[u8]>,
    /// Random bits.
    pub random: Random,
    /// nginx's array of connections, and its length. In a single process, the cycle of a reloaded
    /// configuration has none: the connections stay in the array of the first cycle.
    pub(crate) connections: (*mut ngx_connection_t, usize),
}

/// The state of this process while no call has it, else null; null in a process that does not serve.
struct Global(Cell<*mut Worker>);

// SAFETY: only callbacks of nginx use it, and nginx calls modules on one thread
unsafe impl Sync for Global {}

static WORKER: Global = Global(Cell::new(null_mut()));

/// A process begins to serve.
///
/// # Safety
/// Called in `init_process`, with the cycle of the process.
pub(crate) unsafe fn begin(cycle: Cycle) {
    if WORKER.0.get().is_null() {
        let cycle = cycle.as_ptr();
        let worker = Box::new(Worker {
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            random: Random::default(),
            // SAFETY: by contract
            connections: unsafe { ((*cycle).connections, (*cycle).connection_n) },
        });
        // for the rest of the process
        WORKER.0.set(Box::into_raw(worker));
    }
}

/// The worker's state for the time of a call: nobody else can have it meanwhile.
pub(crate) struct Turn(NonNull<Worker>);

impl Turn {
    /// Takes the state; `None` in a process that does not serve, and while another call has it.
    ///
    /// # Safety
    /// Called by a callback of nginx, and dropped before that returns.
    #[inline]
    pub(crate) unsafe fn take() -> Option<Self> {
        NonNull::new(WORKER.0.replace(null_mut())).map(Self)
    }

    /// The state.
    #[inline]
    pub(crate) fn worker(&mut self) -> &mut Worker {
        // SAFETY: `begin` has made it and it is never freed; whoever has the turn is the only one to
        // have it
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        WORKER.0.set(self.0.as_ptr());
    }
}

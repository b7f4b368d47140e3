//! What the owners of connections in a worker process share.

use std::cell::Cell;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::ngx_connection_t;

use crate::cycle::Cycle;
use crate::random::Random;

/// Bytes that one read takes at most. The buffer costs no connection anything, and a large one is
/// what the speed of bulk data hangs on: fewer and larger system calls.
const SCRATCH: usize = 128 * 1024;

/// What is lent to an owner of connections for a call.
pub struct Worker {
    /// Where every read goes to.
    pub scratch: Box<[u8]>,
    /// Random bits.
    pub random: Random,
    /// nginx's array of connections. The cycle of a single process has none after a reload, and
    /// the connections stay in that of the first.
    pub(crate) connections: (*mut ngx_connection_t, usize),
}

/// The state of this process while no call has it, else null; null in a process that does not serve.
struct Global(Cell<*mut Worker>);

// SAFETY: used by callbacks of nginx alone, which is one thread where it calls modules
unsafe impl Sync for Global {}

static WORKER: Global = Global(Cell::new(null_mut()));

/// A process begins to serve.
///
/// # Safety
/// Called from `init_process`.
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
    /// Takes it; `None` in a process that does not serve, and while another call has it.
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

//! What the owners of connections in a worker process share.

use std::cell::UnsafeCell;

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

struct Global(UnsafeCell<Option<Box<Worker>>>);

// SAFETY: used by callbacks of nginx alone, which is one thread where it calls modules
unsafe impl Sync for Global {}

static WORKER: Global = Global(UnsafeCell::new(None));

/// A process begins.
///
/// # Safety
/// Called from `init_process`.
pub(crate) unsafe fn begin(cycle: Cycle) {
    let cycle = cycle.as_ptr();
    // SAFETY: by contract; several modules may call it
    unsafe {
        let worker = &mut *WORKER.0.get();
        worker.get_or_insert_with(|| {
            Box::new(Worker {
                scratch: vec![0; SCRATCH].into_boxed_slice(),
                random: Random::default(),
                connections: ((*cycle).connections, (*cycle).connection_n),
            })
        });
    }
}

/// The worker's state for the time of a call: nobody else can have it meanwhile.
pub(crate) struct Turn(Option<Box<Worker>>);

impl Turn {
    /// Takes it; `None` in a process that does not serve, and while another call has it.
    ///
    /// # Safety
    /// Called by a callback of nginx.
    #[inline]
    pub(crate) unsafe fn take() -> Option<Self> {
        // SAFETY: by contract
        let worker = unsafe { (*WORKER.0.get()).take() };
        worker.map(|worker| Self(Some(worker)))
    }

    /// The state.
    #[inline]
    pub(crate) fn worker(&mut self) -> &mut Worker {
        match &mut self.0 {
            Some(worker) => worker,
            None => unreachable!("there until it is dropped"),
        }
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: taken by a callback of nginx, which has not returned yet
        unsafe { *WORKER.0.get() = self.0.take() };
    }
}

//! Timers.

use std::cell::{RefCell, UnsafeCell};
use std::mem::zeroed;
use std::rc::Rc;

use ngx::ffi::{ngx_cycle, ngx_event_t};

use crate::bits::Bits;
use crate::event::{ngx_add_timer, ngx_del_timer};
use crate::guard::guarded;
use crate::process::now;

/// A timer. It is deleted when dropped. An exiting worker does not wait for it. To be used in a
/// process that runs nginx's event loop.
pub struct Timer(Rc<Inner>);

#[repr(C)]
struct Inner {
    /// The first field: nginx passes its address to the handler.
    event: UnsafeCell<ngx_event_t>,
    work: RefCell<Box<dyn FnMut()>>,
}

impl Timer {
    /// Creates a timer, not set, that calls `work` each time it expires. A panic of `work` is
    /// caught; the timer stays usable. `work` may drop the timer.
    pub fn new(work: impl FnMut() + 'static) -> Self {
        // SAFETY: all-zero is a valid value of the C struct
        let mut event: ngx_event_t = unsafe { zeroed() };
        event.handler = Some(on_timer);
        event.bits_mut().set_cancelable(1);
        let event = UnsafeCell::new(event);
        let inner = Rc::new(Inner { event, work: RefCell::new(Box::new(work)) });
        // nginx's debug log reads the first fields of a connection at `data`
        // SAFETY: just allocated, and nginx has no pointer to it yet
        unsafe { (*inner.event.get()).data = inner.event.get().cast() };
        Self(inner)
    }

    /// Sets the timer to expire once, `milliseconds` from now, and replaces an earlier setting.
    /// nginx ignores a change of less than 300 ms (`NGX_TIMER_LAZY_DELAY`), so the timer is deleted
    /// first.
    pub fn set(&self, milliseconds: u64) {
        self.cancel();
        // SAFETY: the event is on the heap at a fixed address and is deleted from the tree when
        // dropped; nginx has a current cycle with a log
        unsafe {
            let event = self.0.event.get();
            (*event).log = (*ngx_cycle).log;
            ngx_add_timer(event, milliseconds as usize);
        }
    }

    /// When it expires, on nginx's clock in milliseconds (see [`now`]); `None` if it is not set.
    pub fn at(&self) -> Option<u64> {
        // SAFETY: no other reference to the event exists: nginx changes it only outside this
        // crate's calls
        let event = unsafe { &*self.0.event.get() };
        (event.bits().timer_set() != 0).then_some(event.timer.key as u64)
    }

    /// Sets the timer to expire `milliseconds` from now, unless it is already set to expire
    /// earlier.
    pub fn set_to_fire_by(&self, milliseconds: u64) {
        if self.at().is_none_or(|at| at > now() + milliseconds) {
            self.set(milliseconds);
        }
    }

    /// Cancels it, if it is set.
    pub fn cancel(&self) {
        if self.at().is_some() {
            // SAFETY: `at` has found it set
            unsafe { ngx_del_timer(self.0.event.get()) };
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.cancel();
    }
}

unsafe extern "C" fn on_timer(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the first field of an `Inner` made by `Timer::new` and not dropped,
        // as dropping it deletes the timer. The additional reference keeps it alive if `work` drops
        // the timer
        let inner = unsafe {
            let inner = ev.cast_const().cast::<Inner>();
            Rc::increment_strong_count(inner);
            Rc::from_raw(inner)
        };
        // already borrowed only if `work` runs, which cannot expire its own timer
        if let Ok(mut work) = inner.work.try_borrow_mut() {
            work();
        };
    })
}

//! Timers.

use std::cell::{RefCell, UnsafeCell};
use std::mem::zeroed;
use std::rc::Rc;

use ngx::ffi::{ngx_cycle, ngx_event_t};

use crate::bits::Bits;
use crate::event::{ngx_add_timer, ngx_del_timer};
use crate::guard::guarded;
use crate::process::now;

/// A timer, which is deleted when dropped. A worker that leaves does not wait for it.
pub struct Timer(Rc<Inner>);

#[repr(C)]
struct Inner {
    /// The first field: nginx passes its address.
    event: UnsafeCell<ngx_event_t>,
    work: RefCell<Box<dyn FnMut()>>,
}

impl Timer {
    /// A timer that calls `work` each time that it fires.
    pub fn new(work: impl FnMut() + 'static) -> Self {
        // SAFETY: all-zero is a valid event
        let mut event: ngx_event_t = unsafe { zeroed() };
        event.handler = Some(on_timer);
        event.bits_mut().set_cancelable(1);
        let event = UnsafeCell::new(event);
        let inner = Rc::new(Inner { event, work: RefCell::new(Box::new(work)) });
        // nginx's debug log looks for a connection there, and at its first fields alone
        // SAFETY: just made, and nginx does not know it yet
        unsafe { (*inner.event.get()).data = inner.event.get().cast() };
        Self(inner)
    }

    /// Sets it to fire in so many milliseconds, whatever it was set to before. nginx leaves one
    /// alone that is set to within 300 ms (`NGX_TIMER_LAZY_DELAY`), so it is deleted first.
    pub fn set(&self, milliseconds: u64) {
        self.cancel();
        // SAFETY: the event stays where it is, and is deleted when dropped; the log is that of
        // the running cycle, for messages about this event
        unsafe {
            let event = self.0.event.get();
            (*event).log = (*ngx_cycle).log;
            ngx_add_timer(event, milliseconds as usize);
        }
    }

    /// When it fires, in nginx's milliseconds, if it is set.
    pub fn at(&self) -> Option<u64> {
        // SAFETY: nobody holds a reference to it
        let event = unsafe { &*self.0.event.get() };
        (event.bits().timer_set() != 0).then_some(event.timer.key as u64)
    }

    /// As [`Timer::set`], unless it fires early enough as it is.
    pub fn set_to_fire_by(&self, milliseconds: u64) {
        if self.at().is_none_or(|at| at > now() + milliseconds) {
            self.set(milliseconds);
        }
    }

    /// Deletes it.
    pub fn cancel(&self) {
        if self.at().is_some() {
            // SAFETY: it is set
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
        // SAFETY: the first field of what `Timer::new` has made, and whose timer was not dropped
        // yet, as that deletes it; the reference keeps it should the work drop its own timer
        let inner = unsafe {
            let inner = ev.cast_const().cast::<Inner>();
            Rc::increment_strong_count(inner);
            Rc::from_raw(inner)
        };
        // its own work cannot fire it
        if let Ok(mut work) = inner.work.try_borrow_mut() {
            work();
        };
    })
}

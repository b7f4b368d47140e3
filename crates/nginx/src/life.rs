//! How long a configuration lives.
//!
//! What nginx makes while it reads a configuration is freed with its pool. A module keeps such
//! things in its own configuration, which goes at the same time; but nothing stops it from moving
//! one elsewhere. So each has a [`Life`] with it, and asks that before it is used.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::rc::{Rc, Weak};

use ngx::ffi::{ngx_cycle_t, ngx_pool_cleanup_add};

use crate::guard::guarded;

/// Whether a configuration is still there.
#[derive(Clone)]
pub struct Life(Rc<Inner>);

struct Inner {
    cycle: *const ngx_cycle_t,
    over: Cell<bool>,
}

thread_local! {
    /// Of the configuration that was read last.
    static LAST: RefCell<Weak<Inner>> = const { RefCell::new(Weak::new()) };
}

impl Life {
    /// The life of the configuration that is being read; `None` where there is no memory.
    ///
    /// # Safety
    /// `cycle` is being made.
    pub(crate) unsafe fn of(cycle: *mut ngx_cycle_t) -> Option<Self> {
        let last = LAST.with_borrow(Weak::upgrade);
        // an address that was that of another cycle is none that is over
        if let Some(last) = last.filter(|last| last.cycle == cycle.cast_const() && !last.over.get())
        {
            return Some(Self(last));
        }
        let inner = Rc::new(Inner { cycle, over: Cell::new(false) });
        // SAFETY: by contract; the pool calls it once, with what the reference was made to
        unsafe {
            let cleanup = ngx_pool_cleanup_add((*cycle).pool, 0).as_mut()?;
            cleanup.data = Rc::into_raw(Rc::clone(&inner)).cast_mut().cast();
            cleanup.handler = Some(end);
        }
        LAST.set(Rc::downgrade(&inner));
        Some(Self(inner))
    }

    /// Whether the configuration is still there.
    #[inline]
    pub fn goes_on(&self) -> bool {
        !self.0.over.get()
    }

    /// Whether it is the same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it is that of `cycle`, which is alive.
    pub(crate) fn is_of(&self, cycle: *const ngx_cycle_t) -> bool {
        self.goes_on() && self.0.cycle == cycle
    }
}

/// The pool of a configuration goes.
unsafe extern "C" fn end(data: *mut c_void) {
    guarded((), || {
        // SAFETY: what `Life::of` has kept of its reference, given back here
        unsafe { Rc::from_raw(data.cast_const().cast::<Inner>()) }.over.set(true);
    })
}

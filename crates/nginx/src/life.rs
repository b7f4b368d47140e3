//! The lifetime of a configuration.
//!
//! nginx frees what it allocates while it reads a configuration with the pool of that
//! configuration. A module usually stores such things in its own configuration, which is freed at
//! the same time, but the type system does not prevent it from moving them elsewhere. So each
//! wrapper of such a thing has a [`Life`] and checks it before use.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::c_void;
use std::rc::{Rc, Weak};

use ngx::ffi::{ngx_cycle_t, ngx_pool_cleanup_add};

use crate::guard::guarded;

/// Whether a configuration is alive.
#[derive(Clone)]
pub struct Life(Rc<Inner>);

struct Inner {
    cycle: *const ngx_cycle_t,
    over: Cell<bool>,
    /// The types for which something has been done once.
    done: RefCell<HashSet<TypeId>>,
}

thread_local! {
    /// The life of the configuration that was read last.
    static LAST: RefCell<Weak<Inner>> = const { RefCell::new(Weak::new()) };
}

impl Life {
    /// The life of the configuration being read; `None` if memory is exhausted.
    ///
    /// # Safety
    /// `cycle` is the cycle being built, with its pool.
    pub(crate) unsafe fn of(cycle: *mut ngx_cycle_t) -> Option<Self> {
        let last = LAST.with_borrow(Weak::upgrade);
        // the address may be that of an earlier cycle that has been freed
        if let Some(last) = last.filter(|last| last.cycle == cycle.cast_const() && !last.over.get())
        {
            return Some(Self(last));
        }
        let inner = Rc::new(Inner { cycle, over: Cell::new(false), done: RefCell::default() });
        // SAFETY: by contract the pool is valid; it calls `end` once, with the reference that
        // `into_raw` gives it
        unsafe {
            let cleanup = ngx_pool_cleanup_add((*cycle).pool, 0).as_mut()?;
            cleanup.data = Rc::into_raw(Rc::clone(&inner)).cast_mut().cast();
            cleanup.handler = Some(end);
        }
        LAST.set(Rc::downgrade(&inner));
        Some(Self(inner))
    }

    /// Whether the configuration is alive.
    #[inline]
    pub fn goes_on(&self) -> bool {
        !self.0.over.get()
    }

    /// Whether this is the first call for `T` and this configuration.
    pub(crate) fn is_first<T: 'static>(&self) -> bool {
        self.0.done.borrow_mut().insert(TypeId::of::<T>())
    }

    /// Whether both are of the same configuration.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it is the life of `cycle`, and that is alive.
    pub(crate) fn is_of(&self, cycle: *const ngx_cycle_t) -> bool {
        self.goes_on() && self.0.cycle == cycle
    }
}

/// Called when the pool of the configuration is destroyed.
unsafe extern "C" fn end(data: *mut c_void) {
    guarded((), || {
        // SAFETY: nginx passes the pointer that `Life::of` has made with `Rc::into_raw`, once
        unsafe { Rc::from_raw(data.cast_const().cast::<Inner>()) }.over.set(true);
    })
}

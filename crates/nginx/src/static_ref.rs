//! A reference that a static holds and that can be set.

use std::ptr::from_ref;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A reference to something that is always there. Reading it is one load.
pub struct StaticRef<T: 'static>(AtomicPtr<T>);

impl<T: Sync> StaticRef<T> {
    /// To be kept in a static.
    pub const fn new(value: &'static T) -> Self {
        Self(AtomicPtr::new(from_ref(value).cast_mut()))
    }

    /// Refers to another value from now on.
    pub fn set(&self, value: &'static T) {
        self.0.store(from_ref(value).cast_mut(), Ordering::Release);
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> &'static T {
        // SAFETY: it has come from such a reference, and nobody writes through it
        unsafe { &*self.0.load(Ordering::Relaxed) }
    }
}

//! Numbers that one process writes and any may read.

use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::FromBytes;

/// A counter or gauge with a single writer, in memory that other processes may read.
///
/// With one writer there is no need for a locked addition: a load, an addition and a store are
/// what a plain integer costs, and readers see each value whole.
#[derive(Debug, Default, FromBytes)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to the value; it wraps around.
    #[inline]
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Takes from the value, down to zero.
    #[inline]
    pub fn sub(&self, less: u64) {
        self.set(self.get().saturating_sub(less));
    }
}

impl PartialEq for Counter {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

//! Numbers that one process writes and any process may read.

use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::FromBytes;

/// A counter or gauge with a single writer, in memory that other processes may read.
///
/// A single writer needs no atomic addition: a load, an addition and a store cost as much as a
/// plain integer, and readers never see a partly written value.
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

    /// Subtracts from the value; it stops at zero.
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

//! Counters of one direction that other threads may read, for tests, benchmarks and fuzzing.

use std::sync::atomic::{AtomicU64, Ordering};
use websocket_tunnel::frame::{Count, Opcode};

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// There is one writer, so this need not be an atomic addition.
    #[inline]
    fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }
}

impl PartialEq for Counter {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

#[derive(Debug, Default, PartialEq)]
pub struct Table {
    /// Frames by opcode.
    pub frames: [Counter; 16],
    /// Payload bytes by opcode.
    pub bytes: [Counter; 16],
    pub messages: Counter,
}

impl Count for Table {
    #[inline]
    fn add(&self, opcode: Opcode, frames: u64, bytes: u64) {
        let row = usize::from(opcode.bits()) & 0x0f;
        self.frames[row].add(frames);
        self.bytes[row].add(bytes);
    }

    #[inline]
    fn add_messages(&self, messages: u64) {
        self.messages.add(messages);
    }
}

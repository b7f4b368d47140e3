//! Frames of one direction, counted by kind.

use websocket_tunnel::frame::{Count, Opcode};
use zerocopy::FromBytes;

use crate::counter::Counter;

/// Frames and payload bytes of one opcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Frames whose header was read.
    pub frames: u64,
    /// Payload bytes received, whatever length the headers announced.
    pub bytes: u64,
}

/// The frames received from one end, by opcode. All tunnels of a process add to one table, and
/// other processes read it at the same time.
#[derive(Debug, Default, PartialEq, FromBytes)]
#[repr(C)]
pub struct FrameCounts {
    /// Frames whose header was read, by opcode.
    frames: [Counter; 16],
    /// Payload bytes received, by opcode.
    bytes: [Counter; 16],
    /// Complete data messages.
    messages: Counter,
}

impl FrameCounts {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            frames: [const { Counter::new() }; 16],
            bytes: [const { Counter::new() }; 16],
            messages: Counter::new(),
        }
    }

    /// The counts of one opcode.
    pub fn kind(&self, opcode: Opcode) -> Kind {
        let row = usize::from(opcode.bits()) & 0x0f;
        Kind { frames: self.frames[row].get(), bytes: self.bytes[row].get() }
    }

    /// The sum over all opcodes.
    pub fn total(&self) -> Kind {
        let sum = |counters: &[Counter]| counters.iter().map(Counter::get).sum();
        Kind { frames: sum(&self.frames), bytes: sum(&self.bytes) }
    }

    /// Complete data messages.
    pub fn messages(&self) -> u64 {
        self.messages.get()
    }

    /// Adds the counts of another table.
    pub fn merge(&self, other: &Self) {
        for (own, more) in self.frames.iter().zip(&other.frames) {
            own.add(more.get());
        }
        for (own, more) in self.bytes.iter().zip(&other.bytes) {
            own.add(more.get());
        }
        self.messages.add(other.messages.get());
    }
}

impl Count for FrameCounts {
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

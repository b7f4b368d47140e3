//! Frames of one direction, counted by kind.

use websocket_tunnel::frame::{Count, Opcode};
use zerocopy::FromBytes;

use crate::counter::Counter;

/// Frames and payload bytes of one opcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Frames whose header was seen.
    pub frames: u64,
    /// Payload bytes that came, whatever the headers promised.
    pub bytes: u64,
}

/// What came from one end, by kind of frame. All tunnels of a process add to one table, and other
/// processes look at it meanwhile.
#[derive(Debug, Default, PartialEq, FromBytes)]
#[repr(C)]
pub struct FrameCounts {
    /// Frames whose header was seen, by opcode.
    frames: [Counter; 16],
    /// Payload bytes that came, by opcode.
    bytes: [Counter; 16],
    /// Data messages that are complete.
    messages: Counter,
}

impl FrameCounts {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            frames: [const { Counter::new() }; 16],
            bytes: [const { Counter::new() }; 16],
            messages: Counter::new(),
        }
    }

    /// What came with one opcode.
    pub fn kind(&self, opcode: Opcode) -> Kind {
        let row = usize::from(opcode.bits()) & 0x0f;
        Kind { frames: self.frames[row].get(), bytes: self.bytes[row].get() }
    }

    /// All opcodes together.
    pub fn total(&self) -> Kind {
        let sum = |counters: &[Counter]| counters.iter().map(Counter::get).sum();
        Kind { frames: sum(&self.frames), bytes: sum(&self.bytes) }
    }

    /// Data messages that are complete.
    pub fn messages(&self) -> u64 {
        self.messages.get()
    }

    /// Adds what another table holds.
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

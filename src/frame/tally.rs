//! Counting frames.

use super::Opcode;

/// Frames and payload bytes of one opcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Frames whose header was seen.
    pub frames: u64,
    /// Payload bytes that came, whatever the headers promised.
    pub bytes: u64,
}

/// What came from one end, by kind of frame. A [`Scanner`](super::Scanner) adds to the table it
/// is given, so many streams can share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames whose header was seen, by opcode.
    frames: [u64; 16],
    /// Payload bytes that came, by opcode.
    bytes: [u64; 16],
    /// Data messages that are complete.
    pub messages: u64,
}

impl Tally {
    /// What came with one opcode.
    pub fn kind(&self, opcode: Opcode) -> Kind {
        let row = usize::from(opcode.bits() & 0x0f);
        Kind { frames: self.frames[row], bytes: self.bytes[row] }
    }

    /// All opcodes together.
    pub fn total(&self) -> Kind {
        Kind { frames: self.frames.iter().sum(), bytes: self.bytes.iter().sum() }
    }

    #[inline]
    pub(super) fn add(&mut self, opcode: Opcode, frames: u64, bytes: u64) {
        let row = usize::from(opcode.bits() & 0x0f);
        self.frames[row] += frames;
        self.bytes[row] += bytes;
    }
}

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
    /// One row for each opcode.
    pub(super) kinds: [Kind; 16],
    /// Data messages that are complete.
    pub messages: u64,
}

impl Tally {
    /// The row of one opcode.
    pub fn kind(&self, opcode: Opcode) -> Kind {
        *self.at(opcode)
    }

    /// All opcodes together.
    pub fn total(&self) -> Kind {
        self.kinds.iter().fold(Kind::default(), |sum, kind| Kind {
            frames: sum.frames + kind.frames,
            bytes: sum.bytes + kind.bytes,
        })
    }

    fn at(&self, opcode: Opcode) -> &Kind {
        &self.kinds[usize::from(opcode.bits() & 0x0f)]
    }

    pub(super) fn at_mut(&mut self, opcode: Opcode) -> &mut Kind {
        &mut self.kinds[usize::from(opcode.bits() & 0x0f)]
    }
}

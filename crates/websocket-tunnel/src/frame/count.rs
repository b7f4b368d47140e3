//! Counting frames.

use super::Opcode;

/// Counts the frames that a [`Scanner`](super::Scanner) follows; `()` counts nothing.
///
/// It is called with a shared reference, so that many streams can share one counter while others
/// read it: in cells, atomics or memory shared with other processes.
pub trait Count {
    /// Adds frames of one opcode whose header was read, and payload bytes of such frames that
    /// arrived, whatever length the headers announced.
    fn add(&self, opcode: Opcode, frames: u64, bytes: u64);

    /// Adds complete data messages.
    fn add_messages(&self, messages: u64);
}

impl Count for () {
    #[inline]
    fn add(&self, _opcode: Opcode, _frames: u64, _bytes: u64) {}

    #[inline]
    fn add_messages(&self, _messages: u64) {}
}

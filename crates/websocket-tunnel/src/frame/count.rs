//! Counting frames.

use super::Opcode;

/// What counts the frames that a [`Scanner`](super::Scanner) follows; `()` counts nothing.
///
/// It is called with a shared reference, so that many streams can share one, and others can look
/// at it meanwhile: in cells, atomics or memory shared with other processes.
pub trait Count {
    /// Adds frames of one opcode whose header was seen, and payload bytes of such frames that came,
    /// whatever the headers promised.
    fn add(&self, opcode: Opcode, frames: u64, bytes: u64);

    /// Adds data messages that are complete.
    fn add_messages(&self, messages: u64);
}

impl Count for () {
    #[inline]
    fn add(&self, _opcode: Opcode, _frames: u64, _bytes: u64) {}

    #[inline]
    fn add_messages(&self, _messages: u64) {}
}

//! What a session requires of its driver.

use super::{End, Event};
use crate::frame::Count;

/// The result of sending bytes to an end.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All are written, and all that were buffered before them.
    Written,
    /// Some are buffered: the socket takes no more now.
    Kept,
    /// The socket failed and will take nothing more.
    Failed,
}

/// Drives a session: owns the two connections and carries out the session's actions.
pub trait Driver {
    /// Counts frames; `()` counts nothing.
    type Count: Count;

    /// Writes `bytes` to the connection of `to`, after the bytes buffered for it, and buffers what
    /// the socket does not take.
    ///
    /// The bytes are part of the chunk passed to [`Session::on_bytes`](super::Session::on_bytes),
    /// usually all of it, or a frame of the session's own. After a failure for an end, this is not
    /// called for that end again.
    fn send(&mut self, to: End, bytes: &[u8]) -> Sent;

    /// Drops the bytes buffered for `to`: nothing more is to be written to it.
    fn discard(&mut self, to: End) {
        let _ = to;
    }

    /// Random bits that nobody can guess. They mask frames to the destination ("the masking key
    /// MUST be derived from a strong source of entropy", RFC 6455 section 5.3) and make the tokens
    /// of our Pings.
    fn random(&mut self) -> u64;

    /// The counters for frames received from `from`.
    fn count(&self, from: End) -> &Self::Count;

    /// How many of the bytes sent to `to` its host has not acknowledged yet, buffered bytes
    /// included. Queried when a Ping is sent, when its Pong is overdue, when bytes begin to wait
    /// and when they have waited too long: while the queue moves, a late Pong or waiting bytes
    /// prove nothing about the end.
    fn queued(&mut self, to: End) -> u64 {
        let _ = to;
        0
    }

    /// Whether the host of `to` is alive although its [`queued`](Self::queued) bytes do not move:
    /// it answers that it has no room for more. Queried before those bytes prove an end dead.
    fn is_held_off(&mut self, to: End) -> bool {
        let _ = to;
        false
    }

    /// Whether bytes of `from` are unread. Queried before an end is found dead or a tunnel idle: a
    /// delayed driver may see the timer before it sees the bytes.
    fn unread(&mut self, from: End) -> bool {
        let _ = from;
        false
    }

    /// Reports an event, for counters.
    fn event(&mut self, event: Event) {
        let _ = event;
    }
}

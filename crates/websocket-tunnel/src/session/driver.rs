//! What a session asks of whoever drives it.

use super::{End, Event};
use crate::frame::Count;

/// What a driver did with bytes for an end.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Wrote them, and whatever was kept before them.
    Written,
    /// Kept some of them: the socket takes no more now.
    Kept,
    /// The socket failed, and takes nothing more ever.
    Failed,
}

/// What drives a session: it owns the two connections, and does what the session wants.
pub trait Driver {
    /// What counts frames; `()` where nothing is counted.
    type Count: Count;

    /// Writes `bytes` to the connection of `to`, behind whatever is kept for it, and keeps what the
    /// socket does not take.
    ///
    /// The bytes are a part of the chunk that [`Session::on_bytes`](super::Session::on_bytes) was
    /// called with, mostly all of it, or a frame of the session's own. Once this has failed for an
    /// end, it is not called for that one again.
    fn send(&mut self, to: End, bytes: &[u8]) -> Sent;

    /// Drops what is kept for `to`: nothing more is to be written to it.
    fn discard(&mut self, to: End) {
        let _ = to;
    }

    /// Random bits that nobody can guess: they mask what goes to the destination ("the masking
    /// key MUST be derived from a strong source of entropy", RFC 6455 section 5.3) and make the
    /// tokens of our Pings.
    fn random(&mut self) -> u64;

    /// What counts the frames that come from `from`.
    fn count(&self, from: End) -> &Self::Count;

    /// How many of the bytes sent towards `to` its host has not acknowledged yet, those kept by
    /// the driver included. Asked when a Ping goes out and when its Pong is overdue, when bytes
    /// begin to wait and when they have waited too long: as long as the queue moves, neither says
    /// anything about the end.
    fn queued(&mut self, to: End) -> u64 {
        let _ = to;
        0
    }

    /// Whether the host of `to`, where [`queued`](Self::queued) bytes do not move, has answered all
    /// the same: it has no room for more. Asked before an end is found dead by those bytes.
    fn is_held_off(&mut self, to: End) -> bool {
        let _ = to;
        false
    }

    /// Whether bytes of `from` lie unread. Asked before an end is found dead or a tunnel idle: a
    /// driver that was held up may hear of the time before it hears of the bytes.
    fn unread(&mut self, from: End) -> bool {
        let _ = from;
        false
    }

    /// Something happened that counters may want to know.
    fn event(&mut self, event: Event) {
        let _ = event;
    }
}

//! What a session reports to its owner.

use crate::frame::FrameError;
use std::fmt;

/// One of the two ends of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end that opened the tunnel; its frames are masked.
    Client = 0,
    /// The application.
    Destination = 1,
}

impl End {
    /// Both ends.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Destination];

    /// The other end.
    #[inline]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Destination,
            Self::Destination => Self::Client,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Destination => "destination",
        })
    }
}

/// What the owner of a tunnel does after a call, once the bytes of that call are written.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Continue; the timer needs no change.
    Keep,
    /// Continue; the timer may have to fire earlier.
    Timer,
    /// Continue as after [`Timer`](Self::Timer), and read each end for which
    /// [`Session::is_last`](super::Session::is_last) is true until a read finds nothing, even if
    /// its socket was not reported readable: the bytes it has sent until now are the last that
    /// pass. Then call [`Session::on_rest`](super::Session::on_rest).
    Rest,
    /// Close both connections. Bytes that cannot be written at once are lost.
    Close,
}

/// Why a tunnel ended: the first cause counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client sent a Close frame or closed its connection.
    Client,
    /// The destination sent a Close frame or closed its connection.
    Destination,
    /// The owner drained it, because the worker shuts down.
    Drain,
    /// The tunnel reached its maximum age.
    MaxAge,
    /// This end was dead; its [`Proof`] says why.
    Dead(End),
    /// Nothing passed for too long.
    Idle,
    /// This end took no bytes for too long.
    SendTimeout(End),
    /// The connection of this end failed.
    Error(End),
}

/// Each reason with its word, for logs and labels, and its description, for documentation, in the
/// order of [`Reason::index`].
const REASONS: [(Reason, &str, &str); 11] = [
    (Reason::Client, "client", "the client sent a Close or closed its connection"),
    (Reason::Destination, "destination", "the destination sent a Close or closed its connection"),
    (Reason::Drain, "drain", "the proxy shut down or was reloaded (`drain`)"),
    (Reason::MaxAge, "max_age", "the tunnel reached its maximum age (`max_age`)"),
    (
        Reason::Dead(End::Client),
        "dead_client",
        "the client did not answer a Ping in time, or its host acknowledged nothing \
         (`pong_timeout`)",
    ),
    (
        Reason::Dead(End::Destination),
        "dead_destination",
        "the host of the destination acknowledged nothing (`pong_timeout`), or the destination did \
         not answer a Ping in time (`pong_timeout` with `destination=`)",
    ),
    (Reason::Idle, "idle_timeout", "only Pings of the proxy and their Pongs passed (`idle_timeout`)"),
    (
        Reason::SendTimeout(End::Client),
        "client_send_timeout",
        "the client took none of the bytes sent to it (`send_timeout`)",
    ),
    (
        Reason::SendTimeout(End::Destination),
        "destination_send_timeout",
        "the destination took none of the bytes sent to it (`send_timeout`)",
    ),
    (Reason::Error(End::Client), "client_error", "the connection to the client failed"),
    (
        Reason::Error(End::Destination),
        "destination_error",
        "the connection to the destination failed",
    ),
];

impl Reason {
    /// All reasons.
    pub const ALL: [Self; REASONS.len()] = {
        let mut all = [Self::Client; REASONS.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = REASONS[index].0;
            index += 1;
        }
        all
    };

    /// The position of the reason in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Destination => 1,
            Self::Drain => 2,
            Self::MaxAge => 3,
            Self::Dead(end) => 4 + end as usize,
            Self::Idle => 6,
            Self::SendTimeout(end) => 7 + end as usize,
            Self::Error(end) => 9 + end as usize,
        }
    }

    /// The reason as one word, for logs and labels.
    pub const fn as_str(self) -> &'static str {
        REASONS[self.index()].1
    }

    /// The description for documentation: a clause in Markdown that names the setting.
    pub const fn about(self) -> &'static str {
        REASONS[self.index()].2
    }

    /// The reason when `end` closed first.
    pub(super) const fn closed_by(end: End) -> Self {
        match end {
            End::Client => Self::Client,
            End::Destination => Self::Destination,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Proof that an end is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It did not answer a Ping although it could have.
    Pong,
    /// Its host has acknowledged none of the bytes sent to it.
    Unacknowledged,
}

impl Proof {
    /// The proof as one word, for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pong => "pong",
            Self::Unacknowledged => "unacknowledged",
        }
    }
}

/// An event inside a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A Ping of ours was sent to this end.
    Pinged(End),
    /// The Pong of this end to a Ping of ours was removed from the stream.
    Ponged(End),
    /// The bytes of this end are no frames: the tunnel is a passthrough from now on.
    Passthrough(End, FrameError),
    /// A Close frame of this end passed, with its code if it has one.
    CloseSeen(End, Option<u16>),
    /// A Close frame of ours was sent to this end.
    CloseSent(End, u16),
    /// This end was found dead, after this many milliseconds.
    Died(End, Proof, u64),
}

/// The traffic of one end of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received from it.
    pub received: u64,
    /// Bytes sent to it, inserted frames included.
    pub sent: u64,
    /// Frames received from it.
    pub frames: u64,
    /// Pings inserted towards it.
    pub pings: u32,
}

/// The result of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Why it ended, or `None` while nothing has ended it.
    pub reason: Option<Reason>,
    /// The proof, if the reason is a dead end.
    pub proof: Option<Proof>,
    /// The status code of the first Close frame in either direction, ours included, if it has one.
    pub code: Option<u16>,
    /// The client.
    pub client: Traffic,
    /// The destination.
    pub destination: Traffic,
    /// Whether the frames of an end could not be followed.
    pub passthrough: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_and_a_word_of_its_own() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason}");
            let alike = Reason::ALL.iter().filter(|other| other.as_str() == reason.as_str());
            assert_eq!(alike.count(), 1, "{reason}");
        }
    }
}

//! What a session says to whoever owns it.

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

/// What the owner of a tunnel does after a call, once what the call brought is written.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on; the timer is good as it is.
    Keep,
    /// Go on; the timer may have to fire earlier than it was set.
    Timer,
    /// Go on as after [`Timer`](Self::Timer), and read each end that
    /// [`Session::is_last`](super::Session::is_last) names to where nothing is left, whatever is
    /// known of its socket: what it has sent until now is the last that passes.
    /// [`Session::on_rest`](super::Session::on_rest) is to be called then.
    Rest,
    /// Close both connections. What cannot be written at once is lost.
    Close,
}

/// Why a tunnel ended: whatever came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client sent a Close frame or closed its connection.
    Client,
    /// The destination did.
    Destination,
    /// The worker is leaving.
    Drain,
    /// The tunnel had reached its age.
    MaxAge,
    /// This end was dead, as its [`Proof`] says.
    Dead(End),
    /// Nothing passed for too long.
    Idle,
    /// This end took nothing for too long.
    SendTimeout(End),
    /// The connection of this end failed.
    Error(End),
}

/// Each reason with its word, for logs and labels, and what happened, for documentation, in the
/// order of [`Reason::index`].
const REASONS: [(Reason, &str, &str); 11] = [
    (Reason::Client, "client", "the client sent a Close or closed its connection"),
    (Reason::Destination, "destination", "the destination sent a Close or closed its connection"),
    (Reason::Drain, "drain", "the proxy stops or was reloaded (`drain`)"),
    (Reason::MaxAge, "max_age", "it had reached its age (`max_age`)"),
    (
        Reason::Dead(End::Client),
        "dead_client",
        "the client owed a Pong that did not come, or its host acknowledged nothing \
         (`pong_timeout`)",
    ),
    (Reason::Dead(End::Destination), "dead_destination", "the same of the destination"),
    (Reason::Idle, "idle_timeout", "nothing but Pings of the proxy passed (`idle_timeout`)"),
    (
        Reason::SendTimeout(End::Client),
        "client_send_timeout",
        "the client took nothing of what was sent to it (`send_timeout`)",
    ),
    (
        Reason::SendTimeout(End::Destination),
        "destination_send_timeout",
        "the same of the destination",
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

    /// Where the reason stands in [`ALL`](Self::ALL).
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

    /// What happened, for documentation: a clause in Markdown, with the setting that leads to it.
    pub const fn about(self) -> &'static str {
        REASONS[self.index()].2
    }

    /// The reason when `end` is the one that closed.
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

/// What proves that an end is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It did not answer a Ping, and could have.
    Pong,
    /// Its host has acknowledged nothing that was sent to it.
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

/// Something that happened inside a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A Ping of ours was sent to this end.
    Pinged(End),
    /// The Pong of this end to a Ping of ours was taken out.
    Ponged(End),
    /// What this end sends cannot be followed: the tunnel is a passthrough from now on.
    Passthrough(End, FrameError),
    /// A Close frame of this end went by, with its code if it had one.
    CloseSeen(End, Option<u16>),
    /// A Close frame of ours was sent to this end.
    CloseSent(End, u16),
    /// This end was found dead, after so many milliseconds.
    Died(End, Proof, u64),
}

/// What one end of a tunnel did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes sent towards it, ours included.
    pub sent: u64,
    /// Frames that came from it.
    pub frames: u64,
    /// Pings of ours sent to it.
    pub pings: u32,
}

/// What there is to say about a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Why it ended, or none if nothing has ended it yet.
    pub reason: Option<Reason>,
    /// What proved that, where an end was dead.
    pub proof: Option<Proof>,
    /// The status code of the first Close frame either way, ours included, if it had one.
    pub code: Option<u16>,
    /// The client.
    pub client: Traffic,
    /// The destination.
    pub destination: Traffic,
    /// Whether a stream could not be followed to its end.
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

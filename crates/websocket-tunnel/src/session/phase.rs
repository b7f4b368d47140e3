//! The phases of a tunnel.

use super::closing::Drain;

/// Each phase carries the data that only it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Bytes pass, until the planned drain begins.
    Open(Plan),
    /// Waits until both directions are between messages; then our Close gets `handshake` to be
    /// answered.
    Grace { until: Moment, handshake: u32 },
    /// Waits for any frame boundary towards the client.
    Late { until: Moment },
    /// Our Close was sent to the client. The destination gets a Close when the client's arrives, or
    /// at `until` if the client is silent; then it has `parting` to answer.
    Asked { until: Moment, parting: u32 },
    /// Waits for the answers that the ends still owe.
    Parting(Parting),
    /// One end has closed its connection. The remaining bytes of both ends are being written.
    Flush { until: Moment },
    /// The tunnel is closed.
    Over,
}

/// A point in time, in milliseconds; `u64::MAX` for never. Packed, so that a phase takes 20 bytes
/// instead of 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
pub(super) struct Moment(pub u64);

impl Moment {
    /// This many milliseconds later.
    pub fn after(self, milliseconds: u32) -> Self {
        Self(self.0.saturating_add(milliseconds.into()))
    }

    /// This many milliseconds earlier.
    pub fn before(self, milliseconds: u32) -> Self {
        Self(self.0.saturating_sub(milliseconds.into()))
    }

    /// The time from `since`, which is not later, to this point.
    pub fn since(self, since: Self) -> u32 {
        short(self.0 - since.0)
    }
}

/// A planned drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// When it begins.
    pub at: Moment,
    /// How long to wait for a message boundary.
    pub grace: u32,
    /// How long to wait for answers to our Close.
    pub handshake: u32,
}

/// The wait for answers to our Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parting {
    /// When the tunnel is closed without them.
    pub until: Moment,
    /// How much longer that may be extended while bytes to an end are buffered,
    pub more: u32,
    /// and by how much at a time.
    pub step: u32,
    /// Whether our Close goes to each end at the next boundary towards it.
    pub eager: bool,
}

impl Plan {
    pub fn of(drain: &Drain) -> Self {
        let (grace, handshake) = (short(drain.grace), short(drain.handshake));
        Self { at: Moment(drain.at), grace, handshake }
    }

    pub fn grace_end(self) -> Moment {
        self.at.after(self.grace)
    }

    /// The latest time at which the tunnel is over.
    pub fn end(self) -> Moment {
        self.grace_end().after(self.handshake)
    }

    /// The plan `other`, made no later and no longer than this one.
    pub fn sooner(self, other: Self) -> Self {
        let at = self.at.min(other.at);
        let time = self.end().min(other.end()).since(at);
        let grace = other.grace.min(time);
        Self { at, grace, handshake: other.handshake.min(time - grace) }
    }
}

impl Parting {
    /// Waits until a time that is not extended.
    pub fn until(until: Moment) -> Self {
        Self { until, more: 0, step: 0, eager: false }
    }
}

impl Phase {
    /// When the phase ends, whatever happens.
    pub fn until(self) -> Moment {
        match self {
            Self::Open(plan) => plan.at,
            Self::Grace { until, .. }
            | Self::Late { until }
            | Self::Asked { until, .. }
            | Self::Parting(Parting { until, .. })
            | Self::Flush { until } => until,
            Self::Over => Moment(u64::MAX),
        }
    }

    /// The latest time at which the tunnel is over, if nothing new happens.
    pub fn hard_end(self) -> Moment {
        match self {
            Self::Open(plan) => plan.end(),
            Self::Grace { until, handshake } => until.after(handshake),
            Self::Asked { until, parting } => until.after(parting),
            Self::Parting(Parting { until, more, .. }) => until.after(more),
            Self::Late { until } | Self::Flush { until } => until,
            Self::Over => Moment(u64::MAX),
        }
    }
}

/// Milliseconds in 32 bits; 49 days are as good as never.
pub(super) fn short(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds).unwrap_or(u32::MAX)
}

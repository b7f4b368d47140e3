//! Where a tunnel is on its way to the end.

use super::closing::Drain;

/// Each phase carries what is known in it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything passes, until the drain that is planned.
    Open(Plan),
    /// Waits until both directions stand between messages; then a Close has `handshake` to be
    /// answered.
    Grace { until: Moment, handshake: u32 },
    /// Waits for any boundary towards the client.
    Late { until: Moment },
    /// Our Close has gone to the client, and the destination hears of it when the client's comes.
    /// A client that says nothing is not waited for any longer than `until`; the destination has
    /// `parting` to answer then.
    Asked { until: Moment, parting: u32 },
    /// Waits for whatever each end still owes.
    Parting(Parting),
    /// One end has closed its connection; what it had sent is being written, and what the other had
    /// sent until then.
    Flush { until: Moment },
    /// Nothing more is to be done.
    Over,
}

/// A point in time, in milliseconds; `u64::MAX` for never. Packed, so that a phase takes 20 bytes
/// and not 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
pub(super) struct Moment(pub u64);

impl Moment {
    /// So many milliseconds later.
    pub fn after(self, milliseconds: u32) -> Self {
        Self(self.0.saturating_add(milliseconds.into()))
    }

    /// So many milliseconds earlier.
    pub fn before(self, milliseconds: u32) -> Self {
        Self(self.0.saturating_sub(milliseconds.into()))
    }

    /// How long it is to this point from `since`, which is not later.
    pub fn since(self, since: Self) -> u32 {
        short(self.0 - since.0)
    }
}

/// A drain that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// When it begins.
    pub at: Moment,
    /// How long to wait for a message boundary.
    pub grace: u32,
    /// How long to wait for answers to our Close.
    pub handshake: u32,
}

/// What there is to wait for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parting {
    /// When the tunnel is given up.
    pub until: Moment,
    /// How long that may be put off while an end is still being written to,
    pub more: u32,
    /// and by how much at a time.
    pub step: u32,
    /// Whether each end gets our Close at the next boundary towards it.
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

    /// When the tunnel is over at the latest.
    pub fn end(self) -> Moment {
        self.grace_end().after(self.handshake)
    }

    /// As `other`, but neither later nor longer than this.
    pub fn sooner(self, other: Self) -> Self {
        let at = self.at.min(other.at);
        let time = self.end().min(other.end()).since(at);
        let grace = other.grace.min(time);
        Self { at, grace, handshake: other.handshake.min(time - grace) }
    }
}

impl Parting {
    /// Until a point in time that is not put off.
    pub fn until(until: Moment) -> Self {
        Self { until, more: 0, step: 0, eager: false }
    }
}

impl Phase {
    /// When the phase is over, whatever happens.
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

    /// When the tunnel is over at the latest, if nothing new happens.
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

/// Milliseconds as they are stored; 49 days are as good as never.
pub(super) fn short(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds).unwrap_or(u32::MAX)
}

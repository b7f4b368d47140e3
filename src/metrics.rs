//! The metrics of an instance: one snapshot for all formats.
//!
//! Each process counts in its [`Slot`]; [`sum`] adds the slots up; a [`Snapshot`] is this sum with
//! the other data of the instance, as JSON through serde, or as text for Prometheus
//! ([`exposition`]).

mod accept;
mod destination;
mod exposition;
mod frames;
mod histogram;
mod slot;

pub use accept::quality;
pub use destination::{Destination, Health};
pub use exposition::{exposition, Text};
pub use frames::{FrameCounts, Kind};
pub use histogram::{Bucket, Histogram, Times, DURATION, HANDSHAKE};
pub use slot::{
    claim, enders, sum, Counts, Left, Owner, RefusedBy, Slot, Sum, WorkerStatus, CODES,
};

use serde::{Serialize, Serializer};
use websocket_tunnel::frame::Opcode;
use websocket_tunnel::End;

use crate::registry::{StatusPart, Total};

/// The status page; it requests the snapshot as JSON.
pub const PAGE: &str = include_str!("metrics/status.html");

/// The status of an instance.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Version of this module.
    pub module: &'static str,
    /// Version of nginx.
    pub nginx: String,
    /// When it started, in seconds since 1970.
    pub started: u64,
    /// Its uptime in seconds.
    pub uptime: u64,
    /// Whether it should receive traffic.
    pub health: Health,
    /// Number of the newest configuration: 1, plus one for each reload.
    pub generation: u64,
    /// The worker processes.
    pub workers: Vec<WorkerStatus>,
    /// The WebSockets.
    pub websockets: WebSockets,
    /// Counters without labels.
    #[serde(flatten)]
    pub totals: Totals,
    /// The destinations of requests.
    pub destinations: Vec<Destination>,
    /// The settings in effect, by name.
    pub settings: SettingsInEffect,
}

/// Names and values, in a fixed order.
#[derive(Clone, Debug, Default)]
pub struct SettingsInEffect(pub Vec<(String, String)>);

impl Serialize for SettingsInEffect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The totals of one part of `/status`.
#[derive(Clone, Debug)]
pub struct Totals(Vec<(&'static str, Total, u64)>);

impl Totals {
    /// Counters without labels.
    pub fn of(counts: &Counts, part: StatusPart) -> Self {
        Self(part.totals().map(|(name, _, total)| (name, total, counts.total(total))).collect())
    }
}

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, _, number)| (name, number)))
    }
}

impl Snapshot {
    /// The value of a total.
    pub fn total(&self, total: Total) -> u64 {
        let mut all = self.totals.0.iter().chain(&self.websockets.totals.0);
        all.find(|(_, one, _)| *one == total).map_or(0, |(_, _, number)| *number)
    }
}

/// The WebSockets of all processes since the start.
#[derive(Clone, Debug, Serialize)]
pub struct WebSockets {
    /// Open tunnels.
    pub active: u64,
    /// Tunnels opened.
    pub opened: u64,
    /// Counters without labels.
    #[serde(flatten)]
    pub totals: Totals,
    /// Upgraded connections that nginx's own copying handles.
    pub left_to_nginx: u64,
    /// The same, by reason.
    pub left_by_reason: Vec<Labelled>,
    /// Refused handshakes.
    pub refused: u64,
    /// The same, by reason.
    pub refused_by_reason: Vec<Labelled>,
    /// Bytes buffered for peers that read slowly.
    pub buffered_bytes: u64,
    /// Tunnels that ended; combinations without any are left out.
    pub closed: Vec<Closed>,
    /// The traffic of clients.
    pub client: Side,
    /// The traffic of destinations.
    pub destination: Side,
    /// How long tunnels were open.
    pub duration_seconds: Times,
    /// How long destinations took to answer with a 101.
    pub handshake_seconds: Times,
}

/// A count with its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Labelled {
    /// The label.
    pub label: &'static str,
    /// The count.
    pub count: u64,
}

/// Tunnels that ended with the same reason and code class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// Why they ended, as `close_reason` of `websocket_log`.
    pub reason: &'static str,
    /// The class of the status code of the first Close frame.
    pub code: &'static str,
    /// Their number.
    pub count: u64,
}

/// The traffic of one end of all tunnels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Frames received from it.
    pub frames: Kinds,
    /// Their payload bytes.
    pub bytes: Kinds,
    /// Complete messages.
    pub messages: u64,
    /// Pings inserted towards it.
    pub pings: u64,
    /// Pongs received for those Pings.
    pub pongs: u64,
    /// How often it was dead because it did not answer a Ping in time.
    pub pongs_missed: u64,
}

/// Counts by kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Kinds {
    /// First frames of text messages.
    pub text: u64,
    /// First frames of binary messages.
    pub binary: u64,
    /// Continuation frames.
    pub continuation: u64,
    /// Close frames.
    pub close: u64,
    /// Pings.
    pub ping: u64,
    /// Pongs.
    pub pong: u64,
    /// Reserved opcodes.
    pub other: u64,
}

impl Kinds {
    fn of(frames: &FrameCounts, number: impl Fn(Kind) -> u64) -> Self {
        let kind = |opcode| number(frames.kind(opcode));
        let known = Self {
            text: kind(Opcode::TEXT),
            binary: kind(Opcode::BINARY),
            continuation: kind(Opcode::CONTINUATION),
            close: kind(Opcode::CLOSE),
            ping: kind(Opcode::PING),
            pong: kind(Opcode::PONG),
            other: 0,
        };
        let sum: u64 = known.by_name().iter().map(|(_, number)| number).sum();
        // another process may count between the reads
        Self { other: number(frames.total()).saturating_sub(sum), ..known }
    }

    /// The counts with their names.
    pub fn by_name(&self) -> [(&'static str, u64); 7] {
        [
            ("text", self.text),
            ("binary", self.binary),
            ("continuation", self.continuation),
            ("close", self.close),
            ("ping", self.ping),
            ("pong", self.pong),
            ("other", self.other),
        ]
    }
}

impl Side {
    fn of(counts: &Counts, end: End) -> Self {
        let frames = counts.frames(end);
        let (pings, pongs) = counts.pings(end);
        Self {
            frames: Kinds::of(frames, |kind| kind.frames),
            bytes: Kinds::of(frames, |kind| kind.bytes),
            messages: frames.messages(),
            pings,
            pongs,
            pongs_missed: counts.pongs_missed(end),
        }
    }
}

impl WebSockets {
    /// The frame counts of a sum.
    pub fn of(Sum { counts, workers }: &Sum) -> Self {
        let labelled = |label, count| Labelled { label, count };
        let left: Vec<_> =
            Left::ALL.iter().map(|why| labelled(why.as_str(), counts.left(*why))).collect();
        let refused: Vec<_> =
            RefusedBy::ALL.iter().map(|by| labelled(by.as_str(), counts.refused(*by))).collect();
        let total = |all: &[Labelled]| all.iter().map(|one| one.count).sum();
        Self {
            active: workers.iter().map(|worker| worker.active).sum(),
            opened: counts.opened.get(),
            totals: Totals::of(counts, StatusPart::WebSockets),
            left_to_nginx: total(&left),
            left_by_reason: left,
            refused: total(&refused),
            refused_by_reason: refused,
            buffered_bytes: workers.iter().map(|worker| worker.buffered_bytes).sum(),
            closed: counts
                .closed()
                .filter(|(_, _, count)| *count > 0)
                .map(|(reason, code, count)| Closed { reason, code, count })
                .collect(),
            client: Side::of(counts, End::Client),
            destination: Side::of(counts, End::Destination),
            duration_seconds: counts.duration.times(&DURATION),
            handshake_seconds: counts.handshake.times(&HANDSHAKE),
        }
    }
}

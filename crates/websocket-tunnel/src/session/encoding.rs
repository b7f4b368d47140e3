//! A session as bytes, field by field.

use super::phase::{Moment, Parting, Phase, Plan};
use super::{End, Proof, Reason, Session, Side, Tail};
use crate::encoding::{DecodeError, Reader, Writer, LEN};
use crate::frame::Scanner;

/// The values in the order of their numbers.
const TAILS: [Tail; 3] = [Tail::Open, Tail::Theirs, Tail::Ours];
const PROOFS: [Option<Proof>; 3] = [None, Some(Proof::Pong), Some(Proof::Unacknowledged)];
/// None, then [`Reason::ALL`].
const REASONS: [Option<Reason>; 1 + Reason::ALL.len()] = {
    let mut reasons = [None; 1 + Reason::ALL.len()];
    let mut index = 0;
    while index < Reason::ALL.len() {
        reasons[index + 1] = Some(Reason::ALL[index]);
        index += 1;
    }
    reasons
};

impl Session {
    /// The version of the format that [`encode`](Self::encode) writes and [`decode`](Self::decode)
    /// reads, which is the first byte of it.
    ///
    /// It changes whenever the fields, their order or their meaning change.
    pub const FORMAT: u8 = 1;

    /// Length of an encoded session in bytes.
    pub const ENCODED_LEN: usize = LEN;

    /// The session as bytes, from which another process can continue it: see the
    /// [crate](crate#moving-a-session-to-another-process). The session itself is not changed.
    pub fn encode(&self) -> [u8; Self::ENCODED_LEN] {
        // without `..`, so that no field is forgotten
        let Self {
            sides,
            secret,
            active,
            excused,
            code,
            close_code,
            reason,
            proof,
            is_drained,
            phase,
        } = self;
        let mut out = Writer::new();
        out.u8(Self::FORMAT);
        for side in sides {
            side.encode(&mut out);
        }
        out.u64(*secret);
        out.u64(*active);
        out.u32(*excused);
        out.u16(*code);
        out.u16(*close_code);
        out.one_of(&REASONS, reason);
        out.one_of(&PROOFS, proof);
        out.bool(*is_drained);
        phase.encode(&mut out);
        out.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote, perhaps in another process.
    ///
    /// This does not panic, whatever the bytes are, and everything that holds for other sessions
    /// between two calls holds for the decoded one. Call [`reconfigure`](Self::reconfigure) on it
    /// before anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let version = input.u8("version")?;
        if version != Self::FORMAT {
            return Err(DecodeError::Version(version));
        }
        let client = Side::decode(&mut input, End::Client)?;
        let destination = Side::decode(&mut input, End::Destination)?;
        input.end = None;
        let session = Self {
            sides: [client, destination],
            secret: input.u64("secret")?,
            active: input.u64("active")?,
            excused: input.u32("excused")?,
            code: input.u16("code")?,
            close_code: input.u16("close_code")?,
            reason: input.one_of(&REASONS, "reason")?,
            proof: input.one_of(&PROOFS, "proof")?,
            is_drained: input.bool("is_drained")?,
            phase: Phase::decode(&mut input)?,
        };
        input.finish()?;
        session.check().map_err(DecodeError::Invalid)?;
        Ok(session)
    }
}

impl Side {
    fn encode(&self, out: &mut Writer) {
        let Self {
            scanner,
            last,
            asked,
            moved,
            received,
            sent,
            pings,
            foreign,
            foreign_at,
            acked,
            ping_end,
            held,
            flags,
            tail,
        } = self;
        scanner.encode(out);
        out.u64(*last);
        out.u64(*asked);
        out.u64(*moved);
        out.count(*received);
        out.count(*sent);
        out.u32(*pings);
        out.u32(*foreign);
        out.u32(*foreign_at);
        out.u32(*acked);
        out.u32(*ping_end);
        out.u8(*held);
        out.u16(*flags);
        out.one_of(&TAILS, tail);
    }

    fn decode(input: &mut Reader<'_>, end: End) -> Result<Self, DecodeError> {
        input.end = Some(end);
        let blank = match end {
            End::Client => Scanner::of_client(),
            End::Destination => Scanner::of_server(),
        };
        Ok(Self {
            scanner: Scanner::decode(input, blank)?,
            last: input.u64("last")?,
            asked: input.u64("asked")?,
            moved: input.u64("moved")?,
            received: input.count("received")?,
            sent: input.count("sent")?,
            pings: input.u32("pings")?,
            foreign: input.u32("foreign")?,
            foreign_at: input.u32("foreign_at")?,
            acked: input.u32("acked")?,
            ping_end: input.u32("ping_end")?,
            held: input.u8("held")?,
            flags: input.u16("flags")?,
            tail: input.one_of(&TAILS, "tail")?,
        })
    }
}

/// The layout of all phases; values that a phase does not have are 0.
#[derive(PartialEq)]
struct Parts {
    number: u8,
    until: u64,
    times: [u32; 2],
    eager: bool,
}

impl Phase {
    fn parts(self) -> Parts {
        let (number, until, times, eager) = match self {
            Self::Open(Plan { at, grace, handshake }) => (0, at, [grace, handshake], false),
            Self::Grace { until, handshake } => (1, until, [handshake, 0], false),
            Self::Late { until } => (2, until, [0, 0], false),
            Self::Asked { until, parting } => (3, until, [parting, 0], false),
            Self::Parting(Parting { until, more, step, eager }) => (4, until, [more, step], eager),
            Self::Flush { until } => (5, until, [0, 0], false),
            Self::Over => (6, Moment(0), [0, 0], false),
        };
        Parts { number, until: until.0, times, eager }
    }

    fn encode(self, out: &mut Writer) {
        let Parts { number, until, times, eager } = self.parts();
        out.u8(number);
        out.u64(until);
        times.into_iter().for_each(|time| out.u32(time));
        out.bool(eager);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let parts = Parts {
            number: input.u8("phase")?,
            until: input.u64("phase.until")?,
            times: [input.u32("phase.times")?, input.u32("phase.times")?],
            eager: input.bool("phase.eager")?,
        };
        let (until, [first, second], eager) = (Moment(parts.until), parts.times, parts.eager);
        let phase = match parts.number {
            0 => Self::Open(Plan { at: until, grace: first, handshake: second }),
            1 => Self::Grace { until, handshake: first },
            2 => Self::Late { until },
            3 => Self::Asked { until, parting: first },
            4 => Self::Parting(Parting { until, more: first, step: second, eager }),
            5 => Self::Flush { until },
            6 => Self::Over,
            _ => return Err(input.invalid("phase")),
        };
        let Parts { until, times, eager, .. } = phase.parts();
        let fits = [
            ("phase.until", until == parts.until),
            ("phase.times", times == parts.times),
            ("phase.eager", eager == parts.eager),
        ];
        match fits.into_iter().find(|(_, fits)| !fits) {
            Some((name, _)) => Err(input.invalid(name)),
            None => Ok(phase),
        }
    }
}

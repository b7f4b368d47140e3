//! One tunnel as a state machine; the crate's documentation tells how to drive it.

mod clock;
mod closing;
mod driver;
mod phase;
mod settings;
mod stream;
mod summary;

pub use closing::Drain;
pub use driver::{Driver, Sent};
pub use settings::SessionSettings;
pub use summary::{End, Event, Next, Proof, Reason, Summary, Traffic};

use crate::frame::Scanner;
use phase::{short, Moment, Phase, Plan};

/// Who closed the stream of frames towards an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nobody: frames may follow.
    Open,
    /// The other end; what else it sends passes as it is.
    Theirs,
    /// We did; what the other end sends is dropped, for nothing may follow a Close.
    Ours,
}

/// All that is known about one end.
#[derive(Clone, Debug)]
struct Side {
    /// Follows what the end sends.
    scanner: Scanner,
    /// When it last showed life: sent a byte, or took one that had to wait.
    last: u64,
    /// When it was last asked for a sign of life, 0 for never.
    asked: u64,
    /// When the socket last took some of what is kept for it, while `BLOCKED` is set.
    moved: u64,
    received: u64,
    sent: u64,
    /// How many Pings of ours it got; their tokens count from 1.
    pings: u32,
    /// Digest of the latest Ping of the other end, while `FOREIGN` is set.
    foreign: u32,
    /// When that was forwarded, the low bits of the time.
    foreign_at: u32,
    /// Low bits of what its host had acknowledged of `sent` when last asked: for a Pong that is
    /// late, and for bytes that wait.
    acked: u32,
    /// Low bits of `sent` behind the Ping.
    ping_end: u32,
    /// How many bytes of a Pong that may be ours are held back.
    held: u8,
    flags: u16,
    /// The stream towards it.
    tail: Tail,
}

/// Bits of [`Side::flags`].
mod flag {
    /// The driver keeps bytes for it; `moved` is when it last took some of them.
    pub const BLOCKED: u16 = 1;
    /// It closed its side of the connection, or nothing more of it is wanted.
    pub const EOF: u16 = 1 << 1;
    /// It sent a Close frame.
    pub const CLOSED: u16 = 1 << 2;
    /// No answer is expected of it any more.
    pub const GONE: u16 = 1 << 3;
    /// It is to be asked for a sign of life at the next boundary.
    pub const DUE: u16 = 1 << 4;
    /// A Ping of the other end waits for its Pong.
    pub const FOREIGN: u16 = 1 << 5;
    /// There was a queue in front of our Ping.
    pub const QUEUED: u16 = 1 << 6;
    /// Its Pong was overdue while bytes of it lay unread: that excuses it once.
    pub const EXCUSED: u16 = 1 << 7;
    /// It can be written to no longer.
    pub const DEAF: u16 = 1 << 8;
    /// All that it had sent when the other end closed its connection was read.
    pub const DRY: u16 = 1 << 9;
    /// Its Ping, though unanswered, is settled: its host lives, and it owes no Pong.
    pub const SETTLED: u16 = 1 << 10;
    /// What comes for it is dropped: it is deaf, or has our Close.
    pub const DROP: u16 = 1 << 11;
}

impl Side {
    fn new(scanner: Scanner, now: u64) -> Self {
        Self {
            scanner,
            last: now,
            asked: 0,
            moved: 0,
            received: 0,
            sent: 0,
            pings: 0,
            foreign: 0,
            foreign_at: 0,
            acked: 0,
            ping_end: 0,
            held: 0,
            flags: 0,
            tail: Tail::Open,
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u16) {
        self.flags |= flag;
    }

    fn clear(&mut self, flag: u16) {
        self.flags &= !flag;
    }
}

/// One tunnel. See the [crate](crate) for how to drive it.
///
/// Calls after one that returned [`Next::Close`] do nothing and return it again.
#[derive(Clone, Debug)]
pub struct Session {
    sides: [Side; 2],
    /// Our tokens are this, with the number of the Ping and the end mixed in.
    secret: u64,
    /// When anything last passed, or was found unread as the tunnel seemed idle.
    active: u64,
    /// Low bits of the time that the idle tunnel was given anew for bytes unread: while nothing
    /// has passed since then, that does not help it again.
    excused: u32,
    /// The status code of our Close.
    code: u16,
    /// The status code of the first Close either way, 0 for none.
    close_code: u16,
    /// What ends the tunnel, once it is settled.
    reason: Option<Reason>,
    /// What proves that the end that `reason` names is dead.
    proof: Option<Proof>,
    /// Whether the owner has planned a drain; otherwise it is the one of `max_age`.
    is_drained: bool,
    phase: Phase,
}

// A tunnel is to cost little more than its sockets.
const _: () = assert!(size_of::<Session>() <= 256);

impl Session {
    /// A tunnel that begins at `now`, in milliseconds of any clock that does not go back.
    ///
    /// Bytes that came with the handshake are the first chunks of [`on_bytes`](Self::on_bytes).
    pub fn new<D: Driver>(settings: &SessionSettings, now: u64, driver: &mut D) -> Self {
        let secret = driver.random();
        let plan = Plan {
            at: Moment(settings.expiry(now, driver)),
            grace: short(settings.grace),
            handshake: short(settings.handshake),
        };
        Self {
            sides: [Side::new(Scanner::of_client(), now), Side::new(Scanner::of_server(), now)],
            secret,
            active: now,
            excused: !(now as u32),
            code: settings.close_code,
            close_code: 0,
            reason: None,
            proof: None,
            is_drained: false,
            phase: Phase::Open(plan),
        }
    }

    /// Whether a stream could not be followed, so that the tunnel only passes bytes on and nothing is
    /// put into either stream any more.
    pub fn is_passthrough(&self) -> bool {
        self.sides.iter().any(|side| side.scanner.is_lost())
    }

    /// Whether a Close frame of either end or of ours has gone by, or a drain has begun.
    pub fn is_closing(&self) -> bool {
        !matches!(self.phase, Phase::Open(_))
            || self.sides.iter().any(|side| side.has(flag::CLOSED))
    }

    /// What there is to say about the tunnel, in its log line for example.
    pub fn summary(&self) -> Summary {
        let traffic = |side: &Side| Traffic {
            received: side.received,
            sent: side.sent,
            frames: side.scanner.frames(),
            pings: side.pings,
        };
        Summary {
            reason: self.reason,
            proof: self.proof,
            code: (self.close_code != 0).then_some(self.close_code),
            client: traffic(self.side(End::Client)),
            destination: traffic(self.side(End::Destination)),
            passthrough: self.is_passthrough(),
        }
    }

    #[inline]
    fn side(&self, end: End) -> &Side {
        &self.sides[end as usize]
    }

    #[inline]
    fn side_mut(&mut self, end: End) -> &mut Side {
        &mut self.sides[end as usize]
    }

    /// Whether the stream towards `to` stands where a frame of ours may go. Bytes that are held
    /// back are not in it yet.
    fn is_clear(&self, to: End) -> bool {
        let (side, from) = (self.side(to), self.side(to.peer()));
        let between = from.scanner.between_frames() || from.held > 0;
        between && !self.is_passthrough() && side.tail == Tail::Open && !side.has(flag::DEAF)
    }
}

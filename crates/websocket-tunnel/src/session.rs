//! One tunnel as a state machine. The crate's documentation says how to drive it.

mod clock;
mod closing;
mod driver;
mod encoding;
mod invariants;
mod phase;
mod reconfigure;
mod settings;
mod stream;
mod summary;

pub use closing::Drain;
pub use driver::{Driver, Sent};
pub use reconfigure::Reload;
pub use settings::SessionSettings;
pub use summary::{End, Event, Next, Proof, Reason, Summary, Traffic};

use crate::frame::Scanner;
use phase::{short, Moment, Phase, Plan};

/// Who closed the stream of frames towards an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nobody: frames may follow.
    Open,
    /// The other end; its further bytes are forwarded unchanged.
    Theirs,
    /// This session; further bytes of the other end are dropped, because nothing may follow a
    /// Close.
    Ours,
}

/// The state of one end.
#[derive(Clone, Debug)]
struct Side {
    /// Follows the frames that the end sends.
    scanner: Scanner,
    /// When it last showed life: it sent a byte, or took a byte that had been buffered.
    last: u64,
    /// When it was last probed for a sign of life, 0 for never.
    asked: u64,
    /// When the socket last took some of the bytes buffered for it, while `BLOCKED` is set.
    moved: u64,
    received: u64,
    sent: u64,
    /// Number of our Pings sent to it; their tokens count from 1.
    pings: u32,
    /// Digest of the latest Ping of the other end, while `FOREIGN` is set.
    foreign: u32,
    /// When that Ping was forwarded, the low bits of the time.
    foreign_at: u32,
    /// Low bits of how much of `sent` its host had acknowledged at the last query: needed when a
    /// Pong is late or bytes wait.
    acked: u32,
    /// Low bits of `sent` just after the latest Ping.
    ping_end: u32,
    /// Number of bytes held back because they may begin a Pong to our Ping.
    held: u8,
    flags: u16,
    /// The state of the stream towards it.
    tail: Tail,
}

/// Bits of [`Side::flags`].
mod flag {
    /// The driver has bytes buffered for it; `moved` is when the socket last took some of them.
    pub const BLOCKED: u16 = 1;
    /// It closed its side of the connection, or its further bytes are not needed.
    pub const EOF: u16 = 1 << 1;
    /// It sent a Close frame.
    pub const CLOSED: u16 = 1 << 2;
    /// No answer is expected from it any more.
    pub const GONE: u16 = 1 << 3;
    /// It is to be probed at the next frame boundary.
    pub const DUE: u16 = 1 << 4;
    /// A Ping of the other end waits for its Pong.
    pub const FOREIGN: u16 = 1 << 5;
    /// Bytes were queued in front of our Ping.
    pub const QUEUED: u16 = 1 << 6;
    /// Its Pong was overdue while it had unread bytes: that extends its time once.
    pub const EXCUSED: u16 = 1 << 7;
    /// It can no longer be written to.
    pub const DEAF: u16 = 1 << 8;
    /// All that it had sent until the other end closed its connection has been read.
    pub const DRY: u16 = 1 << 9;
    /// Its Ping is settled although unanswered: its host is alive, and it owes no Pong.
    pub const SETTLED: u16 = 1 << 10;
    /// Bytes for it are dropped: it is deaf, or has our Close.
    pub const DROP: u16 = 1 << 11;
    /// All of them.
    pub const ALL: u16 = (1 << 12) - 1;
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
    /// Combined with the number of a Ping and the end, this makes the token of the Ping.
    secret: u64,
    /// When a byte last passed, or when unread bytes were found although the tunnel seemed idle.
    active: u64,
    /// Low bits of the time when unread bytes restarted the idle time: until a byte passes, they do
    /// not restart it again.
    excused: u32,
    /// The status code of our Close.
    code: u16,
    /// The status code of the first Close in either direction, 0 for none.
    close_code: u16,
    /// Why the tunnel ends, once that is decided.
    reason: Option<Reason>,
    /// The proof that the end named by `reason` is dead.
    proof: Option<Proof>,
    /// Whether the owner has planned a drain; otherwise the planned drain is that of `max_age`.
    is_drained: bool,
    phase: Phase,
}

// A tunnel should cost little more than its sockets.
const _: () = assert!(size_of::<Session>() <= 256);

impl Session {
    /// A tunnel that begins at `now`, in milliseconds of any monotonic clock.
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

    /// Whether the frames of an end could not be followed. The tunnel is then a passthrough: it
    /// forwards bytes and inserts nothing into either stream.
    pub fn is_passthrough(&self) -> bool {
        self.sides.iter().any(|side| side.scanner.is_lost())
    }

    /// Whether a Close frame, of either end or ours, has passed, or a drain has begun.
    pub fn is_closing(&self) -> bool {
        !matches!(self.phase, Phase::Open(_))
            || self.sides.iter().any(|side| side.has(flag::CLOSED))
    }

    /// The result of the tunnel so far, for its log line for example.
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

    /// Whether the stream towards `to` stands at a boundary where a frame of ours may be inserted.
    /// Bytes held back are not in the stream yet.
    fn is_clear(&self, to: End) -> bool {
        let (side, from) = (self.side(to), self.side(to.peer()));
        let between = from.scanner.between_frames() || from.held > 0;
        between && !self.is_passthrough() && side.tail == Tail::Open && !side.has(flag::DEAF)
    }
}

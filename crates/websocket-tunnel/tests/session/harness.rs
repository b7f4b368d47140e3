//! A tunnel between two byte vectors, with a clock that only the test moves.

use std::ops::Range;
use websocket_tunnel::frame::apply_mask;
use websocket_tunnel::{Drain, Driver, End, Event, Next, Reload, Sent, Session, SessionSettings};

#[path = "../common/table.rs"]
mod table;

use table::Table;

pub use End::{Client, Destination};

pub const START: u64 = 1_000_000;
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Both ends must answer Pings, sent after 25 s of silence; every other timeout is set too.
pub fn settings() -> SessionSettings {
    SessionSettings {
        ping: 25_000,
        pong_timeout: 10_000,
        destination_pong_timeout: 10_000,
        idle_timeout: 3_600_000,
        send_timeout: 60_000,
        close_code: 1001,
        ..SessionSettings::default()
    }
}

/// The session's actions, recorded.
pub struct Ends {
    /// Bytes of the current chunk that are not forwarded yet.
    chunk: Range<*const u8>,
    random: u64,
    /// Bytes sent to each end that the test has not taken yet.
    pub out: [Vec<u8>; 2],
    /// Positions in `out` of inserted bytes.
    pub inserted: [Vec<Range<usize>>; 2],
    /// The result of a send to each end.
    pub sends: [Sent; 2],
    /// Whether the bytes buffered for an end are to be dropped.
    pub discarded: [bool; 2],
    pub events: Vec<Event>,
    pub counts: [Table; 2],
    pub queued: [u64; 2],
    pub unread: [bool; 2],
    pub held_off: [bool; 2],
    /// Number of sends in which chunks were forwarded.
    pub parts: usize,
}

impl Ends {
    fn new() -> Self {
        Self {
            chunk: std::ptr::null()..std::ptr::null(),
            random: 7,
            out: Default::default(),
            inserted: Default::default(),
            sends: [Sent::Written; 2],
            discarded: [false; 2],
            events: Vec::new(),
            counts: Default::default(),
            queued: [0; 2],
            unread: [false; 2],
            held_off: [false; 2],
            parts: 0,
        }
    }
}

impl Ends {
    /// Makes what is random from now on different from what it is in other tunnels.
    pub fn skip_random(&mut self, numbers: u64) {
        (0..numbers).for_each(|_| {
            self.random();
        });
    }
}

impl Driver for Ends {
    type Count = Table;

    fn send(&mut self, to: End, bytes: &[u8]) -> Sent {
        assert!(!bytes.is_empty());
        assert!(!self.discarded[to as usize], "{to} takes nothing: {bytes:02x?}");
        if self.sends[to as usize] == Sent::Failed {
            return Sent::Failed;
        }
        let part = bytes.as_ptr_range();
        if self.chunk.start <= part.start && part.end <= self.chunk.end {
            self.chunk.start = part.end;
            self.parts += 1;
        } else {
            let start = self.out[to as usize].len();
            self.inserted[to as usize].push(start..start + bytes.len());
        }
        self.out[to as usize].extend_from_slice(bytes);
        self.sends[to as usize]
    }

    fn discard(&mut self, to: End) {
        self.discarded[to as usize] = true;
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        self.random ^ (self.random >> 29)
    }

    fn count(&self, from: End) -> &Table {
        &self.counts[from as usize]
    }

    fn queued(&mut self, to: End) -> u64 {
        self.queued[to as usize]
    }

    fn is_held_off(&mut self, to: End) -> bool {
        self.held_off[to as usize]
    }

    fn unread(&mut self, from: End) -> bool {
        self.unread[from as usize]
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

pub struct Tunnel {
    pub session: Session,
    pub settings: SessionSettings,
    pub now: u64,
    pub ends: Ends,
    /// When the session asked to close.
    pub closed: Option<u64>,
    /// When the driver's timer fires; it is set after the calls that ask for it.
    timer: Option<u64>,
}

impl Tunnel {
    pub fn new(settings: SessionSettings) -> Self {
        let mut ends = Ends::new();
        let session = Session::new(&settings, START, &mut ends);
        let timer = session.deadline(&settings);
        Self { session, settings, now: START, ends, closed: None, timer }
    }

    /// Goes on with a session of which nothing else is known, from `START` on.
    pub fn of(session: Session, settings: SessionSettings) -> (Self, Next) {
        let ends = Ends::new();
        let mut tunnel = Self { session, settings, now: START, ends, closed: None, timer: None };
        let next = tunnel.reconfigure(0);
        (tunnel, next)
    }

    /// The session goes to another process, which goes on with it.
    pub fn hand_over(&mut self, spread: u64) -> Next {
        let session = Session::decode(&self.session.encode());
        let session = session.unwrap_or_else(|error| panic!("{error}: {:?}", self.session));
        // not their text: counters end at what decoding accepts
        assert_eq!(session.encode(), self.session.encode());
        self.session = session;
        self.timer = None;
        self.reconfigure(spread)
    }

    /// `settings` have changed, perhaps.
    pub fn reconfigure(&mut self, spread: u64) -> Next {
        let reload = Reload { began: START, now: self.now, spread };
        let next = self.session.reconfigure(&self.settings, &reload, &mut self.ends);
        self.noted(next)
    }

    /// Acts on the result of a call, as a driver does.
    pub fn noted(&mut self, next: Next) -> Next {
        if next == Next::Close {
            self.closed.get_or_insert(self.now);
        }
        let due = self.session.deadline(&self.settings);
        let fires = self.timer.is_some_and(|timer| due.is_none_or(|due| timer <= due));
        match next {
            Next::Keep => assert!(fires || due.is_none(), "{due:?} is missed by {:?}", self.timer),
            _ if !fires => self.timer = due,
            _ => {}
        }
        next
    }

    /// `bytes` arrive from `from` in one chunk.
    pub fn from(&mut self, from: End, bytes: &[u8]) -> Next {
        self.ends.chunk = bytes.as_ptr_range();
        let next = self.session.on_bytes(&self.settings, from, bytes, self.now, &mut self.ends);
        self.ends.chunk = std::ptr::null()..std::ptr::null();
        self.noted(next)
    }

    pub fn eof(&mut self, from: End) -> Next {
        let next = self.session.on_eof(from, self.now, &mut self.ends);
        self.noted(next)
    }

    /// Reports a later result for the bytes sent to `end`.
    pub fn sent(&mut self, end: End, sent: Sent) -> Next {
        let next = self.session.on_sent(end, sent, self.now, &mut self.ends);
        self.noted(next)
    }

    pub fn block(&mut self, end: End) {
        assert!(!self.session.is_blocked(end));
        assert_eq!(self.sent(end, Sent::Kept), Next::Timer);
    }

    pub fn progress(&mut self, end: End) {
        assert_eq!(self.sent(end, Sent::Kept), Next::Keep);
    }

    pub fn drained(&mut self, end: End) -> Next {
        self.sent(end, Sent::Written)
    }

    pub fn fail(&mut self, end: End) -> Next {
        self.sent(end, Sent::Failed)
    }

    /// Advances the clock and fires the timer whenever it is due.
    pub fn wait(&mut self, time: u64) {
        let end = self.now + time;
        while let Some(due) = self.session.deadline(&self.settings).filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let next = self.session.on_timer(&self.settings, self.now, &mut self.ends);
            self.timer = None;
            let _ = self.noted(next);
            let later = self.session.deadline(&self.settings);
            assert!(later.is_none_or(|due| due > self.now), "the timer is due again: {later:?}");
        }
        self.now = end;
    }

    /// The same, while `talker`, which is between two frames, sends a message every second. These
    /// messages are taken out again.
    pub fn wait_hearing(&mut self, time: u64, talker: End) {
        let end = self.now + time;
        while self.now < end {
            let tick = text(talker, "tick");
            let _ = self.from(talker, &tick);
            let out = &mut self.ends.out[talker.peer() as usize];
            assert!(out.ends_with(&tick), "{out:02x?}");
            out.truncate(out.len() - tick.len());
            self.wait(1_000.min(end - self.now));
        }
    }

    /// Takes the bytes sent to `end` since the last call.
    pub fn take(&mut self, end: End) -> Vec<u8> {
        self.ends.inserted[end as usize].clear();
        std::mem::take(&mut self.ends.out[end as usize])
    }

    /// Starts a drain after `wait`, with the default times of a shutdown.
    pub fn drain_in(&mut self, wait: u64) -> Next {
        let at = self.now + wait;
        let drain = Drain { at, grace: 1_000, handshake: 2_000, code: 1001 };
        let next = self.session.begin_drain(&drain);
        self.noted(next)
    }
}

/// One frame as `from` sends it; clients mask.
pub fn frame(from: End, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let bit = if from == Client { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..=125 => bytes.push(bit | len as u8),
        len @ 126..=65535 => {
            bytes.push(bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if from == Client {
        bytes.extend(MASK);
        apply_mask(&mut payload, MASK, 0);
    }
    bytes.extend(payload);
    bytes
}

/// A complete text message.
pub fn text(from: End, payload: &str) -> Vec<u8> {
    frame(from, 0x81, payload.as_bytes())
}

pub fn close(from: End, code: u16) -> Vec<u8> {
    frame(from, 0x88, &code.to_be_bytes())
}

/// The frames in `bytes`, received by `to`: first byte and unmasked payload. Panics unless they are
/// complete and correctly masked.
pub fn frames_to(to: End, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let all = bytes;
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let mut cursor = std::io::Cursor::new(bytes);
        let (header, len) = tungstenite::protocol::frame::FrameHeader::parse(&mut cursor)
            .unwrap_or_else(|error| panic!("{error} in {all:02x?}"))
            .unwrap_or_else(|| panic!("half a header at the end of {all:02x?}"));
        assert_eq!(header.mask.is_some(), to == Destination, "mask in {all:02x?}");
        let (start, len) = (cursor.position() as usize, len as usize);
        assert!(bytes.len() >= start + len, "half a frame at the end of {all:02x?}");
        let mut payload = bytes[start..start + len].to_vec();
        apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
        frames.push((bytes[0], payload));
        bytes = &bytes[start + len..];
    }
    frames
}

/// The token of the Ping of ours that is the only frame in `bytes`.
pub fn token(to: End, bytes: &[u8]) -> Vec<u8> {
    match frames_to(to, bytes).as_slice() {
        [(0x89, token)] if token.len() == 8 => token.clone(),
        other => panic!("not a Ping of ours: {other:02x?}"),
    }
}

//! Runs any schedule of bytes, time, write progress and drains, and checks invariants after each
//! step.

use super::harness::*;
use std::collections::VecDeque;
use websocket_tunnel::{Drain, End, Event, Next, Sent, SessionSettings};

#[derive(Clone, Debug)]
pub enum Op {
    /// An end produces a frame: first byte and payload.
    Say(End, u8, Vec<u8>),
    /// An end produces bytes that need not be frames.
    Babble(End, Vec<u8>),
    /// An end answers one of our Pings, if it has received any.
    Answer(End, usize),
    /// This many of the bytes that an end has produced arrive, in one chunk.
    Arrive(End, usize),
    Wait(u64),
    /// The socket of an end takes nothing, some bytes, or all.
    Block(End),
    Progress(End),
    Unblock(End),
    Drain {
        wait: u64,
        grace: u64,
        handshake: u64,
    },
    Eof(End),
    /// A send to an end fails.
    Fail(End),
    Finish,
    /// The tunnel goes to another process: under the same settings, so that nothing is spread.
    HandOver {
        spread: u64,
    },
}

/// What the model knows about one end, independently of the session.
#[derive(Default)]
struct Peer {
    /// Bytes still to arrive, and whether they are for the other end.
    coming: VecDeque<(u8, bool)>,
    /// How much of `expected` has arrived.
    arrived: usize,
    /// The bytes that may at most reach the other end.
    expected: Vec<u8>,
    /// Where frames begin in `expected`, as far as it consists of frames.
    starts: Vec<usize>,
    /// Where its Close frame begins in `expected`.
    close: Option<usize>,
    /// The tokens of our Pings that it received.
    tokens: Vec<Vec<u8>>,
    /// Whether it sent bytes that are no frames.
    babbled: bool,
    eof: bool,
    /// Nothing can be sent to it any more.
    deaf: bool,
    /// The bytes that it received, without inserted frames; and whether our Close came last.
    got: Vec<u8>,
    told: bool,
}

pub struct Model {
    tunnel: Tunnel,
    peers: [Peer; 2],
    /// When a drain must be over.
    bound: Option<u64>,
    /// Whether it goes to another process where the schedule says so.
    moves: bool,
}

impl Model {
    pub fn new(settings: SessionSettings) -> Self {
        let tunnel = Tunnel::new(settings);
        Self { tunnel, peers: Default::default(), bound: None, moves: true }
    }

    /// Runs the schedule until the tunnel is closed.
    pub fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.check();
            if self.tunnel.closed.is_some() {
                return;
            }
        }
        self.run_dry();
    }

    /// Runs the schedule with a tunnel that goes to other processes, and with one that stays: they
    /// are the same after each step.
    pub fn run_twins(settings: SessionSettings, ops: &[Op]) {
        let mut moving = Self::new(settings.clone());
        let mut staying = Self { moves: false, ..Self::new(settings) };
        for op in ops {
            moving.step(op);
            staying.step(op);
            moving.is_twin_of(&staying);
            moving.check();
            staying.check();
            if moving.tunnel.closed.is_some() {
                return;
            }
        }
        moving.run_dry();
    }

    fn is_twin_of(&self, other: &Self) {
        let (one, two) = (&self.tunnel, &other.tunnel);
        assert_eq!(format!("{:?}", one.session), format!("{:?}", two.session));
        assert_eq!((one.now, one.closed), (two.now, two.closed));
        assert_eq!(one.ends.out, two.ends.out);
        assert_eq!(one.ends.inserted, two.ends.inserted);
        assert_eq!(one.ends.events, two.ends.events);
        assert_eq!(one.ends.counts, two.ends.counts);
        assert_eq!(one.ends.discarded, two.ends.discarded);
    }

    fn peer(&mut self, end: End) -> &mut Peer {
        &mut self.peers[end as usize]
    }

    fn step(&mut self, op: &Op) {
        let now = self.tunnel.now;
        for end in End::BOTH {
            self.tunnel.ends.unread[end as usize] = !self.peer(end).coming.is_empty();
        }
        match op {
            Op::Say(end, first, payload) => {
                let bytes = frame(*end, *first, payload);
                let peer = self.peer(*end);
                if first & 0x0f == 8 && !peer.babbled {
                    peer.close.get_or_insert(peer.expected.len());
                }
                peer.starts.push(peer.expected.len());
                peer.expected.extend(&bytes);
                peer.coming.extend(bytes.iter().map(|byte| (*byte, true)));
            }
            Op::Babble(end, bytes) => {
                let peer = self.peer(*end);
                peer.babbled = true;
                peer.expected.extend(bytes);
                peer.coming.extend(bytes.iter().map(|byte| (*byte, true)));
            }
            Op::Answer(end, which) => {
                let peer = self.peer(*end);
                // After a Close or invalid bytes, a Pong is no longer recognized.
                if !peer.tokens.is_empty() && peer.close.is_none() && !peer.babbled {
                    let token = &peer.tokens[which % peer.tokens.len()];
                    let pong = frame(*end, 0x8a, token);
                    peer.coming.extend(pong.iter().map(|byte| (*byte, false)));
                }
            }
            Op::Arrive(end, size) => self.arrive(*end, *size),
            Op::Wait(time) => self.tunnel.wait(*time),
            Op::Block(end) if !self.peer(*end).deaf => {
                self.tunnel.ends.sends[*end as usize] = Sent::Kept;
            }
            Op::Progress(end) if self.tunnel.session.is_blocked(*end) => {
                self.tunnel.progress(*end);
            }
            Op::Unblock(end) if !self.peer(*end).deaf => {
                self.tunnel.ends.sends[*end as usize] = Sent::Written;
                if self.tunnel.session.is_blocked(*end) {
                    let next = self.tunnel.drained(*end);
                    self.follow(next);
                    self.read_rest(end.peer());
                }
            }
            Op::Drain { wait, grace, handshake } => {
                let (grace, handshake) = (*grace, *handshake);
                let at = now + wait;
                let next =
                    self.tunnel.session.begin_drain(&Drain { at, grace, handshake, code: 1001 });
                let _ = self.tunnel.noted(next);
                let bound = at + grace + handshake;
                self.bound = Some(self.bound.map_or(bound, |earlier| earlier.min(bound)));
                self.tunnel.wait(0);
            }
            Op::Eof(end) if !self.peer(*end).eof => {
                self.end(*end);
                let next = self.tunnel.eof(*end);
                self.follow(next);
            }
            Op::Fail(end) if !self.peer(*end).deaf => {
                self.tunnel.ends.sends[*end as usize] = Sent::Failed;
                if self.tunnel.session.is_blocked(*end) {
                    let next = self.tunnel.fail(*end);
                    self.follow(next);
                    self.read_rest(end.peer());
                }
            }
            Op::Finish => {
                let next = self.tunnel.session.finish_now(now, &mut self.tunnel.ends);
                let _ = self.tunnel.noted(next);
            }
            Op::HandOver { spread } => {
                // What is due is done, and what the timer has asked for.
                self.tunnel.wait(0);
                End::BOTH.into_iter().for_each(|end| self.read_rest(end));
                if self.moves {
                    self.hand_over(*spread);
                }
            }
            Op::Block(_) | Op::Progress(_) | Op::Unblock(_) | Op::Eof(_) | Op::Fail(_) => {}
        }
    }

    /// The other process finds in the sockets what this one knows.
    fn hand_over(&mut self, spread: u64) {
        let next = self.tunnel.hand_over(spread);
        self.follow(next);
        for end in End::BOTH {
            if self.peer(end).eof && self.tunnel.closed.is_none() {
                let next = self.tunnel.eof(end);
                self.follow(next);
            }
        }
    }

    fn arrive(&mut self, from: End, size: usize) {
        // While bytes for the other end are buffered, this end is not read.
        let may = !self.peer(from).eof && !self.tunnel.session.is_blocked(from.peer());
        let peer = self.peer(from);
        let size = size.min(peer.coming.len());
        if may && size > 0 {
            let bytes: Vec<(u8, bool)> = peer.coming.drain(..size).collect();
            peer.arrived += bytes.iter().filter(|(_, meant)| *meant).count();
            let chunk: Vec<u8> = bytes.iter().map(|(byte, _)| *byte).collect();
            let next = self.tunnel.from(from, &chunk);
            self.follow(next);
        }
    }

    /// Reads an end until nothing is left, as the driver does when asked to.
    fn follow(&mut self, next: Next) {
        let was_open = self.tunnel.closed.is_none();
        match self.tunnel.noted(next) {
            Next::Rest => End::BOTH.into_iter().for_each(|end| self.read_rest(end)),
            Next::Close if was_open => self.is_complete(),
            _ => {}
        }
    }

    fn read_rest(&mut self, end: End) {
        let may = !self.tunnel.session.is_blocked(end.peer()) && self.tunnel.closed.is_none();
        if may && self.tunnel.session.is_last(end) {
            self.arrive(end, usize::MAX);
            let next = self.tunnel.session.on_rest(end, self.tunnel.now, &mut self.tunnel.ends);
            self.follow(next);
        }
    }

    /// Whether all bytes that could be forwarded were forwarded, once a tunnel that its ends have
    /// closed is over.
    fn is_complete(&mut self) {
        self.check();
        if self.peers.iter().any(|peer| peer.told) {
            return;
        }
        for to in End::BOTH {
            let (peer, source) = (&self.peers[to as usize], &self.peers[to.peer() as usize]);
            let gone = peer.deaf
                || source.babbled
                || source.close.is_some()
                || peer.eof && self.tunnel.session.is_blocked(to);
            let said = &source.expected[..source.arrived];
            assert!(gone || peer.got.starts_with(said), "{to} did not get all of {said:02x?}");
            let read = gone || source.eof || source.coming.is_empty();
            assert!(read, "{to} could have got what lay unread");
        }
    }

    /// Bytes buffered for a failed end are dropped; further bytes of an end that took nothing for
    /// too long are not read either.
    fn drop_deaf(&mut self) {
        for end in End::BOTH {
            if self.tunnel.ends.discarded[end as usize] && !self.peer(end).deaf {
                self.peer(end).deaf = true;
                if self.tunnel.ends.sends[end as usize] != Sent::Failed {
                    self.end(end);
                }
            }
        }
    }

    /// No more bytes come from an end.
    fn end(&mut self, end: End) {
        let peer = self.peer(end);
        peer.eof = true;
        peer.coming.clear();
        peer.expected.truncate(peer.arrived);
    }

    /// Parses the bytes that were sent and compares them.
    fn check(&mut self) {
        self.drop_deaf();
        let events = &self.tunnel.ends.events;
        let mut passthrough =
            events.iter().skip_while(|event| !matches!(event, Event::Passthrough(..)));
        let ours =
            passthrough.find(|event| matches!(event, Event::Pinged(_) | Event::CloseSent(..)));
        assert_eq!(ours, None, "in passthrough");
        for to in End::BOTH {
            let out = std::mem::take(&mut self.tunnel.ends.out[to as usize]);
            let inserted = std::mem::take(&mut self.tunnel.ends.inserted[to as usize]);
            let mut done = 0;
            for part in inserted {
                self.pass(to, &out[done..part.start]);
                self.inserted(to, &out[part.clone()]);
                done = part.end;
            }
            self.pass(to, &out[done..]);
        }
        if let (Some(bound), None) = (self.bound, self.tunnel.closed) {
            assert!(self.tunnel.now < bound, "the drain should be over");
        }
    }

    /// An end receives, besides our frames, the bytes of the other end, and nothing after our
    /// Close.
    fn pass(&mut self, to: End, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let source = self.peer(to.peer());
        let (expected, gone) = (std::mem::take(&mut source.expected), source.eof);
        let peer = self.peer(to);
        assert!(!peer.told, "{to} got {bytes:02x?} after our Close");
        peer.got.extend(bytes);
        let got = &peer.got;
        // An incomplete Pong at the end of a connection answers nothing.
        let tail = got.strip_prefix(expected.as_slice()).filter(|_| gone);
        let half = tail.is_some_and(|tail| tail.starts_with(b"\x8a") && tail.len() < 14);
        assert!(half || expected.starts_with(got), "{to} got\n{got:02x?} of\n{expected:02x?}");
        self.peer(to.peer()).expected = expected;
    }

    /// Bytes that were not forwarded from the current chunk: held-back bytes, or a frame of ours.
    fn inserted(&mut self, to: End, bytes: &[u8]) {
        // held-back bytes of a Pong are never a complete one with eight bytes
        if bytes[0] == 0x8a && bytes.len() < [10, 14][to as usize] {
            return self.pass(to, bytes);
        }
        assert!(!self.peer(to).told, "{to} got {bytes:02x?} after our Close");
        let at = self.peer(to).got.len();
        let source = self.peer(to.peer());
        let between = at == source.expected.len() || source.starts.contains(&at);
        assert!(source.babbled || between, "ours at {at} of {:02x?}", source.expected);
        assert!(source.close.is_none_or(|close| at <= close), "ours after the Close of an end");
        match frames_to(to, bytes).as_slice() {
            [(0x89, token)] => self.peer(to).tokens.push(token.clone()),
            [(0x8a, token)] => assert_eq!(token.len(), 8),
            [(0x88, code)] => {
                assert_eq!(code, b"\x03\xe9");
                self.peer(to).told = true;
            }
            other => panic!("ours is {other:02x?}"),
        }
    }

    /// Lets all bytes arrive and time pass: all that can still be forwarded is, and a tunnel that
    /// is closing closes.
    fn run_dry(mut self) {
        for end in End::BOTH {
            self.step(&Op::Unblock(end));
        }
        for end in End::BOTH {
            self.arrive(end, usize::MAX);
            self.check();
        }
        for to in End::BOTH {
            let (peer, source) = (&self.peers[to as usize], &self.peers[to.peer() as usize]);
            let gone = source.eof || peer.eof || peer.deaf;
            let quiet = gone || self.tunnel.closed.is_some() || peer.told || source.babbled;
            assert!(quiet || peer.got == source.expected, "not all came out at {to}");
            if self.tunnel.ends.events.contains(&Event::Ponged(to)) {
                assert!(!peer.tokens.is_empty());
            }
        }
        let both = self.peers.iter().all(|peer| peer.close.is_some());
        let closing = self.bound.is_some() || self.peers.iter().any(|peer| peer.told);
        if self.tunnel.closed.is_none() && (closing || (both && !self.peers[0].babbled)) {
            self.tunnel.wait(10_000_000);
            assert!(self.tunnel.closed.is_some(), "it should have ended");
        }
    }
}

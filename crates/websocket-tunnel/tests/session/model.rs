//! Any schedule of bytes, time, write progress and drains, with what must hold after each step.

use super::harness::*;
use std::collections::VecDeque;
use websocket_tunnel::{Drain, End, Event, Next, Sent, SessionSettings};

#[derive(Clone, Debug)]
pub enum Op {
    /// An end has a frame to send: first byte and payload.
    Say(End, u8, Vec<u8>),
    /// An end has bytes to send that may be no frames at all.
    Babble(End, Vec<u8>),
    /// An end answers one of our Pings, if it got any.
    Answer(End, usize),
    /// So many of the bytes that an end has to send arrive, in one chunk.
    Arrive(End, usize),
    Wait(u64),
    /// The socket towards an end takes nothing, something, everything.
    Block(End),
    Progress(End),
    Unblock(End),
    Drain {
        wait: u64,
        grace: u64,
        handshake: u64,
    },
    Eof(End),
    /// A send towards an end fails.
    Fail(End),
    Finish,
}

/// What is known about one end besides the session.
#[derive(Default)]
struct Peer {
    /// To arrive yet, and whether it is meant for the other end.
    coming: VecDeque<(u8, bool)>,
    /// How much of `expected` has arrived.
    arrived: usize,
    /// What is to come out at the other end, at most.
    expected: Vec<u8>,
    /// Where in `expected` frames begin, as far as it is frames.
    starts: Vec<usize>,
    /// Where its Close frame begins in `expected`.
    close: Option<usize>,
    /// The tokens of our Pings it got.
    tokens: Vec<Vec<u8>>,
    /// Whether it sent anything but frames.
    babbled: bool,
    eof: bool,
    /// Nothing can be sent to it any more.
    deaf: bool,
    /// All that it got, less what is ours; and whether our Close was the last of it.
    got: Vec<u8>,
    told: bool,
}

pub struct Model {
    tunnel: Tunnel,
    peers: [Peer; 2],
    /// When a drain must be over.
    bound: Option<u64>,
}

impl Model {
    pub fn new(settings: SessionSettings) -> Self {
        Self { tunnel: Tunnel::new(settings), peers: Default::default(), bound: None }
    }

    /// Runs the schedule, until the tunnel is closed.
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
                // After a Close or nonsense a Pong is no Pong any more.
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
            Op::Block(_) | Op::Progress(_) | Op::Unblock(_) | Op::Eof(_) | Op::Fail(_) => {}
        }
    }

    fn arrive(&mut self, from: End, size: usize) {
        // What is kept for the other end stops the reading of this one.
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

    /// Does what the driver does when told to read an end to where nothing is left.
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

    /// Whether all that was said has come out where it could, as a tunnel that the ends have closed
    /// is over.
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

    /// Whatever was kept for an end that failed is dropped; one that took nothing for too long is not
    /// heard any more either.
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

    /// Nothing more comes of an end.
    fn end(&mut self, end: End) {
        let peer = self.peer(end);
        peer.eof = true;
        peer.coming.clear();
        peer.expected.truncate(peer.arrived);
    }

    /// Takes apart what was sent, and compares.
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

    /// What an end got that is not ours is what the other sent, and nothing after our Close.
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
        // Half a Pong at the end of a connection is nobody's.
        let tail = got.strip_prefix(expected.as_slice()).filter(|_| gone);
        let half = tail.is_some_and(|tail| tail.starts_with(b"\x8a") && tail.len() < 14);
        assert!(half || expected.starts_with(got), "{to} got\n{got:02x?} of\n{expected:02x?}");
        self.peer(to.peer()).expected = expected;
    }

    /// Something that was not forwarded: bytes that were held back, or a frame of ours.
    fn inserted(&mut self, to: End, bytes: &[u8]) {
        // what was held back of a Pong is never all of one with eight bytes
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

    /// Lets everything arrive and time pass: what may still come out does, and a tunnel that is
    /// closing closes.
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

//! A session that is decoded from any bytes: nothing is known of its past, and what holds of every
//! session must hold of it as well, if it is one.

use super::harness::*;
use super::model::Op;
use websocket_tunnel::{Drain, End, Event, Next, Sent, Session, SessionSettings};

pub struct Stranger {
    tunnel: Tunnel,
    /// Who has got our Close.
    told: [bool; 2],
    /// When a drain must be over.
    bound: Option<u64>,
}

/// What comes of the bytes. Where they are a session, it is what they say, and the schedule is run.
pub fn run(bytes: &[u8], settings: SessionSettings, ops: &[Op]) -> bool {
    let session = match Session::decode(bytes) {
        Ok(session) => session,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    assert_eq!(session.encode(), bytes);
    let (tunnel, next) = Tunnel::of(session, settings);
    let mut stranger = Stranger { tunnel, told: [false; 2], bound: None };
    stranger.follow(next);
    stranger.check();
    for op in ops {
        if stranger.tunnel.closed.is_some() {
            break;
        }
        stranger.step(op);
        stranger.check();
    }
    stranger.finish();
    true
}

impl Stranger {
    fn step(&mut self, op: &Op) {
        let now = self.tunnel.now;
        match op {
            Op::Say(end, first, payload) => self.come(*end, &frame(*end, *first, payload)),
            Op::Babble(end, bytes) => self.come(*end, bytes),
            Op::Arrive(end, size) => self.come(*end, &vec![0; (*size).min(1_000)]),
            Op::Wait(time) => self.tunnel.wait(*time),
            Op::Block(end) if !self.tunnel.ends.discarded[*end as usize] => {
                self.tunnel.ends.sends[*end as usize] = Sent::Kept;
            }
            Op::Progress(end) if self.tunnel.session.is_blocked(*end) => {
                self.tunnel.progress(*end);
            }
            Op::Unblock(end) if self.tunnel.session.is_blocked(*end) => {
                self.tunnel.ends.sends[*end as usize] = Sent::Written;
                let next = self.tunnel.drained(*end);
                self.follow(next);
            }
            Op::Fail(end) if self.tunnel.session.is_blocked(*end) => {
                let next = self.tunnel.fail(*end);
                self.follow(next);
            }
            Op::Eof(end) => {
                let next = self.tunnel.eof(*end);
                self.follow(next);
            }
            Op::Drain { wait, grace, handshake } => {
                let (grace, handshake) = (*grace, *handshake);
                let drain = Drain { at: now + wait, grace, handshake, code: 1001 };
                let next = self.tunnel.session.begin_drain(&drain);
                self.follow(next);
                let bound = drain.at + grace + handshake;
                self.bound = Some(self.bound.map_or(bound, |earlier| earlier.min(bound)));
                self.tunnel.wait(0);
            }
            Op::HandOver { spread } => {
                let next = self.tunnel.hand_over(*spread);
                self.follow(next);
            }
            Op::Finish => self.finish(),
            _ => {}
        }
    }

    fn come(&mut self, from: End, bytes: &[u8]) {
        if !self.tunnel.session.is_blocked(from.peer()) && !bytes.is_empty() {
            let next = self.tunnel.from(from, bytes);
            self.follow(next);
        }
    }

    /// Nothing is left of an end that is read for the last time.
    fn follow(&mut self, next: Next) {
        if self.tunnel.noted(next) != Next::Rest {
            return;
        }
        for end in End::BOTH {
            let session = &mut self.tunnel.session;
            if session.is_last(end) && !session.is_blocked(end.peer()) {
                let next = session.on_rest(end, self.tunnel.now, &mut self.tunnel.ends);
                let _ = self.tunnel.noted(next);
            }
        }
    }

    /// The session is one still, nothing goes to an end behind our Close, and a drain ends.
    fn check(&mut self) {
        let bytes = self.tunnel.session.encode();
        if let Err(error) = Session::decode(&bytes) {
            panic!("{error}: {:?}", self.tunnel.session);
        }
        let events = std::mem::take(&mut self.tunnel.ends.events);
        for end in End::BOTH {
            let out = self.tunnel.take(end);
            assert!(!self.told[end as usize] || out.is_empty(), "{end} got {out:02x?}");
            if events.iter().any(|event| matches!(event, Event::CloseSent(to, _) if *to == end)) {
                let len = [4, 8][end as usize];
                let close = out.len().checked_sub(len).map(|at| frames_to(end, &out[at..]));
                assert!(matches!(close.as_deref(), Some([(0x88, _)])), "{end} got {out:02x?}");
                self.told[end as usize] = true;
            }
        }
        let is_over = self.bound.is_some_and(|bound| self.tunnel.now >= bound);
        assert!(!is_over || self.tunnel.closed.is_some(), "the drain should be over");
    }

    fn finish(&mut self) {
        let now = self.tunnel.now;
        let next = self.tunnel.session.finish_now(now, &mut self.tunnel.ends);
        assert_eq!(self.tunnel.noted(next), Next::Close);
        assert!(self.tunnel.session.summary().reason.is_some());
        self.check();
    }
}

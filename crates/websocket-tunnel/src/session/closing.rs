//! Ways to the end.

use super::clock::mask_for;
use super::{flag, short, End, Event, Io, Next, Phase, Reason, Session, Settings, Side, Tail};
use crate::frame;

/// How a tunnel is to be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When to begin.
    pub at: u64,
    /// How long to wait for a moment in which no message is under way, in milliseconds.
    pub grace: u64,
    /// How long to wait for answers to our Close, in milliseconds.
    pub handshake: u64,
    /// The status code of our Close, whatever brings it once this drain is planned.
    pub code: u16,
}

impl Session {
    /// The tunnel is to end in an orderly way, from `drain.at` on.
    ///
    /// It is over at `at + grace + handshake` at the latest. A drain that is planned or under way
    /// is at most made earlier and shorter.
    pub fn begin_drain(&mut self, drain: &Drain) -> Next {
        let (grace, handshake) = (short(drain.grace), short(drain.handshake));
        let grace_end = drain.at.saturating_add(grace.into());
        let end = grace_end.saturating_add(handshake.into());
        let is_sooner = end < self.hard_end();
        match self.phase {
            Phase::Open if drain.at < self.at || is_sooner => {
                let end = end.min(self.hard_end());
                self.at = drain.at.min(self.at);
                self.grace = grace.min(short(end - self.at));
                self.handshake = handshake.min(short(end - self.at) - self.grace);
                self.code = drain.code;
                self.cause = Reason::Drain;
            }
            Phase::Grace => {
                self.at = self.at.min(grace_end);
                self.handshake = self.handshake.min(handshake);
            }
            Phase::Asked if is_sooner => {
                self.phase = Phase::Parting;
                self.at = end;
                self.grace = 0;
            }
            Phase::Parting if is_sooner => {
                self.at = self.at.min(end);
                self.grace = short(end - self.at);
            }
            Phase::Late | Phase::Flush => self.at = self.at.min(end),
            Phase::Open | Phase::Asked | Phase::Parting | Phase::Over => {}
        }
        self.or_close(Next::Timer)
    }

    /// The tunnel is to end now: both ends get a Close, where one may go. The caller closes both
    /// connections.
    pub fn finish_now<I: Io>(&mut self, io: &mut I) -> Next {
        self.give_up(Reason::Drain, io)
    }

    /// `from` closed its side of the connection. All it had sent came before.
    ///
    /// As in nginx's own copier, the tunnel ends once that is written, whatever else the other end
    /// has to say. But what that had sent until now still goes to `from`, which may have closed one
    /// side only, as far as its socket takes it.
    pub fn on_eof<I: Io>(&mut self, from: End, now: u64, io: &mut I) -> Next {
        self.release(from, now, io);
        let failed = self.side(from).has(flag::DEAF);
        self.side_mut(from).set(flag::EOF);
        let reason = if failed { Reason::Error(from) } else { Reason::closed_by(from) };
        self.reason.get_or_insert(reason);
        let to = from.peer();
        let drained = self.sides.iter().any(|side| side.tail == Tail::Ours);
        if drained && matches!(self.phase, Phase::Asked | Phase::Parting) {
            if self.is_clear(to) {
                self.send_close(to, io);
            }
            if self.side(to).tail != Tail::Open {
                return self.after_answer();
            }
            // It stopped within a frame: there is nothing left to say.
        }
        if self.phase != Phase::Over {
            self.at = self.hard_end();
            self.phase = Phase::Flush;
        }
        self.after_flush(to)
    }

    /// A send to `end` failed: it is told nothing more, and what was kept for it is dropped.
    ///
    /// What it had said before that can still be read: Linux delivers what a socket has received
    /// before the reset that a failed send reports. Where a Close is in that, the end has closed
    /// the tunnel; else its connection failed.
    pub fn on_unwritable(&mut self, end: End) -> Next {
        if self.phase == Phase::Over {
            return Next::Close;
        }
        let side = self.side_mut(end);
        side.set(flag::DEAF | flag::DROP);
        side.clear(flag::BLOCKED | flag::DUE);
        match (self.phase, self.side(end).has(flag::EOF)) {
            (_, false) => Next::Rest(end),
            (Phase::Flush, true) => self.after_flush(end.peer()),
            (_, true) => self.after_answer(),
        }
    }

    /// The connection of `end` failed, and nothing of it is left to read.
    pub fn on_error<I: Io>(&mut self, end: End, now: u64, io: &mut I) -> Next {
        let _ = self.on_unwritable(end);
        self.on_eof(end, now, io)
    }

    /// Whether `end` is read for the last time, so that [`on_rest`](Self::on_rest) is to be called
    /// when nothing is left.
    pub fn is_last(&self, end: End) -> bool {
        let side = self.side(end);
        !side.has(flag::EOF) && (self.phase == Phase::Flush || side.has(flag::DEAF))
    }

    /// Whether `end` can be written to no longer; nothing is to be kept for it.
    pub fn is_deaf(&self, end: End) -> bool {
        self.side(end).has(flag::DEAF)
    }

    /// A read of `end`, which [is read for the last time](Self::is_last), has found nothing.
    pub fn on_rest<I: Io>(&mut self, end: End, now: u64, io: &mut I) -> Next {
        if self.side(end).has(flag::DEAF) {
            return self.on_eof(end, now, io);
        }
        self.side_mut(end).set(flag::DRY);
        self.after_flush(end)
    }

    /// Ends a tunnel whose connections are about to end, once each end has what the other had said;
    /// else has `end` read to the end, if somebody hears it.
    pub(super) fn after_flush(&mut self, end: End) -> Next {
        let is_done = |end: End| {
            let side = self.side(end);
            let waits = side.has(flag::BLOCKED) && !side.has(flag::EOF);
            !waits && (side.has(flag::DRY) || !self.is_heard(end))
        };
        if self.phase == Phase::Flush && End::BOTH.into_iter().all(is_done) {
            self.phase = Phase::Over;
        }
        let is_wanted = self.is_last(end) && self.is_heard(end) && !self.side(end).has(flag::DRY);
        self.or_close(if is_wanted { Next::Rest(end) } else { Next::Timer })
    }

    /// Whether what `end` may say yet is of use: whatever follows its Close is no message, and an
    /// end that has closed its connection is not waited for.
    fn is_heard(&self, end: End) -> bool {
        let to = self.side(end.peer());
        let is_gone = to.has(flag::EOF) && to.has(flag::BLOCKED);
        let is_mute = self.side(end).has(flag::EOF | flag::CLOSED);
        !is_mute && !is_gone && !self.is_dropping(end.peer())
    }

    /// When the tunnel is over at the latest, if nothing new happens; `u64::MAX` for never.
    fn hard_end(&self) -> u64 {
        let (grace, handshake) = (u64::from(self.grace), u64::from(self.handshake));
        self.at.saturating_add(match self.phase {
            Phase::Open => grace + handshake,
            Phase::Grace => handshake,
            Phase::Asked | Phase::Parting => grace,
            Phase::Late | Phase::Flush | Phase::Over => 0,
        })
    }

    /// The time of a phase is over.
    pub(super) fn on_phase_end<I: Io>(&mut self, now: u64, io: &mut I) {
        let (grace, handshake) = (u64::from(self.grace), u64::from(self.handshake));
        match self.phase {
            Phase::Open if self.opaque => self.finish(io),
            Phase::Open if self.sides.iter().any(|side| side.has(flag::CLOSED)) => {
                // The ends are about to part by themselves.
                self.phase = Phase::Parting;
                self.at = self.at.saturating_add(handshake);
            }
            Phase::Open => {
                self.phase = Phase::Grace;
                self.at = self.at.saturating_add(grace);
                self.ask_if_possible(now, io);
            }
            Phase::Grace => {
                self.phase = Phase::Late;
                self.at = self.at.saturating_add(handshake);
                self.ask_if_possible(now, io);
            }
            Phase::Asked => {
                let client = self.side(End::Client);
                let mute = client.last <= self.at.saturating_sub(grace);
                if mute && self.is_clear(End::Destination) {
                    self.send_close(End::Destination, io);
                }
                self.phase = Phase::Parting;
                self.at = self.at.saturating_add(grace);
                self.grace = 0;
            }
            Phase::Parting if self.grace > 0 && self.is_blocked() => {
                // What the ends have said is still on its way to a slow one.
                let more = self.grace.min(self.handshake.max(1));
                self.at = self.at.saturating_add(more.into());
                self.grace -= more;
            }
            Phase::Late | Phase::Parting | Phase::Flush | Phase::Over => self.finish(io),
        }
    }

    fn ask_if_possible<I: Io>(&mut self, now: u64, io: &mut I) {
        if self.may_ask() {
            self.ask(now, io);
        }
    }

    /// Whether our Close may go to the client: in the grace when neither end is in the middle of
    /// a message, later wherever a frame may stand.
    pub(super) fn may_ask(&self) -> bool {
        let whole = |end: End| self.is_clear(end.peer()) && !self.side(end).scanner.in_message();
        match self.phase {
            Phase::Grace => End::BOTH.into_iter().all(whole),
            Phase::Late => self.is_clear(End::Client),
            _ => false,
        }
    }

    /// Sends our Close to the client and gives it half of the time that is left to answer; the
    /// other half is the destination's.
    pub(super) fn ask<I: Io>(&mut self, now: u64, io: &mut I) {
        let end = match self.phase {
            Phase::Grace => now.saturating_add(self.handshake.into()),
            _ => self.at,
        };
        self.reason.get_or_insert(self.cause);
        self.send_close(End::Client, io);
        let half = short(end.saturating_sub(now) / 2);
        self.phase = Phase::Asked;
        self.grace = half;
        self.at = now.saturating_add(half.into());
    }

    /// Sends our Close to `to`; the stream towards it is clear.
    pub(super) fn send_close<I: Io>(&mut self, to: End, io: &mut I) {
        let reason = self.cause;
        self.note_close(reason, Some(self.code));
        let close = frame::close(self.code, "", mask_for(to, io));
        self.insert(to, &close, io);
        let side = self.side_mut(to);
        side.tail = Tail::Ours;
        side.set(flag::DROP);
        io.event(Event::CloseSent(to, self.code));
    }

    /// Keeps the code of the first Close, and who sent it.
    pub(super) fn note_close(&mut self, by: Reason, code: Option<u16>) {
        if self.sides.iter().all(|side| side.tail == Tail::Open) {
            self.close_code = code.unwrap_or(0);
        }
        self.reason.get_or_insert(by);
    }

    /// What follows from a Close frame of an end.
    pub(super) fn after_close(&mut self, now: u64) -> Next {
        let both = self.sides.iter().all(|side| side.has(flag::CLOSED));
        match self.phase {
            // "The server MUST close the underlying TCP connection immediately; the client SHOULD
            // wait for the server" (RFC 6455 section 5.5.1). That is up to them, for a while.
            Phase::Open if !both => {}
            Phase::Open | Phase::Grace => {
                let end = self.hard_end();
                self.at = end.min(now.saturating_add(self.handshake.into()));
                self.grace = short(end - self.at);
                self.phase = Phase::Parting;
            }
            Phase::Late => {
                self.phase = Phase::Parting;
                self.grace = 0;
            }
            Phase::Asked | Phase::Parting => return self.after_answer(),
            _ => {}
        }
        Next::Timer
    }

    /// Once each end has answered our Closes, or cannot any more, and has what is kept for it, both
    /// connections are closed.
    pub(super) fn after_answer(&mut self) -> Next {
        let ours = self.sides.iter().any(|side| side.tail == Tail::Ours);
        let is_done = |side: &Side| {
            side.has(flag::GONE) || (side.has(flag::CLOSED | flag::EOF) && !side.has(flag::BLOCKED))
        };
        if ours && self.sides.iter().all(is_done) {
            self.phase = Phase::Over;
        }
        self.or_close(Next::Timer)
    }

    /// Both ends get our Close at the next boundary, and a while to answer.
    pub(super) fn part<I: Io>(
        &mut self,
        reason: Reason,
        settings: &Settings,
        now: u64,
        io: &mut I,
    ) {
        self.reason.get_or_insert(reason);
        self.eager = true;
        self.at = self.hard_end().min(now.saturating_add(settings.handshake));
        self.phase = Phase::Parting;
        self.grace = 0;
        for end in End::BOTH {
            if self.is_clear(end) {
                self.send_close(end, io);
            }
        }
    }

    /// Both ends get our Close, where one may go, and nothing is waited for.
    pub(super) fn give_up<I: Io>(&mut self, reason: Reason, io: &mut I) -> Next {
        self.reason.get_or_insert(reason);
        self.finish(io);
        Next::Close
    }

    fn finish<I: Io>(&mut self, io: &mut I) {
        if self.phase == Phase::Over {
            return;
        }
        self.reason.get_or_insert(self.cause);
        for end in End::BOTH {
            if self.is_clear(end) {
                self.send_close(end, io);
            }
        }
        self.phase = Phase::Over;
    }
}

//! Ending a tunnel.

use super::clock::mask_for;
use super::phase::{short, Moment, Parting, Phase, Plan};
use super::{flag, Driver, End, Event, Next, Reason, Session, SessionSettings, Side, Tail};
use crate::frame;

/// How a tunnel is to be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When it begins.
    pub at: u64,
    /// How long to wait for a moment between messages, in milliseconds.
    pub grace: u64,
    /// How long to wait for answers to our Close, in milliseconds.
    pub handshake: u64,
    /// The status code of our Close, for whatever reason it is sent after this drain is planned.
    pub code: u16,
}

impl Session {
    /// Plans an orderly end of the tunnel, from `drain.at` on.
    ///
    /// The tunnel is over at `at + grace + handshake` at the latest. A drain that is already
    /// planned or has begun can only become earlier and shorter.
    pub fn begin_drain(&mut self, drain: &Drain) -> Next {
        let planned = Plan::of(drain);
        let end = planned.end();
        let is_sooner = end < self.phase.hard_end();
        self.phase = match self.phase {
            Phase::Open(plan) if planned.at < plan.at || is_sooner => {
                self.code = drain.code;
                self.is_drained = true;
                Phase::Open(plan.sooner(planned))
            }
            Phase::Grace { until, handshake } => Phase::Grace {
                until: until.min(planned.grace_end()),
                handshake: handshake.min(planned.handshake),
            },
            Phase::Asked { .. } if is_sooner => Phase::Parting(Parting::until(end)),
            Phase::Parting(parting) if is_sooner => {
                let until = parting.until.min(end);
                Phase::Parting(Parting { until, more: end.since(until), ..parting })
            }
            Phase::Late { until } => Phase::Late { until: until.min(end) },
            Phase::Flush { until } => Phase::Flush { until: until.min(end) },
            unchanged => unchanged,
        };
        self.settle(Next::Timer)
    }

    /// Ends the tunnel now: each end gets a Close if its stream is at a frame boundary. The caller
    /// closes both connections.
    pub fn finish_now<D: Driver>(&mut self, now: u64, driver: &mut D) -> Next {
        self.give_up(Reason::Drain, now, driver)
    }

    /// `from` closed its side of the connection. All bytes it had sent were passed before.
    ///
    /// As with nginx's own copying, the tunnel ends once those bytes are written, even if the other
    /// end would send more. But bytes that the other end has sent until now still go to `from`,
    /// which may have closed only one direction, as far as its socket takes them.
    pub fn on_eof<D: Driver>(&mut self, from: End, now: u64, driver: &mut D) -> Next {
        if self.phase == Phase::Over {
            return Next::Close;
        }
        self.release(from, now, driver);
        let failed = self.side(from).has(flag::DEAF);
        self.side_mut(from).set(flag::EOF);
        let reason = if failed { Reason::Error(from) } else { Reason::closed_by(from) };
        self.reason.get_or_insert(reason);
        let to = from.peer();
        let drained = self.sides.iter().any(|side| side.tail == Tail::Ours);
        if drained && matches!(self.phase, Phase::Asked { .. } | Phase::Parting(_)) {
            if self.is_clear(to) {
                self.send_close(to, now, driver);
            }
            if self.side(to).tail != Tail::Open {
                return self.settle(Next::Timer);
            }
            // The stream stopped within a frame: no Close can be sent.
        }
        self.phase = Phase::Flush { until: self.phase.hard_end() };
        self.settle(Next::Timer)
    }

    /// Nothing can be sent to `end` any more: buffered and further bytes for it are dropped.
    ///
    /// Bytes that it sent before can still be read: Linux delivers what a socket received before
    /// the reset that a failed send reports. If they contain a Close, the end closed the tunnel;
    /// otherwise its connection failed.
    pub(super) fn lose<D: Driver>(&mut self, end: End, driver: &mut D) {
        let side = self.side_mut(end);
        side.set(flag::DEAF | flag::DROP);
        side.clear(flag::BLOCKED | flag::DUE);
        driver.discard(end);
    }

    /// The connection of `end` failed, and no bytes of it are left to read.
    pub fn on_error<D: Driver>(&mut self, end: End, now: u64, driver: &mut D) -> Next {
        if self.phase != Phase::Over {
            self.lose(end, driver);
        }
        self.on_eof(end, now, driver)
    }

    /// Whether `end` is read for the last time, so that [`on_rest`](Self::on_rest) must be called
    /// once a read finds nothing.
    #[inline]
    pub fn is_last(&self, end: End) -> bool {
        let side = self.side(end);
        let is_last = side.has(flag::DEAF) || matches!(self.phase, Phase::Flush { .. });
        is_last && !side.has(flag::EOF)
    }

    /// A read of `end`, which [is read for the last time](Self::is_last), found nothing.
    pub fn on_rest<D: Driver>(&mut self, end: End, now: u64, driver: &mut D) -> Next {
        if self.side(end).has(flag::DEAF) {
            return self.on_eof(end, now, driver);
        }
        self.side_mut(end).set(flag::DRY);
        self.settle(Next::Timer)
    }

    /// The result of a call: `next`, unless the tunnel is over now or an end is to be read for the
    /// last time.
    pub(super) fn settle(&mut self, next: Next) -> Next {
        let is_over = match self.phase {
            Phase::Flush { .. } => End::BOTH.into_iter().all(|end| self.is_flushed(end)),
            Phase::Asked { .. } | Phase::Parting(_) => self.is_answered(),
            Phase::Over => true,
            Phase::Open(_) | Phase::Grace { .. } | Phase::Late { .. } => false,
        };
        if is_over {
            self.phase = Phase::Over;
            return Next::Close;
        }
        if End::BOTH.into_iter().any(|end| self.has_rest(end)) {
            return Next::Rest;
        }
        next
    }

    /// Whether `end`, while the connections are about to be closed, has received all bytes of the
    /// other end, and all its own bytes that can be forwarded were read.
    fn is_flushed(&self, end: End) -> bool {
        let side = self.side(end);
        let waits = side.has(flag::BLOCKED) && !side.has(flag::EOF);
        !waits && (side.has(flag::DRY) || !self.is_heard(end))
    }

    /// Whether each end has answered our Close, or no longer can, and has received all its buffered
    /// bytes.
    fn is_answered(&self) -> bool {
        let ours = self.sides.iter().any(|side| side.tail == Tail::Ours);
        let is_done = |side: &Side| {
            side.has(flag::GONE) || (side.has(flag::CLOSED | flag::EOF) && !side.has(flag::BLOCKED))
        };
        ours && self.sides.iter().all(is_done)
    }

    /// Whether the remaining bytes of `end`, which is read for the last time, are to be read now.
    fn has_rest(&self, end: End) -> bool {
        let is_wanted = self.side(end).has(flag::DEAF)
            || (self.is_heard(end) && !self.side(end).has(flag::DRY));
        self.is_last(end) && is_wanted && !self.is_blocked(end.peer())
    }

    /// Whether further bytes of `end` are useful: bytes after its Close are no message, and an end
    /// that has closed its connection but is still blocked is not waited for.
    fn is_heard(&self, end: End) -> bool {
        let to = self.side(end.peer());
        let is_gone = to.has(flag::EOF) && to.has(flag::BLOCKED);
        let is_mute = self.side(end).has(flag::EOF | flag::CLOSED);
        !is_mute && !is_gone && !self.is_dropping(end.peer())
    }

    /// The time of a phase is over.
    pub(super) fn on_phase_end<D: Driver>(&mut self, now: u64, driver: &mut D) {
        match self.phase {
            Phase::Open(_) if self.is_passthrough() => self.finish(now, driver),
            Phase::Open(plan) if self.sides.iter().any(|side| side.has(flag::CLOSED)) => {
                // The ends are already closing by themselves.
                let (until, step) = (plan.at.after(plan.handshake), plan.handshake);
                self.phase =
                    Phase::Parting(Parting { until, more: plan.grace, step, eager: false });
            }
            Phase::Open(plan) => {
                self.phase = Phase::Grace { until: plan.grace_end(), handshake: plan.handshake };
                self.ask_if_possible(now, driver);
            }
            Phase::Grace { .. } => {
                self.phase = Phase::Late { until: self.phase.hard_end() };
                self.ask_if_possible(now, driver);
            }
            Phase::Asked { until, parting } => {
                let client = self.side(End::Client);
                let mute = Moment(client.last) <= until.before(parting);
                if mute && self.is_clear(End::Destination) {
                    self.send_close(End::Destination, now, driver);
                }
                self.phase = Phase::Parting(Parting::until(self.phase.hard_end()));
            }
            Phase::Parting(Parting { until, more, step, eager })
                if more > 0 && End::BOTH.into_iter().any(|end| self.is_blocked(end)) =>
            {
                // Bytes of the other end are still buffered for a slow one.
                // All steps at once: a step may be a millisecond, and the timer late by days.
                let (step_size, late) = (step.max(1), Moment(now).since(until));
                let put_off = more.min((late - late % step_size).saturating_add(step_size));
                let (until, more) = (until.after(put_off), more - put_off);
                self.phase = Phase::Parting(Parting { until, more, step, eager });
            }
            Phase::Late { .. } | Phase::Parting(_) | Phase::Flush { .. } | Phase::Over => {
                self.finish(now, driver);
            }
        }
    }

    /// The reason of a tunnel that only a drain has ended.
    fn cause(&self) -> Reason {
        if self.is_drained {
            Reason::Drain
        } else {
            Reason::MaxAge
        }
    }

    fn ask_if_possible<D: Driver>(&mut self, now: u64, driver: &mut D) {
        if self.may_ask() {
            self.ask(now, driver);
        }
    }

    /// Whether our Close may go to the client: during the grace time only if neither end is within
    /// a message, later at any frame boundary.
    pub(super) fn may_ask(&self) -> bool {
        let whole = |end: End| self.is_clear(end.peer()) && !self.side(end).scanner.in_message();
        match self.phase {
            Phase::Grace { .. } => End::BOTH.into_iter().all(whole),
            Phase::Late { .. } => self.is_clear(End::Client),
            _ => false,
        }
    }

    /// Sends our Close to the client and gives it half of the remaining time to answer; the other
    /// half is for the destination.
    pub(super) fn ask<D: Driver>(&mut self, now: u64, driver: &mut D) {
        let end = match self.phase {
            Phase::Grace { handshake, .. } => Moment(now).after(handshake),
            _ => self.phase.until(),
        };
        self.reason.get_or_insert(self.cause());
        self.send_close(End::Client, now, driver);
        let half = short(end.0.saturating_sub(now) / 2);
        self.phase = Phase::Asked { until: Moment(now).after(half), parting: half };
    }

    /// Sends our Close to `to`; the stream towards it is clear.
    pub(super) fn send_close<D: Driver>(&mut self, to: End, now: u64, driver: &mut D) {
        self.note_close(self.cause(), Some(self.code));
        let close = frame::close(self.code, "", mask_for(to, driver));
        self.send(to, &close, now, driver);
        let side = self.side_mut(to);
        side.tail = Tail::Ours;
        side.set(flag::DROP);
        driver.event(Event::CloseSent(to, self.code));
    }

    /// Records the code of the first Close, and its reason.
    pub(super) fn note_close(&mut self, by: Reason, code: Option<u16>) {
        if self.sides.iter().all(|side| side.tail == Tail::Open) {
            self.close_code = code.unwrap_or(0);
        }
        self.reason.get_or_insert(by);
    }

    /// Continues after a Close frame of an end.
    pub(super) fn after_close(&mut self, now: u64) {
        let both = self.sides.iter().all(|side| side.has(flag::CLOSED));
        self.phase = match self.phase {
            // "The server MUST close the underlying TCP connection immediately; the client SHOULD
            // wait for the server" (RFC 6455 section 5.5.1). The ends have some time to do so
            // themselves.
            Phase::Open(Plan { handshake, .. }) | Phase::Grace { handshake, .. }
                if both || !matches!(self.phase, Phase::Open(_)) =>
            {
                let end = self.phase.hard_end();
                let until = end.min(Moment(now).after(handshake));
                let more = end.since(until);
                Phase::Parting(Parting { until, more, step: handshake, eager: false })
            }
            Phase::Late { until } => Phase::Parting(Parting::until(until)),
            unchanged => unchanged,
        };
    }

    /// Sends our Close to both ends, each at its next boundary, and waits for the answers.
    pub(super) fn part<D: Driver>(
        &mut self,
        reason: Reason,
        settings: &SessionSettings,
        now: u64,
        driver: &mut D,
    ) {
        self.reason.get_or_insert(reason);
        let until = Moment(now.saturating_add(settings.handshake)).min(self.phase.hard_end());
        self.phase = Phase::Parting(Parting { eager: true, ..Parting::until(until) });
        for end in End::BOTH {
            if self.is_clear(end) {
                self.send_close(end, now, driver);
            }
        }
    }

    /// Sends our Close to each end that is at a frame boundary, and waits for nothing.
    pub(super) fn give_up<D: Driver>(&mut self, reason: Reason, now: u64, driver: &mut D) -> Next {
        self.reason.get_or_insert(reason);
        self.finish(now, driver);
        Next::Close
    }

    fn finish<D: Driver>(&mut self, now: u64, driver: &mut D) {
        if self.phase == Phase::Over {
            return;
        }
        self.reason.get_or_insert(self.cause());
        for end in End::BOTH {
            if self.is_clear(end) {
                self.send_close(end, now, driver);
            }
        }
        self.phase = Phase::Over;
    }
}

//! Silence, Pings and all deadlines.

use super::phase::{Moment, Phase};
use super::{flag, Driver, End, Event, Next, Proof, Reason, Sent, Session, SessionSettings, Tail};
use crate::frame;

impl Session {
    /// When [`on_timer`](Self::on_timer) is due, or `None` for never. A time in the past is due
    /// now.
    pub fn deadline(&self, settings: &SessionSettings) -> Option<u64> {
        let mut soonest = self.phase.until().0;
        for end in End::BOTH {
            let due = [
                self.send_deadline(settings, end),
                self.pong_deadline(settings, end),
                self.ping_deadline(settings, end),
            ];
            soonest = due.into_iter().flatten().fold(soonest, u64::min);
        }
        soonest = self.idle_deadline(settings).map_or(soonest, |due| soonest.min(due.0));
        (soonest != u64::MAX && self.phase != Phase::Over).then_some(soonest)
    }

    /// The timer fired, perhaps early. The caller then asks for the next
    /// [`deadline`](Self::deadline).
    pub fn on_timer<D: Driver>(
        &mut self,
        settings: &SessionSettings,
        now: u64,
        driver: &mut D,
    ) -> Next {
        while self.phase.until() <= Moment(now) {
            self.on_phase_end(now, driver);
        }
        for end in End::BOTH {
            if is_due(self.send_deadline(settings, end), now) {
                // A socket becomes writable only once a good part of its buffer is free: with a
                // slow reader that may take long.
                if self.has_moved(end, driver) {
                    self.note_progress(end, now);
                } else {
                    self.drop_stuck(end, now, driver);
                }
            }
            if is_due(self.pong_deadline(settings, end), now) {
                if let Some(proof) = self.proof_of_death(settings, end, now, driver) {
                    self.side_mut(end).set(flag::GONE);
                    self.proof.get_or_insert(proof);
                    driver.event(Event::Died(end, proof, settings.patience(end)));
                    self.part(Reason::Dead(end), settings, now, driver);
                }
            }
            if is_due(self.ping_deadline(settings, end), now) {
                if self.is_clear(end) {
                    self.probe(settings, end, now, driver);
                } else {
                    self.side_mut(end).set(flag::DUE);
                }
            }
        }
        match self.idle_deadline(settings) {
            Some((due, since)) if due <= now && !self.is_unheard(since, now, driver) => {
                if self.is_half_closed() || self.is_passthrough() {
                    return self.give_up(Reason::Idle, now, driver);
                }
                self.part(Reason::Idle, settings, now, driver);
            }
            _ => {}
        }
        self.settle(Next::Timer)
    }

    /// `end` has taken no bytes for too long. If the other end is blocked too but does take bytes,
    /// its buffered bytes are still written.
    fn drop_stuck<D: Driver>(&mut self, end: End, now: u64, driver: &mut D) {
        self.reason.get_or_insert(Reason::SendTimeout(end));
        let _ = if self.side(end.peer()).has(flag::BLOCKED) {
            self.on_error(end, now, driver)
        } else {
            self.give_up(Reason::SendTimeout(end), now, driver)
        };
    }

    /// Reports the result for bytes to `to` that [`Driver::send`] could not report: the driver has
    /// tried to write its buffered bytes.
    pub fn on_sent<D: Driver>(&mut self, to: End, sent: Sent, now: u64, driver: &mut D) -> Next {
        match sent {
            _ if self.phase == Phase::Over => {}
            Sent::Written => self.note_drained(to, now),
            Sent::Kept if self.is_blocked(to) => {
                // no deadline becomes earlier by this
                self.note_progress(to, now);
                return Next::Keep;
            }
            _ => self.note_unwritten(to, sent, now, driver),
        }
        self.settle(Next::Timer)
    }

    /// Whether bytes for `to` are buffered, so that the other end must not be read.
    #[inline]
    pub fn is_blocked(&self, to: End) -> bool {
        self.side(to).has(flag::BLOCKED)
    }

    /// The socket did not take all bytes sent to `to`.
    #[cold]
    pub(super) fn note_unwritten<D: Driver>(
        &mut self,
        to: End,
        sent: Sent,
        now: u64,
        driver: &mut D,
    ) {
        if sent == Sent::Failed {
            self.lose(to, driver);
        } else if !self.is_blocked(to) {
            self.has_moved(to, driver);
            let side = self.side_mut(to);
            side.set(flag::BLOCKED);
            side.moved = now;
        }
    }

    /// The socket took some of the bytes buffered for `to`, but not all.
    fn note_progress(&mut self, to: End, now: u64) {
        let side = self.side_mut(to);
        side.moved = now;
        side.last = now;
    }

    /// The socket took the last of the bytes buffered for `to`.
    fn note_drained(&mut self, to: End, now: u64) {
        self.side_mut(to).clear(flag::BLOCKED);
        self.side_mut(to).last = now;
        // The other end was not read until now: its silence begins now.
        self.side_mut(to.peer()).last = now;
        self.active = now;
        if matches!(self.phase, Phase::Flush { .. }) {
            // either end may have sent something since; the other end is read now anyway
            for side in &mut self.sides {
                side.clear(flag::DRY);
            }
        }
    }

    pub(super) fn send_deadline(&self, settings: &SessionSettings, to: End) -> Option<u64> {
        let side = self.side(to);
        after(side.has(flag::BLOCKED).then_some(side.moved), settings.send_timeout)
    }

    /// Whether the silence of `end` counts against it: the tunnel is open, and the end is being
    /// read.
    fn is_judged(&self, end: End) -> bool {
        let closing = self.sides.iter().any(|s| s.has(flag::CLOSED) || s.tail != Tail::Open);
        matches!(self.phase, Phase::Open(_))
            && !closing
            && !self.is_passthrough()
            && !self.side(end).has(flag::DEAF)
            && self.side(end.peer()).flags & (flag::BLOCKED | flag::DEAF) == 0
    }

    pub(super) fn pong_deadline(&self, settings: &SessionSettings, end: End) -> Option<u64> {
        let side = self.side(end);
        let waiting = side.asked > side.last && !side.has(flag::SETTLED) && self.is_judged(end);
        after(waiting.then_some(side.asked), settings.patience(end))
    }

    pub(super) fn ping_deadline(&self, settings: &SessionSettings, end: End) -> Option<u64> {
        let side = self.side(end);
        let may = self.is_judged(end)
            && !side.has(flag::DUE)
            && !side.has(flag::BLOCKED)
            && self.pong_deadline(settings, end).is_none();
        after(may.then_some(side.last.max(side.asked)), settings.ping)
    }

    /// When the tunnel will have been idle for too long, and since when it is idle.
    pub(super) fn idle_deadline(&self, settings: &SessionSettings) -> Option<(u64, u64)> {
        let active = self.may_be_idle().then_some(self.active);
        let idle = after(active, settings.idle_timeout).zip(active);
        self.close_deadline(settings).into_iter().chain(idle).min()
    }

    /// The same of a tunnel that waits for a second Close.
    pub(super) fn close_deadline(&self, settings: &SessionSettings) -> Option<(u64, u64)> {
        let waits = self.may_be_idle() && self.is_half_closed();
        let last = self.sides.iter().map(|side| side.last).max().filter(|_| waits);
        after(last, settings.close_timeout).zip(last)
    }

    fn may_be_idle(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
            && !End::BOTH.into_iter().any(|end| self.is_blocked(end))
    }

    /// Whether an end has sent its Close.
    fn is_half_closed(&self) -> bool {
        self.sides.iter().any(|side| side.has(flag::CLOSED))
    }

    /// A boundary was reached for a due Ping, which may be unnecessary by now.
    pub(super) fn probe_if_silent<D: Driver>(
        &mut self,
        settings: &SessionSettings,
        end: End,
        now: u64,
        driver: &mut D,
    ) {
        self.side_mut(end).clear(flag::DUE);
        if is_due(self.ping_deadline(settings, end), now) {
            self.probe(settings, end, now, driver);
        }
    }

    /// Probes the silent `end`; the stream towards it is clear.
    ///
    /// A Ping of the other end that waits for its Pong serves as well as ours, and ours could
    /// replace its answer (RFC 6455 section 5.5.3). Where only the host has to acknowledge, a Pong
    /// is sent instead: "a Pong frame MAY be sent unsolicited. This serves as a unidirectional
    /// heartbeat".
    fn probe<D: Driver>(&mut self, settings: &SessionSettings, end: End, now: u64, driver: &mut D) {
        let queued = driver.queued(end);
        let side = self.side_mut(end);
        side.asked = now;
        side.acked = side.sent.saturating_sub(queued) as u32;
        side.clear(flag::QUEUED | flag::EXCUSED | flag::SETTLED);
        if queued > 0 {
            side.set(flag::QUEUED);
        }
        // An end that had the Ping and the time, and sent other bytes instead of the answer, never
        // will answer.
        let patience = match settings.patience(end) {
            0 => settings.ping,
            patience => patience,
        };
        let age = (side.last as u32).wrapping_sub(side.foreign_at);
        let ignored = queued == 0 && u64::from(age) > patience && age <= i32::MAX as u32;
        if !side.has(flag::FOREIGN) || ignored {
            side.clear(flag::FOREIGN);
            side.pings += 1;
            let token = u64::from(side.pings) ^ self.tag(end);
            let ping = frame::ping(token.to_be_bytes(), mask_for(end, driver));
            self.send(end, &ping, now, driver);
            driver.event(Event::Pinged(end));
        } else if queued == 0 && !self.owes_pong(settings, end) {
            // no Ping from anyone has this payload
            let pong = frame::pong(&self.tag(end).to_be_bytes(), mask_for(end, driver));
            self.send(end, &pong, now, driver);
        }
        let side = self.side_mut(end);
        side.ping_end = side.sent as u32;
    }

    /// Whether `end` has to answer a Ping. While it is in the middle of a frame it cannot: control
    /// frames may stand between the frames of a message, not within one (RFC 6455 section 5.4).
    fn owes_pong(&self, settings: &SessionSettings, end: End) -> bool {
        settings.awaits_pong(end) && self.side(end).scanner.between_frames()
    }

    /// Whether the host of `end` has acknowledged anything since the last call.
    fn has_moved<D: Driver>(&mut self, end: End, driver: &mut D) -> bool {
        let queued = driver.queued(end);
        let side = self.side_mut(end);
        let acked = side.sent.saturating_sub(queued) as u32;
        std::mem::replace(&mut side.acked, acked) != acked
    }

    /// The proof that `end`, whose time to answer a Ping is over, is dead; `None` if its time is
    /// extended.
    fn proof_of_death<D: Driver>(
        &mut self,
        settings: &SessionSettings,
        end: End,
        now: u64,
        driver: &mut D,
    ) -> Option<Proof> {
        let moved = self.has_moved(end, driver);
        let side = self.side_mut(end);
        let arrived = side.acked.wrapping_sub(side.ping_end) <= i32::MAX as u32;
        let was_queued = side.has(flag::QUEUED);
        if if arrived { was_queued } else { moved } {
            // the Ping is in a queue that moves, or was until just now
            if arrived {
                side.clear(flag::QUEUED);
            }
            side.asked = now;
            return None;
        }
        let proof = if !arrived && !driver.is_held_off(end) {
            Proof::Unacknowledged
        } else if self.owes_pong(settings, end) {
            Proof::Pong
        } else {
            self.side_mut(end).set(flag::SETTLED);
            return None;
        };
        (!self.is_excused(end, now, driver)).then_some(proof)
    }

    /// Whether `end`, whose Pong is overdue, has sent bytes that are not read yet. Then its time is
    /// extended, once for each Ping: an end whose silence counts is read, so once is enough.
    fn is_excused<D: Driver>(&mut self, end: End, now: u64, driver: &mut D) -> bool {
        if self.side(end).has(flag::EXCUSED) || !driver.unread(end) {
            return false;
        }
        let side = self.side_mut(end);
        side.set(flag::EXCUSED);
        side.asked = now;
        true
    }

    /// Whether the tunnel, idle since `since`, only seems so because an end has sent bytes that are
    /// not read yet. Then the idle time starts anew, once until a byte passes.
    fn is_unheard<D: Driver>(&mut self, since: u64, now: u64, driver: &mut D) -> bool {
        if self.excused == since as u32 || !End::BOTH.into_iter().any(|end| driver.unread(end)) {
            return false;
        }
        // must differ from the time of bytes read within this millisecond
        let anew = now.saturating_sub(1);
        self.excused = anew as u32;
        self.active = anew;
        if self.is_half_closed() {
            for side in &mut self.sides {
                side.last = anew;
            }
        }
        true
    }
}

/// The mask of a frame of ours towards `to` (RFC 6455 section 5.1).
pub(super) fn mask_for<D: Driver>(to: End, driver: &mut D) -> Option<[u8; 4]> {
    (to == End::Destination).then(|| (driver.random() as u32).to_le_bytes())
}

/// The end of the duration `time` from `since`, if both are set.
fn after(since: Option<u64>, time: u64) -> Option<u64> {
    since.filter(|_| time > 0).map(|since| since.saturating_add(time))
}

fn is_due(due: Option<u64>, now: u64) -> bool {
    due.is_some_and(|due| due <= now)
}

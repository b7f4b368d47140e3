//! Forwarding bytes.

use super::phase::{Moment, Parting, Phase};
use super::{flag, Driver, End, Event, Next, Reason, Sent, Session, SessionSettings, Tail};
use crate::frame::{Control, FrameError, Opcode, Step, Stop};

/// One chunk during its call.
pub(super) struct Pass<'a> {
    chunk: &'a [u8],
    from: End,
    to: End,
    now: u64,
    /// How much of the chunk the scanner has seen.
    at: usize,
    /// How much of the chunk is forwarded, held back or dropped.
    done: usize,
    next: Next,
}

impl Session {
    /// A chunk was read from one end.
    ///
    /// Passes the chunk to [`Driver::send`], in one or several parts, in order, with inserted
    /// frames between them.
    #[inline]
    pub fn on_bytes<D: Driver>(
        &mut self,
        settings: &SessionSettings,
        from: End,
        chunk: &[u8],
        now: u64,
        driver: &mut D,
    ) -> Next {
        if self.phase == Phase::Over {
            return Next::Close;
        }
        let side = self.side_mut(from);
        // the first sign of life after a Ping: the next Ping may be due before the Pong was
        let next = if side.asked > side.last { Next::Timer } else { Next::Keep };
        side.last = now;
        side.received += chunk.len() as u64;

        let to = from.peer();
        let mut pass = Pass { chunk, from, to, now, at: 0, done: 0, next };
        if !self.is_watching(to) {
            let side = self.side_mut(from);
            pass.at = side.scanner.pass_data(chunk, driver.count(from));
            if pass.at == chunk.len() && side.held == 0 {
                if self.forward(&mut pass, chunk.len(), driver) {
                    return next;
                }
                return self.settle(Next::Timer);
            }
        }
        self.scan(settings, &mut pass, driver);
        // unwritten bytes have a deadline of their own
        let is_blocked = End::BOTH.into_iter().any(|end| self.is_blocked(end));
        self.settle(if is_blocked { Next::Timer } else { pass.next })
    }

    /// Scans a chunk that contains more than plain data, or while frame boundaries matter.
    #[inline(never)]
    fn scan<D: Driver>(&mut self, settings: &SessionSettings, pass: &mut Pass<'_>, driver: &mut D) {
        loop {
            let mut stop = Stop::AtControl;
            if self.is_watching(pass.to) {
                self.on_boundary(settings, pass, driver);
                stop = Stop::AtFrame;
            }
            let scanner = &mut self.side_mut(pass.from).scanner;
            match scanner.scan(pass.chunk, &mut pass.at, stop, driver.count(pass.from)) {
                Step::End => break,
                Step::Frame => {}
                Step::Control(control) => self.on_control(&control, pass, driver),
                Step::Fault(fault) => self.on_fault(fault, pass, driver),
            }
        }
        self.on_end_of_chunk(pass, driver);
    }

    /// Whether frame boundaries in the stream towards `to` matter.
    #[inline]
    fn is_watching(&self, to: End) -> bool {
        !matches!(self.phase, Phase::Open(_) | Phase::Flush { .. }) || self.side(to).has(flag::DUE)
    }

    /// Whether bytes for `to` are dropped: nothing may follow our Close, and a failed connection
    /// takes nothing more.
    #[inline]
    pub(super) fn is_dropping(&self, to: End) -> bool {
        self.side(to).has(flag::DROP)
    }

    /// Forwards the chunk up to `until`, or drops that part. Returns whether
    /// [`settle`](Self::settle) is not needed.
    #[inline]
    fn forward<D: Driver>(&mut self, pass: &mut Pass<'_>, until: usize, driver: &mut D) -> bool {
        let part = pass.chunk.get(pass.done..until).unwrap_or_default();
        pass.done = until;
        if part.is_empty() || self.is_dropping(pass.to) {
            return true;
        }
        self.active = pass.now;
        self.send(pass.to, part, pass.now, driver)
    }

    /// Sends `bytes` to `to`, for which bytes are not dropped. Returns whether they are written; if
    /// not, the caller must [settle](Self::settle) before the driver's call returns.
    #[inline]
    pub(super) fn send<D: Driver>(
        &mut self,
        to: End,
        bytes: &[u8],
        now: u64,
        driver: &mut D,
    ) -> bool {
        self.side_mut(to).sent += bytes.len() as u64;
        let sent = driver.send(to, bytes);
        if sent != Sent::Written {
            self.note_unwritten(to, sent, now, driver);
        }
        sent == Sent::Written
    }

    /// Forwards the held-back bytes of `from`.
    pub(super) fn release<D: Driver>(&mut self, from: End, now: u64, driver: &mut D) {
        let side = self.side_mut(from);
        let held = usize::from(side.held);
        if held == 0 {
            return;
        }
        side.held = 0;
        if !self.is_dropping(from.peer()) {
            let mut bytes = [0; 16];
            bytes[..held].copy_from_slice(self.side(from).scanner.began_with(held));
            self.active = now;
            self.send(from.peer(), &bytes[..held], now, driver);
        }
    }

    /// The scanner has stopped, perhaps at a boundary: frames that wait for one are inserted now.
    fn on_boundary<D: Driver>(
        &mut self,
        settings: &SessionSettings,
        pass: &mut Pass<'_>,
        driver: &mut D,
    ) {
        if !self.is_clear(pass.to) {
            return;
        }
        if self.side(pass.to).has(flag::DUE) {
            self.forward(pass, pass.at, driver);
            self.probe_if_silent(settings, pass.to, pass.now, driver);
            pass.next = Next::Timer;
        }
        let close = match self.phase {
            Phase::Open(_) | Phase::Flush { .. } | Phase::Over => return,
            Phase::Grace { .. } | Phase::Late { .. } => {
                if self.may_ask() {
                    self.forward(pass, pass.at, driver);
                    // unless that has failed
                    if self.may_ask() {
                        self.ask(pass.now, driver);
                    }
                    pass.next = Next::Timer;
                }
                // Towards the destination, this boundary may be just before the client's Close.
                pass.to == End::Destination && self.is_asked() && self.close_comes(pass)
            }
            Phase::Parting(Parting { eager: true, .. }) => true,
            Phase::Asked { .. } | Phase::Parting(_) => {
                pass.to == End::Destination && self.is_asked() && self.close_comes(pass)
            }
        };
        if close && self.is_clear(pass.to) {
            self.forward(pass, pass.at, driver);
            if self.is_clear(pass.to) {
                self.send_close(pass.to, pass.now, driver);
            }
            pass.next = Next::Timer;
        }
    }

    /// Whether our Close was sent to the client.
    fn is_asked(&self) -> bool {
        self.side(End::Client).tail == Tail::Ours
    }

    /// Whether the next frame in the chunk is a Close, judged by its first byte.
    fn close_comes(&self, pass: &Pass<'_>) -> bool {
        self.side(pass.from).scanner.between_frames()
            && pass.chunk.get(pass.at).is_some_and(|first| Opcode::of(*first) == Opcode::CLOSE)
    }

    /// A control frame is complete; `pass.at` is just after it.
    fn on_control<D: Driver>(&mut self, control: &Control, pass: &mut Pass<'_>, driver: &mut D) {
        let began_here = pass.at.checked_sub(control.size.into());
        if control.opcode == Opcode::PONG && self.is_own_pong(pass.from, control) {
            let held = self.side(pass.from).held > 0;
            if held || began_here.is_some() {
                self.forward(pass, began_here.unwrap_or(0), driver);
                pass.done = pass.at;
                self.side_mut(pass.from).held = 0;
                driver.event(Event::Ponged(pass.from));
                return;
            }
        }
        self.release(pass.from, pass.now, driver);
        match control.opcode {
            Opcode::CLOSE => self.on_close(control.close_code(), pass, driver),
            Opcode::PING if !self.is_dropping(pass.to) => {
                let side = self.side_mut(pass.to);
                side.set(flag::FOREIGN);
                side.foreign = control.digest;
                side.foreign_at = pass.now as u32;
            }
            Opcode::PONG => {
                // "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in
                // response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame
                // for only the most recently processed Ping frame" (RFC 6455 section 5.5.3). So the
                // Pong to the latest Ping answers all before it. It answers ours as well: any byte
                // is a sign of life.
                let side = self.side_mut(pass.from);
                if side.foreign == control.digest {
                    side.clear(flag::FOREIGN);
                }
            }
            _ => {}
        }
    }

    /// A Close frame of `pass.from` is complete.
    fn on_close<D: Driver>(&mut self, code: Option<u16>, pass: &mut Pass<'_>, driver: &mut D) {
        let (from, to) = (pass.from, pass.to);
        driver.event(Event::CloseSeen(from, code));
        self.note_close(Reason::closed_by(from), code);
        self.side_mut(from).set(flag::CLOSED);
        if self.side(to).tail == Tail::Open {
            self.side_mut(to).tail = Tail::Theirs;
        }
        self.after_close(pass.now);
        pass.next = Next::Timer;
    }

    /// The bytes from `pass.at` on are no frames.
    fn on_fault<D: Driver>(&mut self, fault: FrameError, pass: &mut Pass<'_>, driver: &mut D) {
        self.release(pass.from, pass.now, driver);
        for side in &mut self.sides {
            side.clear(flag::DUE);
            side.asked = 0;
        }
        driver.event(Event::Passthrough(pass.from, fault));
        if matches!(self.phase, Phase::Grace { .. } | Phase::Late { .. }) {
            // There will be no frame boundary any more.
            self.phase = Phase::Late { until: Moment(pass.now) };
        }
        pass.next = Next::Timer;
    }

    /// The chunk is scanned: its end is forwarded, or held back if it may become a Pong to our
    /// Ping.
    #[inline]
    fn on_end_of_chunk<D: Driver>(&mut self, pass: &mut Pass<'_>, driver: &mut D) {
        let side = self.side(pass.from);
        if side.pings > 0 && !side.scanner.begun().is_empty() && self.hold(pass, driver) {
            return;
        }
        if self.side(pass.from).held > 0 {
            self.release(pass.from, pass.now, driver);
        }
        self.forward(pass, pass.chunk.len(), driver);
    }

    /// Holds back the incomplete frame at the end of the chunk, if it may be a Pong to our Ping and
    /// no byte of it has been forwarded.
    fn hold<D: Driver>(&mut self, pass: &mut Pass<'_>, driver: &mut D) -> bool {
        let side = self.side(pass.from);
        let (begun, held) = (side.scanner.begun(), usize::from(side.held));
        let began_here = held == 0 && begun.len() <= pass.chunk.len();
        if !(held > 0 || began_here) || !self.may_be_own_pong(pass.from, begun) {
            return false;
        }
        let total = begun.len();
        self.forward(pass, pass.chunk.len() - (total - held), driver);
        pass.done = pass.chunk.len();
        self.side_mut(pass.from).held = total as u8;
        true
    }

    /// Whether a complete Pong of `from` answers one of our Pings.
    fn is_own_pong(&self, from: End, control: &Control) -> bool {
        let number = u64::from_be_bytes(control.head) ^ self.tag(from);
        control.len == 8
            && control.rsv == 0
            && (1..=u64::from(self.side(from).pings)).contains(&number)
    }

    /// Whether the incomplete frame of `from` can become a Pong to one of our Pings.
    pub(super) fn may_be_own_pong(&self, from: End, begun: &[u8]) -> bool {
        let masked = from == End::Client;
        let mask = match (masked, begun) {
            (true, [_, _, a, b, c, d, ..]) => [*a, *b, *c, *d],
            _ => [0; 4],
        };
        let (first, second) = (0x80 | Opcode::PONG.bits(), if masked { 0x88 } else { 0x08 });
        let payload = begun.iter().skip(if masked { 6 } else { 2 });
        // The number is in the last four bytes, which vary; the tag fills the other four.
        let tag = self.tag(from).to_be_bytes();
        begun.first().is_none_or(|byte| *byte == first)
            && begun.get(1).is_none_or(|byte| *byte == second)
            && payload.zip(mask).zip(tag).all(|((byte, key), tag)| byte ^ key == tag)
    }

    /// A token is the number of the Ping combined with this.
    pub(super) fn tag(&self, end: End) -> u64 {
        self.secret ^ (u64::from(end == End::Destination) << 63)
    }
}

//! Bytes in, bytes out.

use super::{flag, End, Event, Io, Next, Phase, Reason, Session, Settings, Tail};
use crate::frame::{Control, Fault, Opcode, Step, Stop};

/// One chunk on its way through a session.
pub(super) struct Pass<'a> {
    chunk: &'a [u8],
    from: End,
    to: End,
    now: u64,
    /// How far the scanner has come in the chunk.
    at: usize,
    /// How far the chunk is dealt with: forwarded, held back or dropped.
    done: usize,
    next: Next,
}

impl Session {
    /// A chunk came from one end.
    ///
    /// Gives the chunk to [`Io::forward`], whole or in parts, in order, with whatever is to go
    /// between; what it does not give is to be dropped. The caller may reuse the memory of
    /// `chunk` once the call is over and the parts are written or kept.
    #[inline]
    pub fn on_bytes<I: Io>(
        &mut self,
        settings: &Settings,
        from: End,
        chunk: &[u8],
        now: u64,
        io: &mut I,
    ) -> Next {
        if self.phase == Phase::Over {
            return Next::Close;
        }
        let side = self.side_mut(from);
        // the first sign of life after a Ping: the next one may be due before the Pong was
        let next = if side.asked > side.last { Next::Timer } else { Next::Keep };
        side.last = now;
        side.received += chunk.len() as u64;

        let to = from.peer();
        let mut pass = Pass { chunk, from, to, now, at: 0, done: 0, next };
        if !self.is_watching(to) {
            let side = self.side_mut(from);
            pass.at = side.scanner.pass_data(chunk, io.count(from));
            if pass.at == chunk.len() && side.held == 0 {
                self.forward(&mut pass, chunk.len(), io);
                return next;
            }
        }
        self.scan(settings, &mut pass, io);
        pass.next
    }

    /// Goes through a chunk with more than plain data in it, or at a time when boundaries matter.
    #[inline(never)]
    fn scan<I: Io>(&mut self, settings: &Settings, pass: &mut Pass<'_>, io: &mut I) {
        loop {
            let mut stop = Stop::AtControl;
            if self.is_watching(pass.to) {
                self.on_boundary(settings, pass, io);
                stop = Stop::AtFrame;
            }
            let scanner = &mut self.side_mut(pass.from).scanner;
            match scanner.scan(pass.chunk, &mut pass.at, stop, io.count(pass.from)) {
                Step::End => break,
                Step::Frame => {}
                Step::Control(control) => self.on_control(&control, pass, io),
                Step::Fault(fault) => self.on_fault(fault, pass, io),
            }
        }
        self.on_end_of_chunk(pass, io);
    }

    /// Whether boundaries in the stream towards `to` matter.
    #[inline]
    fn is_watching(&self, to: End) -> bool {
        !matches!(self.phase, Phase::Open | Phase::Flush) || self.side(to).has(flag::DUE)
    }

    /// Whether what comes for `to` is dropped: nothing may follow our Close, and some take nothing
    /// more.
    #[inline]
    pub(super) fn is_dropping(&self, to: End) -> bool {
        self.side(to).has(flag::DROP)
    }

    /// Forwards the chunk up to `until`, or drops it.
    #[inline]
    fn forward<I: Io>(&mut self, pass: &mut Pass<'_>, until: usize, io: &mut I) {
        if until > pass.done && !self.is_dropping(pass.to) {
            self.active = pass.now;
            self.side_mut(pass.to).sent += (until - pass.done) as u64;
            io.forward(pass.to, pass.done..until);
        }
        pass.done = until;
    }

    /// Sends towards `to` what is not in the chunk.
    pub(super) fn insert<I: Io>(&mut self, to: End, bytes: &[u8], io: &mut I) {
        self.side_mut(to).sent += bytes.len() as u64;
        io.insert(to, bytes);
    }

    /// Sends on what was held back of `from`.
    pub(super) fn release<I: Io>(&mut self, from: End, now: u64, io: &mut I) {
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
            self.insert(from.peer(), &bytes[..held], io);
        }
    }

    /// The scanner has stopped, perhaps between two frames: what waited for that goes in now.
    fn on_boundary<I: Io>(&mut self, settings: &Settings, pass: &mut Pass<'_>, io: &mut I) {
        if !self.is_clear(pass.to) {
            return;
        }
        if self.side(pass.to).has(flag::DUE) {
            self.forward(pass, pass.at, io);
            self.probe_if_silent(settings, pass.to, pass.now, io);
            pass.next = Next::Timer;
        }
        let close = match self.phase {
            Phase::Open | Phase::Flush | Phase::Over => return,
            Phase::Grace | Phase::Late => {
                if self.may_ask() {
                    self.forward(pass, pass.at, io);
                    self.ask(pass.now, io);
                    pass.next = Next::Timer;
                }
                // Towards the destination this boundary may be in front of the client's Close.
                pass.to == End::Destination && self.is_asked() && self.close_comes(pass)
            }
            Phase::Asked | Phase::Parting => {
                self.eager
                    || (pass.to == End::Destination && self.is_asked() && self.close_comes(pass))
            }
        };
        if close && self.is_clear(pass.to) {
            self.forward(pass, pass.at, io);
            self.send_close(pass.to, io);
            pass.next = Next::Timer;
        }
    }

    /// Whether our Close has gone to the client.
    fn is_asked(&self) -> bool {
        self.side(End::Client).tail == Tail::Ours
    }

    /// Whether the next frame in the chunk is a Close, as far as its first byte tells.
    fn close_comes(&self, pass: &Pass<'_>) -> bool {
        self.side(pass.from).scanner.between_frames()
            && pass.chunk.get(pass.at).is_some_and(|first| Opcode::of(*first) == Opcode::CLOSE)
    }

    /// A control frame is complete; `pass.at` is behind it.
    fn on_control<I: Io>(&mut self, control: &Control, pass: &mut Pass<'_>, io: &mut I) {
        let began_here = pass.at.checked_sub(control.size.into());
        if control.opcode == Opcode::PONG && self.is_own_pong(pass.from, control) {
            let held = self.side(pass.from).held > 0;
            if held || began_here.is_some() {
                self.forward(pass, began_here.unwrap_or(0), io);
                pass.done = pass.at;
                self.side_mut(pass.from).held = 0;
                io.event(Event::Ponged(pass.from));
                return;
            }
        }
        self.release(pass.from, pass.now, io);
        match control.opcode {
            Opcode::CLOSE => self.on_close(control.close_code(), pass, io),
            Opcode::PING if !self.is_dropping(pass.to) => {
                let side = self.side_mut(pass.to);
                side.set(flag::FOREIGN);
                side.foreign = control.digest;
                side.foreign_at = pass.now as u32;
            }
            Opcode::PONG => {
                // "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in
                // response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame
                // for only the most recently processed Ping frame" (RFC 6455 section 5.5.3). So
                // the Pong to the latest one settles all before it. To ours as well: any byte is
                // a sign of life.
                let side = self.side_mut(pass.from);
                if side.foreign == control.digest {
                    side.clear(flag::FOREIGN);
                }
            }
            _ => {}
        }
    }

    /// A Close frame of `pass.from` is complete.
    fn on_close<I: Io>(&mut self, code: Option<u16>, pass: &mut Pass<'_>, io: &mut I) {
        let (from, to) = (pass.from, pass.to);
        io.event(Event::CloseSeen(from, code));
        self.note_close(Reason::closed_by(from), code);
        self.side_mut(from).set(flag::CLOSED);
        if self.side(to).tail == Tail::Open {
            self.side_mut(to).tail = Tail::Theirs;
        }
        pass.next = self.after_close(pass.now);
    }

    /// The bytes from `pass.at` on are no frames.
    fn on_fault<I: Io>(&mut self, fault: Fault, pass: &mut Pass<'_>, io: &mut I) {
        self.release(pass.from, pass.now, io);
        self.opaque = true;
        for side in &mut self.sides {
            side.clear(flag::DUE);
            side.asked = 0;
        }
        io.event(Event::Opaque(pass.from, fault));
        if matches!(self.phase, Phase::Grace | Phase::Late) {
            // There is no boundary to wait for any more.
            self.at = pass.now;
            self.phase = Phase::Late;
        }
        pass.next = Next::Timer;
    }

    /// The chunk is used up: its end is forwarded, or held back if it may become a Pong of ours.
    #[inline]
    fn on_end_of_chunk<I: Io>(&mut self, pass: &mut Pass<'_>, io: &mut I) {
        let side = self.side(pass.from);
        if side.pings > 0 && !side.scanner.begun().is_empty() && self.hold(pass, io) {
            return;
        }
        if self.side(pass.from).held > 0 {
            self.release(pass.from, pass.now, io);
        }
        self.forward(pass, pass.chunk.len(), io);
    }

    /// Holds back the incomplete frame at the end of the chunk, if it may be a Pong of ours and
    /// none of it has been forwarded.
    fn hold<I: Io>(&mut self, pass: &mut Pass<'_>, io: &mut I) -> bool {
        let side = self.side(pass.from);
        let (begun, held) = (side.scanner.begun(), usize::from(side.held));
        let began_here = held == 0 && begun.len() <= pass.chunk.len();
        if !(held > 0 || began_here) || !self.may_be_own_pong(pass.from, begun) {
            return false;
        }
        let total = begun.len();
        self.forward(pass, pass.chunk.len() - (total - held), io);
        pass.done = pass.chunk.len();
        self.side_mut(pass.from).held = total as u8;
        true
    }

    /// Whether a complete Pong of `from` answers a Ping of ours, and nobody else's.
    fn is_own_pong(&self, from: End, control: &Control) -> bool {
        let number = u64::from_be_bytes(control.head) ^ self.tag(from);
        control.len == 8
            && control.rsv == 0
            && (1..=u64::from(self.side(from).pings)).contains(&number)
    }

    /// Whether the beginning of a frame of `from` can become a Pong of ours.
    fn may_be_own_pong(&self, from: End, begun: &[u8]) -> bool {
        let masked = from == End::Client;
        let mask = match (masked, begun) {
            (true, [_, _, a, b, c, d, ..]) => [*a, *b, *c, *d],
            _ => [0; 4],
        };
        let (first, second) = (0x80 | Opcode::PONG.bits(), if masked { 0x88 } else { 0x08 });
        let payload = begun.iter().skip(if masked { 6 } else { 2 });
        // The number is in the last four bytes, which vary; the tag shows in the others.
        let tag = self.tag(from).to_be_bytes();
        begun.first().is_none_or(|byte| *byte == first)
            && begun.get(1).is_none_or(|byte| *byte == second)
            && payload.zip(mask).zip(tag).all(|((byte, key), tag)| byte ^ key == tag)
    }

    /// What the number of a Ping is mixed with to make its token.
    pub(super) fn tag(&self, end: End) -> u64 {
        self.secret ^ (u64::from(end == End::Destination) << 63)
    }
}

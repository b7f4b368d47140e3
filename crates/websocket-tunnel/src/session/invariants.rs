//! What holds for every session between two calls.

use super::phase::Phase;
use super::{flag, End, Session, Tail};
use crate::encoding::Field;

impl Session {
    /// Checks the fields against each other; the error is the field that does not fit. Scanners
    /// check their own fields.
    ///
    /// A session for which this does not hold could send to an end that has failed, drop the bytes
    /// of an open tunnel, or close a tunnel with bytes unread.
    pub(super) fn check(&self) -> Result<(), Field> {
        for end in End::BOTH {
            check(Some(end), &self.rules_of_end(end))?;
        }
        check(None, &self.rules_of_tunnel())
    }

    fn rules_of_end(&self, end: End) -> [(&'static str, bool); 10] {
        let (side, peer) = (self.side(end), self.side(end.peer()));
        let is_deaf = side.has(flag::DEAF);
        let is_ours = side.tail == Tail::Ours;
        let phase = self.phase;
        let tail_fits = match side.tail {
            Tail::Open => !peer.has(flag::CLOSED),
            Tail::Theirs => peer.has(flag::CLOSED),
            Tail::Ours => !is_before_close(phase),
        };
        let flushing = matches!(phase, Phase::Flush { .. } | Phase::Over);
        [
            // a Ping every second for 68 years; the session can count on without overflow
            ("pings", side.pings <= u32::MAX / 2),
            ("flags", side.flags & !flag::ALL == 0),
            // nothing is sent to or buffered for an end that has failed
            ("flags", !is_deaf || !side.has(flag::BLOCKED | flag::DUE)),
            ("flags", side.has(flag::DROP) == (is_deaf || is_ours)),
            ("flags", !side.has(flag::EOF) || !is_before_close(phase)),
            ("flags", !side.has(flag::DRY) || flushing),
            ("flags", !side.has(flag::GONE) || flushing || matches!(phase, Phase::Parting(_))),
            ("flags", side.has(flag::CLOSED) == side.scanner.is_closed()),
            ("tail", tail_fits),
            ("held", side.held == 0 || self.holds_own_pong(end)),
        ]
    }

    fn rules_of_tunnel(&self) -> [(&'static str, bool); 4] {
        let any = |flag| self.sides.iter().any(|side| side.has(flag));
        let asked = self.side(End::Client).tail == Tail::Ours;
        let is_ending = !is_before_close(self.phase) || any(flag::CLOSED);
        [
            ("proof", self.proof.is_some() == any(flag::GONE)),
            ("reason", self.reason.is_some() || !is_ending),
            ("phase", asked || !matches!(self.phase, Phase::Asked { .. })),
            ("phase", any(flag::EOF) || !matches!(self.phase, Phase::Flush { .. })),
        ]
    }

    /// Whether the bytes held back are the whole incomplete frame of `from`, and it may become a
    /// Pong to one of our Pings.
    fn holds_own_pong(&self, from: End) -> bool {
        let (side, begun) = (self.side(from), self.side(from).scanner.begun());
        usize::from(side.held) == begun.len() && side.pings > 0 && self.may_be_own_pong(from, begun)
    }
}

/// Whether the session has sent no Close yet, and no end has closed its connection.
fn is_before_close(phase: Phase) -> bool {
    matches!(phase, Phase::Open(_) | Phase::Grace { .. } | Phase::Late { .. })
}

fn check(end: Option<End>, rules: &[(&'static str, bool)]) -> Result<(), Field> {
    match rules.iter().find(|(_, holds)| !holds) {
        Some((name, _)) => Err(Field { end, name }),
        None => Ok(()),
    }
}

//! The state of a scanner as bytes.

use super::{Scanner, State};
use crate::encoding::{DecodeError, Reader, Writer};
use crate::frame::{FrameHeader, Opcode, MAX_HEADER};

/// The states in the order of their numbers.
const STATES: [State; 4] = [State::Header, State::Payload, State::Closed, State::Lost];

impl Scanner {
    pub(crate) fn encode(&self, out: &mut Writer) {
        // the end of the scanner says which mask bit it expects
        let Self { left, frames, digest, begun, have, first, mask_bit: _, in_message, state } =
            self;
        out.u64(*left);
        out.count(*frames);
        out.u32(*digest);
        out.bytes(begun);
        out.u8(*have);
        out.u8(*first);
        out.bool(*in_message);
        out.one_of(&STATES, state);
    }

    /// Reads what [`encode`](Self::encode) wrote; `blank` is a new scanner of that end.
    pub(crate) fn decode(input: &mut Reader<'_>, blank: Self) -> Result<Self, DecodeError> {
        let scanner = Self {
            left: input.u64("scanner.left")?,
            frames: input.count("scanner.frames")?,
            digest: input.u32("scanner.digest")?,
            begun: input.bytes("scanner.begun")?,
            have: input.u8("scanner.have")?,
            first: input.u8("scanner.first")?,
            mask_bit: blank.mask_bit,
            in_message: input.bool("scanner.in_message")?,
            state: input.one_of(&STATES, "scanner.state")?,
        };
        scanner.check().map_err(|name| input.invalid(name))?;
        Ok(scanner)
    }

    /// Checks the fields against each other; the error is the field that does not fit.
    fn check(&self) -> Result<(), &'static str> {
        let expect = |name, holds: bool| if holds { Ok(()) } else { Err(name) };
        let begun = self.begun.get(..usize::from(self.have)).ok_or("scanner.have")?;
        if self.state != State::Payload {
            expect("scanner.left", self.left == 0)?;
        }
        match self.state {
            // a scanner never waits with a header that is complete or already wrong
            State::Header => expect("scanner.begun", FrameHeader::parse(begun) == Ok(None)),
            State::Payload if Opcode::of(self.first).is_control() => self.check_control(begun),
            State::Payload => {
                expect("scanner.left", (1..=u64::MAX / 2).contains(&self.left))?;
                expect("scanner.have", begun.is_empty())?;
                expect("scanner.in_message", self.in_message == (self.first & 0x80 == 0))
            }
            State::Closed | State::Lost => expect("scanner.have", begun.is_empty()),
        }
    }

    /// The same within a control frame that begins with `begun`.
    fn check_control(&self, begun: &[u8]) -> Result<(), &'static str> {
        let header = match FrameHeader::parse(begun) {
            Ok(Some(header)) if begun[0] == self.first && self.check_mask(&header).is_ok() => {
                header
            }
            _ => return Err("scanner.begun"),
        };
        if !(1..=header.len).contains(&self.left) {
            return Err("scanner.left");
        }
        let received = u64::from(header.size) + header.len - self.left;
        if begun.len() as u64 != received.min(MAX_HEADER as u64) {
            return Err("scanner.have");
        }
        Ok(())
    }
}

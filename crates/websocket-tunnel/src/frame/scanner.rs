//! Follows one direction of a stream that arrives in chunks.

use super::{Count, FrameError, FrameHeader, Opcode, MAX_HEADER};

mod encoding;

/// Where [`Scanner::scan`] stops, besides the end of the chunk, a complete control frame and a
/// fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At no other place.
    AtControl,
    /// After every frame.
    AtFrame,
}

/// Why [`Scanner::scan`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The chunk is used up, perhaps within a frame.
    End,
    /// A data frame is complete; only with [`Stop::AtFrame`].
    Frame,
    /// A control frame is complete.
    Control(Control),
    /// The bytes at this position are no frame. Further bytes are not scanned.
    Fault(FrameError),
}

/// A complete control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Close, Ping, Pong or a reserved one.
    pub opcode: Opcode,
    /// RSV1 to RSV3, as in [`FrameHeader::rsv`].
    pub rsv: u8,
    /// Bytes of payload, at most 125.
    pub len: u8,
    /// Bytes of the whole frame, header included.
    pub size: u8,
    /// The first bytes of the payload, unmasked, then zeros.
    pub head: [u8; 8],
    /// FNV-1a hash of the unmasked payload, which matches a Pong with its Ping.
    pub digest: u32,
}

impl Control {
    /// The status code of a Close frame that has one.
    pub fn close_code(&self) -> Option<u16> {
        let code = u16::from_be_bytes([self.head[0], self.head[1]]);
        (self.opcode == Opcode::CLOSE && self.len >= 2).then_some(code)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two frames, or `have` bytes into a header.
    Header,
    /// `left` bytes before the end of a frame; never zero between two calls.
    Payload,
    /// A Close frame passed: "the application MUST NOT send any more data frames after sending a
    /// Close frame" (RFC 6455 section 5.5.1), so further bytes are not scanned.
    Closed,
    /// A fault was found.
    Lost,
}

/// Follows the frames that one end sends.
///
/// ```
/// use websocket_tunnel::frame::{Scanner, Step, Stop};
///
/// let mut scanner = Scanner::of_server();
/// for chunk in [&b"\x01\x03Hel"[..], b"\x80", b"\x02lo"] {
///     let mut at = 0;
///     assert_eq!(scanner.scan(chunk, &mut at, Stop::AtControl, &()), Step::End);
/// }
/// assert!(scanner.between_messages());
/// assert_eq!(scanner.frames(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    /// Remaining payload bytes of the current frame.
    left: u64,
    /// Frames whose header was read.
    frames: u64,
    /// Hash of the control payload so far.
    digest: u32,
    /// The first bytes of an incomplete header or control frame.
    begun: [u8; MAX_HEADER],
    /// How many bytes of `begun` are filled.
    have: u8,
    /// First byte of the current frame.
    first: u8,
    /// 0x80 when this end must mask its frames, else 0.
    mask_bit: u8,
    /// The last data frame was without FIN.
    in_message: bool,
    state: State,
}

impl Scanner {
    /// A scanner for the frames of a client, which are masked.
    pub const fn of_client() -> Self {
        Self::new(0x80)
    }

    /// A scanner for the frames of a server, which are not masked.
    pub const fn of_server() -> Self {
        Self::new(0)
    }

    const fn new(mask_bit: u8) -> Self {
        Self {
            left: 0,
            frames: 0,
            digest: 0,
            begun: [0; MAX_HEADER],
            have: 0,
            first: 0,
            mask_bit,
            in_message: false,
            state: State::Header,
        }
    }

    /// Continues through `chunk` from `at`, which it advances, and returns why it stopped.
    ///
    /// Pass every byte once and in order: call again with the same chunk until the result is
    /// [`Step::End`], then with the next chunk. Many small data frames in one chunk take one pass
    /// of a short loop, and a chunk within a payload takes one subtraction.
    #[inline]
    pub fn scan<C: Count>(&mut self, chunk: &[u8], at: &mut usize, stop: Stop, count: &C) -> Step {
        loop {
            let mut rest = chunk.get(*at..).unwrap_or_default();
            match self.state {
                State::Header => {
                    if self.have == 0 {
                        let before = rest.len();
                        rest = self.whole_frames(rest, stop, count);
                        *at += before - rest.len();
                        if stop == Stop::AtFrame && rest.len() != before {
                            return Step::Frame;
                        }
                    }
                    if rest.is_empty() {
                        return Step::End;
                    }
                    match self.header(rest, count) {
                        Ok(Some(size)) => *at += size,
                        Ok(None) => {
                            *at += rest.len();
                            return Step::End;
                        }
                        Err(fault) => {
                            self.state = State::Lost;
                            self.have = 0;
                            return Step::Fault(fault);
                        }
                    }
                }
                State::Payload => {
                    *at += self.payload(rest, count);
                    if self.left > 0 {
                        return Step::End;
                    }
                    self.state = State::Header;
                    if Opcode::of(self.first).is_control() {
                        return Step::Control(self.control());
                    }
                    if stop == Stop::AtFrame {
                        return Step::Frame;
                    }
                }
                State::Closed | State::Lost => {
                    *at += rest.len();
                    return Step::End;
                }
            }
        }
    }

    /// Passes the plain data at the start of `chunk` and returns its length; [`scan`](Self::scan)
    /// continues there. If that is the whole chunk, the common case, `scan` would only return
    /// [`Step::End`].
    #[inline]
    pub fn pass_data<C: Count>(&mut self, chunk: &[u8], count: &C) -> usize {
        let mut rest = chunk;
        if self.state == State::Payload && !Opcode::of(self.first).is_control() {
            let size = self.payload(rest, count);
            rest = &rest[size..];
            if self.left == 0 {
                self.state = State::Header;
            }
        }
        if self.state == State::Header && self.have == 0 && !rest.is_empty() {
            rest = self.whole_frames(rest, Stop::AtControl, count);
        }
        chunk.len() - rest.len()
    }

    /// Passes complete data frames of less than 64 KiB at the start of `rest`, and returns the
    /// remaining bytes.
    ///
    /// A separate function, called once per chunk, so that the loop has the registers. Consecutive
    /// frames with the same first byte are counted together.
    #[inline(never)]
    fn whole_frames<'a, C: Count>(
        &mut self,
        mut rest: &'a [u8],
        stop: Stop,
        count: &C,
    ) -> &'a [u8] {
        let mask_size = usize::from(self.mask_bit >> 5);
        let (mut first, mut frames, mut bytes) = (rest.first().copied().unwrap_or_default(), 0, 0);
        if Opcode::of(first).is_control() {
            return rest;
        }
        while let &[byte, second, ..] = rest {
            if byte != first {
                self.pass_frames(first, frames, bytes, count);
                (first, frames, bytes) = (byte, 0, 0);
                if Opcode::of(byte).is_control() {
                    break;
                }
            }
            // A wrong mask bit gives a result above 127.
            let (len, size) = match (second.wrapping_sub(self.mask_bit), rest) {
                (len @ ..=125, _) => (usize::from(len), 2 + mask_size),
                (126, [_, _, high, low, ..]) => {
                    (usize::from(u16::from_be_bytes([*high, *low])), 4 + mask_size)
                }
                _ => break,
            };
            let Some(next) = rest.get(size + len..) else { break };
            frames += 1;
            bytes += len as u64;
            rest = next;
            if stop == Stop::AtFrame {
                break;
            }
        }
        self.pass_frames(first, frames, bytes, count);
        rest
    }

    /// Counts complete data frames with this first byte.
    #[inline]
    fn pass_frames<C: Count>(&mut self, first: u8, frames: u64, bytes: u64, count: &C) {
        if frames > 0 {
            count.add(Opcode::of(first), frames, bytes);
            count.add_messages(frames * u64::from(first >> 7));
            self.frames += frames;
            self.in_message = first & 0x80 == 0;
        }
    }

    /// Parses a header from the start of `rest`; `have` bytes of it came in earlier chunks. Returns
    /// how many bytes of `rest` it took, or `None` if more are needed.
    fn header<C: Count>(&mut self, rest: &[u8], count: &C) -> Result<Option<usize>, FrameError> {
        let had = usize::from(self.have);
        let fresh = rest.len().min(MAX_HEADER - had);
        let mut bytes = self.begun;
        bytes[had..had + fresh].copy_from_slice(&rest[..fresh]);

        let Some(header) = FrameHeader::parse(&bytes[..had + fresh])? else {
            self.begun = bytes;
            self.have = (had + fresh) as u8;
            return Ok(None);
        };
        self.check_mask(&header)?;

        count.add(header.opcode, 1, 0);
        self.frames += 1;
        self.first = bytes[0];
        self.left = header.len;
        self.state = State::Payload;
        if header.opcode.is_control() {
            self.begun = bytes;
            self.have = header.size;
            self.digest = 0x811c_9dc5;
        } else {
            self.have = 0;
            self.in_message = !header.fin;
        }
        Ok(Some(usize::from(header.size) - had))
    }

    /// "The server MUST close the connection upon receiving a frame that is not masked", and "a
    /// client MUST close a connection if it detects a masked frame" (RFC 6455 section 5.1): no
    /// WebSocket continues after such a frame. If these two ends do, they use another protocol, in
    /// which our frames have no place.
    fn check_mask(&self, header: &FrameHeader) -> Result<(), FrameError> {
        match (self.mask_bit != 0, header.mask.is_some()) {
            (true, false) => Err(FrameError::NotMasked),
            (false, true) => Err(FrameError::Masked),
            _ => Ok(()),
        }
    }

    /// Passes the bytes of `rest` that belong to the current payload, and returns their number.
    #[inline]
    fn payload<C: Count>(&mut self, rest: &[u8], count: &C) -> usize {
        let opcode = Opcode::of(self.first);
        let size = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
        count.add(opcode, 0, size as u64);
        if opcode.is_control() {
            self.control_payload(&rest[..size]);
        }
        self.left -= size as u64;
        if self.left == 0 && !opcode.is_control() {
            count.add_messages(u64::from(self.first >> 7));
        }
        size
    }

    fn control_payload(&mut self, payload: &[u8]) {
        let mask = self.mask();
        let at = usize::from(self.begun[1] & 0x7f) - self.left as usize;
        for (byte, at) in payload.iter().zip(at..) {
            self.digest = (self.digest ^ u32::from(byte ^ mask[at % 4])).wrapping_mul(0x0100_0193);
            if let Some(slot) = self.begun.get_mut(usize::from(self.have)) {
                *slot = *byte;
                self.have += 1;
            }
        }
    }

    /// The control frame that is now complete and begins with `begun`.
    fn control(&mut self) -> Control {
        let opcode = Opcode::of(self.first);
        let header = FrameHeader::size(self.begun[1]);
        let len = self.begun[1] & 0x7f;
        let mut head = [0; 8];
        let payload = self.begun[..usize::from(self.have)].iter().skip(usize::from(header));
        for ((slot, byte), key) in head.iter_mut().zip(payload).zip(self.mask().iter().cycle()) {
            *slot = byte ^ key;
        }
        self.have = 0;
        if opcode == Opcode::CLOSE {
            self.state = State::Closed;
        }
        let rsv = (self.first >> 4) & 0x07;
        Control { opcode, rsv, len, size: header + len, head, digest: self.digest }
    }

    /// The mask of the current control frame, zeros if it has none.
    fn mask(&self) -> [u8; 4] {
        match self.begun {
            [_, second, a, b, c, d, ..] if second & 0x80 != 0 => [a, b, c, d],
            _ => [0; 4],
        }
    }

    /// Whether the stream is between two frames, so that another may be inserted.
    pub fn between_frames(&self) -> bool {
        self.state == State::Header && self.have == 0
    }

    /// Whether the stream is between two messages.
    pub fn between_messages(&self) -> bool {
        self.between_frames() && !self.in_message
    }

    /// Whether a message has begun and its last frame has not.
    pub fn in_message(&self) -> bool {
        self.in_message
    }

    /// Whether a complete Close frame passed.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether a fault was found; the stream is not followed after it.
    pub fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// How many frames have begun.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The bytes so far of an incomplete header or control frame: as received, masked, at most the
    /// first 14. Empty between frames and within data.
    pub fn begun(&self) -> &[u8] {
        &self.begun[..usize::from(self.have)]
    }

    /// The first `len` bytes of the frame that [`begun`](Self::begun) last returned, also once that
    /// frame is complete, until the next [`scan`](Self::scan).
    pub fn began_with(&self, len: usize) -> &[u8] {
        &self.begun[..len.min(MAX_HEADER)]
    }
}

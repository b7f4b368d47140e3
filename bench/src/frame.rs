//! RFC 6455 frames: headers, masks, and an incremental reader that returns unmasked pieces.

/// Opcode of a text message.
pub const TEXT: u8 = 1;
/// Opcode of a binary message.
pub const BINARY: u8 = 2;
/// Opcode of a Close.
pub const CLOSE: u8 = 8;
/// Opcode of a Ping.
pub const PING: u8 = 9;
/// Opcode of a Pong.
pub const PONG: u8 = 10;

/// Largest header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;
/// RFC 6455 5.5: all control frames must have a payload length of 125 bytes or less.
const MAX_CONTROL: u64 = 125;

/// The stream violates the protocol without extensions.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// One frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The low four bits of the first byte.
    pub opcode: u8,
    /// The mask, if any.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub len: u64,
}

impl Header {
    /// Parses a header: `None` if `bytes` end within it, otherwise the header and its length.
    ///
    /// Neither end of this tool fragments messages, so every frame is final and none is a
    /// continuation.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let opcode = first & 0x0f;
        if first & 0xf0 != 0x80 || !matches!(opcode, TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Malformed);
        }
        let (len, used) = match second & 0x7f {
            126 => {
                let Some(len) = rest.first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*len)), 4)
            }
            127 => {
                let Some(len) = rest.first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*len), 10)
            }
            len => (u64::from(len), 2),
        };
        // RFC 6455 5.2: the minimal number of bytes MUST be used to encode the length.
        let minimal = match used {
            2 => true,
            4 => len > 125,
            _ => len > 0xffff && len >> 63 == 0,
        };
        if !minimal || (opcode >= CLOSE && len > MAX_CONTROL) {
            return Err(Malformed);
        }
        if second & 0x80 == 0 {
            return Ok(Some((Self { opcode, mask: None, len }, used)));
        }
        let Some(mask) = bytes.get(used..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        Ok(Some((Self { opcode, mask: Some(*mask), len }, used + 4)))
    }

    /// Appends the header.
    pub fn append(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(0x80 | self.opcode);
        match self.len {
            0..=125 => out.push(masked | self.len as u8),
            126..=0xffff => {
                out.push(masked | 126);
                out.extend_from_slice(&(self.len as u16).to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&self.len.to_be_bytes());
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[][..], |mask| &mask[..]));
    }
}

/// Masks or unmasks `bytes`, which begin at `offset` of the payload.
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: u64) {
    let mut mask = mask;
    mask.rotate_left((offset % 4) as usize);
    // eight bytes at a time compile to one instruction or a few
    let wide = [mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]];
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        for (byte, mask) in word.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(wide) {
        *byte ^= mask;
    }
}

/// Appends one frame whose payload `fill` writes; masked if there is a mask.
pub fn append(
    out: &mut Vec<u8>,
    opcode: u8,
    mask: Option<[u8; 4]>,
    len: usize,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    Header { opcode, mask, len: len as u64 }.append(out);
    let start = out.len();
    fill(out);
    debug_assert_eq!(out.len() - start, len);
    if let Some(mask) = mask {
        apply_mask(&mut out[start..], mask, 0);
    }
}

/// A piece of a frame, unmasked.
pub struct Piece<'a> {
    /// The frame's header.
    pub header: Header,
    /// The offset of `bytes` in the payload; 0 for the first piece, which every frame has.
    pub offset: u64,
    /// Payload, empty only in an empty frame.
    pub bytes: &'a [u8],
}

impl Piece<'_> {
    /// Whether the frame ends with this piece.
    pub fn is_last(&self) -> bool {
        self.offset + self.bytes.len() as u64 == self.header.len
    }
}

/// Finds frames in a stream that arrives in arbitrary pieces. Payload is never stored.
#[derive(Default)]
pub struct Reader {
    partial: [u8; MAX_HEADER],
    have: u8,
    current: Option<(Header, u64)>,
}

impl Reader {
    /// Whether the stream stands between two frames.
    pub fn at_boundary(&self) -> bool {
        self.have == 0 && self.current.is_none()
    }

    /// Parses the next bytes of the stream, unmasks them in place and passes the pieces to `each`,
    /// whose error ends the parsing.
    pub fn feed<E: From<Malformed>>(
        &mut self,
        mut bytes: &mut [u8],
        mut each: impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let (header, done) = match self.current {
                Some(current) => current,
                None => match self.header(bytes)? {
                    Some((header, used)) => {
                        bytes = &mut bytes[used..];
                        (header, 0)
                    }
                    None => return Ok(()),
                },
            };
            let take = (header.len - done).min(bytes.len() as u64) as usize;
            let (piece, rest) = bytes.split_at_mut(take);
            bytes = rest;
            if let Some(mask) = header.mask {
                apply_mask(piece, mask, done);
            }
            let end = done + take as u64;
            self.current = (end < header.len).then_some((header, end));
            if take > 0 || header.len == 0 {
                each(Piece { header, offset: done, bytes: piece })?;
            }
        }
        Ok(())
    }

    /// Parses a header from the rest of the last bytes and `bytes`; returns how many of `bytes` it
    /// used. An incomplete header uses all.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
        if self.have == 0 {
            if let Some(found) = Header::parse(bytes)? {
                return Ok(Some(found));
            }
        }
        let have = usize::from(self.have);
        let take = bytes.len().min(MAX_HEADER - have);
        self.partial[have..have + take].copy_from_slice(&bytes[..take]);
        match Header::parse(&self.partial[..have + take])? {
            Some((header, len)) => {
                self.have = 0;
                Ok(Some((header, len - have)))
            }
            None => {
                self.have = (have + take) as u8;
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

    fn sample() -> Vec<u8> {
        let mut stream = Vec::new();
        for (opcode, mask, len) in [
            (BINARY, MASK, 0),
            (BINARY, None, 1),
            (PING, MASK, 125),
            (BINARY, MASK, 126),
            (TEXT, None, 65_535),
            (BINARY, MASK, 65_536),
            (CLOSE, None, 2),
        ] {
            append(&mut stream, opcode, mask, len, |out| {
                out.extend((0..len).map(|i| i as u8));
            });
        }
        stream
    }

    fn read(stream: &[u8], cut: usize) -> Vec<(u8, Vec<u8>)> {
        let mut reader = Reader::default();
        let mut frames: Vec<(u8, Vec<u8>)> = Vec::new();
        for piece in stream.to_vec().chunks_mut(cut) {
            reader
                .feed::<Malformed>(piece, |piece| {
                    if piece.offset == 0 {
                        frames.push((piece.header.opcode, Vec::new()));
                    }
                    frames.last_mut().expect("a piece at 0 first").1.extend(piece.bytes);
                    Ok(())
                })
                .expect("sound frames");
        }
        assert!(reader.at_boundary(), "cut {cut}");
        frames
    }

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let stream = sample();
        let whole = read(&stream, stream.len());
        let lens: Vec<_> = whole.iter().map(|(opcode, bytes)| (*opcode, bytes.len())).collect();
        let expected =
            [(2, 0), (2, 1), (9, 125), (2, 126), (1, 65_535), (2, 65_536), (8, 2)].to_vec();
        assert_eq!(lens, expected);
        for (_, bytes) in &whole {
            assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == i as u8));
        }
        for cut in 1..40 {
            assert_eq!(read(&stream, cut), whole, "cut {cut}");
        }
    }

    #[test]
    fn what_no_peer_may_send_is_malformed() {
        for bytes in [
            &[0x02, 0x00][..],                          // not final
            &[0xc2, 0x00],                              // a reserved bit
            &[0x83, 0x00],                              // a reserved opcode
            &[0x80, 0x00],                              // a continuation of nothing
            &[0x82, 126, 0, 125],                       // 125 in two bytes
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], // 65,535 in eight
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],    // the top bit of the length
            &[0x89, 126, 0, 126],                       // a Ping of 126 bytes
        ] {
            assert_eq!(Header::parse(bytes), Err(Malformed), "{bytes:02x?}");
        }
    }

    #[test]
    fn masking_twice_is_nothing_from_any_offset() {
        let plain: Vec<u8> = (0..=255).collect();
        for offset in 0..9 {
            let mut bytes = plain.clone();
            apply_mask(&mut bytes, [9, 8, 7, 6], offset);
            assert_eq!(bytes[0], plain[0] ^ [9, 8, 7, 6][offset as usize % 4], "offset {offset}");
            let (head, tail) = bytes.split_at_mut(5);
            apply_mask(head, [9, 8, 7, 6], offset);
            apply_mask(tail, [9, 8, 7, 6], offset + 5);
            assert_eq!(bytes, plain, "offset {offset}");
        }
    }
}

//! One frame header.

use super::{FrameError, Opcode, MAX_CONTROL};

/// The longest header: two bytes, a 64-bit length and a mask.
pub const MAX_HEADER: usize = 14;

/// The fields of a frame header (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// RSV1, RSV2 and RSV3 as the lowest three bits, RSV1 the highest of them.
    pub rsv: u8,
    /// The type of the frame.
    pub opcode: Opcode,
    /// The masking key, if the frame is masked.
    pub mask: Option<[u8; 4]>,
    /// Number of payload bytes.
    pub len: u64,
    /// Size of the header itself, 2 to 14 bytes.
    pub size: u8,
}

impl FrameHeader {
    /// Parses the header at the start of `bytes`.
    ///
    /// `Ok(None)` means that there are too few bytes: nothing is consumed, call again with more.
    /// Limits are checked as soon as the bytes concerned are there, before any payload.
    ///
    /// ```
    /// use websocket_tunnel::frame::{FrameHeader, Opcode};
    ///
    /// let header = FrameHeader::parse(b"\x81\x05Hello").unwrap().unwrap();
    /// assert_eq!((header.opcode, header.len, header.size), (Opcode::TEXT, 5, 2));
    /// assert_eq!(FrameHeader::parse(b"\x81"), Ok(None));
    /// ```
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::of(*first);
        let fin = first & 0x80 != 0;
        let short = second & 0x7f;

        // "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
        // fragmented" (section 5.5), so their length always has the short form.
        if opcode.is_control() {
            if usize::from(short) > MAX_CONTROL {
                return Err(FrameError::ControlTooLong);
            }
            if !fin {
                return Err(FrameError::ControlFragmented);
            }
        }

        // "If 126, the following 2 bytes interpreted as a 16-bit unsigned integer are the payload
        // length. If 127, the following 8 bytes interpreted as a 64-bit unsigned integer (the most
        // significant bit MUST be 0) are the payload length" (section 5.2). It also says that "the
        // minimal number of bytes MUST be used", which is for the receiver to enforce: the frame
        // ends in the same place.
        let (len, rest) = match short {
            126 => match rest.split_first_chunk::<2>() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            127 => {
                if rest.first().is_some_and(|first| first & 0x80 != 0) {
                    return Err(FrameError::LengthTooBig);
                }
                match rest.split_first_chunk::<8>() {
                    Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                    None => return Ok(None),
                }
            }
            _ => (u64::from(short), rest),
        };

        let mask = match (second & 0x80 != 0, rest.first_chunk::<4>()) {
            (false, _) => None,
            (true, Some(mask)) => Some(*mask),
            (true, None) => return Ok(None),
        };
        let size = Self::size(*second);
        Ok(Some(Self { fin, rsv: (first >> 4) & 0x07, opcode, mask, len, size }))
    }

    /// The size of a header, from its second byte.
    pub(super) const fn size(second: u8) -> u8 {
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 != 0 { 4 } else { 0 }
    }
}

//! Building control frames.

use super::{apply_mask, Opcode, MAX_CONTROL};
use std::ops::Deref;

/// The longest text of a Close frame, after its code.
pub const MAX_REASON: usize = MAX_CONTROL - 2;

/// A control frame ready to be sent; it derefs to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    bytes: [u8; 6 + MAX_CONTROL],
    len: u8,
}

impl Built {
    /// A control frame whose payload is the two parts, cut after 125 bytes. A mask is for frames to
    /// a server: "a client MUST mask all frames that it sends to the server" and "a server MUST NOT
    /// mask any frames that it sends to the client" (RFC 6455 section 5.1).
    fn new(opcode: Opcode, parts: [&[u8]; 2], mask: Option<[u8; 4]>) -> Self {
        let mut bytes = [0; 6 + MAX_CONTROL];
        let start = if mask.is_some() { 6 } else { 2 };
        let mut len = 0;
        let payload = parts.iter().flat_map(|part| part.iter());
        for (slot, byte) in bytes[start..start + MAX_CONTROL].iter_mut().zip(payload) {
            *slot = *byte;
            len += 1;
        }
        bytes[0] = 0x80 | opcode.bits();
        bytes[1] = len;
        if let Some(mask) = mask {
            bytes[1] |= 0x80;
            bytes[2..6].copy_from_slice(&mask);
            apply_mask(&mut bytes[start..start + usize::from(len)], mask, 0);
        }
        Self { bytes, len: start as u8 + len }
    }
}

impl Deref for Built {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A Close frame: "the first two bytes of the body MUST be a 2-byte unsigned integer (in network
/// byte order) representing a status code", then UTF-8 text (RFC 6455 section 5.5.1). A reason
/// longer than [`MAX_REASON`] bytes is cut at a character boundary.
pub fn close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Built {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Built::new(Opcode::CLOSE, [&code.to_be_bytes(), &reason.as_bytes()[..end]], mask)
}

/// A Ping frame that carries `token` (RFC 6455 section 5.5.2).
pub fn ping(token: [u8; 8], mask: Option<[u8; 4]>) -> Built {
    Built::new(Opcode::PING, [&token, &[]], mask)
}

/// A Pong frame: it "must have identical Application data as found in the message body of the Ping
/// frame being replied to" (RFC 6455 section 5.5.3). At most 125 bytes are used.
pub fn pong(payload: &[u8], mask: Option<[u8; 4]>) -> Built {
    Built::new(Opcode::PONG, [payload, &[]], mask)
}

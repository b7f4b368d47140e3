//! WebSocket frames (RFC 6455 section 5): parsing headers, following a stream cut into arbitrary
//! chunks, building control frames.
//!
//! Nothing here stores payload. A [`Scanner`] counts it down in a `u64` and reports where frames
//! and messages end; it stores only the first bytes of an incomplete control frame.
//!
//! A proxy is not an endpoint: it rejects only bytes after which it cannot know where the next
//! frame begins, or that neither end could have meant as a frame ([`FrameError`]). Reserved bits,
//! reserved opcodes, a continuation without a message or a length in more bytes than necessary are
//! for the two ends to judge, and pass.

mod build;
mod count;
mod header;
mod scanner;

pub use build::{close, ping, pong, Built, MAX_REASON};
pub use count::Count;
pub use header::{FrameHeader, MAX_HEADER};
pub use scanner::{Control, Scanner, Step, Stop};

use std::fmt;

/// The four bits that define the type of a frame (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode(u8);

impl Opcode {
    /// Continues a fragmented message.
    pub const CONTINUATION: Self = Self(0x0);
    /// Begins a message of UTF-8 text.
    pub const TEXT: Self = Self(0x1);
    /// Begins a binary message.
    pub const BINARY: Self = Self(0x2);
    /// Closes the connection.
    pub const CLOSE: Self = Self(0x8);
    /// Requests a Pong.
    pub const PING: Self = Self(0x9);
    /// Answers a Ping, or is sent unsolicited.
    pub const PONG: Self = Self(0xa);

    /// The opcode in the first byte of a frame.
    #[inline]
    pub const fn of(first: u8) -> Self {
        Self(first & 0x0f)
    }

    /// The opcode as a number from 0 to 15.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// "Control frames are identified by opcodes where the most significant bit of the opcode
    /// is 1" (RFC 6455 section 5.5).
    #[inline]
    pub const fn is_control(self) -> bool {
        self.0 & 0x08 != 0
    }
}

/// Why a stream cannot be followed as RFC 6455 frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A 64-bit length with its highest bit set.
    LengthTooBig,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A control frame without FIN.
    ControlFragmented,
    /// A frame without a mask from the client.
    NotMasked,
    /// A masked frame from the server.
    Masked,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LengthTooBig => "frame length has its highest bit set",
            Self::ControlTooLong => "control frame is longer than 125 bytes",
            Self::ControlFragmented => "control frame is fragmented",
            Self::NotMasked => "frame from the client is not masked",
            Self::Masked => "frame from the server is masked",
        })
    }
}

impl std::error::Error for FrameError {}

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const MAX_CONTROL: usize = 125;

/// Masks `payload` in place, or unmasks it; `at` is its offset in the frame's payload.
///
/// "Octet i of the transformed data is the XOR of octet i of the original data with octet at
/// index i modulo 4 of the masking key" (RFC 6455 section 5.3).
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4], at: usize) {
    let mask = u32::from_le_bytes(mask).rotate_right(8 * (at as u32 % 4)).to_le_bytes();
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

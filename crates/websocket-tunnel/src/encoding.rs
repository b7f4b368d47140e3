//! Fields as bytes, and bytes as fields.

use crate::End;
use std::fmt;

/// Length of an encoded session in bytes.
pub(crate) const LEN: usize = 250;

/// A field of an encoded session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The end that it belongs to, if it belongs to one.
    pub end: Option<End>,
    /// Its name, with a dot where it is part of another field.
    pub name: &'static str,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "\"{end}.{}\"", self.name),
            None => write!(f, "\"{}\"", self.name),
        }
    }
}

/// Why bytes are not an encoded session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They have this version of the format, not [`Session::FORMAT`](crate::Session::FORMAT).
    Version(u8),
    /// They end before this field does.
    Truncated(Field),
    /// This field has a value that it never has, or never has with these other fields.
    Invalid(Field),
    /// So many bytes follow the session.
    TooLong(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                let known = crate::Session::FORMAT;
                write!(f, "session has format version {version}, it must be {known}")
            }
            Self::Truncated(field) => write!(f, "session ends within {field}"),
            Self::Invalid(field) => write!(f, "session has invalid {field}"),
            Self::TooLong(more) => write!(f, "session is followed by {more} bytes"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The most that a counter of a decoded session says. Half of its range is more than any tunnel
/// reaches, and leaves the session room to count on without overflow.
const MOST_COUNTED: u64 = u64::MAX / 2;

/// Writes fields in order; numbers are little-endian.
pub(crate) struct Writer {
    bytes: [u8; LEN],
    len: usize,
}

impl Writer {
    pub fn new() -> Self {
        Self { bytes: [0; LEN], len: 0 }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
        }
        self.len = end;
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// A counter of bytes or frames, up to what [`Reader::count`] accepts.
    pub fn count(&mut self, value: u64) {
        self.u64(value.min(MOST_COUNTED));
    }

    pub fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// A value of `all`, written as its index.
    pub fn one_of<T: PartialEq>(&mut self, all: &[T], value: &T) {
        let place = all.iter().position(|other| other == value);
        debug_assert!(place.is_some(), "a value is missing in the table of its values");
        self.u8(place.unwrap_or(all.len()) as u8);
    }

    pub fn finish(self) -> [u8; LEN] {
        debug_assert_eq!(self.len, LEN, "the length of an encoded session");
        self.bytes
    }
}

/// Reads fields in order.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// The end that the fields belong to, for errors.
    pub end: Option<End>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: None }
    }

    /// The error for the field `name`.
    pub fn invalid(&self, name: &'static str) -> DecodeError {
        DecodeError::Invalid(Field { end: self.end, name })
    }

    pub fn bytes<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(DecodeError::Truncated(Field { end: self.end, name }));
        };
        self.rest = rest;
        Ok(*bytes)
    }

    pub fn u8(&mut self, name: &'static str) -> Result<u8, DecodeError> {
        self.bytes(name).map(u8::from_le_bytes)
    }

    pub fn u16(&mut self, name: &'static str) -> Result<u16, DecodeError> {
        self.bytes(name).map(u16::from_le_bytes)
    }

    pub fn u32(&mut self, name: &'static str) -> Result<u32, DecodeError> {
        self.bytes(name).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, name: &'static str) -> Result<u64, DecodeError> {
        self.bytes(name).map(u64::from_le_bytes)
    }

    /// A counter of bytes or frames.
    pub fn count(&mut self, name: &'static str) -> Result<u64, DecodeError> {
        let count = self.u64(name)?;
        (count <= MOST_COUNTED).then_some(count).ok_or_else(|| self.invalid(name))
    }

    pub fn bool(&mut self, name: &'static str) -> Result<bool, DecodeError> {
        self.one_of(&[false, true], name)
    }

    /// A value of `all`, read as its index.
    pub fn one_of<T: Copy>(&mut self, all: &[T], name: &'static str) -> Result<T, DecodeError> {
        let place = self.u8(name)?;
        all.get(usize::from(place)).copied().ok_or_else(|| self.invalid(name))
    }

    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(DecodeError::TooLong(more)),
        }
    }
}

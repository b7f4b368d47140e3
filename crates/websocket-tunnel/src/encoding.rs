//! Fields as bytes, and bytes as fields.

use crate::End;
use std::fmt;

/// How many bytes a session is.
pub(crate) const LEN: usize = 250;

/// A field of a session, by its end, if it is one of two, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which end it is about, if it is about one.
    pub end: Option<End>,
    /// Its name.
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

/// Why bytes are no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They are of this version of the format, and not of [`Session::FORMAT`](crate::Session::FORMAT).
    Version(u8),
    /// They end before this field does.
    Truncated(Field),
    /// This field holds what it cannot hold in any session, or not beside the other fields.
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

/// Puts fields one behind the other, numbers with their lowest byte first.
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

    pub fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// One of `all`, as its place among them.
    pub fn one_of<T: PartialEq>(&mut self, all: &[T], value: &T) {
        let place = all.iter().position(|other| other == value);
        debug_assert!(place.is_some(), "a value is not among all values");
        self.u8(place.unwrap_or(all.len()) as u8);
    }

    pub fn finish(self) -> [u8; LEN] {
        debug_assert_eq!(self.len, LEN, "the length of an encoded session");
        self.bytes
    }
}

/// Takes fields from the front of `rest`.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Which end the fields are about, for errors.
    pub end: Option<End>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: None }
    }

    /// The field `name` holds what it cannot.
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

    /// A number that something is added to as long as the tunnel lasts: half of all numbers are
    /// more than any tunnel needs, and leave it room.
    pub fn count(&mut self, name: &'static str) -> Result<u64, DecodeError> {
        let count = self.u64(name)?;
        (count <= u64::MAX / 2).then_some(count).ok_or_else(|| self.invalid(name))
    }

    pub fn bool(&mut self, name: &'static str) -> Result<bool, DecodeError> {
        self.one_of(&[false, true], name)
    }

    /// One of `all`, from its place among them.
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

//! A non-blocking socket with its unwritten bytes, and the handling of readiness events for the
//! protocol above it.

use std::io::{ErrorKind, Read, Write};

use mio::event::Event;

use crate::stream::Stream;

/// Buffers for reuse; a socket without unwritten bytes has none.
const SPARES: usize = 64;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer or this end closed it, as the protocol requires.
    Orderly,
    /// The peer closed it without announcing it.
    Dropped,
    /// The peer closed it within a message or response.
    CutOff,
    /// The connection could not be established.
    Unreachable,
    /// The connection was reset or failed.
    Reset,
    /// The peer sent something invalid.
    Fault(&'static str),
}

/// The protocol of one connection. It does no I/O: it receives bytes, and appends bytes to write to
/// `out`.
pub trait Session {
    /// Data shared by all sessions of the process.
    type Shared;

    /// Bytes arrived; the session may modify them in place.
    fn received(
        &mut self,
        bytes: &mut [u8],
        out: &mut Outbox,
        shared: &mut Self::Shared,
    ) -> Result<(), End>;

    /// All of `out` is written.
    fn drained(&mut self, out: &mut Outbox, shared: &mut Self::Shared);

    /// The peer sent its last byte; returns the verdict.
    fn peer_closed(&mut self) -> End;
}

/// Bytes to be written.
#[derive(Default)]
pub struct Outbox {
    /// The bytes; sessions append to them.
    pub bytes: Vec<u8>,
    written: usize,
    /// Close the connection once all bytes are written.
    pub close: bool,
}

/// Buffers shared by the connections of a process.
pub struct Buffers {
    read: Box<[u8]>,
    spare: Vec<Vec<u8>>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { read: vec![0; 256 * 1024].into(), spare: Vec::new() }
    }
}

/// One connection.
pub struct Link<S> {
    /// The socket.
    pub stream: Stream,
    /// The protocol.
    pub session: S,
    out: Outbox,
}

impl<S: Session> Link<S> {
    /// A connection that may still be being established.
    pub fn new(stream: Stream, session: S) -> Self {
        Self { stream, session, out: Outbox::default() }
    }

    /// Lets the session send something on its own initiative.
    pub fn speak(
        &mut self,
        buffers: &mut Buffers,
        shared: &mut S::Shared,
        say: impl FnOnce(&mut S, &mut Outbox, &mut S::Shared) -> Result<(), End>,
    ) -> Result<(), End> {
        self.lend(buffers);
        say(&mut self.session, &mut self.out, shared)?;
        // a failed write says nothing about bytes that the peer sent before; a read does
        self.flush(buffers, shared)
            .or_else(|failed| self.read(true, buffers, shared).and(Err(failed)))
    }

    /// Acts on a readiness event.
    pub fn ready(
        &mut self,
        event: &Event,
        buffers: &mut Buffers,
        shared: &mut S::Shared,
    ) -> Result<(), End> {
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.lend(buffers);
            let read = self.read(event.is_read_closed() || event.is_error(), buffers, shared);
            // remaining bytes for the peer are written even if the session ends here
            return read.and(self.flush(buffers, shared));
        }
        if event.is_writable() {
            return self.flush(buffers, shared);
        }
        Ok(())
    }

    /// Reads until nothing is left. Events are edge-triggered, but a short read on a stream means
    /// the same as a second read that fails, unless the end of the stream follows.
    fn read(
        &mut self,
        ended: bool,
        buffers: &mut Buffers,
        shared: &mut S::Shared,
    ) -> Result<(), End> {
        loop {
            match self.stream.read(&mut buffers.read) {
                Ok(0) => return Err(self.session.peer_closed()),
                Ok(n) => {
                    self.session.received(&mut buffers.read[..n], &mut self.out, shared)?;
                    if n < buffers.read.len() && !ended && self.stream.short_read_is_last() {
                        return Ok(());
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Reset),
            }
        }
    }

    /// Writes the pending bytes, and those that the session adds afterwards.
    fn flush(&mut self, buffers: &mut Buffers, shared: &mut S::Shared) -> Result<(), End> {
        while self.out.written < self.out.bytes.len() {
            match self.stream.write(&self.out.bytes[self.out.written..]) {
                Ok(n) => self.out.written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Reset),
            }
            if self.out.written == self.out.bytes.len() {
                self.out.bytes.clear();
                self.out.written = 0;
                self.session.drained(&mut self.out, shared);
            }
        }
        self.give_back(buffers);
        match self.stream.flush() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            other => other.map_err(|_| End::Reset)?,
        }
        if self.out.close {
            return Err(End::Orderly);
        }
        Ok(())
    }

    fn lend(&mut self, buffers: &mut Buffers) {
        if self.out.bytes.capacity() == 0 {
            self.out.bytes = buffers.spare.pop().unwrap_or_default();
        }
    }

    fn give_back(&mut self, buffers: &mut Buffers) {
        let bytes = std::mem::take(&mut self.out.bytes);
        if bytes.capacity() > 0 && buffers.spare.len() < SPARES {
            buffers.spare.push(bytes);
        }
    }
}

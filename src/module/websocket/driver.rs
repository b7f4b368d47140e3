//! Carries out the actions of a session on two connections.

use nginx::connection::{Connection, Transfer};
use nginx::random::Random;
use nginx::text::time_in_words;
use websocket_tunnel::{Driver, End, Event, Proof, Sent};

use crate::metrics::{FrameCounts, Slot};
use crate::module::counting;

/// Bytes that a socket has not accepted yet.
pub struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

impl Pending {
    fn new(bytes: &[u8]) -> Box<Self> {
        counting::slot().buffered.add(bytes.len() as u64);
        Box::new(Self { bytes: bytes.to_vec(), written: 0 })
    }

    fn append(&mut self, bytes: &[u8]) {
        counting::slot().buffered.add(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes still to be written.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Writes as much as the socket accepts.
    pub fn write_to(&mut self, connection: &Connection) -> Sent {
        while !self.rest().is_empty() {
            match connection.send(self.rest()) {
                Transfer::Bytes(n) => {
                    counting::slot().buffered.sub(n as u64);
                    self.written += n;
                }
                Transfer::Again => return Sent::Kept,
                Transfer::Eof | Transfer::Error => return Sent::Failed,
            }
        }
        Sent::Written
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        counting::slot().buffered.sub(self.rest().len() as u64);
    }
}

/// The driver of a session: writes to sockets and buffers the rest.
pub struct Wire<'a> {
    /// The client's and the upstream's connection.
    pub connections: &'a [Connection; 2],
    /// The buffered bytes, by the end that they are for.
    pub pending: &'a mut [Option<Box<Pending>>; 2],
    /// The counters.
    pub slot: &'static Slot,
    /// Random bits.
    pub random: &'a mut Random,
}

impl Wire<'_> {
    /// Buffers bytes that the socket does not accept now.
    #[cold]
    fn buffer(&mut self, to: End, bytes: &[u8]) -> Sent {
        self.pending[to as usize] = Some(Pending::new(bytes));
        if self.connections[to as usize].wait_writable() {
            Sent::Kept
        } else {
            Sent::Failed
        }
    }
}

impl Driver for Wire<'_> {
    type Count = FrameCounts;

    #[inline]
    fn send(&mut self, to: End, mut bytes: &[u8]) -> Sent {
        if let Some(pending) = &mut self.pending[to as usize] {
            pending.append(bytes);
            return Sent::Kept;
        }
        while !bytes.is_empty() {
            match self.connections[to as usize].send(bytes) {
                Transfer::Bytes(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Transfer::Again => return self.buffer(to, bytes),
                Transfer::Eof | Transfer::Error => return Sent::Failed,
            }
        }
        Sent::Written
    }

    fn discard(&mut self, to: End) {
        self.pending[to as usize] = None;
    }

    fn random(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn queued(&mut self, to: End) -> u64 {
        let pending = self.pending[to as usize].as_ref();
        let buffered = pending.map_or(0, |pending| pending.rest().len());
        self.connections[to as usize].unacknowledged() + buffered as u64
    }

    fn is_held_off(&mut self, to: End) -> bool {
        self.connections[to as usize].is_held_off()
    }

    fn unread(&mut self, from: End) -> bool {
        self.connections[from as usize].has_unread()
    }

    #[inline]
    fn count(&self, from: End) -> &FrameCounts {
        self.slot.counts.frames(from)
    }

    fn event(&mut self, event: Event) {
        self.slot.counts.event(event);
        if let Event::Died(end, proof, time) = event {
            let log = self.connections[End::Client as usize].log();
            let time = time_in_words(time);
            let how = match proof {
                Proof::Pong => "no Pong",
                Proof::Unacknowledged => "its host has acknowledged nothing",
            };
            log.info(format_args!("{end} is dead: {how} in {time}"));
        }
    }
}

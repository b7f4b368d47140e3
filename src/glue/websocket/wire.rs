//! What a session does, done on two connections.

use std::ops::Range;

use ngx::ffi::NGX_LOG_INFO;
use websocket_tunnel::{End, Event, Proof};

use super::connection::{Connection, Io};
use crate::glue::conf::time_in_words;
use crate::glue::zone;
use crate::metrics::{FrameCounts, Slot};
use nginx::random::Random;

/// Bytes that a socket did not take.
pub struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

impl Pending {
    fn new(bytes: &[u8]) -> Box<Self> {
        zone::slot().buffered.add(bytes.len() as u64);
        Box::new(Self { bytes: bytes.to_vec(), written: 0 })
    }

    fn append(&mut self, bytes: &[u8]) {
        zone::slot().buffered.add(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// What is still to be written.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// So many more bytes are written.
    pub fn advance(&mut self, bytes: usize) {
        zone::slot().buffered.sub(bytes as u64);
        self.written += bytes;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        zone::slot().buffered.sub(self.rest().len() as u64);
    }
}

/// What a session does, done: the chunk is in the scratch buffer, sockets take what they can.
pub struct Wire<'a> {
    /// What the session was given.
    pub chunk: &'a [u8],
    /// The client's and the destination's.
    pub connections: [Connection; 2],
    /// By the end they go to.
    pub pending: &'a mut [Option<Box<Pending>>; 2],
    /// Where it is counted.
    pub slot: &'static Slot,
    /// Random bits.
    pub random: &'a mut Random,
    /// By the end that a send has failed to.
    pub failed: [bool; 2],
}

impl Wire<'_> {
    #[inline]
    fn send(&mut self, to: End, mut bytes: &[u8]) {
        if self.failed[to as usize] {
            // not tried again: OpenSSL would complain each time
            return;
        }
        if let Some(pending) = &mut self.pending[to as usize] {
            pending.append(bytes);
            return;
        }
        while !bytes.is_empty() {
            match self.connections[to as usize].send(bytes) {
                Io::Bytes(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Io::Again => {
                    self.pending[to as usize] = Some(Pending::new(bytes));
                    return;
                }
                Io::Eof | Io::Error => {
                    self.failed[to as usize] = true;
                    return;
                }
            }
        }
    }
}

impl websocket_tunnel::Io for Wire<'_> {
    type Count = FrameCounts;

    #[inline]
    fn forward(&mut self, to: End, part: Range<usize>) {
        if let Some(bytes) = self.chunk.get(part) {
            self.send(to, bytes);
        }
    }

    fn insert(&mut self, to: End, bytes: &[u8]) {
        self.send(to, bytes);
    }

    fn random(&mut self) -> u64 {
        self.random.next()
    }

    fn queued(&mut self, to: End) -> u64 {
        let pending = self.pending[to as usize].as_ref();
        let kept = pending.map_or(0, |pending| pending.rest().len());
        self.connections[to as usize].unacknowledged() + kept as u64
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
            ngx::ngx_log_error!(NGX_LOG_INFO, log, "{end} is dead: {how} in {time}");
        }
    }
}

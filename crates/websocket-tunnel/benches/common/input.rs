//! Streams for the benchmarks, and a sink for sessions.

use websocket_tunnel::frame::Scanner;
use websocket_tunnel::{Driver, End, Sent};

#[path = "../../tests/common/table.rs"]
mod table;

pub use table::Table;

/// Takes all bytes and counts the calls.
#[derive(Default)]
pub struct Sink {
    counts: [Table; 2],
    pub calls: u64,
}

impl Driver for Sink {
    type Count = Table;

    fn send(&mut self, _to: End, _bytes: &[u8]) -> Sent {
        self.calls += 1;
        Sent::Written
    }

    fn random(&mut self) -> u64 {
        4
    }

    fn count(&self, from: End) -> &Table {
        &self.counts[from as usize]
    }
}

pub fn scanner(from: End) -> Scanner {
    match from {
        End::Client => Scanner::of_client(),
        End::Destination => Scanner::of_server(),
    }
}

/// Size of a frame with this much payload.
pub fn size(from: End, payload: usize) -> usize {
    frame(from, payload).len()
}

/// At least `least` bytes of complete binary frames of one size.
pub fn stream(from: End, payload: usize, least: usize) -> Vec<u8> {
    let frame = frame(from, payload);
    frame.repeat(least.div_ceil(frame.len()))
}

fn frame(from: End, payload: usize) -> Vec<u8> {
    let bit = if from == End::Client { 0x80 } else { 0 };
    let mut bytes = vec![0x82];
    match payload {
        0..=125 => bytes.push(bit | payload as u8),
        126..=65535 => {
            bytes.push(bit | 126);
            bytes.extend((payload as u16).to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend((payload as u64).to_be_bytes());
        }
    }
    if from == End::Client {
        bytes.extend([1, 2, 3, 4]);
    }
    bytes.resize(bytes.len() + payload, 7);
    bytes
}

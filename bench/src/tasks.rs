//! Uses of WebSockets: echo, bulk in either direction, handshakes only, waiting for the end.

use std::time::Instant;

use crate::fleet::Shared;
use crate::frame;
use crate::link::{End, Outbox};
use crate::ws::{self, Next, Task};

/// A sequence of messages with consecutive keys, so that a lost or repeated one is detected.
struct Sequence {
    next: u64,
    left: u64,
}

impl Sequence {
    fn new(id: u32) -> Self {
        Self { next: u64::from(id) << 32, left: 0 }
    }

    /// Receives the message that returned.
    fn take(&mut self, key: u64) -> Result<(), End> {
        if key != self.next || self.left == 0 {
            return Err(End::Fault("out of order"));
        }
        self.next += 1;
        self.left -= 1;
        Ok(())
    }
}

/// Sends a message, waits for its echo, sends the next.
pub struct Echo {
    size: usize,
    quota: u64,
    sequence: Sequence,
    sent: Instant,
}

impl Echo {
    /// A socket numbered `id` that echoes `quota` messages of `size` bytes in a round.
    pub fn new(id: u32, size: usize, quota: u64) -> Self {
        Self { size, quota, sequence: Sequence::new(id), sent: Instant::now() }
    }

    fn send(&mut self, now: Instant, out: &mut Outbox) {
        self.sent = now;
        ws::send(out, self.sequence.next, self.size);
    }
}

impl Task for Echo {
    fn opened(&mut self, _: Instant, _: &mut Outbox, _: &mut Shared) -> bool {
        true
    }

    fn start(&mut self, out: &mut Outbox, _: &mut Shared) {
        self.sequence.left = self.quota;
        self.send(Instant::now(), out);
    }

    fn message(
        &mut self,
        key: u64,
        size: u64,
        out: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<Next, End> {
        self.sequence.take(key)?;
        if size != self.size as u64 {
            return Err(End::Fault("damaged"));
        }
        let now = Instant::now();
        shared.tally.message(size, Some(now - self.sent));
        match self.sequence.left {
            0 => shared.tally.finished += 1,
            _ => self.send(now, out),
        }
        Ok(Next::More)
    }
}

/// Sends messages at full speed; the destination verifies and acknowledges each.
pub struct BulkTo {
    size: usize,
    quota: u64,
    unsent: u64,
    acknowledged: Sequence,
}

impl BulkTo {
    /// A socket numbered `id` that sends `quota` messages of `size` bytes in a round.
    pub fn new(id: u32, size: usize, quota: u64) -> Self {
        Self { size, quota, unsent: 0, acknowledged: Sequence::new(id) }
    }
}

impl Task for BulkTo {
    fn opened(&mut self, _: Instant, _: &mut Outbox, _: &mut Shared) -> bool {
        true
    }

    fn start(&mut self, out: &mut Outbox, shared: &mut Shared) {
        self.unsent = self.quota;
        self.acknowledged.left = self.quota;
        self.drained(out, shared);
    }

    fn message(
        &mut self,
        key: u64,
        _: u64,
        _: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<Next, End> {
        self.acknowledged.take(key)?;
        shared.tally.message(self.size as u64, None);
        if self.acknowledged.left == 0 {
            shared.tally.finished += 1;
        }
        Ok(Next::More)
    }

    fn drained(&mut self, out: &mut Outbox, _: &mut Shared) {
        if self.unsent > 0 {
            let sent = self.acknowledged.left - self.unsent;
            ws::send(out, self.acknowledged.next + sent, self.size);
            self.unsent -= 1;
        }
    }
}

/// Requests messages from the destination.
pub struct BulkFrom {
    size: usize,
    quota: u64,
    sequence: Sequence,
}

impl BulkFrom {
    /// A socket numbered `id` that requests `quota` messages of `size` bytes in a round.
    pub fn new(id: u32, size: usize, quota: u64) -> Self {
        Self { size, quota, sequence: Sequence::new(id) }
    }
}

impl Task for BulkFrom {
    fn opened(&mut self, _: Instant, _: &mut Outbox, _: &mut Shared) -> bool {
        true
    }

    fn start(&mut self, out: &mut Outbox, _: &mut Shared) {
        self.sequence.left = self.quota;
        let give = format!("give {} {} {}", self.quota, self.size, self.sequence.next);
        ws::send_bytes(out, frame::TEXT, give.as_bytes());
    }

    fn message(
        &mut self,
        key: u64,
        size: u64,
        _: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<Next, End> {
        self.sequence.take(key)?;
        if size != self.size as u64 {
            return Err(End::Fault("damaged"));
        }
        shared.tally.message(size, None);
        if self.sequence.left == 0 {
            shared.tally.finished += 1;
        }
        Ok(Next::More)
    }
}

/// Opens, echoes one message, closes.
pub struct Handshake {
    sequence: Sequence,
}

impl Handshake {
    /// A socket numbered `id`.
    pub fn new(id: u32) -> Self {
        Self { sequence: Sequence { next: u64::from(id) << 32, left: 1 } }
    }
}

impl Task for Handshake {
    fn opened(&mut self, began: Instant, out: &mut Outbox, shared: &mut Shared) -> bool {
        shared.tally.message(0, Some(began.elapsed()));
        ws::send(out, self.sequence.next, 64);
        false
    }

    fn start(&mut self, _: &mut Outbox, _: &mut Shared) {}

    fn message(
        &mut self,
        key: u64,
        size: u64,
        _: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<Next, End> {
        self.sequence.take(key)?;
        shared.tally.bytes += size;
        Ok(Next::Close)
    }
}

/// Sends messages periodically until the proxy closes the connection.
pub struct Watched {
    size: usize,
    sequence: Sequence,
    sent: Instant,
}

impl Watched {
    /// A socket numbered `id` whose messages have `size` bytes.
    pub fn new(id: u32, size: usize) -> Self {
        Self { size, sequence: Sequence::new(id), sent: Instant::now() }
    }
}

impl Task for Watched {
    fn opened(&mut self, _: Instant, _: &mut Outbox, _: &mut Shared) -> bool {
        true
    }

    fn start(&mut self, _: &mut Outbox, _: &mut Shared) {}

    fn tick(&mut self, out: &mut Outbox) {
        if self.sequence.left == 0 {
            self.sequence.left = 1;
            self.sent = Instant::now();
            ws::send(out, self.sequence.next, self.size);
        }
    }

    fn message(
        &mut self,
        key: u64,
        size: u64,
        _: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<Next, End> {
        self.sequence.take(key)?;
        if size != self.size as u64 {
            return Err(End::Fault("damaged"));
        }
        shared.tally.message(size, Some(self.sent.elapsed()));
        Ok(Next::More)
    }

    fn unanswered(&self) -> u64 {
        self.sequence.left
    }
}

//! Plain requests on keepalive connections: health check, redirect, proxied GET.

use std::sync::Arc;
use std::time::Instant;

use crate::fleet::{Client, Shared};
use crate::handshake::Response;
use crate::link::{End, Outbox, Session};
use crate::pattern;

/// The expected response.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Body,
    /// The `Location`.
    pub location: Option<String>,
}

/// The expected body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Any body.
    Any,
    /// This many bytes of the destination's noise.
    Noise(u64),
}

/// One client.
pub struct Http {
    expected: Arc<Expected>,
    quota: u64,
    left: u64,
    connected: bool,
    sent: Instant,
    head: Vec<u8>,
    /// Length of the body that is being read, and bytes received so far.
    body: Option<(u64, u64)>,
}

impl Http {
    /// A client that sends `quota` requests in a round.
    pub fn new(expected: Arc<Expected>, quota: u64) -> Self {
        Self {
            expected,
            quota,
            left: 0,
            connected: false,
            sent: Instant::now(),
            head: Vec::new(),
            body: None,
        }
    }

    fn ask(&mut self, out: &mut Outbox, shared: &Shared) {
        self.sent = Instant::now();
        shared.request.append_get(&mut out.bytes);
    }

    fn head(&mut self, response: &Response) -> Result<(), End> {
        if response.status != self.expected.status {
            return Err(End::Fault("unexpected status"));
        }
        if self.expected.location.is_some() && response.location != self.expected.location {
            return Err(End::Fault("unexpected location"));
        }
        if matches!(self.expected.body, Body::Noise(size) if response.length != size) {
            return Err(End::Fault("damaged"));
        }
        Ok(())
    }
}

impl Session for Http {
    type Shared = Shared;

    fn received(
        &mut self,
        bytes: &mut [u8],
        out: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<(), End> {
        let mut bytes: &[u8] = bytes;
        let had = self.head.len();
        if self.body.is_none() {
            self.head.extend_from_slice(bytes);
            let parsed =
                Response::parse(&self.head).map_err(|_| End::Fault("malformed response"))?;
            let Some((response, used)) = parsed else { return Ok(()) };
            self.head(&response)?;
            self.head.clear();
            self.body = Some((response.length, 0));
            bytes = &bytes[used - had..];
        }
        let Some((length, done)) = self.body else { return Ok(()) };
        let end = done + bytes.len() as u64;
        if end > length || self.left == 0 {
            return Err(End::Fault("bytes after the response"));
        }
        if matches!(self.expected.body, Body::Noise(_)) && !pattern::is_body(bytes, done) {
            return Err(End::Fault("damaged"));
        }
        if end < length {
            self.body = Some((length, end));
            return Ok(());
        }
        self.body = None;
        self.left -= 1;
        shared.tally.message(length, Some(self.sent.elapsed()));
        match self.left {
            0 => shared.tally.finished += 1,
            _ => self.ask(out, shared),
        }
        Ok(())
    }

    fn drained(&mut self, _: &mut Outbox, _: &mut Shared) {}

    fn peer_closed(&mut self) -> End {
        match self.left {
            0 => End::Orderly,
            _ => End::CutOff,
        }
    }
}

impl Client for Http {
    fn greet(&mut self, _: &mut Outbox, _: &mut Shared) {
        self.connected = true;
    }

    fn waits(&self) -> bool {
        self.connected
    }

    fn start(&mut self, out: &mut Outbox, shared: &mut Shared) {
        self.left = self.quota;
        self.ask(out, shared);
    }
}

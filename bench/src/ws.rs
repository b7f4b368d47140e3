//! The client's side of a WebSocket: handshake, frames, control frames; its use is a [`Task`].

use std::time::Instant;

use crate::fleet::{Client, Shared};
use crate::frame::{self, Piece, Reader};
use crate::handshake::Response;
use crate::link::{End, Outbox, Session};
use crate::pattern::{self, Check, KEY};

/// The use of a WebSocket.
pub trait Task {
    /// The 101 arrived, `took` after the connection was started. Returns whether the socket now
    /// waits for rounds (otherwise it counts as being opened until it ends).
    fn opened(&mut self, began: Instant, out: &mut Outbox, shared: &mut Shared) -> bool;

    /// A round begins.
    fn start(&mut self, out: &mut Outbox, shared: &mut Shared);

    /// A complete and undamaged message arrived.
    fn message(
        &mut self,
        key: u64,
        size: u64,
        out: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<Next, End>;

    /// A watched socket should send a message.
    fn tick(&mut self, _out: &mut Outbox) {}

    /// Messages sent that have not returned.
    fn unanswered(&self) -> u64 {
        0
    }

    /// All bytes are written.
    fn drained(&mut self, _out: &mut Outbox, _shared: &mut Shared) {}
}

/// The action after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The socket stays open.
    More,
    /// The client sends a Close.
    Close,
}

/// Appends a masked binary message.
pub fn send(out: &mut Outbox, key: u64, size: usize) {
    let mask = Some(fastrand::u32(..).to_ne_bytes());
    let size = size.max(KEY);
    frame::append(&mut out.bytes, frame::BINARY, mask, size, |bytes| {
        pattern::append(bytes, key, size);
    });
}

/// Appends a masked frame with this payload.
pub fn send_bytes(out: &mut Outbox, opcode: u8, payload: &[u8]) {
    let mask = Some(fastrand::u32(..).to_ne_bytes());
    frame::append(&mut out.bytes, opcode, mask, payload.len(), |bytes| {
        bytes.extend_from_slice(payload);
    });
}

/// One client.
pub struct WebSocket<T> {
    phase: Phase,
    waits: bool,
    reader: Reader,
    check: Check,
    control: Vec<u8>,
    /// Code and time of the Close from the proxy.
    farewell: Option<(u16, Instant)>,
    task: T,
}

enum Phase {
    Handshake(Box<Handshake>),
    Open,
    /// The client has sent a Close.
    Closing,
    /// Both sides have sent a Close.
    Closed,
}

struct Handshake {
    began: Instant,
    accept: String,
    head: Vec<u8>,
}

impl<T: Task> WebSocket<T> {
    /// A client whose connection is about to be established.
    pub fn new(task: T) -> Self {
        let handshake =
            Handshake { began: Instant::now(), accept: String::new(), head: Vec::new() };
        Self {
            phase: Phase::Handshake(Box::new(handshake)),
            waits: false,
            reader: Reader::default(),
            check: Check::default(),
            control: Vec::new(),
            farewell: None,
            task,
        }
    }

    fn frames(
        &mut self,
        bytes: &mut [u8],
        out: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<(), End> {
        let Self { phase, reader, check, control, farewell, task, .. } = self;
        reader.feed(bytes, |piece: Piece| {
            if piece.header.mask.is_some() {
                return Err(End::Fault("masked by the server"));
            }
            if matches!(phase, Phase::Closed) {
                return Err(End::Fault("bytes after the close"));
            }
            if piece.header.opcode >= frame::CLOSE {
                control.extend_from_slice(piece.bytes);
                if piece.is_last() {
                    match piece.header.opcode {
                        frame::PING => send_bytes(out, frame::PONG, control),
                        frame::PONG => {}
                        _ => {
                            // RFC 6455 7.1.5: 1005 stands for a Close without a code
                            let code =
                                control.first_chunk().map_or(1005, |c| u16::from_be_bytes(*c));
                            *farewell = Some((code, Instant::now()));
                            if !matches!(phase, Phase::Closing) {
                                send_bytes(out, frame::CLOSE, control);
                            }
                            *phase = Phase::Closed;
                        }
                    }
                    control.clear();
                }
                return Ok(());
            }
            check.feed(piece.bytes);
            if piece.is_last() {
                let (key, size) = check.finish().ok_or(End::Fault("damaged"))?;
                if task.message(key, size, out, shared)? == Next::Close {
                    send_bytes(out, frame::CLOSE, &1000u16.to_be_bytes());
                    *phase = Phase::Closing;
                }
            }
            Ok(())
        })
    }
}

impl From<frame::Malformed> for End {
    fn from(_: frame::Malformed) -> Self {
        Self::Fault("malformed frame")
    }
}

impl<T: Task> Session for WebSocket<T> {
    type Shared = Shared;

    fn received(
        &mut self,
        bytes: &mut [u8],
        out: &mut Outbox,
        shared: &mut Shared,
    ) -> Result<(), End> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return self.frames(bytes, out, shared);
        };
        handshake.head.extend_from_slice(bytes);
        let parsed =
            Response::parse(&handshake.head).map_err(|_| End::Fault("malformed response"))?;
        let Some((response, used)) = parsed else { return Ok(()) };
        if response.status != 101 {
            return Err(End::Fault("refused"));
        }
        if response.accept.as_ref() != Some(&handshake.accept) {
            return Err(End::Fault("wrong Sec-WebSocket-Accept"));
        }
        let mut early = handshake.head.split_off(used);
        let began = handshake.began;
        self.phase = Phase::Open;
        self.waits = self.task.opened(began, out, shared);
        self.frames(&mut early, out, shared)
    }

    fn drained(&mut self, out: &mut Outbox, shared: &mut Shared) {
        if matches!(self.phase, Phase::Open) {
            self.task.drained(out, shared);
        }
    }

    fn peer_closed(&mut self) -> End {
        match self.phase {
            Phase::Closed => End::Orderly,
            Phase::Open if self.reader.at_boundary() => End::Dropped,
            _ => End::CutOff,
        }
    }
}

impl<T: Task> Client for WebSocket<T> {
    fn greet(&mut self, out: &mut Outbox, shared: &mut Shared) {
        if let Phase::Handshake(handshake) = &mut self.phase {
            handshake.accept = shared.request.append_upgrade(&mut out.bytes);
        }
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn start(&mut self, out: &mut Outbox, shared: &mut Shared) {
        self.task.start(out, shared);
    }

    fn tick(&mut self, out: &mut Outbox) {
        if matches!(self.phase, Phase::Open) {
            self.task.tick(out);
        }
    }

    fn farewell(&self) -> Option<(u16, Instant)> {
        self.farewell
    }

    fn unanswered(&self) -> u64 {
        self.task.unanswered()
    }
}

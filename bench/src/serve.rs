//! The destination: echoes, sends and receives messages, answers plain GETs.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frame::{self, Piece, Reader};
use crate::handshake::Asked;
use crate::link::{Buffers, End, Link, Outbox, Session};
use crate::pattern::{self, Check};

/// Larger messages are not echoed.
const MAX_MESSAGE: u64 = 64 * 1024 * 1024;
/// Larger bodies are not served.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// One connection of the destination.
pub struct Destination {
    phase: Phase,
}

enum Phase {
    /// Requests; holds the incomplete head.
    Http(Vec<u8>),
    /// `/echo`; holds the incomplete frame.
    Echo(Reader, Vec<u8>),
    Bulk(Box<Bulk>),
    Closed,
}

/// A socket at `/bulk`: verifies and acknowledges binary messages, and answers the text `give COUNT
/// SIZE KEY` with COUNT messages.
#[derive(Default)]
struct Bulk {
    reader: Reader,
    check: Check,
    text: Vec<u8>,
    control: Vec<u8>,
    give: Give,
}

#[derive(Default)]
struct Give {
    left: u64,
    size: usize,
    key: u64,
}

impl Give {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        if words.next() != Some("give") {
            return None;
        }
        let mut number = || words.next()?.parse::<u64>().ok();
        let (left, size, key) = (number()?, number()?, number()?);
        (size <= MAX_MESSAGE).then_some(Self { left, size: size as usize, key })
    }
}

impl Destination {
    fn new() -> Self {
        Self { phase: Phase::Http(Vec::new()) }
    }

    fn answer(&mut self, asked: Asked, out: &mut Outbox) {
        if let Some(accept) = asked.accept {
            out.bytes.extend_from_slice(
                format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .as_bytes(),
            );
            self.phase = match asked.path.as_str() {
                "/bulk" => Phase::Bulk(Box::default()),
                _ => Phase::Echo(Reader::default(), Vec::new()),
            };
            return;
        }
        let size = match asked.path.as_str() {
            "/" => Some(0),
            path => path.strip_prefix("/bytes/").and_then(|size| size.parse().ok()),
        };
        let (status, size) = match size {
            Some(size) if size <= MAX_BODY => ("200 OK", size),
            _ => ("404 Not Found", 0),
        };
        out.bytes.extend_from_slice(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Length: {size}\r\n\r\n"
            )
            .as_bytes(),
        );
        pattern::append_body(&mut out.bytes, size);
        out.close |= asked.close;
    }
}

impl Session for Destination {
    type Shared = ();

    fn received(&mut self, bytes: &mut [u8], out: &mut Outbox, (): &mut ()) -> Result<(), End> {
        match &mut self.phase {
            Phase::Http(head) => {
                head.extend_from_slice(bytes);
                let mut head = std::mem::take(head);
                while let Phase::Http(_) = self.phase {
                    let parsed =
                        Asked::parse(&head).map_err(|_| End::Fault("malformed request"))?;
                    let Some((asked, used)) = parsed else {
                        self.phase = Phase::Http(head);
                        return Ok(());
                    };
                    head.drain(..used);
                    self.answer(asked, out);
                }
                self.received(&mut head, out, &mut ())
            }
            Phase::Echo(reader, whole) => {
                let closed = echo(reader, whole, bytes, out)?;
                self.close_if(closed, out);
                Ok(())
            }
            Phase::Bulk(bulk) => {
                let closed = bulk.received(bytes, out)?;
                self.close_if(closed, out);
                Ok(())
            }
            Phase::Closed => Ok(()),
        }
    }

    fn drained(&mut self, out: &mut Outbox, (): &mut ()) {
        if let Phase::Bulk(bulk) = &mut self.phase {
            bulk.give_one(out);
        }
    }

    fn peer_closed(&mut self) -> End {
        End::Orderly
    }
}

impl Destination {
    /// RFC 6455 7.1.1: the server closes the TCP connection first.
    fn close_if(&mut self, closed: bool, out: &mut Outbox) {
        if closed {
            out.close = true;
            self.phase = Phase::Closed;
        }
    }
}

/// Sends every message back unchanged; returns whether the client sent a Close.
fn echo(
    reader: &mut Reader,
    whole: &mut Vec<u8>,
    bytes: &mut [u8],
    out: &mut Outbox,
) -> Result<bool, End> {
    let mut closed = false;
    reader.feed(bytes, |piece: Piece| {
        if piece.header.opcode >= frame::CLOSE {
            closed |= answer_control(&piece, whole, out);
            return Ok(());
        }
        if piece.header.len > MAX_MESSAGE || piece.header.mask.is_none() {
            return Err(End::Fault("message refused"));
        }
        if piece.offset == 0 && piece.is_last() {
            append(out, piece.header.opcode, piece.bytes);
            return Ok(());
        }
        whole.extend_from_slice(piece.bytes);
        if piece.is_last() {
            // an idle socket retains no memory of its last message
            append(out, piece.header.opcode, &std::mem::take(whole));
        }
        Ok(())
    })?;
    Ok(closed)
}

impl Bulk {
    fn received(&mut self, bytes: &mut [u8], out: &mut Outbox) -> Result<bool, End> {
        let Self { reader, check, text, control, give } = self;
        let mut closed = false;
        reader.feed(bytes, |piece: Piece| {
            match piece.header.opcode {
                frame::TEXT => {
                    text.extend_from_slice(piece.bytes);
                    if piece.is_last() {
                        *give = Give::parse(text).ok_or(End::Fault("unknown command"))?;
                        text.clear();
                    }
                }
                frame::BINARY => {
                    check.feed(piece.bytes);
                    if piece.is_last() {
                        let (key, _) = check.finish().ok_or(End::Fault("damaged"))?;
                        append(out, frame::BINARY, &key.to_le_bytes());
                    }
                }
                _ => closed |= answer_control(&piece, control, out),
            }
            Ok::<_, End>(())
        })?;
        if out.bytes.is_empty() {
            self.give_one(out);
        }
        Ok(closed)
    }

    fn give_one(&mut self, out: &mut Outbox) {
        let Give { left, size, key } = &mut self.give;
        if *left > 0 {
            let size = (*size).max(pattern::KEY);
            frame::append(&mut out.bytes, frame::BINARY, None, size, |bytes| {
                pattern::append(bytes, *key, size);
            });
            *left -= 1;
            *key += 1;
        }
    }
}

/// Answers Ping and Close; returns whether it was a Close.
fn answer_control(piece: &Piece, control: &mut Vec<u8>, out: &mut Outbox) -> bool {
    control.extend_from_slice(piece.bytes);
    if !piece.is_last() {
        return false;
    }
    let payload = std::mem::take(control);
    match piece.header.opcode {
        frame::PING => append(out, frame::PONG, &payload),
        frame::CLOSE => append(out, frame::CLOSE, &payload),
        _ => {}
    }
    piece.header.opcode == frame::CLOSE
}

fn append(out: &mut Outbox, opcode: u8, payload: &[u8]) {
    frame::append(&mut out.bytes, opcode, None, payload.len(), |bytes| {
        bytes.extend_from_slice(payload);
    });
}

/// Serves `addresses` until `deadline`; with `share` other processes can listen on the same
/// addresses.
pub fn run(
    addresses: &[SocketAddr],
    share: bool,
    deadline: Instant,
    ready: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listeners = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let mut listener =
            listen(*address, share).with_context(|| format!("listening on {address}"))?;
        let token = Token(usize::MAX - 1 - index);
        poll.registry().register(&mut listener, token, Interest::READABLE)?;
        listeners.push((token, listener));
    }
    ready()?;
    let mut links: Slab<Link<Destination>> = Slab::new();
    let mut buffers = Buffers::default();
    let mut events = Events::with_capacity(1024);
    while Instant::now() < deadline {
        match poll.poll(&mut events, Some(Duration::from_millis(500))) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in events.iter() {
            if let Some((_, listener)) = listeners.iter().find(|(t, _)| *t == event.token()) {
                accept(listener, &mut links, &poll)?;
                continue;
            }
            let key = event.token().0;
            let Some(link) = links.get_mut(key) else { continue };
            if link.ready(event, &mut buffers, &mut ()).is_err() {
                links.remove(key);
            }
        }
    }
    Ok(())
}

fn listen(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn accept(listener: &TcpListener, links: &mut Slab<Link<Destination>>, poll: &Poll) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true); // an error shows in the next read
                let key = links.insert(Link::new(stream.into(), Destination::new()));
                let interest = Interest::READABLE | Interest::WRITABLE;
                let stream = links[key].stream.tcp();
                poll.registry().register(stream, Token(key), interest)?;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) => return Err(e).context("accepting"),
        }
    }
}

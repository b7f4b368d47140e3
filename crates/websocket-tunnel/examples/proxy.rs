//! A TCP proxy for WebSockets over plain blocking sockets: the handshake passes as it is, then a
//! session pings both ends and closes what is dead. Two threads read an end each. Writes block, so
//! nothing is ever kept for an end; one that takes nothing for ten seconds has failed. To run it:
//! `cargo run -p websocket-tunnel --example proxy LISTEN DESTINATION`, each an address and a port.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use websocket_tunnel::{End, Io, Next, Session, Settings};

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [listen, destination] = &arguments[..] else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "usage: proxy LISTEN DESTINATION"));
    };
    let settings = Settings { ping: 25_000, pong_timeout: 10_000, ..Settings::default() };
    serve(&TcpListener::bind(listen)?, destination, &settings)
}

/// Proxies each connection that comes, in threads of its own, until accepting one fails.
pub fn serve(listener: &TcpListener, destination: &str, settings: &Settings) -> io::Result<()> {
    for client in listener.incoming() {
        let (client, destination, settings) = (client?, destination.to_owned(), settings.clone());
        thread::spawn(move || proxy(client, &destination, &settings));
    }
    Ok(())
}

fn proxy(mut client: TcpStream, destination: &str, settings: &Settings) -> io::Result<()> {
    let mut destination = TcpStream::connect(destination)?;
    for stream in [&client, &destination] {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    }
    let (request, from_client) = head(&mut client)?;
    destination.write_all(&request)?;
    let (answer, from_destination) = head(&mut destination)?;
    client.write_all(&answer)?;
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return io::copy(&mut from_destination.as_slice().chain(destination), &mut client)
            .map(drop);
    }
    for stream in [&client, &destination] {
        // how often a thread that has nothing to read looks at the clock
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    }
    let streams = [client, destination];
    let mut wire = Wire { chunk: &[], streams: &streams, failed: [false; 2] };
    let session = Mutex::new(Session::new(settings, 0, &mut wire));
    let tunnel = &Tunnel { session, streams, settings, start: Instant::now() };
    thread::scope(|scope| {
        for (end, early) in End::BOTH.into_iter().zip([from_client, from_destination]) {
            scope.spawn(move || tunnel.follow(end, &early));
        }
    });
    Ok(())
}

/// Reads a head up to its empty line, and what came behind it.
fn head(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 || bytes.len() > 16 << 10 {
            return Err(ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&chunk[..n]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
    }
}

/// What a session sends, written.
struct Wire<'a> {
    chunk: &'a [u8],
    streams: &'a [TcpStream; 2],
    failed: [bool; 2],
}

impl Io for Wire<'_> {
    type Count = ();
    fn count(&self, _from: End) -> &() {
        &()
    }
    fn forward(&mut self, to: End, part: Range<usize>) {
        self.insert(to, &self.chunk[part]);
    }
    fn insert(&mut self, to: End, bytes: &[u8]) {
        self.failed[to as usize] |= (&self.streams[to as usize]).write_all(bytes).is_err();
    }
    fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        read.expect("the system has random numbers");
        u64::from_ne_bytes(bytes)
    }
}

struct Tunnel<'a> {
    session: Mutex<Session>,
    streams: [TcpStream; 2],
    settings: &'a Settings,
    start: Instant,
}

impl Tunnel<'_> {
    /// Calls the session with the time; where that ends the tunnel, both threads find no more.
    fn act(&self, chunk: &[u8], call: impl FnOnce(&mut Session, u64, &mut Wire) -> Next) {
        let mut wire = Wire { chunk, streams: &self.streams, failed: [false; 2] };
        let mut session = self.session.lock().expect("no thread has panicked");
        let now = self.start.elapsed().as_millis() as u64;
        let mut all = vec![call(&mut session, now, &mut wire)];
        if session.deadline(self.settings).is_some_and(|due| due <= now) {
            all.push(session.on_timer(self.settings, now, &mut wire));
        }
        let failed = End::BOTH.into_iter().filter(|end| wire.failed[*end as usize]);
        all.extend(failed.map(|end| session.on_unwritable(end)));
        if all.contains(&Next::Close) {
            let _ = self.streams.each_ref().map(|stream| stream.shutdown(Shutdown::Both));
        }
    }

    /// Reads one end until it has closed.
    fn follow(&self, from: End, early: &[u8]) {
        let bytes = |chunk: &[u8]| {
            self.act(chunk, |s, now, wire| s.on_bytes(self.settings, from, chunk, now, wire))
        };
        bytes(early);
        let mut chunk = [0; 16 << 10];
        loop {
            match (&self.streams[from as usize]).read(&mut chunk).map_err(|error| error.kind()) {
                Ok(0) => return self.act(&[], |s, now, wire| s.on_eof(from, now, wire)),
                Ok(n) => bytes(&chunk[..n]),
                Err(ErrorKind::WouldBlock) => self.act(&[], |s, now, wire| match s.is_last(from) {
                    true => s.on_rest(from, now, wire),
                    false => Next::Keep,
                }),
                Err(_) => return self.act(&[], |s, now, wire| s.on_error(from, now, wire)),
            }
        }
    }
}

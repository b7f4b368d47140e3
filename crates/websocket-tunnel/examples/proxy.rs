//! A TCP proxy for WebSockets over plain blocking sockets: the handshake passes unchanged, then a
//! session sends Pings to both ends and closes dead tunnels. Two threads read one end each. Writes
//! block, so no bytes are ever buffered; an end that takes nothing for ten seconds has failed. To
//! run it: `cargo run -p websocket-tunnel --example proxy LISTEN DESTINATION`, each an address with
//! a port.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use websocket_tunnel::{Driver, End, Next, Sent, Session, SessionSettings};

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [listen, destination] = &arguments[..] else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "usage: proxy LISTEN DESTINATION"));
    };
    let settings =
        SessionSettings { ping: 25_000, pong_timeout: 10_000, ..SessionSettings::default() };
    serve(&TcpListener::bind(listen)?, destination, &settings)
}

/// Accepts connections until that fails, and proxies each in threads of its own.
pub fn serve(
    listener: &TcpListener,
    destination: &str,
    settings: &SessionSettings,
) -> io::Result<()> {
    for client in listener.incoming() {
        let (client, destination, settings) = (client?, destination.to_owned(), settings.clone());
        thread::spawn(move || proxy(client, &destination, &settings));
    }
    Ok(())
}

fn proxy(mut client: TcpStream, destination: &str, settings: &SessionSettings) -> io::Result<()> {
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
        // how often a thread with nothing to read looks at the clock
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    }
    let streams = [client, destination];
    let session = Mutex::new(Session::new(settings, 0, &mut Wire(&streams)));
    let tunnel = &Tunnel { session, streams, settings, start: Instant::now() };
    thread::scope(|scope| {
        for (end, early) in End::BOTH.into_iter().zip([from_client, from_destination]) {
            scope.spawn(move || tunnel.follow(end, &early));
        }
    });
    Ok(())
}

/// Reads a head up to its empty line, with the bytes that arrived after it.
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

/// Writes the bytes that a session sends.
struct Wire<'a>(&'a [TcpStream; 2]);

impl Driver for Wire<'_> {
    type Count = ();
    fn count(&self, _from: End) -> &() {
        &()
    }
    fn send(&mut self, to: End, bytes: &[u8]) -> Sent {
        match (&self.0[to as usize]).write_all(bytes) {
            Ok(()) => Sent::Written,
            Err(_) => Sent::Failed,
        }
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
    settings: &'a SessionSettings,
    start: Instant,
}

impl Tunnel<'_> {
    /// Reports the time to the session; if that ends the tunnel, both threads stop.
    fn act(&self, call: impl FnOnce(&mut Session, u64, &mut Wire) -> Next) {
        let mut session = self.session.lock().expect("no thread has panicked");
        let (now, wire) = (self.start.elapsed().as_millis() as u64, &mut Wire(&self.streams));
        let mut next = call(&mut session, now, wire);
        if session.deadline(self.settings).is_some_and(|due| due <= now) {
            next = session.on_timer(self.settings, now, wire);
        }
        if next == Next::Close {
            let _ = self.streams.each_ref().map(|stream| stream.shutdown(Shutdown::Both));
        }
    }

    /// Reads one end until it closes.
    fn follow(&self, from: End, early: &[u8]) {
        let bytes = |chunk: &[u8]| {
            self.act(|session, now, wire| session.on_bytes(self.settings, from, chunk, now, wire));
        };
        bytes(early);
        let mut chunk = [0; 16 << 10];
        loop {
            match (&self.streams[from as usize]).read(&mut chunk).map_err(|error| error.kind()) {
                Ok(0) => return self.act(|s, now, wire| s.on_eof(from, now, wire)),
                Ok(n) => bytes(&chunk[..n]),
                Err(ErrorKind::WouldBlock) => self.act(|s, now, wire| match s.is_last(from) {
                    true => s.on_rest(from, now, wire),
                    false => Next::Keep,
                }),
                Err(_) => return self.act(|s, now, wire| s.on_error(from, now, wire)),
            }
        }
    }
}

//! A small application to put behind the proxy: a page with a chat box, a WebSocket echo at any
//! path, and `/headers`, which shows the request as it arrived.
//!
//! `cargo run --release --no-default-features --example chat [PORT | ADDRESS:PORT]`
//!
//! Each connection has its own thread, so a bad client affects no other client.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

const PAGE: &str = include_str!("chat.html");

const DEFAULT_PORT: &str = "45490";
const HEAD_LIMIT: usize = 64 << 10;
const BODY_LIMIT: u64 = 16 << 20;
/// How long a client may take to send its next request, or to read a response.
const PATIENCE: Duration = Duration::from_secs(75);

fn main() -> io::Result<()> {
    let wanted = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_PORT.into());
    let address = if wanted.contains(':') { wanted } else { format!("127.0.0.1:{wanted}") };
    let listener = TcpListener::bind(&address).map_err(|error| {
        io::Error::new(error.kind(), format!("{error} while binding {address}"))
    })?;
    println!("chat: listening on http://{}/", listener.local_addr()?);

    for stream in listener.incoming() {
        let started = stream.and_then(|stream| {
            thread::Builder::new().name("client".into()).spawn(move || {
                // An error of a client ends its own connection and is not reported.
                let _ = Client::new(stream).serve();
            })
        });
        if let Err(error) = started {
            eprintln!("chat: {error} while accepting a connection");
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// The head of a request, as it arrived.
struct Request {
    head: String,
}

impl Request {
    fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    fn method(&self) -> &str {
        self.line().split(' ').next().unwrap_or_default()
    }

    fn path(&self) -> &str {
        let target = self.line().split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Whether a header with a list of tokens contains this token.
    fn has_token(&self, name: &str, token: &str) -> bool {
        self.header(name)
            .is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
    }

    /// The key of a WebSocket handshake, if the request is a handshake.
    fn websocket_key(&self) -> Option<&str> {
        let wanted = self.method() == "GET"
            && self.has_token("Connection", "upgrade")
            && self.has_token("Upgrade", "websocket")
            && self.header("Sec-WebSocket-Version") == Some("13");
        wanted.then(|| self.header("Sec-WebSocket-Key")).flatten()
    }
}

struct Client {
    stream: TcpStream,
    /// Bytes that were read beyond the current request.
    ahead: Vec<u8>,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    fn serve(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.set_write_timeout(Some(PATIENCE))?;

        while let Some(request) = self.next_request()? {
            if let Some(key) = request.websocket_key() {
                let accept = derive_accept_key(key.as_bytes());
                return self.echo(&accept);
            }
            let goes_on = self.skip_body(&request)? && !request.has_token("Connection", "close");
            self.answer(&request, goes_on)?;
            if !goes_on {
                return linger(&mut self.stream);
            }
        }
        Ok(())
    }

    /// Reads up to the empty line. `None` if the client sends no further request.
    fn next_request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.drain(..end + 4);
                return Ok(Some(Request { head }));
            }
            if self.ahead.len() > HEAD_LIMIT {
                self.respond("431 Request Header Fields Too Large", "text/plain", "", false, true)?;
                linger(&mut self.stream)?;
                return Ok(None);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk)? {
                0 => return Ok(None),
                read => self.ahead.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// False if the body's length is unknown or too large: then no further request can be read.
    fn skip_body(&mut self, request: &Request) -> io::Result<bool> {
        if request.header("Transfer-Encoding").is_some() {
            return Ok(false);
        }
        let length = match request.header("Content-Length").map(str::parse::<u64>) {
            None => return Ok(true),
            Some(Ok(length)) if length <= BODY_LIMIT => length,
            Some(_) => return Ok(false),
        };
        let at_hand = self.ahead.len().min(length as usize);
        self.ahead.drain(..at_hand);
        let rest = length - at_hand as u64;
        Ok(io::copy(&mut (&self.stream).take(rest), &mut io::sink())? == rest)
    }

    fn answer(&mut self, request: &Request, goes_on: bool) -> io::Result<()> {
        let plain = "text/plain; charset=utf-8";
        let body = request.method() != "HEAD";
        match request.path() {
            "/" => {
                self.respond("200 OK", "text/html; charset=utf-8", &page(request), goes_on, body)
            }
            "/headers" => {
                let lines = request.head.replace("\r\n", "\n") + "\n";
                self.respond("200 OK", plain, &lines, goes_on, body)
            }
            "/echo" => {
                let text = "a WebSocket echo: connect with a WebSocket client\n";
                self.respond("426 Upgrade Required", plain, text, goes_on, body)
            }
            _ => self.respond("404 Not Found", plain, "not found\n", goes_on, body),
        }
    }

    fn respond(
        &mut self,
        status: &str,
        kind: &str,
        text: &str,
        goes_on: bool,
        body: bool,
    ) -> io::Result<()> {
        let connection = if goes_on { "keep-alive" } else { "close" };
        let upgrade = if status.starts_with("426") { "Upgrade: websocket\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\n{upgrade}Connection: {connection}\r\n\r\n",
            text.len()
        );
        let text = if body { text } else { "" };
        self.stream.write_all((head + text).as_bytes())
    }

    fn echo(mut self, accept: &str) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes())?;
        // A WebSocket may be idle for any time.
        self.stream.set_read_timeout(None)?;

        let config = WebSocketConfig::default().read_buffer_size(16 << 10);
        let mut socket =
            WebSocket::from_partially_read(self.stream, self.ahead, Role::Server, Some(config));
        let fault = loop {
            // The library answers Pings and Closes.
            let sent = match socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message),
                Ok(_) => socket.flush(),
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                break error;
            }
        };

        let code = match fault {
            Error::Protocol(_) => Some(CloseCode::Protocol),
            Error::Utf8(_) => Some(CloseCode::Invalid),
            Error::Capacity(_) => Some(CloseCode::Size),
            _ => None,
        };
        if let Some(code) = code {
            let _ = socket.close(Some(CloseFrame { code, reason: "".into() }));
            let _ = socket.flush();
        }
        linger(socket.get_mut())
    }
}

/// Shuts down the sending side, and waits briefly for the client to do the same: closing with
/// unread bytes would reset the connection and lose the response.
fn linger(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    io::copy(&mut stream.take(BODY_LIMIT), &mut io::sink())?;
    Ok(())
}

/// The page, with the request headers that the proxy sets.
fn page(request: &Request) -> String {
    let shown = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Real-IP",
        "Host",
    ];
    let rows: String = shown
        .iter()
        .map(|name| {
            let value = request.header(name).map_or_else(|| "–".into(), escape);
            format!("<tr><th>{name}</th><td>{value}</td></tr>\n")
        })
        .collect();
    PAGE.replace("<!-- headers -->", &rows)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

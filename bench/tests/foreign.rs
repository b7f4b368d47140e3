//! Both ends of the tool against an independent WebSocket implementation.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tungstenite::Message;

fn wsload(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsload"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A destination on a free port, stopped when dropped.
struct Destination {
    child: Child,
    address: String,
}

impl Destination {
    fn start(processes: u32) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let processes = processes.to_string();
        let mut child = wsload(&["serve", "--until-eof", "--listen", &address])
            .args(["--processes", &processes])
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.contains(r#""event":"ready""#), "{ready}");
        Self { child, address }
    }

    fn run(&self, arguments: &[&str]) -> serde_json::Value {
        let output =
            wsload(arguments).args(["--proxy=none", "--connect", &self.address]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}: {text}");
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_foreign_client_is_echoed_pinged_and_closed() {
    let destination = Destination::start(1);
    let stream = TcpStream::connect(&destination.address).unwrap();
    let url = format!("ws://{}/echo", destination.address);
    let (mut socket, _) = tungstenite::client(url, stream).unwrap();
    for message in [
        Message::text("hello"),
        Message::binary(Vec::new()),
        Message::binary((0..70_000).map(|i| i as u8).collect::<Vec<_>>()),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there".into()));
    socket.close(None).unwrap();
    assert!(socket.read().unwrap().is_close());
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
}

/// Echoes with tungstenite; with `damage`, the last byte of each message is changed.
fn foreign_server(sockets: usize, damage: bool) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        for _ in 0..sockets {
            let (stream, _) = listener.accept().unwrap();
            let mut socket = tungstenite::accept(stream).unwrap();
            socket.send(Message::Ping("alive?".into())).unwrap();
            while let Ok(message) = socket.read() {
                if let Message::Binary(bytes) = message {
                    let mut bytes = bytes.to_vec();
                    *bytes.last_mut().unwrap() ^= u8::from(damage);
                    socket.send(Message::binary(bytes)).unwrap();
                }
            }
        }
    });
    (address, server)
}

#[test]
fn a_foreign_server_is_understood() {
    let (address, server) = foreign_server(3, false);
    for size in ["8", "126", "70000"] {
        let status = wsload(&["echo", "--proxy=none", "--messages=20", "--size", size])
            .args(["--connect", &address])
            .status()
            .unwrap();
        assert!(status.success(), "size {size}");
    }
    server.join().unwrap();
}

#[test]
fn one_wrong_byte_is_an_error() {
    let (address, server) = foreign_server(1, true);
    let output = wsload(&["echo", "--proxy=none", "--messages=20", "--size=1000"])
        .args(["--connect", &address])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(r#""errors":{"damaged":1}"#), "{text}");
    server.join().unwrap();
}

#[test]
fn every_mode_does_what_it_was_asked() {
    let destination = Destination::start(2);
    for (arguments, messages, bytes) in [
        (&["echo", "--sockets=10", "--messages=100", "--size=1000"][..], 100, 100_000),
        (&["echo", "--sockets=9", "--messages=90", "--processes=3"], 90, 90 * 64),
        (&["bulk", "--sockets=2", "--messages=20", "--size=300000"], 20, 6_000_000),
        (&["bulk", "--messages=5", "--size=1000000", "--direction=from"], 5, 5_000_000),
        (&["handshakes", "--count=50"], 50, 50 * 64),
        (&["get", "--sockets=3", "--requests=30", "--size=100000"], 30, 3_000_000),
        (&["ping", "--path=/bytes/2", "--requests=10"], 10, 20),
    ] {
        let line = destination.run(arguments);
        assert_eq!(line["event"], "round", "{arguments:?}");
        assert_eq!(line["messages"], messages, "{arguments:?}");
        assert_eq!(line["bytes"], bytes, "{arguments:?}");
    }
}

#[test]
fn a_drain_tells_how_each_socket_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut sockets: Vec<_> =
            (0..3).map(|_| tungstenite::accept(listener.accept().unwrap().0).unwrap()).collect();
        // one with a Close, one without, and one within a frame
        let away = tungstenite::protocol::frame::coding::CloseCode::Away;
        let close = tungstenite::protocol::CloseFrame { code: away, reason: "bye".into() };
        let mut closed = sockets.pop().unwrap();
        closed.close(Some(close)).unwrap();
        while closed.read().is_ok() {}
        drop(sockets.pop());
        let mut cut = sockets.pop().unwrap();
        std::io::Write::write_all(cut.get_mut(), &[0x82, 20, 1, 2, 3]).unwrap();
    });
    let output = wsload(&["drain", "--proxy=none", "--sockets=3", "--every=0", "--seconds=20"])
        .args(["--connect", &address])
        .output()
        .unwrap();
    server.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let ways = serde_json::json!({ "close 1001": 1, "closed without a close": 1, "cut off": 1 });
    assert_eq!(line["ends"]["ways"], ways, "{text}");
    assert_eq!(line["sockets"], 0);
}

#[test]
fn watched_sockets_echo_at_their_pace() {
    let destination = Destination::start(1);
    let line = destination.run(&["reload", "--sockets=10", "--every=100", "--seconds=2"]);
    let messages = line["messages"].as_u64().unwrap();
    assert!((50..=210).contains(&messages), "{messages} messages in 2 s");
    assert_eq!(line["sockets"], 10);
    assert!(line.get("ends").is_none(), "{line}");
}

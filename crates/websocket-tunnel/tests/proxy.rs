//! The example proxy between a real client and a real server.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::WebSocket;
use tungstenite::{accept, client, Message};
use websocket_tunnel::SessionSettings;

#[allow(dead_code)]
#[path = "../examples/proxy.rs"]
mod proxy;

const PATIENCE: Duration = Duration::from_secs(10);

/// A client and a server, connected by the proxy.
fn connect(settings: SessionSettings) -> [WebSocket<TcpStream>; 2] {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (front, back) = (bind(), bind());
    let address = front.local_addr().unwrap();
    let destination = back.local_addr().unwrap().to_string();
    thread::spawn(move || proxy::serve(&front, &destination, &settings));
    let server = thread::spawn(move || {
        let (stream, _) = back.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        accept(stream).unwrap()
    });
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (client, _) = client(format!("ws://{address}/chat"), stream).unwrap();
    [client, server.join().unwrap()]
}

/// The code of the Close that this end receives, after any messages.
fn close_code(end: &mut WebSocket<TcpStream>) -> Option<CloseCode> {
    loop {
        if let Message::Close(frame) = end.read().unwrap() {
            // the answer, or nothing if this end closed first
            let _ = end.flush();
            return frame.map(|frame| frame.code);
        }
    }
}

#[test]
fn messages_pass_both_ways_and_the_close_of_either_end() {
    for closes in 0..2 {
        let mut ends = connect(SessionSettings::default());
        for size in [0, 5, 1_000, 100_000, 1 << 20] {
            for from in 0..2 {
                let message = Message::binary(vec![7; size]);
                // a large message exceeds the socket buffers, so another thread reads it
                let [client, server] = &mut ends;
                let (from, to) = if from == 0 { (client, server) } else { (server, client) };
                let sent = message.clone();
                thread::scope(|scope| {
                    scope.spawn(move || from.send(sent).unwrap());
                    assert_eq!(to.read().unwrap(), message, "{size}");
                });
            }
        }
        let frame = tungstenite::protocol::CloseFrame { code: CloseCode::Away, reason: "".into() };
        ends[closes].close(Some(frame)).unwrap();
        assert_eq!(close_code(&mut ends[1 - closes]), Some(CloseCode::Away));
        assert_eq!(close_code(&mut ends[closes]), Some(CloseCode::Away));
    }
}

#[test]
fn an_idle_tunnel_is_closed_at_both_ends() {
    let settings =
        SessionSettings { idle_timeout: 300, close_code: 1001, ..SessionSettings::default() };
    for mut end in connect(settings) {
        assert_eq!(close_code(&mut end), Some(CloseCode::Away));
    }
}

#[test]
fn a_client_that_answers_no_ping_is_dead() {
    let settings = SessionSettings { ping: 200, pong_timeout: 300, ..SessionSettings::default() };
    // the client reads nothing, so it does not answer; the server does
    let [client, mut server] = connect(settings);
    assert_eq!(close_code(&mut server), Some(CloseCode::Normal));
    drop(client);
}

//! Bytes pass unchanged.

use super::harness::*;
use websocket_tunnel::frame::FrameError;
use websocket_tunnel::{End, Event, Next, Reason, Session};

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 256, "{} bytes", size_of::<Session>());
}

#[test]
fn a_whole_chunk_is_forwarded_in_one_call() {
    for from in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let chunk = [text(from, "one"), frame(from, 0x89, b"ping"), text(from, "two")].concat();
        assert_eq!(tunnel.from(from, &chunk), Next::Keep);
        assert_eq!(tunnel.ends.parts, 1);
        assert_eq!(tunnel.take(from.peer()), chunk);
        assert_eq!(tunnel.take(from), b"");
    }
}

#[test]
fn streams_that_are_no_frames_pass_and_are_never_touched() {
    let table: &[(End, &[u8], FrameError)] = &[
        (Client, b"\x01\x02\x03", FrameError::NotMasked),
        (Client, b"GET / HTTP/1.1\r\n\r\n", FrameError::NotMasked),
        (Destination, b"\x81\x85\x37\xfa\x21\x3d", FrameError::Masked),
        (Destination, b"\x82\x7f\xff", FrameError::LengthTooBig),
        (Destination, b"\x89\x7e\x00\x80", FrameError::ControlTooLong),
        (Destination, b"\x09\x00", FrameError::ControlFragmented),
    ];
    for (from, bytes, fault) in table {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(*from, &text(*from, "fine"));
        tunnel.take(from.peer());
        let _ = tunnel.from(*from, bytes);
        let _ = tunnel.from(*from, b"and so on");
        assert_eq!(tunnel.take(from.peer()), [bytes, &b"and so on"[..]].concat(), "{bytes:02x?}");
        assert!(tunnel.session.is_passthrough());
        assert_eq!(tunnel.ends.events, [Event::Passthrough(*from, *fault)], "{bytes:02x?}");

        tunnel.wait(200_000);
        assert_eq!((tunnel.take(Client), tunnel.take(Destination)), (vec![], vec![]));
        let _ = tunnel.drain_in(5_000);
        tunnel.wait(5_000);
        assert_eq!(tunnel.closed, Some(tunnel.now), "{bytes:02x?}");
        assert_eq!((tunnel.take(Client), tunnel.take(Destination)), (vec![], vec![]));
        assert_eq!(tunnel.session.summary().reason, Some(Reason::Drain));
    }
}

#[test]
fn closes_of_the_ends_pass_as_they_are() {
    for first in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let (ask, answer) = (frame(first, 0x88, b"\x0f\xa0bye"), close(first.peer(), 1000));
        let _ = tunnel.from(first, &ask);
        let _ = tunnel.from(first.peer(), &text(first.peer(), "a last word"));
        let _ = tunnel.from(first.peer(), &answer);
        assert_eq!(tunnel.take(first.peer()), ask);
        assert_eq!(tunnel.take(first), [text(first.peer(), "a last word"), answer].concat());
        assert_eq!(tunnel.eof(Destination), Next::Close);
        let summary = tunnel.session.summary();
        let reason = if first == Client { Reason::Client } else { Reason::Destination };
        assert_eq!((summary.reason, summary.code), (Some(reason), Some(4000)));
    }
}

#[test]
fn the_summary_counts_what_happened() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Client, &text(Client, "hello"));
    let _ = tunnel.from(Destination, &[text(Destination, "a"), text(Destination, "b")].concat());
    tunnel.wait(25_000);
    let token = token(Client, &tunnel.take(Client)[6..]);
    let _ = tunnel.from(Client, &frame(Client, 0x8a, &token));
    let summary = tunnel.session.summary();
    let client = summary.client;
    assert_eq!(
        (client.received, client.sent, client.frames, client.pings),
        (11 + 14, 6 + 10, 2, 1)
    );
    let destination = summary.destination;
    assert_eq!((destination.received, destination.sent, destination.frames), (6, 11 + 14, 2));
    assert_eq!((summary.reason, summary.code, summary.passthrough), (None, None, false));
    assert_eq!(tunnel.ends.counts[0].messages.get(), 1);
    assert_eq!(tunnel.ends.counts[1].messages.get(), 2);
}

//! Drains, as when a worker shuts down.

use super::harness::*;
use websocket_tunnel::frame::apply_mask;
use websocket_tunnel::{Drain, End, Event, Next, Reason};

const AWAY: &[u8] = b"\x03\xe9";

fn is_close(to: End, bytes: &[u8]) -> bool {
    frames_to(to, bytes) == [(0x88, AWAY.to_vec())]
}

#[test]
fn a_quiet_tunnel_is_closed_at_its_time() {
    let mut tunnel = Tunnel::new(settings());
    assert_eq!(tunnel.drain_in(5_000), Next::Timer);
    tunnel.wait(4_999);
    assert_eq!(tunnel.take(Client), b"");
    tunnel.wait(1);
    assert!(is_close(Client, &tunnel.take(Client)));
    assert_eq!(tunnel.take(Destination), b"", "the client's last words come first");

    let _ = tunnel.from(Client, &text(Client, "last words"));
    assert_eq!(tunnel.take(Destination), text(Client, "last words"));
    let _ = tunnel.from(Destination, &text(Destination, "nobody listens"));
    assert_eq!(tunnel.take(Client), b"", "nothing may follow a Close");

    let _ = tunnel.from(Client, &close(Client, 1001));
    assert!(is_close(Destination, &tunnel.take(Destination)));
    assert_eq!(tunnel.closed, None);
    let _ = tunnel.from(Destination, &close(Destination, 1001));
    assert_eq!(tunnel.closed, Some(tunnel.now));
    assert_eq!((tunnel.take(Client), tunnel.take(Destination)), (vec![], vec![]));
    let summary = tunnel.session.summary();
    assert_eq!((summary.reason, summary.code), (Some(Reason::Drain), Some(1001)));
    assert_eq!(
        tunnel.ends.events,
        [
            Event::CloseSent(Client, 1001),
            Event::CloseSent(Destination, 1001),
            Event::CloseSeen(Client, Some(1001)),
            Event::CloseSeen(Destination, Some(1001)),
        ]
    );
}

#[test]
fn the_close_waits_for_the_end_of_messages_both_ways() {
    for busy in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(busy, &frame(busy, 0x01, b"begin"));
        let _ = tunnel.drain_in(0);
        tunnel.wait(500);
        let _ = tunnel.from(busy, &frame(busy, 0x00, b"middle"));
        assert!(tunnel.ends.events.is_empty(), "{busy}");
        let before = tunnel.ends.out[Client as usize].len();
        let end = frame(busy, 0x80, b"end");
        let _ = tunnel.from(busy, &[end.clone(), text(busy, "next")].concat());
        assert_eq!(tunnel.ends.events, [Event::CloseSent(Client, 1001)], "{busy}");
        let out = tunnel.take(Client);
        if busy == Destination {
            assert_eq!(out[before..][..end.len()], end);
            assert!(is_close(Client, &out[before + end.len()..]), "and the next is dropped");
        } else {
            assert!(is_close(Client, &out));
            let passed = tunnel.take(Destination);
            assert!(passed.ends_with(&text(Client, "next")));
        }
    }
}

#[test]
fn a_close_right_behind_the_end_of_the_message_is_replaced_too() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Client, &frame(Client, 0x01, b"begin"));
    let _ = tunnel.drain_in(0);
    tunnel.wait(500);
    tunnel.take(Destination);
    let end = frame(Client, 0x80, b"end");
    let _ = tunnel.from(Client, &[end.clone(), close(Client, 4000)].concat());
    assert!(is_close(Client, &tunnel.take(Client)));
    let out = tunnel.take(Destination);
    assert_eq!(out[..end.len()], end);
    assert!(is_close(Destination, &out[end.len()..]));
}

#[test]
fn the_rest_of_a_pong_of_ours_is_no_close() {
    let mut tunnel = Tunnel::new(settings());
    tunnel.wait(25_000);
    let mut payload = token(Client, &tunnel.take(Client));
    tunnel.take(Destination);
    // With this mask the first byte of the payload looks like that of a Close.
    let mask = [payload[0] ^ 0x88, 0, 0, 0];
    apply_mask(&mut payload, mask, 0);
    let _ = tunnel.from(Client, &[&[0x8a, 0x88][..], &mask].concat());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    assert!(is_close(Client, &tunnel.take(Client)), "what is held back stops nothing");
    let _ = tunnel.from(Client, &payload);
    assert_eq!(tunnel.take(Destination), b"");
    let _ = tunnel.from(Client, &text(Client, "last words"));
    assert_eq!(tunnel.take(Destination), text(Client, "last words"));
}

#[test]
fn after_the_grace_any_frame_boundary_will_do() {
    for busy in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(busy, &frame(busy, 0x01, b"begin"));
        let _ = tunnel.drain_in(0);
        tunnel.wait(999);
        assert!(tunnel.ends.events.is_empty());
        tunnel.wait(1);
        assert_eq!(tunnel.ends.events, [Event::CloseSent(Client, 1001)]);
    }
}

#[test]
fn never_inside_a_frame() {
    let mut tunnel = Tunnel::new(settings());
    let long = frame(Destination, 0x82, &[9; 1000]);
    let _ = tunnel.from(Destination, &long[..10]);
    let _ = tunnel.drain_in(0);
    tunnel.wait(2_000);
    let _ = tunnel.from(Destination, &long[10..20]);
    assert_eq!(tunnel.take(Client), long[..20]);
    let _ = tunnel.from(Destination, &[&long[20..], &text(Destination, "next")].concat());
    let out = tunnel.take(Client);
    assert_eq!(out[..980 + 4], long[20..]);
    assert!(is_close(Client, &out[984..]));
    // the remaining second is split between the client and the destination
    tunnel.wait(499);
    assert_eq!(tunnel.take(Destination), b"");
    tunnel.wait(1);
    assert!(is_close(Destination, &tunnel.take(Destination)));
    tunnel.wait(500);
    assert_eq!(tunnel.closed, Some(START + 3_000));

    // a stream that never reaches a boundary
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Destination, &long[..10]);
    let _ = tunnel.drain_in(0);
    tunnel.wait(3_000);
    assert_eq!(tunnel.closed, Some(START + 3_000));
    assert_eq!(tunnel.take(Client), long[..10]);
    assert!(is_close(Destination, &tunnel.take(Destination)), "there it is possible");
    assert_eq!(tunnel.session.summary().reason, Some(Reason::Drain));
}

#[test]
fn the_clients_close_is_replaced_wherever_it_is_cut() {
    let last = text(Client, "last");
    let stream =
        [last.clone(), frame(Client, 0x88, b"\x0f\xa0a reason"), b"garbage".to_vec()].concat();
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let mut tunnel = Tunnel::new(settings());
            let _ = tunnel.drain_in(0);
            tunnel.wait(0);
            assert!(is_close(Client, &tunnel.take(Client)));
            for chunk in [&stream[..first], &stream[first..second], &stream[second..]] {
                let _ = tunnel.from(Client, chunk);
            }
            let out = tunnel.take(Destination);
            assert_eq!(out[..last.len()], last, "cut at {first} and {second}");
            assert!(is_close(Destination, &out[last.len()..]), "cut at {first} and {second}");
            let _ = tunnel.from(Destination, &close(Destination, 1001));
            assert_eq!(tunnel.closed, Some(tunnel.now), "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_mute_client_leaves_time_for_the_destination() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(999);
    assert!(is_close(Client, &tunnel.take(Client)));
    assert_eq!(tunnel.take(Destination), b"");
    tunnel.wait(1);
    assert!(is_close(Destination, &tunnel.take(Destination)));
    let _ = tunnel.from(Destination, &close(Destination, 1001));
    assert_eq!(tunnel.closed, None, "the client has its time still");
    tunnel.wait(1_000);
    assert_eq!(tunnel.closed, Some(tunnel.now));
}

#[test]
fn a_client_that_uploads_is_heard_to_the_end() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(0);
    let upload = frame(Client, 0x82, &[3; 1500]);
    for part in upload.chunks(100) {
        tunnel.wait(100);
        let _ = tunnel.from(Client, part);
    }
    assert_eq!(tunnel.take(Destination), upload);
    tunnel.wait(400);
    assert_eq!(tunnel.closed, Some(tunnel.now));
    assert!(is_close(Destination, &tunnel.take(Destination)), "at the last moment");
}

#[test]
fn a_stream_that_gets_lost_during_the_drain_ends_it() {
    for wait in [500, 1_500] {
        let mut tunnel = Tunnel::new(settings());
        let begun = frame(Destination, 0x82, &[9; 100]);
        let _ = tunnel.from(Destination, &begun[..50]);
        let _ = tunnel.drain_in(0);
        tunnel.wait(wait);
        assert_eq!(tunnel.closed, None);
        let _ = tunnel.from(Client, b"no frame");
        assert_eq!(tunnel.take(Destination), b"no frame");
        tunnel.wait(0);
        assert_eq!(tunnel.closed, Some(tunnel.now));
        assert_eq!(tunnel.take(Destination), b"");
    }
}

#[test]
fn a_client_that_goes_on_talking_is_not_taken_for_mute() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(900);
    let _ = tunnel.from(Client, &text(Client, "one"));
    tunnel.wait(600);
    let _ = tunnel.from(Client, &text(Client, "two"));
    assert_eq!(tunnel.take(Destination), [text(Client, "one"), text(Client, "two")].concat());
    tunnel.wait(500);
    assert_eq!(tunnel.closed, Some(tunnel.now));
    assert!(is_close(Destination, &tunnel.take(Destination)));
}

#[test]
fn ends_that_are_parting_by_themselves_are_left_alone() {
    for first in End::BOTH {
        // the first Close came before the drain
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(first, &close(first, 1000));
        let _ = tunnel.drain_in(0);
        tunnel.wait(100);
        let answer = [text(first.peer(), "last"), close(first.peer(), 1000)].concat();
        let _ = tunnel.from(first.peer(), &answer);
        assert_eq!(tunnel.take(first), answer);
        assert_eq!(tunnel.take(first.peer()), close(first, 1000));
        assert_eq!(tunnel.eof(Destination), Next::Close);

        // a Close during the grace time
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(Destination, &frame(Destination, 0x01, b"begin"));
        let _ = tunnel.drain_in(0);
        tunnel.wait(100);
        tunnel.take(Client);
        let _ = tunnel.from(first, &close(first, 1000));
        assert_eq!(tunnel.take(first.peer()), close(first, 1000));
        tunnel.wait(2_000);
        assert_eq!(tunnel.closed, Some(tunnel.now));
        assert!(is_close(first, &tunnel.take(first)), "nobody else answered it");
    }
}

#[test]
fn finish_now_says_close_where_it_can() {
    let long = frame(Destination, 0x82, &[9; 1000]);
    let mut tunnel = Tunnel::new(settings());
    assert_eq!(tunnel.session.finish_now(tunnel.now, &mut tunnel.ends), Next::Close);
    assert!(is_close(Client, &tunnel.take(Client)));
    assert!(is_close(Destination, &tunnel.take(Destination)));

    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Destination, &long[..10]);
    assert_eq!(tunnel.session.finish_now(tunnel.now, &mut tunnel.ends), Next::Close);
    assert_eq!(tunnel.take(Client), long[..10]);
    assert!(is_close(Destination, &tunnel.take(Destination)));
    assert_eq!(tunnel.session.summary().reason, Some(Reason::Drain));

    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    tunnel.take(Client);
    assert_eq!(tunnel.session.finish_now(tunnel.now, &mut tunnel.ends), Next::Close);
    assert_eq!(tunnel.take(Client), b"", "once is enough");
    assert!(is_close(Destination, &tunnel.take(Destination)));
}

#[test]
fn connections_that_close_during_the_drain() {
    // the client leaves without a Close: the destination gets one
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    assert_eq!(tunnel.eof(Client), Next::Timer);
    assert!(is_close(Destination, &tunnel.take(Destination)));
    let _ = tunnel.from(Destination, &close(Destination, 1001));
    assert_eq!(tunnel.closed, Some(tunnel.now));

    // it leaves within a frame: no Close can be sent
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    let _ = tunnel.from(Client, &text(Client, "cut")[..5]);
    assert_eq!(tunnel.eof(Client), Next::Close);

    // the destination leaves: the client's answer is awaited
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    assert_eq!(tunnel.eof(Destination), Next::Timer);
    tunnel.take(Destination);
    let _ = tunnel.from(Client, &text(Client, "it may have half-closed only"));
    assert_eq!(tunnel.take(Destination), text(Client, "it may have half-closed only"));
    let _ = tunnel.from(Client, &close(Client, 1001));
    assert!(is_close(Destination, &tunnel.take(Destination)));
    assert_eq!(tunnel.closed, Some(tunnel.now));

    // the destination has closed while the client sends a frame: a Close would land within it
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    let (head, tail) = (&text(Client, "cut")[..7], &text(Client, "cut")[7..]);
    let _ = tunnel.from(Client, head);
    assert_eq!(tunnel.eof(Destination), Next::Timer);
    assert_eq!(tunnel.fail(Destination), Next::Timer);
    let _ = tunnel.from(Client, &[tail, &close(Client, 1001)].concat());
    assert_eq!(tunnel.closed, Some(tunnel.now));
    assert_eq!(tunnel.take(Destination), head);
}

#[test]
fn a_second_drain_only_shortens_the_first() {
    let mut tunnel = Tunnel::new(settings());
    let late = Drain { at: START + 30_000, grace: 1_000, handshake: 2_000, code: 1012 };
    let _ = tunnel.session.begin_drain(&late);
    let _ = tunnel.drain_in(5_000);
    let _ = tunnel.session.begin_drain(&late);
    tunnel.wait(5_000);
    assert!(is_close(Client, &tunnel.take(Client)));
    let _ = tunnel.session.begin_drain(&late);
    tunnel.wait(2_000);
    assert_eq!(tunnel.closed, Some(tunnel.now));

    // a drain that begins sooner must not end later
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Destination, &frame(Destination, 0x01, b"begin")[..3]);
    let brief = Drain { at: START + 5_000, grace: 100, handshake: 100, code: 1001 };
    let _ = tunnel.session.begin_drain(&brief);
    let _ = tunnel.session.begin_drain(&Drain { at: START + 4_900, grace: 200, ..brief });
    let _ = tunnel.session.begin_drain(&Drain { at: START + 4_800, handshake: 9_000, ..brief });
    tunnel.wait(5_200);
    assert_eq!(tunnel.closed, Some(tunnel.now));

    // in each phase, a drain that must end sooner does
    for wait in [0, 500, 1_000, 2_500, 3_500, 4_500] {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(Destination, &frame(Destination, 0x01, b"begin"));
        let long = Drain { at: START, grace: 1_000, handshake: 60_000, code: 1001 };
        let _ = tunnel.session.begin_drain(&long);
        tunnel.wait(wait);
        let short = Drain { at: tunnel.now, grace: 100, handshake: 200, code: 1001 };
        let _ = tunnel.session.begin_drain(&short);
        tunnel.wait(300);
        assert_eq!(tunnel.closed, Some(tunnel.now), "after {wait}");
    }
}

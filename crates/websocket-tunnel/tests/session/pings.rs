//! Our Pings and their Pongs, and Pings and Pongs of the ends.

use super::harness::*;
use websocket_tunnel::{End, Event, Next, Reason, SessionSettings};

/// A tunnel in which `end` was just pinged after a silence, and the token of the Ping.
fn pinged(end: End) -> (Tunnel, Vec<u8>) {
    let mut tunnel = Tunnel::new(settings());
    tunnel.wait(10_000);
    let _ = tunnel.from(end.peer(), &text(end.peer(), "only this end talks"));
    tunnel.take(end);
    tunnel.wait(14_999);
    assert_eq!(tunnel.take(end), b"", "not yet");
    tunnel.wait(1);
    let ping = tunnel.take(end);
    assert_eq!(tunnel.take(end.peer()), b"", "this end is not silent");
    let token = token(end, &ping);
    (tunnel, token)
}

#[test]
fn a_silent_end_is_pinged_and_its_pong_is_swallowed() {
    for end in End::BOTH {
        let (mut tunnel, token) = pinged(end);
        let pong = frame(end, 0x8a, &token);
        let around = [text(end, "before"), pong, text(end, "after")].concat();
        let _ = tunnel.from(end, &around);
        assert_eq!(tunnel.take(end.peer()), [text(end, "before"), text(end, "after")].concat());
        assert_eq!(tunnel.ends.events, [Event::Pinged(end), Event::Ponged(end)]);
        tunnel.wait(10_000);
        assert_eq!(tunnel.closed, None);
    }
}

#[test]
fn the_first_byte_after_a_ping_asks_for_the_timer_of_the_next() {
    for end in End::BOTH {
        let (mut tunnel, token) = pinged(end);
        assert_eq!(tunnel.from(end, &frame(end, 0x8a, &token)), Next::Timer);
        assert_eq!(tunnel.from(end, &text(end, "and more")), Next::Keep);
        let (mut tunnel, _) = pinged(end);
        assert_eq!(tunnel.from(end, &text(end, "data")), Next::Timer);
    }
}

#[test]
fn an_own_pong_is_swallowed_wherever_it_is_cut() {
    for end in End::BOTH {
        let (_, token) = pinged(end);
        let pong = frame(end, 0x8a, &token);
        let before = text(end, "before");
        let stream = [before.clone(), pong, text(end, "after")].concat();
        let expected = [text(end, "before"), text(end, "after")].concat();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let (mut tunnel, _) = pinged(end);
                for chunk in [&stream[..first], &stream[first..second], &stream[second..]] {
                    let _ = tunnel.from(end, chunk);
                    let out = &tunnel.ends.out[end.peer() as usize];
                    assert!(expected.starts_with(out), "cut at {first} and {second}");
                }
                assert_eq!(tunnel.take(end.peer()), expected, "cut at {first} and {second}");
                assert_eq!(tunnel.ends.events.last(), Some(&Event::Ponged(end)));
            }
        }
    }
}

#[test]
fn pongs_of_others_pass_wherever_they_are_cut() {
    for end in End::BOTH {
        let (_, token) = pinged(end);
        let mut almost = token.clone();
        almost[7] ^= 0x40;
        let mut next = token.clone();
        next[7] ^= 1 ^ 2;
        let mut other = token.clone();
        other[0] ^= 1;
        let pongs = [
            frame(end, 0x8a, &almost),
            frame(end, 0x8a, &next),
            frame(end, 0x8a, &other),
            frame(end, 0x8a, &token[..7]),
            frame(end, 0x8a, &[&token[..], b"x"].concat()),
            frame(end, 0xca, &token),
            frame(end, 0x89, &token),
            frame(end, 0x8a, b""),
        ];
        for pong in pongs {
            let stream = [pong.clone(), text(end, "after")].concat();
            for first in 0..=stream.len() {
                for second in first..=stream.len() {
                    let (mut tunnel, _) = pinged(end);
                    for chunk in [&stream[..first], &stream[first..second], &stream[second..]] {
                        let _ = tunnel.from(end, chunk);
                    }
                    let out = tunnel.take(end.peer());
                    assert_eq!(out, stream, "{pong:02x?} cut at {first} and {second}");
                }
            }
        }
    }
}

#[test]
fn a_pong_that_began_before_our_ping_passes() {
    for end in End::BOTH {
        let (_, token) = pinged(end);
        let pong = frame(end, 0x8a, &token);
        for begun in 1..pong.len() - token.len() {
            for cut in begun..pong.len() {
                let mut tunnel = Tunnel::new(settings());
                tunnel.wait(10_000);
                let _ = tunnel.from(end.peer(), &text(end.peer(), "only this end talks"));
                let _ = tunnel.from(end, &pong[..begun]);
                assert_eq!(tunnel.take(end.peer()), pong[..begun]);
                tunnel.wait_hearing(25_000, end.peer());
                assert_eq!(tunnel.ends.events, [Event::Pinged(end)]);
                for chunk in [&pong[begun..cut], &pong[cut..]] {
                    let _ = tunnel.from(end, chunk);
                }
                assert_eq!(tunnel.take(end.peer()), pong[begun..], "{begun} bytes, then to {cut}");
                assert_eq!(tunnel.ends.events, [Event::Pinged(end)]);
            }
        }
    }
}

#[test]
fn held_bytes_are_released_when_the_connection_ends() {
    for end in End::BOTH {
        let (mut tunnel, token) = pinged(end);
        let pong = frame(end, 0x8a, &token);
        let (head, _) = pong.split_at(pong.len() - 1);
        let _ = tunnel.from(end, head);
        assert_eq!(tunnel.take(end.peer()), b"");
        let _ = tunnel.eof(end);
        assert_eq!(tunnel.take(end.peer()), head);
    }
}

#[test]
fn held_bytes_are_released_when_they_turn_out_to_be_no_frame() {
    for end in End::BOTH {
        let (mut tunnel, _) = pinged(end);
        let _ = tunnel.from(end, b"\x8a");
        assert_eq!(tunnel.take(end.peer()), b"");
        let _ = tunnel.from(end, b"\xff");
        let _ = tunnel.from(end, b"\x8a and so on");
        assert_eq!(tunnel.take(end.peer()), b"\x8a\xff\x8a and so on");
        assert!(tunnel.session.is_passthrough());
    }
}

#[test]
fn an_end_that_stays_silent_is_dead_and_the_other_is_told() {
    for end in End::BOTH {
        let (mut tunnel, _) = pinged(end);
        tunnel.wait_hearing(9_999, end.peer());
        assert_eq!(tunnel.take(end.peer()), b"");
        tunnel.wait(1);
        let told = frames_to(end.peer(), &tunnel.take(end.peer()));
        assert_eq!(told, [(0x88, b"\x03\xe9".to_vec())]);
        assert_eq!(tunnel.closed, None, "it may answer");
        let _ = tunnel.from(end.peer(), &close(end.peer(), 1001));
        assert_eq!(tunnel.closed, Some(tunnel.now));
        assert_eq!(tunnel.session.summary().reason, Some(Reason::Dead(end)));
        assert_eq!(tunnel.session.summary().code, Some(1001));
    }
}

#[test]
fn any_byte_is_life() {
    for end in End::BOTH {
        let (mut tunnel, token) = pinged(end);
        tunnel.wait_hearing(9_999, end.peer());
        let _ = tunnel.from(end, &[0x81]);
        tunnel.wait_hearing(24_999, end.peer());
        assert_eq!(tunnel.ends.events, [Event::Pinged(end)]);
        tunnel.wait(1);
        assert_eq!(tunnel.ends.events, [Event::Pinged(end); 2], "silent again, pinged again");
        // the first Ping is answered late
        let rest = &text(end, "x")[1..];
        let _ = tunnel.from(end, &[rest, &frame(end, 0x8a, &token)].concat());
        assert_eq!(tunnel.take(end.peer())[1..][..rest.len()], *rest);
        assert_eq!(tunnel.ends.events.last(), Some(&Event::Ponged(end)));
    }
}

#[test]
fn progress_towards_an_end_is_life_and_a_blocked_peer_is_not_judged() {
    for end in End::BOTH {
        let (mut tunnel, _) = pinged(end);
        tunnel.block(end);
        for _ in 0..10 {
            tunnel.wait(9_000);
            tunnel.progress(end);
        }
        let _ = tunnel.drained(end);
        assert_eq!(tunnel.closed, None);
        // it was not read for 90 s while the other end was blocked; its silence counts from now on
        tunnel.wait(24_999);
        assert!(!tunnel.ends.events.contains(&Event::Pinged(end.peer())));
        tunnel.wait(1);
        assert!(tunnel.ends.events.contains(&Event::Pinged(end.peer())));
    }
}

#[test]
fn a_ping_waits_for_a_frame_boundary() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let long = frame(end.peer(), 0x82, &[9; 1000]);
        let (head, tail) = long.split_at(500);
        let _ = tunnel.from(end.peer(), head);
        tunnel.wait(30_000);
        assert_eq!(tunnel.take(end), head, "no Ping within a frame");
        let next = text(end.peer(), "next");
        let _ = tunnel.from(end.peer(), &[tail, &next].concat());
        let out = tunnel.take(end);
        assert_eq!(out[..tail.len()], *tail);
        let ping_len = out.len() - tail.len() - next.len();
        token(end, &out[tail.len()..][..ping_len]);
        assert_eq!(out[tail.len() + ping_len..], next);
        // a Ping may go between the fragments of a message
        tunnel.wait(1_000);
        let _ = tunnel.from(end, &text(end, "alive"));
        let _ = tunnel.from(end.peer(), &frame(end.peer(), 0x01, b"first"));
        tunnel.take(end);
        tunnel.wait(25_000);
        token(end, &tunnel.take(end));
    }
}

#[test]
fn a_needless_ping_is_not_sent_late() {
    let mut tunnel = Tunnel::new(settings());
    let long = frame(Client, 0x82, &[9; 1000]);
    let _ = tunnel.from(Client, &long[..500]);
    tunnel.wait(26_000);
    let _ = tunnel.from(Destination, &text(Destination, "I am here"));
    let _ = tunnel.from(Client, &long[500..]);
    assert_eq!(tunnel.take(Destination), long);
}

#[test]
fn a_foreign_ping_that_waits_for_its_pong_serves_as_ours() {
    for end in End::BOTH {
        let foreign = frame(end.peer(), 0x89, b"theirs");
        // unanswered: no Ping of ours is added, and the silence counts
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &foreign);
        tunnel.wait_hearing(25_000, end.peer());
        assert_eq!(tunnel.take(end), foreign);
        tunnel.wait_hearing(9_999, end.peer());
        assert_eq!(tunnel.session.summary().reason, None);
        tunnel.wait(1);
        assert_eq!(tunnel.session.summary().reason, Some(Reason::Dead(end)));

        // another Pong within the time is no answer
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &foreign);
        let _ = tunnel.from(end, &frame(end, 0x8a, b"unasked"));
        tunnel.wait(30_000);
        assert_eq!(tunnel.take(end), foreign);

        // answered: our Ping may be sent
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &foreign);
        let _ = tunnel.from(end, &frame(end, 0x8a, b"theirs"));
        assert_eq!(tunnel.take(end.peer()), frame(end, 0x8a, b"theirs"));
        tunnel.take(end);
        tunnel.wait(25_000);
        token(end, &tunnel.take(end));

        // only the latest of two is answered, as RFC 6455 allows
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &frame(end.peer(), 0x89, b"earlier"));
        let _ = tunnel.from(end.peer(), &foreign);
        let _ = tunnel.from(end, &frame(end, 0x8a, b"theirs"));
        tunnel.take(end);
        tunnel.wait(25_000);
        token(end, &tunnel.take(end));

        // the end continues to talk long after without answering: our Ping is sent
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &foreign);
        tunnel.wait_hearing(10_001, end.peer());
        let _ = tunnel.from(end, &text(end, "hello"));
        tunnel.take(end);
        tunnel.wait_hearing(25_000, end.peer());
        token(end, &tunnel.take(end));
    }
}

#[test]
fn a_pong_to_a_later_foreign_ping_counts_for_ours() {
    for end in End::BOTH {
        let (mut tunnel, token) = pinged(end);
        let foreign = frame(end.peer(), 0x89, b"theirs");
        let _ = tunnel.from(end.peer(), &foreign);
        assert_eq!(tunnel.take(end), foreign);
        tunnel.wait(9_000);
        let pong = frame(end, 0x8a, b"theirs");
        let _ = tunnel.from(end, &pong);
        assert_eq!(tunnel.take(end.peer()), pong);
        tunnel.wait(20_000);
        assert_eq!(tunnel.closed, None);
        // if ours is answered after all, that Pong is not forwarded
        tunnel.take(end.peer());
        let _ = tunnel.from(end, &frame(end, 0x8a, &token));
        assert_eq!(tunnel.take(end.peer()), b"");
    }
}

#[test]
fn a_pong_behind_a_queue_that_moves_is_waited_for() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &frame(end.peer(), 0x82, &[0; 100_000]));
        tunnel.ends.queued[end as usize] = 90_000;
        tunnel.wait_hearing(25_000, end.peer());
        for queued in [60_000, 30_000, 2_000, 0] {
            tunnel.ends.queued[end as usize] = queued;
            tunnel.wait_hearing(10_000, end.peer());
            assert_eq!(tunnel.closed, None, "{queued} bytes left");
            assert_eq!(tunnel.session.summary().reason, None, "{queued} bytes left");
        }
        // all bytes arrived, the Ping too, and there was time to answer
        tunnel.wait_hearing(10_000, end.peer());
        assert_eq!(tunnel.session.summary().reason, Some(Reason::Dead(end)));

        // a queue that does not move counts as silence
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &frame(end.peer(), 0x82, &[0; 100_000]));
        tunnel.ends.queued[end as usize] = 90_000;
        tunnel.wait_hearing(25_000, end.peer());
        let more = if end == Client { 10 } else { 14 };
        tunnel.ends.queued[end as usize] += more;
        tunnel.wait(10_000);
        assert_eq!(tunnel.session.summary().reason, Some(Reason::Dead(end)));
    }
}

#[test]
fn without_a_pong_timeout_pings_only_keep_the_way_open() {
    let off = SessionSettings { pong_timeout: 0, destination_pong_timeout: 0, ..settings() };
    let mut tunnel = Tunnel::new(off);
    tunnel.wait(100_000);
    assert_eq!(frames_to(Client, &tunnel.take(Client)).len(), 4);
    assert_eq!(frames_to(Destination, &tunnel.take(Destination)).len(), 4);
    assert_eq!(tunnel.closed, None);
}

#[test]
fn no_pings_once_an_end_has_closed() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end, &close(end, 1000));
        tunnel.take(end.peer());
        tunnel.wait(50_000);
        assert_eq!((tunnel.take(Client), tunnel.take(Destination)), (vec![], vec![]));
    }
}

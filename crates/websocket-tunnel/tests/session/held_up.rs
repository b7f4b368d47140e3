//! A delayed owner reports the time before it reports the bytes that arrived in the meantime.

use super::harness::*;
use websocket_tunnel::{End, Event, Next, Reason, SessionSettings};

/// A tunnel in which `end` has a Ping of ours to answer, and the answer.
fn pinged(end: End) -> (Tunnel, Vec<u8>) {
    let mut tunnel = Tunnel::new(settings());
    tunnel.wait_hearing(25_000, end.peer());
    let token = token(end, &tunnel.take(end));
    (tunnel, frame(end, 0x8a, &token))
}

fn reason(tunnel: &Tunnel) -> Option<Reason> {
    tunnel.session.summary().reason
}

#[test]
fn a_pong_that_lies_unread_is_life() {
    for end in End::BOTH {
        let (mut tunnel, pong) = pinged(end);
        for _ in 0..3 {
            tunnel.ends.unread[end as usize] = true;
            tunnel.wait_hearing(10_000, end.peer());
            assert_eq!(reason(&tunnel), None, "{end}");
            tunnel.ends.unread[end as usize] = false;
            let _ = tunnel.from(end, &pong);
            // the next Ping, and another delay
            tunnel.ends.events.clear();
            tunnel.wait_hearing(25_000, end.peer());
            assert_eq!(tunnel.ends.events, [Event::Pinged(end)], "{end}");
        }
    }
}

#[test]
fn bytes_that_are_never_read_are_life_once() {
    for end in End::BOTH {
        let (mut tunnel, _) = pinged(end);
        tunnel.ends.unread[end as usize] = true;
        tunnel.wait_hearing(19_999, end.peer());
        assert_eq!(reason(&tunnel), None, "{end}");
        tunnel.wait(1);
        assert_eq!(reason(&tunnel), Some(Reason::Dead(end)));
    }
}

#[test]
fn bytes_of_the_other_end_do_not_help() {
    for end in End::BOTH {
        let (mut tunnel, _) = pinged(end);
        tunnel.ends.unread[end.peer() as usize] = true;
        tunnel.wait_hearing(10_000, end.peer());
        assert_eq!(reason(&tunnel), Some(Reason::Dead(end)));
    }
}

#[test]
fn an_end_that_nobody_wants_to_read_is_neither_dead_nor_immortal() {
    for end in End::BOTH {
        let slow = end.peer();
        // the slow end takes some bytes now and then, and in the end all
        let (mut tunnel, pong) = pinged(end);
        tunnel.ends.unread[end as usize] = true;
        tunnel.block(slow);
        for _ in 0..10 {
            tunnel.wait(59_999);
            tunnel.progress(slow);
        }
        let _ = tunnel.drained(slow);
        assert_eq!(reason(&tunnel), None, "{end}");
        tunnel.ends.unread[end as usize] = false;
        let _ = tunnel.from(end, &pong);
        tunnel.wait_hearing(25_000, end);
        assert_eq!(reason(&tunnel), None, "{end}");

        // it takes nothing: the unread bytes do not extend the tunnel's time
        let (mut tunnel, _) = pinged(end);
        tunnel.ends.unread = [true; 2];
        tunnel.block(slow);
        tunnel.wait(60_000);
        assert_eq!(reason(&tunnel), Some(Reason::SendTimeout(slow)));
        assert_eq!(tunnel.closed, Some(tunnel.now));
    }
}

#[test]
fn a_tunnel_with_bytes_unread_is_not_idle() {
    let idle = SessionSettings { ping: 0, idle_timeout: 60_000, ..settings() };
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(idle.clone());
        for _ in 0..3 {
            tunnel.ends.unread[end as usize] = true;
            tunnel.wait(60_000);
            assert_eq!(reason(&tunnel), None, "{end}");
            tunnel.ends.unread[end as usize] = false;
            let _ = tunnel.from(end, &text(end, "hello"));
        }
        tunnel.wait(59_999);
        assert_eq!(reason(&tunnel), None, "{end}");
        tunnel.wait(1);
        assert_eq!(reason(&tunnel), Some(Reason::Idle));

        // nothing passes, although bytes are unread
        let mut tunnel = Tunnel::new(idle.clone());
        tunnel.ends.unread[end as usize] = true;
        tunnel.wait(119_998);
        assert_eq!(reason(&tunnel), None, "{end}");
        tunnel.wait(2);
        assert_eq!(reason(&tunnel), Some(Reason::Idle));
    }
}

#[test]
fn a_close_that_lies_unread_is_waited_for() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(SessionSettings { idle_timeout: 0, ..settings() });
        let _ = tunnel.from(end.peer(), &close(end.peer(), 1000));
        tunnel.ends.unread[end as usize] = true;
        tunnel.wait(60_000);
        assert_eq!(tunnel.closed, None, "{end}");
        let _ = tunnel.from(end, &close(end, 1000));
        assert_eq!(tunnel.take(end.peer()), close(end, 1000));

        // only once
        let mut tunnel = Tunnel::new(SessionSettings { idle_timeout: 0, ..settings() });
        let _ = tunnel.from(end.peer(), &close(end.peer(), 1000));
        tunnel.ends.unread[end as usize] = true;
        tunnel.wait(119_998);
        assert_eq!(tunnel.closed, None, "{end}");
        tunnel.wait(2);
        assert!(tunnel.closed.is_some(), "{end}");
        assert_eq!(
            reason(&tunnel),
            Some([Reason::Client, Reason::Destination][end.peer() as usize])
        );
    }
}

#[test]
fn a_close_that_was_put_off_meanwhile_is_put_off_in_one_go() {
    // after the Closes of both ends, step by step while an end is slow
    for (handshake, since, until) in [(7, 50, 56), (7, 56, 63), (0, 4_000_000_000, 4_000_000_001)] {
        let grace = u64::from(u32::MAX);
        let max_age = 1_000;
        let times = SessionSettings { send_timeout: 0, grace, handshake, max_age, ..settings() };
        let mut tunnel = Tunnel::new(SessionSettings { max_age_jitter: 0, ..times });
        tunnel.block(Client);
        for end in End::BOTH {
            let _ = tunnel.from(end, &close(end, 1000));
        }
        let begun = tunnel.now;
        tunnel.now += since;
        let next = tunnel.session.on_timer(&tunnel.settings, tunnel.now, &mut tunnel.ends);
        assert_eq!(next, Next::Timer);
        assert_eq!(tunnel.session.deadline(&tunnel.settings), Some(begun + until));
    }
}

//! When an end is found dead, and when it is not.

use super::harness::*;
use websocket_tunnel::{End, Event, Proof, Reason, SessionSettings};

/// The defaults of the directives: a destination owes no Pong.
fn by_default() -> SessionSettings {
    SessionSettings { destination_pong_timeout: 0, ..settings() }
}

/// A tunnel in which `end` was just pinged and has not answered.
fn pinged(end: End, settings: SessionSettings) -> Tunnel {
    let mut tunnel = Tunnel::new(settings);
    tunnel.wait_hearing(25_000, end.peer());
    token(end, &tunnel.take(end));
    tunnel
}

/// The host of `end` has not acknowledged the Ping just sent.
fn vanish(tunnel: &mut Tunnel, end: End) {
    tunnel.ends.queued[end as usize] = [10, 14][end as usize];
}

fn verdict(tunnel: &Tunnel) -> Option<(Reason, Proof)> {
    let summary = tunnel.session.summary();
    summary.reason.zip(summary.proof)
}

#[test]
fn a_pong_that_is_missing_proves_the_death_of_those_who_owe_one() {
    let table = [
        (Client, by_default(), Some(10_000)),
        (Destination, by_default(), None),
        (Client, SessionSettings { pong_timeout: 0, ..settings() }, None),
        (Destination, SessionSettings { pong_timeout: 0, ..settings() }, Some(10_000)),
        (
            Destination,
            SessionSettings { destination_pong_timeout: 4_000, ..settings() },
            Some(4_000),
        ),
        (
            Destination,
            SessionSettings { destination_pong_timeout: 90_000, ..settings() },
            Some(90_000),
        ),
    ];
    for (end, settings, time) in table {
        let mut tunnel = pinged(end, settings.clone());
        let time = time.unwrap_or(1_000_000);
        tunnel.wait_hearing(time - 1, end.peer());
        assert_eq!(verdict(&tunnel), None, "{end} {settings:?}");
        tunnel.wait(1);
        let expected = (time < 1_000_000).then_some((Reason::Dead(end), Proof::Pong));
        assert_eq!(verdict(&tunnel), expected, "{end} {settings:?}");
        let died = Event::Died(end, Proof::Pong, time);
        assert_eq!(tunnel.ends.events.contains(&died), expected.is_some());
    }
}

#[test]
fn a_host_that_acknowledges_nothing_is_dead_whoever_it_is() {
    for settings in [settings(), by_default()] {
        for end in End::BOTH {
            for within_frame in [false, true] {
                let mut tunnel = Tunnel::new(settings.clone());
                let begun = &frame(end, 0x82, &[7; 1000])[..500];
                if within_frame {
                    let _ = tunnel.from(end, begun);
                }
                tunnel.wait_hearing(25_000, end.peer());
                vanish(&mut tunnel, end);
                tunnel.wait(9_999);
                assert_eq!(verdict(&tunnel), None, "{end} {within_frame} {settings:?}");
                tunnel.wait(1);
                let expected = (Reason::Dead(end), Proof::Unacknowledged);
                assert_eq!(verdict(&tunnel), Some(expected), "{end} {within_frame} {settings:?}");
            }
        }
    }
}

#[test]
fn an_end_within_a_frame_of_its_own_owes_no_pong() {
    for end in End::BOTH {
        let long = frame(end, 0x82, &[7; 1000]);
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end, &long[..500]);
        tunnel.wait_hearing(600_000, end.peer());
        assert_eq!(verdict(&tunnel), None, "{end}");
        let pings = tunnel.ends.events.iter().filter(|event| **event == Event::Pinged(end));
        assert_eq!(pings.count(), 24, "its host is asked every 25 s");
        // the frame ends, so the end can answer now
        let _ = tunnel.from(end, &long[500..]);
        tunnel.wait_hearing(34_999, end.peer());
        assert_eq!(verdict(&tunnel), None, "{end}");
        tunnel.wait(1);
        assert_eq!(verdict(&tunnel), Some((Reason::Dead(end), Proof::Pong)));

        // between the frames of a message it can answer
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end, &frame(end, 0x01, b"part"));
        tunnel.wait_hearing(35_000, end.peer());
        assert_eq!(verdict(&tunnel), Some((Reason::Dead(end), Proof::Pong)));
    }
}

#[test]
fn a_host_that_vanishes_later_is_found() {
    for within_frame in [false, true] {
        let end = if within_frame { Client } else { Destination };
        let mut tunnel = Tunnel::new(by_default());
        if within_frame {
            let _ = tunnel.from(end, &frame(end, 0x82, &[7; 1000])[..500]);
        }
        tunnel.wait_hearing(300_000, end.peer());
        assert_eq!(verdict(&tunnel), None, "{end}");
        vanish(&mut tunnel, end);
        tunnel.wait(10_000);
        assert_eq!(verdict(&tunnel), Some((Reason::Dead(end), Proof::Unacknowledged)));
    }
}

#[test]
fn the_host_of_an_end_that_ignores_a_foreign_ping_is_asked() {
    let mut tunnel = Tunnel::new(by_default());
    let _ = tunnel.from(Client, &frame(Client, 0x89, b"theirs"));
    tunnel.wait_hearing(300_000, Client);
    assert_eq!(verdict(&tunnel), None);
    // Pongs keep it alive, because a Ping could replace the answer to the other end's Ping
    let got = frames_to(Destination, &tunnel.take(Destination));
    let heartbeats = got.iter().filter(|(first, payload)| (*first, payload.len()) == (0x8a, 8));
    assert_eq!((heartbeats.count(), got.len()), (12, 13), "{got:02x?}");
    vanish(&mut tunnel, Destination);
    tunnel.wait(10_000);
    assert_eq!(verdict(&tunnel), Some((Reason::Dead(Destination), Proof::Unacknowledged)));
}

#[test]
fn an_application_that_does_not_read_is_not_a_dead_host() {
    let mut tunnel = Tunnel::new(by_default());
    tunnel.ends.queued = [90_000; 2];
    tunnel.ends.held_off = [true; 2];
    tunnel.wait_hearing(600_000, Client);
    assert_eq!(verdict(&tunnel), None, "a destination may take its time");
    // a client owes a Pong
    let mut tunnel = Tunnel::new(by_default());
    tunnel.ends.queued = [90_000; 2];
    tunnel.ends.held_off = [true; 2];
    tunnel.wait_hearing(35_000, Destination);
    assert_eq!(verdict(&tunnel), Some((Reason::Dead(Client), Proof::Pong)));
}

#[test]
fn a_destination_that_answers_when_it_pushes_lives() {
    let settings = SessionSettings { ping: 2_000, pong_timeout: 3_000, ..by_default() };
    let mut tunnel = Tunnel::new(settings);
    for _ in 0..20 {
        tunnel.wait_hearing(8_000, Client);
        let asked = tunnel.take(Destination);
        let pongs = frames_to(Destination, &asked).into_iter().filter(|(first, _)| *first == 0x89);
        let answer: Vec<u8> =
            pongs.flat_map(|(_, token)| frame(Destination, 0x8a, &token)).collect();
        let _ = tunnel.from(Destination, &[text(Destination, "push"), answer].concat());
        assert_eq!(tunnel.take(Client), text(Destination, "push"));
    }
    assert_eq!(verdict(&tunnel), None);
}

//! Everything that ends a tunnel by time, except the drain.

use super::harness::*;
use websocket_tunnel::{End, Next, Reason, Sent, SessionSettings};

fn quiet() -> SessionSettings {
    SessionSettings { ping: 0, ..settings() }
}

#[test]
fn an_idle_tunnel_is_closed_with_a_close() {
    let mut tunnel = Tunnel::new(SessionSettings { idle_timeout: 60_000, ..quiet() });
    tunnel.wait(59_000);
    let _ = tunnel.from(Client, &text(Client, "x"));
    tunnel.take(Destination);
    tunnel.wait(59_999);
    assert_eq!((tunnel.take(Client), tunnel.take(Destination)), (vec![], vec![]));
    tunnel.wait(1);
    for end in End::BOTH {
        assert_eq!(frames_to(end, &tunnel.take(end)), [(0x88, b"\x03\xe9".to_vec())]);
    }
    let _ = tunnel.from(Client, &close(Client, 1001));
    assert_eq!(tunnel.closed, None);
    let _ = tunnel.from(Destination, &close(Destination, 1001));
    assert_eq!(tunnel.closed, Some(tunnel.now));
    assert_eq!((tunnel.take(Client), tunnel.take(Destination)), (vec![], vec![]));
    assert_eq!(tunnel.session.summary().reason, Some(Reason::Idle));
}

#[test]
fn an_idle_tunnel_within_a_frame_is_closed_behind_it() {
    let mut tunnel = Tunnel::new(SessionSettings { idle_timeout: 60_000, ..quiet() });
    let long = frame(Destination, 0x82, &[1; 100]);
    let _ = tunnel.from(Destination, &long[..50]);
    tunnel.wait(60_000);
    assert_eq!(tunnel.take(Client), long[..50]);
    assert_eq!(frames_to(Destination, &tunnel.take(Destination)).len(), 1);
    let _ = tunnel.from(Destination, &[&long[50..], &text(Destination, "more")].concat());
    let out = tunnel.take(Client);
    assert_eq!(out[..52], long[50..]);
    assert_eq!(frames_to(Client, &out[52..]), [(0x88, b"\x03\xe9".to_vec())]);
}

#[test]
fn our_own_pings_and_pongs_do_not_keep_a_tunnel_busy() {
    let mut tunnel = Tunnel::new(SessionSettings { idle_timeout: 60_000, ..settings() });
    for _ in 0..2 {
        tunnel.wait(25_000);
        for end in End::BOTH {
            let token = token(end, &tunnel.take(end));
            let pong = frame(end, 0x8a, &token);
            let _ = tunnel.from(end, &pong[..1]);
            let _ = tunnel.from(end, &pong[1..]);
        }
    }
    tunnel.wait(10_000);
    assert_eq!(tunnel.session.summary().reason, Some(Reason::Idle));
    tunnel.wait(2_000);
    assert_eq!(tunnel.closed, Some(tunnel.now));
}

#[test]
fn an_end_that_takes_nothing_is_given_up() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(quiet());
        let _ = tunnel.from(end.peer(), &text(end.peer(), "x"));
        tunnel.block(end);
        tunnel.wait(59_999);
        tunnel.progress(end);
        tunnel.wait(59_999);
        // further buffered bytes are no progress
        let more = text(end.peer(), "y");
        tunnel.ends.sends[end as usize] = Sent::Kept;
        tunnel.ends.queued[end as usize] = more.len() as u64;
        assert_eq!(tunnel.from(end.peer(), &more), Next::Timer);
        assert_eq!(tunnel.closed, None);
        tunnel.wait(1);
        assert_eq!(tunnel.closed, Some(tunnel.now));
        assert_eq!(tunnel.session.summary().reason, Some(Reason::SendTimeout(end)));
    }
}

#[test]
fn a_tunnel_is_not_idle_while_an_end_is_written_to() {
    let mut tunnel = Tunnel::new(SessionSettings { idle_timeout: 20_000, ..quiet() });
    tunnel.block(Client);
    tunnel.wait(50_000);
    let _ = tunnel.drained(Client);
    tunnel.wait(19_999);
    assert_eq!(tunnel.session.summary().reason, None);
    tunnel.wait(1);
    assert_eq!(tunnel.session.summary().reason, Some(Reason::Idle));
}

#[test]
fn after_one_close_silence_is_not_waited_out_for_ever() {
    let mut tunnel = Tunnel::new(SessionSettings { idle_timeout: 0, ..settings() });
    let _ = tunnel.from(Client, &close(Client, 1000));
    tunnel.take(Destination);
    tunnel.wait(50_000);
    let _ = tunnel.from(Destination, &text(Destination, "wait"));
    tunnel.wait(59_999);
    assert_eq!(tunnel.closed, None);
    tunnel.wait(1);
    assert_eq!(tunnel.closed, Some(tunnel.now));
    let summary = tunnel.session.summary();
    assert_eq!((summary.reason, summary.code), (Some(Reason::Client), Some(1000)));
}

#[test]
fn after_both_closes_the_connections_are_not_waited_for_long() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Client, &close(Client, 1000));
    assert_eq!(tunnel.from(Destination, &close(Destination, 1000)), Next::Timer);
    tunnel.wait(1_999);
    assert_eq!(tunnel.closed, None);
    tunnel.wait(1);
    assert_eq!(tunnel.closed, Some(tunnel.now));
}

#[test]
fn after_both_closes_a_slow_end_gets_all_there_is() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Client, &close(Client, 1000));
    let last = [frame(Destination, 0x82, &[1; 70_000]), close(Destination, 1000)].concat();
    let _ = tunnel.from(Destination, &last);
    tunnel.block(Client);
    for _ in 0..20 {
        tunnel.wait(5_000);
        tunnel.progress(Client);
    }
    assert_eq!(tunnel.closed, None);
    assert_eq!(tunnel.eof(Destination), Next::Timer);
    tunnel.wait(50_000);
    assert_eq!(tunnel.drained(Client), Next::Close);
}

#[test]
fn an_old_tunnel_is_drained_within_its_jitter() {
    let table = [(1_000_000, 0, 1_000_000), (1_000_000, 10, 900_000), (1_000_000, 100, 0)];
    for (max_age, max_age_jitter, least) in table {
        let settings = SessionSettings { max_age, max_age_jitter, close_code: 1012, ..quiet() };
        let mut tunnel = Tunnel::new(settings);
        let age = tunnel.session.deadline(&tunnel.settings).unwrap() - START;
        assert!((least..=max_age).contains(&age), "{age} for {max_age} {max_age_jitter}");
        tunnel.wait(age);
        assert_eq!(frames_to(Client, &tunnel.take(Client)), [(0x88, b"\x03\xf4".to_vec())]);
        let _ = tunnel.from(Client, &close(Client, 1012));
        let told = frames_to(Destination, &tunnel.take(Destination));
        assert_eq!(told, [(0x88, b"\x03\xf4".to_vec())]);
        let _ = tunnel.from(Destination, &close(Destination, 1012));
        assert_eq!(tunnel.closed, Some(tunnel.now));
        let summary = tunnel.session.summary();
        assert_eq!((summary.reason, summary.code), (Some(Reason::MaxAge), Some(1012)));
    }
}

#[test]
fn whatever_brings_our_close_it_has_the_code_of_the_settings() {
    let quick = SessionSettings { close_code: 1012, idle_timeout: 20_000, ..quiet() };
    let settings = [
        quick.clone(),
        SessionSettings { max_age: 10_000, ..quick.clone() },
        SessionSettings { ping: 5_000, pong_timeout: 1_000, ..quick.clone() },
    ];
    let is_close =
        |bytes: &[u8]| frames_to(Client, bytes).last() == Some(&(0x88, b"\x03\xf4".to_vec()));
    for settings in settings {
        let mut tunnel = Tunnel::new(settings);
        tunnel.wait(20_000);
        assert!(is_close(&tunnel.take(Client)), "{:?}", tunnel.session.summary());
    }
    let mut tunnel = Tunnel::new(quick);
    assert_eq!(tunnel.session.finish_now(tunnel.now, &mut tunnel.ends), Next::Close);
    assert!(is_close(&tunnel.take(Client)));
}

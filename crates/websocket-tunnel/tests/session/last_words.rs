//! Ends that close or fail: bytes sent before that are still forwarded.

use super::harness::*;
use websocket_tunnel::{End, Event, Next, Reason, Sent, SessionSettings};

fn summary(tunnel: &Tunnel) -> (Option<Reason>, Option<u16>) {
    (tunnel.session.summary().reason, tunnel.session.summary().code)
}

fn closed_by(end: End) -> Option<Reason> {
    Some([Reason::Client, Reason::Destination][end as usize])
}

impl Tunnel {
    fn rest(&mut self, end: End) -> Next {
        assert!(self.session.is_last(end), "nobody asks for the rest of {end}");
        let next = self.session.on_rest(end, self.now, &mut self.ends);
        self.noted(next)
    }
}

#[test]
fn a_close_behind_a_failed_send_ends_the_tunnel_as_that_ends() {
    for end in End::BOTH {
        for ends_by_eof in [true, false] {
            let mut tunnel = Tunnel::new(settings());
            assert_eq!(tunnel.fail(end), Next::Rest);
            assert!(tunnel.ends.discarded[end as usize]);
            let _ = tunnel.from(end.peer(), &text(end.peer(), "to nobody"));
            assert_eq!(tunnel.take(end), b"");
            let last = [text(end, "too big"), close(end, 1009)].concat();
            for byte in &last {
                let _ = tunnel.from(end, &[*byte]);
            }
            assert_eq!(tunnel.take(end.peer()), last, "{end}");
            assert_eq!(tunnel.closed, None);
            let next = if ends_by_eof { tunnel.eof(end) } else { tunnel.rest(end) };
            assert_eq!(next, Next::Close);
            assert_eq!(summary(&tunnel), (closed_by(end), Some(1009)));
        }
    }
}

#[test]
fn no_close_is_sent_behind_bytes_that_could_not_be() {
    // at a boundary within the chunk, in the grace of a drain, behind it, and for a dead client
    for (wait, dead) in [(500, false), (1_500, false), (10_000, true)] {
        let mut tunnel = Tunnel::new(settings());
        if dead {
            tunnel.wait_hearing(25_000, Destination);
        } else {
            let _ = tunnel.drain_in(0);
        }
        let message = text(Destination, "a message");
        tunnel.take(Client);
        let _ = tunnel.from(Destination, &message[..5]);
        tunnel.wait(wait);
        tunnel.ends.sends[Client as usize] = Sent::Failed;
        let bytes = [&message[5..], &text(Destination, "another")].concat();
        assert_eq!(tunnel.from(Destination, &bytes), Next::Rest);
        let told = |event: &Event| matches!(event, Event::CloseSent(Client, _));
        assert!(!tunnel.ends.events.iter().any(told), "{:?}", tunnel.ends.events);
    }
}

#[test]
fn a_send_that_fails_within_a_call_is_known_by_its_end() {
    for end in End::BOTH {
        let other = end.peer();
        // in a chunk of plain data, and in one with a control frame
        for bytes in [text(other, "x"), frame(other, 0x89, b"?")] {
            let mut tunnel = Tunnel::new(settings());
            tunnel.ends.sends[end as usize] = Sent::Failed;
            let twice = bytes.repeat(2);
            assert_eq!(tunnel.from(other, &twice), Next::Rest);
            assert!(tunnel.session.is_last(end) && !tunnel.session.is_last(other));
            assert!(tunnel.ends.discarded[end as usize]);
            assert_eq!(tunnel.rest(end), Next::Close);
            assert_eq!(summary(&tunnel), (Some(Reason::Error(end)), None));
        }
    }

    // our Close goes to both ends at once
    let mut tunnel = Tunnel::new(SessionSettings { ping: 0, idle_timeout: 60_000, ..settings() });
    tunnel.ends.sends = [Sent::Failed; 2];
    tunnel.wait(60_000);
    assert!(End::BOTH.into_iter().all(|end| tunnel.session.is_last(end)));
    assert_eq!(tunnel.rest(Client), Next::Rest);
    assert_eq!(tunnel.rest(Destination), Next::Close);
    assert_eq!(tunnel.session.summary().reason, Some(Reason::Idle));
}

#[test]
fn what_is_kept_within_a_call_blocks_its_end() {
    for end in End::BOTH {
        let other = end.peer();
        for bytes in [text(other, "x"), frame(other, 0x89, b"?"), text(other, "x")[..1].to_vec()] {
            let mut tunnel = Tunnel::new(settings());
            tunnel.ends.sends[end as usize] = Sent::Kept;
            assert_eq!(tunnel.from(other, &bytes), Next::Timer, "{bytes:02x?}");
            assert!(tunnel.session.is_blocked(end) && !tunnel.session.is_blocked(other));
            tunnel.wait(59_999);
            assert_eq!(tunnel.closed, None);
            assert_eq!(tunnel.drained(end), Next::Timer);
            assert!(!tunnel.session.is_blocked(end));
        }
    }
}

#[test]
fn without_a_close_the_connection_has_failed() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        assert_eq!(tunnel.fail(end), Next::Rest);
        let _ = tunnel.from(end, &text(end, "still here"));
        assert_eq!(tunnel.take(end.peer()), text(end, "still here"));
        assert_eq!(tunnel.rest(end), Next::Close);
        assert_eq!(summary(&tunnel), (Some(Reason::Error(end)), None));

        let mut tunnel = Tunnel::new(settings());
        let next = tunnel.session.on_error(end, tunnel.now, &mut tunnel.ends);
        assert_eq!(next, Next::Close, "nothing of it is left to read");
        assert_eq!(summary(&tunnel), (Some(Reason::Error(end)), None));
    }
}

#[test]
fn what_is_left_of_an_end_that_failed_waits_for_a_slow_reader() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        tunnel.block(end);
        tunnel.wait(50_000);
        assert_eq!(tunnel.fail(end), Next::Rest);
        let last = close(end, 1009);
        let _ = tunnel.from(end, &last);
        tunnel.block(end.peer());
        for _ in 0..10 {
            tunnel.wait(50_000);
            tunnel.progress(end.peer());
        }
        assert_eq!(tunnel.eof(end), Next::Timer);
        tunnel.wait(50_000);
        assert_eq!(tunnel.closed, None, "what was kept for {end} is dropped and times nothing");
        assert_eq!(tunnel.drained(end.peer()), Next::Close);
        assert_eq!(summary(&tunnel), (closed_by(end), Some(1009)));

        // a reader that takes nothing
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.fail(end);
        let _ = tunnel.from(end, &last);
        tunnel.block(end.peer());
        tunnel.wait(60_000);
        assert_eq!(tunnel.closed, Some(tunnel.now));
    }
}

#[test]
fn an_end_that_failed_is_not_asked_for_life() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &frame(end.peer(), 0x82, &[7; 100])[..50]);
        tunnel.wait(30_000);
        let _ = tunnel.fail(end);
        tunnel.block(end.peer());
        tunnel.take(Client);
        tunnel.take(Destination);
        tunnel.wait(50_000);
        assert_eq!((tunnel.take(Client), tunnel.take(Destination)), (vec![], vec![]));
        assert_eq!(summary(&tunnel), (None, None));
    }
}

#[test]
fn an_end_that_failed_in_passthrough_is_read_to_the_end() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end, &[0xff; 20]);
        assert!(tunnel.session.is_passthrough());
        tunnel.take(end.peer());
        assert_eq!(tunnel.fail(end), Next::Rest);
        let _ = tunnel.from(end.peer(), b"to nobody");
        let _ = tunnel.from(end, b"last words");
        assert_eq!((tunnel.take(end), tunnel.take(end.peer())), (vec![], b"last words".to_vec()));
        assert_eq!(tunnel.rest(end), Next::Close);
    }
}

#[test]
fn an_end_that_fails_during_a_drain_is_heard_and_the_other_is_told() {
    // before any Close
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end.peer(), &frame(end.peer(), 0x01, b"part"));
        let _ = tunnel.drain_in(0);
        tunnel.wait(10);
        let _ = tunnel.fail(end);
        let _ = tunnel.from(end, &close(end, 1009));
        assert_eq!(frames_to(end.peer(), &tunnel.take(end.peer())), [(0x88, b"\x03\xf1".to_vec())]);
        assert_eq!(tunnel.rest(end), Next::Close);
        assert_eq!(summary(&tunnel), (closed_by(end), Some(1009)));
    }

    // our Close to the client was not written
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    assert_eq!(tunnel.fail(Client), Next::Rest);
    let _ = tunnel.from(Client, &text(Client, "last words"));
    assert_eq!(tunnel.take(Destination), text(Client, "last words"));
    assert_eq!(tunnel.rest(Client), Next::Timer);
    assert_eq!(frames_to(Destination, &tunnel.take(Destination)), [(0x88, b"\x03\xe9".to_vec())]);
    let _ = tunnel.from(Destination, &close(Destination, 1001));
    assert_eq!(tunnel.closed, Some(tunnel.now));
    assert_eq!(summary(&tunnel), (Some(Reason::Drain), Some(1001)));

    // the destination fails while the client has our Close
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    let _ = tunnel.fail(Destination);
    assert_eq!(tunnel.rest(Destination), Next::Timer);
    let _ = tunnel.from(Client, &close(Client, 1001));
    assert_eq!(tunnel.closed, Some(tunnel.now));
}

#[test]
fn a_drain_waits_for_its_last_words_to_be_written() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.drain_in(0);
    tunnel.wait(10);
    let _ = tunnel.from(Destination, &close(Destination, 1000));
    let _ = tunnel.from(Client, &text(Client, "last words"));
    tunnel.block(Destination);
    let _ = tunnel.from(Client, &close(Client, 1001));
    tunnel.wait(500);
    assert_eq!(tunnel.closed, None, "the destination has not got them");
    assert_eq!(tunnel.drained(Destination), Next::Close);
}

#[test]
fn what_came_before_the_end_of_the_other_connection_passes() {
    for end in End::BOTH {
        let other = end.peer();
        // it is unread when the end of the connection is reported
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end, &text(end, "bye"));
        assert_eq!(tunnel.eof(end), Next::Rest);
        let last = [text(other, "one moment"), close(other, 1011)].concat();
        assert_eq!(tunnel.from(other, &last), Next::Close, "nothing can follow a Close");
        assert_eq!(tunnel.take(end), last);
        assert_eq!(tunnel.session.summary().reason, closed_by(end));

        // without a Close, more than one chunk may follow
        let mut tunnel = Tunnel::new(settings());
        assert_eq!(tunnel.eof(end), Next::Rest);
        for word in ["one", "moment"] {
            assert_eq!(tunnel.from(other, &text(other, word)), Next::Keep);
            assert_eq!(tunnel.take(end), text(other, word));
        }
        assert_eq!(tunnel.rest(other), Next::Close);

        // no end is left to receive it
        let mut tunnel = Tunnel::new(settings());
        assert_eq!(tunnel.eof(end), Next::Rest);
        let _ = tunnel.from(other, &text(other, "one moment"));
        assert_eq!(tunnel.fail(end), Next::Close);

        // an end that has closed and takes nothing is not waited for
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(other, &text(other, "much"));
        tunnel.block(end);
        assert_eq!(tunnel.eof(end), Next::Close);
        let mut tunnel = Tunnel::new(settings());
        assert_eq!(tunnel.eof(end), Next::Rest);
        let _ = tunnel.from(other, &text(other, "much"));
        assert_eq!(tunnel.sent(end, Sent::Kept), Next::Close);

        // both have closed
        let mut tunnel = Tunnel::new(settings());
        assert_eq!(tunnel.eof(end), Next::Rest);
        assert_eq!(tunnel.eof(other), Next::Close);
        assert_eq!(tunnel.session.summary().reason, closed_by(end));
        assert_eq!(tunnel.from(other, b"late"), Next::Close);
    }
}

#[test]
fn the_end_of_a_connection_waits_until_all_is_written() {
    for end in End::BOTH {
        let other = end.peer();
        let mut tunnel = Tunnel::new(settings());
        let _ = tunnel.from(end, &text(end, "bye"));
        tunnel.block(other);
        assert_eq!(tunnel.eof(end), Next::Rest);
        // the other end continues to send
        let _ = tunnel.from(other, &text(other, "still here"));
        assert_eq!(tunnel.take(end), text(other, "still here"));
        assert_eq!(tunnel.rest(other), Next::Timer);
        assert_eq!(tunnel.drained(other), Next::Rest);
        assert_eq!(tunnel.rest(other), Next::Close);
    }
}

#[test]
fn an_end_that_takes_nothing_does_not_cut_what_it_said_to_a_slow_one() {
    for end in End::BOTH {
        let other = end.peer();
        let mut tunnel = Tunnel::new(settings());
        tunnel.block(end);
        let _ = tunnel.from(end, &text(end, "much"));
        tunnel.block(other);
        tunnel.wait(30_000);
        tunnel.progress(other);
        tunnel.wait(30_000);
        assert_eq!(tunnel.closed, None);
        assert!(tunnel.ends.discarded[end as usize] && !tunnel.session.is_last(end));
        assert_eq!(tunnel.drained(other), Next::Close);
        assert_eq!(summary(&tunnel), (Some(Reason::SendTimeout(end)), None));

        // neither takes anything
        let mut tunnel = Tunnel::new(settings());
        tunnel.block(end);
        tunnel.block(other);
        tunnel.wait(60_000);
        assert_eq!(tunnel.closed, Some(tunnel.now));
    }
}

//! A tunnel that goes from one process to another, at any byte.

use super::harness::*;
use super::model::{Model, Op};
use websocket_tunnel::{End, Next};

/// All kinds of frames, some within a message, and a Pong to our Ping after each of them.
fn talk() -> Vec<Op> {
    let mut ops = Vec::new();
    for end in End::BOTH {
        ops.extend([
            Op::Say(end, 0x01, b"begin".to_vec()),
            Op::Say(end, 0x89, b"a Ping, longer than its head".to_vec()),
            Op::Answer(end, 0),
            Op::Say(end, 0x80, vec![b'x'; 300]),
            Op::Say(end, 0x8a, b"?".to_vec()),
            Op::Say(end, 0x82, Vec::new()),
            Op::Say(end, 0x88, b"\x03\xe8bye".to_vec()),
        ]);
    }
    ops
}

/// The number of bytes that each end of `talk` sends, and more than that.
const BYTES: usize = 420;

#[test]
fn a_tunnel_goes_on_at_every_byte() {
    for first in End::BOTH {
        for at in 0..BYTES {
            let mut ops = vec![Op::Wait(25_000)];
            ops.extend(talk());
            ops.extend([
                Op::Arrive(first, at),
                Op::HandOver { spread: 0 },
                Op::Arrive(first.peer(), at),
                Op::HandOver { spread: 0 },
                Op::Arrive(first, BYTES),
                Op::Wait(30_000),
            ]);
            Model::run_twins(settings(), &ops);
        }
    }
}

#[test]
fn a_tunnel_goes_on_after_each_byte() {
    let mut ops = vec![Op::Wait(25_000)];
    ops.extend(talk());
    for _ in 0..BYTES {
        for end in End::BOTH {
            ops.extend([
                Op::Arrive(end, 1),
                Op::HandOver { spread: 0 },
                Op::HandOver { spread: 0 },
            ]);
        }
    }
    Model::run_twins(settings(), &ops);
}

#[test]
fn a_tunnel_goes_on_in_each_phase_of_a_drain() {
    for busy in [true, false] {
        let mut ops = vec![
            Op::Say(Client, 0x81, b"stops here".to_vec()),
            Op::Drain { wait: 1_000, grace: 1_000, handshake: 2_000 },
        ];
        if busy {
            ops.push(Op::Arrive(Client, 9));
        }
        for _ in 0..10 {
            ops.extend([Op::HandOver { spread: 30_000 }, Op::Wait(500)]);
        }
        Model::run_twins(settings(), &ops);
    }
}

#[test]
fn an_end_that_closed_before_is_found_closed_once_more() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        tunnel.block(end.peer());
        assert_eq!(tunnel.eof(end), Next::Rest);
        let before = format!("{:?}", tunnel.session);
        assert_eq!(tunnel.hand_over(0), Next::Rest, "the other end may have last words");
        assert_eq!(tunnel.eof(end), Next::Rest);
        assert_eq!(format!("{:?}", tunnel.session), before);
        let _ = tunnel.session.on_rest(end.peer(), tunnel.now, &mut tunnel.ends);
        assert_eq!(tunnel.drained(end.peer()), Next::Rest);
        assert_eq!(tunnel.session.on_rest(end.peer(), tunnel.now, &mut tunnel.ends), Next::Close);
    }
}

#[test]
fn a_driver_that_comes_back_for_its_session_finds_it_as_it_was() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Client, &text(Client, "half")[..7]);
    let _ = tunnel.session.encode();
    let _ = tunnel.from(Client, &text(Client, "half")[7..]);
    assert_eq!(tunnel.take(Destination), text(Client, "half"));
}

#[test]
fn the_counters_of_the_tunnel_go_on() {
    let mut tunnel = Tunnel::new(settings());
    let _ = tunnel.from(Client, &text(Client, "one"));
    let _ = tunnel.hand_over(0);
    let _ = tunnel.from(Client, &text(Client, "two"));
    let summary = tunnel.session.summary();
    assert_eq!((summary.client.received, summary.client.frames), (18, 2));
    assert_eq!(summary.destination.sent, 18);
}

//! A session for every phase, every state of a scanner, and everything else that one can be.

use super::harness::*;
use websocket_tunnel::{Drain, End, SessionSettings};

pub struct Sample {
    pub name: &'static str,
    pub tunnel: Tunnel,
}

/// What was done to a new tunnel with everything that acts by itself.
fn sample(name: &'static str, what: impl FnOnce(&mut Tunnel)) -> Sample {
    let mut tunnel = Tunnel::new(SessionSettings { max_age: 86_400_000, ..settings() });
    what(&mut tunnel);
    for end in End::BOTH {
        tunnel.take(end);
    }
    Sample { name, tunnel }
}

/// `bytes` come from `from`, `size` of them.
fn cut(tunnel: &mut Tunnel, from: End, bytes: &[u8], size: usize) {
    let _ = tunnel.from(from, &bytes[..size]);
}

/// A Ping of ours goes to `end`, which sends `size` bytes of its Pong.
fn begin_pong(tunnel: &mut Tunnel, end: End, size: usize) {
    tunnel.wait_hearing(25_000, end.peer());
    let token = token(end, &tunnel.take(end));
    cut(tunnel, end, &frame(end, 0x8a, &token), size);
}

fn drain(tunnel: &mut Tunnel, grace: u64) {
    let drain = Drain { at: tunnel.now, grace, handshake: 2_000, code: 1001 };
    let next = tunnel.session.begin_drain(&drain);
    let _ = tunnel.noted(next);
    tunnel.wait(0);
}

/// Where in its frames a stream can stand.
fn streams() -> Vec<Sample> {
    let message = |from| text(from, "a message of some length");
    let long = |from| frame(from, 0x02, &[b'x'; 70_000]);
    let ping = |from| frame(from, 0x89, b"a Ping of 22 bytes: ..");
    vec![
        sample("between_frames", |tunnel| cut(tunnel, Client, &message(Client), 30)),
        sample("between_fragments", |tunnel| {
            cut(tunnel, Client, &frame(Client, 0x01, b"begin"), 11);
            cut(tunnel, Destination, &frame(Destination, 0x02, b"begin"), 7);
        }),
        sample("in_headers", |tunnel| {
            cut(tunnel, Client, &long(Client), 13);
            cut(tunnel, Destination, &long(Destination), 1);
        }),
        sample("in_data", |tunnel| {
            cut(tunnel, Client, &message(Client), 12);
            cut(tunnel, Destination, &long(Destination), 40_000);
        }),
        sample("in_control_frames", |tunnel| {
            cut(tunnel, Client, &frame(Client, 0x01, b"begin"), 11);
            cut(tunnel, Client, &ping(Client), 9);
            cut(tunnel, Destination, &ping(Destination), 20);
        }),
        sample("passthrough", |tunnel| cut(tunnel, Client, &text(Destination, "no mask"), 9)),
        sample("half_closed", |tunnel| {
            cut(tunnel, Client, &frame(Client, 0x01, b"begin"), 11);
            cut(tunnel, Client, &close(Client, 4_321), 8);
        }),
    ]
}

/// What an open tunnel can wait for.
fn waits() -> Vec<Sample> {
    vec![
        sample("new", |_| {}),
        sample("pinged", |tunnel| tunnel.wait(25_000)),
        sample("pong_held_back", |tunnel| begin_pong(tunnel, Client, 9)),
        sample("pong_of_destination_held_back", |tunnel| begin_pong(tunnel, Destination, 9)),
        sample("pong_excused", |tunnel| {
            tunnel.wait_hearing(25_000, Destination);
            tunnel.ends.unread[0] = true;
            tunnel.wait(10_000);
        }),
        sample("pong_not_owed", |tunnel| {
            tunnel.settings.destination_pong_timeout = 0;
            tunnel.wait_hearing(35_000, Client);
        }),
        sample("ping_in_a_queue", |tunnel| {
            tunnel.ends.queued = [5_000; 2];
            tunnel.wait(25_000);
        }),
        sample("ping_due", |tunnel| {
            cut(tunnel, Client, &text(Client, "stops here"), 9);
            tunnel.wait(25_000);
        }),
        sample("ping_of_an_end", |tunnel| {
            cut(tunnel, Destination, &frame(Destination, 0x89, b"?"), 3);
        }),
        sample("blocked", |tunnel| {
            tunnel.ends.sends = [websocket_tunnel::Sent::Kept; 2];
            cut(tunnel, Client, &text(Client, "too much"), 14);
            tunnel.wait(1_234);
            cut(tunnel, Destination, &text(Destination, "too much"), 10);
        }),
        sample("deaf", |tunnel| {
            let _ = tunnel.fail(Destination);
        }),
        sample("idle_excused", |tunnel| {
            tunnel.settings.ping = 0;
            tunnel.ends.unread = [true; 2];
            tunnel.wait(3_600_000);
        }),
        sample("drain_planned", |tunnel| {
            let _ = tunnel.drain_in(5_000);
        }),
    ]
}

/// The ways to the end.
fn ends() -> Vec<Sample> {
    let busy = |tunnel: &mut Tunnel| cut(tunnel, Client, &text(Client, "stops here"), 9);
    vec![
        sample("grace", |tunnel| {
            busy(tunnel);
            drain(tunnel, 1_000);
        }),
        sample("late", |tunnel| {
            cut(tunnel, Destination, &text(Destination, "stops here"), 5);
            drain(tunnel, 0);
        }),
        sample("asked", |tunnel| drain(tunnel, 1_000)),
        sample("parting_after_closes", |tunnel| {
            for end in End::BOTH {
                let bytes = close(end, 1_000);
                cut(tunnel, end, &bytes, bytes.len());
            }
        }),
        sample("parting_of_the_dead", |tunnel| {
            tunnel.wait(25_000);
            cut(tunnel, Destination, &text(Destination, "stops here"), 5);
            tunnel.wait(10_000);
        }),
        sample("flush", |tunnel| {
            tunnel.block(Destination);
            let _ = tunnel.eof(Client);
            let next = tunnel.session.on_rest(Destination, tunnel.now, &mut tunnel.ends);
            let _ = tunnel.noted(next);
        }),
        sample("flush_of_the_stuck", |tunnel| {
            tunnel.block(Client);
            tunnel.wait(50_000);
            tunnel.block(Destination);
            tunnel.wait(10_000);
        }),
        sample("over", |tunnel| {
            let next = tunnel.session.finish_now(tunnel.now, &mut tunnel.ends);
            let _ = tunnel.noted(next);
        }),
    ]
}

pub fn samples() -> Vec<Sample> {
    [streams(), waits(), ends()].into_iter().flatten().collect()
}

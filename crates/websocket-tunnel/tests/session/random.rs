//! Random schedules. A failure prints the shortest schedule that fails.

use super::harness::{settings, Client, Destination};
use super::model::{Model, Op};
use proptest::prelude::*;
use websocket_tunnel::{End, SessionSettings};

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(Client), Just(Destination)]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..3_000, Just(10_000), Just(25_000), 0u64..60_000]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ]
}

fn control() -> impl Strategy<Value = (u8, Vec<u8>)> {
    (prop_oneof![Just(0x89u8), Just(0x8a)], prop::collection::vec(any::<u8>(), 0..12))
}

fn say() -> impl Strategy<Value = Op> {
    let data =
        (prop_oneof![Just(0x81u8), Just(0x01), Just(0x00), Just(0x80), Just(0xc2)], payload());
    prop_oneof![4 => data, 2 => control()]
        .prop_flat_map(|(first, payload)| end().prop_map(move |end| (end, first, payload.clone())))
        .prop_map(|(end, first, payload)| Op::Say(end, first, payload))
}

/// Events that any tunnel may see.
fn talk() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => say(),
        4 => (end(), any::<usize>()).prop_map(|(end, which)| Op::Answer(end, which)),
        12 => (end(), 1usize..40).prop_map(|(end, size)| Op::Arrive(end, size)),
        4 => (end(), 1usize..1_000).prop_map(|(end, size)| Op::Arrive(end, size)),
        6 => time().prop_map(Op::Wait),
        1 => end().prop_map(Op::Block),
        1 => end().prop_map(Op::Progress),
        2 => end().prop_map(Op::Unblock),
    ]
}

fn ending() -> impl Strategy<Value = Op> {
    let drain = (0u64..10_000, 0u64..2_000, 0u64..3_000)
        .prop_map(|(wait, grace, handshake)| Op::Drain { wait, grace, handshake });
    prop_oneof![
        3 => drain,
        2 => end().prop_map(|end| Op::Say(end, 0x88, b"\x03\xe8".to_vec())),
        1 => end().prop_map(Op::Eof),
        1 => end().prop_map(Op::Fail),
        1 => Just(Op::Finish),
    ]
}

/// To another process, once or several times in a row.
fn hand_over() -> impl Strategy<Value = Op> {
    prop_oneof![Just(0), Just(30_000)].prop_map(|spread| Op::HandOver { spread })
}

fn babble() -> impl Strategy<Value = Op> {
    (end(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(end, bytes)| Op::Babble(end, bytes))
}

/// Anything.
pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![20 => talk(), 2 => ending(), 1 => babble(), 8 => hand_over()]
}

/// Sets of times whose order matters.
pub fn any_settings() -> impl Strategy<Value = SessionSettings> {
    let off = |time: u64| prop_oneof![3 => Just(time), 1 => Just(0)];
    (off(25_000), off(10_000), off(7_000), off(60_000), off(30_000), off(200_000)).prop_map(
        |(ping, pong_timeout, destination_pong_timeout, idle_timeout, send_timeout, max_age)| {
            SessionSettings {
                ping,
                pong_timeout,
                destination_pong_timeout,
                idle_timeout,
                send_timeout,
                max_age,
                ..settings()
            }
        },
    )
}

proptest! {
    #[test]
    fn tunnels_that_talk(settings in any_settings(), ops in prop::collection::vec(talk(), 0..60)) {
        Model::new(settings).run(&ops);
    }

    #[test]
    fn tunnels_that_end(
        settings in any_settings(),
        ops in prop::collection::vec(prop_oneof![8 => talk(), 1 => ending()], 0..60),
    ) {
        Model::new(settings).run(&ops);
    }

    #[test]
    fn tunnels_that_babble(
        settings in any_settings(),
        ops in prop::collection::vec(
            prop_oneof![8 => talk(), 1 => ending(), 1 => babble()], 0..60),
    ) {
        Model::new(settings).run(&ops);
    }

    #[test]
    fn tunnels_that_are_handed_over(
        settings in any_settings(),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        Model::run_twins(settings, &ops);
    }
}

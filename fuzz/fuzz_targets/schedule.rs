//! What happens to a tunnel, as a fuzzer makes it up.

use crate::harness::{settings, Client, Destination};
use crate::model::Op;
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use websocket_tunnel::{End, SessionSettings};

fn end(input: &mut Unstructured) -> Result<End> {
    Ok(if input.arbitrary()? { Client } else { Destination })
}

fn bytes(input: &mut Unstructured, most: usize) -> Result<Vec<u8>> {
    let len = input.int_in_range(0..=most)?;
    Ok(input.bytes(len)?.to_vec())
}

fn op(input: &mut Unstructured) -> Result<Op> {
    Ok(match input.int_in_range(0..=14)? {
        0 | 1 => Op::Say(
            end(input)?,
            *input.choose(&[0x81, 0x01, 0x00, 0x80, 0xc2, 0x83])?,
            bytes(input, 300)?,
        ),
        2 => Op::Say(end(input)?, *input.choose(&[0x89, 0x8a, 0x8b])?, bytes(input, 125)?),
        3 => Op::Say(end(input)?, 0x88, bytes(input, 4)?),
        4 => Op::Babble(end(input)?, bytes(input, 40)?),
        5 => Op::Answer(end(input)?, input.int_in_range(0..=3)?),
        6 | 7 => Op::Arrive(end(input)?, input.int_in_range(0..=400)?),
        8 => Op::Wait(input.int_in_range(0..=60_000)?),
        9 => Op::Block(end(input)?),
        10 => Op::Progress(end(input)?),
        11 => Op::Unblock(end(input)?),
        12 => Op::Drain {
            wait: input.int_in_range(0..=10_000)?,
            grace: input.int_in_range(0..=2_000)?,
            handshake: input.int_in_range(0..=3_000)?,
        },
        13 => Op::HandOver { spread: input.int_in_range(0..=30_000)? },
        _ if input.ratio(1, 4)? => Op::Finish,
        _ if input.ratio(1, 2)? => Op::Fail(end(input)?),
        _ => Op::Eof(end(input)?),
    })
}

#[derive(Debug)]
pub struct Schedule {
    pub settings: SessionSettings,
    pub ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Schedule {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let mut time = |time: u64| Ok(if input.arbitrary()? { time } else { 0 });
        let settings = SessionSettings {
            ping: time(25_000)?,
            pong_timeout: time(10_000)?,
            destination_pong_timeout: time(7_000)?,
            idle_timeout: time(60_000)?,
            send_timeout: time(30_000)?,
            max_age: time(200_000)?,
            ..settings()
        };
        let mut ops = Vec::new();
        while !input.is_empty() {
            ops.push(op(input)?);
        }
        Ok(Self { settings, ops })
    }
}

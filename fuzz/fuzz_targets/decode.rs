//! Any bytes are refused, or a session to which any schedule may happen.

#![no_main]

#[path = "../../crates/websocket-tunnel/tests/session/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../../crates/websocket-tunnel/tests/session/model.rs"]
#[allow(dead_code)]
mod model;
mod schedule;
#[path = "../../crates/websocket-tunnel/tests/session/stranger.rs"]
mod stranger;

use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use schedule::Schedule;
use websocket_tunnel::Session;

// An encoded session is followed by the settings and the schedule. The seeds, which the crate's tests
// write, are sessions alone.
fuzz_target!(|data: &[u8]| {
    let (session, rest) = data.split_at(data.len().min(Session::ENCODED_LEN));
    let schedule = Schedule::arbitrary(&mut Unstructured::new(rest));
    let Ok(Schedule { settings, ops }) = schedule else { return };
    stranger::run(session, settings, &ops);
});

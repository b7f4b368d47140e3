//! Any schedule of bytes, time, write progress and drains, checked by the model of the tests.

#![no_main]

#[path = "../../crates/websocket-tunnel/tests/session/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../../crates/websocket-tunnel/tests/session/model.rs"]
#[allow(dead_code)]
mod model;
mod schedule;

use libfuzzer_sys::fuzz_target;
use model::Model;
use schedule::Schedule;

fuzz_target!(|schedule: Schedule| Model::run_twins(schedule.settings, &schedule.ops));

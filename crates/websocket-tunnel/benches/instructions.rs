//! Instructions that a frame and a chunk cost, counted by valgrind.
//!
//! Runs itself under callgrind with two amounts of the same work: the difference is the cost of the
//! work.

use std::env;
use std::hint::black_box;
use std::process::{exit, Command};
use websocket_tunnel::frame::{Step, Stop};
use websocket_tunnel::{End, Session, SessionSettings};

#[path = "common/input.rs"]
mod input;

const MORE: u64 = 1_000;

/// One measurement: what processes a chunk, and how much payload in how many frames the chunk has.
const ROWS: [(&str, End, usize, usize); 11] = [
    ("scan", End::Client, 16, 1_000),
    ("scan", End::Client, 64, 1_000),
    ("scan", End::Destination, 64, 1_000),
    ("scan", End::Destination, 1_000, 60),
    ("session", End::Client, 64, 1_000),
    ("session", End::Destination, 64, 1_000),
    ("session", End::Client, 64, 1),
    ("session", End::Destination, 64, 1),
    ("session", End::Destination, 1_000, 1),
    ("session", End::Destination, 16_000, 1),
    ("middle", End::Destination, 16_000, 1),
];

fn work(what: &str, from: End, payload: usize, frames: usize, times: u64) {
    let chunk = input::stream(from, payload, frames * input::size(from, payload));
    let mut sink = input::Sink::default();
    if what == "scan" {
        let (mut scanner, count) = (input::scanner(from), input::Table::default());
        for _ in 0..times {
            let mut at = 0;
            let step = scanner.scan(black_box(&chunk), &mut at, Stop::AtControl, &count);
            assert_eq!(step, Step::End);
        }
        assert_eq!(scanner.frames(), frames as u64 * times);
    } else {
        let settings = SessionSettings::default();
        let mut session = Session::new(&settings, 0, &mut sink);
        if what == "middle" {
            // The chunks lie within one frame.
            let _ = session.on_bytes(&settings, from, b"\x82\x7f\0\xff\0\0\0\0\0\0", 0, &mut sink);
            sink.calls = 0;
        }
        for now in 0..times {
            let _ = session.on_bytes(&settings, from, black_box(&chunk), now, &mut sink);
        }
        assert_eq!(sink.calls, times, "one call a chunk");
    }
}

/// Instructions of one run of this program for one row and one amount of work.
fn count(row: usize, times: u64) -> u64 {
    let me = env::current_exe().unwrap_or_else(|error| fail(&error.to_string()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args([row.to_string(), times.to_string()])
        .output()
        .unwrap_or_else(|error| fail(&format!("cannot run valgrind: {error}")));
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .find_map(|line| line.split("Collected :").nth(1))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| fail(&format!("no count in what valgrind says:\n{text}")))
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(1)
}

fn main() {
    let numbers: Vec<u64> = env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    if let [row, times] = numbers[..] {
        let (what, from, payload, frames) = ROWS[row as usize];
        return work(what, from, payload, frames, times);
    }
    println!(
        "{:<8} {:<12} {:>8} {:>7} {:>12} {:>12}",
        "", "from", "payload", "frames", "a chunk", "a frame"
    );
    for (row, (what, from, payload, frames)) in ROWS.into_iter().enumerate() {
        let cost = (count(row, 2 * MORE) - count(row, MORE)) as f64 / MORE as f64;
        let each = cost / frames as f64;
        let from = from.to_string();
        println!("{what:<8} {from:<12} {payload:>8} {frames:>7} {cost:>12.1} {each:>12.1}");
    }
}

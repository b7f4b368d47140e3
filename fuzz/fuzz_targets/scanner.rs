//! Any bytes, cut anywhere, give the same result as in one piece.

#![no_main]

use libfuzzer_sys::fuzz_target;
use websocket_tunnel::frame::{Control, FrameError, Scanner, Step, Stop};

#[path = "../../crates/websocket-tunnel/tests/common/table.rs"]
mod table;

use table::Table;

#[derive(Debug, PartialEq)]
enum Seen {
    Frame(usize),
    Control(Control, usize),
    FrameError(FrameError),
}

fn scan(mut scanner: Scanner, chunks: &[&[u8]], stop: Stop) -> (Vec<Seen>, Table, Vec<u8>) {
    let (mut seen, table, mut before) = (Vec::new(), Table::default(), 0);
    for chunk in chunks {
        let mut at = if stop == Stop::AtControl { scanner.pass_data(chunk, &table) } else { 0 };
        loop {
            match scanner.scan(chunk, &mut at, stop, &table) {
                Step::End => break,
                Step::Frame => seen.push(Seen::Frame(before + at)),
                Step::Control(control) => seen.push(Seen::Control(control, before + at)),
                Step::Fault(fault) => seen.push(Seen::FrameError(fault)),
            }
        }
        assert_eq!(at, chunk.len());
        before += at;
    }
    (seen, table, scanner.begun().to_vec())
}

// The first byte selects the direction and the stops, the second the length of the chunks.
fuzz_target!(|data: &[u8]| {
    let [how, size, stream @ ..] = data else { return };
    let scanner = if how & 1 == 0 { Scanner::of_client() } else { Scanner::of_server() };
    let stop = if how & 2 == 0 { Stop::AtControl } else { Stop::AtFrame };
    let chunks: Vec<&[u8]> = stream.chunks(usize::from(*size).max(1)).collect();
    assert_eq!(scan(scanner.clone(), &chunks, stop), scan(scanner, &[stream], stop));
});

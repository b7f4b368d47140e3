//! Throughput of the scanner and of a session, by size of frames and chunks.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use std::time::Duration;
use websocket_tunnel::frame::{Scanner, Step, Stop};
use websocket_tunnel::{End, Session, SessionSettings};

#[path = "common/input.rs"]
mod input;

const FRAMES: [usize; 6] = [0, 16, 64, 1 << 10, 16 << 10, 1 << 20];
const CHUNKS: [usize; 4] = [1 << 10, 4 << 10, 64 << 10, 256 << 10];

fn scan(scanner: &mut Scanner, chunk: &[u8], count: &input::Table) {
    let mut at = 0;
    while scanner.scan(chunk, &mut at, Stop::AtControl, count) != Step::End {}
}

fn bench(criterion: &mut Criterion) {
    for from in End::BOTH {
        let mut group = criterion.benchmark_group(format!("from the {from}"));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for frame in FRAMES {
            let stream = input::stream(from, frame, 1 << 20);
            group
                .throughput(Throughput::Elements((stream.len() / input::size(from, frame)) as u64));
            for chunk in CHUNKS {
                let name = |what: &str| BenchmarkId::new(what, format!("{frame} in {chunk}"));
                let mut scanner = input::scanner(from);
                let count = input::Table::default();
                group.bench_function(name("scan"), |bencher| {
                    bencher.iter(|| {
                        for chunk in black_box(&stream).chunks(chunk) {
                            scan(&mut scanner, chunk, &count);
                        }
                    });
                });
                let (settings, mut sink) = (SessionSettings::default(), input::Sink::default());
                let mut session = Session::new(&settings, 0, &mut sink);
                group.bench_function(name("session"), |bencher| {
                    bencher.iter(|| {
                        for chunk in black_box(&stream).chunks(chunk) {
                            let _ = session.on_bytes(&settings, from, chunk, 1, &mut sink);
                        }
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);

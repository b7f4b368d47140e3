//! The results, their sum over several processes, and the line that is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

use crate::link::End;

/// Results of one process since the last report.
pub struct Tally {
    /// Messages that returned, or were acknowledged, unchanged.
    pub messages: u64,
    /// Their payload.
    pub bytes: u64,
    /// Sessions that completed their share of the round.
    pub finished: u64,
    /// Nanoseconds from request to response.
    pub latency: Histogram<u64>,
    /// Errors, by name.
    pub errors: BTreeMap<String, u64>,
    /// How watched connections ended.
    pub ends: Ends,
}

/// How watched connections ended; these are not errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ends {
    /// Their number by kind.
    pub ways: BTreeMap<String, u64>,
    /// Messages sent that did not return.
    pub unanswered: u64,
    /// Milliseconds from the start of the watch to each end.
    pub after_ms: Vec<u32>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            messages: 0,
            bytes: 0,
            finished: 0,
            latency: new_histogram(),
            errors: BTreeMap::new(),
            ends: Ends::default(),
        }
    }
}

impl Tally {
    /// Counts a message with this `latency` (`None` in a stream of messages).
    pub fn message(&mut self, bytes: u64, latency: Option<Duration>) {
        self.messages += 1;
        self.bytes += bytes;
        if let Some(latency) = latency {
            self.latency.saturating_record(latency.as_nanos() as u64);
        }
    }

    /// Counts an unexpected end of a connection.
    pub fn lost(&mut self, end: End) {
        *self.errors.entry(name_of(end).to_owned()).or_default() += 1;
    }

    /// Counts the end of a watched connection, `after` the start of the watch: with the `code` of
    /// the Close from the proxy if there was one.
    pub fn ended(&mut self, end: End, code: Option<u16>, after: Duration, unanswered: u64) {
        let way = match code {
            Some(code) => format!("close {code}"),
            None => name_of(end).to_owned(),
        };
        *self.ends.ways.entry(way).or_default() += 1;
        self.ends.unanswered += unanswered;
        self.ends.after_ms.push(after.as_millis() as u32);
    }

    /// The results as a line; resets them.
    pub fn take(&mut self, event: Event, sockets: u64, took: Duration) -> Line {
        let tally = std::mem::take(self);
        Line {
            event,
            sockets,
            messages: tally.messages,
            bytes: tally.bytes,
            seconds: took.as_secs_f64(),
            latency: tally
                .latency
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect(),
            errors: tally.errors,
            ends: tally.ends,
        }
    }
}

fn name_of(end: End) -> &'static str {
    match end {
        End::Orderly => "closed early",
        End::Dropped => "closed without a close",
        End::CutOff => "cut off",
        End::Unreachable => "connect failed",
        End::Reset => "reset",
        End::Fault(what) => what,
    }
}

/// From a nanosecond to a minute, with three digits.
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds are valid")
}

/// The event for which a line is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// All sockets are open (or the destination listens).
    Ready,
    /// A round of messages is over.
    Round,
}

/// The results for another process, with the complete histogram.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it was printed.
    pub event: Event,
    /// Open sockets.
    pub sockets: u64,
    /// See [`Tally`].
    pub messages: u64,
    /// See [`Tally`].
    pub bytes: u64,
    /// The duration.
    pub seconds: f64,
    /// Values and their counts.
    pub latency: Vec<(u64, u64)>,
    /// See [`Tally`].
    pub errors: BTreeMap<String, u64>,
    /// See [`Tally`].
    pub ends: Ends,
}

impl Line {
    /// Adds the results of a process that ran at the same time.
    pub fn merge(&mut self, other: Self) {
        self.sockets += other.sockets;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.seconds = self.seconds.max(other.seconds);
        self.latency.extend(other.latency);
        for (name, count) in other.errors {
            *self.errors.entry(name).or_default() += count;
        }
        for (way, count) in other.ends.ways {
            *self.ends.ways.entry(way).or_default() += count;
        }
        self.ends.unanswered += other.ends.unanswered;
        self.ends.after_ms.extend(other.ends.after_ms);
    }

    /// The line for a person or a script.
    pub fn summary(&self) -> Value {
        let mut summary = json!({
            "event": self.event,
            "sockets": self.sockets,
            "messages": self.messages,
            "bytes": self.bytes,
            "seconds": (self.seconds * 1e6).round() / 1e6,
            "errors": self.errors,
        });
        if !self.latency.is_empty() {
            let mut histogram = new_histogram();
            for (value, count) in &self.latency {
                histogram.saturating_record_n(*value, *count);
            }
            let us = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
            summary["latency_us"] = json!({
                "p50": us(0.5),
                "p99": us(0.99),
                "p99.9": us(0.999),
                "max": us(1.0),
            });
        }
        if !self.ends.after_ms.is_empty() {
            let mut after = self.ends.after_ms.clone();
            after.sort_unstable();
            let part = |tenths: usize| after[(after.len() - 1) * tenths / 10];
            summary["ends"] = json!({
                "ways": self.ends.ways,
                "unanswered": self.ends.unanswered,
                "after_ms": {
                    "first": part(0), "p10": part(1), "p50": part(5), "p90": part(9),
                    "last": part(10),
                },
            });
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(latencies_us: std::ops::Range<u64>, lost: u64) -> Line {
        let mut tally = Tally::default();
        for us in latencies_us {
            tally.message(10, Some(Duration::from_micros(us)));
        }
        (0..lost).for_each(|_| tally.lost(End::Reset));
        tally.take(Event::Round, 2, Duration::from_secs(1))
    }

    #[test]
    fn two_processes_count_as_one() {
        let mut merged = line(1..501, 0);
        merged.merge(line(501..1001, 3));
        let summary = merged.summary();
        assert_eq!(summary["messages"], 1000);
        assert_eq!(summary["bytes"], 10_000);
        assert_eq!(summary["sockets"], 4);
        assert_eq!(summary["errors"], json!({ "reset": 3 }));
        for (name, expected) in [("p50", 500.0), ("p99", 990.0), ("p99.9", 999.0)] {
            let value = summary["latency_us"][name].as_f64().unwrap();
            assert!((value / expected - 1.0).abs() < 0.002, "{name} is {value}");
        }
    }

    #[test]
    fn ends_of_two_processes_are_merged() {
        let ended = |ms: std::ops::Range<u64>| {
            let mut tally = Tally::default();
            for ms in ms {
                tally.ended(End::Orderly, Some(1001), Duration::from_millis(ms), 0);
            }
            tally.ended(End::Reset, None, Duration::from_millis(101), 2);
            tally.take(Event::Round, 0, Duration::ZERO)
        };
        let mut merged = ended(1..50);
        merged.merge(ended(50..100));
        let ends = &merged.summary()["ends"];
        assert_eq!(ends["ways"], json!({ "close 1001": 99, "reset": 2 }));
        assert_eq!(ends["unanswered"], 4);
        assert_eq!(ends["after_ms"]["first"], 1);
        assert_eq!(ends["after_ms"]["p50"], 51);
        assert_eq!(ends["after_ms"]["last"], 101);
    }

    #[test]
    fn a_line_survives_its_way_through_a_pipe() {
        let line = line(1..50, 1);
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }

    #[test]
    fn a_report_starts_the_counts_anew() {
        let mut tally = Tally::default();
        tally.message(1, None);
        assert_eq!(tally.take(Event::Round, 1, Duration::ZERO).messages, 1);
        assert_eq!(tally.take(Event::Round, 1, Duration::ZERO).messages, 0);
    }
}

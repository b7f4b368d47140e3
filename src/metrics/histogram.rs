//! Times, counted by how long they were.

use crate::counter::Counter;
use serde::Serialize;
use zerocopy::FromBytes;

/// A histogram with `N` limits in milliseconds and a last bucket for what is beyond them.
#[derive(Debug, FromBytes)]
#[repr(C)]
pub struct Histogram<const N: usize> {
    buckets: [Counter; N],
    beyond: Counter,
    /// In milliseconds.
    sum: Counter,
}

/// Limits of how long a WebSocket was open, in milliseconds: 1 s to a day.
pub const DURATION: [u64; 9] =
    [1_000, 10_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 43_200_000, 86_400_000];

/// Limits of how long a destination took for its 101, in milliseconds: 1 ms to 10 s.
pub const HANDSHAKE: [u64; 10] = [1, 5, 10, 25, 50, 100, 250, 500, 2_500, 10_000];

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Histogram<N> {
    /// Nothing.
    pub const fn new() -> Self {
        Self { buckets: [const { Counter::new() }; N], beyond: Counter::new(), sum: Counter::new() }
    }

    /// Counts a time, in milliseconds. The `limits` are always the same for one histogram.
    pub fn observe(&self, limits: &[u64; N], time: u64) {
        let bucket = limits.iter().position(|limit| time <= *limit);
        bucket.map_or(&self.beyond, |bucket| &self.buckets[bucket]).add(1);
        self.sum.add(time);
    }

    /// Adds what another one holds.
    pub fn merge(&self, other: &Self) {
        for (own, more) in self.buckets.iter().zip(&other.buckets) {
            own.add(more.get());
        }
        self.beyond.add(other.beyond.get());
        self.sum.add(other.sum.get());
    }

    /// The histogram as it is told: in seconds, each bucket with all that is below it.
    pub fn times(&self, limits: &[u64; N]) -> Times {
        let mut count = 0;
        let buckets = limits
            .iter()
            .zip(&self.buckets)
            .map(|(limit, bucket)| {
                count += bucket.get();
                Bucket { le: seconds(*limit), count }
            })
            .collect();
        Times { count: count + self.beyond.get(), sum: seconds(self.sum.get()), buckets }
    }
}

/// A histogram of times in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: f64,
    /// How many were no longer than each limit.
    pub buckets: Vec<Bucket>,
}

/// How many times were no longer than a limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    /// The limit, in seconds.
    pub le: f64,
    /// The times up to it.
    pub count: u64,
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_its_bucket_and_in_all_above() {
        let (one, other) = (Histogram::new(), Histogram::new());
        for time in [0, 1, 2, 25, 26] {
            one.observe(&HANDSHAKE, time);
        }
        other.observe(&HANDSHAKE, 10_001);
        one.merge(&other);

        let times = one.times(&HANDSHAKE);
        let found: Vec<_> = times.buckets.iter().map(|bucket| (bucket.le, bucket.count)).collect();
        assert_eq!(
            found[..6],
            [(0.001, 2), (0.005, 3), (0.01, 3), (0.025, 4), (0.05, 5), (0.1, 5)]
        );
        assert_eq!((times.count, times.sum, found[9]), (6, 10.055, (10.0, 5)));
    }
}

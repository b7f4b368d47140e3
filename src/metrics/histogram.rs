//! Histograms of times.

use crate::counter::Counter;
use serde::Serialize;
use zerocopy::FromBytes;

/// A histogram with `N` limits in milliseconds and a last bucket for longer times.
#[derive(Debug, FromBytes)]
#[repr(C)]
pub struct Histogram<const N: usize> {
    buckets: [Counter; N],
    beyond: Counter,
    /// In milliseconds.
    sum: Counter,
}

/// Limits for the time that a WebSocket was open, in milliseconds: 1 s to a day.
pub const DURATION: [u64; 9] =
    [1_000, 10_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 43_200_000, 86_400_000];

/// Limits for the time that a destination took to answer with a 101, in milliseconds: 1 ms to 10 s.
pub const HANDSHAKE: [u64; 10] = [1, 5, 10, 25, 50, 100, 250, 500, 2_500, 10_000];

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Histogram<N> {
    /// An empty histogram.
    pub const fn new() -> Self {
        Self { buckets: [const { Counter::new() }; N], beyond: Counter::new(), sum: Counter::new() }
    }

    /// Counts a time, in milliseconds. A histogram must always be used with the same `limits`.
    pub fn observe(&self, limits: &[u64; N], time: u64) {
        let bucket = limits.iter().position(|limit| time <= *limit);
        bucket.map_or(&self.beyond, |bucket| &self.buckets[bucket]).add(1);
        self.sum.add(time);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&self, other: &Self) {
        for (own, more) in self.buckets.iter().zip(&other.buckets) {
            own.add(more.get());
        }
        self.beyond.add(other.beyond.get());
        self.sum.add(other.sum.get());
    }

    /// The histogram for reports: in seconds, with cumulative buckets.
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
    /// The number of times.
    pub count: u64,
    /// The sum of the times.
    pub sum: f64,
    /// Cumulative counts by limit.
    pub buckets: Vec<Bucket>,
}

/// The number of times up to a limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    /// The limit, in seconds.
    pub le: f64,
    /// The number of times up to the limit.
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

//! The settings of a session, mostly times.

use super::{Driver, End};
use std::ops::RangeInclusive;

/// The settings of a tunnel, shared by all tunnels that have the same: each call that needs them
/// takes a reference. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// An end gets a Ping after this time without a sign of life; 0 for never.
    pub ping: u64,
    /// An end whose host acknowledges nothing for this time after a Ping is dead, and so is a
    /// client that could have sent its Pong in this time and did not; 0 for never.
    pub pong_timeout: u64,
    /// The same for a destination, which then owes a Pong; 0 for none, so that only the
    /// acknowledgements of its host count.
    pub destination_pong_timeout: u64,
    /// A tunnel through which nothing passed for this time is closed; 0 for never. Our Pings and
    /// their Pongs do not count.
    pub idle_timeout: u64,
    /// A tunnel is closed when an end takes none of its buffered bytes for this time; 0 for never.
    pub send_timeout: u64,
    /// A tunnel is closed when one end has sent its Close and no byte came from either end for this
    /// time; 0 for never.
    pub close_timeout: u64,
    /// A tunnel of this age is drained, as if its server shut down; 0 for never.
    pub max_age: u64,
    /// `max_age` is shortened by a random part of up to this many percent, at most 100.
    pub max_age_jitter: u8,
    /// The status code of our Close (RFC 6455 section 7.4), unless a [`Drain`](super::Drain) sets
    /// another.
    pub close_code: u16,
    /// How long a drain by `max_age` waits for a message boundary.
    pub grace: u64,
    /// How long to wait for answers to our Close, or for the end of the connection after both ends
    /// have sent a Close.
    pub handshake: u64,
}

impl Default for SessionSettings {
    /// No timeout is set except those of closing. The code is that of a normal closure.
    fn default() -> Self {
        Self {
            ping: 0,
            pong_timeout: 0,
            destination_pong_timeout: 0,
            idle_timeout: 0,
            send_timeout: 0,
            close_timeout: 60_000,
            max_age: 0,
            max_age_jitter: 10,
            close_code: 1000,
            grace: 1_000,
            handshake: 2_000,
        }
    }
}

impl SessionSettings {
    /// Whether `end` owes a Pong.
    pub(super) fn awaits_pong(&self, end: End) -> bool {
        end == End::Client || self.destination_pong_timeout > 0
    }

    /// How long `end` has to answer a Ping; 0 for ever.
    pub(super) fn patience(&self, end: End) -> u64 {
        match end {
            End::Destination if self.destination_pong_timeout > 0 => self.destination_pong_timeout,
            _ => self.pong_timeout,
        }
    }

    /// When a tunnel that begins at `now` reaches its maximum age; `u64::MAX` for never.
    pub(super) fn expiry<D: Driver>(&self, now: u64, driver: &mut D) -> u64 {
        let Some(times) = self.expiries(now) else { return u64::MAX };
        let spread = times.end() - times.start();
        let early = if spread > 0 { driver.random() % (spread + 1) } else { 0 };
        times.end() - early
    }

    /// Among which times that is, or none for never.
    pub(super) fn expiries(&self, began: u64) -> Option<RangeInclusive<u64>> {
        let jitter = self.max_age.saturating_mul(self.max_age_jitter.min(100).into()) / 100;
        let latest = began.saturating_add(self.max_age);
        (self.max_age > 0).then_some(latest.saturating_sub(jitter)..=latest)
    }
}

//! What a session goes by: times, mostly.

use super::{Driver, End};

/// The settings of a tunnel, shared by all that have the same: every call that needs them takes
/// them by reference. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// After so long without a sign of life from an end it gets a Ping; 0 for never.
    pub ping: u64,
    /// An end whose host acknowledges nothing for so long after a Ping is dead, and so is a client
    /// that could send its Pong in that time and did not; 0 for never.
    pub pong_timeout: u64,
    /// The same for a destination, which owes a Pong then; 0 for none, so that it is judged by its
    /// host alone.
    pub destination_pong_timeout: u64,
    /// A tunnel through which nothing passed for so long is closed; 0 for never. Our own Pings
    /// and their Pongs do not count.
    pub idle_timeout: u64,
    /// An end that takes nothing of what is kept for it for so long is given up; 0 for never.
    pub send_timeout: u64,
    /// A tunnel in which one end has sent its Close and nothing more came from either for so
    /// long is given up; 0 for never.
    pub close_timeout: u64,
    /// After so long a tunnel is drained, as if its server were going away; 0 for never.
    pub max_age: u64,
    /// `max_age` is shortened by a random part of so many percent, up to 100.
    pub max_age_jitter: u8,
    /// The status code of our Close (RFC 6455 section 7.4), unless a [`Drain`](super::Drain) has
    /// another.
    pub close_code: u16,
    /// How long a drain by `max_age` waits for a message boundary.
    pub grace: u64,
    /// How long answers to our Close, or the end of the connection after both have closed, are
    /// waited for.
    pub handshake: u64,
}

impl Default for SessionSettings {
    /// Everything that acts of its own accord is off. The code is that of a normal closure.
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

    /// How long `end` has after a Ping; 0 for ever.
    pub(super) fn patience(&self, end: End) -> u64 {
        match end {
            End::Destination if self.destination_pong_timeout > 0 => self.destination_pong_timeout,
            _ => self.pong_timeout,
        }
    }

    /// When a tunnel that begins at `now` has reached its age; `u64::MAX` for never.
    pub(super) fn expiry<D: Driver>(&self, now: u64, driver: &mut D) -> u64 {
        if self.max_age == 0 {
            return u64::MAX;
        }
        let spread = self.max_age.saturating_mul(self.max_age_jitter.min(100).into()) / 100;
        let early = if spread > 0 { driver.random() % (spread + 1) } else { 0 };
        now.saturating_add(self.max_age - early)
    }
}

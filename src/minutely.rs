//! Messages that are logged at most once a minute.

use crate::counter::Counter;

/// Lets one message per minute pass, and counts all.
#[derive(Debug, Default)]
pub struct Minutely {
    /// When the last message passed, in milliseconds; 0 for never.
    last: Counter,
    held_back: Counter,
}

/// In milliseconds.
const MINUTE: u64 = 60_000;

impl Minutely {
    /// No message has passed.
    pub const fn new() -> Self {
        Self { last: Counter::new(), held_back: Counter::new() }
    }

    /// A message at this time, in milliseconds. If it passes, returns the number of messages since
    /// the last one that passed.
    pub fn pass(&self, now: u64) -> Option<u64> {
        let last = self.last.get();
        if last != 0 && now.saturating_sub(last) < MINUTE {
            self.held_back.add(1);
            return None;
        }
        let count = self.held_back.get() + 1;
        self.held_back.set(0);
        self.last.set(now.max(1));
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_passes_with_the_number_of_all() {
        let minutely = Minutely::new();
        let cases = [
            (0, Some(1)),
            (1, None),
            (59_999, None),
            (60_001, Some(3)),
            (60_002, None),
            (500_000, Some(2)),
            (560_000, Some(1)),
        ];
        for (now, passes) in cases {
            assert_eq!(minutely.pass(now), passes, "{now}");
        }
    }
}

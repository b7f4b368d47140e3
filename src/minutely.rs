//! Messages that come once a minute at most.

use crate::counter::Counter;

/// Lets one message a minute pass, and counts.
#[derive(Debug, Default)]
pub struct Minutely {
    /// When the last one passed, in milliseconds; 0 for never.
    last: Counter,
    held_back: Counter,
}

/// In milliseconds.
const MINUTE: u64 = 60_000;

impl Minutely {
    /// None has passed.
    pub const fn new() -> Self {
        Self { last: Counter::new(), held_back: Counter::new() }
    }

    /// One more, at this time in milliseconds: how many there were since the last that passed, where
    /// this one passes.
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

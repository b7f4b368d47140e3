//! How tunnels are closed when their worker exits.

use nginx::lifecycle::{self, Leaving};
use nginx::random::Random;
use websocket_tunnel::Drain;

/// The status code of the Close frames that this module sends: "1001 indicates that an endpoint is
/// "going away", such as a server going down" (RFC 6455 section 7.4.1).
pub const GOING_AWAY: u16 = 1001;

/// The times of `websocket_drain`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The period over which Close frames are spread when nginx stops; `None` without a drain.
    pub stop: Option<u64>,
    /// The same after a reload.
    pub reload: u64,
    /// How long each tunnel waits for a message boundary.
    pub grace: u64,
    /// How long each tunnel waits for the answers to its Close frames.
    pub handshake: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { stop: Some(5_000), reload: 30_000, grace: 1_000, handshake: 2_000 }
    }
}

impl Times {
    /// The longest time that a tunnel stays open after nginx begins to stop, in milliseconds;
    /// `None` without a drain.
    pub fn longest(self) -> Option<u64> {
        self.stop.map(|stop| stop + self.grace + self.handshake)
    }

    /// Over how long the Closes are spread, in milliseconds; `None` without a drain.
    fn spread(self, why: Leaving) -> Option<u64> {
        let stop = self.stop?;
        Some(match why {
            Leaving::Superseded => self.reload,
            Leaving::Stopping => stop,
        })
    }
}

/// When and how to close one of many tunnels of a worker that is exiting for this reason, and since
/// when; `None` if `websocket_drain` is off.
pub fn plan(
    times: Times,
    (why, since): (Leaving, u64),
    now: u64,
    random: &mut Random,
) -> Option<Drain> {
    let Times { grace, handshake, .. } = times;
    let spread = times.spread(why)?;
    let at = now.max(since + random.next_u64() % (spread + 1));
    Some(Drain { at, grace, handshake, code: GOING_AWAY })
}

/// When the last tunnel with these times must be closed, on nginx's clock in milliseconds; `None`
/// unless the worker is exiting, or without a drain.
pub fn over_by(times: Times) -> Option<u64> {
    let (spread, since) = (times.spread(lifecycle::why())?, lifecycle::since()?);
    Some(since + spread + times.grace + times.handshake)
}

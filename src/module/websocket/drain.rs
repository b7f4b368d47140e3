//! How tunnels are closed when their worker leaves.

use nginx::lifecycle::{self, Leaving};
use nginx::random::Random;
use websocket_tunnel::Drain;

/// The status code of each Close of ours: "1001 indicates that an endpoint is "going away", such
/// as a server going down" (RFC 6455 section 7.4.1).
pub const GOING_AWAY: u16 = 1001;

/// `websocket_drain`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Over how long the Closes are spread when nginx stops; `None` where nothing is drained.
    pub stop: Option<u64>,
    /// The same when a new configuration has taken over.
    pub reload: u64,
    /// How long each waits for a message boundary.
    pub grace: u64,
    /// How long each waits for the answers to its Closes.
    pub handshake: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { stop: Some(5_000), reload: 30_000, grace: 1_000, handshake: 2_000 }
    }
}

impl Times {
    /// When nginx stops, the longest that a tunnel stays open, in milliseconds; `None` where
    /// nothing is drained.
    pub fn longest(self) -> Option<u64> {
        self.stop.map(|stop| stop + self.grace + self.handshake)
    }
}

/// When and how one of many tunnels is closed, as the worker is leaving; `None` where
/// `websocket_drain` is off.
pub fn plan(times: Times, now: u64, random: &mut Random) -> Option<Drain> {
    let Times { grace, handshake, .. } = times;
    let stop = times.stop?;
    let (why, since) = lifecycle::begin_leaving();
    let spread = match why {
        Leaving::Superseded => times.reload,
        Leaving::Stopping => stop,
    };
    let at = now.max(since + random.next_u64() % (spread + 1));
    Some(Drain { at, grace, handshake, code: GOING_AWAY })
}

/// When the last tunnel with these times is to be over, in nginx's milliseconds; `None` while the
/// worker does not leave, or where nothing is drained.
pub fn over_by(times: Times) -> Option<u64> {
    let (stop, since) = (times.stop?, lifecycle::since()?);
    let spread = match lifecycle::why() {
        Leaving::Superseded => times.reload,
        Leaving::Stopping => stop,
    };
    Some(since + spread + times.grace + times.handshake)
}

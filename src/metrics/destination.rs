//! Destinations and the health of the instance.

use serde::Serialize;

/// One server of an upstream block, with the state of the load balancing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// Name of the upstream block.
    pub upstream: String,
    /// The server as configured, a name or an address, with its port.
    pub server: String,
    /// The resolved address, with its port.
    pub address: String,
    /// Whether it receives requests, according to checks and failed requests.
    pub up: bool,
    /// Whether `elb_check` checks it; otherwise only failed requests change `up`.
    pub checked: bool,
    /// Whether it is used only if no other is up.
    pub backup: bool,
    /// Its weight.
    pub weight: u64,
    /// Open connections to it, including those of WebSockets.
    pub connections: u64,
}

impl Destination {
    /// Adds a destination to the list. An address that a block has twice under one name is listed
    /// once, because the two could not be distinguished.
    pub fn add(self, others: &mut Vec<Self>) {
        let is_same = |other: &&mut Self| {
            other.upstream == self.upstream
                && other.server == self.server
                && other.address == self.address
        };
        match others.iter_mut().find(is_same) {
            None => others.push(self),
            Some(same) => {
                same.up |= self.up;
                same.backup &= self.backup;
                same.weight += self.weight;
                same.connections += self.connections;
            }
        }
    }
}

/// Whether the instance should receive traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Health {
    /// It should receive traffic.
    Ok,
    /// A drain was requested.
    Draining,
    /// All destinations of an upstream block are down according to their checks.
    DestinationDown,
}

impl From<Health> for &'static str {
    fn from(health: Health) -> Self {
        health.as_str()
    }
}

impl Health {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Draining, Self::DestinationDown];

    /// The state in words, as in the response to a health check.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Draining => "draining",
            Self::DestinationDown => "destination down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_once() {
        let one = |server: &str, address: &str, up, backup| Destination {
            upstream: "app".to_owned(),
            server: server.to_owned(),
            address: address.to_owned(),
            up,
            checked: false,
            backup,
            weight: 2,
            connections: 3,
        };
        let mut all = Vec::new();
        one("app:1", "10.0.0.1:1", false, true).add(&mut all);
        one("app:1", "10.0.0.2:1", true, false).add(&mut all);
        one("other:1", "10.0.0.1:1", false, true).add(&mut all);
        one("app:1", "10.0.0.1:1", true, false).add(&mut all);
        let twice =
            Destination { weight: 4, connections: 6, ..one("app:1", "10.0.0.1:1", true, false) };
        let rest =
            [one("app:1", "10.0.0.2:1", true, false), one("other:1", "10.0.0.1:1", false, true)];
        assert_eq!(all, [vec![twice], rest.to_vec()].concat());
    }
}

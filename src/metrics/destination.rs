//! Destinations and the health of the instance.

use serde::Serialize;

/// One server of an upstream block, as the balancer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// Name of the upstream block.
    pub upstream: String,
    /// The server as configured, a name or an address, with its port.
    pub server: String,
    /// The address that is connected to, with its port.
    pub address: String,
    /// Whether it gets requests, as far as checks and failed requests tell.
    pub up: bool,
    /// Whether `elb_check` checks it; else `up` comes from failed requests alone.
    pub checked: bool,
    /// Whether it is used only while no other is up.
    pub backup: bool,
    /// Its share among all weights.
    pub weight: u64,
    /// Open connections to it, those of WebSockets included.
    pub connections: u64,
}

impl Destination {
    /// Adds a destination to others. An address that a block has twice under one name is one, since
    /// nothing would tell the two apart.
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

/// Whether the instance should get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Health {
    /// It should.
    Ok,
    /// A drain was asked for.
    Draining,
    /// Every destination of an upstream block is down, as its checks say.
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

    /// The state in words, as the answer to a health check.
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

//! The destinations of requests: `DESTINATION_HOSTNAME` and `DESTINATION_PORT`, or `DESTINATIONS`
//! as JSON.

use serde::Deserialize;

use super::types::{FromText, Host, Port};
use super::{Environment, Fault};

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its name or address.
    pub host: Host,
    /// Its TCP port.
    pub port: u16,
    /// Its weight; `None` for nginx's default of 1.
    pub weight: Option<u32>,
    /// Whether it is used only if no other is available.
    pub backup: bool,
}

/// An entry of the JSON list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    hostname: String,
    port: u32,
    weight: Option<u32>,
    #[serde(default)]
    backup: bool,
}

/// The destinations that the environment names, at least one.
///
/// # Errors
/// Every fault of the three variables.
pub fn destinations(env: &Environment) -> Result<Vec<Destination>, Vec<Fault>> {
    let list = env.variable("DESTINATIONS").map_err(|fault| vec![fault])?;
    let Some(list) = list else {
        return single(env).map(|destination| vec![destination]);
    };
    let beside = ["DESTINATION_HOSTNAME", "DESTINATION_PORT"]
        .into_iter()
        .filter(|name| !matches!(env.variable(name), Ok(None)))
        .map(|name| Fault::both("DESTINATIONS", name));
    let mut faults: Vec<_> = beside.collect();
    match parse(list.text()).map_err(|must| list.invalid(&must)) {
        Ok(destinations) if faults.is_empty() => return Ok(destinations),
        Ok(_) => {}
        Err(fault) => faults.push(fault),
    }
    Err(faults)
}

/// The variables that define the destinations.
pub fn variables(env: &Environment) -> Vec<String> {
    let names: &[&str] = match env.variable("DESTINATIONS") {
        Ok(None) => &["DESTINATION_HOSTNAME", "DESTINATION_PORT"],
        _ => &["DESTINATIONS"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn single(env: &Environment) -> Result<Destination, Vec<Fault>> {
    match (env.require("DESTINATION_HOSTNAME"), env.require::<Port>("DESTINATION_PORT")) {
        (Ok(host), Ok(port)) => Ok(Destination { host, port: port.0, weight: None, backup: false }),
        (host, port) => Err([host.err(), port.err()].into_iter().flatten().collect()),
    }
}

/// What `DESTINATIONS` must be.
pub const EXPECTED: &str = "a JSON list such as [{\"hostname\":\"app-1\",\"port\":45490}]";

/// Parses the value of `DESTINATIONS`.
///
/// # Errors
/// It is not a valid list, or an entry is invalid: what it must be or do, for "it must ...".
pub fn parse(list: &str) -> Result<Vec<Destination>, String> {
    let entries: Vec<Entry> =
        serde_json::from_str(list).map_err(|error| format!("be {EXPECTED}: {error}"))?;
    let destinations = entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            entry.check().map_err(|what| format!("be {EXPECTED}: entry {index}: {what}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if destinations.iter().all(|destination| destination.backup) {
        return Err("name at least one destination that is not a backup".to_owned());
    }
    Ok(destinations)
}

impl Entry {
    fn check(self) -> Result<Destination, String> {
        let host = Host::from_text(&self.hostname)
            .ok_or_else(|| format!("\"hostname\" must be {}", Host::EXPECTED))?;
        let port = u16::try_from(self.port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("\"port\" must be {}", Port::EXPECTED))?;
        if self.weight.is_some_and(|weight| !(1..=65535).contains(&weight)) {
            return Err("\"weight\" must be a number from 1 to 65535".to_owned());
        }
        Ok(Destination { host, port, weight: self.weight, backup: self.backup })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Table, Variables};
    use super::*;

    fn read(table: &[(&str, &str)]) -> Result<Vec<Destination>, Vec<String>> {
        destinations(&Environment::new(&Table(table)))
            .map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    fn named(host: &str, port: u16) -> Destination {
        Destination { host: Host::from_text(host).unwrap(), port, weight: None, backup: false }
    }

    #[test]
    fn one_or_a_list() {
        let one = [("DESTINATION_HOSTNAME", "app"), ("DESTINATION_PORT", "45490")];
        assert_eq!(read(&one), Ok(vec![named("app", 45490)]));

        let list = r#"[{"hostname":"app-1","port":1,"weight":2},
                       {"hostname":"::1","port":2,"backup":true}]"#
            .replace('\n', " ");
        let first = Destination { weight: Some(2), ..named("app-1", 1) };
        let second = Destination { backup: true, ..named("::1", 2) };
        assert_eq!(read(&[("DESTINATIONS", &list)]), Ok(vec![first, second]));
    }

    #[test]
    fn every_fault_is_reported() {
        let both = "environment variables \"DESTINATIONS\" and \"DESTINATION_PORT\" are both set, \
                    there must be only one of them";
        let cases: &[(Variables, &[&str])] = &[
            (
                &[],
                &[
                    "environment variable \"DESTINATION_HOSTNAME\" is not set, \
                     it must be a host name or an IP address",
                    "environment variable \"DESTINATION_PORT\" is not set, \
                     it must be a port from 1 to 65535",
                ],
            ),
            (
                &[("DESTINATION_HOSTNAME", "app"), ("DESTINATION_PORT", "0")],
                &["environment variable \"DESTINATION_PORT\" has invalid value \"0\", \
                   it must be a port from 1 to 65535"],
            ),
            (
                &[("DESTINATIONS", r#"[{"hostname":"a","port":1}]"#), ("DESTINATION_PORT", "1")],
                &[both],
            ),
            (
                &[("DESTINATIONS", "[]"), ("DESTINATION_PORT", "1")],
                &[
                    both,
                    "environment variable \"DESTINATIONS\" has invalid value \"[]\", \
                     it must name at least one destination that is not a backup",
                ],
            ),
        ];
        for (table, expected) in cases {
            let expected = expected.iter().map(|fault| fault.to_string()).collect();
            assert_eq!(read(table), Err(expected), "{table:?}");
        }
    }

    #[test]
    fn a_faulty_list_says_what_is_wrong() {
        let cases = [
            ("app", "expected value at line 1 column 1"),
            (r#"{"hostname":"a","port":1}"#, "expected a sequence"),
            (r#"[{"hostname":"a"}]"#, "missing field `port`"),
            (r#"[{"hostname":"a","port":1,"wieght":2}]"#, "unknown field `wieght`"),
            (r#"[{"hostname":"a","port":"1"}]"#, "invalid type: string \"1\", expected u32"),
            (r#"[{"hostname":"a","port":1},{"hostname":"b;","port":1}]"#, "entry 1: \"hostname\""),
            (r#"[{"hostname":"a","port":65536}]"#, "entry 0: \"port\" must be a port from 1 to"),
            (r#"[{"hostname":"a","port":1,"weight":0}]"#, "entry 0: \"weight\" must be a number"),
            (r#"[{"hostname":"a","port":1,"backup":true}]"#, "at least one destination that"),
        ];
        for (list, expected) in cases {
            let faults = read(&[("DESTINATIONS", list)]).expect_err(list);
            assert_eq!(faults.len(), 1, "{list}: {faults:?}");
            assert!(faults[0].contains(expected), "{list}: {faults:?}");
        }
    }
}

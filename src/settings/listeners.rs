//! The addresses at which servers listen, each used only once.

use super::types::{FromText, Listen};
use super::{Environment, Fault};
use crate::registry;

/// The declared variables that hold listen addresses; each must share none with those before it.
const LISTENERS: &[&str] = &["LISTEN_ON", "LISTEN_ON_TLS", "STATUS_LISTEN_ON"];

/// What the value of a variable with listen addresses must be, for "it must ...".
pub const EXPECTED: &str =
    "a port from 1 to 65535 or address:port, or several of them separated by commas";

/// The same for a variable that may be `off`.
pub const EXPECTED_OR_OFF: &str =
    "a port from 1 to 65535 or address:port, several of them separated by commas, or \"off\"";

/// Parses a list of addresses.
///
/// # Errors
/// What the value must do or be, for "it must ...".
pub fn parse(text: &str) -> Result<Vec<Listen>, String> {
    addresses(text, EXPECTED)
}

/// Parses a list of addresses, or `off`, which results in an empty list.
///
/// # Errors
/// As [`parse`].
pub fn parse_or_off(text: &str) -> Result<Vec<Listen>, String> {
    match text {
        "off" => Ok(Vec::new()),
        _ => addresses(text, EXPECTED_OR_OFF),
    }
}

fn addresses(text: &str, expected: &str) -> Result<Vec<Listen>, String> {
    let entries = text.split(',').map(|entry| Listen::from_text(entry.trim_matches(' ')));
    let addresses: Vec<_> =
        entries.collect::<Option<_>>().ok_or_else(|| format!("be {expected}"))?;
    let is_again = |(index, address)| addresses[..index].contains(address);
    match addresses.iter().enumerate().any(is_again) {
        true => Err("name no address twice".to_owned()),
        false => Ok(addresses),
    }
}

/// The addresses of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The addresses; empty if the variable is `off`.
    pub addresses: Vec<Listen>,
    /// Whether the variable is not set, and the addresses are the directive's default.
    pub is_default: bool,
}

/// The addresses for an `elb_listen` directive, `default` if the variable is not set. The value may
/// be `off` if there is a default or the declaration allows it.
///
/// # Errors
/// The variable is invalid, or it is not set and there is no default, or an earlier listener uses
/// one of its addresses.
pub fn listen(
    env: &Environment,
    name: &str,
    default: Option<&[Listen]>,
) -> Result<Listening, Fault> {
    let declared = registry::variable(name).map(|declaration| declaration.takes.expected());
    let may_be_off = default.is_some() || declared == Some(EXPECTED_OR_OFF);
    let set = read(env, name, may_be_off)?;
    let is_default = set.is_none();
    let expected = if may_be_off { EXPECTED_OR_OFF } else { EXPECTED };
    let addresses =
        set.or_else(|| default.map(<[_]>::to_vec)).ok_or_else(|| Fault::missing(name, expected))?;
    differs(env, name, &addresses, is_default)?;
    Ok(Listening { addresses, is_default })
}

fn read(env: &Environment, name: &str, may_be_off: bool) -> Result<Option<Vec<Listen>>, Fault> {
    let parse = if may_be_off { parse_or_off } else { parse };
    let Some(variable) = env.variable(name)? else { return Ok(None) };
    parse(variable.text()).map(Some).map_err(|must| variable.invalid(&must))
}

fn differs(
    env: &Environment,
    name: &str,
    addresses: &[Listen],
    is_default: bool,
) -> Result<(), Fault> {
    let earlier = LISTENERS.iter().position(|listener| *listener == name).unwrap_or(0);
    for other in &LISTENERS[..earlier] {
        // an invalid variable is reported where it is used
        let Ok(Some(others)) = read(env, other, true) else { continue };
        let Some(common) = addresses.iter().find(|address| others.contains(address)) else {
            continue;
        };
        if is_default {
            if let Some(other) = env.variable(other)? {
                let what = format!("not have \"{common}\", the default of \"{name}\"");
                return Err(other.invalid(&what));
            }
        } else if let Some(this) = env.variable(name)? {
            return Err(this.invalid(&format!("have no address in common with \"{other}\"")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{Table, Variables};

    #[test]
    fn listeners_must_differ() {
        let fault = |name: &str, value: &str, other: &str| {
            Err(format!(
                "environment variable \"{name}\" has invalid value \"{value}\", \
                 it must have no address in common with \"{other}\""
            ))
        };
        let cases = [
            ("LISTEN_ON", "81", "LISTEN_ON_TLS", "82", Ok("82".to_owned())),
            ("LISTEN_ON", "81", "LISTEN_ON_TLS", "81", fault("LISTEN_ON_TLS", "81", "LISTEN_ON")),
            (
                "LISTEN_ON",
                "81",
                "LISTEN_ON_TLS",
                "*:81",
                fault("LISTEN_ON_TLS", "*:81", "LISTEN_ON"),
            ),
            (
                "LISTEN_ON",
                "0.0.0.0:81",
                "LISTEN_ON_TLS",
                "81",
                fault("LISTEN_ON_TLS", "81", "LISTEN_ON"),
            ),
            (
                "LISTEN_ON",
                "127.0.0.1:81",
                "LISTEN_ON_TLS",
                "127.0.0.2:81",
                Ok("127.0.0.2:81".to_owned()),
            ),
            // the fault of LISTEN_ON is reported separately
            ("LISTEN_ON", "x", "LISTEN_ON_TLS", "81", Ok("81".to_owned())),
            (
                "LISTEN_ON",
                "81",
                "STATUS_LISTEN_ON",
                "81",
                fault("STATUS_LISTEN_ON", "81", "LISTEN_ON"),
            ),
            (
                "LISTEN_ON_TLS",
                "[::1]:81",
                "STATUS_LISTEN_ON",
                "[0::1]:81",
                fault("STATUS_LISTEN_ON", "[0::1]:81", "LISTEN_ON_TLS"),
            ),
            (
                "LISTEN_ON",
                "81,[::]:81",
                "LISTEN_ON_TLS",
                "82, [::]:82",
                Ok("82 [::]:82".to_owned()),
            ),
            (
                "LISTEN_ON",
                "81,[::]:81",
                "LISTEN_ON_TLS",
                "82,[0::0]:81",
                fault("LISTEN_ON_TLS", "82,[0::0]:81", "LISTEN_ON"),
            ),
            ("LISTEN_ON", "off", "LISTEN_ON_TLS", "81", Ok("81".to_owned())),
            // any other variable may be used
            ("LISTEN_ON", "81", "MY_PORT", "81", Ok("81".to_owned())),
        ];
        for (one, value, other, same, expected) in cases {
            let table = [(one, value), (other, same)];
            let source = Table(&table);
            let found = listen(&Environment::new(&source), other, None);
            let found = found.map(|found| words(&found)).map_err(|fault| fault.to_string());
            assert_eq!(found, expected, "{table:?}");
        }
    }

    fn words(listening: &Listening) -> String {
        let addresses: Vec<_> = listening.addresses.iter().map(Listen::to_string).collect();
        let by_default = if listening.is_default { " by default" } else { "" };
        match addresses.as_slice() {
            [] => format!("off{by_default}"),
            addresses => format!("{}{by_default}", addresses.join(" ")),
        }
    }

    #[test]
    fn lists() {
        let once = "name no address twice";
        let be = format!("be {EXPECTED}");
        let cases: &[(&str, Result<&str, &str>)] = &[
            ("81", Ok("81")),
            ("81,[::]:81", Ok("81 [::]:81")),
            ("81, [::]:81 ,127.0.0.1:81", Ok("81 [::]:81 127.0.0.1:81")),
            ("81,81", Err(once)),
            ("81,82,*:81", Err(once)),
            ("[::1]:81,[0::1]:81", Err(once)),
            ("", Err(&be)),
            ("81,", Err(&be)),
            (",81", Err(&be)),
            ("81 82", Err(&be)),
            ("81,\n82", Err(&be)),
            ("81,off", Err(&be)),
            ("off", Err(&be)),
        ];
        for (text, expected) in cases {
            let words = |addresses: Vec<Listen>| {
                addresses.iter().map(Listen::to_string).collect::<Vec<_>>().join(" ")
            };
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(parse(text).map(words), expected, "{text:?}");
        }
        assert_eq!(parse_or_off("off"), Ok(Vec::new()));
        assert_eq!(parse_or_off("81,off"), Err(format!("be {EXPECTED_OR_OFF}")));
        assert_eq!(parse_or_off("81"), parse("81"));
    }

    #[test]
    fn off_is_for_those_that_are_declared_so() {
        let cases = [
            ("LISTEN_ON", Ok("off".to_owned())),
            ("STATUS_LISTEN_ON", Ok("off".to_owned())),
            ("LISTEN_ON_TLS", Err(EXPECTED)),
            ("OTHER", Err(EXPECTED)),
        ];
        for (name, expected) in cases {
            let table = [(name, "off")];
            let source = Table(&table);
            let found = listen(&Environment::new(&source), name, None);
            let expected = expected.map_err(|expected| {
                format!(
                    "environment variable \"{name}\" has invalid value \"off\", \
                     it must be {expected}"
                )
            });
            assert_eq!(found.map(|found| words(&found)).map_err(|f| f.to_string()), expected);
        }
    }

    #[test]
    fn a_default_holds_where_the_variable_is_not_set() {
        let default = parse("127.0.0.1:9145").unwrap();
        let name = "STATUS_LISTEN_ON";
        let cases: &[(Variables, Result<&str, &str>)] = &[
            (&[], Ok("127.0.0.1:9145 by default")),
            (&[(name, "")], Ok("127.0.0.1:9145 by default")),
            (&[(name, "9145")], Ok("9145")),
            (&[(name, "127.0.0.1:9145")], Ok("127.0.0.1:9145")),
            (&[(name, "off")], Ok("off")),
            (
                &[(name, "on")],
                Err("environment variable \"STATUS_LISTEN_ON\" has invalid value \"on\", \
                     it must be a port from 1 to 65535 or address:port, several of them \
                     separated by commas, or \"off\""),
            ),
            (
                &[("LISTEN_ON", "81"), (name, "81")],
                Err("environment variable \"STATUS_LISTEN_ON\" has invalid value \"81\", \
                     it must have no address in common with \"LISTEN_ON\""),
            ),
            (
                &[("LISTEN_ON_TLS", "127.0.0.1:9145")],
                Err("environment variable \"LISTEN_ON_TLS\" has invalid value \
                     \"127.0.0.1:9145\", it must not have \"127.0.0.1:9145\", \
                     the default of \"STATUS_LISTEN_ON\""),
            ),
            (&[("LISTEN_ON_TLS", "127.0.0.1:9145"), (name, "off")], Ok("off")),
        ];
        for (table, expected) in cases {
            let source = Table(table);
            let found = listen(&Environment::new(&source), name, Some(&default));
            assert_eq!(
                found.map(|found| words(&found)).map_err(|fault| fault.to_string()),
                expected.map(str::to_owned).map_err(str::to_owned),
                "{table:?}"
            );
        }
    }
}

//! Where servers listen, and that no two of them do at the same address.

use super::value::{Listen, ListenOrOff};
use super::{Environment, Fault};

/// The variables of the table that name an address to listen at; each must differ from those
/// before it.
const LISTENERS: &[&str] = &["LISTEN_ON", "LISTEN_ON_TLS", "STATUS_LISTEN_ON"];

/// The port, or address and port, for an `elb_listen` directive.
///
/// # Errors
/// The variable is missing or faulty, or an earlier listener is the same one.
pub fn listen(env: &Environment, name: &str) -> Result<Listen, Fault> {
    let listen = env.require::<Listen>(name)?;
    differs(env, name, listen, false)?;
    Ok(listen)
}

/// Where a server listens whose directive has a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithDefault {
    /// The address, or `off`.
    pub listen: ListenOrOff,
    /// Whether the variable is not set.
    pub is_default: bool,
}

/// The same for a directive with a `default`, whose variable may also be `off`.
///
/// # Errors
/// The variable is faulty, or an earlier listener is the same one.
pub fn listen_with_default(
    env: &Environment,
    name: &str,
    default: ListenOrOff,
) -> Result<WithDefault, Fault> {
    let set = env.get::<ListenOrOff>(name)?;
    let (listen, is_default) = (set.unwrap_or(default), set.is_none());
    if let ListenOrOff(Some(listen)) = listen {
        differs(env, name, listen, is_default)?;
    }
    Ok(WithDefault { listen, is_default })
}

fn differs(env: &Environment, name: &str, listen: Listen, is_default: bool) -> Result<(), Fault> {
    let earlier = LISTENERS.iter().position(|listener| *listener == name).unwrap_or(0);
    for other in &LISTENERS[..earlier] {
        // a faulty one is reported where it is asked for
        if env.get::<Listen>(other) != Ok(Some(listen)) {
            continue;
        }
        if is_default {
            if let Some(other) = env.variable(other)? {
                let what = format!("differ from \"{listen}\", the default of \"{name}\"");
                return Err(other.invalid(&what));
            }
        } else if let Some(this) = env.variable(name)? {
            return Err(this.invalid(&format!("differ from \"{other}\"")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{Table, Variables};
    use crate::settings::FromText;

    #[test]
    fn listeners_must_differ() {
        let fault = |name: &str, value: &str, other: &str| {
            Err(format!(
                "environment variable \"{name}\" has invalid value \"{value}\", \
                 it must differ from \"{other}\""
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
            // the fault of LISTEN_ON is its own
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
            // any other variable is free
            ("LISTEN_ON", "81", "MY_PORT", "81", Ok("81".to_owned())),
        ];
        for (one, value, other, same, expected) in cases {
            let table = [(one, value), (other, same)];
            let source = Table(&table);
            let found = listen(&Environment::new(&source), other);
            let found = found.map(|l| l.to_string()).map_err(|fault| fault.to_string());
            assert_eq!(found, expected, "{table:?}");
        }
    }

    #[test]
    fn a_default_holds_where_the_variable_is_not_set() {
        let default = ListenOrOff::from_text("127.0.0.1:9145").unwrap();
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
                     it must be a port from 1 to 65535, address:port or \"off\""),
            ),
            (
                &[("LISTEN_ON", "81"), (name, "81")],
                Err("environment variable \"STATUS_LISTEN_ON\" has invalid value \"81\", \
                     it must differ from \"LISTEN_ON\""),
            ),
            (
                &[("LISTEN_ON_TLS", "127.0.0.1:9145")],
                Err("environment variable \"LISTEN_ON_TLS\" has invalid value \
                     \"127.0.0.1:9145\", it must differ from \"127.0.0.1:9145\", \
                     the default of \"STATUS_LISTEN_ON\""),
            ),
            (&[("LISTEN_ON_TLS", "127.0.0.1:9145"), (name, "off")], Ok("off")),
        ];
        for (table, expected) in cases {
            let source = Table(table);
            let found = listen_with_default(&Environment::new(&source), name, default);
            let found = found.map(|found| {
                let by_default = if found.is_default { " by default" } else { "" };
                format!("{}{by_default}", found.listen)
            });
            assert_eq!(
                found.map_err(|fault| fault.to_string()),
                expected.map(str::to_owned).map_err(str::to_owned),
                "{table:?}"
            );
        }
    }
}

//! Variables that are set but have no effect with the other settings.

use std::collections::{BTreeMap, BTreeSet};

use super::types::Host;
use super::{destinations, shown, Environment, Variable};
use crate::registry::{self, Declaration, Need, VARIABLES};

/// The variables that a configuration refers to.
#[derive(Debug, Default)]
pub struct Asked {
    /// The names of all variables.
    pub names: BTreeSet<String>,
    /// The results of references with a default: the value of the variable, or that default.
    pub used: BTreeMap<String, String>,
}

impl Asked {
    /// The value that takes effect for the variable, empty for none; `None` if the configuration
    /// does not refer to it.
    fn value(&self, env: &Environment, name: &str) -> Option<String> {
        if !self.names.contains(name) {
            return None;
        }
        if let Some(used) = self.used.get(name) {
            return Some(used.clone());
        }
        let set = env.variable(name).ok()?.map(|variable| variable.text);
        let default = || registry::variable(name)?.default.value().map(str::to_owned);
        Some(set.or_else(default).unwrap_or_default())
    }
}

/// Reports each variable that is set, to another value than its default, and what it lacks to have
/// an effect. A variable that the configuration does not refer to is neither reported nor required.
pub fn without_effect(env: &Environment, asked: &Asked) -> Vec<String> {
    let message = |declaration: &Declaration| {
        let name = declaration.name;
        // if no destination is a name, nothing refers to the variables for names
        let of_names = declaration.needs.iter().any(|need| matches!(need, Need::NamedDestination));
        let known = of_names || asked.names.contains(name);
        let variable = env.variable(name).ok()?.filter(|_| known)?;
        if declaration.default.value() == Some(variable.text()) {
            return None;
        }
        let lack = declaration.needs.iter().find_map(|need| lack(need, env, asked, &variable))?;
        Some(format!("environment variable \"{name}\" has no effect: {lack}"))
    };
    VARIABLES.iter().filter_map(message).collect()
}

/// The unmet part of a need.
fn lack(need: &Need, env: &Environment, asked: &Asked, variable: &Variable) -> Option<String> {
    let value = |name: &str| asked.value(env, name);
    match need {
        Need::On(name) => (value(name)? == "off").then(|| format!("\"{name}\" is \"off\"")),
        Need::Value(name) => value(name)?.is_empty().then(|| format!("\"{name}\" is not set")),
        Need::Is(name, word) => {
            (value(name)? != *word).then(|| format!("\"{name}\" is not \"{word}\""))
        }
        Need::Either(one, other) => {
            let one = lack(one, env, asked, variable)?;
            Some(format!("{one}, and {}", lack(other, env, asked, variable)?))
        }
        Need::NamedDestination => {
            let known = ["DESTINATION_HOSTNAME", "DESTINATIONS"]
                .iter()
                .any(|name| asked.names.contains(*name));
            let all = destinations::destinations(env).ok().filter(|_| known)?;
            let is_name = |host: &Host| matches!(host, Host::Name(_));
            let named = all.iter().any(|destination| is_name(&destination.host));
            (!named).then(|| "no destination is a name".to_owned())
        }
        Need::Folder => {
            // nginx decides what a relative path is relative to
            let path = variable.text();
            let missing = path.starts_with('/') && !env.is_folder(path);
            missing.then(|| match variable.from_file {
                true => "the folder is not there".to_owned(),
                false => format!("folder \"{}\" is not there", shown(path)),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Table, Variables};
    use super::*;

    /// The reports for an environment if the shipped configuration refers to all variables.
    fn said(table: Variables) -> Vec<String> {
        let asked = Asked {
            names: VARIABLES.iter().map(|declaration| declaration.name.to_owned()).collect(),
            used: BTreeMap::new(),
        };
        without_effect(&Environment::new(&Table(table)), &asked)
    }

    #[test]
    fn a_variable_without_effect_is_named_with_what_it_lacks() {
        let address = [("DESTINATION_HOSTNAME", "10.0.0.1"), ("DESTINATION_PORT", "80")];
        let cases: &[(Variables, Option<(&str, &str)>)] = &[
            (&[], None),
            (
                &[("DESTINATION_CHECK_PATH", "/h")],
                Some(("DESTINATION_CHECK_PATH", "\"DESTINATION_CHECK\" is \"off\"")),
            ),
            (&[("DESTINATION_CHECK_PATH", "/h"), ("DESTINATION_CHECK", "5s")], None),
            (
                &[("DESTINATION_CHECK_STATUS", "200"), ("DESTINATION_CHECK", "5s")],
                Some(("DESTINATION_CHECK_STATUS", "\"DESTINATION_CHECK_PATH\" is not set")),
            ),
            // the default, even if it is set explicitly
            (&[("DESTINATION_CHECK_TIMEOUT", "2s")], None),
            (
                &[("DRAIN_FILE", "/d"), ("STATUS_LISTEN_ON", "off")],
                Some((
                    "DRAIN_FILE",
                    "\"STATUS_LISTEN_ON\" is \"off\", and \"PING_MODE\" is not \"ready\"",
                )),
            ),
            (&[("DRAIN_FILE", "/d"), ("STATUS_LISTEN_ON", "off"), ("PING_MODE", "ready")], None),
            (&[("DRAIN_FILE", "/d")], None),
            (
                &[("RESOLVER_VALID", "1s"), address[0], address[1]],
                Some(("RESOLVER_VALID", "no destination is a name")),
            ),
            (&[("RESOLVER_VALID", "1s"), ("DESTINATION_HOSTNAME", "app"), address[1]], None),
            (&[("RESOLVER_VALID", "1s")], None),
            (
                &[("CONFIG_OVERRIDES", "/nowhere")],
                Some(("CONFIG_OVERRIDES", "folder \"/nowhere\" is not there")),
            ),
            (
                &[("CONFIG_OVERRIDES_FILE", "/f"), ("/f", "/nowhere")],
                Some(("CONFIG_OVERRIDES", "the folder is not there")),
            ),
            (&[("CONFIG_OVERRIDES", "/there"), ("/there", "(folder)")], None),
            (&[("CONFIG_OVERRIDES", "relative")], None),
        ];
        for (table, expected) in cases {
            let expected = expected.map(|(name, lack)| {
                format!("environment variable \"{name}\" has no effect: {lack}")
            });
            assert_eq!(said(table), Vec::from_iter(expected), "{table:?}");
        }
    }

    #[test]
    fn what_a_configuration_does_not_ask_for_is_not_missed() {
        let table = Table(&[("DESTINATION_CHECK_PATH", "/h")]);
        let env = Environment::new(&table);
        let mut asked = Asked::default();
        assert!(without_effect(&env, &asked).is_empty());
        asked.names.insert("DESTINATION_CHECK_PATH".to_owned());
        assert!(without_effect(&env, &asked).is_empty());
        asked.names.insert("DESTINATION_CHECK".to_owned());
        assert_eq!(without_effect(&env, &asked).len(), 1);
        // another default than the declared one
        asked.used.insert("DESTINATION_CHECK".to_owned(), "5s".to_owned());
        assert!(without_effect(&env, &asked).is_empty());
    }

    #[test]
    fn each_need_can_be_lacking() {
        // variables that lack something; the others have valid samples
        let lacking = [
            ("DESTINATION_HOSTNAME", "10.0.0.1"),
            ("DESTINATION_PORT", "80"),
            ("STATUS_LISTEN_ON", "off"),
            ("LISTEN_ON", "off"),
            ("ACCESS_LOG", "off"),
            ("WEBSOCKET_LOG", "off"),
            ("WEBSOCKET_PING", "off"),
            ("WEBSOCKET_DRAIN", "off"),
        ];
        for declaration in VARIABLES.iter().filter(|declaration| !declaration.needs.is_empty()) {
            let default = declaration.default.value();
            let other = ["/other"];
            let samples = declaration.good.iter().chain(&other);
            let value = samples.copied().find(|value| Some(*value) != default).unwrap();
            let mut table = lacking.to_vec();
            table.push((declaration.name, value));
            let said = said(&table);
            let named =
                |message: &String| message.contains(&format!("\"{}\" has", declaration.name));
            assert!(said.iter().any(named), "{} is not in {said:?}", declaration.name);
        }
    }
}

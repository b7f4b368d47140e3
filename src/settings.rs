//! Parses environment variables into typed settings; each error names the variable.
//!
//! Nothing here reads the process environment or a file directly: both come through [`Source`], so
//! the rules are tested without nginx and apply to every caller:
//!
//! - an empty value counts as not set;
//! - `NAME_FILE` names a file whose content is the value of `NAME`, without one trailing newline;
//!   setting both `NAME` and `NAME_FILE` is an error;
//! - a value is UTF-8 text of at most [`MAX_VALUE`] bytes, without NUL.
//!
//! A value from a file may be a secret: no message shows it.

use std::fmt;

use crate::client_address::ClientHeader;
use crate::registry::{self, Declaration, Default, VARIABLES};

pub mod buffers;
pub mod destinations;
pub mod effects;
pub mod expand;
pub mod listeners;
pub mod paths;
pub mod resolver;
pub mod types;
pub mod words;

pub use types::FromText;

/// Maximum length of a value, in bytes: the maximum length of an nginx configuration token
/// (`NGX_CONF_BUFFER`, `src/core/ngx_conf_file.c`).
pub const MAX_VALUE: usize = 4096;

/// Maximum length of a value that a message shows, in characters.
const SHOWN: usize = 120;

/// The source of variables and of the files that they name.
pub trait Source {
    /// The value of an environment variable, `None` if it is not set.
    fn variable(&self, name: &str) -> Option<Vec<u8>>;

    /// Up to `limit` bytes from the start of a file.
    ///
    /// # Errors
    /// Why the file cannot be read; the system's message.
    fn file(&self, path: &str, limit: usize) -> Result<Vec<u8>, String>;

    /// Whether the folder exists.
    fn is_folder(&self, path: &str) -> bool;
}

/// A fault in the environment: one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// A fault with this `message`: lower case, no full stop, the variable named first.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    fn missing(name: &str, expected: &str) -> Self {
        Self(format!("environment variable \"{name}\" is not set, it must be {expected}"))
    }

    fn both(one: &str, other: &str) -> Self {
        Self(format!(
            "environment variables \"{one}\" and \"{other}\" are both set, \
             there must be only one of them"
        ))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// A variable that is set: its text and the source of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    name: String,
    text: String,
    from_file: bool,
}

impl Variable {
    /// The value.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fault that the value of this variable is not what it `must` be.
    pub fn invalid(&self, must: &str) -> Fault {
        if self.from_file {
            return Fault(format!(
                "environment variable \"{}_FILE\" names a file with an invalid value, it must {must}",
                self.name
            ));
        }
        Fault(format!(
            "environment variable \"{}\" has invalid value \"{}\", it must {must}",
            self.name,
            shown(&self.text)
        ))
    }

    /// The value as a `T`.
    ///
    /// # Errors
    /// The fault names the variable, the value and what would be right.
    pub fn parse<T: FromText>(&self) -> Result<T, Fault> {
        T::from_text(&self.text).ok_or_else(|| self.invalid(&format!("be {}", T::EXPECTED)))
    }
}

/// A value formatted for one log line: control characters escaped, a long value truncated.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push_str("...");
    }
    out
}

/// The environment, read by the rules of this module.
pub struct Environment<'a> {
    source: &'a dyn Source,
}

impl<'a> Environment<'a> {
    /// An environment that reads from `source`.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source }
    }

    /// A variable, or `None` if it is not set or empty.
    ///
    /// # Errors
    /// `NAME` and `NAME_FILE` are both set, the file cannot be read, or the value is not text.
    pub fn variable(&self, name: &str) -> Result<Option<Variable>, Fault> {
        let file_name = format!("{name}_FILE");
        let direct = self.source.variable(name).filter(|v| !v.is_empty());
        let path = self.source.variable(&file_name).filter(|v| !v.is_empty());
        let (bytes, from_file) = match (direct, path) {
            (Some(_), Some(_)) => return Err(Fault::both(name, &file_name)),
            (Some(bytes), None) => (bytes, false),
            (None, Some(path)) => (self.file(&file_name, path)?, true),
            (None, None) => return Ok(None),
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let text = text_of(if from_file { &file_name } else { name }, bytes)?;
        Ok(Some(Variable { name: name.to_owned(), text, from_file }))
    }

    /// A variable that satisfies its declaration, or `None` if it is not set.
    ///
    /// # Errors
    /// As [`Environment::variable`], and as [`check`].
    pub fn checked(&self, name: &str) -> Result<Option<Variable>, Fault> {
        let variable = self.variable(name)?;
        variable.as_ref().map_or(Ok(()), check)?;
        Ok(variable)
    }

    /// The value of a variable as a `T`, or `None` if it is not set.
    ///
    /// # Errors
    /// As [`Environment::variable`], and if the value is not a valid `T`.
    pub fn get<T: FromText>(&self, name: &str) -> Result<Option<T>, Fault> {
        self.variable(name)?.map(|variable| variable.parse()).transpose()
    }

    /// The value of a variable that must be set.
    ///
    /// # Errors
    /// As [`Environment::get`], and if the variable is not set.
    pub fn require<T: FromText>(&self, name: &str) -> Result<T, Fault> {
        self.get(name)?.ok_or_else(|| Fault::missing(name, T::EXPECTED))
    }

    /// The value of a variable, or its declared default if it is not set.
    ///
    /// # Errors
    /// As [`Environment::require`]; a variable without a default must be set.
    pub fn or_default<T: FromText>(&self, name: &str) -> Result<T, Fault> {
        let default = || registry::variable(name)?.default.value().and_then(T::from_text);
        self.get(name)?.or_else(default).ok_or_else(|| Fault::missing(name, T::EXPECTED))
    }

    /// Whether the folder exists.
    fn is_folder(&self, path: &str) -> bool {
        self.source.is_folder(path)
    }

    fn file(&self, variable: &str, path: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let path = text_of(variable, path)?;
        let mut bytes = self.source.file(&path, MAX_VALUE + 2).map_err(|why| {
            Fault(format!(
                "environment variable \"{variable}\" names file \"{}\" that cannot be read: {why}",
                shown(&path)
            ))
        })?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(bytes)
    }
}

fn text_of(variable: &str, bytes: Vec<u8>) -> Result<String, Fault> {
    let fault = |what: &str| Fault(format!("environment variable \"{variable}\" {what}"));
    if bytes.len() > MAX_VALUE {
        return Err(fault(&format!("is too long, it must have at most {MAX_VALUE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| fault("is not UTF-8 text"))?;
    if text.contains('\0') {
        return Err(fault("contains a NUL character"));
    }
    Ok(text)
}

/// Whether connections start with a PROXY protocol header (`PROXY_PROTOCOL`, on by default).
///
/// # Errors
/// The value is neither `on` nor `off`.
pub fn proxy_protocol(env: &Environment) -> Result<bool, Fault> {
    Ok(env.or_default::<types::Switch>("PROXY_PROTOCOL")?.0)
}

/// The addresses trusted to name the client (`TRUSTED_PROXIES`).
///
/// # Errors
/// An entry is neither an address nor a CIDR block.
pub fn trusted_proxies(env: &Environment) -> Result<types::TrustedProxies, Fault> {
    env.or_default("TRUSTED_PROXIES")
}

/// The header in which a CDN names the client (`CLIENT_ADDRESS_HEADER`), if there is one.
///
/// # Errors
/// The value is not the name of a header that holds one address.
pub fn client_address_header(env: &Environment) -> Result<Option<ClientHeader>, Fault> {
    env.get("CLIENT_ADDRESS_HEADER")
}

/// The target and status of redirects to https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// `REDIRECT_STATUS`: 301, 302, 307 or 308.
    pub status: u16,
    /// `HTTPS_PORT`: the port of the target; 443 is not written into the URL.
    pub port: u16,
}

impl Redirect {
    /// The redirect target for `uri`, as the client sent it; `None` if there is no host.
    pub fn location(&self, host: &[u8], uri: &[u8]) -> Option<Vec<u8>> {
        if host.is_empty() {
            return None;
        }
        let mut location = [b"https://", host].concat();
        if self.port != 443 {
            location.extend_from_slice(format!(":{}", self.port).as_bytes());
        }
        if !uri.starts_with(b"/") {
            // "GET http://host?query" (RFC 9112 3.2.2)
            location.push(b'/');
        }
        location.extend_from_slice(uri);
        Some(location)
    }
}

/// The redirect to https (`REDIRECT_STATUS`, `HTTPS_PORT`).
///
/// # Errors
/// All faults of the two variables.
pub fn redirect(env: &Environment) -> Result<Redirect, Vec<Fault>> {
    let status = env.or_default::<types::RedirectStatus>("REDIRECT_STATUS");
    let port = env.or_default::<types::Port>("HTTPS_PORT");
    match (status, port) {
        (Ok(status), Ok(port)) => Ok(Redirect { status: status.0, port: port.0 }),
        (status, port) => Err([status.err(), port.err()].into_iter().flatten().collect()),
    }
}

/// The names of the variables that the module reads and checks without a directive.
pub fn names() -> impl Iterator<Item = &'static str> {
    checked().map(|declaration| declaration.name)
}

fn checked() -> impl Iterator<Item = &'static Declaration> {
    VARIABLES.iter().filter(|declaration| declaration.is_checked())
}

/// Whether a name is allowed in a reference ([`expand`]): capitals, digits and `_`, not beginning
/// with a digit.
pub fn is_name(text: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    !text.is_empty() && text.bytes().all(of_name) && !text.as_bytes()[0].is_ascii_digit()
}

/// The variables of [`names`] and the values in effect, including defaults of directives. A value
/// from a file may be a secret and is not shown; invalid values are left out.
pub fn in_effect(env: &Environment) -> Vec<(String, String)> {
    let default = |declaration: &Declaration| match declaration.default {
        Default::Own(value) => Some(value.to_owned()),
        _ => None,
    };
    let value = |declaration: &Declaration| match env.variable(declaration.name) {
        Ok(Some(variable)) if variable.from_file => Some("(from a file)".to_owned()),
        Ok(Some(variable)) => Some(variable.text),
        Ok(None) => default(declaration),
        Err(_) => None,
    };
    checked()
        .filter_map(|declaration| Some((declaration.name.to_owned(), value(declaration)?)))
        .collect()
}

/// Checks a variable by its declaration; an undeclared variable is free text.
///
/// # Errors
/// The value is not what the declaration says.
pub fn check(variable: &Variable) -> Result<(), Fault> {
    registry::variable(&variable.name).map_or(Ok(()), |declaration| {
        declaration.check(&variable.text).map_err(|must| variable.invalid(&must))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An environment and its files, as a table.
    pub(crate) struct Table<'a>(pub Variables<'a>);

    pub(crate) type Variables<'a> = &'a [(&'a str, &'a str)];

    impl Source for Table<'_> {
        fn variable(&self, name: &str) -> Option<Vec<u8>> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes().to_vec())
        }

        fn file(&self, path: &str, limit: usize) -> Result<Vec<u8>, String> {
            let mut bytes = self.variable(path).ok_or("no such file")?;
            bytes.truncate(limit);
            Ok(bytes)
        }

        fn is_folder(&self, path: &str) -> bool {
            self.variable(path).is_some()
        }
    }

    fn listen_of(table: &[(&str, &str)], name: &str) -> Result<String, String> {
        let table = Table(table);
        listeners::listen(&Environment::new(&table), name, None)
            .map(|listening| listening.addresses[0].to_string())
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_variable_is_read_from_the_environment_or_a_file() {
        let long = "1".repeat(MAX_VALUE + 1);
        let missing = "environment variable \"LISTEN_ON\" is not set, \
                       it must be a port from 1 to 65535 or address:port, \
                     several of them separated by commas, or \"off\"";
        let cases: &[(Variables, Result<&str, &str>)] = &[
            (&[("LISTEN_ON", "81")], Ok("81")),
            (&[("LISTEN_ON", "0081")], Ok("81")),
            (&[("LISTEN_ON_FILE", "/p"), ("/p", "81\n")], Ok("81")),
            (&[("LISTEN_ON", ""), ("LISTEN_ON_FILE", "/p"), ("/p", "81")], Ok("81")),
            (&[("LISTEN_ON", "81"), ("LISTEN_ON_FILE", "")], Ok("81")),
            (&[], Err(missing)),
            (&[("LISTEN_ON", "")], Err(missing)),
            (&[("LISTEN_ON_FILE", "/p"), ("/p", "\n")], Err(missing)),
            (
                &[("LISTEN_ON", "81"), ("LISTEN_ON_FILE", "/p")],
                Err("environment variables \"LISTEN_ON\" and \"LISTEN_ON_FILE\" are both set, \
                     there must be only one of them"),
            ),
            (
                &[("LISTEN_ON", "80a")],
                Err("environment variable \"LISTEN_ON\" has invalid value \"80a\", \
                     it must be a port from 1 to 65535 or address:port, \
                     several of them separated by commas, or \"off\""),
            ),
            (
                &[("LISTEN_ON_FILE", "/p"), ("/p", "hunter2")],
                Err("environment variable \"LISTEN_ON_FILE\" names a file with an invalid value, \
                     it must be a port from 1 to 65535 or address:port, \
                     several of them separated by commas, or \"off\""),
            ),
            (
                &[("LISTEN_ON_FILE", "/p")],
                Err("environment variable \"LISTEN_ON_FILE\" names file \"/p\" \
                     that cannot be read: no such file"),
            ),
            (
                &[("LISTEN_ON_FILE", "/p"), ("/p", "81\n\n")],
                Err("environment variable \"LISTEN_ON_FILE\" names a file with an invalid value, \
                     it must be a port from 1 to 65535 or address:port, \
                     several of them separated by commas, or \"off\""),
            ),
            (
                &[("LISTEN_ON_FILE", "/p"), ("/p", "8\0")],
                Err("environment variable \"LISTEN_ON_FILE\" contains a NUL character"),
            ),
            (
                &[("LISTEN_ON_FILE", "/p"), ("/p", &long)],
                Err("environment variable \"LISTEN_ON_FILE\" is too long, \
                     it must have at most 4096 bytes"),
            ),
        ];
        for (table, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(listen_of(table, "LISTEN_ON"), expected, "{table:?}");
        }
    }

    #[test]
    fn a_long_value_is_cut_and_escaped_in_messages() {
        assert_eq!(shown("a\"\\b"), "a\\\"\\\\b");
        let long = "x".repeat(SHOWN + 1);
        assert_eq!(shown(&long), format!("{}...", "x".repeat(SHOWN)));
    }

    #[test]
    fn a_redirect_reports_all_its_faults() {
        let faults = |table: &[(&str, &str)]| {
            redirect(&Environment::new(&Table(table))).map_err(|faults| faults.len())
        };
        assert_eq!(faults(&[]), Ok(Redirect { status: 301, port: 443 }));
        assert_eq!(
            faults(&[("REDIRECT_STATUS", "308"), ("HTTPS_PORT", "8443")]),
            Ok(Redirect { status: 308, port: 8443 })
        );
        assert_eq!(faults(&[("REDIRECT_STATUS", "303"), ("HTTPS_PORT", "0")]), Err(2));
        assert_eq!(faults(&[("REDIRECT_STATUS", "200")]), Err(1));
    }

    #[test]
    fn text_for_a_directive_of_nginx_is_what_is_declared() {
        let checked = |table: &[(&str, &str)], name| {
            let found = Environment::new(&Table(table)).checked(name);
            found.map(|found| found.map(|found| found.text)).map_err(|fault| fault.to_string())
        };
        assert_eq!(checked(&[], "RESOLVER_TIMEOUT"), Ok(None));
        let name = "RESOLVER_TIMEOUT";
        assert_eq!(checked(&[(name, "500ms")], name), Ok(Some("500ms".to_owned())));
        let fault = "environment variable \"RESOLVER_TIMEOUT\" has invalid value \"0\", \
                     it must be a time above 0, as in \"60s\"";
        assert_eq!(checked(&[(name, "0")], name), Err(fault.to_owned()));
        // the other rules are nginx's
        assert_eq!(checked(&[("OTHER", "0")], "OTHER"), Ok(Some("0".to_owned())));
    }

    #[test]
    fn settings_in_effect_tell_no_secret() {
        let table = Table(&[
            ("LISTEN_ON", "81"),
            ("DESTINATION_HOSTNAME_FILE", "/secret"),
            ("/secret", "hunter2"),
            ("REDIRECT_STATUS", "308"),
            ("OTHER", "free"),
        ]);
        let found = in_effect(&Environment::new(&table));
        let value =
            |name: &str| found.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(value("LISTEN_ON"), Some("81"));
        assert_eq!(value("DESTINATION_HOSTNAME"), Some("(from a file)"));
        assert_eq!(value("DESTINATION_PORT"), None);
        assert_eq!(value("REDIRECT_STATUS"), Some("308"));
        assert_eq!(value("HTTPS_PORT"), Some("443"));
        assert_eq!(value("OTHER"), None);
    }

    #[test]
    fn names() {
        for declaration in VARIABLES {
            assert!(is_name(declaration.name), "{}", declaration.name);
        }
        let cases = [("A", true), ("_A1", true), ("A_B", true), ("", false), ("1A", false)];
        let odd = [("A=B", false), ("A\0", false), ("a", false), ("A B", false), ("\u{c4}", false)];
        for (text, expected) in cases.into_iter().chain(odd) {
            assert_eq!(is_name(text), expected, "{text:?}");
        }
    }
}

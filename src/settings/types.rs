//! The types of values of variables.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// A type that is parsed from a variable's text.
pub trait FromText: Sized {
    /// What a valid value is, for "it must be ...".
    const EXPECTED: &'static str;

    /// Parses the text, `None` if it is not [`Self::EXPECTED`].
    fn from_text(text: &str) -> Option<Self>;
}

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromText for Port {
    const EXPECTED: &'static str = "a port from 1 to 65535";

    fn from_text(text: &str) -> Option<Self> {
        decimal(text).filter(|port| *port != 0).map(Self)
    }
}

/// A number of decimal digits only: `from_str` would also accept `+1`.
pub(super) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A listen address: a port on all IPv4 addresses, or one address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(SocketAddr);

impl FromText for Listen {
    const EXPECTED: &'static str = "a port from 1 to 65535 or address:port";

    fn from_text(text: &str) -> Option<Self> {
        let (address, port) = match text.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), text),
            Some(("*", port)) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            Some((address, port)) => (bracketed(address)?, port),
        };
        Some(Self(SocketAddr::new(address, Port::from_text(port)?.0)))
    }
}

/// An address as written before a port: IPv4 plain, IPv6 in brackets.
fn bracketed(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// The address as an argument of nginx's `listen`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => self.0.port().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

impl Listen {
    /// The address and the port; without an address, all interfaces.
    pub fn address(&self) -> SocketAddr {
        self.0
    }
}

/// The host part of a destination: an IP address or a DNS name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address literal, IPv6 with or without brackets.
    Address(IpAddr),
    /// A name (RFC 1123 2.1; `_` as in container names); a trailing dot is preserved.
    Name(String),
}

impl FromText for Host {
    const EXPECTED: &'static str = "a host name or an IP address";

    fn from_text(text: &str) -> Option<Self> {
        if let Some(address) = text.parse().ok().or_else(|| bracketed(text)) {
            return Some(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // digits and dots alone are probably a mistyped address
        let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (name.len() <= 253 && !numeric && name.split('.').all(label))
            .then(|| Self::Name(text.to_owned()))
    }
}

/// The host as written before `:port`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromText for Switch {
    const EXPECTED: &'static str = "\"on\" or \"off\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "on" => Some(Self(true)),
            "off" => Some(Self(false)),
            _ => None,
        }
    }
}

/// The status of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectStatus(pub u16);

impl FromText for RedirectStatus {
    const EXPECTED: &'static str = "301, 302, 307 or 308";

    fn from_text(text: &str) -> Option<Self> {
        ["301", "302", "307", "308"].contains(&text).then(|| text.parse().ok().map(Self)).flatten()
    }
}

/// The scheme that is sent to the application as the client's (`X-Forwarded-Proto`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardedProto;

impl FromText for ForwardedProto {
    const EXPECTED: &'static str = "\"http\" or \"https\"";

    fn from_text(text: &str) -> Option<Self> {
        ["http", "https"].contains(&text).then_some(Self)
    }
}

/// The path of the health check, as in a request line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingPath(pub String);

impl FromText for PingPath {
    const EXPECTED: &'static str =
        "a path of visible characters that begins with \"/\" and has none of ?#{}\"\\$; \
         as in \"/ping\"";

    fn from_text(text: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_graphic() && !b"?#{}\"\\$;".contains(&b);
        (text.starts_with('/') && text.bytes().all(fits)).then(|| Self(text.to_owned()))
    }
}

/// What a health check reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingMode {
    /// That nginx answers.
    Alive,
    /// Whether the instance should get traffic.
    Ready,
}

impl FromText for PingMode {
    const EXPECTED: &'static str = "\"alive\" or \"ready\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "alive" => Some(Self::Alive),
            "ready" => Some(Self::Ready),
            _ => None,
        }
    }
}

/// How long to wait for a drain before nginx is stopped, in seconds. The image's entry point
/// (`nginx/entrypoint`) parses the same variable in the same way, so nginx's own units of time are
/// not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainDelay(pub u16);

impl FromText for DrainDelay {
    const EXPECTED: &'static str = "a number of seconds from 0 to 3600, as in \"15\" or \"15s\"";

    fn from_text(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('s').unwrap_or(text);
        let fits = (1..=4).contains(&digits.len());
        decimal(digits).filter(|seconds| fits && *seconds <= 3600).map(Self)
    }
}

/// The number of worker processes: nginx supports at most 1,024 processes (`NGX_MAX_PROCESSES`),
/// and a reload needs twice as many. With 0, nginx listens but serves no one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerProcesses {
    /// One for each processor that the container may use.
    Auto,
    /// This many, from 1 to 500.
    Number(u16),
}

impl WorkerProcesses {
    /// The maximum.
    pub const MOST: u16 = 500;
}

impl FromText for WorkerProcesses {
    const EXPECTED: &'static str = "a number from 1 to 500 or \"auto\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            _ => decimal(text).filter(|number| (1..=Self::MOST).contains(number)).map(Self::Number),
        }
    }
}

/// Connections of one worker, 10 to 1,048,576. Listeners use some, and a proxied connection two:
/// with fewer, requests fail. More connections need more open files than Linux allows by default
/// (`fs.nr_open`), and the memory for all of them is allocated at the start: a worker that cannot
/// allocate it exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerConnections(pub u32);

impl FromText for WorkerConnections {
    const EXPECTED: &'static str = "a number from 10 to 1048576";

    fn from_text(text: &str) -> Option<Self> {
        decimal(text).filter(|number| (10..=1_048_576).contains(number)).map(Self)
    }
}

/// A timeout of nginx, above 0: with 0 nginx does not wait, and each request fails. nginx itself
/// checks whether other text is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeAboveZero;

impl FromText for TimeAboveZero {
    const EXPECTED: &'static str = "a time above 0, as in \"60s\"";

    fn from_text(text: &str) -> Option<Self> {
        text.bytes().any(|b| (b'1'..=b'9').contains(&b)).then_some(Self)
    }
}

/// The addresses trusted to name the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Addresses and CIDR blocks, each an argument of `set_real_ip_from`.
    pub blocks: Vec<String>,
}

impl TrustedProxies {
    /// The blocks that trust every address of a family.
    pub fn everybody(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().map(String::as_str).filter(|block| block.ends_with("/0"))
    }
}

impl FromText for TrustedProxies {
    const EXPECTED: &'static str =
        "\"none\" or a list of addresses and CIDR blocks, as in \"10.0.0.0/8, 192.168.1.7\"";

    fn from_text(text: &str) -> Option<Self> {
        let separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let entries = || text.split(separator).filter(|entry| !entry.is_empty());
        if entries().eq(["none"]) {
            return Some(Self { blocks: Vec::new() });
        }
        let blocks: Option<Vec<_>> = entries().map(cidr).collect();
        blocks.filter(|blocks| !blocks.is_empty()).map(|blocks| Self { blocks })
    }
}

/// An address or CIDR block in canonical form: the bits after the prefix are cleared, as nginx does
/// with a warning (`ngx_ptocidr`).
fn cidr(entry: &str) -> Option<String> {
    let Some((address, prefix)) = entry.split_once('/') else {
        return entry.parse::<IpAddr>().ok().map(|address| address.to_string());
    };
    let prefix: u32 = decimal(prefix)?;
    let network = match address.parse().ok()? {
        IpAddr::V4(address) if prefix <= 32 => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) if prefix <= 128 => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
        _ => return None,
    };
    Some(format!("{network}/{prefix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: FromText + fmt::Display>(input: &str) -> Option<String> {
        T::from_text(input).map(|value| value.to_string())
    }

    #[test]
    fn listen() {
        let cases = [
            ("81", Some("81")),
            ("65535", Some("65535")),
            ("*:81", Some("81")),
            ("0.0.0.0:81", Some("81")),
            ("127.0.0.1:81", Some("127.0.0.1:81")),
            ("[::]:81", Some("[::]:81")),
            ("[::1]:81", Some("[::1]:81")),
            ("0", None),
            ("65536", None),
            ("+81", None),
            ("-1", None),
            ("80a", None),
            (" 81", None),
            ("81 proxy_protocol", None),
            ("81;", None),
            ("::1:81", None),
            ("[127.0.0.1]:81", None),
            ("[::1]", None),
            ("localhost:81", None),
            ("unix:/tmp/socket", None),
            (":81", None),
        ];
        for (input, expected) in cases {
            assert_eq!(text::<Listen>(input).as_deref(), expected, "{input:?}");
        }
    }

    #[test]
    fn host() {
        let long = format!("{}.example", "a".repeat(64));
        let cases = [
            ("app", Some("app")),
            ("my_app-1.internal.", Some("my_app-1.internal.")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("::1", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("10.0.0", None),
            ("10.0.0.256", None),
            ("app:80", None),
            ("app/", None),
            ("ap p", None),
            ("app;", None),
            ("unix:/tmp/socket", None),
            (&long, None),
        ];
        for (input, expected) in cases {
            assert_eq!(text::<Host>(input).as_deref(), expected, "{input:?}");
        }
    }

    #[test]
    fn trusted_proxies() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("none", Some(&[])),
            ("10.0.0.0/8", Some(&["10.0.0.0/8"])),
            (
                "10.0.0.0/8, 192.168.1.7,::1/128\nfe80::1",
                Some(&["10.0.0.0/8", "192.168.1.7", "::1/128", "fe80::1"]),
            ),
            ("10.1.2.3/8", Some(&["10.0.0.0/8"])),
            ("0.0.0.0/0", Some(&["0.0.0.0/0"])),
            ("fe80::1/0", Some(&["::/0"])),
            ("none, 10.0.0.0/8", None),
            (",", None),
            ("10.0.0.0/33", None),
            ("::/129", None),
            ("10.0.0.0/+8", None),
            ("10.0.0/8", None),
            ("unix:", None),
            ("everybody", None),
        ];
        for (input, expected) in cases {
            let blocks = TrustedProxies::from_text(input).map(|proxies| proxies.blocks);
            let expected = expected.map(|blocks| blocks.iter().map(|b| b.to_string()).collect());
            assert_eq!(blocks, expected, "{input:?}");
        }
        let open = TrustedProxies::from_text("10.0.0.0/8,0.0.0.0/0,::/0").unwrap();
        assert_eq!(open.everybody().collect::<Vec<_>>(), ["0.0.0.0/0", "::/0"]);
    }

    #[test]
    fn words() {
        for (input, fits) in [("on", true), ("off", true), ("On", false), ("1", false)] {
            assert_eq!(Switch::from_text(input).is_some(), fits, "{input:?}");
        }
        for (input, fits) in [("301", true), ("308", true), ("303", false), ("0301", false)] {
            assert_eq!(RedirectStatus::from_text(input).is_some(), fits, "{input:?}");
        }
        for (input, fits) in [("http", true), ("https", true), ("HTTPS", false), ("ws", false)] {
            assert_eq!(ForwardedProto::from_text(input).is_some(), fits, "{input:?}");
        }
        for (input, fits) in [("alive", true), ("ready", true), ("on", false), ("", false)] {
            assert_eq!(PingMode::from_text(input).is_some(), fits, "{input:?}");
        }
        let seconds = [("0", Some(0)), ("15", Some(15)), ("15s", Some(15)), ("0015s", Some(15))];
        let most = [("3600", Some(3600)), ("3601", None), ("00015", None), ("65551", None)];
        let no_seconds = [("", None), ("s", None), ("-1", None), ("1m", None), ("15 s", None)];
        for (input, expected) in seconds.into_iter().chain(most).chain(no_seconds) {
            assert_eq!(DrainDelay::from_text(input).map(|delay| delay.0), expected, "{input:?}");
        }
        let processes = [("1", true), ("500", true), ("auto", true), ("0", false), ("501", false)];
        let odd = [("65537", false), ("-1", false), ("+1", false), ("", false), ("Auto", false)];
        for (input, fits) in processes.into_iter().chain(odd) {
            assert_eq!(WorkerProcesses::from_text(input).is_some(), fits, "{input:?}");
        }
        let connections = [("10", true), ("1048576", true), ("9", false), ("1048577", false)];
        let odd = [("0", false), ("4294967306", false), ("1k", false), ("", false), ("16 ", false)];
        for (input, fits) in connections.into_iter().chain(odd) {
            assert_eq!(WorkerConnections::from_text(input).is_some(), fits, "{input:?}");
        }
        let times = [("60s", true), ("1ms", true), ("0h 1s", true), ("10", true), ("1x", true)];
        let odd = [("0", false), ("0s", false), ("00ms", false), ("0h 0s", false), ("off", false)];
        for (input, fits) in times.into_iter().chain(odd) {
            assert_eq!(TimeAboveZero::from_text(input).is_some(), fits, "{input:?}");
        }
        let paths = [("/ping", true), ("/", true), ("/a/%20b", true), ("ping", false)];
        let odd = [("/a b", false), ("/a?b", false), ("/a#b", false), ("/a;b", false)];
        for (input, fits) in paths.into_iter().chain(odd) {
            assert_eq!(PingPath::from_text(input).is_some(), fits, "{input:?}");
        }
    }
}

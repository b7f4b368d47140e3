//! Active checks of destinations: the request, the meaning of a response, and the state that
//! follows from consecutive results.

use std::fmt;
use std::ops::RangeInclusive;

/// The settings of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// Time from the start of a check to the start of the next, in milliseconds, above 0.
    pub interval: u64,
    /// Timeout of a check, in milliseconds, above 0.
    pub timeout: u64,
    /// Consecutive successes that bring a destination up again, above 0.
    pub rise: u32,
    /// Consecutive failures that take a destination down, above 0.
    pub fall: u32,
    /// Path of the HTTP request; if empty, a check is a TCP connection.
    pub path: String,
    /// `Host` of that request; if empty, the destination as configured.
    pub host: String,
    /// The statuses that count as success.
    pub statuses: Statuses,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            interval: 5_000,
            timeout: 2_000,
            rise: 2,
            fall: 3,
            path: String::new(),
            host: String::new(),
            statuses: Statuses(vec![200..=399]),
        }
    }
}

impl CheckSettings {
    /// The delay before the check that follows `done` others, in milliseconds from the start of the
    /// last one; `random` are unpredictable bits.
    ///
    /// The first check comes soon, because nothing is known yet. The second comes at a random time
    /// in the second half of the interval, which spreads the checks over it. Later ones vary a
    /// little, so that they do not synchronize with those of other instances.
    pub fn delay(&self, done: u64, random: u64) -> u64 {
        let interval = self.interval;
        match done {
            0 => random % interval.clamp(1, 500),
            1 => interval - random % (interval / 2 + 1),
            _ => interval - interval / 10 + random % (interval / 5 + 1),
        }
    }
}

/// Whether a path is valid in a request line (RFC 9112 3.2.1).
pub fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// A list of statuses and ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// What a valid list is, for "it must be ...".
    pub const EXPECTED: &'static str =
        "\"status=\" with statuses from 100 to 599 and ranges of them, as in \"status=200-299,304\"";

    /// Parses a list; `None` if it is not [`Self::EXPECTED`].
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(range).collect::<Option<_>>().map(Self)
    }

    /// Whether the list includes `status`.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (number(low)?, number(high)?);
    (low <= high).then_some(low..=high)
}

fn number(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|status| (100..=599).contains(status))
}

/// Whether a text is a valid value of `Host`: a name or an address, with or without a port (RFC
/// 9110 7.2).
pub fn is_host(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(fits)
}

/// The HTTP request of a check, empty if a check is a TCP connection. `server` is the destination
/// as configured; if it cannot be a host (a unix socket), `localhost` is used.
pub fn request(settings: &CheckSettings, server: &str) -> String {
    let CheckSettings { path, host, .. } = settings;
    if path.is_empty() {
        return String::new();
    }
    let host = match host.as_str() {
        "" if !server.starts_with("unix:") && is_host(server) => server,
        "" => "localhost",
        host => host,
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ngx-elb-websocket\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
}

/// The result of the bytes received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// More bytes are needed.
    More,
    /// The status of the response.
    Status(u16),
    /// The bytes are not HTTP/1.
    Malformed,
    /// [`MOST`] bytes came without a final status.
    TooLong,
}

/// Maximum size of interim responses, in bytes.
pub const MOST: usize = 64 * 1024;

/// The start of a status line; `#` stands for any digit.
const LINE: &[u8] = b"HTTP/1.# ###";

/// Parses a response up to its final status, in parts as they arrive. Interim responses, of which
/// there may be any number (RFC 9110 15.2), are skipped with their headers. A 101 is final, because
/// another protocol follows it.
#[derive(Clone, Debug)]
pub struct Reader {
    place: Place,
    /// The digits of the status, as a number.
    status: u16,
    /// How many more bytes are accepted.
    left: usize,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a status line (RFC 9112 4), before the byte at this index.
    Status(usize),
    /// In a header of an interim response, or after its status; `true` at the start of a line.
    Header(bool),
}

impl Default for Reader {
    fn default() -> Self {
        Self { place: Place::Status(0), status: 0, left: MOST }
    }
}

impl Reader {
    /// Parses the next bytes; do not call it after any result but [`ProbeAnswer::More`].
    pub fn read(&mut self, bytes: &[u8]) -> ProbeAnswer {
        for byte in bytes {
            if self.left == 0 {
                return ProbeAnswer::TooLong;
            }
            self.left -= 1;
            let said = match self.place {
                Place::Status(index) => self.in_status(index, *byte),
                Place::Header(at_start) => {
                    self.place = match (byte, at_start) {
                        (b'\n', true) => Place::Status(0),
                        (b'\n', false) => Place::Header(true),
                        (b'\r', _) => Place::Header(at_start),
                        _ => Place::Header(false),
                    };
                    ProbeAnswer::More
                }
            };
            if said != ProbeAnswer::More {
                return said;
            }
        }
        ProbeAnswer::More
    }

    fn in_status(&mut self, index: usize, byte: u8) -> ProbeAnswer {
        let fits = match LINE.get(index) {
            Some(b'#') => byte.is_ascii_digit(),
            Some(expected) => byte == *expected,
            None => matches!(byte, b' ' | b'\r' | b'\n'),
        };
        if !fits {
            return ProbeAnswer::Malformed;
        }
        if index < LINE.len() {
            self.place = Place::Status(index + 1);
            // of the digits so far, only the last three count
            self.status = self.status % 100 * 10 + u16::from(byte & 0xf);
            return ProbeAnswer::More;
        }
        match self.status {
            101 | 200..=599 => ProbeAnswer::Status(self.status),
            100..=199 => {
                self.place = Place::Header(byte == b'\n');
                ProbeAnswer::More
            }
            _ => ProbeAnswer::Malformed,
        }
    }
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be made; the system's reason.
    Connect(String),
    /// The connection failed later; the system's reason.
    Connection(String),
    /// The connection was closed before a status arrived.
    Closed,
    /// The response is not HTTP/1.
    Malformed,
    /// Only interim responses arrived.
    TooLong,
    /// The status is not one of the expected.
    Status(u16),
    /// The check exceeded this timeout, in milliseconds.
    Timeout(u64),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(reason) => write!(f, "connect: {reason}"),
            Self::Connection(reason) => f.write_str(reason),
            Self::Closed => f.write_str("closed without an answer"),
            Self::Malformed => f.write_str("answered with something other than HTTP/1"),
            Self::TooLong => {
                write!(f, "answered with {} kB of interim answers", MOST / 1024)
            }
            Self::Status(status) => write!(f, "status {status}"),
            Self::Timeout(time) if time % 1000 == 0 => {
                write!(f, "timed out after {}s", time / 1000)
            }
            Self::Timeout(time) => write!(f, "timed out after {time}ms"),
        }
    }
}

/// Whether a destination is up, according to its checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    up: Option<bool>,
    /// Consecutive results that contradict `up`.
    against: u32,
}

impl State {
    /// A state that was determined earlier.
    pub const fn known(up: bool) -> Self {
        Self { up: Some(up), against: 0 }
    }

    /// Whether the destination is up; `None` before the first result.
    pub const fn up(self) -> Option<bool> {
        self.up
    }

    /// Adds a result. The first one decides at once; later, `rise` or `fall` consecutive ones do.
    pub fn record(&mut self, success: bool, settings: &CheckSettings) {
        let needed = if success { settings.rise } else { settings.fall };
        self.against = match self.up {
            Some(up) if up == success => 0,
            _ => self.against.saturating_add(1),
        };
        if self.up.is_none() || self.against >= needed {
            *self = Self::known(success);
        }
    }
}

/// The servers of an upstream block, counted by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// Receive requests.
    pub up: usize,
    /// Found down by their checks.
    pub dead: usize,
    /// Marked `down` in the configuration.
    pub out: usize,
}

impl Availability {
    /// Whether the block is down: no server is up, and not merely because the configuration marks
    /// all of them down. A block whose names do not resolve has no servers.
    pub const fn is_down(self) -> bool {
        self.up == 0 && (self.dead > 0 || self.out == 0)
    }
}

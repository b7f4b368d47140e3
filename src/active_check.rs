//! Active checks of destinations: what is asked, what an answer means, and what a row of results
//! comes to.

use std::fmt;
use std::ops::RangeInclusive;

/// How destinations are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// From the start of a check to that of the next, in milliseconds, above 0.
    pub interval: u64,
    /// How long a check may take, in milliseconds, above 0.
    pub timeout: u64,
    /// Successes in a row that bring a destination up again, above 0.
    pub rise: u32,
    /// Failures in a row that take it down, above 0.
    pub fall: u32,
    /// What is asked for by HTTP; where empty, a check is a TCP connection.
    pub path: String,
    /// `Host` of that request; where empty, it is the destination as configured.
    pub host: String,
    /// The statuses that are a success.
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
    /// How long to wait for the check that follows `done` others, in milliseconds from the start
    /// of the last one; `random` are bits of which nobody knows a pattern.
    ///
    /// The first comes soon, since nothing is known yet. The second comes anywhere in the second
    /// half of the interval, which spreads the checks over it, and those after it keep some
    /// distance from a beat that other instances may have too.
    pub fn delay(&self, done: u64, random: u64) -> u64 {
        let interval = self.interval;
        match done {
            0 => random % interval.clamp(1, 500),
            1 => interval - random % (interval / 2 + 1),
            _ => interval - interval / 10 + random % (interval / 5 + 1),
        }
    }
}

/// Whether a path can stand in a request line (RFC 9112 3.2.1).
pub fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// Statuses and ranges of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// What would be right, for "it must be ...".
    pub const EXPECTED: &'static str =
        "\"status=\" with statuses from 100 to 599 and ranges of them, as in \"status=200-299,304\"";

    /// Reads a list; `None` where it is not [`Self::EXPECTED`].
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(range).collect::<Option<_>>().map(Self)
    }

    /// Whether `status` is one of them.
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

/// Whether a text can be the value of `Host`: a name or an address, with or without a port
/// (RFC 9110 7.2).
pub fn is_host(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(fits)
}

/// The request of a check by HTTP, empty where a check is a TCP connection. `server` is the
/// destination as configured; where it cannot be a host (a unix socket), `localhost` stands for it.
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

/// What an answer has said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// Not enough yet.
    More,
    /// Its status.
    Status(u16),
    /// This is no HTTP/1.
    Malformed,
    /// [`MOST`] bytes have come, and none of them a final status.
    TooLong,
}

/// Bytes of interim answers that are read at most.
pub const MOST: usize = 64 * 1024;

/// A status line as far as it is looked at; a `#` stands for any digit.
const LINE: &[u8] = b"HTTP/1.# ###";

/// Reads an answer up to its final status, in parts as they come. Interim answers, of which there
/// may be any number (RFC 9110 15.2), are skipped with their headers; a 101 is final, for what
/// follows it is another protocol.
#[derive(Clone, Debug)]
pub struct Reader {
    place: Place,
    /// Digits of the status, as a number.
    status: u16,
    /// Bytes that may still come.
    left: usize,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a status line (RFC 9112 4), before the byte of this index.
    Status(usize),
    /// In a header of an interim answer, or behind its status; `true` at the start of a line.
    Header(bool),
}

impl Default for Reader {
    fn default() -> Self {
        Self { place: Place::Status(0), status: 0, left: MOST }
    }
}

impl Reader {
    /// Takes the next bytes in; none is wanted after any result but [`ProbeAnswer::More`].
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
            // the last three are what is left of the digits before
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

/// Why a check has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about; the system's reason.
    Connect(String),
    /// The connection failed later; the system's reason.
    Connection(String),
    /// It was closed before a status came.
    Closed,
    /// What came is no HTTP/1.
    Malformed,
    /// What came are interim answers alone.
    TooLong,
    /// A status that is none of the expected.
    Status(u16),
    /// It took longer than this, in milliseconds.
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

/// Whether a destination is up, as its checks tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    up: Option<bool>,
    /// Results in a row that speak against `up`.
    against: u32,
}

impl State {
    /// A state that was found out before.
    pub const fn known(up: bool) -> Self {
        Self { up: Some(up), against: 0 }
    }

    /// Whether it is up; `None` before the first result.
    pub const fn up(self) -> Option<bool> {
        self.up
    }

    /// Takes a result in. The first decides at once; after it, `rise` or `fall` in a row do.
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

/// The destinations of an upstream block by what becomes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// They get requests.
    pub up: usize,
    /// Their checks have found them down.
    pub dead: usize,
    /// The configuration takes them out.
    pub out: usize,
}

impl Availability {
    /// Whether the block is down: none is left up, for another reason than that the configuration
    /// takes all of them out. One whose names lead nowhere has none.
    pub const fn is_down(self) -> bool {
        self.up == 0 && (self.dead > 0 || self.out == 0)
    }
}

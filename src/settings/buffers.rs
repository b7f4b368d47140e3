//! Limits for the headers of requests and responses.

use std::fmt;

use super::types::{decimal, FromText};

/// A size in bytes, from 1k to 1m. A smaller buffer would not hold an ordinary header, and larger
/// ones for each connection would exhaust the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(u32);

const KILO: u32 = 1024;

impl FromText for Size {
    const EXPECTED: &'static str = "a size from 1k to 1m, as in \"16k\"";

    fn from_text(text: &str) -> Option<Self> {
        let (digits, unit) = match text.as_bytes().last()? {
            b'k' | b'K' => (&text[..text.len() - 1], KILO),
            b'm' | b'M' => (&text[..text.len() - 1], KILO * KILO),
            _ => (text, 1),
        };
        let size = decimal::<u32>(digits)?.checked_mul(unit)?;
        (KILO..=KILO * KILO).contains(&size).then_some(Self(size))
    }
}

/// The size in nginx's notation.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % KILO {
            0 => write!(f, "{}k", self.0 / KILO),
            _ => self.0.fmt(f),
        }
    }
}

impl Size {
    /// The number of buffers of this size for the body of a response: 64k in total, and at least
    /// four.
    ///
    /// nginx sends from two of them while it reads into others (`proxy_busy_buffers_size`, twice
    /// the size), and requires one more than those. Four buffers satisfy this for any size without
    /// a directive for the busy ones, so a `location` may still set another `proxy_buffer_size`.
    pub fn body_buffers(self) -> u32 {
        (64 * KILO).div_ceil(self.0).max(4)
    }
}

/// The buffers for a request header that does not fit into nginx's first buffer of 1k: their
/// number, and the size of each, which is the maximum for the request line and for one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestBuffers {
    /// The maximum number for one request.
    pub number: u32,
    /// The size of each.
    pub size: Size,
}

impl FromText for RequestBuffers {
    const EXPECTED: &'static str =
        "a number from 1 to 64 and a size from 1k to 1m, as in \"4 16k\"";

    fn from_text(text: &str) -> Option<Self> {
        let (number, size) = text.split_once(' ')?;
        let number = decimal(number).filter(|number| (1..=64).contains(number))?;
        Some(Self { number, size: Size::from_text(size.trim_start_matches(' '))? })
    }
}

impl fmt::Display for RequestBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.size)
    }
}

/// The arguments of `elb_header_buffers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderBuffers {
    /// For the request header.
    pub request: RequestBuffers,
    /// For the response header of the upstream.
    pub response: Size,
}

/// The item that was too large for its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLarge {
    /// The request line: 414.
    RequestLine,
    /// A field of the request header, or the whole header: 400.
    RequestHeader,
    /// The response header of the upstream: 502.
    ResponseHeader,
}

/// What is known of a request when it is logged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// The status of the response.
    pub status: usize,
    /// Whether an upstream was contacted, which may itself answer with any status.
    pub proxied: bool,
    /// Whether part of the request was still unread when its response began.
    pub unread: bool,
    /// Whether the last buffer for the request header is full.
    pub request_full: bool,
    /// Whether the buffer for the response header is full before the header ended.
    pub response_full: bool,
}

impl TooLarge {
    /// Why a request was refused, if a header was too large. nginx itself logs this at level info
    /// and stores only the status, so the full buffer shows which header was too large.
    pub fn of(seen: &Seen) -> Option<Self> {
        let request_full = seen.request_full && !seen.proxied;
        match seen.status {
            414 if request_full => Some(Self::RequestLine),
            400 if request_full && seen.unread => Some(Self::RequestHeader),
            502 if seen.response_full => Some(Self::ResponseHeader),
            _ => None,
        }
    }

    /// The message for the operator: the cause, the client, and the variable to increase.
    pub fn message(self, buffers: &HeaderBuffers, client: &str, destination: &str) -> String {
        let HeaderBuffers { request, response } = buffers;
        match self {
            Self::RequestLine => format!(
                "client {client} sent a request line longer than {} and got 414, raise the size in \
                 environment variable \"LARGE_CLIENT_HEADER_BUFFERS\" (\"{request}\")",
                request.size
            ),
            Self::RequestHeader => format!(
                "client {client} sent a request header with a field longer than {}, or too long in \
                 all, and got 400, raise environment variable \"LARGE_CLIENT_HEADER_BUFFERS\" \
                 (\"{request}\")",
                request.size
            ),
            Self::ResponseHeader => format!(
                "destination {destination} sent a response header longer than {response} and client \
                 {client} got 502, raise environment variable \"PROXY_BUFFER_SIZE\""
            ),
        }
    }
}

/// The client in words: its address, and the address in its PROXY header if it differs.
pub fn client(address: &str, named: Option<&str>) -> String {
    match named.filter(|named| !named.is_empty() && *named != address) {
        Some(named) => format!("{address} (\"{named}\" in its PROXY header)"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("16k", Some("16k")),
            ("16K", Some("16k")),
            ("1m", Some("1024k")),
            ("1M", Some("1024k")),
            ("16384", Some("16k")),
            ("1025", Some("1025")),
            ("1k", Some("1k")),
            ("1023", None),
            ("0", None),
            ("2m", None),
            ("4096m", None),
            ("4194304k", None),
            ("99999999999", None),
            ("", None),
            ("k", None),
            ("+16k", None),
            ("16 k", None),
            ("16kb", None),
            ("1g", None),
            ("1\u{e4}", None),
        ];
        for (text, expected) in cases {
            let found = Size::from_text(text).map(|size| size.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn request_buffers() {
        let cases = [
            ("4 16k", Some("4 16k")),
            ("64  1m", Some("64 1024k")),
            ("1 1k", Some("1 1k")),
            ("0 16k", None),
            ("65 16k", None),
            ("4", None),
            ("16k", None),
            ("4 16k 1", None),
            (" 4 16k", None),
            ("4 512", None),
            ("4,16k", None),
            ("4 16k; return 200", None),
        ];
        for (text, expected) in cases {
            let found = RequestBuffers::from_text(text).map(|buffers| buffers.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    /// The rules of `ngx_http_proxy_merge_loc_conf`, with nginx's defaults.
    #[test]
    fn nginx_takes_what_comes_of_each_size() {
        for size in (KILO..=KILO * KILO).step_by(997).chain([KILO * KILO]) {
            let number = Size(size).body_buffers();
            assert!(number >= 2);
            let busy = 2 * size;
            assert!(busy >= size && busy <= (number - 1) * size, "{number} of {size}");
        }
        assert_eq!(Size::from_text("16k").unwrap().body_buffers(), 4);
        assert_eq!(Size::from_text("4k").unwrap().body_buffers(), 16);
        assert_eq!(Size::from_text("1m").unwrap().body_buffers(), 4);
    }

    #[test]
    fn what_was_too_large() {
        let all = Seen { unread: true, request_full: true, response_full: true, ..Seen::default() };
        let cases = [
            (Seen { status: 414, ..all }, Some(TooLarge::RequestLine)),
            (Seen { status: 414, unread: false, ..all }, Some(TooLarge::RequestLine)),
            // `return 414`, and a response of the application
            (Seen { status: 414, request_full: false, ..all }, None),
            (Seen { status: 414, proxied: true, ..all }, None),
            (Seen { status: 400, proxied: true, ..all }, None),
            (Seen { status: 400, ..all }, Some(TooLarge::RequestHeader)),
            (Seen { status: 400, request_full: false, ..all }, None),
            (Seen { status: 400, unread: false, ..all }, None),
            (Seen { status: 502, proxied: true, ..all }, Some(TooLarge::ResponseHeader)),
            (Seen { status: 502, response_full: false, ..all }, None),
            (Seen { status: 200, ..all }, None),
            (Seen { status: 101, ..all }, None),
        ];
        for (seen, expected) in cases {
            assert_eq!(TooLarge::of(&seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn the_client_is_named_as_far_as_it_is_known() {
        let cases = [
            (None, "10.0.0.1"),
            (Some(""), "10.0.0.1"),
            (Some("10.0.0.1"), "10.0.0.1"),
            (Some("192.0.2.1"), "10.0.0.1 (\"192.0.2.1\" in its PROXY header)"),
        ];
        for (named, expected) in cases {
            assert_eq!(client("10.0.0.1", named), expected, "{named:?}");
        }
    }

    #[test]
    fn the_words_name_the_variable() {
        let buffers = HeaderBuffers {
            request: RequestBuffers::from_text("4 16k").unwrap(),
            response: Size::from_text("32k").unwrap(),
        };
        let request = "LARGE_CLIENT_HEADER_BUFFERS\" (\"4 16k\")";
        for (what, ends) in [
            (TooLarge::RequestLine, request),
            (TooLarge::RequestHeader, request),
            (TooLarge::ResponseHeader, "PROXY_BUFFER_SIZE\""),
        ] {
            let message = what.message(&buffers, "192.0.2.1", "10.0.3.17:80");
            assert!(message.ends_with(ends) && message.contains("client 192.0.2.1"), "{message}");
        }
    }
}

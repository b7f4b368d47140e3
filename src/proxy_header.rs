//! Detects a PROXY protocol header in the first bytes of a connection.
//!
//! Only a listener that is configured for this may use it: the specification forbids guessing ("The
//! receiver MUST be configured to only receive the protocol ... and MUST not try to guess"),
//! because a client could send its own header if the load balancer sends none.

/// The first bytes of version 1 (proxy-protocol.txt, section 2.1).
const V1: &[u8] = b"PROXY ";

/// The longest header of version 1, its CRLF included.
const V1_LONGEST: usize = 107;

/// The first bytes of version 2 (section 2.2).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part of version 2; its last two bytes are the length of the rest.
const V2_FIXED: usize = 16;

/// The maximum number of bytes examined, nginx's own limit for a header
/// (`NGX_PROXY_PROTOCOL_MAX_HEADER`).
pub const LONGEST: usize = 4096;

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Without a header.
    Plain,
    /// With a header, complete or too long to be valid.
    Header,
    /// With bytes that may become a header.
    Incomplete,
}

/// How a connection with these first bytes begins; the bytes are all that have arrived.
pub fn beginning(bytes: &[u8]) -> Beginning {
    if let Some(rest) = bytes.strip_prefix(V1) {
        let ends = rest.windows(2).any(|pair| pair == b"\r\n");
        return if ends || bytes.len() >= V1_LONGEST {
            Beginning::Header
        } else {
            Beginning::Incomplete
        };
    }
    if bytes.starts_with(V2) {
        let length = match bytes.get(V2_FIXED - 2..V2_FIXED) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => return Beginning::Incomplete,
        };
        return if bytes.len() >= LONGEST.min(V2_FIXED + length) {
            Beginning::Header
        } else {
            Beginning::Incomplete
        };
    }
    if V1.starts_with(bytes) || V2.starts_with(bytes) {
        return Beginning::Incomplete;
    }
    Beginning::Plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(length: u16, rest: usize) -> Vec<u8> {
        [V2, &[0x21, 0x11], &length.to_be_bytes(), &vec![0; rest]].concat()
    }

    /// At every split point there is one result: incomplete before the whole header, then the
    /// header.
    #[test]
    fn a_header_is_one_once_it_is_whole() {
        let request = b"GET /ping HTTP/1.1\r\n\r\n";
        let headers: &[&[u8]] = &[
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 443\r\n",
            b"PROXY UNKNOWN\r\n",
            b"PROXY \r\n",
            &v2(0, 0),
            &v2(12, 12),
            &v2(300, 300),
        ];
        for header in headers {
            let bytes = [header, &request[..]].concat();
            for end in 0..bytes.len() {
                let whole = end >= header.len();
                let expected = if whole { Beginning::Header } else { Beginning::Incomplete };
                assert_eq!(beginning(&bytes[..end]), expected, "{end} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn a_header_that_is_too_long_is_not_waited_for() {
        let endless = [V1, &[b'x'; V1_LONGEST]].concat();
        assert_eq!(beginning(&endless[..V1_LONGEST - 1]), Beginning::Incomplete);
        assert_eq!(beginning(&endless[..V1_LONGEST]), Beginning::Header);
        let endless = v2(u16::MAX, LONGEST);
        assert_eq!(beginning(&endless[..LONGEST - 1]), Beginning::Incomplete);
        assert_eq!(beginning(&endless[..LONGEST]), Beginning::Header);
    }

    #[test]
    fn anything_else_is_none_from_the_first_byte_that_differs() {
        let cases: &[(&[u8], usize)] = &[
            (b"GET / HTTP/1.1\r\n", 1),
            (b"POST / HTTP/1.1\r\n", 2),
            (b"PUT / HTTP/1.1\r\n", 2),
            (b"PROPFIND / HTTP/1.1\r\n", 4),
            (b"PROXX TCP4 192.0.2.1", 5),
            (b"PROXY\r\n", 6),
            (b"proxy TCP4", 1),
            (b"\r\nGET / HTTP/1.1\r\n", 3),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", 5),
            (b"\r\n\r\n\0\r\nQUIT\r\n", 12),
            (b"\x16\x03\x01", 1),
        ];
        for (bytes, differs) in cases {
            for end in 0..=bytes.len() {
                let plain = end >= *differs;
                let expected = if plain { Beginning::Plain } else { Beginning::Incomplete };
                assert_eq!(beginning(&bytes[..end]), expected, "{end} bytes of {bytes:?}");
            }
        }
    }
}

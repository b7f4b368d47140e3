//! The texts at the start of a connection: PROXY protocol header, request and response.

use std::net::SocketAddr;

use base64::prelude::{Engine, BASE64_STANDARD};
use sha1::{Digest, Sha1};

/// Maximum length of a request or response head.
pub const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 48;

/// The PROXY header that a load balancer would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Proxy {
    /// None: the connection starts with the request.
    None,
    /// The text form, as from a Classic ELB.
    V1,
    /// The binary form, as from an NLB.
    V2,
}

impl Proxy {
    /// Appends the header for a connection from `client` to `server`.
    pub fn append(self, out: &mut Vec<u8>, client: SocketAddr, server: SocketAddr) {
        match self {
            Self::None => {}
            Self::V1 => {
                let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
                let text = format!(
                    "PROXY {family} {} {} {} {}\r\n",
                    client.ip(),
                    server.ip(),
                    client.port(),
                    server.port()
                );
                out.extend_from_slice(text.as_bytes());
            }
            Self::V2 => {
                out.extend_from_slice(b"\r\n\r\n\0\r\nQUIT\n\x21");
                let (family, len) = if client.is_ipv4() { (0x11, 12u16) } else { (0x21, 36) };
                out.push(family);
                out.extend_from_slice(&len.to_be_bytes());
                for end in [client, server] {
                    match end.ip() {
                        std::net::IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                        std::net::IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                    }
                }
                out.extend_from_slice(&client.port().to_be_bytes());
                out.extend_from_slice(&server.port().to_be_bytes());
            }
        }
    }
}

/// The parts common to all requests of a run.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// The Host header.
    pub host: String,
    /// Length of a Cookie header, 0 for none.
    pub cookie: usize,
}

impl Request {
    /// Appends an upgrade request such as a browser sends, with a fresh key; returns the
    /// `Sec-WebSocket-Accept` that answers it.
    pub fn append_upgrade(&self, out: &mut Vec<u8>) -> String {
        let key = BASE64_STANDARD.encode(fastrand::u128(..).to_ne_bytes());
        self.append_head(out);
        out.extend_from_slice(
            format!(
                "Connection: Upgrade\r\n\
                 Pragma: no-cache\r\n\
                 Cache-Control: no-cache\r\n\
                 Upgrade: websocket\r\n\
                 Origin: https://{}\r\n\
                 Sec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: {key}\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
                self.host
            )
            .as_bytes(),
        );
        accept_of(&key)
    }

    /// Appends an ordinary GET on a connection that stays open.
    pub fn append_get(&self, out: &mut Vec<u8>) {
        self.append_head(out);
        out.extend_from_slice(b"Accept: */*\r\nConnection: keep-alive\r\n\r\n");
    }

    fn append_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!(
                "GET {} HTTP/1.1\r\n\
                 Host: {}\r\n\
                 User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like \
                 Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
                 Accept-Encoding: gzip, deflate, br, zstd\r\n\
                 Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n",
                self.path, self.host
            )
            .as_bytes(),
        );
        if self.cookie > 0 {
            out.extend_from_slice(b"Cookie: session=");
            out.resize(out.len() + self.cookie.saturating_sub("session=".len()), b'c');
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 4.2.2).
fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(hash.finalize())
}

/// The parts of a response head that the client needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `Content-Length`, 0 without.
    pub length: u64,
    /// `Sec-WebSocket-Accept`.
    pub accept: Option<String>,
    /// `Location`.
    pub location: Option<String>,
}

impl Response {
    /// Parses a head: `None` if `bytes` end within it, otherwise the head and its length; an error
    /// if it is not HTTP or too long.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(used) = head.parse(bytes)? else {
            return too_long(bytes);
        };
        let mut response = Self { status: head.code.unwrap_or_default(), ..Self::default() };
        for header in head.headers.iter() {
            let value = || String::from_utf8_lossy(header.value).into_owned();
            match header.name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    response.length = value().parse().map_err(|_| httparse::Error::HeaderValue)?;
                }
                "sec-websocket-accept" => response.accept = Some(value()),
                "location" => response.location = Some(value()),
                _ => {}
            }
        }
        Ok(Some((response, used)))
    }
}

/// The parts of a request head that the destination needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// The path without its query.
    pub path: String,
    /// The answer to `Sec-WebSocket-Key` if this is an upgrade.
    pub accept: Option<String>,
    /// Whether the connection is closed after the response.
    pub close: bool,
}

impl Asked {
    /// Parses a head: `None` if `bytes` end within it, otherwise the head and its length; an error
    /// if it is not HTTP or too long.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(used) = head.parse(bytes)? else {
            return too_long(bytes);
        };
        let path = head.path.unwrap_or_default().split('?').next().unwrap_or_default();
        let mut asked = Self {
            path: path.to_owned(),
            accept: None,
            close: head.version == Some(0), // HTTP/1.0
        };
        let mut upgrade = false;
        for header in head.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            match header.name.to_ascii_lowercase().as_str() {
                "upgrade" => upgrade = value.eq_ignore_ascii_case("websocket"),
                "sec-websocket-key" => asked.accept = Some(accept_of(&value)),
                "connection" => asked.close |= value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        asked.accept = asked.accept.filter(|_| upgrade);
        Ok(Some((asked, used)))
    }
}

fn too_long<T>(bytes: &[u8]) -> Result<Option<T>, httparse::Error> {
    if bytes.len() > MAX_HEAD {
        return Err(httparse::Error::TooManyHeaders);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_headers_are_as_specified() {
        let (client, server) =
            ("192.0.2.1:49152".parse().unwrap(), "198.51.100.2:443".parse().unwrap());
        let mut text = Vec::new();
        Proxy::V1.append(&mut text, client, server);
        assert_eq!(text, b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 443\r\n");
        let mut binary = Vec::new();
        Proxy::V2.append(&mut binary, client, server);
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        expected.extend([192, 0, 2, 1, 198, 51, 100, 2, 0xc0, 0x00, 0x01, 0xbb]);
        assert_eq!(binary, expected);
    }

    #[test]
    fn the_accept_value_is_the_one_of_the_rfc() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn an_upgrade_request_is_understood_and_has_its_cookie() {
        let request =
            Request { path: "/echo?a=b".into(), host: "example.org".into(), cookie: 3000 };
        let mut head = Vec::new();
        let accept = request.append_upgrade(&mut head);
        let (asked, used) = Asked::parse(&head).unwrap().unwrap();
        assert_eq!(used, head.len());
        let expected = Asked { path: "/echo".into(), accept: Some(accept), close: false };
        assert_eq!(asked, expected);
        let text = String::from_utf8(head.clone()).unwrap();
        let cookie = text.lines().find_map(|line| line.strip_prefix("Cookie: ")).unwrap();
        assert_eq!(cookie.len(), 3000);
        for cut in 0..head.len() {
            assert_eq!(Asked::parse(&head[..cut]), Ok(None), "cut {cut}");
        }
    }

    #[test]
    fn a_key_without_upgrade_is_an_ordinary_request() {
        let head = b"GET / HTTP/1.0\r\nSec-WebSocket-Key: abc\r\n\r\n";
        let asked = Asked { path: "/".into(), accept: None, close: true };
        assert_eq!(Asked::parse(head), Ok(Some((asked, head.len()))));
    }

    #[test]
    fn a_response_gives_status_length_and_location() {
        let head = b"HTTP/1.1 301 Moved\r\nContent-Length: 5\r\nLocation: https://a/\r\n\r\nhello";
        let (response, used) = Response::parse(head).unwrap().unwrap();
        assert_eq!(used, head.len() - 5);
        assert_eq!((response.status, response.length), (301, 5));
        assert_eq!(response.location.as_deref(), Some("https://a/"));
    }
}

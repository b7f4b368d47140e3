//! Determines the client's address, also behind a CDN in front of the load balancer.
//!
//! The addresses are determined in steps, from nginx towards the client. Each address names the
//! next one, and is believed only if it is trusted (`TRUSTED_PROXIES`):
//!
//! 1. the peer of the connection;
//! 2. the peer of the load balancer, which the load balancer names in its PROXY header, or without
//!    the PROXY protocol as the last address in `X-Forwarded-For`;
//! 3. the client, which the CDN names in a header (`CLIENT_ADDRESS_HEADER`). The header is used
//!    only if the address of step 2 is the CDN's, because a client that bypasses the CDN can send
//!    it as well.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::settings::types::{FromText, TrustedProxies};

/// An address, and its port if known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address; an IPv4 address is never stored as IPv6.
    pub ip: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

impl Address {
    /// An address as given in a PROXY header.
    pub fn new(ip: &str, port: u16) -> Option<Self> {
        ip.parse().ok().map(|ip| Self::of(ip, Some(port).filter(|port| *port != 0)))
    }

    fn of(ip: IpAddr, port: Option<u16>) -> Self {
        Self { ip: ip.to_canonical(), port }
    }

    /// Parses an address, with or without a port; an IPv6 address with a port needs brackets.
    fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        match bare.parse() {
            Ok(ip) => Some(Self::of(ip, None)),
            Err(_) => text.parse::<SocketAddr>().ok().map(|a| Self::of(a.ip(), Some(a.port()))),
        }
    }

    /// Parses an address with a port after the last colon, an IPv6 address also without brackets.
    fn parse_with_port(text: &str) -> Option<Self> {
        let (ip, port) = text.rsplit_once(':')?;
        let ip = ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(ip);
        Some(Self::of(ip.parse().ok()?, Some(port.parse().ok()?)))
    }
}

/// The format that nginx parses (`ngx_parse_addr_port`).
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// The header in which a CDN names the client (`CLIENT_ADDRESS_HEADER`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHeader {
    name: String,
    has_port: bool,
}

impl FromText for ClientHeader {
    const EXPECTED: &'static str = "the name of a header with one address, as in \
                                    \"CloudFront-Viewer-Address\" or \"CF-Connecting-IP\"";

    fn from_text(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        // nginx drops a header with an underscore; the others hold lists, which a client can
        // prepend to
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let is_list = ["x-forwarded-for", "forwarded"].contains(&name.as_str());
        let is_name = !name.is_empty() && name.len() <= 100 && name.bytes().all(fits) && !is_list;
        let has_port = name == "cloudfront-viewer-address";
        is_name.then_some(Self { name, has_port })
    }
}

impl ClientHeader {
    /// The name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address in this header; with two headers of the name, it could be anyone's.
    fn address(&self, values: &[&[u8]]) -> Option<Address> {
        let [value] = values else { return None };
        let text = std::str::from_utf8(value).ok()?.trim();
        // CloudFront always adds a port, and no brackets: "2001:db8::1:443" is not one address
        let with_port = self.has_port.then(|| Address::parse_with_port(text)).flatten();
        with_port.or_else(|| Address::parse(text))
    }
}

/// A network: addresses with the same first bits.
#[derive(Debug, Clone, Copy)]
struct Block {
    network: IpAddr,
    prefix: u32,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network.parse().ok()?, prefix.parse().ok()?),
            None => {
                let network: IpAddr = text.parse().ok()?;
                (network, if network.is_ipv4() { 32 } else { 128 })
            }
        };
        Some(Self { network, prefix })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let other = u32::from(network) ^ u32::from(ip);
                other.checked_shr(32_u32.saturating_sub(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let other = u128::from(network) ^ u128::from(ip);
                other.checked_shr(128_u32.saturating_sub(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Trusted networks, and the headers that they are trusted for.
#[derive(Debug)]
pub struct Trust {
    blocks: Vec<Block>,
    /// Whether the load balancer uses the PROXY protocol; otherwise `X-Forwarded-For`.
    proxy_protocol: bool,
    /// The header of a CDN.
    pub header: Option<ClientHeader>,
}

/// What is known of a request.
#[derive(Debug)]
pub struct Named<'a> {
    /// The peer of its connection.
    pub peer: IpAddr,
    /// The address in the PROXY header; a load balancer's own connections have none.
    pub proxy: Option<Address>,
    /// The values of `X-Forwarded-For`, in order.
    pub forwarded: Vec<&'a [u8]>,
    /// The values of the CDN's header.
    pub header: Vec<&'a [u8]>,
}

impl Trust {
    /// Trusts these networks.
    pub fn new(
        trusted: &TrustedProxies,
        proxy_protocol: bool,
        header: Option<ClientHeader>,
    ) -> Self {
        let blocks = trusted.blocks.iter().filter_map(|block| Block::parse(block)).collect();
        Self { blocks, proxy_protocol, header }
    }

    /// Whether an address is trusted.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.blocks.iter().any(|block| block.contains(ip))
    }

    /// Whether the operator should be informed of a PROXY header: its peer is not trusted, and it
    /// names another address. If no address is trusted, this is normal. A load balancer that
    /// preserves the client's address names the peer's own address.
    pub fn is_in_vain(&self, peer: IpAddr, named: &Address) -> bool {
        !self.blocks.is_empty() && !self.contains(peer) && named.ip != peer.to_canonical()
    }

    /// The client, as named by trusted addresses; otherwise the peer.
    pub fn client(&self, named: &Named) -> Option<Address> {
        if !self.contains(named.peer) {
            return None;
        }
        // the addresses that the load balancer passes on, the nearest first
        let chain = match self.proxy_protocol {
            true => named.proxy.into_iter().collect(),
            false => forwarded(&named.forwarded),
        };
        let is_by_cdn = match chain.first() {
            Some(nearest) => self.contains(nearest.ip),
            // the CDN may be the peer itself, but not if the load balancer named no valid address
            None => !self.proxy_protocol && named.forwarded.is_empty(),
        };
        let header = self.header.as_ref().filter(|_| is_by_cdn);
        let client = header.and_then(|header| header.address(&named.header));
        client.or_else(|| {
            let trusted = chain.iter().take_while(|address| self.contains(address.ip)).count();
            chain.get(trusted).or(chain.last()).copied()
        })
    }
}

/// The addresses of `X-Forwarded-For`, the last one first, up to an invalid one.
fn forwarded(values: &[&[u8]]) -> Vec<Address> {
    let entries = values.iter().rev().flat_map(|value| {
        value.rsplit(|b| *b == b',' || *b == b' ').filter(|entry| !entry.is_empty())
    });
    let addresses = entries.map_while(|entry| Address::parse(std::str::from_utf8(entry).ok()?));
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'a> = &'a [(&'a str, &'a str)];

    const CDN: &str = "198.51.100.0/24";

    fn trust(trusted: &str, proxy_protocol: bool, header: &str) -> Trust {
        let trusted = TrustedProxies::from_text(trusted).unwrap();
        Trust::new(&trusted, proxy_protocol, ClientHeader::from_text(header))
    }

    /// The client of a request, as text.
    fn client(trust: &Trust, peer: &str, proxy: &str, headers: Headers) -> String {
        let peer: IpAddr = peer.parse().unwrap();
        let values = |name: &str| {
            let of_name = headers.iter().filter(|(key, _)| *key == name);
            of_name.map(|(_, value)| value.as_bytes()).collect()
        };
        let named = Named {
            peer,
            proxy: Address::new(proxy, 4711),
            forwarded: values("x-forwarded-for"),
            header: values("cf-connecting-ip"),
        };
        trust.client(&named).map_or("the peer".to_owned(), |client| client.to_string())
    }

    #[test]
    fn with_the_proxy_protocol() {
        let trusted = format!("10.0.0.0/8, {CDN}");
        let trust = trust(&trusted, true, "CF-Connecting-IP");
        let cf = ("cf-connecting-ip", "203.0.113.9");
        let (edge, other) = ("198.51.100.7", "192.0.2.1");
        let cases: &[(&str, &str, Headers, &str)] = &[
            ("10.0.0.1", edge, &[cf], "203.0.113.9"),
            ("10.0.0.1", edge, &[("cf-connecting-ip", "2001:db8::1")], "2001:db8::1"),
            // only the CDN is believed
            ("10.0.0.1", other, &[cf], "192.0.2.1:4711"),
            ("10.0.0.1", "", &[cf], "the peer"),
            (other, edge, &[cf], "the peer"),
            (other, "", &[cf], "the peer"),
            // without its header, the address is not determined further
            ("10.0.0.1", edge, &[], "198.51.100.7:4711"),
            ("10.0.0.1", edge, &[("cf-connecting-ip", "x")], "198.51.100.7:4711"),
            ("10.0.0.1", edge, &[("cf-connecting-ip", "")], "198.51.100.7:4711"),
            ("10.0.0.1", edge, &[("cf-connecting-ip", "1.2.3.4, 5.6.7.8")], "198.51.100.7:4711"),
            ("10.0.0.1", edge, &[cf, cf], "198.51.100.7:4711"),
            ("10.0.0.1", edge, &[("x-forwarded-for", "203.0.113.9")], "198.51.100.7:4711"),
        ];
        for (peer, proxy, headers, expected) in cases {
            assert_eq!(
                client(&trust, peer, proxy, headers),
                *expected,
                "{peer} {proxy} {headers:?}"
            );
        }
    }

    #[test]
    fn with_x_forwarded_for() {
        let trusted = format!("10.0.0.0/8, {CDN}");
        let trust = trust(&trusted, false, "CF-Connecting-IP");
        let cf = ("cf-connecting-ip", "203.0.113.9");
        let forwarded = |value| ("x-forwarded-for", value);
        let cases: &[(&str, Headers, &str)] = &[
            ("10.0.0.1", &[cf, forwarded("192.0.2.5, 198.51.100.7")], "203.0.113.9"),
            ("10.0.0.1", &[cf, forwarded("192.0.2.5"), forwarded("198.51.100.7")], "203.0.113.9"),
            // past the CDN: the load balancer names the client
            ("10.0.0.1", &[cf, forwarded("198.51.100.7, 192.0.2.1")], "192.0.2.1"),
            // the CDN is the peer
            ("198.51.100.7", &[cf], "203.0.113.9"),
            ("198.51.100.7", &[cf, forwarded("203.0.113.9")], "203.0.113.9"),
            ("198.51.100.7", &[cf, forwarded("192.0.2.1, x")], "the peer"),
            ("192.0.2.1", &[cf], "the peer"),
            // without the header, nginx's own rules apply
            ("10.0.0.1", &[forwarded("192.0.2.5, 198.51.100.7")], "192.0.2.5"),
            ("10.0.0.1", &[forwarded("192.0.2.9, 192.0.2.5 , 198.51.100.7,")], "192.0.2.5"),
            ("10.0.0.1", &[forwarded("x, 198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[forwarded("198.51.100.7, x")], "the peer"),
            ("10.0.0.1", &[forwarded("10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("10.0.0.1", &[], "the peer"),
            ("192.0.2.1", &[forwarded("192.0.2.5")], "the peer"),
        ];
        for (peer, headers, expected) in cases {
            assert_eq!(client(&trust, peer, "", headers), *expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn what_cloudfront_says() {
        let viewer = ClientHeader::from_text("CloudFront-Viewer-Address").unwrap();
        let cases = [
            ("198.51.100.10:46532", Some("198.51.100.10:46532")),
            ("2001:db8::1:46532", Some("[2001:db8::1]:46532")),
            (
                "2001:0db8:85a3:0000:0000:8a2e:0370:7334:443",
                Some("[2001:db8:85a3::8a2e:370:7334]:443"),
            ),
            ("[2001:db8::1]:443", Some("[2001:db8::1]:443")),
            ("::ffff:192.0.2.1:443", Some("192.0.2.1:443")),
            (" 198.51.100.10:1 ", Some("198.51.100.10:1")),
            ("198.51.100.10", Some("198.51.100.10")),
            ("2001:db8:0:0:0:0:0:1", Some("2001:db8::1")),
            ("198.51.100.10:65536", None),
            ("app:80", None),
            (":80", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let found = viewer.address(&[value.as_bytes()]);
            assert_eq!(found.map(|a| a.to_string()).as_deref(), expected, "{value:?}");
        }
        let other = ClientHeader::from_text("True-Client-IP").unwrap();
        let cases = [
            ("2001:db8::1:443", Some("2001:db8::1:443")),
            ("[2001:db8::1]:443", Some("[2001:db8::1]:443")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("192.0.2.1:80", Some("192.0.2.1:80")),
            ("192.0.2.1", Some("192.0.2.1")),
        ];
        for (value, expected) in cases {
            let found = other.address(&[value.as_bytes()]);
            assert_eq!(found.map(|a| a.to_string()).as_deref(), expected, "{value:?}");
        }
        assert_eq!(viewer.address(&[b"\xff"]), None);
    }

    #[test]
    fn names_of_headers() {
        let long = "a".repeat(101);
        let cases = [("CF-Connecting-IP", true), ("x1", true), ("", false), ("a b", false)];
        let lists = [("X-Forwarded-For", false), ("forwarded", false), ("a_b", false)];
        let odd = [("a:", false), ("\u{e4}", false), (long.as_str(), false)];
        for (name, fits) in cases.into_iter().chain(lists).chain(odd) {
            assert_eq!(ClientHeader::from_text(name).is_some(), fits, "{name:?}");
        }
        assert_eq!(ClientHeader::from_text("CF-Connecting-IP").unwrap().name(), "cf-connecting-ip");
    }

    #[test]
    fn who_is_trusted() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "::a00:1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.0", false),
            ("192.0.2.0/31", "192.0.2.1", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
            ("::1", "::1", true),
            ("::1", "::2", false),
            ("::/0", "::2", true),
            ("none", "127.0.0.1", false),
        ];
        for (trusted, ip, expected) in cases {
            let trust = trust(trusted, true, "");
            assert_eq!(trust.contains(ip.parse().unwrap()), expected, "{trusted} {ip}");
        }
    }

    #[test]
    fn a_header_in_vain() {
        let cases = [
            ("10.0.0.0/8", "203.0.113.7", "192.0.2.1", true),
            ("10.0.0.0/8", "10.0.0.1", "192.0.2.1", false),
            // an NLB that preserves the client's address
            ("10.0.0.0/8", "192.0.2.1", "192.0.2.1", false),
            ("10.0.0.0/8", "::ffff:192.0.2.1", "192.0.2.1", false),
            ("none", "203.0.113.7", "192.0.2.1", false),
        ];
        for (trusted, peer, named, expected) in cases {
            let trust = trust(trusted, true, "");
            let named = Address::new(named, 1).unwrap();
            let found = trust.is_in_vain(peer.parse().unwrap(), &named);
            assert_eq!(found, expected, "{trusted} {peer} {named}");
        }
    }
}

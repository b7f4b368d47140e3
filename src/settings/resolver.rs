//! Names of destinations: `/etc/hosts`, `/etc/resolv.conf` and the candidates of a search list.

use std::net::{IpAddr, Ipv6Addr};

/// The content of `/etc/resolv.conf`, as defined by resolv.conf(5).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The nameservers that nginx's resolver can query.
    pub nameservers: Vec<IpAddr>,
    /// The other nameservers, as written.
    pub unusable: Vec<String>,
    search: Vec<String>,
    ndots: usize,
}

impl ResolvConf {
    /// Parses the text of a resolv.conf; unknown lines are skipped.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self { ndots: 1, ..Self::default() };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.nameserver(words.next().unwrap_or_default()),
                // the last one applies
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("search") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = |word: &str| word.strip_prefix("ndots:")?.parse().ok();
                    conf.ndots = words.filter_map(ndots).next_back().unwrap_or(conf.ndots).min(15);
                }
                _ => {}
            }
        }
        conf.search.retain(|domain| domain != ".");
        conf
    }

    /// nginx's resolver accepts an address, but neither a scoped one (`fe80::1%eth0`) nor `::`.
    fn nameserver(&mut self, word: &str) {
        match word.parse() {
            Ok(address) if address != IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                self.nameservers.push(address);
            }
            _ => self.unusable.push(word.to_owned()),
        }
    }

    /// The names to look up, in order: `name` itself, and with each domain of the search list.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().map(|domain| {
            let domain = domain.trim_end_matches('.');
            format!("{name}.{domain}")
        });
        let as_is = std::iter::once(name.to_owned());
        if name.matches('.').count() >= self.ndots {
            as_is.chain(searched).collect()
        } else {
            searched.chain(as_is).collect()
        }
    }
}

/// Whether `/etc/hosts` (hosts(5)) has an address for `name`.
pub fn in_hosts(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        words.next().is_some_and(|address| address.parse::<IpAddr>().is_ok())
            && words.any(|word| word.eq_ignore_ascii_case(name))
    })
}

/// The result of looking up one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// It has an address.
    Found,
    /// The name does not exist.
    NotFound,
    /// No nameserver answered: looking up further names would only take time.
    NoAnswer,
}

/// The first candidate that resolves. A single candidate needs no lookup.
pub fn first_found(
    candidates: &[String],
    mut lookup: impl FnMut(&str) -> Lookup,
) -> Option<&String> {
    if let [only] = candidates {
        return Some(only);
    }
    for candidate in candidates {
        match lookup(candidate) {
            Lookup::Found => return Some(candidate),
            Lookup::NotFound => {}
            Lookup::NoAnswer => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let conf = ResolvConf::parse(
            "# made by hand\nnameserver 10.0.0.2 ; first\nnameserver fd00::1\n\
             nameserver fe80::1%eth0\nnameserver dns.example\n\
             domain example\nsearch a.example b.example.\noptions rotate ndots:2\nsortlist x\n",
        );
        assert_eq!(conf.nameservers.len(), 2, "{conf:?}");
        assert_eq!(conf.unusable, ["fe80::1%eth0", "dns.example"]);
        assert_eq!(conf.search, ["a.example", "b.example."]);
        assert_eq!(conf.ndots, 2);
        assert_eq!(ResolvConf::parse("").ndots, 1);
        assert_eq!(ResolvConf::parse("options ndots:99").ndots, 15);
        assert_eq!(ResolvConf::parse("search .\n").search, [""; 0]);
    }

    #[test]
    fn candidates() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("", "app", &["app"]),
            ("search a b", "app", &["app.a", "app.b", "app"]),
            ("search a b", "app.x", &["app.x", "app.x.a", "app.x.b"]),
            ("search a.\noptions ndots:5", "app.x", &["app.x.a", "app.x"]),
            ("search a\noptions ndots:0", "app", &["app", "app.a"]),
            ("search a", "app.", &["app"]),
        ];
        for (text, name, expected) in cases {
            assert_eq!(ResolvConf::parse(text).candidates(name), *expected, "{text:?} {name}");
        }
    }

    #[test]
    fn hosts() {
        let text = "127.0.0.1 localhost # app-0\n::1\tlocalhost ip6\n10.0.0.3 App app.example\nx y";
        for (name, expected) in
            [("app", true), ("ip6", true), ("app.example", true), ("app-0", false), ("y", false)]
        {
            assert_eq!(in_hosts(text, name), expected, "{name}");
        }
    }

    #[test]
    fn the_first_name_that_resolves_is_taken() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let by = |found: &'static str, silent: &'static str| {
            move |name: &str| match name {
                name if name == found => Lookup::Found,
                name if name == silent => Lookup::NoAnswer,
                _ => Lookup::NotFound,
            }
        };
        assert_eq!(first_found(&names, by("b", "")), Some(&names[1]));
        assert_eq!(first_found(&names, by("", "")), None);
        assert_eq!(first_found(&names, by("c", "b")), None);
        assert_eq!(first_found(&names[..1], |_| panic!("looked up")), Some(&names[0]));
    }
}

//! The headers that a location sends to its upstream: those of `proxy_set_header`, as nginx
//! inherits them, and those of `elb_proxy_set_header`, which are inherited individually.

/// Whether `text` is a valid header name, a token (RFC 9110 5.6.2).
pub fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

/// A header of `elb_proxy_set_header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHeader {
    /// Its name, in the case in which it is sent.
    pub name: String,
    /// Its value, with nginx's variables; if that is empty, the header is not sent.
    pub value: String,
    /// The depth of the level that set it: 0 is http.
    depth: usize,
}

/// The headers of `elb_proxy_set_header` at one level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<SetHeader>);

impl Headers {
    /// Sets a header at this level; `false` if it is set already.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        if self.find(name.as_bytes()).is_some() {
            return false;
        }
        self.0.push(SetHeader { name: name.to_owned(), value: value.to_owned(), depth: 0 });
        true
    }

    /// Whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers in effect at a level of this `depth` that sets `own` itself, inside the level of
    /// `self`: the inner header of a name wins.
    #[must_use]
    pub fn inherited_by(&self, own: &Self, depth: usize) -> Self {
        let outer = self.0.iter().filter(|header| own.find(header.name.as_bytes()).is_none());
        let own = own.0.iter().map(|header| SetHeader { depth, ..header.clone() });
        Self(outer.cloned().chain(own).collect())
    }

    /// The headers to send if `proxy_set_header` sets `theirs`, by name, at this `depth`. Of two
    /// with the same name the inner one is sent, and at the same level that of `proxy_set_header`;
    /// the second result is `true` for each of `theirs` that is sent.
    pub fn beside(&self, theirs: &[&[u8]], depth: usize) -> (Vec<&SetHeader>, Vec<bool>) {
        let is_ours = |name: &[u8]| self.find(name).is_some_and(|ours| ours.depth > depth);
        let has = |ours: &SetHeader| {
            theirs.iter().any(|name| name.eq_ignore_ascii_case(ours.name.as_bytes()))
        };
        let ours = self.0.iter().filter(|ours| ours.depth > depth || !has(ours)).collect();
        (ours, theirs.iter().map(|name| !is_ours(name)).collect())
    }

    fn find(&self, name: &[u8]) -> Option<&SetHeader> {
        self.0.iter().find(|header| header.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name=value` words.
    fn headers(words: &str) -> Headers {
        let mut headers = Headers::default();
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').expect(word);
            assert!(headers.set(name, value), "{word}");
        }
        headers
    }

    fn words<'a>(headers: impl IntoIterator<Item = &'a SetHeader>) -> String {
        let words = headers.into_iter().map(|header| format!("{}={}", header.name, header.value));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_name_is_a_token() {
        for (text, expected) in [
            ("Host", true),
            ("X-Forwarded-For", true),
            ("x_y.z!", true),
            ("", false),
            ("X Y", false),
            ("X:", false),
            ("X\u{e4}", false),
            ("X\r\nY", false),
        ] {
            assert_eq!(is_name(text), expected, "{text:?}");
        }
    }

    #[test]
    fn one_level_sets_a_name_once() {
        let mut own = headers("Host=a");
        assert!(!own.set("HOST", "b"));
        assert!(own.set("Hosts", "b"));
        assert_eq!(words(&own.0), "Host=a Hosts=b");
    }

    #[test]
    fn the_inner_level_replaces_a_name() {
        for (outer, own, expected) in [
            ("", "", ""),
            ("A=1 B=2", "", "A=1 B=2"),
            ("", "A=1", "A=1"),
            ("A=1 B=2", "b=3", "A=1 b=3"),
            ("A=1 B=2", "C=3 A=", "B=2 C=3 A="),
        ] {
            let http = Headers::default().inherited_by(&headers(outer), 0);
            let server = http.inherited_by(&headers(own), 1);
            assert_eq!(words(&server.0), expected, "{outer:?} {own:?}");
        }
    }

    #[test]
    fn of_a_name_the_inner_one_is_sent() {
        // ours in http and in a location, two levels deeper; theirs and their depth; the headers
        // sent of ours and of theirs
        type Case<'a> = (&'a str, &'a str, &'a [&'a str], usize, &'a str, &'a str);
        let cases: &[Case] = &[
            ("Host=h", "", &[], 0, "Host=h", ""),
            ("Host=h", "", &["X"], 0, "Host=h", "X"),
            ("Host=h", "", &["HOST"], 0, "", "HOST"),
            ("Host=h", "", &["host"], 1, "", "host"),
            ("Host=h X=x", "", &["Host", "Y"], 2, "X=x", "Host Y"),
            ("Host=h", "Host=l", &["Host"], 0, "Host=l", ""),
            ("Host=h", "Host=l", &["Host", "X"], 1, "Host=l", "X"),
            ("Host=h", "Host=l", &["Host"], 2, "", "Host"),
            ("A=1", "B=2", &["a", "b", "c"], 1, "B=2", "a c"),
            // a header that is set twice is sent twice, as nginx does
            ("A=1", "", &["X", "X"], 2, "A=1", "X X"),
        ];
        for (http, location, theirs, depth, ours_sent, theirs_sent) in cases {
            let http = Headers::default().inherited_by(&headers(http), 0);
            let server = http.inherited_by(&Headers::default(), 1);
            let ours = server.inherited_by(&headers(location), 2);
            let names: Vec<_> = theirs.iter().map(|name| name.as_bytes()).collect();
            let (added, kept) = ours.beside(&names, *depth);
            let kept: Vec<_> =
                theirs.iter().zip(kept).filter_map(|(name, kept)| kept.then_some(*name)).collect();
            assert_eq!(
                (words(added), kept.join(" ")),
                ((*ours_sent).to_owned(), (*theirs_sent).to_owned()),
                "{theirs:?} at {depth} beside {ours:?}"
            );
        }
    }
}

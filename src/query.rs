//! Query strings, in which browsers send tokens, and their removal.

/// A request line, a URI or a `Referer` without its query, in two parts: the text before the query,
/// and the protocol after it, if there is one. From text that is no request, everything that could
/// be part of a query is removed.
pub fn without(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(at) = text.iter().position(|byte| *byte == b'?') else { return (text, b"") };
    let (head, query) = text.split_at(at);
    (head, protocol(query))
}

/// The protocol at the end of a request line, with the space before it.
fn protocol(text: &[u8]) -> &[u8] {
    let end = &text[text.len().saturating_sub(" HTTP/1.1".len())..];
    match end {
        [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            end
        }
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_its_query() {
        let cases = [
            ("GET /a?token=1 HTTP/1.1", "GET /a HTTP/1.1"),
            ("GET /a?b=1?c=2 x HTTP/1.1", "GET /a HTTP/1.1"),
            ("GET /a?b HTTP/1.1 c HTTP/2.0", "GET /a HTTP/2.0"),
            ("GET /a? HTTP/1.0", "GET /a HTTP/1.0"),
            ("GET /a?token=1", "GET /a"),
            ("GET /a HTTP/1.1", "GET /a HTTP/1.1"),
            ("GET /%3Fa HTTP/1.1", "GET /%3Fa HTTP/1.1"),
            ("GET /a?token= HTTP/x.1", "GET /a"),
            ("/a?token=1", "/a"),
            ("/a", "/a"),
            ("?HTTP/1.1", ""),
            ("? HTTP/1.1", " HTTP/1.1"),
            ("https://app.example/a?token=1", "https://app.example/a"),
            ("", ""),
        ];
        for (text, expected) in cases {
            let (head, protocol) = without(text.as_bytes());
            assert_eq!([head, protocol].concat(), expected.as_bytes(), "{text:?}");
        }
    }
}

//! The opening handshake of a WebSocket (RFC 6455 section 4), as far as its headers show it.

/// Whether the values of `Upgrade` headers, of a request or of a 101, contain the token
/// `websocket`, in any case, alone or in a list (RFC 6455 4.2.1, RFC 9110 7.8). With a version
/// after a slash it is another protocol.
pub fn has_websocket<'a>(upgrade: impl IntoIterator<Item = &'a [u8]>) -> bool {
    upgrade
        .into_iter()
        .flat_map(|value| value.split(|b| *b == b','))
        .any(|token| trimmed(token).eq_ignore_ascii_case(b"websocket"))
}

/// Trims the white space that HTTP allows around the items of a list (RFC 9110 5.6.1).
fn trimmed(item: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = item.iter().take_while(|b| is_blank(b)).count();
    let end = item.len() - item.iter().rev().take_while(|b| is_blank(b)).count();
    item.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_wherever_it_stands() {
        let cases: &[(&[&str], bool)] = &[
            (&[], false),
            (&[""], false),
            (&["websocket"], true),
            (&["WebSocket"], true),
            (&["WEBSOCKET "], true),
            (&["websocket, h2c"], true),
            (&["h2c,websocket"], true),
            (&["h2c ,\t websocket\t, x"], true),
            (&[",,websocket"], true),
            (&["h2c", "websocket"], true),
            (&["h2c", "TLS/1.0"], false),
            (&["web", "socket"], false),
            (&["websocket2"], false),
            (&["websocket/13"], false),
            (&["web socket"], false),
            (&["x-websocket"], false),
            (&["websocket;q=1"], false),
            (&["\"websocket\""], false),
            (&["\u{b}websocket"], false),
        ];
        for (values, expected) in cases {
            let asked = has_websocket(values.iter().map(|value| value.as_bytes()));
            assert_eq!(asked, *expected, "{values:?}");
        }
    }
}

//! The media type in `Content-Type`.

/// Whether it is the type of server-sent events: `text/event-stream` in any case, with or without
/// parameters (RFC 9110 8.3.1; WHATWG HTML, "Server-sent events").
pub fn is_event_stream(content_type: &[u8]) -> bool {
    let name = content_type.split(|b| *b == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_counts() {
        let cases: &[(&str, bool)] = &[
            ("text/event-stream", true),
            ("Text/Event-Stream", true),
            ("text/event-stream;charset=utf-8", true),
            ("text/event-stream ; charset=UTF-8", true),
            (" text/event-stream", true),
            ("", false),
            (";", false),
            ("text/event-streams", false),
            ("text/event", false),
            ("text/plain; note=text/event-stream", false),
            ("text/event-stream, text/plain", false),
        ];
        for (content_type, expected) in cases {
            assert_eq!(is_event_stream(content_type.as_bytes()), *expected, "{content_type:?}");
        }
    }
}

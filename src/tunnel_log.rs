//! The log line of a tunnel at its end, as text or JSON.

use std::fmt::Write;

use serde::{Serialize, Serializer};
use websocket_tunnel::Summary;

use crate::registry::LOG_FIELDS;

/// The head of a line: what is known when the tunnel begins, in one small allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head(Box<str>);

impl Head {
    /// Maximum length of the head, in bytes. A longer URI is truncated.
    pub const MAX: usize = 440;

    /// Maximum length of the request id, in bytes; a longer one is truncated.
    pub const MAX_ID: usize = 128;

    /// Joins the client's address, the URI, the upstream's address and the id of the request; each
    /// is empty if not known.
    pub fn new(client: &str, uri: &str, destination: &str, id: &str) -> Self {
        let id = cut(id, Self::MAX_ID);
        let taken = client.len() + destination.len() + id.len() + 3;
        let uri = cut(uri, Self::MAX.saturating_sub(taken));
        // nginx's parser of request lines accepts no newline; only the last part may have one
        Self([client, uri, destination, id].join("\n").into_boxed_str())
    }

    fn parts(&self) -> [&str; 4] {
        let mut parts = self.0.splitn(4, '\n');
        [(); 4].map(|()| parts.next().unwrap_or_default())
    }
}

/// The start of a text, cut at a character boundary.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// The format of a line: with the fields of [`LOG_FIELDS`], in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Words and numbers.
    Text,
    /// One JSON object.
    Json,
}

/// The data of a line.
#[derive(Debug)]
pub struct Line<'a> {
    /// When the tunnel ended, ISO 8601.
    pub time: &'a str,
    /// The client's address.
    pub client: &'a str,
    /// The requested URI.
    pub uri: &'a str,
    /// The destination's address.
    pub destination: &'a str,
    /// The value of the log's `id=`, empty for none.
    pub id: &'a str,
    /// Milliseconds from the handshake to the end.
    pub duration: u64,
    /// The result of the session.
    pub summary: &'a Summary,
}

/// The value of a field, which defines its format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LogValue<'a> {
    /// A word; written unchanged.
    Word(&'a str),
    /// A text; quoted in the text format.
    Quoted(&'a str),
    /// A text or null; in the text format one word, with special characters escaped, or `-`.
    OneWord(Option<&'a str>),
    /// A time in milliseconds; written in seconds.
    Seconds(u64),
    /// A number.
    Number(u64),
    /// A number or null; in the text format, `-` for null.
    Code(Option<u16>),
    /// A flag; in the text format, the name of the field or nothing.
    Flag(bool),
    /// A word or null; in the text format, after the name of the field, or nothing.
    Named(Option<&'a str>),
}

/// The line of a tunnel that was open for `duration` milliseconds, with its newline.
pub fn line(format: Format, time: &str, head: &Head, duration: u64, summary: &Summary) -> String {
    let [client, uri, destination, id] = head.parts();
    let line = Line { time, client, uri, destination, id, duration, summary };
    let mut text = match format {
        Format::Text => line.text(),
        // numbers and strings, whose serialization cannot fail
        Format::Json => serde_json::to_string(&line).unwrap_or_default(),
    };
    text.push('\n');
    text
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(LOG_FIELDS.iter().map(|field| (field.name, (field.value)(self))))
    }
}

impl Serialize for LogValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Word(text) | Self::Quoted(text) => serializer.serialize_str(text),
            Self::OneWord(text) | Self::Named(text) => text.serialize(serializer),
            Self::Seconds(time) => serializer.serialize_f64(seconds(time)),
            Self::Number(number) => serializer.serialize_u64(number),
            Self::Code(code) => code.serialize(serializer),
            Self::Flag(flag) => serializer.serialize_bool(flag),
        }
    }
}

impl Line<'_> {
    /// More than most lines need in addition to their head.
    const ROOM: usize = 160;

    fn text(&self) -> String {
        let head = self.client.len() + self.uri.len() + self.destination.len() + self.id.len();
        let mut text = String::with_capacity(head + Self::ROOM);
        for field in LOG_FIELDS {
            (field.value)(self).write(&mut text, field.name);
        }
        text
    }
}

impl LogValue<'_> {
    /// Appends the value to a line, after a space unless it is the first or has no text.
    fn write(self, line: &mut String, name: &str) {
        if matches!(self, Self::Flag(false) | Self::Named(None)) {
            return;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        // writing to a `String` cannot fail
        let _ = match self {
            Self::Word(text) => line.write_str(text),
            Self::Quoted(text) => write!(line, "\"{}\"", text.escape_debug()),
            Self::OneWord(Some(text)) => {
                push_word(line, text);
                Ok(())
            }
            Self::Seconds(time) => write!(line, "{:.3}", seconds(time)),
            Self::Number(number) => write!(line, "{number}"),
            Self::Code(Some(code)) => write!(line, "{code}"),
            Self::OneWord(None) | Self::Code(None) => line.write_str("-"),
            Self::Flag(_) => line.write_str(name),
            Self::Named(text) => write!(line, "{name}={}", text.unwrap_or_default()),
        };
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// Appends a text as one word of printable ASCII.
fn push_word(line: &mut String, text: &str) {
    for c in text.chars() {
        match c.is_ascii_graphic() && !matches!(c, '\\' | '"') {
            true => line.push(c),
            false => line.extend(c.escape_unicode()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use websocket_tunnel::{End, Proof, Reason, Traffic};

    fn summary() -> Summary {
        let client = Traffic { received: 70, frames: 7, pings: 1, ..Traffic::default() };
        let destination = Traffic { received: 80, frames: 8, pings: 2, ..Traffic::default() };
        Summary {
            reason: Some(Reason::Drain),
            proof: None,
            code: Some(1001),
            client,
            destination,
            passthrough: false,
        }
    }

    #[test]
    fn a_line_of_text() {
        let head = Head::new("1.2.3.4", "/chat?a=\"b\"", "10.0.0.1:80", "8c7e+/=");
        assert_eq!(
            line(Format::Text, "now", &head, 61_234, &summary()),
            "now 1.2.3.4 \"/chat?a=\\\"b\\\"\" 10.0.0.1:80 61.234 drain 1001 70 7 80 8 3 8c7e+/=\n"
        );
        let head = Head::new("1.2.3.4", "/chat", "10.0.0.1:80", "");
        let bare = Summary { reason: None, code: None, passthrough: true, ..summary() };
        let text = line(Format::Text, "now", &head, 0, &bare);
        assert!(text.ends_with(" 0.000 fault - 70 7 80 8 3 - passthrough\n"), "{text}");
    }

    #[test]
    fn a_line_of_json_is_compact_and_in_order() {
        let head = Head::new("1.2.3.4", "/\"\u{1}\u{e4}", "10.0.0.1:80", "");
        assert_eq!(
            line(Format::Json, "now", &head, 61_234, &summary()),
            "{\"time\":\"now\",\"remote_addr\":\"1.2.3.4\",\"uri\":\"/\\\"\\u0001\u{e4}\",\
             \"upstream_addr\":\"10.0.0.1:80\",\"duration\":61.234,\"close_reason\":\"drain\",\
             \"close_code\":1001,\"client_bytes\":70,\"client_frames\":7,\"upstream_bytes\":80,\
             \"upstream_frames\":8,\"pings\":3,\"request_id\":null,\"passthrough\":false,\
             \"proof\":null}\n"
        );
        let dead = Summary {
            reason: Some(Reason::Dead(End::Client)),
            proof: Some(Proof::Pong),
            code: None,
            passthrough: true,
            ..summary()
        };
        let text = line(Format::Json, "now", &Head::new("", "", "", "7"), 2_000, &dead);
        assert_eq!(
            text.split_once("\"duration\":").unwrap().1,
            "2.0,\"close_reason\":\"dead_client\",\"close_code\":null,\"client_bytes\":70,\
             \"client_frames\":7,\"upstream_bytes\":80,\"upstream_frames\":8,\"pings\":3,\
             \"request_id\":\"7\",\"passthrough\":true,\"proof\":\"pong\"}\n"
        );
    }

    #[test]
    fn a_line_names_the_proof_of_a_death() {
        let head = Head::new("1.2.3.4", "/chat", "10.0.0.1:80", "");
        for (proof, word) in [(Proof::Pong, "pong"), (Proof::Unacknowledged, "unacknowledged")] {
            let (reason, proof) = (Some(Reason::Dead(End::Client)), Some(proof));
            let dead = Summary { reason, proof, ..summary() };
            let text = line(Format::Text, "now", &head, 0, &dead);
            assert!(text.ends_with(&format!(" 3 - proof={word}\n")), "{text}");
            let text = line(Format::Json, "now", &head, 0, &dead);
            let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
            assert_eq!(value["proof"], word, "{text}");
        }
        let text = line(Format::Json, "now", &head, 0, &summary());
        let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(value["proof"], serde_json::Value::Null, "{text}");
    }

    #[test]
    fn a_line_of_json_parses() {
        let head = Head::new("::1", "/\"\\\u{1}ä", "unix:/tmp/x", "");
        let text = line(Format::Json, "now", &head, 5, &summary());
        let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(value["uri"], "/\"\\\u{1}ä", "{text}");
        assert_eq!(value["duration"], 0.005, "{text}");
        assert_eq!(value["close_code"], 1001, "{text}");
        assert_eq!(value["close_reason"], "drain", "{text}");
        assert_eq!(value["request_id"], serde_json::Value::Null, "{text}");
    }

    #[test]
    fn a_line_is_one_whatever_the_id() {
        for (id, word) in [
            ("a b", r"a\u{20}b"),
            ("a\nb\r\n", r"a\u{a}b\u{d}\u{a}"),
            ("\"},{\\", r"\u{22}},{\u{5c}"),
            ("ä\u{fffd}\u{7f}\u{0}", r"\u{e4}\u{fffd}\u{7f}\u{0}"),
        ] {
            let head = Head::new("1.2.3.4", "/", "10.0.0.1:80", id);
            let text = line(Format::Text, "now", &head, 5, &summary());
            assert!(text.ends_with(&format!(" 3 {word}\n")), "{text}");
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            let text = line(Format::Json, "now", &head, 5, &summary());
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
            assert_eq!(value["request_id"], id, "{text}");
            assert_eq!(value["upstream_addr"], "10.0.0.1:80", "{text}");
        }
    }

    #[test]
    fn a_head_is_never_long() {
        let long = "ä".repeat(5_000);
        let head = Head::new("1.2.3.4", &format!("/{long}"), "10.0.0.1:80", &long);
        assert!((Head::MAX - 1..=Head::MAX).contains(&head.0.len()), "{}", head.0.len());
        assert_eq!(head.parts()[2], "10.0.0.1:80");
        assert_eq!(head.parts()[3].len(), Head::MAX_ID);
    }
}

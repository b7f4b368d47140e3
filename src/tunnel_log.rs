//! What is logged of a tunnel at its end: one line, as text or JSON.

use serde::Serialize;
use websocket_tunnel::Summary;

/// The head of a line: what is known when the tunnel begins, in one small piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head(Box<str>);

impl Head {
    /// The longest head, in bytes. Of the URI, which may be longer than that, the end is left out.
    pub const MAX: usize = 440;

    /// The longest request id, in bytes; of a longer one the end is left out.
    pub const MAX_ID: usize = 128;

    /// Joins the client's address, the URI, the destination's address and what identifies the
    /// request, empty for nothing.
    pub fn new(client: &str, uri: &str, destination: &str, id: &str) -> Self {
        let id = cut(id, Self::MAX_ID);
        let taken = client.len() + destination.len() + id.len() + 3;
        let uri = cut(uri, Self::MAX.saturating_sub(taken));
        // no newline passes nginx's parser of request lines; the last part may have one
        Self([client, uri, destination, id].join("\n").into_boxed_str())
    }

    fn parts(&self) -> [&str; 4] {
        let mut parts = self.0.splitn(4, '\n');
        [(); 4].map(|()| parts.next().unwrap_or_default())
    }
}

/// The beginning of a text, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Words and numbers, in the order of the fields of [`Line`].
    Text,
    /// One JSON object.
    Json,
}

/// All that a line says. Bytes and frames are what came from an end.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// When the tunnel ended, ISO 8601.
    time: &'a str,
    remote_addr: &'a str,
    uri: &'a str,
    upstream_addr: &'a str,
    /// Seconds from the handshake to the end.
    duration: f64,
    closed_by: &'a str,
    close_code: Option<u16>,
    client_bytes: u64,
    client_frames: u64,
    upstream_bytes: u64,
    upstream_frames: u64,
    /// Pings of ours, to both ends.
    pings: u32,
    /// What `id=` of the log came to.
    request_id: Option<&'a str>,
    opaque: bool,
    /// What proved that the end was dead.
    proof: Option<&'static str>,
}

/// The line of a tunnel that took `duration` milliseconds, with its newline.
pub fn line(format: Format, time: &str, head: &Head, duration: u64, summary: &Summary) -> String {
    let [remote_addr, uri, upstream_addr, id] = head.parts();
    let line = Line {
        time,
        remote_addr,
        uri,
        upstream_addr,
        duration: duration as f64 / 1000.0,
        closed_by: summary.reason.map_or("fault", |reason| reason.as_str()),
        close_code: summary.code,
        client_bytes: summary.client.received,
        client_frames: summary.client.frames,
        upstream_bytes: summary.destination.received,
        upstream_frames: summary.destination.frames,
        pings: summary.client.pings + summary.destination.pings,
        request_id: (!id.is_empty()).then_some(id),
        opaque: summary.opaque,
        proof: summary.proof.map(|proof| proof.as_str()),
    };
    let mut text = match format {
        Format::Text => line.text(),
        // numbers, strings and nothing that could fail
        Format::Json => serde_json::to_string(&line).unwrap_or_default(),
    };
    text.push('\n');
    text
}

impl Line<'_> {
    fn text(&self) -> String {
        let code = self.close_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let uri = self.uri.escape_debug();
        let id = self.request_id.map_or_else(|| "-".to_owned(), word);
        let proof = self.proof.map_or_else(String::new, |proof| format!(" proof={proof}"));
        format!(
            "{} {} \"{uri}\" {} {:.3} {} {code} {} {} {} {} {} {id}{}{proof}",
            self.time,
            self.remote_addr,
            self.upstream_addr,
            self.duration,
            self.closed_by,
            self.client_bytes,
            self.client_frames,
            self.upstream_bytes,
            self.upstream_frames,
            self.pings,
            if self.opaque { " opaque" } else { "" },
        )
    }
}

/// A text as one word of printable ASCII.
fn word(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_graphic() && !matches!(c, '\\' | '"') {
            true => word.push(c),
            false => word.extend(c.escape_unicode()),
        }
    }
    word
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
            opaque: false,
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
        let bare = Summary { reason: None, code: None, opaque: true, ..summary() };
        let text = line(Format::Text, "now", &head, 0, &bare);
        assert!(text.ends_with(" 0.000 fault - 70 7 80 8 3 - opaque\n"), "{text}");
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
        assert_eq!(value["closed_by"], "drain", "{text}");
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

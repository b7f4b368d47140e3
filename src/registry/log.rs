//! The fields of a line of `websocket_log`.

use crate::tunnel_log::{Line, LogValue};

/// A field.
#[derive(Debug)]
pub struct LogField {
    /// Its key in JSON.
    pub name: &'static str,
    /// Its type in JSON.
    pub json_type: &'static str,
    /// Its value and format.
    pub value: for<'a> fn(&Line<'a>) -> LogValue<'a>,
    /// Its meaning, in Markdown, as a cell of a table.
    pub about: &'static str,
}

/// All fields, in the order of both formats. In the text format a field may be omitted; only the
/// last fields may be of such a kind.
pub const LOG_FIELDS: &[LogField] = &[
    LogField {
        name: "time",
        json_type: "string",
        value: |line| LogValue::Word(line.time),
        about: "when it ended, ISO 8601",
    },
    LogField {
        name: "remote_addr",
        json_type: "string",
        value: |line| LogValue::Word(line.client),
        about: "the client",
    },
    LogField {
        name: "uri",
        json_type: "string",
        value: |line| LogValue::Quoted(line.uri),
        about: "as the client sent it, without its query where \
                [elb_log_query](directives.md#elb_log_query) is off; cut if the line's head would pass \
                440 bytes; in quotes in text",
    },
    LogField {
        name: "upstream_addr",
        json_type: "string",
        value: |line| LogValue::Word(line.destination),
        about: "the destination",
    },
    LogField {
        name: "duration",
        json_type: "number",
        value: |line| LogValue::Seconds(line.duration),
        about: "seconds since the handshake, to the millisecond",
    },
    LogField {
        name: "close_reason",
        json_type: "string",
        value: |line| {
            LogValue::Word(line.summary.reason.map_or("fault", |reason| reason.as_str()))
        },
        about: "what came first, one of the [reasons](metrics.md#why-websockets-end)",
    },
    LogField {
        name: "close_code",
        json_type: "number, null",
        value: |line| LogValue::Code(line.summary.code),
        about: "of the first Close frame, ours included; `-` or null without one",
    },
    LogField {
        name: "client_bytes",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.client.received),
        about: "what came from the client",
    },
    LogField {
        name: "client_frames",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.client.frames),
        about: "the same in frames",
    },
    LogField {
        name: "upstream_bytes",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.destination.received),
        about: "what came from the destination",
    },
    LogField {
        name: "upstream_frames",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.destination.frames),
        about: "the same in frames",
    },
    LogField {
        name: "pings",
        json_type: "number",
        value: |line| {
            let [client, destination] = [line.summary.client, line.summary.destination];
            LogValue::Number(u64::from(client.pings) + u64::from(destination.pings))
        },
        about: "Pings of the proxy's own, to both ends",
    },
    LogField {
        name: "request_id",
        json_type: "string, null",
        value: |line| LogValue::OneWord((!line.id.is_empty()).then_some(line.id)),
        about: "`id=` of `websocket_log`, at most 128 bytes; `-` or null for nothing. In text it is \
                one word, whatever is in it",
    },
    LogField {
        name: "passthrough",
        json_type: "boolean",
        value: |line| LogValue::Flag(line.summary.passthrough),
        about: "whether the ends did not speak WebSocket frames; in text, the word `passthrough` or \
                nothing",
    },
    LogField {
        name: "proof",
        json_type: "string, null",
        value: |line| LogValue::Named(line.summary.proof.map(|proof| proof.as_str())),
        about: "of `dead_client` and `dead_destination`: `pong`, a Pong was owed and did not come, \
                or `unacknowledged`, its host acknowledged nothing; in text, `proof=` and the word, \
                or nothing",
    },
];

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
        about: "when the tunnel ended, ISO 8601",
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
        about: "as the client sent it, without its query if \
                [elb_log_query](directives.md#elb_log_query) is off; truncated if client, URI, destination \
                and request id together exceed 440 bytes; quoted in the text format",
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
        about: "seconds since the handshake, with milliseconds",
    },
    LogField {
        name: "close_reason",
        json_type: "string",
        value: |line| LogValue::Word(line.summary.reason.map_or("fault", |reason| reason.as_str())),
        about: "the first cause, one of the [reasons](metrics.md#why-websockets-end)",
    },
    LogField {
        name: "close_code",
        json_type: "number, null",
        value: |line| LogValue::Code(line.summary.code),
        about: "status code of the first Close frame, the proxy's included; `-` or null without \
                one",
    },
    LogField {
        name: "client_bytes",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.client.received),
        about: "bytes received from the client",
    },
    LogField {
        name: "client_frames",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.client.frames),
        about: "frames received from the client",
    },
    LogField {
        name: "upstream_bytes",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.destination.received),
        about: "bytes received from the destination",
    },
    LogField {
        name: "upstream_frames",
        json_type: "number",
        value: |line| LogValue::Number(line.summary.destination.frames),
        about: "frames received from the destination",
    },
    LogField {
        name: "pings",
        json_type: "number",
        value: |line| {
            let [client, destination] = [line.summary.client, line.summary.destination];
            LogValue::Number(u64::from(client.pings) + u64::from(destination.pings))
        },
        about: "Pings sent by the proxy, to both ends",
    },
    LogField {
        name: "request_id",
        json_type: "string, null",
        value: |line| LogValue::OneWord((!line.id.is_empty()).then_some(line.id)),
        about: "`id=` of `websocket_log`, at most 128 bytes; `-` or null if empty. The text \
                format escapes it to one word",
    },
    LogField {
        name: "passthrough",
        json_type: "boolean",
        value: |line| LogValue::Flag(line.summary.passthrough),
        about: "whether an end did not send WebSocket frames; in the text format, the word \
                `passthrough` or nothing",
    },
    LogField {
        name: "proof",
        json_type: "string, null",
        value: |line| LogValue::Named(line.summary.proof.map(|proof| proof.as_str())),
        about: "for `dead_client` and `dead_destination`: `pong` (a Ping was not answered in \
                time) or `unacknowledged` (the host acknowledged nothing); in the text format, \
                `proof=` and the word, or nothing",
    },
];

//! The fields of a line of `websocket_log`.

/// A field, in the order of both formats.
#[derive(Debug)]
pub struct Field {
    /// Its key in JSON.
    pub name: &'static str,
    /// Its type in JSON.
    pub json_type: &'static str,
    /// What it tells, in Markdown, as a cell of a table.
    pub about: &'static str,
}

const fn field(name: &'static str, json_type: &'static str, about: &'static str) -> Field {
    Field { name, json_type, about }
}

/// Every field, as both formats have them. In text the word of one may be missing, which only the
/// last ones can be.
pub const LOG_FIELDS: &[Field] = &[
    field("time", "string", "when it ended, ISO 8601"),
    field("remote_addr", "string", "the client"),
    field(
        "uri",
        "string",
        "as the client sent it; cut if the line's head would pass 440 bytes; in quotes in text",
    ),
    field("upstream_addr", "string", "the destination"),
    field("duration", "number", "seconds since the handshake, to the millisecond"),
    field(
        "closed_by",
        "string",
        "what came first, one of the [reasons](metrics.md#why-websockets-end)",
    ),
    field(
        "close_code",
        "number, null",
        "of the first Close frame, ours included; `-` or null without one",
    ),
    field("client_bytes", "number", "what came from the client"),
    field("client_frames", "number", "the same in frames"),
    field("upstream_bytes", "number", "what came from the destination"),
    field("upstream_frames", "number", "the same in frames"),
    field("pings", "number", "Pings of the proxy's own, to both ends"),
    field(
        "request_id",
        "string, null",
        "`id=` of `websocket_log`, at most 128 bytes; `-` or null for nothing. In text it is one \
         word, whatever is in it",
    ),
    field(
        "opaque",
        "boolean",
        "whether the ends did not speak WebSocket frames; in text, the word `opaque` or nothing",
    ),
    field(
        "proof",
        "string, null",
        "of `dead_client` and `dead_destination`: `pong`, a Pong was owed and did not come, or \
         `unacknowledged`, its host acknowledged nothing; in text, `proof=` and the word, or nothing",
    ),
];

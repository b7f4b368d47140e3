//! The members of the JSON that `websocket_status` returns. `cargo xtask docs` writes
//! `docs/status.schema.json` from them.

use super::{StatusPart, CLOSE_REASONS, METRICS};
use crate::metrics::{Health, CODES};

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its key.
    pub name: &'static str,
    /// Its meaning.
    pub about: About,
    /// The type of its values.
    pub shape: Shape,
}

/// The meaning of a member.
#[derive(Clone, Copy, Debug)]
pub enum About {
    /// Clear from its name or its type.
    Nothing,
    /// A sentence.
    Text(&'static str),
    /// The same as the metric family of this name.
    Metric(&'static str),
}

impl About {
    /// The description.
    ///
    /// # Panics
    /// No metric family has this name; a test would fail.
    pub fn text(&self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Text(text) => Some(text),
            Self::Metric(name) => {
                let family = METRICS.iter().find(|family| family.name == *name);
                Some(family.unwrap_or_else(|| panic!("no metric family {name}")).help)
            }
        }
    }
}

/// The type of a member.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    Text,
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// True or false.
    Flag,
    /// A whole number, at least this.
    Whole(u64),
    /// A number of at least 0.
    Number,
    /// A list of objects.
    List(&'static [Member]),
    /// A list of objects with a definition of their own.
    ListOf(&'static Definition),
    /// An object.
    Object(fn() -> Vec<Member>),
    /// An object with a definition of its own.
    Defined(&'static Definition),
    /// The settings: text by the name of a variable or a directive.
    Settings,
}

/// A type of object that is used more than once.
#[derive(Debug)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its meaning.
    pub about: Option<&'static str>,
    /// Its members.
    pub members: &'static [Member],
}

const fn member(name: &'static str, shape: Shape, about: &'static str) -> Member {
    Member { name, about: About::Text(about), shape }
}

const fn count(name: &'static str, about: &'static str) -> Member {
    member(name, Shape::Whole(0), about)
}

/// A number that is also a metric family.
const fn metric(name: &'static str, family: &'static str) -> Member {
    Member { name, about: About::Metric(family), shape: Shape::Whole(0) }
}

/// A member without a description.
const fn plain(name: &'static str, shape: Shape) -> Member {
    Member { name, about: About::Nothing, shape }
}

/// The members of the top-level object.
pub fn status_members() -> Vec<Member> {
    with_totals(INSTANCE, StatusPart::Instance)
}

fn websockets() -> Vec<Member> {
    with_totals(WEBSOCKETS, StatusPart::WebSockets)
}

fn with_totals(members: &[Member], part: StatusPart) -> Vec<Member> {
    let totals = part.totals().map(|(name, family, _)| metric(name, family.name));
    members.iter().copied().chain(totals).collect()
}

const INSTANCE: &[Member] = &[
    member("module", Shape::Text, "Version of the module."),
    member("nginx", Shape::Text, "Version of nginx."),
    metric("started", "elb_start_time_seconds"),
    count("uptime", "Uptime in seconds."),
    member("health", Shape::Word(healths), "Whether the instance should receive traffic."),
    metric("generation", "elb_generation"),
    member("workers", Shape::List(WORKER), "Worker processes."),
    plain("websockets", Shape::Object(websockets)),
    member("destinations", Shape::List(DESTINATION), "The destinations of requests."),
    member("settings", Shape::Settings, "The settings in effect, by name."),
];

const WORKER: &[Member] = &[
    count("pid", "Process id."),
    count("generation", "Number of its configuration."),
    member("draining", Shape::Flag, "Whether it is shutting down."),
    metric("active", "websocket_active"),
    metric("buffered_bytes", "websocket_buffered_bytes"),
];

const WEBSOCKETS: &[Member] = &[
    metric("active", "websocket_active"),
    metric("opened", "websocket_opened"),
    count("left_to_nginx", "Upgraded connections that were not tunnelled."),
    member("left_by_reason", Shape::ListOf(&LABELLED), LEFT),
    count("refused", "Refused handshakes."),
    member("refused_by_reason", Shape::ListOf(&LABELLED), "The same, by reason."),
    metric("buffered_bytes", "websocket_buffered_bytes"),
    member("closed", Shape::List(CLOSED), "WebSockets that ended."),
    plain("client", Shape::Defined(&SIDE)),
    plain("destination", Shape::Defined(&SIDE)),
    plain("duration_seconds", Shape::Defined(&TIMES)),
    plain("handshake_seconds", Shape::Defined(&TIMES)),
];

const LEFT: &str = "The same, by reason: not_websocket, not_of_its_own (a subrequest, HTTP/2 or \
                    HTTP/3), busy (nginx works on the request) or unexplained (it seems to, but \
                    nothing confirms it).";

const CLOSED: &[Member] = &[
    member("reason", Shape::Word(reasons), "Why they ended."),
    member("code", Shape::Word(codes), "Class of the first Close frame's status code."),
    member("count", Shape::Whole(1), "Number of WebSockets."),
];

const DESTINATION: &[Member] = &[
    member("upstream", Shape::Text, "Name of the upstream block."),
    member("server", Shape::Text, "The server as configured."),
    member("address", Shape::Text, "The resolved address."),
    member("up", Shape::Flag, "Whether it receives requests."),
    member("checked", Shape::Flag, "Whether elb_check checks it."),
    member("backup", Shape::Flag, "Whether it is used only if no other is up."),
    count("weight", "Its weight."),
    count("connections", "Open connections to it, including those of WebSockets."),
];

/// The types of objects that are used more than once.
pub const DEFINITIONS: &[&Definition] = &[&KINDS, &LABELLED, &SIDE, &TIMES];

const KINDS: Definition = Definition {
    name: "kinds",
    about: Some("Counts by kind of frame."),
    members: &[
        plain("text", Shape::Whole(0)),
        plain("binary", Shape::Whole(0)),
        plain("continuation", Shape::Whole(0)),
        plain("close", Shape::Whole(0)),
        plain("ping", Shape::Whole(0)),
        plain("pong", Shape::Whole(0)),
        plain("other", Shape::Whole(0)),
    ],
};

const LABELLED: Definition = Definition {
    name: "labelled",
    about: None,
    members: &[member("label", Shape::Text, "The label."), count("count", "The count.")],
};

const SIDE: Definition = Definition {
    name: "side",
    about: Some(
        "The traffic of one end: frames received from it by kind, and their payload bytes.",
    ),
    members: &[
        plain("frames", Shape::Defined(&KINDS)),
        plain("bytes", Shape::Defined(&KINDS)),
        count("messages", "Complete messages received from it."),
        count("pings", "Pings inserted towards it."),
        count("pongs", "Its Pongs to those Pings."),
        count("pongs_missed", "How often it was dead because it did not answer a Ping in time."),
    ],
};

const TIMES: Definition = Definition {
    name: "times",
    about: Some("A histogram of times."),
    members: &[
        count("count", "Number of times."),
        member("sum", Shape::Number, "Sum of the times, in seconds."),
        member("buckets", Shape::List(BUCKET), "Cumulative counts by limit."),
    ],
};

const BUCKET: &[Member] = &[
    member("le", Shape::Number, "Limit, in seconds."),
    count("count", "Number of times up to the limit."),
];

fn healths() -> Vec<&'static str> {
    Health::ALL.map(Health::as_str).into()
}

fn reasons() -> Vec<&'static str> {
    CLOSE_REASONS.iter().map(|reason| reason.word).collect()
}

fn codes() -> Vec<&'static str> {
    CODES.into()
}

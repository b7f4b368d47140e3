//! The metric families, in the order of `/metrics`, and the reasons why WebSockets end.

use crate::metrics::{Destination, Health, Kinds, Labelled, Side, Snapshot, Times};
use websocket_tunnel::Reason;

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// Its name; a counter's name is without `_total`.
    pub name: &'static str,
    /// Its kind, and the source of its values.
    pub values: Values,
    /// Its `HELP`.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// More than the `HELP` says, in Markdown, as a cell of a table.
    pub about: &'static str,
}

/// The source of a family's samples.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// A number that can increase and decrease.
    Gauge(Samples),
    /// A number that only increases.
    Counter(Samples),
    /// A number without labels that processes only increment.
    Total(Total),
    /// A histogram of times.
    Histogram(fn(&Snapshot) -> &Times),
}

impl Values {
    /// The kind in the terms of Prometheus.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Gauge(_) => "gauge",
            Self::Counter(_) | Self::Total(_) => "counter",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A counter without labels. To add one, declare it here and in [`METRICS`], and count it: the
/// slots, `/status` and its schema include all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Tunnels whose frames could not be followed.
    Passthrough,
    /// Responses of `elb_redirect`.
    Redirects,
    /// Responses to health checks.
    HealthChecks,
}

impl Total {
    /// All counters.
    pub const ALL: [Self; 3] = [Self::Passthrough, Self::Redirects, Self::HealthChecks];
}

/// The part of `/status` that contains a family's total, and the prefix of the names in this part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPart {
    /// The top-level object.
    Instance,
    /// The object `websockets`.
    WebSockets,
}

impl StatusPart {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Instance => "elb_",
            Self::WebSockets => "websocket_",
        }
    }

    /// The totals of this part with their families, and their names in `/status`: the names of the
    /// families without the prefix.
    pub fn totals(self) -> impl Iterator<Item = (&'static str, &'static Family, Total)> {
        METRICS.iter().filter_map(move |family| match family.values {
            Values::Total(total) => Some((family.name.strip_prefix(self.prefix())?, family, total)),
            _ => None,
        })
    }
}

/// Passes each sample of a family to the sink: the values of its labels, in order, and its number.
pub type Samples = fn(&Snapshot, &mut Sink);

/// Receives a sample.
pub type Sink<'a> = dyn FnMut(&[&str], u64) + 'a;

impl Family {
    /// The name of its samples and in the documentation.
    pub fn full_name(&self) -> String {
        match self.values {
            Values::Counter(_) | Values::Total(_) => format!("{}_total", self.name),
            _ => self.name.to_owned(),
        }
    }
}

fn by_end(snapshot: &Snapshot, sink: &mut Sink, number: fn(&Side) -> u64) {
    sink(&["client"], number(&snapshot.websockets.client));
    sink(&["destination"], number(&snapshot.websockets.destination));
}

fn by_kind(snapshot: &Snapshot, sink: &mut Sink, kinds: fn(&Side) -> &Kinds) {
    let all = &snapshot.websockets;
    for (from, side) in [("client", &all.client), ("destination", &all.destination)] {
        kinds(side).by_name().iter().for_each(|(kind, count)| sink(&[from, kind], *count));
    }
}

fn labelled(all: &[Labelled], sink: &mut Sink) {
    all.iter().for_each(|one| sink(&[one.label], one.count));
}

fn by_destination(snapshot: &Snapshot, sink: &mut Sink, value: fn(&Destination) -> u64) {
    for one in &snapshot.destinations {
        sink(&[&one.upstream, &one.server, &one.address], value(one));
    }
}

const DESTINATION_LABELS: &[&str] = &["upstream", "server", "address"];

/// All families.
pub const METRICS: &[Family] = &[
    Family {
        name: "elb_info",
        values: Values::Gauge(|all, sink| sink(&[all.module, &all.nginx], 1)),
        help: "Versions of the module and of nginx.",
        labels: &["module", "nginx"],
        about: "always 1",
    },
    Family {
        name: "elb_start_time_seconds",
        values: Values::Gauge(|all, sink| sink(&[], all.started)),
        help: "When nginx started, in seconds since 1970.",
        labels: &[],
        about: "",
    },
    Family {
        name: "elb_generation",
        values: Values::Gauge(|all, sink| sink(&[], all.generation)),
        help: "Number of the newest configuration; each reload increments it.",
        labels: &[],
        about: "",
    },
    Family {
        name: "elb_health",
        values: Values::Gauge(|all, sink| {
            for state in Health::ALL {
                sink(&[state.as_str()], (state == all.health).into());
            }
        }),
        help: "The state that /ready reports: 1 for the current state, 0 for the others.",
        labels: &["state"],
        about: "`state` is `ok`, `draining` or `destination down`",
    },
    Family {
        name: "elb_workers",
        values: Values::Gauge(|all, sink| {
            for (state, draining) in [("serving", false), ("draining", true)] {
                let alike = all.workers.iter().filter(|worker| worker.draining == draining);
                sink(&[state], alike.count() as u64);
            }
        }),
        help: "Worker processes, by whether they are shutting down.",
        labels: &["state"],
        about: "`state` is `serving` or `draining`",
    },
    Family {
        name: "elb_redirects",
        values: Values::Total(Total::Redirects),
        help: "Requests redirected to https.",
        labels: &[],
        about: "responses of `elb_redirect`",
    },
    Family {
        name: "elb_health_checks",
        values: Values::Total(Total::HealthChecks),
        help: "Health checks answered.",
        labels: &[],
        about: "responses of `elb_ping` and `elb_ready`",
    },
    Family {
        name: "websocket_active",
        values: Values::Gauge(|all, sink| sink(&[], all.websockets.active)),
        help: "Open WebSockets.",
        labels: &[],
        about: "",
    },
    Family {
        name: "websocket_buffered_bytes",
        values: Values::Gauge(|all, sink| sink(&[], all.websockets.buffered_bytes)),
        help: "Bytes buffered for ends that read slowly.",
        labels: &[],
        about: "",
    },
    Family {
        name: "websocket_opened",
        values: Values::Counter(|all, sink| sink(&[], all.websockets.opened)),
        help: "WebSockets tunnelled since the start.",
        labels: &[],
        about: "always the sum of `websocket_active` and all of `websocket_closed_total`",
    },
    Family {
        name: "websocket_closed",
        values: Values::Counter(|all, sink| {
            all.websockets.closed.iter().for_each(|one| sink(&[one.reason, one.code], one.count));
        }),
        help: "WebSockets that ended, by reason and class of the Close code.",
        labels: &["reason", "code"],
        about: "`reason` is one of the [reasons](#why-websockets-end); `code` is `1000`, `1001`, \
                `1xxx` (other codes of the protocol), `3xxx`, `4xxx`, `other`, or `none` without a \
                Close",
    },
    Family {
        name: "websocket_passthrough",
        values: Values::Total(Total::Passthrough),
        help: "WebSockets whose frames could not be followed.",
        labels: &[],
        about: "one of their ends did not send WebSocket frames",
    },
    Family {
        name: "websocket_left_to_nginx",
        values: Values::Counter(|all, sink| labelled(&all.websockets.left_by_reason, sink)),
        help: "Upgraded connections that were not tunnelled, by reason.",
        labels: &["reason"],
        about: "`reason` is `not_websocket`, `not_of_its_own` (HTTP/2), `busy`, or `unexplained`, \
                which calls for an alert",
    },
    Family {
        name: "websocket_refused",
        values: Values::Counter(|all, sink| labelled(&all.websockets.refused_by_reason, sink)),
        help: "Handshakes refused, by reason.",
        labels: &["reason"],
        about: "`reason` is `destination`, `unreachable` (no destination could be reached) or \
                `limit` (that of `websocket_limit_conn`)",
    },
    Family {
        name: "websocket_duration_seconds",
        values: Values::Histogram(|all| &all.websockets.duration_seconds),
        help: "How long WebSockets were open.",
        labels: &[],
        about: "",
    },
    Family {
        name: "websocket_handshake_seconds",
        values: Values::Histogram(|all| &all.websockets.handshake_seconds),
        help: "How long destinations took to answer with a 101.",
        labels: &[],
        about: "",
    },
    Family {
        name: "websocket_frames",
        values: Values::Counter(|all, sink| by_kind(all, sink, |side| &side.frames)),
        help: "Frames, by sending end and kind.",
        labels: &["from", "kind"],
        about: "`from` is `client` or `destination`; `kind` is `text`, `binary`, `continuation`, \
                `close`, `ping`, `pong` or `other`",
    },
    Family {
        name: "websocket_payload_bytes",
        values: Values::Counter(|all, sink| by_kind(all, sink, |side| &side.bytes)),
        help: "Payload bytes of frames, by sending end and kind.",
        labels: &["from", "kind"],
        about: "the labels are those of `websocket_frames_total`",
    },
    Family {
        name: "websocket_messages",
        values: Values::Counter(|all, sink| by_end(all, sink, |side| side.messages)),
        help: "Complete messages, by sending end.",
        labels: &["from"],
        about: "`from` is `client` or `destination`",
    },
    Family {
        name: "websocket_pings",
        values: Values::Counter(|all, sink| by_end(all, sink, |side| side.pings)),
        help: "Pings inserted by the proxy, by receiving end.",
        labels: &["to"],
        about: "`to` is `client` or `destination`; Pings that the ends send are not included",
    },
    Family {
        name: "websocket_pongs",
        values: Values::Counter(|all, sink| by_end(all, sink, |side| side.pongs)),
        help: "Pongs to those Pings, by sending end.",
        labels: &["from"],
        about: "`from` is `client` or `destination`",
    },
    Family {
        name: "websocket_pongs_missed",
        values: Values::Counter(|all, sink| by_end(all, sink, |side| side.pongs_missed)),
        help: "Ends that were dead because they did not answer a Ping in time.",
        labels: &["from"],
        about: "`from` is `client` or `destination`; \
                `websocket_closed_total{reason=\"dead_...\"}` also counts ends whose host \
                acknowledged nothing",
    },
    Family {
        name: "elb_destination_up",
        values: Values::Gauge(|all, sink| by_destination(all, sink, |one| one.up.into())),
        help: "Whether a destination receives requests.",
        labels: DESTINATION_LABELS,
        about: "1 or 0, for each address of the upstream blocks with `elb_destination` or \
                `elb_check`",
    },
    Family {
        name: "elb_destination_connections",
        values: Values::Gauge(|all, sink| by_destination(all, sink, |one| one.connections)),
        help: "Connections to a destination.",
        labels: DESTINATION_LABELS,
        about: "for the same addresses",
    },
];

/// A reason why WebSockets end.
#[derive(Clone, Copy, Debug)]
pub struct CloseReason {
    /// Its word in metrics, in `/status` and in the log.
    pub word: &'static str,
    /// What happened, in Markdown, as a cell of a table.
    pub about: &'static str,
}

/// The reasons that the session does not have; they follow those of the session.
const OTHER_REASONS: [CloseReason; 2] = [
    CloseReason {
        word: "fault",
        about: "something failed in the proxy itself; an alert is logged",
    },
    CloseReason {
        word: "worker_lost",
        about: "the worker that held it was killed; in metrics only, nobody was left to log it",
    },
];

/// All reasons: those of [`Reason::ALL`], in order, then the others.
pub const CLOSE_REASONS: [CloseReason; Reason::ALL.len() + OTHER_REASONS.len()] = {
    let mut all = [OTHER_REASONS[0]; Reason::ALL.len() + OTHER_REASONS.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = if index < Reason::ALL.len() {
            let reason = Reason::ALL[index];
            CloseReason { word: reason.as_str(), about: reason.about() }
        } else {
            OTHER_REASONS[index - Reason::ALL.len()]
        };
        index += 1;
    }
    all
};

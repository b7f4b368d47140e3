//! A snapshot as text for Prometheus.

use std::fmt::{self, Display, Write};

use super::{Destination, Health, Side, Snapshot, Times};

/// The two formats; they differ in how counters are announced, and in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The text format of Prometheus, 0.0.4.
    Prometheus,
    /// OpenMetrics, 1.0.0.
    OpenMetrics,
}

impl Text {
    /// What goes into `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What is written so far. Writing to a `String` cannot fail.
struct Writer {
    text: String,
    format: Text,
}

/// Labels of a sample.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Writer {
    /// Announces a family; the name of a counter is without `_total`.
    fn family(&mut self, kind: &str, name: &str, help: &str) {
        let suffix = match (kind, self.format) {
            ("counter", Text::Prometheus) => "_total",
            _ => "",
        };
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.text, "# TYPE {name}{suffix} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels, value: impl Display) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{begin}{label}=\"{}\"", Escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family("gauge", name, help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family("counter", name, help);
        self.sample(&format!("{name}_total"), &[], value);
    }

    /// A counter by the values of one label.
    fn counters<'a>(
        &mut self,
        (name, help): (&str, &str),
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family("counter", name, help);
        for (value, count) in values {
            self.sample(&format!("{name}_total"), &[(label, value)], count);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Times) {
        self.family("histogram", name, help);
        let bucket = format!("{name}_bucket");
        for one in &times.buckets {
            // OpenMetrics wants a float where Prometheus takes any number
            self.sample(&bucket, &[("le", &format!("{:?}", one.le))], one.count);
        }
        self.sample(&bucket, &[("le", "+Inf")], times.count);
        self.sample(&format!("{name}_sum"), &[], times.sum);
        self.sample(&format!("{name}_count"), &[], times.count);
    }
}

/// A label's value as both formats escape it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

/// A snapshot as text.
pub fn exposition(snapshot: &Snapshot, format: Text) -> String {
    let mut out = Writer { text: String::with_capacity(12 * 1024), format };
    instance(&mut out, snapshot);
    websockets(&mut out, snapshot);
    frames(&mut out, snapshot);
    destinations(&mut out, snapshot);
    if format == Text::OpenMetrics {
        out.text.push_str("# EOF\n");
    }
    out.text
}

fn instance(out: &mut Writer, snapshot: &Snapshot) {
    out.family("gauge", "elb_info", "Versions of the module and of nginx.");
    out.sample("elb_info", &[("module", snapshot.module), ("nginx", &snapshot.nginx)], 1);
    out.gauge(
        "elb_start_time_seconds",
        "When nginx started, in seconds since 1970.",
        snapshot.started,
    );
    out.gauge(
        "elb_generation",
        "Number of the newest configuration; each reload raises it.",
        snapshot.generation,
    );
    out.family("gauge", "elb_health", "The state that /ready tells: 1 for the one that holds.");
    for state in Health::ALL {
        let holds = u8::from(state == snapshot.health);
        out.sample("elb_health", &[("state", state.as_str())], holds);
    }
    out.family("gauge", "elb_workers", "Worker processes, by whether they are leaving.");
    for (state, draining) in [("serving", false), ("draining", true)] {
        let count = snapshot.workers.iter().filter(|worker| worker.draining == draining).count();
        out.sample("elb_workers", &[("state", state)], count);
    }
    out.counter("elb_redirects", "Requests redirected to https.", snapshot.redirects);
    out.counter("elb_health_checks", "Health checks answered.", snapshot.health_checks);
}

fn websockets(out: &mut Writer, snapshot: &Snapshot) {
    let all = &snapshot.websockets;
    out.gauge("websocket_active", "Open WebSockets.", all.active);
    out.gauge(
        "websocket_buffered_bytes",
        "Bytes kept for ends that are slow to take them.",
        all.buffered_bytes,
    );
    out.counter("websocket_opened", "WebSockets tunnelled since the start.", all.opened);
    out.family("counter", "websocket_closed", "WebSockets that ended, by who or what ended them.");
    for one in &all.closed {
        out.sample("websocket_closed_total", &[("by", one.by), ("code", one.code)], one.count);
    }
    out.counter(
        "websocket_opaque",
        "WebSockets with a stream that could not be followed.",
        all.opaque,
    );
    let labelled = |one: &super::Labelled| (one.label, one.count);
    out.counters(
        ("websocket_left_to_nginx", "Upgrades that were not tunnelled, by reason."),
        "reason",
        all.left_by_reason.iter().map(labelled),
    );
    out.counters(
        ("websocket_refused", "Handshakes refused, by who refused them."),
        "by",
        all.refused_by.iter().map(labelled),
    );
    out.histogram(
        "websocket_duration_seconds",
        "How long WebSockets were open.",
        &all.duration_seconds,
    );
    out.histogram(
        "websocket_handshake_seconds",
        "How long destinations took for a 101.",
        &all.handshake_seconds,
    );
}

fn frames(out: &mut Writer, snapshot: &Snapshot) {
    let all = &snapshot.websockets;
    let ends = [("client", &all.client), ("destination", &all.destination)];
    out.family("counter", "websocket_frames", "Frames, by the end they came from and kind.");
    for (from, side) in ends {
        for (kind, count) in side.frames.by_name() {
            out.sample("websocket_frames_total", &[("from", from), ("kind", kind)], count);
        }
    }
    out.family(
        "counter",
        "websocket_payload_bytes",
        "Payload of frames, by the end they came from and kind.",
    );
    for (from, side) in ends {
        for (kind, count) in side.bytes.by_name() {
            out.sample("websocket_payload_bytes_total", &[("from", from), ("kind", kind)], count);
        }
    }
    let by_end = |number: fn(&Side) -> u64| ends.map(|(end, side)| (end, number(side)));
    out.counters(
        ("websocket_messages", "Complete messages, by the end they came from."),
        "from",
        by_end(|side| side.messages),
    );
    out.counters(
        ("websocket_pings", "Pings put in, by the end they went to."),
        "to",
        by_end(|side| side.pings),
    );
    out.counters(
        ("websocket_pongs", "Pongs to those Pings, by the end they came from."),
        "from",
        by_end(|side| side.pongs),
    );
    out.counters(
        (
            "websocket_pongs_missed",
            "Ends that were dead because they did not answer a Ping in time.",
        ),
        "from",
        by_end(|side| side.pongs_missed),
    );
}

fn destinations(out: &mut Writer, snapshot: &Snapshot) {
    let mut family = |name: &str, help: &str, value: fn(&Destination) -> u64| {
        out.family("gauge", name, help);
        for one in &snapshot.destinations {
            let labels =
                [("upstream", &*one.upstream), ("server", &one.server), ("address", &one.address)];
            out.sample(name, &labels, value(one));
        }
    };
    family("elb_destination_up", "Whether a destination gets requests.", |one| one.up.into());
    family("elb_destination_connections", "Connections to a destination.", |one| one.connections);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Settings, Sum, WebSockets};

    #[test]
    fn equal_destinations_are_one_sample_and_labels_are_escaped() {
        let one = Destination {
            upstream: "app".to_owned(),
            server: "a\"b\\c\n".to_owned(),
            address: "127.0.0.1:80".to_owned(),
            up: false,
            checked: false,
            backup: false,
            weight: 1,
            connections: 2,
        };
        let mut destinations = Vec::new();
        one.clone().add(&mut destinations);
        Destination { up: true, ..one }.add(&mut destinations);
        let snapshot = Snapshot {
            module: "1",
            nginx: "2".to_owned(),
            started: 3,
            uptime: 4,
            health: Health::Draining,
            generation: 5,
            workers: Vec::new(),
            websockets: WebSockets::of(&Sum::default()),
            redirects: 6,
            health_checks: 7,
            destinations,
            settings: Settings::default(),
        };
        let text = exposition(&snapshot, Text::Prometheus);
        let lines = |beginning| text.lines().filter(move |line| line.starts_with(beginning));
        let labels = r#"{upstream="app",server="a\"b\\c\n",address="127.0.0.1:80"}"#;
        assert_eq!(
            lines("elb_destination").collect::<Vec<_>>(),
            [
                format!("elb_destination_up{labels} 1"),
                format!("elb_destination_connections{labels} 4")
            ]
        );
        assert_eq!(lines("elb_health{state=\"draining\"} 1").count(), 1);
        assert!(!text.contains("# EOF"));
        assert!(exposition(&snapshot, Text::OpenMetrics).ends_with("\n# EOF\n"));
    }
}

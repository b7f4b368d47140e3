//! A snapshot in the text formats of Prometheus.

use std::fmt::{self, Display, Write};

use super::{Snapshot, Times};
use crate::registry::{Family, Values, METRICS};

/// The two formats; they differ in the declaration of counters and in the end marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The text format of Prometheus, 0.0.4.
    Prometheus,
    /// OpenMetrics, 1.0.0.
    OpenMetrics,
}

impl Text {
    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The output so far. Writing to a `String` cannot fail.
struct Writer {
    text: String,
    format: Text,
}

impl Writer {
    /// Declares a family and writes its samples.
    fn family(&mut self, family: &Family, snapshot: &Snapshot) {
        let full_name = family.full_name();
        let name = match self.format {
            Text::Prometheus => &*full_name,
            Text::OpenMetrics => family.name,
        };
        let _ = writeln!(self.text, "# HELP {name} {}", family.help);
        let _ = writeln!(self.text, "# TYPE {name} {}", family.values.kind());
        match family.values {
            Values::Gauge(samples) | Values::Counter(samples) => {
                samples(snapshot, &mut |values, number| {
                    self.sample(&full_name, family.labels, values, number);
                });
            }
            Values::Total(total) => self.sample(&full_name, &[], &[], snapshot.total(total)),
            Values::Histogram(times) => self.histogram(family.name, times(snapshot)),
        }
    }

    fn sample(&mut self, name: &str, labels: &[&str], values: &[&str], number: impl Display) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().zip(values).enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{begin}{label}=\"{}\"", Escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {number}");
    }

    fn histogram(&mut self, name: &str, times: &Times) {
        let bucket = format!("{name}_bucket");
        for one in &times.buckets {
            // OpenMetrics requires a float where Prometheus accepts any number
            self.sample(&bucket, &["le"], &[&format!("{:?}", one.le)], one.count);
        }
        self.sample(&bucket, &["le"], &["+Inf"], times.count);
        self.sample(&format!("{name}_sum"), &[], &[], times.sum);
        self.sample(&format!("{name}_count"), &[], &[], times.count);
    }
}

/// A label's value, escaped as both formats require.
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
    METRICS.iter().for_each(|family| out.family(family, snapshot));
    if format == Text::OpenMetrics {
        out.text.push_str("# EOF\n");
    }
    out.text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Counts, Destination, Health, SettingsInEffect, Sum, Totals, WebSockets};
    use crate::registry::StatusPart;

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
            totals: Totals::of(&Counts::new(), StatusPart::Instance),
            destinations,
            settings: SettingsInEffect::default(),
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

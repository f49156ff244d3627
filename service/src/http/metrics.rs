//! Counters and gauges as Prometheus reads them, version 0.0.4 of the text format.

use std::{fmt::Write, sync::Arc};

/// The media type of the text.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a number means to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises while the daemon runs.
    Counter,
    /// Rises and falls.
    Gauge,
}

/// One number, with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name, `holdfast_…`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Labels and their values.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: u64,
}

impl Metric {
    /// A counter without a label.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self {
            name,
            help,
            kind: Kind::Counter,
            labels: Vec::new(),
            value,
        }
    }

    /// A gauge without a label.
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self {
            kind: Kind::Gauge,
            ..Self::counter(name, help, value)
        }
    }

    /// The same with another label.
    #[must_use]
    pub fn labelled(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}

/// Where more numbers come from: the broker, in a daemon.
pub trait Counters: Send + Sync {
    /// Its numbers now. Those of one name stand together.
    fn metrics(&self) -> Vec<Metric>;
}

impl<C: Counters + ?Sized> Counters for Arc<C> {
    fn metrics(&self) -> Vec<Metric> {
        (**self).metrics()
    }
}

/// No more numbers.
impl Counters for () {
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

/// Numbers as text; those of one name stand together.
pub fn text(metrics: &[Metric]) -> String {
    let (mut text, mut before) = (String::new(), "");
    for metric in metrics {
        let name = metric.name;
        if name != before {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let _infallible = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help);
            before = name;
        }
        let labels = metric.labels.iter().map(|(label, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{label}=\"{value}\"")
        });
        let labels = match labels.collect::<Vec<_>>().join(",") {
            none if none.is_empty() => none,
            labels => format!("{{{labels}}}"),
        };
        let _infallible = writeln!(text, "{name}{labels} {}", metric.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_name_stand_under_one_heading() {
        let state = |word: &str, count| Metric::gauge("hf_orders", "Orders.", count).labelled("state", word);
        let text = text(&[
            state("PLACE", 1),
            state("a\"b", 2).labelled("site", "s1"),
            Metric::counter("hf_x", "X.", 3),
        ]);
        let expected = "# HELP hf_orders Orders.\n# TYPE hf_orders gauge\nhf_orders{state=\"PLACE\"} 1\n\
                        hf_orders{state=\"a\\\"b\",site=\"s1\"} 2\n# HELP hf_x X.\n# TYPE hf_x counter\nhf_x 3\n";
        assert_eq!(text, expected);
    }
}

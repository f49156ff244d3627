//! What others can bring about in the log is bounded, and what is left out is counted.

use std::sync::{Arc, Mutex};

use broker::Config;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::bench::{Bench, Connect, subscribe};

/// All lines of the broker from this thread, each with its fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn with(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("broker") && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn refused_filters_are_one_line_with_their_count() {
    let lines = Lines::default();
    let _here = tracing::subscriber::set_default(lines.clone());
    let bench = Bench::new().await;
    let mut raw = bench.client(5, "P1").await;
    let long = "x".repeat(10_000);
    let filters: Vec<(&str, u8)> = std::iter::repeat_n((long.as_str(), 0), 20).collect();
    raw.send(&subscribe(5, 1, &filters)).await;
    assert_eq!(raw.packet().await.len(), 5 + 20);
    let written = lines.with("subscriptions refused");
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(
        written[0].contains("count=20 ") && written[0].len() < 300,
        "{written:?}"
    );
    assert_eq!(bench.handle.stats().subscriptions_refused, 20);
}

#[tokio::test]
async fn what_one_identity_brings_about_is_limited() {
    let lines = Lines::default();
    let _here = tracing::subscriber::set_default(lines.clone());
    let bench = Bench::new().await;
    let mut raw = bench.client(4, "P1").await;
    for id in 1..=300 {
        raw.send(&subscribe(4, id, &[("not/mine", 0)])).await;
        raw.packet().await;
    }
    let written = lines.with("subscriptions refused").len();
    // A burst of 20 and one each second.
    assert!((20..200).contains(&written), "{written}");
    assert!(!lines.with("too many log lines").is_empty());
}

#[tokio::test]
async fn refused_connections_are_limited_by_address() {
    let lines = Lines::default();
    let _here = tracing::subscriber::set_default(lines.clone());
    let bench = Bench::with(Config {
        authentications_max: 100,
        ..Config::default()
    })
    .await;
    for _ in 0..400 {
        let mut raw = bench.raw().await;
        let guess = Connect {
            password: "guess",
            ..Connect::default()
        };
        raw.send(&guess.bytes()).await;
        assert_eq!(raw.packet().await[3], 4);
    }
    let written = lines.with("connection refused").len();
    // A burst of 100 and one each second.
    assert!((100..300).contains(&written), "{written}");
    assert!(!lines.with("too many connections are refused").is_empty());
}

//! How far it is, for a person and for monitoring: on a Unix socket of its own.

use crate::courier::Progress;
use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use protocol::frame::State;
use serde::{Deserialize, Serialize};
use service::http::metrics::{Metric, PROMETHEUS_TEXT, text};
use std::fmt::Write as _;
use tokio::sync::watch;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which site it speaks for.
    pub site: String,
    /// The broker that it speaks to: host and port of each of its nodes.
    pub brokers: Vec<String>,
    /// Whether there is a connection.
    pub connected: bool,
    /// What head office makes of the journal; null before it has said so on this connection.
    pub state: Option<String>,
    /// The number of the last entry that head office has.
    pub acknowledged: Option<u64>,
    /// The number of the last entry of the station's journal.
    pub head: u64,
    /// Batches on the way.
    pub on_the_way: usize,
    /// Why it cannot go on, where a person has to look.
    pub trouble: Option<String>,
    /// Messages from head office that could not be read, since the start.
    pub malformed: u64,
    /// When the certificate of this box ends.
    pub certificate_ends: String,
}

/// What does not change while it runs.
#[derive(Debug, Clone)]
pub struct Known {
    /// Which site it speaks for.
    pub site: String,
    /// The broker that it speaks to: host and port of each of its nodes.
    pub brokers: Vec<String>,
    /// When the certificate of this box ends.
    pub certificate_ends: String,
}

impl Known {
    fn with(&self, progress: &Progress) -> Status {
        Status {
            site: self.site.clone(),
            brokers: self.brokers.clone(),
            connected: progress.connected,
            state: progress.state.map(|state| state.word().to_owned()),
            acknowledged: progress.acknowledged.map(|head| head.seq),
            head: progress.head,
            on_the_way: progress.on_the_way,
            trouble: progress.trouble.clone(),
            malformed: progress.malformed,
            certificate_ends: self.certificate_ends.clone(),
        }
    }
}

impl Status {
    /// For a person: what needs attention first.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |of: &str, what: String| writeln!(text, "{of:<14} {what}").unwrap_or_default();
        if let Some(trouble) = &self.trouble {
            line("!", trouble.clone());
        }
        line("site", self.site.clone());
        let connected = if self.connected { "connected" } else { "not connected" };
        line("head office", format!("{}, {connected}", self.brokers.join(" or ")));
        line("its word", self.state.clone().unwrap_or_else(|| "none yet".to_owned()));
        let has = self
            .acknowledged
            .map_or_else(|| "unknown".to_owned(), |seq| seq.to_string());
        line(
            "journal",
            format!(
                "{} entries here, {has} there, {} batches on the way",
                self.head, self.on_the_way
            ),
        );
        line("certificate", format!("ends {}", self.certificate_ends));
        text
    }

    /// Whether it is with head office, and that goes on with the journal.
    pub fn is_well(&self) -> bool {
        self.connected && self.trouble.is_none() && self.state.as_deref() == Some(State::Following.word())
    }
}

/// What is answered: `/v1/status`, `/healthz` (200 where all is well, else 503), `/metrics`.
pub fn router(known: Known, told: watch::Receiver<Progress>) -> Router {
    let status = move || known.with(&told.borrow());
    let (of_health, of_metrics) = (status.clone(), status.clone());
    Router::new()
        .route("/v1/status", get(async move || Json(status())))
        .route(
            "/healthz",
            get(async move || {
                let status = of_health();
                let code = if status.is_well() {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                (code, Json(status))
            }),
        )
        .route("/metrics", get(async move || metrics(&of_metrics())))
}

fn metrics(status: &Status) -> impl IntoResponse + use<> {
    let gauge = |name, help, value| Metric::gauge(name, help, value);
    let metrics = [
        gauge(
            "holdfast_sync_connected",
            "Connected to head office's broker.",
            u64::from(status.connected),
        ),
        gauge(
            "holdfast_sync_well",
            "Connected, and head office follows the journal.",
            u64::from(status.is_well()),
        ),
        gauge(
            "holdfast_sync_journal_head",
            "The last entry of the station's journal.",
            status.head,
        ),
        gauge(
            "holdfast_sync_journal_acknowledged",
            "The last entry that head office has; 0 before it has said so.",
            status.acknowledged.unwrap_or(0),
        ),
        gauge(
            "holdfast_sync_batches_on_the_way",
            "Batches on the way.",
            status.on_the_way as u64,
        ),
        Metric::counter(
            "holdfast_sync_malformed_total",
            "Messages from head office that could not be read.",
            status.malformed,
        ),
    ];
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text(&metrics))
}

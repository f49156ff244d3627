//! Whether head office lives, and its numbers.

use super::{ApiState, dto::HealthView};
use crate::store::{
    alerts::{self, Alert, Kind},
    forgotten, inbox, outbox,
    queries::sites::{self, SiteRow},
};
use axum::{Json, extract::State, http::header, response::IntoResponse};
use domain::time::Wall;
use service::http::{
    metrics::{Metric, PROMETHEUS_TEXT, text},
    problem::Problem,
};
use std::{collections::BTreeMap, sync::atomic::Ordering};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most sites that have numbers of their own.
const SITES_MAX: usize = 5_000;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(get_metrics))
}

/// The process lives and its database answers.
#[utoipa::path(
    get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It does", body = HealthView)),
    security(()),
)]
async fn healthz(State(api): State<ApiState>) -> Result<Json<HealthView>, Problem> {
    api.read(|tx| tx.query("SELECT version FROM schema_version", &[]))
        .await?;
    Ok(Json(HealthView {
        status: "ok".to_owned(),
    }))
}

/// Numbers as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Text, version 0.0.4", body = String, content_type = "text/plain")),
    security(("bearer" = ["viewer"])),
)]
async fn get_metrics(State(api): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let read = api.read(|tx| {
        let page = sites::list(tx, None, None, SITES_MAX)?;
        let forgotten = forgotten::unknown(tx)?.len() as u64;
        let told = inbox::counts(tx)?;
        Ok((page, alerts::open(tx)?, outbox::waiting(tx)?, forgotten, told))
    });
    let (page, open, waiting, forgotten, (members_waiting, dead)) = read.await?;
    let mut metrics = of_sites(&page.items, api.clock.wall());
    metrics.push(Metric::gauge(
        "holdfast_sites_forgotten",
        "Sites that know of head office what its database does not: people are asked for `restored`.",
        forgotten,
    ));
    metrics.extend(of_alerts(&open, waiting));
    metrics.push(Metric::gauge(
        "holdfast_webhook_members_waiting",
        "Members of whom the mini-program's back end has something yet to take.",
        members_waiting,
    ));
    metrics.push(Metric::gauge(
        "holdfast_webhook_dead_letters",
        "Events that the mini-program's back end did not take, and is sent no more by itself.",
        dead,
    ));
    metrics.extend(of_api(&api));
    metrics.extend(api.counters.metrics());
    Ok(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text(&metrics)))
}

fn of_sites(sites: &[SiteRow], now: Wall) -> Vec<Metric> {
    let mut states: BTreeMap<&str, u64> = protocol::frame::State::ALL.map(|state| (state.word(), 0)).into();
    for site in sites {
        *states.entry(&site.state).or_default() += 1;
    }
    let seconds = |since: Wall| u64::try_from(now.ms_since(since) / 1_000).unwrap_or(0);
    let states = states.into_iter().map(|(state, count)| {
        Metric::gauge("holdfast_sites", "Sites, by what is made of their journals.", count).labelled("state", state)
    });
    let each = |name, help, value: &dyn Fn(&SiteRow) -> Option<u64>| -> Vec<Metric> {
        let metric = |site: &SiteRow| Some(Metric::gauge(name, help, value(site)?).labelled("site", site.id.as_str()));
        sites.iter().filter_map(metric).collect()
    };
    states
        .chain(each(
            "holdfast_site_head_seq",
            "The number of the last entry of a site's journal that is here.",
            &|site| Some(site.seq),
        ))
        .chain(each(
            "holdfast_site_backlog_entries",
            "Entries that a site had in its last hello and that are not here.",
            &|site| Some(site.backlog()),
        ))
        .chain(each(
            "holdfast_site_backlog_seconds",
            "How long the oldest of them waits; 0 where none does.",
            &|site| Some(site.waiting_since().map_or(0, seconds)),
        ))
        .chain(each(
            "holdfast_site_heard_ago_seconds",
            "How long ago a site was last heard; absent where it never was.",
            &|site| site.heard_at.map(seconds),
        ))
        .collect()
}

fn of_alerts(open: &[Alert], waiting: u64) -> Vec<Metric> {
    let of_kind = |kind: Kind| {
        let count = open.iter().filter(|alert| alert.kind == kind).count() as u64;
        Metric::gauge("holdfast_alerts_open", "What people must look at, by its kind.", count)
            .labelled("kind", kind.word())
    };
    let mut metrics: Vec<Metric> = Kind::ALL.map(of_kind).into();
    let help = "Messages about alerts that were not delivered yet.";
    metrics.push(Metric::gauge("holdfast_messages_waiting", help, waiting));
    metrics
}

fn of_api(api: &ApiState) -> Vec<Metric> {
    let answered = |outcome, counter: &std::sync::atomic::AtomicU64| {
        let help = "Requests over HTTP: fine, refused (400 to 499), failed (500 and above).";
        Metric::counter("holdfast_http_requests_total", help, counter.load(Ordering::Relaxed))
            .labelled("outcome", outcome)
    };
    let (questions, watched) = api.asks.counts();
    vec![
        answered("fine", &api.answered.fine),
        answered("refused", &api.answered.refused),
        answered("failed", &api.answered.failed),
        Metric::counter(
            "holdfast_http_logins_failed_total",
            "Requests without a token or session that counts.",
            api.logins.failed.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_http_connections_turned_away_total",
            "Connections of addresses that had too many.",
            api.counts.turned_away.load(Ordering::Relaxed),
        ),
        Metric::gauge(
            "holdfast_http_websockets",
            "Open WebSockets.",
            api.sockets.open() as u64,
        ),
        Metric::gauge(
            "holdfast_questions_open",
            "Questions that stations have not answered yet.",
            questions as u64,
        ),
        Metric::gauge(
            "holdfast_orders_watched",
            "Orders that somebody watches.",
            watched as u64,
        ),
    ]
}

//! The station's numbers for Prometheus: loop, site, database, certificates, and what the broker adds.

use super::ApiState;
use axum::{extract::State, http::header, response::IntoResponse};
use domain::order::State as OrderIs;
use service::{
    http::{
        metrics::{Metric, PROMETHEUS_TEXT, text},
        problem::Problem,
    },
    tls,
};
use std::{collections::BTreeMap, sync::atomic::Ordering};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_metrics))
}

/// Numbers for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus text, version 0.0.4", body = String, content_type = "text/plain")),
    security(("bearer" = ["viewer"])),
)]
async fn get_metrics(State(api): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let mut metrics = of_loop(&api);
    metrics.extend(of_site(&api).await?);
    metrics.extend(of_store(&api).await?);
    metrics.extend(of_tls(&api));
    metrics.extend(api.counters.metrics());
    Ok(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text(&metrics)))
}

fn of_loop(api: &ApiState) -> Vec<Metric> {
    let (station, stats) = (&api.station, &api.station.stats);
    vec![
        Metric::counter(
            "holdfast_inputs_total",
            "Inputs decided.",
            stats.inputs.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_commits_total",
            "Commits made.",
            stats.commits.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_facts_total",
            "Facts journaled.",
            stats.facts.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_refused_busy_total",
            "Inputs refused because too many waited.",
            stats.refused_busy.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_answers_refused_total",
            "Requests about money refused because the caller's answers of the last 24 h fill its budget.",
            stats.answers_refused.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_unknown_kinds_total",
            "Messages of piles of a kind that the contract does not know.",
            stats.unknown_kinds.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_msg_ids_reused_total",
            "Messages of piles that came under a msg_id that had been used for another.",
            stats.msg_ids_reused.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_undelivered_total",
            "Messages to piles that were not connected any more, or did not read.",
            stats.undelivered.load(Ordering::Relaxed),
        ),
        Metric::gauge(
            "holdfast_waiting",
            "Inputs that wait to be decided.",
            station.waiting() as u64,
        ),
        Metric::gauge("holdfast_websockets", "Open WebSockets.", api.sockets.open() as u64),
        Metric::counter(
            "holdfast_http_connections_turned_away_total",
            "HTTP connections closed because their address had too many.",
            api.counts.turned_away.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_http_logins_failed_total",
            "HTTP requests without a token, or with one that is not known.",
            api.logins.failed.load(Ordering::Relaxed),
        ),
        Metric::counter(
            "holdfast_http_logins_limited_total",
            "Those of them that were answered 429 because there were too many.",
            api.logins.limited.load(Ordering::Relaxed),
        ),
    ]
}

async fn of_site(api: &ApiState) -> Result<Vec<Metric>, Problem> {
    let looked = api.station.look(|site, _| {
        let mut orders: BTreeMap<OrderIs, u64> = OrderIs::ALL
            .into_iter()
            .filter(|state| state.is_open())
            .map(|state| (state, 0))
            .collect();
        for order in site.rows().orders().filter(|order| order.state.is_open()) {
            *orders.entry(order.state).or_default() += 1;
        }
        let (mut known, mut online, mut maintenance) = (0, 0, 0);
        for pile in site.rows().piles.values().filter(|pile| !pile.removed) {
            let presence = site.presence(&pile.id);
            known += 1;
            online += u64::from(presence.is_some_and(|presence| presence.online_since.is_some()));
            maintenance += u64::from(pile.fenced_off().is_some());
        }
        let ignored: Vec<(&str, u64)> = site.ignored().iter().map(|(why, count)| (*why, *count)).collect();
        let room = (site.disk_space(), site.takes_no_orders().is_some());
        (
            orders,
            [known, online, maintenance],
            ignored,
            site.clock_trusted(),
            room,
        )
    });
    let (orders, [known, online, maintenance], ignored, trusted, (space, no_orders)) = looked.await?;
    let mut metrics: Vec<Metric> = orders
        .into_iter()
        .map(|(state, count)| {
            Metric::gauge("holdfast_open_orders", "Open orders by state.", count).labelled("state", state.word())
        })
        .collect();
    metrics.push(Metric::gauge("holdfast_piles", "Piles that may connect.", known));
    metrics.push(Metric::gauge(
        "holdfast_piles_online",
        "Piles that are connected.",
        online,
    ));
    metrics.push(Metric::gauge(
        "holdfast_piles_in_maintenance",
        "Piles that take no orders.",
        maintenance,
    ));
    metrics.push(Metric::gauge(
        "holdfast_clock_trusted",
        "1 if the wall clock is trusted.",
        u64::from(trusted),
    ));
    metrics.push(Metric::gauge(
        "holdfast_disk_free_bytes",
        "What is left on the disk of the database.",
        space.free_bytes,
    ));
    metrics.push(Metric::gauge(
        "holdfast_disk_reserve",
        "1 if the reserve is set aside that is given up when the disk is full.",
        u64::from(space.reserve),
    ));
    metrics.push(Metric::gauge(
        "holdfast_orders_refused",
        "1 if new orders are refused for want of room on the disk.",
        u64::from(no_orders),
    ));
    metrics.extend(ignored.into_iter().map(|(why, count)| {
        let help = "Messages from piles that were counted and otherwise ignored.";
        Metric::counter("holdfast_ignored_total", help, count).labelled("reason", why)
    }));
    Ok(metrics)
}

fn of_tls(api: &ApiState) -> Vec<Metric> {
    let Some(tls) = &api.tls else { return Vec::new() };
    let state = tls.state();
    let soon = api.station.clock.now().wall.after_ms(tls::WARN_MS);
    let ending = api.station.credentials.certificates_ending_before(soon);
    vec![
        Metric::gauge(
            "holdfast_tls_certificate_expires_seconds",
            "When the station's TLS certificate ends, in seconds since 1970.",
            u64::try_from(state.expires.0 / 1_000).unwrap_or(0),
        ),
        Metric::gauge(
            "holdfast_tls_files_refused",
            "1 if new certificate files cannot be used and those before them are.",
            u64::from(state.problem.is_some()),
        ),
        Metric::gauge(
            "holdfast_pile_certificates_ending",
            "Piles whose certificate of the station's making ends within 30 days, or has ended.",
            ending as u64,
        ),
    ]
}

async fn of_store(api: &ApiState) -> Result<Vec<Metric>, Problem> {
    let (budget, now) = (api.station.store.answer_budget(), api.station.clock.now().mono);
    let counted = api.read(move |reader| {
        let quarantine = reader.open_items()?;
        let full = reader.full_budgets(budget, now)?;
        Ok((reader.head()?.0.seq, reader.order_counts()?, quarantine, full))
    });
    let (seq, (placed, unpaid), quarantine, budgets) = counted.await?;
    let full = |kind, callers| {
        let help = "Callers whose budget of remembered answers is full: of those about money, whose next request is refused, \
                    and of others, whose oldest goes first.";
        Metric::gauge("holdfast_answer_budgets_full", help, callers).labelled("kind", kind)
    };
    Ok(vec![
        full("money", budgets.about_money.len() as u64),
        full("other", budgets.others),
        Metric::gauge("holdfast_journal_seq", "The number of the last journal entry.", seq),
        Metric::gauge("holdfast_orders", "Orders in the database.", placed),
        Metric::gauge("holdfast_orders_unpaid", "Orders with something owed.", unpaid),
        Metric::gauge(
            "holdfast_quarantine_open",
            "What waits in quarantine for a person.",
            quarantine.all,
        ),
        Metric::gauge(
            "holdfast_conflicts_open",
            "Of which records that contradict the one their order has.",
            quarantine.conflicts,
        ),
        Metric::gauge(
            "holdfast_rating_differences_open",
            "Of which bills that the pile splits over the tariff's periods otherwise.",
            quarantine.rating_differences,
        ),
    ])
}

//! The station itself: who it is, what its clocks say, how far its journal goes.

use super::{
    ApiState,
    body::{Nothing, Posted},
    dto::{
        pile::PileView,
        station::{ClockView, DiskView, StationView, TlsView},
        sync::RecoveryView,
    },
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{At, journal::JournalHead},
};
use crate::store::{AnswerBudget, OpenItems, OrderFilter, Reader, Recovery, SCHEMA_VERSION, StoreError};
use axum::{Json, extract::State as Shared};
use domain::{
    journal::Head,
    order::State,
    site::{Input, Site},
    tariff,
    time::{Mono, Now, Wall},
};
use service::tls;
use std::sync::atomic::Ordering;
use utoipa_axum::{router::OpenApiRouter, routes};

/// How many reviews that wait are counted.
const COUNTED_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_station))
        .routes(routes!(confirm_clock))
}

/// Say that the clock is right, where the station cannot believe it: it is behind what was certain once. What waited for
/// the right time alone is settled.
#[utoipa::path(
    post, path = "/v1/station/clock-confirmed", tag = "station",
    request_body = Nothing,
    responses((status = 200, description = "The clock", body = ClockView)),
    security(("bearer" = ["service"])),
)]
async fn confirm_clock(Shared(api): Shared<ApiState>, posted: Posted<Nothing>) -> Result<Answered, Problem> {
    let Posted {
        body: Nothing {},
        key,
        caller,
    } = posted;
    Question::new(Input::ConfirmClock { by: caller.name }, Some(key))
        .ask(&api, move |_, site, now| Ok(Shown::ok(&ClockView::of(site, now))))
        .await
}

fn tls_of(api: &ApiState, now: Wall) -> Option<TlsView> {
    let state = api.tls.as_ref()?.state();
    let soon = now.after_ms(tls::WARN_MS);
    Some(TlsView {
        certificate_expires: At(state.expires),
        expires_soon: state.expires_soon,
        problem: state.problem,
        pile_certificates_ending: api.station.credentials.certificates_ending_before(soon),
    })
}

fn recovery_of(api: &ApiState, recovery: &Recovery) -> RecoveryView {
    let heard = api.head_office.as_ref().and_then(|end| end.heard().ack);
    RecoveryView {
        since: At(recovery.since),
        copy_end: recovery.copy_end.into(),
        head_office_has: heard.map(|(_, head)| head.into()),
        stops: recovery.stops.len(),
        waiting: api.station.waiting(),
    }
}

/// What the piles are like, counted.
#[derive(Default)]
struct PileCounts {
    known: usize,
    online: usize,
    in_maintenance: usize,
    faulted: usize,
    meter_abnormal: usize,
    quarantine_full: usize,
    journal_full: usize,
    unordered: usize,
    two_devices: usize,
}

impl PileCounts {
    fn of(site: &Site, now: Now) -> Self {
        let mut counts = Self::default();
        for pile in site.rows().piles.values().filter(|pile| !pile.removed) {
            let presence = site.presence(&pile.id);
            let view = PileView::of(pile, site, now);
            let connectors = &view.connectors;
            let is_doubted = connectors.iter().any(|connector| connector.register_doubt.is_some());
            let unordered = connectors.iter().filter(|connector| connector.unordered.is_some());
            counts.known += 1;
            counts.online += usize::from(presence.is_some_and(|presence| presence.online_since.is_some()));
            counts.in_maintenance += usize::from(pile.maintenance.is_some());
            counts.faulted += usize::from(connectors.iter().any(|connector| connector.faulted));
            counts.meter_abnormal += usize::from(view.meter_abnormal.is_some() || is_doubted);
            counts.quarantine_full += usize::from(presence.is_some_and(|presence| presence.quarantine_full));
            counts.journal_full += usize::from(pile.budget_spent.is_some());
            counts.unordered += unordered.count();
            counts.two_devices += usize::from(view.two_devices);
        }
        counts
    }
}

/// What the loop knows.
struct InMemory {
    clock: ClockView,
    disk: DiskView,
    tariff_in_force: Option<String>,
    piles: PileCounts,
    open_orders: usize,
    orders_of_gone_piles: usize,
}

impl InMemory {
    fn of(site: &Site, now: Now) -> Self {
        let tariffs = site.rows().tariffs.values();
        let open = site.rows().orders().filter(|order| order.state.is_open());
        let gone = site.rows().orders();
        let gone = gone.filter(|order| site.waits_for_a_pile_that_is_gone(order, now));
        Self {
            clock: ClockView::of(site, now),
            disk: DiskView::of(site),
            tariff_in_force: tariff::in_force(tariffs, site.tariff_time(now)).map(|tariff| tariff.id.to_string()),
            piles: PileCounts::of(site, now),
            open_orders: open.count(),
            orders_of_gone_piles: gone.count(),
        }
    }
}

/// What is on disk.
struct OnDisk {
    head: JournalHead,
    begins_after: Head,
    acknowledged: Option<Head>,
    recovery: Option<Recovery>,
    reviews_waiting: usize,
    corrections_waiting: usize,
    quarantine: OpenItems,
    answers_full: Vec<String>,
}

impl OnDisk {
    fn read(reader: &Reader, budget: AnswerBudget, now: Mono) -> Result<Self, StoreError> {
        let in_review = OrderFilter {
            state: Some(State::Review),
            ..OrderFilter::default()
        };
        let (head, hash) = reader.head()?;
        Ok(Self {
            head: JournalHead {
                seq: head.seq,
                hash: hash.to_string(),
            },
            begins_after: reader.checkpoint()?,
            acknowledged: reader.acknowledged()?,
            recovery: reader.recovery()?,
            reviews_waiting: reader.orders(&in_review, None, COUNTED_MAX)?.items.len(),
            corrections_waiting: reader.corrections(None, COUNTED_MAX)?.len(),
            quarantine: reader.open_items()?,
            answers_full: reader.full_budgets(budget, now)?.about_money,
        })
    }
}

/// The station.
#[utoipa::path(
    get, path = "/v1/station", tag = "station",
    responses((status = 200, description = "The station", body = StationView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["sync", "socket"])),
)]
async fn get_station(Shared(api): Shared<ApiState>) -> Result<Json<StationView>, Problem> {
    let Now { wall, mono, .. } = api.station.clock.now();
    let budget = api.station.store.answer_budget();
    let disk = api.read(move |reader| OnDisk::read(reader, budget, mono)).await?;
    let memory = api.station.look(InMemory::of).await?;
    let identity = api.station.store.identity();
    let piles = memory.piles;
    Ok(Json(StationView {
        site: identity.site.to_string(),
        epoch: identity.epoch.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: SCHEMA_VERSION,
        time_zone: api.time_zone.to_string(),
        clock: memory.clock,
        journal: disk.head,
        acknowledged: disk.acknowledged.map(Into::into),
        journal_begins_after: disk.begins_after.into(),
        recovering: disk.recovery.map(|recovery| recovery_of(&api, &recovery)),
        waiting: api.station.waiting(),
        open_orders: memory.open_orders,
        piles: piles.known,
        piles_online: piles.online,
        piles_in_maintenance: piles.in_maintenance,
        piles_faulted: piles.faulted,
        piles_meter_abnormal: piles.meter_abnormal,
        reviews_waiting: disk.reviews_waiting,
        quarantine_open: disk.quarantine.all,
        conflicts_open: disk.quarantine.conflicts,
        rating_differences_open: disk.quarantine.rating_differences,
        quarantine_oldest: disk.quarantine.oldest.map(At),
        corrections_waiting: disk.corrections_waiting,
        piles_quarantine_full: piles.quarantine_full,
        piles_journal_full: piles.journal_full,
        answers_full: disk.answers_full,
        disk: memory.disk,
        tariff_in_force: memory.tariff_in_force,
        tls: tls_of(&api, wall),
        connectors_unordered: piles.unordered,
        piles_two_devices: piles.two_devices,
        orders_of_gone_piles: memory.orders_of_gone_piles,
        msg_ids_reused: api.station.stats.msg_ids_reused.load(Ordering::Relaxed),
    }))
}

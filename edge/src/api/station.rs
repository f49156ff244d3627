//! The station itself: who it is, what its clocks say, how far its journal goes.

use super::{
    ApiState,
    body::{Nothing, Posted},
    dto::{
        pile::PileView,
        station::{ClockView, DiskView, JournalHead, StationView, TlsView},
    },
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::At,
};
use crate::store::{OrderFilter, SCHEMA_VERSION};
use axum::{Json, extract::State as Shared};
use domain::{order::State, site::Input, tariff, time::Wall};
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

/// The station.
#[utoipa::path(
    get, path = "/v1/station", tag = "station",
    responses((status = 200, description = "The station", body = StationView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_station(Shared(api): Shared<ApiState>) -> Result<Json<StationView>, Problem> {
    let wall = api.station.clock.now().wall;
    let read = api.read(move |reader| {
        let waiting = OrderFilter {
            state: Some(State::Review),
            ..OrderFilter::default()
        };
        let reviews = reader.orders(&waiting, None, COUNTED_MAX)?.items.len();
        let quarantine = reader.open_items()?;
        let corrections = reader.corrections(None, COUNTED_MAX)?.len();
        let places = (reader.checkpoint()?, reader.acknowledged()?);
        Ok((reader.head()?, places, (reviews, corrections), quarantine))
    });
    let ((head, hash), (begins_after, acknowledged), (reviews_waiting, corrections_waiting), quarantine) = read.await?;
    let identity = api.station.store.identity();
    let mut view = StationView {
        site: identity.site.to_string(),
        epoch: identity.epoch.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: SCHEMA_VERSION,
        time_zone: api.time_zone.to_string(),
        clock: ClockView {
            wall: At(head.at),
            mono_ms: 0,
            trusted: false,
            doubted_since: None,
        },
        journal: JournalHead {
            seq: head.seq,
            hash: hash.to_string(),
        },
        acknowledged: acknowledged.map(Into::into),
        journal_begins_after: begins_after.into(),
        waiting: api.station.waiting(),
        open_orders: 0,
        piles: 0,
        piles_online: 0,
        piles_in_maintenance: 0,
        piles_faulted: 0,
        piles_meter_abnormal: 0,
        reviews_waiting,
        quarantine_open: quarantine.all,
        conflicts_open: quarantine.conflicts,
        rating_differences_open: quarantine.rating_differences,
        quarantine_oldest: quarantine.oldest.map(At),
        corrections_waiting,
        piles_quarantine_full: 0,
        disk: DiskView {
            free_bytes: 0,
            reserve: false,
            telemetry: false,
            refusing_orders: None,
        },
        tariff_in_force: None,
        tls: tls_of(&api, wall),
        connectors_unordered: 0,
        piles_two_devices: 0,
        orders_of_gone_piles: 0,
        msg_ids_reused: api.station.stats.msg_ids_reused.load(Ordering::Relaxed),
    };
    let looked = api.station.look(|site, now| {
        let piles = site.rows().piles.values().filter(|pile| !pile.removed);
        let (mut known, mut online, mut fenced, mut faulted, mut full, mut abnormal) = (0, 0, 0, 0, 0, 0);
        let (mut unordered, mut two_devices) = (0, 0);
        for pile in piles {
            known += 1;
            let presence = site.presence(&pile.id);
            online += usize::from(presence.is_some_and(|presence| presence.online_since.is_some()));
            full += usize::from(presence.is_some_and(|presence| presence.quarantine_full));
            let view = PileView::of(pile, site, now);
            fenced += usize::from(view.maintenance.is_some());
            faulted += usize::from(view.connectors.iter().any(|connector| connector.faulted));
            let lower = view
                .connectors
                .iter()
                .any(|connector| connector.register_doubt.is_some());
            abnormal += usize::from(view.meter_abnormal.is_some() || lower);
            let alone = view.connectors.iter().filter(|connector| connector.unordered.is_some());
            unordered += alone.count();
            two_devices += usize::from(view.two_devices);
        }
        let open = site.rows().orders().filter(|order| order.state.is_open()).count();
        let gone = site.rows().orders();
        let gone = gone
            .filter(|order| site.waits_for_a_pile_that_is_gone(order, now))
            .count();
        let counts = [
            known,
            online,
            fenced,
            faulted,
            full,
            abnormal,
            unordered,
            two_devices,
            gone,
        ];
        let tariffs = site.rows().tariffs.values();
        let in_force = tariff::in_force(tariffs, site.tariff_time(now)).map(|tariff| tariff.id.to_string());
        (ClockView::of(site, now), in_force, open, counts, DiskView::of(site))
    });
    let (clock, in_force, open_orders, counts, disk) = looked.await?;
    let [
        piles,
        online,
        fenced,
        faulted,
        full,
        abnormal,
        unordered,
        two_devices,
        gone,
    ] = counts;
    (view.clock, view.tariff_in_force) = (clock, in_force);
    (view.open_orders, view.piles, view.piles_online) = (open_orders, piles, online);
    (view.piles_in_maintenance, view.piles_faulted) = (fenced, faulted);
    (view.piles_quarantine_full, view.disk) = (full, disk);
    view.piles_meter_abnormal = abnormal;
    (view.connectors_unordered, view.piles_two_devices) = (unordered, two_devices);
    view.orders_of_gone_piles = gone;
    Ok(Json(view))
}

//! The station itself: who it is, what its clocks say, how far its journal goes.

use super::{
    ApiState,
    dto::{
        pile::PileView,
        station::{ClockView, DiskView, JournalHead, StationView, TlsView},
    },
    problem::Problem,
    wire::At,
};
use crate::{
    store::{OrderFilter, SCHEMA_VERSION},
    tls,
};
use axum::{Json, extract::State as Shared};
use domain::{order::State, tariff, time::Wall};
use utoipa_axum::{router::OpenApiRouter, routes};

/// How many of what waits are counted.
const COUNTED_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_station))
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
        let quarantine = reader.quarantine(true, None, COUNTED_MAX)?.items.len();
        let corrections = reader.corrections(None, COUNTED_MAX)?.len();
        let tariffs = reader.tariffs()?;
        let in_force = tariff::in_force(&tariffs, wall).map(|tariff| tariff.id.to_string());
        let places = (reader.checkpoint()?, reader.acknowledged()?);
        let waiting = [reviews, quarantine, corrections];
        Ok((reader.head()?, places, waiting, in_force))
    });
    let ((head, hash), (begins_after, acknowledged), waiting, tariff_in_force) = read.await?;
    let [reviews_waiting, quarantine_open, corrections_waiting] = waiting;
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
        quarantine_open,
        corrections_waiting,
        piles_quarantine_full: 0,
        disk: DiskView {
            free_bytes: 0,
            reserve: false,
            telemetry: false,
            refusing_orders: None,
        },
        tariff_in_force,
        tls: tls_of(&api, wall),
    };
    let looked = api.station.look(|site, now| {
        let piles = site.rows().piles.values().filter(|pile| !pile.removed);
        let (mut known, mut online, mut fenced, mut faulted, mut full, mut abnormal) = (0, 0, 0, 0, 0, 0);
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
                .any(|connector| connector.register_lower.is_some());
            abnormal += usize::from(view.meter_abnormal.is_some() || lower);
        }
        let open = site.rows().orders().filter(|order| order.state.is_open()).count();
        let counts = [known, online, fenced, faulted, full, abnormal];
        (now, site.clock_trusted(), open, counts, DiskView::of(site))
    });
    let (now, trusted, open_orders, [piles, online, fenced, faulted, full, abnormal], disk) = looked.await?;
    view.clock = ClockView {
        wall: At(now.wall),
        mono_ms: now.mono.0,
        trusted,
    };
    (view.open_orders, view.piles, view.piles_online) = (open_orders, piles, online);
    (view.piles_in_maintenance, view.piles_faulted) = (fenced, faulted);
    (view.piles_quarantine_full, view.disk) = (full, disk);
    view.piles_meter_abnormal = abnormal;
    Ok(Json(view))
}

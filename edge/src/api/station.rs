//! The station itself: who it is, what its clocks say, how far its journal goes.

use super::{
    ApiState,
    dto::station::{ClockView, JournalHead, StationView},
    problem::Problem,
    wire::At,
};
use crate::store::SCHEMA_VERSION;
use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_station))
}

/// The station.
#[utoipa::path(
    get, path = "/v1/station", tag = "station",
    responses((status = 200, description = "The station", body = StationView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_station(State(api): State<ApiState>) -> Result<Json<StationView>, Problem> {
    let (head, hash) = api.read(|reader| reader.head()).await?;
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
        waiting: api.station.waiting(),
        open_orders: 0,
        piles: 0,
        piles_online: 0,
    };
    let looked = api.station.look(|site, now| {
        let piles = site.rows().piles.values().filter(|pile| !pile.removed);
        let (mut known, mut online) = (0, 0);
        for pile in piles {
            known += 1;
            let presence = site.presence(&pile.id);
            online += usize::from(presence.is_some_and(|presence| presence.online_since.is_some()));
        }
        let open = site.rows().orders().filter(|order| order.state.is_open()).count();
        (now, site.clock_trusted(), open, known, online)
    });
    let (now, trusted, open_orders, piles, piles_online) = looked.await?;
    view.clock = ClockView {
        wall: At(now.wall),
        mono_ms: now.mono.0,
        trusted,
    };
    (view.open_orders, view.piles, view.piles_online) = (open_orders, piles, piles_online);
    Ok(Json(view))
}

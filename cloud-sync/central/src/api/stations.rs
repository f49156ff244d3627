//! Sites as a driver looks for one: where there is a free connector, and what a kWh costs there.

use super::{ApiState, dto::station::StationView};
use crate::store::queries::stations;
use axum::{Json, extract::State};
use domain::ids::SiteId;
use service::{
    http::{
        body::{Asked, Of},
        page::Paging,
        problem::Problem,
    },
    wire::{PageOf, described},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_stations))
        .routes(routes!(get_station))
}

/// Sites with prices and free connectors, in the order of their ids: as each site's journal has them, whose line may be down.
#[utoipa::path(
    get, path = "/v1/stations", tag = "mini-program",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<StationView>)),
    security(("bearer" = ["station"]), ("bearer" = ["viewer"])),
)]
async fn list_stations(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<StationView>>, Problem> {
    let (after, limit) = (paging.name()?, paging.limit()?);
    let page = api
        .read(move |tx| stations::list(tx, None, after.as_deref(), limit))
        .await?;
    let now = api.clock.wall();
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.site.clone()),
        items: page.items.iter().map(|row| StationView::of(row, now)).collect(),
    }))
}

/// One site with its prices and free connectors.
#[utoipa::path(
    get, path = "/v1/stations/{site}", tag = "mini-program",
    params(("site" = inline(described::SiteId), Path, description = "The site's id")),
    responses((status = 200, description = "The site", body = StationView)),
    security(("bearer" = ["station"]), ("bearer" = ["viewer"])),
)]
async fn get_station(State(api): State<ApiState>, Of(id): Of<SiteId>) -> Result<Json<StationView>, Problem> {
    let only = id.clone();
    let page = api
        .read(move |tx| stations::list(tx, Some(only.as_str()), None, 1))
        .await?;
    let found = page.items.first().map(|row| StationView::of(row, api.clock.wall()));
    found
        .map(Json)
        .ok_or_else(|| Problem::unknown("site", &id).with("site", id.as_str()))
}

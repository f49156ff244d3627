//! Messages that carry money, or may, and fit nowhere, at all sites.

use super::{ApiState, dto::AtSite, unknown_at};
use crate::store::queries::rows;
use axum::{Json, extract::State};
use domain::ids::SiteId;
use serde::Deserialize;
use service::{
    http::{
        body::{Asked, Of},
        page::{Paging, bad_cursor, cursor_of},
        problem::Problem,
    },
    wire::{PageOf, described, quarantine::QuarantineView},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_quarantine))
        .routes(routes!(get_quarantine))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuarantine {
    /// Only of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Those dealt with too.
    #[serde(default)]
    closed: bool,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// What waits for a person, site by site from the last id to the first, the newest of each first.
#[utoipa::path(
    get, path = "/v1/quarantine", tag = "quarantine",
    params(ListQuarantine),
    responses((status = 200, description = "One page", body = PageOf<AtSite<QuarantineView>>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_quarantine(
    State(api): State<ApiState>,
    Asked(query): Asked<ListQuarantine>,
) -> Result<Json<PageOf<AtSite<QuarantineView>>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([site, item]) => Some((site.to_owned(), item.parse::<u64>().map_err(|_| bad_cursor())?)),
    };
    let (site, closed) = (query.site, query.closed);
    let page = api
        .read(move |tx| rows::quarantine(tx, site.as_ref().map(SiteId::as_str), closed, after, limit))
        .await?;
    let next = page.next_after();
    let next = next.map(|last| cursor_of([last.site.clone(), last.row.item.to_string()]));
    let items = page.items.iter().map(|of| AtSite {
        site: of.site.clone(),
        row: QuarantineView::brief(&of.row),
    });
    Ok(Json(PageOf {
        items: items.collect(),
        next,
    }))
}

/// One message, as it came.
#[utoipa::path(
    get, path = "/v1/sites/{site}/quarantine/{item}", tag = "quarantine",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("item" = u64, Path, description = "Its number there"),
    ),
    responses((status = 200, description = "The message", body = AtSite<QuarantineView>)),
    security(("bearer" = ["viewer"])),
)]
async fn get_quarantine(
    State(api): State<ApiState>,
    Of((site, item)): Of<(SiteId, u64)>,
) -> Result<Json<AtSite<QuarantineView>>, Problem> {
    let of = site.clone();
    let found = api.read(move |tx| rows::find_quarantine(tx, of.as_str(), item)).await?;
    let found = found.ok_or_else(|| unknown_at("quarantine item", item, &site))?;
    let (site, row) = (site.to_string(), QuarantineView::full(&found));
    Ok(Json(AtSite { site, row }))
}

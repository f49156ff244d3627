//! Sites: how far each journal is here, and what it has come to there.

use super::{
    ApiState,
    dto::{
        pile::PileView,
        site::{JournalPageView, SiteState, SiteView},
    },
    unknown_at,
};
use crate::store::queries::{
    entries, rows,
    sites::{self, SiteRow},
};
use axum::{Json, extract::State};
use domain::{
    ids::{SiteId, TariffId},
    tariff::Tariff,
};
use serde::Deserialize;
use service::{
    http::{
        body::{Asked, Of},
        page::Paging,
        problem::Problem,
    },
    wire::{PageOf, described, tariff::TariffDocument},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most entries in one answer.
const ENTRIES_MAX: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_sites))
        .routes(routes!(get_site))
        .routes(routes!(list_piles))
        .routes(routes!(list_tariffs))
        .routes(routes!(get_tariff))
        .routes(routes!(get_journal))
}

impl ApiState {
    /// A site that there is.
    pub(super) async fn site(&self, id: &SiteId) -> Result<SiteRow, Problem> {
        let wanted = id.clone();
        let found = self.read(move |tx| sites::find(tx, wanted.as_str())).await?;
        found.ok_or_else(|| Problem::unknown("site", id).with("site", id.as_str()))
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListSites {
    /// Only those in this state.
    #[serde(default)]
    state: Option<SiteState>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// List sites in the order of their ids: the state of each, how far its journal is here, and what waits there.
#[utoipa::path(
    get, path = "/v1/sites", tag = "sites",
    params(ListSites),
    responses((status = 200, description = "One page", body = PageOf<SiteView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_sites(
    State(api): State<ApiState>,
    Asked(query): Asked<ListSites>,
) -> Result<Json<PageOf<SiteView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let (after, limit) = (paging.name()?, paging.limit()?);
    let state = query.state.map(SiteState::word);
    let page = api
        .read(move |tx| sites::list(tx, state, after.as_deref(), limit))
        .await?;
    let now = api.clock.wall();
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.id.clone()),
        items: page.items.iter().map(|site| SiteView::of(site, now)).collect(),
    }))
}

/// One site.
#[utoipa::path(
    get, path = "/v1/sites/{site}", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "The site's id")),
    responses((status = 200, description = "The site", body = SiteView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_site(State(api): State<ApiState>, Of(id): Of<SiteId>) -> Result<Json<SiteView>, Problem> {
    let site = api.site(&id).await?;
    Ok(Json(SiteView::of(&site, api.clock.wall())))
}

/// A site's piles in the order of their ids, as its journal has them. What they say just now is in `GET
/// /v1/sites/{site}/station`.
#[utoipa::path(
    get, path = "/v1/sites/{site}/piles", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "The site's id"), Paging),
    responses((status = 200, description = "One page", body = PageOf<PileView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_piles(
    State(api): State<ApiState>,
    Of(id): Of<SiteId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<PileView>>, Problem> {
    let (after, limit) = (paging.name()?, paging.limit()?);
    api.site(&id).await?;
    let page = api
        .read(move |tx| rows::piles(tx, id.as_str(), after.as_deref(), limit))
        .await?;
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.id.to_string()),
        items: page.items.iter().map(PileView::from).collect(),
    }))
}

/// A site's tariff versions in the order of their names.
#[utoipa::path(
    get, path = "/v1/sites/{site}/tariffs", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "The site's id"), Paging),
    responses((status = 200, description = "One page", body = PageOf<TariffDocument>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_tariffs(
    State(api): State<ApiState>,
    Of(id): Of<SiteId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<Tariff>>, Problem> {
    let (after, limit) = (paging.name()?, paging.limit()?);
    api.site(&id).await?;
    let page = api
        .read(move |tx| rows::tariffs(tx, id.as_str(), after.as_deref(), limit))
        .await?;
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.id.to_string()),
        items: page.items,
    }))
}

/// One tariff version of a site.
#[utoipa::path(
    get, path = "/v1/sites/{site}/tariffs/{id}", tag = "sites",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("id" = inline(described::TariffId), Path, description = "The version's name"),
    ),
    responses((status = 200, description = "The version", body = TariffDocument)),
    security(("bearer" = ["viewer"])),
)]
async fn get_tariff(
    State(api): State<ApiState>,
    Of((site, id)): Of<(SiteId, TariffId)>,
) -> Result<Json<Tariff>, Problem> {
    let (of, wanted) = (site.clone(), id.clone());
    let found = api.read(move |tx| rows::find_tariff(tx, of.as_str(), &wanted)).await?;
    found.map(Json).ok_or_else(|| unknown_at("tariff", id, &site))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JournalAfter {
    /// Entries after this number; 0 for the beginning.
    #[serde(default)]
    after: u64,
    /// How many entries at most, 1 to 1000; 500 if left out. Fewer come where they are long.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A site's journal as the site stored it, so that its hashes can be checked.
///
/// Each hash is SHA-256 over the 32 bytes of the hash before and the stored bytes. `docs/journal.md` has the form of an entry.
#[utoipa::path(
    get, path = "/v1/sites/{site}/journal", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "The site's id"), JournalAfter),
    responses((status = 200, description = "Empty where there is nothing after it", body = JournalPageView)),
    security(("bearer" = ["admin"])),
)]
async fn get_journal(
    State(api): State<ApiState>,
    Of(id): Of<SiteId>,
    Asked(query): Asked<JournalAfter>,
) -> Result<Json<JournalPageView>, Problem> {
    let limit = match query.limit {
        None => ENTRIES_MAX / 2,
        Some(limit) if (1..=ENTRIES_MAX).contains(&limit) => limit,
        Some(_) => return Err(Problem::url("limit", format!("from 1 to {ENTRIES_MAX} entries"))),
    };
    let (wanted, after) = (id.clone(), query.after);
    let found = api
        .read(move |tx| {
            let Some(site) = sites::find(tx, wanted.as_str())? else {
                return Ok(None);
            };
            let (after_hash, entries) = entries::after(tx, wanted.as_str(), after, limit)?;
            Ok(Some(JournalPageView::new(&site, after, after_hash, &entries)))
        })
        .await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::unknown("site", &id).with("site", id.as_str()))
}

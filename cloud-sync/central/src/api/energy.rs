//! Energy reports of all sites, as each station made them.

use super::{ApiState, dto::AtSite, orders::day, unknown_at};
use crate::store::queries::rows;
use axum::{Json, extract::State};
use domain::{ids::SiteId, time::Day};
use serde::Deserialize;
use service::{
    http::{
        body::{Asked, Of},
        page::{Paging, bad_cursor, cursor_of},
        problem::Problem,
    },
    wire::{
        PageOf, described,
        energy::{EnergyReportBrief, EnergyReportView},
    },
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_energy_reports))
        .routes(routes!(get_energy_report))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListEnergyReports {
    /// Only of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only of this business day.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date, example = "2026-03-01")]
    day: Option<String>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Energy reports in short, the newest day first.
#[utoipa::path(
    get, path = "/v1/energy-reports", tag = "energy",
    params(ListEnergyReports),
    responses((status = 200, description = "One page", body = PageOf<AtSite<EnergyReportBrief>>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_energy_reports(
    State(api): State<ApiState>,
    Asked(query): Asked<ListEnergyReports>,
) -> Result<Json<PageOf<AtSite<EnergyReportBrief>>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([day, site]) => Some((Day::parse(day).map_err(|_| bad_cursor())?, site.to_owned())),
    };
    let (site, day) = (query.site, day(query.day)?);
    let page = api
        .read(move |tx| rows::energy_reports(tx, site.as_ref().map(SiteId::as_str), day, after, limit))
        .await?;
    let next = page.next_after();
    let next = next.map(|last| cursor_of([last.row.day.to_string(), last.site.clone()]));
    let items = page.items.iter().map(|of| AtSite {
        site: of.site.clone(),
        row: EnergyReportBrief::of(&of.row),
    });
    Ok(Json(PageOf {
        items: items.collect(),
        next,
    }))
}

/// A site's energy of one day, by connector and pile.
#[utoipa::path(
    get, path = "/v1/sites/{site}/energy-reports/{day}", tag = "energy",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("day" = String, Path, description = "The business day, such as 2026-03-01"),
    ),
    responses((status = 200, description = "The report", body = AtSite<EnergyReportView>)),
    security(("bearer" = ["viewer"])),
)]
async fn get_energy_report(
    State(api): State<ApiState>,
    Of((site, day)): Of<(SiteId, String)>,
) -> Result<Json<AtSite<EnergyReportView>>, Problem> {
    let day = Day::parse(&day).map_err(|error| Problem::url("day", error))?;
    let of = site.clone();
    let found = api
        .read(move |tx| rows::find_energy_report(tx, of.as_str(), day))
        .await?;
    let report = found.ok_or_else(|| unknown_at("energy report", day, &site))?;
    let (site, row) = (site.to_string(), EnergyReportView::of(&report));
    Ok(Json(AtSite { site, row }))
}

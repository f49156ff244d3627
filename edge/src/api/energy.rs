//! Energy reports: one for each business day, made at 01:00 the day after and kept.

use super::{
    ApiState,
    body::{Asked, Of},
    energy_csv,
    page::Paging,
    problem::Problem,
    wire::{
        PageOf,
        energy::{EnergyReportBrief, EnergyReportView},
    },
};
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use domain::{energy::EnergyReport, time::Day};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_energy_reports))
        .routes(routes!(get_energy_report))
        .routes(routes!(get_energy_report_csv))
}

/// Energy reports in short, newest day first.
#[utoipa::path(
    get, path = "/v1/energy-reports", tag = "energy",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<EnergyReportBrief>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_energy_reports(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<EnergyReportBrief>>, Problem> {
    let read_cursor = |cursor: String| Day::parse(&cursor).map_err(|error| Problem::url("cursor", error));
    let before = paging.name()?.map(read_cursor).transpose()?;
    let limit = paging.limit()?;
    let (reports, more) = api.read(move |reader| reader.energy_reports(before, limit)).await?;
    let next = reports.last().filter(|_| more).map(|last| last.day.to_string());
    Ok(Json(PageOf {
        items: reports.iter().map(EnergyReportBrief::of).collect(),
        next,
    }))
}

async fn report_of(api: &ApiState, day: &str) -> Result<EnergyReport, Problem> {
    let day = Day::parse(day).map_err(|error| Problem::url("day", error))?;
    let found = api.read(move |reader| reader.energy_report(day)).await?;
    found.ok_or_else(|| Problem::unknown("energy report", day))
}

/// A day's energy, by connector and pile.
#[utoipa::path(
    get, path = "/v1/energy-reports/{day}", tag = "energy",
    params(("day" = String, Path, description = "The business day, such as 2026-03-01")),
    responses((status = 200, description = "The report", body = EnergyReportView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_energy_report(
    State(api): State<ApiState>,
    Of(day): Of<String>,
) -> Result<Json<EnergyReportView>, Problem> {
    Ok(Json(EnergyReportView::of(&report_of(&api, &day).await?)))
}

/// A day's energy as a table for spreadsheets: UTF-8 with a byte order mark, one line a connector, discrepancy and
/// adjustment.
#[utoipa::path(
    get, path = "/v1/energy-reports/{day}/csv", tag = "energy",
    params(("day" = String, Path, description = "The business day, such as 2026-03-01")),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv")),
    security(("bearer" = ["viewer"])),
)]
async fn get_energy_report_csv(State(api): State<ApiState>, Of(day): Of<String>) -> Result<Response, Problem> {
    let report = report_of(&api, &day).await?;
    let name = format!("attachment; filename=\"energy-{}.csv\"", report.day);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, energy_csv::table(&EnergyReportView::of(&report))).into_response())
}

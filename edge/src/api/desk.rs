//! The desk: what is in the till, shifts that are opened, counted and closed, cash that goes to the bank.

use super::{
    ApiState,
    body::{Asked, Nothing, Of, Posted},
    dto::desk::{BankCash, CountCash, DeskDayView, DeskView, ShiftView},
    page::Paging,
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{PageOf, Yuan},
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ledger::Account,
    site::{Input, Site},
    time::Day,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_desk))
        .routes(routes!(open_shift))
        .routes(routes!(count_cash))
        .routes(routes!(bank_cash))
        .routes(routes!(close_shift))
        .routes(routes!(list_shifts))
        .routes(routes!(get_desk_day))
}

/// The desk as just decided, rendered in the loop.
fn desk_in_memory(site: &Site) -> DeskView {
    DeskView {
        till: Yuan(site.rows().till()),
        shift: site.rows().open_shift().map(Into::into),
    }
}

/// What the till holds by the books, and the shift that is open.
#[utoipa::path(
    get, path = "/v1/desk", tag = "desk",
    responses((status = 200, description = "The desk", body = DeskView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_desk(State(api): State<ApiState>) -> Result<Json<DeskView>, Problem> {
    let (cash, shift) = api
        .read(|reader| Ok((reader.balance(&Account::Cash)?, reader.open_shift()?)))
        .await?;
    Ok(Json(DeskView {
        till: Yuan(-cash),
        shift: shift.as_ref().map(Into::into),
    }))
}

/// Take over the desk, with the till as it is.
#[utoipa::path(
    post, path = "/v1/desk/shift", tag = "desk",
    request_body = Nothing,
    responses((status = 201, description = "The shift is open", body = DeskView)),
    security(("bearer" = ["service"])),
)]
async fn open_shift(State(api): State<ApiState>, posted: Posted<Nothing>) -> Result<Answered, Problem> {
    let by = posted.caller.name;
    Question::new(Input::OpenShift { by }, Some(posted.key))
        .ask(&api, |_, site, _| {
            Ok(Shown::new(StatusCode::CREATED, &desk_in_memory(site)))
        })
        .await
}

/// Count the cash. What it differs from the books is booked, with the reason that must then be given.
#[utoipa::path(
    post, path = "/v1/desk/count", tag = "desk",
    request_body = CountCash,
    responses((status = 200, description = "The till holds what was counted", body = DeskView)),
    security(("bearer" = ["service"])),
)]
async fn count_cash(State(api): State<ApiState>, posted: Posted<CountCash>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let input = Input::CountCash {
        counted: body.counted.0,
        reason: body.reason,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, |_, site, _| Ok(Shown::ok(&desk_in_memory(site))))
        .await
}

/// Book cash that was taken from the till to the bank.
#[utoipa::path(
    post, path = "/v1/desk/bank", tag = "desk",
    request_body = BankCash,
    responses((status = 200, description = "The till without it", body = DeskView)),
    security(("bearer" = ["service"])),
)]
async fn bank_cash(State(api): State<ApiState>, posted: Posted<BankCash>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let input = Input::BankCash {
        amount: body.amount.0,
        slip: body.slip,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, |_, site, _| Ok(Shown::ok(&desk_in_memory(site))))
        .await
}

/// Leave the desk. The cash must have been counted since it last moved.
#[utoipa::path(
    post, path = "/v1/desk/close", tag = "desk",
    request_body = Nothing,
    responses((status = 200, description = "The shift that was closed", body = ShiftView)),
    security(("bearer" = ["service"])),
)]
async fn close_shift(State(api): State<ApiState>, posted: Posted<Nothing>) -> Result<Answered, Problem> {
    let by = posted.caller.name;
    Question::new(Input::CloseShift { by }, Some(posted.key))
        .ask(&api, |_, site, _| {
            let closed = site.rows().shifts.values().rev().find(|shift| shift.closed.is_some());
            let closed = closed.ok_or_else(|| Problem::internal("a shift was closed and is not in memory"))?;
            Ok(Shown::ok(&ShiftView::from(closed)))
        })
        .await
}

/// Shifts, newest first.
#[utoipa::path(
    get, path = "/v1/desk/shifts", tag = "desk",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<ShiftView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_shifts(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<ShiftView>>, Problem> {
    let (before, limit) = (paging.number()?, paging.limit()?);
    let page = api.read(move |reader| reader.shifts(before, limit)).await?;
    Ok(Json(PageOf {
        items: page.items.iter().map(Into::into).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// What a business day did to the till.
#[utoipa::path(
    get, path = "/v1/desk/days/{day}", tag = "desk",
    params(("day" = String, Path, description = "The business day, such as 2026-03-01")),
    responses((status = 200, description = "The day", body = DeskDayView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_desk_day(State(api): State<ApiState>, Of(day): Of<String>) -> Result<Json<DeskDayView>, Problem> {
    let day = Day::parse(&day).map_err(|error| Problem::url("day", error))?;
    let rows = api.read(move |reader| reader.desk_day(day)).await?;
    let view = DeskDayView::of(day, &rows);
    view.map(Json).ok_or_else(|| Problem::unknown("desk day", day))
}

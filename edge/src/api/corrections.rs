//! Corrections of bills that were settled: one person within a limit, two people beyond it.

use super::{
    ApiState,
    body::{Asked, Nothing, Of, Posted},
    orders::about_order,
    page::Paging,
    problem::Problem,
    respond::{Answered, Question},
    wire::{
        PageOf, described,
        order::{CorrectBill, OrderView, WithdrawCorrection},
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{ids::OrderId, site::Input};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_corrections))
        .routes(routes!(correct_bill))
        .routes(routes!(approve_correction))
        .routes(routes!(withdraw_correction))
}

/// Orders with a correction that waits for a second person, in order of their ids.
#[utoipa::path(
    get, path = "/v1/corrections", tag = "corrections",
    params(Paging),
    responses((status = 200, description = "One page; `correction` is what waits", body = PageOf<OrderView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_corrections(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<OrderView>>, Problem> {
    let (after, limit) = (paging.name()?, paging.limit()?);
    let mut orders = api
        .read(move |reader| reader.corrections(after.as_deref(), limit + 1))
        .await?;
    let more = orders.len() > limit;
    orders.truncate(limit);
    let next = orders.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(PageOf {
        items: orders.iter().map(OrderView::from).collect(),
        next,
    }))
}

/// Set the bill of an order that was settled, up or down.
///
/// A lower bill cuts the debt first and gives the rest back; a higher one is paid out of what the member has here, and the
/// rest is owed. A bill that differs by more than `policy.second_person_above` from the one first settled waits for a second
/// person.
#[utoipa::path(
    post, path = "/v1/orders/{id}/corrections", tag = "corrections",
    params(("id" = inline(described::OrderId), Path, description = "The order's number")),
    request_body = CorrectBill,
    responses(
        (status = 200, description = "Settled by the new bill", body = OrderView),
        (status = 202, description = "Kept for a second person: see `correction`", body = OrderView),
    ),
    security(("bearer" = ["service"])),
)]
async fn correct_bill(
    State(api): State<ApiState>,
    Of(order): Of<OrderId>,
    posted: Posted<CorrectBill>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let input = Input::CorrectBill {
        order,
        electricity: body.electricity.0,
        service: body.service.0,
        reason: body.reason,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, |decided, site, _| about_order(decided, site, StatusCode::OK))
        .await
}

/// Approve exactly this correction, as the second person: with a token of another name than that of whoever proposed it.
#[utoipa::path(
    post, path = "/v1/orders/{id}/corrections/{proposal}/approve", tag = "corrections",
    params(
        ("id" = inline(described::OrderId), Path, description = "The order's number"),
        ("proposal" = u64, Path, description = "The number of the correction"),
    ),
    request_body = Nothing,
    responses((status = 200, description = "Settled by the new bill", body = OrderView)),
    security(("bearer" = ["service"])),
)]
async fn approve_correction(
    State(api): State<ApiState>,
    Of((order, proposal)): Of<(OrderId, u64)>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let by = posted.caller.name;
    let input = Input::ApproveCorrection { order, proposal, by };
    Question::new(input, Some(posted.key))
        .ask(&api, |decided, site, _| about_order(decided, site, StatusCode::OK))
        .await
}

/// Do not make a correction that waits.
#[utoipa::path(
    post, path = "/v1/orders/{id}/corrections/{proposal}/withdraw", tag = "corrections",
    params(
        ("id" = inline(described::OrderId), Path, description = "The order's number"),
        ("proposal" = u64, Path, description = "The number of the correction"),
    ),
    request_body = WithdrawCorrection,
    responses((status = 200, description = "The bill stays as it is", body = OrderView)),
    security(("bearer" = ["service"])),
)]
async fn withdraw_correction(
    State(api): State<ApiState>,
    Of((order, proposal)): Of<(OrderId, u64)>,
    posted: Posted<WithdrawCorrection>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let input = Input::WithdrawCorrection {
        order,
        proposal,
        reason: body.reason,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, |decided, site, _| about_order(decided, site, StatusCode::OK))
        .await
}

//! Orders that wait for a person before money moves (S05 §5).

use super::{
    ApiState,
    body::{Asked, Of, Posted},
    orders::{about_order, orders_page},
    page::Paging,
    problem::Problem,
    respond::{Answered, Question},
    wire::{
        PageOf, described,
        order::{DecideReview, OrderView, ReviewDecision},
    },
};
use crate::store::OrderFilter;
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::OrderId,
    order::State as OrderIs,
    site::{Decision, Input},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_reviews))
        .routes(routes!(decide_review))
}

/// Orders that wait for a decision, newest first, each with its suspicions and bill.
#[utoipa::path(
    get, path = "/v1/reviews", tag = "reviews",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<OrderView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_reviews(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<OrderView>>, Problem> {
    let filter = OrderFilter {
        state: Some(OrderIs::Review),
        ..OrderFilter::default()
    };
    orders_page(&api, filter, &paging).await
}

/// Let the bill stand, or set another; the order is settled by it at once.
#[utoipa::path(
    post, path = "/v1/reviews/{order}/decision", tag = "reviews",
    params(("order" = inline(described::OrderId), Path, description = "The order's number")),
    request_body = DecideReview,
    responses(
        (status = 200, description = "Settled", body = OrderView),
        (status = 202, description = "The order was settled before, and the bill differs so far from that that a second \
            person must approve it: see `correction`", body = OrderView),
    ),
    security(("bearer" = ["service"])),
)]
async fn decide_review(
    State(api): State<ApiState>,
    Of(order): Of<OrderId>,
    posted: Posted<DecideReview>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let decision = match body.decision {
        ReviewDecision::AsIs => Decision::AsIs,
        ReviewDecision::Corrected(bill) => Decision::Corrected {
            electricity: bill.electricity.0,
            service: bill.service.0,
        },
    };
    let input = Input::Decide {
        order,
        decision,
        reason: body.reason,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, |decided, site, _| about_order(decided, site, StatusCode::OK))
        .await
}

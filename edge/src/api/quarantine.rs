//! Quarantined messages: what is open, and what a person does with one.

use super::{
    ApiState,
    body::{Asked, Of, Posted},
    page::Paging,
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{
        PageOf,
        quarantine::{CloseQuarantine, QuarantineView, QuarantineWhy},
    },
};
use crate::store::QuarantineFilter;
use axum::{Json, extract::State};
use domain::site::Input;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_quarantine))
        .routes(routes!(get_quarantine))
        .routes(routes!(close_quarantine))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuarantine {
    /// Those dealt with too.
    #[serde(default)]
    closed: bool,
    /// Only those put aside for this reason.
    #[serde(default)]
    why: Option<QuarantineWhy>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// What waits for a person, newest first: messages that fit nowhere, records that contradict one another, bills that a pile
/// splits otherwise.
///
/// A page may have fewer rows than `limit`, or none, and still a `next`: filters are applied to a bounded number of rows at a
/// time.
#[utoipa::path(
    get, path = "/v1/quarantine", tag = "quarantine",
    params(ListQuarantine),
    responses((status = 200, description = "One page", body = PageOf<QuarantineView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_quarantine(
    State(api): State<ApiState>,
    Asked(query): Asked<ListQuarantine>,
) -> Result<Json<PageOf<QuarantineView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let (before, limit) = (paging.number()?, paging.limit()?);
    let filter = QuarantineFilter {
        closed: query.closed,
        why: query.why.map(Into::into),
    };
    let page = api.read(move |reader| reader.quarantine(filter, before, limit)).await?;
    Ok(Json(PageOf {
        items: page.items.iter().map(QuarantineView::brief).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// One message, as it came.
#[utoipa::path(
    get, path = "/v1/quarantine/{item}", tag = "quarantine",
    params(("item" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The message", body = QuarantineView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["sync", "socket"])),
)]
async fn get_quarantine(State(api): State<ApiState>, Of(item): Of<u64>) -> Result<Json<QuarantineView>, Problem> {
    let found = api.read(move |reader| reader.quarantine_item(item)).await?;
    let view = found.as_ref().map(QuarantineView::full);
    view.map(Json).ok_or_else(|| Problem::unknown("quarantine item", item))
}

/// Bill a message to a member, or dismiss it.
///
/// A record that contradicts the one its order has takes that one's place if it is of the same session, and becomes an order
/// of its own if it is of another. A message that cannot be read is billed by the figures in `typed`: to the order that it
/// names, if that has no record. If anything else covers the same readings the answer is the problem `covered`, whose
/// `covers` must be named in `despite`.
#[utoipa::path(
    post, path = "/v1/quarantine/{item}/close", tag = "quarantine",
    params(("item" = u64, Path, description = "Its number")),
    request_body = CloseQuarantine,
    responses((status = 200, description = "With the order it was billed as, if it was", body = QuarantineView)),
    security(("bearer" = ["service"])),
)]
async fn close_quarantine(
    State(api): State<ApiState>,
    Of(item): Of<u64>,
    posted: Posted<CloseQuarantine>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let despite = body.despite()?;
    let input = Input::CloseQuarantine {
        item,
        bill_to: body.bill_to,
        despite,
        typed: body.typed.map(|typed| Box::new(typed.into())),
        reason: body.reason,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, move |_, site, _| {
            let row = site.rows().quarantine.get(&item).and_then(Option::as_ref);
            let row = row.ok_or_else(|| Problem::internal(format!("quarantine item {item} is not in memory")))?;
            Ok(Shown::ok(&QuarantineView::brief(row)))
        })
        .await
}

//! What members are told, and dead letters: what the mini-program's back end did not take of it.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    dto::{
        inbox::{DeadLetterView, InboxEventView},
        problem::ProblemDetails,
    },
    orders::moment,
};
use crate::store::inbox::{self, Filter};
use axum::{Json, extract::State, http::StatusCode};
use domain::{ids::MemberId, time::Wall};
use serde::Deserialize;
use serde_json::json;
use service::{
    http::{
        body::{Asked, Nothing, Of, Posted},
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{PageOf, described},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_inbox))
        .routes(routes!(list_dead_letters))
        .routes(routes!(resend_dead_letter))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListInbox {
    /// Only events of this kind.
    #[serde(default)]
    #[param(example = "settled")]
    kind: Option<String>,
    /// Only events after this number: what came since one was last seen.
    #[serde(default)]
    after: Option<u64>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// What a member was told, newest first: by head office, and by every site where they charged. Of the last 180 days.
#[utoipa::path(
    get, path = "/v1/members/{member}/inbox", tag = "mini-program",
    params(("member" = inline(described::MemberId), Path, description = "The member's id"), ListInbox),
    responses((status = 200, description = "One page; empty for whom nothing was told", body = PageOf<InboxEventView>)),
    security(("bearer" = ["station"]), ("bearer" = ["viewer"])),
)]
async fn get_inbox(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    Asked(query): Asked<ListInbox>,
) -> Result<Json<PageOf<InboxEventView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let (before, limit) = (paging.number()?, paging.limit()?);
    let filter = Filter {
        kind: query.kind,
        after: query.after,
    };
    let page = api
        .read(move |tx| inbox::list(tx, &member, &filter, before, limit))
        .await?;
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.seq.to_string()),
        items: page.items.iter().map(InboxEventView::from).collect(),
    }))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListDead {
    /// Only this member's.
    #[serde(default)]
    #[param(value_type = Option<described::MemberId>, inline)]
    member: Option<MemberId>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Events that the mini-program's back end did not take and is sent no more by itself, the last given up first.
#[utoipa::path(
    get, path = "/v1/webhooks/dead", tag = "mini-program",
    params(ListDead),
    responses((status = 200, description = "One page", body = PageOf<DeadLetterView>)),
    security(("bearer" = ["admin"]), ("bearer" = ["service"])),
)]
async fn list_dead_letters(
    State(api): State<ApiState>,
    Asked(query): Asked<ListDead>,
) -> Result<Json<PageOf<DeadLetterView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let place = |[died_at, id]: [&str; 2]| -> Result<(Wall, String), Problem> { Ok((moment(died_at)?, id.to_owned())) };
    let after = paging.parts()?.map(place).transpose()?;
    let member = query.member;
    let page = api
        .read(move |tx| inbox::dead_letters(tx, member.as_ref(), after, limit))
        .await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.died_at.0.to_string(), last.told.event.id.clone()])),
        items: page.items.iter().map(DeadLetterView::from).collect(),
    }))
}

/// Have a dead letter sent again, by itself: what came after it was sent long ago. Once it is taken it is on the list no more.
#[utoipa::path(
    post, path = "/v1/webhooks/dead/{id}/resend", tag = "mini-program",
    params(("id" = String, Path, description = "The event's id", example = "s01:0:4711")),
    request_body = Nothing,
    responses(
        (status = 202, description = "It is sent soon, and again until it is taken or given up anew", body = DeadLetterView),
        (status = 404, description = "`unknown_dead_letter`: it was taken, or never given up",
            body = ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]), ("bearer" = ["service"])),
)]
async fn resend_dead_letter(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let Posted { key, caller, .. } = posted;
    api.change(caller, Some(key), move |tx, now| {
        let Some(dead) = inbox::resend(tx, &id, now)? else {
            return Ok(Err(Problem::unknown("dead letter", id)));
        };
        let event = &dead.told.event;
        let told = Told {
            action: "dead_letter_resent",
            subject: event.member.to_string(),
            detail: json!({ "event": event.id, "kind": event.kind, "why": dead.why }),
        };
        Ok(Ok((
            Shown::new(StatusCode::ACCEPTED, &DeadLetterView::from(&dead))?,
            told,
        )))
    })
    .await
}

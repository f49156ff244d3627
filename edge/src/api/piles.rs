//! Piles: let in, rotate the secret, remove, fence off; what they are and say now.

use super::{
    ApiState,
    access::Caller,
    body::{Asked, Nothing, Of, Posted, Put},
    dto::pile::{ClearMeter, PileSecret, PileView, ProvisionPile},
    orders::log_entry,
    page::Paging,
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{PageOf, Switch, described, order::LogEntry},
};
use crate::{
    credentials::{CredentialChange, Secret},
    station::Objection,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::PileId,
    site::{Input, Site},
    time::Now,
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(provision_pile, list_piles))
        .routes(routes!(get_pile, remove_pile))
        .routes(routes!(rotate_secret))
        .routes(routes!(set_maintenance))
        .routes(routes!(clear_meter))
        .routes(routes!(get_pile_log))
}

pub(super) fn is_known(site: &Site, pile: &PileId) -> bool {
    site.rows().piles.get(pile).is_some_and(|row| !row.removed)
}

fn pile_in_memory(site: &Site, id: &PileId, now: Now) -> Result<PileView, Problem> {
    let pile = site.rows().piles.get(id);
    pile.map(|pile| PileView::of(pile, site, now))
        .ok_or_else(|| Problem::unknown("pile", id))
}

/// The answer that shows a secret once, and what a repetition gets instead.
fn shown_once(status: StatusCode, pile: &PileId, secret: &Secret) -> Shown {
    let view = |secret| PileSecret {
        id: pile.to_string(),
        secret,
    };
    Shown::new(status, &view(Some(secret.reveal().to_owned()))).remembered_as(&view(None))
}

/// Let a pile in: it gets a secret, which is shown this once.
#[utoipa::path(
    post, path = "/v1/piles", tag = "piles",
    request_body = ProvisionPile,
    responses((status = 201, description = "Its user name is its id, its password the secret", body = PileSecret)),
    security(("bearer" = ["admin"])),
)]
async fn provision_pile(State(api): State<ApiState>, posted: Posted<ProvisionPile>) -> Result<Answered, Problem> {
    let (pile, by) = (posted.body.id, posted.caller.name);
    let secret = Secret::generate().map_err(Problem::internal)?;
    let (id, known) = (pile.clone(), pile.clone());
    let change = CredentialChange::SetPile(pile.clone(), secret.hash());
    Question::new(Input::ProvisionPile { pile, by }, Some(posted.key))
        .changing(change)
        .unless(move |site, _| is_known(site, &known).then_some(Objection::PileExists(known)))
        .ask(&api, move |_, _, _| Ok(shown_once(StatusCode::CREATED, &id, &secret)))
        .await
}

/// Give a pile a new secret, shown this once. The old one counts no more, and the pile's connection is closed.
#[utoipa::path(
    post, path = "/v1/piles/{id}/rotate", tag = "piles",
    params(("id" = inline(described::PileId), Path, description = "The pile's id")),
    request_body = Nothing,
    responses((status = 200, description = "The new secret", body = PileSecret)),
    security(("bearer" = ["admin"])),
)]
async fn rotate_secret(
    State(api): State<ApiState>,
    Of(pile): Of<PileId>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let secret = Secret::generate().map_err(Problem::internal)?;
    let known = pile.clone();
    tracing::info!(%pile, by = posted.caller.name, "a new secret is asked for");
    Question::without_input(Some(posted.key))
        .changing(CredentialChange::SetPile(pile.clone(), secret.hash()))
        .unless(move |site, _| (!is_known(site, &known)).then_some(Objection::UnknownPile(known)))
        .ask(&api, move |_, _, _| Ok(shown_once(StatusCode::OK, &pile, &secret)))
        .await
}

/// Let a pile in no more; its history stays. Refused while an order runs there: stop or close that first.
#[utoipa::path(
    delete, path = "/v1/piles/{id}", tag = "piles",
    params(("id" = inline(described::PileId), Path, description = "The pile's id")),
    responses((status = 204, description = "Removed and disconnected")),
    security(("bearer" = ["admin"])),
)]
async fn remove_pile(State(api): State<ApiState>, Of(pile): Of<PileId>, caller: Caller) -> Result<Answered, Problem> {
    let change = CredentialChange::RemovePile(pile.clone());
    let by = caller.name;
    Question::new(Input::RemovePile { pile, by }, None)
        .changing(change)
        .ask(&api, |_, _, _| Ok(Shown::nothing()))
        .await
}

/// Fence a pile off from new orders, or put it back to work. A running order goes on.
///
/// To put it back to work ends the faults of its connectors too, whether or not it was fenced off.
#[utoipa::path(
    put, path = "/v1/piles/{id}/maintenance", tag = "piles",
    params(("id" = inline(described::PileId), Path, description = "The pile's id")),
    request_body = Switch,
    responses((status = 200, description = "The pile", body = PileView)),
    security(("bearer" = ["service"])),
)]
async fn set_maintenance(
    State(api): State<ApiState>,
    Of(pile): Of<PileId>,
    put: Put<Switch>,
) -> Result<Answered, Problem> {
    let (id, by, reason) = (pile.clone(), put.caller.name, put.body.into_reason());
    let credentials = Arc::clone(&api.station.credentials);
    Question::new(Input::SetMaintenance { pile, reason, by }, None)
        .ask(&api, move |_, site, now| {
            Ok(Shown::ok(&pile_in_memory(site, &id, now)?.certified(&credentials)))
        })
        .await
}

/// Believe a pile's meter again: its registers are where the pile reads them now, `meter_abnormal` and every
/// `register_doubt` go, and the journal says why.
#[utoipa::path(
    post, path = "/v1/piles/{id}/meter-cleared", tag = "piles",
    params(("id" = inline(described::PileId), Path, description = "The pile's id")),
    request_body = ClearMeter,
    responses((status = 200, description = "The pile", body = PileView)),
    security(("bearer" = ["service"])),
)]
async fn clear_meter(
    State(api): State<ApiState>,
    Of(pile): Of<PileId>,
    posted: Posted<ClearMeter>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let (id, by, reason) = (pile.clone(), caller.name, body.reason);
    Question::new(Input::ClearMeter { pile, reason, by }, Some(key))
        .ask(&api, move |_, site, now| {
            Ok(Shown::ok(&pile_in_memory(site, &id, now)?))
        })
        .await
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListPiles {
    /// Removed ones too.
    #[serde(default)]
    removed: bool,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// List piles in order of their ids, with what they say now.
#[utoipa::path(
    get, path = "/v1/piles", tag = "piles",
    params(ListPiles),
    responses((status = 200, description = "One page", body = PageOf<PileView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_piles(
    State(api): State<ApiState>,
    Asked(query): Asked<ListPiles>,
) -> Result<Json<PageOf<PileView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let (after, limit) = (paging.name()?.unwrap_or_default(), paging.limit()?);
    let mut page = api
        .station
        .look(move |site, now| {
            let piles = site.rows().piles.values();
            let mut wanted = piles.filter(|pile| pile.id.as_str() > after.as_str() && (query.removed || !pile.removed));
            let chosen = wanted.by_ref().take(limit);
            let items: Vec<PileView> = chosen.map(|pile| PileView::of(pile, site, now)).collect();
            let more = wanted.next().is_some();
            let next = items.last().filter(|_| more).map(|last| last.id.clone());
            PageOf { items, next }
        })
        .await?;
    page.items = page
        .items
        .into_iter()
        .map(|pile| pile.certified(&api.station.credentials))
        .collect();
    Ok(Json(page))
}

/// One pile, with what it says now.
#[utoipa::path(
    get, path = "/v1/piles/{id}", tag = "piles",
    params(("id" = inline(described::PileId), Path, description = "The pile's id")),
    responses((status = 200, description = "The pile", body = PileView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_pile(State(api): State<ApiState>, Of(id): Of<PileId>) -> Result<Json<PileView>, Problem> {
    let found = api
        .station
        .look(move |site, now| pile_in_memory(site, &id, now))
        .await??;
    Ok(Json(found.certified(&api.station.credentials)))
}

/// What happened at a pile, newest first: starts, events, drops, commands and their answers, maintenance, what was found of
/// its meter, charging without an order, and what it said that fits nowhere.
///
/// It goes as far back as the journal.
#[utoipa::path(
    get, path = "/v1/piles/{id}/log", tag = "piles",
    params(("id" = inline(described::PileId), Path, description = "The pile's id"), Paging),
    responses((status = 200, description = "One page", body = PageOf<LogEntry>)),
    security(("bearer" = ["viewer"])),
)]
async fn get_pile_log(
    State(api): State<ApiState>,
    Of(id): Of<PileId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<LogEntry>>, Problem> {
    let (before, limit) = (paging.number()?, paging.limit()?);
    let wanted = id.clone();
    let known = api.station.look(move |site, _| site.rows().piles.contains_key(&wanted));
    if !known.await? {
        return Err(Problem::unknown("pile", &id));
    }
    let page = api.read(move |reader| reader.pile_log(&id, before, limit)).await?;
    Ok(Json(PageOf {
        items: page.items.iter().map(log_entry).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

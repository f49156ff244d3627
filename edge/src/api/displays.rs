//! Displays: let in, list, rotate the secret, remove. What they read is no part of this API: see `docs/displays.md`.

use super::{
    ApiState,
    access::Caller,
    body::{Nothing, Of, Posted},
    dto::display::{AddDisplay, DisplayList, DisplaySecret},
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::described,
};
use crate::{
    credentials::{CredentialChange, Secret},
    displays::DISPLAYS_MAX,
    station::Objection,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{ids::DisplayId, site::Site};
use std::{collections::BTreeSet, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(add_display, list_displays))
        .routes(routes!(rotate_display))
        .routes(routes!(remove_display))
}

/// The displays that there are once what is about to be committed counts.
fn known_with(mut known: BTreeSet<DisplayId>, pending: &[CredentialChange]) -> BTreeSet<DisplayId> {
    for change in pending {
        match change {
            CredentialChange::SetDisplay(display, _) => drop(known.insert(display.clone())),
            CredentialChange::RemoveDisplay(display) => drop(known.remove(display)),
            _ => {}
        }
    }
    known
}

/// The objection to changing a display that there is not.
fn is_unknown(
    api: &ApiState,
    display: &DisplayId,
) -> impl FnOnce(&Site, &[CredentialChange]) -> Option<Objection> + Send + use<> {
    let (wanted, credentials) = (display.clone(), Arc::clone(&api.station.credentials));
    move |_, pending| {
        let known = known_with(credentials.displays().into_iter().collect(), pending);
        (!known.contains(&wanted)).then_some(Objection::UnknownDisplay(wanted))
    }
}

/// The answer that shows a secret once, and what a repetition gets instead.
fn shown_once(status: StatusCode, display: &DisplayId, secret: &Secret) -> Shown {
    let view = |secret| DisplaySecret::of(display, secret);
    Shown::new(status, &view(Some(secret.reveal().to_owned()))).remembered_as(&view(None))
}

/// Let a display in: it may read the live frames of orders and the states of piles over MQTT, and nothing else. Its secret
/// is shown this once.
#[utoipa::path(
    post, path = "/v1/displays", tag = "displays",
    request_body = AddDisplay,
    responses((status = 201, description = "Its user name, and its password", body = DisplaySecret)),
    security(("bearer" = ["admin"])),
)]
async fn add_display(State(api): State<ApiState>, posted: Posted<AddDisplay>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let id = body.id;
    let secret = Secret::generate().map_err(Problem::internal)?;
    tracing::info!(%id, by = caller.name, "a display is to be let in");
    let (wanted, credentials) = (id.clone(), Arc::clone(&api.station.credentials));
    Question::without_input(Some(key))
        .changing(CredentialChange::SetDisplay(id.clone(), secret.hash()))
        .unless(move |_, pending| {
            let known = known_with(credentials.displays().into_iter().collect(), pending);
            if known.contains(&wanted) {
                return Some(Objection::DisplayExists(wanted));
            }
            (known.len() >= DISPLAYS_MAX).then_some(Objection::TooManyDisplays(DISPLAYS_MAX))
        })
        .ask(&api, move |_, _, _| Ok(shown_once(StatusCode::CREATED, &id, &secret)))
        .await
}

/// Give a display a new secret, shown this once. The old one counts no more, and the display's connections end at once.
#[utoipa::path(
    post, path = "/v1/displays/{id}/rotate", tag = "displays",
    params(("id" = inline(described::DisplayId), Path, description = "The display's id")),
    request_body = Nothing,
    responses((status = 200, description = "The new secret", body = DisplaySecret)),
    security(("bearer" = ["admin"])),
)]
async fn rotate_display(
    State(api): State<ApiState>,
    Of(id): Of<DisplayId>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let secret = Secret::generate().map_err(Problem::internal)?;
    tracing::info!(%id, by = posted.caller.name, "a new secret is asked for");
    Question::without_input(Some(posted.key))
        .changing(CredentialChange::SetDisplay(id.clone(), secret.hash()))
        .unless(is_unknown(&api, &id))
        .ask(&api, move |_, _, _| Ok(shown_once(StatusCode::OK, &id, &secret)))
        .await
}

/// All displays, in order of their ids.
#[utoipa::path(
    get, path = "/v1/displays", tag = "displays",
    responses((status = 200, description = "Never their secrets", body = DisplayList)),
    security(("bearer" = ["viewer"])),
)]
async fn list_displays(State(api): State<ApiState>) -> Json<DisplayList> {
    let displays = api.station.credentials.displays();
    Json(DisplayList {
        items: displays.iter().map(Into::into).collect(),
    })
}

/// Let a display in no more; its connections end at once.
#[utoipa::path(
    delete, path = "/v1/displays/{id}", tag = "displays",
    params(("id" = inline(described::DisplayId), Path, description = "The display's id")),
    responses((status = 204, description = "Removed and disconnected")),
    security(("bearer" = ["admin"])),
)]
async fn remove_display(
    State(api): State<ApiState>,
    Of(id): Of<DisplayId>,
    caller: Caller,
) -> Result<Answered, Problem> {
    tracing::info!(%id, by = caller.name, "a display is to be removed");
    let is_unknown = is_unknown(&api, &id);
    Question::without_input(None)
        .changing(CredentialChange::RemoveDisplay(id))
        .unless(is_unknown)
        .ask(&api, |_, _, _| Ok(Shown::nothing()))
        .await
}

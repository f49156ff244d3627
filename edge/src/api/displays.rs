//! Displays: let in, list, remove. What they read is no part of this API: see `docs/displays.md`.

use super::{
    ApiState,
    access::Caller,
    body::{Of, Posted},
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
use domain::ids::DisplayId;
use std::{collections::BTreeSet, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(add_display, list_displays))
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
        .ask(&api, move |_, _, _| {
            let shown = DisplaySecret::of(&id, Some(secret.reveal().to_owned()));
            let remembered = DisplaySecret::of(&id, None);
            Ok(Shown::new(StatusCode::CREATED, &shown).remembered_as(&remembered))
        })
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
    let (wanted, credentials) = (id.clone(), Arc::clone(&api.station.credentials));
    Question::without_input(None)
        .changing(CredentialChange::RemoveDisplay(id))
        .unless(move |_, pending| {
            let known = known_with(credentials.displays().into_iter().collect(), pending);
            (!known.contains(&wanted)).then_some(Objection::UnknownDisplay(wanted))
        })
        .ask(&api, |_, _, _| Ok(Shown::nothing()))
        .await
}

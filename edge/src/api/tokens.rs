//! Tokens for the API: made by an administrator, shown once, kept as hashes.

use super::{
    ApiState,
    body::{Of, Posted},
    dto::station::{MakeToken, TokenList, TokenSecret, TokenView},
    problem::Problem,
    respond::{Answered, Question, Shown},
};
use crate::{
    credentials::{CredentialChange, Secret, Token},
    station::Objection,
};
use axum::{Json, extract::State, http::StatusCode};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most tokens.
const TOKENS_MAX: usize = 256;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(make_token, list_tokens))
        .routes(routes!(delete_token))
}

/// Make a token; it is shown this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens",
    request_body = MakeToken,
    responses((status = 201, description = "For the header `Authorization: Bearer <token>`", body = TokenSecret)),
    security(("bearer" = ["admin"])),
)]
async fn make_token(State(api): State<ApiState>, posted: Posted<MakeToken>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let MakeToken { name, role } = body;
    let secret = Secret::generate().map_err(Problem::internal)?;
    let token = Token {
        name: name.clone(),
        role,
        hash: secret.hash(),
    };
    tracing::info!(name, ?role, by = caller.name, "a token is asked for");
    let (wanted, credentials) = (name.clone(), Arc::clone(&api.station.credentials));
    Question::without_input(Some(key))
        .changing(CredentialChange::SetToken(token))
        .unless(move |_, pending| {
            let known = credentials.tokens();
            let same_name =
                |change: &CredentialChange| matches!(change, CredentialChange::SetToken(token) if token.name == wanted);
            if known.iter().any(|(name, _)| *name == wanted) || pending.iter().any(same_name) {
                return Some(Objection::TokenExists(wanted));
            }
            (known.len() >= TOKENS_MAX).then_some(Objection::TooManyTokens(TOKENS_MAX))
        })
        .ask(&api, move |_, _, _| {
            let view = |token| TokenSecret {
                name: name.clone(),
                role,
                token,
            };
            let shown = view(Some(secret.reveal().to_owned()));
            Ok(Shown::new(StatusCode::CREATED, &shown).remembered_as(&view(None)))
        })
        .await
}

/// All tokens' names and roles.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens",
    responses((status = 200, description = "Never the tokens themselves", body = TokenList)),
    security(("bearer" = ["admin"])),
)]
async fn list_tokens(State(api): State<ApiState>) -> Json<TokenList> {
    let tokens = api.station.credentials.tokens().into_iter();
    Json(TokenList {
        items: tokens.map(|(name, role)| TokenView { name, role }).collect(),
    })
}

/// Take a token back: it counts no more.
#[utoipa::path(
    delete, path = "/v1/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "The token's name")),
    responses((status = 204, description = "Taken back")),
    security(("bearer" = ["admin"])),
)]
async fn delete_token(State(api): State<ApiState>, Of(name): Of<String>) -> Result<Answered, Problem> {
    let (wanted, credentials) = (name.clone(), Arc::clone(&api.station.credentials));
    Question::without_input(None)
        .changing(CredentialChange::RemoveToken(name))
        .unless(move |_, _| {
            let known = credentials.tokens().iter().any(|(name, _)| *name == wanted);
            (!known).then_some(Objection::UnknownToken(wanted))
        })
        .ask(&api, |_, _, _| Ok(Shown::nothing()))
        .await
}

//! Tokens of machines: made by an administrator, shown once, kept as hashes.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    dto::people::{MakeToken, TokenSecret, TokenView},
};
use crate::store::people::{self, MACHINE, Token};
use axum::{Json, extract::State, http::StatusCode};
use serde_json::json;
use service::{
    http::{
        access::Caller,
        body::{Asked, Of, Posted},
        page::Paging,
        problem::Problem,
    },
    secret::Secret,
    wire::PageOf,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(make_token, list_tokens))
        .routes(routes!(delete_token))
}

/// Make a token for a machine; it is shown this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "people",
    request_body = MakeToken,
    responses(
        (status = 201, description = "For the header `Authorization: Bearer <token>`", body = TokenSecret),
        (status = 409, description = "`token_exists`: there is one of this name",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"])),
)]
async fn make_token(State(api): State<ApiState>, posted: Posted<MakeToken>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let (secret, made_by) = (Secret::generate().map_err(Problem::internal)?, caller.name.clone());
    api.change(caller, Some(key), move |tx, made_at| {
        let MakeToken { name, roles } = body;
        let token = Token {
            name,
            roles,
            made_at,
            made_by,
        };
        if !people::add_token(tx, &token, &secret.hash())? {
            let name = &token.name;
            let detail = format!("there is a token {name} already; take it back with DELETE /v1/tokens/{name} first");
            return Ok(Err(Problem::new(StatusCode::CONFLICT, "token_exists", detail)));
        }
        let Token { name, roles, .. } = token;
        let told = Told {
            action: "token_made",
            subject: format!("{MACHINE}{name}"),
            detail: json!({ "roles": roles }),
        };
        let remembered = TokenSecret {
            name,
            roles,
            token: None,
        };
        let shown = TokenSecret {
            token: Some(secret.reveal().to_owned()),
            ..remembered.clone()
        };
        Ok(Ok((
            Shown::new(StatusCode::CREATED, &shown)?.remembered_as(&remembered)?,
            told,
        )))
    })
    .await
}

/// All tokens' names and roles, in the order of their names: never the tokens themselves.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "people",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<TokenView>)),
    security(("bearer" = ["admin"])),
)]
async fn list_tokens(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<TokenView>>, Problem> {
    let (after, limit) = (paging.name()?.unwrap_or_default(), paging.limit()?);
    let page = api.read(move |tx| people::list_tokens(tx, &after, limit)).await?;
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.name.clone()),
        items: page.items.iter().map(TokenView::from).collect(),
    }))
}

/// Take a token back: it counts no more.
#[utoipa::path(
    delete, path = "/v1/tokens/{name}", tag = "people",
    params(("name" = String, Path, description = "The token's name")),
    responses((status = 204, description = "Taken back")),
    security(("bearer" = ["admin"])),
)]
async fn delete_token(State(api): State<ApiState>, Of(name): Of<String>, caller: Caller) -> Result<Answered, Problem> {
    api.change(caller, None, move |tx, _| {
        if !people::remove_token(tx, &name)? {
            return Ok(Err(Problem::unknown("token", name)));
        }
        let told = Told {
            action: "token_removed",
            subject: format!("{MACHINE}{name}"),
            detail: json!({}),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

//! People who may use head office: added, given roles, shut out and given passwords by administrators.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    dto::people::{AddUser, PutDisabled, PutRoles, UserPassword, UserView},
};
use crate::store::people;
use axum::{Json, extract::State, http::StatusCode};
use serde_json::json;
use service::{
    http::{
        body::{Asked, Nothing, Of, Posted, Put},
        page::Paging,
        problem::Problem,
    },
    secret::Secret,
    wire::PageOf,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(add_user, list_users))
        .routes(routes!(get_user))
        .routes(routes!(put_roles))
        .routes(routes!(put_disabled))
        .routes(routes!(reset_password))
}

fn told(action: &'static str, subject: &str, detail: serde_json::Value) -> Told {
    let subject = subject.to_owned();
    Told {
        action,
        subject,
        detail,
    }
}

/// Let somebody use head office. Their password is made here and shown this once; they change it when they log in.
#[utoipa::path(
    post, path = "/v1/users", tag = "people",
    request_body = AddUser,
    responses(
        (status = 201, description = "Added", body = UserPassword),
        (status = 409, description = "`user_exists`: somebody has this name, or had it",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"])),
)]
async fn add_user(State(api): State<ApiState>, posted: Posted<AddUser>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let password = Secret::generate().map_err(Problem::internal)?;
    let hash = api.passwords.hash(password.reveal().to_owned()).await?;
    api.change(caller, Some(key), move |tx, now| {
        let AddUser { name, roles } = body;
        if !people::add(tx, &name, &roles, &hash, now)? {
            let detail = format!("there is a user {name} already; PUT /v1/users/{name}/roles changes what they may do");
            return Ok(Err(Problem::new(StatusCode::CONFLICT, "user_exists", detail)));
        }
        let told = told("user_added", &name, json!({ "roles": roles }));
        let shown = shown_once(StatusCode::CREATED, name, &password)?;
        Ok(Ok((shown, told)))
    })
    .await
}

/// A password is in the answer, and not in what is remembered of it.
fn shown_once(status: StatusCode, name: String, password: &Secret) -> Result<Shown, crate::store::StoreError> {
    let remembered = UserPassword { name, password: None };
    let shown = UserPassword {
        password: Some(password.reveal().to_owned()),
        ..remembered.clone()
    };
    Shown::new(status, &shown)?.remembered_as(&remembered)
}

/// List people in the order of their names.
#[utoipa::path(
    get, path = "/v1/users", tag = "people",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<UserView>)),
    security(("bearer" = ["admin"])),
)]
async fn list_users(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<UserView>>, Problem> {
    let (after, limit) = (paging.name()?.unwrap_or_default(), paging.limit()?);
    let page = api.read(move |tx| people::list(tx, &after, limit)).await?;
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.name.clone()),
        items: page.items.iter().map(UserView::from).collect(),
    }))
}

/// One of them.
#[utoipa::path(
    get, path = "/v1/users/{name}", tag = "people",
    params(("name" = String, Path, description = "Their name")),
    responses((status = 200, description = "The user", body = UserView)),
    security(("bearer" = ["admin"])),
)]
async fn get_user(State(api): State<ApiState>, Of(name): Of<String>) -> Result<Json<UserView>, Problem> {
    let wanted = name.clone();
    let found = api.read(move |tx| people::find(tx, &wanted)).await?;
    let found = found.ok_or_else(|| Problem::unknown("user", name))?;
    Ok(Json(UserView::from(&found)))
}

/// Give somebody these roles and no others, at once in all of their sessions.
#[utoipa::path(
    put, path = "/v1/users/{name}/roles", tag = "people",
    params(("name" = String, Path, description = "Their name")),
    request_body = PutRoles,
    responses((status = 200, description = "The user", body = UserView)),
    security(("bearer" = ["admin"])),
)]
async fn put_roles(State(api): State<ApiState>, Of(name): Of<String>, put: Put<PutRoles>) -> Result<Answered, Problem> {
    let Put { body, caller } = put;
    api.change(caller, None, move |tx, _| {
        let Some(before) = people::find(tx, &name)? else {
            return Ok(Err(Problem::unknown("user", name)));
        };
        people::set_roles(tx, &name, &body.roles)?;
        let detail = json!({ "roles": body.roles, "before": before.roles });
        shown_user(tx, told("user_roles", &name, detail))
    })
    .await
}

/// Shut somebody out, at once and in all of their sessions; or let them in again.
#[utoipa::path(
    put, path = "/v1/users/{name}/disabled", tag = "people",
    params(("name" = String, Path, description = "Their name")),
    request_body = PutDisabled,
    responses((status = 200, description = "The user", body = UserView)),
    security(("bearer" = ["admin"])),
)]
async fn put_disabled(
    State(api): State<ApiState>,
    Of(name): Of<String>,
    put: Put<PutDisabled>,
) -> Result<Answered, Problem> {
    let Put { body, caller } = put;
    api.change(caller, None, move |tx, _| {
        if !people::set_disabled(tx, &name, body.disabled)? {
            return Ok(Err(Problem::unknown("user", name)));
        }
        let detail = json!({ "disabled": body.disabled });
        shown_user(tx, told("user_disabled", &name, detail))
    })
    .await
}

fn shown_user(tx: &mut dyn crate::store::Tx, told: Told) -> super::answered::Decided<(Shown, Told)> {
    let found = people::find(tx, &told.subject)?;
    let Some(found) = found else {
        return Ok(Err(Problem::unknown("user", &told.subject)));
    };
    Ok(Ok((Shown::new(StatusCode::OK, &UserView::from(&found))?, told)))
}

/// Make somebody another password, shown this once. Their sessions end; they change it when they log in.
#[utoipa::path(
    post, path = "/v1/users/{name}/password", tag = "people",
    params(("name" = String, Path, description = "Their name")),
    request_body = Nothing,
    responses((status = 201, description = "Made", body = UserPassword)),
    security(("bearer" = ["admin"])),
)]
async fn reset_password(
    State(api): State<ApiState>,
    Of(name): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let Posted { key, caller, .. } = posted;
    let password = Secret::generate().map_err(Problem::internal)?;
    let hash = api.passwords.hash(password.reveal().to_owned()).await?;
    api.change(caller, Some(key), move |tx, _| {
        if !people::set_password(tx, &name, &hash, true)? {
            return Ok(Err(Problem::unknown("user", name)));
        }
        people::end_sessions(tx, &name, None)?;
        let told = told("user_password_reset", &name, json!({}));
        let shown = shown_once(StatusCode::CREATED, name, &password)?;
        Ok(Ok((shown, told)))
    })
    .await
}

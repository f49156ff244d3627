//! Sessions of people's browsers: log in, look who one is, change one's password, log out.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    credentials::{cookie, csrf_of, no_cookie, session_in},
    dto::people::{ChangePassword, LogIn, SessionView},
    passwords,
};
use crate::store::{audit, people};
use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use limits::network_of;
use serde_json::json;
use service::{
    http::{
        access::{Caller, TcpPeer},
        body::{Put, Sent},
        problem::Problem,
    },
    secret::{Secret, SecretHash},
};
use std::net::{IpAddr, Ipv4Addr};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(get_session, log_out))
        .routes(routes!(change_password))
}

/// Where somebody comes from; whoever is on head office's own socket comes from this machine.
fn network(peer: Option<Extension<TcpPeer>>) -> IpAddr {
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |Extension(TcpPeer(address))| address);
    network_of(address)
}

fn too_early(wait_ms: u64) -> Response {
    let seconds = wait_ms.div_ceil(1_000);
    let detail =
        format!("too many passwords were wrong; try again in {seconds} s, or ask an administrator for a new one");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failed_logins", detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn view(person: &people::Person, session: &str) -> SessionView {
    SessionView {
        name: person.name.clone(),
        roles: person.roles.clone(),
        must_change_password: person.must_change,
        csrf_token: csrf_of(session).as_str().to_owned(),
    }
}

/// Log in. The session is a cookie that browsers send by themselves and that no script can read.
///
/// A session ends after two hours that nobody used it, and after twelve in any case. After some wrong passwords each further
/// one doubles the wait.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "people",
    request_body = LogIn,
    responses(
        (status = 201, description = "Logged in; the cookie is in `Set-Cookie`", body = SessionView),
        (status = 401, description = "`login_failed`: nobody who may come in has this name and password",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_failed_logins`: `Retry-After` says when to try again",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(()),
)]
async fn log_in(
    State(api): State<ApiState>,
    peer: Option<Extension<TcpPeer>>,
    Sent(body): Sent<LogIn>,
) -> Result<Response, Problem> {
    let LogIn { name, password } = body;
    let (network, now) = (network(peer), api.clock.wall());
    let (wanted, from) = (name.clone(), network.to_string());
    let (person, kept, is_familiar) = api
        .read(move |tx| {
            let person = people::find(tx, &wanted)?;
            let kept = people::password(tx, &wanted)?;
            Ok((person, kept, people::is_familiar(tx, &wanted, &from, now)?))
        })
        .await?;
    let attempt = match api.attempts.begin(network, &name, is_familiar, api.clock.mono()) {
        Ok(attempt) => attempt,
        Err(wait_ms) => return Ok(too_early(wait_ms)),
    };
    let matches = api.passwords.matches(password, kept.clone()).await?;
    // Whoever is not known, shut out or wrong is told the same, after the same time.
    let failed = || {
        let detail = "nobody who may come in has this name and password; an administrator can make a new password";
        Problem::new(StatusCode::UNAUTHORIZED, "login_failed", detail)
    };
    let Some((person, kept)) = person.zip(kept).filter(|(person, _)| matches && !person.disabled) else {
        tracing::info!(%network, "a login failed");
        return Err(failed());
    };
    let secret = Secret::generate().map_err(Problem::internal)?;
    let (hash, from) = (secret.hash(), network.to_string());
    let begun = api.db.write(move |tx| {
        let begun = people::begin_session(tx, &hash, &name, &kept, &from, now)?;
        if begun {
            audit::append(tx, now, &name, "logged_in", &name, json!({ "network": from }))?;
        }
        Ok(begun)
    });
    if !begun.await? {
        return Err(failed());
    }
    api.attempts.succeeded(attempt);
    let set_cookie = HeaderValue::from_str(&cookie(&secret)).map_err(Problem::internal)?;
    let view = Json(view(&person, secret.reveal()));
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, set_cookie)], view).into_response())
}

/// The secret of the session that let this request in.
fn own_session(headers: &HeaderMap) -> Result<&str, Problem> {
    session_in(headers).ok_or_else(|| Problem::internal("a person came in without a session"))
}

/// Who is logged in, and the token for the header `X-CSRF-Token`.
#[utoipa::path(
    get, path = "/v1/sessions/current", tag = "people",
    responses((status = 200, description = "The session", body = SessionView)),
    security(("bearer" = ["person"])),
)]
async fn get_session(
    State(api): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<SessionView>, Problem> {
    let session = own_session(&headers)?;
    let found = api.read(move |tx| people::find(tx, &caller.name)).await?;
    let person = found.ok_or_else(|| Problem::internal("a session is nobody's"))?;
    Ok(Json(view(&person, session)))
}

/// Log out: the session ends.
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "people",
    responses((status = 204, description = "Logged out")),
    security(("bearer" = ["person"])),
)]
async fn log_out(State(api): State<ApiState>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    let session = SecretHash::of(own_session(&headers)?.as_bytes());
    let subject = caller.name.clone();
    let answered = api
        .change(caller, None, move |tx, _| {
            people::end_session(tx, &session)?;
            let told = Told {
                action: "logged_out",
                subject,
                detail: json!({}),
            };
            Ok(Ok((Shown::nothing(), told)))
        })
        .await?;
    Ok(([(header::SET_COOKIE, no_cookie())], answered).into_response())
}

/// Change one's own password. One's other sessions end.
#[utoipa::path(
    put, path = "/v1/sessions/current/password", tag = "people",
    request_body = ChangePassword,
    responses(
        (status = 204, description = "Changed"),
        (status = 422, description = "`password_wrong`: the present password is another, or `invalid_body`: the new one cannot \
            be taken", body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["person"])),
)]
async fn change_password(
    State(api): State<ApiState>,
    peer: Option<Extension<TcpPeer>>,
    headers: HeaderMap,
    put: Put<ChangePassword>,
) -> Result<Response, Problem> {
    let Put { body, caller } = put;
    let ChangePassword { password, new_password } = body;
    let (name, session) = (caller.name.clone(), SecretHash::of(own_session(&headers)?.as_bytes()));
    passwords::check_new("new_password", &new_password, &name)?;
    if password == new_password {
        return Err(Problem::field("new_password", "choose another one than the present"));
    }
    let wanted = name.clone();
    let kept = api.read(move |tx| people::password(tx, &wanted)).await?;
    // Whoever found an open session may not try passwords at will either.
    let attempt = match api.attempts.begin(network(peer), &name, true, api.clock.mono()) {
        Ok(attempt) => attempt,
        Err(wait_ms) => return Ok(too_early(wait_ms)),
    };
    let wrong = || {
        let detail = "this is not your present password";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "password_wrong", detail).at("password")
    };
    if !api.passwords.matches(password, kept.clone()).await? {
        return Err(wrong());
    }
    api.attempts.succeeded(attempt);
    let hash = api.passwords.hash(new_password).await?;
    let answered: Answered = api
        .change(caller, None, move |tx, _| {
            if !people::change_password(tx, &name, kept.as_deref().unwrap_or_default(), &hash)? {
                return Ok(Err(wrong()));
            }
            people::end_sessions(tx, &name, Some(&session))?;
            let told = Told {
                action: "password_changed",
                subject: name,
                detail: json!({}),
            };
            Ok(Ok((Shown::nothing(), told)))
        })
        .await?;
    Ok(answered.into_response())
}

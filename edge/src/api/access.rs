//! Who may do what. The least role of an operation is declared beside it, as the scope of its `bearer` requirement in
//! the OpenAPI document, and enforced from there: an operation that declares nothing is closed to all but administrators.

use super::{
    body,
    dto::station::MakeBackup,
    limit::{FAILURE_EVERY, FailedLogins, TooMany},
    problem::Problem,
    respond::Refusal,
};
use crate::credentials::{Credentials, Role};
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::correction::ANONYMOUS;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a request may take; waiting for the journal and WebSockets have times of their own.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a request may take that waits for something to happen.
const WAITING_TIME_MAX: Duration = Duration::from_secs(90);
/// How long a backup may take; it has a shorter time of its own.
const BACKUP_TIME_MAX: Duration = Duration::from_secs(MakeBackup::WITHIN_S_MAX + 60);
/// The name of the WebSocket subprotocol whose other half is the token: browsers cannot set headers there.
pub(super) const WS_PROTOCOL: &str = "bearer";
/// In place of a role: the operation is for callers on the Unix socket alone.
pub(super) const SOCKET_ONLY: &str = "socket";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name, or `local:{uid}` on the Unix socket without one; it goes into facts as who did something.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// They are on this machine's Unix socket.
    pub local: bool,
}

/// A connection over the Unix socket, whose file permissions are the authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalPeer {
    pub(super) uid: Option<u32>,
}

/// Where a connection over TCP comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpPeer(pub(super) IpAddr);

impl Caller {
    pub(super) fn of(parts: &Parts) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal("an operation with a caller was declared public"))
    }

    fn local(peer: LocalPeer) -> Self {
        let uid = peer.uid.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string());
        Self {
            name: format!("{ANONYMOUS}{uid}"),
            role: Role::Admin,
            local: true,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)
    }
}

/// What an operation asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Public,
    From { least: Role, socket_only: bool },
}

/// The access of every operation, by path and method.
#[derive(Clone)]
pub(super) struct Gate {
    operations: Arc<HashMap<(String, String), Access>>,
    credentials: Arc<Credentials>,
    logins: Arc<FailedLogins>,
}

impl Gate {
    /// Reads what the document declares.
    pub(super) fn new(
        openapi: &utoipa::openapi::OpenApi,
        credentials: Arc<Credentials>,
        logins: Arc<FailedLogins>,
    ) -> Self {
        let mut operations = HashMap::new();
        let document = serde_json::to_value(openapi).unwrap_or_default();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let access = declared(&operation["security"]);
                operations.insert((path.clone(), method.to_ascii_uppercase()), access);
            }
        }
        Self {
            operations: Arc::new(operations),
            credentials,
            logins,
        }
    }

    fn access(&self, path: &MatchedPath, method: &Method) -> Option<Access> {
        // HEAD is answered as GET.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let key = (path.as_str().to_owned(), method.as_str().to_owned());
        self.operations.get(&key).copied()
    }
}

fn declared(security: &serde_json::Value) -> Access {
    let closed = Access::From {
        least: Role::Admin,
        socket_only: false,
    };
    let requirements = security.as_array().map(Vec::as_slice).unwrap_or_default();
    if requirements.len() != 1 {
        return closed;
    }
    let Some(requirement) = requirements[0].as_object() else {
        return closed;
    };
    if requirement.is_empty() {
        return Access::Public;
    }
    let scopes = requirement.get("bearer").and_then(serde_json::Value::as_array);
    let mut words = scopes.into_iter().flatten().filter_map(serde_json::Value::as_str);
    let role = words.next().map(str::to_owned);
    match role.and_then(|role| serde_json::from_value(role.into()).ok()) {
        Some(least) => Access::From {
            least,
            socket_only: words.any(|word| word == SOCKET_ONLY),
        },
        None => closed,
    }
}

/// Lets a request through to its operation, or says why not.
pub(super) async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let access = matched.and_then(|matched| gate.access(&matched, &method));
    // Neither an unknown path nor a wrong method is anybody's secret.
    let Some(access) = access else {
        return next.run(request).await;
    };
    let mut who = String::from("-");
    if let Access::From { least, socket_only } = access {
        match admitted(&gate, &request, least, socket_only) {
            Ok(caller) => {
                who.clone_from(&caller.name);
                request.extensions_mut().insert(caller);
            }
            Err(problem) => return turned_away(&gate, &request, problem),
        }
    }
    let repeatable = request.headers().contains_key(body::IDEMPOTENCY_KEY);
    let patience = match path.as_str() {
        "/v1/journal" => WAITING_TIME_MAX,
        "/v1/backup" => BACKUP_TIME_MAX,
        _ => REQUEST_TIME_MAX,
    };
    let Ok(response) = tokio::time::timeout(patience, next.run(request)).await else {
        let again = if repeatable {
            "; ask again with the same Idempotency-Key: what was decided is decided once"
        } else {
            "; ask again"
        };
        let detail = format!("no answer within {} s{again}", patience.as_secs());
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_slow", detail).into_response();
    };
    let status = response.status().as_u16();
    if let Some(Refusal { code, detail }) = response.extensions().get() {
        tracing::info!(caller = who, %method, path, status, code, detail, "refused");
    } else if matches!(method, Method::GET | Method::HEAD) && status < 500 {
        tracing::debug!(caller = who, %method, path, status, "answered");
    } else {
        tracing::info!(caller = who, %method, path, status, "answered");
    }
    response
}

/// The answer to a caller who is not let in: why not, or that they have tried too often.
fn turned_away(gate: &Gate, request: &Request, problem: Problem) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let is_login = problem.details().status == StatusCode::UNAUTHORIZED.as_u16();
    let peer = request.extensions().get::<TcpPeer>().filter(|_| is_login);
    let too_many = peer.and_then(|peer| Some((peer.0, gate.logins.note(peer.0, Instant::now()).err()?)));
    let Some((address, TooMany { is_first })) = too_many else {
        let details = problem.details();
        tracing::info!(%method, path, status = details.status, "{}", details.detail);
        return problem.into_response();
    };
    if is_first {
        tracing::warn!(%address, "too many logins fail: further ones are answered 429 and not logged one by one");
    }
    let seconds = FAILURE_EVERY.as_secs();
    let detail = format!(
        "too many requests from {address} came without a token that is known here; try again in {seconds} s, with one"
    );
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failed_logins", detail).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn admitted(gate: &Gate, request: &Request, least: Role, socket_only: bool) -> Result<Caller, Problem> {
    let caller = match request.extensions().get::<LocalPeer>() {
        // Who shows a token is a person of their own, with the role of the token.
        Some(_) if request.headers().contains_key(header::AUTHORIZATION) => Caller {
            local: true,
            ..known(gate, request.headers())?
        },
        Some(peer) => Caller::local(*peer),
        None => known(gate, request.headers())?,
    };
    if caller.role < least {
        let word = |role: Role| {
            serde_json::to_value(role)
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
        };
        let (needed, has) = (word(least).unwrap_or_default(), word(caller.role).unwrap_or_default());
        let detail = format!(
            "this needs a token with the role {needed}; the token {} has {has}",
            caller.name
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, "role_too_low", detail));
    }
    if socket_only && !caller.local {
        let detail = "this is served on the station's Unix socket only";
        return Err(Problem::new(StatusCode::FORBIDDEN, "socket_only", detail));
    }
    Ok(caller)
}

fn known(gate: &Gate, headers: &HeaderMap) -> Result<Caller, Problem> {
    let unauthorized = |code, detail| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
    let Some(token) = presented(headers) else {
        return Err(unauthorized(
            "token_missing",
            "send a token with the header Authorization: Bearer <token>; an administrator makes one with POST /v1/tokens",
        ));
    };
    let known = gate.credentials.token(token);
    let (name, role) = known.ok_or_else(|| {
        let detail = "the token is not known here, or was taken back; an administrator makes one with POST /v1/tokens";
        unauthorized("token_unknown", detail)
    })?;
    Ok(Caller {
        name,
        role,
        local: false,
    })
}

/// The token in the headers, never in the URL, which ends up in logs.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(token.trim());
    }
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let mut protocols = protocols.split(',').map(str::trim);
    (protocols.next()? == WS_PROTOCOL).then(|| protocols.next()).flatten()
}

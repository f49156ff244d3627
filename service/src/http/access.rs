//! Who may do what. The role that an operation asks for is declared beside it, as the scope of its `bearer` requirement in
//! the OpenAPI document, and enforced from there: an operation that declares nothing is closed.

use super::{
    idempotency,
    limit::{FAILURE_EVERY, FailedLogins, TooMany},
    problem::Problem,
    request_id::{Numbers, REQUEST_ID, RequestId},
    roles::Roles,
};
use crate::secret::SecretHash;
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a request may take where the daemon says nothing else.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// The name of the WebSocket subprotocol whose other half is the token: browsers cannot set headers there.
pub const WS_PROTOCOL: &str = "bearer";
/// Beside a role in a scope: the operation is for callers on the Unix socket alone.
pub const SOCKET_ONLY: &str = "socket";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name, or what callers of the Unix socket without one are called; it goes into what is recorded as who
    /// did something.
    pub name: String,
    /// What they may do.
    pub roles: Roles,
    /// They are on this machine's Unix socket.
    pub local: bool,
    /// The token they showed: a token of the same name that is made later is another one.
    pub token: Option<SecretHash>,
}

/// What is known of a credential. It may have to be looked up in a database; the problem is that it cannot be now.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// The tokens that a daemon knows.
pub trait Tokens: Send + Sync {
    /// The caller who shows this token, if it is known: with the token itself, and not local.
    fn caller<'a>(&'a self, presented: &'a str) -> Lookup<'a, Option<Caller>>;
    /// Whether a token still counts.
    fn counts<'a>(&'a self, token: &'a SecretHash) -> Lookup<'a, bool>;
    /// The caller whom a browser's cookie stands for, where this daemon has sessions; asked where no token is shown. A
    /// method that changes something needs more than the cookie, which a browser sends whoever wrote the page.
    fn by_cookie<'a>(&'a self, _method: &'a Method, _headers: &'a HeaderMap) -> Lookup<'a, Option<Caller>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Who somebody on the Unix socket is that shows none, by their user's number where the system says it.
    fn local_caller(&self, uid: Option<u32>) -> Caller;
}

/// A connection over a Unix socket, whose file permissions are the authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalPeer {
    /// The user at the other end.
    pub uid: Option<u32>,
    /// The one role that whoever opens this socket has, whatever token they show; on a socket without one, callers are who
    /// their token says, or [`Tokens::local_caller`].
    pub only: Option<&'static str>,
}

/// Where a connection over TCP comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpPeer(pub IpAddr);

impl Caller {
    /// The caller of a request that was let in.
    ///
    /// # Errors
    /// Nobody was: its operation is declared public.
    pub fn of(parts: &Parts) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal("an operation with a caller was declared public"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)
    }
}

/// What an operation asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// One of these; never none.
    OneOf(Vec<Way>),
    /// What it declares cannot be read: nobody gets in.
    Unknown,
}

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    role: String,
    socket_only: bool,
}

/// What every operation needs, by path and method, and who is let in.
#[derive(Clone)]
pub struct Access {
    operations: Arc<HashMap<(String, String), Needs>>,
    tokens: Arc<dyn Tokens>,
    logins: Arc<FailedLogins>,
    numbers: Arc<Numbers>,
    /// Paths that may take longer than others, as the document has them.
    slow: &'static [(&'static str, Duration)],
}

impl Access {
    /// Reads what the document declares. `slow` are paths of the document, with `{…}` where they have it, that have a time of
    /// their own.
    pub fn new(
        openapi: &utoipa::openapi::OpenApi,
        tokens: Arc<dyn Tokens>,
        logins: Arc<FailedLogins>,
        numbers: Arc<Numbers>,
        slow: &'static [(&'static str, Duration)],
    ) -> Self {
        let mut operations = HashMap::new();
        let document = serde_json::to_value(openapi).unwrap_or_default();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let needs = declared(&operation["security"]);
                operations.insert((path.clone(), method.to_ascii_uppercase()), needs);
            }
        }
        Self {
            operations: Arc::new(operations),
            tokens,
            logins,
            numbers,
            slow,
        }
    }

    fn needs(&self, path: &MatchedPath, method: &Method) -> Option<&Needs> {
        // HEAD is answered as GET.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.operations
            .get(&(path.as_str().to_owned(), method.as_str().to_owned()))
    }

    /// How long an answer may take.
    fn time_max(&self, path: &MatchedPath) -> Duration {
        let slow = self.slow.iter().find(|(slow, _)| *slow == path.as_str());
        slow.map_or(REQUEST_TIME_MAX, |(_, time_max)| *time_max)
    }

    /// The caller, if they may do this.
    async fn admitted(
        &self,
        peer: Option<LocalPeer>,
        method: &Method,
        headers: &HeaderMap,
        needs: &Needs,
    ) -> Result<Option<Caller>, Problem> {
        let ways = match needs {
            Needs::Nothing => return Ok(None),
            Needs::OneOf(ways) => ways,
            Needs::Unknown => {
                return Err(Problem::internal("an operation declares no role"));
            }
        };
        let caller = match peer {
            Some(LocalPeer { only: Some(role), .. }) => Caller {
                name: role.to_owned(),
                roles: Roles::of([role]),
                local: true,
                token: None,
            },
            // Who shows a token is a person of their own, with the roles of the token.
            Some(_) if headers.contains_key(header::AUTHORIZATION) => Caller {
                local: true,
                ..self.known(method, headers).await?
            },
            Some(peer) => self.tokens.local_caller(peer.uid),
            None => self.known(method, headers).await?,
        };
        let mut open = ways.iter().filter(|way| caller.roles.contains(&way.role)).peekable();
        if open.peek().is_none() {
            let has: Vec<&str> = caller.roles.words().collect();
            // The first is the one for people and their tokens.
            let role = ways.first().map_or("", |way| way.role.as_str());
            let detail = format!(
                "this needs a token with the role {role}; the token {} has {}",
                caller.name,
                if has.is_empty() {
                    "none".to_owned()
                } else {
                    has.join(", ")
                }
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "role_too_low", detail));
        }
        if !caller.local && open.all(|way| way.socket_only) {
            let detail = "this is served on this machine's Unix socket only";
            return Err(Problem::new(StatusCode::FORBIDDEN, "socket_only", detail));
        }
        Ok(Some(caller))
    }

    async fn known(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
        let unauthorized = |code, detail| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        let Some(token) = presented(headers) else {
            // A header that cannot be read is no reason to take the cookie.
            let by_cookie = match headers.contains_key(header::AUTHORIZATION) {
                true => None,
                false => self.tokens.by_cookie(method, headers).await?,
            };
            return by_cookie.ok_or_else(|| {
                unauthorized(
                    "token_missing",
                    "send a token with the header Authorization: Bearer <token>; an administrator makes one with POST /v1/tokens",
                )
            });
        };
        self.tokens.caller(token).await?.ok_or_else(|| {
            let detail =
                "the token is not known here, or was taken back; an administrator makes one with POST /v1/tokens";
            unauthorized("token_unknown", detail)
        })
    }

    /// Notes a login that failed; if it is one too many for its address, that is the answer.
    fn turned_away(&self, request: &Request, problem: Problem) -> (Problem, bool) {
        let is_login = problem.status() == StatusCode::UNAUTHORIZED;
        let peer = request.extensions().get::<TcpPeer>().filter(|_| is_login);
        let too_many = peer.and_then(|peer| Some((peer.0, self.logins.note(peer.0, Instant::now()).err()?)));
        let Some((address, TooMany { is_first })) = too_many else {
            return (problem, true);
        };
        if is_first {
            tracing::warn!(%address, "too many logins fail: further ones are answered 429 and not logged one by one");
        }
        let seconds = FAILURE_EVERY.as_secs();
        let detail = format!(
            "too many requests from {address} came without a token that is known here; try again in {seconds} s, with one"
        );
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failed_logins", detail);
        (problem, false)
    }
}

fn declared(security: &serde_json::Value) -> Needs {
    let requirements = security.as_array().map(Vec::as_slice).unwrap_or_default();
    if let [serde_json::Value::Object(nothing)] = requirements
        && nothing.is_empty()
    {
        return Needs::Nothing;
    }
    let ways: Option<Vec<Way>> = requirements.iter().map(way).collect();
    ways.filter(|ways| !ways.is_empty())
        .map_or(Needs::Unknown, Needs::OneOf)
}

fn way(requirement: &serde_json::Value) -> Option<Way> {
    let scopes = requirement.get("bearer")?.as_array()?;
    let mut words = scopes.iter().filter_map(serde_json::Value::as_str);
    Some(Way {
        role: words.next()?.to_owned(),
        socket_only: words.any(|word| word == SOCKET_ONLY),
    })
}

/// Lets a request through to its operation, or says why not; every answer carries the request's number.
pub async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers(), &access.numbers);
    let mut response = answer(&access, &id, request, next).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        response = problem.of_request(&id).into_response();
        // What the operation said besides, such as when to try again.
        for (name, value) in headers {
            if let Some(name) = name.filter(|name| *name != header::CONTENT_LENGTH) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

async fn answer(access: &Access, id: &RequestId, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    // Neither an unknown path nor a wrong method is anybody's secret.
    let known = matched.and_then(|matched| Some((access.needs(&matched, &method)?, access.time_max(&matched))));
    let Some((needs, time_max)) = known else {
        return next.run(request).await;
    };
    let mut who = String::from("-");
    let peer = request.extensions().get::<LocalPeer>().copied();
    match access.admitted(peer, &method, request.headers(), needs).await {
        Ok(Some(caller)) => {
            who.clone_from(&caller.name);
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(problem) => {
            let (problem, is_logged) = access.turned_away(&request, problem);
            if is_logged {
                let details = problem.details();
                tracing::info!(request = %id, %method, path, status = details.status, "{}", details.detail);
                return problem.into_response();
            }
            let mut response = problem.into_response();
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, FAILURE_EVERY.as_secs().into());
            return response;
        }
    }
    let repeatable = request.headers().contains_key(idempotency::IDEMPOTENCY_KEY);
    let Ok(response) = tokio::time::timeout(time_max, next.run(request)).await else {
        let again = if repeatable {
            "; ask again with the same Idempotency-Key: what was decided is decided once"
        } else {
            "; ask again"
        };
        let detail = format!("no answer within {} s{again}", time_max.as_secs());
        tracing::warn!(request = %id, caller = who, %method, path, "no answer in time");
        return Problem::unavailable("too_slow", detail).into_response();
    };
    let status = response.status().as_u16();
    if let Some(problem) = response.extensions().get::<Problem>() {
        let (code, detail) = (problem.details().code(), &problem.details().detail);
        tracing::info!(request = %id, caller = who, %method, path, status, code, detail, "refused");
    } else if matches!(method, Method::GET | Method::HEAD) && status < 500 {
        tracing::debug!(request = %id, caller = who, %method, path, status, "answered");
    } else {
        tracing::info!(request = %id, caller = who, %method, path, status, "answered");
    }
    response
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_declares_no_role_is_closed() {
        assert_eq!(declared(&json!([{}])), Needs::Nothing);
        let way = |role: &str, socket_only| Way {
            role: role.to_owned(),
            socket_only,
        };
        let viewer = |socket_only| Needs::OneOf(vec![way("viewer", socket_only)]);
        assert_eq!(declared(&json!([{ "bearer": ["viewer"] }])), viewer(false));
        assert_eq!(declared(&json!([{ "bearer": ["viewer", "socket"] }])), viewer(true));
        assert_eq!(
            declared(&json!([{ "bearer": ["viewer"] }, { "bearer": ["sync", "socket"] }])),
            Needs::OneOf(vec![way("viewer", false), way("sync", true)])
        );
        for unclear in [
            json!(null),
            json!([]),
            json!([{ "bearer": [] }]),
            json!([{ "other": ["viewer"] }]),
            json!([{}, { "bearer": ["viewer"] }]),
            json!([{ "bearer": ["viewer"] }, { "bearer": [] }]),
        ] {
            assert_eq!(declared(&unclear), Needs::Unknown, "{unclear}");
        }
    }

    /// Knows nobody.
    struct Nobody;

    impl Tokens for Nobody {
        fn caller<'a>(&'a self, _presented: &'a str) -> Lookup<'a, Option<Caller>> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn counts<'a>(&'a self, _token: &'a SecretHash) -> Lookup<'a, bool> {
            Box::pin(std::future::ready(Ok(false)))
        }

        fn local_caller(&self, _uid: Option<u32>) -> Caller {
            unreachable!("nothing here is on a Unix socket")
        }
    }

    #[tokio::test]
    async fn a_path_with_a_time_of_its_own_has_it_whatever_it_is_about() {
        let document: utoipa::openapi::OpenApi = serde_json::from_value(json!({
            "openapi": "3.1.0",
            "info": { "title": "test", "version": "1" },
            "paths": { "/v1/sites/{site}/replica": { "get": { "responses": {}, "security": [{}] } } },
        }))
        .unwrap();
        let slow = &[("/v1/sites/{site}/replica", Duration::ZERO)];
        let (logins, numbers) = (Arc::default(), Arc::new(Numbers::of_run("test")));
        let access = Access::new(&document, Arc::new(Nobody), logins, numbers, slow);
        let for_ever = axum::routing::get(std::future::pending::<()>);
        let router = axum::Router::new()
            .route("/v1/sites/{site}/replica", for_ever)
            .layer(axum::middleware::from_fn_with_state(access, guard));
        let service = hyper_util::service::TowerToHyperService::new(router);
        let request = Request::get("/v1/sites/s01/replica")
            .body(axum::body::Body::empty())
            .unwrap();
        let response = hyper::service::Service::call(&service, request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("no answer within 0 s"), "{body}");
    }

    #[test]
    fn a_token_comes_in_a_header_of_either_kind() {
        let mut headers = HeaderMap::new();
        assert_eq!(presented(&headers), None);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, "bearer, secret".parse().unwrap());
        assert_eq!(presented(&headers), Some("secret"));
        headers.insert(header::AUTHORIZATION, "BEARER  other".parse().unwrap());
        assert_eq!(presented(&headers), Some("other"));
        headers.insert(header::AUTHORIZATION, "Basic other".parse().unwrap());
        assert_eq!(presented(&headers), None);
    }
}

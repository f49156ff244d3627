//! What comes in, read strictly: bodies with the path of every fault, ids and queries, and the key of a repeatable POST.
//! Everything that cannot be read is a problem that says which field and what to do.

use super::{access::Caller, problem::Problem, wire::Yuan};
use crate::station::RequestKey;
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;
use utoipa::ToSchema;

/// The longest body that is read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(20);
/// The longest idempotency key, in characters.
const KEY_CHARS_MAX: usize = 64;
/// The longest free text a person may send (reasons), in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest name or receipt number, in characters.
const NAME_CHARS_MAX: usize = 100;

/// The header that makes a POST repeatable.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What the types of a body cannot say.
pub(super) trait Checked {
    /// The first thing wrong with it.
    fn check(&self) -> Result<(), Problem> {
        Ok(())
    }
}

/// A POST without content: no body, or `{}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Checked for Nothing {}

/// The body of a POST, and what makes its repetition recognisable.
pub(super) struct Posted<T> {
    pub(super) body: T,
    pub(super) key: RequestKey,
    pub(super) caller: Caller,
}

/// The body of a PUT.
pub(super) struct Put<T> {
    pub(super) body: T,
    pub(super) caller: Caller,
}

/// The text of a body that is not read as JSON right away.
pub(super) struct PostedText {
    pub(super) text: String,
    pub(super) is_toml: bool,
    pub(super) key: Option<RequestKey>,
}

impl<S: Send + Sync, T: DeserializeOwned + Checked> FromRequest<S> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts)?;
        let key = idempotency_key(&parts.headers)?;
        let bytes = read(body).await?;
        let body = parse(&parts.headers, &bytes)?;
        let key = request_key(&caller, &parts, key, &bytes);
        Ok(Self { body, key, caller })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Checked> FromRequest<S> for Put<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts)?;
        let bytes = read(body).await?;
        let body = parse(&parts.headers, &bytes)?;
        Ok(Self { body, caller })
    }
}

impl<S: Send + Sync> FromRequest<S> for PostedText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts)?;
        let is_post = parts.method == axum::http::Method::POST;
        let key = if is_post {
            Some(idempotency_key(&parts.headers)?)
        } else {
            None
        };
        let bytes = read(body).await?;
        let is_toml = media_type(&parts.headers).is_some_and(|kind| kind == "application/toml");
        if !is_toml {
            expect_json(&parts.headers)?;
        }
        let key = key.map(|key| request_key(&caller, &parts, key, &bytes));
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "malformed_body", "the body is not UTF-8"))?;
        Ok(Self { text, is_toml, key })
    }
}

fn request_key(caller: &Caller, parts: &Parts, key: &str, body: &[u8]) -> RequestKey {
    let route = format!("{} {}", parts.method, parts.uri.path());
    RequestKey::new(&caller.name, &route, key, body)
}

fn idempotency_key(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_missing",
            "every POST needs an Idempotency-Key header: send a new UUID with each request, and the same one when you \
             repeat a request whose answer did not arrive",
        ));
    };
    let good = key.to_str().ok().filter(|text| {
        (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
    });
    match (good, keys.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_invalid",
            format!("the Idempotency-Key header is one value of 1 to {KEY_CHARS_MAX} printable ASCII characters"),
        )),
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIME_MAX, axum::body::to_bytes(body, BODY_BYTES_MAX + 1));
    let Ok(read) = read.await else {
        let detail = format!("the body did not arrive within {} s", BODY_TIME_MAX.as_secs());
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail));
    };
    match read {
        Ok(bytes) if bytes.len() <= BODY_BYTES_MAX => Ok(bytes),
        Ok(_) => Err(too_large()),
        Err(error) => {
            let limited = std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
            if limited {
                Err(too_large())
            } else {
                let detail = format!("the body could not be read: {error}");
                Err(Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail))
            }
        }
    }
}

fn too_large() -> Problem {
    let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = value.split(';').next().unwrap_or(value);
    Some(kind.trim().to_ascii_lowercase())
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers) {
        Some(kind) if kind == "application/json" || kind.ends_with("+json") => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "send the body as JSON, with the header Content-Type: application/json",
        )),
    }
}

/// Reads a body. An empty one is an empty object.
pub(super) fn parse<T: DeserializeOwned + Checked>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() {
        b"{}".as_slice()
    } else {
        expect_json(headers)?;
        bytes
    };
    // Derived readers would take a list of the fields' values in order for an object.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::field(".", "the body must be a JSON object"));
    }
    let malformed =
        |error: &serde_json::Error| Problem::new(StatusCode::BAD_REQUEST, "malformed_json", error.to_string()).at(".");
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner());
        if inner.is_data() {
            Problem::field(told(&path), told(&without_position(&inner.to_string())))
        } else {
            malformed(inner)
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    value.check()?;
    Ok(value)
}

/// As much of what is said of a body as is told: it quotes names and values, which may be as long as the body.
fn told(text: &str) -> String {
    const TOLD_CHARS_MAX: usize = 500;
    match text.char_indices().nth(TOLD_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The path says where; the line and column of a body that a program wrote say nothing.
fn without_position(message: &str) -> String {
    match message.rsplit_once(" at line ") {
        Some((words, position)) if position.contains(" column ") => words.to_owned(),
        _ => message.to_owned(),
    }
}

/// A free text that must say something.
pub(super) fn check_reason(path: &str, text: &str) -> Result<(), Problem> {
    check_text(path, text, 1, REASON_CHARS_MAX)
}

/// A name, or a receipt number.
pub(super) fn check_name(path: &str, text: &str, least: usize) -> Result<(), Problem> {
    check_text(path, text, least, NAME_CHARS_MAX)
}

fn check_text(path: &str, text: &str, least: usize, most: usize) -> Result<(), Problem> {
    let length = text.trim().chars().count();
    if length < least {
        return Err(Problem::field(path, "must not be empty"));
    }
    if length > most || text.chars().any(char::is_control) {
        let detail = format!("at most {most} characters, none of them a control character");
        return Err(Problem::field(path, detail));
    }
    Ok(())
}

/// An amount that must be above zero.
pub(super) fn check_positive(path: &str, amount: i64, shown: impl std::fmt::Display) -> Result<(), Problem> {
    if amount > 0 {
        Ok(())
    } else {
        Err(Problem::field(path, format!("must be above zero, not {shown}")))
    }
}

/// An amount that may be zero.
pub(super) fn check_not_negative(path: &str, Yuan(amount): Yuan) -> Result<(), Problem> {
    if amount.is_negative() {
        return Err(Problem::field(path, format!("must not be negative, not {amount}")));
    }
    Ok(())
}

/// Ids in the path.
pub(super) struct Of<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Of<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.strip_prefix("Invalid URL: ").unwrap_or(&text).to_owned();
                Err(Problem::url(parts.uri.path(), text))
            }
        }
    }
}

/// The query.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                Err(Problem::url("query", text))
            }
        }
    }
}

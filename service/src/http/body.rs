//! What comes in, read strictly: bodies with the path of every fault, ids and queries.
//! Everything that cannot be read is a problem that says which field and what to do.

use super::{
    access::Caller,
    idempotency::{IdempotencyKey, key_in},
    problem::Problem,
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;
use utoipa::ToSchema;

/// The longest body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(20);
/// The longest free text a person may send (reasons), in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest name or receipt number, in characters.
const NAME_CHARS_MAX: usize = 100;

/// What the types of a body cannot say.
pub trait Checked {
    /// Looks at it as a whole.
    ///
    /// # Errors
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
pub struct Posted<T> {
    /// What was sent.
    pub body: T,
    /// By what a repetition is recognised.
    pub key: IdempotencyKey,
    /// By whom.
    pub caller: Caller,
}

/// The body of a POST that anybody may send, such as a login: nobody's repetition is recognised.
pub struct Sent<T>(pub T);

/// The body of a PUT.
pub struct Put<T> {
    /// What was sent.
    pub body: T,
    /// By whom.
    pub caller: Caller,
}

/// The body of a PUT that is not text, of at most so many bytes.
pub struct PutBytes<const BYTES_MAX: usize> {
    /// What was sent.
    pub bytes: Bytes,
    /// By whom.
    pub caller: Caller,
}

/// The body of a POST that is not JSON, of at most so many bytes, and what makes its repetition recognisable.
pub struct PostedBytes<const BYTES_MAX: usize> {
    /// What was sent.
    pub bytes: Bytes,
    /// By what a repetition is recognised.
    pub key: IdempotencyKey,
    /// By whom.
    pub caller: Caller,
}

/// The text of a body that is not read as JSON right away.
pub struct PostedText {
    /// The text.
    pub text: String,
    /// It came as TOML, and not as JSON.
    pub is_toml: bool,
    /// By what a repetition of a POST is recognised; a PUT needs none.
    pub key: Option<IdempotencyKey>,
}

impl<S: Send + Sync, T: DeserializeOwned + Checked> FromRequest<S> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts)?;
        let key = key_in(&parts.headers)?;
        let bytes = read(body).await?;
        let body = parse(&parts.headers, &bytes)?;
        let key = IdempotencyKey::of(&caller, &parts, key, &bytes);
        Ok(Self { body, key, caller })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Checked> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body).await?;
        Ok(Self(parse(&parts.headers, &bytes)?))
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

impl<S: Send + Sync, const BYTES_MAX: usize> FromRequest<S> for PutBytes<BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts)?;
        let bytes = read_at_most(body, BYTES_MAX).await?;
        Ok(Self { bytes, caller })
    }
}

impl<S: Send + Sync, const BYTES_MAX: usize> FromRequest<S> for PostedBytes<BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts)?;
        let key = key_in(&parts.headers)?;
        let bytes = read_at_most(body, BYTES_MAX).await?;
        let key = IdempotencyKey::of(&caller, &parts, key, &bytes);
        Ok(Self { bytes, key, caller })
    }
}

impl<S: Send + Sync> FromRequest<S> for PostedText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts)?;
        let is_post = parts.method == axum::http::Method::POST;
        let key = if is_post { Some(key_in(&parts.headers)?) } else { None };
        let bytes = read(body).await?;
        let is_toml = media_type(&parts.headers).is_some_and(|kind| kind == "application/toml");
        if !is_toml {
            expect_json(&parts.headers)?;
        }
        let key = key.map(|key| IdempotencyKey::of(&caller, &parts, key, &bytes));
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "malformed_body", "the body is not UTF-8"))?;
        Ok(Self { text, is_toml, key })
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    read_at_most(body, BODY_BYTES_MAX).await
}

async fn read_at_most(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIME_MAX, axum::body::to_bytes(body, bytes_max.saturating_add(1)));
    let Ok(read) = read.await else {
        let detail = format!("the body did not arrive within {} s", BODY_TIME_MAX.as_secs());
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail));
    };
    match read {
        Ok(bytes) if bytes.len() <= bytes_max => Ok(bytes),
        Ok(_) => Err(too_large(bytes_max)),
        Err(error) => {
            let limited = std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
            if limited {
                Err(too_large(bytes_max))
            } else {
                let detail = format!("the body could not be read: {error}");
                Err(Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail))
            }
        }
    }
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("a body has at most {bytes_max} bytes");
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
///
/// # Errors
/// It is no JSON object, has a field that is not known or missing, or one whose value cannot be taken.
pub fn parse<T: DeserializeOwned + Checked>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
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
///
/// # Errors
/// It is empty, too long, or has control characters in it.
pub fn check_reason(path: &str, text: &str) -> Result<(), Problem> {
    check_text(path, text, 1, REASON_CHARS_MAX)
}

/// A name, or a receipt number.
///
/// # Errors
/// It is too short or too long, or has control characters in it.
pub fn check_name(path: &str, text: &str, least: usize) -> Result<(), Problem> {
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
///
/// # Errors
/// It is not.
pub fn check_positive(path: &str, amount: i64, shown: impl std::fmt::Display) -> Result<(), Problem> {
    if amount > 0 {
        Ok(())
    } else {
        Err(Problem::field(path, format!("must be above zero, not {shown}")))
    }
}

/// Ids in the path.
pub struct Of<T>(pub T);

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
pub struct Asked<T>(pub T);

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

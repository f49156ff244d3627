//! The `Idempotency-Key` of a POST: who asked for what, so that a repetition is recognised and counts once.

use super::{access::Caller, problem::Problem};
use axum::http::{HeaderMap, StatusCode, request::Parts};
use domain::journal::hex;
use sha2::{Digest, Sha256};

/// The header that makes a POST repeatable.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest key, in characters.
pub const KEY_CHARS_MAX: usize = 64;

/// By what a repeated request is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who asks.
    pub caller: String,
    /// Method and path.
    pub route: String,
    /// The caller's key.
    pub key: String,
    /// SHA-256 of the body, hex: the same key with another body is a conflict.
    pub body_hash: String,
}

impl IdempotencyKey {
    /// The key of a request with this body.
    pub fn of(caller: &Caller, parts: &Parts, key: &str, body: &[u8]) -> Self {
        Self {
            caller: caller.name.clone(),
            route: format!("{} {}", parts.method, parts.uri.path()),
            key: key.to_owned(),
            body_hash: hex(&Sha256::digest(body)),
        }
    }
}

/// The key in the headers.
///
/// # Errors
/// There is none, or it is not one value of 1 to 64 printable ASCII characters.
pub fn key_in(headers: &HeaderMap) -> Result<&str, Problem> {
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

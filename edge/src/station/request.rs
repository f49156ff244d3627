//! What the API asks of the station, and what it gets: requests, answers, and why one never came to the rules.

use super::WAITING_MAX;
use crate::credentials::CredentialChange;
use domain::{
    journal::hex,
    site::{Answer, Input, Rejected, Site},
    time::Now,
};
use sha2::{Digest, Sha256};

/// An HTTP answer as it is given and remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The JSON text.
    pub body: String,
    /// What is remembered in place of `body`, where that holds a secret.
    pub body_remembered: Option<String>,
    /// It was given before, to the same request.
    pub replayed: bool,
}

impl Response {
    /// An answer that may be remembered as it is.
    pub fn new(status: u16, body: String) -> Self {
        Self {
            status,
            body,
            body_remembered: None,
            replayed: false,
        }
    }
}

/// Why a request did not get as far as the station's rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too much is waiting.
    #[error("the station is busy: {WAITING_MAX} requests are waiting; try again in a moment")]
    Busy,
    /// The daemon is ending.
    #[error("the station is shutting down; try again in a moment")]
    Stopping,
    /// The same key came with another request.
    #[error("this Idempotency-Key was used for another request; use a new one")]
    KeyReused,
}

/// Who asked before, and what: the same key with the same body gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// Caller, route and the caller's key.
    pub key: String,
    /// SHA-256 of the body, hex.
    pub body_hash: String,
}

impl RequestKey {
    /// The key of an HTTP request.
    pub fn new(caller: &str, route: &str, key: &str, body: &[u8]) -> Self {
        Self {
            key: format!("http\n{caller}\n{route}\n{key}"),
            body_hash: hex(&Sha256::digest(body)),
        }
    }
}

/// Makes the HTTP answer, in the loop, right after the decision and before the commit. It sees the rows as decided.
pub type Respond = Box<dyn FnOnce(Result<&Answer, &Rejected>, &Site, Now) -> Response + Send>;

/// Looks at the rows, and at the credentials that change with the same commit, before a request is decided. An answer
/// from it refuses the request: nothing is decided, and the answer is not remembered.
pub type Guard = Box<dyn FnOnce(&Site, &[CredentialChange]) -> Option<Response> + Send>;

/// A request from the API.
pub struct Request {
    /// What is asked; `None` where only credentials change.
    pub input: Option<Input>,
    /// For idempotency.
    pub key: Option<RequestKey>,
    /// Committed with it, unless the input is refused.
    pub credentials: Vec<CredentialChange>,
    /// Makes the answer.
    pub respond: Respond,
}

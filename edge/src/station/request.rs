//! What is asked of the station, and what comes back: requests, replies, and why one was refused. No HTTP: a reply is
//! in the words of whoever asked.

use super::WAITING_MAX;
use crate::{credentials::CredentialChange, store::caller_of};
use domain::{
    ids::{DisplayId, MsgId, PileId},
    journal::hex,
    site::{Answer, Input, Rejected, Site},
    time::Now,
};
use service::http::idempotency::IdempotencyKey;
use sha2::{Digest, Sha256};

/// An answer to what was decided, in the words of whoever asked. The loop remembers it and looks at nothing in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// A number that means something to the asker; it comes back with a repetition.
    pub tag: u16,
    /// Its text.
    pub body: String,
    /// What is remembered in place of `body`, where that holds a secret.
    pub body_remembered: Option<String>,
    /// It was given before, to the same request.
    pub replayed: bool,
}

/// Why a request was refused: nothing was decided, and it is not remembered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The station's rules say no.
    #[error(transparent)]
    ByRules(#[from] Rejected),
    /// What is there already stands against it.
    #[error(transparent)]
    Objected(#[from] Objection),
    /// It did not get as far as the rules.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What a [`Guard`] finds in the way of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// There is no such pile.
    #[error("pile {0} is not known here")]
    UnknownPile(PileId),
    /// A pile of that name is there.
    #[error("pile {0} is known already; POST /v1/piles/{0}/rotate gives it a new secret")]
    PileExists(PileId),
    /// There is no such display.
    #[error("display {0} is not known here")]
    UnknownDisplay(DisplayId),
    /// A display of that name is there.
    #[error("there is a display {0} already; a new secret is another display: remove this one first")]
    DisplayExists(DisplayId),
    /// As many displays as may be are there.
    #[error("there are {0} displays already; remove what nobody uses")]
    TooManyDisplays(usize),
    /// There is no such token.
    #[error("token {0} is not known here")]
    UnknownToken(String),
    /// A token of that name is there.
    #[error("there is a token {0}; take it back first, or choose another name")]
    TokenExists(String),
    /// As many tokens as are kept are there.
    #[error("there are {0} tokens already; take back what nobody uses")]
    TooManyTokens(usize),
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
    /// The station was restored from a copy, and nothing is journaled before head office has handed back what it has.
    #[error(
        "the station was restored from a copy and waits for what head office has beyond it: nothing is booked meanwhile, \
         and cars go on charging. Try again in a while; `holdfast-edge status` says how far it is, and \
         `holdfast-edge recover --alone REASON` goes on without head office"
    )]
    Recovering,
    /// The caller's budget of answers about money is full, and all of them are young: none may be forgotten.
    #[error(
        "{most} requests about money of this caller were answered within 24 h, and what was answered is kept for so long, \
         so that none is booked twice: there is no room for this one, and nothing of it was booked. Send it again in \
         {retry_after_s} s, or, if it cannot wait, with another token"
    )]
    AnswersFull {
        /// How many are kept of one caller.
        most: u64,
        /// In how many seconds there is room.
        retry_after_s: u64,
    },
    /// The same key came with another request.
    #[error("this Idempotency-Key was used for another request; use a new one")]
    KeyReused,
}

/// Who asked before, and what: the same key with the same body gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// `http` or `pile`, the caller's name, and what names the request to them (route and key, or boot and `msg_id`), each on
    /// a line of its own.
    pub key: String,
    /// SHA-256 of the body, hex.
    pub body_hash: String,
}

impl RequestKey {
    /// Whose budget of answers it counts in.
    pub fn caller(&self) -> &str {
        caller_of(&self.key)
    }

    /// The key of a pile's message: what it says is compared when the name comes again.
    pub fn of_message(pile: &PileId, boot_id: &str, msg_id: &MsgId, said: &[u8]) -> Self {
        Self {
            key: format!("pile\n{pile}\n{boot_id}\n{msg_id}"),
            body_hash: hex(&Sha256::digest(said)),
        }
    }

    /// The key of an HTTP request.
    pub fn of_http(key: IdempotencyKey) -> Self {
        let IdempotencyKey {
            caller,
            route,
            key,
            body_hash,
        } = key;
        Self {
            key: format!("http\n{caller}\n{route}\n{key}"),
            body_hash,
        }
    }
}

/// Makes the answer, in the loop, right after the decision and before the commit. It sees the rows as decided.
pub type Respond = Box<dyn FnOnce(&Answer, &Site, Now) -> Reply + Send>;

/// Looks at the rows, and at the credentials that change with the same commit, before a request is decided.
pub type Guard = Box<dyn FnOnce(&Site, &[CredentialChange]) -> Result<(), Objection> + Send>;

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

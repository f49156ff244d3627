//! Answers to POSTs, so that a repetition gets the one that was given before. They are written with what they tell of.

use super::{StoreError, Tx};
use domain::time::Wall;
use service::http::idempotency::IdempotencyKey;

/// How long an answer is remembered, in milliseconds.
pub const REMEMBERED_MS: i64 = 86_400_000;

/// What is known of a request with this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing so far: it is this transaction's to answer, and whoever comes with the same key meanwhile waits.
    Taken,
    /// It was answered.
    Answered {
        /// With this HTTP status.
        status: u16,
        /// And this body.
        answer: String,
    },
    /// The key was used for another body.
    OtherBody,
}

/// Takes a request to be answered by this transaction. It is the first thing that it does.
///
/// # Errors
/// [`StoreError`].
pub fn claim(tx: &mut dyn Tx, key: &IdempotencyKey, now: Wall) -> Result<Claim, StoreError> {
    let place = || {
        [
            key.caller.as_str().into(),
            key.route.as_str().into(),
            key.key.as_str().into(),
        ]
    };
    let [caller, route, name] = place();
    tx.execute(
        "DELETE FROM idempotency WHERE caller = $1 AND route = $2 AND key = $3 AND at < $4",
        &[caller, route, name, now.after_ms(-REMEMBERED_MS).0.into()],
    )?;
    let [caller, route, name] = place();
    let taken = tx.execute(
        "INSERT INTO idempotency (caller, route, key, body_hash, status, answer, at) VALUES ($1, $2, $3, $4, 0, '', $5) \
         ON CONFLICT (caller, route, key) DO NOTHING",
        &[caller, route, name, key.body_hash.as_str().into(), now.0.into()],
    )?;
    if taken == 1 {
        return Ok(Claim::Taken);
    }
    let row = tx.query_optional(
        "SELECT body_hash, status, answer FROM idempotency WHERE caller = $1 AND route = $2 AND key = $3",
        &place(),
    )?;
    // Gone in between: whoever had it was refused. It is asked for again.
    let mut row = row.ok_or_else(|| StoreError::Unavailable("the same request was refused just now".to_owned()))?;
    if row.text(0)? != key.body_hash {
        return Ok(Claim::OtherBody);
    }
    let status = row.int(1)?;
    Ok(Claim::Answered {
        status: u16::try_from(status).map_err(|error| StoreError::Broken(error.to_string()))?,
        answer: row.text(2)?,
    })
}

/// Keeps the answer to a request that was taken.
///
/// # Errors
/// [`StoreError`].
pub fn keep(tx: &mut dyn Tx, key: &IdempotencyKey, status: u16, answer: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE idempotency SET status = $1, answer = $2 WHERE caller = $3 AND route = $4 AND key = $5",
        &[
            i64::from(status).into(),
            answer.into(),
            key.caller.as_str().into(),
            key.route.as_str().into(),
            key.key.as_str().into(),
        ],
    )
    .map(drop)
}

/// A request that was taken was refused: nothing was decided, and it may be sent again.
///
/// # Errors
/// [`StoreError`].
pub fn give_up(tx: &mut dyn Tx, key: &IdempotencyKey) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM idempotency WHERE caller = $1 AND route = $2 AND key = $3",
        &[
            key.caller.as_str().into(),
            key.route.as_str().into(),
            key.key.as_str().into(),
        ],
    )
    .map(drop)
}

/// Forgets what was remembered long enough.
///
/// # Errors
/// [`StoreError`].
pub fn prune(tx: &mut dyn Tx, now: Wall) -> Result<u64, StoreError> {
    tx.execute(
        "DELETE FROM idempotency WHERE at < $1",
        &[now.after_ms(-REMEMBERED_MS).0.into()],
    )
}

//! Work that is done once for something, whichever process does it: claimed for a time, then done, or due again later.

use super::{Row, StoreError, Tx};
use domain::time::Wall;

/// Nothing is put off, nor claimed, for longer, in milliseconds: what lies further ahead was written by a clock that was off, and is
/// as good as over.
pub const AHEAD_MS_MAX: i64 = 3_600_000;

/// Whether a time that was written by some process's clock is not to be waited for any more.
pub fn is_past(at: Wall, now: Wall) -> bool {
    at <= now || at > now.after_ms(AHEAD_MS_MAX)
}

/// What is known of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// What it is done about: a site, for work on sites.
    pub key: String,
    /// What it was last done for: a business day, for daily work. None if it never was.
    pub done: Option<String>,
    /// What came of it then, in a word.
    pub outcome: Option<String>,
    /// When it may be tried again that failed.
    pub due_at: Wall,
    /// Until when a process is at it.
    pub claimed_until: Wall,
}

fn job(mut row: Row) -> Result<Job, StoreError> {
    Ok(Job {
        key: row.text(0)?,
        done: row.optional_text(1)?,
        outcome: row.optional_text(2)?,
        due_at: Wall(row.int(3)?),
        claimed_until: Wall(row.int(4)?),
    })
}

/// All work of a kind, by its key.
///
/// # Errors
/// [`StoreError`].
pub fn all(tx: &mut dyn Tx, kind: &str) -> Result<Vec<Job>, StoreError> {
    let statement = "SELECT key, done, outcome, due_at, claimed_until FROM job WHERE kind = $1 ORDER BY key";
    tx.query(statement, &[kind.into()])?.into_iter().map(job).collect()
}

/// Takes work for a process until then. Whether it is this process's: not where it was done for this already, where it is not
/// due, or where another process is at it.
///
/// # Errors
/// [`StoreError`].
pub fn claim(
    tx: &mut dyn Tx,
    kind: &str,
    key: &str,
    done_for: &str,
    now: Wall,
    until: Wall,
) -> Result<bool, StoreError> {
    let claimed = tx.execute(
        "INSERT INTO job (kind, key, due_at, claimed_until) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (kind, key) DO UPDATE SET claimed_until = excluded.claimed_until \
         WHERE (job.claimed_until <= $5 OR job.claimed_until > $8) AND (job.due_at <= $6 OR job.due_at > $9) \
         AND (job.done IS NULL OR job.done <> $7)",
        &[
            kind.into(),
            key.into(),
            now.0.into(),
            until.0.into(),
            now.0.into(),
            now.0.into(),
            done_for.into(),
            now.after_ms(AHEAD_MS_MAX).0.into(),
            now.after_ms(AHEAD_MS_MAX).0.into(),
        ],
    )?;
    Ok(claimed == 1)
}

/// It is done for this, and what came of it. Whoever does it need not have claimed it: somebody may have asked for it.
///
/// # Errors
/// [`StoreError`].
pub fn done(
    tx: &mut dyn Tx,
    kind: &str,
    key: &str,
    done_for: Option<&str>,
    outcome: &str,
    now: Wall,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO job (kind, key, done, outcome, done_at, due_at, claimed_until) VALUES ($1, $2, $3, $4, $5, 0, 0) \
         ON CONFLICT (kind, key) DO UPDATE SET done = excluded.done, outcome = excluded.outcome, done_at = excluded.done_at, \
         due_at = 0, claimed_until = 0",
        &[
            kind.into(),
            key.into(),
            done_for.into(),
            outcome.into(),
            now.0.into(),
        ],
    )
    .map(drop)
}

/// It could not be done now: it is due again then.
///
/// # Errors
/// [`StoreError`].
pub fn later(tx: &mut dyn Tx, kind: &str, key: &str, due_at: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE job SET due_at = $1, claimed_until = 0 WHERE kind = $2 AND key = $3",
        &[due_at.0.into(), kind.into(), key.into()],
    )
    .map(drop)
}

/// Holds work fast until the transaction ends: whoever else does so waits, and then sees what this one has written.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, kind: &str, key: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO job (kind, key, due_at, claimed_until) VALUES ($1, $2, 0, 0) \
         ON CONFLICT (kind, key) DO UPDATE SET claimed_until = 0",
        &[kind.into(), key.into()],
    )
    .map(drop)
}

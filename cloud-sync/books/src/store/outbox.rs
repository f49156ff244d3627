//! What is told elsewhere, until it is told: written in the transaction that it tells of, and sent by whichever process claims
//! it.

use super::{StoreError, Tx, Value};
use domain::time::Wall;

/// For how long what was sent is remembered, in milliseconds: 30 days.
const REMEMBERED_MS: i64 = 30 * 86_400_000;

/// Nothing is put off, nor claimed, for longer, in milliseconds: what lies further ahead was written by a clock that was off, and is
/// as good as over.
const AHEAD_MS_MAX: i64 = 6 * 3_600_000;

/// By what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// A POST to somebody's server.
    Webhook,
    /// A mail.
    Mail,
    /// A POST to the server that gets reports.
    ReportWebhook,
    /// A mail to somebody who gets reports.
    ReportMail,
}

impl Channel {
    /// Its word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mail => "mail",
            Self::ReportWebhook => "report_webhook",
            Self::ReportMail => "report_mail",
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, the same at every try: whoever gets it twice knows it again.
    pub id: String,
    /// What is told, JSON.
    pub body: String,
    /// When it was written.
    pub made_at: Wall,
    /// How often it was tried, with the try for which it was claimed.
    pub tries: u64,
}

/// Writes a message; one that is there already stays as it is.
///
/// # Errors
/// [`StoreError`].
pub fn add(tx: &mut dyn Tx, id: &str, channel: Channel, body: &str, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO outbox (id, channel, body, made_at, due_at, claimed_until, tries, state) \
         VALUES ($1, $2, $3, $4, $5, 0, 0, 'waiting') ON CONFLICT (id, channel) DO NOTHING",
        &[
            id.into(),
            channel.word().into(),
            body.into(),
            now.0.into(),
            now.0.into(),
        ],
    )
    .map(drop)
}

/// Takes messages that are due, the oldest first, for this process until then.
///
/// # Errors
/// [`StoreError`].
pub fn claim(
    tx: &mut dyn Tx,
    channel: Channel,
    now: Wall,
    until: Wall,
    limit: u64,
) -> Result<Vec<Message>, StoreError> {
    let (now, ahead) = (Value::from(now.0), Value::from(now.after_ms(AHEAD_MS_MAX).0));
    let due = tx.query(
        "SELECT id FROM outbox WHERE state = 'waiting' AND (due_at <= $1 OR due_at > $2) \
         AND (claimed_until <= $1 OR claimed_until > $2) AND channel = $3 ORDER BY made_at, id LIMIT $4",
        &[now.clone(), ahead.clone(), channel.word().into(), limit.into()],
    )?;
    let mut claimed = Vec::new();
    for mut row in due {
        // Another process may have claimed it since: then it is not changed.
        let values: [Value; 5] = [
            until.0.into(),
            row.text(0)?.into(),
            channel.word().into(),
            now.clone(),
            ahead.clone(),
        ];
        let taken = tx.query_optional(
            "UPDATE outbox SET claimed_until = $1, tries = tries + 1 \
             WHERE id = $2 AND channel = $3 AND state = 'waiting' AND (due_at <= $4 OR due_at > $5) \
             AND (claimed_until <= $4 OR claimed_until > $5) \
             RETURNING id, body, made_at, tries",
            &values,
        )?;
        if let Some(mut row) = taken {
            claimed.push(Message {
                id: row.text(0)?,
                body: row.text(1)?,
                made_at: Wall(row.int(2)?),
                tries: row.count(3)?,
            });
        }
    }
    Ok(claimed)
}

/// It was told.
///
/// # Errors
/// [`StoreError`].
pub fn sent(tx: &mut dyn Tx, id: &str, channel: Channel, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outbox SET state = 'sent', ended_at = $1, claimed_until = 0, trouble = NULL WHERE id = $2 AND channel = $3",
        &[now.0.into(), id.into(), channel.word().into()],
    )
    .map(drop)
}

/// It could not be told, and why: it is tried again then, or not any more.
///
/// # Errors
/// [`StoreError`].
pub fn failed(
    tx: &mut dyn Tx,
    id: &str,
    channel: Channel,
    trouble: &str,
    again_at: Option<Wall>,
    now: Wall,
) -> Result<(), StoreError> {
    let (state, ended_at) = match again_at {
        Some(_) => ("waiting", None),
        None => ("given_up", Some(now.0)),
    };
    tx.execute(
        "UPDATE outbox SET state = $1, ended_at = $2, due_at = $3, claimed_until = 0, trouble = $4 \
         WHERE id = $5 AND channel = $6 AND state = 'waiting'",
        &[
            state.into(),
            ended_at.into(),
            again_at.unwrap_or(now).0.into(),
            trouble.into(),
            id.into(),
            channel.word().into(),
        ],
    )
    .map(drop)
}

/// How many messages wait.
///
/// # Errors
/// [`StoreError`].
pub fn waiting(tx: &mut dyn Tx) -> Result<u64, StoreError> {
    let row = tx.query_optional("SELECT COUNT(*) FROM outbox WHERE state = 'waiting'", &[])?;
    row.map_or(Ok(0), |mut row| row.count(0))
}

/// Forgets what was told, or given up, long ago. What waits stays, also for a process whose clock is ahead.
///
/// # Errors
/// [`StoreError`].
pub fn prune(tx: &mut dyn Tx, now: Wall) -> Result<u64, StoreError> {
    tx.execute(
        "DELETE FROM outbox WHERE made_at < $1 AND state <> 'waiting'",
        &[now.after_ms(-REMEMBERED_MS).0.into()],
    )
}

//! Callbacks of channels as they came: the channel's log that people look at beside a payment that is missing (S05 §3.2).

use super::{
    Row, SetStatement, StoreError, Tx, Value,
    set::{Present, bytes, int, text},
};
use domain::time::Wall;

/// For how long they are kept, in milliseconds: longer than a channel takes back what it has paid (a year).
const KEPT_MS: i64 = 400 * 86_400_000;
/// How many are taken away in one transaction.
const PRUNED_MAX: i64 = 10_000;

/// A callback, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its number here: callbacks that came at the same moment are in the order of these.
    pub id: String,
    /// To which channel's address it came.
    pub channel: String,
    /// When, by head office's clock.
    pub at: Wall,
    /// From which address; none where it came over the socket.
    pub address: Option<String>,
    /// JSON: the headers that say who has signed it, and when.
    pub headers: String,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Whether the channel has signed it, lately.
    pub is_signed: bool,
    /// Our number that it names (out_trade_no), where it could be read.
    pub reference: Option<String>,
    /// The channel's number that it names (transaction_id), where it could be read.
    pub transaction: Option<String>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What came of it, a stable word.
    pub outcome: String,
    /// What is wrong with it, in words.
    pub why: Option<String>,
}

const CALLBACKS: SetStatement = SetStatement {
    table: "callback",
    keys: 1,
    columns: &[
        text("id"),
        text("channel"),
        int("at"),
        text("address"),
        text("headers"),
        bytes("body"),
        int("is_signed"),
        text("ref"),
        text("transaction_id"),
        int("status"),
        text("outcome"),
        text("why"),
    ],
    present: Present::Refuse,
};

/// The columns of a [`Heard`].
pub(super) const COLUMNS: &str =
    "id, channel, at, address, headers, body, is_signed, ref, transaction_id, status, outcome, why";

pub(super) fn heard(mut row: Row) -> Result<Heard, StoreError> {
    let status = row.count(9)?;
    Ok(Heard {
        id: row.text(0)?,
        channel: row.text(1)?,
        at: Wall(row.int(2)?),
        address: row.optional_text(3)?,
        headers: row.text(4)?,
        body: row.bytes(5)?,
        is_signed: row.int(6)? != 0,
        reference: row.optional_text(7)?,
        transaction: row.optional_text(8)?,
        status: u16::try_from(status).map_err(|_| StoreError::Broken(format!("the status {status} of a callback")))?,
        outcome: row.text(10)?,
        why: row.optional_text(11)?,
    })
}

/// Keeps callbacks.
///
/// # Errors
/// [`StoreError`].
pub fn add_all(tx: &mut dyn Tx, heard: &[Heard]) -> Result<(), StoreError> {
    let row = |of: &Heard| -> Vec<Value> {
        vec![
            of.id.as_str().into(),
            of.channel.as_str().into(),
            of.at.0.into(),
            of.address.as_deref().into(),
            of.headers.as_str().into(),
            of.body.as_slice().into(),
            of.is_signed.into(),
            of.reference.as_deref().into(),
            of.transaction.as_deref().into(),
            u64::from(of.status).into(),
            of.outcome.as_str().into(),
            of.why.as_deref().into(),
        ]
    };
    tx.write_all(&CALLBACKS, &heard.iter().map(row).collect::<Vec<_>>())
}

/// Callbacks that a channel has not signed are kept up to so many in [`UNSIGNED_MS`]: whoever sends them has no name, and the disk is ours.
pub const UNSIGNED_MAX: u64 = 100;
/// Of these from one address, which cannot hide what comes from others.
pub const UNSIGNED_OF_ADDRESS_MAX: u64 = 20;
const UNSIGNED_MS: i64 = 3_600_000;
/// An address from which the channel has signed something for so long is its own, in milliseconds: what comes from there is kept whatever
/// strangers send.
const OWN_ADDRESS_MS: i64 = 86_400_000;

/// Whether a callback that its channel has not signed is kept.
///
/// # Errors
/// [`StoreError`].
pub fn has_room_for_unsigned(tx: &mut dyn Tx, of: &Heard) -> Result<bool, StoreError> {
    let address = of.address.as_deref().unwrap_or_default();
    let row = tx.query_optional(
        "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN COALESCE(address, '') = $3 THEN 1 ELSE 0 END), 0) AS BIGINT) \
         FROM callback WHERE channel = $1 AND at >= $2 AND is_signed = 0",
        &[
            of.channel.as_str().into(),
            of.at.after_ms(-UNSIGNED_MS).0.into(),
            address.into(),
        ],
    )?;
    let (in_all, of_address) = row.map_or(Ok((0, 0)), |mut row| Ok((row.count(0)?, row.count(1)?)))?;
    if of_address >= UNSIGNED_OF_ADDRESS_MAX || in_all < UNSIGNED_MAX {
        return Ok(of_address < UNSIGNED_OF_ADDRESS_MAX);
    }
    let own = tx.query_optional(
        "SELECT 1 FROM callback WHERE channel = $1 AND at >= $2 AND is_signed = 1 AND COALESCE(address, '') = $3 LIMIT 1",
        &[of.channel.as_str().into(), of.at.after_ms(-OWN_ADDRESS_MS).0.into(), address.into()],
    )?;
    Ok(own.is_some())
}

/// Takes some of those away that are old. Whether there may be more.
///
/// # Errors
/// [`StoreError`].
pub fn prune(tx: &mut dyn Tx, now: Wall) -> Result<bool, StoreError> {
    let gone = tx.execute(
        "DELETE FROM callback WHERE id IN (SELECT id FROM callback WHERE at < $1 ORDER BY at LIMIT $2)",
        &[now.after_ms(-KEPT_MS).0.into(), PRUNED_MAX.into()],
    )?;
    Ok(gone == PRUNED_MAX.unsigned_abs())
}

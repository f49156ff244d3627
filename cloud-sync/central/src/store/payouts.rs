//! What channels have paid out, as bills of the account at the channel say, or two people.

use super::{Row, StoreError, Tx};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// Money that a channel has paid out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PaidOut {
    /// On which day.
    pub day: Day,
    /// The channel's number of it, or the bank's.
    pub reference: String,
    /// How much.
    pub amount: Fen,
}

/// What a channel has paid out from one day up to another, both included, each once: what people say of a number that a bill has is left
/// out.
///
/// # Errors
/// [`StoreError`].
pub fn between(tx: &mut dyn Tx, channel: &str, from: Day, to: Day) -> Result<Vec<PaidOut>, StoreError> {
    let rows = tx.query(
        "SELECT f.day, b.ref, CAST(SUM(ABS(b.amount)) AS BIGINT) FROM bill_fund b JOIN bill_file f ON f.id = b.file \
         WHERE b.channel = $1 AND b.kind = 'payout' AND f.state = 'imported' AND f.day >= $2 AND f.day <= $3 GROUP BY f.day, b.ref \
         UNION ALL SELECT p.day, p.reference, p.amount FROM payout p WHERE p.channel = $1 AND p.state = 'approved' AND p.day >= $2 \
         AND p.day <= $3 AND NOT EXISTS (SELECT 1 FROM bill_fund b JOIN bill_file f ON f.id = b.file WHERE b.channel = p.channel \
         AND b.ref = p.reference AND b.kind = 'payout' AND f.state = 'imported') ORDER BY 1, 2",
        &[channel.into(), from.to_string().into(), to.to_string().into()],
    )?;
    let paid = |mut row: Row| {
        Ok(PaidOut {
            day: row.text(0)?.parse().map_err(StoreError::Broken)?,
            reference: row.text(1)?,
            amount: Fen(row.int(2)?),
        })
    };
    rows.into_iter().map(paid).collect()
}

/// The day on which a channel paid out first; none where it never did.
///
/// # Errors
/// [`StoreError`].
pub fn first(tx: &mut dyn Tx, channel: &str) -> Result<Option<Day>, StoreError> {
    let row = tx.query_optional(
        "SELECT MIN(day) FROM (SELECT MIN(f.day) AS day FROM bill_fund b JOIN bill_file f ON f.id = b.file WHERE b.channel = $1 \
         AND b.kind = 'payout' AND f.state = 'imported' UNION ALL SELECT MIN(day) AS day FROM payout WHERE channel = $1 \
         AND state = 'approved') first",
        &[channel.into()],
    )?;
    let day = row.map(|mut row| row.optional_text(0)).transpose()?.flatten();
    day.map(|day| day.parse().map_err(StoreError::Broken)).transpose()
}

/// When head office learnt last of what a channel paid out on a day.
///
/// # Errors
/// [`StoreError`].
pub fn learnt(tx: &mut dyn Tx, channel: &str, day: Day) -> Result<Option<Wall>, StoreError> {
    let row = tx.query_optional(
        "SELECT MAX(at) FROM (SELECT MAX(f.made_at) AS at FROM bill_fund b JOIN bill_file f ON f.id = b.file WHERE b.channel = $1 \
         AND b.kind = 'payout' AND f.state = 'imported' AND f.day = $2 UNION ALL SELECT MAX(decided_at) AS at FROM payout \
         WHERE channel = $1 AND state = 'approved' AND day = $2) last",
        &[channel.into(), day.to_string().into()],
    )?;
    let at = row.map(|mut row| row.optional_int(0)).transpose()?.flatten();
    Ok(at.map(Wall))
}

/// How much is known of what a channel has paid out: another number where more is known.
///
/// # Errors
/// [`StoreError`].
pub fn known(tx: &mut dyn Tx, channel: &str) -> Result<i64, StoreError> {
    let row = tx.query_optional(
        "SELECT (SELECT COUNT(*) FROM bill_fund b JOIN bill_file f ON f.id = b.file WHERE b.channel = $1 AND b.kind = 'payout' \
         AND f.state = 'imported') + (SELECT COUNT(*) FROM payout WHERE channel = $1 AND state = 'approved')",
        &[channel.into()],
    )?;
    row.map_or(Ok(0), |mut row| row.int(0))
}

//! What channels have paid out, as bills of the account at the channel say, or two people.

use super::{Row, StoreError, Tx, proposed::State};
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

/// What people say that a channel has paid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// Its number.
    pub id: String,
    /// Which channel.
    pub channel: String,
    /// On which day, by the channel's clocks.
    pub day: Day,
    /// The bank's number of it.
    pub reference: String,
    /// How much. More than zero.
    pub amount: Fen,
    /// What shows it.
    pub reason: String,
    /// How far it is.
    pub state: State,
    /// Who said so first.
    pub proposed_by: String,
    /// When.
    pub proposed_at: Wall,
    /// Who said so too, or that it is not so.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Wall>,
}

/// The columns of a [`Payout`].
pub(crate) const COLUMNS: &str =
    "id, channel, day, reference, amount, reason, state, proposed_by, proposed_at, decided_by, decided_at";

/// One as it is kept.
pub(crate) fn payout(mut row: Row) -> Result<Payout, StoreError> {
    Ok(Payout {
        id: row.text(0)?,
        channel: row.text(1)?,
        day: row.text(2)?.parse().map_err(StoreError::Broken)?,
        reference: row.text(3)?,
        amount: Fen(row.int(4)?),
        reason: row.text(5)?,
        state: State::of_word(&row.text(6)?).ok_or_else(|| StoreError::Broken("the state of a payout".to_owned()))?,
        proposed_by: row.text(7)?,
        proposed_at: Wall(row.int(8)?),
        decided_by: row.optional_text(9)?,
        decided_at: row.optional_int(10)?.map(Wall),
    })
}

/// Adds one that waits.
///
/// # Errors
/// [`StoreError::Constraint`]: its number, or the bank's, is taken.
pub fn add(tx: &mut dyn Tx, of: &Payout) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO payout (id, channel, day, reference, amount, reason, state, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 'proposed', $7, $8)",
        &[
            of.id.as_str().into(),
            of.channel.as_str().into(),
            of.day.to_string().into(),
            of.reference.as_str().into(),
            of.amount.0.into(),
            of.reason.as_str().into(),
            of.proposed_by.as_str().into(),
            of.proposed_at.0.into(),
        ],
    )
    .map(drop)
}

/// One of this number.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: &str) -> Result<Option<Payout>, StoreError> {
    let row = tx.query_optional(&format!("SELECT {COLUMNS} FROM payout WHERE id = $1"), &[id.into()])?;
    row.map(payout).transpose()
}

/// The one with a number of the bank's that was not rejected.
///
/// # Errors
/// [`StoreError`].
pub fn of_reference(tx: &mut dyn Tx, channel: &str, reference: &str) -> Result<Option<Payout>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM payout WHERE channel = $1 AND reference = $2 AND state <> 'rejected'"),
        &[channel.into(), reference.into()],
    )?;
    row.map(payout).transpose()
}

/// Holds one fast until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, id: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE payout SET state = state WHERE id = $1", &[id.into()])
        .map(drop)
}

/// Somebody has decided one that waits.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Constraint`] where the one who approves has proposed it.
pub fn decide(tx: &mut dyn Tx, id: &str, state: State, by: &str, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE payout SET state = $1, decided_by = $2, decided_at = $3 WHERE id = $4 AND state = 'proposed'",
        &[state.word().into(), by.into(), now.0.into(), id.into()],
    )
    .map(drop)
}

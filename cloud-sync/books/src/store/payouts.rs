//! What channels have paid out, as bills of the account at the channel say, or two people.

use super::{Row, StoreError, Tx, bills::FUND_FORMATS, proposed::State};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// Money that a channel has paid out, or that went back to it, as far as that is not what the books have of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidOut {
    /// On which day.
    pub day: Day,
    /// The channel's number of it, or the bank's.
    pub reference: String,
    /// How much was paid out on that day under that number, as is known now; below zero: it went back.
    pub amount: Fen,
    /// How much of it is in the books.
    pub posted: Fen,
    /// With which day it came into the books; the last time, where it was taken back between.
    pub posted_on: Option<Day>,
    /// When head office learnt last of it.
    pub learnt: Wall,
}

impl PaidOut {
    /// What the books lack of it; below zero: what they have too much.
    pub fn to_post(&self) -> Fen {
        self.amount - self.posted
    }

    /// Whether a payout is new.
    pub fn is_payout(&self) -> bool {
        self.posted == Fen::ZERO && self.amount > Fen::ZERO
    }

    /// With which day it was in the books, if it was a payout of another amount than they have. What is neither went back.
    pub fn corrects(&self) -> Option<Day> {
        let is_other = self.posted > Fen::ZERO && self.amount > Fen::ZERO;
        self.posted_on.filter(|_| is_other)
    }
}

/// What people say counts of days of which no bill of the account is here, and of numbers that none has: bills have the last word.
fn said() -> String {
    format!(
        "p.channel = $1 AND p.state = 'approved' AND NOT EXISTS (SELECT 1 FROM bill_file f WHERE f.channel = p.channel \
     AND f.day = p.day AND f.format IN ({FUND_FORMATS}) AND f.state = 'imported') AND NOT EXISTS (SELECT 1 FROM bill_fund b \
     JOIN bill_file f ON f.id = b.file WHERE b.channel = p.channel AND b.ref = p.reference AND b.kind = 'payout' AND f.state = 'imported')"
    )
}

/// What of a channel's payouts is not in the books as it is known now, of days from one to another, both included: by day and number.
///
/// # Errors
/// [`StoreError`].
pub fn to_post(tx: &mut dyn Tx, channel: &str, (from, to): (Day, Day)) -> Result<Vec<PaidOut>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT day, ref, CAST(SUM(amount) AS BIGINT), CAST(SUM(posted) AS BIGINT), MAX(at) FROM (\
             SELECT f.day AS day, b.ref AS ref, -b.amount AS amount, 0 AS posted, f.made_at AS at FROM bill_fund b \
             JOIN bill_file f ON f.id = b.file WHERE b.channel = $1 AND b.kind = 'payout' AND f.state = 'imported' \
             UNION ALL SELECT p.day, p.reference, p.amount, 0, p.decided_at FROM payout p WHERE {} \
             UNION ALL SELECT p.day, p.reference, 0, p.amount, COALESCE((SELECT MAX(f.made_at) FROM bill_file f WHERE f.channel = $1 \
             AND f.day = p.day AND f.format IN ({FUND_FORMATS}) AND f.state = 'imported'), 0) FROM payout_posted p WHERE p.channel = $1) known \
             WHERE day >= $2 AND day <= $3 GROUP BY day, ref HAVING SUM(amount) <> SUM(posted) ",
            said()
        ),
        &[channel.into(), from.to_string().into(), to.to_string().into()],
    )?;
    let paid = |mut row: Row| {
        Ok(PaidOut {
            day: row.text(0)?.parse().map_err(StoreError::Broken)?,
            reference: row.text(1)?,
            amount: Fen(row.int(2)?),
            posted: Fen(row.int(3)?),
            learnt: Wall(row.int(4)?),
            posted_on: None,
        })
    };
    let mut paid: Vec<PaidOut> = rows.into_iter().map(paid).collect::<Result<_, StoreError>>()?;
    for of in paid.iter_mut().filter(|of| of.posted != Fen::ZERO) {
        of.posted_on = posted_on(tx, channel, of)?;
    }
    // Whichever way the database sorts.
    paid.sort_by(|a, b| (a.day, &a.reference).cmp(&(b.day, &b.reference)));
    Ok(paid)
}

/// With which day something came into the books that is there.
fn posted_on(tx: &mut dyn Tx, channel: &str, of: &PaidOut) -> Result<Option<Day>, StoreError> {
    let rows = tx.query(
        "SELECT closed_on, amount FROM payout_posted WHERE channel = $1 AND day = $2 AND reference = $3 ORDER BY closed_on",
        &[channel.into(), of.day.to_string().into(), of.reference.as_str().into()],
    )?;
    let (mut there, mut since) = (0, None);
    for mut row in rows {
        if there == 0 {
            since = Some(row.text(0)?.parse().map_err(StoreError::Broken)?);
        }
        there += row.int(1)?;
    }
    Ok(since)
}

/// What the books have of a channel's payouts from now on, as of a day that has become final.
///
/// # Errors
/// [`StoreError`].
pub fn post(tx: &mut dyn Tx, channel: &str, closed_on: Day, paid: &[PaidOut]) -> Result<(), StoreError> {
    for of in paid {
        tx.execute(
            "INSERT INTO payout_posted (channel, closed_on, day, reference, amount) VALUES ($1, $2, $3, $4, $5)",
            &[
                channel.into(),
                closed_on.to_string().into(),
                of.day.to_string().into(),
                of.reference.as_str().into(),
                of.to_post().0.into(),
            ],
        )?;
    }
    Ok(())
}

/// Whether anything is known of what a channel has paid out, or ever was.
///
/// # Errors
/// [`StoreError`].
pub fn are_known(tx: &mut dyn Tx, channel: &str) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM bill_fund b JOIN bill_file f ON f.id = b.file WHERE b.channel = $1 AND b.kind = 'payout' \
         AND f.state = 'imported') OR EXISTS (SELECT 1 FROM payout WHERE channel = $1 AND state = 'approved') \
         OR EXISTS (SELECT 1 FROM run WHERE scope = 'payouts:' || $1)",
        &[channel.into()],
    )?;
    Ok(row.is_some())
}

/// How many payouts two people have said of a channel.
///
/// # Errors
/// [`StoreError`].
pub fn count_approved(tx: &mut dyn Tx, channel: &str) -> Result<u64, StoreError> {
    let row = tx.query_optional(
        "SELECT COUNT(*) FROM payout WHERE channel = $1 AND state = 'approved'",
        &[channel.into()],
    )?;
    row.map_or(Ok(0), |mut row| row.count(0))
}

/// The first day from one to another, both included, of which a bill of a channel's account is here.
///
/// # Errors
/// [`StoreError`].
pub fn billed(tx: &mut dyn Tx, channel: &str, (from, to): (Day, Day)) -> Result<Option<Day>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT MIN(day) FROM bill_file WHERE channel = $1 AND format IN ({FUND_FORMATS}) AND state = 'imported' AND day >= $2 \
             AND day <= $3"
        ),
        &[channel.into(), from.to_string().into(), to.to_string().into()],
    )?;
    let day = row.map(|mut row| row.optional_text(0)).transpose()?.flatten();
    day.map(|day| day.parse().map_err(StoreError::Broken)).transpose()
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
    /// How much; below zero: it went back to the channel.
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

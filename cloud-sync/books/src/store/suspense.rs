//! Suspense (挂账): money that is on one side alone, by its discrepancy. The movements are in the ledger; here stands where each is.

use super::{Row, StoreError, Tx, discrepancies::SAME, members::member_id};
use crate::reconcile::words::Class;
use domain::{ids::MemberId, time::Wall, units::Fen};

/// Where the money of a discrepancy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In suspense.
    Parked,
    /// A wallet has it.
    Credited,
    /// Whoever was credited with it has given it back, or owes it.
    Recovered,
    /// It is our gain, or our loss.
    WrittenOff,
    /// There is no difference any more, and it was taken back.
    Reversed,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Parked,
        Self::Credited,
        Self::Recovered,
        Self::WrittenOff,
        Self::Reversed,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Credited => "credited",
            Self::Recovered => "recovered",
            Self::WrittenOff => "written_off",
            Self::Reversed => "reversed",
        }
    }
}

/// Money of a discrepancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspense {
    /// Which discrepancy.
    pub discrepancy: u64,
    /// Of which channel.
    pub channel: String,
    /// The channel's number of the transaction.
    pub transaction: String,
    /// How much: above zero the channel has it too much, below zero too little.
    pub amount: Fen,
    /// How often it was put there.
    pub turn: u64,
    /// The discrepancy's values then.
    pub basis: String,
    /// Where it is.
    pub state: State,
    /// Whose wallet got it, or gave it back.
    pub member: Option<MemberId>,
    /// Since when.
    pub at: Wall,
}

impl Suspense {
    /// The account in which it stands: one for each discrepancy, so none hides another.
    pub fn account(&self) -> String {
        account(&self.channel, self.discrepancy, self.amount)
    }
}

/// The account in which so much of a discrepancy stands.
pub fn account(channel: &str, discrepancy: u64, amount: Fen) -> String {
    let kind = if amount > Fen::ZERO { "long" } else { "short" };
    format!("{kind}:{channel}:{discrepancy}")
}

/// The values of a discrepancy that say what is at stake, as one text; `d` is the discrepancy.
const BASIS: &str = "d.amount || '/' || COALESCE(CAST(d.ours AS TEXT), '-') || '/' || COALESCE(CAST(d.theirs AS TEXT), '-') \
     || '/' || d.is_matched";

const COLUMNS: &str = "discrepancy, channel, transaction_id, amount, turn, state, member, at, basis";

fn suspense(mut row: Row) -> Result<Suspense, StoreError> {
    let word = row.text(5)?;
    let state = State::ALL.into_iter().find(|state| state.word() == word);
    Ok(Suspense {
        discrepancy: row.count(0)?,
        channel: row.text(1)?,
        transaction: row.text(2)?,
        amount: Fen(row.int(3)?),
        turn: row.count(4)?,
        state: state.ok_or_else(|| StoreError::Broken("the state of suspense".to_owned()))?,
        member: row.optional_text(6)?.map(|member| member_id(&member)).transpose()?,
        at: Wall(row.int(7)?),
        basis: row.text(8)?,
    })
}

/// What is kept of a discrepancy.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, discrepancy: u64) -> Result<Option<Suspense>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM suspense WHERE discrepancy = $1"),
        &[discrepancy.into()],
    )?;
    row.map(suspense).transpose()
}

/// The values of a discrepancy that say what is at stake, as [`Suspense::basis`] keeps them.
///
/// # Errors
/// [`StoreError`].
pub fn basis(tx: &mut dyn Tx, discrepancy: u64) -> Result<String, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {BASIS} FROM discrepancy d WHERE d.id = $1"),
        &[discrepancy.into()],
    )?;
    row.map_or_else(
        || Err(StoreError::Broken(format!("there is no discrepancy {discrepancy}"))),
        |mut row| row.text(0),
    )
}

/// What a channel has too much by a transaction, and exactly so much, which a callback is about: in suspense, or our gain by now. What it
/// has listed twice it has too much all the same.
///
/// # Errors
/// [`StoreError`].
pub fn long_of(tx: &mut dyn Tx, channel: &str, transaction: &str, amount: Fen) -> Result<Option<Suspense>, StoreError> {
    let columns = COLUMNS.replace(", ", ", s.");
    let row = tx.query_optional(
        &format!(
            "SELECT s.{columns} FROM suspense s JOIN discrepancy d ON d.id = s.discrepancy WHERE s.channel = $1 \
             AND s.transaction_id = $2 AND s.kind = 'long' AND s.amount = $3 AND s.state IN ('parked', 'written_off') \
             AND d.class NOT IN ($4, $5) AND d.is_matched = 0 ORDER BY s.discrepancy LIMIT 1"
        ),
        &[
            channel.into(),
            transaction.into(),
            amount.0.into(),
            Class::Duplicate.code().into(),
            Class::Payout.code().into(),
        ],
    )?;
    row.map(suspense).transpose()
}

/// Whether a channel has too much of anything, as [`long_of`] looks for.
///
/// # Errors
/// [`StoreError`].
pub fn has_long(tx: &mut dyn Tx, channel: &str) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM suspense WHERE channel = $1 AND kind = 'long' AND state IN ('parked', 'written_off') LIMIT 1",
        &[channel.into()],
    )?;
    Ok(row.is_some())
}

/// What of a channel's scope stands in suspense, or was written off or recovered, and may not be so any more: its discrepancy is over, or has
/// other values. After this one, at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn doubtful(tx: &mut dyn Tx, scope: &str, after: u64, limit: u64) -> Result<Vec<Suspense>, StoreError> {
    let channel = scope.split_once(':').map_or(scope, |(_, channel)| channel);
    let columns = COLUMNS.replace(", ", ", s.");
    let rows = tx.query(
        &format!(
            "SELECT s.{columns} FROM suspense s JOIN discrepancy d ON d.id = s.discrepancy WHERE s.channel = $1 AND s.discrepancy > $2 \
             AND d.scope = $4 AND s.state IN ('parked', 'written_off', 'recovered') AND (s.basis <> {BASIS} OR NOT EXISTS (SELECT 1 FROM verdict v WHERE {SAME})) \
             ORDER BY s.discrepancy LIMIT $3"
        ),
        &[channel.into(), after.into(), limit.into(), scope.into()],
    )?;
    rows.into_iter().map(suspense).collect()
}

/// Keeps where it is from now on.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, of: &Suspense) -> Result<(), StoreError> {
    let kind = if of.amount > Fen::ZERO { "long" } else { "short" };
    tx.execute(
        "INSERT INTO suspense (discrepancy, channel, transaction_id, kind, amount, turn, state, member, at, basis) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (discrepancy) DO UPDATE SET kind = excluded.kind, \
         amount = excluded.amount, turn = excluded.turn, state = excluded.state, member = excluded.member, at = excluded.at, \
         basis = excluded.basis",
        &[
            of.discrepancy.into(),
            of.channel.as_str().into(),
            of.transaction.as_str().into(),
            kind.into(),
            of.amount.0.into(),
            of.turn.into(),
            of.state.word().into(),
            of.member.as_ref().map(MemberId::as_str).into(),
            of.at.0.into(),
            of.basis.as_str().into(),
        ],
    )
    .map(drop)
}

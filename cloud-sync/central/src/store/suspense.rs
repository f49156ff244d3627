//! Suspense (挂账): money that is on one side alone, by its discrepancy. The movements are in the ledger; here stands where each is.

use super::{Row, StoreError, Tx, discrepancies::SAME, members::member_id};
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

const COLUMNS: &str = "discrepancy, channel, transaction_id, amount, turn, state, member, at";

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

/// What a channel has too much by a transaction, which a callback is about: in suspense, or our gain by now.
///
/// # Errors
/// [`StoreError`].
pub fn long_of(tx: &mut dyn Tx, channel: &str, transaction: &str) -> Result<Option<Suspense>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM suspense WHERE channel = $1 AND transaction_id = $2 AND kind = 'long' \
             AND state IN ('parked', 'written_off') ORDER BY discrepancy LIMIT 1"
        ),
        &[channel.into(), transaction.into()],
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

/// What stands in suspense, or was written off or recovered, though its discrepancy is over by itself: at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn over(tx: &mut dyn Tx, channel: &str, limit: u64) -> Result<Vec<Suspense>, StoreError> {
    let columns = COLUMNS.replace(", ", ", s.");
    let rows = tx.query(
        &format!(
            "SELECT s.{columns} FROM suspense s JOIN discrepancy d ON d.id = s.discrepancy WHERE s.channel = $1 \
             AND s.state IN ('parked', 'written_off', 'recovered') AND NOT EXISTS (SELECT 1 FROM verdict v WHERE {SAME}) ORDER BY s.discrepancy LIMIT $2"
        ),
        &[channel.into(), limit.into()],
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
        "INSERT INTO suspense (discrepancy, channel, transaction_id, kind, amount, turn, state, member, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (discrepancy) DO UPDATE SET kind = excluded.kind, \
         amount = excluded.amount, turn = excluded.turn, state = excluded.state, member = excluded.member, at = excluded.at",
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
        ],
    )
    .map(drop)
}

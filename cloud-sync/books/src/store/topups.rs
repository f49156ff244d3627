//! Top-ups through channels, and which of a channel's transactions were used for what.

use super::{Row, StoreError, Tx, members};
use domain::{ids::MemberId, time::Wall, units::Fen};

/// How far a top-up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was asked for.
    Pending,
    /// The wallet has it.
    Credited,
    /// The channel says that it will not be paid.
    Closed,
}

impl State {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Credited => "credited",
            Self::Closed => "closed",
        }
    }
}

/// A top-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// Through which channel.
    pub channel: String,
    /// Our number of it (out_trade_no).
    pub reference: String,
    /// Whose wallet.
    pub member: MemberId,
    /// How much.
    pub amount: Fen,
    /// How far it is.
    pub state: State,
    /// When it was asked for.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
    /// When the wallet got it.
    pub credited_at: Option<Wall>,
}

/// What a transaction of a channel's was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Which channel.
    pub channel: String,
    /// The channel's number of it.
    pub transaction: String,
    /// Our number that it names.
    pub reference: String,
    /// How much was paid.
    pub amount: Fen,
    /// Whether somebody has it.
    pub is_credited: bool,
    /// Why not.
    pub why: Option<String>,
    /// When.
    pub at: Wall,
}

const COLUMNS: &str = "channel, ref, member, amount, state, made_at, made_by, credited_at";

fn top_up(mut row: Row) -> Result<TopUp, StoreError> {
    Ok(TopUp {
        channel: row.text(0)?,
        reference: row.text(1)?,
        member: members::member_id(&row.text(2)?)?,
        amount: Fen(row.int(3)?),
        state: match row.text(4)?.as_str() {
            "pending" => State::Pending,
            "credited" => State::Credited,
            _ => State::Closed,
        },
        made_at: Wall(row.int(5)?),
        made_by: row.text(6)?,
        credited_at: row.optional_int(7)?.map(Wall),
    })
}

/// Adds a top-up that is asked for. Whether it counts: one of this number, for the same member and amount, is the same.
///
/// # Errors
/// [`StoreError`].
pub fn add(tx: &mut dyn Tx, of: &TopUp) -> Result<bool, StoreError> {
    tx.execute(
        "INSERT INTO topup (channel, ref, member, amount, state, made_at, made_by) VALUES ($1, $2, $3, $4, 'pending', $5, $6) \
         ON CONFLICT (channel, ref) DO NOTHING",
        &[
            of.channel.as_str().into(),
            of.reference.as_str().into(),
            of.member.as_str().into(),
            of.amount.0.into(),
            of.made_at.0.into(),
            of.made_by.as_str().into(),
        ],
    )?;
    let there = find(tx, &of.channel, &of.reference)?;
    Ok(there.is_some_and(|there| there.member == of.member && there.amount == of.amount))
}

/// A top-up of this number.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, channel: &str, reference: &str) -> Result<Option<TopUp>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM topup WHERE channel = $1 AND ref = $2"),
        &[channel.into(), reference.into()],
    )?;
    row.map(top_up).transpose()
}

/// The same, held fast until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, channel: &str, reference: &str) -> Result<Option<TopUp>, StoreError> {
    let row = tx.query_optional(
        &format!("UPDATE topup SET state = state WHERE channel = $1 AND ref = $2 RETURNING {COLUMNS}"),
        &[channel.into(), reference.into()],
    )?;
    row.map(top_up).transpose()
}

/// How far it is from now on.
///
/// # Errors
/// [`StoreError`].
pub fn set(tx: &mut dyn Tx, channel: &str, reference: &str, state: State, now: Wall) -> Result<(), StoreError> {
    let credited_at = (state == State::Credited).then_some(now.0);
    tx.execute(
        "UPDATE topup SET state = $1, credited_at = $2 WHERE channel = $3 AND ref = $4",
        &[
            state.word().into(),
            credited_at.into(),
            channel.into(),
            reference.into(),
        ],
    )
    .map(drop)
}

/// A member's top-ups, the newest first, at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn of_member(tx: &mut dyn Tx, member: &MemberId, limit: u64) -> Result<Vec<TopUp>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM topup WHERE member = $1 ORDER BY made_at DESC, ref LIMIT $2"),
        &[member.as_str().into(), limit.into()],
    )?;
    rows.into_iter().map(top_up).collect()
}

/// Uses a transaction of a channel's; one that nobody was credited for may be credited now. Whether it is this use that counts.
///
/// Where the clock was put back behind a day of the channel that is final, it is credited when that day was over: nothing is dated into
/// it any more.
///
/// # Errors
/// [`StoreError`].
pub fn use_transaction(tx: &mut dyn Tx, of: &Used) -> Result<bool, StoreError> {
    let added = tx.execute(
        "INSERT INTO channel_transaction (channel, id, ref, amount, credited, why, at) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), \
         CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS TEXT), \
         CASE WHEN closed.until > CAST($7 AS BIGINT) THEN closed.until ELSE CAST($7 AS BIGINT) END \
         FROM (SELECT (SELECT ends_at FROM run WHERE scope = 'channel:' || CAST($1 AS TEXT) AND status IN ('provisional', 'final') \
         AND status = 'final' ORDER BY day DESC LIMIT 1) AS until) closed WHERE TRUE ON CONFLICT (channel, id) DO UPDATE SET ref = excluded.ref, amount = excluded.amount, \
         credited = 1, why = NULL, at = excluded.at WHERE channel_transaction.credited = 0 AND excluded.credited = 1",
        &[
            of.channel.as_str().into(),
            of.transaction.as_str().into(),
            of.reference.as_str().into(),
            of.amount.0.into(),
            of.is_credited.into(),
            of.why.as_deref().into(),
            of.at.0.into(),
        ],
    )?;
    Ok(added == 1)
}

/// What a transaction of a channel's was used for.
///
/// # Errors
/// [`StoreError`].
pub fn used(tx: &mut dyn Tx, channel: &str, transaction: &str) -> Result<Option<Used>, StoreError> {
    let row = tx.query_optional(
        "SELECT ref, amount, credited, why, at FROM channel_transaction WHERE channel = $1 AND id = $2",
        &[channel.into(), transaction.into()],
    )?;
    row.map(|mut row| {
        Ok(Used {
            channel: channel.to_owned(),
            transaction: transaction.to_owned(),
            reference: row.text(0)?,
            amount: Fen(row.int(1)?),
            is_credited: row.int(2)? != 0,
            why: row.optional_text(3)?,
            at: Wall(row.int(4)?),
        })
    })
    .transpose()
}

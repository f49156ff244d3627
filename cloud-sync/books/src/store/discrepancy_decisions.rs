//! What two people decide of discrepancies, who has one and what people say of it. What happened is in its events too.

use super::{
    Row, StoreError, Tx,
    discrepancies::{Discrepancy, State as Stands},
    members::member_id,
    reconcile_runs as runs,
};
use crate::reconcile::stake::{Differs, Kind};
use domain::{ids::MemberId, time::Wall, units::Fen};

pub use super::proposed::State;

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// About which discrepancy.
    pub discrepancy: u64,
    /// The how manieth about it.
    pub no: u64,
    /// What.
    pub kind: Kind,
    /// Whose wallet.
    pub member: Option<MemberId>,
    /// What was at stake then: above zero the channel has it too much, below zero too little.
    pub stake: Fen,
    /// Why.
    pub reason: String,
    /// How far it is.
    pub state: State,
    /// Who proposed it.
    pub maker: String,
    /// When.
    pub made_at: Wall,
    /// Who approved or rejected it.
    pub checker: Option<String>,
    /// When.
    pub checked_at: Option<Wall>,
    /// Why not.
    pub answer: Option<String>,
    /// The movement that it stands for.
    pub transfer: Option<String>,
}

impl Discrepancy {
    /// What differs.
    pub fn differs(&self) -> Differs {
        Differs {
            class: self.class,
            source: self.source,
            amount: self.amount,
            is_matched: self.is_matched,
            ours: self.ours,
            theirs: self.theirs,
        }
    }
}

const COLUMNS: &str =
    "discrepancy, no, kind, member, stake, reason, state, maker, made_at, checker, checked_at, answer, transfer";

fn decision(mut row: Row) -> Result<Decision, StoreError> {
    let bad = |what: &str| StoreError::Broken(format!("{what} of a decision about a discrepancy"));
    Ok(Decision {
        discrepancy: row.count(0)?,
        no: row.count(1)?,
        kind: Kind::of_word(&row.text(2)?).ok_or_else(|| bad("the kind"))?,
        member: row.optional_text(3)?.map(|member| member_id(&member)).transpose()?,
        stake: Fen(row.int(4)?),
        reason: row.text(5)?,
        state: State::of_word(&row.text(6)?).ok_or_else(|| bad("the state"))?,
        maker: row.text(7)?,
        made_at: Wall(row.int(8)?),
        checker: row.optional_text(9)?,
        checked_at: row.optional_int(10)?.map(Wall),
        answer: row.optional_text(11)?,
        transfer: row.optional_text(12)?,
    })
}

/// Holds a discrepancy fast until the transaction ends: of two who decide it at once the second finds it decided.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, discrepancy: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE discrepancy SET state = state WHERE id = $1",
        &[discrepancy.into()],
    )
    .map(drop)
}

/// All decisions about a discrepancy, in their order.
///
/// # Errors
/// [`StoreError`].
pub fn of(tx: &mut dyn Tx, discrepancy: u64) -> Result<Vec<Decision>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM discrepancy_decision WHERE discrepancy = $1 ORDER BY no"),
        &[discrepancy.into()],
    )?;
    rows.into_iter().map(decision).collect()
}

/// Adds one that waits: its number.
///
/// # Errors
/// [`StoreError::Constraint`]: another one waits.
pub fn add(tx: &mut dyn Tx, of: &Decision) -> Result<u64, StoreError> {
    let last = tx.query_optional(
        "SELECT COALESCE(MAX(no), 0) FROM discrepancy_decision WHERE discrepancy = $1",
        &[of.discrepancy.into()],
    )?;
    let no = last.map_or(Ok(0), |mut row| row.count(0))? + 1;
    tx.execute(
        "INSERT INTO discrepancy_decision (discrepancy, no, kind, member, stake, reason, maker, made_at, state) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'proposed')",
        &[
            of.discrepancy.into(),
            no.into(),
            of.kind.word().into(),
            of.member.as_ref().map(MemberId::as_str).into(),
            of.stake.0.into(),
            of.reason.as_str().into(),
            of.maker.as_str().into(),
            of.made_at.0.into(),
        ],
    )?;
    Ok(no)
}

/// The one about a discrepancy that waits.
///
/// # Errors
/// [`StoreError`].
pub fn waiting(tx: &mut dyn Tx, discrepancy: u64) -> Result<Option<Decision>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM discrepancy_decision WHERE discrepancy = $1 AND state = 'proposed'"),
        &[discrepancy.into()],
    )?;
    row.map(decision).transpose()
}

/// The one that waits is decided, by whoever [holds](hold) the discrepancy. What is approved counts in control totals from now on, and in
/// those of no day that is final.
///
/// # Errors
/// [`StoreError::Broken`]: none waits; [`StoreError::Constraint`]: whoever proposed it approves it.
pub fn decide(
    tx: &mut dyn Tx,
    of: &Discrepancy,
    no: u64,
    state: State,
    (by, answer, transfer): (&str, Option<&str>, Option<&str>),
    now: Wall,
) -> Result<Decision, StoreError> {
    let at = match state {
        State::Approved => runs::not_final(tx, &of.scope, now)?,
        _ => now,
    };
    let decided = tx.query_optional(
        &format!(
            "UPDATE discrepancy_decision SET state = $1, checker = $2, checked_at = $3, answer = $4, transfer = $5 \
             WHERE discrepancy = $6 AND no = $7 AND state = 'proposed' RETURNING {COLUMNS}"
        ),
        &[
            state.word().into(),
            by.into(),
            at.0.into(),
            answer.into(),
            transfer.into(),
            of.id.into(),
            no.into(),
        ],
    )?;
    let decided = decided.map(decision).transpose()?;
    decided.ok_or_else(|| StoreError::Broken(format!("decision {no} about discrepancy {} does not wait", of.id)))
}

/// How far the discrepancy is from now on, and what happened.
///
/// # Errors
/// [`StoreError`].
pub fn turn(
    tx: &mut dyn Tx,
    of: &Discrepancy,
    state: Stands,
    event: (&str, &str, Option<&str>),
    now: Wall,
) -> Result<(), StoreError> {
    let closed_at = matches!(state, Stands::Posted | Stands::Cleared).then_some(now.0);
    tx.execute(
        "UPDATE discrepancy SET state = $1, closed_at = $2 WHERE id = $3",
        &[state.word().into(), closed_at.into(), of.id.into()],
    )?;
    if of.state == Stands::Posted && state != Stands::Posted {
        end(tx, (&of.scope, of.id), now)?;
    }
    happened(tx, of, event, now)
}

/// What was decided of a discrepancy does not count from now on.
///
/// # Errors
/// [`StoreError`].
pub fn end(tx: &mut dyn Tx, (scope, discrepancy): (&str, u64), now: Wall) -> Result<(), StoreError> {
    let at = runs::not_final(tx, scope, now)?;
    tx.execute(
        "UPDATE discrepancy_decision SET over_at = $1 WHERE discrepancy = $2 AND state = 'approved' AND over_at IS NULL",
        &[at.0.into(), discrepancy.into()],
    )
    .map(drop)
}

/// Somebody has it from now on, or nobody.
///
/// # Errors
/// [`StoreError`].
pub fn assign(tx: &mut dyn Tx, of: &Discrepancy, to: Option<&str>, by: &str, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE discrepancy SET assigned = $1 WHERE id = $2",
        &[to.into(), of.id.into()],
    )?;
    happened(tx, of, ("assigned", by, to), now)
}

/// Something has happened to it: what, by whom, and what was said.
///
/// # Errors
/// [`StoreError`].
pub fn happened(
    tx: &mut dyn Tx,
    of: &Discrepancy,
    (kind, by, body): (&str, &str, Option<&str>),
    now: Wall,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO discrepancy_event (discrepancy, no, kind, at, by, amount, ours, theirs, body) \
         SELECT CAST($1 AS BIGINT), COALESCE(MAX(no), 0) + 1, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), \
         CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($8 AS TEXT) FROM discrepancy_event WHERE discrepancy = $1",
        &[
            of.id.into(),
            kind.into(),
            now.0.into(),
            by.into(),
            of.amount.0.into(),
            of.ours.map(|ours| ours.0).into(),
            of.theirs.map(|theirs| theirs.0).into(),
            body.into(),
        ],
    )
    .map(drop)
}

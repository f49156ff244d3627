//! What two people decide of channels' bills: a file that should not be there is withdrawn, a day has no bill as nothing was traded on it.

use super::{
    Row, StoreError, Tx,
    bills::{self, File},
    jobs,
};
use ::bills::{Format, Sums};
use domain::time::{Day, Wall};

pub use super::proposed::State;

/// The SHA-256 of no bytes.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file of a day goes.
    Withdraw,
    /// Nothing was traded on the day, and its bill is one without a line.
    Nothing,
}

impl Kind {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Withdraw => "withdraw",
            Self::Nothing => "nothing",
        }
    }
}

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its number.
    pub id: String,
    /// What is proposed.
    pub kind: Kind,
    /// Of which channel.
    pub channel: String,
    /// Of which kind of file.
    pub format: Format,
    /// Of which day.
    pub day: Day,
    /// The file that goes, or the one that says that nothing was.
    pub file: Option<u64>,
    /// Why.
    pub reason: String,
    /// How far it is.
    pub state: State,
    /// Who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: Wall,
    /// Who approved or rejected it.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Wall>,
}

/// The columns of a [`Proposal`].
pub(super) const COLUMNS: &str =
    "id, kind, channel, format, day, file, reason, state, proposed_by, proposed_at, decided_by, decided_at";

pub(super) fn proposal(mut row: Row) -> Result<Proposal, StoreError> {
    let bad = |what: &str| StoreError::Broken(format!("{what} of a proposal about a bill"));
    Ok(Proposal {
        id: row.text(0)?,
        kind: match row.text(1)?.as_str() {
            "withdraw" => Kind::Withdraw,
            "nothing" => Kind::Nothing,
            _ => return Err(bad("the kind")),
        },
        channel: row.text(2)?,
        format: row.text(3)?.parse().map_err(StoreError::Broken)?,
        day: row.text(4)?.parse().map_err(StoreError::Broken)?,
        file: row.optional_int(5)?.and_then(|file| u64::try_from(file).ok()),
        reason: row.text(6)?,
        state: State::of_word(&row.text(7)?).ok_or_else(|| bad("the state"))?,
        proposed_by: row.text(8)?,
        proposed_at: Wall(row.int(9)?),
        decided_by: row.optional_text(10)?,
        decided_at: row.optional_int(11)?.map(Wall),
    })
}

/// Holds the days of bills fast until the transaction ends: whoever takes a file from one, and whoever makes one final.
///
/// # Errors
/// [`StoreError`].
pub fn hold_days(tx: &mut dyn Tx) -> Result<(), StoreError> {
    jobs::hold(tx, "bill_days", "")
}

/// Whether the run of a channel's day is final: its files are what it went by, and stay.
///
/// # Errors
/// [`StoreError`].
pub fn is_final(tx: &mut dyn Tx, channel: &str, day: Day) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM run WHERE scope = $1 AND day = $2 AND status = 'final' LIMIT 1",
        &[format!("channel:{channel}").into(), day.to_string().into()],
    )?;
    Ok(row.is_some())
}

/// Whether a run is at work that may have read a channel's file of this day.
///
/// # Errors
/// [`StoreError`].
pub fn is_running(tx: &mut dyn Tx, channel: &str, day: Day, now: Wall) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM run WHERE scope = $1 AND day >= $2 AND status = 'running' AND alive_until > $3 LIMIT 1",
        &[
            format!("channel:{channel}").into(),
            day.to_string().into(),
            now.0.into(),
        ],
    )?;
    Ok(row.is_some())
}

/// Keeps a proposal that waits for a second person.
///
/// # Errors
/// [`StoreError::Constraint`]: another one of this day and format waits.
pub fn add(tx: &mut dyn Tx, of: &Proposal) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bill_proposal (id, kind, channel, format, day, file, reason, state, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'proposed', $8, $9)",
        &[
            of.id.as_str().into(),
            of.kind.word().into(),
            of.channel.as_str().into(),
            of.format.word().into(),
            of.day.to_string().into(),
            of.file.into(),
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
pub fn find(tx: &mut dyn Tx, id: &str) -> Result<Option<Proposal>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM bill_proposal WHERE id = $1"),
        &[id.into()],
    )?;
    row.map(proposal).transpose()
}

/// Holds a proposal fast until the transaction ends: of two who decide it at once the second finds it decided.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, id: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE bill_proposal SET state = state WHERE id = $1", &[id.into()])
        .map(drop)
}

/// The one of a day and format that waits.
///
/// # Errors
/// [`StoreError`].
pub fn open(tx: &mut dyn Tx, channel: &str, format: Format, day: Day) -> Result<Option<Proposal>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM bill_proposal WHERE channel = $1 AND format = $2 AND day = $3 AND state = 'proposed'"
        ),
        &[channel.into(), format.word().into(), day.to_string().into()],
    )?;
    row.map(proposal).transpose()
}

/// Whether anything about a bill of a channel's day waits for a second person.
///
/// # Errors
/// [`StoreError`].
pub fn is_waiting(tx: &mut dyn Tx, channel: &str, day: Day) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM bill_proposal WHERE channel = $1 AND day = $2 AND state = 'proposed' LIMIT 1",
        &[channel.into(), day.to_string().into()],
    )?;
    Ok(row.is_some())
}

/// It was decided, by whoever [holds](hold) it.
///
/// # Errors
/// [`StoreError::Broken`]: it does not wait.
pub fn decide(
    tx: &mut dyn Tx,
    id: &str,
    state: State,
    file: Option<u64>,
    by: &str,
    now: Wall,
) -> Result<(), StoreError> {
    let decided = tx.execute(
        "UPDATE bill_proposal SET state = $1, file = $2, decided_by = $3, decided_at = $4 WHERE id = $5 AND state = 'proposed'",
        &[
            state.word().into(),
            file.into(),
            by.into(),
            now.0.into(),
            id.into(),
        ],
    )?;
    match decided {
        1 => Ok(()),
        _ => Err(StoreError::Broken(format!("proposal {id} does not wait"))),
    }
}

/// The lines of a file do not count any more. They stay for whoever asks why. Whether it was there.
///
/// # Errors
/// [`StoreError`].
pub fn withdraw(tx: &mut dyn Tx, file: u64) -> Result<bool, StoreError> {
    let gone = tx.execute(
        "UPDATE bill_file SET state = 'left', alive_until = 0 WHERE id = $1 AND state = 'imported'",
        &[file.into()],
    )?;
    Ok(gone == 1)
}

/// A day's bill is one without a line: its number.
///
/// # Errors
/// [`StoreError::Constraint`]: the day has its bill.
pub fn nothing(tx: &mut dyn Tx, of: &Proposal, now: Wall) -> Result<u64, StoreError> {
    let file = File {
        id: 0,
        channel: of.channel.clone(),
        format: of.format,
        day: of.day,
        sha256: OF_NOTHING.to_owned(),
        bytes: 0,
        sums: Sums::default(),
        made_at: now,
        made_by: of.proposed_by.clone(),
    };
    let id = bills::begin(tx, &file, now)?;
    bills::finish(tx, id, now)?;
    Ok(id)
}

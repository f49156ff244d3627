//! Adjustments of wallets in the database (调账): what one person proposes and another posts.

use super::{Row, StoreError, Tx, findings::Class, members::member_id};
use domain::{
    ids::{MemberId, SiteId},
    time::Wall,
    units::Fen,
};

/// How far an adjustment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for a second person.
    Proposed,
    /// It is in the books.
    Posted,
    /// A person has said no, and why.
    Rejected(String),
}

impl State {
    /// Its word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Posted => "posted",
            Self::Rejected(_) => "rejected",
        }
    }
}

/// Which finding an adjustment is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfFinding {
    /// In whose journal.
    pub site: SiteId,
    /// On which branch of it.
    pub branch: u64,
    /// At which entry.
    pub seq: u64,
    /// Of which class.
    pub class: Class,
}

/// An adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// Its number.
    pub id: String,
    /// Whose wallet.
    pub member: MemberId,
    /// What the wallet gets; below zero what it gives.
    pub amount: Fen,
    /// Why.
    pub reason: String,
    /// The finding it is about, if it is about one.
    pub finding: Option<OfFinding>,
    /// How far it is.
    pub state: State,
    /// Who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: Wall,
    /// Who posted or rejected it.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Wall>,
}

fn bad(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} of an adjustment"))
}

/// The columns of an adjustment, as [`adjustment`] reads them.
pub(crate) const COLUMNS: &str = "id, member, amount, reason, site, branch, seq, class, state, why, proposed_by, proposed_at, decided_by, decided_at";

/// An adjustment as it is kept.
pub(crate) fn adjustment(mut row: Row) -> Result<Adjustment, StoreError> {
    let finding = match row.optional_text(4)? {
        None => None,
        Some(site) => Some(OfFinding {
            site: site.parse().map_err(|_| bad("the site"))?,
            branch: row.count(5)?,
            seq: row.count(6)?,
            class: Class::of_word(&row.text(7)?).ok_or_else(|| bad("the class"))?,
        }),
    };
    Ok(Adjustment {
        id: row.text(0)?,
        member: member_id(&row.text(1)?)?,
        amount: Fen(row.int(2)?),
        reason: row.text(3)?,
        finding,
        state: match row.text(8)?.as_str() {
            "proposed" => State::Proposed,
            "posted" => State::Posted,
            _ => State::Rejected(row.text(9)?),
        },
        proposed_by: row.text(10)?,
        proposed_at: Wall(row.int(11)?),
        decided_by: row.optional_text(12)?,
        decided_at: row.optional_int(13)?.map(Wall),
    })
}

/// Adds one that waits.
///
/// # Errors
/// [`StoreError::Constraint`]: its number is taken, or the member has one of the same finding.
pub fn add(tx: &mut dyn Tx, of: &Adjustment) -> Result<(), StoreError> {
    let finding = of.finding.as_ref();
    tx.execute(
        "INSERT INTO adjustment (id, member, amount, reason, site, branch, seq, class, state, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'proposed', $9, $10)",
        &[
            of.id.as_str().into(),
            of.member.as_str().into(),
            of.amount.0.into(),
            of.reason.as_str().into(),
            finding.map(|of| of.site.as_str()).into(),
            finding.map(|of| of.branch).into(),
            finding.map(|of| of.seq).into(),
            finding.map(|of| of.class.word()).into(),
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
pub fn find(tx: &mut dyn Tx, id: &str) -> Result<Option<Adjustment>, StoreError> {
    let row = tx.query_optional(&format!("SELECT {COLUMNS} FROM adjustment WHERE id = $1"), &[id.into()])?;
    row.map(adjustment).transpose()
}

/// The one of a finding and a member that was not rejected.
///
/// # Errors
/// [`StoreError`].
pub fn of_finding(tx: &mut dyn Tx, of: &OfFinding, member: &MemberId) -> Result<Option<Adjustment>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {COLUMNS} FROM adjustment WHERE site = $1 AND branch = $2 AND seq = $3 AND class = $4 AND member = $5 \
             AND state <> 'rejected'"
        ),
        &[
            of.site.as_str().into(),
            of.branch.into(),
            of.seq.into(),
            of.class.word().into(),
            member.as_str().into(),
        ],
    )?;
    row.map(adjustment).transpose()
}

/// Gives what is about findings up to an entry to another branch, as [`findings::give`](super::findings::give) does with these.
///
/// # Errors
/// [`StoreError`].
pub fn give(tx: &mut dyn Tx, site: &SiteId, from: u64, to: u64, seq: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE adjustment SET branch = $1 WHERE site = $2 AND branch = $3 AND seq <= $4",
        &[to.into(), site.as_str().into(), from.into(), seq.into()],
    )
    .map(drop)
}

/// It is decided: posted, or rejected with a reason.
///
/// # Errors
/// [`StoreError`].
pub fn decide(tx: &mut dyn Tx, id: &str, state: &State, by: &str, now: Wall) -> Result<(), StoreError> {
    let why = match state {
        State::Rejected(why) => Some(why.as_str()),
        State::Proposed | State::Posted => None,
    };
    tx.execute(
        "UPDATE adjustment SET state = $1, why = $2, decided_by = $3, decided_at = $4 WHERE id = $5",
        &[state.word().into(), why.into(), by.into(), now.0.into(), id.into()],
    )
    .map(drop)
}

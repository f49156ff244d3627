//! What people decide of bills at head office, in the database: an order under review, or a bill that was settled. The site takes it
//! in its place, or has decided first.

use super::{Row, StoreError, Tx};
use domain::{
    head_office::{DirectiveNo, DirectiveRow, HqEpoch},
    ids::{OrderId, SiteId},
    settlement::Split,
    time::Wall,
};

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The bill of an order under review stands.
    AsIs,
    /// It is this.
    Reviewed(Split),
    /// The bill of a settled order is this, which had so many versions.
    Corrected(Split, usize),
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for a second person.
    Proposed,
    /// The site is told by this directive, whose end says what became of it.
    Sent(DirectiveNo),
    /// A person has said no.
    Rejected,
}

impl State {
    /// Its word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Sent(_) => "sent",
            Self::Rejected => "rejected",
        }
    }
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillDecision {
    /// Its number.
    pub id: String,
    /// At which site the order is.
    pub site: SiteId,
    /// Which order.
    pub order: OrderId,
    /// What.
    pub what: What,
    /// Why.
    pub reason: String,
    /// How far it is.
    pub state: State,
    /// Who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: Wall,
    /// Who approved or rejected it, where it took a second person.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Wall>,
}

fn bad(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} of a decision on a bill"))
}

/// The columns of a decision, as [`decision`] reads them.
pub(crate) const COLUMNS: &str = "id, site, order_id, kind, electricity, service, version, reason, state, proposed_by, proposed_at, \
     decided_by, decided_at, hq_epoch, n";

/// A decision as it is kept.
pub(crate) fn decision(mut row: Row) -> Result<BillDecision, StoreError> {
    let bill = match (row.optional_int(4)?, row.optional_int(5)?) {
        (Some(electricity), Some(service)) => Some(Split {
            electricity: domain::units::Fen(electricity),
            service: domain::units::Fen(service),
        }),
        _ => None,
    };
    let version = row.optional_int(6)?.and_then(|version| usize::try_from(version).ok());
    let directive = match (row.optional_text(13)?, row.optional_int(14)?) {
        (Some(epoch), Some(n)) => Some(DirectiveNo {
            hq_epoch: HqEpoch::try_from(epoch).map_err(|_| bad("the epoch"))?,
            row: DirectiveRow::Orders,
            n: u64::try_from(n).map_err(|_| bad("the number"))?,
        }),
        _ => None,
    };
    Ok(BillDecision {
        id: row.text(0)?,
        site: row.text(1)?.parse().map_err(|_| bad("the site"))?,
        order: row.text(2)?.parse().map_err(|_| bad("the order"))?,
        what: match (row.text(3)?.as_str(), bill, version) {
            ("correct", Some(bill), Some(version)) => What::Corrected(bill, version),
            ("review", Some(bill), _) => What::Reviewed(bill),
            ("review", None, _) => What::AsIs,
            _ => return Err(bad("what is decided")),
        },
        reason: row.text(7)?,
        state: match (row.text(8)?.as_str(), directive) {
            ("proposed", _) => State::Proposed,
            ("sent", Some(no)) => State::Sent(no),
            ("rejected", _) => State::Rejected,
            _ => return Err(bad("the state")),
        },
        proposed_by: row.text(9)?,
        proposed_at: Wall(row.int(10)?),
        decided_by: row.optional_text(11)?,
        decided_at: row.optional_int(12)?.map(Wall),
    })
}

/// Adds one.
///
/// # Errors
/// [`StoreError::Constraint`]: its number is taken.
pub fn add(tx: &mut dyn Tx, of: &BillDecision) -> Result<(), StoreError> {
    let (kind, bill, version) = match of.what {
        What::AsIs => ("review", None, None),
        What::Reviewed(bill) => ("review", Some(bill), None),
        What::Corrected(bill, version) => ("correct", Some(bill), Some(version as u64)),
    };
    tx.execute(
        "INSERT INTO bill_decision (id, site, order_id, kind, electricity, service, version, reason, state, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'proposed', $9, $10)",
        &[
            of.id.as_str().into(),
            of.site.as_str().into(),
            of.order.as_str().into(),
            kind.into(),
            bill.map(|bill| bill.electricity.0).into(),
            bill.map(|bill| bill.service.0).into(),
            version.into(),
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
pub fn find(tx: &mut dyn Tx, id: &str) -> Result<Option<BillDecision>, StoreError> {
    let statement = format!("SELECT {COLUMNS} FROM bill_decision WHERE id = $1");
    tx.query_optional(&statement, &[id.into()])?.map(decision).transpose()
}

/// The site is told, by this directive.
///
/// # Errors
/// [`StoreError`].
pub fn sent(tx: &mut dyn Tx, id: &str, no: DirectiveNo) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE bill_decision SET state = 'sent', hq_epoch = $1, n = $2 WHERE id = $3",
        &[no.hq_epoch.to_string().into(), no.n.into(), id.into()],
    )
    .map(drop)
}

/// A site is told again, by another directive: another life of head office's has begun.
///
/// # Errors
/// [`StoreError`].
pub fn sent_again(tx: &mut dyn Tx, site: &SiteId, before: DirectiveNo, now: DirectiveNo) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE bill_decision SET hq_epoch = $1, n = $2 WHERE site = $3 AND hq_epoch = $4 AND n = $5",
        &[
            now.hq_epoch.to_string().into(),
            now.n.into(),
            site.as_str().into(),
            before.hq_epoch.to_string().into(),
            before.n.into(),
        ],
    )
    .map(drop)
}

/// Holds it fast until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, id: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE bill_decision SET state = state WHERE id = $1", &[id.into()])
        .map(drop)
}

/// A person decides it: yes, where the directive is written next, or no.
///
/// # Errors
/// [`StoreError`].
pub fn decide(tx: &mut dyn Tx, id: &str, approved: bool, by: &str, now: Wall) -> Result<(), StoreError> {
    let state = if approved { "proposed" } else { "rejected" };
    tx.execute(
        "UPDATE bill_decision SET state = $1, decided_by = $2, decided_at = $3 WHERE id = $4",
        &[state.into(), by.into(), now.0.into(), id.into()],
    )
    .map(drop)
}

//! Refunds in the database (售后退款): what people propose and approve for orders, and how much of each order is given back in all,
//! never more than its driver has paid (rule 23 of the line: by the statement that adds to it).

use super::{LookUp, Row, StoreError, Tx, Value, at_sites, members::member_id, set::text};
use domain::{
    head_office::RefusedDirective,
    ids::{MemberId, OrderId, SiteId},
    settlement::Paid,
    time::Wall,
    units::Fen,
};
use std::collections::BTreeSet;

/// How far a refund is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for a second person.
    Proposed,
    /// The money is put aside until the order's site has marked it.
    Approved,
    /// It is in the wallet.
    Credited,
    /// The site could not mark it: the money went back.
    Refused(RefusedDirective),
    /// A person has said no, and why.
    Rejected(String),
}

impl State {
    /// Its word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Credited => "credited",
            Self::Refused(_) => "refused",
            Self::Rejected(_) => "rejected",
        }
    }

    fn why(&self) -> Result<Option<String>, StoreError> {
        match self {
            Self::Refused(why) => {
                let why = serde_json::to_string(why).map_err(|error| StoreError::Broken(error.to_string()))?;
                Ok(Some(why))
            }
            Self::Rejected(why) => Ok(Some(why.clone())),
            _ => Ok(None),
        }
    }
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its number, by which the order's site marks it.
    pub id: String,
    /// At which site the order is.
    pub site: SiteId,
    /// Which order.
    pub order: OrderId,
    /// Whose.
    pub member: MemberId,
    /// How much.
    pub amount: Fen,
    /// Why.
    pub reason: String,
    /// How far it is.
    pub state: State,
    /// The order's row has it.
    pub marked: bool,
    /// Who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: Wall,
    /// Who approved or rejected it.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Wall>,
    /// When it was credited or refused.
    pub ended_at: Option<Wall>,
}

/// How much of an order is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfOrder {
    /// What its driver has paid of the bill in force.
    pub charged: Fen,
    /// What was given back of it, or is on its way.
    pub total: Fen,
}

impl OfOrder {
    /// What can be given back still.
    pub fn left(&self) -> Fen {
        (self.charged - self.total).max(Fen::ZERO)
    }
}

fn bad(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} of a refund"))
}

/// The columns of a refund, as [`refund`] reads them.
pub(crate) const COLUMNS: &str = "id, site, order_id, member, amount, reason, state, why, marked, proposed_by, proposed_at, decided_by, \
     decided_at, ended_at";

/// A refund as it is kept.
pub(crate) fn refund(mut row: Row) -> Result<Refund, StoreError> {
    let why = row.optional_text(7)?;
    let why = |what: &str| why.clone().ok_or_else(|| bad(what));
    Ok(Refund {
        id: row.text(0)?,
        site: row.text(1)?.parse().map_err(|_| bad("the site"))?,
        order: row.text(2)?.parse().map_err(|_| bad("the order"))?,
        member: member_id(&row.text(3)?)?,
        amount: Fen(row.int(4)?),
        reason: row.text(5)?,
        state: match row.text(6)?.as_str() {
            "proposed" => State::Proposed,
            "approved" => State::Approved,
            "credited" => State::Credited,
            "refused" => {
                let why = why("what the site says")?;
                State::Refused(serde_json::from_str(&why).map_err(|_| bad("what the site says"))?)
            }
            _ => State::Rejected(why("the reason")?),
        },
        marked: row.int(8)? != 0,
        proposed_by: row.text(9)?,
        proposed_at: Wall(row.int(10)?),
        decided_by: row.optional_text(11)?,
        decided_at: row.optional_int(12)?.map(Wall),
        ended_at: row.optional_int(13)?.map(Wall),
    })
}

/// Adds one.
///
/// # Errors
/// [`StoreError::Constraint`]: its number is taken.
pub fn add(tx: &mut dyn Tx, of: &Refund) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO refund (id, site, order_id, member, amount, reason, state, marked, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            of.id.as_str().into(),
            of.site.as_str().into(),
            of.order.as_str().into(),
            of.member.as_str().into(),
            of.amount.0.into(),
            of.reason.as_str().into(),
            of.state.word().into(),
            of.marked.into(),
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
pub fn find(tx: &mut dyn Tx, id: &str) -> Result<Option<Refund>, StoreError> {
    let row = tx.query_optional(&format!("SELECT {COLUMNS} FROM refund WHERE id = $1"), &[id.into()])?;
    row.map(refund).transpose()
}

/// Those of a site that wait for its mark, by member.
///
/// # Errors
/// [`StoreError`].
pub fn approved_at(tx: &mut dyn Tx, site: &SiteId) -> Result<Vec<Refund>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM refund WHERE site = $1 AND state = 'approved' ORDER BY member, id"),
        &[site.as_str().into()],
    )?;
    rows.into_iter().map(refund).collect()
}

/// What is put aside for orders, by site and order: what the books must have under `refund_due`.
///
/// # Errors
/// [`StoreError`].
pub fn due(tx: &mut dyn Tx) -> Result<Vec<(SiteId, OrderId, Fen)>, StoreError> {
    let rows = tx.query(
        "SELECT site, order_id, CAST(SUM(amount) AS BIGINT) FROM refund WHERE state = 'approved' GROUP BY site, order_id",
        &[],
    )?;
    let due = |mut row: Row| {
        let (site, order) = (row.text(0)?.parse(), row.text(1)?.parse());
        let (site, order) = (site.map_err(|_| bad("the site"))?, order.map_err(|_| bad("the order"))?);
        Ok((site, order, Fen(row.int(2)?)))
    };
    rows.into_iter().map(due).collect()
}

/// It is so far, by somebody's decision.
///
/// # Errors
/// [`StoreError`].
pub fn decide(tx: &mut dyn Tx, id: &str, state: &State, by: &str, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE refund SET state = $1, why = $2, decided_by = $3, decided_at = $4 WHERE id = $5",
        &[
            state.word().into(),
            state.why()?.into(),
            by.into(),
            now.0.into(),
            id.into(),
        ],
    )
    .map(drop)
}

/// It has come to an end: credited, or refused by the site.
///
/// # Errors
/// [`StoreError`].
pub fn end(tx: &mut dyn Tx, id: &str, state: &State, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE refund SET state = $1, why = $2, ended_at = $3 WHERE id = $4",
        &[state.word().into(), state.why()?.into(), now.0.into(), id.into()],
    )
    .map(drop)
}

/// The order's site has marked it, by this entry of its journal.
///
/// # Errors
/// [`StoreError`].
pub fn mark(tx: &mut dyn Tx, id: &str, (branch, seq): (u64, u64)) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE refund SET marked = 1, branch = $1, seq = $2 WHERE id = $3",
        &[branch.into(), seq.into(), id.into()],
    )
    .map(drop)
}

/// It waits for people again: its site has marked what was not approved here.
///
/// # Errors
/// [`StoreError`].
pub fn open_again(tx: &mut dyn Tx, id: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE refund SET state = 'proposed', why = NULL, decided_by = NULL, decided_at = NULL, ended_at = NULL WHERE id = $1",
        &[id.into()],
    )
    .map(drop)
}

/// Entries of a branch after this one are not the site's any more: what they had marked is to be marked again. The orders and members
/// that are given something back at this site.
///
/// # Errors
/// [`StoreError`].
pub fn unmark_after(
    tx: &mut dyn Tx,
    site: &SiteId,
    branch: u64,
    seq: u64,
) -> Result<Vec<(MemberId, OrderId)>, StoreError> {
    tx.execute(
        "UPDATE refund SET marked = 0, branch = NULL, seq = NULL WHERE site = $1 AND branch = $2 AND seq > $3",
        &[site.as_str().into(), branch.into(), seq.into()],
    )?;
    let rows = tx.query(
        "SELECT member, order_id FROM order_refund WHERE site = $1 ORDER BY member, order_id",
        &[site.as_str().into()],
    )?;
    let of = |mut row: Row| {
        let order = row.text(1)?.parse().map_err(|_| bad("the order"))?;
        Ok((member_id(&row.text(0)?)?, order))
    };
    rows.into_iter().map(of).collect()
}

const BY_ORDER: LookUp = LookUp {
    table: "order_refund",
    keys: &[text("site"), text("order_id")],
    columns: &[text("order_id"), text("member")],
};

/// Of these orders of a site those that something was to be given back for, with their members.
///
/// # Errors
/// [`StoreError`].
pub fn among(
    tx: &mut dyn Tx,
    site: &SiteId,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<(MemberId, OrderId)>, StoreError> {
    let keys: Vec<Vec<Value>> = orders
        .iter()
        .map(|order| vec![site.as_str().into(), order.as_str().into()])
        .collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for mut row in tx.find_all(&BY_ORDER, &keys)? {
        let order = row.text(0)?.parse().map_err(|_| bad("the order"))?;
        found.push((member_id(&row.text(1)?)?, order));
    }
    found.sort();
    Ok(found)
}

/// Brings the row of an order to what its site's rows and the refunds here say, and holds it fast until the transaction ends. Whoever
/// calls holds the member fast.
///
/// # Errors
/// [`StoreError`].
pub fn of_order(tx: &mut dyn Tx, site: &SiteId, order: &OrderId, member: &MemberId) -> Result<OfOrder, StoreError> {
    let of = || [Value::from(site.as_str()), order.as_str().into()];
    tx.execute(
        "INSERT INTO order_refund (site, order_id, member, charged, total, beyond) VALUES ($1, $2, $3, 0, 0, 0) \
         ON CONFLICT (site, order_id) DO UPDATE SET member = excluded.member",
        &[of().as_slice(), &[member.as_str().into()]].concat(),
    )?;
    let paid = at_sites::order(tx, site, order)?.map_or_else(Paid::default, |order| order.paid);
    let on_its_way = tx.query_optional(
        "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM refund \
         WHERE site = $1 AND order_id = $2 AND marked = 0 AND state IN ('approved', 'credited')",
        &of(),
    )?;
    let on_its_way = on_its_way.map_or(Ok(0), |mut sum| sum.int(0))?;
    let charged = (paid.charged() - paid.debt).max(Fen::ZERO);
    let total = paid.refunded + Fen(on_its_way);
    let beyond = (total - charged).max(Fen::ZERO);
    tx.execute(
        "UPDATE order_refund SET charged = $3, total = $4, beyond = $5 WHERE site = $1 AND order_id = $2",
        &[of().as_slice(), &[charged.0.into(), total.0.into(), beyond.0.into()]].concat(),
    )?;
    Ok(OfOrder { charged, total })
}

/// Counts so much more as given back for an order, unless that were more than its driver has paid. Whether it was.
///
/// # Errors
/// [`StoreError`].
pub fn count(tx: &mut dyn Tx, site: &SiteId, order: &OrderId, amount: Fen) -> Result<bool, StoreError> {
    let counted = tx.execute(
        "UPDATE order_refund SET total = total + $3 WHERE site = $1 AND order_id = $2 AND total + $3 <= charged",
        &[site.as_str().into(), order.as_str().into(), amount.0.into()],
    )?;
    Ok(counted == 1)
}

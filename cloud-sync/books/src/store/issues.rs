//! Money on the road: each directive that carries some, and each voucher, is an issue that is on the road until the site's
//! journal says that it has arrived, or that it never will (rule 15 of the line).

use super::{Row, StoreError, Tx, identity};
use domain::{
    head_office::{DirectiveNo, HqEpoch},
    ids::{MemberId, OrderId, SiteId},
    time::Wall,
    units::Fen,
};

/// By what money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A lease that somebody asked for.
    Lease,
    /// One by the rule of standing leases.
    Standing,
    /// An order's prepayment.
    Start,
    /// What an order owes.
    DebtPaid,
    /// In the driver's hands.
    Voucher,
}

impl Kind {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Standing => "standing",
            Self::Start => "start",
            Self::DebtPaid => "debt_paid",
            Self::Voucher => "voucher",
        }
    }

    fn of_word(word: &str) -> Result<Self, StoreError> {
        [Self::Lease, Self::Standing, Self::Start, Self::DebtPaid, Self::Voucher]
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| bad("the kind"))
    }
}

/// Where money of an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody knows whether it has arrived.
    OnRoad,
    /// At the site; or in part there and in part back.
    Received,
    /// Back in the wallet.
    Returned,
}

impl State {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OnRoad => "on_road",
            Self::Received => "received",
            Self::Returned => "returned",
        }
    }
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its id: of a voucher its number, of a directive [`of_directive`].
    pub id: String,
    /// To which site.
    pub site: SiteId,
    /// Whose money.
    pub member: MemberId,
    /// By what.
    pub kind: Kind,
    /// How much.
    pub amount: Fen,
    /// What of it is on the road.
    pub rest: Fen,
    /// Where it is.
    pub state: State,
    /// The order that it is for.
    pub order: Option<OrderId>,
    /// When a voucher ends.
    pub expires_at: Option<Wall>,
    /// Of a voucher: for which run of the site's journal.
    pub epoch: Option<String>,
    /// In which life of head office's.
    pub hq_epoch: HqEpoch,
    /// When.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
}

/// The id of an issue that a directive carries.
pub fn of_directive(site: &SiteId, no: DirectiveNo) -> String {
    format!("{site}:{no}")
}

fn bad(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} of money on the road"))
}

const COLUMNS: &str =
    "id, site, member, kind, amount, rest, state, order_id, expires_at, epoch, hq_epoch, made_at, made_by";

fn issue(mut row: Row) -> Result<Issue, StoreError> {
    let order = row.optional_text(7)?;
    Ok(Issue {
        id: row.text(0)?,
        site: row.text(1)?.parse().map_err(|_| bad("the site"))?,
        member: super::members::member_id(&row.text(2)?)?,
        kind: Kind::of_word(&row.text(3)?)?,
        amount: Fen(row.int(4)?),
        rest: Fen(row.int(5)?),
        state: match row.text(6)?.as_str() {
            "on_road" => State::OnRoad,
            "received" => State::Received,
            _ => State::Returned,
        },
        order: order
            .map(|order| order.parse().map_err(|_| bad("the order")))
            .transpose()?,
        expires_at: row.optional_int(8)?.map(Wall),
        epoch: row.optional_text(9)?,
        hq_epoch: HqEpoch::try_from(row.text(10)?).map_err(|_| bad("the epoch"))?,
        made_at: Wall(row.int(11)?),
        made_by: row.text(12)?,
    })
}

/// Adds an issue that is on the road with all it has.
///
/// # Errors
/// [`StoreError::Constraint`]: there is one of this id.
pub fn add(tx: &mut dyn Tx, of: &Issue) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO issue (id, site, member, kind, amount, rest, arrived, state, order_id, expires_at, epoch, hq_epoch, made_at, made_by) \
         VALUES ($1, $2, $3, $4, $5, $5, 0, 'on_road', $6, $7, $8, $9, $10, $11)",
        &[
            of.id.as_str().into(),
            of.site.as_str().into(),
            of.member.as_str().into(),
            of.kind.word().into(),
            of.amount.0.into(),
            of.order.as_ref().map(OrderId::as_str).into(),
            of.expires_at.map(|at| at.0).into(),
            of.epoch.as_deref().into(),
            of.hq_epoch.to_string().into(),
            of.made_at.0.into(),
            of.made_by.as_str().into(),
        ],
    )
    .map(drop)
}

/// An issue of this id.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, id: &str) -> Result<Option<Issue>, StoreError> {
    let row = tx.query_optional(&format!("SELECT {COLUMNS} FROM issue WHERE id = $1"), &[id.into()])?;
    row.map(issue).transpose()
}

/// Part of an issue, or all of it, has arrived by an entry.
///
/// # Errors
/// [`StoreError`].
pub fn arrive(
    tx: &mut dyn Tx,
    of: &Issue,
    arrived: Fen,
    (branch, seq): (u64, u64),
    now: Wall,
) -> Result<(), StoreError> {
    let rest = of.rest - arrived;
    let state = if rest == Fen::ZERO {
        State::Received
    } else {
        State::OnRoad
    };
    tx.execute(
        "UPDATE issue SET rest = $1, arrived = arrived + $7, state = $2, branch = $3, seq = $4, ended_at = $5 WHERE id = $6",
        &[
            rest.0.into(),
            state.word().into(),
            branch.into(),
            seq.into(),
            now.0.into(),
            of.id.as_str().into(),
            arrived.0.into(),
        ],
    )
    .map(drop)
}

/// What of an issue is on the road goes back.
///
/// # Errors
/// [`StoreError`].
pub fn give_back(tx: &mut dyn Tx, of: &Issue, now: Wall) -> Result<(), StoreError> {
    // Of what was partly received the rest goes back, and the site has the other part.
    let state = if of.rest == of.amount {
        State::Returned
    } else {
        State::Received
    };
    tx.execute(
        "UPDATE issue SET rest = 0, state = $1, ended_at = $2 WHERE id = $3",
        &[state.word().into(), now.0.into(), of.id.as_str().into()],
    )
    .map(drop)
}

/// A site's vouchers that are on the road.
///
/// # Errors
/// [`StoreError`].
pub fn vouchers_of(tx: &mut dyn Tx, site: &SiteId) -> Result<Vec<Issue>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM issue WHERE site = $1 AND state = 'on_road' AND kind = 'voucher' ORDER BY member, id"
        ),
        &[site.as_str().into()],
    )?;
    rows.into_iter().map(issue).collect()
}

/// All that is on the road to a site.
///
/// # Errors
/// [`StoreError`].
pub fn on_road_to(tx: &mut dyn Tx, site: &SiteId) -> Result<Vec<Issue>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM issue WHERE site = $1 AND state = 'on_road' ORDER BY member, id"),
        &[site.as_str().into()],
    )?;
    rows.into_iter().map(issue).collect()
}

/// What is on the road for a member, to whichever site.
///
/// # Errors
/// [`StoreError`].
pub fn on_road_of(tx: &mut dyn Tx, member: &MemberId) -> Result<Vec<Issue>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM issue WHERE member = $1 AND state = 'on_road' ORDER BY made_at, id"),
        &[member.as_str().into()],
    )?;
    rows.into_iter().map(issue).collect()
}

/// All that is on the road, the oldest first, at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn on_road(tx: &mut dyn Tx, limit: u64) -> Result<Vec<Issue>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM issue WHERE state = 'on_road' ORDER BY made_at, id LIMIT $1"),
        &[limit.into()],
    )?;
    rows.into_iter().map(issue).collect()
}

/// A member's vouchers, the newest first.
///
/// # Errors
/// [`StoreError`].
pub fn vouchers_for(tx: &mut dyn Tx, member: &MemberId, limit: u64) -> Result<Vec<Issue>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM issue WHERE member = $1 AND kind = 'voucher' ORDER BY made_at DESC, id LIMIT $2"
        ),
        &[member.as_str().into(), limit.into()],
    )?;
    rows.into_iter().map(issue).collect()
}

/// What is on the road by site and member: what `transit` must have.
///
/// # Errors
/// [`StoreError`].
pub fn sums(tx: &mut dyn Tx) -> Result<Vec<(SiteId, MemberId, Fen)>, StoreError> {
    let rows = tx.query(
        "SELECT site, member, CAST(SUM(rest) AS BIGINT) FROM issue WHERE state = 'on_road' GROUP BY site, member",
        &[],
    )?;
    let sum = |mut row: Row| {
        let site = row.text(0)?.parse().map_err(|_| bad("the site"))?;
        Ok((site, super::members::member_id(&row.text(1)?)?, Fen(row.int(2)?)))
    };
    rows.into_iter().map(sum).collect()
}

/// Whether money of a member was sent to a site since a time.
///
/// # Errors
/// [`StoreError`].
pub fn sent_since(tx: &mut dyn Tx, site: &SiteId, member: &MemberId, since: Wall) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM issue WHERE member = $1 AND made_at >= $2 AND site = $3",
        &[member.as_str().into(), since.0.into(), site.as_str().into()],
    )?;
    Ok(row.is_some())
}

/// What is on the road to a site of lives of head office's before this one.
///
/// # Errors
/// [`StoreError`].
pub fn from_before(tx: &mut dyn Tx, site: &SiteId, epoch: HqEpoch) -> Result<Vec<Issue>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM issue WHERE site = $1 AND state = 'on_road' AND {} ORDER BY member, id",
            identity::began_before("$2")
        ),
        &[site.as_str().into(), epoch.to_string().into()],
    )?;
    rows.into_iter().map(issue).collect()
}

/// What has arrived at a site by entries of a branch after this one: another branch knows nothing of it.
///
/// # Errors
/// [`StoreError`].
pub fn arrived_after(tx: &mut dyn Tx, site: &SiteId, branch: u64, seq: u64) -> Result<Vec<Issue>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM issue WHERE site = $1 AND branch = $2 AND seq > $3 ORDER BY member, id"),
        &[site.as_str().into(), branch.into(), seq.into()],
    )?;
    rows.into_iter().map(issue).collect()
}

/// What of an issue had arrived is on the road again; how much.
///
/// # Errors
/// [`StoreError`].
pub fn reopen(tx: &mut dyn Tx, of: &Issue) -> Result<Fen, StoreError> {
    let row = tx.query_optional(
        "UPDATE issue SET rest = rest + arrived, arrived = 0, state = 'on_road', branch = NULL, seq = NULL, ended_at = NULL \
         WHERE id = $1 RETURNING rest",
        &[of.id.as_str().into()],
    )?;
    let rest = row.ok_or_else(|| bad("the row"))?.int(0)?;
    Ok(Fen(rest) - of.rest)
}

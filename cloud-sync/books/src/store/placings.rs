//! Orders that are placed through head office, until the site has them.

use super::{Row, StoreError, Tx, members};
use domain::{
    head_office::RefusedDirective,
    ids::{ConnectorNo, MemberId, OrderId, Outlet, SiteId},
    order::Until,
    time::Wall,
    units::Fen,
};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its money is recalled from other sites.
    Gathering,
    /// It is on its way to the site.
    Sent,
    /// The site has it.
    Placed,
    /// It will not be.
    Refused(RefusedDirective),
    /// Its money did not come in time.
    Expired,
}

impl State {
    /// Its word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Gathering => "gathering",
            Self::Sent => "sent",
            Self::Placed => "placed",
            Self::Refused(_) => "refused",
            Self::Expired => "expired",
        }
    }
}

/// An order on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placing {
    /// Its number.
    pub order: OrderId,
    /// At which site.
    pub site: SiteId,
    /// Who pays.
    pub member: MemberId,
    /// Where at the site.
    pub outlet: Outlet,
    /// How much is reserved.
    pub prepay: Fen,
    /// The driver's own limits.
    pub until: Until,
    /// The entry by which the site wished for it.
    pub wished: Option<u64>,
    /// How far it is.
    pub state: State,
    /// From then on it is not begun any more.
    pub expires_at: Wall,
    /// When it was asked for.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
}

fn bad(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} of an order on its way"))
}

const COLUMNS: &str =
    "order_id, site, member, pile, connector, prepay, until, wished, state, refused, expires_at, made_at, made_by";

fn placing(mut row: Row) -> Result<Placing, StoreError> {
    let connector = u8::try_from(row.count(4)?).map_err(|_| bad("the connector"))?;
    let refused = row.optional_text(9)?;
    Ok(Placing {
        order: row.text(0)?.parse().map_err(|_| bad("the number"))?,
        site: row.text(1)?.parse().map_err(|_| bad("the site"))?,
        member: members::member_id(&row.text(2)?)?,
        outlet: Outlet {
            pile: row.text(3)?.parse().map_err(|_| bad("the pile"))?,
            connector: ConnectorNo(connector),
        },
        prepay: Fen(row.int(5)?),
        until: serde_json::from_str(&row.text(6)?).map_err(|_| bad("the limits"))?,
        wished: row.optional_int(7)?.and_then(|seq| u64::try_from(seq).ok()),
        state: match row.text(8)?.as_str() {
            "gathering" => State::Gathering,
            "sent" => State::Sent,
            "placed" => State::Placed,
            "expired" => State::Expired,
            _ => {
                let why = refused.ok_or_else(|| bad("the reason"))?;
                State::Refused(serde_json::from_str(&why).map_err(|_| bad("the reason"))?)
            }
        },
        expires_at: Wall(row.int(10)?),
        made_at: Wall(row.int(11)?),
        made_by: row.text(12)?,
    })
}

/// Adds one.
///
/// # Errors
/// [`StoreError::Constraint`]: its number is taken.
pub fn add(tx: &mut dyn Tx, of: &Placing) -> Result<(), StoreError> {
    let until = serde_json::to_string(&of.until).map_err(|error| StoreError::Broken(error.to_string()))?;
    tx.execute(
        "INSERT INTO order_placing (order_id, site, member, pile, connector, prepay, until, wished, state, expires_at, made_at, made_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &[
            of.order.as_str().into(),
            of.site.as_str().into(),
            of.member.as_str().into(),
            of.outlet.pile.as_str().into(),
            u64::from(of.outlet.connector.0).into(),
            of.prepay.0.into(),
            until.into(),
            of.wished.into(),
            of.state.word().into(),
            of.expires_at.0.into(),
            of.made_at.0.into(),
            of.made_by.as_str().into(),
        ],
    )
    .map(drop)
}

/// One of this number.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, order: &OrderId) -> Result<Option<Placing>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {COLUMNS} FROM order_placing WHERE order_id = $1"),
        &[order.as_str().into()],
    )?;
    row.map(placing).transpose()
}

/// How far it is.
///
/// # Errors
/// [`StoreError`].
pub fn set(tx: &mut dyn Tx, order: &OrderId, state: &State) -> Result<(), StoreError> {
    let refused = match state {
        State::Refused(why) => Some(serde_json::to_string(why).map_err(|error| StoreError::Broken(error.to_string()))?),
        _ => None,
    };
    tx.execute(
        "UPDATE order_placing SET state = $1, refused = $2 WHERE order_id = $3",
        &[state.word().into(), refused.into(), order.as_str().into()],
    )
    .map(drop)
}

/// A member's orders for which money is gathered and that have not expired, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn gathering(tx: &mut dyn Tx, member: &MemberId, now: Wall) -> Result<Vec<Placing>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM order_placing WHERE member = $1 AND state = 'gathering' AND expires_at > $2 \
             ORDER BY made_at, order_id"
        ),
        &[member.as_str().into(), now.0.into()],
    )?;
    rows.into_iter().map(placing).collect()
}

/// Orders for which money is gathered and that have expired, by member, at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn overdue(tx: &mut dyn Tx, now: Wall, limit: u64) -> Result<Vec<Placing>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM order_placing WHERE state = 'gathering' AND expires_at <= $1 \
             ORDER BY member, order_id LIMIT $2"
        ),
        &[now.0.into(), limit.into()],
    )?;
    rows.into_iter().map(placing).collect()
}

/// Orders on their way to a site.
///
/// # Errors
/// [`StoreError`].
pub fn on_the_way_to(tx: &mut dyn Tx, site: &SiteId) -> Result<Vec<Placing>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM order_placing WHERE site = $1 AND state IN ('gathering', 'sent') ORDER BY order_id"
        ),
        &[site.as_str().into()],
    )?;
    rows.into_iter().map(placing).collect()
}

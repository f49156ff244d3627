//! What the rows of all sites say of a member of head office's: where they are known, what lies there, what they owe.

use super::{Row, StoreError, Tx, members};
use domain::{
    card::Card,
    head_office::{HeadOfficeRow, HqEpoch, HqKey},
    ids::{CardId, MemberId, OrderId, SiteId},
    member::MemberRow,
    order::{Order, OrderRow},
    time::Wall,
    units::Fen,
};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// A member at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtSite {
    /// Which site.
    pub site: SiteId,
    /// What they have there and nothing is reserved of.
    pub allowance: Fen,
    /// What of it came out of their wallet.
    pub leased: Fen,
    /// What they owe there, from zero up.
    pub debt: Fen,
    /// What the site knows that they owe elsewhere.
    pub owes: Fen,
    /// Why the site serves them not, by head office's word.
    pub blocked: Option<String>,
}

fn bad(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} in the rows of a site"))
}

fn site_id(text: &str) -> Result<SiteId, StoreError> {
    text.parse().map_err(|_| bad("the site"))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| bad(&error.to_string()))
}

fn at_site(mut row: Row) -> Result<(MemberId, Option<AtSite>), StoreError> {
    let member: MemberRow = parse(&row.text(4)?)?;
    let id = members::member_id(&row.text(1)?)?;
    if !member.head_office {
        // The site's own member of this name: nobody has said that they are the same.
        return Ok((id, None));
    }
    let there = AtSite {
        site: site_id(&row.text(0)?)?,
        allowance: Fen(row.int(2)?),
        leased: member.leased.now,
        debt: Fen(row.int(3)?.abs()),
        owes: member.owes,
        blocked: member.blocked_by_head_office,
    };
    Ok((id, Some(there)))
}

/// Sites that were closed serve nobody: what was there has come back (rule 14).
const OPEN: &str = "site NOT IN (SELECT id FROM site WHERE closed_at IS NOT NULL)";

/// The sites at which a member is known as head office's.
///
/// # Errors
/// [`StoreError`].
pub fn of_member(tx: &mut dyn Tx, member: &MemberId) -> Result<Vec<AtSite>, StoreError> {
    let rows = tx.query(
        &format!("SELECT site, id, allowance, debt, row FROM r_member WHERE id = $1 AND {OPEN} ORDER BY site"),
        &[member.as_str().into()],
    )?;
    let found = rows
        .into_iter()
        .map(at_site)
        .filter_map(|row| row.map(|(_, at)| at).transpose());
    found.collect()
}

/// Members with something at sites that came out of their wallets.
///
/// # Errors
/// [`StoreError`].
pub fn leased(tx: &mut dyn Tx) -> Result<Vec<(MemberId, AtSite)>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT site, id, allowance, debt, row FROM r_member WHERE allowance > 0 AND {OPEN} ORDER BY id, site"
        ),
        &[],
    )?;
    let mut found = Vec::new();
    for row in rows {
        if let (id, Some(at)) = at_site(row)?
            && at.leased > Fen::ZERO
        {
            found.push((id, at));
        }
    }
    Ok(found)
}

/// What a member's orders owe, at whichever site, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn debts(tx: &mut dyn Tx, member: &MemberId) -> Result<Vec<(SiteId, OrderId, Fen)>, StoreError> {
    let rows = tx.query(
        "SELECT site, row FROM r_order WHERE member = $1 AND state IN ('UNPAID', 'REVIEW') ORDER BY placed_at, site, id",
        &[member.as_str().into()],
    )?;
    // Two sites may both have a member of this id who is nobody's but theirs (rule 13).
    let known: BTreeSet<SiteId> = of_member(tx, member)?.into_iter().map(|at| at.site).collect();
    let mut debts = Vec::new();
    for mut row in rows {
        let (site, order): (SiteId, OrderRow) = (site_id(&row.text(0)?)?, parse(&row.text(1)?)?);
        if order.paid.debt > Fen::ZERO && known.contains(&site) {
            debts.push((site, order.id.clone(), order.paid.debt));
        }
    }
    Ok(debts)
}

/// Whose order it is, where that is a member of head office's.
///
/// # Errors
/// [`StoreError`].
pub fn member_of_order(tx: &mut dyn Tx, site: &SiteId, order: &OrderId) -> Result<Option<MemberId>, StoreError> {
    let row = tx.query_optional(
        "SELECT member FROM r_order WHERE site = $1 AND id = $2",
        &[site.as_str().into(), order.as_str().into()],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let member = members::member_id(&row.text(0)?)?;
    Ok(knows(tx, site, &member)?.then_some(member))
}

/// An order of a site's, as its rows have it.
///
/// # Errors
/// [`StoreError`].
pub fn order(tx: &mut dyn Tx, site: &SiteId, order: &OrderId) -> Result<Option<Order>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_order WHERE site = $1 AND id = $2",
        &[site.as_str().into(), order.as_str().into()],
    )?;
    row.map(|mut row| parse(&row.text(0)?)).transpose()
}

/// Whether a site knows a member as head office's.
///
/// # Errors
/// [`StoreError`].
pub fn knows(tx: &mut dyn Tx, site: &SiteId, member: &MemberId) -> Result<bool, StoreError> {
    Ok(row_of(tx, site, member)?.is_some_and(|row| row.head_office))
}

fn row_of(tx: &mut dyn Tx, site: &SiteId, member: &MemberId) -> Result<Option<MemberRow>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_member WHERE site = $1 AND id = $2",
        &[site.as_str().into(), member.as_str().into()],
    )?;
    row.map(|mut row| parse(&row.text(0)?)).transpose()
}

/// Members of head office's who owe something at a site; or at any, or to head office itself.
///
/// # Errors
/// [`StoreError`].
pub fn owing(tx: &mut dyn Tx, site: Option<&SiteId>) -> Result<Vec<MemberId>, StoreError> {
    let rows = match site {
        Some(site) => tx.query(
            "SELECT DISTINCT r.id FROM r_member r JOIN member m ON m.id = r.id WHERE r.debt <> 0 AND r.site = $1 ORDER BY r.id",
            &[site.as_str().into()],
        ),
        // `debt:{member}` is owed to head office, `debt:{site}:{member}` at a site.
        None => tx.query(
            "SELECT r.id FROM r_member r JOIN member m ON m.id = r.id WHERE r.debt <> 0 \
             UNION SELECT m.id FROM account a JOIN member m ON m.id = SUBSTR(a.name, 6) WHERE a.kind = 'debt' AND a.balance < 0 \
             ORDER BY 1",
            &[],
        ),
    }?;
    rows.into_iter()
        .map(|mut row| members::member_id(&row.text(0)?))
        .collect()
}

/// Whether a site has a member of this id who is its own, and not head office's.
///
/// # Errors
/// [`StoreError`].
pub fn has_its_own(tx: &mut dyn Tx, site: &SiteId, member: &MemberId) -> Result<bool, StoreError> {
    Ok(row_of(tx, site, member)?.is_some_and(|row| !row.head_office))
}

/// How many orders a member has had at a site since a time.
///
/// # Errors
/// [`StoreError`].
pub fn orders_since(tx: &mut dyn Tx, site: &SiteId, member: &MemberId, since: Wall) -> Result<u64, StoreError> {
    let row = tx.query_optional(
        "SELECT COUNT(*) FROM r_order WHERE member = $1 AND placed_at >= $2 AND site = $3",
        &[member.as_str().into(), since.0.into(), site.as_str().into()],
    )?;
    row.map_or(Ok(0), |mut row| row.count(0))
}

/// Up to when a site takes no voucher any more.
///
/// # Errors
/// [`StoreError`].
pub fn vouchers_closed(tx: &mut dyn Tx, site: &SiteId) -> Result<Option<Wall>, StoreError> {
    Ok(head_office(tx, site)?.and_then(|row| row.vouchers_closed))
}

/// Whose card it is at a site.
///
/// # Errors
/// [`StoreError`].
pub fn holder(tx: &mut dyn Tx, site: &SiteId, card: &CardId) -> Result<Option<MemberId>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_card WHERE site = $1 AND id = $2",
        &[site.as_str().into(), card.as_str().into()],
    )?;
    let row: Option<Card> = row.map(|mut row| parse(&row.text(0)?)).transpose()?;
    Ok(row.and_then(|card| card.holder().cloned()))
}

/// The life of head office's that a site goes by.
///
/// # Errors
/// [`StoreError`].
pub fn goes_by(tx: &mut dyn Tx, site: &SiteId) -> Result<Option<HqEpoch>, StoreError> {
    Ok(head_office(tx, site)?.and_then(|row| row.hq_epoch))
}

/// The keys of head office's that a site was told of, and when each ends.
///
/// # Errors
/// [`StoreError`].
pub fn head_offices_keys(tx: &mut dyn Tx, site: &SiteId) -> Result<BTreeMap<HqKey, Option<Wall>>, StoreError> {
    Ok(head_office(tx, site)?.map_or_else(BTreeMap::new, |row| row.keys))
}

/// Up to when each site takes no voucher any more, where it has closed any.
///
/// # Errors
/// [`StoreError`].
pub fn all_vouchers_closed(tx: &mut dyn Tx) -> Result<BTreeMap<String, Wall>, StoreError> {
    let rows = tx.query(
        "SELECT site, row FROM r_state WHERE name = 'head_office' ORDER BY site",
        &[],
    )?;
    let mut closed = BTreeMap::new();
    for mut row in rows {
        let of: HeadOfficeRow = parse(&row.text(1)?)?;
        if let Some(until) = of.vouchers_closed {
            closed.insert(row.text(0)?, until);
        }
    }
    Ok(closed)
}

fn head_office(tx: &mut dyn Tx, site: &SiteId) -> Result<Option<HeadOfficeRow>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_state WHERE site = $1 AND name = 'head_office'",
        &[site.as_str().into()],
    )?;
    row.map(|mut row| parse(&row.text(0)?)).transpose()
}

//! What the rows of all sites say of a member of head office's: where they are known, what lies there, what they owe.

use super::{Row, StoreError, Tx, members};
use domain::{
    head_office::HeadOfficeRow,
    ids::{MemberId, OrderId, SiteId},
    member::MemberRow,
    order::OrderRow,
    time::Wall,
    units::Fen,
};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

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
    };
    Ok((id, Some(there)))
}

/// The sites at which a member is known as head office's.
///
/// # Errors
/// [`StoreError`].
pub fn of_member(tx: &mut dyn Tx, member: &MemberId) -> Result<Vec<AtSite>, StoreError> {
    let rows = tx.query(
        "SELECT site, id, allowance, debt, row FROM r_member WHERE id = $1 ORDER BY site",
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
        "SELECT site, id, allowance, debt, row FROM r_member WHERE allowance > 0 ORDER BY id, site",
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
    let is_known = of_member(tx, &member)?.iter().any(|at| at.site == *site);
    Ok(is_known.then_some(member))
}

/// Whether a site has a member of this id who is its own, and not head office's.
///
/// # Errors
/// [`StoreError`].
pub fn has_its_own(tx: &mut dyn Tx, site: &SiteId, member: &MemberId) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_member WHERE site = $1 AND id = $2",
        &[site.as_str().into(), member.as_str().into()],
    )?;
    let row: Option<MemberRow> = row.map(|mut row| parse(&row.text(0)?)).transpose()?;
    Ok(row.is_some_and(|row| !row.head_office))
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
    let row = tx.query_optional(
        "SELECT row FROM r_state WHERE site = $1 AND name = 'head_office'",
        &[site.as_str().into()],
    )?;
    let row: Option<HeadOfficeRow> = row.map(|mut row| parse(&row.text(0)?)).transpose()?;
    Ok(row.and_then(|row| row.vouchers_closed))
}

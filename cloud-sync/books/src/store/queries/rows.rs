//! Members, piles, prices, quarantine and energy of all sites.

use super::{Filter, OfSite, Page, parse};
use crate::store::{Row, StoreError, Tx};
use domain::{
    energy::EnergyReport,
    ids::{MemberId, TariffId},
    member::Member,
    pile::Pile,
    quarantine::QuarantineItem,
    tariff::Tariff,
    time::Day,
    units::Fen,
};

/// A member at a site, with the money that lies there.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRow {
    /// The member.
    pub member: Member,
    /// What they can spend there, holds left out.
    pub allowance: Fen,
    /// Reserved for open orders.
    pub held: Fen,
    /// Owed, above zero.
    pub debt: Fen,
}

const MEMBER: &str = "site, row, allowance, debt";

fn member(mut row: Row) -> Result<OfSite<MemberRow>, StoreError> {
    Ok(OfSite {
        site: row.text(0)?,
        row: MemberRow {
            member: parse("r_member", &row.text(1)?)?,
            allowance: Fen(row.int(2)?),
            held: Fen::ZERO,
            debt: Fen(-row.int(3)?),
        },
    })
}

/// Only what has open orders has something held.
fn with_held(tx: &mut dyn Tx, mut of: OfSite<MemberRow>) -> Result<OfSite<MemberRow>, StoreError> {
    for order in &of.row.member.open_orders {
        let held = tx.query_optional(
            "SELECT held FROM r_order WHERE site = $1 AND id = $2",
            &[of.site.as_str().into(), order.as_str().into()],
        )?;
        of.row.held += held.map_or(Ok(Fen::ZERO), |mut row| row.int(0).map(Fen))?;
    }
    Ok(of)
}

/// Members by their ids, and by site where several have one; after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn members(
    tx: &mut dyn Tx,
    site: Option<&str>,
    id: Option<&str>,
    after: Option<(String, String)>,
    limit: usize,
) -> Result<Page<OfSite<MemberRow>>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("site = ?", site);
    filter.and_if("id = ?", id);
    if let Some((id, site)) = after {
        filter.and("(id, site) > (?, ?)", [id.into(), site.into()]);
    }
    let Page { items, more } = filter.page(tx, MEMBER, "r_member", "id, site", limit, member)?;
    let items = items.into_iter().map(|of| with_held(tx, of));
    Ok(Page {
        items: items.collect::<Result<_, _>>()?,
        more,
    })
}

/// One member at one site.
///
/// # Errors
/// [`StoreError`].
pub fn find_member(tx: &mut dyn Tx, site: &str, id: &MemberId) -> Result<Option<MemberRow>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {MEMBER} FROM r_member WHERE site = $1 AND id = $2"),
        &[site.into(), id.as_str().into()],
    )?;
    let Some(row) = row else { return Ok(None) };
    let found = member(row)?;
    Ok(Some(with_held(tx, found)?.row))
}

/// The piles of a site after an id, by their ids.
///
/// # Errors
/// [`StoreError`].
pub fn piles(tx: &mut dyn Tx, site: &str, after: Option<&str>, limit: usize) -> Result<Page<Pile>, StoreError> {
    of_one_site(tx, "r_pile", site, after, limit)
}

/// The tariff versions of a site after a name, by their names.
///
/// # Errors
/// [`StoreError`].
pub fn tariffs(tx: &mut dyn Tx, site: &str, after: Option<&str>, limit: usize) -> Result<Page<Tariff>, StoreError> {
    of_one_site(tx, "r_tariff", site, after, limit)
}

/// One tariff version of a site.
///
/// # Errors
/// [`StoreError`].
pub fn find_tariff(tx: &mut dyn Tx, site: &str, id: &TariffId) -> Result<Option<Tariff>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_tariff WHERE site = $1 AND id = $2",
        &[site.into(), id.as_str().into()],
    )?;
    row.map(|mut row| parse("r_tariff", &row.text(0)?)).transpose()
}

fn of_one_site<T: serde::de::DeserializeOwned>(
    tx: &mut dyn Tx,
    table: &str,
    site: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<T>, StoreError> {
    let mut filter = Filter::default();
    filter.and("site = ?", [site.into()]);
    filter.and_if("id > ?", after);
    filter.page(tx, "row", table, "id", limit, |mut row| parse(table, &row.text(0)?))
}

/// Quarantine items by site, the newest of each first; after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn quarantine(
    tx: &mut dyn Tx,
    site: Option<&str>,
    closed: bool,
    after: Option<(String, u64)>,
    limit: usize,
) -> Result<Page<OfSite<QuarantineItem>>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("site = ?", site);
    if !closed {
        filter.and("open = 1", []);
    }
    if let Some((site, item)) = after {
        filter.and("(site, item) < (?, ?)", [site.into(), item.into()]);
    }
    let order = "site DESC, item DESC";
    filter.page(tx, "site, row", "r_quarantine", order, limit, |mut row| {
        Ok(OfSite {
            site: row.text(0)?,
            row: parse("r_quarantine", &row.text(1)?)?,
        })
    })
}

/// One quarantine item.
///
/// # Errors
/// [`StoreError`].
pub fn find_quarantine(tx: &mut dyn Tx, site: &str, item: u64) -> Result<Option<QuarantineItem>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_quarantine WHERE site = $1 AND item = $2",
        &[site.into(), item.into()],
    )?;
    row.map(|mut row| parse("r_quarantine", &row.text(0)?)).transpose()
}

/// Energy reports, the latest day first and by site within it; after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn energy_reports(
    tx: &mut dyn Tx,
    site: Option<&str>,
    day: Option<Day>,
    after: Option<(Day, String)>,
    limit: usize,
) -> Result<Page<OfSite<EnergyReport>>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("site = ?", site);
    filter.and_if("day = ?", day.map(|day| day.to_string()));
    if let Some((day, site)) = after {
        filter.and("(day, site) < (?, ?)", [day.to_string().into(), site.into()]);
    }
    let order = "day DESC, site DESC";
    filter.page(tx, "site, row", "r_energy_report", order, limit, |mut row| {
        Ok(OfSite {
            site: row.text(0)?,
            row: parse("r_energy_report", &row.text(1)?)?,
        })
    })
}

/// A site's report of one day.
///
/// # Errors
/// [`StoreError`].
pub fn find_energy_report(tx: &mut dyn Tx, site: &str, day: Day) -> Result<Option<EnergyReport>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_energy_report WHERE site = $1 AND day = $2",
        &[site.into(), day.to_string().into()],
    )?;
    row.map(|mut row| parse("r_energy_report", &row.text(0)?)).transpose()
}

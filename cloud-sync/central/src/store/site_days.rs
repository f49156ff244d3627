//! Sites' days in the database: where each ended in the site's journal, and what is there of it.

use super::{
    Row, SetStatement, StoreError, Tx, findings,
    findings::Found,
    set::{Present, int, text},
    sites::Site,
};
use crate::reconcile::totals::{SiteTotals, Sum};
use domain::{
    energy::{ConnectorDay, EnergyReport},
    ids::SiteId,
    journal::Head,
    time::{Day, Wall, Zone},
    units::{Energy, Fen},
};

/// A day that has ended, by the site's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedDay {
    /// Which day.
    pub day: Day,
    /// Its last entry.
    pub last: Head,
}

const DAYS: SetStatement = SetStatement {
    table: "site_day",
    keys: 3,
    columns: &[
        text("site"),
        int("branch"),
        int("seq"),
        text("day"),
        text("hash"),
        int("said_at"),
    ],
    present: Present::Keep,
};

/// Days have ended on a branch. Of one that is known nothing changes.
///
/// # Errors
/// [`StoreError`].
pub fn ended(tx: &mut dyn Tx, site: &SiteId, branch: u64, days: &[EndedDay], now: Wall) -> Result<(), StoreError> {
    let row = |ended: &EndedDay| {
        vec![
            site.as_str().into(),
            branch.into(),
            ended.last.seq.into(),
            ended.day.to_string().into(),
            ended.last.hash.to_string().into(),
            now.0.into(),
        ]
    };
    tx.write_all(&DAYS, &days.iter().map(row).collect::<Vec<_>>())
}

/// Gives the days up to an entry to another branch, which has the journal up to there in common.
///
/// # Errors
/// [`StoreError`].
pub fn give(tx: &mut dyn Tx, site: &SiteId, from: u64, to: u64, seq: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE site_day SET branch = $1 WHERE site = $2 AND branch = $3 AND seq <= $4",
        &[to.into(), site.as_str().into(), from.into(), seq.into()],
    )
    .map(drop)
}

/// The days of a branch that have ended, in the order of their entries, and when head office learnt of each.
///
/// # Errors
/// [`StoreError`].
pub fn of_branch(tx: &mut dyn Tx, site: &SiteId, branch: u64) -> Result<Vec<(EndedDay, Wall)>, StoreError> {
    let rows = tx.query(
        "SELECT day, seq, hash, said_at FROM site_day WHERE site = $1 AND branch = $2 ORDER BY seq",
        &[site.as_str().into(), branch.into()],
    )?;
    let ended = |mut row: Row| {
        let day = row.text(0)?.parse().map_err(StoreError::Broken)?;
        let seq = row.count(1)?;
        let hash = row.text(2)?.parse();
        let hash = hash.map_err(|error| StoreError::Broken(format!("the hash of a site's day: {error}")))?;
        let last = Head { seq, hash };
        Ok((EndedDay { day, last }, Wall(row.int(3)?)))
    };
    rows.into_iter().map(ended).collect()
}

/// The last entry of the days before one, on a branch.
///
/// # Errors
/// [`StoreError`].
pub fn end_before(tx: &mut dyn Tx, site: &SiteId, branch: u64, day: Day) -> Result<Option<u64>, StoreError> {
    let row = tx.query_optional(
        "SELECT MAX(seq) FROM site_day WHERE site = $1 AND branch = $2 AND day < $3",
        &[site.as_str().into(), branch.into(), day.to_string().into()],
    )?;
    let seq = row.map(|mut row| row.optional_int(0)).transpose()?.flatten();
    Ok(seq.map(i64::unsigned_abs))
}

/// Where a site's days begin: as its last energy report says, or what it said of itself; none where it has said nothing.
///
/// # Errors
/// [`StoreError`].
pub fn zone(tx: &mut dyn Tx, site: &SiteId) -> Result<Option<Zone>, StoreError> {
    let last = tx.query_optional(
        "SELECT row FROM r_energy_report WHERE site = $1 ORDER BY day DESC LIMIT 1",
        &[site.as_str().into()],
    )?;
    let said = match last {
        Some(row) => Some(row),
        None => tx.query_optional(
            "SELECT hello FROM site WHERE id = $1 AND hello IS NOT NULL",
            &[site.as_str().into()],
        )?,
    };
    let Some(mut said) = said else { return Ok(None) };
    let said: serde_json::Value = serde_json::from_str(&said.text(0)?)
        .map_err(|error| StoreError::Broken(format!("where the days of {site} begin: {error}")))?;
    Ok(said["time_zone"].as_str().and_then(|name| Zone::named(name).ok()))
}

/// A word for what is known of a site's days: another one where more is known.
///
/// # Errors
/// [`StoreError`].
pub fn known(tx: &mut dyn Tx, site: &Site) -> Result<String, StoreError> {
    let row = tx.query_optional(
        "SELECT (SELECT COUNT(*) FROM site_day WHERE site = $1 AND branch = $2), (SELECT COUNT(*) FROM finding WHERE site = $1), \
         (SELECT COUNT(*) FROM r_energy_report WHERE site = $1)",
        &[site.id.as_str().into(), site.branch.into()],
    )?;
    let mut row = row.ok_or_else(|| StoreError::Broken("what is known of a site's days".to_owned()))?;
    Ok(format!(
        "{} {} {} {}",
        site.branch,
        row.int(0)?,
        row.int(1)?,
        row.int(2)?
    ))
}

/// Whether a site's energy report of a day is there, or one of a later day: then it comes no more.
///
/// # Errors
/// [`StoreError`].
pub fn is_reported(tx: &mut dyn Tx, site: &SiteId, day: Day) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM r_energy_report WHERE site = $1 AND day >= $2 LIMIT 1",
        &[site.as_str().into(), day.to_string().into()],
    )?;
    Ok(row.is_some())
}

/// Orders whose money moved first on a day, and what they are billed for, by their bills as they are now.
///
/// # Errors
/// [`StoreError`].
pub fn orders(tx: &mut dyn Tx, site: &SiteId, day: Day) -> Result<(Sum, Energy), StoreError> {
    let row = tx.query_optional(
        "SELECT COUNT(*), CAST(COALESCE(SUM(fee), 0) AS BIGINT), CAST(COALESCE(SUM(energy), 0) AS BIGINT) FROM r_order \
         WHERE site = $1 AND day = $2",
        &[site.as_str().into(), day.to_string().into()],
    )?;
    let mut row = row.ok_or_else(|| StoreError::Broken("the orders of a site's day".to_owned()))?;
    let sum = Sum {
        count: row.int(0)?,
        amount: Fen(row.int(1)?),
    };
    Ok((sum, Energy(row.int(2)?)))
}

/// A site's energy report of a day, and as it stands in its row.
///
/// # Errors
/// [`StoreError`].
pub fn report(tx: &mut dyn Tx, site: &SiteId, day: Day) -> Result<Option<(EnergyReport, String)>, StoreError> {
    let row = tx.query_optional(
        "SELECT row FROM r_energy_report WHERE site = $1 AND day = $2",
        &[site.as_str().into(), day.to_string().into()],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let text = row.text(0)?;
    let broken = |error: serde_json::Error| StoreError::Broken(format!("an energy report: {error}"));
    Ok(Some((serde_json::from_str(&text).map_err(broken)?, text)))
}

/// Orders of a day whose books are not what their bill says: the order, what is booked as sold, and the bill.
///
/// # Errors
/// [`StoreError`].
pub fn not_as_billed(tx: &mut dyn Tx, site: &SiteId, day: Day) -> Result<Vec<(String, Fen, Fen)>, StoreError> {
    let rows = tx.query(
        "SELECT o.id, o.fee, CAST(COALESCE((SELECT SUM(CASE WHEN t.credit IN ($3, $4) THEN t.amount ELSE 0 END \
         - CASE WHEN t.debit IN ($3, $4) THEN t.amount ELSE 0 END) FROM transfer t WHERE t.site = o.site AND t.order_id = o.id), 0) \
         AS BIGINT) FROM r_order o WHERE o.site = $1 AND o.day = $2 AND o.open = 0 ORDER BY o.id",
        &[
            site.as_str().into(),
            day.to_string().into(),
            format!("sales:{site}:electricity").into(),
            format!("sales:{site}:service").into(),
        ],
    )?;
    let mut differ = Vec::new();
    for mut row in rows {
        let (order, fee, booked) = (row.text(0)?, row.optional_int(1)?.unwrap_or(0), row.int(2)?);
        if fee != booked {
            differ.push((order, Fen(booked), Fen(fee)));
        }
    }
    Ok(differ)
}

/// What a site's day came to: orders whose money moved first on it, by their bills of today; and what moved in its books by entries of
/// the day, which come after one and go up to another.
///
/// # Errors
/// [`StoreError`].
pub fn totals(
    tx: &mut dyn Tx,
    site: &SiteId,
    branch: u64,
    day: Day,
    (after, to): (u64, u64),
) -> Result<SiteTotals, StoreError> {
    let (orders, energy) = orders(tx, site, day)?;
    let rows = tx.query(
        "SELECT debit, credit, CAST(SUM(amount) AS BIGINT) FROM transfer WHERE site = $1 AND branch = $2 AND seq > $3 AND seq <= $4 \
         AND (credit IN ($5, $6, $7, $8) OR debit IN ($5, $6, $7, $8)) GROUP BY debit, credit",
        &[
            site.as_str().into(),
            branch.into(),
            after.into(),
            to.into(),
            format!("sales:{site}:electricity").into(),
            format!("sales:{site}:service").into(),
            format!("refund:{site}").into(),
            format!("cash:{site}").into(),
        ],
    )?;
    let (mut electricity, mut service, mut refunds, mut cash) = (0, 0, 0, 0);
    for mut row in rows {
        let (debit, credit, amount) = (row.text(0)?, row.text(1)?, row.int(2)?);
        for (account, by) in [(debit, -amount), (credit, amount)] {
            let kind = account.strip_suffix(&format!(":{site}")).unwrap_or(&account).to_owned();
            match kind.as_str() {
                "refund" => refunds -= by,
                "cash" => cash -= by,
                _ if account.ends_with(":electricity") && account.starts_with("sales:") => electricity += by,
                _ if account.ends_with(":service") && account.starts_with("sales:") => service += by,
                _ => {}
            }
        }
    }
    Ok(SiteTotals {
        orders,
        energy,
        electricity: Fen(electricity),
        service: Fen(service),
        refunds: Fen(refunds),
        cash: Fen(cash),
    })
}

/// What was billed of a day as reports have it: by its own, by what later ones say of it, and by what is to be said yet.
///
/// # Errors
/// [`StoreError`].
pub fn reported(tx: &mut dyn Tx, site: &SiteId, of: &EnergyReport) -> Result<Energy, StoreError> {
    let mut billed: i64 = of.connectors.iter().map(|one| one.sums.billed.0).sum();
    let rows = tx.query(
        "SELECT row FROM r_energy_report WHERE site = $1 AND day > $2",
        &[site.as_str().into(), of.day.to_string().into()],
    )?;
    for mut row in rows {
        let later: EnergyReport = serde_json::from_str(&row.text(0)?)
            .map_err(|error| StoreError::Broken(format!("an energy report: {error}")))?;
        let late = later.adjustments.iter().filter(|late| late.of == of.day);
        billed += late.map(|late| late.change.billed.0).sum::<i64>();
    }
    let rows = tx.query(
        "SELECT row FROM r_energy_day WHERE site = $1 AND day = $2",
        &[site.as_str().into(), of.day.to_string().into()],
    )?;
    for mut row in rows {
        let sums: ConnectorDay = serde_json::from_str(&row.text(0)?)
            .map_err(|error| StoreError::Broken(format!("a connector's day: {error}")))?;
        billed += sums.billed.0;
    }
    Ok(Energy(billed))
}

/// What was found in a site's journal: of the followed branch up to an entry, and of all other branches.
///
/// # Errors
/// [`StoreError`].
pub fn found(tx: &mut dyn Tx, site: &SiteId, branch: u64, to: u64) -> Result<Vec<Found>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {} FROM finding f WHERE f.site = $1 AND (f.branch <> $2 OR f.seq <= $3) ORDER BY f.found_at, f.branch, f.seq, f.class",
            findings::COLUMNS
        ),
        &[site.as_str().into(), branch.into(), to.into()],
    )?;
    rows.into_iter().map(findings::found).collect()
}

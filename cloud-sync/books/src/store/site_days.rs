//! Sites' days in the database: where each ended in the site's journal, and what is there of it.

use super::{
    Row, SetStatement, StoreError, Tx, Value, branches, findings,
    findings::Found,
    set::{Present, int, text},
    sites::Site,
};
use crate::reconcile::{
    totals::{SiteTotals, Sum},
    words::{Class, Leg, Source},
};
use domain::{
    energy::{ConnectorDay, EnergyReport},
    ids::SiteId,
    journal::Head,
    settlement::Paid,
    time::{Day, Wall, Zone},
    units::{Energy, Fen},
};
use serde::Deserialize;

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

/// The days of a branch that have ended after an entry, in the order of their entries, and when head office learnt of each.
///
/// # Errors
/// [`StoreError`].
pub fn of_branch(tx: &mut dyn Tx, site: &SiteId, branch: u64, after: u64) -> Result<Vec<(EndedDay, Wall)>, StoreError> {
    let rows = tx.query(
        "SELECT day, seq, hash, said_at FROM site_day WHERE site = $1 AND branch = $2 AND seq > $3 ORDER BY seq",
        &[site.as_str().into(), branch.into(), after.into()],
    )?;
    rows.into_iter().map(ended_day).collect()
}

/// The last day of a branch that ended up to an entry, by it, and when head office learnt of it.
///
/// # Errors
/// [`StoreError`].
pub fn ended_up_to(
    tx: &mut dyn Tx,
    site: &SiteId,
    branch: u64,
    seq: u64,
) -> Result<Option<(EndedDay, Wall)>, StoreError> {
    let row = tx.query_optional(
        "SELECT day, seq, hash, said_at FROM site_day WHERE site = $1 AND branch = $2 AND seq <= $3 ORDER BY seq DESC LIMIT 1",
        &[site.as_str().into(), branch.into(), seq.into()],
    )?;
    row.map(ended_day).transpose()
}

/// The day that the site's clock showed at an entry of a branch; none where the entry is after all days that have ended there.
///
/// # Errors
/// [`StoreError`].
pub fn shown_at(tx: &mut dyn Tx, site: &SiteId, branch: u64, seq: u64) -> Result<Option<Day>, StoreError> {
    let row = tx.query_optional(
        "SELECT day, seq, hash, said_at FROM site_day WHERE site = $1 AND branch = $2 AND seq >= $3 ORDER BY seq LIMIT 1",
        &[site.as_str().into(), branch.into(), seq.into()],
    )?;
    Ok(row.map(ended_day).transpose()?.map(|(ended, _)| ended.day))
}

fn ended_day(mut row: Row) -> Result<(EndedDay, Wall), StoreError> {
    let day = row.text(0)?.parse().map_err(StoreError::Broken)?;
    let seq = row.count(1)?;
    let hash = row.text(2)?.parse();
    let hash = hash.map_err(|error| StoreError::Broken(format!("the hash of a site's day: {error}")))?;
    let last = Head { seq, hash };
    Ok((EndedDay { day, last }, Wall(row.int(3)?)))
}

/// The branches that the followed journal goes through, each with its last entry that is in it: what was booked of others stays in the books,
/// and is of no day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed(Vec<(u64, u64)>);

impl Followed {
    /// Of a site.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn of(tx: &mut dyn Tx, site: &Site) -> Result<Self, StoreError> {
        let all = branches::all(tx, &site.id)?;
        let highest = all.last().map_or(site.branch, |last| last.number.max(site.branch));
        // Of a branch that has another number since the beginning alone is booked under the one before.
        let first_fork = all.iter().map(|branch| branch.left.seq).min().unwrap_or(0);
        let last = |number: u64| match all.iter().find(|branch| branch.number == number) {
            _ if number == site.branch => u64::MAX,
            Some(left) => left.left.seq,
            None => first_fork,
        };
        let parts = (0..=highest).map(|number| (number, last(number)));
        Ok(Self(parts.filter(|(_, last)| *last > 0).collect()))
    }

    /// Its parts after an entry and up to another: the branch, and between which entries of it.
    fn between(&self, after: u64, to: u64) -> impl Iterator<Item = (u64, u64, u64)> {
        let part = move |(branch, last): &(u64, u64)| (*branch, after, to.min(*last));
        self.0.iter().map(part).filter(|(_, after, to)| to > after)
    }

    /// Whether a movement is of it, in SQL.
    fn condition(&self, of: &str, (after, to): (u64, u64)) -> String {
        let parts = self.between(after, to).map(|(branch, after, to)| match to {
            to if to > i64::MAX.unsigned_abs() => format!("({of}.branch = {branch} AND {of}.seq > {after})"),
            to => format!("({of}.branch = {branch} AND {of}.seq > {after} AND {of}.seq <= {to})"),
        });
        let parts: Vec<String> = parts.collect();
        match parts.is_empty() {
            true => "1 = 0".to_owned(),
            false => format!("({})", parts.join(" OR ")),
        }
    }
}

/// Where a site's days begin: as its last energy report says of days up to one, or what it said of itself; none where it has said nothing. What
/// a clock that was ahead has reported is of later days.
///
/// # Errors
/// [`StoreError`].
pub fn zone(tx: &mut dyn Tx, site: &SiteId, to: Day) -> Result<Option<Zone>, StoreError> {
    let last = tx.query_optional(
        "SELECT row FROM r_energy_report WHERE site = $1 AND day <= $2 ORDER BY day DESC LIMIT 1",
        &[site.as_str().into(), to.to_string().into()],
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

/// A word for what is known of a site's days: another one where more is known. Of its energy reports those since a day are counted.
///
/// # Errors
/// [`StoreError`].
pub fn known(tx: &mut dyn Tx, site: &Site, since: Day) -> Result<String, StoreError> {
    let row = tx.query_optional(
        "SELECT (SELECT MAX(seq) FROM site_day WHERE site = $1 AND branch = $2), (SELECT MAX(found_at) FROM finding WHERE site = $1), \
         (SELECT MAX(day) FROM r_energy_report WHERE site = $1), (SELECT COUNT(*) FROM r_energy_report WHERE site = $1 AND day >= $3)",
        &[site.id.as_str().into(), site.branch.into(), since.to_string().into()],
    )?;
    let mut row = row.ok_or_else(|| StoreError::Broken("what is known of a site's days".to_owned()))?;
    let is_gone = site.closed_at.is_some() || site.revoked_at.is_some();
    Ok(format!(
        "{} {} {} {} {} {is_gone}",
        site.branch,
        row.optional_int(0)?.unwrap_or(0),
        row.optional_int(1)?.unwrap_or(0),
        row.optional_text(2)?.unwrap_or_default(),
        row.int(3)?
    ))
}

/// Whether a site's energy report of a day is there, or one of a day after it up to another: then it comes no more. What a clock that was
/// ahead has reported lies after that.
///
/// # Errors
/// [`StoreError`].
pub fn is_reported(tx: &mut dyn Tx, site: &SiteId, (day, to): (Day, Day)) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT 1 FROM r_energy_report WHERE site = $1 AND day >= $2 AND day <= $3 LIMIT 1",
        &[site.as_str().into(), day.to_string().into(), to.to_string().into()],
    )?;
    Ok(row.is_some())
}

/// A site's energy report, and as it stands in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// What it says.
    pub report: EnergyReport,
    /// Its row.
    pub row: String,
}

/// A site's energy reports of the days from one to another.
///
/// # Errors
/// [`StoreError`].
pub fn reports(tx: &mut dyn Tx, site: &SiteId, (from, to): (Day, Day)) -> Result<Vec<Reported>, StoreError> {
    let rows = tx.query(
        "SELECT row FROM r_energy_report WHERE site = $1 AND day >= $2 AND day <= $3 ORDER BY day",
        &[site.as_str().into(), from.to_string().into(), to.to_string().into()],
    )?;
    let read = |mut row: Row| {
        let row = row.text(0)?;
        let report = serde_json::from_str(&row);
        let report = report.map_err(|error| StoreError::Broken(format!("an energy report: {error}")))?;
        Ok(Reported { report, row })
    };
    rows.into_iter().map(read).collect()
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

/// An order, what is booked of it as sold, and its bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    /// The order.
    pub order: String,
    /// The day on which its money moved first.
    pub day: Option<Day>,
    /// By the books.
    pub booked: Fen,
    /// By its bill.
    pub fee: Fen,
}

impl Sold {
    /// Whether as much is booked as should be, if so much was given back of the order. Where that is more than the bill says (OVER_REFUND)
    /// no more can be taken off what is booked as sold: it is as much as was given back.
    pub fn is_booked(&self, given_back: Fen) -> bool {
        self.booked == self.fee || (given_back > self.fee && self.booked == given_back)
    }
}

/// What was given back of an order after it was settled, by its row.
///
/// # Errors
/// [`StoreError`].
pub fn given_back(tx: &mut dyn Tx, site: &SiteId, order: &str) -> Result<Fen, StoreError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct OfRow {
        paid: Paid,
    }
    let statement = "SELECT row FROM r_order WHERE site = $1 AND id = $2";
    let row = tx.query_optional(statement, &[site.as_str().into(), order.into()])?;
    let Some(mut row) = row else { return Ok(Fen::ZERO) };
    let of: OfRow = serde_json::from_str(&row.text(0)?).map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(of.paid.refunded)
}

/// Orders that are over and may not be booked as they are billed, whether they are or not: those of a day; those of which entries after one
/// and up to another move something, whatever day they are of; and those of which that was said before the day and holds still.
///
/// # Errors
/// [`StoreError`].
pub fn sold(
    tx: &mut dyn Tx,
    site: &SiteId,
    followed: &Followed,
    (day, after, to): (Day, u64, u64),
    scope: &str,
) -> Result<Vec<Sold>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT o.id, o.day, o.fee, CAST(COALESCE((SELECT SUM(CASE WHEN t.credit IN ($3, $4) THEN t.amount ELSE 0 END \
             - CASE WHEN t.debit IN ($3, $4) THEN t.amount ELSE 0 END) FROM transfer t WHERE t.site = o.site AND t.order_id = o.id \
             AND (t.branch IS NULL OR {})), 0) AS BIGINT) FROM r_order o WHERE o.site = $1 AND o.open = 0 AND o.id IN \
             (SELECT own.id FROM r_order own WHERE own.site = $1 AND own.day = $2 \
             UNION SELECT m.order_id FROM transfer m WHERE m.site = $1 AND m.order_id IS NOT NULL AND {} \
             UNION SELECT w.ref FROM verdict w WHERE w.scope = $5 AND w.leg = {} AND w.source = {} AND w.class = {} AND w.day < $2 \
             AND (w.until IS NULL OR w.until >= $2)) ORDER BY o.id",
            followed.condition("t", (0, u64::MAX)),
            followed.condition("m", (after, to)),
            Leg::Orders.code(),
            Source::Order.code(),
            Class::Books.code(),
        ),
        &[
            site.as_str().into(),
            day.to_string().into(),
            format!("sales:{site}:electricity").into(),
            format!("sales:{site}:service").into(),
            scope.into(),
        ],
    )?;
    let sold = |mut row: Row| {
        let day = row.optional_text(1)?.map(|day| day.parse()).transpose();
        Ok(Sold {
            order: row.text(0)?,
            day: day.map_err(StoreError::Broken)?,
            fee: Fen(row.optional_int(2)?.unwrap_or(0)),
            booked: Fen(row.int(3)?),
        })
    };
    rows.into_iter().map(sold).collect()
}

/// What a site's day came to: orders whose money moved first on it, by their bills of today; and what moved in its books by entries of
/// the day, which come after one and go up to another.
///
/// # Errors
/// [`StoreError`].
pub fn totals(
    tx: &mut dyn Tx,
    site: &SiteId,
    followed: &Followed,
    (day, after, to): (Day, u64, u64),
) -> Result<SiteTotals, StoreError> {
    let (orders, energy) = orders(tx, site, day)?;
    let mut totals = SiteTotals {
        orders,
        energy,
        ..SiteTotals::default()
    };
    let accounts = [
        format!("sales:{site}:electricity"),
        format!("sales:{site}:service"),
        format!("refund:{site}"),
        format!("cash:{site}"),
    ];
    for (branch, after, to) in followed.between(after, to) {
        let mut values: Vec<Value> = vec![site.as_str().into(), branch.into(), after.into(), to.into()];
        values.extend(accounts.iter().map(|account| account.as_str().into()));
        let rows = tx.query(
            "SELECT debit, credit, CAST(SUM(amount) AS BIGINT) FROM transfer WHERE site = $1 AND branch = $2 AND seq > $3 AND seq <= $4 \
             AND (credit IN ($5, $6, $7, $8) OR debit IN ($5, $6, $7, $8)) GROUP BY debit, credit",
            &values,
        )?;
        for mut row in rows {
            let (debit, credit, amount) = (row.text(0)?, row.text(1)?, row.int(2)?);
            for (account, by) in [(debit, -amount), (credit, amount)] {
                // What is sold is credited; what is given back, or put into the till, is debited.
                match accounts.iter().position(|of| *of == account) {
                    Some(0) => totals.electricity.0 += by,
                    Some(1) => totals.service.0 += by,
                    Some(2) => totals.refunds.0 -= by,
                    Some(3) => totals.cash.0 -= by,
                    _ => {}
                }
            }
        }
    }
    Ok(totals)
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

/// What was found in entries of a branch, after one and up to another, in their order.
///
/// # Errors
/// [`StoreError`].
pub fn found(tx: &mut dyn Tx, site: &SiteId, branch: u64, (after, to): (u64, u64)) -> Result<Vec<Found>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {} FROM finding WHERE site = $1 AND branch = $2 AND seq > $3 AND seq <= $4 ORDER BY seq, class",
            findings::COLUMNS
        ),
        &[site.as_str().into(), branch.into(), after.into(), to.into()],
    )?;
    rows.into_iter().map(findings::found).collect()
}

/// What was found since a time in entries of a branch up to one, and in those of all other branches.
///
/// # Errors
/// [`StoreError`].
pub fn found_since(
    tx: &mut dyn Tx,
    site: &SiteId,
    branch: u64,
    (to, since): (u64, Wall),
) -> Result<Vec<Found>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT {} FROM finding WHERE site = $1 AND found_at >= $4 AND (branch <> $2 OR seq <= $3) ORDER BY found_at, branch, seq, class",
            findings::COLUMNS
        ),
        &[site.as_str().into(), branch.into(), to.into(), since.0.into()],
    )?;
    rows.into_iter().map(findings::found).collect()
}

//! Business days on disk: sums that are in no report yet, and the reports.

use super::{
    Reader, StoreError,
    read::{bad, parse},
    tables,
    write::{Batch, json},
};
use domain::{
    energy::{EnergyBooks, EnergyReport},
    ids::{ConnectorNo, Outlet, PileId},
    site::Rows,
    time::Day,
};
use redb::{ReadableTable, WriteTransaction};

/// Where the business day is kept in the table `meta`.
const DAYS: &str = "business_days";
/// How many reported days a start-up reads.
const REPORTED_READ: usize = 64;

pub(super) fn write(write: &WriteTransaction, batch: &Batch, rows: &Rows) -> Result<(), StoreError> {
    let changes = &batch.changes;
    if let Some(days) = rows.energy.days.filter(|_| changes.day_began) {
        write.open_table(tables::META)?.insert(DAYS, json(&days)?.as_slice())?;
    }
    if !changes.energy_days.is_empty() {
        let mut days = write.open_table(tables::ENERGY_DAYS)?;
        for (day, outlet) in &changes.energy_days {
            let text = day.to_string();
            let key = (text.as_str(), outlet.pile.as_str(), outlet.connector.0);
            match rows.energy.open.get(&(*day, outlet.clone())) {
                Some(sums) => days.insert(key, json(sums)?.as_slice())?,
                None => days.remove(key)?,
            };
        }
    }
    if !changes.energy_reports.is_empty() {
        let mut reports = write.open_table(tables::ENERGY_REPORTS)?;
        for day in &changes.energy_reports {
            let report = rows
                .energy_reports
                .get(day)
                .expect("a report that was made is in memory until it is written");
            reports.insert(day.to_string().as_str(), json(report)?.as_slice())?;
        }
    }
    Ok(())
}

impl Reader {
    /// Business days that are not reported yet, and which were reported last.
    pub(super) fn energy_books(&self) -> Result<EnergyBooks, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        let days = meta.get(DAYS)?;
        let days = days.map(|row| parse("meta", &DAYS, row.value())).transpose()?;
        let mut books = EnergyBooks {
            days,
            ..EnergyBooks::default()
        };
        for row in self.read.open_table(tables::ENERGY_DAYS)?.iter()? {
            let (key, row) = row?;
            let (day, pile, connector) = key.value();
            let outlet = Outlet {
                pile: PileId::new(pile).map_err(|error| bad("energy_days", pile, error))?,
                connector: ConnectorNo(connector),
            };
            let sums = parse("energy_days", &outlet, row.value())?;
            books.open.insert((read_day("energy_days", day)?, outlet), sums);
        }
        let reports = self.read.open_table(tables::ENERGY_REPORTS)?;
        for row in reports.iter()?.rev().take(REPORTED_READ) {
            books.reported.insert(read_day("energy_reports", row?.0.value())?);
        }
        Ok(books)
    }

    /// The energy report of a business day.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn energy_report(&self, day: Day) -> Result<Option<EnergyReport>, StoreError> {
        let reports = self.read.open_table(tables::ENERGY_REPORTS)?;
        let report = reports.get(day.to_string().as_str())?;
        report.map(|row| parse("energy_reports", &day, row.value())).transpose()
    }

    /// Energy reports, newest day first, of days before `before`, and whether there are older ones.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn energy_reports(&self, before: Option<Day>, limit: usize) -> Result<(Vec<EnergyReport>, bool), StoreError> {
        let reports = self.read.open_table(tables::ENERGY_REPORTS)?;
        let before = before.map(|day| day.to_string());
        let end = before
            .as_deref()
            .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rows = reports.range::<&str>((std::ops::Bound::Unbounded, end))?.rev();
        let mut found = Vec::new();
        for row in rows.by_ref().take(limit) {
            let (day, row) = row?;
            found.push(parse("energy_reports", &day.value(), row.value())?);
        }
        Ok((found, rows.next().is_some()))
    }
}

fn read_day(table: &'static str, text: &str) -> Result<Day, StoreError> {
    Day::parse(text).map_err(|error| bad(table, text, error))
}

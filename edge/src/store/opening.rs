//! The opening of a station with a history: one snapshot of its rows, signed, in a new file, while the station goes on (rule 13 of
//! the line).

use super::{
    Identity, Reader, Store, StoreError,
    backup::{give_name, new_private},
    named,
    read::{bad, parse},
    tables,
};
use domain::{
    ids::{CardId, ConnectorNo, MemberId, OrderId, Outlet, PileId},
    journal::Head,
    ledger::Account,
    time::{Day, Wall},
};
use protocol::{
    key::SigningKey,
    opening::{Begins, Row, VERSION, Writer},
};
use redb::ReadableTable;
use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

/// An opening that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The place in the journal after which the rows are those.
    pub head: Head,
    /// How many rows.
    pub rows: u64,
    /// How long the file is, in bytes.
    pub bytes: u64,
}

impl Store {
    /// Writes the opening of the present state into a new file at `to`, for its owner alone. It has that name once it is whole and
    /// on disk.
    ///
    /// # Errors
    /// [`StoreError::NotNew`] if there is a file; [`StoreError::Io`]. None of them leaves anything behind.
    pub fn opening(&self, to: &Path, key: &SigningKey, now: Wall) -> Result<Opening, StoreError> {
        if to.try_exists().map_err(|error| named(to, StoreError::of(&error)))? {
            return Err(StoreError::NotNew(to.to_owned()));
        }
        let unfinished = to.with_added_extension("unfinished");
        let failed = |path: &Path, error: &io::Error| named(path, StoreError::of(error));
        let written = (|| {
            let file = new_private(&unfinished).map_err(|error| failed(&unfinished, &error))?;
            let reader = self.reader()?;
            let (head, rows, out) = reader.write_opening(&self.identity(), BufWriter::new(file), key, now)?;
            let file = out.into_inner().map_err(|error| failed(&unfinished, error.error()))?;
            file.sync_all().map_err(|error| failed(&unfinished, &error))?;
            let bytes = give_name(&unfinished, to).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => StoreError::NotNew(to.to_owned()),
                _ => failed(to, &error),
            })?;
            Ok(Opening { head, rows, bytes })
        })();
        if written.is_err() {
            let _none_is_better_than_half = std::fs::remove_file(&unfinished);
        }
        written
    }
}

impl Reader {
    /// Writes all rows.
    ///
    /// # Errors
    /// As [`Reader::head`]; [`StoreError::Io`].
    pub fn write_opening<W: Write>(
        &self,
        identity: &Identity,
        out: W,
        key: &SigningKey,
        now: Wall,
    ) -> Result<(Head, u64, W), StoreError> {
        let (last, hash) = self.head()?;
        let head = Head { seq: last.seq, hash };
        let begins = Begins {
            version: VERSION,
            site: identity.site.clone(),
            epoch: identity.epoch.clone(),
            head,
            mono: last.mono,
            at: now,
        };
        let full = |error: io::Error| StoreError::of(&error);
        let mut writer = Writer::new(out, begins).map_err(full)?;
        self.each_row(&mut |row| writer.row(row).map_err(full))?;
        let (rows, out) = writer.end(key).map_err(full)?;
        Ok((head, rows, out))
    }

    fn each_row(&self, take: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for (account, balance) in self.station_accounts()? {
            take(Row::Account(account, balance))?;
        }
        take(Row::Clock(self.station_clock()?))?;
        if let Some(days) = self.energy_books()?.days {
            take(Row::Days(days))?;
        }
        take(Row::Desk(self.desk()?))?;
        for tariff in self.tariffs()? {
            take(Row::Tariff(Box::new(tariff)))?;
        }
        for pile in self.piles()? {
            take(Row::Pile(Box::new(pile)))?;
        }
        for row in self.read.open_table(tables::MEMBERS)?.iter()? {
            let (id, row) = row?;
            let id = MemberId::new(id.value()).map_err(|error| bad("members", id.value(), error))?;
            take(Row::Member {
                member: parse("members", &id, row.value())?,
                allowance: self.balance(&Account::Allowance(id.clone()))?,
                debt: self.balance(&Account::Debt(id.clone()))?,
            })?;
        }
        for row in self.read.open_table(tables::CARDS)?.iter()? {
            let (id, row) = row?;
            let id = CardId::new(id.value()).map_err(|error| bad("cards", id.value(), error))?;
            let card = parse("cards", &id, row.value())?;
            take(Row::Card(id, card))?;
        }
        for row in self.read.open_table(tables::ORDERS)?.iter()? {
            let (id, row) = row?;
            let id = OrderId::new(id.value()).map_err(|error| bad("orders", id.value(), error))?;
            take(Row::Order {
                order: parse("orders", &id, row.value())?,
                held: self.balance(&Account::Held(id.clone()))?,
            })?;
        }
        for row in self.read.open_table(tables::QUARANTINE)?.iter()? {
            let (number, row) = row?;
            let item = parse("quarantine", &number.value(), row.value())?;
            take(Row::Quarantine(number.value(), item))?;
        }
        self.each_row_of_desk(take)?;
        self.each_row_of_days(take)
    }

    fn each_row_of_desk(&self, take: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for row in self.read.open_table(tables::RECEIPTS)?.iter()? {
            let (number, row) = row?;
            let used = parse("receipts", &number.value(), row.value())?;
            take(Row::Receipt(number.value().to_owned(), used))?;
        }
        for row in self.read.open_table(tables::BANK_SLIPS)?.iter()? {
            let (number, row) = row?;
            let used = parse("bank_slips", &number.value(), row.value())?;
            take(Row::Slip(number.value().to_owned(), used))?;
        }
        for row in self.read.open_table(tables::SHIFTS)?.iter()? {
            let (number, row) = row?;
            let shift = parse("shifts", &number.value(), row.value())?;
            take(Row::Shift(number.value(), shift))?;
        }
        for row in self.read.open_table(tables::DESK_DAYS)?.iter()? {
            let (key, row) = row?;
            let (day, first) = key.value();
            let of = day_of("desk_days", day)?;
            take(Row::DeskDay(of, first, parse("desk_days", &day, row.value())?))?;
        }
        Ok(())
    }

    fn each_row_of_days(&self, take: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for row in self.read.open_table(tables::ENERGY_DAYS)?.iter()? {
            let (key, row) = row?;
            let (day, pile, connector) = key.value();
            let outlet = Outlet {
                pile: PileId::new(pile).map_err(|error| bad("energy_days", pile, error))?,
                connector: ConnectorNo(connector),
            };
            let of = day_of("energy_days", day)?;
            let sums = parse("energy_days", &outlet, row.value())?;
            take(Row::EnergyDay(of, outlet, sums))?;
        }
        for row in self.read.open_table(tables::ENERGY_REPORTS)?.iter()? {
            let (day, row) = row?;
            take(Row::EnergyReport(parse("energy_reports", &day.value(), row.value())?))?;
        }
        Ok(())
    }
}

fn day_of(table: &'static str, text: &str) -> Result<Day, StoreError> {
    Day::parse(text).map_err(|error| bad(table, text, error))
}

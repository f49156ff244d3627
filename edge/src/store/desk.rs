//! The desk on disk: corrections that wait for a second person, shifts, what business days did to the till, bank slips.

use super::{
    Page, Reader, StoreError,
    read::{bad, parse},
    tables,
    write::{Batch, json},
};
use domain::{
    desk::{Desk, DeskDay, Shift},
    fact::SlipUse,
    ids::OrderId,
    order::Order,
    site::Rows,
    time::Day,
};
use redb::{ReadableTableMetadata, WriteTransaction};

/// Where the open shift and the row of the day are named in the table `meta`.
const DESK: &str = "desk";

pub(super) fn write(write: &WriteTransaction, batch: &Batch, rows: &Rows) -> Result<(), StoreError> {
    let changes = &batch.changes;
    write_corrections(write, batch, rows)?;
    if changes.desk {
        let mut meta = write.open_table(tables::META)?;
        meta.insert(DESK, json(&rows.desk)?.as_slice())?;
    }
    if !changes.shifts.is_empty() {
        let mut shifts = write.open_table(tables::SHIFTS)?;
        for number in &changes.shifts {
            let shift = rows.shifts.get(number);
            let shift = shift.expect("a changed shift is in memory until it is written");
            shifts.insert(*number, json(shift)?.as_slice())?;
        }
    }
    if !changes.desk_days.is_empty() {
        let mut days = write.open_table(tables::DESK_DAYS)?;
        for key in &changes.desk_days {
            let day = rows.desk_days.get(key);
            let day = day.expect("a changed day of the desk is in memory until it is written");
            days.insert((key.0.to_string().as_str(), key.1), json(day)?.as_slice())?;
        }
    }
    if !changes.slips.is_empty() {
        let mut slips = write.open_table(tables::BANK_SLIPS)?;
        for slip in &changes.slips {
            if let Some(Some(used)) = rows.slips.get(slip) {
                slips.insert(slip.as_str(), json(used)?.as_slice())?;
            }
        }
    }
    Ok(())
}

/// Keeps the list of corrections that wait as the orders have it.
fn write_corrections(write: &WriteTransaction, batch: &Batch, rows: &Rows) -> Result<(), StoreError> {
    if batch.changes.orders.is_empty() {
        return Ok(());
    }
    let mut waiting = write.open_table(tables::CORRECTIONS)?;
    // Most stations have none, and most orders never had one.
    let none_waits = waiting.is_empty()?;
    for id in &batch.changes.orders {
        match rows.order(id).and_then(|order| order.proposal.as_ref()) {
            Some(proposal) => drop(waiting.insert(id.as_str(), proposal.number)?),
            None if none_waits => {}
            None => drop(waiting.remove(id.as_str())?),
        }
    }
    Ok(())
}

impl Reader {
    /// Orders with a correction that waits for a second person, in order of their ids, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn corrections(&self, after: Option<&str>, limit: usize) -> Result<Vec<Order>, StoreError> {
        let waiting = self.read.open_table(tables::CORRECTIONS)?;
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut orders = Vec::new();
        for row in waiting.range::<&str>((start, std::ops::Bound::Unbounded))?.take(limit) {
            let id = row?.0.value().to_owned();
            let id = OrderId::new(&id).map_err(|error| bad("corrections", &id, error))?;
            orders.extend(self.order(&id)?);
        }
        Ok(orders)
    }

    /// Which shift is open, and which row of a day goes on.
    pub(super) fn desk(&self) -> Result<Desk, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        let desk = meta.get(DESK)?;
        let desk = desk.map(|row| parse("meta", &DESK, row.value())).transpose()?;
        Ok(desk.unwrap_or_default())
    }

    /// Puts in memory what is always there of the desk.
    pub(super) fn recover_desk(&self, rows: &mut Rows) -> Result<(), StoreError> {
        rows.desk = self.desk()?;
        if let Some(number) = rows.desk.shift {
            let shift = self.shift(number)?;
            let shift = shift.ok_or_else(|| bad("shifts", &number.to_string(), "the open shift is missing"))?;
            rows.shifts.insert(number, shift);
        }
        if let Some(key) = rows.desk.day {
            let days = self.read.open_table(tables::DESK_DAYS)?;
            let day = key.0.to_string();
            let row = days.get((day.as_str(), key.1))?;
            let row = row.ok_or_else(|| bad("desk_days", &day, "the day that goes on is missing"))?;
            rows.desk_days.insert(key, parse("desk_days", &day, row.value())?);
        }
        Ok(())
    }

    fn shift(&self, number: u64) -> Result<Option<Shift>, StoreError> {
        let shifts = self.read.open_table(tables::SHIFTS)?;
        let row = shifts.get(number)?;
        row.map(|row| parse("shifts", &number, row.value())).transpose()
    }

    /// The shift that is open at the desk.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn open_shift(&self) -> Result<Option<Shift>, StoreError> {
        self.desk()?.shift.map_or(Ok(None), |number| self.shift(number))
    }

    /// Shifts, newest first, of numbers before `before`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn shifts(&self, before: Option<u64>, limit: usize) -> Result<Page<Shift>, StoreError> {
        let shifts = self.read.open_table(tables::SHIFTS)?;
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for row in shifts.range(..before.unwrap_or(u64::MAX))?.rev() {
            let (number, row) = row?;
            if page.items.len() == limit {
                return Ok(page);
            }
            page.next = Some(number.value());
            page.items.push(parse("shifts", &number.value(), row.value())?);
        }
        page.next = None;
        Ok(page)
    }

    /// What a business day did to the till, in the order in which it happened: one row, or several where the clock was set
    /// back into it. Where no cash moved in it, the last row of the days before.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn desk_day(&self, day: Day) -> Result<Vec<DeskDay>, StoreError> {
        let days = self.read.open_table(tables::DESK_DAYS)?;
        let text = day.to_string();
        let mut rows = Vec::new();
        for row in days.range((text.as_str(), 0)..=(text.as_str(), u64::MAX))? {
            rows.push(parse("desk_days", &text, row?.1.value())?);
        }
        if rows.is_empty()
            && let Some(row) = days.range(..(text.as_str(), 0))?.next_back()
        {
            rows.push(parse("desk_days", &text, row?.1.value())?);
        }
        Ok(rows)
    }

    pub(super) fn slip(&self, slip: &str) -> Result<Option<SlipUse>, StoreError> {
        let slips = self.read.open_table(tables::BANK_SLIPS)?;
        let used = slips.get(slip)?;
        used.map(|row| parse("bank_slips", &slip, row.value())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Mark,
        store::{Recovered, Store},
    };
    use domain::{
        ids::{Randomness, SiteId},
        journal::Hash,
        policy::Policy,
        site::{Input, Site},
        time::{Mono, Now, Wall},
        units::Fen,
    };
    use redb::backends::InMemoryBackend;

    struct Sevens;

    impl Randomness for Sevens {
        fn bits(&mut self) -> u128 {
            7
        }
    }

    /// A station on a disk in memory, without piles.
    struct Station {
        store: Store,
        site: Site,
        head: Hash,
        now: Now,
    }

    impl Station {
        fn new() -> Self {
            let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
            let Recovered {
                head, head_hash, rows, ..
            } = store.recover().unwrap();
            let now = Now {
                mono: Mono(1_000),
                wall: Wall::parse("2026-03-01T10:00:00+08:00").unwrap(),
            };
            Self {
                store,
                site: Site::new(Policy::default(), head, rows),
                head: head_hash,
                now,
            }
        }

        fn ask(&mut self, input: Input) {
            for key in self.site.needs(&input) {
                let row = self.store.reader().unwrap().load(&key).unwrap();
                self.site.load(row);
            }
            let outcome = self.site.handle(self.now, &mut Sevens, input).unwrap();
            outcome.answer.unwrap();
            let batch = Batch {
                facts: outcome.facts,
                changes: self.site.take_changes(),
                ..Batch::default()
            };
            let committed = self.store.commit(&batch, self.site.rows(), self.head, &Mark::default());
            self.head = committed.unwrap();
            self.site.evict();
        }

        fn count(&mut self, counted: i64) {
            self.ask(Input::CountCash {
                counted: Fen(counted),
                reason: Some("found".to_owned()),
                by: "alice".to_owned(),
            });
        }
    }

    #[test]
    fn the_open_shift_and_the_day_are_there_again_after_a_start() {
        let mut station = Station::new();
        let by = || "alice".to_owned();
        station.ask(Input::OpenShift { by: by() });
        station.count(500);
        station.ask(Input::BankCash {
            amount: Fen(200),
            slip: "B1".to_owned(),
            by: by(),
        });
        let found = station.store.recover().unwrap().rows;
        let rows = station.site.rows();
        assert_eq!(
            (found.desk, &found.shifts, &found.desk_days),
            (rows.desk, &rows.shifts, &rows.desk_days)
        );
        assert_eq!(
            (found.till(), found.open_shift().map(|shift| shift.till())),
            (Fen(300), Some(Fen(300)))
        );

        station.count(300);
        station.ask(Input::CloseShift { by: by() });
        station.now.wall = station.now.wall.after_ms(86_400_000);
        station.ask(Input::Tick);
        let found = station.store.recover().unwrap().rows;
        assert_eq!(
            (found.desk, found.shifts.len(), found.desk_days.len()),
            (Desk::default(), 0, 0)
        );
        let reader = station.store.reader().unwrap();
        let closed = reader.shifts(None, 10).unwrap().items;
        assert!(closed.len() == 1 && closed[0].closed.is_some());
        let day = reader.desk_day(Day::parse("2026-03-01").unwrap()).unwrap();
        assert_eq!((day.len(), day[0].closing(), day[0].counts), (1, Fen(300), 2));
        assert_eq!(reader.slip("B1").unwrap().unwrap().amount, Fen(200));
    }
}

//! Head office's database is copied now and then, and in many lives it is lost and the last copy takes its place. What the copy
//! has not comes from the sites again; what a site has lost as well by then is gone.

use super::{
    super::{HOUR, MINUTE, SECOND},
    Event, ThreeSites,
    books::Issued,
    copy::Mirror,
    coverage::Mishap,
    money::Deed,
    races::Race,
};
use crate::seed::Seed;
use books::store::{Db, Row, StoreError, Tx, Value, forgotten, identity};
use domain::ids::MemberId;
use std::collections::BTreeMap;

/// A copy of head office's database, and what it has of each site.
pub(super) struct Backup {
    tables: Vec<Table>,
    mirrors: Vec<Mirror>,
    /// What members had paid in, and what had come back twice.
    paid_in: BTreeMap<MemberId, i64>,
    twice: BTreeMap<MemberId, i64>,
}

/// A table and its rows.
struct Table {
    name: String,
    rows: Vec<Vec<Value>>,
}

type Step = Result<(), String>;

impl ThreeSites {
    /// In two lives of three head office's database is lost at some time.
    pub(super) fn plan_offices_loss(&mut self) {
        self.after(10 * MINUTE, Event::PeopleLook);
        let copied = self.between(HOUR, 6 * HOUR);
        self.after(copied, Event::OfficeIsCopied);
        if self.rng.below(3) > 0 {
            let lost = self.between(5 * HOUR, 18 * HOUR);
            self.after(lost, Event::OfficeIsLost);
        }
    }

    /// The database is copied now, and again later.
    pub(super) fn office_is_copied_again(&mut self) -> Step {
        let again = self.between(2 * HOUR, 12 * HOUR);
        self.after(again, Event::OfficeIsCopied);
        self.office_is_copied()
    }

    /// The database is copied, whether a process is at it or none.
    pub(super) fn office_is_copied(&mut self) -> Step {
        let tables = self.office.read(tables)?;
        let mirrors = self.sites.iter().map(|site| site.copy.clone()).collect();
        self.office.backup = Some(Backup {
            tables,
            mirrors,
            paid_in: self.purses.paid_in.clone(),
            twice: self.purses.twice.clone(),
        });
        Ok(())
    }

    /// Whoever is told by sites that head office was restored, and did not say so then, says so now: `holdfast-central restored`.
    /// That was so where a copy serves once more: it knows nothing of the life that began with it.
    pub(super) fn people_look(&mut self) -> Step {
        self.after(10 * MINUTE, Event::PeopleLook);
        self.people_find_forks()?;
        if self.office.read(forgotten::unknown)?.is_empty() {
            return self.people_let_wallets_go();
        }
        self.note(|| "sites know what head office has forgotten: it is said that it was restored".to_owned());
        self.met.note(Mishap::AskedForRestored);
        self.offices_end();
        let now = self.clock().wall;
        self.office.write(move |tx| identity::restored(tx, now).map(drop))?;
        let starts = self.between(SECOND, MINUTE);
        self.after(starts, Event::OfficeStarts);
        Ok(())
    }

    /// The database is lost with its processes, and the last copy takes its place: another life of head office's begins.
    pub(super) fn office_is_lost(&mut self) -> Step {
        let Some(Backup {
            tables,
            mirrors,
            paid_in,
            twice,
        }) = self.office.backup.take().filter(|_| !self.calm)
        else {
            return Ok(());
        };
        self.note(|| "head office is restored from a copy".to_owned());
        self.met.note(Mishap::OfficeRestored);
        self.races.note(Race::OfficeRestored);
        self.purses.has_lost = true;
        (self.purses.paid_in, self.purses.twice) = (paid_in.clone(), twice.clone());
        self.offices_end();
        let failed = |error: StoreError| format!("head office's copy cannot be restored: {error}");
        let lost = self.office.read(issued)?;
        let random = Seed::new(self.rng.next_u64());
        self.office.db = Db::simulated(random).map_err(failed)?;
        let now = self.clock().wall;
        let tables = self.office.write(move |tx| {
            fill(tx, &tables)?;
            identity::restored(tx, now)?;
            Ok(tables)
        })?;
        for (site, mirror) in self.sites.iter_mut().zip(&mirrors) {
            if site.copy.head != mirror.head {
                self.met.note(Mishap::OfficeForgot);
                site.office_was_at = site.office_was_at.max(site.copy.head.seq);
            }
            site.copy = mirror.clone();
        }
        let known = self.office.read(issued)?;
        self.purses.forgets(lost, &known);
        // The same copy may have to serve once more.
        self.office.backup = Some(Backup {
            tables,
            mirrors,
            paid_in,
            twice,
        });
        self.undo_everything()?;
        self.check_money()?;
        let starts = self.between(MINUTE, 20 * MINUTE);
        self.after(starts, Event::OfficeStarts);
        // The channel's bill of the day says what is missing.
        let credited = starts + self.between(HOUR, 6 * HOUR);
        self.after(credited, Event::Deed(Deed::CreditsForgotten));
        if self.rng.below(2) == 0 {
            let lost = starts + self.between(SECOND, 4 * HOUR);
            self.after(lost, Event::OfficeIsLost);
        }
        Ok(())
    }
}

/// All money that was ever sent on the road: by its number, whose it is and how much.
fn issued(tx: &mut dyn Tx) -> Result<Issued, StoreError> {
    let rows = tx.query("SELECT id, member, amount FROM issue", &[])?;
    let issue = |mut row: Row| {
        let member = row.text(1)?.parse();
        let member = member.map_err(|_| StoreError::Broken("the member of an issue".to_owned()))?;
        Ok((row.text(0)?, (member, row.int(2)?)))
    };
    rows.into_iter().map(issue).collect()
}

/// All that is in the database.
fn tables(tx: &mut dyn Tx) -> Result<Vec<Table>, StoreError> {
    let names = tx.query(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
        &[],
    )?;
    let table = |name: String| {
        let rows = tx.query(&format!("SELECT * FROM {name} ORDER BY rowid"), &[])?;
        let rows = rows.into_iter().map(|row| row.0).collect();
        Ok(Table { name, rows })
    };
    let names: Result<Vec<String>, StoreError> = names.into_iter().map(|mut row| row.text(0)).collect();
    names?.into_iter().map(table).collect()
}

/// Puts it into one that has just been made: tables stand in the order in which they were made, what is referred to first.
fn fill(tx: &mut dyn Tx, tables: &[Table]) -> Result<(), StoreError> {
    for Table { name, rows } in tables {
        for row in rows {
            let places: Vec<String> = (1..=row.len()).map(|n| format!("${n}")).collect();
            // What every database begins with is there already.
            let statement = format!("INSERT OR REPLACE INTO {name} VALUES ({})", places.join(", "));
            tx.execute(&statement, row)?;
        }
    }
    Ok(())
}

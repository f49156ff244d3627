//! A site's rows against its journal: followed again from its first entry, by the same code, in a database that goes away
//! afterwards; or in place, where the rows are to be made anew.

use super::Verified;
use crate::{
    ingest::{Again, SiteCopy},
    store::{
        LookUp, Row, SetStatement, StoreError, Tx, Value, findings, journal,
        replica::TABLES,
        scratch,
        sites::{self, Site},
    },
};
use domain::{ids::SiteId, time::Wall};
use protocol::frame::Batch;
use std::collections::BTreeMap;

/// Batches that are followed between two writes: an order's facts stand close together, and its row is written once.
const TOGETHER: u64 = 16;
/// How long they are together when unpacked, unless a single one is longer.
const TOGETHER_RAW_MAX: usize = 32 * 1024 * 1024;
/// Rows that are compared at once.
const PAGE: u64 = 500;
/// How much of a value is told.
const TOLD_MAX: usize = 120;

/// Follows a site's journal from its first entry, and compares every row that comes of it with the one in the database, byte for
/// byte. Rows that an older version of this program wrote may differ in form alone; [`rebuild`] writes them anew.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Broken`] where there is no such site, or its journal cannot be followed.
pub fn verify(tx: &mut dyn Tx, id: &SiteId) -> Result<Verified, StoreError> {
    let site = found(tx, id)?;
    scratch(|anew| {
        let mut again = Again::elsewhere(tx, anew, &site)?;
        loop {
            let batches = next(tx, &again)?;
            if batches.is_empty() {
                break;
            }
            again.follow(anew, &batches)?;
        }
        let mut verified = Verified::default();
        ends_right(&again, &site)?;
        for table in &TABLES {
            Table { of: table, site: id }.compare(&mut verified, tx, anew)?;
        }
        Ok(verified)
    })
}

/// Makes a site's rows anew from its journal, which stays as it is, as do the books. What differs of its bills is kept as findings.
/// The owner of the site, who alone may do it, goes on with the copy that this gives.
///
/// # Errors
/// [`StoreError::NotOwner`]; [`StoreError::Broken`] where there is no such site, or its journal cannot be followed. Nothing has
/// changed then.
pub fn rebuild(tx: &mut dyn Tx, me: &str, id: &SiteId, now: Wall) -> Result<SiteCopy, StoreError> {
    let site = found(tx, id)?;
    sites::hold(tx, me, &site)?;
    clear(tx, id)?;
    let mut again = Again::new(tx, &site)?;
    loop {
        let batches = next(tx, &again)?;
        if batches.is_empty() {
            break;
        }
        let found = again.follow(tx, &batches)?;
        findings::add(tx, id, site.branch, &found, now)?;
    }
    ends_right(&again, &site)?;
    Ok(again.into_copy())
}

/// Takes all rows of a site away.
pub(super) fn clear(tx: &mut dyn Tx, id: &SiteId) -> Result<(), StoreError> {
    for table in &TABLES {
        let statement = format!("DELETE FROM {} WHERE site = $1", table.table);
        tx.execute(&statement, &[id.as_str().into()])?;
    }
    Ok(())
}

pub(super) fn found(tx: &mut dyn Tx, id: &SiteId) -> Result<Site, StoreError> {
    sites::find(tx, id)?.ok_or_else(|| StoreError::Broken(format!("there is no site {id}")))
}

/// The batches that are followed next; none after the last.
pub(super) fn next(tx: &mut dyn Tx, again: &Again) -> Result<Vec<Batch>, StoreError> {
    let Site { id, branch, head, .. } = again.site();
    let mut batches = journal::after(tx, id, *branch, head.seq, TOGETHER)?;
    let mut raw = 0;
    let within = batches.iter().take_while(|batch| {
        raw += batch.raw as usize;
        raw <= TOGETHER_RAW_MAX
    });
    let within = within.count().max(1);
    batches.truncate(within);
    Ok(batches)
}

/// The journal ends where the site's head is, at the time and on the day that are kept with it.
fn ends_right(again: &Again, site: &Site) -> Result<(), StoreError> {
    let end = again.site();
    if (end.head, end.mono, end.day) == (site.head, site.mono, site.day) {
        return Ok(());
    }
    let of = |site: &Site| format!("{} at {} ms, {:?}", site.head, site.mono.0, site.day);
    Err(StoreError::Broken(format!(
        "the journal of {} ends with {}, and its head is {}",
        site.id,
        of(end),
        of(site)
    )))
}

/// A table's rows of a site, in two databases.
struct Table<'a> {
    of: &'static SetStatement,
    site: &'a SiteId,
}

impl Table<'_> {
    /// Compares what is `here` with what was made `anew`. The two may sort texts in different orders, so rows are looked up by
    /// their keys.
    fn compare(&self, verified: &mut Verified, here: &mut dyn Tx, anew: &mut dyn Tx) -> Result<(), StoreError> {
        let mut in_both = 0;
        self.each_page(here, |page| {
            let mut others = self.look_up(anew, &page)?;
            for row in page {
                verified.looked_at += 1;
                let key = self.key(&row);
                match others.remove(key) {
                    None => verified.note(self.of.table, shown(key), "it does not follow from the journal"),
                    Some(other) => {
                        in_both += 1;
                        if let Some(what) = self.difference(&row, &other) {
                            verified.note(self.of.table, shown(key), what);
                        }
                    }
                }
            }
            Ok(())
        })?;
        let statement = format!("SELECT COUNT(*) FROM {} WHERE site = $1", self.of.table);
        let made = anew.query_optional(&statement, &[self.site.as_str().into()])?;
        if made.map_or(Ok(0), |mut row| row.count(0))? == in_both {
            return Ok(());
        }
        self.each_page(anew, |page| {
            let others = self.look_up(here, &page)?;
            let keys = page.iter().map(|row| self.key(row));
            for key in keys.filter(|key| !others.contains_key(*key)) {
                verified.note(self.of.table, shown(key), "it is missing");
            }
            Ok(())
        })
    }

    /// The key of a row, without the site.
    fn key<'r>(&self, row: &'r Row) -> &'r [Value] {
        &row.0[1..self.of.keys]
    }

    fn look_up(&self, tx: &mut dyn Tx, rows: &[Row]) -> Result<BTreeMap<Vec<Value>, Row>, StoreError> {
        let keys: Vec<Vec<Value>> = rows.iter().map(|row| row.0[..self.of.keys].to_vec()).collect();
        let found = tx.find_all(&LookUp::of(self.of), &keys)?;
        Ok(found.into_iter().map(|row| (self.key(&row).to_vec(), row)).collect())
    }

    /// Goes through all rows, in the order of their keys.
    fn each_page(
        &self,
        tx: &mut dyn Tx,
        mut take: impl FnMut(Vec<Row>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let names: Vec<&str> = self.of.columns.iter().map(|column| column.name).collect();
        let keys = names[1..self.of.keys].join(", ");
        let (names, table) = (names.join(", "), self.of.table);
        let places: Vec<String> = (3..self.of.keys + 2).map(|n| format!("${n}")).collect();
        let mut after: Vec<Value> = Vec::new();
        loop {
            let beyond = match after.is_empty() {
                true => String::new(),
                false => format!(" AND ({keys}) > ({})", places.join(", ")),
            };
            let statement = format!("SELECT {names} FROM {table} WHERE site = $1{beyond} ORDER BY {keys} LIMIT $2");
            let values = [vec![self.site.as_str().into(), PAGE.into()], after].concat();
            let page = tx.query(&statement, &values)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = self.key(last).to_vec();
            take(page)?;
        }
    }

    /// In which column two rows differ, and what each has there.
    fn difference(&self, here: &Row, anew: &Row) -> Option<String> {
        let columns = self.of.columns.iter().zip(here.0.iter().zip(&anew.0));
        let mut differing = columns.filter(|(_, (here, anew))| here != anew);
        let (column, (here, anew)) = differing.next()?;
        let (here, anew) = told(here, anew);
        Some(format!("{} is {here}, and {anew} by the journal", column.name))
    }
}

fn shown(key: &[Value]) -> String {
    let parts: Vec<String> = key.iter().map(plain).collect();
    parts.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => domain::journal::hex(bytes),
    }
}

/// Two values that differ, of long ones the part around the first place where they do.
fn told(here: &Value, anew: &Value) -> (String, String) {
    let (here, anew) = (plain(here), plain(anew));
    let common = here.chars().zip(anew.chars()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| {
        let skipped = common.saturating_sub(TOLD_MAX / 2);
        let part: String = text.chars().skip(skipped).take(TOLD_MAX).collect();
        let (before, after) = (skipped > 0, text.chars().count() > skipped + TOLD_MAX);
        let dots = |some: bool| if some { "…" } else { "" };
        format!("{}{part}{}", dots(before), dots(after))
    };
    (part(&here), part(&anew))
}

//! Head office's database goes from a file to PostgreSQL: every row of it, in one transaction there; after that the old one is
//! refused, and another life of head office's has begun in the new one.
//!
//! Two databases cannot commit at once, so both know of the move. Cut off before the new one has everything, nothing has happened.
//! Cut off after that, the new one is refused until the old one is marked: whoever moves again goes on from there.

use super::{
    Access, Checked, Engine, SetStatement, StoreError, Tx, Value, audit, identity,
    postgres::{self, Postgres},
    schema,
    set::{Column, Present, bytes, int, text},
    sqlite::Sqlite,
};
use domain::{journal::hex, time::Wall};
use protocol::frame::HqEpoch;
use std::path::Path;

/// Rows that are in memory at once; of batches fewer, as each may be megabytes.
const PAGE: u64 = 2_000;
const BATCHES: u64 = 16;

/// What became of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The life of head office's that begins.
    pub hq_epoch: HqEpoch,
    /// How many rows were moved; none where it only had to be finished.
    pub rows: u64,
    /// Where to, without a password.
    pub to: String,
}

/// What a database knows of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    /// Which move.
    id: String,
    /// Whether it came from there; else it went there.
    arrives: bool,
    /// Where it came from, or went.
    place: String,
}

fn mark(tx: &mut dyn Tx) -> Result<Option<Mark>, StoreError> {
    let row = tx.query_optional("SELECT move, arrives, place FROM moved WHERE id = 1", &[])?;
    row.map(|mut row| {
        Ok(Mark {
            id: row.text(0)?,
            arrives: row.int(1)? != 0,
            place: row.text(2)?,
        })
    })
    .transpose()
}

fn put(tx: &mut dyn Tx, mark: &Mark) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO moved (id, move, arrives, place) VALUES (1, $1, $2, $3)",
        &[mark.id.as_str().into(), mark.arrives.into(), mark.place.as_str().into()],
    )
    .map(drop)
}

/// Refuses a database that was moved elsewhere, or into which one is being moved.
pub(super) fn refuse(engine: &mut impl Engine) -> Result<(), StoreError> {
    engine.transact(Access::Read, &mut |tx| match mark(tx)? {
        None => Ok(()),
        Some(Mark {
            arrives: false, place, ..
        }) => Err(StoreError::Moved(place)),
        Some(Mark { place, .. }) => Err(StoreError::Arriving(place)),
    })
}

/// Moves the database in a file to PostgreSQL, into a database that is empty. Nobody else may have either open. Where an earlier
/// move was cut off before its end, it is finished.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Moved`]: it was moved elsewhere; [`StoreError::Constraint`]: there is something in the new one.
pub fn to_postgres(from: &Path, url: &str, by: &str, now: Wall) -> Result<Moved, StoreError> {
    let to = postgres::place_of(url)?;
    let (mut old, mut new) = (Sqlite::open(from)?, Postgres::new(url)?);
    schema::migrate(&mut old)?;
    schema::migrate(&mut new)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let id = hex(&random);
    let mut moved = Moved {
        hq_epoch: HqEpoch([0; 16]),
        rows: 0,
        to: to.clone(),
    };
    transact(&mut old, &mut |old| {
        if let Some(mark) = mark(old)? {
            return go_on(&mut new, &mark, &mut moved);
        }
        // Nobody writes into the old one while this lasts.
        transact(&mut new, &mut |new| {
            is_empty(new)?;
            let rows = copy_all(old, new)?;
            let hq_epoch = identity::begin_anew(new, now)?;
            let place = from.display().to_string();
            let detail = serde_json::json!({ "from": place, "to": to, "hq_epoch": hq_epoch, "rows": rows });
            audit::append(new, now, by, "moved", "head office", detail)?;
            let (id, arrives) = (id.clone(), true);
            put(new, &Mark { id, arrives, place })?;
            (moved.hq_epoch, moved.rows) = (hq_epoch, rows);
            Ok(())
        })?;
        let mark = Mark {
            id: id.clone(),
            arrives: false,
            place: to.clone(),
        };
        put(old, &mark)
    })?;
    transact(&mut new, &mut |new| {
        new.execute("DELETE FROM moved WHERE id = 1", &[]).map(drop)
    })?;
    Ok(moved)
}

/// The old one was moved already: if it was here, and not to its end, that is all there is to do.
fn go_on(new: &mut Postgres, left: &Mark, moved: &mut Moved) -> Result<(), StoreError> {
    transact(new, &mut |new| {
        let is_same = mark(new)?.is_some_and(|arrived| arrived.arrives && arrived.id == left.id);
        if !is_same {
            return Err(StoreError::Moved(left.place.clone()));
        }
        moved.hq_epoch = identity::epoch(new)?.unwrap_or(moved.hq_epoch);
        Ok(())
    })
}

fn transact(
    engine: &mut impl Engine,
    work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    engine.transact(Access::Write, &mut |tx| {
        let mut tx = Checked::new(tx, Access::Write);
        work(&mut tx)?;
        tx.ended()
    })
}

fn is_empty(new: &mut dyn Tx) -> Result<(), StoreError> {
    if let Some(mark) = mark(new)? {
        let why = format!(
            "a move of {} into it was cut off at its very end: make the new database anew, empty, and move again",
            mark.place
        );
        return Err(StoreError::Constraint(why));
    }
    for table in ["head_office", "site", "audit", "person", "token"] {
        if !new.query(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])?.is_empty() {
            let why = "there is something in the new database: name an empty one, which no daemon was started on";
            return Err(StoreError::Constraint(why.to_owned()));
        }
    }
    Ok(())
}

/// A table that is copied. They live as long as the program: it ends when they are copied.
struct Table {
    name: &'static str,
    columns: &'static [Column],
}

impl Table {
    fn of(old: &mut dyn Tx, name: &str) -> Result<Self, StoreError> {
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        let mut columns = Vec::new();
        for mut row in old.query(
            "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
            &[name.into()],
        )? {
            let column: &'static str = Box::leak(row.text(0)?.into_boxed_str());
            columns.push(match row.text(1)?.as_str() {
                "INT" => int(column),
                "TEXT" => text(column),
                "BLOB" => bytes(column),
                other => return Err(StoreError::Broken(format!("{name}.{column} is a {other}"))),
            });
        }
        let columns = columns.leak();
        Ok(Self { name, columns })
    }

    /// Copies every row; how many.
    fn copy(&self, old: &mut dyn Tx, new: &mut dyn Tx) -> Result<u64, StoreError> {
        let Self { name, columns } = *self;
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let page = if name == "batch" { BATCHES } else { PAGE };
        let statement = format!(
            "SELECT rowid, {} FROM {name} WHERE rowid > $1 ORDER BY rowid LIMIT $2",
            names.join(", ")
        );
        let set = SetStatement {
            table: name,
            keys: 1,
            columns,
            present: Present::Refuse,
        };
        let (mut after, mut copied) = (Value::Int(i64::MIN), 0);
        loop {
            let mut rows: Vec<Vec<Value>> = old
                .query(&statement, &[after.clone(), page.into()])?
                .into_iter()
                .map(|row| row.0)
                .collect();
            let Some(last) = rows.last() else { return Ok(copied) };
            after = last[0].clone();
            copied += rows.len() as u64;
            rows.iter_mut().for_each(|row| drop(row.remove(0)));
            new.write_all(&set, &rows)?;
        }
    }
}

/// Copies every table, in the order in which they were made: what rows name is there before them.
fn copy_all(old: &mut dyn Tx, new: &mut dyn Tx) -> Result<u64, StoreError> {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' \
                  AND name NOT IN ('schema_version', 'moved') ORDER BY rowid";
    // The end of a chain that has not begun.
    new.execute("DELETE FROM audit_head WHERE id = 1", &[])?;
    let mut rows = 0;
    for mut row in old.query(tables, &[])? {
        let table = Table::of(old, &row.text(0)?)?;
        let copied = table.copy(old, new)?;
        let counted = new.query_optional(&format!("SELECT COUNT(*) FROM {}", table.name), &[])?;
        let counted = counted.map_or(Ok(0), |mut row| row.count(0))?;
        if counted != copied {
            let name = table.name;
            return Err(StoreError::Broken(format!(
                "{name} has {counted} rows there, and {copied} were copied"
            )));
        }
        rows += copied;
    }
    Ok(rows)
}

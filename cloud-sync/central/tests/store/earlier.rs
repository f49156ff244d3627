//! Databases of earlier versions, with rows, as programs of then have left them in `earlier/{version}.sql`: one statement after the other,
//! each before a line with a semicolon alone. They are opened by this one, and nothing of them is lost.

use crate::{Home, cluster::Folder, number, query, wait};
use central::{
    store::{Db, Place, ledger},
    upkeep,
};
use std::collections::BTreeMap;

const EARLIER: [(i64, &str); 2] = [(1, include_str!("earlier/1.sql")), (9, include_str!("earlier/9.sql"))];

/// A file that has these statements and nothing else.
fn file_of(text: &'static str, folder: &Folder) -> Place {
    let place = Place::File(folder.path().join("central.sqlite"));
    let db = Db::open(&place).unwrap();
    let written = db.write(move |tx| {
        tx.query("PRAGMA defer_foreign_keys = ON", &[])?;
        for kind in ["trigger", "index", "table"] {
            let all =
                format!("SELECT name FROM sqlite_master WHERE type = '{kind}' AND sql IS NOT NULL ORDER BY rowid DESC");
            for mut row in tx.query(&all, &[])? {
                tx.execute(&format!("DROP {kind} {}", row.text(0)?), &[])?;
            }
        }
        for statement in text.split("\n;\n").filter(|statement| !statement.trim().is_empty()) {
            tx.execute(statement, &[])?;
        }
        Ok(())
    });
    wait(written).unwrap();
    place
}

/// Every table, index and trigger, with its statement in one line.
fn schema(db: &Db) -> BTreeMap<String, String> {
    let rows = query(db, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL");
    let of_row = |mut row: central::store::Row| {
        let words = row.text(1).unwrap();
        // A column that was added later stands at the end, wherever the line breaks are.
        let words: Vec<&str> = words.split_whitespace().collect();
        (row.text(0).unwrap(), words.join(" ").replace("( ", "("))
    };
    rows.into_iter().map(of_row).collect()
}

fn counts(db: &Db) -> BTreeMap<String, i64> {
    let tables = query(
        db,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'schema_version'",
    );
    let count = |mut row: central::store::Row| {
        let table = row.text(0).unwrap();
        let statement = format!("SELECT count(*) FROM {table}");
        let rows = wait(db.read(move |tx| tx.query(&statement, &[]))).unwrap();
        let count = rows.into_iter().next().unwrap().int(0).unwrap();
        (table, count)
    };
    tables.into_iter().map(count).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_database_of_an_earlier_version_with_its_rows_is_brought_up_to_date() {
    let home = Home::file();
    let new = home.open();
    let newest = number(&new, "SELECT version FROM schema_version");
    for (version, text) in EARLIER {
        let folder = Folder::new("earlier");
        let place = file_of(text, &folder);
        let inserted = |table: &str| text.matches(&format!("INSERT INTO \"{table}\" ")).count() as i64;
        let db = Db::open(&place).unwrap();
        assert_eq!(
            number(&db, "SELECT version FROM schema_version"),
            newest,
            "from {version}"
        );
        assert_eq!(schema(&db), schema(&new), "from {version}");
        let rows = counts(&db);
        assert!(rows.len() > 15, "{rows:?}");
        for (table, count) in rows {
            assert_eq!(count, inserted(&table), "{table} from {version}");
        }
        let verified = wait(db.read(upkeep::ledger::verify)).unwrap();
        assert!(verified.differences.is_empty(), "from {version}: {verified:?}");
        let wallet = wait(db.read(|tx| ledger::balance(tx, "wallet:w"))).unwrap();
        assert!(wallet.0 > 0, "from {version}: {wallet}");
        drop(db);
        // And once more, as at the next start.
        assert_eq!(schema(&Db::open(&place).unwrap()), schema(&new));
    }
}

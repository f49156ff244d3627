//! Databases of earlier versions, with rows, as programs of then have left them in `earlier/{version}.sql`: one statement after the other,
//! each before a line with a semicolon alone. They are opened by this one, and nothing of them is lost.

use crate::{Home, cluster::Folder, number, query, wait};
use central::{
    store::{Db, Place, ledger},
    upkeep,
};
use serde_json::Value;
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

/// A database of version 9 in which a program of then has written this besides, brought up to date.
fn with_rows(folder: &Folder, statements: Vec<String>) -> Db {
    let text = EARLIER[1].1.to_owned() + &statements.join("\n;\n");
    Db::open(&file_of(text.leak(), folder)).unwrap()
}

#[test]
fn since_when_a_difference_is_open_follows_from_what_runs_have_said() {
    let found = |reference: &str, file: i64, day: &str, until: &str| {
        let ended = if until == "NULL" { "NULL" } else { "2" };
        format!(
            "INSERT INTO verdict (scope, leg, source, ref, file, line, class, is_matched, day, until, ended, of_day, at, amount, n) \
             VALUES ('payouts:wechat', 6, 8, '{reference}', {file}, 0, 28, 0, '{day}', {until}, {ended}, '2026-03-01', 0, {file}, 0)"
        )
    };
    let differs = |id: i64, reference: &str, day: &str| {
        format!(
            "INSERT INTO discrepancy (id, scope, leg, source, ref, file, line, class, day, of_day, state, amount, opened_at, n, is_matched) \
             VALUES ({id}, 'payouts:wechat', 6, 8, '{reference}', 0, 0, 28, '{day}', '2026-03-01', 'open', 0, 0, 0, 0)"
        )
    };
    let folder = Folder::new("since");
    let db = with_rows(
        &folder,
        vec![
            // What grows from day to day is as old as its first.
            found("grows", 0, "2026-03-02", "'2026-03-03'"),
            found("grows", 1, "2026-03-03", "'2026-03-04'"),
            found("grows", 2, "2026-03-04", "NULL"),
            differs(1, "grows", "2026-03-04"),
            // What was over for a day has begun anew.
            found("again", 0, "2026-03-02", "'2026-03-03'"),
            found("again", 1, "2026-03-05", "'2026-03-06'"),
            found("again", 2, "2026-03-06", "NULL"),
            differs(2, "again", "2026-03-06"),
            differs(3, "nobody finds it", "2026-03-07"),
        ],
    );
    let rows = query(&db, "SELECT since FROM discrepancy ORDER BY id");
    let since: Vec<String> = rows.into_iter().map(|mut row| row.text(0).unwrap()).collect();
    assert_eq!(since, ["2026-03-02", "2026-03-05", "2026-03-07"]);
}

#[test]
fn what_was_found_of_refunds_is_told_as_it_is_today() {
    let found = |seq: i64, detail: &str| {
        format!("INSERT INTO finding VALUES('A',0,{seq},'OVER_REFUND','o{seq}','{detail}',1772424000000)")
    };
    let folder = Folder::new("findings");
    let db = with_rows(
        &folder,
        vec![
            found(
                5,
                r#"{"bill":"2.00","refunded":"3.00","why":"more was given back than the bill in force says that the order cost"}"#,
            ),
            found(
                6,
                r#"{"amount":"1.00","refund":"R1","why":"the site has marked under this number another"}"#,
            ),
        ],
    );
    let rows = query(
        &db,
        "SELECT detail FROM finding WHERE class = 'OVER_REFUND' ORDER BY seq",
    );
    let details: Vec<Value> = rows
        .into_iter()
        .map(|mut row| serde_json::from_str(&row.text(0).unwrap()).unwrap())
        .collect();
    assert_eq!(
        (&details[0]["here"], &details[0]["site"]),
        (&"3.00".into(), &"2.00".into())
    );
    assert!(details[0].get("bill").is_none() && details[0].get("refunded").is_none());
    assert_eq!(
        (&details[1]["amount"], &details[1]["refund"]),
        (&"1.00".into(), &"R1".into())
    );
}

//! What only a file has to fear: other users, a full disk, damage, another process.

use crate::{ADD_STATE, Home, cluster::Folder, execute, is_broken, is_unavailable, number, state, wait};
use central::store::{Db, Place};
use std::{fs, os::unix::fs::PermissionsExt};

#[test]
fn only_its_owner_reads_the_file_and_those_beside_it() {
    let folder = Folder::new("modes");
    let _db = Db::open(&Place::File(folder.path().join("central.sqlite"))).unwrap();
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            entry.path()
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["central.sqlite", "central.sqlite-shm", "central.sqlite-wal"]);
}

#[test]
fn a_full_disk_takes_everything_back_and_when_there_is_room_it_goes_on() {
    let home = Home::file();
    let db = home.open();
    let pages = wait(db.write(|tx| tx.query("PRAGMA page_count", &[]))).unwrap()[0]
        .int(0)
        .unwrap();
    let room = move |pages: i64| format!("PRAGMA max_page_count = {pages}");
    let full = wait(db.write(move |tx| {
        tx.query(&room(pages + 4), &[])?;
        tx.execute(ADD_STATE, &state("small", "{}"))?;
        // The work thinks that it could do without.
        let _passed_over = tx.execute(ADD_STATE, &state("large", &"x".repeat(1 << 20)));
        tx.execute(ADD_STATE, &state("after", "{}"))
    }));
    is_unavailable(full);
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
    wait(db.write(move |tx| {
        tx.query(&room(1 << 30), &[])?;
        tx.execute(ADD_STATE, &state("large", &"x".repeat(1 << 20)))
    }))
    .unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 1);
}

#[test]
fn what_is_no_database_is_refused_and_named() {
    let folder = Folder::new("damage");
    let path = folder.path().join("central.sqlite");
    fs::write(&path, "no database. ".repeat(1_000)).unwrap();
    let opened = Db::open(&Place::File(path)).map(drop);
    assert!(
        opened
            .as_ref()
            .is_err_and(|error| error.to_string().contains("central.sqlite")),
        "{opened:?}"
    );
    is_broken(opened);
    let nowhere = folder.path().join("nowhere/central.sqlite");
    is_unavailable(Db::open(&Place::File(nowhere)).map(drop));
}

#[test]
fn two_that_write_the_same_file_wait_for_each_other() {
    let home = Home::file();
    let both = [home.open(), home.open()];
    std::thread::scope(|scope| {
        for (who, db) in both.iter().enumerate() {
            scope.spawn(move || {
                for n in 0..20 {
                    // It reads before it writes, as ingest does. On a slow disk the other may be faster for longer than is
                    // waited for.
                    let written = || {
                        wait(db.write(move |tx| {
                            tx.query("SELECT count(*) FROM r_state", &[])?;
                            tx.execute(ADD_STATE, &state(&format!("{who}-{n}"), "{}"))
                        }))
                    };
                    while let Err(error) = written() {
                        assert!(error.is_transient(), "{error:?}");
                    }
                }
            });
        }
    });
    assert_eq!(number(&both[0], "SELECT count(*) FROM r_state"), 40);
}

#[test]
fn a_constraint_of_a_closed_transaction_does_not_hold_the_next_one() {
    let home = Home::file();
    let db = home.open();
    for _ in 0..20 {
        assert!(execute(&db, "INSERT INTO r_state (site) VALUES ('S1')", vec![]).is_err());
    }
    execute(&db, ADD_STATE, state("days", "{}")).unwrap();
}

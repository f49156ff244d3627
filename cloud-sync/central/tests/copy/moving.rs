//! A head office whose database goes from a file to PostgreSQL.

use crate::{
    cluster::Cluster,
    head_office::{HeadOffice, ME, NOW, load, read},
    journal::Journal,
};
use central::{
    ingest::Taken,
    store::{Db, Place, StoreError, Value, audit, identity, moving, sites},
    upkeep::{journal, ledger, replica},
};
use std::{path::PathBuf, sync::Arc};

/// A head office in a file with most of a site's journal, and a new database.
struct Move {
    old: HeadOffice,
    file: PathBuf,
    journal: Journal,
    url: String,
    cluster: Arc<Cluster>,
}

impl Move {
    fn new() -> Self {
        let (old, cluster) = (HeadOffice::in_file(), Cluster::shared());
        let journal = Journal::of_sessions("S1", 8);
        let mut copy = old.add(&journal);
        let ends = journal.ends(20);
        for ends in ends[..ends.len() - 2].windows(2) {
            let batch = read(&journal.batch(ends[0], ends[1]), &copy);
            copy = old.take(copy, Arc::new(batch)).0;
        }
        old.write(|tx| {
            identity::of(tx, NOW)?;
            audit::append(tx, NOW, "a person", "site_added", "S1", serde_json::json!({})).map(drop)
        })
        .unwrap();
        Self {
            file: old.file(),
            url: cluster.new_database(),
            old,
            journal,
            cluster,
        }
    }

    fn go(&self) -> Result<moving::Moved, StoreError> {
        moving::to_postgres(&self.file, &self.url, "test", NOW)
    }

    fn opened(&self) -> Result<HeadOffice, StoreError> {
        let db = Db::open(&Place::Postgres(self.url.clone()))?;
        Ok(HeadOffice::at(db, Arc::clone(&self.cluster)))
    }

    /// In the new database, past what refuses it.
    fn beside(&self, statement: &str) -> i64 {
        let asked = std::process::Command::new("psql")
            .args([
                "-X",
                "-q",
                "-t",
                "-A",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.url,
                "-c",
                statement,
            ])
            .output()
            .unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8_lossy(&asked.stdout).trim().parse().unwrap_or(0)
    }

    /// Head office goes on with the site's journal.
    fn goes_on(&self, office: &HeadOffice) {
        let (site, ends) = (self.journal.site.clone(), self.journal.ends(20));
        let owned = site.clone();
        let late = NOW.after_ms(20_000);
        let is_own = office.write(move |tx| sites::own(tx, &owned, ME, late, late.after_ms(20_000)));
        assert_eq!(is_own, Ok(true));
        let mut copy = office.read(move |tx| load(tx, &site)).unwrap();
        for ends in ends[ends.len() - 3..].windows(2) {
            let batch = read(&self.journal.batch(ends[0], ends[1]), &copy);
            let taken;
            (copy, taken) = office.take(copy, Arc::new(batch));
            assert_eq!(taken, Taken::Followed);
        }
        let (site, end) = (self.journal.site.clone(), self.journal.place(self.journal.facts.len()));
        let looked = office.read(move |tx| {
            let rows = replica::verify(tx, &site)?;
            let chain = journal::verify(tx, &site, Some(end))?;
            Ok((rows, chain, ledger::verify(tx)?, audit::verify(tx)?))
        });
        let (rows, chain, books, audit) = looked.unwrap();
        assert!(rows.is_right() && rows.looked_at > 10, "{rows:?}");
        assert_eq!((chain.head, chain.fault), (end, None));
        assert!(books.is_right() && books.looked_at > 10, "{books:?}");
        assert!(audit.as_ref().is_ok_and(|end| end.seq >= 1), "{audit:?}");
    }
}

fn refusal(opened: Result<HeadOffice, StoreError>) -> String {
    opened.map(drop).unwrap_err().to_string()
}

#[test]
fn a_database_that_was_moved_goes_on_in_postgresql_and_is_refused_where_it_was() {
    let it = Move::new();
    let before = it.old.write(|tx| Ok(identity::of(tx, NOW)?.hq_epoch)).unwrap();
    let moved = it.go().unwrap();
    assert!(moved.rows > 100 && moved.hq_epoch != before, "{moved:?}");
    let office = it.opened().unwrap();
    let (epoch, was) = office
        .read(move |tx| Ok((identity::epoch(tx)?, identity::was(tx, before)?)))
        .unwrap();
    assert_eq!((epoch, was), (Some(moved.hq_epoch), true));
    it.goes_on(&office);

    let refused = Db::open(&Place::File(it.file.clone()))
        .map(drop)
        .unwrap_err()
        .to_string();
    for part in ["was moved to the database test_", "database.url"] {
        assert!(refused.contains(part), "{refused}");
    }
    // Nor can it be moved once more.
    assert!(matches!(it.go(), Err(StoreError::Moved(_))));
}

#[test]
fn a_move_that_is_cut_off_in_the_middle_has_not_happened() {
    let it = Move::new();
    // The new database has its tables, and breaks off at the movements, when sites and their journals are there.
    drop(it.opened().unwrap());
    it.beside("ALTER TABLE transfer ADD CONSTRAINT none CHECK (amount < 0)");
    let cut_off = it.go();
    assert!(
        matches!(&cut_off, Err(StoreError::Constraint(why)) if why.contains("none")),
        "{cut_off:?}"
    );
    let office = it.opened().unwrap();
    let sites = office.read(|tx| tx.query("SELECT id FROM site", &[])).unwrap();
    assert_eq!(sites, []);
    drop(office);
    it.beside("ALTER TABLE transfer DROP CONSTRAINT none");
    // The old one is as it was.
    let old = Db::open(&Place::File(it.file.clone()));
    assert!(old.is_ok(), "{:?}", old.map(drop));
    it.go().unwrap();
    it.goes_on(&it.opened().unwrap());
}

#[test]
fn a_move_that_is_cut_off_at_its_end_is_finished_by_moving_again() {
    let it = Move::new();
    let moved = it.go().unwrap();
    let left = it.old.read(|tx| tx.query("SELECT move FROM moved", &[])).unwrap();
    let Value::Text(id) = &left[0].0[0] else {
        panic!("{left:?}")
    };
    it.beside(&format!("INSERT INTO moved VALUES (1, '{id}', 1, 'the old file')"));
    let refused = refusal(it.opened());
    assert!(
        refused.contains("of the old file") && refused.contains("holdfast-central move"),
        "{refused}"
    );
    let again = it.go().unwrap();
    assert_eq!((again.hq_epoch, again.rows), (moved.hq_epoch, 0));
    it.goes_on(&it.opened().unwrap());
}

#[test]
fn a_move_of_which_the_old_database_knows_nothing_is_begun_anew_elsewhere() {
    let it = Move::new();
    drop(it.opened().unwrap());
    it.beside("INSERT INTO moved VALUES (1, 'ab', 1, 'the old file')");
    let refused = it.go().unwrap_err().to_string();
    assert!(
        refused.contains("make the new database anew, empty, and move again"),
        "{refused}"
    );
    let elsewhere = Move {
        url: it.cluster.new_database(),
        ..it
    };
    elsewhere.go().unwrap();
    elsewhere.goes_on(&elsewhere.opened().unwrap());
}

#[test]
fn nothing_is_moved_over_what_is_there() {
    let it = Move::new();
    let there = it.opened().unwrap();
    there.write(|tx| identity::of(tx, NOW).map(drop)).unwrap();
    let refused = it.go().unwrap_err().to_string();
    assert!(refused.contains("name an empty one"), "{refused}");
}

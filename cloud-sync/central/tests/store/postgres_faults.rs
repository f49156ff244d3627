//! PostgreSQL goes away, is killed, breaks off in the middle of a COMMIT, or stands in its own way: what was answered is there,
//! the rest is there whole or not at all, and the same [`Db`] goes on.

use crate::{
    ADD_STATE, ADD_TRANSFER, Home,
    cluster::{Cluster, wait_until},
    execute, is_constraint, is_unavailable,
    line::{Break, Line},
    number, state, transfer, wait,
};
use central::store::{Db, Place, StoreError, standbys};
use std::{
    collections::BTreeMap,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

const WRITERS: usize = 4;
/// Rows of one transaction.
const TOGETHER: i64 = 3;

/// Writes transactions until it is told to stop; says which were answered, and how.
fn write_on(db: &Db, writer: usize, answered: &AtomicUsize, stop: &AtomicBool) -> BTreeMap<String, bool> {
    let mut answers = BTreeMap::new();
    for n in 0.. {
        if stop.load(SeqCst) {
            break;
        }
        let name = format!("{writer}.{n}");
        let of = name.clone();
        let done = wait(db.write(move |tx| {
            for part in 0..TOGETHER {
                tx.execute(ADD_TRANSFER, &transfer(&format!("{of}.{part}")))?;
            }
            Ok(())
        }));
        match &done {
            Ok(()) => drop(answered.fetch_add(1, SeqCst)),
            Err(StoreError::Unavailable(_)) => thread::sleep(Duration::from_millis(5)),
            other => panic!("{other:?}"),
        }
        answers.insert(name, done.is_ok());
    }
    answers
}

#[test]
fn a_killed_server_loses_nothing_that_was_answered_and_halves_nothing() {
    let cluster = Cluster::start();
    let db = Db::open(&Place::Postgres(cluster.new_database())).unwrap();
    let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let answers: BTreeMap<String, bool> = thread::scope(|scope| {
        let writer = |writer| {
            let (db, answered, stop) = (&db, &answered, &stop);
            scope.spawn(move || write_on(db, writer, answered, stop))
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        // Whatever happens, the writers end.
        let faults = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3 {
                let before = answered.load(SeqCst);
                wait_until("some are written", || answered.load(SeqCst) >= before + 40);
                cluster.kill();
                is_unavailable(execute(&db, ADD_STATE, state("never", "{}")));
                cluster.start_again();
            }
            let before = answered.load(SeqCst);
            wait_until("the same goes on", || answered.load(SeqCst) >= before + 40);
        }));
        stop.store(true, SeqCst);
        let answers = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        faults.unwrap();
        answers
    });
    let found = wait(db.read(|tx| tx.query("SELECT id FROM transfer", &[]))).unwrap();
    let mut parts: BTreeMap<String, i64> = BTreeMap::new();
    for mut row in found {
        let id = row.text(0).unwrap();
        *parts.entry(id.rsplit_once('.').unwrap().0.to_owned()).or_default() += 1;
    }
    for (name, was_answered) in &answers {
        match parts.get(name) {
            None => assert!(!was_answered, "{name} was answered and is lost"),
            Some(count) => assert_eq!(*count, TOGETHER, "{name} is there in part"),
        }
    }
    assert!(parts.keys().all(|name| answers.contains_key(name)));
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
}

#[test]
fn while_the_server_is_away_calls_fail_and_then_the_same_database_goes_on() {
    let cluster = Cluster::start();
    let db = Db::open(&Place::Postgres(cluster.new_database())).unwrap();
    // Every connection was in use once.
    let together = std::sync::Arc::new(Barrier::new(WRITERS));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            let (db, together) = (&db, std::sync::Arc::clone(&together));
            scope.spawn(move || {
                wait(db.write(move |_| {
                    together.wait();
                    Ok(())
                }))
            });
        }
    });
    cluster.stop();
    for n in 0..20 {
        is_unavailable(execute(&db, ADD_STATE, state(&n.to_string(), "{}")));
        is_unavailable(wait(db.read(|tx| tx.query("SELECT 1", &[]))));
    }
    cluster.start_again();
    for n in 0..20 {
        execute(&db, ADD_STATE, state(&n.to_string(), "{}")).unwrap();
    }
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 20);
    // A restart between two calls is not even seen.
    cluster.stop();
    cluster.start_again();
    for n in 20..40 {
        execute(&db, ADD_STATE, state(&n.to_string(), "{}")).unwrap();
    }
}

#[test]
fn a_server_that_is_not_there_is_unavailable_at_the_start() {
    let cluster = Cluster::start();
    let place = Place::Postgres(cluster.new_database());
    cluster.stop();
    is_unavailable(Db::open(&place).map(drop));
    cluster.start_again();
    Db::open(&place).unwrap();
    let wrong = Place::Postgres("postgres://user:secret@[".to_owned());
    let error = Db::open(&wrong).err().unwrap();
    assert!(matches!(error, StoreError::Broken(_)), "{error:?}");
    assert!(!format!("{error} {wrong:?}").contains("secret"));
}

#[test]
fn a_line_that_breaks_in_the_middle_of_commit_leaves_all_or_nothing() {
    let cluster = Cluster::shared();
    let address = cluster.new_database();
    let line = Line::new(&cluster.socket());
    let database = address.rsplit_once('=').unwrap().1;
    let through = format!("postgres://holdfast@127.0.0.1:{}/{database}", line.port);
    let db = Db::open(&Place::Postgres(through)).unwrap();
    let beside = Db::open(&Place::Postgres(address.clone())).unwrap();
    let write = |name: &'static str| {
        wait(db.write(move |tx| {
            tx.execute(ADD_STATE, &state(&format!("{name}-1"), "{}"))?;
            tx.execute(ADD_STATE, &state(&format!("{name}-2"), "{}"))
        }))
    };
    line.break_at(Break::BeforeCommit);
    is_unavailable(write("before"));
    assert!(line.has_broken());
    assert_eq!(number(&beside, "SELECT count(*) FROM r_state"), 0);
    line.break_at(Break::BeforeTheAnswer);
    is_unavailable(write("after"));
    assert!(line.has_broken());
    // The server has answered, so it has committed.
    assert_eq!(number(&beside, "SELECT count(*) FROM r_state"), 2);
    // Who tries again finds out, each on the same database.
    assert_eq!(write("before"), Ok(1));
    is_constraint(write("after"));
}

#[test]
fn a_circle_of_locks_is_broken_and_can_be_tried_again() {
    let home = Home::postgresql();
    let db = home.open();
    for name in ["a", "b"] {
        execute(&db, ADD_STATE, state(name, "{}")).unwrap();
    }
    let together = std::sync::Arc::new(Barrier::new(2));
    let both = |first: &'static str, second: &'static str| {
        let (db, together) = (db.clone(), std::sync::Arc::clone(&together));
        thread::spawn(move || {
            wait(db.write(move |tx| {
                tx.execute("UPDATE r_state SET row = 'x' WHERE name = $1", &[first.into()])?;
                together.wait();
                tx.execute("UPDATE r_state SET row = 'x' WHERE name = $1", &[second.into()])
            }))
        })
    };
    let done = [both("a", "b"), both("b", "a")].map(|thread| thread.join().unwrap());
    // One of them at least; the other too, if it was stopped for longer than a lock is waited for.
    let (refused, written): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_err);
    assert!(!refused.is_empty());
    assert!(
        refused
            .iter()
            .all(|done| done.as_ref().is_err_and(StoreError::is_transient)),
        "{refused:?}"
    );
    assert!(written.iter().all(|done| *done == Ok(1)), "{written:?}");
    assert_eq!(execute(&db, "UPDATE r_state SET row = 'y'", vec![]), Ok(2));
}

#[test]
fn a_question_that_was_prepared_before_the_table_changed_is_prepared_again() {
    let home = Home::postgresql();
    let (db, newer) = (home.open(), home.open());
    execute(&db, ADD_STATE, state("days", "{}")).unwrap();
    let ask = || wait(db.read(|tx| tx.query("SELECT * FROM r_state", &[])));
    for _ in 0..20 {
        assert_eq!(ask().unwrap()[0].0.len(), 3);
    }
    execute(&newer, "ALTER TABLE r_state ADD COLUMN more TEXT", vec![]).unwrap();
    // Each connection has its own, and loses it once.
    let mut refused = 0;
    for _ in 0..40 {
        match ask() {
            Ok(rows) => assert_eq!(rows[0].0.len(), 4),
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused <= 4, "{refused}");
}

/// Processes that start at once may find each other's tables and triggers: what is refused then is looked at again.
#[test]
fn a_table_or_a_trigger_that_another_process_has_made_is_no_damage() {
    let home = Home::postgresql();
    let db = home.open();
    is_constraint(execute(&db, "CREATE TABLE site (id BIGINT)", vec![]));
    let trigger = "CREATE TRIGGER transfer_never_emptied BEFORE TRUNCATE ON transfer FOR EACH STATEMENT \
                   EXECUTE FUNCTION transfer_only_added_to()";
    is_constraint(execute(&db, trigger, vec![]));
}

#[test]
fn what_is_only_added_to_cannot_be_emptied() {
    let home = Home::postgresql();
    let db = home.open();
    execute(&db, ADD_TRANSFER, transfer("t1")).unwrap();
    is_constraint(execute(&db, "TRUNCATE transfer", vec![]));
    assert_eq!(number(&db, "SELECT count(*) FROM transfer"), 1);
}

#[test]
fn a_server_leaves_nothing_behind_when_its_test_panics() {
    let mut folder = None;
    let test = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let cluster = Cluster::start();
        folder = cluster.socket().parent().map(ToOwned::to_owned);
        assert!(cluster.socket().exists());
        panic!("this test is meant to");
    }));
    assert!(test.is_err());
    assert!(!folder.unwrap().exists());
}

/// Rule 3: what is acknowledged must not be lost when a standby takes the server's place.
#[test]
fn commits_wait_for_the_disk_whatever_the_server_is_set_to() {
    for setting in ["synchronous_commit=off", "synchronous_commit=local"] {
        let cluster = Cluster::with(setting);
        let db = Db::open(&Place::Postgres(cluster.new_database())).unwrap();
        let shown = wait(db.write(|tx| tx.query_optional("SELECT current_setting('synchronous_commit')", &[])));
        assert_eq!(shown.unwrap().unwrap().text(0).unwrap(), "on", "{setting}");
    }
}

#[test]
fn a_standby_of_which_none_is_synchronous_is_told() {
    let cluster = Cluster::start();
    let place = Place::Postgres(cluster.new_database());
    let db = Db::open(&place).unwrap();
    assert_eq!(wait(db.read(|tx| standbys::trouble(tx))), Ok(None), "there is none");
    let standby = cluster.standby();
    wait_until("the standby follows", || {
        wait(db.read(|tx| standbys::trouble(tx))) != Ok(None)
    });
    let told = standbys::trouble_at(&place).unwrap().unwrap();
    assert!(told.contains("synchronous_standby_names"), "{told}");
    standby.stop();
    cluster.stop();
    drop((db, cluster));
    let cluster = Cluster::with("synchronous_standby_names=*");
    let standby = cluster.standby();
    let db = Db::open(&Place::Postgres(cluster.new_database())).unwrap();
    assert_eq!(
        wait(db.read(|tx| standbys::trouble(tx))),
        Ok(None),
        "commits wait for it"
    );
    drop((db, standby));
}

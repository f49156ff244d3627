//! What holds of every transaction, wherever the database is.

use crate::{
    ADD_STATE, ADD_TRANSFER, Home, cluster::wait_until, everywhere, execute, is_broken, is_constraint, number, on_disk,
    query, state, transfer, wait,
};
use central::store::{Db, StoreError, Value};
use std::{
    sync::{Barrier, mpsc},
    thread,
};

everywhere! {
    what_is_only_added_to_is_neither_changed_nor_taken_away
    checks_of_the_books_refuse
    an_error_takes_everything_back_and_the_next_goes_on
    a_panic_takes_everything_back_and_the_next_goes_on
    an_error_that_the_work_passes_over_still_takes_everything_back
    a_transaction_whose_caller_has_gone_is_completed
    values_come_back_as_they_went_in
    a_text_with_a_zero_character_is_refused
    a_value_of_another_type_is_refused
    a_sum_that_no_number_holds_is_refused
    what_only_reads_cannot_write
    answers_to_yes_and_no_are_numbers
    more_callers_than_may_wait_are_all_served
}

on_disk! {
    what_is_committed_is_there_after_reopening
    what_a_reader_sees_is_one_state
    who_reads_for_people_keeps_no_desk_waiting
    several_that_open_an_empty_database_at_once_all_find_it_made
    a_newer_schema_is_refused_with_its_words
}

fn what_is_only_added_to_is_neither_changed_nor_taken_away(home: &Home) {
    let db = home.open();
    execute(&db, ADD_TRANSFER, transfer("t1")).unwrap();
    let hash = Value::Bytes(vec![0; 32]);
    execute(
        &db,
        "INSERT INTO audit (seq, hash, entry) VALUES (1, $1, '{}')",
        vec![hash],
    )
    .unwrap();
    for statement in [
        "UPDATE transfer SET amount = 1",
        "DELETE FROM transfer",
        "UPDATE audit SET entry = ''",
        "DELETE FROM audit WHERE seq = 1",
    ] {
        let done = execute(&db, statement, vec![]);
        let Err(StoreError::Constraint(words)) = &done else {
            panic!("{statement}: {done:?}")
        };
        assert!(words.contains("is only ever added to"), "{words}");
    }
    assert_eq!(number(&db, "SELECT amount FROM transfer"), 100);
    assert_eq!(number(&db, "SELECT count(*) FROM audit WHERE entry = '{}'"), 1);
}

fn checks_of_the_books_refuse(home: &Home) {
    let db = home.open();
    let account = |name: &str, kind: &str, balance: i64| {
        let values = vec![name.into(), kind.into(), balance.into()];
        execute(
            &db,
            "INSERT INTO account (name, kind, balance) VALUES ($1, $2, $3)",
            values,
        )
    };
    for kind in ["wallet", "transit", "allowance", "held"] {
        is_constraint(account("a", kind, -1));
        account(&format!("{kind}:m1"), kind, 0).unwrap();
    }
    is_constraint(account("a", "debt", 1));
    account("debt:S1:m1", "debt", -1).unwrap();
    account("clearing:wechat", "clearing", -1).unwrap();
    is_constraint(execute(
        &db,
        "UPDATE account SET balance = balance - 1 WHERE name = 'wallet:m1'",
        vec![],
    ));
    is_constraint(execute(
        &db,
        "UPDATE account SET balance = balance + 2 WHERE name = 'debt:S1:m1'",
        vec![],
    ));
    let with = |at: usize, value: Value| {
        let mut values = transfer("t1");
        values[at] = value;
        execute(&db, ADD_TRANSFER, values)
    };
    is_constraint(with(3, 0_i64.into()));
    is_constraint(with(3, (-1_i64).into()));
    is_constraint(with(1, "wallet:m1".into()));
    is_constraint(with(0, Value::Null));
    is_constraint(execute(
        &db,
        "INSERT INTO audit (seq, hash, entry) VALUES (NULL, $1, '')",
        vec![vec![0_u8].into()],
    ));
    let batch = "INSERT INTO batch (site, branch, first, last, prev, dictionary, raw, body, sig, taken_at) \
                 VALUES ('nobody', 0, 1, 1, $1, 0, 0, $1, $1, 0)";
    is_constraint(execute(&db, batch, vec![vec![0_u8].into()]));
    assert_eq!(number(&db, "SELECT count(*) FROM transfer"), 0);
}

fn an_error_takes_everything_back_and_the_next_goes_on(home: &Home) {
    let db = home.open();
    let mine = StoreError::NotOwner;
    let done = wait(db.write(move |tx| {
        tx.execute(ADD_STATE, &state("days", "{}"))?;
        Err::<(), _>(mine)
    }));
    assert_eq!(done, Err(StoreError::NotOwner));
    let done = wait(db.write(|tx| {
        tx.execute(ADD_STATE, &state("days", "{}"))?;
        tx.execute(ADD_STATE, &state("days", "{}"))
    }));
    is_constraint(done);
    is_broken(execute(&db, "INSERT INTO nowhere (a) VALUES (1)", vec![]));
    is_broken(execute(&db, "this is no statement", vec![]));
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
    execute(&db, ADD_STATE, state("days", "{}")).unwrap();
}

fn a_panic_takes_everything_back_and_the_next_goes_on(home: &Home) {
    let db = home.open();
    // More often than there are threads.
    for n in 0..10 {
        let done = wait(db.write(move |tx| -> Result<(), StoreError> {
            tx.execute(ADD_STATE, &state("days", "{}"))?;
            panic!("number {n}")
        }));
        assert_eq!(
            done,
            Err(StoreError::Broken(format!("a transaction panicked: number {n}")))
        );
    }
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
    execute(&db, ADD_STATE, state("days", "{}")).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 1);
}

fn an_error_that_the_work_passes_over_still_takes_everything_back(home: &Home) {
    let db = home.open();
    let done = wait(db.write(|tx| {
        tx.execute(ADD_STATE, &state("days", "{}"))?;
        let _passed_over = tx.execute(ADD_STATE, &state("days", "{}"));
        let _also = tx.execute(ADD_STATE, &state("clock", "{}"));
        Ok(())
    }));
    is_constraint(done);
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
}

fn a_transaction_whose_caller_has_gone_is_completed(home: &Home) {
    let db = home.open();
    let (go, may_go) = mpsc::channel::<()>();
    wait(async {
        let write = db.write(move |tx| {
            may_go.recv().unwrap();
            tx.execute(ADD_STATE, &state("days", "{}"))
        });
        tokio::select! {
            biased;
            done = write => panic!("it waits for us, and yet: {done:?}"),
            () = async {} => {}
        }
    });
    go.send(()).unwrap();
    wait_until("it is completed", || number(&db, "SELECT count(*) FROM r_state") == 1);
}

fn values_come_back_as_they_went_in(home: &Home) {
    let db = home.open();
    let texts = [
        "",
        "it's \"quoted\" ''",
        "$1 ?1 :a @b %s \\ \\0 \\u0000",
        "'; DROP TABLE transfer; --",
        "充电站 é 🚗 \u{202e}",
        "line\nline\r\ttab",
    ];
    for (n, text) in texts.iter().enumerate() {
        execute(&db, ADD_STATE, state(&format!("{n}"), text)).unwrap();
    }
    let rows = query(&db, "SELECT row FROM r_state ORDER BY name");
    let found: Vec<String> = rows.into_iter().map(|mut row| row.text(0).unwrap()).collect();
    assert_eq!(found, texts);
    // The same text at two places, and places in another order than their numbers.
    let both = "SELECT row, CAST($2 AS TEXT), CAST($1 AS TEXT) FROM r_state WHERE row = $1";
    let mut row = wait(db.read(move |tx| tx.query(both, &["".into(), "b".into()])))
        .unwrap()
        .remove(0);
    assert_eq!(
        (row.text(0).unwrap(), row.text(1).unwrap(), row.text(2).unwrap()),
        (String::new(), "b".to_owned(), String::new())
    );
    let every: Vec<u8> = (0..=255).collect();
    for (seq, bytes) in [(1, vec![]), (2, vec![0; 3]), (3, every)] {
        let values = vec![Value::Int(seq), bytes.clone().into()];
        execute(&db, "INSERT INTO audit (seq, hash, entry) VALUES ($1, $2, '')", values).unwrap();
        let found = wait(db.read(move |tx| tx.query("SELECT hash FROM audit WHERE seq = $1", &[seq.into()])));
        assert_eq!(found.unwrap()[0].bytes(0).unwrap(), bytes);
    }
    for (name, balance) in [("least", i64::MIN), ("most", i64::MAX)] {
        let values = vec![name.into(), balance.into()];
        execute(
            &db,
            "INSERT INTO account (name, kind, balance) VALUES ($1, 'clearing', $2)",
            values,
        )
        .unwrap();
        let found = wait(db.read(move |tx| tx.query("SELECT balance FROM account WHERE name = $1", &[name.into()])));
        assert_eq!(found.unwrap()[0].int(0).unwrap(), balance);
    }
}

fn a_text_with_a_zero_character_is_refused(home: &Home) {
    let db = home.open();
    is_constraint(execute(&db, ADD_STATE, state("days", "a\0b")));
    let asked = wait(db.read(|tx| tx.query("SELECT row FROM r_state WHERE name = $1", &["\0".into()])));
    is_constraint(asked);
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
}

fn a_value_of_another_type_is_refused(home: &Home) {
    let db = home.open();
    let number_as_name = vec![Value::Int(7), "days".into(), vec![1_u8].into()];
    let done = execute(&db, ADD_STATE, number_as_name);
    assert!(done.is_err(), "{done:?}");
    let mut values = transfer("t1");
    values[3] = "a hundred".into();
    let done = execute(&db, ADD_TRANSFER, values);
    assert!(done.is_err(), "{done:?}");
    is_broken(execute(&db, ADD_TRANSFER, vec!["too few".into()]));
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
    assert_eq!(number(&db, "SELECT count(*) FROM transfer"), 0);
}

fn a_sum_that_no_number_holds_is_refused(home: &Home) {
    let db = home.open();
    let values = vec![i64::MAX.into()];
    execute(
        &db,
        "INSERT INTO account (name, kind, balance) VALUES ('clearing:x', 'clearing', $1)",
        values,
    )
    .unwrap();
    is_constraint(execute(&db, "UPDATE account SET balance = balance + 1", vec![]));
    assert_eq!(number(&db, "SELECT balance FROM account"), i64::MAX);
}

fn what_only_reads_cannot_write(home: &Home) {
    let db = home.open();
    is_broken(wait(db.read(|tx| tx.execute(ADD_STATE, &state("days", "{}")))));
    // What goes round that is stopped by the engine.
    let returning = "INSERT INTO r_state (site, name, row) VALUES ('S1', 'days', '{}') RETURNING name";
    assert!(wait(db.read(move |tx| tx.query(returning, &[]))).is_err());
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
    assert_eq!(wait(db.write(move |tx| tx.query(returning, &[]))).unwrap().len(), 1);
}

fn answers_to_yes_and_no_are_numbers(home: &Home) {
    let db = home.open();
    assert_eq!(number(&db, "SELECT EXISTS (SELECT 1 FROM r_state)"), 0);
    assert_eq!(number(&db, "SELECT 1 = 1"), 1);
    assert_eq!(number(&db, "SELECT length('充电')"), 2);
}

fn more_callers_than_may_wait_are_all_served(home: &Home) {
    let db = home.open();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let callers: Vec<_> = (0..600)
            .map(|n| {
                let db = db.clone();
                tokio::spawn(async move {
                    db.write(move |tx| tx.execute(ADD_STATE, &state(&n.to_string(), "{}")))
                        .await
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(1));
        }
    });
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 600);
}

fn what_is_committed_is_there_after_reopening(home: &Home) {
    let db = home.open();
    execute(&db, ADD_TRANSFER, transfer("t1")).unwrap();
    drop(db);
    let db = home.open();
    assert_eq!(number(&db, "SELECT count(*) FROM transfer"), 1);
    execute(&db, ADD_TRANSFER, transfer("t2")).unwrap();
    // One beside it sees it as well.
    assert_eq!(number(&home.open(), "SELECT count(*) FROM transfer"), 2);
}

fn what_a_reader_sees_is_one_state(home: &Home) {
    let db = home.open();
    let (saw, seen) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let reader = db.clone();
    let reader = thread::spawn(move || {
        wait(reader.read(move |tx| {
            let count = "SELECT count(*) FROM r_state";
            let before = tx.query(count, &[])?[0].int(0)?;
            saw.send(()).unwrap();
            may_go.recv().unwrap();
            Ok((before, tx.query(count, &[])?[0].int(0)?))
        }))
    });
    seen.recv().unwrap();
    execute(&db, ADD_STATE, state("days", "{}")).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 1);
    go.send(()).unwrap();
    assert_eq!(reader.join().unwrap(), Ok((0, 0)));
}

fn several_that_open_an_empty_database_at_once_all_find_it_made(home: &Home) {
    let together = Barrier::new(4);
    thread::scope(|scope| {
        for n in 0..4 {
            let together = &together;
            scope.spawn(move || {
                together.wait();
                let db: Db = home.open();
                execute(&db, ADD_TRANSFER, transfer(&format!("t{n}"))).unwrap();
            });
        }
    });
    let db = home.open();
    assert_eq!(number(&db, "SELECT count(*) FROM transfer"), 4);
    assert_eq!(number(&db, "SELECT count(*) FROM schema_version"), 1);
}

fn a_newer_schema_is_refused_with_its_words(home: &Home) {
    let db = home.open();
    let known = number(&db, "SELECT version FROM schema_version");
    execute(&db, "UPDATE schema_version SET version = version + 1", vec![]).unwrap();
    drop(db);
    let error = Db::open(&home.place).err().unwrap();
    assert_eq!(
        error,
        StoreError::Newer {
            found: known + 1,
            known
        }
    );
    assert!(!error.is_transient());
    let words = error.to_string();
    assert!(words.contains("a newer program has changed it"), "{words}");
}

fn who_reads_for_people_keeps_no_desk_waiting(home: &Home) {
    let db = home.open();
    let (holds, held) = mpsc::channel();
    std::thread::scope(|scope| {
        let mut go_on = Vec::new();
        for _ in 0..4 {
            let (db, holds) = (db.for_people(), holds.clone());
            let (goes_on, may_go_on) = mpsc::channel::<()>();
            go_on.push(goes_on);
            scope.spawn(move || {
                wait(db.read(move |tx| {
                    holds.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    tx.query("SELECT count(*) FROM r_state", &[])
                }))
            });
        }
        (0..4).for_each(|_| held.recv().unwrap());
        assert_eq!(number(&db, "SELECT count(*) FROM r_state"), 0);
        for go_on in go_on {
            go_on.send(()).unwrap();
        }
    });
}

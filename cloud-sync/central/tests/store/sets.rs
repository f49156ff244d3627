//! Rows that are written together: the same comes of it wherever the database is.

use crate::{Home, everywhere, execute, is_broken, is_constraint, number, query, wait};
use central::store::{
    Db, LookUp, SetStatement, StoreError, Value,
    set::{Column, Present, bytes, int, text},
};

everywhere! {
    thousands_of_rows_with_nulls_are_written
    refuse_refuses_a_key_that_is_there_and_one_that_comes_twice
    keep_keeps_what_is_there_and_the_first_that_comes
    replace_takes_the_last_that_comes
    add_adds_to_what_is_there_and_makes_what_is_not
    add_takes_from_an_account_that_may_not_fall_below_zero
    rows_of_another_shape_are_refused
    no_rows_are_no_work
    rows_are_found_by_their_keys_and_what_is_not_there_is_not
    keys_of_another_shape_are_refused
}

static BY_PLACE: LookUp = LookUp {
    table: "order_batch",
    keys: &[text("site"), text("order_id"), int("branch"), int("first")],
    columns: &[int("first"), text("order_id")],
};

const ACCOUNT: &[Column] = &[text("name"), text("kind"), int("balance")];
const TRANSFER: &[Column] = &[
    text("id"),
    text("debit"),
    text("credit"),
    int("amount"),
    text("code"),
    text("site"),
    int("seq"),
    int("at"),
];

static TRANSFERS: SetStatement = SetStatement {
    table: "transfer",
    keys: 1,
    columns: TRANSFER,
    present: Present::Refuse,
};

static AUDITS: SetStatement = SetStatement {
    table: "audit",
    keys: 1,
    columns: &[int("seq"), bytes("hash"), text("entry")],
    present: Present::Refuse,
};

static ADDED: SetStatement = accounts(Present::Add("balance"));
static KEPT: SetStatement = accounts(Present::Keep);
static REPLACED: SetStatement = accounts(Present::Replace);

/// A table that is nothing but its keys.
static ORDER_BATCHES: SetStatement = SetStatement {
    table: "order_batch",
    keys: 4,
    columns: &[text("site"), text("order_id"), int("branch"), int("first")],
    present: Present::Replace,
};

const fn accounts(present: Present) -> SetStatement {
    SetStatement {
        table: "account",
        keys: 1,
        columns: ACCOUNT,
        present,
    }
}

fn write(db: &Db, set: &'static SetStatement, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
    wait(db.write(move |tx| tx.write_all(set, &rows)))
}

fn account(name: &str, kind: &str, balance: i64) -> Vec<Value> {
    vec![name.into(), kind.into(), balance.into()]
}

fn balances(db: &Db) -> Vec<(String, String, i64)> {
    let rows = query(db, "SELECT name, kind, balance FROM account ORDER BY name");
    let row = |mut row: central::store::Row| (row.text(0).unwrap(), row.text(1).unwrap(), row.int(2).unwrap());
    rows.into_iter().map(row).collect()
}

fn some(name: &str, kind: &str, balance: i64) -> (String, String, i64) {
    (name.to_owned(), kind.to_owned(), balance)
}

fn transfer(n: i64) -> Vec<Value> {
    let site = (n % 2 == 0).then_some("充电站 'S1'");
    let seq = (n % 3 == 0).then_some(n);
    let id = format!("S1:0:{n}");
    vec![
        id.into(),
        "a".into(),
        "b".into(),
        (n + 1).into(),
        "T".into(),
        site.into(),
        seq.into(),
        n.into(),
    ]
}

fn thousands_of_rows_with_nulls_are_written(home: &Home) {
    let db = home.open();
    write(&db, &TRANSFERS, (0..6_000).map(transfer).collect()).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM transfer"), 6_000);
    assert_eq!(number(&db, "SELECT count(*) FROM transfer WHERE site IS NULL"), 3_000);
    assert_eq!(number(&db, "SELECT count(*) FROM transfer WHERE seq IS NULL"), 4_000);
    assert_eq!(
        number(
            &db,
            "SELECT count(*) FROM transfer WHERE site = '充电站 ''S1''' AND amount = at + 1"
        ),
        3_000
    );
    assert_eq!(number(&db, "SELECT count(*) FROM transfer WHERE seq = at"), 2_000);
    let audit = |n: i64| vec![n.into(), vec![0, 255, n.to_le_bytes()[0]].into(), "{}".into()];
    write(&db, &AUDITS, (0..300).map(audit).collect()).unwrap();
    let mut rows = query(&db, "SELECT hash FROM audit ORDER BY seq");
    assert!(
        rows.iter_mut()
            .zip(0_i64..)
            .all(|(row, n)| row.bytes(0).unwrap() == [0, 255, n.to_le_bytes()[0]])
    );
}

fn refuse_refuses_a_key_that_is_there_and_one_that_comes_twice(home: &Home) {
    let db = home.open();
    write(&db, &TRANSFERS, vec![transfer(1)]).unwrap();
    is_constraint(write(&db, &TRANSFERS, vec![transfer(2), transfer(1)]));
    is_constraint(write(&db, &TRANSFERS, vec![transfer(3), transfer(3)]));
    assert_eq!(number(&db, "SELECT count(*) FROM transfer"), 1);
}

fn keep_keeps_what_is_there_and_the_first_that_comes(home: &Home) {
    let db = home.open();
    write(&db, &KEPT, vec![account("b", "clearing", 1)]).unwrap();
    let rows = vec![
        account("b", "long", 2),
        account("a", "clearing", 3),
        account("a", "long", 4),
    ];
    write(&db, &KEPT, rows).unwrap();
    assert_eq!(balances(&db), [some("a", "clearing", 3), some("b", "clearing", 1)]);
}

fn replace_takes_the_last_that_comes(home: &Home) {
    let db = home.open();
    write(&db, &REPLACED, vec![account("b", "clearing", 1)]).unwrap();
    let rows = vec![
        account("b", "long", 2),
        account("a", "clearing", 3),
        account("b", "restore", 5),
        account("a", "long", 4),
    ];
    write(&db, &REPLACED, rows).unwrap();
    assert_eq!(balances(&db), [some("a", "long", 4), some("b", "restore", 5)]);
    let only_keys = || vec![vec!["S1".into(), "o1".into(), 0_i64.into(), 1_i64.into()]; 2];
    write(&db, &ORDER_BATCHES, only_keys()).unwrap();
    write(&db, &ORDER_BATCHES, only_keys()).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM order_batch"), 1);
}

fn add_adds_to_what_is_there_and_makes_what_is_not(home: &Home) {
    let db = home.open();
    write(&db, &ADDED, vec![account("a", "clearing", 5)]).unwrap();
    let rows = vec![
        account("a", "other", -7),
        account("b", "clearing", 1),
        account("a", "other", 1),
        account("b", "long", 10),
    ];
    write(&db, &ADDED, rows).unwrap();
    assert_eq!(balances(&db), [some("a", "clearing", -1), some("b", "clearing", 11)]);
    is_constraint(write(
        &db,
        &ADDED,
        vec![account("c", "clearing", i64::MAX), account("c", "clearing", 1)],
    ));
    is_constraint(write(&db, &ADDED, vec![account("b", "clearing", i64::MAX)]));
    assert_eq!(balances(&db), [some("a", "clearing", -1), some("b", "clearing", 11)]);
}

fn add_takes_from_an_account_that_may_not_fall_below_zero(home: &Home) {
    let db = home.open();
    write(&db, &ADDED, vec![account("wallet:m1", "wallet", 100)]).unwrap();
    write(&db, &ADDED, vec![account("wallet:m1", "wallet", -60)]).unwrap();
    // Only what comes out counts, in whatever order it comes.
    write(
        &db,
        &ADDED,
        vec![account("wallet:m1", "wallet", -90), account("wallet:m1", "wallet", 50)],
    )
    .unwrap();
    is_constraint(write(
        &db,
        &ADDED,
        vec![account("clearing:w", "clearing", 1), account("wallet:m1", "wallet", -1)],
    ));
    is_constraint(write(&db, &ADDED, vec![account("wallet:m2", "wallet", -1)]));
    assert_eq!(balances(&db), [some("wallet:m1", "wallet", 0)]);
}

fn rows_of_another_shape_are_refused(home: &Home) {
    let db = home.open();
    is_broken(write(&db, &REPLACED, vec![vec!["a".into(), "clearing".into()]]));
    is_broken(write(
        &db,
        &REPLACED,
        vec![
            account("a", "clearing", 1),
            vec!["b".into(), "clearing".into(), "1".into()],
        ],
    ));
    is_broken(write(
        &db,
        &REPLACED,
        vec![vec![1_i64.into(), "clearing".into(), 1_i64.into()]],
    ));
    is_broken(write(
        &db,
        &ADDED,
        vec![vec!["a".into(), "clearing".into(), Value::Null]],
    ));
    is_constraint(write(
        &db,
        &REPLACED,
        vec![vec![Value::Null, "clearing".into(), 1_i64.into()]],
    ));
    is_constraint(write(&db, &REPLACED, vec![account("a\0", "clearing", 1)]));
    assert_eq!(balances(&db), []);
}

fn no_rows_are_no_work(home: &Home) {
    let db = home.open();
    for set in [&TRANSFERS, &KEPT, &REPLACED, &ADDED] {
        write(&db, set, vec![]).unwrap();
    }
    assert_eq!(execute(&db, "DELETE FROM account", vec![]), Ok(0));
}

fn place(order: &str, first: i64) -> Vec<Value> {
    vec!["S1".into(), order.into(), 0_i64.into(), first.into()]
}

fn find(db: &Db, keys: Vec<Vec<Value>>) -> Result<Vec<(i64, String)>, StoreError> {
    let rows = wait(db.read(move |tx| tx.find_all(&BY_PLACE, &keys)))?;
    let row = |mut row: central::store::Row| (row.int(0).unwrap(), row.text(1).unwrap());
    let mut found: Vec<_> = rows.into_iter().map(row).collect();
    found.sort();
    Ok(found)
}

fn rows_are_found_by_their_keys_and_what_is_not_there_is_not(home: &Home) {
    let db = home.open();
    write(&db, &ORDER_BATCHES, (0..2_000).map(|n| place("o'1", n)).collect()).unwrap();
    let asked = [("o'1", 7), ("o'1", 1_999), ("o'1", 2_000), ("o2", 7)];
    let asked: Vec<Vec<Value>> = asked.iter().map(|(order, first)| place(order, *first)).collect();
    let some = [7, 1_999].map(|first| (first, "o'1".to_owned()));
    // Often enough for PostgreSQL to plan it once and for all.
    for _ in 0..10 {
        assert_eq!(find(&db, asked.clone()).unwrap(), some);
    }
    let all = find(&db, (0..2_000).map(|n| place("o'1", n)).collect()).unwrap();
    assert_eq!((all.len(), all[1_234].0), (2_000, 1_234));
    assert_eq!(find(&db, Vec::new()), Ok(Vec::new()));
}

fn keys_of_another_shape_are_refused(home: &Home) {
    let db = home.open();
    is_broken(find(&db, vec![vec!["S1".into()]]));
    is_broken(find(
        &db,
        vec![place("o1", 1), vec!["S1".into(), "o1".into(), 0_i64.into(), "1".into()]],
    ));
    is_broken(find(
        &db,
        vec![vec!["S1".into(), Value::Null, 0_i64.into(), 1_i64.into()]],
    ));
    is_constraint(find(&db, vec![place("o\0", 1)]));
}

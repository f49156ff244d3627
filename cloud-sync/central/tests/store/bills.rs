//! An import that ends, and the sweep that takes it for dead, each in a transaction of its own on one PostgreSQL: whichever is first, its
//! lines count or go, all of them.

use crate::{Home, cluster::wait_until, number, wait};
use ::bills::{Biller, Format, Sums};
use central::store::{
    Db, StoreError, Tx, Value,
    bills::{self, ALIVE_MS, File},
    channels::{self, Channel, Signs},
};
use domain::{time::Wall, units::Fen};
use std::sync::mpsc;

const LINES: u64 = 100;
/// When the import was last heard of, and when it is taken for dead.
const BEGUN: Wall = Wall(0);
const LATE: Wall = Wall(ALIVE_MS);

/// An import that has written all its lines and has only to end.
fn loaded(db: &Db) -> u64 {
    let channel = Channel {
        name: "wechat".to_owned(),
        signs: Signs::Hmac,
        secret: String::new(),
        merchant: "1900000001".to_owned(),
        fee_ppm: 6_000,
        settle_days: 3,
        zone: "Asia/Shanghai".to_owned(),
        bills: Some(Biller::Wechat),
        made_at: BEGUN,
    };
    let file = File {
        id: 0,
        channel: "wechat".to_owned(),
        format: Format::WechatFund,
        day: "2026-03-09".parse().unwrap(),
        sha256: "00".repeat(32),
        bytes: 1,
        sums: Sums {
            lines: LINES,
            income: Fen(100),
            ..Sums::default()
        },
        made_at: BEGUN,
        made_by: "slow".to_owned(),
    };
    let written = db.write(move |tx| {
        channels::put(tx, &channel, channel.made_at)?;
        let id = bills::begin(tx, &file, BEGUN)?;
        let row = |line: u64| {
            let texts = ["wechat", "payment", "r", "o", "n"].map(Value::from);
            let ends: [Value; 4] = [1_i64.into(), "SUCCESS".into(), 0_i64.into(), "".into()];
            [Value::from(id), line.into()]
                .into_iter()
                .chain(texts)
                .chain(ends)
                .collect()
        };
        let rows: Vec<Vec<Value>> = (1..=LINES).map(row).collect();
        assert!(bills::add(tx, id, Format::WechatFund, &rows, BEGUN)?);
        Ok(id)
    });
    wait(written).unwrap()
}

/// The first does its work and keeps its transaction open until the second stands and waits for it. What each says.
fn one_while_the_other_is_open(
    home: &Home,
    first: impl FnOnce(&mut dyn Tx) -> Result<bool, StoreError> + Send + 'static,
    second: impl FnOnce(&mut dyn Tx) -> Result<bool, StoreError> + Send + 'static,
) -> (bool, bool) {
    let (one, two, looker) = (home.open(), home.open(), home.open());
    let (has_worked, worked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    std::thread::scope(|scope| {
        let one = scope.spawn(move || {
            wait(one.write(move |tx| {
                let said = first(tx)?;
                has_worked.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(said)
            }))
        });
        worked.recv().unwrap();
        let two = scope.spawn(move || wait(two.write(second)));
        let waiting =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_until("the second waits for the first", || number(&looker, waiting) == 1);
        go_on.send(()).unwrap();
        (one.join().unwrap().unwrap(), two.join().unwrap().unwrap())
    })
}

#[test]
fn an_import_that_ends_while_it_is_taken_for_dead_keeps_its_lines() {
    let home = Home::postgresql();
    let db = home.open();
    let id = loaded(&db);
    let said = one_while_the_other_is_open(
        &home,
        move |tx| bills::finish(tx, id, LATE),
        |tx| bills::sweep(tx, LATE),
    );
    assert_eq!(said, (true, true), "it has ended, and there may be more to sweep");
    while wait(db.write(|tx| bills::sweep(tx, LATE))).unwrap() {}
    assert_eq!(number(&db, "SELECT COUNT(*) FROM bill_fund"), LINES as i64);
    assert_eq!(
        number(&db, "SELECT COUNT(*) FROM bill_file WHERE state = 'imported'"),
        1
    );
}

#[test]
fn an_import_that_is_taken_for_dead_while_it_ends_does_not_count() {
    let home = Home::postgresql();
    let db = home.open();
    let id = loaded(&db);
    let said = one_while_the_other_is_open(
        &home,
        |tx| bills::sweep(tx, LATE),
        move |tx| bills::finish(tx, id, LATE),
    );
    assert_eq!(said, (true, false), "it is told that it was taken for dead");
    while wait(db.write(|tx| bills::sweep(tx, LATE))).unwrap() {}
    assert_eq!(number(&db, "SELECT COUNT(*) FROM bill_fund"), 0);
    assert_eq!(number(&db, "SELECT COUNT(*) FROM bill_file WHERE state = 'left'"), 1);
}

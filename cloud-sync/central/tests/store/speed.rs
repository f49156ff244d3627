//! How many rows a second go in, 500 in a transaction. Run by hand, in release, with `--ignored --nocapture`.

use crate::{Home, wait};
use central::store::{Db, SetStatement, Value, ledger::TRANSFERS, replica::ORDERS};
use std::{io::Write as _, time::Instant};

const TRANSACTIONS: i64 = 100;
const TOGETHER: i64 = 500;

/// JSON of some 2 KB in which little repeats, as in an order's row.
fn order(n: i64) -> Vec<Value> {
    let readings: Vec<String> = (0..60)
        .map(|at| {
            format!(
                "{{\"at\":{},\"meter\":\"{}\"}}",
                1_790_000_000_000 + n * 7_919 + at,
                (n + at) * 104_729 % 1_000_003
            )
        })
        .collect();
    let row = format!("{{\"id\":\"S1-{n}\",\"readings\":[{}]}}", readings.join(","));
    let member = format!("m{}", n % 5_000);
    let pile = format!("p{}", n % 40);
    vec![
        "S1".into(),
        format!("S1-{n:08}").into(),
        member.into(),
        pile.into(),
        "PAYED".into(),
        0_i64.into(),
        (n * 1_000).into(),
        "2026-11-29".into(),
        1_234_i64.into(),
        56_789_i64.into(),
        0_i64.into(),
        row.into(),
    ]
}

fn transfer(n: i64) -> Vec<Value> {
    let member = format!("m{}", n % 5_000);
    vec![
        format!("S1:0:{n}.0").into(),
        format!("held:S1:{member}").into(),
        "sales:S1".into(),
        1_234_i64.into(),
        "SETTLE".into(),
        "S1".into(),
        0_i64.into(),
        n.into(),
        format!("S1-{:08}", n / 4).into(),
        member.into(),
        "2026-11-29".into(),
        n.into(),
        Value::Null,
    ]
}

fn measure(what: &str, db: &Db, set: &'static SetStatement, row: fn(i64) -> Vec<Value>) {
    let batches: Vec<Vec<Vec<Value>>> = (0..TRANSACTIONS)
        .map(|batch| (0..TOGETHER).map(|n| row(batch * TOGETHER + n)).collect())
        .collect();
    let (begun, mut inside) = (Instant::now(), std::time::Duration::ZERO);
    for rows in batches {
        inside += wait(db.write(move |tx| {
            let begun = Instant::now();
            tx.write_all(set, &rows)?;
            Ok(begun.elapsed())
        }))
        .unwrap();
    }
    let (all, rows) = (begun.elapsed().as_secs_f64(), (TRANSACTIONS * TOGETHER) as f64);
    let line = format!(
        "{what}: {:.0} rows/s; {:.1} ms a transaction, {:.1} ms of it in write_all\n",
        rows / all,
        all * 1e3 / TRANSACTIONS as f64,
        inside.as_secs_f64() * 1e3 / TRANSACTIONS as f64
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

#[test]
#[ignore = "measures; run it in release by hand"]
fn rows_a_second() {
    for (name, home) in [("SQLite file", Home::file()), ("PostgreSQL", Home::postgresql())] {
        let db = home.open();
        measure(&format!("{name}, r_order, new"), &db, &ORDERS, order);
        measure(&format!("{name}, r_order, replaced"), &db, &ORDERS, order);
        measure(&format!("{name}, transfer"), &db, &TRANSFERS, transfer);
    }
}

//! How many rows a second go in, 500 in a transaction; how long a bill of a million lines takes. Run by hand, in release, with `--ignored --nocapture`.

use crate::{Home, wait};
use central::{
    bills::{
        Biller, Format,
        import::{Importer, Wanted},
        spool::{Received, Spool},
    },
    clock::MachineClock,
    store::{
        Db, SetStatement, Value,
        channels::{self, Channel, Signs},
        ledger::TRANSFERS,
        replica::ORDERS,
    },
};
use domain::time::Wall;
use std::{io::Write as _, path::Path, sync::Arc, time::Instant};

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

const LINES: u64 = 1_000_000;

/// A trade bill of WeChat's with a million payments.
fn million(folder: &Path) -> Received {
    let mut spool = Spool::begin(folder, 0).unwrap();
    let names = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,\
                 应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,\
                 手续费,费率,订单金额,申请退款金额,费率备注\n";
    spool.add(names.as_bytes()).unwrap();
    for n in 0..LINES {
        let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
        let line = format!(
            "`2026-03-09 {hour:02}:{minute:02}:{second:02},`wx81be3101902f7cb2,`1900000001,`0,`,`4200000925202603{n:012},\
             `T{n:031},`ofyak5qR_1wYsC99CsWA6R9MJazA,`JSAPI,`SUCCESS,`OTHERS,`CNY,`50.00,`0.00,`0,`0,`0.00,`0.00,`,`,\
             `充电预付款,`,`0.30000,`0.60%,`50.00,`0.00,`\n"
        );
        spool.add(line.as_bytes()).unwrap();
    }
    let names = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\n";
    spool.add(names.as_bytes()).unwrap();
    let totals = format!(
        "`{LINES},`{0}.00,`0.00,`0.00,`{1}.00000,`{0}.00,`0.00\n",
        LINES * 50,
        LINES * 3 / 10
    );
    spool.add(totals.as_bytes()).unwrap();
    spool.end().unwrap()
}

/// The most memory that this process has had, in MB.
fn memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1_024
}

#[test]
#[ignore = "measures; run it in release by hand"]
fn a_bill_of_a_million_lines() {
    for (name, home) in [("SQLite file", Home::file()), ("PostgreSQL", Home::postgresql())] {
        let db = home.open();
        let folder = crate::cluster::Folder::new("million");
        let channel = Channel {
            name: "wechat".to_owned(),
            signs: Signs::Hmac,
            secret: String::new(),
            merchant: "1900000001".to_owned(),
            fee_ppm: 6_000,
            settle_days: 3,
            zone: "Asia/Shanghai".to_owned(),
            bills: Some(Biller::Wechat),
            made_at: Wall(0),
        };
        wait(db.write(move |tx| channels::put(tx, &channel, channel.made_at))).unwrap();
        let (received, before) = (million(folder.path()), memory_mb());
        let wanted = Wanted {
            channel: "wechat".to_owned(),
            format: Format::WechatTrade,
            day: "2026-03-09".parse().unwrap(),
        };
        let importer = Importer {
            db: db.clone(),
            clock: Arc::new(MachineClock::start()),
            csv: Arc::new([]),
        };
        let (bytes, begun) = (received.bytes, Instant::now());
        let imported = wait(importer.import(&wanted, received, "speed")).unwrap();
        assert_eq!(imported.file.sums.lines, LINES);
        let (seconds, after) = (begun.elapsed().as_secs_f64(), memory_mb());
        let line = format!(
            "{name}: {LINES} lines of {} MB in {seconds:.1} s; memory at most {before} MB before, {after} MB after\n",
            bytes >> 20
        );
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

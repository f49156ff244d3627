//! How long a bill of a million lines takes. Run by hand, in release, with `--ignored --nocapture`.

use crate::{
    cluster::{Cluster, Folder},
    world::wait,
};
use central::{
    bills::{
        Biller, Format,
        import::{Importer, Wanted},
        spool::{Received, Spool},
    },
    clock::MachineClock,
    store::{
        Db, Place,
        channels::{self, Channel, Signs},
    },
};
use domain::time::Wall;
use std::{io::Write as _, path::Path, sync::Arc, time::Instant};

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
    let (folder, cluster) = (Folder::new("million"), Cluster::shared());
    let file = Place::File(folder.path().join("central.sqlite"));
    for (name, place) in [
        ("SQLite file", file),
        ("PostgreSQL", Place::Postgres(cluster.new_database())),
    ] {
        let db = Db::open(&place).unwrap();
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

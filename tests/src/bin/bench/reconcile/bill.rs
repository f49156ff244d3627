//! How long a bill of many lines takes, from its bytes to the lines that count, and what memory.

use anyhow::{Context, ensure};
use central::{
    bills::{
        Biller, Format,
        import::{Importer, Wanted},
        spool::{Received, Spool},
    },
    desk::Clock,
    store::{
        Db, Place,
        channels::{self, Channel, Signs},
    },
};
use domain::time::Zone;
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const CHANNEL: &str = "wechat";

/// What it took.
pub(super) struct Imported {
    pub(super) took: Duration,
    pub(super) megabytes: u64,
    pub(super) memory_before_mb: u64,
    pub(super) memory_after_mb: u64,
}

/// A trade bill of WeChat's, of payments of 50 yuan.
fn bill(folder: &Path, lines: usize) -> anyhow::Result<Received> {
    let mut spool = Spool::begin(folder, 0)?;
    let names = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,\
                 应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,\
                 手续费,费率,订单金额,申请退款金额,费率备注\n";
    spool.add(names.as_bytes())?;
    for n in 0..lines {
        let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
        let line = format!(
            "`2026-03-09 {hour:02}:{minute:02}:{second:02},`wx81be3101902f7cb2,`1900000001,`0,`,`4200000925202603{n:012},\
             `T{n:031},`ofyak5qR_1wYsC99CsWA6R9MJazA,`JSAPI,`SUCCESS,`OTHERS,`CNY,`50.00,`0.00,`0,`0,`0.00,`0.00,`,`,\
             `充电预付款,`,`0.30000,`0.60%,`50.00,`0.00,`\n"
        );
        spool.add(line.as_bytes())?;
    }
    let names = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\n";
    spool.add(names.as_bytes())?;
    let totals = format!(
        "`{lines},`{0}.00,`0.00,`0.00,`{1}.00000,`{0}.00,`0.00\n",
        lines * 50,
        lines * 3 / 10
    );
    spool.add(totals.as_bytes())?;
    Ok(spool.end()?)
}

/// The memory that this process has, or has had at most since that was last forgotten, in MB.
fn memory_mb(which: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kilobytes = line.context("no such line")?.trim_end_matches("kB").trim();
    Ok(kilobytes.parse::<u64>()? / 1_024)
}

pub(super) async fn import(
    place: Place,
    lines: usize,
    folder: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Imported> {
    let db = tokio::task::spawn_blocking(move || Db::open(&place)).await??;
    let zone = Zone::default();
    let channel = Channel {
        name: CHANNEL.to_owned(),
        signs: Signs::Hmac,
        secret: String::new(),
        merchant: "1900000001".to_owned(),
        fee_ppm: 6_000,
        settle_days: 3,
        zone: zone.name().to_owned(),
        bills: Some(Biller::Wechat),
        made_at: clock.wall(),
    };
    db.write(move |tx| channels::put(tx, &channel, channel.made_at)).await?;
    let received = bill(folder, lines)?;
    // What it had at most is forgotten (proc_pid_clear_refs(5)).
    fs::write("/proc/self/clear_refs", "5")?;
    let (megabytes, memory_before_mb) = (received.bytes >> 20, memory_mb("VmRSS:")?);
    let importer = Importer {
        db,
        clock,
        csv: Arc::new([]),
    };
    let wanted = Wanted {
        channel: CHANNEL.to_owned(),
        format: Format::WechatTrade,
        day: super::DAY.parse().map_err(anyhow::Error::msg)?,
    };
    let begun = Instant::now();
    let imported = importer.import(&wanted, received, "bench").await?;
    let took = begun.elapsed();
    ensure!(imported.file.sums.lines == lines as u64, "{:?}", imported.file.sums);
    Ok(Imported {
        took,
        megabytes,
        memory_before_mb,
        memory_after_mb: memory_mb("VmHWM:")?,
    })
}

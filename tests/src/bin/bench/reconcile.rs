//! A row of reconciliation: a channel's day of many payments, each credited, with one error in a thousand, on SQLite and on PostgreSQL.

use crate::{Scale, table::Row, yardstick::Postgres};
use anyhow::ensure;
use central::{
    bills::Biller,
    clock::MachineClock,
    reconcile::{days::Window, funds::Reconciler},
    store::{
        Db, Place,
        channels::{self, Channel, Signs},
    },
};
use domain::time::{Day, Zone};
use std::{sync::Arc, time::Instant};
use world::station::Folder;

const CHANNEL: &str = "bank";
/// Rows that are planted in one transaction.
const TOGETHER: usize = 50_000;

/// How long a day takes, from what is asked to the last verdict: on SQLite, and on a PostgreSQL beside it.
pub(crate) async fn reconcile(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let folder = Folder::new("bench-reconcile")?;
    let sqlite = Place::File(folder.path().join("central.sqlite"));
    let sqlite = of_day(sqlite, "SQLite", scale).await?;
    let server = Postgres::start()?;
    let beside = of_day(Place::Postgres(server.address()), "PostgreSQL", scale).await?;
    Ok(vec![sqlite, beside])
}

async fn of_day(place: Place, engine: &str, scale: Scale) -> anyhow::Result<Row> {
    let count = scale.of(1_000_000, 20_000);
    let db = tokio::task::spawn_blocking(move || Db::open(&place)).await??;
    let zone = Zone::default();
    let day: Day = "2026-03-09".parse().map_err(anyhow::Error::msg)?;
    let window = Window::of(&zone, day, 3);
    let channel = Channel {
        name: CHANNEL.to_owned(),
        signs: Signs::Hmac,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        merchant: "1900000001".to_owned(),
        fee_ppm: 6_000,
        settle_days: 3,
        zone: zone.name().to_owned(),
        bills: Some(Biller::Csv),
        made_at: window.begin,
    };
    db.write(move |tx| {
        channels::put(tx, &channel, channel.made_at)?;
        tx.execute(
            "INSERT INTO bill_file (id, channel, format, day, sha256, bytes, state, lines, income, outgo, fees, alive_until, made_at, \
             made_by) VALUES (1, $1, 'csv', $2, '00', 1, 'imported', $3, 0, 0, 0, 0, 0, 'bench')",
            &[CHANNEL.into(), day.to_string().into(), (count as u64).into()],
        )
    })
    .await?;
    for first in (0..count).step_by(TOGETHER) {
        let last = (first + TOGETHER).min(count);
        plant(&db, window, (first as u64, last as u64)).await?;
    }
    let reconciler = Reconciler {
        db,
        clock: Arc::new(MachineClock::start()),
    };
    let begun = Instant::now();
    let run = reconciler.run(CHANNEL, day, "bench").await?;
    let took = begun.elapsed().as_secs_f64();
    let totals = run.totals.unwrap_or_default();
    let errors: i64 = totals.classes.values().map(|flow| flow.closing.count).sum();
    ensure!(errors > 0 && errors as usize <= count / 500, "{totals:?}");
    let aim = 20.0 * count as f64 / 1_000_000.0;
    Ok(Row {
        what: format!("a day reconciled: {count} payments and as many credits, one error in a thousand, {engine}"),
        measured: format!("{took:.1} s ({errors} open)"),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: format!("{aim:.1} s"),
        met: took <= aim,
    })
}

/// Writes payments and credits. Of every thousand one is missing on one side or has another amount.
async fn plant(db: &Db, window: Window, (first, last): (u64, u64)) -> anyhow::Result<()> {
    let begin = window.begin.0;
    let numbers = "WITH RECURSIVE n (n) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM n WHERE n + 1 < $2)";
    // Numbers of channels do not come in their order.
    let number = "(n * 7919 % 1000003)";
    let planted = db.write(move |tx| {
        let values = [first.into(), last.into()];
        tx.execute(
            &format!(
                "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) {numbers} SELECT '{CHANNEL}', \
                 '42000' || {number}, 'T' || n, 5000 + n % 97, 1, {begin} + n * 80 FROM n WHERE n % 3000 <> 1"
            ),
            &values,
        )?;
        tx.execute(
            &format!(
                "INSERT INTO bill_trade (file, line, channel, kind, ref, out_no, amount, settled, fee, status, at, name) {numbers} \
                 SELECT 1, n + 2, '{CHANNEL}', 'payment', '42000' || {number}, 'T' || n, 5000 + n % 97, 5000 + n % 97, \
                 ((5000 + n % 97) * 6000 + 500000) / 1000000 + CASE n % 3000 WHEN 5 THEN 1 ELSE 0 END, '', {begin} + n * 80, '' \
                 FROM n WHERE n % 3000 <> 2"
            ),
            &values,
        )
    });
    planted.await?;
    Ok(())
}

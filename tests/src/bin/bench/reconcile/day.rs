//! A day of a channel and of many sites: each top-up with its bill line, each order with what is booked of it as sold and in its connector's
//! energy. Of every three thousand top-ups one is on one side alone, one on the other, and of one the channel kept too much; of every thousand
//! orders one is booked otherwise than it is billed.

use central::{
    bills::Biller,
    store::{
        Db, StoreError, Tx,
        channels::{self, Channel, Signs},
        sites,
    },
};
use domain::{
    energy::{ConnectorDay, ConnectorEnergy, EnergyReport},
    ids::{ConnectorNo, Outlet, SiteId},
    journal::Hash,
    time::{Day, Zone},
    units::Energy,
};
use std::{
    fmt::Write as _,
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

pub(super) const CHANNEL: &str = "bank";
pub(super) const DAY: &str = "2026-03-09";
/// At each site.
const CONNECTORS: usize = 40;
/// At each connector.
const ORDERS: usize = 20;
/// What an order was billed for, in 0.1 Wh.
const ENERGY: i64 = 200_000;
/// What it cost for electricity, in fen; the rest is for service.
const ELECTRICITY: i64 = 2_000;
/// How far a site's journal goes on with each order.
const ENTRIES: usize = 10;
/// Top-ups that are planted in one transaction, and sites.
const TOGETHER: usize = 50_000;
const SITES_TOGETHER: usize = 50;

/// One in so many top-ups is wrong in each way, by the remainder of its number.
const TOP_UPS: usize = 3_000;
const NOT_CREDITED: usize = 1;
const NOT_BILLED: usize = 2;
const FEE_TOO_HIGH: usize = 5;
/// One in so many orders, likewise.
const SOLD: usize = 1_000;
const BOOKED_OTHERWISE: usize = 7;

/// How large a day is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Top-ups, and bill lines.
    pub(super) rows: usize,
    pub(super) sites: usize,
}

impl Size {
    /// As many orders as top-ups, as near as whole sites come to it.
    pub(super) fn of(rows: usize) -> Self {
        Self {
            rows,
            sites: (rows / (CONNECTORS * ORDERS)).max(1),
        }
    }

    pub(super) fn connectors(self) -> usize {
        self.sites * CONNECTORS
    }

    pub(super) fn orders(self) -> usize {
        self.connectors() * ORDERS
    }

    /// How many rows differ: of the channel, and of sites.
    pub(super) fn errors(self) -> (i64, i64) {
        let of = |count: usize, every: usize, which: usize| (0..count).filter(|n| n % every == which).count() as i64;
        let of_channel = [NOT_CREDITED, NOT_BILLED, FEE_TOO_HIGH].map(|which| of(self.rows, TOP_UPS, which));
        (of_channel.iter().sum(), of(self.orders(), SOLD, BOOKED_OTHERWISE))
    }
}

fn amount(n: usize) -> i64 {
    5_000 + (n % 97) as i64
}

/// The channel's number of a top-up: they do not come in their order.
fn number(n: usize) -> String {
    format!("42000{}", n * 7_919 % 1_000_003)
}

fn fee(n: usize) -> i64 {
    (amount(n) * 6_000 + 500_000) / 1_000_000 + i64::from(n % TOP_UPS == FEE_TOO_HIGH)
}

fn cost(n: usize) -> i64 {
    3_000 + (n % 97) as i64
}

fn service(n: usize) -> i64 {
    cost(n) - ELECTRICITY + i64::from(n % SOLD == BOOKED_OTHERWISE)
}

/// JSON of some 2 KB, as long as an order's row.
fn order_row() -> String {
    let mut row = "{\"readings\":[".to_owned();
    for n in 0..60_u64 {
        let (at, meter) = (1_790_000_000_000 + n * 7_919, n * 104_729 % 1_000_003);
        let _infallible = write!(
            row,
            "{}{{\"at\":{at},\"meter\":\"{meter}\"}}",
            if n > 0 { "," } else { "" }
        );
    }
    row + "]}"
}

/// Writes the day into a new database.
pub(super) async fn plant(db: &Db, size: Size) -> anyhow::Result<()> {
    let zone = Zone::default();
    let day: Day = DAY.parse().map_err(anyhow::Error::msg)?;
    let begin = zone.begin_of(day);
    let channel = Channel {
        name: CHANNEL.to_owned(),
        signs: Signs::Hmac,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        merchant: "1900000001".to_owned(),
        fee_ppm: 6_000,
        settle_days: 0,
        zone: zone.name().to_owned(),
        bills: Some(Biller::Csv),
        made_at: begin,
    };
    db.write(move |tx| {
        channels::put(tx, &channel, channel.made_at)?;
        tx.execute(
            "INSERT INTO bill_file (id, channel, format, day, sha256, bytes, state, lines, income, outgo, fees, alive_until, made_at, \
             made_by) VALUES (1, $1, 'csv', $2, '00', 1, 'imported', $3, 0, 0, 0, 0, 0, 'bench')",
            &[CHANNEL.into(), DAY.into(), (size.rows as u64).into()],
        )
    })
    .await?;
    for first in (0..size.rows).step_by(TOGETHER) {
        let numbers = (first as u64, (first + TOGETHER).min(size.rows) as u64);
        db.write(move |tx| top_ups(tx, begin.0, numbers)).await?;
    }
    for first in (0..size.sites).step_by(SITES_TOGETHER) {
        let last = (first + SITES_TOGETHER).min(size.sites);
        let zone = zone.clone();
        db.write(move |tx| (first..last).try_for_each(|site| of_site(tx, &zone, day, site)))
            .await?;
    }
    Ok(())
}

fn top_ups(tx: &mut dyn Tx, begin: i64, (first, last): (u64, u64)) -> Result<(), StoreError> {
    let numbers = "WITH RECURSIVE n (n) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM n WHERE n + 1 < $2)";
    let number = "(n * 7919 % 1000003)";
    let values = [first.into(), last.into()];
    tx.execute(
        &format!(
            "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) {numbers} SELECT '{CHANNEL}', \
             '42000' || {number}, 'T' || n, 5000 + n % 97, 1, {begin} + n * 80 FROM n WHERE n % {TOP_UPS} <> {NOT_CREDITED}"
        ),
        &values,
    )?;
    tx.execute(
        &format!(
            "INSERT INTO bill_trade (file, line, channel, kind, ref, out_no, amount, settled, fee, status, at, name) {numbers} \
             SELECT 1, n + 2, '{CHANNEL}', 'payment', '42000' || {number}, 'T' || n, 5000 + n % 97, 5000 + n % 97, \
             ((5000 + n % 97) * 6000 + 500000) / 1000000 + CASE n % {TOP_UPS} WHEN {FEE_TOO_HIGH} THEN 1 ELSE 0 END, '', \
             {begin} + n * 80, '' FROM n WHERE n % {TOP_UPS} <> {NOT_BILLED}"
        ),
        &values,
    )
    .map(drop)
}

fn site_id(site: usize) -> String {
    format!("s{site:04}")
}

fn of_site(tx: &mut dyn Tx, zone: &Zone, day: Day, site: usize) -> Result<(), StoreError> {
    let id = site_id(site);
    let broken = |error: String| StoreError::Broken(error);
    let known: SiteId = id.parse().map_err(|error| broken(format!("{error}")))?;
    let (begin, end) = (zone.begin_of(day), zone.begin_of(day.plus(1)));
    sites::add(tx, &known, &format!("yard {site}"), &[])?;
    let last = ((CONNECTORS * ORDERS + 1) * ENTRIES) as u64;
    tx.execute(
        "UPDATE site SET day = $1, seq = $2, heard_at = $3 WHERE id = $4",
        &[
            day.plus(1).to_string().into(),
            (last + 1).into(),
            end.0.into(),
            id.as_str().into(),
        ],
    )?;
    tx.execute(
        "INSERT INTO site_day (site, branch, seq, day, hash, said_at) SELECT id, branch, $1, $2, $3, $4 FROM site WHERE id = $5",
        &[
            last.into(),
            day.to_string().into(),
            Hash::GENESIS.to_string().into(),
            end.after_ms(1_000).0.into(),
            id.as_str().into(),
        ],
    )?;
    let report = report(zone, day).map_err(broken)?;
    tx.execute(
        "INSERT INTO r_energy_report (site, day, row) VALUES ($1, $2, $3)",
        &[id.as_str().into(), day.to_string().into(), report.into()],
    )?;
    orders(tx, &id, (site, begin.0), day)
}

/// The energy of each connector.
fn report(zone: &Zone, day: Day) -> Result<String, String> {
    let connector = |n: usize| {
        let pile = format!("P{:02}", n + 1).parse().map_err(|error| format!("{error}"))?;
        Ok(ConnectorEnergy {
            outlet: Outlet {
                pile,
                connector: ConnectorNo(1),
            },
            sums: ConnectorDay {
                billed: Energy(ENERGY * ORDERS as i64),
                ..ConnectorDay::default()
            },
            read: None,
        })
    };
    let report = EnergyReport {
        day,
        time_zone: zone.name().to_owned(),
        begins: zone.begin_of(day),
        ends: zone.begin_of(day.plus(1)),
        made_at: zone.begin_of(day.plus(1)).after_ms(3_600_000),
        clock_trusted: true,
        connectors: (0..CONNECTORS).map(connector).collect::<Result<_, String>>()?,
        adjustments: Vec::new(),
        abnormal: Vec::new(),
    };
    serde_json::to_string(&report).map_err(|error| error.to_string())
}

/// Orders with what is booked of them as sold.
fn orders(tx: &mut dyn Tx, id: &str, (site, begin): (usize, i64), day: Day) -> Result<(), StoreError> {
    let first = site * CONNECTORS * ORDERS;
    let numbers = "WITH RECURSIVE n (n) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM n WHERE n + 1 < $2)";
    let range = [(first as u64).into(), ((first + CONNECTORS * ORDERS) as u64).into()];
    let mut values = range.to_vec();
    values.extend([day.to_string().into(), order_row().into()]);
    tx.execute(
        &format!(
            "INSERT INTO r_order (site, id, member, pile, state, open, placed_at, day, fee, energy, held, row) {numbers} \
             SELECT '{id}', '{id}-' || n, 'm' || n % 5000, 'P' || n % {CONNECTORS}, 'payed', 0, {begin} + n * 80, CAST($3 AS TEXT), \
             3000 + n % 97, {ENERGY}, 0, CAST($4 AS TEXT) FROM n"
        ),
        &values,
    )?;
    let seq = format!("((n - {first}) * {ENTRIES} + 5)");
    for (part, kind, fen) in [
        (0, "electricity", ELECTRICITY.to_string()),
        (
            1,
            "service",
            format!("1000 + n % 97 + CASE n % {SOLD} WHEN {BOOKED_OTHERWISE} THEN 1 ELSE 0 END"),
        ),
    ] {
        tx.execute(
            &format!(
                "INSERT INTO transfer (id, debit, credit, amount, code, site, branch, seq, order_id, at) {numbers} \
                 SELECT '{id}:0:' || {seq} || '.{part}', 'held:{id}', 'sales:{id}:{kind}', {fen}, 'SALE', '{id}', s.branch, {seq}, \
                 '{id}-' || n, {begin} + n * 80 FROM n CROSS JOIN (SELECT branch FROM site WHERE id = '{id}') s"
            ),
            &range,
        )?;
    }
    Ok(())
}

/// The same day as files, for a program without a database.
pub(super) fn write_files(folder: &Path, size: Size) -> anyhow::Result<()> {
    let file = |name: &str, head: &str| -> anyhow::Result<BufWriter<File>> {
        let mut file = BufWriter::new(File::create(folder.join(name))?);
        writeln!(file, "{head}")?;
        Ok(file)
    };
    let mut credits = file("credits.csv", "id,amount")?;
    let mut lines = file("lines.csv", "id,amount,fee")?;
    for n in 0..size.rows {
        if n % TOP_UPS != NOT_CREDITED {
            writeln!(credits, "{},{}", number(n), amount(n))?;
        }
        if n % TOP_UPS != NOT_BILLED {
            writeln!(lines, "{},{},{}", number(n), amount(n), fee(n))?;
        }
    }
    let mut orders = file("orders.csv", "site,order,fee")?;
    let mut moves = file("moves.csv", "site,order,amount")?;
    for n in 0..size.orders() {
        let site = site_id(n / (CONNECTORS * ORDERS));
        writeln!(orders, "{site},{site}-{n},{}", cost(n))?;
        writeln!(moves, "{site},{site}-{n},{ELECTRICITY}")?;
        writeln!(moves, "{site},{site}-{n},{}", service(n))?;
    }
    for mut file in [credits, lines, orders, moves] {
        file.flush()?;
    }
    Ok(())
}

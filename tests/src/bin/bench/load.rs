//! Rows of throughput and latency: records, whole orders, one record alone.

use crate::{
    Scale,
    http::{Door, Http},
    link::{Link, Packet},
    pile::{self, Pile},
    spread::{Spread, ms},
    table::Row,
    yardstick::{Fdatasync, Mosquitto, Postgres},
};
use anyhow::{Context, ensure};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use world::station::{Setup, StationProcess};

/// Records under way at once on one connection.
const IN_FLIGHT: usize = 5;
/// What goes unmeasured until everything runs evenly.
const WARM_UP: Duration = Duration::from_secs(2);

/// A station whose front door is as wide as a test needs it.
pub(crate) async fn station(name: &str) -> anyhow::Result<StationProcess> {
    let mut station = unstarted(name)?;
    station.start_again().await?;
    Ok(station)
}

/// The same, before its first start.
pub(crate) fn unstarted(name: &str) -> anyhow::Result<StationProcess> {
    let mut setup = Setup::new();
    setup.mqtt = "connections_max = 65536\nconnections_per_address_max = 65536\n".to_owned();
    let mut station = StationProcess::new(&format!("bench-{name}"), &setup)?;
    // All of the load is one address.
    let per_address = "HOLDFAST_EDGE__HTTP__CONNECTIONS_PER_ADDRESS_MAX".to_owned();
    station.environment.push((per_address, "512".to_owned()));
    Ok(station)
}

/// Acknowledgements within the measured time, and how long each took.
#[derive(Default)]
struct Acknowledged {
    per_second: f64,
    times: Spread,
}

/// Durable QoS 1 records against the same bytes at a mosquitto that keeps nothing.
pub(crate) async fn records(scale: Scale) -> anyhow::Result<Row> {
    let connections = scale.of(1_000, 50);
    let (mut ours, mut theirs) = {
        let station = station("records").await?;
        let secrets = pile::provision(&Door::of(&station).await?, 0..connections, None).await?;
        let ours = flood(station.mqtt, &secrets, true, scale).await?;
        drop(station);
        let mosquitto = Mosquitto::start()?;
        (ours, flood(mosquitto.address, &secrets, false, scale).await?)
    };
    let ratio = ours.per_second / theirs.per_second;
    Ok(Row {
        what: format!("durable QoS 1 records, {connections} connections × {IN_FLIGHT} in flight"),
        measured: format!("{:.0} acks/s, p99 {}", ours.per_second, ms(ours.times.p99())),
        yardstick: format!(
            "mosquitto, not durable: {:.0} acks/s, p99 {}",
            theirs.per_second,
            ms(theirs.times.p99())
        ),
        ratio: Some(ratio),
        aim: "ahead".to_owned(),
        met: ratio > 1.0,
    })
}

async fn flood(
    address: std::net::SocketAddr,
    secrets: &[String],
    is_station: bool,
    scale: Scale,
) -> anyhow::Result<Acknowledged> {
    let mut piles = Vec::new();
    for (n, secret) in secrets.iter().enumerate() {
        let mut pile = Pile::connect(address, n, secret).await?;
        if is_station {
            let boot = pile.say_boot();
            pile.acknowledged(boot).await?;
        }
        piles.push(pile);
    }
    let begin = Instant::now() + WARM_UP;
    let end = begin + scale.time(Duration::from_secs(10), Duration::from_secs(1));
    let mut senders = tokio::task::JoinSet::new();
    for mut pile in piles {
        senders.spawn(async move {
            let mut times = Spread::default();
            let mut under_way: VecDeque<(u16, Instant)> = VecDeque::new();
            loop {
                let now = Instant::now();
                while under_way.len() < IN_FLIGHT && now < end {
                    under_way.push_back((pile.say_unknown_record(), now));
                }
                if under_way.is_empty() {
                    return anyhow::Ok(times);
                }
                let mut next = Some(pile.link.next().await?);
                let now = Instant::now();
                while let Some(packet) = next {
                    if let Packet::PubAck(id) = packet {
                        let (expected, sent) = under_way.pop_front().context("a PUBACK of nothing")?;
                        ensure!(id == expected, "PUBACK {id} and not {expected}");
                        if now >= begin && now < end {
                            times.add(now - sent);
                        }
                    }
                    next = pile.link.try_next()?;
                }
            }
        });
    }
    let mut all = Acknowledged::default();
    while let Some(times) = senders.join_next().await {
        all.times.absorb(times??);
    }
    all.per_second = all.times.len() as f64 / (end - begin).as_secs_f64();
    Ok(all)
}

/// Whole orders: placed over HTTP, started, three heartbeats, the record, settled.
pub(crate) async fn orders(scale: Scale) -> anyhow::Result<Row> {
    let count = scale.of(256, 16);
    let time = scale.time(Duration::from_secs(12), Duration::from_secs(1));
    let mut order_times = Spread::default();
    let per_second = {
        let station = station("orders").await?;
        let door = Door::of(&station).await?;
        let secrets = pile::provision(&door, 0..count, Some("100000.00")).await?;
        let piles = pile::crowd(station.mqtt, 0, &secrets).await?;
        let begin = Instant::now() + WARM_UP;
        let end = begin + time;
        let mut drivers = tokio::task::JoinSet::new();
        for mut pile in piles {
            let door = door.clone();
            drivers.spawn(async move {
                let mut http = Http::open(&door, &pile::name(pile.n)).await?;
                let mut times = Spread::default();
                loop {
                    let placed = Instant::now();
                    if placed >= end {
                        return anyhow::Ok(times);
                    }
                    whole_order(&mut http, &mut pile).await?;
                    if placed >= begin && Instant::now() < end {
                        times.add(placed.elapsed());
                    }
                }
            });
        }
        while let Some(times) = drivers.join_next().await {
            order_times.absorb(times??);
        }
        let total = station.books_total().await?;
        ensure!(total.0 == 0, "the books sum to {total}");
        order_times.len() as f64 / time.as_secs_f64()
    };
    let tps = Postgres::start()?.pgbench(time.as_secs())?;
    let ratio = per_second / (tps / 4.0);
    Ok(Row {
        what: format!("whole orders per second, {count} piles (place, start, 3 heartbeats, record, settled)"),
        measured: format!("{per_second:.0}/s, one takes p50 {}", ms(order_times.p50())),
        yardstick: format!("pgbench -N, 16 clients: {tps:.0} tps ÷ 4 = {:.0}", tps / 4.0),
        ratio: Some(ratio),
        aim: "2 ×".to_owned(),
        met: ratio >= 2.0,
    })
}

/// Returns when the record was sent, when its PUBACK came, and when its `ack` with the fee.
pub(crate) async fn whole_order(http: &mut Http, pile: &mut Pile) -> anyhow::Result<[Instant; 3]> {
    pile::charge(http, pile).await?;
    for _ in 0..3 {
        pile.meter.0 += 100;
        let heartbeat = pile.say_heartbeat();
        pile.acknowledged(heartbeat).await?;
    }
    pile.meter.0 += 100;
    let record = pile.say_record()?;
    pile.link.flush().await?;
    let sent = Instant::now();
    let (acknowledged, fee) = pile.settled(record).await?;
    let settled = Instant::now();
    ensure!(fee != "0.00", "an order of {} cost nothing", pile::name(pile.n));
    // The car leaves: the connector is free for the next one.
    let heartbeat = pile.say_heartbeat();
    pile.acknowledged(heartbeat).await?;
    Ok([sent, acknowledged, settled])
}

/// Between two orders of the one pile.
const BETWEEN_LONE: Duration = Duration::from_millis(100);

/// One record after another at a station that does nothing else, against the bare disk at the same time.
pub(crate) async fn lone(scale: Scale) -> anyhow::Result<Row> {
    let station = station("lone").await?;
    let door = Door::of(&station).await?;
    let secrets = pile::provision(&door, 0..1, Some("100000.00")).await?;
    let mut pile = Pile::at_rest(station.mqtt, 0, &secrets[0]).await?;
    let mut http = Http::open(&door, "lone").await?;
    let mut disk = Fdatasync::new(station.folder())?;
    let (mut acknowledged, mut settled) = (Spread::default(), Spread::default());
    for _ in 0..scale.of(1_000, 50) {
        // One pile that went on at once would be held back by the rate that each connection has.
        tokio::time::sleep(BETWEEN_LONE).await;
        let [sent, puback, ack] = whole_order(&mut http, &mut pile).await?;
        acknowledged.add(puback - sent);
        settled.add(ack - sent);
        disk.once()?;
    }
    let ratio = settled.p99().as_secs_f64() / disk.times.p99().as_secs_f64();
    Ok(Row {
        what: format!("lone record → settled and acknowledged, {} of them", settled.len()),
        measured: format!(
            "p99 {} (p50 {}; PUBACK p99 {})",
            ms(settled.p99()),
            ms(settled.p50()),
            ms(acknowledged.p99())
        ),
        yardstick: format!(
            "fdatasync of 8 KiB: p99 {} (p50 {})",
            ms(disk.times.p99()),
            ms(disk.times.p50())
        ),
        ratio: Some(ratio),
        aim: "5 × or less".to_owned(),
        met: ratio <= 5.0,
    })
}

/// A connection to mosquitto that is like a pile's.
pub(crate) async fn like_a_pile(address: std::net::SocketAddr, n: usize) -> anyhow::Result<Link> {
    let name = pile::name(n);
    let mut link = Link::open(address, &name, &name, "secret").await?;
    link.subscribe(&format!("hf/v1/pile/{name}/down/#")).await?;
    Ok(link)
}

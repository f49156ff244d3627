//! Rows of a crowded station: memory of connected piles, and how soon a heartbeat is on the driver's screen.

use crate::{
    Scale,
    http::{Door, Http},
    load,
    pile::{self, Pile},
    process::{mib, resident_bytes},
    spread::{Spread, ms},
    table::Row,
    yardstick::Mosquitto,
};
use anyhow::ensure;
use domain::units::Energy;
use futures_util::StreamExt;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};
use world::station::StationProcess;

/// How often a charging pile says how it is.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// Drivers who watch their own order, besides one page that shows all of them.
const WATCHED: usize = 100;
/// For the allocator and the kernel to come to rest before memory is read.
const REST: Duration = Duration::from_secs(5);

/// Both rows of memory and the one of live frames; they share the ten thousand piles.
pub(crate) async fn crowd(scale: Scale, memory: bool, live: bool) -> anyhow::Result<Vec<Row>> {
    let (few, many) = (scale.of(1_000, 50), scale.of(10_000, 200));
    // First and by itself: a system that allows 20,000 open files has no room for both crowds at once.
    let theirs = match memory {
        true => resident_of_mosquitto(&[few, many]).await?,
        false => Vec::new(),
    };
    let station = load::station("crowd").await?;
    let door = Door::of(&station).await?;
    let secrets = pile::provision(&door, 0..many, Some("1000.00")).await?;
    let pid = station.pid()?;
    let mut piles = pile::crowd(station.mqtt, 0, &secrets[..few]).await?;
    let mut ours = Vec::new();
    if memory {
        tokio::time::sleep(REST).await;
        ours.push((few, resident_bytes(pid)?));
    }
    piles.extend(pile::crowd(station.mqtt, few, &secrets[few..]).await?);
    let mut rows = Vec::new();
    if memory {
        tokio::time::sleep(REST).await;
        ours.push((many, resident_bytes(pid)?));
        for (((count, ours), theirs), aim_mb) in ours.into_iter().zip(theirs).zip([32, 200]) {
            rows.push(Row {
                what: format!("resident memory, {count} connected piles"),
                measured: mib(ours),
                yardstick: format!("mosquitto: {}", mib(theirs)),
                ratio: Some(ours as f64 / theirs as f64),
                aim: format!("{aim_mb} MB"),
                met: ours <= aim_mb * 1_000_000,
            });
        }
    }
    if live {
        rows.push(heartbeats(&station, &door, piles, scale).await?);
    }
    Ok(rows)
}

async fn resident_of_mosquitto(counts: &[usize]) -> anyhow::Result<Vec<u64>> {
    let mosquitto = Mosquitto::start()?;
    let mut links = Vec::new();
    let mut found = Vec::new();
    for count in counts {
        while links.len() < *count {
            links.push(load::like_a_pile(mosquitto.address, links.len()).await?);
        }
        tokio::time::sleep(REST).await;
        found.push(resident_bytes(mosquitto.pid())?);
    }
    Ok(found)
}

/// What drivers are waiting to see, and how long it took until they did.
#[derive(Default)]
struct Seen {
    /// When a heartbeat was said that brings an order to this energy.
    said: BTreeMap<(String, String), Instant>,
    times: Spread,
}

impl Seen {
    fn say(seen: &Mutex<Self>, order: &str, energy: Energy) {
        let mut seen = seen.lock().expect("nobody panics with it");
        seen.said.insert((order.to_owned(), energy.to_string()), Instant::now());
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn socket(station: &StationProcess, token: &str, path: &str) -> anyhow::Result<Socket> {
    let mut request = format!("ws://{}{path}", station.http).into_client_request()?;
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    Ok(tokio_tungstenite::connect_async(request).await?.0)
}

/// Looks at one order until the socket ends.
async fn watch(mut socket: Socket, order: String, seen: Arc<Mutex<Seen>>) {
    while let Some(Ok(message)) = socket.next().await {
        let now = Instant::now();
        let Message::Text(text) = message else { continue };
        let Ok(frame) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        let energy = frame["energy_kwh"].as_str().unwrap_or_default().to_owned();
        let mut seen = seen.lock().expect("nobody panics with it");
        if let Some(said) = seen.said.remove(&(order.clone(), energy)) {
            seen.times.add(now - said);
        }
    }
}

async fn heartbeats(station: &StationProcess, door: &Door, mut piles: Vec<Pile>, scale: Scale) -> anyhow::Result<Row> {
    let count = piles.len();
    let mut charging = Vec::new();
    let share = piles.len().div_ceil(64);
    let mut drivers = tokio::task::JoinSet::new();
    while !piles.is_empty() {
        let mut some = piles.split_off(piles.len().saturating_sub(share));
        let door = door.clone();
        drivers.spawn(async move {
            let mut http = Http::open(&door, &format!("crowd-{}", some[0].n)).await?;
            let mut orders = Vec::new();
            for pile in &mut some {
                orders.push(pile::charge(&mut http, pile).await?);
            }
            anyhow::Ok(some.into_iter().zip(orders).collect::<Vec<_>>())
        });
    }
    while let Some(some) = drivers.join_next().await {
        charging.extend(some??);
    }
    charging.sort_by_key(|(pile, _)| pile.n);

    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut watchers = tokio::task::JoinSet::new();
    let token = &door.token;
    let every = (count / WATCHED).max(1);
    let watched = |n: usize| n.is_multiple_of(every);
    for (_, order) in charging.iter().filter(|(pile, _)| watched(pile.n)) {
        let path = format!("/v1/orders/{order}/live");
        watchers.spawn(watch(socket(station, token, &path).await?, order.clone(), seen.clone()));
    }
    let mut page = socket(station, token, "/v1/live").await?;
    watchers.spawn(async move { while let Some(Ok(_)) = page.next().await {} });

    let rounds = scale.of(4, 1);
    let begin = Instant::now() + Duration::from_millis(500);
    let mut senders = tokio::task::JoinSet::new();
    for (mut pile, order) in charging {
        let seen = watched(pile.n).then(|| seen.clone());
        senders.spawn(async move {
            let own_turn = HEARTBEAT_EVERY.mul_f64(pile.n as f64 / count as f64);
            let started_at = pile.meter;
            for round in 0..rounds {
                let turn = begin + own_turn + HEARTBEAT_EVERY * u32::try_from(round)?;
                tokio::time::sleep_until(turn.into()).await;
                pile.meter.0 += 291;
                if let Some(seen) = &seen {
                    Seen::say(seen, &order, pile.meter - started_at);
                }
                let heartbeat = pile.say_heartbeat();
                pile.acknowledged(heartbeat).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    watchers.abort_all();
    let mut seen = seen.lock().expect("nobody panics with it");
    let missing = seen.said.len();
    let times = &mut seen.times;
    ensure!(
        missing * 100 <= times.len(),
        "{missing} heartbeats were never shown, {} were",
        times.len()
    );
    Ok(Row {
        what: format!("heartbeat → WebSocket frame, {count} piles charging, one heartbeat each 15 s"),
        measured: format!(
            "p99 {} (p50 {}, {} frames)",
            ms(times.p99()),
            ms(times.p50()),
            times.len()
        ),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: "10 ms".to_owned(),
        met: times.p99() <= Duration::from_millis(10),
    })
}

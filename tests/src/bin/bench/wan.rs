//! Rows of the line itself: a real station, the real program on its box and the real head office. What an order costs in bytes,
//! counted where the WAN would be, and how soon head office knows what cannot wait.

use crate::{
    Scale,
    http::{Door, Http},
    load::{self, whole_order},
    pile::{self, Pile},
    spread::{Spread, ms},
    table::Row,
};
use anyhow::{Context, ensure};
use domain::topics::{DownKind, UpKind};
use futures_util::StreamExt;
use serde_json::{Value, json};
use service::client::{Call, Client, Kept};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use world::{
    hand::Hand,
    head_office::{AgentProcess, HeadOfficeProcess},
    history,
    relay::Relay,
    station::{SITE, StationProcess},
};

/// How long anything may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often head office is asked what it has.
const LOOK: Duration = Duration::from_millis(1);
/// For the last acknowledgements to come.
const REST: Duration = Duration::from_secs(3);

/// Waits until head office has all that the station has journaled.
async fn is_caught_up(station: &StationProcess, head_office: &HeadOfficeProcess) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let here = station.get("/v1/station").await?.success()?["journal"]["seq"].clone();
        let site: Value = head_office.get(&format!("/v1/sites/{SITE}")).await?.read()?;
        if here.is_u64() && site["head"]["seq"] == here {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "the station is at {here}, and head office says {site}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Bytes in a minute in which the station journals nothing, after one in which it has journaled nothing: what it has to say of
/// piles that were just connected it says first, and its last batch waits for company.
async fn a_still_minute(station: &StationProcess, relay: &Relay, minute: Duration) -> anyhow::Result<f64> {
    let (mut was_still, mut seq) = (false, journaled(station).await?);
    for _ in 0..20 {
        let before = relay.bytes();
        tokio::time::sleep(minute).await;
        let bytes = relay.bytes() - before;
        let now = journaled(station).await?;
        let is_still = now == seq;
        if was_still && is_still {
            return Ok(bytes as f64 * 60.0 / minute.as_secs_f64());
        }
        (was_still, seq) = (is_still, now);
    }
    anyhow::bail!("the station journals something in each of twenty minutes")
}

async fn journaled(station: &StationProcess) -> anyhow::Result<Value> {
    Ok(station.get("/v1/station").await?.success()?["journal"]["seq"].clone())
}

/// Bytes for each order, live and catching up.
pub(crate) async fn bytes(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (alone, outage) = (scale.of(8, 1), scale.of(1_000, 40));
    let minute = scale.time(Duration::from_secs(60), Duration::from_secs(5));
    let mut station = load::station("wan").await?;
    let head_office = HeadOfficeProcess::start("bench-wan-office").await?;
    let mut agent = head_office.join(&mut station, SITE).await?;
    let relay = through_relay(&mut agent).await?;
    let door = Door::of(&station).await?;
    let secrets = pile::provision(&door, 0..40, Some("100000.00")).await?;
    let mut piles = pile::crowd(station.mqtt, 0, &secrets).await?;
    let mut http = Http::open(&door, "wan").await?;
    is_caught_up(&station, &head_office).await?;
    tokio::time::sleep(REST).await;

    let a_minute = a_still_minute(&station, &relay, minute).await?;

    let (before, begun) = (relay.bytes(), Instant::now());
    for n in 0..alone {
        let pile = &mut piles[n % 40];
        pile::charge(&mut http, pile).await?;
        // The next one begins or ends 45 s later on average: nothing else is in its batch.
        is_caught_up(&station, &head_office).await?;
        end_order(pile).await?;
        is_caught_up(&station, &head_office).await?;
    }
    tokio::time::sleep(REST).await;
    let pings = a_minute * begun.elapsed().as_secs_f64() / 60.0;
    let live = ((relay.bytes() - before) as f64 - pings) / alone as f64;

    agent.terminate().await?;
    let before = relay.bytes();
    let mut drivers = tokio::task::JoinSet::new();
    for mut pile in piles {
        let door = door.clone();
        drivers.spawn(async move {
            let mut http = Http::open(&door, &format!("wan-{}", pile.n)).await?;
            for _ in 0..outage / 40 {
                whole_order(&mut http, &mut pile).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(driven) = drivers.join_next().await {
        driven??;
    }
    agent.start().await?;
    is_caught_up(&station, &head_office).await?;
    tokio::time::sleep(REST).await;
    let catching_up = (relay.bytes() - before) as f64 / outage as f64;
    let row = |what: String, bytes: f64, aim: f64| Row {
        what,
        measured: format!("{bytes:.0} bytes"),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: format!("{aim:.0} or less"),
        met: bytes <= aim,
    };
    Ok(vec![
        row(
            format!("WAN bytes an order, live, {alone} orders whose start and end each go alone"),
            live,
            1_500.0,
        ),
        row(
            format!("WAN bytes an order, catching up with {outage}"),
            catching_up,
            800.0,
        ),
        row("WAN bytes of ping and pong, a minute".to_owned(), a_minute, 800.0),
    ])
}

/// Has the program on the box go through a relay.
async fn through_relay(agent: &mut AgentProcess) -> anyhow::Result<Relay> {
    agent.terminate().await?;
    let relay = Relay::to(agent.broker()?).await?;
    agent.meet_at(relay.address)?;
    agent.start().await?;
    Ok(relay)
}

/// Ends a pile's order: the record, settled; and the car leaves.
async fn end_order(pile: &mut Pile) -> anyhow::Result<()> {
    pile.meter.0 += 400;
    let record = pile.say_record()?;
    pile.settled(record).await?;
    let heartbeat = pile.say_heartbeat();
    pile.acknowledged(heartbeat).await
}

/// How soon head office shows what cannot wait.
pub(crate) async fn urgent(scale: Scale) -> anyhow::Result<Row> {
    let rounds = scale.of(200, 5);
    let mut station = StationProcess::start("bench-urgent", &history::setup()).await?;
    let head_office = HeadOfficeProcess::start("bench-urgent-office").await?;
    let _agent = head_office.join(&mut station, SITE).await?;
    let mut looks = Client::at_socket(head_office.socket()).kept().await?;
    let mut piles = Vec::new();
    for id in ["P1", "P2"] {
        let secret = station.add_pile(id).await?;
        piles.push(history::boot(&station, id, &secret).await?);
    }
    let [debts, watched] = &mut piles[..] else {
        anyhow::bail!("two piles were connected");
    };
    station.add_member("rich", "10000.00").await?;
    let mut registers = [1_000_u64; 2];
    let (mut made, mut paid, mut seen) = (Spread::default(), Spread::default(), Spread::default());
    for n in 0..rounds {
        let member = format!("m{n}");
        station.add_member(&member, "6.00").await?;
        let order = begin(&station, watched, "rich", registers[1]).await?;

        // More than the member has: a debt.
        let owing = begin(&station, debts, &member, registers[0]).await?;
        let began = Instant::now();
        end(debts, &owing, &mut registers[0]).await?;
        made.add(shows(&mut looks, &owing, "UNPAID", began).await?);

        let debt = station.get(&format!("/v1/members/{member}")).await?.success()?["debt"].clone();
        let body = json!({ "amount": debt, "from": "cash", "receipt": format!("debt-{n}") });
        let began = Instant::now();
        station
            .post(&format!("/v1/members/{member}/payments"), &body)
            .await?
            .success()?;
        paid.add(shows(&mut looks, &owing, "PAYED", began).await?);

        // What was urgent has taken the other order along. Its first frame says that the station knows who watches.
        let stream = UnixStream::connect(head_office.socket()).await?;
        let url = format!("ws://localhost/v1/sites/{SITE}/orders/{order}/live");
        let (mut frames, _) = tokio_tungstenite::client_async(url, stream).await?;
        loop {
            let frame = tokio::time::timeout(PATIENCE, frames.next()).await;
            let frame = frame.context("no frame came")?.context("nobody shows the order")??;
            // Whoever serves it asks from time to time whether anybody is there.
            if frame.is_text() {
                break;
            }
        }
        let began = Instant::now();
        end(watched, &order, &mut registers[1]).await?;
        seen.add(shows(&mut looks, &order, "PAYED", began).await?);
    }
    let mut told = Vec::new();
    let mut all = Spread::default();
    for (what, spread) in [
        ("debts", &mut made),
        ("debts that are paid", &mut paid),
        ("watched orders", &mut seen),
    ] {
        told.push(format!(
            "{} {what} p50 {}, p99 {}",
            spread.len(),
            ms(spread.p50()),
            ms(spread.p99())
        ));
        all.absorb(spread.clone());
    }
    let p99 = all.p99();
    Ok(Row {
        what: "urgent: said at the station → shown by head office's API, loopback".to_owned(),
        measured: format!("p99 {} ({})", ms(p99), told.join("; ")),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: "100 ms".to_owned(),
        met: p99 <= Duration::from_millis(100),
    })
}

fn kwh(register: u64) -> String {
    format!("{register}.0000")
}

/// An order that charges.
async fn begin(station: &StationProcess, pile: &mut Hand, member: &str, register: u64) -> anyhow::Result<String> {
    let register = kwh(register);
    history::report(pile, "plugged", None, &register).await?;
    let id = pile.pile().to_string();
    let order = station.place(member, &id, "5.00").await?;
    let start = pile.hear(DownKind::Command).await?;
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    pile.say(UpKind::Reply, &reply).await?;
    history::report(pile, "charging", Some(&order), &register).await?;
    Ok(order)
}

/// Its record, of 5 kWh, until it is settled.
async fn end(pile: &mut Hand, order: &str, register: &mut u64) -> anyhow::Result<()> {
    let from = kwh(*register);
    *register += 5;
    history::record(pile, order, &from, &kwh(*register)).await?;
    Ok(())
}

/// Waits until head office shows the order in this state; how long it took since.
async fn shows(looks: &mut Kept, order: &str, state: &str, since: Instant) -> anyhow::Result<Duration> {
    loop {
        let answer = looks.ask(Call::get(format!("/v1/sites/{SITE}/orders/{order}"))).await?;
        if answer.status == 200 {
            let shown: Value = answer.read()?;
            if shown["state"] == state {
                return Ok(since.elapsed());
            }
        }
        ensure!(
            since.elapsed() < PATIENCE,
            "order {order} is not {state} at head office"
        );
        tokio::time::sleep(LOOK).await;
    }
}

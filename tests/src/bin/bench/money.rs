//! Rows of money that travels: real head office, real stations and the real programs on their boxes. How soon a pile hears of an
//! order that is placed through head office, where its money has to be fetched from another site first, and how many payments a
//! second are credited.

use crate::{
    Scale,
    spread::{Spread, ms},
    table::Row,
    yardstick::Postgres,
};
use anyhow::{Context, ensure};
use domain::{
    order::State,
    topics::{DownKind, UpKind},
};
use hyper::Method;
use serde_json::{Value, json};
use service::client::{Call, Client, Kept};
use std::{
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};
use world::{
    back_end,
    hand::Hand,
    head_office::{AgentProcess, HeadOfficeProcess},
    history,
    relay::Relay,
    station::{SITE, StationProcess},
};

/// How long anything may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// What an order reserves.
const PREPAY: &str = "20.00";
/// Callbacks that are on the way at once, each on a connection of its own.
const CALLERS: usize = 16;

/// A station with a pile, and the program on its box.
struct Site {
    id: &'static str,
    station: StationProcess,
    agent: AgentProcess,
    pile: Hand,
    register: u64,
}

impl Site {
    async fn join(office: &HeadOfficeProcess, id: &'static str) -> anyhow::Result<Self> {
        let mut setup = history::setup();
        id.clone_into(&mut setup.site);
        let mut station = StationProcess::start(&format!("bench-{id}"), &setup).await?;
        let agent = office.join(&mut station, id).await?;
        let secret = station.add_pile("P1").await?;
        let pile = history::boot(&station, "P1", &secret).await?;
        let site = Self {
            id,
            station,
            agent,
            pile,
            register: 1_000,
        };
        site.is_online(office).await?;
        Ok(site)
    }

    async fn is_online(&self, office: &HeadOfficeProcess) -> anyhow::Result<()> {
        let path = format!("/v1/stations/{}", self.id);
        let online = back_end::once(office, &path, PATIENCE, |shown| shown["online"] == true).await;
        online.map(drop)
    }

    /// From now on everything takes so long to head office and back.
    async fn far_away(&mut self, there_and_back: Duration) -> anyhow::Result<Relay> {
        self.agent.terminate().await?;
        let relay = Relay::long(self.agent.broker()?, there_and_back / 2).await?;
        self.agent.meet_at(relay.address)?;
        self.agent.start().await?;
        Ok(relay)
    }

    /// A car is plugged in, its driver asks head office for an order, and the pile is told to start: how long that took from the
    /// question on. Then it charges 1 kWh, and the order is paid.
    async fn serve(&mut self, office: &mut Kept, member: &str) -> anyhow::Result<Duration> {
        let kwh = |register: u64| format!("{register}.0000");
        history::report(&mut self.pile, "plugged", None, &kwh(self.register)).await?;
        let wish = json!({ "site": self.id, "member": member, "pile": "P1", "connector": 1, "prepay": PREPAY });
        let call = back_end::call(Method::POST, "/v1/orders", &wish)?;
        let began = Instant::now();
        let heard = async {
            let start = self.pile.hear(DownKind::Command).await;
            (start, began.elapsed())
        };
        let (placed, (start, took)) = tokio::join!(office.ask(call), heard);
        let placed: Value = placed?.read()?;
        let (start, order) = (start?, placed["order"].as_str().context("an order without a number")?);
        ensure!(start["order_id"] == order, "{start} and not order {order}");
        let reply = json!({ "command_id": start["command_id"], "ok": true });
        self.pile.say(UpKind::Reply, &reply).await?;
        history::report(&mut self.pile, "charging", Some(order), &kwh(self.register)).await?;
        let from = kwh(self.register);
        self.register += 1;
        history::record(&mut self.pile, order, &from, &kwh(self.register)).await?;
        self.station.wait_for_order(order, State::Payed, PATIENCE).await?;
        Ok(took)
    }
}

/// Waits until nothing of a member's is on the road, and so much lies at a site.
async fn at_rest(office: &HeadOfficeProcess, member: &str, lies: Option<(&str, &str)>) -> anyhow::Result<()> {
    let path = format!("/v1/members/{member}/wallet");
    let is_there = |shown: &Value| {
        let at_sites = shown["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
        lies.is_none_or(|(site, amount)| {
            at_sites
                .iter()
                .any(|at| at["site"] == site && at["allowance"] == amount)
        })
    };
    let rests = |shown: &Value| shown["on_road"] == json!([]) && is_there(shown);
    back_end::once(office, &path, PATIENCE, rests).await.map(drop)
}

/// From the question at head office to the command at the pile: on this machine, and over a line of 200 ms there and back.
pub(crate) async fn remote_starts(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let rounds = scale.of(300, 5);
    let office = HeadOfficeProcess::start("bench-remote-start").await?;
    back_end::open_channel(&office).await?;
    back_end::add_member(&office, "rich", "rich").await?;
    back_end::top_up(&office, "rich", "100000.00").await?;
    let mut site = Site::join(&office, SITE).await?;
    let mut asks = Client::at_socket(office.socket()).kept().await?;
    let near = starts(&office, &mut site, &mut asks, rounds).await?;

    let there_and_back = Duration::from_millis(200);
    let _relay = site.far_away(there_and_back).await?;
    // Until it has said so over the new line it was heard over the old one.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let far = starts(&office, &mut site, &mut asks, rounds / 2).await?;
    site.agent.terminate().await?;
    let row = |line: &str, mut times: Spread, aim: Duration| Row {
        what: format!("start through head office → command at the pile, {line}"),
        measured: format!(
            "p99 {} (p50 {}, {} orders)",
            ms(times.p99()),
            ms(times.p50()),
            times.len()
        ),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: ms(aim),
        met: times.p99() <= aim,
    };
    Ok(vec![
        row("loopback", near, Duration::from_millis(150)),
        row("a line of 200 ms there and back", far, Duration::from_secs(1)),
    ])
}

async fn starts(office: &HeadOfficeProcess, site: &mut Site, asks: &mut Kept, rounds: usize) -> anyhow::Result<Spread> {
    let mut times = Spread::default();
    for _ in 0..rounds {
        times.add(site.serve(asks, "rich").await?);
        at_rest(office, "rich", None).await?;
    }
    Ok(times)
}

/// From the question for an order whose money lies at another site to the command at the pile: the money goes back to the
/// wallet there, and from it here.
pub(crate) async fn recalls(scale: Scale) -> anyhow::Result<Row> {
    let rounds = scale.of(200, 4);
    let office = HeadOfficeProcess::start("bench-recall").await?;
    back_end::open_channel(&office).await?;
    let mut north = Site::join(&office, "north").await?;
    let mut south = Site::join(&office, "south").await?;
    let mut asks = Client::at_socket(office.socket()).kept().await?;
    let mut times = Spread::default();
    for n in 0..rounds {
        let member = format!("m{n}");
        back_end::add_member(&office, &member, &member).await?;
        back_end::top_up(&office, &member, PREPAY).await?;
        let all = json!({ "site": "north", "amount": PREPAY });
        let path = format!("/v1/members/{member}/leases");
        back_end::told(&office, Method::POST, &path, &all).await?;
        at_rest(&office, &member, Some(("north", PREPAY))).await?;
        times.add(south.serve(&mut asks, &member).await?);
        at_rest(&office, &member, Some(("north", "0.00"))).await?;
    }
    for site in [&mut north, &mut south] {
        site.agent.terminate().await?;
    }
    let p99 = times.p99();
    Ok(Row {
        what: "order whose money lies at another site → recalled, and command at the pile, loopback".to_owned(),
        measured: format!("p99 {} (p50 {}, {} orders)", ms(p99), ms(times.p50()), times.len()),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: "300 ms".to_owned(),
        met: p99 <= Duration::from_millis(300),
    })
}

/// Payments that a channel calls back about, signed, over HTTP, on several connections: on SQLite, and on a PostgreSQL beside it.
pub(crate) async fn top_ups(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let office = HeadOfficeProcess::start("bench-top-ups-sqlite").await?;
    let sqlite = credited(&office, "SQLite", scale).await?;
    drop(office);
    let server = Postgres::start()?;
    let database = format!("[database]\nurl = \"{}\"", server.address());
    let office = HeadOfficeProcess::start_with("bench-top-ups-postgresql", &database).await?;
    Ok(vec![sqlite, credited(&office, "PostgreSQL", scale).await?])
}

async fn credited(office: &HeadOfficeProcess, engine: &str, scale: Scale) -> anyhow::Result<Row> {
    let (members, payments) = (scale.of(1_000, 20), scale.of(10_000, 200));
    back_end::open_channel(office).await?;
    for n in 0..members {
        back_end::add_member(office, &format!("m{n}"), "driver").await?;
    }
    let mut asks = Client::at_socket(office.socket()).kept().await?;
    let wanted = json!({ "channel": back_end::CHANNEL, "amount": "10.00" });
    let mut calls = VecDeque::new();
    for n in 0..payments {
        let path = format!("/v1/members/m{}/top-ups", n % members);
        let asked: Value = asks.ask(back_end::call(Method::POST, &path, &wanted)?).await?.read()?;
        let reference = asked["out_trade_no"].as_str().context("a top-up without a number")?;
        calls.push_back(back_end::callback(reference, "10.00", office.wall())?);
    }
    let (took, mut times) = call_back(office, calls).await?;
    let books: Value = office.get("/v1/ledger/verification").await?.read()?;
    ensure!(books["right"] == true, "{books}");
    let clearing: Value = office.get("/v1/accounts?kind=clearing").await?.read()?;
    let expected = format!("-{}.00", payments * 10);
    ensure!(
        clearing["items"][0]["balance"] == expected,
        "{clearing} and not {expected}"
    );
    let rate = payments as f64 / took.as_secs_f64();
    Ok(Row {
        what: format!("top-ups credited by signed callbacks over HTTP, {CALLERS} connections, {engine}"),
        measured: format!(
            "{rate:.0}/s ({payments} payments; p50 {}, p99 {})",
            ms(times.p50()),
            ms(times.p99())
        ),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: "1000/s".to_owned(),
        met: rate >= 1_000.0,
    })
}

/// Makes all of these calls, [`CALLERS`] at a time; how long all of them took, and each.
async fn call_back(office: &HeadOfficeProcess, calls: VecDeque<Call>) -> anyhow::Result<(Duration, Spread)> {
    let calls = Rc::new(std::cell::RefCell::new(calls));
    let local = tokio::task::LocalSet::new();
    let begun = Instant::now();
    let address = office.http;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let calls = Rc::clone(&calls);
        callers.push(local.spawn_local(async move {
            let mut kept = Client::at_address(address).kept().await?;
            let mut times = Spread::default();
            loop {
                let Some(call) = calls.borrow_mut().pop_front() else {
                    return anyhow::Ok(times);
                };
                let sent = Instant::now();
                let answer: Value = kept.ask(call).await?.read()?;
                ensure!(answer["outcome"] == "credited", "{answer}");
                times.add(sent.elapsed());
            }
        }));
    }
    local.await;
    let took = begun.elapsed();
    let mut times = Spread::default();
    for caller in callers {
        times.absorb(caller.await??);
    }
    Ok((took, times))
}

//! SIGKILL of a real daemon, again and again, in the middle of everything: orders, charging, stops and a flood of records.
//! Whatever was acknowledged is there afterwards, every order comes to its end, and not a fen is lost or made.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    ids::PileId,
    time::Wall,
    topics::{self, UpKind},
    units::{Energy, Fen, Power},
};
use hyper::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use world::{
    hand::Hand,
    pile::{ClockAtPowerOn, ClockSpec, Flash, PileHandle, PileSpec, SimTime, Station, What, spawn},
    seed::Seed,
    station::{Answer, Api, SITE, Setup, StationProcess, program},
};

const KILLS: usize = 50;
const PILES: u64 = 8;
/// The whole test, in the world's time: it says so rather than be waited for.
const ALL_WITHIN: Duration = Duration::from_secs(900);
/// Station minutes pass in seconds.
const RATE: u32 = 60;
const FUNDS: &str = "900.00";
/// How long anything may take, in the world's time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon something is tried or looked at again.
const AGAIN: Duration = Duration::from_millis(20);
/// The flood: a record every so often, and no more than so many without PUBACK.
const RECORD_EVERY: Duration = Duration::from_millis(10);
const IN_FLIGHT_MAX: usize = 20;
/// Refusals that a driver meets who comes before the piles, at the beginning and after every kill.
const NOT_NOW: [&str; 3] = [
    "urn:holdfast:problem:unknown-connector",
    "urn:holdfast:problem:pile-offline",
    "urn:holdfast:problem:connector-busy",
];

/// An order as the driver placed it.
#[derive(Debug, Clone)]
struct Placed {
    key: String,
    body: Value,
    order: String,
}

/// What the flood got its PUBACK for, and what it sent at all.
#[derive(Debug, Default)]
struct Flooded {
    acknowledged: BTreeSet<String>,
    sent: usize,
    connections: usize,
}

/// How much has happened so far: the daemon is killed in the middle of things, however long they take.
#[derive(Debug, Default)]
struct Progress {
    placed: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl Progress {
    /// Waits until there has been at least an order and an acknowledgement for each kill.
    async fn is_enough_for(&self, kill: usize) {
        let begun = Instant::now();
        while [&self.placed, &self.acknowledged]
            .iter()
            .any(|count| count.load(Ordering::Relaxed) < kill)
        {
            assert!(begun.elapsed() < PATIENCE, "nothing happens: {self:?}");
            sleep(AGAIN).await;
        }
    }
}

/// Asks until there is an answer: the daemon may be dead, or die before it answers.
async fn ask(api: &Api, method: Method, path: &str, body: Option<&Value>, key: Option<&str>) -> Answer {
    let begun = Instant::now();
    loop {
        match api.ask(method.clone(), path, body, key).await {
            Ok(answer) if answer.status != 503 => return answer,
            other => assert!(begun.elapsed() < PATIENCE, "{path} is not answered: {other:?}"),
        }
        sleep(AGAIN).await;
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is not a text"))
        .to_owned()
}

fn fen(value: &Value) -> Fen {
    text(value).parse().unwrap()
}

/// A driver who charges again and again at one pile until the end of the test.
async fn drive(api: Api, n: u64, mut seed: Seed, progress: Arc<Progress>, over: watch::Receiver<bool>) -> Vec<Placed> {
    let mut placed = Vec::new();
    let mut tries = 0;
    while !*over.borrow() {
        tries += 1;
        let key = format!("k{n}-{tries}");
        let body = json!({ "member": format!("k{n}"), "pile": format!("K{n}"), "connector": 1, "prepay": "30.00" });
        let answer = ask(&api, Method::POST, "/v1/orders", Some(&body), Some(&key)).await;
        if answer.status != 201 {
            let kind = text(&answer.body["type"]);
            assert!(NOT_NOW.contains(&kind.as_str()), "{answer:?}");
            sleep(AGAIN).await;
            continue;
        }
        let order = text(&answer.body["id"]);
        placed.push(Placed {
            key: key.clone(),
            body,
            order: order.clone(),
        });
        progress.placed.fetch_add(1, Ordering::Relaxed);
        // Cars charge for a while: from nearly nothing to three minutes.
        sleep(Duration::from_millis(seed.below(3_000))).await;
        let stop = format!("/v1/orders/{order}/stop");
        let answer = ask(
            &api,
            Method::POST,
            &stop,
            Some(&json!({})),
            Some(&format!("stop-{key}")),
        )
        .await;
        assert!([200, 202, 409].contains(&answer.status), "{answer:?}");
        wait_for_end(&api, &order).await;
    }
    placed
}

async fn wait_for_end(api: &Api, order: &str) {
    let begun = Instant::now();
    loop {
        let seen = ask(api, Method::GET, &format!("/v1/orders/{order}"), None, None).await;
        assert_eq!(seen.status, 200, "an order that was answered is gone: {seen:?}");
        if ["PAYED", "FAIL", "UNPAID"]
            .iter()
            .any(|end| seen.body["state"] == **end)
        {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end: {}", seen.body);
        sleep(AGAIN).await;
    }
}

/// Records of orders that nobody knows, one after another at QoS 1, from a pile that remembers its PUBACKs.
async fn flood(mqtt: SocketAddr, secret: String, progress: Arc<Progress>, over: watch::Receiver<bool>) -> Flooded {
    let mut flooded = Flooded::default();
    while !*over.borrow() {
        if let Ok(pile) = Hand::connect(mqtt, "FLOOD", &secret).await {
            flooded.connections += 1;
            // Its end is the daemon's, or the test's.
            let _ended = pour(pile, &mut flooded, &progress, &over).await;
        }
        sleep(AGAIN).await;
    }
    flooded
}

async fn pour(
    mut pile: Hand,
    flooded: &mut Flooded,
    progress: &Progress,
    over: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let topic = topics::up(&PileId::new("FLOOD").unwrap(), UpKind::Record);
    let mut orders: BTreeMap<u64, String> = BTreeMap::new();
    let mut next = Instant::now();
    while !*over.borrow() || pile.unacknowledged() > 0 {
        if !*over.borrow() && Instant::now() >= next && pile.unacknowledged() < IN_FLIGHT_MAX {
            next = Instant::now() + RECORD_EVERY;
            flooded.sent += 1;
            pile.set_boot_id(&format!("flood-{}", flooded.connections));
            let order = format!("nobodys-{}", flooded.sent);
            let record = pile.message(&json!({
                "order_id": order, "connector": 1, "start_ts": null, "stop_ts": null, "start_mono_ms": 1,
                "stop_mono_ms": 2, "meter_start_kwh": "1.0", "meter_stop_kwh": "2.0", "reason": { "code": 7 },
            }));
            orders.insert(pile.begin(&topic, serde_json::to_vec(&record)?)?, order);
        }
        let turned = pile.turn(Instant::now() + RECORD_EVERY).await;
        flooded
            .acknowledged
            .extend(pile.acknowledged().iter().filter_map(|token| orders.remove(token)));
        progress
            .acknowledged
            .store(flooded.acknowledged.len(), Ordering::Relaxed);
        if let Err(error) = turned
            && error.is::<rumqttc::ConnectionError>()
        {
            return Err(error);
        }
    }
    Ok(())
}

async fn switch_on(station: &StationProcess, n: u64, time: SimTime) -> PileHandle {
    let id = format!("K{n}");
    let secret = station.add_pile(&id).await.unwrap();
    let mut spec = PileSpec::new(PileId::new(&id).unwrap(), station.wall());
    spec.connectors[0].max_power = Power(60_000);
    // Its own clock is right: what the daemon needs to start would make the station's jump with every kill.
    spec.clock = Some(ClockSpec {
        start: station.wall(),
        drift_ppm: 0,
        follows_station: false,
        at_power_on: ClockAtPowerOn::GoesOn,
    });
    let address = station.mqtt;
    let link = Station {
        host: address.ip().to_string(),
        port: address.port(),
        secret: Some(secret),
        tls: None,
    };
    let pile = spawn(spec, Flash::default(), link, time);
    pile.plug(1).await;
    pile
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_no_money_is_made_over_fifty_kills() {
    let number = std::env::var("HOLDFAST_SEED").ok().and_then(|text| text.parse().ok());
    let number = number.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {number}; HOLDFAST_SEED={number} kills at the same moments");
    let mut seed = Seed::for_part(number, "kills");
    let setup = Setup {
        rate: RATE,
        clock_start: Some(Wall::parse("2026-03-02T07:30:00+08:00").unwrap()),
        policy: "start_timeout = \"10m\"\ndrops_max = 32\n".to_owned(),
        ..Setup::new()
    };
    let mut station = StationProcess::start("sigkill", &setup).await.unwrap();
    let time = SimTime::begin(RATE);
    let (end, over) = watch::channel(false);
    let progress = Arc::new(Progress::default());
    let mut piles = Vec::new();
    let mut drivers = JoinSet::new();
    for n in 1..=PILES {
        station.add_member(&format!("k{n}"), FUNDS).await.unwrap();
        piles.push(switch_on(&station, n, time).await);
        drivers.spawn(drive(
            station.api(),
            n,
            Seed::for_part(number, &format!("driver {n}")),
            Arc::clone(&progress),
            over.clone(),
        ));
    }
    let secret = station.add_pile("FLOOD").await.unwrap();
    let flooding = tokio::spawn(flood(station.mqtt, secret, Arc::clone(&progress), over));

    let begun = Instant::now();
    for kill in 1..=KILLS {
        progress.is_enough_for(kill).await;
        sleep(Duration::from_micros(100_000 + seed.below(1_000_000))).await;
        assert!(
            begun.elapsed() < ALL_WITHIN,
            "too slow: {kill} kills in {:?}",
            begun.elapsed()
        );
        let away = &piles[usize::try_from(seed.below(PILES)).unwrap()];
        away.cut_network().await;
        station.kill().unwrap();
        station.start_again().await.unwrap();
        away.restore_network().await;
    }
    end.send_replace(true);
    let placed: Vec<Placed> = drivers.join_all().await.into_iter().flatten().collect();
    let flooded = flooding.await.unwrap();
    for pile in &mut piles {
        let idle = pile
            .wait_until(PATIENCE, |status| status.charging == 0 && status.unacked_records == 0)
            .await;
        assert!(idle, "{} is not done: {:?}", pile.id(), pile.status());
    }
    println!(
        "{KILLS} kills in {:?}; {} orders at {PILES} piles; {} records flooded, {} of them acknowledged",
        begun.elapsed(),
        placed.len(),
        flooded.sent,
        flooded.acknowledged.len()
    );
    assert!(
        placed.len() >= KILLS && flooded.acknowledged.len() >= KILLS,
        "too little happened to prove anything"
    );

    let quarantine = acknowledged_records_are_kept(&station, &flooded).await;
    no_order_was_placed_twice(&station, &placed).await;
    money_adds_up(&station, &placed).await;
    piles_and_station_tell_the_same_story(&station, &piles, &quarantine).await;
    journal_verifies(&mut station).await;
}

/// Every acknowledged record lies in quarantine, once; returns what else lies there, by order.
async fn acknowledged_records_are_kept(station: &StationProcess, flooded: &Flooded) -> BTreeMap<String, Value> {
    let mut kept = BTreeMap::new();
    for item in station.all("/v1/quarantine").await.unwrap() {
        let order = text(&item["order"]);
        let twice = kept.insert(order.clone(), item);
        assert!(twice.is_none(), "{order} lies in quarantine twice");
    }
    let lost: Vec<&String> = flooded
        .acknowledged
        .iter()
        .filter(|order| !kept.contains_key(*order))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    kept.retain(|order, _| !order.starts_with("nobodys-"));
    kept
}

/// There are as many orders as drivers were told of, and a repeated request is answered with the same one.
async fn no_order_was_placed_twice(station: &StationProcess, placed: &[Placed]) {
    let told: BTreeSet<&str> = placed.iter().map(|placed| placed.order.as_str()).collect();
    assert_eq!(told.len(), placed.len(), "two requests were answered with one order");
    for Placed { key, body, order } in placed {
        let again = station
            .ask(Method::POST, "/v1/orders", Some(body), Some(key))
            .await
            .unwrap();
        assert_eq!(
            (again.status, again.body["id"].as_str()),
            (201, Some(order.as_str())),
            "{key}"
        );
    }
    let orders = station.all("/v1/orders").await.unwrap();
    let there: BTreeSet<&str> = orders.iter().map(|order| order["id"].as_str().unwrap()).collect();
    assert_eq!(there, told);
    assert_eq!(orders.len(), told.len());
}

/// Holds are resolved once, members have what they paid in less what they were billed, and all accounts sum to zero.
async fn money_adds_up(station: &StationProcess, placed: &[Placed]) {
    let mut fees: BTreeMap<String, Fen> = BTreeMap::new();
    let mut transfers: BTreeMap<(String, String), Vec<Fen>> = BTreeMap::new();
    for n in 1..=PILES {
        for transfer in station.all(&format!("/v1/members/k{n}/statement")).await.unwrap() {
            if let Some(order) = transfer["order"].as_str() {
                let key = (order.to_owned(), text(&transfer["code"]));
                transfers.entry(key).or_default().push(fen(&transfer["amount"]));
            }
        }
    }
    for order in station.all("/v1/orders").await.unwrap() {
        let id = text(&order["id"]);
        let amounts = |code: &str| {
            transfers
                .get(&(id.clone(), code.to_owned()))
                .cloned()
                .unwrap_or_default()
        };
        let sum = |code: &str| amounts(code).into_iter().sum::<Fen>();
        let hold = &order["hold"];
        let (taken, captured, released) = (fen(&hold["taken"]), fen(&hold["captured"]), fen(&hold["released"]));
        assert_eq!(hold["remaining"], "0.00", "{order}");
        assert_eq!(captured + released, taken, "{order}");
        assert_eq!(amounts("HOLD"), [taken], "{order}");
        assert_eq!((sum("CAPTURE"), sum("RELEASE")), (captured, released), "{order}");
        assert!(amounts("RELEASE").len() <= 1, "{order}");
        // Captured once, for electricity and for service.
        assert!(amounts("CAPTURE").len() <= 2, "{order}");
        let fee = if order["state"] == "PAYED" {
            fen(&order["bill"]["fee"])
        } else {
            Fen::ZERO
        };
        assert_eq!(captured, fee, "{order}");
        *fees.entry(text(&order["member"])).or_default() += fee;
    }
    assert!(
        fees.values().copied().sum::<Fen>() > Fen::ZERO,
        "{} orders and nothing was sold",
        placed.len()
    );
    for n in 1..=PILES {
        let member = station
            .get(&format!("/v1/members/k{n}"))
            .await
            .unwrap()
            .success()
            .unwrap();
        let fee = fees.get(&format!("k{n}")).copied().unwrap_or_default();
        assert_eq!(
            fen(&member["allowance"]),
            FUNDS.parse::<Fen>().unwrap() - fee,
            "{member}"
        );
        assert_eq!(
            (&member["held"], &member["debt"]),
            (&json!("0.00"), &json!("0.00")),
            "{member}"
        );
    }
    assert_eq!(station.books_total().await.unwrap(), Fen::ZERO);
}

/// What the piles delivered is what was billed, or waits for a person; what they were told it cost is what was charged.
async fn piles_and_station_tell_the_same_story(
    station: &StationProcess,
    piles: &[PileHandle],
    quarantine: &BTreeMap<String, Value>,
) {
    let orders = station.all("/v1/orders").await.unwrap();
    let by_id: BTreeMap<&str, &Value> = orders
        .iter()
        .map(|order| (order["id"].as_str().unwrap(), order))
        .collect();
    let mut sessions = 0;
    for pile in piles {
        let mut events = pile.events();
        let mut story = Vec::new();
        let _end = events
            .wait_for(Duration::ZERO, |event| {
                story.push(event.what.clone());
                None::<()>
            })
            .await;
        for what in story {
            match what {
                What::Stopped {
                    order_id, energy_kwh, ..
                } => {
                    sessions += 1;
                    let order = by_id[order_id.as_str()];
                    let told = energy_kwh.to_string();
                    if order["state"] == "PAYED" {
                        assert_eq!(order["bill"]["energy_kwh"], told, "{order}");
                    } else if energy_kwh > Energy::ZERO {
                        let item = quarantine.get(order_id.as_str());
                        let kept = item.map(|item| item["energy_kwh"].clone());
                        assert_eq!(kept, Some(json!(told)), "delivered and forgotten: {order}");
                    }
                }
                What::RecordAcked {
                    order_id,
                    fee: Some(fee),
                    ..
                } => {
                    assert_eq!(
                        by_id[order_id.as_str()]["bill"]["fee"],
                        fee.to_string(),
                        "told to the pile"
                    );
                }
                What::Unexpected { detail } => panic!("{}: {detail}", pile.id()),
                _ => {}
            }
        }
    }
    assert!(sessions > 0);
}

/// Online, and offline on a copy.
async fn journal_verifies(station: &mut StationProcess) {
    let online = station.cli(&["journal", "verify"]).unwrap();
    assert!(online.contains("every hash fits"), "{online}");
    assert!(station.terminate().await.unwrap());
    let copy = station.folder().join("copy.redb");
    std::fs::copy(station.database(), &copy).unwrap();
    let offline = Command::new(program("holdfast-edge", "holdfast-edge"))
        .args(["journal", "verify", "--site", SITE, "--database"])
        .arg(&copy)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&offline.stdout);
    assert!(
        offline.status.success() && said.contains("every hash fits"),
        "{offline:?}"
    );
}

//! A station that has run longer than it keeps things: what is over and old goes while drivers come and go, what somebody
//! still needs stays, the journal verifies from where it begins, and the file stops growing.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    order::State,
    topics::{DownKind, UpKind},
    units::Fen,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};
use world::{
    hand::Hand,
    history,
    station::{Setup, StationProcess},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// What is left of the journal once all that is old has gone is less than this.
const ENTRIES_KEPT: u64 = 3_000;
/// Far above what a station of this size takes, and far below what it would if no page were used again.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Orders of one visit, so many days apart, with 35 days kept.
const ORDERS: u32 = 60;
const DAYS: i64 = 40;
const VISITS: i64 = 6;

/// Orders one after another, each charged and paid; returns their numbers.
async fn visit(station: &StationProcess, pile: &mut Hand, register: &mut u32) -> Vec<String> {
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        let from = format!("{register}.0000");
        history::report(pile, "plugged", None, &from).await.unwrap();
        let order = station.place("regular", "R1", "10.00").await.unwrap();
        let start = pile.hear(DownKind::Command).await.unwrap();
        let reply = json!({ "command_id": start["command_id"], "ok": true });
        pile.say(UpKind::Reply, &reply).await.unwrap();
        let to = format!("{}.0000", *register + 1);
        history::report(pile, "charging", Some(&order), &from).await.unwrap();
        history::record(pile, &order, &from, &to).await.unwrap();
        *register += 1;
        orders.push(order);
    }
    orders
}

/// Waits until the station has forgotten an order; returns what it says of it then.
async fn forgotten(station: &StationProcess, order: &str) -> Value {
    let begun = Instant::now();
    loop {
        let answer = station.get(&format!("/v1/orders/{order}")).await.unwrap();
        if answer.status == 404 {
            return answer.body;
        }
        assert!(begun.elapsed() < PATIENCE, "{order} is still known: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the journal is a short one and begins where it did, two looks running.
async fn pruned(station: &StationProcess) -> (u64, u64) {
    let begun = Instant::now();
    let mut before = 0;
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        let (begins, ends) = (&seen["journal_begins_after"]["seq"], &seen["journal"]["seq"]);
        let (begins, ends) = (begins.as_u64().unwrap(), ends.as_u64().unwrap());
        if begins > 0 && begins == before && ends - begins < ENTRIES_KEPT {
            return (begins, ends);
        }
        assert!(begun.elapsed() < PATIENCE, "{seen}");
        before = begins;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_runs_for_months_forgets_what_is_over_and_nothing_else() {
    let setup = history::setup();
    let start = setup.clock_start.unwrap();
    let setup = Setup {
        policy: "start_timeout = \"1h\"\n[retention]\ndays = 35\n".to_owned(),
        ..setup
    };
    let mut station = StationProcess::start("retention", &setup).await.unwrap();
    let lasting = history::play(&station).await.unwrap().orders;
    station.add_member("regular", "100000.00").await.unwrap();
    let mut secret = station.add_pile("R1").await.unwrap();
    let needed = [State::Unpaid, State::Review, State::Charging];
    let log_of = |order: String| format!("/v1/orders/{order}/log");
    let mut logs = BTreeMap::new();
    for state in needed {
        logs.insert(state, station.all(&log_of(lasting[&state].clone())).await.unwrap());
    }

    let mut register = 1_000;
    let mut old = vec![lasting[&State::Payed].clone(), lasting[&State::Fail].clone()];
    let mut lengths = Vec::new();
    for n in 0..VISITS {
        if n > 0 {
            assert!(station.terminate().await.unwrap());
            station.set_clock(start.after_ms(n * DAYS * 86_400_000));
            station.start_again().await.unwrap();
            let rotated = station
                .post("/v1/piles/R1/rotate", &json!({}))
                .await
                .unwrap()
                .success()
                .unwrap();
            secret = rotated["secret"].as_str().unwrap().to_owned();
        }
        let at = format!("{register}.0000");
        let mut pile = history::boot_at(&station, "R1", &secret, &at).await.unwrap();
        // While what is old goes, drivers come and go.
        let new = visit(&station, &mut pile, &mut register).await;
        if n > 0 {
            for order in &old {
                let said = forgotten(&station, order).await;
                assert!(said["detail"].as_str().unwrap().contains("retention.days"), "{said}");
            }
            let (begins, ends) = pruned(&station).await;
            println!("visit {n}: entries {begins} to {ends}");
        }
        old = new;
        assert!(station.terminate().await.unwrap());
        lengths.push(fs::metadata(station.database()).unwrap().len());
        station.start_again().await.unwrap();
    }
    println!("the file after each visit: {lengths:?}");
    // What is freed is used again. How much of it is free at once depends on how commits and forgetting fall together,
    // and the file grows in halves and doublings of that; but where nothing were used again, each of the thousands of
    // commits would add pages of its own.
    let longest = lengths.iter().max().unwrap();
    assert!(*longest < FILE_BYTES_MAX, "the file grows: {lengths:?}");

    let said = station.cli(&["journal", "verify"]).unwrap();
    assert!(said.contains("that were pruned, no gap, every hash fits"), "{said}");
    assert_eq!(station.books_total().await.unwrap(), Fen::ZERO);
    for state in needed {
        let order = station
            .get(&format!("/v1/orders/{}", lasting[&state]))
            .await
            .unwrap()
            .success()
            .unwrap();
        assert_eq!(order["state"], state.word());
        let log = station.all(&log_of(lasting[&state].clone())).await.unwrap();
        assert_eq!(log[..logs[&state].len()], logs[&state][..], "{state}: the log is whole");
    }
    let open = station.all("/v1/quarantine").await.unwrap();
    assert!(open.iter().any(|item| item["order"] == "nobodys-1"), "{open:?}");
    // A receipt counts once, however old: the same payment again changes nothing, another with its number is refused.
    for (amount, status) in [("6.00", 201), ("7.00", 409)] {
        let again = json!({ "amount": amount, "receipt": "first-bob" });
        let answer = station.post("/v1/members/bob/topups", &again).await.unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let bob = station.get("/v1/members/bob").await.unwrap().success().unwrap();
    assert_eq!(bob["allowance"], "0.00", "{bob}");

    // The debt of months ago is paid, and the decision made that waited.
    let payment = json!({ "amount": "1.13", "from": "cash", "receipt": "late-bob" });
    station
        .post("/v1/members/bob/payments", &payment)
        .await
        .unwrap()
        .success()
        .unwrap();
    station
        .wait_for_order(&lasting[&State::Unpaid], State::Payed, PATIENCE)
        .await
        .unwrap();
    let decision = json!({ "decision": "as_is", "reason": "months later" });
    let review = format!("/v1/reviews/{}/decision", lasting[&State::Review]);
    let decided = station.post(&review, &decision).await.unwrap();
    assert!(decided.status == 200 || decided.status == 409, "{decided:?}");
    let copy = station.folder().join("data/copy.redb");
    station.cli(&["backup", copy.to_str().unwrap()]).unwrap();
    let said = station
        .offline(&["journal", "verify", "--database", copy.to_str().unwrap()])
        .unwrap();
    assert!(said.contains("that were pruned, no gap, every hash fits"), "{said}");
}

//! A pile that floods: heartbeats, garbage, and big records that fit nowhere, as fast as its connection takes them. It
//! is held back, what it may leave in quarantine is bounded, and the others do not notice.

use crate::{
    AGAIN, PATIENCE,
    played::{Played, orders_in_quarantine},
};
use domain::{
    ids::PileId,
    topics::{self, UpKind},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use world::{
    hand::{Hand, Refused},
    station::{Setup, StationProcess},
};

/// What the flood may cost in memory.
const MEMORY_MORE: u64 = 64 << 20;
const QUARANTINE_MIB: u64 = 1;
const IN_FLIGHT: usize = 64;
/// Sessions of the other pile during the flood.
const SESSIONS: usize = 12;

#[derive(Debug, Default)]
struct Flood {
    sent: u64,
    /// Records that were acknowledged, by order.
    acknowledged: Vec<String>,
    connections: u64,
}

fn big_record(hand: &mut Hand, name: &str) -> Value {
    hand.message(&json!({
        "order_id": name, "connector": 1, "start_ts": null, "stop_ts": null, "start_mono_ms": 1, "stop_mono_ms": 2,
        "meter_start_kwh": "1.0", "meter_stop_kwh": "2.0", "reason": { "code": 7, "text": "" },
        "signed": { "format": "OCMF", "data": "x".repeat(30_000) },
    }))
}

/// Floods until it is over; a connection that the station closes is opened again.
async fn flood(to: SocketAddr, secret: String, over: watch::Receiver<bool>) -> Flood {
    let mut flood = Flood::default();
    let pile = PileId::new("FLOOD").unwrap();
    while !*over.borrow() {
        let Ok(mut hand) = Hand::connect(to, "FLOOD", &secret).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        flood.connections += 1;
        let mut records = std::collections::BTreeMap::new();
        while !*over.borrow() {
            if hand.unacknowledged() < IN_FLIGHT {
                flood.sent += 1;
                let n = flood.sent;
                let name = format!("nobodys-{n}");
                let (kind, payload) = match n % 4 {
                    0 => (UpKind::Record, big_record(&mut hand, &name).to_string()),
                    1 => (UpKind::Event, format!("garbage {n}")),
                    2 => (UpKind::Heartbeat, format!("{{\"garbage\": {n}")),
                    _ => (
                        UpKind::Heartbeat,
                        hand.message(&json!({ "connectors": [] })).to_string(),
                    ),
                };
                let token = hand.begin(&topics::up(&pile, kind), payload.into_bytes()).unwrap();
                if kind == UpKind::Record {
                    records.insert(token, name);
                }
            }
            let turned = hand.turn(Instant::now() + AGAIN).await;
            flood
                .acknowledged
                .extend(hand.acknowledged().iter().filter_map(|token| records.remove(token)));
            if turned.is_err_and(|error| error.is::<rumqttc::ConnectionError>()) {
                break;
            }
        }
    }
    flood
}

/// The pile as it is when it is well again: it has used its logins up, and waits until it is let in.
async fn come_in(station: &StationProcess, secret: &str) -> Hand {
    let begun = Instant::now();
    loop {
        match Hand::connect(station.mqtt, "FLOOD", secret).await {
            Ok(pile) => return pile,
            Err(refused) => assert!(refused.is::<Refused>() && begun.elapsed() < PATIENCE, "{refused:#}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pile_that_floods_is_held_back_and_the_others_do_not_notice() {
    let mut station = StationProcess::new("flood", &Setup::new()).unwrap();
    let budget = (
        "HOLDFAST_EDGE__POLICY__QUARANTINE_MAX".to_owned(),
        format!("{QUARANTINE_MIB}MiB"),
    );
    station.environment = vec![budget, ("HOLDFAST_EDGE__LOG".to_owned(), "warn".to_owned())];
    station.start_again().await.unwrap();
    let mut good = Played::new(&station, "GOOD").await;
    let secret = station.add_pile("FLOOD").await.unwrap();
    station.add_member("m", "100.00").await.unwrap();
    let before = station.memory().unwrap();
    let (end, over) = watch::channel(false);
    let flooding = tokio::spawn(flood(station.mqtt, secret.clone(), over));

    let full = "holdfast_ignored_total{reason=\"quarantine_full\"}";
    let begun = Instant::now();
    while station.metric(full).await.unwrap() == 0 {
        assert!(begun.elapsed() < PATIENCE, "its quarantine is not full");
        tokio::time::sleep(AGAIN).await;
    }
    let (mut slowest, mut most) = (Duration::ZERO, 0);
    for _ in 0..SESSIONS {
        let order = good.charging_again(&station, "m").await;
        let sent = Instant::now();
        good.settles(&station, &order).await;
        // The flood has no end, so whoever had to wait for it would wait in vain. How long it takes is printed.
        slowest = slowest.max(sent.elapsed());
        most = most.max(station.memory().unwrap());
    }
    // Small messages fit after a big one did not: full is what refused the last one.
    let begun = Instant::now();
    while !station
        .cli(&["status"])
        .unwrap()
        .contains("! 1 pile has its quarantine full")
    {
        assert!(begun.elapsed() < PATIENCE, "status does not tell of it");
    }
    // Its lines are counted, so the one that says it may have to wait for others.
    while !station.log().contains("FLOOD has ") {
        assert!(
            begun.elapsed() < PATIENCE,
            "a person is told in the log: {}",
            station.log()
        );
        tokio::time::sleep(AGAIN).await;
    }
    end.send_replace(true);
    let flood = flooding.await.unwrap();
    println!(
        "{} messages and {} connections of flood; a record settled within {slowest:?}; {} KiB more memory",
        flood.sent,
        flood.connections,
        most.saturating_sub(before) / 1_024
    );
    assert!(most < before + MEMORY_MORE, "{before} bytes of memory, then {most}");
    assert!(
        station
            .metric("holdfast_ignored_total{reason=\"malformed_heartbeat\"}")
            .await
            .unwrap()
            > 0
    );
    assert!(station.metric("holdfast_mqtt_deliveries_failed_total").await.unwrap() > 0);

    // What was acknowledged is there, and no more than may be.
    let names = orders_in_quarantine(&station).await;
    let lost: Vec<&String> = flood
        .acknowledged
        .iter()
        .filter(|name| !names.contains_key(*name))
        .collect();
    assert!(lost.is_empty() && !names.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(
        names.len() as u64 * 30_000 < QUARANTINE_MIB << 20,
        "{} big records",
        names.len()
    );

    // Refused is not lost: the pile has it still, and may leave it once a person has made room.
    let mut pile = come_in(&station, &secret).await;
    let topic = topics::up(pile.pile(), UpKind::Record);
    let record = big_record(&mut pile, "the-last").to_string().into_bytes();
    pile.begin(&topic, record.clone()).unwrap();
    pile.wait_for_end().await.unwrap();
    assert!(pile.acknowledged().is_empty());
    for item in names.values().take(2) {
        let body = json!({ "reason": "a fault of the maker's" });
        let path = format!("/v1/quarantine/{item}/close");
        station.post(&path, &body).await.unwrap().success().unwrap();
    }
    let mut pile = come_in(&station, &secret).await;
    pile.publish(&topic, record).await.unwrap();
    let status = station.cli(&["status"]).unwrap();
    assert!(!status.contains("quarantine full"), "{status}");
}

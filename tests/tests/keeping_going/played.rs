//! A pile and its driver played by hand: one order, step by step, at whatever moment a test wants each step.

use crate::{AGAIN, PATIENCE};
use domain::{
    order::State,
    topics::{DownKind, UpKind},
    units::Energy,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Instant};
use world::{hand::Hand, station::StationProcess};

/// What each session here delivers, and for how long it says it did.
const SESSION: Energy = Energy(1_000);
const SESSION_MS: u64 = 60_000;

/// A pile with one connector, its secret, and its connection.
pub(crate) struct Played {
    pub(crate) id: String,
    secret: String,
    /// What the meter shows: it moves at the end of a session.
    meter: Energy,
    pub(crate) hand: Hand,
}

impl Played {
    /// A new pile that has connected and booted.
    pub(crate) async fn new(station: &StationProcess, id: &str) -> Self {
        let secret = station.add_pile(id).await.unwrap();
        let hand = Hand::connect(station.mqtt, id, &secret).await.unwrap();
        let id = id.to_owned();
        let mut played = Self {
            id,
            secret,
            meter: Energy(1_000_000),
            hand,
        };
        played.boot().await;
        played
    }

    /// Comes back with a new connection.
    pub(crate) async fn reconnect(&mut self, station: &StationProcess) {
        let begun = Instant::now();
        self.hand = loop {
            match Hand::connect(station.mqtt, &self.id, &self.secret).await {
                Ok(hand) => break hand,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:#}"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        self.boot().await;
    }

    async fn boot(&mut self) {
        let boot = json!({
            "vendor": "By hand", "model": "H1", "firmware": "1",
            "connectors": [{ "no": 1, "max_kw": "7.0", "meter_kwh": self.meter }],
        });
        let msg_id = self.hand.say(UpKind::Boot, &boot).await.unwrap();
        assert_eq!(self.hand.ack_of(&msg_id).await.unwrap()["result"], "ok");
        self.hand.hear(DownKind::Time).await.unwrap();
    }

    /// A member places an order here, and the pile is told to start.
    pub(crate) async fn placed(&mut self, station: &StationProcess, member: &str) -> String {
        station.add_member(member, "100.00").await.unwrap();
        self.placed_again(station, member).await
    }

    async fn placed_again(&mut self, station: &StationProcess, member: &str) -> String {
        let order = station.place(member, &self.id, "20.00").await.unwrap();
        let start = |command: &Value| command["kind"] == "start" && command["order_id"] == order.as_str();
        let command = self.hand.hear_where(DownKind::Command, start).await.unwrap();
        assert_eq!(command["connector"], 1);
        order
    }

    /// As [`Played::placed`], and the pile has said that it charges.
    pub(crate) async fn charging(&mut self, station: &StationProcess, member: &str) -> String {
        station.add_member(member, "100.00").await.unwrap();
        self.charging_again(station, member).await
    }

    /// As [`Played::charging`], with a member who is known already.
    pub(crate) async fn charging_again(&mut self, station: &StationProcess, member: &str) -> String {
        let order = self.placed_again(station, member).await;
        self.beat(&order).await;
        station.wait_for_order(&order, State::Charging, PATIENCE).await.unwrap();
        order
    }

    /// A heartbeat of the running session.
    pub(crate) async fn beat(&mut self, order: &str) {
        self.report("charging", Some(order)).await;
    }

    async fn report(&mut self, status: &str, order: Option<&str>) {
        let heartbeat = json!({ "connectors": [{
            "no": 1, "status": status, "order_id": order, "voltage_v": 220.0, "current_a": 16.0, "temp_c": 30,
            "meter_kwh": self.meter, "faults": [],
        }] });
        self.hand.say(UpKind::Heartbeat, &heartbeat).await.unwrap();
    }

    /// The session's record, as it would be sent now.
    fn record(&self, order: &str) -> Value {
        let (stop, mono) = (self.hand.ts().unwrap(), self.hand.mono_ms());
        let start = stop.after_ms(-i64::try_from(SESSION_MS).unwrap());
        json!({
            "order_id": order, "connector": 1, "start_ts": start, "stop_ts": stop,
            "start_mono_ms": mono.saturating_sub(SESSION_MS), "stop_mono_ms": mono,
            "meter_start_kwh": self.meter, "meter_stop_kwh": self.meter + SESSION, "reason": { "code": 7, "text": "full" },
        })
    }

    /// Sends the record and returns its `ack`.
    pub(crate) async fn finish(&mut self, order: &str) -> Value {
        // How its clock runs is measured by what it says now: its boot may have been before it was told the time.
        self.beat(order).await;
        let record = self.record(order);
        let msg_id = self.hand.say(UpKind::Record, &record).await.unwrap();
        let ack = self.hand.ack_of(&msg_id).await.unwrap();
        self.meter += SESSION;
        self.report("idle", None).await;
        ack
    }

    /// Sends the record; the order is paid for, and the books are as they must be.
    pub(crate) async fn settles(&mut self, station: &StationProcess, order: &str) {
        let ack = self.finish(order).await;
        assert_eq!(ack["result"], "ok", "{ack}");
        is_paid(station, order).await;
    }
}

/// The order is paid for what was delivered, once, and all accounts sum to zero.
pub(crate) async fn is_paid(station: &StationProcess, order: &str) {
    let seen = station.wait_for_order(order, State::Payed, PATIENCE).await.unwrap();
    let (bill, hold) = (&seen["bill"], &seen["hold"]);
    assert_eq!(bill["energy_kwh"], "0.1000", "{seen}");
    assert_eq!(
        (&hold["captured"], &hold["remaining"]),
        (&bill["fee"], &json!("0.00")),
        "{seen}"
    );
    assert_eq!(station.books_total().await.unwrap(), domain::units::Fen::ZERO);
}

/// The orders that the messages in quarantine name, each with its item's number. A text as long as the big records have
/// makes them malformed: then it is looked for in the message as it came.
pub(crate) async fn orders_in_quarantine(station: &StationProcess) -> BTreeMap<String, u64> {
    let mut orders = BTreeMap::new();
    for item in station.all("/v1/quarantine").await.unwrap() {
        let path = format!("/v1/quarantine/{}", item["item"]);
        let item = station.get(&path).await.unwrap().success().unwrap();
        let as_it_came: Value = item["raw"]
            .as_str()
            .map_or(Value::Null, |raw| serde_json::from_str(raw).unwrap_or_default());
        let named = item["order"].as_str().or(as_it_came["order_id"].as_str());
        orders.extend(named.map(|named| (named.to_owned(), item["item"].as_u64().unwrap())));
    }
    orders
}

//! A short history with a bit of everything in it, played by hand in seconds: an order in every state that lasts, samples,
//! a quarantine, cards, tokens. For tests of what happens to a database afterwards.

use crate::{
    hand::Hand,
    station::{Setup, StationProcess},
};
use anyhow::{Context, ensure};
use domain::{
    order::State,
    time::Wall,
    topics::{self, DownKind, UpKind},
};
use hyper::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const PATIENCE: Duration = Duration::from_secs(20);
/// What every register shows when the history begins.
pub const REGISTER: &str = "1000.0000";

/// What was played.
pub struct History {
    /// One order for each state that lasts; REVIEW by a register that ran backwards.
    pub orders: BTreeMap<State, String>,
    /// The piles, still connected: `P1` to `P6`.
    pub piles: BTreeMap<String, Hand>,
}

/// The station that it is played on: from nine o'clock on a Monday, when energy is dear.
pub fn setup() -> Setup {
    Setup {
        clock_start: Some(Wall(1_772_413_200_000)),
        policy: "start_timeout = \"1h\"\n".to_owned(),
        ..Setup::new()
    }
}

/// Entries of words that cannot be packed much and are different each time: some 300 KiB of them on the line, about a member who is
/// known.
///
/// # Errors
/// If the station does not do as it should.
pub async fn much(station: &StationProcess, member: &str) -> anyhow::Result<()> {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..300 {
        let words = (0..500).filter_map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            char::from_u32(0x4E00 + u32::try_from(random % 0x4000).unwrap_or_default())
        });
        let blocked = json!({ "on": true, "reason": words.collect::<String>() });
        for body in [blocked, json!({ "on": false })] {
            let path = format!("/v1/members/{member}/block");
            station.ask(Method::PUT, &path, Some(&body), None).await?.success()?;
        }
    }
    Ok(())
}

/// Plays it on a station that has nothing but a tariff.
///
/// # Errors
/// If the station does not do as it should.
pub async fn play(station: &StationProcess) -> anyhow::Result<History> {
    let mut history = History {
        orders: BTreeMap::new(),
        piles: BTreeMap::new(),
    };
    let token = json!({ "name": "reader", "role": "viewer" });
    station.post("/v1/tokens", &token).await?.success()?;
    let plan = [
        (State::Payed, "alice", "100.00", "50.00", Some("1003.0000")),
        (State::Unpaid, "bob", "6.00", "5.00", Some("1005.0000")),
        (State::Review, "carol", "60.00", "50.00", Some("999.0000")),
        (State::Charging, "dave", "80.00", "50.00", None),
        (State::Fail, "erin", "40.00", "40.00", None),
        (State::Place, "frank", "30.00", "20.00", None),
    ];
    for (n, (state, member, funds, prepay, stop)) in (1..).zip(plan) {
        let id = format!("P{n}");
        station.add_member(member, funds).await?;
        let mut pile = boot(station, &id, &station.add_pile(&id).await?).await?;
        report(&mut pile, "plugged", None, REGISTER).await?;
        let order = station.place(member, &id, prepay).await?;
        if state != State::Place {
            let start = pile.hear(DownKind::Command).await?;
            let reply = json!({ "command_id": start["command_id"], "ok": state != State::Fail, "code": 7 });
            pile.say(UpKind::Reply, &reply).await?;
        }
        if state != State::Place && state != State::Fail {
            report(&mut pile, "charging", Some(&order), REGISTER).await?;
            station.wait_for_order(&order, State::Charging, PATIENCE).await?;
            report(&mut pile, "charging", Some(&order), "1000.5000").await?;
        }
        if let Some(stop) = stop {
            record(&mut pile, &order, REGISTER, stop).await?;
        }
        station.wait_for_order(&order, state, PATIENCE).await?;
        history.orders.insert(state, order);
        history.piles.insert(id, pile);
    }
    set_aside(station, &mut history).await?;
    let bind = json!({ "member": "alice" });
    let put = |path: &'static str, body: Value| async move { station.ask(Method::PUT, path, Some(&body), None).await };
    put("/v1/cards/card-1", bind).await?.success()?;
    let block = json!({ "on": true, "reason": "the history" });
    put("/v1/members/erin/block", block).await?.success()?;
    let refund = json!({ "amount": "1.00", "reason": "the history" });
    let payed = &history.orders[&State::Payed];
    let path = format!("/v1/orders/{payed}/refunds");
    station.post(&path, &refund).await?.success()?;
    Ok(history)
}

/// Of each item these fields alone.
fn some(items: &[Value], fields: &[&str]) -> Vec<Value> {
    let one = |item: &Value| {
        let field = |name: &&str| ((*name).to_owned(), item[*name].clone());
        fields.iter().map(field).collect()
    };
    items.iter().map(one).collect()
}

/// What a station says of everything that a history leaves: orders, money, what waits for a person, how far the journal
/// goes. Of each only what never changes by itself.
///
/// # Errors
/// If it does not answer.
pub async fn told(station: &StationProcess) -> anyhow::Result<Value> {
    let orders = station.all("/v1/orders").await?;
    let mut statements = BTreeMap::new();
    for order in &orders {
        let member = order["member"].as_str().context("an order has a member")?;
        let statement = station.all(&format!("/v1/members/{member}/statement")).await?;
        statements.insert(member.to_owned(), some(&statement, &["code", "amount", "order"]));
    }
    let sheet = station.get("/v1/balance-sheet?detail=true").await?.success()?;
    Ok(json!({
        "journal": station.get("/v1/station").await?.success()?["journal"],
        "orders": some(&orders, &["id", "member", "pile", "state", "hold", "after_sales", "placed_at"]),
        "accounts": sheet["accounts"],
        "statements": statements,
        "quarantine": some(&station.all("/v1/quarantine?closed=true").await?, &["item", "why", "pile", "order", "outcome"]),
        "cards": some(&station.all("/v1/cards").await?, &["id", "member"]),
        "members": some(&station.all("/v1/members").await?, &["id", "name", "allowance", "held", "debt", "blocked"]),
        "piles": some(&station.all("/v1/piles").await?, &["id", "vendor", "model"]),
    }))
}

/// A record of nobody's order stays in quarantine; one that cannot be read is dismissed.
async fn set_aside(station: &StationProcess, history: &mut History) -> anyhow::Result<()> {
    let pile = history
        .piles
        .get_mut("P1")
        .context("the pile that was just connected")?;
    record(pile, "nobodys-1", "1003.0000", "1004.0000").await?;
    let topic = topics::up(pile.pile(), UpKind::Record);
    pile.publish(&topic, b"{\"not\":\"a record\"}".to_vec()).await?;
    let items = station.all("/v1/quarantine").await?;
    let unreadable = items.iter().find(|item| item["why"] == "malformed");
    let number = &unreadable.context("what cannot be read is kept")?["item"];
    let path = format!("/v1/quarantine/{number}/close");
    let dismiss = json!({ "bill_to": null, "reason": "the history" });
    station.post(&path, &dismiss).await?.success()?;
    Ok(())
}

/// Connects a pile with one connector of 300 kW.
///
/// # Errors
/// If the station does not answer.
pub async fn boot(station: &StationProcess, id: &str, secret: &str) -> anyhow::Result<Hand> {
    boot_at(station, id, secret, REGISTER).await
}

/// As [`boot`], with another register.
///
/// # Errors
/// As [`boot`].
pub async fn boot_at(station: &StationProcess, id: &str, secret: &str, register: &str) -> anyhow::Result<Hand> {
    let mut pile = Hand::connect(station.mqtt, id, secret).await?;
    let connectors = json!([{ "no": 1, "max_kw": "300.0", "meter_kwh": register, "order_id": null }]);
    let boot = json!({ "vendor": "By hand", "model": "H1", "firmware": "1", "connectors": connectors });
    pile.say(UpKind::Boot, &boot).await?;
    pile.hear(DownKind::Time).await?;
    Ok(pile)
}

/// Says how connector 1 is.
///
/// # Errors
/// If the station does not acknowledge it.
pub async fn report(pile: &mut Hand, status: &str, order: Option<&str>, register: &str) -> anyhow::Result<()> {
    let connector = json!({
        "no": 1, "status": status, "order_id": order, "voltage_v": 400.5, "current_a": 100.0, "soc_pct": 40,
        "meter_kwh": register, "faults": [],
    });
    pile.say(UpKind::Heartbeat, &json!({ "connectors": [connector] }))
        .await?;
    Ok(())
}

/// Says a record that begins and ends now, and waits until it is said to be stored.
///
/// # Errors
/// If the station does not say so.
pub async fn record(pile: &mut Hand, order: &str, start: &str, stop: &str) -> anyhow::Result<()> {
    let (ts, mono_ms) = (pile.ts(), pile.mono_ms());
    let record = json!({
        "order_id": order, "connector": 1, "start_ts": ts, "stop_ts": ts, "start_mono_ms": mono_ms,
        "stop_mono_ms": mono_ms, "meter_start_kwh": start, "meter_stop_kwh": stop, "reason": { "code": 0, "text": "" },
    });
    let msg_id = pile.say(UpKind::Record, &record).await?;
    let ack = pile.ack_of(&msg_id).await?;
    let stored = ["ok", "duplicate", "orphan"].map(Value::from);
    ensure!(stored.contains(&ack["result"]), "{order}: {ack}");
    Ok(())
}

/// An order from its placing to its money; its id.
///
/// # Errors
/// If the station does not do as it should.
pub async fn charge(
    station: &StationProcess,
    pile: &mut Hand,
    id: &str,
    (from, to): (&str, &str),
) -> anyhow::Result<String> {
    report(pile, "plugged", None, from).await?;
    let body = json!({ "member": "anna", "pile": id, "connector": 1, "prepay": "20.00" });
    let placed = station.post("/v1/orders", &body).await?.expect(201)?;
    let order = placed["id"].as_str().context("an order without an id")?.to_owned();
    let start = pile.hear(DownKind::Command).await?;
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    pile.say(UpKind::Reply, &reply).await?;
    report(pile, "charging", Some(&order), from).await?;
    record(pile, &order, from, to).await?;
    station.wait_for_order(&order, State::Payed, PATIENCE).await?;
    Ok(order)
}

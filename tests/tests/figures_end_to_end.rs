//! Sessions played through a real daemon over real MQTT cost what another program worked out, and leave the books it says.
//! The sessions, that program, its figures and its working are in `tests/figures`; nothing of it shares code with Holdfast.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    order::State,
    time::Wall,
    topics::{DownKind, UpKind},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write, path::Path, time::Duration};
use world::{
    hand::Hand,
    station::{Folder, Setup, StationProcess, repository},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// An order is placed so long before its session begins.
const BEFORE_MS: i64 = -60_000;
/// Its record comes so long after the session's end.
const AFTER_MS: i64 = 10_000;

#[derive(Deserialize)]
struct Run {
    station: String,
    time_zone: String,
    topups: BTreeMap<String, String>,
    orders: Vec<PlannedOrder>,
}

#[derive(Deserialize)]
struct PlannedOrder {
    session: String,
    member: String,
    prepay: String,
    max_kw: String,
}

/// Where an order stands between its start and its end.
struct Playing<'a> {
    plan: &'a PlannedOrder,
    session: &'a Value,
    pile: String,
    secret: String,
    order: String,
}

fn read(name: &str) -> Value {
    let path = repository().join("tests/figures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|item| item[key] == name);
    found.unwrap_or_else(|| panic!("no {name}: run tests/figures/figures.py"))
}

fn at(reading: &Value) -> Wall {
    Wall::parse(reading["at"].as_str().unwrap()).unwrap()
}

/// The tariff as a file for the station; its time zone is the station's own.
fn tariff_file(folder: &Path, tariff: &Value) -> std::path::PathBuf {
    let mut text = String::new();
    for key in ["id", "currency"] {
        writeln!(text, "{key} = {}", tariff[key]).unwrap();
    }
    writeln!(text, "effective_from = {}", tariff["effective_from"].as_str().unwrap()).unwrap();
    for key in ["prices", "schedules"] {
        let value: toml::Value = serde_json::from_value(tariff[key].clone()).unwrap();
        writeln!(text, "{key} = {value}").unwrap();
    }
    let path = folder.join("tariff.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_station_bills_and_books_what_the_other_program_says() {
    let (sessions, expected, balances) = (read("sessions.json"), read("expected.json"), read("balances.json"));
    let runs: Vec<Run> = serde_json::from_value(read("run.json")).unwrap();
    assert_eq!(
        runs.iter().map(|run| run.orders.len()).sum::<usize>(),
        sessions.as_array().unwrap().len()
    );
    for run in runs {
        play(&run, &sessions, &expected, named(&balances, "station", &run.station)).await;
    }
}

async fn play(run: &Run, sessions: &Value, expected: &Value, balances: &Value) {
    let plans: Vec<_> = run
        .orders
        .iter()
        .map(|order| (order, named(sessions, "name", &order.session)))
        .collect();
    let mut moments: Vec<Wall> = plans
        .iter()
        .flat_map(|(_, session)| {
            [
                at(&session["start"]).after_ms(BEFORE_MS),
                at(&session["stop"]).after_ms(AFTER_MS),
            ]
        })
        .collect();
    moments.sort();
    moments.dedup();

    let folder = Folder::new("figures").unwrap();
    let setup = Setup {
        time_zone: run.time_zone.clone(),
        clock_start: Some(moments[0]),
        tariff: tariff_file(folder.path(), &plans[0].1["tariff"]),
        ..Setup::new()
    };
    let mut station = StationProcess::start(&run.station, &setup).await.unwrap();
    for (member, money) in &run.topups {
        station.add_member(member, money).await.unwrap();
    }
    let mut playing = Vec::new();
    for (n, (plan, session)) in plans.iter().enumerate() {
        let pile = format!("P{}", n + 1);
        let secret = station.add_pile(&pile).await.unwrap();
        playing.push(Playing {
            plan,
            session,
            pile,
            secret,
            order: String::new(),
        });
    }
    // Hours pass between the moments; the daemon is killed, and started again when the next thing happens.
    for moment in moments {
        station.kill().unwrap();
        station.set_clock(moment);
        station.start_again().await.unwrap();
        for played in &mut playing {
            if at(&played.session["start"]).after_ms(BEFORE_MS) == moment {
                played.begin(&station).await;
            } else if at(&played.session["stop"]).after_ms(AFTER_MS) == moment {
                played.end(&station).await;
            }
        }
    }
    for played in &playing {
        let name = &played.plan.session;
        let bill = named(expected, "name", name);
        let settled = named(&balances["orders"], "session", name);
        played.compare(&station, bill, settled).await;
    }
    let sheet = station
        .get("/v1/balance-sheet?detail=true")
        .await
        .unwrap()
        .success()
        .unwrap();
    let accounts: BTreeMap<&str, &str> = sheet["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| {
            (
                account["account"].as_str().unwrap(),
                account["balance"].as_str().unwrap(),
            )
        })
        .collect();
    let theirs: BTreeMap<&str, &str> = balances["accounts"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, money)| (name.as_str(), money.as_str().unwrap()))
        .collect();
    assert_eq!(accounts, theirs, "{}", run.station);
    assert_eq!(sheet["total"], "0.00");
    assert_eq!(balances["total"], "0.00");
    assert!(station.terminate().await.unwrap());
}

impl Playing<'_> {
    async fn connect(&self, station: &StationProcess, register: &Value, order: Option<&str>) -> Hand {
        let mut pile = Hand::connect(station.mqtt, &self.pile, &self.secret).await.unwrap();
        let boot = json!({
            "vendor": "By hand", "model": "H1", "firmware": "1",
            "connectors": [{ "no": 1, "max_kw": self.plan.max_kw, "meter_kwh": register, "order_id": order }],
        });
        pile.say(UpKind::Boot, &boot).await.unwrap();
        // The pile has no time of its own; from here on it has the station's.
        pile.hear(DownKind::Time).await.unwrap();
        pile
    }

    async fn report(&self, pile: &mut Hand, status: &str, register: &Value) {
        let order = (!self.order.is_empty()).then_some(&self.order);
        let report = json!({ "connectors": [{
            "no": 1, "status": status, "order_id": order, "voltage_v": 221.5, "current_a": 0.0, "meter_kwh": register,
        }]});
        pile.say(UpKind::Heartbeat, &report).await.unwrap();
    }

    async fn begin(&mut self, station: &StationProcess) {
        let register = self.session["start"]["register"].clone();
        let mut pile = self.connect(station, &register, None).await;
        self.report(&mut pile, "plugged", &register).await;
        self.order = station
            .place(&self.plan.member, &self.pile, &self.plan.prepay)
            .await
            .unwrap();
        let start = pile.hear(DownKind::Command).await.unwrap();
        assert_eq!(
            (&start["kind"], &start["order_id"]),
            (&json!("start"), &json!(self.order))
        );
        pile.say(UpKind::Reply, &json!({ "command_id": start["command_id"], "ok": true }))
            .await
            .unwrap();
        self.report(&mut pile, "charging", &register).await;
        station
            .wait_for_order(&self.order, State::Charging, PATIENCE)
            .await
            .unwrap();
    }

    async fn end(&mut self, station: &StationProcess) {
        let (start, stop) = (&self.session["start"], &self.session["stop"]);
        let mut pile = self.connect(station, &stop["register"], Some(&self.order)).await;
        self.report(&mut pile, "finished", &stop["register"]).await;
        let samples: Vec<Value> = self.session["samples"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sample| json!({ "ts": sample["at"], "mono_ms": 0, "meter_kwh": sample["register"] }))
            .collect();
        let record = json!({
            "order_id": self.order, "connector": 1, "start_ts": start["at"], "stop_ts": stop["at"],
            "start_mono_ms": 0, "stop_mono_ms": 0, "meter_start_kwh": start["register"],
            "meter_stop_kwh": stop["register"], "reason": { "code": 7 }, "offline": true, "samples": samples,
        });
        let msg_id = pile.say(UpKind::Record, &record).await.unwrap();
        let ack = pile.ack_of(&msg_id).await.unwrap();
        assert_eq!(ack["result"], "ok", "{}: {ack}", self.plan.session);
        let order = station.get(&format!("/v1/orders/{}", self.order)).await.unwrap();
        let order = order.success().unwrap();
        for suspicion in order["suspicions"].as_array().into_iter().flatten() {
            assert_eq!(suspicion["kind"], "large_fee", "{}: {order}", self.plan.session);
        }
        pile.leave().await;
    }

    async fn compare(&self, station: &StationProcess, expected: &Value, settled: &Value) {
        let name = &self.plan.session;
        let order = format!("/v1/orders/{}", self.order);
        let mut seen = station.get(&order).await.unwrap().success().unwrap();
        if settled["review"] == true {
            assert_eq!(seen["state"], "REVIEW", "{name}");
            assert_eq!(seen["suspicions"][0]["kind"], "large_fee", "{name}");
            assert_eq!(
                seen["hold"]["captured"], "0.00",
                "{name}: no money moves before a person has looked"
            );
            let decision = json!({ "decision": "as_is", "reason": "a lorry" });
            station
                .post(&format!("/v1/reviews/{}/decision", self.order), &decision)
                .await
                .unwrap()
                .success()
                .unwrap();
            seen = station.get(&order).await.unwrap().success().unwrap();
        } else {
            assert_eq!(seen["suspicions"], json!([]), "{name}");
        }
        assert_eq!(seen["state"], settled["state"], "{name}");
        assert_eq!(seen["paid"]["charged"], expected["fee"], "{name}");
        assert_eq!(seen["paid"]["debt"], settled["debt"], "{name}");
        assert_eq!(seen["hold"]["remaining"], "0.00", "{name}");

        let bill = station.get(&format!("{order}/bill")).await.unwrap().success().unwrap();
        assert_eq!(bill["versions"].as_array().unwrap().len(), 1, "{name}");
        let bill = &bill["versions"][0];
        for part in ["electricity", "service", "fee"] {
            assert_eq!(bill[part], expected[part], "{name}: {part}");
        }
        let detail = &bill["detail"];
        assert_eq!(detail["energy_kwh"], expected["energy"], "{name}");
        assert_eq!(detail["dropped"], expected["dropped"], "{name}");
        let (segments, theirs) = (
            detail["segments"].as_array().unwrap(),
            expected["segments"].as_array().unwrap(),
        );
        assert_eq!(segments.len(), theirs.len(), "{name}");
        for (segment, theirs) in segments.iter().zip(theirs) {
            for edge in ["from", "to"] {
                let wall = |value: &Value| Wall::parse(value[edge].as_str().unwrap()).unwrap();
                assert_eq!(wall(segment), wall(theirs), "{name}: {edge}");
            }
            assert_eq!(segment["energy_kwh"], theirs["energy"], "{name}");
            for field in [
                "kind",
                "electricity_price",
                "service_price",
                "electricity_amount",
                "service_amount",
            ] {
                assert_eq!(segment[field], theirs[field], "{name}: {field}");
            }
        }
    }
}

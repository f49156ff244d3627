//! The energy report of a real daemon: a day's sessions over real MQTT, one pile's records saying less than its register
//! moved; at 01:00 by the demonstration clock the report says what another program worked out, and the pile is marked.
//! The plan and that program are in `tests/figures`.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    order::State,
    time::Wall,
    topics::{DownKind, UpKind},
    units::Energy,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use world::{
    hand::Hand,
    station::{Setup, StationProcess, repository},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// What a connector delivers in a moment: 0.0101 kWh.
const LITTLE: Energy = Energy(101);

fn read(name: &str) -> Value {
    let path = repository().join("tests/figures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A pile of the plan, and the order that runs there.
struct Played {
    plan: Value,
    secret: String,
    order: Option<String>,
}

impl Played {
    fn id(&self) -> &str {
        self.plan["pile"].as_str().unwrap()
    }

    async fn connect(&self, station: &StationProcess, register: &Value) -> Hand {
        let mut hand = Hand::connect(station.mqtt, self.id(), &self.secret).await.unwrap();
        let boot = json!({
            "vendor": "By hand", "model": "H1", "firmware": "1",
            "connectors": [{ "no": 1, "max_kw": "7", "meter_kwh": register, "order_id": self.order }],
        });
        hand.say(UpKind::Boot, &boot).await.unwrap();
        hand.hear(DownKind::Time).await.unwrap();
        hand
    }

    async fn report(&self, hand: &mut Hand, status: &str, register: &Value) {
        let order = self.order.as_ref().filter(|_| status == "charging");
        let report = json!({ "connectors": [{
            "no": 1, "status": status, "order_id": order, "voltage_v": 221.5, "current_a": 0.0, "meter_kwh": register,
        }]});
        hand.say(UpKind::Heartbeat, &report).await.unwrap();
    }

    async fn begin(&mut self, station: &StationProcess, member: &str) {
        let register = self.plan["idle_from"].clone();
        let mut hand = self.connect(station, &register).await;
        self.report(&mut hand, "idle", &register).await;
        if self.plan["sessions"][0].is_null() {
            return;
        }
        let order = station.place(member, self.id(), "40.00").await.unwrap();
        self.order = Some(order.clone());
        let start = hand.hear(DownKind::Command).await.unwrap();
        let reply = json!({ "command_id": start["command_id"], "ok": true });
        hand.say(UpKind::Reply, &reply).await.unwrap();
        self.report(&mut hand, "charging", &register).await;
        station.wait_for_order(&order, State::Charging, PATIENCE).await.unwrap();
    }

    async fn end(&mut self, station: &StationProcess) {
        let (session, last) = (self.plan["sessions"][0].clone(), self.plan["idle_to"].clone());
        let stop: Option<Energy> = serde_json::from_value(session["register"][1].clone()).unwrap();
        // Its reports show all places of the register, so they are worth as much as its record.
        let before = stop.map_or(last.clone(), |stop| json!(stop - LITTLE));
        let mut hand = self.connect(station, &before).await;
        if let Some(order) = &self.order {
            self.report(&mut hand, "charging", &before).await;
            self.report(&mut hand, "charging", &session["register"][1]).await;
            let record = json!({
                "order_id": order, "connector": 1, "start_ts": session["start"], "stop_ts": session["stop"],
                "start_mono_ms": 0, "stop_mono_ms": 0, "meter_start_kwh": session["record"][0],
                "meter_stop_kwh": session["record"][1], "reason": { "code": 7 }, "offline": false,
            });
            let msg_id = hand.say(UpKind::Record, &record).await.unwrap();
            let ack = hand.ack_of(&msg_id).await.unwrap();
            assert_eq!(ack["result"], "ok", "{}: {ack}", self.id());
            if ack["detail"] == "waits for review" {
                // The record says less than the station saw: a person looks, and lets it stand.
                let decision = json!({ "decision": "as_is", "reason": "looked at the meter" });
                let decided = station.post(&format!("/v1/reviews/{order}/decision"), &decision).await;
                decided.unwrap().success().unwrap();
            }
        }
        self.report(&mut hand, "idle", &last).await;
        hand.leave().await;
    }
}

async fn get(station: &StationProcess, path: &str) -> Value {
    station.get(path).await.unwrap().success().unwrap()
}

/// As the other program writes it.
fn brief(connector: &Value, report: &Value) -> Value {
    let totals = &connector["totals"];
    let found = connector["discrepancies"].as_array().unwrap().iter().map(|found| {
        let figures = if found["class"] == "ENERGY" {
            ["billed_kwh", "register_kwh"]
        } else {
            ["from_kwh", "to_kwh"]
        };
        json!([found["class"], found[figures[0]], found[figures[1]]])
    });
    json!({
        "pile": connector["pile"],
        "orders": totals["orders"],
        "billed_kwh": totals["billed_kwh"],
        "register_kwh": totals["register_kwh"],
        "difference_kwh": totals["difference_kwh"],
        "abnormal": report["abnormal"].as_array().unwrap().contains(&connector["pile"]),
        "discrepancies": found.collect::<Vec<_>>(),
    })
}

#[tokio::test]
async fn at_one_o_clock_a_pile_that_records_less_than_its_register_is_found() {
    let (plan, expected) = (read("energy.json"), read("energy_expected.json"));
    let at = |text: &str| Wall::parse(text).unwrap();
    let setup = Setup {
        time_zone: plan["time_zone"].as_str().unwrap().to_owned(),
        clock_start: Some(at("2026-03-02T16:59:00+08:00")),
        ..Setup::new()
    };
    let mut station = StationProcess::start("energy", &setup).await.unwrap();
    let mut piles = Vec::new();
    for (n, pile) in plan["piles"].as_array().unwrap().iter().enumerate() {
        let member = format!("{}{n}", plan["member"].as_str().unwrap());
        station
            .add_member(&member, plan["topup"].as_str().unwrap())
            .await
            .unwrap();
        let secret = station.add_pile(pile["pile"].as_str().unwrap()).await.unwrap();
        let (plan, order) = (pile.clone(), None);
        let mut played = Played { plan, secret, order };
        played.begin(&station, &member).await;
        piles.push(played);
    }
    station.kill().unwrap();
    station.set_clock(at("2026-03-02T21:00:10+08:00"));
    station.start_again().await.unwrap();
    for played in &mut piles {
        played.end(&station).await;
    }
    // What connectors say while nobody charges is written within half a minute, or when the daemon goes down in order.
    assert!(station.terminate().await.unwrap());
    station.set_clock(at("2026-03-03T00:59:57+08:00"));
    station.start_again().await.unwrap();
    let day = plan["day"].as_str().unwrap();
    let path = format!("/v1/energy-reports/{day}");
    let begun = Instant::now();
    while station.get(&path).await.unwrap().status != 200 {
        assert!(begun.elapsed() < PATIENCE, "no report: {}", station.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = get(&station, &path).await;
    assert!(
        at(report["made_at"].as_str().unwrap()) >= at("2026-03-03T01:00:00+08:00"),
        "{report}"
    );
    assert_eq!(
        (report["begins"].as_str(), report["ends"].as_str()),
        (Some("2026-03-01T16:00:00Z"), Some("2026-03-02T16:00:00Z"))
    );
    let connectors: Vec<Value> = report["connectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connector| brief(connector, &report))
        .collect();
    assert_eq!(json!(connectors), expected["connectors"]);
    for key in ["orders", "billed_kwh", "register_kwh", "difference_kwh"] {
        assert_eq!(report["totals"][key], expected["total"][key], "{key}");
    }

    // The mark is where people look, until one of them takes it off.
    let pile = get(&station, "/v1/piles/P2").await;
    assert_eq!(pile["meter_abnormal"]["day"], day);
    assert_eq!(get(&station, "/v1/piles/P3").await["meter_abnormal"], Value::Null);
    assert_eq!(get(&station, "/v1/station").await["piles_meter_abnormal"], 2);
    let status = station.cli(&["status"]).unwrap();
    assert!(status.contains("! 2 piles with a meter in doubt"), "{status}");
    let list = station.cli(&["energy-report"]).unwrap();
    assert!(list.contains(day) && list.contains("P2, P4"), "{list}");
    let shown = station.cli(&["energy-report", "--day", day]).unwrap();
    assert!(shown.contains("! meter abnormal: P2"), "{shown}");
    let csv = station.cli(&["energy-report", "--day", day, "--csv"]).unwrap();
    assert!(csv.starts_with("\u{feff}day,row,class,pile"), "{csv}");
    assert!(
        csv.contains("2026-03-02,connector,,P2,1,,,1,19.4000,20.0000,-0.6000,,,yes\r\n"),
        "{csv}"
    );
    station
        .cli(&[
            "pile",
            "meter-cleared",
            "P2",
            "--reason",
            "calibrated, certificate 4711",
        ])
        .unwrap();
    assert_eq!(get(&station, "/v1/piles/P2").await["meter_abnormal"], Value::Null);
    assert!(station.terminate().await.unwrap());
}

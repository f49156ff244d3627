//! The product's promises to drivers and operators, each as a story with simulated piles and a real daemon.
//! The numbers in the names are the rows of "What it must do" in the product description.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    ids::PileId,
    order::State,
    time::Wall,
    topics::{DownKind, UpKind},
    units::{Energy, Fen, Power},
};
use futures_util::StreamExt;
use hyper::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::client::IntoClientRequest};
use world::{
    hand::Hand,
    pile::{Car, Flash, PileHandle, PileSpec, SimTime, Station, What, read_behaviours, spawn},
    station::{Answer, Folder, Setup, StationProcess},
};

const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(20);

/// A station and the time that its piles live in.
struct World {
    station: StationProcess,
    time: SimTime,
}

impl World {
    /// At this time of a Monday, with clocks that run `rate` times as fast as the world's. Then a minute of the station is
    /// too short for a busy machine to confirm a start in, so it may take longer.
    async fn begin(name: &str, clock: &str, rate: u32) -> Self {
        let policy = "start_timeout = \"1h\"\n".to_owned();
        let setup = Setup { policy, ..Setup::new() };
        Self::begin_with(name, clock, rate, setup).await
    }

    async fn begin_with(name: &str, clock: &str, rate: u32, setup: Setup) -> Self {
        let start = Wall::parse(&format!("2026-03-02T{clock}+08:00")).unwrap();
        let setup = Setup {
            rate,
            clock_start: Some(start),
            ..setup
        };
        let station = StationProcess::start(name, &setup).await.unwrap();
        Self {
            station,
            time: SimTime::begin(rate),
        }
    }

    /// What the station's wall clock shows.
    async fn wall(&self) -> Wall {
        let seen = self.station.get("/v1/station").await.unwrap().success().unwrap();
        Wall::parse(seen["clock"]["wall"].as_str().unwrap()).unwrap()
    }

    async fn pile(&self, id: &str, behaviours: &str) -> PileHandle {
        let behaviours = read_behaviours(behaviours.split_whitespace()).unwrap();
        let secret = self.station.add_pile(id).await.unwrap();
        let mut spec = PileSpec::new(PileId::new(id).unwrap(), self.station.wall()).behaving(behaviours);
        spec.connectors[0].max_power = Power(60_000);
        spec.car = Some(Car::new(Energy(1_000_000), 20, Power(60_000)));
        let address = self.station.mqtt;
        let link = Station {
            host: address.ip().to_string(),
            port: address.port(),
            secret: Some(secret),
            tls: None,
        };
        let pile = spawn(spec, Flash::default(), link, self.time);
        pile.plug(1).await;
        self.until(&format!("/v1/piles/{id}"), |pile| {
            pile["connectors"][0]["report"] != Value::Null
        })
        .await;
        pile
    }

    /// Looks at a resource until it `is` as wanted.
    async fn until(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let seen = self.station.get(path).await.unwrap().success().unwrap();
            if is(&seen) {
                return seen;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{path} stays as it is: {seen}\n{}",
                self.station.log()
            );
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn charging(&self, member: &str, pile: &str) -> String {
        let order = self.station.place(member, pile, "30.00").await.unwrap();
        self.station
            .wait_for_order(&order, State::Charging, PATIENCE)
            .await
            .unwrap();
        let delivered = |seen: &Value| seen["live"]["energy_kwh"].as_str().is_some_and(|kwh| kwh > "0.0000");
        self.until(&format!("/v1/orders/{order}"), delivered).await;
        order
    }

    async fn refused(&self, member: &str, pile: &str) -> String {
        let body = json!({ "member": member, "pile": pile, "connector": 1, "prepay": "30.00" });
        let answer = self.station.post("/v1/orders", &body).await.unwrap();
        assert!((400..500).contains(&answer.status), "{answer:?}");
        answer.body["type"]
            .as_str()
            .unwrap()
            .replace("urn:holdfast:problem:", "")
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.station.ask(Method::PUT, path, Some(&body), None).await.unwrap()
    }

    async fn told(&self, member: &str) -> Vec<String> {
        let notices = self
            .station
            .all(&format!("/v1/members/{member}/notifications"))
            .await
            .unwrap();
        notices
            .iter()
            .map(|notice| notice["text"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn member(&self, id: &str) -> Value {
        self.station
            .get(&format!("/v1/members/{id}"))
            .await
            .unwrap()
            .success()
            .unwrap()
    }

    async fn end(mut self) {
        assert_eq!(self.station.books_total().await.unwrap(), Fen::ZERO);
        assert!(self.station.terminate().await.unwrap());
    }
}

fn fen(value: &Value) -> Fen {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no amount"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn row_3_a_pile_that_does_not_answer_fails_the_order_and_releases_all_of_the_hold() {
    // Ten seconds of the world's time to look at what is held.
    let policy = "start_timeout = \"10m\"\n".to_owned();
    let world = World::begin_with("row3", "09:00:00", 60, Setup { policy, ..Setup::new() }).await;
    world.station.add_member("alice", "50.00").await.unwrap();
    let pile = world.pile("P1", "no-reply").await;
    let order = world.station.place("alice", "P1", "30.00").await.unwrap();
    assert_eq!(world.member("alice").await["held"], "30.00");
    let failed = world
        .station
        .wait_for_order(&order, State::Fail, PATIENCE)
        .await
        .unwrap();
    assert_eq!(failed["failure"]["kind"], "timed_out", "{failed}");
    assert_eq!(
        (&failed["hold"]["released"], &failed["hold"]["captured"]),
        (&json!("30.00"), &json!("0.00"))
    );
    let alice = world.member("alice").await;
    assert_eq!((&alice["allowance"], &alice["held"]), (&json!("50.00"), &json!("0.00")));
    assert_eq!(world.told("alice").await, ["启动超时，请重试"]);
    drop(pile);
    world.end().await;
}

const QUARTER_MS: i64 = 15 * 60_000;

/// A tariff by which the quarters of an hour are flat and peak by turns, and cheap enough for many of them.
fn quarters(folder: &Path) -> PathBuf {
    let time = |quarter: u32| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
    let periods: String = (0..96)
        .map(|quarter| {
            let kind = ["flat", "peak"][quarter as usize % 2];
            let (from, to) = (time(quarter), time(quarter + 1));
            format!("    {{ from = \"{from}\", to = \"{to}\", kind = \"{kind}\" }},\n")
        })
        .collect();
    let text = format!(
        "id = \"quarters\"\neffective_from = 2026-01-01T00:00:00+08:00\ncurrency = \"CNY\"\n\
         [prices]\nflat = {{ electricity = \"0.10\", service = \"0.05\" }}\npeak = {{ electricity = \"0.20\", service = \"0.05\" }}\n\
         [[schedules]]\nperiods = [\n{periods}]\n"
    );
    let path = folder.join("quarters.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn row_4_a_stop_while_the_pile_is_cut_off_is_remembered_and_the_late_record_rated_by_its_own_times() {
    // Each quarter of an hour has another price than the one before it, so that one ends soon, however long all of this
    // takes to begin with.
    let folder = Folder::new("row4-tariff").unwrap();
    let setup = Setup {
        tariff: quarters(folder.path()),
        policy: "start_timeout = \"1h\"\n".to_owned(),
        ..Setup::new()
    };
    let world = World::begin_with("row4", "08:00:00", 60, setup).await;
    world.station.add_member("alice", "50.00").await.unwrap();
    let mut pile = world.pile("P1", "").await;
    let order = world.charging("alice", "P1").await;
    pile.cut_network().await;
    world.until("/v1/piles/P1", |pile| pile["online"] == false).await;
    let stop = world
        .station
        .post(&format!("/v1/orders/{order}/stop"), &json!({}))
        .await
        .unwrap();
    assert_eq!(stop.status, 202, "{stop:?}");
    assert_eq!(stop.body["message"], "充电桩离线，已记录停止请求，恢复后按实际用电结算");
    // It goes on charging into the next quarter.
    let boundary = Wall((world.wall().await.0 / QUARTER_MS + 1) * QUARTER_MS);
    let beyond = boundary.after_ms(180_000);
    world
        .until("/v1/station", |station| {
            Wall::parse(station["clock"]["wall"].as_str().unwrap()).unwrap() > beyond
        })
        .await;
    assert_eq!(pile.status().charging, 1);
    pile.restore_network().await;
    let ended = |what: &What| match what {
        What::Stopped { energy_kwh, reason, .. } => Some((*energy_kwh, *reason)),
        _ => None,
    };
    let (delivered, reason) = pile.wait_for(PATIENCE, |event| ended(&event.what)).await.unwrap();
    assert_eq!(reason, 9, "stopped from afar as soon as it was back");
    let paid = world
        .station
        .wait_for_order(&order, State::Payed, PATIENCE)
        .await
        .unwrap();
    assert_eq!(paid["bill"]["energy_kwh"], delivered.to_string());
    let bill = world
        .station
        .get(&format!("/v1/orders/{order}/bill"))
        .await
        .unwrap()
        .success()
        .unwrap();
    let segments = bill["versions"][0]["detail"]["segments"].as_array().unwrap();
    let kinds: Vec<_> = segments
        .iter()
        .map(|segment| segment["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.len() >= 2 && kinds.windows(2).all(|pair| pair[0] != pair[1]),
        "{bill}"
    );
    assert!(
        segments.iter().any(|segment| segment["to"] == boundary.to_string()),
        "{boundary}: {bill}"
    );
    let last = segments.last().unwrap();
    assert!(
        Wall::parse(last["to"].as_str().unwrap()).unwrap() > beyond,
        "the time offline is on the bill"
    );
    let fee = fen(&paid["bill"]["fee"]);
    assert_eq!(fen(&world.member("alice").await["allowance"]), Fen(5_000) - fee);
    world.end().await;
}

#[tokio::test]
async fn row_5_what_the_funds_do_not_cover_is_a_debt_and_no_start_before_it_is_paid() {
    const RAN_MS: i64 = 240_000;
    let world = World::begin("row5", "12:00:00", 1).await;
    world.station.add_member("alice", "5.00").await.unwrap();
    let secret = world.station.add_pile("P1").await.unwrap();
    let mut pile = Hand::connect(world.station.mqtt, "P1", &secret).await.unwrap();
    let boot = json!({ "vendor": "By hand", "model": "H1", "firmware": "1",
        "connectors": [{ "no": 1, "max_kw": "120", "meter_kwh": "100.0" }] });
    pile.say(UpKind::Boot, &boot).await.unwrap();
    pile.hear(DownKind::Time).await.unwrap();
    let idle = json!({ "connectors": [{ "no": 1, "status": "plugged", "voltage_v": 230, "current_a": 0, "meter_kwh": "100.0" }] });
    pile.say(UpKind::Heartbeat, &idle).await.unwrap();
    let order = world.station.place("alice", "P1", "5.00").await.unwrap();
    let start = pile.hear(DownKind::Command).await.unwrap();
    pile.say(UpKind::Reply, &json!({ "command_id": start["command_id"], "ok": true }))
        .await
        .unwrap();
    // 6 kWh in four minutes at 120 kW, whose flat price is 1.0437: 3.86 and 2.40 yuan.
    let started = pile.ts().unwrap();
    let record = json!({
        "order_id": order, "connector": 1, "start_ts": started, "stop_ts": started.after_ms(RAN_MS), "start_mono_ms": 0,
        "stop_mono_ms": RAN_MS, "meter_start_kwh": "100.0", "meter_stop_kwh": "106.0", "reason": { "code": 7 },
    });
    pile.say(UpKind::Record, &record).await.unwrap();
    let unpaid = world
        .station
        .wait_for_order(&order, State::Unpaid, PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        (&unpaid["paid"]["charged"], &unpaid["paid"]["debt"]),
        (&json!("6.26"), &json!("1.26"))
    );
    assert_eq!(unpaid["hold"]["captured"], "5.00");
    let alice = world.member("alice").await;
    assert_eq!((&alice["allowance"], &alice["debt"]), (&json!("0.00"), &json!("1.26")));

    let topup = json!({ "amount": "40.00", "receipt": "R-2" });
    world
        .station
        .post("/v1/members/alice/topups", &topup)
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(world.refused("alice", "P1").await, "unpaid-debt");
    let pay = json!({ "amount": "1.26", "from": "allowance" });
    world
        .station
        .post("/v1/members/alice/payments", &pay)
        .await
        .unwrap()
        .success()
        .unwrap();
    world
        .station
        .wait_for_order(&order, State::Payed, PATIENCE)
        .await
        .unwrap();
    world.station.place("alice", "P1", "30.00").await.unwrap();
    let alice = world.member("alice").await;
    assert_eq!(
        (&alice["allowance"], &alice["held"], &alice["debt"]),
        (&json!("8.74"), &json!("30.00"), &json!("0.00"))
    );
    world.end().await;
}

#[tokio::test]
async fn row_7_the_rest_of_the_hold_comes_back_by_itself_and_a_person_can_give_more_back() {
    let world = World::begin("row7", "09:00:00", 20).await;
    world.station.add_member("alice", "50.00").await.unwrap();
    let _pile = world.pile("P1", "").await;
    let order = world.charging("alice", "P1").await;
    let stop = world
        .station
        .post(&format!("/v1/orders/{order}/stop"), &json!({}))
        .await
        .unwrap();
    assert_eq!(stop.status, 200, "{stop:?}");
    let paid = world
        .station
        .wait_for_order(&order, State::Payed, PATIENCE)
        .await
        .unwrap();
    let fee = fen(&paid["bill"]["fee"]);
    assert!(fee > Fen::ZERO && fee < Fen(3_000), "{paid}");
    assert_eq!(
        (fen(&paid["hold"]["captured"]), fen(&paid["hold"]["released"])),
        (fee, Fen(3_000) - fee)
    );
    assert_eq!(fen(&world.member("alice").await["allowance"]), Fen(5_000) - fee);

    let refunds = format!("/v1/orders/{order}/refunds");
    let too_much = json!({ "amount": (fee + Fen(1)).to_string(), "reason": "too much" });
    let refused = world.station.post(&refunds, &too_much).await.unwrap();
    assert_eq!(refused.body["type"], "urn:holdfast:problem:too-much", "{refused:?}");
    let all = json!({ "amount": fee.to_string(), "reason": "the cable was hot" });
    let refunded = world.station.post(&refunds, &all).await.unwrap().success().unwrap();
    assert_eq!(
        (&refunded["state"], &refunded["after_sales"]),
        (&json!("PAYED"), &json!(true))
    );
    let alice = world.member("alice").await;
    assert_eq!(alice["allowance"], "50.00");
    assert!(
        world
            .told("alice")
            .await
            .contains(&format!("售后退款 {fee} 元已退回余额"))
    );
    world.end().await;
}

#[tokio::test]
async fn row_8_blocked_members_and_sick_piles_get_no_orders_until_a_person_says_so() {
    // Faults of one connector within five minutes are one.
    let world = World::begin("row8", "09:00:00", 600).await;
    world.station.add_member("alice", "50.00").await.unwrap();
    let pile = world.pile("P1", "").await;
    let blocked = world
        .put(
            "/v1/members/alice/block",
            json!({ "on": true, "reason": "owes everybody" }),
        )
        .await;
    assert!((200..300).contains(&blocked.status), "{blocked:?}");
    assert_eq!(world.refused("alice", "P1").await, "member-blocked");
    world
        .put("/v1/members/alice/block", json!({ "on": false }))
        .await
        .success()
        .unwrap();

    for faults in 1..=3 {
        pile.fault(1, 1).await;
        world
            .until("/v1/piles/P1", |pile| {
                pile["connectors"][0]["faulted"] == true && pile["recent_faults"] == faults
            })
            .await;
        pile.clear_fault(1).await;
        let cleared = world
            .until("/v1/piles/P1", |pile| {
                pile["connectors"][0]["faulted"] == false && pile["connectors"][0]["report"]["status"] != "fault"
            })
            .await;
        assert_eq!(
            cleared["maintenance"] != Value::Null,
            faults == 3,
            "after fault {faults}: {cleared}"
        );
        let later = world.station.wall().after_ms(310_000);
        world
            .until("/v1/station", |station| {
                Wall::parse(station["clock"]["wall"].as_str().unwrap()).unwrap() > later
            })
            .await;
    }
    assert_eq!(world.refused("alice", "P1").await, "pile-in-maintenance");
    world
        .put("/v1/piles/P1/maintenance", json!({ "on": false }))
        .await
        .success()
        .unwrap();
    world.station.place("alice", "P1", "30.00").await.unwrap();
    world.end().await;
}

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn watch(world: &World, path: &str, token: &str) -> Socket {
    let mut request = format!("ws://{}{path}", world.station.http)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

async fn frame(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next())
            .await
            .expect("a frame in time");
        if let Ok(text) = message.expect("the socket stays open").unwrap().to_text()
            && text.starts_with('{')
        {
            return serde_json::from_str(text).unwrap();
        }
    }
}

#[tokio::test]
async fn row_9_the_driver_sees_every_heartbeat_and_can_resume_where_the_view_broke_off() {
    // Slow enough that the hold lasts for a minute of the world's time.
    let world = World::begin("row9", "09:00:00", 20).await;
    world.station.add_member("alice", "50.00").await.unwrap();
    let pile = world.pile("P1", "").await;
    let token = json!({ "name": "screen", "role": "viewer" });
    let token = world
        .station
        .post("/v1/tokens", &token)
        .await
        .unwrap()
        .success()
        .unwrap();
    let token = token["token"].as_str().unwrap();
    let order = world.charging("alice", "P1").await;
    let path = format!("/v1/orders/{order}/live");

    let mut socket = watch(&world, &path, token).await;
    let mut frames = vec![frame(&mut socket).await];
    while frames.len() < 5 {
        frames.push(frame(&mut socket).await);
    }
    let told: BTreeSet<&str> = frames.iter().map(|frame| frame["as_of"].as_str().unwrap()).collect();
    assert!(told.len() >= 4, "frames come with heartbeats: {told:?}");
    for pair in frames.windows(2) {
        assert!(pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64(), "{pair:?}");
        let energy = |frame: &Value| frame["energy_kwh"].as_str().unwrap().parse::<Energy>().unwrap();
        assert!(
            energy(&pair[0]) <= energy(&pair[1]) && fen(&pair[0]["fee"]) <= fen(&pair[1]["fee"]),
            "{pair:?}"
        );
    }
    let last = frames.last().unwrap();
    assert_eq!(
        (&last["order_id"], &last["state"], &last["period"]),
        (&json!(order), &json!("CHARGING"), &json!("peak"))
    );
    for field in ["power_kw", "voltage_v", "current_a", "soc_pct"] {
        assert!(last[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {last}");
    }
    assert_eq!(
        fen(&last["electricity_fee"]) + fen(&last["service_fee"]),
        fen(&last["fee"])
    );
    let (as_of, end) = (last["as_of"].as_str().unwrap(), last["expected_end"].as_str().unwrap());
    assert!(Wall::parse(end).unwrap() > Wall::parse(as_of).unwrap(), "{last}");

    drop(socket);
    let seen = last["seq"].as_u64().unwrap();
    let mut socket = watch(&world, &format!("{path}?after={seen}"), token).await;
    assert!(
        frame(&mut socket).await["seq"].as_u64().unwrap() > seen,
        "only what is newer"
    );
    pile.cut_network().await;
    while frame(&mut socket).await["pile_online"] == true {}
    pile.restore_network().await;
    world
        .station
        .post(&format!("/v1/orders/{order}/stop"), &json!({}))
        .await
        .unwrap()
        .success()
        .unwrap();
    while frame(&mut socket).await["state"] != "PAYED" {}

    let mut request = format!("ws://{}{path}", world.station.http)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("authorization", "Bearer wrong".parse().unwrap());
    assert!(
        tokio_tungstenite::connect_async(request).await.is_err(),
        "strangers see nothing"
    );
    world.end().await;
}

#[tokio::test]
async fn row_10_a_fault_bills_what_was_delivered_and_a_record_of_nobodys_order_is_kept() {
    let world = World::begin("row10", "09:00:00", 20).await;
    world.station.add_member("alice", "50.00").await.unwrap();
    let mut pile = world.pile("P1", "").await;
    let order = world.charging("alice", "P1").await;
    pile.fault(1, 1).await;
    let delivered = pile
        .wait_for(PATIENCE, |event| match event.what {
            What::Stopped { energy_kwh, .. } => Some(energy_kwh),
            _ => None,
        })
        .await
        .unwrap();
    let paid = world
        .station
        .wait_for_order(&order, State::Payed, PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        (&paid["end_reason"]["code"], &paid["end_reason"]["abnormal"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(paid["bill"]["energy_kwh"], delivered.to_string());
    let fee = fen(&paid["bill"]["fee"]);
    assert!(fee > Fen::ZERO);
    assert_eq!(fen(&world.member("alice").await["allowance"]), Fen(5_000) - fee);
    assert!(
        world
            .told("alice")
            .await
            .contains(&"充电异常结束，余额已退回".to_owned())
    );

    let mut stray = world.pile("P2", "orphan-record").await;
    let acked = stray
        .wait_for(PATIENCE, |event| match &event.what {
            What::RecordAcked { order_id, result, .. } => Some((order_id.to_string(), format!("{result:?}"))),
            _ => None,
        })
        .await
        .unwrap();
    assert_eq!(acked.1, "Orphan");
    let kept = world.station.all("/v1/quarantine").await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        (&kept[0]["why"], &kept[0]["order"], &kept[0]["pile"]),
        (&json!("orphan"), &json!(acked.0), &json!("P2"))
    );
    world.end().await;
}

//! What people, files, piles and clients can get wrong, one after another, against a real daemon.
//! It says what is wrong, keeps what may carry money, counts the rest, and goes on.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    ids::PileId,
    topics::{self, DownKind, UpKind},
    units::Fen,
};
use hyper::Method;
use rumqttc::ConnectReturnCode;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use world::{
    hand::{Hand, Refused},
    station::{SITE, Setup, StationProcess, program},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the daemon on a configuration that it must refuse, and returns what it says.
fn refusal(config: &Path) -> String {
    let said = config.with_extension("said");
    let mut child = Command::new(program("holdfast-edge", "holdfast-edge"))
        .args(["run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it runs, and should not: {}", fs::read_to_string(&said).unwrap());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = fs::read_to_string(&said).unwrap();
    assert!(!status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Another configuration beside a station's own, changed by `change`.
fn config_beside(station: &StationProcess, name: &str, change: impl Fn(String) -> String) -> std::path::PathBuf {
    let text = fs::read_to_string(station.config_path()).unwrap();
    let text = text
        .replace("edge.sock", &format!("{name}.sock"))
        .replace(&station.mqtt.to_string(), "127.0.0.1:0")
        .replace(&station.http.to_string(), "127.0.0.1:0");
    let path = station.folder().join(format!("{name}.toml"));
    fs::write(&path, change(text)).unwrap();
    path
}

async fn station(name: &str) -> StationProcess {
    StationProcess::start(name, &Setup::new()).await.unwrap()
}

#[tokio::test]
async fn a_configuration_with_a_typo_or_none_at_all_is_refused_with_line_key_and_the_nearest_name() {
    let station = station("bad-config").await;
    let typo = config_beside(&station, "typo", |text| text.replace("time_zone", "time_zon"));
    let said = refusal(&typo);
    for part in ["typo.toml:2:", "time_zon", "did you mean", "time_zone"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let several = config_beside(&station, "several", |text| {
        text.replace("[clock]", "[clock]\nrate = 60")
            .replace("site = \"", "site = \"not a site ")
    });
    let said = refusal(&several);
    assert!(
        said.contains("several.toml:1: site") && said.contains("clock.rate"),
        "all faults at once: {said}"
    );
    let missing = station.folder().join("nowhere.toml");
    assert!(refusal(&missing).contains("nowhere.toml"));
    assert_eq!(
        station.get("/readyz").await.unwrap().status,
        200,
        "the running station has not noticed"
    );
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_refuses_and_the_first_goes_on() {
    let station = station("twice").await;
    let second = config_beside(&station, "second", |text| text);
    let said = refusal(&second);
    assert!(said.contains("holdfast.redb") && said.contains("another"), "{said}");
    station.add_member("alice", "10.00").await.unwrap();
    assert_eq!(station.books_total().await.unwrap(), Fen::ZERO);
}

#[tokio::test]
async fn anothers_database_is_refused_and_left_to_it() {
    let mut station = station("anothers").await;
    station.add_member("alice", "10.00").await.unwrap();
    assert!(station.terminate().await.unwrap());
    let other = config_beside(&station, "other", |text| text.replace(SITE, "elsewhere"));
    let said = refusal(&other);
    assert!(said.contains(SITE) && said.contains("elsewhere"), "{said}");
    station.start_again().await.unwrap();
    let alice = station.get("/v1/members/alice").await.unwrap().success().unwrap();
    assert_eq!(alice["allowance"], "10.00");
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_can_be_made_again() {
    let mut station = StationProcess::new("first-start", &Setup::new()).unwrap();
    // What a power cut leaves in the middle of it: a part of a database, under a name of its own.
    fs::create_dir(station.database().parent().unwrap()).unwrap();
    for left in [&b""[..], b"redb\x1a\x0a\xa9\x0d\x0a", &[0; 100_000]] {
        fs::write(station.database().with_extension("redb.unfinished"), left).unwrap();
        station.start_again().await.unwrap();
        assert!(station.terminate().await.unwrap());
        let mut there: Vec<_> = fs::read_dir(station.database().parent().unwrap())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        there.sort();
        assert_eq!(there, ["holdfast.redb", "holdfast.redb.station", "reserve", "sync"]);
        fs::remove_file(station.database()).unwrap();
        // What says that a station was here, which an empty one is not made in place of.
        fs::remove_file(station.database().with_added_extension("station")).unwrap();
    }
}

#[tokio::test]
async fn whoever_is_not_the_pile_is_kept_out_and_the_pile_is_not_disturbed() {
    let station = station("strangers").await;
    let (one, two) = (
        station.add_pile("P1").await.unwrap(),
        station.add_pile("P2").await.unwrap(),
    );
    let mut pile = Hand::connect(station.mqtt, "P2", &two).await.unwrap();

    let refused = |answer: anyhow::Result<Hand>| answer.err().unwrap().downcast::<Refused>().unwrap().0;
    let wrong = Hand::open(station.mqtt, "P1", "P1", "not-the-secret").await;
    assert_eq!(refused(wrong), ConnectReturnCode::BadUserNamePassword);
    let stranger = Hand::open(station.mqtt, "P9", "P9", &one).await;
    assert_eq!(refused(stranger), ConnectReturnCode::BadUserNamePassword);
    // P1's secret is right, but P2's name is not P1's to take.
    let thief = refused(Hand::open(station.mqtt, "P2", "P1", &one).await);
    assert!(
        [ConnectReturnCode::NotAuthorized, ConnectReturnCode::BadClientId].contains(&thief),
        "{thief:?}"
    );

    let mut nosy = Hand::connect(station.mqtt, "P1", &one).await.unwrap();
    for filter in [
        "#",
        "$share/g/#",
        "hf/v1/pile/+/down/#",
        "hf/v1/pile/P2/down/#",
        "$SYS/#",
    ] {
        assert!(!nosy.subscribe(filter).await.unwrap(), "{filter} was granted");
    }
    let two = PileId::new("P2").unwrap();
    nosy.begin(&topics::up(&two, UpKind::Boot), b"{}".to_vec()).unwrap();
    nosy.wait_for_end().await.unwrap();
    let mut loud = Hand::connect(station.mqtt, "P1", &one).await.unwrap();
    loud.begin(&topics::up(loud.pile(), UpKind::Record), vec![b' '; 400 * 1024])
        .unwrap();
    loud.wait_for_end().await.unwrap();

    let msg_id = pile.say(UpKind::Boot, &boot("1.0")).await.unwrap();
    assert_eq!(
        pile.ack_of(&msg_id).await.unwrap()["result"],
        "ok",
        "P2 was here all the time"
    );
    let seen = station.get("/v1/piles/P2").await.unwrap().success().unwrap();
    assert_eq!((&seen["online"], &seen["recent_drops"]), (&json!(true), &json!(0)));
}

fn boot(register: &str) -> Value {
    json!({
        "vendor": "By hand", "model": "H1", "firmware": "1",
        "connectors": [{ "no": 1, "max_kw": "7.0", "meter_kwh": register }],
    })
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_malformed_kept_as_it_came_and_counted() {
    let station = station("garbage").await;
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = Hand::connect(station.mqtt, "P1", &secret).await.unwrap();
    let record = json!({
        "order_id": "nobodys", "connector": 1, "start_ts": null, "stop_ts": null, "start_mono_ms": 1, "stop_mono_ms": 2,
        "meter_start_kwh": "1.0", "meter_stop_kwh": "2.0", "reason": { "code": 7 },
    });
    let with = |pile: &mut Hand, from: &str, to: &str| {
        let text = pile.message(&record).to_string();
        assert!(text.contains(from), "{from} in {text}");
        text.replace(from, to)
    };
    let bad = [
        ("not JSON", "{\"boot_id\":".to_owned()),
        ("missing field", with(&mut pile, "\"connector\":1,", "")),
        ("noise behind a number", with(&mut pile, "\"2.0\"", "2.00000000001")),
        ("NaN", with(&mut pile, "\"2.0\"", "NaN")),
        ("NaN as a text", with(&mut pile, "\"2.0\"", "\"NaN\"")),
        ("negative register", with(&mut pile, "\"1.0\"", "\"-1.0\"")),
        ("infinite", with(&mut pile, "\"2.0\"", "1e999")),
    ];
    let topic = topics::up(pile.pile(), UpKind::Record);
    for (what, raw) in &bad {
        pile.publish(&topic, raw.clone().into_bytes()).await.unwrap();
        let ack = pile.hear(DownKind::Ack).await.unwrap();
        assert_eq!(ack["result"], "malformed", "{what}: {ack}");
        assert!(ack["detail"].as_str().unwrap().starts_with("record: "), "{what}: {ack}");
    }
    let mut kept = Vec::new();
    for item in station.all("/v1/quarantine").await.unwrap() {
        let item = station
            .get(&format!("/v1/quarantine/{}", item["item"]))
            .await
            .unwrap()
            .success()
            .unwrap();
        assert_eq!((&item["why"], &item["pile"]), (&json!("malformed"), &json!("P1")));
        kept.push(item["raw"].as_str().unwrap().to_owned());
    }
    kept.reverse();
    assert_eq!(kept, bad.map(|(_, raw)| raw), "each is kept once, as it came");

    // A heartbeat carries no money: it is counted.
    pile.publish(&topics::up(pile.pile(), UpKind::Heartbeat), b"garbage".to_vec())
        .await
        .unwrap();
    let metrics = station.get("/metrics").await.unwrap().success().unwrap();
    let metrics = metrics.as_str().unwrap();
    for line in [
        "holdfast_quarantine_open 7",
        "holdfast_ignored_total{reason=\"malformed_heartbeat\"} 1",
    ] {
        assert!(metrics.lines().any(|there| there == line), "{line}:\n{metrics}");
    }
    let msg_id = pile.say(UpKind::Boot, &boot("2.0")).await.unwrap();
    assert_eq!(
        pile.ack_of(&msg_id).await.unwrap()["result"],
        "ok",
        "the pile may go on"
    );
}

#[tokio::test]
async fn requests_that_make_no_sense_change_nothing_and_say_why() {
    let station = station("requests").await;
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = Hand::connect(station.mqtt, "P1", &secret).await.unwrap();
    let msg_id = pile.say(UpKind::Boot, &boot("1.0")).await.unwrap();
    pile.ack_of(&msg_id).await.unwrap();
    station.add_member("alice", "100.00").await.unwrap();

    let order = |changes: Value| {
        let mut body = json!({ "member": "alice", "pile": "P1", "connector": 1, "prepay": "20.00" });
        body.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        body
    };
    let topup = |amount: Value| json!({ "amount": amount, "receipt": "R-1" });
    let (orders, topups) = ("/v1/orders", "/v1/members/alice/topups");
    let cases = [
        (orders, order(json!({ "connector": 7 })), 404, "unknown-connector"),
        (orders, order(json!({ "pile": "P9" })), 404, "unknown-pile"),
        (orders, order(json!({ "member": "nobody" })), 404, "unknown-member"),
        (orders, order(json!({ "prepay": "20.005" })), 422, "invalid-body"),
        (orders, order(json!({ "prepay": "-20.00" })), 422, "invalid-body"),
        (orders, order(json!({ "connector": 0 })), 422, "invalid-body"),
        (orders, order(json!({ "perpay": "20.00" })), 422, "invalid-body"),
        (topups, topup(json!("1.005")), 422, "invalid-body"),
        (topups, topup(json!(1.005)), 422, "invalid-body"),
        (topups, topup(json!("-5.00")), 422, "invalid-body"),
        (topups, topup(json!("0.00")), 422, "invalid-body"),
        (topups, topup(json!("1e3")), 422, "invalid-body"),
        ("/v1/orders/no-such-order/stop", json!({}), 404, "unknown-order"),
        (
            "/v1/orders/no-such-order/refunds",
            json!({ "amount": "1.00", "reason": "x" }),
            404,
            "unknown-order",
        ),
    ];
    for (path, body, status, kind) in cases {
        let answer = station.post(path, &body).await.unwrap();
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        assert_eq!(
            answer.body["type"],
            format!("urn:holdfast:problem:{kind}"),
            "{path} {body}"
        );
        assert!(!answer.body["detail"].as_str().unwrap().is_empty());
    }
    let unknown = station.get("/v1/orders/no-such-order").await.unwrap();
    assert_eq!(unknown.status, 404);
    assert!(station.all("/v1/orders").await.unwrap().is_empty());

    let once = |amount: &str| topup(json!(amount));
    let first = station
        .ask(Method::POST, topups, Some(&once("5.00")), Some("key-1"))
        .await
        .unwrap();
    let again = station
        .ask(Method::POST, topups, Some(&once("5.00")), Some("key-1"))
        .await
        .unwrap();
    let other = station
        .ask(Method::POST, topups, Some(&once("6.00")), Some("key-1"))
        .await
        .unwrap();
    assert_eq!(first, again);
    assert_eq!(
        other.body["type"], "urn:holdfast:problem:idempotency-key-reused",
        "{other:?}"
    );
    let without = station
        .ask(Method::POST, topups, Some(&once("5.00")), None)
        .await
        .unwrap();
    assert!((400..500).contains(&without.status), "{without:?}");
    let alice = station.get("/v1/members/alice").await.unwrap().success().unwrap();
    assert_eq!(alice["allowance"], "105.00", "5.00 once, and nothing else");
}

#[tokio::test]
async fn of_many_starts_at_one_connector_at_once_one_is_placed() {
    const DRIVERS: usize = 8;
    let station = station("race").await;
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = Hand::connect(station.mqtt, "P1", &secret).await.unwrap();
    let msg_id = pile.say(UpKind::Boot, &boot("1.0")).await.unwrap();
    pile.ack_of(&msg_id).await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..DRIVERS {
        let member = format!("m{n}");
        station.add_member(&member, "50.00").await.unwrap();
        let api = station.api();
        asking.spawn(async move {
            let body = json!({ "member": member, "pile": "P1", "connector": 1, "prepay": "20.00" });
            api.ask(Method::POST, "/v1/orders", Some(&body), Some(&format!("race-{n}")))
                .await
                .unwrap()
        });
    }
    let answers = asking.join_all().await;
    let (placed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((placed.len(), refused.len()), (1, DRIVERS - 1));
    for answer in refused {
        assert_eq!(answer.body["type"], "urn:holdfast:problem:connector-busy", "{answer:?}");
    }
    assert_eq!(station.all("/v1/orders").await.unwrap().len(), 1);
    let sheet = station.get("/v1/balance-sheet").await.unwrap().success().unwrap();
    assert_eq!(
        (&sheet["held"], &sheet["allowances"]),
        (&json!("20.00"), &json!("380.00"))
    );
}

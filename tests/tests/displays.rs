//! Displays on a real daemon, played by `mosquitto_sub` and `mosquitto_pub`: what they see, what they may not do, and that
//! `docs/displays.md` says so.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    order::State,
    topics::{DownKind, UpKind},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};
use world::{
    display::{self, Display},
    hand::Hand,
    history::{self, REGISTER, report},
    station::{SITE, StationProcess, repository},
};

const PATIENCE: Duration = Duration::from_secs(300);
const BOARD: &str = "price-board";
const STATE: &str = "pile/P1/state";

fn document() -> String {
    std::fs::read_to_string(repository().join("docs/displays.md")).unwrap()
}

/// The fenced blocks of a language in the worked example.
fn blocks(language: &str) -> Vec<String> {
    let document = document();
    let (_, example) = document.split_once("\n## A worked example\n").unwrap();
    let fence = format!("```{language}\n");
    let blocks = example.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// The fields that the document lists under a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let document = document();
    let (_, section) = document.split_once(&format!("\n### {heading}\n")).unwrap();
    let rows = section.split("\n#").next().unwrap().lines();
    let names = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    names.map(str::to_owned).collect()
}

/// The fields of a frame and of the objects in its lists.
fn fields(frame: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, value) in frame.as_object().unwrap() {
        names.insert(name.clone());
        for item in value.as_array().into_iter().flatten() {
            names.extend(fields(item));
        }
    }
    names
}

/// A member places an order at P1, and it charges.
async fn charging(station: &StationProcess, pile: &mut Hand, member: &str, register: &str) -> String {
    report(pile, "plugged", None, register).await.unwrap();
    let order = station.place(member, "P1", "50.00").await.unwrap();
    let start = pile.hear(DownKind::Command).await.unwrap();
    let reply = json!({ "command_id": start["command_id"], "ok": true, "code": 0 });
    pile.say(UpKind::Reply, &reply).await.unwrap();
    report(pile, "charging", Some(&order), register).await.unwrap();
    station.wait_for_order(&order, State::Charging, PATIENCE).await.unwrap();
    order
}

/// A station with the pile P1, and a display that is let in.
async fn station(name: &str) -> (StationProcess, Hand, String) {
    let station = StationProcess::start(name, &history::setup()).await.unwrap();
    let secret = station.add_pile("P1").await.unwrap();
    let pile = history::boot(&station, "P1", &secret).await.unwrap();
    let secret = display::add(&station, BOARD).await.unwrap();
    (station, pile, secret)
}

#[tokio::test]
async fn the_worked_example_shows_a_session_from_its_order_to_its_bill() {
    let station = StationProcess::start("displays", &history::setup()).await.unwrap();
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &secret).await.unwrap();
    station.add_member("alice-7", "100.00").await.unwrap();

    let at_the_station = blocks("sh").join("\n");
    let words = at_the_station.split('#').next().unwrap().split_whitespace();
    let words: Vec<&str> = words.collect();
    assert_eq!(words[..2], ["sudo", "holdfast-edge"], "{at_the_station}");
    let said = station.cli(&words[2..]).unwrap();
    let field = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(field("user_name"), format!("display:{BOARD}"));
    assert!(station.thread("router-0").is_err(), "nobody has subscribed");
    let mut bash = Command::new("bash");
    bash.args(["-euc", &blocks("bash").join("\n")])
        .env("HOST", station.mqtt.ip().to_string())
        .env("PORT", station.mqtt.port().to_string())
        .env("SITE", SITE)
        .env("SECRET", field("secret"));
    let mut board = Display::started(bash).unwrap();
    // What stood before anybody looked comes with the subscription.
    let state = board.hear_where(STATE, |state| state["online"] == true).await.unwrap();
    assert_eq!(state["connectors"][0]["order_id"], Value::Null, "{state}");
    // It starts beside that.
    let begun = Instant::now();
    while station.thread("router-0").is_err() {
        assert!(begun.elapsed() < PATIENCE, "{}", station.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let order = charging(&station, &mut pile, "alice-7", REGISTER).await;
    let live = format!("live/{order}");
    report(&mut pile, "charging", Some(&order), "1000.5000").await.unwrap();
    let frame = board
        .hear_where(&live, |frame| frame["energy_kwh"] == "0.5000")
        .await
        .unwrap();
    assert_eq!(frame["state"], "CHARGING", "{frame}");
    assert_eq!(fields(&frame), documented("`live/{order}`"));
    let state = board
        .hear_where(STATE, |state| state["connectors"][0]["meter_kwh"] == "1000.5000")
        .await
        .unwrap();
    let connector = &state["connectors"][0];
    assert_eq!(
        (&connector["order_id"], &connector["order_state"]),
        (&json!(order), &json!("CHARGING"))
    );
    assert_eq!(
        (&connector["status"], &connector["power_kw"]),
        (&json!("charging"), &json!(40.05))
    );
    assert_eq!(fields(&state), documented("`pile/{pile}/state`"));

    history::record(&mut pile, &order, REGISTER, "1003.0000").await.unwrap();
    let paid = station.wait_for_order(&order, State::Payed, PATIENCE).await.unwrap();
    let last = board
        .hear_where(&live, |frame| frame["state"] == "PAYED")
        .await
        .unwrap();
    assert_eq!(
        (&last["fee"], &last["energy_kwh"]),
        (&paid["bill"]["fee"], &json!("3.0000"))
    );
    let after = loop {
        let heard = board.hear().await.unwrap();
        if heard.topic == live {
            break heard.frame;
        }
    };
    assert_eq!(after, None, "its topic is empty");
    let all = serde_json::to_string(&board.heard.iter().map(|heard| &heard.frame).collect::<Vec<_>>()).unwrap();
    assert!(!all.contains("alice"), "nobody is named: {all}");
}

#[tokio::test]
async fn the_present_state_comes_with_each_subscription_also_after_a_restart() {
    let (mut station, mut pile, secret) = station("displays-present").await;
    station.add_member("m1", "100.00").await.unwrap();
    station.add_member("m2", "100.00").await.unwrap();
    let mut first = Display::subscribed(&station, BOARD, &secret, "1").unwrap();
    let ended = charging(&station, &mut pile, "m1", REGISTER).await;
    history::record(&mut pile, &ended, REGISTER, "1003.0000").await.unwrap();
    let open = charging(&station, &mut pile, "m2", "1003.0000").await;
    let (ended, open) = (format!("live/{ended}"), format!("live/{open}"));
    // Once the first has seen this, it is retained.
    first
        .hear_where(&open, |frame| frame["state"] == "CHARGING")
        .await
        .unwrap();
    let is_charging = |state: &Value| state["connectors"][0]["order_state"] == "CHARGING";
    first.hear_where(STATE, is_charging).await.unwrap();

    // Retained frames come in the order of their topics, and orders stand before piles.
    let mut second = Display::subscribed(&station, BOARD, &secret, "2").unwrap();
    second.hear_where(STATE, is_charging).await.unwrap();
    let topics: Vec<&str> = second.heard.iter().map(|heard| heard.topic.as_str()).collect();
    assert_eq!(topics, [&open, STATE], "what has ended is no more: {ended}");
    drop((first, second));

    assert!(station.terminate().await.unwrap());
    station.start_again().await.unwrap();
    let mut third = Display::subscribed(&station, BOARD, &secret, "3").unwrap();
    let frame = third.hear_where(&open, |_| true).await.unwrap();
    assert_eq!(
        (&frame["state"], &frame["pile_online"]),
        (&json!("CHARGING"), &json!(false))
    );
    let state = third.hear_where(STATE, |_| true).await.unwrap();
    assert_eq!(state["online"], false, "{state}");
    assert!(is_charging(&state), "{state}");
    assert!(
        third.heard.iter().all(|heard| heard.topic != ended),
        "{:?}",
        third.heard
    );

    // A pile that is let in and removed again comes and goes.
    station.add_pile("P2").await.unwrap();
    third.hear_where("pile/P2/state", |_| true).await.unwrap();
    station.cli(&["pile", "remove", "P2"]).unwrap();
    while third.hear().await.unwrap()
        != (display::Heard {
            topic: "pile/P2/state".to_owned(),
            frame: None,
        })
    {}
}

#[tokio::test]
async fn a_display_reads_its_own_topics_and_does_nothing_else() {
    let (station, _pile, secret) = station("displays-refused").await;
    let run = async |name: &str, secret: &str, more: &[&str]| {
        let mut command = display::program(name, &station, (BOARD, secret), more).unwrap();
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let own = format!("hf/v1/site/{SITE}/pile/+/state");
    // -E: ends once the SUBACK is there.
    let (granted, said) = run("mosquitto_sub", &secret, &["-E", "-t", &own]).await;
    assert!(granted, "{said}");
    for foreign in [
        "#",
        "hf/v1/pile/P1/down/#",
        "hf/v1/pile/P1/up/#",
        "hf/v1/site/+/live/#",
        &format!("$share/g/{own}"),
    ] {
        let (_, said) = run("mosquitto_sub", &secret, &["-E", "-t", foreign]).await;
        assert!(
            said.contains("All subscription requests were denied"),
            "{foreign}: {said}"
        );
    }
    for topic in [
        format!("hf/v1/site/{SITE}/pile/P1/state"),
        "hf/v1/pile/P1/up/event".to_owned(),
    ] {
        let (taken, said) = run("mosquitto_pub", &secret, &["-q", "1", "-t", &topic, "-m", "{}"]).await;
        assert!(
            !taken && !said.contains("refused"),
            "it was let in, and ended: {topic}: {said}"
        );
    }
    let will = [
        "-E",
        "-t",
        &own,
        "--will-topic",
        "hf/v1/pile/P1/up/event",
        "--will-payload",
        "{}",
    ];
    let (taken, said) = run("mosquitto_sub", &secret, &will).await;
    assert!(!taken && said.contains("not authorised"), "{said}");
    let (taken, said) = run("mosquitto_sub", &secret, &["-E", "-t", &own, "-i", "P1"]).await;
    assert!(!taken && said.contains("identifier rejected"), "{said}");
    let (taken, said) = run("mosquitto_sub", "not-its-secret", &["-E", "-t", &own]).await;
    assert!(!taken && said.contains("bad user name or password"), "{said}");
    assert!(station.all("/v1/quarantine").await.unwrap().is_empty());

    // And a pile reads nothing of what displays read.
    let secret = station.add_pile("P9").await.unwrap();
    let mut pile = Hand::connect(station.mqtt, "P9", &secret).await.unwrap();
    assert!(!pile.subscribe(&own).await.unwrap());
}

#[tokio::test]
async fn a_display_that_is_removed_is_cut_off_and_charging_goes_on() {
    let (station, mut pile, secret) = station("displays-removed").await;
    station.add_member("m1", "100.00").await.unwrap();
    let order = charging(&station, &mut pile, "m1", REGISTER).await;
    let mut board = Display::subscribed(&station, BOARD, &secret, "1").unwrap();
    board.hear_where(STATE, |_| true).await.unwrap();
    let listed = station.cli(&["display", "list"]).unwrap();
    assert!(listed.contains(&format!("display:{BOARD}")), "{listed}");

    station.cli(&["display", "remove", BOARD]).unwrap();
    // Its connection ends, and as it comes back at once it is told that it is unknown.
    assert!(!board.ended().await.unwrap().success());
    assert_eq!(station.cli(&["display", "list"]).unwrap().trim(), "none");
    let again = station.cli(&["display", "remove", BOARD]).unwrap_err().to_string();
    assert!(again.contains("not known"), "{again}");

    // One of the same name is another, and the secret of before is nobody's.
    let another = display::add(&station, BOARD).await.unwrap();
    let twice = display::add(&station, BOARD).await.unwrap_err().to_string();
    assert!(twice.contains("display_exists") || twice.contains("already"), "{twice}");
    let mut old = Display::subscribed(&station, BOARD, &secret, "1").unwrap();
    assert!(!old.ended().await.unwrap().success());
    let mut new = Display::subscribed(&station, BOARD, &another, "1").unwrap();
    new.hear_where(STATE, |_| true).await.unwrap();

    history::record(&mut pile, &order, REGISTER, "1003.0000").await.unwrap();
    station.wait_for_order(&order, State::Payed, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_display_whose_secret_is_rotated_is_cut_off_and_comes_back_with_the_new_one() {
    let (station, _pile, secret) = station("displays-rotated").await;
    let mut board = Display::subscribed(&station, BOARD, &secret, "1").unwrap();
    board.hear_where(STATE, |_| true).await.unwrap();

    let rotated = station.cli(&["--json", "display", "rotate", BOARD]).unwrap();
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    assert_eq!(rotated["user_name"], format!("display:{BOARD}"));
    let newer = rotated["secret"].as_str().unwrap();
    assert_ne!(newer, secret);
    assert!(
        !board.ended().await.unwrap().success(),
        "it comes back at once with the old one"
    );
    let mut old = Display::subscribed(&station, BOARD, &secret, "1").unwrap();
    assert!(!old.ended().await.unwrap().success());
    let mut new = Display::subscribed(&station, BOARD, newer, "1").unwrap();
    new.hear_where(STATE, |_| true).await.unwrap();

    let nobody = station.cli(&["display", "rotate", "nobody"]).unwrap_err().to_string();
    assert!(nobody.contains("not known"), "{nobody}");
    assert_eq!(
        station.cli(&["display", "list"]).unwrap().matches("display:").count(),
        1
    );
}

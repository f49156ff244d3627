//! A station that is restored from a copy and has a head office: it gets back what head office has beyond the copy, to the
//! byte, and books nothing before. Rules 1, 2, 5 and 11 of the line between two books.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    fact::{Fact, StopCause},
    head_office::Directive,
    ids::MemberId,
    journal::{Hash, Head},
    order::State,
    topics::{self, DownKind, UpKind},
    units::Fen,
};
use hyper::Method;
use protocol::{
    frame::{self, Nonce},
    key::SigningKey,
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use world::{
    hand::Hand,
    history,
    line::Line,
    station::{Answer, SITE, Setup, StationProcess},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn head_office() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

#[track_caller]
fn refused(answer: anyhow::Result<Answer>, status: u16, code: &str) {
    let answer = answer.unwrap();
    let kind = format!("urn:holdfast:problem:{code}");
    assert_eq!(
        (answer.status, &answer.body["type"]),
        (status, &json!(kind)),
        "{answer:?}"
    );
}

/// A station with a copy of itself, lost hours after it, and a head office that has them.
struct World {
    station: StationProcess,
    line: Line,
    copy: PathBuf,
    /// Where the copy ends.
    end: u64,
    /// Charges since before the copy, at P1.
    charging: String,
    /// Was placed and settled in the lost hours, at P2.
    settled: String,
    secrets: [String; 2],
}

impl World {
    async fn new(name: &str) -> Self {
        Self::with(name, json!({})).await
    }

    /// The order that charges has these limits of its own.
    async fn with(name: &str, until: Value) -> Self {
        let setup = Setup {
            head_office: Line::in_configuration(&head_office()),
            ..history::setup()
        };
        let station = StationProcess::start(name, &setup).await.unwrap();
        let mut line = Line::of(&station, SITE, head_office());
        station.add_member("anna", "100.00").await.unwrap();
        station.add_member("ben", "100.00").await.unwrap();
        let secrets = [
            station.add_pile("P1").await.unwrap(),
            station.add_pile("P2").await.unwrap(),
        ];
        let mut first = history::boot(&station, "P1", &secrets[0]).await.unwrap();
        let charging = begin(&station, &mut first, "anna", "P1", until).await;
        let copy = station.folder().join("data/copy.redb");
        station.cli(&["backup", copy.to_str().unwrap()]).unwrap();
        let end = station.get("/v1/station").await.unwrap().success().unwrap()["journal"]["seq"].clone();

        let mut second = history::boot(&station, "P2", &secrets[1]).await.unwrap();
        let settled = begin(&station, &mut second, "ben", "P2", json!({})).await;
        history::record(&mut second, &settled, history::REGISTER, "1004.0000")
            .await
            .unwrap();
        station.wait_for_order(&settled, State::Payed, PATIENCE).await.unwrap();
        let top_up = json!({ "amount": "7.00", "receipt": "in-the-lost-hours" });
        station
            .post("/v1/members/anna/topups", &top_up)
            .await
            .unwrap()
            .success()
            .unwrap();
        line.pull().await.unwrap();
        Self {
            station,
            line,
            copy,
            end: end.as_u64().unwrap(),
            charging,
            settled,
            secrets,
        }
    }

    /// The disk is lost, and the copy takes its place.
    async fn restore(&mut self) {
        self.station.kill().unwrap();
        let config = self.station.config_path();
        let words = [
            "restore",
            "--move-aside",
            self.copy.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
        ];
        let said = self.station.offline(&words).unwrap();
        assert!(said.contains("gets back what head office has"), "{said}");
        self.station.start_again().await.unwrap();
    }

    async fn seen(&self) -> Value {
        self.station.get("/v1/station").await.unwrap().success().unwrap()
    }

    async fn head(&self) -> u64 {
        self.seen().await["journal"]["seq"].as_u64().unwrap()
    }

    async fn is_recovering(&self) -> bool {
        !self.seen().await["recovering"].is_null()
    }

    /// A fresh acknowledgement of this place; returns whether the station goes on recovering.
    async fn acknowledge(&self, place: Head) -> bool {
        let (_, nonce) = self.line.hello().await.unwrap();
        let ack = self.line.ack(frame::State::Following, place, nonce);
        let answer = self.line.put("ack", ack).await.unwrap().success().unwrap();
        answer["recovering"].as_bool().unwrap()
    }

    /// The journal after `after`: what each entry says.
    async fn facts(&self, after: u64) -> Vec<Fact> {
        let journal = self.station.journal().await.unwrap();
        let after = journal.into_iter().filter(|entry| entry.stamp.seq > after);
        after.map(|entry| entry.fact).collect()
    }
}

/// An order that charges.
async fn begin(station: &StationProcess, pile: &mut Hand, member: &str, id: &str, until: Value) -> String {
    history::report(pile, "plugged", None, history::REGISTER).await.unwrap();
    let body = json!({ "member": member, "pile": id, "connector": 1, "prepay": "50.00", "until": until });
    let placed = station.post("/v1/orders", &body).await.unwrap().expect(201).unwrap();
    let order = placed["id"].as_str().unwrap().to_owned();
    let start = pile.hear(DownKind::Command).await.unwrap();
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    pile.say(UpKind::Reply, &reply).await.unwrap();
    history::report(pile, "charging", Some(&order), history::REGISTER)
        .await
        .unwrap();
    station.wait_for_order(&order, State::Charging, PATIENCE).await.unwrap();
    order
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_station_gets_back_what_head_office_has_and_books_nothing_before() {
    let mut world = World::new("recovering").await;
    let (end, last) = (world.end, world.line.head().seq);
    assert!(last > end + 10, "{end} {last}");
    world.restore().await;
    let seen = world.seen().await;
    assert_eq!(seen["recovering"]["copy_end"]["seq"], end, "{seen}");
    assert!(seen["recovering"]["head_office_has"].is_null(), "{seen}");
    let status = world.station.cli(&["status"]).unwrap();
    assert!(status.starts_with("! recovering since"), "{status}");

    // Nothing is booked: not by people, and not by piles, who keep what they have to say.
    let order = json!({ "member": "anna", "pile": "P2", "connector": 1, "prepay": "5.00" });
    refused(world.station.post("/v1/orders", &order).await, 503, "recovering");
    let name = json!({ "name": "new" });
    let put = world
        .station
        .ask(Method::PUT, "/v1/members/new", Some(&name), None)
        .await;
    refused(put, 503, "recovering");
    let unknown = format!("/v1/orders/{}/stop", world.settled);
    refused(world.station.post(&unknown, &json!({})).await, 503, "recovering");
    let mut pile = Hand::connect(world.station.mqtt, "P2", &world.secrets[1])
        .await
        .unwrap();
    let late = json!({ "connector": 1, "kind": "plugged", "code": 0, "text": "" });
    let late = serde_json::to_vec(&pile.message(&late)).unwrap();
    let topic = topics::up(pile.pile(), UpKind::Event);
    let event = pile.begin(&topic, late).unwrap();

    let fresh = world.acknowledge(world.line.head()).await;
    assert!(fresh, "there is more to come");
    assert_eq!(world.seen().await["recovering"]["head_office_has"]["seq"], last);

    // In two parts, and the power goes between them.
    let middle = step_end(&world.line, end, last);
    let tail = world.line.tail(end, middle);
    let head = world.line.put("tail", tail.clone()).await.unwrap().success().unwrap();
    assert_eq!(head["seq"], middle);
    world.station.kill().unwrap();
    drop(pile);
    world.station.start_again().await.unwrap();
    assert_eq!((world.head().await, world.is_recovering().await), (middle, true));
    refused(world.line.put("tail", tail).await, 409, "tail-does-not-follow");
    assert!(world.acknowledge(world.line.head()).await);
    world
        .line
        .put("tail", world.line.tail(middle, last))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!((world.head().await, world.is_recovering().await), (last, true));

    let mut pile = Hand::connect(world.station.mqtt, "P2", &world.secrets[1])
        .await
        .unwrap();
    let again = json!({ "connector": 1, "kind": "plugged", "code": 0, "text": "" });
    let again = serde_json::to_vec(&pile.message(&again)).unwrap();
    let event_again = pile.begin(&topic, again).unwrap();
    assert_eq!((event, event_again), (1, 1));
    assert!(
        turn_for(&mut pile, Duration::from_millis(300)).await.is_empty(),
        "unacknowledged"
    );

    assert!(!world.acknowledge(world.line.head()).await);
    assert!(!world.is_recovering().await);
    // The same bytes as before, then another run.
    let before = world.line.head();
    world.line.pull().await.unwrap();
    assert!(matches!(
        &world.facts(before.seq).await[0],
        Fact::Restored { alone: None, .. }
    ));
    world
        .station
        .cli(&["journal", "verify", "--head", &before.to_string()])
        .unwrap();
    let settled = world
        .station
        .get(&format!("/v1/orders/{}", world.settled))
        .await
        .unwrap();
    assert_eq!(settled.success().unwrap()["state"], "PAYED");
    let anna = world.station.get("/v1/members/anna").await.unwrap().success().unwrap();
    assert_eq!(anna["allowance"], "57.00", "{anna}");
    assert_eq!(world.station.books_total().await.unwrap(), Fen::ZERO);
    // What the pile kept is taken now, and it is told so.
    assert_eq!(wait_for_puback(&mut pile).await, [event_again]);
    assert!(
        world
            .facts(before.seq)
            .await
            .iter()
            .any(|fact| matches!(fact, Fact::PileEvent { .. }))
    );
    history::report(&mut pile, "plugged", None, "1004.0000").await.unwrap();
    world.station.place("ben", "P2", "5.00").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_a_directive_and_a_voucher_wait_until_the_station_has_its_journal_back() {
    let mut world = World::new("recovering-money").await;
    let end = world.end;
    // It has met its head office, in the hours that are lost.
    assert!(!world.acknowledge(world.line.head()).await);
    world.line.pull().await.unwrap();
    let last = world.line.head().seq;
    let taken = async |world: &World| world.line.hello().await.unwrap().0["directives"].clone();
    world.restore().await;
    let before = taken(&world).await;

    let w = MemberId::new("w").unwrap();
    let directive = world.line.directive(
        1,
        &Directive::Lease {
            member: w.clone(),
            name: "Wang".to_owned(),
            amount: Fen(2_000),
            voucher: None,
        },
    );
    let epoch = world.seen().await["epoch"].as_str().unwrap().to_owned();
    let voucher = |id: &str, epoch: &str| world.line.voucher(id, &w, Fen(1_000), epoch);
    let shown = json!({ "voucher": voucher("v1", &epoch) });
    for _ in 0..2 {
        refused(world.line.put("directive", directive.clone()).await, 503, "recovering");
        refused(world.station.post("/v1/vouchers", &shown).await, 503, "recovering");
    }
    assert_eq!(
        (taken(&world).await, world.head().await),
        (before, end),
        "nothing of it is journaled"
    );

    assert!(world.acknowledge(world.line.head()).await);
    let tail = world.line.tail(end, last);
    world.line.put("tail", tail).await.unwrap().success().unwrap();
    refused(world.line.put("directive", directive.clone()).await, 503, "recovering");
    assert!(!world.acknowledge(world.line.head()).await);
    let number = world.line.put("directive", directive).await.unwrap().success().unwrap();
    assert_eq!(number["orders"], 1, "{number}");
    // The voucher of before the restore is closed by it, and one of this run of the journal counts.
    refused(
        world.station.post("/v1/vouchers", &shown).await,
        409,
        "voucher-before-restore",
    );
    let epoch = world.seen().await["epoch"].as_str().unwrap().to_owned();
    let shown = json!({ "voucher": voucher("v2", &epoch) });
    world
        .station
        .post("/v1/vouchers", &shown)
        .await
        .unwrap()
        .success()
        .unwrap();
    let member = world.station.get("/v1/members/w").await.unwrap().success().unwrap();
    assert_eq!(member["allowance"], "30.00", "{member}");
}

/// The end of a step of the station about half way between two entries.
fn step_end(line: &Line, after: u64, last: u64) -> u64 {
    let stamp = |seq: u64| {
        domain::journal::Stamp::of_entry(&line.bytes(seq - 1, seq)[0])
            .unwrap()
            .now()
    };
    let middle = after + (last - after) / 2;
    (middle..last).find(|seq| stamp(*seq) != stamp(seq + 1)).unwrap()
}

/// What is acknowledged meanwhile.
async fn turn_for(pile: &mut Hand, time: Duration) -> Vec<u64> {
    let deadline = Instant::now() + time;
    while pile.turn(deadline).await.is_ok() {}
    pile.acknowledged()
}

async fn wait_for_puback(pile: &mut Hand) -> Vec<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let acknowledged = pile.acknowledged();
        if !acknowledged.is_empty() {
            return acknowledged;
        }
        pile.turn(deadline).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_of_a_tail_only_the_whole_of_what_head_office_signed_and_follows_is_taken() {
    let mut world = World::new("tail-refused").await;
    let (end, last) = (world.end, world.line.head().seq);
    world.restore().await;
    let good = world.line.tail(end, last);
    let line = &world.line;
    let put = async |frame: Vec<u8>| line.put("tail", frame).await;
    refused(
        put(line.tail_by(&SigningKey::from_seed([3; 32]), end, last)).await,
        422,
        "frame-not-signed",
    );
    for at in [5, 12, 30, good.len() / 2, good.len() - 1] {
        let mut forged = good.clone();
        forged[at] ^= 1;
        refused(put(forged).await, 422, "frame-not-signed");
    }
    refused(put(good[..good.len() - 70].to_vec()).await, 422, "frame-not-signed");
    refused(put(good[4..].to_vec()).await, 422, "frame-malformed");
    // Signed by head office, and not what follows here.
    refused(put(line.tail(end + 1, last)).await, 409, "tail-does-not-follow");
    refused(put(line.tail(end - 1, last)).await, 409, "tail-does-not-follow");
    let elsewhere = Head {
        seq: end,
        hash: Hash([7; 32]),
    };
    let bytes = line.bytes(end, last);
    refused(
        put(line.tail_of(&head_office(), elsewhere, &bytes)).await,
        409,
        "tail-does-not-follow",
    );
    let place = line.place(end);
    let skipped = [&bytes[..1], &bytes[2..]].concat();
    refused(
        put(line.tail_of(&head_office(), place, &skipped)).await,
        409,
        "tail-contradicts",
    );
    let other = |change: fn(String) -> String| {
        let mut bytes = bytes.clone();
        bytes[0] = change(String::from_utf8(bytes[0].clone()).unwrap()).into_bytes();
        line.tail_of(&head_office(), place, &bytes)
    };
    let of_other_site = other(|text| text.replace(SITE, "another"));
    refused(put(of_other_site).await, 409, "tail-contradicts");
    let newer = other(|text| {
        let (before, _) = text.split_once("\"fact\":").unwrap();
        format!("{before}\"fact\":{{\"NotKnownHere\":{{}}}}}}")
    });
    refused(put(newer).await, 409, "tail-ahead");
    let wrong = other(|text| {
        let (before, _) = text.split_once("\"fact\":").unwrap();
        format!("{before}\"fact\":{{\"HoldTaken\":{{\"order\":\"nobodys\",\"amount\":\"1.00\"}}}}}}")
    });
    refused(put(wrong).await, 409, "tail-contradicts");
    assert_eq!(
        (world.head().await, world.is_recovering().await),
        (end, true),
        "nothing of all that"
    );
    world.line.put("tail", good.clone()).await.unwrap().success().unwrap();
    assert_eq!(world.head().await, last);
    refused(world.line.put("tail", good).await, 409, "tail-does-not-follow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_11_a_copy_from_before_another_key_gets_its_tail_once_that_key_is_in_its_configuration() {
    let mut world = World::new("tail-by-another-key").await;
    let (end, last) = (world.end, world.line.head().seq);
    world.restore().await;
    let other = SigningKey::from_seed([3; 32]);
    let tail = world.line.tail_by(&other, end, last);
    refused(world.line.put("tail", tail.clone()).await, 422, "frame-not-signed");
    assert_eq!((world.head().await, world.is_recovering().await), (end, true));
    world.station.kill().unwrap();
    let both = [head_office().public(), other.public()].map(|key| format!("\"{key}\""));
    world.station.setup_mut().head_office = format!("public_key = [{}]", both.join(", "));
    world.station.start_again().await.unwrap();
    world.line.put("tail", tail).await.unwrap().success().unwrap();
    assert_eq!(world.head().await, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_2_only_a_fresh_acknowledgement_ends_a_recovery() {
    let mut world = World::new("fresh-ack").await;
    let end = world.end;
    let old = world
        .line
        .ack(frame::State::Following, world.line.place(end), Nonce::NONE);
    let (_, earlier) = world.line.hello().await.unwrap();
    let earlier = world.line.ack(frame::State::Following, world.line.place(end), earlier);
    world.restore().await;
    // Acknowledgements of before the restore, of which the line has kept copies.
    let answer = world.line.put("ack", old.clone()).await.unwrap().success().unwrap();
    assert_eq!(answer["recovering"], true, "{answer}");
    refused(world.line.put("ack", earlier).await, 409, "answer-stale");
    let (_, nonce) = world.line.hello().await.unwrap();
    let overtaken = world.line.ack(frame::State::Following, world.line.place(end), nonce);
    let (_, nonce) = world.line.hello().await.unwrap();
    refused(world.line.put("ack", overtaken).await, 409, "answer-stale");
    // It says that the journals differ, or names another entry.
    let forked = world.line.ack(frame::State::Forked, world.line.place(end), nonce);
    let answer = world.line.put("ack", forked).await.unwrap().success().unwrap();
    assert_eq!(answer["recovering"], true, "{answer}");
    let other = Head {
        seq: end,
        hash: Hash([7; 32]),
    };
    let other = world.line.ack(frame::State::Following, other, nonce);
    refused(world.line.put("ack", other).await, 409, "journal-fork");
    assert!(world.is_recovering().await);
    // Head office never got more than the copy has.
    assert!(!world.acknowledge(world.line.place(end)).await);
    assert!(matches!(&world.facts(end).await[0], Fact::Restored { alone: None, .. }));
    world.line.put("ack", old).await.unwrap().success().unwrap();
    assert!(!world.is_recovering().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_a_stop_while_recovering_goes_to_the_pile_and_is_journaled_after_it() {
    let mut world = World::new("stop-recovering").await;
    let (end, last) = (world.end, world.line.head().seq);
    world.restore().await;
    let mut pile = Hand::connect(world.station.mqtt, "P1", &world.secrets[0])
        .await
        .unwrap();
    let charging = world.charging.clone();
    history::report(&mut pile, "charging", Some(&charging), "1000.0010")
        .await
        .unwrap();
    let path = format!("/v1/orders/{charging}/stop");
    let stopped = world.station.post(&path, &json!({})).await.unwrap();
    assert!(stopped.status < 300, "{stopped:?}");
    let stop = pile
        .hear_where(DownKind::Command, |command| command["kind"] == "stop")
        .await
        .unwrap();
    assert_eq!(stop["order_id"], charging);
    assert_eq!(world.head().await, end, "nothing is journaled");
    assert_eq!(world.seen().await["recovering"]["stops"], 1);

    // The power goes; the stop is remembered, and asked for again.
    world.station.kill().unwrap();
    drop(pile);
    world.station.start_again().await.unwrap();
    let mut pile = Hand::connect(world.station.mqtt, "P1", &world.secrets[0])
        .await
        .unwrap();
    history::report(&mut pile, "charging", Some(&charging), "1000.0020")
        .await
        .unwrap();
    let again = pile
        .hear_where(DownKind::Command, |command| command["kind"] == "stop")
        .await
        .unwrap();
    assert_ne!(again["command_id"], stop["command_id"], "a pile acts on an id once");

    world
        .line
        .put("tail", world.line.tail(end, last))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert!(!world.acknowledge(world.line.head()).await);
    let facts = world.facts(last).await;
    let asked = facts.iter().find_map(|fact| match fact {
        Fact::StopRequested { order, cause, .. } => Some((order.to_string(), cause.clone())),
        _ => None,
    });
    let (order, cause) = asked.unwrap();
    assert!(
        order == charging && matches!(cause, StopCause::Asked { .. }),
        "{order} {cause:?}"
    );
    drop(pile);
    let mut pile = history::boot(&world.station, "P1", &world.secrets[0]).await.unwrap();
    history::report(&mut pile, "finished", Some(&charging), "1001.2000")
        .await
        .unwrap();
    history::record(&mut pile, &charging, history::REGISTER, "1001.2000")
        .await
        .unwrap();
    world
        .station
        .wait_for_order(&charging, State::Payed, PATIENCE)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_a_limit_that_is_reached_while_recovering_stops_the_session_and_is_journaled_after_it() {
    let mut world = World::with("limit-recovering", json!({ "kwh": "0.2000" })).await;
    let (end, last) = (world.end, world.line.head().seq);
    world.restore().await;
    let mut pile = Hand::connect(world.station.mqtt, "P1", &world.secrets[0])
        .await
        .unwrap();
    let charging = world.charging.clone();
    let began = Instant::now();
    let stop = loop {
        // 180 kW of the 300 that it may deliver: what is above that is not believed.
        let wh = u64::try_from(began.elapsed().as_millis()).unwrap() / 20;
        let register = format!("{}.{:03}0", 1_000 + wh / 1_000, wh % 1_000);
        history::report(&mut pile, "charging", Some(&charging), &register)
            .await
            .unwrap();
        let heard = pile.hear_within(DownKind::Command, Duration::from_millis(100)).await;
        if let Some(command) = heard.filter(|command| command["kind"] == "stop") {
            break command;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "no stop at {register}\n{}",
            world.station.log()
        );
    };
    assert_eq!(stop["order_id"], charging);
    assert_eq!(world.head().await, end);
    world
        .line
        .put("tail", world.line.tail(end, last))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert!(!world.acknowledge(world.line.head()).await);
    let facts = world.facts(last).await;
    let cause = facts.iter().find_map(|fact| match fact {
        Fact::StopRequested { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!(cause, Some(&StopCause::LimitReached));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_may_go_on_without_head_office_and_that_is_said_in_the_journal() {
    let mut world = World::new("alone").await;
    let end = world.end;
    let said = world
        .station
        .cli(&["recover", "--alone", "too early"])
        .unwrap_err()
        .to_string();
    assert!(said.contains("not recovering"), "{said}");
    world.restore().await;
    let epoch = world.seen().await["epoch"].clone();
    let said = world.station.cli(&["recover", "--alone", "the line is gone"]).unwrap();
    assert!(
        said.contains("a branch") && said.contains(&format!("head {}:", end + 1)),
        "{said}"
    );
    let seen = world.seen().await;
    assert!(seen["recovering"].is_null() && seen["epoch"] != epoch, "{seen}");
    let facts = world.facts(end).await;
    let Fact::Restored {
        alone: Some(alone),
        epoch_before,
    } = &facts[0]
    else {
        panic!("{facts:?}");
    };
    assert_eq!(
        (alone.reason.as_str(), json!(epoch_before)),
        ("the line is gone", epoch)
    );
    assert!(!alone.by.is_empty());
    world.station.add_member("carl", "1.00").await.unwrap();
    // Head office finds two journals of this site.
    let (_, nonce) = world.line.hello().await.unwrap();
    let ack = world.line.ack(frame::State::Following, world.line.head(), nonce);
    refused(world.line.put("ack", ack).await, 409, "journal-fork");
}

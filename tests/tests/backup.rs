//! A copy of the database while drivers come and go, and the way back from it: a new run of the journal in which the
//! records that piles still hold come again.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{
    order::State,
    topics::{DownKind, UpKind},
    units::Fen,
};
use hyper::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};
use world::{
    hand::Hand,
    history,
    station::{Api, Setup, StationProcess},
};

const PATIENCE: Duration = Duration::from_secs(20);
const DRIVERS: u32 = 4;
/// Before each backup the journal grows by so many entries: some orders' worth.
const ENTRIES_BETWEEN: u64 = 100;
const COPIES_MAX: usize = 100;

/// Orders one after another, each charged and settled, until it is `over`; returns how many.
async fn drive(api: Api, mut pile: Hand, member: String, over: watch::Receiver<bool>) -> u32 {
    let id = pile.pile().to_string();
    for n in 1.. {
        let register = 999 + n;
        let (from, to) = (format!("{register}.0000"), format!("{}.0000", register + 1));
        history::report(&mut pile, "plugged", None, &from).await.unwrap();
        let body = json!({ "member": member, "pile": id, "connector": 1, "prepay": "10.00" });
        let key = format!("{member}-{n}");
        let placed = api
            .ask(Method::POST, "/v1/orders", Some(&body), Some(&key))
            .await
            .unwrap();
        let order = placed.expect(201).unwrap()["id"].as_str().unwrap().to_owned();
        let start = pile.hear(DownKind::Command).await.unwrap();
        let reply = json!({ "command_id": start["command_id"], "ok": true });
        pile.say(UpKind::Reply, &reply).await.unwrap();
        history::record(&mut pile, &order, &from, &to).await.unwrap();
        if *over.borrow() {
            return n;
        }
    }
    unreachable!("drivers go on until it is over")
}

/// The backup's own words: file, length and head.
fn backup(station: &StationProcess, name: &str) -> (PathBuf, String) {
    let file = station.folder().join("data").join(name);
    let said = station.cli(&["backup", file.to_str().unwrap()]).unwrap();
    let length = fs::metadata(&file).unwrap().len();
    assert!(
        said.starts_with(&format!("{}: {length} bytes in ", file.display())),
        "{said}"
    );
    let head = said.lines().find_map(|line| line.strip_prefix("head ")).unwrap();
    (file, head.to_owned())
}

fn seq_of(head: &str) -> u64 {
    head.split_once(':').unwrap().0.parse().unwrap()
}

async fn seq(station: &StationProcess) -> u64 {
    let seen = station.get("/v1/station").await.unwrap().success().unwrap();
    seen["journal"]["seq"].as_u64().unwrap()
}

fn restore(station: &StationProcess, copy: &Path, more: &[&str]) -> anyhow::Result<String> {
    let config = station.config_path();
    let mut words = vec!["restore", copy.to_str().unwrap(), "--config", config.to_str().unwrap()];
    words.extend(more);
    station.offline(&words)
}

/// Every order's hold, and every member's money, as the transfers say.
async fn adds_up(station: &StationProcess) {
    assert_eq!(station.books_total().await.unwrap(), Fen::ZERO);
    let fen = |value: &Value| value.as_str().unwrap().parse::<Fen>().unwrap();
    let mut money: BTreeMap<String, Fen> = BTreeMap::new();
    for member in station.all("/v1/members").await.unwrap() {
        let id = member["id"].as_str().unwrap();
        for transfer in station.all(&format!("/v1/members/{id}/statement")).await.unwrap() {
            let credit = transfer["credit"].as_str().unwrap() == format!("allowance:{id}");
            let debit = transfer["debit"].as_str().unwrap() == format!("allowance:{id}");
            let amount = fen(&transfer["amount"]);
            let sum = money.entry(id.to_owned()).or_default();
            *sum += if credit { amount } else { Fen::ZERO };
            *sum -= if debit { amount } else { Fen::ZERO };
        }
        assert_eq!(
            fen(&member["allowance"]),
            money.get(id).copied().unwrap_or_default(),
            "{member}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_traffic_is_the_station_at_one_moment() {
    let station = StationProcess::start("backup", &Setup::new()).await.unwrap();
    let (end, over) = watch::channel(false);
    let mut drivers = JoinSet::new();
    for n in 1..=DRIVERS {
        let (member, pile) = (format!("m{n}"), format!("P{n}"));
        station.add_member(&member, "100000.00").await.unwrap();
        let secret = station.add_pile(&pile).await.unwrap();
        let pile = history::boot(&station, &pile, &secret).await.unwrap();
        drivers.spawn(drive(station.api(), pile, member, over.clone()));
    }
    let mut copies = Vec::new();
    let mut moved_on = 0;
    // Until the journal has moved on beside one of them: a copy may be made between two entries.
    for n in 0.. {
        assert!(n < COPIES_MAX, "the journal never moves on beside a backup");
        let entries = seq(&station).await + ENTRIES_BETWEEN;
        let begun = Instant::now();
        while seq(&station).await < entries {
            assert!(begun.elapsed() < PATIENCE, "drivers neither come nor go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let before = seq(&station).await;
        let (copy, head) = tokio::task::block_in_place(|| backup(&station, &format!("{n}.redb")));
        let after = seq(&station).await;
        assert!((before..=after).contains(&seq_of(&head)), "{before} {head} {after}");
        moved_on += u32::from(after > before);
        copies.push((copy, head));
        if copies.len() >= 4 && moved_on > 0 {
            break;
        }
    }
    end.send_replace(true);
    let orders: u32 = drivers.join_all().await.iter().sum();
    println!("{orders} orders beside {} backups", copies.len());

    for (copy, head) in &copies {
        assert_eq!(fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o600);
        let said = station
            .cli(&["journal", "verify", "--database", copy.to_str().unwrap()])
            .unwrap();
        assert!(
            said.contains("every hash fits") && said.contains(&format!("head {head}")),
            "{said}"
        );
        // The running journal goes through where the copy ends: the copy is a beginning of it.
        let said = station.cli(&["journal", "verify", "--head", head]).unwrap();
        assert!(said.contains("every hash fits"), "{said}");
    }
    let (copy, head) = &copies[2];
    let mut second = StationProcess::new("backup-second", &Setup::new()).unwrap();
    second.configure().unwrap();
    restore(&second, copy, &[]).unwrap();
    second.start_again().await.unwrap();
    assert_eq!(seq(&second).await, seq_of(head) + 1, "and that it was restored");
    adds_up(&second).await;
    let of_copy = second.all("/v1/orders").await.unwrap();
    let of_all = station.all("/v1/orders").await.unwrap();
    assert!(
        !of_copy.is_empty() && of_copy.len() < of_all.len(),
        "{} of {}",
        of_copy.len(),
        of_all.len()
    );
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_says_why_it_cannot_be_made() {
    let station = StationProcess::start("backup-refused", &Setup::new()).await.unwrap();
    let (file, _) = backup(&station, "one.redb");
    let bytes = fs::read(&file).unwrap();
    let said = station
        .cli(&["backup", file.to_str().unwrap()])
        .unwrap_err()
        .to_string();
    assert!(said.contains("one.redb") && said.contains("not overwritten"), "{said}");
    assert!(fs::read(&file).unwrap() == bytes);
    let nowhere = station.folder().join("nowhere/x.redb");
    let said = station
        .cli(&["backup", nowhere.to_str().unwrap()])
        .unwrap_err()
        .to_string();
    assert!(said.contains("nowhere/x.redb"), "{said}");
    let own = station
        .cli(&["backup", station.database().to_str().unwrap()])
        .unwrap_err()
        .to_string();
    assert!(own.contains("not overwritten"), "{own}");
    let beside = fs::read_dir(station.folder().join("data")).unwrap().count();
    assert_eq!(
        beside, 5,
        "the database, its mark, the reserve, the folder of its key and the backup"
    );
    let relative = json!({ "file": "x.redb" });
    let answer = station
        .ask(Method::PUT, "/v1/backup", Some(&relative), None)
        .await
        .unwrap();
    assert_eq!(answer.status, 422, "{answer:?}");
}

#[tokio::test]
async fn a_restored_station_is_another_run_and_takes_the_records_that_piles_still_hold() {
    let mut station = StationProcess::start("restore", &history::setup()).await.unwrap();
    let mut history = history::play(&station).await.unwrap();
    let before = history::told(&station).await.unwrap();
    let (copy, head) = backup(&station, "copy.redb");
    // What comes after the backup is forgotten by it.
    let order = history.orders[&State::Charging].clone();
    let pile = history.piles.get_mut("P4").unwrap();
    history::record(pile, &order, history::REGISTER, "1004.0000")
        .await
        .unwrap();
    station.wait_for_order(&order, State::Payed, PATIENCE).await.unwrap();
    station.add_member("late", "10.00").await.unwrap();
    drop(history);

    let said = restore(&station, &copy, &["--move-aside"]).unwrap_err().to_string();
    assert!(said.contains("in use"), "{said}");
    let epoch = |station: Value| station["epoch"].as_str().unwrap().to_owned();
    let first = epoch(station.get("/v1/station").await.unwrap().success().unwrap());
    assert!(station.terminate().await.unwrap());
    let ended = fs::read(station.database()).unwrap();
    let unchanged = |station: &StationProcess, said: &str| {
        assert!(fs::read(station.database()).unwrap() == ended, "{said}");
        assert!(!station.database().with_added_extension("restoring").exists(), "{said}");
    };
    let said = restore(&station, &copy, &[]).unwrap_err().to_string();
    assert!(
        said.contains("not overwritten") && said.contains("--move-aside"),
        "{said}"
    );
    unchanged(&station, &said);
    let broken = copy.with_file_name("broken.redb");
    let bytes = fs::read(&copy).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let said = restore(&station, &broken, &["--move-aside"]).unwrap_err().to_string();
    assert!(said.contains("broken.redb") && said.contains("damaged"), "{said}");
    unchanged(&station, &said);
    station.set_site("elsewhere");
    station.configure().unwrap();
    let said = restore(&station, &copy, &["--move-aside"]).unwrap_err().to_string();
    assert!(said.contains("elsewhere") && said.contains("test-site"), "{said}");
    unchanged(&station, &said);
    station.set_site("test-site");
    station.configure().unwrap();

    let said = restore(&station, &copy, &["--move-aside"]).unwrap();
    assert!(said.contains(&format!("head {head}")), "{said}");
    let aside = said
        .lines()
        .find_map(|line| line.strip_prefix("the database that was there is now "));
    assert!(fs::read(aside.unwrap()).unwrap() == ended, "{said}");
    assert!(fs::read(&copy).unwrap() == bytes, "the copy stays as it is");
    assert_eq!(
        fs::metadata(station.database()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    station.start_again().await.unwrap();
    let second = epoch(station.get("/v1/station").await.unwrap().success().unwrap());
    assert!(first != second && said.contains(&second), "{first} {second}: {said}");
    let status = station.cli(&["status"]).unwrap();
    assert!(status.contains(&second), "{status}");
    let mut now = history::told(&station).await.unwrap();
    now["journal"] = before["journal"].clone();
    assert_eq!(now, before, "as it was when the copy was made");
    station.cli(&["journal", "verify", "--head", &head]).unwrap();
    let page = station
        .get(&format!("/v1/journal?after={}&limit=1", seq_of(&head)))
        .await
        .unwrap();
    let page = page.success().unwrap();
    assert_eq!(
        (&page["epoch"], &page["entries"][0]["seq"]),
        (&json!(second), &json!(seq_of(&head) + 1))
    );

    // The pile was told that its record is stored, but never heard the `ack`: it says it again.
    let rotated = station
        .post("/v1/piles/P4/rotate", &json!({}))
        .await
        .unwrap()
        .success()
        .unwrap();
    let mut pile = history::boot(&station, "P4", rotated["secret"].as_str().unwrap())
        .await
        .unwrap();
    history::report(&mut pile, "finished", Some(&order), "1004.0000")
        .await
        .unwrap();
    history::record(&mut pile, &order, history::REGISTER, "1004.0000")
        .await
        .unwrap();
    let payed = station.wait_for_order(&order, State::Payed, PATIENCE).await.unwrap();
    assert_eq!(payed["bill"]["energy_kwh"], "4.0000");
    assert_eq!(station.books_total().await.unwrap(), Fen::ZERO);
}

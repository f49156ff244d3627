//! A database of the schema version before is brought up to date by the daemon that finds it: a backup beside it first,
//! then one transaction. `tests/fixtures/README.md` says where the old database comes from.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::{fact::Fact, order::State, topics::UpKind, units::Fen};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};
use world::{
    hand::Hand,
    history,
    station::{SITE, StationProcess, repository},
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
#[ignore = "writes the fixture of this schema version to the path in HOLDFAST_FIXTURE, for the tests of the next"]
async fn make_a_fixture() {
    let to = PathBuf::from(std::env::var_os("HOLDFAST_FIXTURE").unwrap());
    let mut station = StationProcess::start("fixture", &history::setup()).await.unwrap();
    let history = history::play(&station).await.unwrap();
    drop(history);
    let told = serde_json::to_string_pretty(&history::told(&station).await.unwrap()).unwrap();
    assert!(station.terminate().await.unwrap());
    fs::write(to.with_extension("json"), told).unwrap();
    fs::copy(station.database(), to).unwrap();
}

/// The schema version before this one.
const BEFORE: u32 = 3;

/// For how long it was off.
const AWAY_MS: u64 = 600_000;

/// A station that stands where the daemon of an old schema version left it, some minutes later, and what that daemon said
/// then.
fn old_station(name: &str, version: u32) -> (StationProcess, Value) {
    let fixtures = repository().join("tests/fixtures");
    let mut station = StationProcess::new(name, &history::setup()).unwrap();
    station.set_clock(station.wall().after_ms(i64::try_from(AWAY_MS).unwrap()));
    fs::create_dir(station.database().parent().unwrap()).unwrap();
    let file = |kind: &str| fixtures.join(format!("station-schema-{version}.{kind}"));
    fs::copy(file("redb"), station.database()).unwrap();
    let mut told: Value = serde_json::from_slice(&fs::read(file("json")).unwrap()).unwrap();
    // Since schema 3 card numbers are compared in capitals.
    for card in told["cards"].as_array_mut().unwrap() {
        card["id"] = card["id"].as_str().unwrap().to_uppercase().into();
    }
    (station, told)
}

/// The database beside the station's that was copied before it was changed.
fn backups(station: &StationProcess) -> Vec<PathBuf> {
    let folder = fs::read_dir(station.database().parent().unwrap()).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
    let mark = station.database().with_added_extension("station");
    let [reserve, key] = ["reserve", "sync"].map(|name| station.database().with_file_name(name));
    files.retain(|path| ![&station.database(), &mark, &reserve, &key].contains(&path));
    files
}

/// Whether everything that was told before is told now; newer versions tell more.
fn includes(now: &Value, before: &Value) -> bool {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => before
            .iter()
            .all(|(name, before)| now.get(name).is_some_and(|now| includes(now, before))),
        (Value::Array(now), Value::Array(before)) => {
            now.len() == before.len() && now.iter().zip(before).all(|(now, before)| includes(now, before))
        }
        _ => now == before,
    }
}

/// All of it is there, and it goes on.
async fn is_the_same_station(station: &mut StationProcess, before: &Value) {
    is_all_there(station, before).await;
    goes_on(station, before).await;
}

async fn is_all_there(station: &mut StationProcess, before: &Value) {
    let head = &before["journal"];
    let now = station.get("/v1/station").await.unwrap().success().unwrap();
    assert_eq!(now["schema_version"], BEFORE + 1);
    let mut told = history::told(station).await.unwrap();
    // Since then the daemon may have said more, such as that the piles are gone.
    told["journal"] = head.clone();
    assert!(includes(&told, before), "{told}\n{before}");
    assert_eq!(station.books_total().await.unwrap(), Fen::ZERO);
    let verified = station.cli(&["journal", "verify"]).unwrap();
    assert!(verified.contains("every hash fits"), "{verified}");
    let after = head["seq"].as_u64().unwrap() - 1;
    let page = station
        .get(&format!("/v1/journal?after={after}&limit=1"))
        .await
        .unwrap();
    let entries = &page.success().unwrap()["entries"];
    assert_eq!(
        entries[0]["hash"], head["hash"],
        "the journal goes on from where it was"
    );
}

/// The order that was charging is settled by its record, which its pile sends that has gone on meanwhile.
async fn goes_on(station: &mut StationProcess, before: &Value) {
    let waiting = before["orders"].as_array().unwrap();
    let charging = waiting.iter().find(|order| order["state"] == "CHARGING").unwrap();
    let order = charging["id"].as_str().unwrap();
    let rotated = station
        .post("/v1/piles/P4/rotate", &json!({}))
        .await
        .unwrap()
        .success()
        .unwrap();
    let secret = rotated["secret"].as_str().unwrap();
    let mut pile = Hand::connect(station.mqtt, "P4", secret).await.unwrap();
    pile.go_on_in(&boot_of(station, order).await, AWAY_MS + 60_000);
    history::report(&mut pile, "finished", Some(order), "1001.0000")
        .await
        .unwrap();
    let stop_mono_ms = pile.mono_ms();
    let record = json!({
        "order_id": order, "connector": 1, "start_ts": null, "stop_ts": null,
        "start_mono_ms": stop_mono_ms - AWAY_MS, "stop_mono_ms": stop_mono_ms,
        "meter_start_kwh": history::REGISTER, "meter_stop_kwh": "1001.0000", "reason": { "code": 0, "text": "" },
    });
    let msg_id = pile.say(UpKind::Record, &record).await.unwrap();
    assert_eq!(pile.ack_of(&msg_id).await.unwrap()["result"], "ok");
    station.wait_for_order(order, State::Payed, PATIENCE).await.unwrap();
}

/// In which of its pile's starts an order began to charge.
async fn boot_of(station: &StationProcess, order: &str) -> String {
    let journal = station.journal().await.unwrap();
    let boot = journal.into_iter().find_map(|entry| match entry.fact {
        Fact::StartAcknowledged { order: id, boot_id, .. } if id.as_str() == order => boot_id,
        _ => None,
    });
    boot.unwrap().to_string()
}

#[tokio::test]
async fn a_database_of_the_version_before_is_copied_and_brought_up_to_date() {
    let (mut station, before) = old_station("migration", BEFORE);
    let old = fs::read(station.database()).unwrap();
    station.start_again().await.unwrap();
    is_the_same_station(&mut station, &before).await;
    let [backup] = &backups(&station)[..] else {
        panic!("one backup: {:?}", backups(&station))
    };
    assert!(station.log().contains(backup.to_str().unwrap()), "the log names it");
    assert_eq!(fs::metadata(backup).unwrap().permissions().mode() & 0o777, 0o600);
    let offline = station.cli(&[
        "journal",
        "verify",
        "--site",
        SITE,
        "--database",
        backup.to_str().unwrap(),
    ]);
    let offline = offline.unwrap();
    assert!(
        offline.contains(before["journal"]["hash"].as_str().unwrap()),
        "{offline}"
    );

    // Whoever installs the old program again puts the backup back; the new one then does it all over.
    assert!(station.terminate().await.unwrap());
    let copied = fs::read(backup).unwrap();
    fs::rename(backup, station.database()).unwrap();
    assert!(backups(&station).is_empty());
    station.start_again().await.unwrap();
    is_the_same_station(&mut station, &before).await;
    assert_eq!(
        backups(&station),
        std::slice::from_ref(backup),
        "the same state has the same name"
    );
    assert!(fs::read(backup).unwrap().len() == copied.len() && copied.len() == old.len());
}

#[tokio::test]
async fn a_migration_that_is_cut_off_anywhere_is_done_by_the_next_start() {
    let (mut station, before) = old_station("migration-cut", BEFORE);
    let old = fs::read(station.database()).unwrap();
    let mut copied = 0;
    for after_ms in [5, 10, 15, 20, 25, 30, 40, 60, 80, 120] {
        for file in backups(&station) {
            fs::remove_file(file).unwrap();
        }
        fs::write(station.database(), &old).unwrap();
        station.start_and_kill(Duration::from_millis(after_ms)).unwrap();
        copied += usize::from(!backups(&station).is_empty());
        station.start_again().await.unwrap();
        assert_eq!(
            backups(&station).len(),
            1,
            "after {after_ms} ms: {:?}",
            backups(&station)
        );
        station.kill().unwrap();
    }
    println!("{copied} of 10 were cut off after the copy was begun");
    // Half a copy under the name that it has while it is made, and a whole one: as after a power cut.
    let [backup] = &backups(&station)[..] else {
        panic!("one backup")
    };
    fs::write(backup.with_added_extension("unfinished"), b"half").unwrap();
    fs::write(station.database(), &old).unwrap();
    station.start_again().await.unwrap();
    assert_eq!(backups(&station), std::slice::from_ref(backup));
    is_the_same_station(&mut station, &before).await;
}

#[tokio::test]
async fn a_database_of_several_versions_before_is_brought_up_to_date_at_once() {
    for version in 1..BEFORE {
        let (mut station, before) = old_station(&format!("migration-from-{version}"), version);
        station.start_again().await.unwrap();
        is_all_there(&mut station, &before).await;
        let card = station.get("/v1/cards/card-1").await.unwrap().success().unwrap();
        assert_eq!((&card["id"], &card["member"]), (&json!("CARD-1"), &json!("alice")));
        assert_eq!(card["holders"].as_array().unwrap().len(), 1, "as the journal tells");
        assert_ne!(card["holders"][0]["since"], "1970-01-01T00:00:00Z");
    }
}

#[tokio::test]
async fn another_sites_old_database_stays_as_it_is() {
    let (mut station, _) = old_station("migration-other", BEFORE);
    station.set_site("elsewhere");
    let said = station.refuses_to_start().await.unwrap();
    assert!(said.contains(SITE) && said.contains("elsewhere"), "{said}");
    assert!(backups(&station).is_empty());
    station.set_site(SITE);
    station.start_again().await.unwrap();
}

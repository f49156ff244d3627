//! The disk fills up, on a small one of the test's own (a tmpfs in a mount namespace that ends with the test): first
//! telemetry stops, then new orders are refused, then a commit fails. What is open settles, and nothing is lost.

use crate::{
    AGAIN, PATIENCE,
    played::{Played, is_paid, orders_in_quarantine},
};
use domain::{
    ids::PileId,
    topics::{self, UpKind},
};
use nix::{
    fcntl::{FallocateFlags, fallocate},
    sys::statvfs::statvfs,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};
use world::{
    hand::Hand,
    station::{Setup, StationProcess, program},
};

const MIB: u64 = 1 << 20;
/// The small disk, and what the daemon is told to keep of it.
const DISK_MIB: u64 = 48;
const RESERVE_MIB: u64 = 6;
const TELEMETRY_BELOW_MIB: u64 = 12;
const ORDERS_BELOW_MIB: u64 = 8;
/// What the daemon exits with when the disk is full.
const EXIT_DISK_FULL: i32 = 74;
/// Set in the process that may mount.
const INSIDE: &str = "HOLDFAST_TEST_IN_NAMESPACE";

/// Whether this process may mount what it likes, unseen by others. If not, the test `name` is run in one that may.
fn in_namespace(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    program("holdfast-edge", "holdfast-edge");
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !nix::unistd::Uid::effective().is_root() {
        command.arg("--map-root-user");
    }
    let output = command
        .arg(std::env::current_exe().unwrap())
        .args([&format!("disk::{name}"), "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env("HOLDFAST_TEST_PROGRAMS_ARE_BUILT", "1")
        .output()
        .expect("unshare (util-linux) runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{said}");
    assert!(
        output.status.success() && said.contains("1 passed"),
        "in a mount namespace, which needs root or user namespaces (unshare --mount --map-root-user): {}",
        output.status
    );
    false
}

/// A small disk, and a file that fills it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounted at `path`.
    fn at(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={DISK_MIB}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(path)
            .status();
        assert!(mounted.unwrap().success(), "a tmpfs is mounted at {}", path.display());
        Self(path.to_owned())
    }

    fn free(&self) -> u64 {
        let found = statvfs(&self.0).unwrap();
        found.blocks_available() * found.fragment_size()
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all but so many bytes.
    fn leave(&self, free: u64) {
        self.make_room();
        let bytes = i64::try_from(self.free().saturating_sub(free)).unwrap();
        let filler = File::create(self.filler()).unwrap();
        fallocate(&filler, FallocateFlags::empty(), 0, bytes).unwrap();
        println!("{} KiB are free", self.free() / 1_024);
    }

    fn make_room(&self) {
        let _none_yet = std::fs::remove_file(self.filler());
    }
}

/// A station on a small disk, not started yet.
fn on_small_disk(name: &str) -> (StationProcess, SmallDisk) {
    let mut station = StationProcess::new(name, &Setup::new()).unwrap();
    let disk = SmallDisk::at(station.database().parent().unwrap());
    let sizes = [
        ("RESERVE", RESERVE_MIB),
        ("TELEMETRY_BELOW", TELEMETRY_BELOW_MIB),
        ("ORDERS_BELOW", ORDERS_BELOW_MIB),
    ];
    station.environment = sizes
        .map(|(key, mib)| (format!("HOLDFAST_EDGE__DISK__{key}"), format!("{mib}MiB")))
        .to_vec();
    (station, disk)
}

fn reserve(disk: &SmallDisk) -> u64 {
    std::fs::metadata(disk.0.join("reserve")).map_or(0, |file| file.len())
}

/// Waits until the station's view of itself `is` so.
async fn until(station: &StationProcess, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        if is(&seen["disk"]) {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "not {what}: {seen}\n{}", station.log());
        tokio::time::sleep(AGAIN).await;
    }
}

async fn is_refused(station: &StationProcess, member: &str, pile: &str) {
    let body = json!({ "member": member, "pile": pile, "connector": 1, "prepay": "20.00" });
    let answer = station.post("/v1/orders", &body).await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.body["type"], "urn:holdfast:problem:not-taking-orders");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("disk") && detail.contains("make room"), "{detail}");
}

#[tokio::test]
async fn nearly_full() {
    if !in_namespace("nearly_full") {
        return;
    }
    let (mut station, disk) = on_small_disk("nearly-full");
    station.start_again().await.unwrap();
    assert_eq!(reserve(&disk), RESERVE_MIB * MIB);
    let mut one = Played::new(&station, "P1").await;
    let mut two = Played::new(&station, "P2").await;
    let order = one.charging(&station, "m1").await;
    station.add_member("m2", "100.00").await.unwrap();

    disk.leave(TELEMETRY_BELOW_MIB * MIB - MIB);
    until(&station, "without telemetry", |disk| {
        disk["telemetry"] == false && disk["refusing_orders"].is_null()
    })
    .await;
    assert!(
        station
            .cli(&["status"])
            .unwrap()
            .contains("! the disk is filling up: telemetry is not written")
    );
    // Heartbeats are heard, and move nothing on the disk.
    let commits = station.metric("holdfast_commits_total").await.unwrap();
    for _ in 0..5 {
        one.beat(&order).await;
    }
    assert_eq!(station.metric("holdfast_commits_total").await.unwrap(), commits);

    disk.leave(ORDERS_BELOW_MIB * MIB - MIB);
    until(&station, "without orders", |disk| !disk["refusing_orders"].is_null()).await;
    is_refused(&station, "m2", "P2").await;
    let swipe = two
        .hand
        .say(UpKind::Card, &json!({ "connector": 1, "card_id": "none" }))
        .await
        .unwrap();
    assert_eq!(two.hand.ack_of(&swipe).await.unwrap()["result"], "rejected");
    let status = station.cli(&["status"]).unwrap();
    assert!(
        status.contains("! new orders are refused: the disk is nearly full"),
        "{status}"
    );
    // Money that comes in, and what is open, go on.
    station.add_member("m3", "100.00").await.unwrap();
    one.settles(&station, &order).await;

    disk.make_room();
    until(&station, "as before", |disk| {
        disk["telemetry"] == true && disk["refusing_orders"].is_null()
    })
    .await;
    let order = two.charging_again(&station, "m2").await;
    two.settles(&station, &order).await;
    let log = station.log();
    for said in [
        "the disk is filling up",
        "new orders are refused",
        "there is room on the disk again",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(station.terminate().await.unwrap());
}

#[tokio::test]
async fn full_in_the_middle_of_commits() {
    if !in_namespace("full_in_the_middle_of_commits") {
        return;
    }
    let (mut station, disk) = on_small_disk("full");
    station.start_again().await.unwrap();
    let mut pile = Played::new(&station, "P1").await;
    let order = pile.charging(&station, "m1").await;
    station.add_member("m2", "100.00").await.unwrap();
    let secret = station.add_pile("BIG").await.unwrap();
    let mut big = Hand::connect(station.mqtt, "BIG", &secret).await.unwrap();

    disk.leave(2 * MIB);
    // Records that must be kept, one after another, until there is no room for the next.
    let topic = topics::up(&PileId::new("BIG").unwrap(), UpKind::Record);
    let mut sent: BTreeMap<u64, String> = BTreeMap::new();
    let mut acknowledged = Vec::new();
    let begun = Instant::now();
    for n in 0.. {
        let name = format!("nobodys-{n}");
        let record = big.message(&json!({
            "order_id": name, "connector": 1, "start_ts": null, "stop_ts": null, "start_mono_ms": 1,
            "stop_mono_ms": 2, "meter_start_kwh": "1.0", "meter_stop_kwh": "2.0",
            "reason": { "code": 7, "text": "x".repeat(60_000) },
        }));
        sent.insert(big.begin(&topic, record.to_string().into_bytes()).unwrap(), name);
        let turned = loop {
            let turned = big.turn(Instant::now() + PATIENCE).await;
            acknowledged.extend(big.acknowledged().iter().filter_map(|token| sent.remove(token)));
            if turned.is_err() || big.unacknowledged() < 4 {
                break turned;
            }
        };
        if turned.is_err() {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{n} records of 60 kB fit on a disk that is full"
        );
    }
    let status = station.wait_for_end().await.unwrap();
    assert_eq!(status.code(), Some(EXIT_DISK_FULL), "{}", station.log());
    let log = station.log();
    for said in ["is full (", "Make room on it", "with 6 MiB of reserve given up"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert_eq!(reserve(&disk), 0);
    println!("{} records acknowledged before the disk was full", acknowledged.len());
    assert!(!acknowledged.is_empty(), "the disk was full at once");

    // As systemd does: nobody has made room yet.
    station.start_again().await.unwrap();
    until(&station, "refusing orders", |disk| !disk["refusing_orders"].is_null()).await;
    pile.reconnect(&station).await;
    pile.settles(&station, &order).await;
    let mut two = Played::new(&station, "P2").await;
    is_refused(&station, "m2", "P2").await;
    let kept = orders_in_quarantine(&station).await;
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !kept.contains_key(*name)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let verified = station.cli(&["journal", "verify"]).unwrap();
    assert!(verified.contains("every hash fits"), "{verified}");

    disk.make_room();
    until(&station, "taking orders", |disk| disk["refusing_orders"].is_null()).await;
    assert_eq!(reserve(&disk), RESERVE_MIB * MIB, "set aside again");
    let next = two.charging_again(&station, "m2").await;
    two.settles(&station, &next).await;
    is_paid(&station, &order).await;
    assert!(station.terminate().await.unwrap());
}

#[tokio::test]
async fn full_at_the_very_first_start() {
    if !in_namespace("full_at_the_very_first_start") {
        return;
    }
    let (mut station, disk) = on_small_disk("full-first");
    // Not a byte: what `fallocate` leaves is written.
    disk.leave(0);
    let mut rest = File::options().append(true).open(disk.filler()).unwrap();
    while rest.write_all(&[1; 4_096]).is_ok() {}
    drop(rest);
    let error = station.start_again().await.unwrap_err().to_string();
    assert!(
        error.contains("is full (") && error.contains("Make room on it"),
        "{error}"
    );
    assert!(error.contains(&format!("exit status: {EXIT_DISK_FULL}")), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    assert!(!station.database().exists(), "half a database");
    disk.make_room();
    station.start_again().await.unwrap();
    let mut pile = Played::new(&station, "P1").await;
    let order = pile.charging(&station, "m1").await;
    pile.settles(&station, &order).await;
}

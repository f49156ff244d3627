//! The wall clock is stepped, forwards and back: the step is journaled, orders it falls into wait for a person, and
//! deadlines take no notice. The daemon's clock is stepped from outside, by `libfaketime` between it and the kernel.

use crate::{PATIENCE, played::Played};
use domain::{fact::Fact, order::State};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use world::station::{Setup, StationProcess};

const STEP_S: i64 = 7_200;
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Where Debian's libfaketime lies.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .unwrap()
        .flatten()
        .map(|folder| folder.path());
    let found = folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file());
    found.expect("libfaketime is missing; run `cargo xtask test`, which installs it (Debian: faketime)")
}

/// Puts the daemon's wall clock so many seconds off the machine's.
fn set_clock(offset: &Path, seconds: i64) {
    let new = offset.with_extension("new");
    std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
    std::fs::rename(&new, offset).unwrap();
}

/// The steps that are in the journal, in milliseconds.
async fn steps(station: &StationProcess) -> Vec<i64> {
    let steps = station
        .journal()
        .await
        .unwrap()
        .into_iter()
        .filter_map(|entry| match entry.fact {
            Fact::ClockStepped { by_ms } => Some(by_ms),
            _ => None,
        });
    steps.collect()
}

/// How long after it was placed an order failed, by elapsed station time.
async fn failed_after(station: &StationProcess, id: &str) -> Duration {
    let journal = station.journal().await.unwrap();
    let at = |is: &dyn Fn(&Fact) -> bool| journal.iter().find(|entry| is(&entry.fact)).unwrap().stamp.mono;
    let placed = at(&|fact| matches!(fact, Fact::OrderPlaced { order, .. } if order.as_str() == id));
    let failed = at(&|fact| matches!(fact, Fact::OrderFailed { order, .. } if order.as_str() == id));
    Duration::from_millis(failed.ms_since(placed))
}

#[tokio::test]
async fn a_step_either_way_is_journaled_flags_running_orders_and_moves_no_deadline() {
    let policy = format!("start_timeout = \"{}s\"\n", START_TIMEOUT.as_secs());
    let setup = Setup { policy, ..Setup::new() };
    let mut station = StationProcess::new("clock-steps", &setup).unwrap();
    let offset = station.folder().join("offset");
    set_clock(&offset, 0);
    station.environment = [
        ("LD_PRELOAD", faketime().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    station.start_again().await.unwrap();

    for (turn, (seconds, by_ms)) in [(STEP_S, STEP_S * 1_000), (0, -STEP_S * 1_000)].into_iter().enumerate() {
        let mut running = Played::new(&station, &format!("R{turn}")).await;
        let order = running.charging(&station, &format!("r{turn}")).await;
        let mut pending = Played::new(&station, &format!("S{turn}")).await;
        let start = pending.placed(&station, &format!("s{turn}")).await;

        set_clock(&offset, seconds);
        running.beat(&order).await;
        let stepped = steps(&station).await;
        assert_eq!(stepped.len(), turn + 1, "{stepped:?}");
        assert!((stepped[turn] - by_ms).abs() < 2_000, "{stepped:?}");

        // Two hours forwards time nothing out, two hours back prolong nothing.
        let failed = station
            .wait_for_order(&start, State::Fail, START_TIMEOUT + PATIENCE)
            .await
            .unwrap();
        let took = failed_after(&station, &start).await;
        assert!(took >= START_TIMEOUT, "after {took:?}: {failed}");
        assert_eq!(failed["hold"]["remaining"], "0.00", "{failed}");

        let ack = running.finish(&order).await;
        assert_eq!(ack["detail"], "waits for review", "{ack}");
        let seen = station.wait_for_order(&order, State::Review, PATIENCE).await.unwrap();
        assert!(seen.to_string().contains("clock"), "the person is told why: {seen}");

        // What begins after the step is an order like any other.
        let mut next = Played::new(&station, &format!("N{turn}")).await;
        let order = next.charging(&station, &format!("n{turn}")).await;
        next.settles(&station, &order).await;
    }
    assert!(station.terminate().await.unwrap());
}

//! Lives of a whole station, each from one seed: what must be true is looked at after every step, after every crash and at
//! the end, and every fault must have met orders in every state often enough.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop there"
)]

use std::{
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};
use world::world::{Report, live_through};

/// How many lives are lived in a test run.
const SEEDS: u64 = 2_000;
/// How often each fault must have met each state, over all of them.
const MET_MIN: u64 = 40;
/// How many are lived at a time.
const WORKERS: usize = 2;

/// Adds up what many lives came to.
#[derive(Default)]
struct Sum {
    total: Report,
    fewest_sessions: Option<usize>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        let total = &mut self.total;
        total.sessions += report.sessions;
        total.orders += report.orders;
        total.crashes += report.crashes;
        total.partitions += report.partitions;
        total.clock_steps += report.clock_steps;
        total.facts += report.facts;
        total.commits += report.commits;
        total.lasted_ms += report.lasted_ms;
        total.coverage.add(&report.coverage);
        let fewest = self.fewest_sessions.unwrap_or(usize::MAX);
        self.fewest_sessions = Some(fewest.min(report.sessions));
    }
}

#[test]
fn no_life_of_a_station_loses_a_record_or_a_fen() {
    let one: Option<u64> = std::env::var("HOLDFAST_SEED").ok().map(|seed| seed.parse().unwrap());
    let many = std::env::var("HOLDFAST_SEEDS")
        .ok()
        .map_or(SEEDS, |many| many.parse().unwrap());
    let seeds = one.map_or(0..many, |seed| seed..seed + 1);
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (sum, failures) = (Mutex::new(Sum::default()), Mutex::new(Vec::new()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match live_through(seed) {
                        Ok(report) => {
                            let enough = (report.sessions, report.crashes, report.partitions, report.clock_steps);
                            assert!(
                                enough.0 >= 20 && enough.1 >= 3 && enough.2 >= 2 && enough.3 >= 1,
                                "{enough:?} sessions, crashes, partitions and steps of the clock are too few: \
                                 HOLDFAST_SEED={seed} cargo test -p holdfast-tests --test world lives it again"
                            );
                            sum.lock().unwrap().add(&report);
                        }
                        Err(failure) => {
                            failed.store(std::env::var_os("HOLDFAST_GO_ON").is_none(), Ordering::Relaxed);
                            failures.lock().unwrap().push(failure);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    for failure in &failures {
        println!("{failure}\n");
    }
    let Report {
        sessions,
        orders,
        crashes,
        partitions,
        clock_steps,
        facts,
        commits,
        lasted_ms,
        coverage,
    } = sum.into_inner().unwrap().total;
    // Past the test runner, which keeps to itself what a test prints that passes.
    let said = writeln!(
        std::io::stdout(),
        "\n{} lives in {:.0?}: {} days of station life, {sessions} sessions, {orders} orders, {facts} facts in {commits} \
         commits, {crashes} crashes and restores, {partitions} partitions, {clock_steps} steps of the clock\n{coverage}",
        seeds.end - seeds.start,
        begun.elapsed(),
        lasted_ms / 86_400_000,
    );
    said.unwrap();
    assert!(failures.is_empty(), "{} lives failed", failures.len());
    if one.is_none() && many == SEEDS {
        let rare = coverage.rare(MET_MIN);
        assert!(rare.is_empty(), "met less than {MET_MIN} times: {rare:?}");
    }
}

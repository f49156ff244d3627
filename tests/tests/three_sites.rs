//! Lives of three sites and a head office, each from one seed: after every commit at head office its rows and books are those of
//! the site's journal up to there, at the end everything is the same everywhere, and everything that can go wrong did.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::{
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};
use world::world::three_sites::{Report, live_through};

/// How many lives are lived in a test run.
const SEEDS: u64 = 300;
/// Of each race there must be so many in them.
const RACES_LEAST: u64 = 50;
/// And so many orders in each.
const ORDERS_LEAST: u64 = 50;
/// How many are lived at a time.
const WORKERS: usize = 2;

#[test]
fn head_office_is_the_same_as_the_sites_whatever_befalls_the_line_and_its_ends() {
    // Either alone: that one life, or so many from the first on. Both: so many from that one on.
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|number: String| number.parse::<u64>().unwrap())
    };
    let (first, many) = (number("HOLDFAST_SEED"), number("HOLDFAST_SEEDS"));
    let many = many.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + many;
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (sum, failures) = (Mutex::new(Report::default()), Mutex::new(Vec::new()));
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
                        Ok(report) => sum.lock().unwrap().add(&report),
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
    // Past the test runner, which keeps to itself what a test prints that passes.
    let mut out = std::io::stdout();
    for failure in &failures {
        writeln!(out, "{failure}\n").unwrap();
    }
    let Report {
        orders,
        orders_least,
        facts,
        commits,
        crashes,
        lasted_ms,
        met,
        races,
    } = sum.into_inner().unwrap();
    writeln!(
        out,
        "\n{} lives in {:.0?}: {} days, {orders} orders (at least {orders_least} in one), {facts} facts of stations, \
         {commits} commits at head office, {crashes} crashes and restores of stations\n{met}\n{races}",
        seeds.end - seeds.start,
        begun.elapsed(),
        lasted_ms / 86_400_000,
    )
    .unwrap();
    assert!(failures.is_empty(), "{} lives failed", failures.len());
    if many >= SEEDS {
        assert!(met.missing().is_empty(), "never met: {:?}", met.missing());
        let rare = races.rarer_than(RACES_LEAST);
        assert!(rare.is_empty(), "met less than {RACES_LEAST} times: {rare:?}");
        assert!(orders_least >= ORDERS_LEAST, "a life with {orders_least} orders");
    }
}

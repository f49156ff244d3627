//! What the clocks showed at the last commit is where a station that starts again measures its wall clock from.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use domain::{
    ids::{Randomness, SiteId},
    policy::Policy,
    site::Input,
    time::{Mono, Now, Wall},
};
use edge::{
    clock::Mark,
    station::writer::{Work, Writer},
    store::Store,
};
use redb::backends::InMemoryBackend;
use std::sync::Arc;

struct Zeros;

impl Randomness for Zeros {
    fn bits(&mut self) -> u128 {
        0
    }
}

const HOUR_MS: u64 = 3_600_000;

/// One run of the station, which takes this in at each of these times and writes it; the last time it stops.
fn run(store: &Store, takes: Vec<(Now, Input)>) {
    let (mut writer, _) = Writer::<(), ()>::recover(store.clone(), Policy::default(), Arc::default()).unwrap();
    let last = takes.len() - 1;
    for (n, (now, input)) in takes.into_iter().enumerate() {
        let work = Work::Pile {
            input,
            repeat_key: None,
            receipt: None,
        };
        writer.take(work, now, &mut Zeros).unwrap();
        let mark = Mark {
            mono: now.mono,
            wall: Some(now.wall),
            ..Mark::default()
        };
        writer.commit(now, &mark, n == last).unwrap();
    }
}

#[test]
fn a_clock_that_falls_back_to_after_the_last_fact_is_noticed() {
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
    let began = Wall::parse("2026-03-02T05:00:00+08:00").unwrap();
    let at = |mono_ms: u64, wall_ms: i64| Now {
        mono: Mono(mono_ms),
        wall: began.after_ms(wall_ms),
    };
    let member = Input::RegisterMember {
        member: "m".parse().unwrap(),
        by: "desk".to_owned(),
        name: "m".to_owned(),
    };
    // The last fact is of 5:00, and the station stops at 9:00.
    let stopped = at(4 * HOUR_MS, 4 * HOUR_MS as i64);
    run(&store, vec![(at(0, 0), member), (stopped, Input::Tick)]);
    // It wakes at 8:00.
    run(&store, vec![(at(4 * HOUR_MS, 3 * HOUR_MS as i64), Input::Tick)]);
    let journal = store.reader().unwrap().journal(1, usize::MAX).unwrap();
    let entries = journal.iter().map(|(_, _, bytes)| String::from_utf8_lossy(bytes));
    let steps: Vec<_> = entries.filter(|entry| entry.contains("ClockStepped")).collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert!(steps[0].contains("-3600000"), "{steps:?}");
}

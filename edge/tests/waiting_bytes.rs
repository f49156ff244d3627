//! Piles' messages that wait are bounded in bytes, not only in number: what is too much is given back, not kept and not
//! acknowledged, and there is room again once the loop has turned.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use broker::{Outcome, Receipt};
use domain::{
    ids::{PileId, SiteId},
    messages::{Down, read_up},
    policy::Policy,
    site::Input,
    time::Wall,
    topics::UpKind,
};
use edge::{
    clock::{Mark, SiteClock},
    station::{Outbound, Station},
    store::Store,
};
use redb::backends::InMemoryBackend;
use std::sync::atomic::Ordering;

/// Piles that hear everything and say nothing.
struct Silent;

impl Outbound for Silent {
    fn send(&self, _pile: &PileId, _message: &Down) -> bool {
        true
    }
    fn disconnect(&self, _pile: &PileId) {}
}

const MIB: usize = 1 << 20;
/// As `WAITING_BYTES_MAX` has it.
const BOUND: usize = 64 * MIB;

/// A heartbeat that is said to be of so many bytes.
fn say(station: &Station, bytes: usize) -> tokio::sync::oneshot::Receiver<Outcome> {
    let heartbeat = br#"{"boot_id":"b","seq":1,"mono_ms":1,"ts":null,"connectors":[]}"#;
    let message = read_up(UpKind::Heartbeat, heartbeat).unwrap();
    let pile = PileId::new("P1").unwrap();
    let (receipt, outcome) = Receipt::to_channel();
    station.pile_says(Input::Message { pile, message }, None, receipt, bytes);
    outcome
}

/// Clocks that nobody moves: no deadline and no midnight comes in between.
fn standing(mark: &Mark) -> SiteClock {
    SiteClock::resume(mark).standing(Wall::parse("2026-03-01T10:00:00+08:00").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_wait_and_no_byte_more() {
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
    let (station, brain) = Station::recover(store, Policy::default(), standing).unwrap();
    // The loop does not turn yet, as while a commit takes long.
    let mut waiting: Vec<_> = (0..256).map(|_| say(&station, BOUND / 256)).collect();
    assert!(
        waiting.iter_mut().all(|outcome| outcome.try_recv().is_err()),
        "all of them wait"
    );
    assert_eq!(station.stats.refused_busy.load(Ordering::Relaxed), 0);
    for bytes in [1, MIB, usize::MAX] {
        assert_eq!(
            say(&station, bytes).try_recv(),
            Ok(Outcome::Failed),
            "{bytes} bytes more"
        );
    }
    assert_eq!(station.stats.refused_busy.load(Ordering::Relaxed), 3);
    assert_eq!(station.waiting(), 256);
    // What has no content of a pile's takes part neither in the count nor in the refusal.
    let pile = PileId::new("P1").unwrap();
    station.pile_connection(Input::Connected { pile });
    assert_eq!(station.waiting(), 257);

    let brain = std::thread::spawn(move || brain.run(Silent));
    for outcome in waiting {
        assert_eq!(outcome.await, Ok(Outcome::Acknowledged));
    }
    assert_eq!(
        say(&station, BOUND).await,
        Ok(Outcome::Acknowledged),
        "there is room for as much again"
    );
    assert_eq!(
        say(&station, BOUND + 1).await,
        Ok(Outcome::Failed),
        "one alone is not above the bound either"
    );
    station.stop().await;
    brain.join().unwrap().unwrap();
}

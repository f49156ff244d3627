//! A restored station by a clock that stands: where elapsed time goes on, and what waits meanwhile.

use crate::bench::{Bench, HOUR, SITE, Sent};
use domain::{
    ids::SiteId,
    journal::{Entry, Head},
    order::State,
    policy::Policy,
    site::{Input, Site},
    time::{Now, Wall},
};
use edge::{
    clock::{Mark, SiteClock},
    station::{Ended, Ending, Station},
    store::{AfterRestore, Store, TailRefused},
};
use protocol::{
    frame::{Batch, Unpacked},
    key::SigningKey,
    pack::Packer,
};
use std::{path::PathBuf, time::Duration};

/// What a station had when a copy of it was made, and had later.
struct Lost {
    copy: PathBuf,
    end: Head,
    /// The stored bytes of the entries after that.
    entries: Vec<Vec<u8>>,
    order: String,
}

impl Lost {
    /// An order is placed before the copy is made, and fails an hour later.
    async fn of(bench: &Bench) -> Self {
        bench.flat_tariff().await;
        bench.member("m1", "100.00").await;
        bench.pile("P1").await;
        let body = serde_json::json!({ "member": "m1", "pile": "P1", "connector": 1, "prepay": "20.00" });
        bench.heartbeat("P1", "plugged", None, "100.0000").await;
        let order = bench.post("/v1/orders", &body).await.expect(201)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let store = &bench.station.store;
        let copy = bench.socket.with_file_name("copy.redb");
        store.backup(&copy, Duration::from_secs(60)).unwrap();
        let (last, hash) = store.reader().unwrap().head().unwrap();
        bench.advance(HOUR).await;
        let entries = store.reader().unwrap().journal(last.seq + 1, 1_000).unwrap();
        Self {
            copy,
            end: Head { seq: last.seq, hash },
            entries: entries.into_iter().map(|(_, _, bytes)| bytes).collect(),
            order,
        }
    }

    fn tail(&self) -> Unpacked {
        let key = SigningKey::from_seed([1; 32]);
        let signature = Batch::sign(&SiteId::new(SITE).unwrap(), self.end, &key);
        let batch = Batch::pack(self.end, &self.entries, signature, &mut Packer::new());
        batch.unwrap().unpack().unwrap()
    }

    /// The copy is made a station's database, which runs on a machine that was started just now.
    fn restored(&self, name: &str) -> (Station, Sent) {
        let path = self.copy.with_file_name(name);
        let site = SiteId::new(SITE).unwrap();
        let now = Wall::parse("2026-03-01T13:00:00+08:00").unwrap();
        let restored = Store::restore(&self.copy, &path, &site, now, false, AfterRestore::Recovery).unwrap();
        assert_eq!((restored.head, restored.epoch), (self.end, None));
        let store = Store::open(&path, &site, 4 << 20).unwrap();
        let clock = |mark: &Mark| {
            let mark = Mark {
                kernel_boot: None,
                ..mark.clone()
            };
            SiteClock::resume(&mark).standing(now)
        };
        let (station, brain) = Station::recover(store, Policy::default(), clock).unwrap();
        let sent = Sent::default();
        let outbound = sent.clone();
        std::thread::spawn(move || brain.run(outbound).unwrap());
        (station, sent)
    }
}

fn entries(store: &Store, after: u64) -> Vec<Entry> {
    let stored = store.reader().unwrap().journal(after + 1, 1_000).unwrap();
    stored
        .iter()
        .map(|(_, _, bytes)| Entry::from_bytes(bytes).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_after_a_restore_elapsed_time_goes_on_from_the_last_applied_entry() {
    let bench = Bench::new().await;
    let lost = Lost::of(&bench).await;
    let (station, _) = lost.restored("restored.redb");
    let before = station.clock.now().mono;
    let head = station.take_tail(lost.tail()).await.unwrap().unwrap();
    assert_eq!(head.seq, lost.end.seq + lost.entries.len() as u64);
    let last = Entry::from_bytes(lost.entries.last().unwrap()).unwrap().stamp;
    assert!(last.mono.ms_since(before) > 0, "{last:?} {before:?}");
    // Later than it, so that nothing that is found from here on has its moment.
    let goes_on_at = last.mono.after_ms(1);
    assert_eq!(station.clock.now().mono, goes_on_at);
    let ended = station
        .end_recovery(Ending::HeadOfficeHas(head))
        .await
        .unwrap()
        .unwrap();
    let Ended::GoesOn(restored) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(restored.seq, head.seq + 1);
    let first = &entries(&station.store, head.seq)[0];
    assert_eq!(
        (first.stamp.mono, &first.epoch),
        (goes_on_at, &station.store.identity().epoch)
    );
    let of_order = station
        .store
        .reader()
        .unwrap()
        .order(&lost.order.parse().unwrap())
        .unwrap();
    assert_eq!(of_order.unwrap().state, State::Fail);
    assert_eq!(
        station
            .end_recovery(Ending::HeadOfficeHas(head))
            .await
            .unwrap()
            .unwrap(),
        Ended::WasNot
    );
    assert!(matches!(
        station.take_tail(lost.tail()).await.unwrap(),
        Err(TailRefused::NotRecovering)
    ));
    station.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_what_head_office_has_below_the_copys_end_ends_recovery_as_well() {
    let bench = Bench::new().await;
    let lost = Lost::of(&bench).await;
    let (station, _) = lost.restored("restored.redb");
    let at = |seq: u64| {
        let (_, hash, _) = station.store.reader().unwrap().journal(seq, 1).unwrap().remove(0);
        Head { seq, hash }
    };
    let below = at(lost.end.seq - 1);
    let ended = station.end_recovery(Ending::HeadOfficeHas(below)).await;
    let Ended::GoesOn(restored) = ended.unwrap().unwrap() else {
        panic!("it waits for entries that head office has not")
    };
    assert_eq!(restored.seq, lost.end.seq + 1, "the copy is whole");
    station.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_recovering_no_deadline_fires_and_after_it_the_whole_time_runs_anew() {
    let bench = Bench::new().await;
    let lost = Lost::of(&bench).await;
    let (station, _) = lost.restored("restored.redb");
    let state = async || {
        let id = lost.order.parse().unwrap();
        let look = move |site: &Site, _: Now| site.rows().order(&id).map(|order| order.state);
        station.look(look).await.unwrap()
    };
    station.clock.advance(24 * HOUR);
    // Whatever is told to it, nothing is journaled: another day has begun.
    station.tell(Input::ClockTrust(true));
    assert_eq!(state().await, Some(State::Place));
    assert_eq!(station.store.reader().unwrap().head().unwrap().0.seq, lost.end.seq);
    // Head office has nothing beyond the copy.
    let ended = station
        .end_recovery(Ending::HeadOfficeHas(lost.end))
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Ended::GoesOn(_)), "{ended:?}");
    let start_timeout_ms = Policy::default().start_timeout_ms;
    let fails = async |within_ms: u64| {
        station.clock.advance(within_ms);
        // A look may come between two things that are due, and many in a row before the next.
        for _ in 0..200 {
            let is_due = |site: &Site, now: Now| site.next_deadline().is_some_and(|at| at <= now.mono);
            if !station.look(is_due).await.unwrap() {
                break;
            }
        }
        state().await != Some(State::Place)
    };
    assert!(!fails(start_timeout_ms - 1).await);
    assert!(fails(1).await);
    station.stop().await;
}

//! A pile's `msg_id` names one message: the same again is answered like the first. Another one under the same name, of a
//! pile whose counts begin anew, is another message all the same, and nothing of it is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use broker::Receipt;
use domain::{
    ids::{PileId, SiteId},
    messages::{Ack, AckResult, Down, read_up},
    policy::Policy,
    site::Input,
    time::Wall,
    topics::UpKind,
};
use edge::{
    clock::{Mark, SiteClock},
    station::{Outbound, RequestKey, Station},
    store::{QuarantineFilter, Store},
};
use redb::backends::InMemoryBackend;
use std::sync::{atomic::Ordering, mpsc};

struct Ears(mpsc::Sender<Ack>);

impl Outbound for Ears {
    fn send(&self, _pile: &PileId, message: &Down) -> bool {
        if let Down::Ack(ack) = message {
            self.0.send(ack.clone()).unwrap();
        }
        true
    }
    fn disconnect(&self, _pile: &PileId) {}
}

fn record(order: &str, msg_id: &str) -> String {
    format!(
        r#"{{"boot_id":"b1","seq":1,"mono_ms":1,"ts":null,"msg_id":"{msg_id}","order_id":"{order}","connector":1,
        "start_ts":null,"stop_ts":null,"start_mono_ms":0,"stop_mono_ms":1,"meter_start_kwh":"1","meter_stop_kwh":"2",
        "reason":{{"code":7}}}}"#
    )
}

fn event(kind: &str) -> String {
    format!(
        r#"{{"boot_id":"b1","seq":1,"mono_ms":1,"ts":null,"msg_id":"m1","connector":1,"kind":"{kind}","code":3,"text":""}}"#
    )
}

/// Clocks that nobody moves: no deadline and no midnight comes in between.
fn standing(mark: &Mark) -> SiteClock {
    SiteClock::resume(mark).standing(Wall::parse("2026-03-01T10:00:00+08:00").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_msg_id_names_one_message() {
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
    let (station, brain) = Station::recover(store, Policy::default(), standing).unwrap();
    let (ears, heard) = mpsc::channel();
    let brain = std::thread::spawn(move || brain.run(Ears(ears)));
    let pile = PileId::new("P1").unwrap();
    station.tell(Input::ProvisionPile {
        pile: pile.clone(),
        by: "setup".to_owned(),
    });
    let says = |kind: UpKind, text: &str| {
        let message = read_up(kind, text.as_bytes()).unwrap();
        let msg_id = message.common.msg_id.clone().unwrap();
        let key = RequestKey::of_message(&pile, "b1", &msg_id, text.as_bytes());
        let pile = pile.clone();
        station.pile_says(
            Input::Message { pile, message },
            Some(key),
            Receipt::inert(),
            text.len(),
        );
        let ack = heard.recv().unwrap();
        (ack.result, ack.detail)
    };

    let boot = r#"{"boot_id":"b1","seq":1,"mono_ms":1,"ts":null,"msg_id":"m0","vendor":"v","model":"m","firmware":"1",
        "connectors":[{"no":1,"max_kw":"7.0","meter_kwh":"1"}]}"#;
    assert_eq!(says(UpKind::Boot, boot).0, AckResult::Ok);
    assert_eq!(says(UpKind::Event, &event("plugged")).0, AckResult::Ok);
    assert_eq!(says(UpKind::Event, &event("plugged")).0, AckResult::Ok);
    let facts = || *station.journal_head().borrow();
    let before = facts();
    for _ in 0..2 {
        assert_eq!(says(UpKind::Event, &event("unplugged")).0, AckResult::Ok);
        assert_eq!(facts(), before + 1, "it is acted on, once");
        assert_eq!(station.stats.msg_ids_reused.load(Ordering::Relaxed), 1);
        assert_eq!(
            says(UpKind::Event, &event("plugged")).0,
            AckResult::Ok,
            "the first is remembered"
        );
    }
    assert_eq!(facts(), before + 1);

    assert_eq!(says(UpKind::Record, &record("lost-1", "m1")).0, AckResult::Orphan);
    assert_eq!(says(UpKind::Record, &record("lost-2", "m1")).0, AckResult::Orphan);
    let kept = || {
        station
            .store
            .reader()
            .unwrap()
            .quarantine(QuarantineFilter::default(), None, 10)
            .unwrap()
    };
    assert_eq!(kept().items.len(), 2);
    assert_eq!(says(UpKind::Record, &record("lost-2", "m1")).0, AckResult::Orphan);
    assert_eq!(kept().items.len(), 2);
    assert_eq!(says(UpKind::Event, &event("plugged")).0, AckResult::Ok);

    station.stop().await;
    brain.join().unwrap().unwrap();
}

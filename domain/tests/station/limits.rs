//! What a station does not take any more, and why that loses nothing: a disk that fills, a pile that floods quarantine.

use crate::bench::*;
use domain::{
    fact::Raw,
    ids::CardId,
    messages::{AckResult, Record, read_up},
    order::State,
    policy::Policy,
    site::{Input, Rejected, Space},
    topics::UpKind,
};

const MIB: u64 = 1 << 20;

fn space(free_mib: u64, reserve: bool) -> Input {
    Input::Space(Space {
        free_bytes: free_mib * MIB,
        reserve,
    })
}

#[test]
fn on_a_full_disk_telemetry_goes_first_then_new_orders_and_what_is_open_settles() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "30");
    bench.member("n", "60");
    bench.ok(Input::BindCard {
        card: CardId::new("c2").unwrap(),
        by: "desk".to_owned(),
        member: member("n"),
    });
    for (input, telemetry, refusal) in [
        (space(256, true), true, None),
        (space(255, true), false, None),
        (space(128, true), false, None),
        (space(127, true), false, Some("127 MiB are free and 128 MiB are needed")),
        (space(0, true), false, Some("0 MiB are free")),
        (space(512, false), false, Some("no room for the reserve")),
    ] {
        let outcome = bench.ok(input.clone());
        assert!(
            outcome.facts.is_empty(),
            "how full the disk is is no fact of the station's"
        );
        assert_eq!(bench.site.keeps_telemetry(), telemetry, "{input:?}");
        match refusal {
            None => assert_eq!(bench.site.takes_no_orders(), None, "{input:?}"),
            Some(why) => {
                let place = bench.place_input("n", "P2", "20");
                let rejected = bench.refused(place);
                assert!(matches!(rejected, Rejected::NotTakingOrders(_)), "{rejected}");
                assert!(rejected.to_string().contains(why), "{rejected}");
                let swipe = ack(&bench.swipe("P2", "c2"));
                assert_eq!(swipe.result, AckResult::Rejected);
                assert!(swipe.detail.contains("takes no new orders"), "{}", swipe.detail);
                bench.advance(11_000);
            }
        }
    }
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "1000", "1005");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Ok);
    assert_eq!(bench.state(&id), State::Payed);
    bench.ok(space(1_000, true));
    assert!(bench.site.keeps_telemetry());
    bench.place("n", "P2", "20");
}

/// Records of orders that nobody knows.
fn orphan(bench: &mut Bench, n: u32) -> Record {
    let now = bench.now;
    bench.record_since("P1", &order_id(&format!("nobodys-{n}")), now, "1000", "1001")
}

#[test]
fn a_full_quarantine_refuses_without_acknowledging_until_a_person_makes_room() {
    let mut bench = Bench::with(Policy {
        quarantine_bytes_max: 4_096,
        ..Policy::default()
    });
    let (id, start) = bench.charge("m", "P1", "30");
    let mut kept = Vec::new();
    let refused = loop {
        let record = orphan(&mut bench, kept.len() as u32);
        let outcome = bench.send_record("P1", &record);
        match &outcome.answer {
            Ok(_) => {
                assert_eq!(ack(&outcome).result, AckResult::Orphan);
                kept.push((outcome.facts[0].0.seq, record));
            }
            Err(Rejected::QuarantineFull { pile, kept, most }) => {
                assert_eq!((pile.as_str(), *most), ("P1", 4_096));
                assert!((2_000..=4_096).contains(kept), "{kept}");
                assert!(
                    outcome.facts.is_empty() && outcome.effects.is_empty(),
                    "not a word of it"
                );
                break record;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(kept.len() < 100);
    };
    assert!(kept.len() > 2);
    assert!(bench.site.presence(&pile("P1")).unwrap().quarantine_full);
    let garbage = |text: String| Input::Unreadable {
        pile: pile("P1"),
        kind: Some(UpKind::Record),
        fault: read_up(UpKind::Record, text.as_bytes()).unwrap_err(),
        raw: Raw::Text(text),
    };
    let rejected = bench.refused(garbage("x".repeat(3_000)));
    assert!(matches!(rejected, Rejected::QuarantineFull { .. }), "{rejected}");

    // What is kept already is answered as before, and what has an order settles.
    let again = bench.send_record("P1", &kept[0].1);
    assert_eq!((ack(&again).result, again.facts.len()), (AckResult::Orphan, 0));
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "1000", "1005");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Ok);
    assert_eq!(bench.state(&id), State::Payed);
    // Another pile's is another quarantine.
    let mut elsewhere = orphan(&mut bench, 999);
    elsewhere.order_id = order_id("nobodys-999");
    assert_eq!(ack(&bench.send_record("P2", &elsewhere)).result, AckResult::Orphan);

    // It is still full after a restart, and room is made by a person alone.
    bench.restart(true);
    assert!(bench.send_record("P1", &refused).answer.is_err());
    for item in [kept[0].0, kept[1].0] {
        bench.ok(Input::CloseQuarantine {
            item,
            bill_to: None,
            despite: Vec::new(),
            typed: None,
            reason: "a test of the maker's".to_owned(),
            by: "desk".to_owned(),
        });
    }
    assert_eq!(ack(&bench.send_record("P1", &refused)).result, AckResult::Orphan);
    assert!(!bench.site.presence(&pile("P1")).unwrap().quarantine_full);
    let counted = bench.disk.piles[&pile("P1")].quarantined_bytes;
    assert_eq!(bench.replayed().piles[&pile("P1")].quarantined_bytes, counted);
    assert!(counted > 0 && counted <= 4_096, "{counted}");
}

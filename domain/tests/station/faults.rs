//! When a connector is at fault, by whoever told it: events, heartbeats, boots, records and people.

use crate::bench::*;
use domain::{
    fact::Fact,
    faults::FaultState,
    ids::ConnectorNo,
    messages::{ConnectorReport, ConnectorStatus, Event, EventKind, Up},
    pile::{Connector, Pile},
    site::{Changes, Input, Rows},
};

/// Whether connector 1 of P1 takes no orders for a fault, on disk.
fn is_at_fault(bench: &Bench) -> bool {
    bench.disk.piles[&pile("P1")].connectors[&ConnectorNo(1)]
        .fault
        .is_at_fault()
}

/// How many faults of P1 count.
fn counted(bench: &Bench) -> usize {
    bench.disk.piles[&pile("P1")].faults.len()
}

/// Heartbeats without faults for so long, four a minute.
fn well_for(bench: &mut Bench, ms: u64) {
    for _ in 0..ms / (15 * SECOND) {
        bench.advance(15 * SECOND);
        bench.idle("P1");
    }
}

fn back_to_work() -> Input {
    Input::SetMaintenance {
        pile: pile("P1"),
        reason: None,
        by: "engineer".to_owned(),
    }
}

#[test]
fn a_fault_told_by_an_event_is_not_undone_by_the_next_heartbeat_without_faults() {
    let mut bench = Bench::new();
    bench.event("P1", EventKind::Fault);
    bench.idle("P1");
    let place = bench.place_input("m", "P1", "50");
    assert_eq!(bench.refused(place.clone()).code(), "connector_unavailable");
    well_for(&mut bench, 5 * MINUTE - 15 * SECOND);
    assert_eq!(bench.refused(place.clone()).code(), "connector_unavailable");
    // A pile that never says `fault_cleared` has a way back all the same.
    well_for(&mut bench, 15 * SECOND);
    bench.ok(place);
    assert_eq!(counted(&bench), 1);
}

#[test]
fn the_five_minutes_begin_anew_when_the_station_restarts_and_the_fault_stays() {
    let mut bench = Bench::new();
    bench.event("P1", EventKind::Fault);
    bench.idle("P1");
    well_for(&mut bench, 4 * MINUTE);
    bench.restart(true);
    bench.connect("P1");
    bench.idle("P1");
    well_for(&mut bench, 4 * MINUTE);
    assert!(is_at_fault(&bench));
    well_for(&mut bench, MINUTE);
    assert!(!is_at_fault(&bench));
}

#[test]
fn an_emergency_stop_holds_until_it_is_cleared() {
    let mut bench = Bench::new();
    bench.event("P1", EventKind::Estop);
    bench.idle("P1");
    well_for(&mut bench, HOUR);
    assert!(is_at_fault(&bench));
    bench.connect("P1"); // the same boot
    well_for(&mut bench, HOUR);
    assert!(is_at_fault(&bench));
    bench.event("P1", EventKind::FaultCleared);
    assert!(!is_at_fault(&bench));
    assert_eq!(counted(&bench), 0, "somebody pressed it; the pile is not broken");
}

#[test]
fn an_emergency_stop_ends_with_a_new_boot_and_then_five_minutes_without_faults() {
    for restarts in [false, true] {
        let mut bench = Bench::new();
        bench.event("P1", EventKind::Estop);
        bench.idle("P1");
        well_for(&mut bench, HOUR);
        bench.restart_pile("P1");
        bench.connect("P1");
        assert!(is_at_fault(&bench), "a boot alone does not say that it was released");
        if restarts {
            bench.restart(true);
            bench.connect("P1");
        }
        bench.idle("P1");
        well_for(&mut bench, 4 * MINUTE);
        assert!(is_at_fault(&bench));
        well_for(&mut bench, MINUTE);
        assert!(!is_at_fault(&bench), "station restarted: {restarts}");
    }
}

#[test]
fn a_new_boot_ends_a_fault_that_an_event_told_also_where_the_counts_alone_tell_of_it() {
    let mut bench = Bench::new();
    bench.event("P1", EventKind::Fault);
    bench.restart_pile("P1");
    bench.connect("P1");
    assert!(!is_at_fault(&bench));

    // A pile that uses one name for all its starts.
    bench.advance(HOUR);
    bench.idle("P1");
    bench.event("P1", EventKind::Fault);
    bench.advance(MINUTE);
    let boot = bench.sim("P1").boot.clone();
    bench.restart_pile("P1");
    bench.sim("P1").boot = boot;
    bench.advance(SECOND);
    bench.connect("P1");
    assert!(bench.kinds().contains(&"PileRestarted".to_owned()));
    assert!(!is_at_fault(&bench));
}

#[test]
fn what_a_pile_tells_late_of_its_start_before_ends_as_if_its_boot_came_after_it() {
    for (kind, ends_at_once) in [(EventKind::Fault, true), (EventKind::Estop, false)] {
        let mut bench = Bench::new();
        bench.idle("P1");
        let late = bench.message(
            "P1",
            Up::Event(Event {
                connector: ConnectorNo(1),
                kind,
                code: 3,
                text: String::new(),
            }),
        );
        bench.disconnect("P1", false);
        bench.restart_pile("P1");
        bench.connect("P1");
        bench.ok(late);
        assert_eq!(!is_at_fault(&bench), ends_at_once, "{kind:?}");
        bench.idle("P1");
        well_for(&mut bench, 5 * MINUTE);
        assert!(!is_at_fault(&bench), "{kind:?}");
    }
}

#[test]
fn three_pairs_in_a_second_are_one_fault() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.event("P1", EventKind::Fault);
        bench.advance(150);
        bench.event("P1", EventKind::FaultCleared);
        bench.advance(150);
    }
    assert_eq!(counted(&bench), 1);
    assert_eq!(bench.disk.piles[&pile("P1")].maintenance, None);
    let noted = bench.kinds().into_iter().filter(|kind| kind == "PileEvent").count();
    assert_eq!(noted, 6, "all of it is in the pile's log");
}

#[test]
fn three_pairs_of_heartbeats_in_a_minute_are_one_fault() {
    let mut bench = Bench::new();
    let broken = ConnectorReport {
        no: ConnectorNo(1),
        status: ConnectorStatus::Idle,
        order_id: None,
        voltage_v: None,
        current_a: None,
        soc_pct: None,
        temp_c: None,
        meter_kwh: kwh("1000"),
        faults: vec!["contactor".to_owned()],
    };
    for _ in 0..3 {
        bench.report("P1", broken.clone());
        assert!(is_at_fault(&bench));
        bench.advance(10 * SECOND);
        bench.idle("P1");
        assert!(!is_at_fault(&bench), "what a heartbeat told the next one ends");
        bench.advance(10 * SECOND);
    }
    assert_eq!(
        (counted(&bench), &bench.disk.piles[&pile("P1")].maintenance),
        (1, &None)
    );
}

#[test]
fn a_record_that_comes_late_does_not_count_again_the_fault_that_an_event_told() {
    for told in [false, true] {
        let mut bench = Bench::new();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, HOUR, "1006");
        let mut record = bench.record_since("P1", &id, start, "1000", "1006");
        record.reason.code = 1;
        if told {
            bench.event("P1", EventKind::Fault);
            bench.advance(SECOND);
            bench.event("P1", EventKind::FaultCleared);
        }
        bench.disconnect("P1", false);
        bench.advance(3 * HOUR);
        bench.connect("P1");
        bench.send_record("P1", &record);
        assert_eq!(counted(&bench), 1, "told before: {told}");
        assert!(!is_at_fault(&bench), "its session is long over");
    }
}

#[test]
fn a_person_ends_every_fault_by_putting_the_pile_to_work_fenced_off_or_not() {
    for kind in [EventKind::Fault, EventKind::Estop] {
        let mut bench = Bench::new();
        bench.event("P1", kind);
        bench.ok(back_to_work());
        assert!(!is_at_fault(&bench), "{kind:?}");
        let facts = bench.facts.len();
        bench.ok(back_to_work());
        assert_eq!(bench.facts.len(), facts, "asked again nothing happens");

        bench.event("P1", kind);
        bench.ok(Input::SetMaintenance {
            pile: pile("P1"),
            reason: Some("cable".to_owned()),
            by: "engineer".to_owned(),
        });
        assert!(is_at_fault(&bench));
        bench.ok(back_to_work());
        assert!(!is_at_fault(&bench), "{kind:?}");
        bench.idle("P1");
        bench.place("m", "P1", "50");
    }
}

#[test]
fn facts_from_before_it_was_written_down_who_told_them_replay_to_what_they_were() {
    let mut bench = Bench::new();
    for kind in [
        EventKind::Fault,
        EventKind::FaultCleared,
        EventKind::Fault,
        EventKind::FaultCleared,
        EventKind::Estop,
    ] {
        bench.event("P1", kind);
        bench.advance(SECOND);
    }
    let mut rows = Rows::default();
    for (stamp, fact) in &bench.facts {
        let mut written = serde_json::to_value(fact).unwrap();
        if let Some(event) = written.get_mut("PileEvent") {
            let event = event.as_object_mut().unwrap();
            assert!(event.remove("told_by").is_some() && event.remove("counts").is_some());
        }
        let read: Fact = serde_json::from_value(written).unwrap();
        rows.apply(*stamp, &read, &mut Changes::default());
    }
    let row = &rows.piles[&pile("P1")];
    assert_eq!(row.faults.len(), 2, "every fault counted then, and nothing else did");
    assert!(row.connectors[&ConnectorNo(1)].fault.is_at_fault());
    assert!(!row.connectors[&ConnectorNo(1)].fault.is_stopped());
}

#[test]
fn a_row_that_says_only_whether_a_connector_is_faulted_is_read() {
    let mut bench = Bench::new();
    for faulted in [false, true] {
        let known: &Pile = &bench.disk.piles[&pile("P1")];
        let mut row = serde_json::to_value(known).unwrap();
        let connector = row["connectors"]["1"].as_object_mut().unwrap();
        connector.remove("fault").unwrap();
        connector.insert("faulted".to_owned(), faulted.into());
        let read: Pile = serde_json::from_value(row).unwrap();
        let connector: &Connector = &read.connectors[&ConnectorNo(1)];
        assert_eq!(connector.fault, FaultState::of_flag(faulted));
        bench.disk.piles.insert(pile("P1"), read);
    }
    // As it did then, it ends with the next heartbeat.
    bench.restart(true);
    bench.connect("P1");
    assert!(is_at_fault(&bench));
    bench.idle("P1");
    assert!(!is_at_fault(&bench));
}

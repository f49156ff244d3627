//! Piles that come, fault, drop and go: S05 §5.

use crate::bench::*;
use domain::{
    fact::Fact,
    ids::ConnectorNo,
    messages::{AckResult, Boot, BootConnector, ConnectorReport, ConnectorStatus, EventKind, Up},
    order::State,
    site::{Decision, Input, Rejected},
};

fn maintenance(bench: &Bench, id: &str) -> Option<String> {
    let row = &bench.disk.piles[&pile(id)];
    row.maintenance
        .as_ref()
        .map(|maintenance| format!("{}: {}", maintenance.by, maintenance.reason))
}

#[test]
fn three_faults_in_a_day_send_a_pile_to_maintenance_where_it_takes_no_orders() {
    let mut bench = Bench::new();
    for n in 1..=3 {
        bench.event("P1", EventKind::Fault);
        bench.event("P1", EventKind::Fault);
        assert_eq!(
            bench.disk.piles[&pile("P1")].faults.len(),
            n,
            "one fault is reported once"
        );
        bench.event("P1", EventKind::FaultCleared);
        bench.advance(HOUR);
    }
    assert_eq!(maintenance(&bench, "P1").as_deref(), Some("holdfast: 3 faults in 24 h"));
    let place = bench.place_input("m", "P1", "50");
    assert_eq!(bench.refused(place.clone()).code(), "pile_in_maintenance");
    bench.ok(Input::SetMaintenance {
        pile: pile("P1"),
        reason: None,
        by: "engineer".to_owned(),
    });
    bench.ok(place);
}

#[test]
fn five_drops_in_a_day_send_a_pile_to_maintenance_and_its_order_goes_on() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    for _ in 0..5 {
        assert_eq!(maintenance(&bench, "P1"), None);
        bench.disconnect("P1", true);
        bench.advance(10 * SECOND);
        bench.connect("P1");
        bench.advance(MINUTE);
    }
    assert_eq!(maintenance(&bench, "P1").as_deref(), Some("holdfast: 5 drops in 24 h"));
    let record = bench.record_since("P1", &id, start, "1000", "1000.5");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed);
}

#[test]
fn drops_that_are_not_the_piles_doing_do_not_count() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.disconnect("P1", false); // clean, or taken over
        bench.advance(MINUTE);
        bench.connect("P1");
    }
    for _ in 0..6 {
        for id in ["P1", "P2", "P3"] {
            bench.disconnect(id, true); // the switch lost power
        }
        bench.advance(10 * MINUTE);
        for id in ["P1", "P2", "P3"] {
            bench.connect(id);
        }
        bench.advance(MINUTE);
    }
    assert!(!bench.kinds().contains(&"PileDropped".to_owned()));
}

#[test]
fn a_pile_that_flaps_within_a_verdict_has_dropped_once() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.disconnect("P1", true);
        bench.advance(5 * SECOND);
        bench.connect("P1");
        bench.advance(5 * SECOND);
    }
    bench.advance(MINUTE);
    assert_eq!(bench.disk.piles[&pile("P1")].drops.len(), 1);
}

#[test]
fn a_pile_with_an_order_running_is_not_removed() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    let remove = Input::RemovePile {
        pile: pile("P1"),
        by: "engineer".to_owned(),
    };
    assert_eq!(
        bench.refused(remove.clone()),
        Rejected::PileBusy {
            pile: pile("P1"),
            order: id.clone()
        }
    );
    bench.advance(HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    bench.ok(remove);
}

#[test]
fn a_removed_pile_is_heard_no_more_except_for_its_records() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", true);
    bench.advance(72 * HOUR);
    bench.ok(Bench::close_input(&id));
    bench.ok(Input::RemovePile {
        pile: pile("P1"),
        by: "engineer".to_owned(),
    });
    let facts = bench.facts.len();
    assert_eq!(ack(&bench.boot("P1")).result, AckResult::Rejected);
    assert_eq!(ack(&bench.event("P1", EventKind::Fault)).result, AckResult::Rejected);
    assert_eq!(ack(&bench.swipe("P1", "c1")).result, AckResult::Rejected);
    bench.charging("P1", &id);
    assert_eq!(bench.facts.len(), facts);
    assert!(bench.site.presence(&pile("P1")).is_none());
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Ok);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, &order.suspicions[..]),
        (State::Payed, &[][..]),
        "nobody follows its clock any more, but what was measured of it stays"
    );
    assert_eq!(order.ending.unwrap().start.at, start.wall);
    bench.ok(Input::ProvisionPile {
        pile: pile("P1"),
        by: "setup".to_owned(),
    });
    bench.connect("P1");
    bench.idle("P1");
    bench.place("m", "P1", "10");
}

#[test]
fn a_pile_nobody_knows_leaves_no_trace_but_its_records() {
    let mut bench = Bench::new();
    let sim = bench.sim("P1").clone();
    bench.piles.insert(pile("X"), sim);
    assert_eq!(ack(&bench.boot("X")).result, AckResult::Rejected);
    bench.idle("X");
    assert!(bench.site.presence(&pile("X")).is_none());
    let start = bench.now;
    let record = bench.record_since("X", &order_id("o"), start, "1", "2");
    assert_eq!(ack(&bench.send_record("X", &record)).result, AckResult::Orphan);
    assert_eq!(
        bench.refused(Input::Connected { pile: pile("X") }),
        Rejected::UnknownPile(pile("X"))
    );
}

#[test]
fn a_boot_that_says_nothing_new_is_not_journaled() {
    let mut bench = Bench::new();
    let facts = bench.facts.len();
    bench.connect("P1");
    assert_eq!(bench.facts.len(), facts);
    bench.restart_pile("P1");
    bench.connect("P1");
    assert!(matches!(bench.facts.last(), Some((_, Fact::PileBooted { .. }))));
}

#[test]
fn a_swapped_meter_begins_anew_after_its_boot() {
    // The first session after it waits for a person: `energy.rs`.
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    bench.idle("P1");
    bench.sim("P1").meter = kwh("3");
    bench.restart_pile("P1");
    bench.connect("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "8");
    let record = bench.record_since("P1", &id, start, "3", "8");
    bench.send_record("P1", &record);
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(
        (bench.state(&id), bench.order(&id).paid.charged()),
        (State::Payed, "5".parse().unwrap())
    );
    assert!(!bench.kinds().contains(&"RegisterGapFound".to_owned()));
}

#[test]
fn a_reply_to_no_command_is_counted_and_answered() {
    let mut bench = Bench::new();
    let facts = bench.facts.len();
    let reply = domain::messages::Reply {
        command_id: "what".parse().unwrap(),
        ok: true,
        code: 0,
        message: String::new(),
        meter_kwh: None,
    };
    assert_eq!(ack(&bench.say("P1", Up::Reply(reply))).result, AckResult::Rejected);
    assert_eq!(bench.site.ignored()["reply_to_unknown_command"], 1);
    assert_eq!(bench.facts.len(), facts);
}

#[test]
fn a_boot_in_watts_is_refused_in_words_and_what_was_known_stands() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.sim("P1").max_kw = "7000".parse().unwrap();
    bench.restart_pile("P1");
    let facts = bench.facts.len();
    let said = ack(&bench.connect("P1"));
    assert_eq!(said.result, AckResult::Rejected);
    assert!(said.detail.contains("write it in kW, not in W"), "{}", said.detail);
    assert_eq!(
        bench.kinds()[facts..],
        ["PileClocksMeasured"],
        "when it started is known; nothing of what it says of itself is taken"
    );
    let power_of = |bench: &Bench| bench.disk.piles[&pile("P1")].connectors[&ConnectorNo(1)].power_max;
    assert_eq!(power_of(&bench), Some("7".parse().unwrap()));
    assert_eq!(bench.state(&id), State::Charging);

    bench.sim("P1").max_kw = "11".parse().unwrap();
    assert_eq!(ack(&bench.boot("P1")).result, AckResult::Ok);
    assert_eq!(power_of(&bench), Some("11".parse().unwrap()));
}

#[test]
fn a_boot_that_lists_a_connector_twice_is_refused() {
    let mut bench = Bench::new();
    let connector = |meter: &str| BootConnector {
        no: ConnectorNo(1),
        max_kw: Some("7".parse().unwrap()),
        meter_kwh: kwh(meter),
        order_id: None,
    };
    let boot = Boot {
        vendor: "v".to_owned(),
        model: "m".to_owned(),
        firmware: "2".to_owned(),
        connectors: vec![connector("1000"), connector("77")],
    };
    let said = ack(&bench.say("P1", Up::Boot(boot)));
    assert_eq!(
        (said.result, said.detail.as_str()),
        (
            AckResult::Rejected,
            "connectors[1].no: connector 1 is listed twice; list each connector once"
        )
    );
}

#[test]
fn a_boot_whose_maximum_cannot_be_read_says_nothing_against_the_known_one() {
    let mut bench = Bench::new();
    let boot = Boot {
        vendor: "v".to_owned(),
        model: "m".to_owned(),
        firmware: "2".to_owned(),
        connectors: vec![BootConnector {
            no: ConnectorNo(1),
            max_kw: None,
            meter_kwh: kwh("1000"),
            order_id: None,
        }],
    };
    assert_eq!(ack(&bench.say("P1", Up::Boot(boot))).result, AckResult::Ok);
    let row = &bench.disk.piles[&pile("P1")];
    assert_eq!(row.make.firmware, "2");
    assert_eq!(row.connectors[&ConnectorNo(1)].power_max, Some("7".parse().unwrap()));
}

#[test]
fn a_connector_of_unknown_power_shows_none_and_is_not_judged_by_it() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    for _ in 0..60 {
        bench.advance(15 * SECOND);
        bench.report(
            "P1",
            ConnectorReport {
                no: ConnectorNo(1),
                status: ConnectorStatus::Charging,
                order_id: Some(id.clone()),
                voltage_v: None,
                current_a: Some(30.0),
                soc_pct: None,
                temp_c: None,
                meter_kwh: kwh("1000"),
                faults: Vec::new(),
            },
        );
    }
    let view = bench.site.view(&bench.order(&id), bench.now);
    assert_eq!(
        (view.power_kw, view.voltage_v, view.current_a),
        (None, None, Some(30.0))
    );
    assert!(!bench.kinds().contains(&"FakeChargingSeen".to_owned()));
}

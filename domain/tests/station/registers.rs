//! Where a register is: whoever said it, what the pile says from then on has the last word, and every doubt has a way back.

use crate::bench::*;
use domain::{
    energy::Finding,
    fact::Fact,
    ids::{CardId, OrderId},
    messages::ConnectorStatus,
    meter::Suspicion,
    order::State,
    pile::Connector,
    policy::Policy,
    quarantine::CoveredBy,
    register::SessionId,
    site::{Decision, Input, Rejected},
    time::Day,
    units::Energy,
};

fn connector(bench: &Bench) -> Connector {
    bench.disk.piles[&pile("P1")].connectors[&outlet("P1").connector].clone()
}

fn said(bench: &Bench, kind: &str) -> usize {
    bench.kinds().iter().filter(|known| *known == kind).count()
}

/// The connector says in so many heartbeats, 15 s apart, that it is idle and reads this.
fn reads(bench: &mut Bench, times: usize, register: &str) {
    bench.sim("P1").meter = kwh(register);
    for _ in 0..times {
        bench.advance(15 * SECOND);
        bench.idle("P1");
    }
}

fn boots_at(bench: &mut Bench, register: &str) {
    bench.sim("P1").meter = kwh(register);
    bench.restart_pile("P1");
    bench.connect("P1");
}

/// A session of an hour, whose record and register both say `from` to `to`.
fn session(bench: &mut Bench, from: &str, to: &str) -> OrderId {
    bench.sim("P1").meter = kwh(from);
    let (id, start) = bench.charge("m", "P1", "30");
    bench.deliver("P1", &id, HOUR, to);
    let record = bench.record_since("P1", &id, start, from, to);
    bench.send_record("P1", &record);
    bench.idle("P1");
    id
}

/// It is settled, and by nobody's doubt.
fn is_paid(bench: &Bench, id: &OrderId) {
    let order = bench.order(id);
    assert_eq!((order.state, &order.suspicions[..]), (State::Payed, &[][..]));
}

/// Another session has paid for some of it already, and that is all that a person has to look at.
fn is_paid_for_by(bench: &Bench, id: &OrderId, other: &OrderId) {
    let order = bench.order(id);
    let by = CoveredBy::Order(other.clone());
    assert_eq!(order.state, State::Review);
    assert!(
        matches!(&order.suspicions[..], [Suspicion::AlreadyAccounted { by: paid, .. }] if *paid == by),
        "{:?}",
        order.suspicions
    );
}

fn clear() -> Input {
    Input::ClearMeter {
        pile: pile("P1"),
        reason: "looked at it".to_owned(),
        by: "service".to_owned(),
    }
}

/// All reports until the day after next: what orders billed, and what registers moved.
fn summed(bench: &mut Bench) -> (Energy, Energy, Vec<&'static str>) {
    bench.advance(2 * DAY);
    let replayed = bench.replayed();
    assert_eq!(replayed.piles, bench.disk.piles);
    assert_eq!(replayed.energy_reports, bench.disk.energy_reports);
    assert!(
        bench
            .disk
            .energy_reports
            .contains_key(&Day::parse("2026-03-02").unwrap())
    );
    let (mut billed, mut register, mut classes) = (Energy::ZERO, Energy::ZERO, Vec::new());
    for report in bench.disk.energy_reports.values() {
        let connectors = report.connectors.iter().filter(|one| one.outlet == outlet("P1"));
        for one in connectors {
            billed += one.sums.billed;
            register += one.sums.register();
            classes.extend(one.sums.findings.iter().map(Finding::class));
        }
        for late in &report.adjustments {
            billed += late.change.billed;
            register += late.change.register();
        }
    }
    (billed, register, classes)
}

/// The record says 1007.5 and is believed; every heartbeat says 1003.
fn record_too_high(bench: &mut Bench) -> OrderId {
    let (id, start) = bench.charge("m", "P1", "30");
    bench.deliver("P1", &id, HOUR, "1003");
    let record = bench.record_since("P1", &id, start, "1000", "1007.5");
    bench.send_record("P1", &record);
    if bench.state(&id) == State::Review {
        bench.ok(Bench::decide_input(&id, Decision::AsIs));
    }
    assert_eq!(connector(bench).register, Some(kwh("1007.5")));
    id
}

#[test]
fn a_register_that_a_record_put_too_high_is_where_the_next_heartbeats_say() {
    let mut bench = Bench::new();
    let too_high = record_too_high(&mut bench);
    reads(&mut bench, 2, "1003");
    assert_eq!(connector(&bench).register, Some(kwh("1003")));
    let next = session(&mut bench, "1003", "1006");
    assert_eq!(bench.order(&next).baseline, Some(kwh("1003")));
    is_paid_for_by(&bench, &next, &too_high);
    boots_at(&mut bench, "1006");
    reads(&mut bench, 2, "1006");
    assert_eq!(
        (said(&bench, "RegisterRolledBack"), connector(&bench).meters_before),
        (0, 0)
    );
}

#[test]
fn a_register_that_an_approved_bill_put_too_high_is_where_the_next_heartbeats_say() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 10 * MINUTE, "1001");
    let record = bench.record_since("P1", &id, start, "1000", "1020");
    bench.send_record("P1", &record);
    bench.idle("P1");
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    reads(&mut bench, 2, "1001");
    boots_at(&mut bench, "1001");
    let next = session(&mut bench, "1001", "1006");
    is_paid_for_by(&bench, &next, &id);
    assert_eq!(
        (said(&bench, "RegisterRolledBack"), connector(&bench).meters_before),
        (0, 0)
    );
}

#[test]
fn a_boot_that_says_less_than_a_record_did_is_no_other_meter_where_the_heartbeats_agree_with_it() {
    let mut bench = Bench::new();
    record_too_high(&mut bench);
    reads(&mut bench, 1, "1003");
    boots_at(&mut bench, "1003");
    assert_eq!(
        (said(&bench, "RegisterRolledBack"), connector(&bench).meters_before),
        (0, 0)
    );
}

#[test]
fn clearing_a_meter_puts_the_register_where_the_pile_reads_it_whatever_is_marked() {
    let mut bench = Bench::new();
    let id = session(&mut bench, "1000", "1005");
    is_paid(&bench, &id);
    reads(&mut bench, 2, "1005.5");
    bench.ok(clear());
    assert_eq!(connector(&bench).register, Some(kwh("1005.5")));
    let facts = bench.facts.len();
    bench.ok(clear());
    assert_eq!(bench.facts.len(), facts, "asking again changes nothing");
}

#[test]
fn a_meter_that_read_lower_for_a_while_has_its_old_book_back() {
    for (lower, times) in [("0", 25), ("5", 4)] {
        let mut bench = Bench::new();
        let first = session(&mut bench, "1000", "1004");
        is_paid(&bench, &first);
        reads(&mut bench, times, lower);
        assert_eq!(said(&bench, "RegisterRolledBack"), 1, "{lower}");
        reads(&mut bench, 4, "1004");
        let now = connector(&bench);
        assert_eq!((now.register, now.rollback), (Some(kwh("1004")), None), "{lower}");
        assert!(now.book.session(&SessionId::Order(first)).is_some(), "{lower}");
        let next = session(&mut bench, "1004", "1006");
        is_paid(&bench, &next);
        let (billed, register, classes) = summed(&mut bench);
        assert_eq!(
            (billed, register, classes),
            (kwh("6"), kwh("6"), vec!["ROLLBACK"]),
            "{lower}"
        );
    }
}

#[test]
fn a_boot_before_the_meter_could_be_read_begins_no_other_meter() {
    let mut bench = Bench::new();
    let first = session(&mut bench, "1000", "1004");
    boots_at(&mut bench, "0");
    reads(&mut bench, 3, "1004");
    let now = connector(&bench);
    assert_eq!((now.register, now.rollback, now.jump), (Some(kwh("1004")), None, None));
    assert!(now.book.session(&SessionId::Order(first)).is_some());
    let next = session(&mut bench, "1004", "1006");
    is_paid(&bench, &next);
    let (billed, register, _) = summed(&mut bench);
    assert_eq!((billed, register), (kwh("6"), kwh("6")));
}

#[test]
fn an_order_that_was_placed_after_such_a_boot_is_of_the_meter_that_came_back() {
    let mut bench = Bench::new();
    session(&mut bench, "1000", "1004");
    boots_at(&mut bench, "0");
    let id = bench.place("m", "P1", "30");
    reads(&mut bench, 3, "1004");
    let command = bench.order(&id).commands[0].id.clone();
    bench.reply("P1", &command, true);
    bench.charging("P1", &id);
    let start = bench.now;
    bench.deliver("P1", &id, HOUR, "1009");
    let record = bench.record_since("P1", &id, start, "1004", "1009");
    bench.send_record("P1", &record);
    is_paid(&bench, &id);
    let (billed, register, _) = summed(&mut bench);
    assert_eq!((billed, register), (kwh("9"), kwh("9")));
}

#[test]
fn sessions_of_a_meter_that_was_there_for_a_while_stay_its_own() {
    let mut bench = Bench::new();
    session(&mut bench, "1000", "1004");
    boots_at(&mut bench, "0");
    let between = session(&mut bench, "0", "5");
    bench.ok(Bench::decide_input(&between, Decision::AsIs));
    // The meter of before is put back in.
    boots_at(&mut bench, "1004");
    reads(&mut bench, 3, "1004");
    if connector(&bench).jump.is_some() {
        bench.ok(clear());
    }
    let next = session(&mut bench, "1004", "1006");
    is_paid(&bench, &next);
    let (billed, register, classes) = summed(&mut bench);
    assert_eq!((billed, register), (kwh("11"), kwh("11")));
    assert!(!classes.contains(&"REGISTER_GAP"), "{classes:?}");
}

#[test]
fn a_person_can_give_a_meter_its_old_book_back() {
    let mut bench = Bench::new();
    session(&mut bench, "1000", "1004");
    reads(&mut bench, 4, "5");
    bench.ok(clear());
    assert_eq!(connector(&bench).rollback, None);
    bench.advance(2 * DAY);
    // What was cleared was wrong: another person looks, two days later.
    reads(&mut bench, 4, "1004");
    bench.ok(clear());
    let next = session(&mut bench, "1004", "1006");
    is_paid(&bench, &next);
    let (billed, register, classes) = summed(&mut bench);
    assert_eq!((billed, register, classes), (kwh("6"), kwh("6"), vec!["ROLLBACK"]));
}

#[test]
fn a_late_session_of_the_meter_before_is_told_by_where_that_one_ended() {
    let mut bench = Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    });
    session(&mut bench, "1000", "1004");
    bench.disconnect("P1", true);
    let old = bench.now;
    bench.advance(HOUR);
    let off = order_id("off-P1-1-7");
    let mut stored = bench.record_since("P1", &off, old, "1004", "1009");
    stored.offline = true;
    stored.card_id = Some("c1".parse().unwrap());
    stored.session_boot_id = Some(bench.sim("P1").boot.parse().unwrap());
    bench.advance(MINUTE);
    boots_at(&mut bench, "0");
    let new = session(&mut bench, "0", "5");
    bench.ok(Bench::decide_input(&new, Decision::AsIs));
    bench.send_record("P1", &stored);
    let order = bench.order(&off);
    assert_eq!(order.meter, 0);
    if order.state == State::Review {
        bench.ok(Bench::decide_input(&off, Decision::AsIs));
    }
    let now = connector(&bench);
    assert_eq!(
        (now.register, now.book.explained_to()),
        (Some(kwh("5")), Some(kwh("5")))
    );
    let next = session(&mut bench, "5", "7");
    is_paid(&bench, &next);
    let (billed, register, classes) = summed(&mut bench);
    assert_eq!((billed, register, classes), (kwh("16"), kwh("16"), vec!["ROLLBACK"]));
}

#[test]
fn a_boot_in_whole_kwh_or_with_a_trembling_digit_is_no_other_meter() {
    for register in ["1005", "1005.3999", "1005.3987"] {
        let mut bench = Bench::new();
        session(&mut bench, "1000", "1005.4");
        boots_at(&mut bench, register);
        reads(&mut bench, 4, register);
        boots_at(&mut bench, register);
        let now = connector(&bench);
        assert_eq!(
            (said(&bench, "RegisterRolledBack"), now.meters_before),
            (0, 0),
            "{register}"
        );
        assert!(now.register >= Some(kwh("1005")), "{register}");
        let next = session(&mut bench, "1005.4", "1007");
        is_paid(&bench, &next);
    }
}

#[test]
fn a_record_without_energy_leaves_the_next_session_to_be_looked_at() {
    let mut bench = Bench::new();
    session(&mut bench, "1000", "1004");
    boots_at(&mut bench, "3");
    let (id, start) = bench.charge("m", "P1", "30");
    bench.advance(MINUTE);
    let record = bench.record_since("P1", &id, start, "3", "3");
    bench.send_record("P1", &record);
    bench.idle("P1");
    assert!(connector(&bench).rollback.is_some());
    if bench.state(&id) == State::Review {
        bench.ok(Bench::decide_input(&id, Decision::AsIs));
    }
    let next = session(&mut bench, "3", "8");
    let (known, found) = (kwh("1004"), kwh("3"));
    assert_eq!(
        bench.order(&next).suspicions,
        [Suspicion::RegisterLower { known, found }]
    );
}

#[test]
fn a_bill_of_the_meter_before_decides_nothing_about_the_one_that_is_there() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 10 * MINUTE, "1001");
    boots_at(&mut bench, "3");
    bench.idle("P1");
    let record = bench.record_since("P1", &id, start, "1000", "1020");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review, "20 kWh in ten minutes at 7 kW");
    reads(&mut bench, 1, "500");
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    reads(&mut bench, 1, "3");
    let now = connector(&bench);
    assert_eq!(
        (now.register, now.rollback.map(|lower| lower.found)),
        (Some(kwh("3")), Some(kwh("3")))
    );
    assert_eq!(bench.site.outlet(&outlet("P1")).unwrap().report.meter_kwh, kwh("3"));
}

#[test]
fn what_an_order_began_at_and_was_taken_back_since_is_no_gap_before_its_estimate() {
    let mut bench = Bench::new();
    let paid = session(&mut bench, "1000", "1004");
    is_paid(&bench, &paid);
    // Nobody has looked at the register yet when the next order begins there.
    reads(&mut bench, 3, "9000");
    assert!(connector(&bench).jump.is_some());
    let (id, _) = bench.charge("m", "P1", "30");
    assert_eq!(bench.order(&id).started.unwrap().register, Some(kwh("9000")));
    // The pile's board is changed: it knows nothing of the order, and its register never was that high.
    bench.advance(SECOND);
    boots_at(&mut bench, "1100");
    bench.advance(40 * MINUTE);
    assert!(bench.order(&id).estimated);
    let gaps = bench.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::RegisterGapFound { gap, .. } => Some((gap.last_known, gap.start)),
        _ => None,
    });
    assert_eq!(gaps.collect::<Vec<_>>(), [(kwh("1004"), kwh("1100"))]);
}

#[test]
fn a_meter_is_left_no_lower_than_where_an_order_began_on_it_though_the_last_telemetry_is_from_before() {
    let mut bench = Bench::new();
    session(&mut bench, "1000", "1004");
    let telemetry: Vec<_> = bench
        .site
        .outlets()
        .map(|(outlet, live)| (outlet.clone(), live.clone()))
        .collect();
    // Telemetry is written now and then, the order at once; then the power goes.
    reads(&mut bench, 3, "1005");
    let (id, _) = bench.charge("m", "P1", "30");
    assert_eq!(bench.order(&id).baseline, Some(kwh("1005")));
    bench.restart(false);
    for (outlet, live) in telemetry {
        bench.site.restore_live(outlet, live);
    }
    boots_at(&mut bench, "3");
    let left = bench.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::RegisterRolledBack { rollback, .. } => Some(rollback.known),
        _ => None,
    });
    assert_eq!(left.collect::<Vec<_>>(), [kwh("1005")]);
}

#[test]
fn a_first_boot_that_cannot_be_is_put_right_and_sessions_earn() {
    let mut bench = Bench::new();
    for (boot_again, clears) in [(false, false), (true, false), (true, true)] {
        boots_at(&mut bench, "42949672.95");
        let from = connector(&bench).register.unwrap();
        if boot_again {
            // Two heartbeats say so, too: it is taken for the register until it is said otherwise.
            reads(&mut bench, 2, "42949672.95");
            assert!(connector(&bench).jump.is_some());
        }
        if clears {
            bench.ok(clear());
            assert_eq!(connector(&bench).jump, None);
        }
        let from = if from > kwh("2000") { kwh("1000") } else { from };
        reads(&mut bench, 4, &from.to_string());
        bench.ok(clear());
        let to = (from + kwh("1")).to_string();
        let id = session(&mut bench, &from.to_string(), &to);
        is_paid(&bench, &id);
        assert_eq!(connector(&bench).register, Some(from + kwh("1")));
    }
    let (billed, register, classes) = summed(&mut bench);
    assert_eq!((billed, register), (kwh("3"), kwh("3")), "{classes:?}");
    assert!(bench.heartbeat("P1", ConnectorStatus::Idle, None).facts.is_empty());
}

#[test]
fn a_bill_that_a_person_sets_accounts_for_no_more_than_the_register_moved_since_it_was_known() {
    // A record that starts at zero, and the same as the connector's lifetime register: 5 kWh were delivered.
    let mut bench = Bench::new();
    reads(&mut bench, 1, "1000");
    let (id, start) = bench.charge("m", "P1", "30");
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "0", "1005");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
    let right = Decision::Corrected {
        electricity: yuan("3"),
        service: yuan("2"),
    };
    bench.ok(Bench::decide_input(&id, right));
    let book = connector(&bench).book;
    let session = book.session(&SessionId::Order(id)).unwrap();
    assert_eq!(
        (session.start.register, session.stop.register),
        (kwh("1000"), kwh("1005"))
    );
    assert_eq!(session.owned, kwh("5"));
}

#[test]
fn whoever_gives_an_order_another_record_is_told_who_accounts_for_it_on_the_orders_own_meter() {
    let mut bench = Bench::new();
    reads(&mut bench, 1, "1000");
    let start = bench.now;
    let (first, second) = (session(&mut bench, "1000", "1005"), session(&mut bench, "1005", "1010"));
    is_paid(&bench, &first);
    is_paid(&bench, &second);
    // The meter is replaced, and then the pile says that its first session went further.
    boots_at(&mut bench, "50");
    reads(&mut bench, 3, "50");
    let record = bench.record_since("P1", &first, start, "1000", "1006");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().last().unwrap();
    match bench.refused(Bench::close_item_input(item, Some("m"))) {
        Rejected::Covered { covers, .. } => {
            let covers: Vec<_> = covers.iter().map(|one| (&one.by, one.from, one.to)).collect();
            assert_eq!(covers, [(&CoveredBy::Order(second), kwh("1005"), kwh("1006"))]);
        }
        other => panic!("covers were expected, not {other:?}"),
    }
}

#[test]
fn a_late_session_whose_bill_a_person_sets_accounts_for_what_one_that_is_approved_does() {
    for decision in [
        Decision::AsIs,
        Decision::Corrected {
            electricity: yuan("3"),
            service: yuan("2"),
        },
    ] {
        let mut bench = Bench::with(Policy {
            offline_sessions: true,
            ..Policy::default()
        });
        reads(&mut bench, 1, "1000.0001");
        bench.disconnect("P1", true);
        let start = bench.now;
        bench.advance(HOUR);
        let mut late = bench.record_since("P1", &order_id("off-P1-1-1"), start, "1000.0001", "1005.0001");
        late.offline = true;
        late.card_id = Some(CardId::new("c1").unwrap());
        bench.sim("P1").meter = kwh("1005");
        bench.connect("P1");
        // A session that overlaps it within the step of the register is paid first, and what lies before it is a gap.
        let first = session(&mut bench, "1005.0000", "1010.0000");
        is_paid(&bench, &first);
        bench.send_record("P1", &late);
        assert_eq!(
            bench.state(&late.order_id),
            State::Review,
            "{:?}",
            bench.order(&late.order_id).suspicions
        );
        bench.ok(Bench::decide_input(&late.order_id, decision));
        let book = connector(&bench).book;
        let session = book
            .session(&SessionId::Order(late.order_id))
            .expect("it accounts for its readings");
        assert_eq!(
            (session.start.register, session.owned),
            (kwh("1000.0001"), kwh("4.9999"))
        );
        let gaps: Vec<_> = book
            .unrecorded()
            .iter()
            .map(|gap| (gap.span.from, gap.span.to))
            .collect();
        assert_eq!(
            gaps,
            [(kwh("1000"), kwh("1000.0001"))],
            "what was read before it while it was idle"
        );
    }
}

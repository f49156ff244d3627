//! A station that lost its clock: it goes on earning, and nothing is paid by a time that it cannot believe itself.

use crate::bench::*;
use domain::{
    fact::Fact,
    ids::{BootId, CardId, OrderId},
    meter::Suspicion,
    order::{Source, State},
    policy::Policy,
    quarantine::CoveredBy,
    site::{Decision, Input, Rejected},
    tariff::Tariff,
    time::{Now, Wall},
};

/// The machine starts again without its battery after a power cut of two hours; piles keep the right time.
fn loses_its_clock(bench: &mut Bench) -> Wall {
    loses_its_clock_for(bench, 2 * HOUR)
}

/// As above, after a power cut of so long; returns what the time is by the right clock.
fn loses_its_clock_for(bench: &mut Bench, off_ms: u64) -> Wall {
    let right = bench.now.wall.after_ms(off_ms as i64);
    bench.restart(true);
    bench.now.mono = bench.now.mono.after_ms(5_000);
    bench.now.wall = wall("1970-01-01T00:00:10Z");
    let ahead = right.ms_since(bench.now.wall);
    for id in ["P1", "P2", "P3"] {
        bench.restart_pile(id);
        bench.sim(id).clock_ahead_ms = Some(ahead);
        bench.connect(id);
    }
    right
}

/// The clock is put right, for instance by a person or a time server.
fn is_put_right(bench: &mut Bench) {
    let ahead = bench.sim("P1").clock_ahead_ms.unwrap();
    bench.now.wall = bench.now.wall.after_ms(ahead);
    for id in ["P1", "P2", "P3"] {
        bench.sim(id).clock_ahead_ms = Some(0);
    }
    bench.ok(Input::Tick);
}

/// 2 kWh within twenty minutes.
fn session(bench: &mut Bench, from: &str, to: &str) -> OrderId {
    let (id, start) = bench.charge("m", "P1", "20");
    bench.charging("P1", &id);
    bench.deliver("P1", &id, 20 * MINUTE, to);
    let record = bench.record_since("P1", &id, start, from, to);
    bench.send_record("P1", &record);
    bench.idle("P1");
    id
}

#[test]
fn a_station_that_lost_its_clock_takes_orders_and_believes_no_price_by_it() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    loses_its_clock(&mut bench);
    let id = session(&mut bench, "1000", "1002");
    let order = bench.order(&id);
    assert_eq!(order.state, State::Review);
    assert!(order.suspicions.contains(&Suspicion::StationClockInDoubt), "{order:?}");
    assert_eq!(
        order.tariff.as_str(),
        "t1",
        "what is certain bounds what may be in force"
    );
}

#[test]
fn what_waited_for_the_clock_alone_is_settled_at_the_right_time_when_it_comes() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    // At 15:30 by the right clock: flat, 1.00 yuan. By the wrong one it is 08:00: peak, 1.50.
    let right = loses_its_clock(&mut bench);
    let id = session(&mut bench, "1000", "1002");
    assert_eq!(bench.order(&id).bill().unwrap().fee(), yuan("3"));
    is_put_right(&mut bench);
    let order = bench.order(&id);
    assert_eq!((order.state, order.bill().unwrap().fee()), (State::Payed, yuan("2")));
    let start = order.ending.unwrap().start.at;
    assert!(
        start >= right && start <= right.after_ms(60_000),
        "{start} by the right clock, not {right}"
    );
    assert_eq!(
        bench.replayed_orders()[&id].clone().unwrap().into_row(),
        bench.order(&id)
    );
    let id = session(&mut bench, "1002", "1003");
    assert_eq!(bench.state(&id), State::Payed, "the doubt is over");
}

#[test]
fn what_waited_waits_for_a_person_if_the_clock_was_put_right_while_the_station_was_off() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    loses_its_clock(&mut bench);
    let id = session(&mut bench, "1000", "1002");
    bench.restart(true);
    is_put_right(&mut bench);
    assert!(bench.site.rows().clock.doubt.is_none());
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, yuan("0")));
    assert!(
        order.placed_at < wall("1970-01-02T00:00:00Z"),
        "nobody knows by how much the clock was put right"
    );
    // A later doubt is about later orders.
    loses_its_clock(&mut bench);
    is_put_right(&mut bench);
    assert_eq!(bench.state(&id), State::Review);
}

#[test]
fn what_waited_waits_for_a_person_if_the_clock_was_lost_again_while_the_station_was_off() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    loses_its_clock(&mut bench);
    let id = session(&mut bench, "1000", "1002");
    // A program that starts again loses nothing of the clock that went on meanwhile.
    bench.advance(MINUTE);
    bench.restart(true);
    bench.ok(Input::Tick);
    assert!(bench.order(&id).placed_in_doubt);
    let ahead = bench.sim("P1").clock_ahead_ms.unwrap();
    bench.now.wall = bench.now.wall.after_ms(ahead);
    loses_its_clock(&mut bench);
    is_put_right(&mut bench);
    assert!(bench.site.rows().clock.doubt.is_none());
    assert_eq!(bench.state(&id), State::Review, "how long it was off is not known");
}

#[test]
fn what_waited_waits_for_a_person_if_the_station_was_restored_meanwhile() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    loses_its_clock(&mut bench);
    let id = session(&mut bench, "1000", "1002");
    // Clock and elapsed time go on together from the entry that says so, whatever was before it.
    bench.advance(MINUTE);
    bench.restart(true);
    bench.site.was_just_restored();
    bench.ok(Input::Tick);
    is_put_right(&mut bench);
    assert!(bench.site.rows().clock.doubt.is_none());
    assert_eq!(bench.state(&id), State::Review, "how long it was off is not known");
}

#[test]
fn a_step_of_a_doubtful_clock_before_a_session_was_rated_is_in_its_times_already() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    let right = loses_its_clock(&mut bench);
    let (id, start) = bench.charge("m", "P1", "20");
    bench.charging("P1", &id);
    // Put forward by three hours, still in 1970, with the session under way.
    bench.pass(1);
    bench.now.wall = bench.now.wall.after_ms(3 * HOUR as i64);
    for pile in ["P1", "P2", "P3"] {
        let ahead = bench.sim(pile).clock_ahead_ms.unwrap();
        bench.sim(pile).clock_ahead_ms = Some(ahead - 3 * HOUR as i64);
    }
    bench.ok(Input::Tick);
    bench.deliver("P1", &id, 20 * MINUTE, "1002");
    let start = Now {
        wall: start.wall.after_ms(3 * HOUR as i64),
        ..start
    };
    let record = bench.record_since("P1", &id, start, "1000", "1002");
    bench.send_record("P1", &record);
    bench.idle("P1");
    assert_eq!(bench.state(&id), State::Review);
    is_put_right(&mut bench);
    let order = bench.order(&id);
    assert_eq!((order.state, order.bill().unwrap().fee()), (State::Payed, yuan("2")));
    let began = order.ending.unwrap().start.at;
    assert!(
        began >= right && began <= right.after_ms(60_000),
        "{began} by the right clock, not {right}"
    );
}

#[test]
fn a_session_that_the_loss_of_the_clock_fell_into_waits_for_a_person_even_when_the_clock_is_right_again() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "20");
    bench.deliver("P1", &id, 10 * MINUTE, "1001");
    loses_its_clock(&mut bench);
    is_put_right(&mut bench);
    let record = bench.record_since("P1", &id, Now { ..start }, "1000", "1001");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(order.state, State::Review);
    assert!(order.suspicions.contains(&Suspicion::StationClockInDoubt), "{order:?}");
}

#[test]
fn nothing_is_paid_by_an_estimate_that_a_doubtful_clock_made() {
    let mut bench = Bench::new();
    loses_its_clock(&mut bench);
    let (id, _) = bench.charge("m", "P1", "20");
    bench.charging("P1", &id);
    bench.deliver("P1", &id, 10 * MINUTE, "1001");
    bench.idle("P1");
    bench.advance(31 * MINUTE);
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, yuan("0")));
}

#[test]
fn a_clock_that_is_set_right_by_hand_is_believed_when_it_has_caught_up() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    loses_its_clock(&mut bench);
    let doubted = |bench: &Bench| bench.site.rows().clock.doubt.is_some();
    assert!(doubted(&bench));
    bench.now.wall = wall("2026-03-02T12:00:00+08:00");
    bench.ok(Input::Tick);
    assert!(doubted(&bench), "half an hour before what is certain");
    bench.now.wall = wall("2026-03-02T13:30:00+08:00");
    bench.ok(Input::Tick);
    assert!(!doubted(&bench));
}

#[test]
fn nobody_makes_a_clock_right_that_is_before_the_station_was_made() {
    let mut bench = Bench::new();
    loses_its_clock(&mut bench);
    bench.ok(Input::ClockTrust(true));
    assert!(!bench.site.clock_trusted() && bench.site.rows().clock.doubt.is_some());
    let refused = bench.refused(Input::ConfirmClock { by: "desk".to_owned() });
    assert!(matches!(refused, Rejected::ClockWrong(_)));
    bench.now.wall = wall("2026-02-27T12:00:00+08:00");
    bench.ok(Input::Tick);
    assert!(bench.site.rows().clock.doubt.is_some(), "days behind the journal");
    bench.ok(Input::ConfirmClock { by: "desk".to_owned() });
    assert!(bench.site.rows().clock.doubt.is_none());
    assert_eq!(
        bench.facts.last().map(|(_, fact)| fact.clone()),
        Some(Fact::ClockBelieved {
            by: Some("desk".to_owned())
        })
    );
}

#[test]
fn what_was_certain_in_an_earlier_run_speaks_against_a_clock_that_is_an_hour_behind() {
    let mut bench = Bench::new();
    let certain = bench.now.wall.after_ms(2 * HOUR as i64);
    bench.ok(Input::CertainTime(certain));
    assert_eq!(bench.site.rows().clock.doubt.map(|doubt| doubt.certain), Some(certain));
    bench.ok(Input::ClockTrust(true));
    assert!(
        bench.site.rows().clock.doubt.is_none(),
        "whoever keeps the time knows better"
    );
}

#[test]
fn what_waited_for_the_clock_is_not_paid_beside_what_came_to_account_for_its_readings() {
    let mut bench = allowing();
    bench.advance(HOUR);
    loses_its_clock(&mut bench);
    let id = session(&mut bench, "1000", "1002");
    assert_eq!(bench.state(&id), State::Review);
    // P1 says that it ran the same two kilowatt-hours alone, and a person lets that session be paid.
    let record = alone(&mut bench, "c1", "1000", "1002");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    let mut bill = Bench::close_item_input(item, Some("m"));
    if let Input::CloseQuarantine { despite, .. } = &mut bill {
        despite.push(CoveredBy::Order(id.clone()));
    }
    let other = placed(&bench.ok(bill));
    bench.ok(Bench::decide_input(&other, Decision::AsIs));
    assert_eq!(bench.state(&other), State::Payed);
    is_put_right(&mut bench);
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, yuan("0")));
    let other = CoveredBy::Order(other);
    let names = |why: &Suspicion| matches!(why, Suspicion::AlreadyAccounted { by, .. } if *by == other);
    assert!(order.suspicions.iter().any(names), "{:?}", order.suspicions);
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

#[test]
fn what_a_pile_ran_alone_before_the_clock_was_lost_waits_for_a_person_when_it_is_right_again() {
    // How long the station was off is in no measured offset: by those it was four minutes later than it was.
    for card in ["c1", "unknown"] {
        let mut bench = allowing();
        bench.disconnect("P1", true);
        let mut record = alone(&mut bench, card, "1000", "1002");
        record.session_boot_id = Some(BootId::new(&bench.sim("P1").boot).unwrap());
        bench.connect("P1");
        loses_its_clock_for(&mut bench, 4 * MINUTE);
        // Late enough in 1970 that a session of hours ago can have been.
        bench.now.wall = bench.now.wall.after_ms(DAY as i64);
        bench.ok(Input::Tick);
        let ahead = bench.sim("P1").clock_ahead_ms.unwrap();
        bench.sim("P1").clock_ahead_ms = Some(ahead - DAY as i64);
        bench.send_record("P1", &record);
        bench.pass(1);
        is_put_right(&mut bench);
        let mut id = record.order_id;
        if let Some(item) = bench.disk.quarantine.keys().next().copied() {
            id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
        }
        let order = bench.order(&id);
        assert_eq!(
            (order.state, order.paid.charged()),
            (State::Review, yuan("0")),
            "{card}"
        );
        assert!(order.suspicions.contains(&Suspicion::ClockStepped), "{order:?}");
    }
}

#[test]
fn a_clock_that_is_put_back_while_the_station_is_off_is_measured_from_what_was_last_written() {
    // The last fact is hours old, and telemetry was written until the power went; the clock wakes between the two.
    let mut bench = allowing();
    bench.disconnect("P1", true);
    let record = {
        let mut record = alone(&mut bench, "c1", "1000", "1002");
        record.session_boot_id = Some(BootId::new(&bench.sim("P1").boot).unwrap());
        record
    };
    bench.connect("P1");
    bench.pass(4 * HOUR);
    let written = bench.now;
    bench.restart(true);
    bench.site.was_written_at(written);
    bench.now.mono = bench.now.mono.after_ms(5_000);
    bench.now.wall = bench.now.wall.after_ms(-(HOUR as i64));
    bench.ok(Input::Tick);
    let steps = &bench.site.rows().clock.steps;
    assert_eq!(steps.iter().map(|step| step.by_ms).collect::<Vec<_>>(), [-3_605_000]);
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(HOUR as i64);
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&record.order_id);
    assert_eq!(order.state, State::Review);
    assert!(order.suspicions.contains(&Suspicion::ClockStepped), "{order:?}");
}

/// From 3 March on flat costs 2.00 yuan instead of 1.00, and the station is off from the 2nd to the 4th.
fn loses_its_clock_over_a_change_of_tariff(bench: &mut Bench) -> Wall {
    let dearer = TARIFF
        .replace("\"t1\"", "\"t2\"")
        .replace("2026-01-01T00:00:00+08:00", "2026-03-03T00:00:00+08:00")
        .replace("\"0.60\", service = \"0.40\"", "\"1.20\", service = \"0.80\"");
    let tariff = Tariff::from_toml(&dearer, "Asia/Shanghai").unwrap();
    bench.ok(Input::AddTariff {
        tariff,
        by: "setup".to_owned(),
    });
    bench.advance(HOUR);
    loses_its_clock_for(bench, 2 * DAY)
}

/// Whether a person is told that the order is pinned to `t1` while `t2` was in force.
fn names_both_tariffs(bench: &Bench, id: &OrderId) -> bool {
    let reasons = bench.order(id).suspicions;
    let said = reasons.iter().map(|reason| serde_json::to_string(reason).unwrap());
    said.into_iter()
        .any(|said| said.contains("\"t1\"") && said.contains("\"t2\""))
}

#[test]
fn nothing_is_paid_by_a_tariff_that_was_not_in_force_without_a_person() {
    let mut bench = Bench::new();
    loses_its_clock_over_a_change_of_tariff(&mut bench);
    let id = session(&mut bench, "1000", "1002");
    assert_eq!(bench.order(&id).tariff.as_str(), "t1", "by what is certain");
    is_put_right(&mut bench);
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, yuan("0")));
    assert!(names_both_tariffs(&bench, &id), "{:?}", order.suspicions);
    assert_eq!(
        order.bill().unwrap().fee(),
        yuan("2"),
        "at the right time, by the price that was shown"
    );
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(bench.order(&id).paid.charged(), yuan("2"));
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

#[test]
fn an_order_that_runs_while_the_clock_is_put_right_is_not_paid_by_a_tariff_that_was_not_in_force() {
    let mut bench = Bench::new();
    loses_its_clock_over_a_change_of_tariff(&mut bench);
    let (id, start) = bench.charge("m", "P1", "20");
    let right = start.wall.after_ms(bench.sim("P1").clock_ahead_ms.unwrap());
    bench.charging("P1", &id);
    is_put_right(&mut bench);
    bench.deliver("P1", &id, 20 * MINUTE, "1002");
    let record = bench.record_since("P1", &id, Now { wall: right, ..start }, "1000", "1002");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, yuan("0")));
    assert!(names_both_tariffs(&bench, &id), "{:?}", order.suspicions);
}

#[test]
fn an_estimate_is_not_paid_by_a_tariff_that_was_not_in_force_either() {
    let mut bench = Bench::new();
    loses_its_clock_over_a_change_of_tariff(&mut bench);
    let (id, _) = bench.charge("m", "P1", "20");
    bench.charging("P1", &id);
    is_put_right(&mut bench);
    bench.deliver("P1", &id, 20 * MINUTE, "1002");
    bench.idle("P1");
    bench.advance(31 * MINUTE);
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, yuan("0")));
    assert!(names_both_tariffs(&bench, &id), "{:?}", order.suspicions);
}

/// A session of 2 kWh within 20 minutes that P1 ran alone.
fn alone(bench: &mut Bench, card: &str, from: &str, to: &str) -> domain::messages::Record {
    let start = bench.now;
    bench.advance(20 * MINUTE);
    bench.sim("P1").meter = kwh(to);
    let mut record = bench.record_since("P1", &order_id("off-P1-1-1"), start, from, to);
    record.offline = true;
    record.card_id = Some(CardId::new(card).unwrap());
    record
}

fn allowing() -> Bench {
    Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    })
}

#[test]
fn a_session_that_nobody_was_shown_a_price_for_goes_by_the_tariff_that_was_in_force() {
    let mut bench = allowing();
    loses_its_clock_over_a_change_of_tariff(&mut bench);
    let record = alone(&mut bench, "c1", "1000", "1002");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&record.order_id), State::Review);
    is_put_right(&mut bench);
    let order = bench.order(&record.order_id);
    assert_eq!(
        (order.state, order.tariff.as_str(), order.paid.charged()),
        (State::Payed, "t2", yuan("4"))
    );
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

#[test]
fn what_was_put_aside_by_a_doubtful_clock_is_billed_by_the_right_time_once_that_is_known() {
    let mut bench = allowing();
    let right = loses_its_clock_over_a_change_of_tariff(&mut bench);
    let record = alone(&mut bench, "unknown", "1000", "1002");
    bench.send_record("P1", &record);
    // Put forward in 1970 first, then put right.
    bench.pass(1);
    bench.now.wall = bench.now.wall.after_ms(3 * HOUR as i64);
    bench.ok(Input::Tick);
    bench.now.wall = bench.now.wall.after_ms(-3 * HOUR as i64);
    bench.ok(Input::Tick);
    is_put_right(&mut bench);
    bench.advance(HOUR);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    let id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.source, order.tariff.as_str(), order.paid.charged()),
        (State::Payed, Source::Quarantine, "t2", yuan("4"))
    );
    let began = order.bill().unwrap().detail.as_ref().unwrap().start.at;
    assert!(
        began >= right && began <= right.after_ms(60_000),
        "{began} by the right clock, not {right}"
    );
}

#[test]
fn what_was_put_aside_waits_for_a_person_if_nobody_saw_by_how_much_the_clock_was_put_right() {
    let mut bench = allowing();
    loses_its_clock(&mut bench);
    let record = alone(&mut bench, "unknown", "1000", "1002");
    bench.send_record("P1", &record);
    bench.restart(true);
    is_put_right(&mut bench);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    let id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    assert_eq!(bench.state(&id), State::Review);
}

#[test]
fn what_was_put_aside_by_a_right_clock_is_not_moved_by_a_doubt_that_came_later() {
    let mut bench = allowing();
    bench.disconnect("P1", true);
    let record = alone(&mut bench, "unknown", "1000", "1002");
    let began = bench.now.wall.after_ms(-20 * MINUTE as i64);
    bench.connect("P1");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    loses_its_clock(&mut bench);
    let refused = bench.refused(Bench::close_item_input(item, Some("m")));
    assert!(refused.to_string().contains("set the clock first"), "{refused}");
    is_put_right(&mut bench);
    let id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    let order = bench.order(&id);
    assert_eq!(order.bill().unwrap().detail.as_ref().unwrap().start.at, began);
    assert_eq!(order.paid.charged(), yuan("2"));
}

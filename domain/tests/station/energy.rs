//! A business day's energy: what orders billed held against what the registers moved, reported once, at 01:00.

use crate::bench::*;
use domain::{
    energy::{ConnectorDay, EnergyReport, Finding},
    ids::{CardId, OrderId},
    messages::Record,
    meter::Suspicion,
    order::{Basis, State},
    policy::Policy,
    register::SessionId,
    site::{Decision, Input},
    time::{Day, Zone},
    units::Energy,
};

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

/// Time passes until the station's clock shows `text`.
fn until(bench: &mut Bench, text: &str) {
    let ms = wall(text).ms_since(bench.now.wall);
    bench.advance(u64::try_from(ms).expect("a time to come"));
}

/// The reports so far; the journal alone gives the same rows.
fn reports(bench: &Bench) -> Vec<EnergyReport> {
    let replayed = bench.replayed();
    assert_eq!(replayed.energy, bench.disk.energy);
    assert_eq!(replayed.energy_reports, bench.disk.energy_reports);
    assert_eq!(replayed.piles, bench.disk.piles);
    bench.disk.energy_reports.values().cloned().collect()
}

fn report(bench: &Bench, of: &str) -> EnergyReport {
    reports(bench);
    bench.disk.energy_reports[&day(of)].clone()
}

/// The one connector of a report.
fn only(report: &EnergyReport) -> ConnectorDay {
    let [one] = &report.connectors[..] else {
        panic!("one connector was expected: {report:?}")
    };
    assert_eq!(one.outlet, outlet("P1"));
    one.sums.clone()
}

fn classes(day: &ConnectorDay) -> Vec<&'static str> {
    day.findings.iter().map(Finding::class).collect()
}

/// A session at P1 of so many hours, whose record says `from` to `to` while the register itself ends at `register`.
fn session(bench: &mut Bench, hours: u64, from: &str, to: &str, register: &str) -> OrderId {
    let (id, start) = bench.charge("m", "P1", "30");
    // Its first heartbeat on the way shows that the register has four places.
    let on_the_way = (bench.sim("P1").meter + Energy(1)).to_string();
    bench.deliver("P1", &id, MINUTE, &on_the_way);
    bench.deliver("P1", &id, hours * HOUR - MINUTE, register);
    let record = bench.record_since("P1", &id, start, from, to);
    bench.send_record("P1", &record);
    bench.idle("P1");
    id
}

fn abnormal(bench: &Bench) -> Option<String> {
    let row = &bench.disk.piles[&pile("P1")];
    row.meter_abnormal.as_ref().map(|abnormal| abnormal.reason.clone())
}

fn clear(reason: &str) -> Input {
    Input::ClearMeter {
        pile: pile("P1"),
        reason: reason.to_owned(),
        by: "service".to_owned(),
    }
}

#[test]
fn a_day_is_reported_at_one_o_clock_and_once() {
    let mut bench = Bench::new();
    session(&mut bench, 2, "1000", "1010", "1010");
    session(&mut bench, 1, "1010", "1015", "1015");
    until(&mut bench, "2026-03-03T00:59:59.999+08:00");
    assert_eq!(reports(&bench), []);
    bench.advance(1);
    let first = report(&bench, "2026-03-02");
    let (begins, ends) = (wall("2026-03-02T00:00:00+08:00"), wall("2026-03-03T00:00:00+08:00"));
    assert_eq!((first.begins, first.ends), (begins, ends));
    assert_eq!(first.made_at, wall("2026-03-03T01:00:00+08:00"));
    let sums = only(&first);
    assert_eq!((sums.orders, sums.billed, sums.register()), (2, kwh("15"), kwh("15")));
    assert_eq!((classes(&sums), &first.abnormal[..]), (vec![], &[][..]));
    // Nothing happens on the next day: it has its report all the same, and no sums are left behind.
    until(&mut bench, "2026-03-05T00:30:00+08:00");
    bench.restart(true);
    // The first input after a start says what time it is; the daemon's own comes at once.
    bench.handle(Input::ClockTrust(true));
    bench.advance(5 * HOUR);
    let all = reports(&bench);
    let days: Vec<String> = all.iter().map(|report| report.day.to_string()).collect();
    assert_eq!(days, ["2026-03-02", "2026-03-03", "2026-03-04"]);
    assert!(
        all[1..]
            .iter()
            .all(|report| report.connectors.is_empty() && report.adjustments.is_empty())
    );
    assert!(bench.disk.energy.open.is_empty());
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "EnergyReported").count(), 3);
}

#[test]
fn a_pile_whose_records_say_less_than_its_register_is_marked_until_a_person_clears_it() {
    let mut bench = Bench::new();
    let id = session(&mut bench, 2, "1000", "1009.5", "1010");
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(abnormal(&bench), None, "the day decides");
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let found = report(&bench, "2026-03-02");
    let sums = only(&found);
    assert_eq!((sums.orders, sums.billed, sums.metered), (1, kwh("9.5"), kwh("9.5")));
    assert_eq!(sums.unrecorded, kwh("0.5"), "read while nobody charged");
    let differ = |order: Option<&OrderId>| Finding::Energy {
        order: order.cloned(),
        billed: kwh("9.5"),
        register: kwh("10"),
    };
    let gap = Finding::RegisterGap {
        order: None,
        from: kwh("1009.5"),
        to: kwh("1010"),
    };
    assert_eq!(sums.findings, [differ(None), differ(Some(&id)), gap]);
    assert_eq!(found.abnormal, [pile("P1")]);
    assert!(abnormal(&bench).unwrap().contains("9.5000 kWh, register 10.0000 kWh"));
    // It goes on working; what the report has said of the register, the next day does not say again.
    let next = session(&mut bench, 1, "1010", "1015", "1015");
    assert_eq!(bench.state(&next), State::Payed);
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-03"));
    assert_eq!((sums.register(), sums.unrecorded), (kwh("5"), kwh("0")));
    assert_eq!(classes(&sums), [] as [&str; 0], "said once");
    assert!(abnormal(&bench).is_some(), "a good day does not heal it");
    assert_eq!(bench.refused(clear(" ")).code(), "no_reason");
    bench.ok(clear("meter calibrated"));
    let facts = bench.facts.len();
    bench.ok(clear("meter calibrated"));
    assert_eq!((abnormal(&bench), bench.facts.len()), (None, facts), "once");
    reports(&bench);
}

#[test]
fn a_connectors_day_is_marked_above_one_per_cent_and_above_a_tenth_of_a_kilowatt_hour() {
    for (hours, stop, register, marked) in [
        (3, "1019.8", "1020", false),   // exactly 1 % of 20 kWh
        (3, "1019.7999", "1020", true), // and 0.1 Wh more
        (1, "1004.9", "1005", false),   // exactly 0.1 kWh, 2 %
        (1, "1004.8999", "1005", true), // and 0.1 Wh more
        (3, "1019.85", "1020", false),  // 0.75 %
    ] {
        let mut bench = Bench::new();
        session(&mut bench, hours, "1000", stop, register);
        until(&mut bench, "2026-03-03T01:00:00+08:00");
        assert_eq!(abnormal(&bench).is_some(), marked, "{stop} of {register}");
        let ordered = bench.kinds().contains(&"EnergyDiffers".to_owned());
        assert_eq!(ordered, marked, "the order alone: {stop} of {register}");
    }
}

#[test]
fn a_session_across_midnight_is_on_both_sides_of_the_day_it_is_settled_in() {
    let mut bench = Bench::new();
    until(&mut bench, "2026-03-02T23:00:00+08:00");
    let (id, start) = bench.charge("m", "P1", "30");
    bench.deliver("P1", &id, 2 * HOUR - 1, "1012");
    assert_eq!(bench.now.wall, wall("2026-03-03T00:59:59.999+08:00"));
    bench.advance(1);
    assert!(
        report(&bench, "2026-03-02").connectors.is_empty(),
        "neither its register nor its bill"
    );
    bench.deliver("P1", &id, HOUR, "1018");
    let record = bench.record_since("P1", &id, start, "1000", "1018");
    bench.send_record("P1", &record);
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-03"));
    assert_eq!((sums.orders, sums.billed, sums.register()), (1, kwh("18"), kwh("18")));
    assert_eq!(classes(&sums), [] as [&str; 0]);
}

#[test]
fn an_order_under_review_counts_when_it_is_decided() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "30");
    bench.deliver("P1", &id, HOUR, "1005");
    // Its clock and its uptime agree: the session went on for an hour that is yet to come.
    let mut record = bench.record_since("P1", &id, start, "1000", "1005");
    record.stop_ts = record.stop_ts.map(|at| at.after_ms(3_600_000));
    record.stop_mono_ms += HOUR;
    bench.send_record("P1", &record);
    bench.idle("P1");
    let order = bench.order(&id);
    assert!(
        matches!(order.suspicions[..], [Suspicion::TimesContradict { .. }]),
        "{:?}",
        order.suspicions
    );
    assert_eq!(order.state, State::Review);
    until(&mut bench, "2026-03-03T09:00:00+08:00");
    assert!(report(&bench, "2026-03-02").connectors.is_empty());
    let (electricity, service) = (yuan("3"), yuan("2"));
    bench.ok(Bench::decide_input(&id, Decision::Corrected { electricity, service }));
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-03"));
    assert_eq!((sums.orders, sums.billed, sums.metered), (1, kwh("5"), kwh("5")));
    assert_eq!(
        classes(&sums),
        [] as [&str; 0],
        "its times could not be believed; that is not the meter's fault"
    );
}

#[test]
fn days_follow_the_clocks_on_the_wall_through_their_change() {
    let time_zone = Zone::named("Europe/Berlin").unwrap();
    let mut bench = Bench::with(Policy {
        time_zone,
        ..Policy::default()
    });
    until(&mut bench, "2026-03-28T23:30:00+01:00");
    session(&mut bench, 1, "1000", "1005", "1005"); // settled at 00:30 on the short day
    until(&mut bench, "2026-03-29T22:30:00+02:00");
    session(&mut bench, 1, "1005", "1008", "1008"); // settled at 23:30 on it
    session(&mut bench, 1, "1008", "1010", "1010"); // and at 00:30 the day after
    until(&mut bench, "2026-03-31T02:00:00+02:00");
    let short = report(&bench, "2026-03-29");
    assert_eq!(short.ends.ms_since(short.begins), 23 * 3_600_000);
    assert_eq!(short.made_at, wall("2026-03-30T01:00:00+02:00"));
    assert_eq!((only(&short).orders, only(&short).billed), (2, kwh("8")));
    assert_eq!(only(&report(&bench, "2026-03-30")).billed, kwh("2"));
    until(&mut bench, "2026-10-26T01:00:00+01:00");
    let long = report(&bench, "2026-10-25");
    assert_eq!(long.ends.ms_since(long.begins), 25 * 3_600_000);
    assert_eq!(
        reports(&bench).len(),
        238,
        "one for each day from 2 March to 25 October"
    );
}

#[test]
fn days_that_were_missed_are_reported_when_the_station_is_back() {
    let mut bench = Bench::new();
    session(&mut bench, 2, "1000", "1010", "1010");
    until(&mut bench, "2026-03-02T23:00:00+08:00");
    bench.pass(3 * DAY);
    bench.restart(false);
    bench.handle(Input::Tick);
    let days: Vec<String> = reports(&bench).iter().map(|report| report.day.to_string()).collect();
    assert_eq!(days, ["2026-03-02", "2026-03-03", "2026-03-04"]);
    let first = report(&bench, "2026-03-02");
    assert_eq!((only(&first).billed, first.made_at), (kwh("10"), bench.now.wall));
    bench.advance(2 * HOUR);
    assert_eq!(reports(&bench).len(), 4);
    // Away for a year: the last five weeks, and nothing is reported twice.
    bench.pass(365 * DAY);
    bench.restart(false);
    bench.handle(Input::Tick);
    assert_eq!(reports(&bench).len(), 4 + 35);
}

#[test]
fn a_clock_that_is_set_back_makes_no_second_report_and_loses_nothing() {
    let mut bench = Bench::new();
    session(&mut bench, 2, "1000", "1010", "1010");
    until(&mut bench, "2026-03-03T02:00:00+08:00");
    let first = report(&bench, "2026-03-02");
    bench.now.wall = wall("2026-03-02T21:00:00+08:00");
    bench.handle(Input::Tick);
    session(&mut bench, 1, "1010", "1015", "1015");
    until(&mut bench, "2026-03-03T03:00:00+08:00");
    assert_eq!(reports(&bench), [first], "a final day is never rewritten");
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    let second = report(&bench, "2026-03-03");
    assert!(second.connectors.is_empty());
    let [late] = &second.adjustments[..] else {
        panic!("{second:?}")
    };
    assert_eq!(
        (late.of, late.change.orders, late.change.billed),
        (day("2026-03-02"), 1, kwh("5"))
    );
    assert!(bench.disk.energy.open.is_empty());
}

#[test]
fn a_clock_that_ran_years_ahead_does_not_keep_real_days_from_being_reported() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    bench.now.wall = wall("2031-05-05T12:00:00+08:00");
    bench.handle(Input::Tick);
    session(&mut bench, 1, "1000", "1005", "1005");
    bench.now.wall = wall("2026-03-02T15:00:00+08:00");
    bench.handle(Input::Tick);
    // For all that the station knows it was right before: a person says that it is right now.
    bench.ok(Input::ConfirmClock { by: "desk".to_owned() });
    session(&mut bench, 1, "1005", "1007", "1007");
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let real = report(&bench, "2026-03-02");
    assert_eq!((only(&real).orders, only(&real).billed), (1, kwh("2")));
    let [other] = &real.adjustments[..] else {
        panic!("{real:?}")
    };
    assert_eq!(
        (other.of, other.change.billed),
        (day("2031-05-05"), kwh("5")),
        "kept, with the day it was given"
    );
}

#[test]
fn a_late_record_of_an_estimate_adjusts_the_day_it_was_settled_in() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let mut record = bench.record_since("P1", &id, start, "1000", "1006.5");
    record.stop_ts = record.stop_ts.map(|ts| ts.after_ms(300_000));
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    assert!(bench.order(&id).estimated);
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let first = report(&bench, "2026-03-02");
    let no_meter = Finding::NoMeter {
        order: id.clone(),
        billed: kwh("6"),
    };
    assert_eq!(
        (only(&first).billed, &only(&first).findings[..]),
        (kwh("6"), &[no_meter][..])
    );
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed);
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    assert_eq!(report(&bench, "2026-03-02"), first, "a final day is never rewritten");
    let second = report(&bench, "2026-03-03");
    let [late] = &second.adjustments[..] else {
        panic!("{second:?}")
    };
    let change = (late.change.orders, late.change.billed, late.change.metered);
    assert_eq!((late.of, change), (day("2026-03-02"), (0, kwh("0.5"), kwh("0.5"))));
    // Within the day it is no adjustment: the record is counted, and the order has its meter.
    let (id, start) = bench.charge("m", "P1", "20");
    bench.deliver("P1", &id, HOUR, "1009");
    let record = bench.record_since("P1", &id, start, "1006.5", "1009");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    bench.send_record("P1", &record);
    until(&mut bench, "2026-03-05T01:00:00+08:00");
    let third = report(&bench, "2026-03-04");
    assert_eq!(
        (only(&third).orders, only(&third).billed, third.adjustments.len()),
        (1, kwh("2.5"), 0)
    );
    assert_eq!(classes(&only(&third)), [] as [&str; 0]);
}

#[test]
fn energy_that_a_late_offline_session_explains_is_taken_back_from_its_day() {
    let mut bench = Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    });
    bench.disconnect("P1", true);
    let start = bench.now;
    bench.advance(4 * HOUR);
    let mut record = bench.record_since("P1", &order_id("off-P1-1-1"), start, "1000", "1020");
    record.card_id = Some(CardId::new("c1").unwrap());
    record.offline = true;
    bench.sim("P1").meter = kwh("1020");
    bench.connect("P1");
    bench.idle("P1");
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-02"));
    assert_eq!((sums.orders, sums.unrecorded), (0, kwh("20")));
    assert_eq!(classes(&sums), ["ENERGY", "REGISTER_GAP"]);
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&record.order_id), State::Payed);
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    let second = report(&bench, "2026-03-03");
    let sums = only(&second);
    assert_eq!((sums.orders, sums.billed, sums.register()), (1, kwh("20"), kwh("20")));
    assert_eq!(classes(&sums), [] as [&str; 0]);
    let [late] = &second.adjustments[..] else {
        panic!("{second:?}")
    };
    assert_eq!((late.of, late.change.unrecorded), (day("2026-03-02"), kwh("-20")));
    assert_eq!(classes(&late.change), ["EXPLAINED"]);
    assert_eq!(abnormal(&bench), None, "the mark goes with what it was made for");
}

/// What all reports add up to, adjustments included: billed, and moved by the register.
fn summed(bench: &Bench) -> (Energy, Energy) {
    let mut sums = (Energy::ZERO, Energy::ZERO);
    let reports = bench.disk.energy_reports.values();
    let own = reports
        .clone()
        .flat_map(|report| &report.connectors)
        .map(|one| &one.sums);
    let late = reports.flat_map(|report| &report.adjustments).map(|late| &late.change);
    for day in own.chain(late) {
        sums.0 += day.billed;
        sums.1 += day.moved();
    }
    sums
}

#[test]
fn unrecorded_energy_before_an_order_that_an_estimate_settles_is_reported() {
    let mut bench = Bench::new();
    bench.sim("P1").meter = kwh("1040");
    bench.idle("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.charging("P1", &id);
    bench.deliver("P1", &id, HOUR, "1046");
    let record = bench.record_since("P1", &id, start, "1040", "1046.5");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    assert!(bench.order(&id).estimated);
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-02"));
    assert_eq!((sums.metered, sums.unrecorded), (kwh("6"), kwh("40")));
    bench.sim("P1").meter = kwh("1046.5");
    bench.send_record("P1", &record);
    bench.idle("P1");
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    assert_eq!(
        summed(&bench),
        (kwh("6.5"), kwh("46.5")),
        "what the register moved, once"
    );
}

#[test]
fn records_that_come_newest_first_leave_no_gap_and_no_mark() {
    let mut bench = Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    });
    bench.disconnect("P1", true);
    let mut records = Vec::new();
    for (n, (from, to)) in [("1000", "1004"), ("1004", "1009"), ("1009", "1011")]
        .iter()
        .enumerate()
    {
        let start = bench.now;
        bench.advance(HOUR);
        let mut record = bench.record_since("P1", &order_id(&format!("off-P1-1-{n}")), start, from, to);
        record.card_id = Some(CardId::new("c1").unwrap());
        record.offline = true;
        records.push(record);
        bench.advance(10 * MINUTE);
    }
    bench.sim("P1").meter = kwh("1011");
    bench.connect("P1");
    bench.idle("P1");
    for record in records.iter().rev() {
        bench.send_record("P1", record);
        let order = bench.order(&record.order_id);
        assert_eq!(
            (order.state, &order.suspicions[..]),
            (State::Payed, &[][..]),
            "{}",
            order.id
        );
    }
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-02"));
    assert_eq!((sums.orders, sums.metered, sums.unrecorded), (3, kwh("11"), kwh("0")));
    assert_eq!((classes(&sums), abnormal(&bench)), (Vec::<&str>::new(), None));
}

#[test]
fn an_approved_jump_takes_the_register_along() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.charging("P1", &id);
    bench.advance(10 * MINUTE);
    bench.sim("P1").meter = kwh("1020");
    let record = bench.record_since("P1", &id, start, "1000", "1020");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review, "20 kWh in ten minutes at 7 kW");
    bench.idle("P1");
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    let next = session(&mut bench, 1, "1020", "1025", "1025");
    assert!(!bench.kinds().contains(&"RegisterGapFound".to_owned()));
    assert_eq!(bench.state(&next), State::Payed);
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    assert_eq!(summed(&bench), (kwh("25"), kwh("25")));
    assert_eq!(abnormal(&bench), None);
}

#[test]
fn a_corrected_jump_leaves_the_register_where_the_station_knows_it() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.charging("P1", &id);
    bench.advance(HOUR);
    bench.sim("P1").meter = kwh("1005");
    bench.idle("P1");
    let record = bench.record_since("P1", &id, start, "1000", "1578");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
    let decision = Decision::Corrected {
        electricity: yuan("3"),
        service: yuan("2"),
    };
    bench.ok(Bench::decide_input(&id, decision));
    let next = session(&mut bench, 1, "1005", "1007", "1007");
    let order = bench.order(&next);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    assert_eq!(summed(&bench), (kwh("7"), kwh("7")));
    assert_eq!(abnormal(&bench), None);
}

#[test]
fn a_session_in_quarantine_is_unbilled_and_its_meter_is_not_blamed() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(HOUR);
    let record = bench.record_since(
        "P1",
        &order_id("019cab00-0000-7000-8000-000000000009"),
        start,
        "1000",
        "1005",
    );
    bench.send_record("P1", &record);
    bench.sim("P1").meter = kwh("1005");
    bench.idle("P1");
    let item = *bench.disk.quarantine.keys().next().unwrap();
    session(&mut bench, 1, "1005", "1010", "1010");
    assert!(
        !bench.kinds().contains(&"RegisterGapFound".to_owned()),
        "a record says where it went"
    );
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-02"));
    let energy = kwh("5");
    assert_eq!(sums.findings, [Finding::Unbilled { item, energy }]);
    assert_eq!((sums.orders, sums.billed, sums.register()), (1, kwh("5"), kwh("5")));
    bench.ok(Input::CloseQuarantine {
        item,
        bill_to: Some(member("m")),
        despite: Vec::new(),
        typed: None,
        reason: "theirs".to_owned(),
        by: "desk".to_owned(),
    });
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    let sums = only(&report(&bench, "2026-03-03"));
    assert_eq!((sums.orders, sums.billed, sums.register()), (1, kwh("5"), kwh("5")));
    assert_eq!(classes(&sums), [] as [&str; 0]);
}

/// A session, then the pile starts anew with a register of 3 kWh.
fn another_meter(bench: &mut Bench) {
    session(bench, 1, "1000", "1006", "1006");
    bench.sim("P1").meter = kwh("3");
    bench.restart_pile("P1");
    bench.connect("P1");
}

#[test]
fn a_lower_register_at_boot_is_said_and_the_next_session_waits_for_a_person() {
    let mut bench = Bench::new();
    another_meter(&mut bench);
    let connector = |bench: &Bench| bench.disk.piles[&pile("P1")].connectors[&outlet("P1").connector].clone();
    let lower = connector(&bench).rollback.unwrap();
    assert_eq!((lower.known, lower.found), (kwh("1006"), kwh("3")));
    bench.restart(true);
    bench.connect("P1");
    let said = |bench: &Bench| {
        bench
            .kinds()
            .iter()
            .filter(|kind| *kind == "RegisterRolledBack")
            .count()
    };
    assert_eq!(said(&bench), 1, "once");
    let id = session(&mut bench, 1, "3", "8", "8");
    let order = bench.order(&id);
    let (known, found) = (kwh("1006"), kwh("3"));
    assert_eq!(
        (order.state, order.suspicions),
        (State::Review, vec![Suspicion::RegisterLower { known, found }])
    );
    assert_eq!(connector(&bench).rollback, None);
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(bench.order(&id).paid.charged(), yuan("5"));
    let next = session(&mut bench, 1, "8", "10", "10");
    assert_eq!(bench.state(&next), State::Payed);
    assert!(!bench.kinds().contains(&"RegisterGapFound".to_owned()));
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let found = report(&bench, "2026-03-02");
    let sums = only(&found);
    assert_eq!((sums.orders, sums.billed, sums.register()), (3, kwh("13"), kwh("13")));
    assert_eq!((classes(&sums), found.abnormal), (vec!["ROLLBACK"], vec![]));
}

#[test]
fn a_meter_that_is_replaced_while_an_order_runs_begins_a_count_of_its_own() {
    let mut bench = Bench::new();
    let connector = |bench: &Bench| bench.disk.piles[&pile("P1")].connectors[&outlet("P1").connector].clone();
    let (old, start) = bench.charge("m", "P1", "30");
    bench.deliver("P1", &old, HOUR, "1006");
    // Another board: it knows of no session, and its meter of no energy.
    bench.sim("P1").meter = kwh("3");
    bench.restart_pile("P1");
    bench.connect("P1");
    bench.idle("P1");
    bench.connect("P1");
    bench.connect("P1");
    let said = bench
        .kinds()
        .iter()
        .filter(|kind| *kind == "RegisterRolledBack")
        .count();
    assert_eq!(said, 1, "however often it boots");
    assert_eq!(bench.state(&old), State::Charging, "the station waits for its record");
    assert_eq!(connector(&bench).book.explained_to(), Some(kwh("3")));
    bench.advance(31 * MINUTE);
    let estimate = bench.order(&old).bill().unwrap().detail.clone().unwrap();
    assert_eq!(estimate.stop.register, kwh("1006"), "by the meter that it ran on");
    assert_eq!(
        connector(&bench).book.explained_to(),
        Some(kwh("3")),
        "which says nothing of the one that is there now"
    );

    let (known, found) = (kwh("1000"), kwh("3"));
    bench.top_up("m", "60");
    let next = session(&mut bench, 2, "3", "8", "8");
    let order = bench.order(&next);
    assert_eq!(
        (order.baseline, order.suspicions),
        (Some(found), vec![Suspicion::RegisterLower { known, found }])
    );
    // The old board's memory is read out after all.
    let record = bench.record_since("P1", &old, start, "1000", "1007");
    bench.send_record("P1", &record);
    assert_eq!(
        bench.order(&old).bill().unwrap().detail.as_ref().unwrap().energy,
        kwh("7")
    );
    assert_eq!(connector(&bench).book.explained_to(), Some(kwh("8")));
    session(&mut bench, 1, "9", "10", "10");
    let gaps = bench.kinds().iter().filter(|kind| *kind == "RegisterGapFound").count();
    assert_eq!(gaps, 1, "from 8 to 9 kWh, and none that lies between two meters");
    reports(&bench);
}

#[test]
fn what_lies_before_an_order_is_told_though_its_meter_is_replaced_twice_before_it_is_over() {
    let mut bench = Bench::new();
    bench.idle("P1");
    bench.advance(10 * MINUTE);
    let id = bench.place("m", "P1", "30");
    let command = bench.order(&id).commands[0].id.clone();
    bench.reply("P1", &command, true);
    // Half a kilowatt-hour is in no session.
    bench.sim("P1").meter = kwh("1000.5");
    bench.charging("P1", &id);
    bench.deliver("P1", &id, HOUR, "1005.5");
    for meter in ["300", "3"] {
        bench.sim("P1").meter = kwh(meter);
        bench.restart_pile("P1");
        bench.connect("P1");
        bench.idle("P1");
    }
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    let order = bench.order(&id);
    assert_eq!((order.estimated, order.bill().unwrap().fee()), (true, yuan("5")));
    let sums = only(&report(&bench, "2026-03-02"));
    assert_eq!((sums.billed, sums.unrecorded), (kwh("5"), kwh("0.5")));
}

#[test]
fn a_report_while_a_replaced_meters_order_is_open_says_nothing_of_the_meter_before() {
    let mut bench = Bench::new();
    until(&mut bench, "2026-03-03T00:00:00+08:00");
    let (old, _) = bench.charge("m", "P1", "30");
    bench.deliver("P1", &old, 45 * MINUTE, "1003");
    bench.sim("P1").meter = kwh("3");
    bench.restart_pile("P1");
    bench.connect("P1");
    bench.idle("P1");
    until(&mut bench, "2026-03-03T01:00:00+08:00");
    assert_eq!(bench.state(&old), State::Charging);
    let found = report(&bench, "2026-03-02");
    assert_eq!((found.abnormal.len(), abnormal(&bench)), (0, None));
    let connector = &bench.disk.piles[&pile("P1")].connectors[&outlet("P1").connector];
    assert_eq!(
        (connector.book.unrecorded().len(), connector.book.explained_to()),
        (0, Some(kwh("3")))
    );
}

#[test]
fn a_person_who_clears_a_meter_that_reads_lower_gives_it_a_book_of_its_own() {
    let mut bench = Bench::new();
    session(&mut bench, 1, "1000", "1002", "1002");
    bench.sim("P1").meter = kwh("5");
    bench.idle("P1");
    let connector = |bench: &Bench| bench.disk.piles[&pile("P1")].connectors[&outlet("P1").connector].clone();
    assert_eq!(connector(&bench).meters_before, 0, "one reading tells nothing yet");
    bench.ok(clear("it began again at zero"));
    let cleared = connector(&bench);
    assert_eq!((cleared.meters_before, cleared.rollback), (1, None));
    assert_eq!(
        (cleared.book.base(), cleared.book_before.unwrap().explained_to()),
        (Some(kwh("5")), Some(kwh("1002")))
    );
    let id = session(&mut bench, 1, "5", "6", "6");
    assert_eq!(bench.state(&id), State::Payed, "{:?}", bench.order(&id).suspicions);
}

#[test]
fn a_session_of_the_meter_before_that_a_person_bills_late_is_not_of_the_one_that_is_there() {
    let mut bench = Bench::new();
    another_meter(&mut bench);
    let start = bench.now;
    bench.advance(HOUR);
    let id = order_id("019cab00-0000-7000-8000-000000000009");
    let record = bench.record_since("P1", &id, start, "1006", "1010");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    // The first session on the new meter has come, and nothing is in doubt any more.
    session(&mut bench, 1, "3", "8", "8");
    let billed = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    assert_eq!(bench.order(&billed).meter, 0);
    let connector = &bench.disk.piles[&pile("P1")].connectors[&outlet("P1").connector];
    assert_eq!(connector.book.explained_to(), Some(kwh("8")));
    assert!(
        connector
            .book_before
            .as_ref()
            .unwrap()
            .session(&SessionId::Order(billed))
            .is_some()
    );
}

#[test]
fn a_late_session_of_the_meter_before_says_nothing_of_the_one_that_is_there() {
    let mut bench = Bench::new();
    another_meter(&mut bench);
    let start = bench.now;
    bench.advance(HOUR);
    let id = order_id("019cab00-0000-7000-8000-000000000009");
    let record = bench.record_since("P1", &id, start, "1006", "1010");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    let connector = |bench: &Bench| bench.disk.piles[&pile("P1")].connectors[&outlet("P1").connector].clone();
    assert_eq!(
        (
            connector(&bench).book.explained_to(),
            connector(&bench).book.sessions().len()
        ),
        (Some(kwh("3")), 0)
    );
    bench.ok(Input::CloseQuarantine {
        item,
        bill_to: Some(member("m")),
        despite: Vec::new(),
        typed: None,
        reason: "theirs".to_owned(),
        by: "desk".to_owned(),
    });
    let after = connector(&bench);
    assert_eq!(
        (after.book.explained_to(), after.rollback.is_some()),
        (Some(kwh("3")), true)
    );
    session(&mut bench, 1, "3", "8", "8");
    assert!(
        !bench.kinds().contains(&"RegisterGapFound".to_owned()),
        "none lies between two meters"
    );
    assert_eq!(connector(&bench).book.explained_to(), Some(kwh("8")));
}

#[test]
fn a_meter_that_a_person_has_replaced_keeps_no_driver_waiting() {
    let mut bench = Bench::new();
    another_meter(&mut bench);
    bench.ok(clear("meter replaced, 1006 kWh read on the old one"));
    let id = session(&mut bench, 1, "3", "8", "8");
    assert_eq!(bench.state(&id), State::Payed);
    reports(&bench);
}

#[test]
fn a_record_that_comes_after_a_persons_bill_waits_for_a_person_again() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    bench.now.wall = bench.now.wall.after_ms(120_000);
    bench.idle("P1");
    bench.advance(31 * MINUTE);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.estimated),
        (State::Review, true),
        "the station's clock was stepped"
    );
    let (electricity, service) = (yuan("1"), yuan("1"));
    bench.ok(Bench::decide_input(&id, Decision::Corrected { electricity, service }));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("58")));

    let record = bench.record_since("P1", &id, start, "1000", "1006");
    let said = ack(&bench.send_record("P1", &record));
    assert_eq!(said.detail, "waits for review");
    let order = bench.order(&id);
    let bases: Vec<Basis> = order.bills.iter().map(|bill| bill.basis).collect();
    assert_eq!(
        bases,
        [Basis::Estimate, Basis::Correction, Basis::Record],
        "both are shown"
    );
    assert_eq!(
        (order.state, bench.allowance("m")),
        (State::Review, yuan("58")),
        "no money moves"
    );
    assert!(order.suspicions.contains(&Suspicion::BillCorrected));
    // As is: the record counts. The person's own bill again is another correction.
    let mut other = bench.replayed_orders();
    assert_eq!(
        other.remove(&id).flatten().map(domain::order::Order::into_row),
        Some(order)
    );
    bench.ok(Bench::decide_input(&id, Decision::Corrected { electricity, service }));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("58")));
    assert_eq!(
        ack(&bench.send_record("P1", &record)).fee,
        Some(yuan("2")),
        "a repetition changes nothing"
    );
    reports(&bench);
}

/// P1 runs a session alone for four hours up to `to`, and does not send its record yet.
fn alone(bench: &mut Bench, counter: u32, to: &str) -> Record {
    bench.disconnect("P1", true);
    let (start, from) = (bench.now, bench.sim("P1").meter.to_string());
    bench.advance(4 * HOUR);
    let id = order_id(&format!("off-P1-1-{counter}"));
    let mut record = bench.record_since("P1", &id, start, &from, to);
    record.card_id = Some(CardId::new("c1").unwrap());
    record.offline = true;
    bench.sim("P1").meter = kwh(to);
    bench.connect("P1");
    bench.idle("P1");
    record
}

#[test]
fn the_mark_stays_until_every_day_that_differed_is_explained() {
    let mut bench = Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    });
    let first = alone(&mut bench, 1, "1020");
    until(&mut bench, "2026-03-03T12:00:00+08:00");
    let second = alone(&mut bench, 2, "1025");
    until(&mut bench, "2026-03-04T01:00:00+08:00");
    assert!(abnormal(&bench).unwrap().contains("2026-03-02"));
    bench.send_record("P1", &first);
    assert_eq!(bench.state(&first.order_id), State::Payed);
    until(&mut bench, "2026-03-05T01:00:00+08:00");
    let left = abnormal(&bench).expect("the second day still differs");
    assert!(left.contains("2026-03-03"), "{left}");
    bench.send_record("P1", &second);
    assert_eq!(bench.state(&second.order_id), State::Payed);
    until(&mut bench, "2026-03-06T01:00:00+08:00");
    assert_eq!(abnormal(&bench), None);
}

#[test]
fn an_order_that_a_person_gives_its_true_record_differs_from_its_register_no_more() {
    for reported in [false, true] {
        let mut bench = Bench::new();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, HOUR, "1005");
        let wrong = bench.record_since("P1", &id, start, "1000", "1001");
        bench.send_record("P1", &wrong);
        let mut right = wrong.clone();
        right.meter_stop_kwh = kwh("1005");
        bench.send_record("P1", &right);
        bench.idle("P1");
        if reported {
            until(&mut bench, "2026-03-03T01:00:00+08:00");
            assert!(classes(&only(&report(&bench, "2026-03-02"))).contains(&"ENERGY"));
            assert!(abnormal(&bench).is_some());
        }
        let item = *bench.disk.quarantine.keys().next().unwrap();
        bench.ok(Bench::close_item_input(item, Some("m")));
        assert_eq!(bench.order(&id).paid.charged(), yuan("5"));
        let (day, next) = match reported {
            false => ("2026-03-02", "2026-03-03T01:00:00+08:00"),
            true => ("2026-03-03", "2026-03-04T01:00:00+08:00"),
        };
        until(&mut bench, next);
        let made = report(&bench, day);
        assert!(!classes(&only(&made)).contains(&"ENERGY"), "{made:?}");
        assert_eq!((abnormal(&bench), &made.abnormal[..]), (None, &[][..]));
        if reported {
            let late: Vec<_> = made
                .adjustments
                .iter()
                .filter(|late| late.of == self::day("2026-03-02"))
                .collect();
            assert_eq!(
                classes(&late[0].change),
                ["ENERGY_AGREES", "EXPLAINED"],
                "a dated correction"
            );
        }
        assert_eq!(bench.replayed().piles, bench.disk.piles);
        assert_eq!(bench.replayed_orders(), bench.disk.orders);
    }
}

//! Records and estimates held against what the station saw of the register, and against who accounts for it already.

use crate::bench::*;
use domain::{
    fact::QuarantineReason,
    ids::{CardId, OrderId},
    messages::{AckResult, Record},
    order::State,
    policy::Policy,
    quarantine::CoveredBy,
    site::{Decision, Input, Rejected},
    time::Now,
};

fn allowing() -> Bench {
    Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    })
}

/// Why an order waits: the names of its suspicions.
fn reasons(bench: &Bench, id: &OrderId) -> Vec<String> {
    let name = |suspicion: &domain::meter::Suspicion| {
        let text = format!("{suspicion:?}");
        text.split([' ', '{']).next().unwrap().to_owned()
    };
    bench.order(id).suspicions.iter().map(name).collect()
}

/// All of them, as they are written.
fn suspicions(bench: &Bench, id: &OrderId) -> String {
    format!("{:?}", bench.order(id).suspicions)
}

fn last_item(bench: &Bench) -> u64 {
    *bench.disk.quarantine.keys().last().unwrap()
}

fn bill(item: u64, despite: Vec<CoveredBy>) -> Input {
    let mut input = Bench::close_item_input(item, Some("m"));
    if let Input::CloseQuarantine { despite: known, .. } = &mut input {
        *known = despite;
    }
    input
}

/// The register of P1 shows four places.
fn shows_places(bench: &mut Bench) {
    bench.sim("P1").meter = kwh("1000.0001");
    bench.idle("P1");
}

/// A session that P1 says it ran alone, by the card of `m`.
fn alone(bench: &mut Bench, counter: u32, start: Now, from: &str, to: &str) -> Record {
    let id = order_id(&format!("off-P1-1-{counter}"));
    let mut record = bench.record_since("P1", &id, start, from, to);
    record.offline = true;
    record.card_id = Some(CardId::new("c1").unwrap());
    record
}

/// Nobody hears of P1's session any more until an estimate takes its record's place.
fn without_record(bench: &mut Bench) {
    bench.idle("P1");
    bench.advance(40 * MINUTE);
}

// Who accounts for the readings.

#[test]
fn whoever_bills_an_orphan_is_told_of_the_order_that_charges_there() {
    let mut bench = Bench::new();
    bench.member("n", "60");
    let (id, start) = bench.charge("n", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let orphan = bench.record_since("P1", &order_id("X"), start, "1000", "1005");
    bench.send_record("P1", &orphan);
    let item = last_item(&bench);
    let running = CoveredBy::Order(id.clone());
    match bench.refused(bill(item, Vec::new())) {
        Rejected::Covered { covers, .. } => {
            let covers: Vec<_> = covers.iter().map(|one| (&one.by, one.from, one.to)).collect();
            assert_eq!(covers, [(&running, kwh("1000"), kwh("1005"))]);
        }
        other => panic!("covers were expected, not {other:?}"),
    }

    // Somebody does so all the same: then the order's own record waits.
    let billed = placed(&bench.ok(bill(item, vec![running])));
    assert_eq!(bench.state(&billed), State::Payed);
    let record = bench.record_since("P1", &id, start, "1000", "1005");
    assert_eq!(ack(&bench.send_record("P1", &record)).detail, "waits for review");
    assert_eq!((bench.state(&id), bench.allowance("n")), (State::Review, yuan("10")));
    assert_eq!(reasons(&bench, &id), ["AlreadyAccounted"]);
    let named = suspicions(&bench, &id);
    assert!(named.contains(&format!("{:?}", CoveredBy::Order(billed))), "{named}");
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(bench.state(&id), State::Payed, "a person has the last word");
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

#[test]
fn a_record_over_an_item_in_quarantine_waits_and_over_a_dismissed_one_does_not() {
    for dismissed in [false, true] {
        let mut bench = Bench::new();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, HOUR, "1005");
        let orphan = bench.record_since("P1", &order_id("X"), start, "1000", "1005");
        bench.send_record("P1", &orphan);
        if dismissed {
            bench.ok(Bench::close_item_input(last_item(&bench), None));
            bench.restart(true);
            bench.connect("P1");
        }
        let record = bench.record_since("P1", &id, start, "1000", "1005");
        bench.send_record("P1", &record);
        let expected = if dismissed { State::Payed } else { State::Review };
        assert_eq!(bench.state(&id), expected, "{dismissed}: {}", suspicions(&bench, &id));
        assert_eq!(bench.replayed().piles, bench.disk.piles);
    }
}

#[test]
fn two_orders_over_the_same_readings_are_not_both_paid_unasked() {
    let mut bench = Bench::new();
    let (first, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &first, HOUR, "1005");
    let record = bench.record_since("P1", &first, start, "1000", "1005");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&first), State::Payed);
    bench.idle("P1");
    bench.member("n", "60");
    let second = bench.place("n", "P1", "50");
    bench.advance(50 * SECOND);
    let again = bench.record_since("P1", &second, start, "1003", "1005");
    bench.send_record("P1", &again);
    assert_eq!(
        (bench.state(&second), bench.allowance("n")),
        (State::Review, yuan("10"))
    );
    let why = reasons(&bench, &second);
    assert!(why.contains(&"AlreadyAccounted".to_owned()), "{why:?}");
}

#[test]
fn an_offline_session_over_a_running_orders_readings_is_kept_for_a_person() {
    let mut bench = allowing();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 30 * MINUTE, "1003");
    bench.advance(20 * MINUTE);
    let record = alone(&mut bench, 1, start, "1000", "1005");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Orphan);
    let item = bench.disk.quarantine[&last_item(&bench)].clone().unwrap();
    assert_eq!(item.why, QuarantineReason::OfflineSessionRefused);
    assert!(item.detail.contains("while another order charged"), "{}", item.detail);

    // No record of the order comes: its estimate is of the same readings, and nothing is taken for it unasked.
    without_record(&mut bench);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("10")));
    assert_eq!(reasons(&bench, &id), ["AlreadyAccounted"]);
}

#[test]
fn an_offline_session_that_goes_on_from_a_running_orders_readings_is_settled() {
    let mut bench = allowing();
    let (id, _) = bench.charge("m", "P1", "20");
    bench.deliver("P1", &id, 30 * MINUTE, "1003");
    bench.disconnect("P1", true);
    let start = bench.now;
    bench.advance(2 * HOUR);
    bench.sim("P1").meter = kwh("1010");
    let record = alone(&mut bench, 1, start, "1003", "1010");
    bench.connect("P1");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&record.order_id), State::Payed);
}

#[test]
fn an_estimate_of_readings_that_another_session_accounts_for_waits() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let orphan = bench.record_since("P1", &order_id("X"), start, "1000", "1005");
    bench.send_record("P1", &orphan);
    without_record(&mut bench);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("10")));
    assert_eq!(reasons(&bench, &id), ["AlreadyAccounted"]);
}

#[test]
fn neighbours_that_overlap_by_one_step_of_their_register_are_paid() {
    // One rounds up at its end, and the next one down at its start.
    let mut bench = Bench::new();
    let (first, start) = bench.charge("m", "P1", "20");
    bench.deliver("P1", &first, HOUR, "1006");
    let record = bench.record_since("P1", &first, start, "1000", "1006");
    bench.send_record("P1", &record);
    bench.idle("P1");
    let (second, start) = bench.charge("m", "P1", "20");
    bench.deliver("P1", &second, HOUR, "1012");
    let record = bench.record_since("P1", &second, start, "1005.2", "1012");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&second), State::Payed, "{}", suspicions(&bench, &second));
}

#[test]
fn the_late_record_of_an_estimate_is_not_held_against_its_own_estimate() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "1000", "1005");
    without_record(&mut bench);
    assert_eq!(bench.state(&id), State::Settle);
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed);
}

// What the station saw.

#[test]
fn a_record_that_leaves_out_the_beginning_of_what_was_seen_waits() {
    let mut bench = Bench::new();
    shows_places(&mut bench);
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "1004", "1005.5");
    bench.send_record("P1", &record);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("10")));
    assert_eq!(reasons(&bench, &id), ["BelowSeen"]);
}

#[test]
fn a_stop_above_what_the_connector_can_have_come_to_since_it_was_seen_waits() {
    // At most 0.78 kWh in the minute, a tenth and the five minutes that times may be off.
    for (minutes, stop, expected) in [
        (0, "1003.7", State::Payed),
        (0, "1007.5", State::Review),
        (60, "1007.5", State::Payed),
    ] {
        let mut bench = Bench::new();
        shows_places(&mut bench);
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, HOUR, "1003");
        bench.advance(minutes * MINUTE);
        let record = bench.record_since("P1", &id, start, "1000.0001", stop);
        bench.send_record("P1", &record);
        assert_eq!(bench.state(&id), expected, "{stop}: {}", suspicions(&bench, &id));
        if expected == State::Review {
            assert_eq!(reasons(&bench, &id), ["NotAsSeen"]);
            assert_eq!(bench.allowance("m"), yuan("10"), "nothing has moved");
        }
    }
}

#[test]
fn a_stop_above_what_the_register_reads_since_waits() {
    let mut bench = Bench::new();
    shows_places(&mut bench);
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 10 * MINUTE, "1001");
    bench.disconnect("P1", true);
    bench.advance(HOUR);
    let record = bench.record_since("P1", &id, start, "1000.0001", "1008");
    bench.connect("P1");
    bench.sim("P1").meter = kwh("1003");
    bench.idle("P1");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
    assert_eq!(reasons(&bench, &id), ["NotAsSeen"]);
    // What a person does not believe does not move the register for those who come after.
    bench.ok(Bench::decide_input(
        &id,
        Decision::Corrected {
            electricity: yuan("1.80"),
            service: yuan("1.20"),
        },
    ));
    let (next, start) = bench.charge("m", "P1", "20");
    bench.deliver("P1", &next, HOUR, "1006");
    let record = bench.record_since("P1", &next, start, "1003", "1006");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&next), State::Payed, "{}", suspicions(&bench, &next));
}

/// An order whose start reply has no register, and whose first report comes two hours later, at 1010.5 kWh.
fn read_late(bench: &mut Bench) -> (OrderId, Now) {
    let id = bench.place("m", "P1", "50");
    let start = bench.now;
    let command = bench.order(&id).commands[0].id.clone();
    bench.reply("P1", &command, true);
    bench.advance(2 * HOUR);
    bench.sim("P1").meter = kwh("1010.5");
    bench.charging("P1", &id);
    (id, start)
}

#[test]
fn a_start_below_a_first_reading_that_came_late_is_what_may_have_flowed_until_then() {
    let mut bench = Bench::new();
    let (id, start) = read_late(&mut bench);
    assert_eq!(bench.order(&id).started.unwrap().register, Some(kwh("1010.5")));
    bench.deliver("P1", &id, HOUR, "1015.5");
    let record = bench.record_since("P1", &id, start, "1000", "1015.5");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed, "{}", suspicions(&bench, &id));
}

#[test]
fn a_first_reading_that_came_late_was_read_when_it_came_whatever_happened_since() {
    let mut bench = Bench::new();
    // From 22:30 on: the tariff changes at midnight, between the start and the first reading.
    bench.advance(10 * HOUR);
    let (id, start) = read_late(&mut bench);
    let read_at = bench.now.wall;
    // What was kept of the connector is lost, and the order remembers its first reading.
    bench.restart(false);
    bench.connect("P1");
    bench.deliver("P1", &id, HOUR, "1015.5");
    let record = bench.record_since("P1", &id, start, "1000", "1015.5");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed, "{}", suspicions(&bench, &id));
    let bill = bench.order(&id).bill().unwrap().detail.clone().unwrap();
    let first = bill.readings.iter().find(|reading| reading.register == kwh("1010.5"));
    assert_eq!(first.map(|first| first.at), Some(read_at), "{:?}", bill.readings);
}

#[test]
fn a_start_below_what_the_start_reply_said_waits() {
    // Ten kilowatt-hours flow before the order, and nobody reports them.
    let mut bench = Bench::new();
    shows_places(&mut bench);
    bench.advance(2 * HOUR);
    bench.sim("P1").meter = kwh("1010.0001");
    let (id, start) = bench.charge("m", "P1", "50");
    let order = bench.order(&id);
    assert_eq!(order.baseline, Some(kwh("1000.0001")));
    assert_eq!(order.started.unwrap().register, Some(kwh("1010.0001")));
    bench.deliver("P1", &id, 3 * HOUR, "1015");
    let record = bench.record_since("P1", &id, start, "1000.0001", "1015");
    bench.send_record("P1", &record);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("10")));
    assert_eq!(reasons(&bench, &id), ["NotAsSeen"]);
}

#[test]
fn an_estimate_by_a_register_that_was_found_elsewhere_waits_for_a_person() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, MINUTE, "1000.1");
    bench.sim("P1").meter = kwh("1040");
    for _ in 0..3 {
        bench.advance(31 * SECOND);
        bench.charging("P1", &id);
    }
    without_record(&mut bench);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("10")));
    let order = bench.order(&id);
    assert_eq!(order.hold.remaining(), yuan("50"), "nothing is taken from the hold");
    let why = reasons(&bench, &id);
    assert!(why.contains(&"RegisterJumped".to_owned()), "{why:?}");
}

// Registers that are shown in steps.

#[test]
fn a_register_that_is_reported_in_whole_kilowatt_hours_is_held_against_no_finer_record() {
    for (seen, start, stop, expected) in [
        ("1005", "1000", "1004.6", State::Payed),
        ("1005", "999.6", "1004.6", State::Payed),
        ("1005", "1000.4", "1005.9", State::Payed),
        ("1005", "1000", "1003.8", State::Review),
        ("1005", "1000", "1008", State::Review),
    ] {
        let mut bench = Bench::new();
        let (id, began) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, HOUR, seen);
        let record = bench.record_since("P1", &id, began, start, stop);
        bench.send_record("P1", &record);
        let why = suspicions(&bench, &id);
        assert_eq!(bench.state(&id), expected, "{start} to {stop}, {seen} seen: {why}");
    }
}

#[test]
fn a_register_that_shows_its_places_is_held_to_them() {
    let mut bench = Bench::new();
    shows_places(&mut bench);
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "1000.0001", "1004.6");
    bench.send_record("P1", &record);
    assert_eq!(reasons(&bench, &id), ["BelowSeen"]);
    assert_eq!(bench.state(&id), State::Review);
}

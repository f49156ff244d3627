//! Records become bills and bills become money: S05 §2.2, §2.3, §4, §5; S03 §3.1.

use crate::bench::*;
use domain::{
    fact::{Fact, PaidFrom, QuarantineReason, Raw},
    ledger::{Account, Code},
    messages::{AckResult, BufferedSample, Periods},
    meter::Suspicion,
    notice::NoticeKey,
    order::{Basis, FailReason, Source, State},
    policy::Policy,
    rating::BillSegment,
    site::{Decision, Input, Rejected},
    tariff::PeriodKind,
    time::Now,
    units::{Energy, Fen},
};

fn segments(bench: &Bench, id: &domain::ids::OrderId) -> Vec<(PeriodKind, Energy)> {
    let order = bench.order(id);
    let detail = order.bill().and_then(|bill| bill.detail.clone()).unwrap();
    let pair = |segment: &BillSegment| (segment.kind, segment.energy);
    detail.segments.iter().map(pair).collect()
}

#[test]
fn the_rest_of_the_hold_goes_back_when_the_order_is_settled() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 2 * HOUR, "1012.345");
    let record = bench.record_since("P1", &id, start, "1000", "1012.345");
    let outcome = bench.send_record("P1", &record);
    assert_eq!(ack(&outcome).fee, Some(yuan("12.35")));
    assert_eq!(
        notices(&outcome),
        [(
            NoticeKey::Settled,
            "充电已结束，费用 12.35 元，已退回 37.65 元".to_owned()
        )]
    );
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.hold.captured, order.hold.released),
        (State::Payed, yuan("12.35"), yuan("37.65"))
    );
    let ledger = &bench.disk.ledger;
    assert_eq!(
        ledger.balance(&Account::SalesElectricity),
        yuan("7.41"),
        "12.345 at 0.60"
    );
    assert_eq!(ledger.balance(&Account::SalesService), yuan("4.94"), "12.345 at 0.40");
    assert_eq!(bench.allowance("m"), yuan("47.65"));
}

#[test]
fn a_drop_in_mid_charge_is_rated_by_its_actual_times_across_a_tariff_boundary() {
    let mut bench = Bench::new();
    bench.advance(9 * HOUR + 30 * MINUTE); // 22:00
    let (id, start) = bench.charge("m", "P1", "50");
    bench.charging("P1", &id);
    bench.disconnect("P1", true);
    bench.advance(4 * HOUR); // 02:00, 14 kWh in flat, then 14 kWh in valley
    let mut record = bench.record_since("P1", &id, start, "1000", "1020");
    record.offline = true;
    let sample = |ms: i64, register: &str| BufferedSample {
        ts: Some(start.wall.after_ms(ms)),
        mono_ms: 0,
        meter_kwh: kwh(register),
    };
    record.samples = vec![sample(7_200_000, "1013.5")];
    record.periods = Some(Periods {
        flat_kwh: kwh("10"),
        valley_kwh: kwh("10"),
        ..Periods::default()
    });
    bench.advance(9 * HOUR); // the record comes at 11:00, in peak
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(order.state, State::Payed);
    assert_eq!(
        segments(&bench, &id),
        [(PeriodKind::Flat, kwh("13.5")), (PeriodKind::Valley, kwh("6.5"))]
    );
    assert_eq!(order.paid.charged(), yuan("17.40"), "13.50 and 3.90");
    // The pile's claim differs and is kept, never charged (dual rating).
    assert!(bench.kinds().contains(&"RatingDiffers".to_owned()));
}

#[test]
fn a_stop_while_the_pile_is_offline_settles_from_the_late_record() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", true);
    bench.ok(Bench::stop_input(&id));
    bench.advance(3 * HOUR);
    let mut record = bench.record_since("P1", &id, start, "1000", "1020");
    record.offline = true;
    bench.advance(DAY);
    bench.connect("P1");
    assert_eq!(ack(&bench.send_record("P1", &record)).fee, Some(yuan("20")));
    assert_eq!(bench.state(&id), State::Payed);
}

#[test]
fn a_fault_stop_settles_what_was_delivered_keeps_the_reason_and_says_so() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let mut record = bench.record_since("P1", &id, start, "1000", "1006");
    record.reason.code = 1;
    record.reason.text = "over-temperature".to_owned();
    let outcome = bench.send_record("P1", &record);
    assert_eq!(
        notices(&outcome),
        [(NoticeKey::AbnormalEnd, "充电异常结束，余额已退回".to_owned())]
    );
    let order = bench.order(&id);
    assert_eq!((order.state, order.hold.released), (State::Payed, yuan("44")));
    assert_eq!(order.ending.unwrap().reason.text, "over-temperature");
    assert_eq!(bench.disk.piles[&pile("P1")].faults.len(), 1);
}

#[test]
fn a_fee_above_all_funds_takes_everything_and_blocks_the_next_start_until_paid() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", true);
    bench.advance(10 * HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "1065.5");
    bench.connect("P1");
    let outcome = bench.send_record("P1", &record);
    assert_eq!(
        notices(&outcome),
        [(
            NoticeKey::InDebt,
            "充电已结束，费用 65.50 元，余额不足，欠费 5.50 元，请补缴".to_owned()
        )]
    );
    assert_eq!(
        (bench.state(&id), bench.allowance("m"), bench.debt("m")),
        (State::Unpaid, Fen(0), yuan("5.50"))
    );
    bench.top_up("m", "100");
    let place = bench.place_input("m", "P1", "50");
    assert_eq!(
        bench.refused(place.clone()),
        Rejected::UnpaidDebt {
            member: member("m"),
            debt: yuan("5.50")
        }
    );
    assert_eq!(
        bench.refused(Bench::pay_debt_input("m", "5.51", PaidFrom::Cash)).code(),
        "too_much"
    );
    bench.ok(Bench::pay_debt_input("m", "2", PaidFrom::Cash));
    assert_eq!(bench.state(&id), State::Unpaid);
    let cleared = bench.ok(Bench::pay_debt_input("m", "3.50", PaidFrom::Allowance));
    assert_eq!(notices(&cleared)[0].0, NoticeKey::DebtCleared);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("96.50")));
    bench.idle("P1");
    bench.ok(place);
}

#[test]
fn an_order_above_200_waits_for_a_person_before_money_moves() {
    let mut bench = Bench::new();
    bench.top_up("m", "440");
    let (id, start) = bench.charge("m", "P1", "300");
    bench.advance(30 * HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "1210");
    let outcome = bench.send_record("P1", &record);
    assert_eq!(notices(&outcome)[0].0, NoticeKey::UnderReview);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.hold.remaining(), order.paid.charged()),
        (State::Review, yuan("300"), Fen(0))
    );
    assert_eq!(order.suspicions, [Suspicion::LargeFee]);
    let fee = order.bill().unwrap().fee();
    let no_reason = Input::Decide {
        order: id.clone(),
        decision: Decision::AsIs,
        reason: " ".to_owned(),
        by: "risk".to_owned(),
    };
    assert_eq!(bench.refused(no_reason), Rejected::NoReason);
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!((bench.state(&id), bench.order(&id).paid.charged()), (State::Payed, fee));
    assert!(bench.kinds().contains(&"ReviewApproved".to_owned()));
}

#[test]
fn a_fee_of_exactly_200_needs_nobody() {
    let mut bench = Bench::with(Policy {
        review_above: yuan("10"),
        ..Policy::default()
    });
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 2 * HOUR, "1010");
    let record = bench.record_since("P1", &id, start, "1000", "1010");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed);
}

#[test]
fn a_correction_is_a_new_version_of_the_bill() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 2 * HOUR, "1010");
    let record = bench.record_since("P1", &id, start, "0", "1010");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
    let negative = Decision::Corrected {
        electricity: yuan("-1"),
        service: yuan("4"),
    };
    assert_eq!(
        bench.refused(Bench::decide_input(&id, negative)),
        Rejected::NotPositive(yuan("-1"))
    );
    let right = Decision::Corrected {
        electricity: yuan("6"),
        service: yuan("4"),
    };
    bench.ok(Bench::decide_input(&id, right));
    let order = bench.order(&id);
    let bases: Vec<Basis> = order.bills.iter().map(|bill| bill.basis).collect();
    assert_eq!(bases, [Basis::Record, Basis::Correction]);
    assert_eq!(
        (order.state, order.paid.charged(), bench.allowance("m")),
        (State::Payed, yuan("10"), yuan("50"))
    );
}

#[test]
fn a_start_reading_of_zero_or_the_lifetime_register_is_never_billed_as_one_session() {
    // citrineos-core#1060, evcc#29654, #29374: 910 kWh for 0.083.
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1000.083");
    let record = bench.record_since("P1", &id, start, "0", "1000.083");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, Fen(0)));
    assert!(order.suspicions.contains(&Suspicion::StartZero));
    assert!(order.suspicions.iter().any(|s| matches!(s, Suspicion::TooFast { .. })));
}

#[test]
fn a_stop_reading_below_start_waits_for_a_person() {
    // steve#1297, #1962.
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.advance(HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "999.5");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(order.state, State::Review);
    assert!(matches!(
        order.suspicions[..],
        [Suspicion::StopBelowStart { .. }, Suspicion::TimesImpossible { .. }]
    ));
}

#[test]
fn a_bogus_register_does_not_make_every_later_session_suspect() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1000", "91006");
    bench.send_record("P1", &record);
    bench.ok(Bench::decide_input(
        &id,
        Decision::Corrected {
            electricity: yuan("3.60"),
            service: yuan("2.40"),
        },
    ));
    bench.idle("P1");
    let (next, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &next, HOUR, "1012");
    let record = bench.record_since("P1", &next, start, "1006", "1012");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&next), State::Payed);
}

#[test]
fn several_stops_for_one_session_are_one_bill_and_a_conflict() {
    // steve#1293, #1294: several stops with different meters for one session.
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    let again = ack(&bench.send_record("P1", &record));
    assert_eq!((again.result, again.fee), (AckResult::Duplicate, Some(yuan("6"))));
    let mut other = record.clone();
    other.meter_stop_kwh = kwh("1007");
    let said = ack(&bench.send_record("P1", &other));
    assert_eq!(
        (said.result, said.fee),
        (AckResult::Rejected, Some(yuan("6"))),
        "the first stands"
    );
    for _ in 0..3 {
        let said = ack(&bench.send_record("P1", &other));
        assert_eq!((said.result, said.fee), (AckResult::Duplicate, Some(yuan("6"))));
    }
    assert_eq!(bench.disk.quarantine.len(), 1);
    assert_eq!(bench.order(&id).paid.charged(), yuan("6"));
}

#[test]
fn a_record_of_an_unknown_order_is_kept_and_never_acknowledged_as_success() {
    // chargeon `orderReport`: unknown order acknowledged; the pile then deletes its only copy. S03 §3.1.
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(HOUR);
    let record = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Orphan);
    bench.restart_pile("P1");
    bench.connect("P1");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Orphan);
    let items: Vec<_> = bench.disk.quarantine.values().flatten().collect();
    assert_eq!(items.len(), 1, "the same record is one item");
    assert_eq!(items[0].why, QuarantineReason::Orphan);
    assert_eq!(items[0].record.as_deref(), Some(&record));
}

#[test]
fn an_orphan_is_billed_by_a_person_with_its_samples_or_dismissed() {
    let mut bench = Bench::new();
    bench.advance(11 * HOUR); // 23:30
    let start = bench.now;
    bench.advance(HOUR);
    let mut record = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006");
    record.samples = vec![BufferedSample {
        ts: Some(start.wall.after_ms(1_800_000)),
        mono_ms: 0,
        meter_kwh: kwh("1005"),
    }];
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    assert_eq!(
        bench.refused(Bench::close_item_input(item, Some("nobody"))).code(),
        "unknown_member"
    );
    let id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    let order = bench.order(&id);
    assert_eq!((order.state, order.source), (State::Payed, Source::Quarantine));
    assert_eq!(order.paid.charged(), yuan("5.60"), "5 kWh before midnight, 1 after");
    assert_eq!(
        bench.refused(Bench::close_item_input(item, None)).code(),
        "unknown_quarantine_item",
        "dealt with once"
    );
    record.meter_stop_kwh = kwh("1006.1");
    bench.send_record("P1", &record);
    let other = *bench.disk.quarantine.keys().last().unwrap();
    bench.ok(Bench::close_item_input(other, None));
}

#[test]
fn what_was_billed_out_of_quarantine_is_known_again_after_a_restart() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(HOUR);
    let record = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    bench.ok(Bench::close_item_input(item, Some("m")));
    assert_eq!(bench.allowance("m"), yuan("54"));
    bench.restart(true);
    bench.connect("P1");
    let facts = bench.facts.len();
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Orphan);
    assert_eq!((bench.facts.len(), bench.disk.quarantine.len()), (facts, 1));

    // What cannot be read as well; another pile may say the same.
    let garbled = |at: &str| Input::Unreadable {
        pile: pile(at),
        kind: Some(domain::topics::UpKind::Record),
        fault: domain::messages::read_up(domain::topics::UpKind::Record, b"{").unwrap_err(),
        raw: Raw::Text("{".to_owned()),
    };
    bench.ok(garbled("P1"));
    bench.restart(true);
    assert_eq!(ack(&bench.ok(garbled("P1"))).result, AckResult::Malformed);
    assert_eq!(bench.disk.quarantine.len(), 2);
    bench.ok(garbled("P2"));
    assert_eq!(bench.disk.quarantine.len(), 3);
}

#[test]
fn an_orphan_without_a_clock_is_priced_by_a_person() {
    let mut bench = Bench::new();
    bench.sim("P1").clock_ahead_ms = None;
    let start = bench.now;
    bench.advance(HOUR);
    let record = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    let id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    assert_eq!(
        (bench.state(&id), bench.order(&id).suspicions),
        (State::Review, vec![Suspicion::ClockUnknown])
    );
}

#[test]
fn an_orphan_is_billed_by_the_stations_time_whatever_its_pile_believed() {
    let mut bench = Bench::new();
    bench.advance(9 * HOUR); // 21:30
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(3 * 3_600_000);
    bench.connect("P1");
    let start = bench.now;
    bench.advance(2 * HOUR);
    let mut record = bench.record_since("P1", &order_id("stranger"), start, "1000", "1010");
    record.samples = vec![BufferedSample {
        ts: Some(start.wall.after_ms(4 * 3_600_000)),
        mono_ms: 0,
        meter_kwh: kwh("1005"),
    }];
    bench.send_record("P1", &record);
    // What is measured later does not matter any more.
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(0);
    bench.connect("P1");
    let item = *bench.disk.quarantine.keys().next().unwrap();
    let id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    assert_eq!(
        (bench.state(&id), bench.order(&id).paid.charged()),
        (State::Payed, yuan("10"))
    );
    assert_eq!(
        segments(&bench, &id),
        [(PeriodKind::Flat, kwh("10"))],
        "the pile believed it was night"
    );
}

#[test]
fn an_orphan_whose_times_cannot_be_goes_to_review() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(HOUR);
    let mut record = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006");
    record.stop_ts = Some(bench.now.wall.after_ms(86_400_000));
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    let id = placed(&bench.ok(Bench::close_item_input(item, Some("m"))));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("60")));
    assert!(matches!(
        bench.order(&id).suspicions[..],
        [Suspicion::TimesContradict { .. }]
    ));
}

#[test]
fn a_record_of_another_outlets_order_touches_nobodys_money() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.advance(HOUR);
    let record = bench.record_since("P2", &id, start, "1000", "1006");
    assert_eq!(ack(&bench.send_record("P2", &record)).result, AckResult::Orphan);
    assert_eq!(bench.state(&id), State::Charging);
    let item = bench.disk.quarantine.values().flatten().next().unwrap();
    assert_eq!((item.why, &item.pile), (QuarantineReason::ForeignOrder, &pile("P2")));
}

#[test]
fn energy_of_a_failed_order_is_kept_and_billed_by_a_person() {
    let mut bench = Bench::new();
    bench.member("n", "60");
    let id = bench.place("m", "P1", "50");
    let start = bench.now;
    bench.advance(HOUR);
    assert_eq!(bench.order(&id).fail, Some(FailReason::TimedOut));
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    let received = ack(&bench.send_record("P1", &record));
    assert_eq!((received.result, received.fee), (AckResult::Ok, None));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Fail, yuan("60")));
    let item = *bench.disk.quarantine.keys().next().unwrap();
    assert_eq!(
        bench.disk.quarantine[&item].as_ref().unwrap().why,
        QuarantineReason::Unbilled
    );
    assert_eq!(
        bench.refused(Bench::close_item_input(item, Some("n"))).code(),
        "not_billable",
        "it is not theirs"
    );
    bench.ok(Bench::close_item_input(item, Some("m")));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("54")));
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Duplicate);
}

#[test]
fn a_message_that_cannot_be_read_is_kept_once_and_telemetry_is_not() {
    let mut bench = Bench::new();
    let unreadable = |kind, raw: &str| Input::Unreadable {
        pile: pile("P1"),
        kind: Some(kind),
        fault: domain::messages::read_up(kind, raw.as_bytes()).unwrap_err(),
        raw: Raw::Text(raw.to_owned()),
    };
    let garbled = r#"{"boot_id":"b","msg_id":"x1","seq":1,"mono_ms":1,"ts":null,"order_id":7}"#;
    let outcome = bench.ok(unreadable(domain::topics::UpKind::Record, garbled));
    let said = ack(&outcome);
    assert_eq!(
        (said.result, said.msg_id.unwrap().as_str()),
        (AckResult::Malformed, "x1")
    );
    assert!(said.detail.contains("order_id"), "{}", said.detail);
    bench.ok(unreadable(domain::topics::UpKind::Record, garbled));
    bench.ok(unreadable(domain::topics::UpKind::Heartbeat, "{}"));
    let items: Vec<_> = bench.disk.quarantine.values().flatten().collect();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].raw, Some(Raw::Text(garbled.to_owned())));
    let item = items[0].item;
    assert_eq!(
        bench.refused(Bench::close_item_input(item, Some("m"))).code(),
        "not_billable"
    );
}

#[test]
fn a_register_gap_is_a_discrepancy_and_never_the_drivers() {
    let mut bench = Bench::new();
    // Energy flows without any session, while the pile reports it.
    bench.sim("P1").meter = kwh("1002");
    bench.idle("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1002", "1006");
    bench.send_record("P1", &record);
    assert_eq!(bench.order(&id).paid.charged(), yuan("4"));
    let gap = bench.facts.iter().find_map(|(_, fact)| match fact {
        Fact::RegisterGapFound { gap, .. } => Some(*gap),
        _ => None,
    });
    let gap = gap.expect("energy that no session accounts for");
    assert_eq!((gap.last_known, gap.start), (kwh("1000"), kwh("1002")));
}

#[test]
fn sessions_that_follow_one_another_leave_no_gap() {
    let mut bench = Bench::new();
    for n in 0..3 {
        let (from, to) = ((1000 + n * 5).to_string(), (1005 + n * 5).to_string());
        let (id, start) = bench.charge("m", "P1", "10");
        bench.deliver("P1", &id, HOUR, &to);
        let record = bench.record_since("P1", &id, start, &from, &to);
        bench.send_record("P1", &record);
        bench.idle("P1");
        assert_eq!(bench.state(&id), State::Payed);
    }
    assert!(!bench.kinds().contains(&"RegisterGapFound".to_owned()));
}

#[test]
fn a_batch_without_energy_does_not_zero_the_total() {
    // citrineos-core#868.
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let mut record = bench.record_since("P1", &id, start, "1000", "1006");
    let sample = |ms: i64, register: &str| BufferedSample {
        ts: Some(start.wall.after_ms(ms)),
        mono_ms: 0,
        meter_kwh: kwh(register),
    };
    record.samples = vec![sample(60_000, "0"), sample(120_000, "0"), sample(180_000, "1000.3")];
    bench.send_record("P1", &record);
    assert_eq!(bench.order(&id).paid.charged(), yuan("6"));
}

#[test]
fn the_price_changes_with_the_hour_and_not_with_the_report() {
    // openWB/core#1757: wrong price across an hour change.
    let mut bench = Bench::new();
    bench.advance(11 * HOUR); // 23:30
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006"); // one report, at 00:30
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).fee, yuan("4.80"));
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    assert_eq!(
        segments(&bench, &id),
        [(PeriodKind::Flat, kwh("3")), (PeriodKind::Valley, kwh("3"))]
    );
}

#[test]
fn a_session_of_more_than_a_month_goes_to_a_person() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", true);
    bench.advance(40 * DAY);
    let record = bench.record_since("P1", &id, start, "1000", "1010");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(order.state, State::Review, "it cannot be rated, and is not free");
    assert!(matches!(order.suspicions[..], [Suspicion::TimesImpossible { .. }]));
}

#[test]
fn a_refund_goes_to_the_balance_and_never_above_what_was_paid() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    let outcome = bench.ok(Bench::refund_input(&id, "2.50"));
    assert_eq!(
        notices(&outcome),
        [(NoticeKey::Refunded, "售后退款 2.50 元已退回余额".to_owned())]
    );
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.after_sales, bench.allowance("m")),
        (State::Payed, true, yuan("56.50"))
    );
    assert_eq!(
        bench.refused(Bench::refund_input(&id, "3.51")),
        Rejected::TooMuch {
            amount: yuan("3.51"),
            most: yuan("3.50")
        }
    );
    bench.ok(Bench::refund_input(&id, "2.50"));
    let refunds = bench.transfers.iter().filter(|transfer| transfer.code == Code::Refund);
    assert_eq!(
        refunds.count(),
        2,
        "a second refund of the same amount does not collide"
    );
}

#[test]
fn every_transfer_says_where_it_came_from() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    let codes: Vec<Code> = bench.transfers.iter().map(|transfer| transfer.code).collect();
    assert_eq!(
        codes,
        [Code::Topup, Code::Hold, Code::Capture, Code::Capture, Code::Release]
    );
    for transfer in &bench.transfers {
        let cause = bench.facts.iter().find(|(stamp, _)| stamp.seq == transfer.cause);
        assert!(
            cause.is_some() && transfer.id.contains(&format!(":{}.", transfer.cause)),
            "{transfer:?}"
        );
    }
}

#[test]
fn a_session_that_ended_before_the_station_heard_of_it_is_settled() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let start: Now = bench.now;
    bench.advance(50 * SECOND);
    let record = bench.record_since("P1", &id, start, "1000", "1000.05");
    assert_eq!(ack(&bench.send_record("P1", &record)).fee, Some(yuan("0.05")));
    assert_eq!(bench.state(&id), State::Payed);
    assert!(
        bench.advance(MINUTE).iter().all(|outcome| outcome.facts.is_empty()),
        "no time-out afterwards"
    );
}

#[test]
fn a_session_of_a_pile_without_a_clock_that_ended_before_the_station_heard_of_it_needs_no_person() {
    let mut bench = Bench::new();
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = None;
    bench.connect("P1");
    bench.advance(MINUTE);
    let id = bench.place("m", "P1", "50");
    let start: Now = bench.now;
    bench.advance(50 * SECOND);
    let record = bench.record_since("P1", &id, start, "1000", "1000.05");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, &order.suspicions[..]), (State::Payed, &[][..]));
    assert_eq!(order.ending.unwrap().start.at, start.wall);
}

#[test]
fn a_receipt_counts_once_and_for_ever() {
    let mut bench = Bench::new();
    bench.member("n", "0");
    let top_up = |who: &str, amount: &str| Input::TopUp {
        member: member(who),
        amount: yuan(amount),
        receipt: "R-7".to_owned(),
        by: "desk".to_owned(),
    };
    bench.ok(top_up("n", "10"));
    bench.restart(true);
    bench.ok(Input::ClockTrust(true));
    bench.advance(30 * DAY);
    let facts = bench.facts.len();
    bench.ok(top_up("n", "10"));
    assert_eq!((bench.facts.len(), bench.allowance("n")), (facts, yuan("10")));
    for other in [top_up("n", "10.01"), top_up("m", "10")] {
        assert_eq!(bench.refused(other).code(), "receipt_used");
    }

    bench.connect("P1");
    bench.top_up("n", "50");
    let (id, start) = bench.charge("n", "P1", "50");
    bench.disconnect("P1", true);
    bench.advance(10 * HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "1065");
    bench.connect("P1");
    bench.send_record("P1", &record);
    assert_eq!((bench.state(&id), bench.debt("n")), (State::Unpaid, yuan("5")));
    let pay = |amount: &str, receipt: &str| Input::PayDebt {
        member: member("n"),
        amount: yuan(amount),
        from: PaidFrom::Cash,
        receipt: receipt.to_owned(),
        by: "desk".to_owned(),
    };
    assert_eq!(bench.refused(pay("5", "R-7")).code(), "receipt_used");
    bench.ok(pay("5", "R-8"));
    bench.restart(true);
    let facts = bench.facts.len();
    bench.ok(pay("5", "R-8"));
    assert_eq!((bench.facts.len(), bench.debt("n")), (facts, Fen::ZERO));
    assert_eq!(bench.refused(pay("4", "R-8")).code(), "receipt_used");
    let by_desk = |(_, fact): &(_, Fact)| matches!(fact, Fact::DebtPaid { by, .. } if by == "desk");
    assert!(bench.facts.iter().any(by_desk));
}

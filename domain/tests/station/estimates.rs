//! A bill without a record, and what the late record makes of it: nobody escapes, and nobody pays twice.

use crate::bench::*;
use domain::{
    fact::{Fact, PaidFrom},
    ids::OrderId,
    ledger::{Account, Code},
    messages::Record,
    meter::Suspicion,
    notice::NoticeKey,
    order::{Basis, State},
    site::Decision,
    units::{Energy, Fen},
};

/// An order that was estimated by its last reading `seen`, and what the pile wrote when the session had really ended: at
/// register `to`, right before the connector was idle. Where that is higher, the session went on unseen for four hours.
fn estimated(bench: &mut Bench, prepay: &str, seen: &str, to: &str) -> (OrderId, Record) {
    let (id, start) = bench.charge("m", "P1", prepay);
    bench.deliver("P1", &id, 6 * HOUR, seen);
    if kwh(to) > kwh(seen) {
        bench.advance(4 * HOUR);
        bench.sim("P1").meter = kwh(to);
    }
    let record = bench.record_since("P1", &id, start, "1000", to);
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    let order = bench.order(&id);
    assert_eq!((order.state, order.estimated), (State::Settle, true));
    (id, record)
}

#[test]
fn an_estimate_takes_what_was_seen_and_keeps_the_rest_held() {
    let mut bench = Bench::new();
    let (id, _) = estimated(&mut bench, "50", "1006", "1006");
    let order = bench.order(&id);
    assert_eq!(
        (order.hold.captured, order.hold.remaining(), bench.allowance("m")),
        (yuan("6"), yuan("44"), yuan("10"))
    );
    assert_eq!(order.bill().unwrap().basis, Basis::Estimate);
}

#[test]
fn the_remainder_of_an_estimate_is_released_after_a_day() {
    let mut bench = Bench::new();
    let (id, _) = estimated(&mut bench, "50", "1006", "1006");
    bench.restart(true);
    bench.advance(DAY - 1);
    assert_eq!(bench.order(&id).hold.remaining(), yuan("44"));
    bench.advance(1);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.hold.released, bench.allowance("m")),
        (State::Payed, yuan("44"), yuan("54"))
    );
    assert!(order.estimated, "the record may still come");
}

#[test]
fn a_late_record_that_is_lower_gives_back() {
    let mut bench = Bench::new();
    let (id, record) = estimated(&mut bench, "50", "1006", "1005");
    bench.advance(DAY);
    bench.send_record("P1", &record);
    assert_eq!(
        (bench.state(&id), bench.allowance("m")),
        (State::Review, yuan("54")),
        "the station saw 6 kWh, so a person looks before money goes back"
    );
    let outcome = bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(notices(&outcome)[0].0, NoticeKey::Rerated);
    let order = bench.order(&id);
    assert_eq!((order.state, order.estimated), (State::Payed, false));
    assert!(order.paid.charged() < yuan("6"));
    assert_eq!(bench.allowance("m") + order.paid.charged(), yuan("60"));
    assert_eq!(
        bench.disk.ledger.balance(&Account::Refund),
        Fen(0),
        "the sale itself is taken back"
    );
    let codes: Vec<Code> = bench.transfers.iter().map(|transfer| transfer.code).collect();
    assert!(codes.ends_with(&[Code::Refund, Code::Refund]));
}

#[test]
fn a_late_record_that_is_higher_takes_from_the_hold_then_funds_then_debt() {
    for (seen, to, state, allowance, debt) in [
        ("1006", "1009", State::Payed, "51", "0"), // from the hold, the rest of it is released
        ("1006", "1020", State::Payed, "40", "0"), // from hold and funds
        ("1040", "1065", State::Unpaid, "0", "5"), // and debt
    ] {
        let mut bench = Bench::new();
        let (id, record) = estimated(&mut bench, "10", seen, to);
        bench.send_record("P1", &record);
        assert_eq!(
            (bench.state(&id), bench.allowance("m"), bench.debt("m")),
            (state, yuan(allowance), yuan(debt)),
            "{to}"
        );
        assert!(bench.order(&id).hold.is_resolved());
    }
}

#[test]
fn a_late_record_above_200_waits_for_a_person_and_then_counts() {
    let mut bench = Bench::new();
    bench.top_up("m", "240");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 6 * HOUR, "1006");
    bench.disconnect("P1", true);
    bench.advance(72 * HOUR);
    bench.ok(Bench::close_input(&id));
    bench.advance(DAY);
    assert_eq!(bench.state(&id), State::Payed);
    let mut record = bench.record_since("P1", &id, start, "1000", "1250");
    record.offline = true;
    bench.connect("P1");
    let before = bench.allowance("m");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.suspicions),
        (State::Review, vec![Suspicion::LargeFee])
    );
    assert_eq!(bench.allowance("m"), before, "no money moves");
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    let order = bench.order(&id);
    assert_eq!(order.state, State::Payed);
    assert_eq!(order.paid.charged(), order.bill().unwrap().fee());
    assert!(order.paid.charged() > yuan("200"));
}

#[test]
fn a_paid_estimate_re_rated_into_review_can_be_corrected_down() {
    let mut bench = Bench::new();
    let (id, mut record) = estimated(&mut bench, "50", "1006", "1020");
    bench.advance(DAY);
    record.meter_start_kwh = kwh("0");
    bench.send_record("P1", &record);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("54")));
    bench.ok(Bench::decide_input(
        &id,
        Decision::Corrected {
            electricity: yuan("1"),
            service: yuan("3"),
        },
    ));
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.paid.charged(), bench.allowance("m")),
        (State::Payed, yuan("4"), yuan("56"))
    );
    let ledger = &bench.disk.ledger;
    assert_eq!(
        (
            ledger.balance(&Account::SalesElectricity),
            ledger.balance(&Account::SalesService)
        ),
        (yuan("1"), yuan("3")),
        "3.60 and 2.40 before: booked as the last bill has them"
    );
}

#[test]
fn a_debt_can_be_paid_while_its_order_is_under_review() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 10 * HOUR, "1066");
    let mut record = bench.record_since("P1", &id, start, "1000", "1066");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    bench.advance(DAY);
    assert_eq!((bench.state(&id), bench.debt("m")), (State::Unpaid, yuan("6")));
    record.meter_start_kwh = kwh("0");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
    bench.ok(Bench::pay_debt_input("m", "6", PaidFrom::Cash));
    assert_eq!((bench.state(&id), bench.debt("m")), (State::Review, Fen(0)));
    bench.ok(Bench::decide_input(
        &id,
        Decision::Corrected {
            electricity: yuan("30"),
            service: yuan("20"),
        },
    ));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("16")));
}

#[test]
fn a_lower_late_record_cuts_the_debt_before_it_gives_back() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 10 * HOUR, "1066");
    let record = bench.record_since("P1", &id, start, "1000", "1058");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    bench.advance(DAY);
    assert_eq!(bench.debt("m"), yuan("6"));
    bench.send_record("P1", &record);
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(
        (bench.state(&id), bench.debt("m"), bench.allowance("m")),
        (State::Payed, Fen(0), yuan("2"))
    );
}

#[test]
fn what_was_refunded_is_not_given_back_a_second_time() {
    let mut bench = Bench::new();
    let (id, record) = estimated(&mut bench, "50", "1006", "1001");
    bench.advance(DAY);
    bench.ok(Bench::refund_input(&id, "5"));
    bench.send_record("P1", &record);
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(
        bench.allowance("m"),
        yuan("60"),
        "6 were paid, 5 refunded, so 1 is left to give back"
    );
}

#[test]
fn an_end_of_session_that_was_queued_offline_is_not_lost() {
    // citrineos-core#1053: queued offline end-of-session dropped without a word; libocpp#1137, MicroOcpp#454.
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", true);
    bench.advance(5 * HOUR);
    let mut record = bench.record_since("P1", &id, start, "1000", "1030");
    record.offline = true;
    bench.advance(80 * HOUR);
    bench.ok(Bench::close_input(&id));
    assert_eq!(bench.order(&id).paid.charged(), Fen(0), "nothing was ever seen of it");
    bench.connect("P1");
    let outcome = bench.send_record("P1", &record);
    assert_eq!(ack(&outcome).fee, Some(yuan("30")));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("30")));
}

#[test]
fn a_late_record_that_ends_with_a_fault_tells_the_driver_so() {
    // S03 §3.1. The remainder is held still, or has gone back a day later.
    for settled in [false, true] {
        let mut bench = Bench::new();
        let (id, mut record) = estimated(&mut bench, "50", "1006", "1006");
        if settled {
            bench.advance(DAY);
            assert_eq!(bench.state(&id), State::Payed);
        }
        record.reason.code = 1;
        let outcome = bench.send_record("P1", &record);
        assert_eq!(
            notices(&outcome),
            [(NoticeKey::AbnormalEnd, "充电异常结束，余额已退回".to_owned())],
            "{settled}"
        );
        assert_eq!(bench.allowance("m"), yuan("54"));
    }
}

#[test]
fn a_late_record_that_ends_with_a_fault_tells_the_driver_so_when_a_person_has_looked_at_it() {
    let mut bench = Bench::new();
    let (id, mut record) = estimated(&mut bench, "50", "1006", "1006");
    record.reason.code = 1;
    record.meter_stop_kwh = kwh("1002");
    let outcome = bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review, "less than was seen");
    assert!(notices(&outcome).iter().all(|(key, _)| *key != NoticeKey::AbnormalEnd));
    let outcome = bench.ok(Bench::decide_input(&id, Decision::AsIs));
    let keys: Vec<_> = notices(&outcome).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [NoticeKey::AbnormalEnd]);
}

#[test]
fn nobody_is_told_of_a_refund_that_did_not_happen() {
    // All of the hold was used, and nothing was given back.
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "5");
    bench.deliver("P1", &id, HOUR, "1005");
    let mut record = bench.record_since("P1", &id, start, "1000", "1005");
    record.reason.code = 1;
    let outcome = bench.send_record("P1", &record);
    assert_eq!(
        notices(&outcome),
        [(NoticeKey::AbnormalEnd, "充电异常结束，费用 5.00 元".to_owned())]
    );
    // The same bill a day after the estimate: neither a fault nor money.
    let mut bench = Bench::new();
    let (_, record) = estimated(&mut bench, "50", "1006", "1006");
    bench.advance(DAY);
    let outcome = bench.send_record("P1", &record);
    let expected = "订单已重新计费：6.00 元".to_owned();
    assert_eq!(notices(&outcome), [(NoticeKey::Rerated, expected)]);
}

#[test]
fn an_estimate_above_the_hold_says_what_was_taken() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "5");
    bench.deliver("P1", &id, HOUR, "1006");
    let outcome = bench.ok(Bench::close_input(&id));
    let expected = "充电桩未上报记录，按最后读数费用 6.00 元，暂扣 5.00 元，收到记录后多退少补".to_owned();
    assert_eq!(notices(&outcome), [(NoticeKey::Estimated, expected)]);
    assert_eq!(bench.order(&id).hold.captured, yuan("5"));
}

#[test]
fn what_flowed_before_an_order_that_was_settled_by_an_estimate_is_a_gap_and_in_the_report() {
    let mut bench = Bench::new();
    bench.idle("P1");
    bench.disconnect("P1", true);
    bench.advance(8 * HOUR);
    // Forty kilowatt-hours that nobody reports.
    bench.sim("P1").meter = kwh("1040");
    bench.connect("P1");
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1046");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    assert!(bench.order(&id).estimated);
    let gaps = bench.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::RegisterGapFound { order, gap, .. } => Some((order.clone(), gap.last_known, gap.start)),
        _ => None,
    });
    assert_eq!(gaps.collect::<Vec<_>>(), [(id, kwh("1000"), kwh("1040"))]);
    bench.advance(DAY);
    let reports = bench.disk.energy_reports.values();
    let sums: Vec<_> = reports
        .flat_map(|report| report.connectors.iter().map(|one| &one.sums))
        .collect();
    let metered: i64 = sums.iter().map(|sums| sums.metered.0).sum();
    let unrecorded: i64 = sums.iter().map(|sums| sums.unrecorded.0).sum();
    assert_eq!((Energy(metered), Energy(unrecorded)), (kwh("6"), kwh("40")));
}

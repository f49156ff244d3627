//! Bills that were settled and were wrong: a person corrects them, up or down, and two do where it is much.

use crate::bench::*;
use domain::{
    correction::{Approval, BILL_VERSIONS_MAX},
    ids::OrderId,
    ledger::Account,
    meter::Suspicion,
    notice::NoticeKey,
    order::{Basis, State},
    site::{Answer, Decision, Input, Outcome, Rejected},
    units::Fen,
};

/// An order of member `m`, who had ¥60, that was settled by its record for as many yuan as `delivered` kWh.
fn settled(bench: &mut Bench, to: &str, hours: u64) -> OrderId {
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, hours * HOUR, to);
    let record = bench.record_since("P1", &id, start, "1000", to);
    bench.send_record("P1", &record);
    id
}

/// 70.00 were billed, 60.00 paid.
fn unpaid(bench: &mut Bench) -> OrderId {
    let id = settled(bench, "1070", 11);
    assert_eq!((bench.state(&id), bench.debt("m")), (State::Unpaid, yuan("10")));
    id
}

/// 10.00 were billed and paid; 50.00 are left.
fn payed(bench: &mut Bench) -> OrderId {
    let id = settled(bench, "1010", 2);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("50")));
    id
}

fn proposal(outcome: &Outcome) -> u64 {
    match outcome.answer {
        Ok(Answer::Proposed { proposal, .. }) => proposal,
        ref other => panic!("a proposal was expected, not {other:?}"),
    }
}

fn withdraw(id: &OrderId, proposal: u64, by: &str) -> Input {
    Input::WithdrawCorrection {
        order: id.clone(),
        proposal,
        reason: "not so".to_owned(),
        by: by.to_owned(),
    }
}

fn corrected(electricity: &str, service: &str) -> Decision {
    Decision::Corrected {
        electricity: yuan(electricity),
        service: yuan(service),
    }
}

#[test]
fn a_lower_bill_cuts_the_debt_first_and_gives_the_rest_back() {
    for (electricity, service, state, debt, back) in [
        ("42", "28", State::Unpaid, "10", "0"), // the bill as it is
        ("40", "25", State::Unpaid, "5", "0"),
        ("35", "25", State::Payed, "0", "0"),
        ("30", "20", State::Payed, "0", "10"),
        ("12", "8", State::Payed, "0", "40"),
    ] {
        let mut bench = Bench::new();
        let id = unpaid(&mut bench);
        let outcome = bench.ok(Bench::correct_input(&id, electricity, service, "alice"));
        let order = bench.order(&id);
        assert_eq!(
            (order.state, bench.debt("m"), bench.allowance("m")),
            (state, yuan(debt), yuan(back)),
            "{electricity} + {service}"
        );
        let fee = yuan(electricity) + yuan(service);
        assert_eq!((order.paid.charged(), order.bill().unwrap().fee()), (fee, fee));
        let changed = fee != yuan("70");
        let told = notices(&outcome).first().map(|(key, _)| *key);
        assert_eq!(told, changed.then_some(NoticeKey::Rerated));
        assert_eq!(bench.disk.ledger.balance(&Account::SalesElectricity), yuan(electricity));
    }
}

#[test]
fn a_higher_bill_takes_what_the_member_has_here_and_the_rest_is_owed() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    bench.ok(Bench::correct_input(&id, "20", "20", "alice"));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("20")));
    let other = bench.place("m", "P2", "15");
    let outcome = bench.ok(Bench::correct_input(&id, "35", "25", "alice"));
    assert_eq!(
        (bench.state(&id), bench.allowance("m"), bench.debt("m")),
        (State::Unpaid, Fen(0), yuan("15")),
        "what is held for another order stays there"
    );
    assert!(
        notices(&outcome)[0].1.contains("欠费 15.00 元"),
        "{:?}",
        notices(&outcome)
    );
    assert_eq!(bench.order(&other).hold.remaining(), yuan("15"));
    bench.ok(Bench::pay_debt_input("m", "15", domain::fact::PaidFrom::Cash));
    assert_eq!(bench.state(&id), State::Payed);
}

#[test]
fn every_version_of_the_bill_stays_with_its_reason_and_who_made_it() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    bench.ok(Bench::correct_input(&id, "4", "3", "alice"));
    let order = bench.order(&id);
    let bases: Vec<Basis> = order.bills.iter().map(|bill| bill.basis).collect();
    assert_eq!(bases, [Basis::Record, Basis::Correction]);
    let last = order.bill().unwrap();
    assert_eq!(
        (last.reason.as_deref(), last.by.as_deref(), &last.approval),
        (Some("complaint upheld"), Some("alice"), &None)
    );
    let facts = bench.facts.len();
    bench.ok(Bench::correct_input(&id, "4", "3", "alice"));
    assert_eq!(bench.facts.len(), facts, "the same bill again changes nothing");
}

#[test]
fn what_is_no_bill_or_has_no_reason_is_refused() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    assert!(matches!(
        bench.refused(Bench::correct_input(&id, "-1", "3", "alice")),
        Rejected::NotPositive(_)
    ));
    let mut without_reason = Bench::correct_input(&id, "1", "3", "alice");
    if let Input::CorrectBill { reason, .. } = &mut without_reason {
        *reason = " ".to_owned();
    }
    assert_eq!(bench.refused(without_reason), Rejected::NoReason);
    let running = bench.place("m", "P2", "15");
    let refused = bench.refused(Bench::correct_input(&running, "1", "3", "alice"));
    assert!(
        refused.to_string().contains("stop it"),
        "the way out is named: {refused}"
    );
}

#[test]
fn an_order_paid_by_an_estimate_can_be_corrected_and_its_record_waits_for_a_person() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 6 * HOUR, "1006");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    let waits = bench.refused(Bench::correct_input(&id, "1", "1", "alice"));
    assert!(waits.to_string().contains("waits for the pile's record"), "{waits}");
    bench.advance(DAY);
    bench.ok(Bench::correct_input(&id, "1", "1", "alice"));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("58")));
    let mut record = bench.record_since("P1", &id, start, "1000", "1006");
    record.stop_ts = record.start_ts.map(|at| at.after_ms(6 * 3_600_000));
    record.stop_mono_ms = record.start_mono_ms + 6 * HOUR;
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(order.state, State::Review);
    assert!(order.suspicions.contains(&Suspicion::BillCorrected));
    assert_eq!(bench.allowance("m"), yuan("58"), "no money moves");
    let refused = bench.refused(Bench::correct_input(&id, "1", "1", "alice"));
    assert!(refused.to_string().contains("decision"), "{refused}");
}

#[test]
fn one_person_corrects_within_the_limit_of_the_first_settlement_and_no_further_in_small_steps() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    bench.top_up("m", "100");
    bench.ok(Bench::correct_input(&id, "40", "0", "alice"));
    bench.ok(Bench::correct_input(&id, "60", "0", "alice"));
    let before = bench.allowance("m");
    let outcome = bench.ok(Bench::correct_input(&id, "60.01", "0", "alice"));
    assert_eq!(bench.order(&id).proposal.unwrap().number, proposal(&outcome));
    assert!(notices(&outcome).is_empty(), "nothing has happened to the driver yet");
    assert_eq!(
        (bench.allowance("m"), bench.order(&id).paid.charged()),
        (before, yuan("60"))
    );
    bench.ok(Bench::correct_input(&id, "0", "0", "bob"));
    assert_eq!(
        bench.order(&id).paid.charged(),
        Fen(0),
        "10.00 less than first is within it"
    );
    assert_eq!(bench.order(&id).proposal, None, "another bill takes what waits away");
}

#[test]
fn a_second_person_approves_exactly_the_correction_that_waits() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    bench.top_up("m", "100");
    let first = proposal(&bench.ok(Bench::correct_input(&id, "50", "50", "alice")));
    let facts = bench.facts.len();
    let again = proposal(&bench.ok(Bench::correct_input(&id, "50", "50", "alice")));
    assert_eq!(
        (again, bench.facts.len()),
        (first, facts),
        "asked again, it is the same"
    );
    let second = proposal(&bench.ok(Bench::correct_input(&id, "60", "50", "bob")));
    let gone = bench.refused(Bench::approve_input(&id, first, "bob"));
    assert!(
        gone.to_string()
            .contains(&format!("correction {second} has taken its place")),
        "{gone}"
    );

    for by in ["bob", "local:0"] {
        let refused = bench.refused(Bench::approve_input(&id, second, by));
        assert!(matches!(refused, Rejected::NotASecondPerson { .. }), "{by}: {refused}");
    }
    let outcome = bench.ok(Bench::approve_input(&id, second, "alice"));
    assert_eq!(notices(&outcome)[0].0, NoticeKey::Rerated);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.paid.charged(), bench.allowance("m")),
        (State::Payed, yuan("110"), yuan("50"))
    );
    let bill = order.bill().unwrap();
    let alice = Approval {
        proposal: second,
        by: "alice".to_owned(),
    };
    assert_eq!(
        (bill.by.as_deref(), bill.approval.as_ref()),
        (Some("bob"), Some(&alice))
    );

    let facts = bench.facts.len();
    bench.ok(Bench::approve_input(&id, second, "alice"));
    assert_eq!(bench.facts.len(), facts, "approved again, nothing changes");
    bench.refused(Bench::approve_input(&id, second, "carol"));
    // It is still measured by the first settlement.
    proposal(&bench.ok(Bench::correct_input(&id, "60", "49", "alice")));
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

#[test]
fn whoever_cannot_be_told_from_others_is_told_so_before_anything_waits() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    bench.ok(Bench::correct_input(&id, "20", "0", "local:0"));
    let refused = bench.refused(Bench::correct_input(&id, "60.01", "0", "local:0"));
    assert_eq!(
        refused,
        Rejected::SecondPersonNeeded {
            order: id,
            differs: yuan("50.01"),
            above: yuan("50"),
            by: "local:0".to_owned(),
        }
    );
}

#[test]
fn a_correction_that_waits_can_be_withdrawn() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    let number = proposal(&bench.ok(Bench::correct_input(&id, "50", "50", "alice")));
    bench.refused(withdraw(&id, number + 1, "bob"));
    bench.ok(withdraw(&id, number, "bob"));
    assert_eq!(bench.order(&id).proposal, None);
    let gone = bench.refused(Bench::approve_input(&id, number, "bob"));
    assert!(gone.to_string().contains("withdrawn"), "{gone}");
    bench.refused(withdraw(&id, number, "bob"));
}

#[test]
fn a_correction_that_waits_survives_a_restart() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    let number = proposal(&bench.ok(Bench::correct_input(&id, "50", "50", "alice")));
    bench.restart(true);
    bench.ok(Bench::approve_input(&id, number, "bob"));
    assert_eq!(
        (bench.order(&id).paid.charged(), bench.debt("m")),
        (yuan("100"), yuan("40"))
    );
}

/// An order that was paid by an estimate of 6.00, and whose record of `to` waits for a person.
fn record_after_estimate(bench: &mut Bench, to: &str) -> OrderId {
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 6 * HOUR, "1006");
    bench.idle("P1");
    bench.advance(30 * MINUTE + DAY);
    assert_eq!(bench.order(&id).first_settled.unwrap().fee, yuan("6"));
    let mut record = bench.record_since("P1", &id, start, "1000", to);
    record.meter_start_kwh = kwh("999");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
    id
}

#[test]
fn the_settlement_that_the_record_brought_takes_the_place_of_the_estimates() {
    let mut bench = Bench::new();
    let id = record_after_estimate(&mut bench, "1070");
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    let order = bench.order(&id);
    let fee = order.bill().unwrap().fee();
    let first = order.first_settled.unwrap();
    assert_eq!((first.fee, first.estimated), (fee, false));
    assert!(fee > yuan("56"));
    bench.ok(Bench::correct_input(&id, &fee.to_string(), "20", "alice"));
}

#[test]
fn a_review_of_an_order_that_was_settled_before_obeys_the_same_limit() {
    let mut bench = Bench::new();
    let id = record_after_estimate(&mut bench, "1070");
    let number = proposal(&bench.ok(Bench::decide_input(&id, corrected("50", "7"))));
    assert_eq!(
        (bench.state(&id), bench.allowance("m")),
        (State::Review, yuan("54")),
        "it waits"
    );
    bench.ok(Bench::approve_input(&id, number, "bob"));
    assert_eq!(
        (bench.state(&id), bench.order(&id).paid.charged()),
        (State::Payed, yuan("57"))
    );

    let mut bench = Bench::new();
    let id = record_after_estimate(&mut bench, "1070");
    bench.ok(Bench::decide_input(&id, corrected("50", "6")));
    assert_eq!(
        bench.state(&id),
        State::Payed,
        "within the limit of what was first settled"
    );

    let mut bench = Bench::new();
    let id = record_after_estimate(&mut bench, "1070");
    let number = proposal(&bench.ok(Bench::decide_input(&id, corrected("50", "7"))));
    bench.ok(Bench::decide_input(&id, Decision::AsIs));
    assert_eq!(bench.order(&id).proposal, None, "a decision takes what waits away");
    bench.refused(Bench::approve_input(&id, number, "bob"));
}

#[test]
fn the_first_decision_on_a_bill_is_one_persons() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 2 * HOUR, "1010");
    let mut record = bench.record_since("P1", &id, start, "1000", "1010");
    record.meter_start_kwh = kwh("999");
    bench.send_record("P1", &record);
    bench.ok(Bench::decide_input(&id, corrected("100", "50")));
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.first_settled.unwrap().fee),
        (State::Unpaid, yuan("150"))
    );
}

#[test]
fn a_late_record_takes_away_what_was_proposed_in_view_of_the_estimate() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 6 * HOUR, "1006");
    bench.idle("P1");
    bench.advance(30 * MINUTE + DAY);
    let number = proposal(&bench.ok(Bench::correct_input(&id, "60", "0", "alice")));
    let record = bench.record_since("P1", &id, start, "1000", "1006.5");
    bench.send_record("P1", &record);
    assert_eq!(bench.order(&id).proposal, None);
    bench.refused(Bench::approve_input(&id, number, "bob"));
}

#[test]
fn a_bill_has_so_many_versions_and_no_more() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    for n in 1..BILL_VERSIONS_MAX {
        bench.ok(Bench::correct_input(&id, &format!("{}", n % 2 + 1), "0", "alice"));
    }
    assert_eq!(bench.order(&id).bills.len(), BILL_VERSIONS_MAX);
    assert_eq!(
        bench.refused(Bench::correct_input(&id, "9", "0", "alice")),
        Rejected::TooManyBills(id)
    );
}

#[test]
fn an_order_that_an_older_version_settled_is_measured_by_what_it_was_charged() {
    let mut bench = Bench::new();
    let id = payed(&mut bench);
    let mut old = serde_json::to_value(&bench.disk.orders[&id]).unwrap();
    for field in ["first_settled", "proposal"] {
        old.as_object_mut().unwrap().remove(field).expect("it has the field");
    }
    bench
        .disk
        .orders
        .insert(id.clone(), serde_json::from_value(old).unwrap());
    bench.ok(Bench::correct_input(&id, "60", "0", "alice"));
    assert_eq!(bench.order(&id).first_settled.unwrap().fee, yuan("10"));
    proposal(&bench.ok(Bench::correct_input(&id, "60", "1", "alice")));
}

//! What waits for a person: records that contradict one another, cards that changed hands, figures that a person types in.
//! Whatever a pile says is kept or refused, and nobody pays twice without somebody who knows that they do.

use crate::bench::*;
use domain::{
    card::HOLDERS_MAX,
    energy::Finding,
    fact::{Fact, QuarantineReason, Raw, TypedFigures},
    ids::{CardId, ConnectorNo, OrderId},
    messages::{self, AckResult, Periods, Record},
    meter::Suspicion,
    order::{Basis, Source, State},
    policy::Policy,
    quarantine::{CoveredBy, QuarantineItem},
    rating::{REGISTER_MAX, Reading},
    site::{Decision, Input, Rejected},
    time::Now,
    topics::UpKind,
    units::{Energy, Fen},
};

fn allowing() -> Bench {
    Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    })
}

fn card(id: &str) -> CardId {
    CardId::new(id).unwrap()
}

fn bind(bench: &mut Bench, id: &str, who: &str) {
    bench.ok(Input::BindCard {
        card: card(id),
        by: "desk".to_owned(),
        member: member(who),
    });
}

/// The item that was put aside last.
fn last_item(bench: &Bench) -> QuarantineItem {
    bench.disk.quarantine.values().flatten().last().unwrap().clone()
}

fn close(item: u64, bill_to: Option<&str>, despite: Vec<CoveredBy>) -> Input {
    let mut input = Bench::close_item_input(item, bill_to);
    if let Input::CloseQuarantine { despite: known, .. } = &mut input {
        *known = despite;
    }
    input
}

/// What else covers the readings of an item, as whoever bills it is told.
fn covers(bench: &mut Bench, item: u64, bill_to: &str) -> Vec<(CoveredBy, Energy, Energy)> {
    match bench.refused(Bench::close_item_input(item, Some(bill_to))) {
        Rejected::Covered { covers, .. } => covers
            .into_iter()
            .map(|claim| (claim.by, claim.from, claim.to))
            .collect(),
        other => panic!("covers were expected, not {other:?}"),
    }
}

/// The rows are what the journal says they are.
fn replays(bench: &Bench) {
    let replayed = bench.replayed();
    assert_eq!(replayed.quarantine, bench.disk.quarantine);
    assert_eq!(replayed.piles, bench.disk.piles);
    assert_eq!(replayed.cards, bench.disk.cards);
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

// Records that contradict one another.

#[test]
fn a_record_below_what_the_station_saw_waits_for_a_person_before_money_moves() {
    for (register, stop, waits) in [
        ("1005", "1001", true),
        ("1005", "1004.8999", true),
        ("1005", "1004.9", false), // 0.1 kWh
        ("1020", "1019.8", false), // 1 %
        ("1020", "1019.7999", true),
    ] {
        let mut bench = Bench::new();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, MINUTE, "1000.0001");
        bench.deliver("P1", &id, 3 * HOUR, register);
        let record = bench.record_since("P1", &id, start, "1000", stop);
        let said = ack(&bench.send_record("P1", &record));
        assert_eq!(said.detail == "waits for review", waits, "{stop} of {register}");
        let order = bench.order(&id);
        let below = Suspicion::BelowSeen {
            recorded: record.energy(),
            seen: kwh(register) - kwh("1000"),
        };
        assert_eq!(order.state == State::Review, waits, "{stop} of {register}");
        assert_eq!(order.suspicions.contains(&below), waits);
        assert_eq!(bench.allowance("m") == yuan("10"), waits, "nothing has moved");
    }
}

#[test]
fn a_record_that_contradicts_another_makes_no_other_meter_of_the_register() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let right = bench.record_since("P1", &id, start, "1000", "1005");
    bench.send_record("P1", &right);
    let mut wrong = right.clone();
    wrong.meter_stop_kwh = kwh("1005.5");
    bench.send_record("P1", &wrong);
    assert_eq!(last_item(&bench).why, QuarantineReason::Conflict);
    bench.restart_pile("P1");
    bench.connect("P1");
    let rows = bench.site.rows();
    let connector = &rows.piles[&pile("P1")].connectors[&ConnectorNo(1)];
    assert_eq!((connector.rollback, connector.meters_before), (None, 0));
}

#[test]
fn the_true_record_after_a_wrong_one_is_an_item_that_a_person_can_bill() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let wrong = bench.record_since("P1", &id, start, "1000", "1001");
    bench.send_record("P1", &wrong);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Review, yuan("10")));
    let mut right = wrong.clone();
    right.meter_stop_kwh = kwh("1005");
    let said = ack(&bench.send_record("P1", &right));
    let item = last_item(&bench);
    assert_eq!(said.result, AckResult::Rejected);
    assert!(
        said.detail.contains(&format!("quarantine item {}", item.item)),
        "{}",
        said.detail
    );
    assert_eq!((item.why, item.order.as_ref()), (QuarantineReason::Conflict, Some(&id)));
    assert_eq!(item.record.as_deref(), Some(&right));
    let noted = bench.order(&id).items;
    assert!(noted.len() == 1 && noted[0].item == item.item && noted[0].open);
    assert!(
        bench
            .facts
            .iter()
            .any(|(stamp, fact)| stamp.seq == item.item && fact.order() == Some(&id)),
        "it is in the order's log"
    );

    bench.member("n", "0");
    assert_eq!(
        bench.refused(Bench::close_item_input(item.item, Some("n"))).code(),
        "not_billable"
    );
    assert_eq!(placed(&bench.ok(Bench::close_item_input(item.item, Some("m")))), id);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.paid.charged(), bench.allowance("m")),
        (State::Payed, yuan("5"), yuan("55"))
    );
    assert_eq!(order.ending.as_ref().unwrap().stop.register, kwh("1005"));
    assert_eq!(order.replaced[0].stop.register, kwh("1001"), "both are on record");
    let bills: Vec<(Basis, Fen)> = order.bills.iter().map(|bill| (bill.basis, bill.fee())).collect();
    assert_eq!(bills, [(Basis::Record, yuan("1")), (Basis::Record, yuan("5"))]);
    assert!(!order.items[0].open);

    bench.restart(true);
    bench.connect("P1");
    for record in [&wrong, &right] {
        let said = ack(&bench.send_record("P1", record));
        assert_eq!((said.result, said.fee), (AckResult::Duplicate, Some(yuan("5"))));
    }
    assert_eq!(bench.disk.quarantine.len(), 1);
    replays(&bench);
}

#[test]
fn a_bill_that_was_paid_is_made_anew_from_the_record_that_a_person_chooses() {
    for (first, second, allowance, debt) in [("1006", "1004", "56", "0"), ("1006", "1009", "51", "0")] {
        let mut bench = Bench::new();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.advance(2 * HOUR);
        let record = bench.record_since("P1", &id, start, "1000", first);
        bench.send_record("P1", &record);
        assert_eq!(bench.state(&id), State::Payed);
        let other = bench.record_since("P1", &id, start, "1000", second);
        bench.send_record("P1", &other);
        let item = last_item(&bench).item;
        bench.ok(Bench::close_item_input(item, Some("m")));
        assert_eq!(
            (bench.state(&id), bench.allowance("m"), bench.debt("m")),
            (State::Payed, yuan(allowance), yuan(debt))
        );
        replays(&bench);
    }
}

#[test]
fn a_second_session_under_a_used_offline_number_becomes_an_order_of_its_own() {
    // A pile that lost its counter uses a number again.
    let mut bench = allowing();
    let id = order_id("off-P1-1-1");
    let session = |bench: &mut Bench, from: &str, to: &str| -> Record {
        let start = bench.now;
        bench.advance(2 * HOUR);
        let mut record = bench.record_since("P1", &id, start, from, to);
        (record.offline, record.card_id) = (true, Some(card("c1")));
        record
    };
    let first = session(&mut bench, "1000", "1010");
    bench.send_record("P1", &first);
    assert_eq!(bench.state(&id), State::Payed);
    let second = session(&mut bench, "1010", "1018");
    assert_eq!(ack(&bench.send_record("P1", &second)).result, AckResult::Rejected);
    let item = last_item(&bench);
    assert_eq!((item.why, item.order.as_ref()), (QuarantineReason::Conflict, Some(&id)));
    bench.member("n", "20");
    let own = placed(&bench.ok(Bench::close_item_input(item.item, Some("n"))));
    let order = bench.order(&own);
    assert_eq!(
        (order.source, order.state, order.paid.charged()),
        (Source::Quarantine, State::Payed, yuan("8"))
    );
    assert_eq!(
        (bench.order(&id).paid.charged(), bench.order(&id).replaced.len()),
        (yuan("10"), 0)
    );
    assert!(
        !bench.order(&id).items[0].open,
        "dealt with, in the order that it names"
    );
    replays(&bench);
}

#[test]
fn every_record_that_contradicts_is_kept_however_many_come() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let mut record = bench.record_since("P1", &id, start, "1000", "1005");
    bench.send_record("P1", &record);
    for n in 1..=40 {
        record.meter_stop_kwh = kwh("1005") + Energy(n);
        assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Rejected);
        assert_eq!(
            last_item(&bench).record.as_deref(),
            Some(&record),
            "what is acknowledged is stored"
        );
    }
    assert_eq!(bench.disk.quarantine.len(), 40);
    assert_eq!(bench.order(&id).items.len(), 32, "bounded");
    replays(&bench);
}

#[test]
fn a_contradicting_record_that_finds_no_room_is_not_acknowledged() {
    let mut bench = Bench::with(Policy {
        quarantine_bytes_max: 500,
        ..Policy::default()
    });
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let mut record = bench.record_since("P1", &id, start, "1000", "1005");
    assert_eq!(
        ack(&bench.send_record("P1", &record)).result,
        AckResult::Ok,
        "a record that settles is always taken"
    );
    record.meter_stop_kwh = kwh("1006");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Rejected);
    record.meter_stop_kwh = kwh("1007");
    let refused = bench.send_record("P1", &record);
    assert!(
        matches!(refused.answer, Err(Rejected::QuarantineFull { .. })),
        "{:?}",
        refused.answer
    );
    let item = last_item(&bench).item;
    bench.ok(Bench::close_item_input(item, None));
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Rejected);
    assert_eq!(last_item(&bench).record.as_deref(), Some(&record));
}

#[test]
fn conflicts_and_differing_splits_stand_in_the_days_report_and_a_person_closes_them() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let mut record = bench.record_since("P1", &id, start, "1000", "1005");
    record.periods = Some(Periods {
        peak_kwh: kwh("5"),
        ..Periods::default()
    });
    bench.send_record("P1", &record);
    let split = last_item(&bench);
    assert_eq!(
        (split.why, split.order.as_ref()),
        (QuarantineReason::RatingDiffers, Some(&id))
    );
    assert!(
        split
            .detail
            .contains("peak 5.0000 kWh by the pile and 0.0000 by the station"),
        "{}",
        split.detail
    );
    assert_eq!(bench.state(&id), State::Payed, "the bill stands");
    record.meter_stop_kwh = kwh("1006");
    bench.send_record("P1", &record);
    let conflict = last_item(&bench);
    bench.idle("P1");
    let ms = wall("2026-03-03T01:00:00+08:00").ms_since(bench.now.wall);
    bench.advance(u64::try_from(ms).unwrap());
    let report = bench.disk.energy_reports.values().last().unwrap();
    let found = &report.connectors[0].sums.findings;
    assert!(
        found.contains(&Finding::RatingDiffers {
            order: id.clone(),
            item: split.item
        }),
        "{found:?}"
    );
    let contradicts = Finding::Conflict {
        order: id.clone(),
        item: conflict.item,
        billed: kwh("5"),
        claimed: kwh("6"),
    };
    assert!(found.contains(&contradicts), "{found:?}");
    assert!(
        !found.iter().any(|found| found.class() == "UNBILLED"),
        "its order accounts for it: {found:?}"
    );

    assert_eq!(
        bench.refused(Bench::close_item_input(split.item, Some("m"))).code(),
        "not_billable"
    );
    for item in [split.item, conflict.item] {
        bench.ok(Bench::close_item_input(item, None));
    }
    assert!(bench.order(&id).items.iter().all(|item| !item.open));
    replays(&bench);
}

// Cards.

/// P1 is alone for three hours, and card c1 starts a session.
fn alone(bench: &mut Bench, counter: u32, from: &str, to: &str) -> Record {
    bench.disconnect("P1", true);
    let start = bench.now;
    bench.advance(3 * HOUR);
    bench.sim("P1").meter = kwh(to);
    let id = order_id(&format!("off-P1-1-{counter}"));
    let mut record = bench.record_since("P1", &id, start, from, to);
    (record.offline, record.card_id) = (true, Some(card("c1")));
    record
}

#[test]
fn an_offline_session_is_paid_by_whoever_held_the_card_when_it_began() {
    let mut bench = allowing();
    bench.member("n", "60");
    let first = alone(&mut bench, 1, "1000", "1010");
    bench.advance(MINUTE);
    bind(&mut bench, "c1", "n");
    let second = alone(&mut bench, 2, "1010", "1015");
    bench.advance(MINUTE);
    bench.ok(Input::UnbindCard {
        card: card("c1"),
        by: "desk".to_owned(),
    });
    bench.restart(true);
    bench.connect("P1");
    for record in [&first, &second] {
        assert_eq!(ack(&bench.send_record("P1", record)).result, AckResult::Ok);
    }
    assert_eq!((bench.allowance("m"), bench.allowance("n")), (yuan("50"), yuan("55")));
    let third = alone(&mut bench, 3, "1015", "1020");
    bench.connect("P1");
    bench.send_record("P1", &third);
    let item = last_item(&bench);
    assert_eq!(item.why, QuarantineReason::UnknownCard);
    assert!(
        item.detail.contains("nobody held its card when it began"),
        "{}",
        item.detail
    );
    replays(&bench);
}

#[test]
fn a_card_that_changed_hands_needs_times_that_can_be_believed() {
    let mut bench = allowing();
    bench.member("n", "60");
    let mut record = alone(&mut bench, 1, "1000", "1010");
    (record.start_ts, record.stop_ts) = (None, None);
    bench.restart_pile("P1");
    bench.connect("P1");
    let mut sole = record.clone();
    sole.order_id = order_id("off-P1-1-2");
    bench.send_record("P1", &sole);
    let order = bench.order(&sole.order_id);
    assert_eq!(
        (order.member.as_str(), order.state),
        ("m", State::Review),
        "only one has ever held it"
    );
    bind(&mut bench, "c1", "n");
    bench.send_record("P1", &record);
    let item = last_item(&bench);
    assert_eq!(item.why, QuarantineReason::UnknownCard);
    assert!(item.detail.contains("changed hands"), "{}", item.detail);
    // The person has to say that they know of the other claim on the same readings.
    let despite = vec![CoveredBy::Order(sole.order_id.clone())];
    let input = close(item.item, Some("n"), despite);
    bench.ok(input);
    replays(&bench);
}

#[test]
fn the_history_of_a_card_is_bounded() {
    let mut bench = allowing();
    bench.member("n", "60");
    for _ in 0..20 {
        bench.advance(MINUTE);
        bind(&mut bench, "c1", "n");
        bench.advance(MINUTE);
        bind(&mut bench, "c1", "m");
    }
    let facts = bench.facts.len();
    bind(&mut bench, "c1", "m");
    assert_eq!(bench.facts.len(), facts, "it is theirs already");
    assert_eq!(
        bench.disk.cards[&card("c1")].as_ref().unwrap().holders().len(),
        HOLDERS_MAX
    );
    replays(&bench);
}

// The same kilowatt-hours twice.

#[test]
fn whoever_bills_an_item_is_told_what_else_covers_its_readings() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(2 * HOUR);
    let first = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006");
    bench.send_record("P1", &first);
    let one = last_item(&bench).item;
    let second = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006.5");
    bench.send_record("P1", &second);
    let two = last_item(&bench).item;
    assert_eq!(
        covers(&mut bench, one, "m"),
        [(CoveredBy::Item(two), kwh("1000"), kwh("1006"))]
    );
    let despite = vec![CoveredBy::Item(two), CoveredBy::Item(99)];
    let input = close(one, Some("m"), despite);
    assert_eq!(bench.refused(input).code(), "covered", "exactly these");
    let input = close(one, Some("m"), vec![CoveredBy::Item(two)]);
    let order = placed(&bench.ok(input));
    assert_eq!(bench.allowance("m"), yuan("54"));

    let billed = CoveredBy::Order(order);
    assert_eq!(
        covers(&mut bench, two, "m"),
        [(billed.clone(), kwh("1000"), kwh("1006"))]
    );
    bench.ok(Bench::close_item_input(two, None));
    let journaled = bench.facts.iter().find_map(|(_, fact)| match fact {
        Fact::QuarantineClosed { item, despite, .. } if *item == one => Some(despite.clone()),
        _ => None,
    });
    assert_eq!(journaled, Some(vec![CoveredBy::Item(two)]));
    replays(&bench);
}

#[test]
fn another_piles_claim_on_a_paid_order_is_billed_only_by_somebody_who_knows() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    let claim = bench.record_since("P2", &id, start, "1000", "1006");
    assert_eq!(ack(&bench.send_record("P2", &claim)).result, AckResult::Orphan);
    let item = last_item(&bench).item;
    let paid = CoveredBy::Order(id.clone());
    assert_eq!(
        covers(&mut bench, item, "m"),
        [(paid.clone(), kwh("1000"), kwh("1006"))]
    );
    let input = close(item, Some("m"), vec![paid]);
    bench.ok(input);
    assert_eq!(bench.allowance("m"), yuan("48"));
}

#[test]
fn sessions_one_after_the_other_do_not_cover_each_other() {
    let mut bench = Bench::new();
    for (from, to) in [("1000", "1003"), ("1003", "1006")] {
        let start = bench.now;
        bench.advance(HOUR);
        let record = bench.record_since("P1", &order_id(&format!("s{from}")), start, from, to);
        bench.send_record("P1", &record);
    }
    for item in bench.disk.quarantine.keys().copied().collect::<Vec<_>>() {
        bench.ok(Bench::close_item_input(item, Some("m")));
    }
    assert_eq!(bench.allowance("m"), yuan("54"));
}

// Figures that a person types in.

/// A record that cannot be read and names an order: its register is no number.
fn unreadable(at: &str, order: &OrderId) -> Input {
    let text = format!(
        r#"{{"boot_id":"b","seq":9,"mono_ms":9,"ts":null,"msg_id":"m9","order_id":"{order}","connector":1,
            "meter_start_kwh":"1000","meter_stop_kwh":"lots"}}"#
    );
    Input::Unreadable {
        pile: pile(at),
        kind: Some(UpKind::Record),
        fault: messages::read_up(UpKind::Record, text.as_bytes()).unwrap_err(),
        raw: Raw::Text(text),
    }
}

fn typed_input(item: u64, who: &str, start: (Now, &str), stop: (Now, &str)) -> Input {
    let reading = |(now, register): (Now, &str)| Reading {
        at: now.wall,
        register: kwh(register),
    };
    Input::CloseQuarantine {
        item,
        bill_to: Some(member(who)),
        despite: Vec::new(),
        typed: Some(Box::new(TypedFigures {
            connector: ConnectorNo(1),
            start: reading(start),
            stop: reading(stop),
        })),
        reason: "read from the message".to_owned(),
        by: "desk".to_owned(),
    }
}

#[test]
fn an_order_takes_the_figures_that_a_person_read_from_its_unreadable_record() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    bench.idle("P1");
    let stop = bench.now;
    assert_eq!(ack(&bench.handle(unreadable("P1", &id))).result, AckResult::Malformed);
    let item = last_item(&bench);
    assert_eq!((item.order.as_ref(), item.connector), (Some(&id), Some(ConnectorNo(1))));
    assert!(bench.order(&id).items[0].open, "in the order's log and row");
    // It is estimated meanwhile, from what was seen.
    bench.advance(30 * MINUTE);
    assert!(bench.order(&id).estimated);
    let refused = bench.refused(Bench::close_item_input(item.item, Some("m")));
    assert!(refused.to_string().contains("`typed`"), "{refused}");
    bench.ok(typed_input(item.item, "m", (start, "1000"), (stop, "1006")));
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.estimated, order.paid.charged()),
        (State::Payed, false, yuan("6"))
    );
    assert_eq!(order.ending.as_ref().unwrap().digest, item.digest);
    let journaled = bench.facts.iter().any(|(_, fact)| match fact {
        Fact::QuarantineClosed { typed: Some(typed), .. } => typed.stop.register == kwh("1006"),
        _ => false,
    });
    assert!(journaled && item.raw.is_some(), "both are on record");
    let closed = bench.disk.quarantine[&item.item].as_ref().unwrap();
    assert_eq!(closed.raw, item.raw);
    assert_eq!(
        closed.typed.as_ref().unwrap().stop.register,
        kwh("1006"),
        "side by side"
    );
    // What the pile says afterwards contradicts it, and is kept.
    let record = bench.record_since("P1", &id, start, "1000", "1005");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Rejected);
    replays(&bench);
}

#[test]
fn figures_of_no_order_here_become_an_order_of_their_own() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(HOUR);
    let stop = bench.now;
    bench.ok(unreadable("P1", &order_id("stranger")));
    let item = last_item(&bench).item;
    let order = placed(&bench.ok(typed_input(item, "m", (start, "1000"), (stop, "1006"))));
    assert_eq!((bench.state(&order), bench.allowance("m")), (State::Payed, yuan("54")));
    // The same figures of another message: somebody must know that they are billed.
    let (id, _) = bench.charge("m", "P2", "50");
    bench.ok(unreadable("P1", &id));
    let item = last_item(&bench).item;
    let Rejected::Covered { covers, .. } = bench.refused(typed_input(item, "m", (start, "1000"), (stop, "1006")))
    else {
        panic!("covers were expected")
    };
    assert_eq!(covers[0].by, CoveredBy::Order(order));
    assert_eq!(
        bench.state(&id),
        State::Charging,
        "another outlet's order does not take them"
    );
    replays(&bench);
}

#[test]
fn figures_that_cannot_be_are_refused_with_words() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(HOUR);
    let stop = bench.now;
    bench.ok(unreadable("P1", &order_id("stranger")));
    let item = last_item(&bench).item;
    let later = Now {
        wall: stop.wall.after_ms(3_600_000),
        ..stop
    };
    for (from, to, words) in [
        ((start, "1006"), (stop, "1000"), "below the one at the start"),
        ((stop, "1000"), (start, "1006"), "stops before it starts"),
        ((start, "1000"), (later, "1006"), "in the future"),
        ((start, "1000"), (stop, "1000"), "no energy"),
    ] {
        let refused = bench.refused(typed_input(item, "m", from, to));
        assert!(
            refused.code() == "not_billable" && refused.to_string().contains(words),
            "{refused}"
        );
    }
    let mut beyond = typed_input(item, "m", (start, "1000"), (stop, "1006"));
    if let Input::CloseQuarantine { typed: Some(typed), .. } = &mut beyond {
        typed.stop.register = Energy(REGISTER_MAX.0 + 1);
    }
    assert!(bench.refused(beyond).to_string().contains("a register is from 0"));
    // What hardly can be is looked at again.
    let order = placed(&bench.ok(typed_input(item, "m", (start, "1000"), (stop, "1020"))));
    assert!(matches!(
        bench.order(&order).suspicions[..],
        [Suspicion::TooFast { .. }]
    ));
    assert_eq!((bench.state(&order), bench.allowance("m")), (State::Review, yuan("60")));
}

#[test]
fn a_failed_order_takes_figures_as_its_late_energy() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let start = bench.now;
    bench.advance(HOUR);
    assert_eq!(bench.state(&id), State::Fail);
    bench.ok(unreadable("P1", &id));
    let item = last_item(&bench).item;
    let stop = bench.now;
    bench.ok(typed_input(item, "m", (start, "1000"), (stop, "1006")));
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("54")));
    replays(&bench);
}

#[test]
fn an_offline_session_whose_readings_earlier_sessions_cover_is_no_new_order() {
    // Its order may have been forgotten long ago; the book of the register remembers.
    let mut bench = allowing();
    let record = alone(&mut bench, 1, "1000", "1010");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let mut again = record.clone();
    again.order_id = order_id("off-P1-1-9");
    assert_eq!(ack(&bench.send_record("P1", &again)).result, AckResult::Orphan);
    let item = last_item(&bench);
    assert_eq!(item.why, QuarantineReason::OfflineSessionRefused);
    assert!(
        item.detail.contains("earlier sessions cover its readings"),
        "{}",
        item.detail
    );
    assert_eq!(bench.allowance("m"), yuan("50"));
}

/// Who closed an item, for whom and how, under another name.
fn by(mut input: Input, name: &str) -> Input {
    if let Input::CloseQuarantine { by, .. } | Input::Decide { by, .. } = &mut input {
        *by = name.to_owned();
    }
    input
}

#[test]
fn a_paid_bill_that_an_item_changes_beyond_one_persons_limit_takes_a_second_person() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 28 * HOUR, "1010");
    let record = bench.record_since("P1", &id, start, "1000", "1010");
    bench.send_record("P1", &record);
    let first = bench.order(&id).paid.charged();
    assert_eq!(bench.state(&id), State::Payed);
    let other = bench.record_since("P1", &id, start, "1000", "1190");
    bench.send_record("P1", &other);
    let item = last_item(&bench).item;
    let close = || Bench::close_item_input(item, Some("m"));
    let nobody = bench.refused(by(close(), "local:0"));
    assert_eq!(nobody.code(), "second_person_needed", "{nobody}");
    bench.ok(by(close(), "alice"));
    let order = bench.order(&id);
    assert_eq!((order.state, order.paid.charged()), (State::Review, first), "it waits");
    let as_is = || Bench::decide_input(&id, Decision::AsIs);
    for same in ["alice", "local:0"] {
        let refused = bench.refused(by(as_is(), same));
        assert_eq!(refused.code(), "not_a_second_person", "{refused}");
    }
    bench.ok(by(as_is(), "bob"));
    let order = bench.order(&id);
    assert_eq!(order.paid.charged(), order.bill().unwrap().fee());
    assert!(order.paid.charged() > first + yuan("50"), "{order:?}");
    replays(&bench);
}

#[test]
fn figures_typed_in_over_an_estimate_are_measured_by_the_estimate_whichever_door() {
    let estimated = |bench: &mut Bench| {
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, HOUR, "1005");
        bench.idle("P1");
        bench.ok(unreadable("P1", &id));
        bench.advance(28 * HOUR);
        assert_eq!(bench.order(&id).paid.charged(), yuan("5"));
        (id, start, last_item(bench).item)
    };
    for remainder_released in [false, true] {
        let mut bench = Bench::with(Policy {
            remainder_ms: if remainder_released { HOUR } else { 10 * DAY },
            ..Policy::default()
        });
        let (id, start, item) = estimated(&mut bench);
        let now = bench.now;
        bench.ok(by(typed_input(item, "m", (start, "1000"), (now, "1190")), "alice"));
        let order = bench.order(&id);
        assert_eq!((order.state, order.paid.charged()), (State::Review, yuan("5")));
        let as_is = Bench::decide_input(&id, Decision::AsIs);
        assert_eq!(bench.refused(by(as_is.clone(), "alice")).code(), "not_a_second_person");
        bench.ok(by(as_is, "bob"));
        assert!(bench.order(&id).paid.charged() > yuan("55"));

        // Within the limit it is one person's, and does not move what is measured by.
        let mut bench = Bench::with(bench.site.policy().clone());
        let (id, start, item) = estimated(&mut bench);
        let now = bench.now;
        bench.ok(typed_input(item, "m", (start, "1000"), (now, "1030")));
        let charged = bench.order(&id).paid.charged();
        assert!(charged > yuan("20") && charged < yuan("55"), "{charged}");
        bench.ok(Bench::correct_input(&id, "80", "0", "alice"));
        assert_eq!(bench.order(&id).paid.charged(), charged, "it waits for a second person");
        replays(&bench);
    }
}

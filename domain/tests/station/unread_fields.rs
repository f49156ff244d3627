//! What of a record cannot be read is kept as it was written, beside the record, wherever that goes.

use crate::bench::*;
use domain::{
    fact::{Fact, QuarantineReason, Raw},
    ids::OrderId,
    messages::{self, AckResult, Record, UNREAD_BYTES_MAX, Unread, Up},
    order::State,
    quarantine::QuarantineItem,
    site::{Input, Outcome, Rejected},
    topics::UpKind,
};
use serde_json::{Value, json};

/// A pile's record with a field that cannot be read, as its maker writes it.
fn send_with(bench: &mut Bench, at: &str, record: &Record, field: &str, value: &Value) -> Outcome {
    let input = with(bench, at, record, field, value);
    bench.handle(input)
}

fn with(bench: &mut Bench, at: &str, record: &Record, field: &str, value: &Value) -> Input {
    let Input::Message { pile, message } = bench.message(at, Up::Record(Box::new(record.clone()))) else {
        panic!("a message")
    };
    let mut json = serde_json::to_value(&message.common).unwrap();
    let Value::Object(fields) = serde_json::to_value(record).unwrap() else {
        panic!("an object")
    };
    json.as_object_mut().unwrap().extend(fields);
    json[field] = value.clone();
    let message = messages::read_up(UpKind::Record, json.to_string().as_bytes()).unwrap();
    Input::Message { pile, message }
}

/// What is kept where one field could not be read.
fn kept(unread: Option<&Unread>) -> (&str, &Raw) {
    match unread.map(|unread| &unread.fields[..]) {
        Some([field]) => (&field.path, &field.raw),
        other => panic!("one field, not {other:?}"),
    }
}

fn written(text: &str) -> Raw {
    Raw::Text(text.to_owned())
}

/// An order that charged from 1000 to 1005 kWh, and its record.
fn charged(bench: &mut Bench) -> (OrderId, Record) {
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "1000", "1005");
    (id, record)
}

fn replays(bench: &Bench) {
    assert_eq!(bench.replayed().quarantine, bench.disk.quarantine);
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

fn last_item(bench: &Bench) -> QuarantineItem {
    bench.disk.quarantine.values().flatten().last().unwrap().clone()
}

#[test]
fn an_order_keeps_what_of_its_record_could_not_be_read_and_is_billed_without_it() {
    let mut bench = Bench::new();
    let (id, record) = charged(&mut bench);
    let outcome = send_with(&mut bench, "P1", &record, "soc_stop", &json!(79.5));
    assert_eq!(ack(&outcome).result, AckResult::Ok);
    let order = bench.order(&id);
    assert_eq!((order.state, bench.allowance("m")), (State::Payed, yuan("55")));
    let ending = order.ending.unwrap();
    assert_eq!(kept(ending.unread.as_deref()), ("soc_stop", &written("79.5")));
    // It stands in the order's log too, and in the journal as it is written.
    let received = bench
        .facts
        .iter()
        .find(|(_, fact)| matches!(fact, Fact::RecordReceived { .. }));
    let (_, fact) = received.unwrap();
    let body = serde_json::to_value(fact).unwrap();
    let unread = json!({ "fields": [{ "path": "soc_stop", "raw": "79.5" }], "dropped": 1 });
    assert_eq!(body["RecordReceived"]["ending"]["unread"], unread);
    assert_eq!(serde_json::from_value::<Fact>(body).unwrap(), *fact);
    replays(&bench);
}

#[test]
fn the_journal_of_a_record_that_can_be_read_says_nothing_of_unread_fields() {
    let mut bench = Bench::new();
    let (_, record) = charged(&mut bench);
    bench.send_record("P1", &record);
    let mut stranger = record.clone();
    stranger.order_id = order_id("stranger");
    bench.send_record("P1", &stranger);
    let facts = bench.facts.iter().map(|(_, fact)| serde_json::to_string(fact).unwrap());
    let rows = bench
        .disk
        .orders
        .values()
        .map(|order| serde_json::to_string(order).unwrap());
    let items = bench
        .disk
        .quarantine
        .values()
        .map(|item| serde_json::to_string(item).unwrap());
    for text in facts.chain(rows).chain(items) {
        // So written before there was such a thing, and read as it was written.
        assert!(!text.contains("unread") && !text.contains("\"typed\""), "{text}");
    }
}

#[test]
fn a_quarantine_item_keeps_what_of_its_record_could_not_be_read_and_hands_it_on_to_the_order_it_is_billed_to() {
    let mut bench = Bench::new();
    let (id, record) = charged(&mut bench);
    bench.send_record("P1", &record);
    let mut other = record.clone();
    other.meter_stop_kwh = kwh("1006");
    send_with(&mut bench, "P1", &other, "periods", &json!("none"));
    let item = last_item(&bench);
    assert_eq!(item.why, QuarantineReason::Conflict);
    assert_eq!(kept(item.unread.as_deref()), ("periods", &written("\"none\"")));
    assert_eq!(bench.order(&id).ending.unwrap().unread, None, "its own record had none");
    bench.ok(Bench::close_item_input(item.item, Some("m")));
    let ending = bench.order(&id).ending.unwrap();
    assert_eq!(kept(ending.unread.as_deref()), ("periods", &written("\"none\"")));
    replays(&bench);
}

#[test]
fn the_late_energy_of_a_failed_order_keeps_what_could_not_be_read() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let start = bench.now;
    bench.advance(HOUR);
    assert_eq!(bench.state(&id), State::Fail);
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    send_with(&mut bench, "P1", &record, "card_id", &json!("卡"));
    let item = last_item(&bench);
    assert_eq!(item.why, QuarantineReason::Unbilled);
    assert_eq!(kept(item.unread.as_deref()), ("card_id", &written("\"卡\"")));
    replays(&bench);
}

#[test]
fn what_is_kept_of_unreadable_fields_counts_in_the_quarantine_of_its_pile() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.advance(HOUR);
    let record = bench.record_since("P1", &order_id("stranger"), start, "1000", "1006");
    send_with(&mut bench, "P1", &record, "signed", &json!("x".repeat(100_000)));
    let item = last_item(&bench);
    let unread = item.unread.as_ref().unwrap();
    assert_eq!(unread.fields[0].cut_from, Some(100_002));
    assert!(unread.bytes() <= UNREAD_BYTES_MAX, "{}", unread.bytes());
    let plain = serde_json::to_vec(item.record.as_ref().unwrap()).unwrap().len() + unread.bytes();
    let pile = bench.disk.piles[&pile("P1")].clone();
    assert_eq!(pile.quarantined_bytes, plain as u64);
    // So what has no room there is not acknowledged, whatever it is made of.
    let mut small = Bench::with(domain::policy::Policy {
        quarantine_bytes_max: plain as u64 - 1,
        ..domain::policy::Policy::default()
    });
    let again = with(&mut small, "P1", &record, "signed", &json!("x".repeat(100_000)));
    assert!(matches!(small.refused(again), Rejected::QuarantineFull { .. }));
    bench.ok(Bench::close_item_input(item.item, None));
    assert_eq!(bench.disk.piles[&item.pile].quarantined_bytes, 0);
}

#[test]
fn a_repeated_record_is_known_again_whatever_of_it_could_not_be_read() {
    let mut bench = Bench::new();
    let (id, record) = charged(&mut bench);
    send_with(&mut bench, "P1", &record, "soc_stop", &json!(79.5));
    let again = send_with(&mut bench, "P1", &record, "soc_stop", &json!(79.5));
    assert_eq!(ack(&again).result, AckResult::Duplicate);
    assert!(bench.order(&id).items.is_empty());
}

//! What one pile may have journaled in a day: beyond it the journal is safe from the pile, and its money goes on.

use crate::bench::*;
use domain::{
    fact::{Fact, Raw},
    ids::{CardId, OrderId},
    messages::{AckResult, CommandKind, ConnectorStatus, Down, EventKind, read_up},
    order::State,
    policy::Policy,
    site::{Answer, Effect, Input, Outcome, Rejected},
    topics::UpKind,
};

/// A few hundred facts.
const MOST: u64 = 60_000;

fn bench() -> Bench {
    Bench::with(Policy {
        journal_bytes_max: MOST,
        offline_sessions: true,
        ..Policy::default()
    })
}

fn is_of(fact: &Fact, of: &str) -> bool {
    kind(fact) == of
}

/// P1 starts anew, and says so; an order that runs there goes on.
fn start_anew(bench: &mut Bench, session: Option<&OrderId>) -> Outcome {
    bench.restart_pile("P1");
    bench.sim("P1").session = session.cloned();
    bench.advance(SECOND);
    bench.boot("P1")
}

/// A message that nobody can read, of so many bytes.
fn garbage(kind: UpKind, n: usize, bytes: usize) -> Input {
    let text = format!("{n} {}", "x".repeat(bytes));
    Input::Unreadable {
        pile: pile("P1"),
        kind: Some(kind),
        fault: read_up(kind, text.as_bytes()).unwrap_err(),
        raw: Raw::Text(text),
    }
}

/// P1 says what nobody can read until that is too much.
fn spend(bench: &mut Bench) {
    for _ in 0..1_000 {
        let outcome = bench.handle(garbage(UpKind::Event, bench.facts.len(), 500));
        if outcome.facts.iter().any(|(_, fact)| is_of(fact, "PileBudgetSpent")) {
            return;
        }
    }
    panic!("a thousand messages, and no budget is spent");
}

/// The bytes of the facts from `since` on.
fn written(bench: &Bench, since: usize) -> u64 {
    let facts = bench.facts[since..].iter();
    facts
        .map(|(_, fact)| serde_json::to_vec(fact).unwrap().len() as u64)
        .sum()
}

fn refusal(bench: &mut Bench, who: &str) -> String {
    let place = bench.place_input(who, "P1", "20");
    bench.refused(place).to_string()
}

#[test]
fn a_pile_that_has_said_too_much_takes_no_orders_and_says_why() {
    let mut bench = bench();
    bench.member("n", "60");
    spend(&mut bench);
    assert!(
        bench.facts.len() > 20 && written(&bench, 0) < MOST + 10_000,
        "{}",
        bench.facts.len()
    );
    let said = refusal(&mut bench, "m");
    assert!(said.contains("more than one pile may"), "{said}");
    assert!(bench.disk.piles[&pile("P1")].fenced_off().unwrap().by == "holdfast");
    // Another pile's budget is another.
    bench.place("m", "P2", "20");
    bench.restart(true);
    bench.connect("P1");
    assert!(
        refusal(&mut bench, "n").contains("maintenance"),
        "it stays so over a restart"
    );
    assert_eq!(bench.replayed().piles, bench.disk.piles);
}

#[test]
fn nothing_that_a_pile_says_beyond_its_budget_fills_the_journal_any_more() {
    let mut bench = bench();
    spend(&mut bench);
    let before = bench.facts.len();
    for n in 0..2_000 {
        start_anew(&mut bench, None);
        for event in [EventKind::Fault, EventKind::FaultCleared, EventKind::Plugged] {
            assert_eq!(ack(&bench.event("P1", event)).result, AckResult::Rejected);
        }
        let status = [ConnectorStatus::Fault, ConnectorStatus::Idle][n % 2];
        bench.sim("P1").meter = kwh(["1000", "900"][n % 2]);
        bench.heartbeat("P1", status, None);
        bench.swipe("P1", "c1");
        let outcome = bench.handle(garbage(UpKind::Event, 10_000 + n, 500));
        assert_eq!(ack(&outcome).result, AckResult::Malformed);
    }
    let more: Vec<String> = bench.facts[before..].iter().map(|(_, fact)| kind(fact)).collect();
    // Heartbeats tell of its starts, now and then; of its connectors nothing, as nobody charges there.
    assert!(more.iter().all(|kind| kind == "PileClocksMeasured"), "{more:?}");
    assert!(more.len() <= 2_000 / 10 + 1, "{}", more.len());
    assert!(bench.site.ignored()["over_budget"] > 9_000);
}

#[test]
fn an_order_that_runs_beyond_the_budget_is_watched_stopped_and_settled_to_the_fen() {
    let mut bench = bench();
    let (id, start) = bench.charge("m", "P1", "30");
    spend(&mut bench);
    assert_eq!(bench.state(&id), State::Charging);
    // A driver may stop it, by the card and otherwise; limits are watched by its heartbeats.
    let watched = bench.deliver("P1", &id, 5 * HOUR, "1029.95");
    let stop = commands(&watched)
        .into_iter()
        .find(|command| command.kind == CommandKind::Stop);
    bench.reply("P1", &stop.expect("the fee has reached its limit").command_id, true);
    let answered = |(_, fact): &(_, Fact)| is_of(fact, "CommandAnswered");
    let answers = bench.facts.iter().filter(|fact| answered(fact)).count();
    assert_eq!(answers, 2, "of the start and of the stop");
    let record = bench.record_since("P1", &id, start, "1000", "1029.95");
    let outcome = bench.send_record("P1", &record);
    assert_eq!(ack(&outcome).result, AckResult::Ok);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("30.05")));
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
}

#[test]
fn old_orders_that_failed_are_no_way_around_the_budget() {
    let mut bench = bench();
    let id = bench.place("m", "P1", "20");
    let start = bench.order(&id).commands[0].id.clone();
    bench.advance(2 * MINUTE);
    assert_eq!(bench.state(&id), State::Fail);
    spend(&mut bench);
    // It may charge, and nobody would pay.
    assert_eq!(command_kinds(&bench.reply("P1", &start, true)), [CommandKind::Stop]);
    bench.advance(HOUR);
    let before = bench.facts.len();
    for _ in 0..10 {
        bench.advance(2 * MINUTE);
        assert!(bench.reply("P1", &start, true).answer.is_ok());
    }
    assert_eq!(bench.facts.len(), before);
}

#[test]
fn a_card_stops_its_order_beyond_the_budget() {
    let mut bench = bench();
    let (id, _) = bench.charge("m", "P1", "30");
    spend(&mut bench);
    bench.advance(MINUTE);
    bench.swipe("P1", "c1");
    assert!(bench.order(&id).stopping);
}

#[test]
fn sessions_that_a_pile_ran_alone_are_billed_up_to_twice_the_budget_and_then_stay_with_it() {
    let mut bench = bench();
    bench.top_up("m", "1000");
    spend(&mut bench);
    let session = |bench: &mut Bench, n: u32| {
        let (start, from) = (bench.now, format!("{}", 1_000 + n));
        bench.advance(20 * MINUTE / 10);
        let to = format!("{}.1", 1_000 + n);
        bench.sim("P1").meter = kwh(&to);
        let mut record = bench.record_since("P1", &order_id(&format!("off-P1-1-{n}")), start, &from, &to);
        (record.offline, record.card_id) = (true, Some(CardId::new("c1").unwrap()));
        record
    };
    let mut billed = 0;
    let refused = loop {
        let record = session(&mut bench, billed);
        let outcome = bench.send_record("P1", &record);
        match &outcome.answer {
            Ok(Answer::Ack(ack)) => assert_ne!(ack.result, AckResult::Rejected, "{ack:?}"),
            Err(rejected @ Rejected::JournalBudgetSpent { most: MOST, .. }) => {
                assert!(rejected.stays_with_pile() && outcome.facts.is_empty());
                assert!(outcome.effects.is_empty(), "not a word of it, so the pile keeps it");
                break record;
            }
            other => panic!("{other:?}"),
        }
        billed += 1;
        assert!(billed < 200);
    };
    assert!(billed > 5, "{billed}");
    let of_day = written(&bench, 0);
    assert!((MOST..3 * MOST).contains(&of_day), "{of_day}");
    // What it was not told about comes again, and has room the next day.
    bench.advance(DAY);
    bench.idle("P1");
    assert!(bench.send_record("P1", &refused).answer.is_ok());
    assert!(bench.disk.orders.contains_key(&refused.order_id));
}

#[test]
fn a_person_puts_it_back_to_work_and_the_day_ends_it_by_itself() {
    let mut bench = bench();
    spend(&mut bench);
    bench.ok(Input::SetMaintenance {
        pile: pile("P1"),
        reason: None,
        by: "engineer".to_owned(),
    });
    let (_, last) = bench.facts.last().unwrap();
    assert_eq!(
        *last,
        Fact::PileBudgetRenewed {
            pile: pile("P1"),
            by: Some("engineer".to_owned()),
        }
    );
    bench.idle("P1");
    let id = bench.place("m", "P1", "20");
    bench.ok(Bench::stop_input(&id));
    bench.advance(MINUTE);
    // It has all of its budget again, and no more.
    let before = bench.facts.len();
    spend(&mut bench);
    assert!(written(&bench, before) > MOST / 2);

    let before = bench.facts.len();
    bench.advance(12 * HOUR);
    bench.idle("P1");
    let of_day: Vec<String> = bench.facts[before..].iter().map(|(_, fact)| kind(fact)).collect();
    assert_eq!(of_day[..2], ["DayBegan", "PileBudgetRenewed"], "{of_day:?}");
    bench.place("m", "P1", "20");
    assert_eq!(bench.replayed().piles, bench.disk.piles);
}

#[test]
fn an_emergency_stop_released_beyond_the_budget_ends_with_heartbeats_the_next_day() {
    let mut bench = bench();
    bench.event("P1", EventKind::Estop);
    spend(&mut bench);
    bench.event("P1", EventKind::FaultCleared);
    let is_at_fault = |bench: &Bench| {
        let connectors = &bench.disk.piles[&pile("P1")].connectors;
        connectors.values().any(|connector| connector.fault.is_at_fault())
    };
    assert!(is_at_fault(&bench));
    bench.advance(DAY);
    for _ in 0..=20 {
        bench.idle("P1");
        bench.advance(15 * SECOND);
    }
    bench.idle("P1");
    assert!(!is_at_fault(&bench));
}

#[test]
fn what_is_refused_beyond_the_budget_is_answered_and_a_boot_is_told_what_to_do() {
    let mut bench = bench();
    bench.ok(Input::ClockTrust(true));
    let (id, _) = bench.charge("m", "P1", "30");
    spend(&mut bench);
    bench.ok(Bench::stop_input(&id));
    let boot = start_anew(&mut bench, Some(&id));
    assert_eq!(ack(&boot).result, AckResult::Rejected);
    assert!(ack(&boot).detail.contains("until midnight"), "{}", ack(&boot).detail);
    assert_eq!(command_kinds(&boot), [CommandKind::Stop]);
    let told = boot.effects.iter().any(|effect| {
        let Effect::Send { message, .. } = effect else {
            return false;
        };
        matches!(message, Down::Time(_))
    });
    assert!(told, "the time");
}

//! Sessions that a pile ran alone, and clocks that cannot be trusted.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod bench;

use bench::*;
use domain::{
    fact::{Fact, QuarantineReason},
    ids::CardId,
    messages::{AckResult, BufferedSample, Down, Record},
    meter::Suspicion,
    order::{Source, State},
    policy::Policy,
    site::{Effect, Input, Outcome},
};

fn allowing() -> Bench {
    Bench::with(Policy {
        offline_sessions: true,
        ..Policy::default()
    })
}

/// P1 is alone for three hours, and a card starts a session that reaches `to`.
fn alone(bench: &mut Bench, counter: u32, card: Option<&str>, to: &str) -> Record {
    bench.disconnect("P1", true);
    let (start, from) = (bench.now, bench.sim("P1").meter.to_string());
    bench.advance(3 * HOUR);
    bench.sim("P1").meter = kwh(to);
    let id = order_id(&format!("off-P1-1-{counter}"));
    let mut record = bench.record_since("P1", &id, start, &from, to);
    record.offline = true;
    record.card_id = card.map(|card| CardId::new(card).unwrap());
    record
}

fn why(bench: &Bench) -> QuarantineReason {
    bench.disk.quarantine.values().flatten().next().expect("an item").why
}

#[test]
fn an_offline_session_of_a_known_card_becomes_an_order_when_its_record_arrives() {
    let mut bench = allowing();
    let record = alone(&mut bench, 1, Some("c1"), "1020");
    bench.connect("P1");
    let said = ack(&bench.send_record("P1", &record));
    assert_eq!((said.result, said.fee), (AckResult::Ok, Some(yuan("20"))));
    let order = bench.order(&record.order_id);
    assert_eq!(
        (order.state, order.source, bench.allowance("m")),
        (State::Payed, Source::OfflineSession, yuan("40"))
    );
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Duplicate);
    assert!(!bench.kinds().contains(&"RegisterGapFound".to_owned()));
}

#[test]
fn offline_sessions_one_after_the_other_are_not_suspect_and_leave_no_gap() {
    let mut bench = allowing();
    let first = alone(&mut bench, 1, Some("c1"), "1010");
    let second = alone(&mut bench, 2, Some("c1"), "1020");
    bench.connect("P1");
    bench.idle("P1");
    for record in [&first, &second] {
        bench.send_record("P1", record);
        assert_eq!(bench.state(&record.order_id), State::Payed);
    }
    assert_eq!(bench.allowance("m"), yuan("40"));
    assert!(!bench.kinds().contains(&"RegisterGapFound".to_owned()));
}

#[test]
fn what_an_offline_session_costs_beyond_the_funds_is_debt() {
    let mut bench = Bench::with(Policy {
        offline_sessions: true,
        offline_session_cap: yuan("100"),
        ..Policy::default()
    });
    let record = alone(&mut bench, 1, Some("c1"), "1020");
    bench.place("m", "P2", "50");
    bench.connect("P1");
    bench.send_record("P1", &record);
    assert_eq!(
        (bench.state(&record.order_id), bench.debt("m")),
        (State::Unpaid, yuan("10"))
    );
}

#[test]
fn an_offline_session_above_its_cap_waits_for_a_person() {
    let mut bench = Bench::with(Policy {
        offline_sessions: true,
        offline_session_cap: yuan("19.99"),
        ..Policy::default()
    });
    let record = alone(&mut bench, 1, Some("c1"), "1020");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&record.order_id);
    assert_eq!(
        (order.state, order.suspicions),
        (State::Review, vec![Suspicion::AboveOfflineCap])
    );
    assert_eq!(bench.allowance("m"), yuan("60"));
}

#[test]
fn offline_sessions_are_kept_aside_unless_allowed_and_known() {
    let mut off = Bench::new();
    let record = alone(&mut off, 1, Some("c1"), "1020");
    off.connect("P1");
    assert_eq!(ack(&off.send_record("P1", &record)).result, AckResult::Orphan);
    assert_eq!(why(&off), QuarantineReason::OfflineSessionRefused);

    for card in [None, Some("c9")] {
        let mut bench = allowing();
        let record = alone(&mut bench, 1, card, "1020");
        bench.connect("P1");
        assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Orphan);
        assert_eq!(
            (why(&bench), bench.allowance("m")),
            (QuarantineReason::UnknownCard, yuan("60"))
        );
    }
}

#[test]
fn an_offline_session_billed_by_a_person_is_not_billed_again_when_its_card_is_known() {
    let mut bench = allowing();
    let record = alone(&mut bench, 1, Some("c9"), "1020");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let item = *bench.disk.quarantine.keys().next().unwrap();
    bench.ok(Input::CloseQuarantine {
        item,
        bill_to: Some(member("m")),
        despite: Vec::new(),
        typed: None,
        reason: "it was theirs".to_owned(),
        by: "desk".to_owned(),
    });
    assert_eq!(bench.allowance("m"), yuan("40"));
    bench.ok(Input::BindCard {
        card: CardId::new("c9").unwrap(),
        member: member("m"),
    });
    bench.restart(true);
    bench.connect("P1");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Orphan);
    assert_eq!(bench.allowance("m"), yuan("40"));
}

#[test]
fn a_pile_cannot_claim_another_piles_offline_session() {
    let mut bench = allowing();
    let mut record = alone(&mut bench, 1, Some("c1"), "1020");
    record.order_id = order_id("off-P2-1-1");
    bench.connect("P1");
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Orphan);
    assert_eq!(
        (why(&bench), bench.allowance("m")),
        (QuarantineReason::Orphan, yuan("60"))
    );
}

// Clocks.

#[test]
fn a_piles_clock_that_is_off_is_corrected_by_what_was_measured() {
    let mut bench = Bench::new();
    bench.advance(9 * HOUR); // 21:30
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(3 * 3_600_000);
    bench.connect("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.advance(2 * HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "1010");
    assert_eq!(
        record.stop_ts,
        Some(wall("2026-03-03T02:30:00+08:00")),
        "the pile believes it is night"
    );
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.paid.charged()),
        (State::Payed, yuan("10")),
        "all of it in flat"
    );
    assert_eq!(order.ending.unwrap().stop.at, bench.now.wall);
    assert!(bench.site.presence(&pile("P1")).unwrap().clock.is_suspect());
}

#[test]
fn a_pile_without_a_clock_is_timed_by_its_uptime_within_one_boot() {
    let mut bench = Bench::new();
    bench.advance(11 * HOUR); // 23:30
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = None;
    bench.connect("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", true);
    bench.advance(HOUR);
    let mut record = bench.record_since("P1", &id, start, "1000", "1006");
    record.samples = vec![BufferedSample {
        ts: None,
        mono_ms: record.start_mono_ms + 1_800_000,
        meter_kwh: kwh("1004"),
    }];
    bench.advance(5 * HOUR);
    bench.connect("P1");
    bench.send_record("P1", &record);
    assert_eq!(
        (bench.state(&id), bench.order(&id).paid.charged()),
        (State::Payed, yuan("5.20"))
    );
}

#[test]
fn a_clock_that_is_set_while_a_session_runs_does_not_move_its_energy() {
    let mut bench = Bench::new();
    bench.advance(11 * HOUR - 2 * MINUTE); // 23:28
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(-240_000);
    bench.connect("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    let began = bench.record_since("P1", &id, start, "1000", "1006").start_ts;
    bench.advance(HOUR);
    // The station told it the time meanwhile.
    bench.sim("P1").clock_ahead_ms = Some(0);
    bench.charging("P1", &id);
    let mut record = bench.record_since("P1", &id, start, "1000", "1006");
    record.start_ts = began;
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(order.ending.unwrap().start.at, start.wall, "its uptime tells");
    assert_eq!(order.state, State::Payed);
    // After a restart its uptime is another: a person decides.
    bench.idle("P1");
    let (id, start) = bench.charge("m", "P1", "20");
    bench.advance(HOUR);
    let mut record = bench.record_since("P1", &id, start, "1006", "1010");
    record.start_ts = record.start_ts.map(|at| at.after_ms(240_000));
    bench.restart_pile("P1");
    bench.connect("P1");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
}

#[test]
fn a_clock_that_is_set_between_a_session_and_its_record_does_not_move_its_energy() {
    let mut bench = allowing();
    bench.advance(11 * HOUR); // 23:30
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(-3_600_000);
    bench.connect("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.advance(HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    assert_eq!(
        record.stop_ts,
        Some(wall("2026-03-02T23:30:00+08:00")),
        "as its clock said"
    );
    // It never came, and the pile was told the time meanwhile.
    bench.sim("P1").clock_ahead_ms = Some(0);
    bench.advance(MINUTE);
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
    assert_eq!(order.ending.unwrap().start.at, start.wall, "its uptime tells");

    // A session that it ran alone may be of an earlier start, whose uptime is another: a person decides.
    let mut record = alone(&mut bench, 1, Some("c1"), "1020");
    record.meter_start_kwh = kwh("1006");
    record.start_ts = record.start_ts.map(|at| at.after_ms(-3_600_000));
    record.stop_ts = record.stop_ts.map(|at| at.after_ms(-3_600_000));
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&record.order_id);
    let why = "the pile's clock was set after it, or the pile has restarted";
    let detail = why.to_owned();
    assert_eq!(
        (order.state, order.suspicions),
        (State::Review, vec![Suspicion::TimesImpossible { detail }])
    );
}

#[test]
fn a_pile_without_a_clock_that_restarted_goes_to_a_person() {
    let mut bench = Bench::new();
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = None;
    bench.connect("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.advance(HOUR);
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.restart_pile("P1");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.suspicions),
        (State::Review, vec![Suspicion::ClockUnknown])
    );
}

#[test]
fn times_that_cannot_be_go_to_a_person_and_never_panic() {
    type Spoil = fn(&mut Record);
    let spoils: [Spoil; 4] = [
        |record| std::mem::swap(&mut record.start_ts, &mut record.stop_ts),
        |record| record.start_ts = Some(wall("1970-01-01T00:00:00Z")),
        |record| record.stop_ts = Some(wall("2199-12-31T00:00:00Z")),
        |record| {
            record.start_ts = None;
            record.stop_ts = None;
            record.stop_mono_ms = u64::MAX;
        },
    ];
    for ahead_ms in [0, 5_400_000_000_000, -1_700_000_000_000] {
        for (n, spoil) in spoils.into_iter().enumerate() {
            let mut bench = Bench::new();
            bench.restart_pile("P1");
            bench.sim("P1").clock_ahead_ms = Some(ahead_ms);
            bench.connect("P1");
            let (id, start) = bench.charge("m", "P1", "50");
            bench.advance(HOUR);
            let mut record = bench.record_since("P1", &id, start, "1000", "1006");
            spoil(&mut record);
            bench.send_record("P1", &record);
            assert_eq!(bench.state(&id), State::Review, "spoil {n}, clock {ahead_ms}");
        }
    }
}

#[test]
fn a_step_of_the_stations_clock_sends_running_orders_to_a_person() {
    for (step_ms, state) in [
        (60_000, State::Payed),
        (60_001, State::Review),
        (-60_001, State::Review),
    ] {
        let mut bench = Bench::new();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.advance(HOUR);
        bench.now.wall = bench.now.wall.after_ms(step_ms);
        bench.handle(Input::Tick);
        bench.advance(HOUR);
        let record = bench.record_since("P1", &id, start, "1000", "1006");
        bench.send_record("P1", &record);
        assert_eq!(bench.state(&id), state, "{step_ms}");
        let stepped = bench
            .facts
            .iter()
            .any(|(_, fact)| *fact == Fact::ClockStepped { by_ms: step_ms });
        assert_eq!(stepped, state == State::Review);
    }
}

#[test]
fn a_step_back_does_not_blind_the_station_to_used_up_funds() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 8 * HOUR, "1049");
    bench.now.wall = bench.now.wall.after_ms(-7_200_000);
    let outcome = bench.deliver("P1", &id, 10 * MINUTE, "1050");
    assert_eq!(command_kinds(&outcome), [domain::messages::CommandKind::Stop]);
}

#[test]
fn a_step_is_noticed_even_by_an_input_that_is_refused() {
    let mut bench = Bench::new();
    bench.now.wall = bench.now.wall.after_ms(120_000);
    let outcome = bench.handle(Bench::stop_input(&order_id("nobody")));
    assert!(outcome.answer.is_err());
    assert_eq!(outcome.facts.len(), 1);
}

#[test]
fn a_station_that_starts_with_a_clock_behind_its_journal_says_so() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.restart(true);
    bench.now.wall = wall("1970-01-01T08:00:00+08:00");
    bench.handle(Input::Tick);
    assert!(bench.order(&id).clock_stepped);
}

fn times(outcome: &Outcome) -> usize {
    let is_time = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Send {
                message: Down::Time(_),
                ..
            }
        )
    };
    outcome.effects.iter().filter(is_time).count()
}

#[test]
fn piles_are_told_the_time_once_an_hour_and_only_while_it_is_trusted() {
    let mut bench = Bench::new();
    assert_eq!(times(&bench.boot("P1")), 0, "not trusted yet");
    assert_eq!(times(&bench.ok(Input::ClockTrust(true))), 3);
    for _ in 0..50 {
        bench.advance(SECOND);
        bench.boot("P1");
    }
    bench.disconnect("P2", false);
    let told: usize = bench.advance(HOUR).iter().map(times).sum();
    assert_eq!(told, 2, "P1 and P3, however often P1 booted");
    bench.ok(Input::ClockTrust(false));
    let told: usize = bench.advance(2 * HOUR).iter().map(times).sum();
    assert_eq!(told, 0);
}

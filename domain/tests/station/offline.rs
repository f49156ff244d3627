//! Sessions that a pile ran alone, and clocks that cannot be trusted.

use crate::bench::*;
use domain::{
    fact::{Fact, QuarantineReason},
    ids::{CardId, OrderId},
    messages::{AckResult, BufferedSample, ConnectorStatus, Down, Record},
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

/// The journal alone gives the same orders and piles.
fn assert_replays(bench: &Bench) {
    assert_eq!(bench.replayed_orders(), bench.disk.orders);
    assert_eq!(bench.replayed().piles, bench.disk.piles);
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
        by: "desk".to_owned(),
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
    bench.sim("P1").meter = kwh("1006");
    bench.charging("P1", &id);
    let mut record = bench.record_since("P1", &id, start, "1000", "1006");
    record.start_ts = began;
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(order.ending.unwrap().start.at, start.wall, "its uptime tells");
    assert_eq!(order.state, State::Payed);
    // What was measured of that start counts after the pile has started again.
    bench.idle("P1");
    let (id, start) = bench.charge("m", "P1", "20");
    bench.advance(HOUR);
    let mut record = bench.record_since("P1", &id, start, "1006", "1010");
    record.start_ts = record.start_ts.map(|at| at.after_ms(240_000));
    bench.sim("P1").meter = kwh("1010");
    bench.restart_pile("P1");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
    assert_eq!(order.ending.unwrap().start.at, start.wall);
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
    bench.sim("P1").meter = kwh("1006");
    bench.sim("P1").clock_ahead_ms = Some(0);
    bench.advance(MINUTE);
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
    assert_eq!(order.ending.unwrap().start.at, start.wall, "its uptime tells");
    assert_replays(&bench);
}

#[test]
fn an_offline_session_goes_by_the_setting_of_the_clock_that_it_was_written_by() {
    let mut bench = allowing();
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(-3_600_000);
    bench.connect("P1");
    let (start, record) = (bench.now, alone(&mut bench, 1, Some("c1"), "1020"));
    bench.sim("P1").clock_ahead_ms = Some(0);
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&record.order_id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
    assert_eq!(
        order.ending.unwrap().start.at,
        start.wall,
        "as measured before it was set"
    );
    assert_replays(&bench);
}

#[test]
fn a_pile_without_a_clock_is_timed_by_the_uptime_of_the_start_that_it_wrote_in() {
    let mut bench = Bench::new();
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = None;
    bench.connect("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.advance(HOUR);
    let (stop, record) = (bench.now, bench.record_since("P1", &id, start, "1000", "1006"));
    bench.sim("P1").meter = kwh("1006");
    bench.advance(20 * MINUTE);
    bench.restart_pile("P1");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
    let ending = order.ending.unwrap();
    assert_eq!((ending.start.at, ending.stop.at), (start.wall, stop.wall));
}

#[test]
fn a_start_that_was_never_heard_of_a_pile_without_a_clock_goes_to_a_person() {
    let mut bench = allowing();
    bench.disconnect("P1", true);
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = None;
    bench.advance(MINUTE);
    let record = alone(&mut bench, 1, Some("c1"), "1020");
    bench.restart_pile("P1");
    bench.connect("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&record.order_id);
    assert_eq!(
        (order.state, order.suspicions),
        (State::Review, vec![Suspicion::ClockUnknown])
    );
}

#[test]
fn times_that_the_uptime_puts_right_need_no_person_and_others_never_panic() {
    type Spoil = fn(&mut Record);
    let spoils: [(State, Spoil); 5] = [
        (State::Payed, |record| {
            std::mem::swap(&mut record.start_ts, &mut record.stop_ts)
        }),
        (State::Payed, |record| {
            record.start_ts = Some(wall("1970-01-01T00:00:00Z"))
        }),
        (State::Payed, |record| {
            record.stop_ts = Some(wall("2199-12-31T00:00:00Z"))
        }),
        (State::Review, |record| {
            record.start_ts = None;
            record.stop_ts = None;
            record.stop_mono_ms = u64::MAX;
        }),
        (State::Review, |record| {
            record.stop_ts = Some(wall("2199-12-31T00:00:00Z"));
            record.stop_mono_ms = u64::MAX;
        }),
    ];
    for ahead_ms in [0, 5_400_000_000_000, -1_700_000_000_000] {
        for (n, (state, spoil)) in spoils.into_iter().enumerate() {
            let mut bench = Bench::new();
            bench.restart_pile("P1");
            bench.sim("P1").clock_ahead_ms = Some(ahead_ms);
            bench.connect("P1");
            let (id, start) = bench.charge("m", "P1", "50");
            bench.advance(HOUR);
            let mut record = bench.record_since("P1", &id, start, "1000", "1006");
            spoil(&mut record);
            bench.send_record("P1", &record);
            let order = bench.order(&id);
            assert_eq!(
                order.state, state,
                "spoil {n}, clock {ahead_ms}: {:?}",
                order.suspicions
            );
            if state == State::Payed {
                let ending = order.ending.unwrap();
                let times = (ending.start.at, ending.stop.at);
                assert_eq!(times, (start.wall, bench.now.wall), "spoil {n}, clock {ahead_ms}");
            }
            assert_replays(&bench);
        }
    }
}

// A power cut between a session and its record.

/// P1 is three hours ahead when it charges 14 kWh from 5:39 to 7:44, all of it in valley. Gives the order and the record
/// that the pile wrote and could not send.
fn before_a_power_cut(bench: &mut Bench) -> (OrderId, Record) {
    bench.advance(16 * HOUR + 30 * MINUTE); // 5:00
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(3 * 3_600_000);
    bench.connect("P1");
    bench.idle("P1");
    bench.advance(39 * MINUTE);
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 2 * HOUR + 5 * MINUTE, "1014");
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).fee, yuan("8.40"));
    let record = bench.record_since("P1", &id, start, "1000", "1014");
    assert_eq!(record.start_ts, Some(wall("2026-03-03T08:39:00+08:00")));
    bench.disconnect("P1", true);
    bench.advance(16 * MINUTE); // 8:00
    bench.restart_pile("P1");
    (id, record)
}

fn assert_settled_in_valley(bench: &Bench, id: &OrderId, of: &str) {
    let order = bench.order(id);
    assert_eq!((order.state, &order.suspicions[..]), (State::Payed, &[][..]), "{of}");
    assert_eq!(order.paid.charged(), yuan("8.40"), "{of}");
    let ending = order.ending.unwrap();
    assert_eq!(
        (ending.start.at, ending.stop.at),
        (wall("2026-03-03T05:39:00+08:00"), wall("2026-03-03T07:44:00+08:00")),
        "{of}"
    );
    assert_replays(bench);
}

/// The clock of a pile whose battery is empty: it shows 1970 when the pile starts.
fn dead(bench: &Bench) -> Option<i64> {
    Some(-bench.now.wall.0)
}

#[test]
fn a_record_of_before_a_power_cut_goes_by_what_was_measured_before_it() {
    // The clock after it: right, reset to 1970, none, and wrong the other way.
    for clock in ["right", "1970", "none", "behind"] {
        for restart in [None, Some(true), Some(false)] {
            for early in [false, true] {
                let of = format!("{clock}, {restart:?}, {early}");
                let mut bench = Bench::new();
                let (id, record) = before_a_power_cut(&mut bench);
                if let Some(live) = restart.filter(|_| early) {
                    bench.restart(live);
                }
                bench.sim("P1").clock_ahead_ms = match clock {
                    "right" => Some(0),
                    "1970" => dead(&bench),
                    "none" => None,
                    _ => Some(-2 * 3_600_000),
                };
                bench.advance(5 * MINUTE);
                bench.connect("P1");
                bench.idle("P1");
                if let Some(live) = restart.filter(|_| !early) {
                    bench.restart(live);
                }
                bench.advance(5 * MINUTE);
                assert_eq!(ack(&bench.send_record("P1", &record)).fee, Some(yuan("8.40")), "{of}");
                assert_settled_in_valley(&bench, &id, &of);
            }
        }
    }
}

#[test]
fn a_record_of_several_power_cuts_ago_goes_by_its_own_start() {
    let mut bench = Bench::new();
    let (id, record) = before_a_power_cut(&mut bench);
    for hours_ahead in [0, -1, 5] {
        bench.restart_pile("P1");
        bench.sim("P1").clock_ahead_ms = Some(hours_ahead * 3_600_000);
        bench.connect("P1");
        bench.restart(hours_ahead == 0);
        bench.advance(3 * MINUTE);
    }
    bench.send_record("P1", &record);
    assert_settled_in_valley(&bench, &id, "three starts ago");
}

#[test]
fn what_was_measured_of_a_pile_outlasts_its_removal() {
    for again in [false, true] {
        let mut bench = Bench::new();
        let (id, record) = before_a_power_cut(&mut bench);
        bench.ok(Bench::close_input(&id));
        bench.ok(Input::RemovePile {
            pile: pile("P1"),
            by: "engineer".to_owned(),
        });
        // What it sends besides is put aside.
        let mut stranger = record.clone();
        stranger.order_id = order_id("stranger");
        (stranger.meter_start_kwh, stranger.meter_stop_kwh) = (kwh("900"), kwh("914"));
        bench.send_record("P1", &stranger);
        if again {
            bench.ok(Input::ProvisionPile {
                pile: pile("P1"),
                by: "setup".to_owned(),
            });
            bench.sim("P1").clock_ahead_ms = Some(0);
            bench.connect("P1");
        }
        bench.send_record("P1", &record);
        assert_settled_in_valley(&bench, &id, if again { "there again" } else { "removed" });
    }
}

#[test]
fn a_start_that_was_never_measured_is_a_persons_with_both_readings() {
    for ahead_after in [0, 3_600_000] {
        let mut bench = allowing();
        bench.advance(16 * HOUR + 30 * MINUTE); // 5:00
        bench.disconnect("P1", true);
        bench.restart_pile("P1");
        bench.sim("P1").clock_ahead_ms = Some(3 * 3_600_000);
        let record = alone(&mut bench, 1, Some("c1"), "1014");
        bench.restart_pile("P1");
        bench.sim("P1").clock_ahead_ms = Some(ahead_after);
        bench.connect("P1");
        bench.restart(ahead_after == 0);
        bench.send_record("P1", &record);
        let order = bench.order(&record.order_id);
        assert_eq!((order.state, bench.allowance("m")), (State::Review, yuan("60")));
        let [
            Suspicion::TimesContradict {
                detail,
                pile_start,
                pile_stop,
                station_start,
                station_stop,
            },
        ] = &order.suspicions[..]
        else {
            panic!("{:?}", order.suspicions)
        };
        assert!(detail.contains("not measured"), "{detail}");
        let (start, stop) = (wall("2026-03-03T08:00:00+08:00"), wall("2026-03-03T11:00:00+08:00"));
        assert_eq!((*pile_start, *pile_stop), (Some(start), Some(stop)));
        let moved = (start.after_ms(-ahead_after), stop.after_ms(-ahead_after));
        assert_eq!((*station_start, *station_stop), moved, "by the clock as it is set now");
        assert_replays(&bench);
    }
}

/// Why an order waits: the words of times that contradict what is known.
fn contradiction(bench: &Bench, id: &OrderId) -> String {
    let order = bench.order(id);
    let said = order.suspicions.iter().find_map(|suspicion| match suspicion {
        Suspicion::TimesContradict { detail, .. } => Some(detail.clone()),
        _ => None,
    });
    assert_eq!(order.state, State::Review, "{:?}", order.suspicions);
    said.unwrap_or_else(|| panic!("{:?}", order.suspicions))
}

#[test]
fn a_session_of_1976_is_never_billed_unseen() {
    for counts_uptime in [true, false] {
        let mut bench = allowing();
        let mut record = alone(&mut bench, 1, Some("c1"), "1020");
        record.start_ts = Some(wall("1976-07-04T10:00:00Z"));
        record.stop_ts = Some(wall("1976-07-04T13:00:00Z"));
        if !counts_uptime {
            (record.start_mono_ms, record.stop_mono_ms) = (0, 0);
        }
        bench.connect("P1");
        bench.send_record("P1", &record);
        let said = contradiction(&bench, &record.order_id);
        let expected = match counts_uptime {
            true => "not measured",
            false => "before the pile belonged to this station",
        };
        assert!(said.contains(expected), "{said}");
        assert_eq!(bench.allowance("m"), yuan("60"), "no money moves");
        assert_replays(&bench);
    }
}

#[test]
fn offline_sessions_that_overlap_against_their_registers_go_to_a_person() {
    for newest_first in [false, true] {
        let mut bench = allowing();
        bench.idle("P1");
        bench.disconnect("P1", true);
        bench.advance(HOUR);
        let (start, first_id) = (bench.now, order_id("off-P1-1-1"));
        bench.advance(2 * HOUR);
        let mut first = bench.record_since("P1", &first_id, start, "1000", "1010");
        // It began where the first one ended by the register, and an hour before that by both clocks.
        let mut second = bench.record_since("P1", &order_id("off-P1-1-2"), start, "1010", "1015");
        second.start_ts = second.start_ts.map(|at| at.after_ms(3_600_000));
        second.start_mono_ms += HOUR;
        for record in [&mut first, &mut second] {
            record.offline = true;
            record.card_id = Some(CardId::new("c1").unwrap());
        }
        bench.sim("P1").meter = kwh("1015");
        bench.connect("P1");
        let (one, other) = if newest_first {
            (&second, &first)
        } else {
            (&first, &second)
        };
        bench.send_record("P1", one);
        let order = bench.order(&one.order_id);
        assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
        bench.restart(false);
        bench.connect("P1");
        bench.send_record("P1", other);
        let said = contradiction(&bench, &other.order_id);
        let expected = if newest_first {
            "session after"
        } else {
            "session before"
        };
        assert!(said.contains(expected), "{said}");
        assert_replays(&bench);
    }
}

#[test]
fn a_session_of_unknown_times_says_nothing_of_its_neighbours() {
    let mut bench = allowing();
    bench.disconnect("P1", true);
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = None;
    bench.advance(MINUTE);
    let first = alone(&mut bench, 1, Some("c1"), "1010");
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = Some(0);
    let second = alone(&mut bench, 2, Some("c1"), "1015");
    bench.connect("P1");
    bench.send_record("P1", &first);
    assert_eq!(bench.order(&first.order_id).suspicions, [Suspicion::ClockUnknown]);
    bench.send_record("P1", &second);
    let order = bench.order(&second.order_id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
    assert_replays(&bench);
}

#[test]
fn a_record_that_was_put_aside_bounds_its_neighbours_by_its_own_times() {
    for early in [0, HOUR] {
        let mut bench = allowing();
        let mut first = alone(&mut bench, 1, Some("c1"), "1010");
        first.order_id = order_id("stranger");
        let mut second = alone(&mut bench, 2, Some("c1"), "1015");
        // Both of its clocks say so.
        second.start_ts = second.start_ts.map(|at| at.after_ms(-i64::try_from(early).unwrap()));
        second.start_mono_ms -= early;
        bench.connect("P1");
        bench.send_record("P1", &first);
        bench.send_record("P1", &second);
        let order = bench.order(&second.order_id);
        if early == 0 {
            assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
        } else {
            let said = contradiction(&bench, &second.order_id);
            assert!(said.contains("session before"), "{said}");
        }
        assert_replays(&bench);
    }
}

#[test]
fn a_session_that_goes_on_after_its_connector_was_seen_idle_is_a_persons() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    bench.idle("P1");
    bench.advance(20 * MINUTE);
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    let said = contradiction(&bench, &id);
    assert!(said.contains("seen idle before its end"), "{said}");
}

#[test]
fn a_car_that_is_still_plugged_in_may_be_in_its_session() {
    // A pile need not name its session: before the first energy and after the last, the car is only plugged in.
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let command = bench.order(&id).commands[0].id.clone();
    bench.reply("P1", &command, true);
    let start = bench.now;
    for _ in 0..10 {
        bench.advance(MINUTE);
        bench.heartbeat("P1", ConnectorStatus::Plugged, None);
    }
    for register in ["1000", "1001", "1003", "1005", "1006"] {
        bench.sim("P1").meter = kwh(register);
        bench.heartbeat("P1", ConnectorStatus::Charging, None);
        bench.advance(20 * MINUTE);
    }
    for _ in 0..10 {
        bench.heartbeat("P1", ConnectorStatus::Finished, None);
        bench.advance(MINUTE);
    }
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
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
fn a_step_of_the_stations_clock_between_an_estimate_and_its_record_sends_it_to_a_person() {
    for settled in [false, true] {
        for stepped_by in [-7_200_000, 7_200_000] {
            for restart in [None, Some(true), Some(false)] {
                let of = format!("{settled}, {stepped_by}, {restart:?}");
                let mut bench = Bench::new();
                let (id, start) = bench.charge("m", "P1", "50");
                bench.deliver("P1", &id, HOUR, "1006");
                let record = bench.record_since("P1", &id, start, "1000", "1006");
                bench.idle("P1");
                bench.advance(30 * MINUTE);
                if settled {
                    bench.advance(DAY);
                }
                let before = if settled { State::Payed } else { State::Settle };
                assert_eq!((bench.state(&id), bench.order(&id).estimated), (before, true));
                bench.now.wall = bench.now.wall.after_ms(stepped_by);
                bench.handle(Input::Tick);
                if let Some(live) = restart {
                    bench.restart(live);
                }
                bench.connect("P1");
                let said = ack(&bench.send_record("P1", &record));
                assert_eq!(said.detail, "waits for review", "{of}");
                let order = bench.order(&id);
                assert_eq!(
                    (order.state, order.paid.charged()),
                    (State::Review, yuan("6")),
                    "{of}: no money moves"
                );
                assert!(order.suspicions.contains(&Suspicion::ClockStepped), "{of}: {order:?}");
                assert_replays(&bench);
            }
        }
    }
}

#[test]
fn a_clock_put_elsewhere_while_the_station_was_off_sends_records_of_starts_not_heard_since_to_a_person() {
    let hours_4 = 14_400_000;
    // By how much, whether another pile goes on meanwhile, whether the one with the record starts again.
    for (by_ms, another, restarts, waits) in [
        (hours_4, true, true, true),
        (hours_4, true, false, false),
        (60_001, true, true, true),
        (60_000, true, true, false),
        (0, true, true, false),
        // Nobody can tell it from four hours without power.
        (hours_4, false, true, false),
    ] {
        let of = format!("{by_ms}, {another}, {restarts}");
        let mut bench = allowing();
        bench.connect("P2");
        bench.idle("P2");
        let record = alone(&mut bench, 1, Some("c1"), "1020");
        bench.idle("P2");
        bench.now.wall = bench.now.wall.after_ms(by_ms);
        for id in ["P1", "P2"] {
            bench.sim(id).clock_ahead_ms = Some(-by_ms);
        }
        bench.restart(false);
        if another {
            bench.idle("P2");
            bench.advance(MINUTE);
            bench.idle("P2");
        }
        let found = |bench: &Bench| bench.kinds().iter().filter(|kind| *kind == "ClockMoveFound").count();
        assert_eq!(found(&bench), usize::from(another && by_ms > 60_000), "{of}: said once");
        if restarts {
            bench.restart_pile("P1");
        }
        // The record may come a run of the station later.
        bench.restart(false);
        bench.connect("P1");
        bench.send_record("P1", &record);
        let order = bench.order(&record.order_id);
        let (state, suspicions) = match waits {
            true => (State::Review, vec![Suspicion::ClockStepped]),
            false => (State::Payed, vec![]),
        };
        assert_eq!((order.state, order.suspicions), (state, suspicions), "{of}");
        assert_replays(&bench);
    }
}

#[test]
fn a_step_of_the_stations_clock_before_a_session_keeps_nobody_waiting() {
    let mut bench = Bench::new();
    bench.now.wall = bench.now.wall.after_ms(7_200_000);
    bench.handle(Input::Tick);
    bench.advance(HOUR);
    bench.idle("P1");
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    assert_eq!(bench.state(&id), State::Settle);
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, order.suspicions), (State::Payed, vec![]));
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

//! From a driver's wish to charging, or to nothing: S05 §2.1, the top of the order table.

use crate::bench::*;
use domain::{
    fact::{Fact, StopCause},
    ids::OrderId,
    messages::{AckResult, CommandKind, ConnectorStatus, EventKind},
    notice::NoticeKey,
    order::{FailReason, Source, State, Until},
    policy::Policy,
    site::{Input, Place, Rejected},
    units::Fen,
};

#[test]
fn a_start_takes_the_hold_and_tells_the_pile_how_far_it_may_go() {
    let mut bench = Bench::new();
    let input = bench.place_input("m", "P1", "50");
    let outcome = bench.ok(input);
    let id = placed(&outcome);
    assert_eq!(bench.allowance("m"), yuan("10"));
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.hold.remaining(), order.source),
        (State::Place, yuan("50"), Source::Api)
    );
    let [start] = &commands(&outcome)[..] else {
        panic!("one command")
    };
    // 7 kW for 20 s at 1.50 is 0.0583 yuan, so 6 fen stay back; 49.94 at 1.50 is 33.2933 kWh.
    assert_eq!((start.kind, start.ttl_ms), (CommandKind::Start, MINUTE));
    assert_eq!(
        (start.limit_fee, start.limit_kwh),
        (Some(yuan("49.94")), Some(kwh("33.2933")))
    );
    let prices: Vec<String> = start
        .prices
        .iter()
        .map(|row| format!("{} {}", row.from, row.price_per_kwh))
        .collect();
    assert_eq!(prices, ["00:00 0.60000", "08:00 1.50000", "12:00 1.00000"]);
}

#[test]
fn start_timeout_releases_the_whole_hold_and_says_so() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    assert!(bench.advance(MINUTE - 1).is_empty(), "not a moment early");
    let outcomes = bench.advance(1);
    assert_eq!(
        notices(&outcomes[0]),
        [(NoticeKey::StartTimedOut, "启动超时，请重试".to_owned())]
    );
    let order = bench.order(&id);
    assert_eq!((order.state, &order.fail), (State::Fail, &Some(FailReason::TimedOut)));
    assert_eq!((bench.allowance("m"), order.hold.released), (yuan("60"), yuan("50")));
}

#[test]
fn a_start_deadline_survives_a_restart_with_what_is_left_of_it() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    bench.advance(40 * SECOND);
    bench.restart(false);
    assert!(bench.advance(20 * SECOND - 1).is_empty());
    bench.advance(1);
    assert_eq!(bench.state(&id), State::Fail);
}

#[test]
fn a_refused_start_releases_the_hold_and_tells_why() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let start = bench.order(&id).commands[0].id.clone();
    let outcome = bench.reply("P1", &start, false);
    let (key, text) = notices(&outcome).remove(0);
    assert_eq!(
        (key, text.as_str()),
        (NoticeKey::StartRefused, "充电桩拒绝启动（no car），预付款已退回")
    );
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Fail, yuan("60")));
}

#[test]
fn a_late_reply_is_answered_with_a_stop() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let start = bench.order(&id).commands[0].id.clone();
    bench.advance(2 * MINUTE);
    let outcome = bench.reply("P1", &start, true);
    assert_eq!(ack(&outcome).result, AckResult::Rejected);
    assert_eq!(command_kinds(&outcome), [CommandKind::Stop]);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Fail, yuan("60")));
}

#[test]
fn a_reply_that_comes_before_the_tick_but_after_the_deadline_is_too_late() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let start = bench.order(&id).commands[0].id.clone();
    bench.pass(MINUTE);
    let outcome = bench.reply("P1", &start, true);
    assert_eq!(command_kinds(&outcome), [CommandKind::Stop]);
    assert_eq!(bench.order(&id).fail, Some(FailReason::TimedOut));
}

#[test]
fn a_late_start_is_stopped_at_once_and_again_until_it_ends() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    bench.advance(2 * MINUTE);
    let first = commands(&bench.charging("P1", &id));
    assert_eq!(first[0].kind, CommandKind::Stop);
    bench.advance(15 * SECOND);
    let second = commands(&bench.charging("P1", &id));
    assert_eq!(second[0].command_id, first[0].command_id, "a pile acts on an id once");
    assert_eq!(second[0].ttl_ms, 45 * SECOND);
    bench.advance(45 * SECOND);
    let third = commands(&bench.charging("P1", &id));
    assert_ne!(third[0].command_id, first[0].command_id, "the first has expired");
    let input = bench.place_input("m", "P1", "50");
    assert_eq!(bench.refused(input), Rejected::ConnectorBusy(outlet("P1")));
}

#[test]
fn an_order_cancelled_while_its_pile_was_away_is_stopped_when_it_is_back() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    bench.disconnect("P1", false);
    let outcome = bench.ok(Bench::stop_input(&id));
    assert_eq!(notices(&outcome)[0].0, NoticeKey::Cancelled);
    assert!(commands(&outcome).is_empty(), "nobody is there to hear it");
    bench.advance(5 * SECOND);
    assert!(commands(&bench.connect("P1")).is_empty());
    assert_eq!(command_kinds(&bench.charging("P1", &id)), [CommandKind::Stop]);
}

#[test]
fn a_start_lost_with_the_process_goes_again_after_boot_with_the_same_id_and_less_time() {
    let mut bench = Bench::new();
    let input = bench.place_input("m", "P1", "50");
    let first = commands(&bench.ok(input)).remove(0);
    // The process dies between commit and effect.
    bench.restart(false);
    bench.advance(20 * SECOND);
    let again = commands(&bench.connect("P1")).remove(0);
    assert_eq!((again.command_id, again.ttl_ms), (first.command_id, 40 * SECOND));
    assert_eq!(
        (again.limit_fee, again.limit_kwh, again.prices),
        (first.limit_fee, first.limit_kwh, first.prices)
    );
}

#[test]
fn a_record_that_says_it_never_began_fails_the_order() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let now = bench.now;
    bench.advance(10 * SECOND);
    let mut record = bench.record_since("P1", &id, now, "1000", "1000");
    record.reason.code = 10;
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Ok);
    assert_eq!(bench.order(&id).fail, Some(FailReason::NeverStarted));
    assert_eq!(bench.allowance("m"), yuan("60"));
    assert_eq!(ack(&bench.send_record("P1", &record)).result, AckResult::Duplicate);
}

#[test]
fn an_unnamed_session_does_not_confirm_a_start() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    bench.heartbeat("P1", ConnectorStatus::Charging, None);
    assert_eq!(bench.state(&id), State::Place);
}

#[test]
fn whoever_may_not_start_is_told_why() {
    let mut bench = Bench::new();
    bench.member("poor", "4");
    bench.member("bad", "60");
    bench.ok(Input::BlockMember {
        member: member("bad"),
        reason: Some("恶意欠费".to_owned()),
        by: "risk".to_owned(),
    });
    bench.ok(Input::ProvisionPile {
        pile: pile("P4"),
        by: "setup".to_owned(),
    });
    let refused = |bench: &mut Bench, who: &str, at: &str, prepay: &str| {
        let input = bench.place_input(who, at, prepay);
        bench.refused(input)
    };
    assert_eq!(refused(&mut bench, "who", "P1", "50").code(), "unknown_member");
    assert_eq!(refused(&mut bench, "bad", "P1", "50").code(), "member_blocked");
    assert_eq!(
        refused(&mut bench, "m", "P1", "60.01"),
        Rejected::InsufficientFunds {
            needed: yuan("60.01"),
            available: yuan("60")
        }
    );
    assert_eq!(refused(&mut bench, "m", "P1", "4.99").code(), "prepay_outside_limits");
    assert_eq!(refused(&mut bench, "m", "P1", "500.01").code(), "prepay_outside_limits");
    assert_eq!(refused(&mut bench, "m", "P9", "50").code(), "unknown_pile");
    assert_eq!(refused(&mut bench, "m", "P4", "50").code(), "pile_offline");
    bench.ok(Input::Connected { pile: pile("P4") });
    assert_eq!(refused(&mut bench, "m", "P4", "50").code(), "unknown_connector");
    bench.event("P1", EventKind::Fault);
    assert_eq!(refused(&mut bench, "m", "P1", "50").code(), "connector_unavailable");
    bench.disconnect("P2", false);
    assert_eq!(refused(&mut bench, "m", "P2", "50").code(), "pile_offline");
    bench.place("m", "P3", "50");
    bench.top_up("poor", "50");
    assert_eq!(refused(&mut bench, "poor", "P3", "50").code(), "connector_busy");
    bench.ok(Input::SetMaintenance {
        pile: pile("P3"),
        reason: Some("cable".to_owned()),
        by: "engineer".to_owned(),
    });
    assert_eq!(refused(&mut bench, "poor", "P3", "50").code(), "pile_in_maintenance");
    let mut bare = Bench::bare(Policy::default());
    bare.member("m", "60");
    bare.ok(Input::ProvisionPile {
        pile: pile("P1"),
        by: "setup".to_owned(),
    });
    let place = bare.place_input("m", "P1", "50");
    assert_eq!(bare.refused(place).code(), "pile_offline");
}

#[test]
fn a_prepayment_must_cover_what_flows_while_the_pile_is_being_stopped() {
    let mut bench = Bench::with(Policy {
        notice_ms: 2 * HOUR,
        ..Policy::default()
    });
    let place = bench.place_input("m", "P1", "21");
    assert_eq!(
        bench.refused(place),
        Rejected::PrepayBelowMargin {
            prepay: yuan("21"),
            margin: yuan("21")
        },
        "7 kW for two hours at 1.50"
    );
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let mut bench = Bench::new();
    let place = |fee: i64| {
        Input::Place(Place {
            member: member("m"),
            outlet: outlet("P1"),
            prepay: Some(yuan("50")),
            until: Until {
                fee: Some(Fen(fee)),
                ..Until::default()
            },
        })
    };
    assert_eq!(bench.refused(place(-500)), Rejected::NotPositive(Fen(-500)));
    assert_eq!(bench.refused(place(0)), Rejected::NotPositive(Fen(0)));
    bench.ok(place(1));
}

#[test]
fn holds_count_against_what_can_be_reserved() {
    // blnk#181: holds left out of the balance check.
    let mut bench = Bench::with(Policy {
        open_orders_max: 3,
        ..Policy::default()
    });
    bench.place("m", "P1", "50");
    let place = bench.place_input("m", "P2", "20");
    assert_eq!(
        bench.refused(place),
        Rejected::InsufficientFunds {
            needed: yuan("20"),
            available: yuan("10")
        }
    );
}

#[test]
fn two_drivers_at_one_connector_get_one_order() {
    // steve#1295: concurrent starts.
    let mut bench = Bench::new();
    bench.member("n", "60");
    bench.place("m", "P1", "50");
    let place = bench.place_input("n", "P1", "50");
    assert_eq!(bench.refused(place), Rejected::ConnectorBusy(outlet("P1")));
}

#[test]
fn a_card_starts_and_stops_its_members_order_and_two_swipes_in_ten_seconds_are_one() {
    let mut bench = Bench::new();
    let swiped = ack(&bench.swipe("P1", "c1"));
    let id = swiped.order_id.expect("an order");
    assert_eq!(
        (bench.order(&id).source, bench.allowance("m")),
        (Source::Card, yuan("10"))
    );
    bench.advance(5 * SECOND);
    assert_eq!(ack(&bench.swipe("P1", "c1")).result, AckResult::Duplicate);
    bench.charging("P1", &id);
    bench.advance(10 * SECOND);
    assert_eq!(command_kinds(&bench.swipe("P1", "c1")), [CommandKind::Stop]);
    let cause = bench.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::StopRequested { cause, .. } => Some(cause.clone()),
        _ => None,
    });
    assert_eq!(cause, Some(StopCause::Card));
    assert_eq!(
        ack(&bench.swipe("P2", "c9")).result,
        AckResult::Rejected,
        "nobody's card"
    );
}

#[test]
fn a_card_of_somebody_with_too_little_says_what_is_missing() {
    let mut bench = Bench::new();
    bench.member("poor", "3");
    bench.ok(Input::BindCard {
        card: "c2".parse().unwrap(),
        by: "desk".to_owned(),
        member: member("poor"),
    });
    let ack = ack(&bench.swipe("P1", "c2"));
    assert_eq!(
        (ack.result, ack.detail.as_str()),
        (AckResult::Rejected, "5.00 yuan needed, 3.00 there")
    );
}

#[test]
fn blacklisting_never_stops_a_running_order() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    let outcome = bench.ok(Input::BlockMember {
        member: member("m"),
        reason: Some("bad".to_owned()),
        by: "risk".to_owned(),
    });
    assert!(outcome.effects.is_empty());
    bench.deliver("P1", &id, HOUR, "1005");
    let record = bench.record_since("P1", &id, start, "1000", "1005");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Payed);
    let place = bench.place_input("m", "P1", "50");
    assert_eq!(bench.refused(place).code(), "member_blocked");
}

#[test]
fn rule_6_after_a_restore_no_deadline_fires_before_its_pile_is_heard_or_the_whole_time_has_run_anew() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    // In the hours that are not here the pile may have confirmed the start.
    bench.pass(HOUR);
    bench.restart(false);
    bench.site.was_restored_at(bench.now.mono);
    assert!(bench.advance(MINUTE - 1).iter().all(|outcome| outcome.facts.is_empty()));
    assert_eq!(bench.state(&id), State::Place);
    bench.advance(1);
    assert_eq!(bench.state(&id), State::Fail, "the whole time has run anew");
}

#[test]
fn rule_6_after_a_restore_a_heartbeat_of_a_placed_order_counts_as_usual() {
    for is_charging in [true, false] {
        let mut bench = Bench::new();
        let id = bench.place("m", "P1", "50");
        bench.pass(HOUR);
        bench.restart(false);
        bench.site.was_restored_at(bench.now.mono);
        bench.connect("P1");
        bench.advance(10 * SECOND);
        assert_eq!(bench.state(&id), State::Place);
        match is_charging {
            true => drop(bench.charging("P1", &id)),
            false => drop(bench.idle("P1")),
        }
        // It is heard: what it says is all that there is to wait for.
        bench.advance(1);
        let expected = if is_charging { State::Charging } else { State::Fail };
        assert_eq!(bench.state(&id), expected);
    }
}

#[test]
fn a_stop_that_went_out_without_a_fact_is_journaled_after_it() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    let sent = |id: &OrderId, cause| Input::StopSent {
        order: id.clone(),
        cause,
    };
    let outcome = bench.ok(sent(&id, StopCause::FundsUsed));
    assert!(matches!(
        &outcome.facts[0].1,
        Fact::StopRequested {
            cause: StopCause::FundsUsed,
            ..
        }
    ));
    assert_eq!(
        command_kinds(&outcome),
        [CommandKind::Stop],
        "a pile that charges on is asked again"
    );
    assert!(bench.order(&id).stopping);
    // What is over is over.
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let by = StopCause::Asked {
        by: "driver".to_owned(),
    };
    bench.ok(sent(&id, by.clone()));
    assert_eq!(bench.state(&id), State::Fail);
    for cause in [by, StopCause::LimitReached] {
        assert!(matches!(bench.refused(sent(&id, cause)), Rejected::Illegal { .. }));
    }
}

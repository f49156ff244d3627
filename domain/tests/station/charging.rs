//! While energy flows, or may: limits, stops, lost piles. S05 §2.2, S03 §2.

use crate::bench::*;
use domain::{
    fact::{Fact, StopCause},
    ledger::Account,
    messages::{CommandKind, ConnectorStatus},
    meter::Suspicion,
    notice::NoticeKey,
    order::{Deadline, DeadlineKind, State, Until},
    policy::Policy,
    site::{Answer, Input, Place},
    units::Energy,
};

fn stop_cause(bench: &Bench) -> Option<StopCause> {
    bench.facts.iter().rev().find_map(|(_, fact)| match fact {
        Fact::StopRequested { cause, .. } => Some(cause.clone()),
        _ => None,
    })
}

/// An order with the driver's own limits, confirmed by a heartbeat.
fn charge_until(bench: &mut Bench, until: Until) -> domain::ids::OrderId {
    let place = Place {
        member: member("m"),
        outlet: outlet("P1"),
        prepay: Some(yuan("50")),
        until,
    };
    let id = placed(&bench.ok(Input::Place(place)));
    bench.charging("P1", &id);
    id
}

#[test]
fn the_station_stops_a_session_that_has_used_up_its_hold() {
    // ev-server#3086: a prepaid wallet at zero does not stop the session.
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    assert!(!command_kinds(&bench.deliver("P1", &id, 8 * HOUR, "1049.93")).contains(&CommandKind::Stop));
    let outcome = bench.deliver("P1", &id, MINUTE, "1049.94");
    assert_eq!(command_kinds(&outcome), [CommandKind::Stop]);
    assert_eq!(stop_cause(&bench), Some(StopCause::FundsUsed));
}

#[test]
fn a_drivers_own_limits_stop_the_session() {
    let limits = [
        (
            Until {
                fee: Some(yuan("3")),
                ..Until::default()
            },
            30 * MINUTE,
            "1002.9",
            "1003",
            None,
        ),
        (
            Until {
                kwh: Some(kwh("3")),
                ..Until::default()
            },
            30 * MINUTE,
            "1002.9",
            "1003",
            None,
        ),
        (
            Until {
                minutes: Some(30),
                ..Until::default()
            },
            30 * MINUTE,
            "1000.9",
            "1001",
            None,
        ),
        (
            Until {
                soc_pct: Some(80),
                ..Until::default()
            },
            30 * MINUTE,
            "1000.9",
            "1001",
            Some(80.0),
        ),
    ];
    for (until, ms, before, register, soc_pct) in limits {
        let mut bench = Bench::new();
        let id = charge_until(&mut bench, until.clone());
        let early = command_kinds(&bench.deliver("P1", &id, ms - MINUTE, before));
        assert!(!early.contains(&CommandKind::Stop), "{until:?}");
        bench.advance(MINUTE);
        let outcome = bench.report(
            "P1",
            domain::messages::ConnectorReport {
                no: domain::ids::ConnectorNo(1),
                status: ConnectorStatus::Charging,
                order_id: Some(id.clone()),
                voltage_v: Some(220.0),
                current_a: Some(30.0),
                soc_pct,
                temp_c: None,
                meter_kwh: kwh(register),
                faults: Vec::new(),
            },
        );
        assert_eq!(command_kinds(&outcome), [CommandKind::Stop], "{until:?}");
        assert_eq!(stop_cause(&bench), Some(StopCause::LimitReached), "{until:?}");
    }
}

#[test]
fn the_piles_own_limit_is_raised_while_energy_is_cheaper_than_assumed() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    assert_eq!(bench.order(&id).limit_kwh, Some(kwh("33.2933")), "49.94 at 1.50");
    assert!(commands(&bench.deliver("P1", &id, 270 * MINUTE, "1030")).is_empty());
    let raised = commands(&bench.deliver("P1", &id, 29 * MINUTE, "1033.2")).remove(0);
    // 16.74 is left of 49.94, which is 11.16 kWh at 1.50.
    assert_eq!(
        (raised.kind, raised.limit_kwh),
        (CommandKind::Limit, Some(kwh("44.36")))
    );
    assert_eq!(raised.limit_fee, Some(yuan("49.94")));
    assert!(commands(&bench.deliver("P1", &id, MINUTE, "1033.3")).is_empty(), "once");
    let mut own = Bench::new();
    let until = Until {
        kwh: Some(kwh("5")),
        ..Until::default()
    };
    let id = charge_until(&mut own, until);
    assert!(
        commands(&own.deliver("P1", &id, HOUR, "1004.99")).is_empty(),
        "a driver's own limit is not raised"
    );
}

#[test]
fn raising_the_limit_never_costs_a_command_with_every_heartbeat() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    let mut raised = 0;
    for beat in 1..=1_720_i64 {
        bench.advance(15 * SECOND);
        bench.sim("P1").meter = kwh("1000") + Energy(beat * 290);
        let outcome = bench.charging("P1", &id);
        raised += command_kinds(&outcome)
            .iter()
            .filter(|kind| **kind == CommandKind::Limit)
            .count();
    }
    assert!((3..=12).contains(&raised), "{raised}");
    let order = bench.order(&id);
    assert!(
        order.limit_kwh.unwrap() > kwh("49.5"),
        "all the money can be used: {:?}",
        order.limit_kwh
    );
}

#[test]
fn a_stop_while_the_pile_is_offline_is_remembered_and_sent_after_boot() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", false);
    let outcome = bench.ok(Bench::stop_input(&id));
    assert!(matches!(
        outcome.answer,
        Ok(Answer::Stopping { pile_online: false, .. })
    ));
    assert_eq!(
        notices(&outcome),
        [(
            NoticeKey::StopRemembered,
            "充电桩离线，已记录停止请求，恢复后按实际用电结算".to_owned()
        )]
    );
    bench.advance(2 * HOUR);
    bench.restart(false);
    let stop = commands(&bench.connect("P1")).remove(0);
    assert_eq!((stop.kind, stop.ttl_ms), (CommandKind::Stop, MINUTE));
}

#[test]
fn a_stop_sent_before_the_drop_goes_again_with_its_id_while_it_is_valid() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    let first = commands(&bench.ok(Bench::stop_input(&id))).remove(0);
    bench.disconnect("P1", true);
    bench.advance(10 * SECOND);
    let again = commands(&bench.connect("P1")).remove(0);
    assert_eq!((&again.command_id, again.ttl_ms), (&first.command_id, 50 * SECOND));
    bench.disconnect("P1", true);
    bench.advance(50 * SECOND);
    let anew = commands(&bench.connect("P1")).remove(0);
    assert_ne!(anew.command_id, first.command_id);
    assert_eq!(anew.ttl_ms, MINUTE);
}

#[test]
fn asking_to_stop_twice_is_one_request() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.ok(Bench::stop_input(&id));
    bench.ok(Bench::stop_input(&id));
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "StopRequested").count(), 1);
}

#[test]
fn a_connector_that_stops_charging_is_asked_for_its_record_and_then_estimated() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    bench.idle("P1");
    let asked = bench.advance(MINUTE);
    assert_eq!(command_kinds(&asked[0]), [CommandKind::RequestRecord]);
    assert_eq!(bench.state(&id), State::Charging);
    bench.advance(29 * MINUTE - 1);
    assert_eq!(bench.state(&id), State::Charging);
    bench.advance(1);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.estimated, order.paid.charged()),
        (State::Settle, true, yuan("6"))
    );
}

#[test]
fn a_session_that_goes_on_after_all_is_not_estimated() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.idle("P1");
    bench.advance(2 * MINUTE);
    assert!(bench.order(&id).deadline.is_some());
    bench.deliver("P1", &id, MINUTE, "1000.1");
    assert_eq!(bench.order(&id).deadline, None);
    bench.advance(HOUR);
    assert_eq!(bench.state(&id), State::Charging);
}

#[test]
fn a_session_whose_heartbeats_name_no_order_goes_on() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    for n in 1..=40 {
        bench.advance(2 * MINUTE);
        bench.sim("P1").meter = kwh("1000") + Energy(n * 2_000);
        bench.heartbeat("P1", ConnectorStatus::Charging, None);
    }
    let order = bench.order(&id);
    assert_eq!((order.state, order.deadline), (State::Charging, None));
    assert_eq!(bench.site.view(&order, bench.now).fee, yuan("8"));
}

#[test]
fn no_order_charges_for_ever_when_its_pile_drops_right_after_it_ended() {
    // steve#94, evcc#8788: zombie sessions.
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    bench.idle("P1");
    bench.advance(30 * SECOND);
    bench.disconnect("P1", true);
    bench.advance(10 * MINUTE);
    assert_eq!(
        command_kinds(&bench.connect("P1")),
        [CommandKind::RequestRecord],
        "its boot names no session"
    );
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    assert_eq!(bench.state(&id), State::Settle);
}

#[test]
fn no_order_charges_for_ever_when_the_station_restarts_right_after_it_ended() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    bench.idle("P1");
    bench.advance(30 * SECOND);
    bench.restart(true);
    assert_eq!(command_kinds(&bench.connect("P1")), [CommandKind::RequestRecord]);
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    assert_eq!(bench.state(&id), State::Settle);
}

#[test]
fn an_overdue_record_waits_for_a_pile_that_is_gone() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    bench.idle("P1");
    bench.advance(5 * MINUTE);
    bench.disconnect("P1", true);
    bench.advance(5 * HOUR);
    assert_eq!(bench.state(&id), State::Charging, "it may come back with the record");
    bench.restart(true);
    bench.advance(MINUTE);
    assert_eq!(bench.state(&id), State::Charging);
    assert_eq!(command_kinds(&bench.connect("P1")), [CommandKind::RequestRecord]);
    assert!(commands(&bench.idle("P1")).is_empty(), "once");
    let waits = Deadline {
        at: bench.now.mono.after_ms(30 * MINUTE),
        kind: DeadlineKind::Record,
    };
    assert_eq!(bench.order(&id).deadline, Some(waits));
    bench.advance(30 * MINUTE);
    assert_eq!(bench.state(&id), State::Settle);
}

#[test]
fn a_person_closes_an_order_with_what_is_known_whether_its_pile_is_there_or_not() {
    for online in [true, false] {
        let mut bench = Bench::new();
        let (id, _) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, HOUR, "1006");
        if !online {
            bench.disconnect("P1", true);
        }
        let outcome = bench.ok(Bench::close_input(&id));
        let told: &[CommandKind] = if online { &[CommandKind::Stop] } else { &[] };
        assert_eq!(command_kinds(&outcome), told, "{online}");
        let order = bench.order(&id);
        assert_eq!(
            (
                order.state,
                order.estimated,
                order.hold.captured,
                order.hold.remaining()
            ),
            (State::Settle, true, yuan("6"), yuan("44"))
        );
    }
}

#[test]
fn a_person_closes_an_order_that_has_not_begun_by_cancelling_it() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    let outcome = bench.ok(Bench::close_input(&id));
    assert_eq!(command_kinds(&outcome), [CommandKind::Stop]);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Fail, yuan("60")));
    assert_eq!(bench.refused(Bench::close_input(&id)).code(), "illegal_in_this_state");
}

#[test]
fn a_pile_that_comes_back_charging_a_closed_order_is_stopped() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.disconnect("P1", true);
    bench.advance(72 * HOUR);
    bench.ok(Bench::close_input(&id));
    bench.connect("P1");
    assert_eq!(command_kinds(&bench.charging("P1", &id)), [CommandKind::Stop]);
}

#[test]
fn readings_lost_with_a_crash_do_not_make_the_fee_begin_at_nothing() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 8 * HOUR, "1049");
    bench.restart(false);
    bench.connect("P1");
    let outcome = bench.deliver("P1", &id, 10 * MINUTE, "1050");
    assert_eq!(command_kinds(&outcome), [CommandKind::Stop]);
}

#[test]
fn an_impossible_jump_of_the_register_neither_stops_nor_bills() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    assert!(commands(&bench.deliver("P1", &id, 15 * SECOND, "1906")).is_empty());
    assert!(commands(&bench.deliver("P1", &id, 15 * SECOND, "1006.05")).is_empty());
    assert_eq!(bench.site.ignored()["impossible_jump"], 1);
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).energy_kwh, kwh("6.05"));
}

#[test]
fn of_two_reports_of_one_millisecond_the_later_word_stands() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let outcome = bench.deliver("P1", &id, 0, "1006.1");
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).fee, yuan("6.10"));
    assert!(commands(&outcome).is_empty());
    // It takes its word back, though not below what it said an hour before.
    bench.deliver("P1", &id, 0, "1005.9");
    bench.deliver("P1", &id, 0, "999");
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).energy_kwh, kwh("5.9"));
}

#[test]
fn the_later_of_two_reports_of_one_millisecond_reaches_the_limit() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    assert!(!command_kinds(&bench.deliver("P1", &id, 8 * HOUR, "1049.93")).contains(&CommandKind::Stop));
    let outcome = bench.deliver("P1", &id, 0, "1049.94");
    assert_eq!(command_kinds(&outcome), [CommandKind::Stop]);
}

#[test]
fn a_report_of_the_millisecond_in_which_charging_began_counts_from_there() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 0, "1000.05");
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).energy_kwh, kwh("0.05"));
    bench.deliver("P1", &id, 0, "1000.06");
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).energy_kwh, kwh("0.06"));
    bench.deliver("P1", &id, MINUTE, "1000.15");
    assert_eq!(bench.site.view(&bench.order(&id), bench.now).energy_kwh, kwh("0.15"));
}

#[test]
fn telemetry_gives_the_driver_power_fee_and_an_expected_end() {
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006.5");
    let view = bench.site.view_of(&id, bench.now).unwrap();
    assert_eq!(
        (view.fee, view.electricity_fee, view.service_fee),
        (yuan("6.50"), yuan("3.90"), yuan("2.60"))
    );
    assert_eq!(view.energy_kwh, kwh("6.5"));
    // 43.44 are left, which is 43.44 kWh at 6.996 kW.
    let left_ms = view.expected_end.unwrap().ms_since(bench.now.wall);
    assert!((22_300_000..22_400_000).contains(&left_ms), "{left_ms}");
    assert!(view.pile_online);
}

#[test]
fn a_dead_pile_is_shown_as_such() {
    // steve#355, #1022: a dead pile shown with its last state.
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006.5");
    let heard = bench.now.wall;
    let outcome = bench.disconnect("P1", true);
    assert_eq!(outcome.seen, std::slice::from_ref(&id), "the driver's view changes");
    bench.advance(10 * MINUTE);
    let view = bench.site.view_of(&id, bench.now).unwrap();
    assert_eq!((view.pile_online, view.as_of), (false, Some(heard)));
}

#[test]
fn an_old_heartbeat_is_not_live() {
    // lbbrhzn/ocpp#2135: sequence ignored, old data applied as live.
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let seq = bench.sim("P1").seq;
    bench.sim("P1").seq = seq - 2;
    bench.idle("P1");
    bench.sim("P1").seq = seq;
    assert_eq!(bench.site.ignored()["heartbeat_out_of_order"], 1);
    bench.restart_pile("P1");
    bench.boot("P1");
    let (boot, seq) = (bench.sim("P1").boot.clone(), bench.sim("P1").seq);
    bench.sim("P1").boot = "P1-boot1".to_owned();
    bench.sim("P1").seq = 9_000;
    bench.idle("P1");
    (bench.sim("P1").boot, bench.sim("P1").seq) = (boot, seq);
    assert_eq!(bench.site.ignored()["heartbeat_out_of_order"], 2);
    assert_eq!(
        bench.site.outlet(&outlet("P1")).unwrap().report.status,
        ConnectorStatus::Charging
    );
}

#[test]
fn a_hold_in_one_policy_is_a_margin_in_another() {
    let mut bench = Bench::with(Policy {
        notice_ms: HOUR,
        ..Policy::default()
    });
    let (id, _) = bench.charge("m", "P1", "50");
    assert_eq!(
        bench.order(&id).limit_fee,
        yuan("39.50"),
        "an hour of 7 kW at 1.50 stays back"
    );
}

#[test]
fn current_that_flows_past_the_meter_sends_the_order_to_a_person_once() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    // 220 V and 31.8 A for eleven minutes, with a report every 15 s, and a register that stands still: one that has shown
    // its last digit, or it might be about to count a whole kWh. It counted once, between the start and then.
    bench.deliver("P1", &id, 15 * SECOND, "1000.0291");
    for _ in 0..44 {
        bench.advance(15 * SECOND);
        bench.charging("P1", &id);
    }
    let seen = bench.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::FakeChargingSeen { suspicion, .. } => Some(suspicion.clone()),
        _ => None,
    });
    let seen: Vec<Suspicion> = seen.collect();
    let expected = Suspicion::FakeCharging {
        claimed: kwh("0.5830"),
        counted: kwh("0.0291"),
    };
    assert_eq!(seen, std::slice::from_ref(&expected), "once, by the telemetry");
    let record = bench.record_since("P1", &id, start, "1000", "1000.2");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.suspicions.contains(&expected)),
        (State::Review, true)
    );
    assert_eq!(order.paid.charged(), yuan("0"), "money waits for the person");
}

#[test]
fn a_meter_that_counts_what_flows_is_not_suspected() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    for n in 1..=44 {
        // 6.996 kW are 291.5 units of 0.1 Wh in 15 s.
        let to = kwh("1000") + Energy(n * 2_915 / 10);
        bench.deliver("P1", &id, 15 * SECOND, &to.to_string());
    }
    let record = bench.record_since("P1", &id, start, "1000", "1001.2826");
    bench.send_record("P1", &record);
    assert_eq!(bench.order(&id).state, State::Payed);
    assert!(!bench.kinds().contains(&"FakeChargingSeen".to_owned()));
}

#[test]
fn a_step_whose_books_would_be_wrong_is_refused_before_anything_of_it_is_written() {
    let mut bench = Bench::new();
    let id = bench.place("m", "P1", "50");
    bench.member("n", "60");
    let other = bench.place("n", "P2", "10");
    // The books on disk hold a fen more for the first order than was taken.
    bench.disk.ledger.load(Account::Held(id.clone()), yuan("50.01"));
    bench.restart(true);
    let (now, facts) = (bench.now, bench.facts.len());
    let refused = bench.site.handle(now, &mut bench.rng, Bench::close_input(&id));
    let said = refused.expect_err("a hold that is not what was taken").to_string();
    assert!(said.contains("nothing of this step is written"), "{said}");
    // The step is gone with its site; another order's steps are taken as before.
    bench.restart(true);
    bench.disk.ledger.load(Account::Held(id.clone()), yuan("50"));
    bench.ok(Bench::close_input(&other));
    assert_eq!(bench.state(&id), State::Place);
    assert!(!bench.facts[facts..].iter().any(|(_, fact)| fact.order() == Some(&id)));
}

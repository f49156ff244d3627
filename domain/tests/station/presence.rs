//! What a pile says, or does not say, of the sessions at its connectors: silence, boots, pauses, sessions that nobody
//! ordered, restarts under one name, and two devices with one identity.

use crate::bench::*;
use domain::{
    energy::Finding,
    fact::Fact,
    ids::{ConnectorNo, OrderId, Outlet},
    messages::{AckResult, Boot, BootConnector, CommandKind, ConnectorReport, ConnectorStatus, Heartbeat, Reply, Up},
    order::{Deadline, DeadlineKind, State, Until},
    policy::Policy,
    site::{Input, Place},
    time::Mono,
    units::Energy,
};

fn lost_by(at: Mono) -> Option<Deadline> {
    Some(Deadline {
        at,
        kind: DeadlineKind::Record,
    })
}

fn paused(bench: &mut Bench, order: &OrderId) -> Vec<CommandKind> {
    command_kinds(&bench.heartbeat("P1", ConnectorStatus::Plugged, Some(order)))
}

// Silence.

#[test]
fn a_connector_that_is_silent_while_its_pile_is_online_is_not_charging() {
    let mut bench = Bench::watchful();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 9 * MINUTE, "1001");
    let last_word = bench.now.mono;
    // Heartbeats go on and leave the connector out.
    for _ in 0..9 {
        bench.advance(MINUTE);
        let connectors = Vec::new();
        bench.say("P1", Up::Heartbeat(Heartbeat { connectors }));
    }
    assert_eq!(bench.order(&id).deadline, None);
    let outcomes = bench.advance(MINUTE);
    assert_eq!(command_kinds(&outcomes[0]), [CommandKind::RequestRecord]);
    assert_eq!(
        bench.order(&id).deadline,
        lost_by(last_word.after_ms(30 * MINUTE)),
        "from the last word on"
    );
    bench.advance(20 * MINUTE);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.estimated, order.hold.captured),
        (State::Settle, true, yuan("1"))
    );
}

#[test]
fn a_pile_that_confirms_a_start_and_never_reports_does_not_hold_the_money_for_ever() {
    let mut bench = Bench::watchful();
    let id = bench.place("m", "P1", "50");
    let start = bench.order(&id).commands[0].id.clone();
    bench.reply("P1", &start, true);
    bench.advance(31 * MINUTE);
    let order = bench.order(&id);
    assert_eq!(
        (order.state, order.estimated, order.hold.captured),
        (State::Settle, true, yuan("0"))
    );
    bench.advance(DAY);
    assert_eq!((bench.state(&id), bench.allowance("m")), (State::Payed, yuan("60")));
}

#[test]
fn silence_counts_from_when_a_pile_that_was_away_is_back() {
    for live in [true, false] {
        let mut bench = Bench::watchful();
        let (id, _) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, 5 * MINUTE, "1000.5");
        bench.disconnect("P1", true);
        bench.advance(5 * HOUR);
        bench.restart(live);
        assert_eq!(bench.order(&id).deadline, None, "a pile that is away says nothing");
        bench.connect("P1");
        let back = bench.now.mono;
        bench.advance(10 * MINUTE - 1);
        assert_eq!(bench.order(&id).deadline, None, "{live}");
        bench.advance(1);
        assert_eq!(bench.order(&id).deadline, lost_by(back.after_ms(30 * MINUTE)), "{live}");
        bench.advance(20 * MINUTE);
        assert_eq!(bench.state(&id), State::Settle);
    }
}

#[test]
fn an_overdue_record_of_a_pile_that_comes_back_and_is_silent_does_not_hang() {
    let mut bench = Bench::watchful();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 5 * MINUTE, "1000.5");
    bench.idle("P1");
    bench.advance(5 * MINUTE);
    bench.disconnect("P1", true);
    bench.advance(5 * HOUR);
    assert_eq!(bench.state(&id), State::Charging, "it may come back with the record");
    bench.ok(Input::Connected { pile: pile("P1") });
    assert_eq!(bench.state(&id), State::Charging);
    bench.advance(30 * MINUTE);
    assert_eq!(bench.state(&id), State::Settle);
}

#[test]
fn reports_every_five_minutes_are_no_silence() {
    let mut bench = Bench::watchful();
    let (id, _) = bench.charge("m", "P1", "50");
    for n in 1..=24 {
        let to = kwh("1000") + Energy(n * 5_000);
        bench.deliver("P1", &id, 5 * MINUTE, &to.to_string());
    }
    let order = bench.order(&id);
    assert_eq!((order.state, order.deadline), (State::Charging, None));
    assert!(!bench.kinds().contains(&"ChargingLost".to_owned()));
}

// Boots.

#[test]
fn a_boot_in_no_session_or_in_another_asks_for_the_record_at_once() {
    for session in [None, Some(order_id("another"))] {
        let mut bench = Bench::watchful();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, 5 * MINUTE, "1000.5");
        let record = bench.record_since("P1", &id, start, "1000", "1000.5");
        bench.restart_pile("P1");
        bench.sim("P1").session = session;
        assert_eq!(command_kinds(&bench.connect("P1")), [CommandKind::RequestRecord]);
        let overdue = lost_by(bench.now.mono.after_ms(30 * MINUTE));
        assert_eq!(bench.order(&id).deadline, overdue);
        bench.send_record("P1", &record);
        assert!(bench.order(&id).ending.is_some());
    }
}

#[test]
fn a_boot_that_names_the_order_takes_a_doubt_back() {
    let mut bench = Bench::watchful();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.advance(10 * MINUTE);
    assert!(bench.order(&id).deadline.is_some());
    bench.connect("P1");
    assert_eq!(bench.order(&id).deadline, None);
    bench.charging("P1", &id);
    bench.advance(9 * MINUTE);
    assert_eq!(bench.state(&id), State::Charging);
}

#[test]
fn a_boot_from_before_the_last_heartbeat_says_nothing_of_the_session() {
    let mut bench = Bench::watchful();
    let old = bench.message(
        "P1",
        Up::Boot(Boot {
            vendor: "v".to_owned(),
            model: "m".to_owned(),
            firmware: "1".to_owned(),
            connectors: vec![BootConnector {
                no: ConnectorNo(1),
                max_kw: Some("7".parse().unwrap()),
                meter_kwh: kwh("1000"),
                order_id: None,
            }],
        }),
    );
    let (id, _) = bench.charge("m", "P1", "50");
    assert!(commands(&bench.handle(old)).is_empty());
    assert_eq!(bench.order(&id).deadline, None);
}

// Pauses.

#[test]
fn a_car_that_pauses_for_an_hour_is_not_cut_off() {
    for status in [ConnectorStatus::Plugged, ConnectorStatus::Finished] {
        let mut bench = Bench::watchful();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, 5 * MINUTE, "1000.5");
        for _ in 0..12 {
            bench.advance(5 * MINUTE);
            let sent = command_kinds(&bench.heartbeat("P1", status, Some(&id)));
            let may_be_asked = status == ConnectorStatus::Finished;
            assert!(sent.is_empty() || (may_be_asked && sent == [CommandKind::RequestRecord]));
        }
        assert!(commands(&bench.deliver("P1", &id, 5 * MINUTE, "1001")).is_empty());
        assert!(!bench.kinds().contains(&"ChargingLost".to_owned()), "{status:?}");
        let order = bench.order(&id);
        assert_eq!(
            (order.state, bench.site.view(&order, bench.now).energy_kwh),
            (State::Charging, kwh("1"))
        );
        let record = bench.record_since("P1", &id, start, "1000", "1001");
        bench.send_record("P1", &record);
        let order = bench.order(&id);
        assert_eq!((order.state, order.paid.charged()), (State::Payed, yuan("1")));
    }
}

#[test]
fn limits_are_watched_while_a_car_pauses() {
    let mut bench = Bench::watchful();
    let until = Until {
        minutes: Some(30),
        ..Until::default()
    };
    let place = Place {
        member: member("m"),
        outlet: outlet("P1"),
        prepay: Some(yuan("50")),
        until,
    };
    let id = placed(&bench.ok(Input::Place(place)));
    bench.charging("P1", &id);
    for _ in 0..5 {
        bench.advance(5 * MINUTE);
        assert!(paused(&mut bench, &id).is_empty());
    }
    bench.advance(5 * MINUTE);
    assert_eq!(paused(&mut bench, &id), [CommandKind::Stop]);
}

#[test]
fn a_pause_ends_the_wait_for_a_record_and_does_not_confirm_a_start() {
    let mut bench = Bench::watchful();
    let id = bench.place("m", "P1", "50");
    paused(&mut bench, &id);
    assert_eq!(bench.state(&id), State::Place);
    bench.charging("P1", &id);
    bench.idle("P1");
    bench.advance(2 * MINUTE);
    assert!(bench.order(&id).deadline.is_some());
    paused(&mut bench, &id);
    assert_eq!(bench.order(&id).deadline, None);
}

#[test]
fn what_does_not_name_the_order_is_no_pause() {
    for status in [
        ConnectorStatus::Idle,
        ConnectorStatus::Plugged,
        ConnectorStatus::Finished,
        ConnectorStatus::Fault,
        ConnectorStatus::Unavailable,
    ] {
        let mut bench = Bench::watchful();
        let (id, _) = bench.charge("m", "P1", "50");
        bench.heartbeat("P1", status, None);
        bench.advance(MINUTE);
        assert!(bench.order(&id).deadline.is_some(), "{status:?}");
    }
    for status in [
        ConnectorStatus::Idle,
        ConnectorStatus::Fault,
        ConnectorStatus::Unavailable,
    ] {
        let mut bench = Bench::watchful();
        let (id, _) = bench.charge("m", "P1", "50");
        bench.heartbeat("P1", status, Some(&id));
        bench.advance(MINUTE);
        assert!(bench.order(&id).deadline.is_some(), "{status:?}, whatever it names");
    }
}

// The gap before the start.

/// A 120 kW pile whose register went on by 2.5 kWh between its last idle reading and the start.
fn with_gap(bench: &mut Bench) -> OrderId {
    bench.sim("P1").max_kw = "120".parse().unwrap();
    bench.connect("P1");
    bench.idle("P1");
    let id = bench.place("m", "P1", "50");
    bench.advance(30 * SECOND);
    bench.sim("P1").meter = kwh("1002.5");
    id
}

#[test]
fn the_driver_does_not_pay_for_what_flowed_before_the_first_reading_under_the_order() {
    for by_reply in [true, false] {
        let mut bench = Bench::new();
        let id = with_gap(&mut bench);
        if by_reply {
            let start = bench.order(&id).commands[0].id.clone();
            bench.reply("P1", &start, true);
        }
        bench.charging("P1", &id);
        bench.deliver("P1", &id, 15 * SECOND, "1002.6");
        let view = bench.site.view(&bench.order(&id), bench.now);
        assert_eq!((view.energy_kwh, view.fee), (kwh("0.1"), yuan("0.10")), "{by_reply}");
        bench.ok(Bench::close_input(&id));
        assert_eq!(bench.order(&id).hold.captured, yuan("0.10"), "nor in an estimate");
    }
}

#[test]
fn the_driver_pays_from_the_register_that_the_start_reply_names() {
    let mut bench = Bench::new();
    let id = with_gap(&mut bench);
    let command_id = bench.order(&id).commands[0].id.clone();
    let reply = Reply {
        command_id,
        ok: true,
        code: 0,
        message: String::new(),
        meter_kwh: Some(kwh("1002.5")),
    };
    bench.say("P1", Up::Reply(reply));
    assert_eq!(bench.order(&id).started.unwrap().register, Some(kwh("1002.5")));
    // The first report comes a minute later, and the station is started anew before it.
    bench.restart(false);
    bench.connect("P1");
    bench.deliver("P1", &id, MINUTE, "1003.5");
    let view = bench.site.view(&bench.order(&id), bench.now);
    assert_eq!((view.energy_kwh, view.fee), (kwh("1"), yuan("1")));
    assert!(!bench.kinds().contains(&"FirstReading".to_owned()));
}

#[test]
fn a_start_that_is_confirmed_by_a_reading_that_cannot_be_begins_with_the_next_one() {
    let mut bench = Bench::new();
    let id = with_gap(&mut bench);
    bench.sim("P1").meter = kwh("1578");
    bench.charging("P1", &id);
    assert_eq!(bench.state(&id), State::Charging);
    assert_eq!(bench.order(&id).started.unwrap().register, None);
    bench.deliver("P1", &id, 15 * SECOND, "1002.5");
    assert_eq!(bench.order(&id).started.unwrap().register, Some(kwh("1002.5")));
    bench.deliver("P1", &id, 15 * SECOND, "1002.6");
    let view = bench.site.view(&bench.order(&id), bench.now);
    assert_eq!((view.energy_kwh, view.fee), (kwh("0.1"), yuan("0.10")));
}

#[test]
fn the_gap_does_not_count_towards_a_limit() {
    let mut bench = Bench::new();
    let id = with_gap(&mut bench);
    bench.charging("P1", &id);
    let outcome = bench.deliver("P1", &id, 30 * MINUTE, "1051.4");
    assert!(!command_kinds(&outcome).contains(&CommandKind::Stop), "48.90 of 49.00");
}

#[test]
fn an_order_remembers_its_first_reading_when_the_live_data_are_lost() {
    for by_reply in [true, false] {
        let mut bench = Bench::new();
        let id = with_gap(&mut bench);
        if by_reply {
            let start = bench.order(&id).commands[0].id.clone();
            bench.reply("P1", &start, true);
            assert_eq!(bench.order(&id).started.unwrap().register, None, "nothing was read yet");
        }
        bench.charging("P1", &id);
        assert_eq!(bench.order(&id).started.unwrap().register, Some(kwh("1002.5")));
        bench.restart(false);
        bench.connect("P1");
        bench.deliver("P1", &id, 5 * MINUTE, "1008.5");
        let view = bench.site.view(&bench.order(&id), bench.now);
        assert_eq!((view.energy_kwh, view.fee), (kwh("6"), yuan("6")));
        assert_eq!(bench.replayed_orders(), bench.disk.orders);
    }
}

// Ended orders.

#[test]
fn an_ended_order_shows_no_power_and_keeps_its_energy_and_fee() {
    let mut bench = Bench::new();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    assert!(bench.site.view(&bench.order(&id), bench.now).power_kw.is_some());
    let record = bench.record_since("P1", &id, start, "1000", "1006");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    let view = bench.site.view(&order, bench.now);
    assert_eq!((view.power_kw, view.voltage_v, view.current_a), (None, None, None));
    assert_eq!(
        (view.state, view.energy_kwh, view.fee, view.as_of),
        (State::Payed, kwh("6"), yuan("6"), order.bill().map(|bill| bill.at))
    );
}

// Sessions that nobody ordered.

fn unordered(bench: &Bench) -> Vec<Fact> {
    let facts = bench.facts.iter().map(|(_, fact)| fact);
    let of_kind = |fact: &&Fact| {
        matches!(
            fact,
            Fact::UnorderedCharging { .. } | Fact::UnorderedChargingEnded { .. }
        )
    };
    facts.filter(of_kind).cloned().collect()
}

fn charges_alone(bench: &mut Bench, named: Option<&OrderId>, to: &str) -> domain::site::Outcome {
    bench.advance(15 * SECOND);
    bench.sim("P1").meter = kwh(to);
    bench.heartbeat("P1", ConnectorStatus::Charging, named)
}

#[test]
fn a_connector_that_charges_without_an_order_is_noted_once_an_episode() {
    let mut bench = Bench::new();
    for named in [None, Some(order_id("theirs"))] {
        let facts = unordered(&bench).len();
        let from = bench.sim("P1").meter;
        for n in 0..10 {
            let to = from + Energy(n * 290);
            charges_alone(&mut bench, named.as_ref(), &to.to_string());
            assert_eq!(unordered(&bench).len() - facts, usize::from(n >= 2), "{n}");
        }
        assert!(
            bench.site.ignored()["charging_without_order"] >= 10,
            "{:?}",
            bench.site.ignored()
        );
        let connector = bench.disk.piles[&pile("P1")].connectors[&ConnectorNo(1)].clone();
        let lasting = connector.unordered.expect("it is shown while it lasts");
        assert_eq!((lasting.from, &lasting.named), (from, &named));
        bench.restart(false);
        charges_alone(&mut bench, named.as_ref(), &(from + Energy(3_000)).to_string());
        bench.idle("P1");
        bench.idle("P1");
        let expected = [
            Fact::UnorderedCharging {
                outlet: outlet("P1"),
                register: from,
                named,
                told_to_stop: false,
            },
            Fact::UnorderedChargingEnded {
                outlet: outlet("P1"),
                from,
                to: from + Energy(3_000),
            },
        ];
        assert_eq!(unordered(&bench)[facts..], expected);
        let connector = &bench.disk.piles[&pile("P1")].connectors[&ConnectorNo(1)];
        assert_eq!(connector.unordered, None);
    }
    assert_eq!(bench.replayed().piles, bench.disk.piles);
}

#[test]
fn a_stop_that_takes_a_moment_and_a_start_that_is_not_confirmed_are_no_episode() {
    let mut bench = Bench::new();
    charges_alone(&mut bench, None, "1000.01");
    charges_alone(&mut bench, None, "1000.02");
    bench.idle("P1");
    bench.place("m", "P1", "50");
    for _ in 0..3 {
        charges_alone(&mut bench, None, "1000.03");
    }
    assert_eq!(unordered(&bench), []);
}

#[test]
fn a_session_that_a_pile_runs_alone_and_that_will_be_billed_is_no_episode() {
    for offline_sessions in [true, false] {
        let mut bench = Bench::with(Policy {
            offline_sessions,
            ..Policy::default()
        });
        let named = order_id("off-P1-1-7");
        for _ in 0..5 {
            charges_alone(&mut bench, Some(&named), "1000.5");
        }
        assert_eq!(unordered(&bench).is_empty(), offline_sessions);
    }
}

#[test]
fn it_is_stopped_where_the_policy_says_so_by_the_name_that_the_pile_gives_it() {
    for named in [None, Some(order_id("theirs"))] {
        let mut bench = Bench::with(Policy {
            stop_unordered: true,
            ..Policy::default()
        });
        for _ in 0..2 {
            assert!(commands(&charges_alone(&mut bench, named.as_ref(), "1000.1")).is_empty());
        }
        let stop = commands(&charges_alone(&mut bench, named.as_ref(), "1000.2")).remove(0);
        assert_eq!((stop.kind, stop.ttl_ms), (CommandKind::Stop, MINUTE));
        assert_eq!(stop.order_id, named.clone().unwrap_or_else(|| order_id("unordered")));
        let again = commands(&charges_alone(&mut bench, named.as_ref(), "1000.3")).remove(0);
        assert_eq!((&again.command_id, again.ttl_ms), (&stop.command_id, 45 * SECOND));
        assert_eq!(
            ack(&bench.reply("P1", &stop.command_id, true)).result,
            AckResult::Ok,
            "it is an answer to what was sent"
        );
        bench.advance(45 * SECOND);
        let anew = commands(&charges_alone(&mut bench, named.as_ref(), "1000.4")).remove(0);
        assert_ne!(anew.command_id, stop.command_id);
    }
}

#[test]
fn its_energy_is_unbilled_in_the_report_of_the_next_morning() {
    let mut bench = Bench::new();
    for n in 1..=10 {
        charges_alone(&mut bench, None, &(kwh("1000") + Energy(n * 290)).to_string());
    }
    bench.idle("P1");
    bench.advance(DAY);
    let reports: Vec<_> = bench.disk.energy_reports.values().collect();
    let [report] = reports[..] else {
        panic!("one report: {reports:?}")
    };
    let one = &report.connectors[0].sums;
    let found: Vec<(&str, Energy)> = one
        .findings
        .iter()
        .map(|found| match found {
            Finding::Unordered { from, to } => (found.class(), *to - *from),
            other => (other.class(), Energy::ZERO),
        })
        .collect();
    // From the first report of it on; what flowed before that nobody saw.
    let expected = [
        ("ENERGY", Energy::ZERO),
        ("UNBILLED", kwh("0.261")),
        ("REGISTER_GAP", Energy::ZERO),
    ];
    assert_eq!(found, expected);
    assert_eq!(one.unrecorded, kwh("0.29"));
}

// Restarts under one name.

#[test]
fn a_pile_whose_boot_id_never_changes_is_heard_after_each_restart() {
    let mut bench = Bench::new();
    for _ in 0..50 {
        bench.advance(15 * SECOND);
        bench.idle("P1");
    }
    let boot = bench.sim("P1").boot.clone();
    bench.advance(MINUTE);
    bench.restart_pile("P1");
    bench.sim("P1").boot = boot;
    bench.advance(20 * SECOND);
    let (id, _) = bench.charge("m", "P1", "50");
    for _ in 0..20 {
        bench.advance(15 * SECOND);
        bench.charging("P1", &id);
    }
    assert_eq!(bench.site.ignored().get("heartbeat_out_of_order"), None);
    let restarts = bench.kinds().iter().filter(|kind| *kind == "PileRestarted").count();
    assert_eq!(restarts, 1);
    let live = bench.site.outlet(&outlet("P1")).unwrap();
    assert_eq!(live.received, bench.now.mono);
}

#[test]
fn a_record_from_before_a_restart_under_the_same_boot_id_goes_by_the_uptime_of_then() {
    let mut bench = Bench::new();
    bench.restart_pile("P1");
    bench.sim("P1").clock_ahead_ms = None;
    bench.connect("P1");
    bench.advance(MINUTE);
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, HOUR, "1006");
    let (stop, record) = (bench.now, bench.record_since("P1", &id, start, "1000", "1006"));
    let boot = bench.sim("P1").boot.clone();
    bench.advance(MINUTE);
    bench.restart_pile("P1");
    bench.sim("P1").boot = boot;
    bench.advance(20 * SECOND);
    bench.idle("P1");
    bench.send_record("P1", &record);
    let order = bench.order(&id);
    assert_eq!((order.state, &order.suspicions[..]), (State::Payed, &[][..]));
    let ending = order.ending.unwrap();
    assert_eq!((ending.start.at, ending.stop.at), (start.wall, stop.wall));
}

#[test]
fn a_register_in_whole_kilowatt_hours_is_no_fake_charging() {
    // 7 kW by voltage and current, and the register counts one step in eight and a half minutes.
    let mut bench = Bench::new();
    let (id, _) = bench.charge("m", "P1", "50");
    for beat in 1..=240_i64 {
        bench.advance(15 * SECOND);
        let counted = 7 * 15 * beat / 3_600;
        bench.sim("P1").meter = kwh(&(1_000 + counted).to_string());
        bench.charging("P1", &id);
    }
    assert!(!bench.kinds().contains(&"FakeChargingSeen".to_owned()));
    assert_eq!(bench.order(&id).suspicions, []);
}

// Two devices.

#[test]
fn two_devices_with_one_identity_are_noticed() {
    let mut bench = Bench::new();
    let two = |bench: &Bench| bench.site.presence(&pile("P1")).unwrap().two_devices;
    bench.advance(MINUTE);
    bench.idle("P1");
    let first = bench.sim("P1").clone();
    bench.advance(10 * SECOND);
    bench.restart_pile("P1");
    bench.connect("P1");
    assert_eq!(two(&bench), None, "a restart is one device");
    bench.advance(20 * SECOND);
    let second = std::mem::replace(bench.sim("P1"), first);
    bench.idle("P1");
    let noticed = bench.now.mono;
    assert_eq!(two(&bench), Some(noticed), "the first goes on");
    bench.advance(10 * SECOND);
    *bench.sim("P1") = second;
    bench.connect("P1");
    assert_eq!(two(&bench), Some(noticed));
}

#[test]
fn connections_that_push_each_other_out_are_two_devices() {
    let mut bench = Bench::new();
    for n in 0..5 {
        assert_eq!(bench.site.presence(&pile("P1")).unwrap().two_devices, None, "{n}");
        bench.advance(30 * SECOND);
        bench.ok(Input::TakenOver { pile: pile("P1") });
        bench.connect("P1");
    }
    assert_eq!(
        bench.site.presence(&pile("P1")).unwrap().two_devices,
        Some(bench.now.mono)
    );
    assert!(!bench.kinds().contains(&"PileDropped".to_owned()), "nobody dropped");
}

#[test]
fn a_report_of_one_connector_is_no_word_of_another() {
    let mut bench = Bench::watchful();
    let connector = |no, order_id: Option<OrderId>| BootConnector {
        no: ConnectorNo(no),
        max_kw: Some("7".parse().unwrap()),
        meter_kwh: kwh("1000"),
        order_id,
    };
    let boot = Boot {
        vendor: "v".to_owned(),
        model: "m".to_owned(),
        firmware: "1".to_owned(),
        connectors: vec![connector(1, None), connector(2, None)],
    };
    bench.say("P1", Up::Boot(boot));
    let (id, _) = bench.charge("m", "P1", "50");
    for _ in 0..10 {
        bench.advance(MINUTE);
        bench.report(
            "P1",
            ConnectorReport {
                no: ConnectorNo(2),
                status: ConnectorStatus::Idle,
                order_id: None,
                voltage_v: Some(0.0),
                current_a: Some(0.0),
                soc_pct: None,
                temp_c: None,
                meter_kwh: kwh("1000"),
                faults: Vec::new(),
            },
        );
    }
    let second = Outlet {
        pile: pile("P1"),
        connector: ConnectorNo(2),
    };
    assert!(bench.site.outlet(&second).is_some());
    assert!(bench.order(&id).deadline.is_some(), "connector 1 is silent");
}

#[test]
fn a_record_may_end_where_charging_did_however_long_the_pile_says_finished() {
    for status in [ConnectorStatus::Plugged, ConnectorStatus::Finished] {
        let mut bench = Bench::watchful();
        let (id, start) = bench.charge("m", "P1", "50");
        bench.deliver("P1", &id, 20 * MINUTE, "1002");
        let record = bench.record_since("P1", &id, start, "1000", "1002");
        for _ in 0..6 {
            bench.advance(5 * MINUTE);
            bench.heartbeat("P1", status, Some(&id));
        }
        bench.send_record("P1", &record);
        let order = bench.order(&id);
        assert_eq!(
            (order.state, order.paid.charged()),
            (State::Payed, yuan("2")),
            "{order:?}"
        );
    }
}

#[test]
fn a_record_that_ends_before_energy_was_seen_to_flow_waits_for_a_person_whatever_the_status() {
    let mut bench = Bench::watchful();
    let (id, start) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 20 * MINUTE, "1002");
    let mut record = bench.record_since("P1", &id, start, "1000", "1002.2");
    bench.advance(10 * MINUTE);
    bench.sim("P1").meter = kwh("1002.2");
    paused(&mut bench, &id);
    record.meter_stop_kwh = kwh("1002.2");
    bench.send_record("P1", &record);
    assert_eq!(bench.state(&id), State::Review);
}

#[test]
fn the_record_of_a_session_that_is_finished_is_asked_for_and_the_order_goes_on() {
    let mut bench = Bench::watchful();
    let (id, _) = bench.charge("m", "P1", "50");
    bench.deliver("P1", &id, 20 * MINUTE, "1002");
    let mut asked = Vec::new();
    for _ in 0..120 {
        bench.advance(30 * SECOND);
        asked.extend(command_kinds(&bench.heartbeat(
            "P1",
            ConnectorStatus::Finished,
            Some(&id),
        )));
        let order = bench.order(&id);
        assert_eq!((order.state, order.deadline), (State::Charging, None));
        // The pile has none, and says so.
        for command in order.commands {
            bench.reply("P1", &command.id, false);
        }
    }
    let requests = asked.iter().filter(|kind| **kind == CommandKind::RequestRecord).count();
    assert!((1..=3).contains(&requests) && requests == asked.len(), "{asked:?}");
}

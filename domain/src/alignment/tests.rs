//! Times of records by the station's clock: which start wrote them, what contradicts them, and what stays open.

use super::*;
use crate::{clock::ClockWatch, time::Mono};
use proptest::prelude::*;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 2026-03-02T00:00:00+08:00.
const MIDNIGHT: Wall = Wall(1_772_380_800_000);

/// `h:mm` of that day by the station's clock.
fn at(hour: i64, minute: i64) -> Wall {
    MIDNIGHT.after_ms(hour * HOUR + minute * MINUTE)
}

/// A step of the station's clock, by the wall clock alone.
fn step(at: Wall, by_ms: i64) -> ClockStep {
    let mono = Mono(0);
    ClockStep { mono, at, by_ms }
}

fn boot(name: &str) -> BootId {
    BootId::new(name).unwrap()
}

/// A start of the pile and how far its clock was ahead then; `None` where it had none.
#[derive(Debug, Clone)]
struct Start {
    name: String,
    on: Wall,
    ahead_ms: Option<i64>,
}

fn start(name: &str, on: Wall, ahead_ms: Option<i64>) -> Start {
    Start {
        name: name.to_owned(),
        on,
        ahead_ms,
    }
}

/// The offset of a clock chip without a battery: it shows 1970 when the pile starts.
fn dead(on: Wall) -> Option<i64> {
    Some(-on.0)
}

impl Start {
    fn shows(&self, at: Wall) -> Option<Wall> {
        self.ahead_ms.map(|ahead| at.after_ms(ahead))
    }

    fn uptime(&self, at: Wall) -> u64 {
        at.ms_since(self.on).unsigned_abs()
    }

    fn heard(&self, watch: &mut ClockWatch, sent: Wall, delay_ms: i64) {
        watch.measure(
            &boot(&self.name),
            self.shows(sent),
            self.uptime(sent),
            sent.after_ms(delay_ms),
        );
    }

    /// What it writes of a session of 14 kWh.
    fn record(&self, start: Wall, stop: Wall) -> Record {
        let json = r#"{"order_id":"o","connector":1,"start_ts":null,"stop_ts":null,"start_mono_ms":0,"stop_mono_ms":0,
            "meter_start_kwh":"1000","meter_stop_kwh":"1014","reason":{"code":6}}"#;
        let mut record: Record = serde_json::from_str(json).unwrap();
        (record.start_ts, record.stop_ts) = (self.shows(start), self.shows(stop));
        (record.start_mono_ms, record.stop_mono_ms) = (self.uptime(start), self.uptime(stop));
        record
    }
}

/// What is known when `present` sends a record at `now`, of a pile that was heard in each of `heard` ten minutes after
/// that start and now.
fn evidence(heard: &[Start], present: &Start, now: Wall) -> Evidence {
    let mut watch = ClockWatch::default();
    for start in heard {
        start.heard(&mut watch, start.on.after_ms(10 * MINUTE), 50);
    }
    if heard.iter().any(|start| start.name == present.name) {
        present.heard(&mut watch, now, 50);
    }
    Evidence {
        clocks: watch.clocks().clone(),
        boot_id: boot(&present.name),
        mono_ms: present.uptime(now),
        now,
        clock_in_doubt: false,
        steps: Vec::new(),
        move_found: None,
        order: None,
        idle: Vec::new(),
        stop_before: None,
        start_after: None,
        known_since: None,
        tariff_since: None,
    }
}

/// An order that was placed and confirmed at these times.
fn order(placed_at: Wall, started: Wall, start: &Start) -> Option<OrderEvidence> {
    Some(OrderEvidence {
        placed_at,
        placed: None,
        started: Some((started, Some(boot(&start.name)))),
        first_live: None,
        last_live: None,
    })
}

fn reading(at: Wall, kwh: &str) -> Reading {
    let register = kwh.parse().unwrap();
    Reading { at, register }
}

/// The offset is the network's too: what it is off by is a heartbeat's delay.
#[track_caller]
fn assert_times(times: &SessionTimes, start: Wall, stop: Wall) {
    assert_near(times, start, stop);
    assert_eq!(times.suspicions().collect::<Vec<_>>(), Vec::<&Suspicion>::new());
}

#[track_caller]
fn assert_near(times: &SessionTimes, start: Wall, stop: Wall) {
    let off = times.start.ms_since(start).abs().max(times.stop.ms_since(stop).abs());
    assert!(off <= 5 * SECOND, "{times:?} is not {start} to {stop}");
}

#[track_caller]
fn assert_contradicts(times: &SessionTimes, words: &str) {
    match &times.suspicion {
        Some(Suspicion::TimesContradict { detail, .. }) => assert!(detail.contains(words), "{detail}"),
        other => panic!("{other:?} does not say: {words}"),
    }
}

// The start of the pile in which it was written.

/// The pile of the fault that was reported: three hours ahead, charged from 5:39 to 7:44, then a power cut at 8:00.
fn three_hours_ahead() -> Start {
    start("a", at(5, 0), Some(3 * HOUR))
}

#[test]
fn a_record_of_an_earlier_start_goes_by_the_offset_of_that_start() {
    let before = three_hours_ahead();
    for clock in [Some(0), dead(at(8, 0)), None, Some(-2 * HOUR)] {
        let after = start("b", at(8, 0), clock);
        let mut known = evidence(&[before.clone(), after.clone()], &after, at(8, 20));
        let record = before.record(at(5, 39), at(7, 44));
        if clock.is_some() {
            assert_times(&align(&record, &known), at(5, 39), at(7, 44));
        }
        known.order = order(at(5, 38), at(5, 39), &before);
        assert_times(&align(&record, &known), at(5, 39), at(7, 44));
        (known.order, known.idle) = (None, vec![reading(at(5, 30), "1000"), reading(at(8, 10), "1014")]);
        assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    }
}

#[test]
fn a_record_says_in_which_start_it_was_written() {
    let before = start("a", at(5, 0), None);
    let after = start("b", at(8, 0), Some(0));
    let known = evidence(&[before.clone(), after.clone()], &after, at(12, 0));
    let mut record = before.record(at(5, 39), at(7, 44));
    assert_eq!(align(&record, &known).suspicion, Some(Suspicion::ClockUnknown));
    record.session_boot_id = Some(boot("a"));
    assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    record.session_boot_id = Some(boot("unheard"));
    assert_eq!(align(&record, &known).suspicion, Some(Suspicion::ClockUnknown));
}

#[test]
fn an_earlier_start_that_was_not_measured_is_a_persons_with_both_readings() {
    let before = three_hours_ahead();
    let after = start("b", at(8, 0), Some(HOUR));
    let known = evidence(std::slice::from_ref(&after), &after, at(8, 20));
    let record = before.record(at(5, 39), at(7, 44));
    let times = align(&record, &known);
    assert_contradicts(&times, "not measured");
    let Some(Suspicion::TimesContradict {
        pile_start,
        pile_stop,
        station_start,
        station_stop,
        ..
    }) = times.suspicion
    else {
        unreachable!("it was one a line above");
    };
    assert_eq!((pile_start, pile_stop), (Some(at(8, 39)), Some(at(10, 44))));
    assert_eq!((times.start, times.stop), (station_start, station_stop));
    let moved = at(8, 39).after_ms(-HOUR).ms_since(station_start).abs();
    assert!(moved <= SECOND, "by the present offset");

    // Its order knows that it was not in the present start, however well the uptimes fit.
    let mut known = evidence(std::slice::from_ref(&after), &after, at(20, 0));
    known.order = order(at(5, 38), at(5, 39), &before);
    assert_contradicts(&align(&record, &known), "not measured");
}

#[test]
fn a_pile_that_was_never_measured_is_not_believed() {
    let unheard = three_hours_ahead();
    let known = evidence(&[], &unheard, at(8, 20));
    let times = align(&unheard.record(at(5, 39), at(7, 44)), &known);
    assert_eq!(times.suspicion, Some(Suspicion::ClockUnknown));
    assert_eq!((times.start, times.stop), (at(8, 20), at(8, 20)));
    let mut known = known;
    known.order = order(at(5, 38), at(5, 39), &unheard);
    let times = align(&unheard.record(at(5, 39), at(7, 44)), &known);
    assert_eq!(
        (times.start, times.stop),
        (at(5, 39), at(8, 20)),
        "as far as the order tells"
    );
}

#[test]
fn starts_that_look_alike_are_told_apart_by_what_else_is_known() {
    let (first, second) = (
        start("a", at(1, 0), dead(at(1, 0))),
        start("b", at(8, 0), dead(at(8, 0))),
    );
    let mut known = evidence(&[first.clone(), second.clone()], &second, at(20, 0));
    let record = first.record(at(3, 0), at(4, 0));
    assert_contradicts(&align(&record, &known), "more than one start");
    known.idle = vec![reading(at(8, 10), "1014")];
    assert_times(&align(&record, &known), at(3, 0), at(4, 0));
    known.idle = vec![reading(at(8, 10), "1000")];
    assert_times(
        &align(&second.record(at(10, 0), at(11, 0)), &known),
        at(10, 0),
        at(11, 0),
    );
    known.idle.clear();
    known.order = order(at(2, 59), at(3, 0), &first);
    assert_times(&align(&record, &known), at(3, 0), at(4, 0));
    // The earlier one did not last so long.
    known.order = None;
    assert_times(
        &align(&second.record(at(17, 0), at(18, 0)), &known),
        at(17, 0),
        at(18, 0),
    );
    // The present one has not lasted so long.
    let known = evidence(&[first.clone(), second.clone()], &second, at(9, 0));
    assert_times(&align(&first.record(at(3, 0), at(4, 0)), &known), at(3, 0), at(4, 0));
}

#[test]
fn a_start_that_kept_its_name_is_another_start() {
    let (first, second) = (start("a", at(1, 0), Some(HOUR)), start("a", at(8, 0), Some(0)));
    let mut watch = ClockWatch::default();
    first.heard(&mut watch, at(1, 10), 0);
    watch.restarted(&boot("a"), second.shows(at(8, 1)), second.uptime(at(8, 1)), at(8, 1));
    let mut known = evidence(&[], &second, at(9, 0));
    known.clocks = watch.clocks().clone();
    known.order = order(at(2, 59), at(3, 0), &first);
    assert_times(&align(&first.record(at(3, 0), at(4, 0)), &known), at(3, 0), at(4, 0));
}

#[test]
fn a_session_that_goes_on_after_the_pile_has_started_again_is_of_two_starts() {
    let (first, second) = (start("a", at(1, 0), Some(HOUR)), start("b", at(4, 0), Some(0)));
    let mut known = evidence(&[first.clone(), second.clone()], &second, at(9, 0));
    known.order = order(at(2, 59), at(3, 0), &first);
    let mut record = first.record(at(3, 0), at(3, 30));
    (record.stop_ts, record.stop_mono_ms) = (second.shows(at(6, 0)), second.uptime(at(6, 0)));
    assert_times(&align(&record, &known), at(3, 0), at(6, 0));
}

#[test]
fn a_session_that_outlives_its_start_is_a_persons() {
    let (first, second) = (start("a", at(1, 0), None), start("b", at(4, 0), Some(0)));
    let mut known = evidence(&[first.clone(), second.clone()], &second, at(9, 0));
    known.order = order(at(2, 59), at(3, 0), &first);
    assert_contradicts(&align(&first.record(at(3, 0), at(6, 0)), &known), "started again");
}

// The present start.

#[test]
fn a_record_of_the_present_start_goes_by_its_offset() {
    for ahead_ms in [0, 3 * HOUR, -3 * HOUR, -at(1, 0).0] {
        let pile = start("a", at(1, 0), Some(ahead_ms));
        let mut known = evidence(std::slice::from_ref(&pile), &pile, at(8, 0));
        let mut record = pile.record(at(5, 39), at(7, 44));
        record.samples = vec![crate::messages::BufferedSample {
            ts: pile.shows(at(6, 0)),
            mono_ms: 0,
            meter_kwh: record.meter_start_kwh,
        }];
        let times = align(&record, &known);
        assert_times(&times, at(5, 39), at(7, 44));
        assert!(
            times.samples[0].at.ms_since(at(6, 0)).abs() <= SECOND,
            "its uptime was left at nothing"
        );
        known.order = order(at(5, 38), at(5, 39), &pile);
        assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    }
}

#[test]
fn a_pile_without_a_clock_goes_by_its_uptime_in_the_start_that_its_order_was_confirmed_in() {
    let pile = start("a", at(1, 0), None);
    let mut known = evidence(std::slice::from_ref(&pile), &pile, at(8, 0));
    let mut record = pile.record(at(5, 39), at(7, 44));
    record.samples = vec![crate::messages::BufferedSample {
        ts: None,
        mono_ms: pile.uptime(at(6, 0)),
        meter_kwh: record.meter_start_kwh,
    }];
    assert_eq!(
        align(&record, &known).suspicion,
        Some(Suspicion::ClockUnknown),
        "it may be of an earlier start"
    );
    known.order = order(at(5, 38), at(5, 39), &pile);
    let times = align(&record, &known);
    assert_times(&times, at(5, 39), at(7, 44));
    assert!(times.samples[0].at.ms_since(at(6, 0)).abs() <= SECOND);
}

#[test]
fn a_pile_without_a_clock_that_was_heard_before_the_order_was_placed_is_known_by_its_uptime() {
    let pile = start("a", at(1, 0), None);
    let mut known = evidence(std::slice::from_ref(&pile), &pile, at(8, 0));
    let record = pile.record(at(5, 39), at(7, 44));
    known.order = order(at(5, 38), at(5, 39), &pile);
    known.order.as_mut().unwrap().started = None;
    assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    // Seen idle since it started, with the start register or less: it is of this start.
    (known.order, known.idle) = (None, vec![reading(at(2, 0), "1000")]);
    assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    known.idle = vec![reading(at(1, 5), "1000")];
    assert_eq!(
        align(&record, &known).suspicion,
        Some(Suspicion::ClockUnknown),
        "seen before it started"
    );

    let again = start("b", at(5, 0), None);
    let mut known = evidence(&[pile.clone(), again.clone()], &again, at(8, 0));
    known.order = order(at(4, 58), at(4, 59), &pile);
    known.order.as_mut().unwrap().started = None;
    assert_eq!(
        align(&again.record(at(5, 39), at(7, 44)), &known).suspicion,
        Some(Suspicion::ClockUnknown),
        "it started again after that"
    );
}

#[test]
fn a_clock_that_was_set_during_a_session_leaves_both_ends_where_they_were() {
    let wrong = start("a", at(1, 0), Some(-4 * MINUTE));
    let right = start("a", at(1, 0), Some(0));
    let mut known = evidence(std::slice::from_ref(&wrong), &wrong, at(5, 0));
    let mut watch = ClockWatch::from(known.clocks.clone());
    right.heard(&mut watch, at(6, 0), 50);
    let mut record = wrong.record(at(5, 39), at(7, 44));
    record.stop_ts = right.shows(at(7, 44));
    // It may have been set before anybody heard what it showed before: the uptime tells.
    let unheard = evidence(std::slice::from_ref(&right), &right, at(6, 0)).clocks;
    let confirmed = order(at(5, 38), at(5, 39), &wrong);
    for (order, clocks) in [
        (None, watch.clocks()),
        (confirmed.clone(), watch.clocks()),
        (confirmed, &unheard),
    ] {
        (known.order, known.clocks) = (order, clocks.clone());
        (known.now, known.mono_ms) = (at(8, 0), wrong.uptime(at(8, 0)));
        assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    }
}

#[test]
fn a_clock_that_was_set_after_a_session_does_not_move_it() {
    let wrong = start("a", at(1, 0), Some(-HOUR));
    let right = start("a", at(1, 0), Some(0));
    let mut watch = ClockWatch::default();
    wrong.heard(&mut watch, at(1, 10), 50);
    right.heard(&mut watch, at(7, 50), 50);
    let mut known = evidence(&[], &right, at(8, 0));
    known.clocks = watch.clocks().clone();
    let record = wrong.record(at(5, 39), at(7, 44));
    assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    known.order = order(at(5, 38), at(5, 39), &right);
    assert_times(&align(&record, &known), at(5, 39), at(7, 44));

    // Nobody heard what it showed before: only the order knows that its uptime is of this start.
    known.clocks = evidence(std::slice::from_ref(&right), &right, at(8, 0)).clocks;
    assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    known.order = None;
    assert_contradicts(&align(&record, &known), "not measured");
}

#[test]
fn times_that_the_uptime_puts_right_need_no_person() {
    let pile = start("a", at(1, 0), Some(0));
    let mut known = evidence(std::slice::from_ref(&pile), &pile, at(8, 0));
    known.order = order(at(5, 38), at(5, 39), &pile);
    let spoils: [fn(&mut Record); 3] = [
        |record| std::mem::swap(&mut record.start_ts, &mut record.stop_ts),
        |record| record.start_ts = Some(Wall(0)),
        |record| record.stop_ts = Some(Wall(Wall::RANGE.end.0 - 1)),
    ];
    for spoil in spoils {
        let mut record = pile.record(at(5, 39), at(7, 44));
        spoil(&mut record);
        assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    }
}

#[test]
fn a_pile_that_does_not_count_its_uptime_goes_by_its_present_offset() {
    let pile = start("a", at(1, 0), Some(HOUR));
    for stuck in [0, 7_200_000] {
        let mut watch = ClockWatch::default();
        for minute in 0..60 {
            let sent = at(7, minute);
            watch.measure(&boot("a"), pile.shows(sent), stuck, sent);
        }
        let mut known = evidence(&[], &pile, at(8, 0));
        (known.clocks, known.mono_ms) = (watch.clocks().clone(), stuck);
        let mut record = pile.record(at(5, 39), at(7, 44));
        (record.start_mono_ms, record.stop_mono_ms) = (stuck, stuck);
        assert_times(&align(&record, &known), at(5, 39), at(7, 44));
    }
}

// What contradicts them.

fn right() -> Start {
    start("a", at(1, 0), Some(0))
}

/// A session from 5:39 to 7:44 of a pile with a right clock, and one thing that the station knows besides.
#[track_caller]
fn told(words: Option<&str>, tell: impl Fn(&mut Evidence)) {
    let mut known = evidence(&[right()], &right(), at(9, 0));
    tell(&mut known);
    let times = align(&right().record(at(5, 39), at(7, 44)), &known);
    assert_near(&times, at(5, 39), at(7, 44));
    match words {
        Some(words) => assert_contradicts(&times, words),
        None => assert_eq!(times.suspicion, None),
    }
}

#[test]
fn a_session_before_its_order_is_a_persons() {
    told(Some("placed"), |known| {
        known.order = order(at(5, 45), at(5, 46), &right())
    });
    told(None, |known| known.order = order(at(5, 43), at(5, 44), &right()));
}

#[test]
fn a_session_that_began_after_it_was_confirmed_is_a_persons() {
    told(Some("confirmed"), |known| {
        known.order = order(at(5, 30), at(5, 33), &right())
    });
    told(None, |known| known.order = order(at(5, 30), at(5, 35), &right()));
}

#[test]
fn a_session_that_the_station_saw_before_its_start_or_after_its_end_is_a_persons() {
    let live = |known: &mut Evidence, first: Wall, last: Wall| {
        known.order = order(at(5, 38), at(5, 39), &right());
        let order = known.order.as_mut().unwrap();
        (order.first_live, order.last_live) = (Some(reading(first, "1000")), Some(reading(last, "1014")));
    };
    told(Some("seen it charge"), |known| live(known, at(5, 33), at(7, 44)));
    told(Some("last saw it charge"), |known| live(known, at(5, 40), at(7, 50)));
    told(None, |known| live(known, at(5, 35), at(7, 48)));
}

#[test]
fn a_session_in_the_future_is_a_persons() {
    let pile = right();
    let known = evidence(std::slice::from_ref(&pile), &pile, at(7, 0));
    let mut record = pile.record(at(5, 39), at(7, 44));
    assert_contradicts(&align(&record, &known), "not measured");
    record.session_boot_id = Some(boot("a"));
    assert_contradicts(&align(&record, &known), "future");
}

#[test]
fn a_session_that_ends_before_it_began_is_a_persons() {
    let pile = right();
    let known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
    let mut record = pile.record(at(7, 44), at(5, 39));
    record.session_boot_id = Some(boot("a"));
    assert_contradicts(&align(&record, &known), "ended before it began");
}

#[test]
fn sessions_of_one_connector_do_not_overlap() {
    told(Some("before it"), |known| known.stop_before = Some(at(5, 45)));
    told(None, |known| known.stop_before = Some(at(5, 43)));
    told(Some("after it"), |known| known.start_after = Some(at(7, 38)));
    told(None, |known| known.start_after = Some(at(7, 40)));
}

#[test]
fn a_connector_that_was_seen_idle_bounds_the_sessions_by_their_registers() {
    told(Some("after its start"), |known| {
        known.idle = vec![reading(at(6, 0), "1000")]
    });
    told(Some("before its end"), |known| {
        known.idle = vec![reading(at(7, 0), "1014")]
    });
    told(None, |known| {
        known.idle = vec![
            reading(at(1, 0), "1000"),
            reading(at(5, 43), "1000"),
            reading(at(7, 41), "1014"),
        ];
    });
    told(None, |known| known.idle = vec![reading(at(6, 0), "1007")]);
    // A session of no energy has the same register before and after.
    let pile = right();
    let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
    known.idle = vec![reading(at(2, 0), "1000"), reading(at(8, 30), "1000")];
    let mut record = pile.record(at(5, 39), at(7, 44));
    record.meter_stop_kwh = record.meter_start_kwh;
    assert_times(&align(&record, &known), at(5, 39), at(7, 44));
}

#[test]
fn a_session_before_the_pile_or_the_prices_were_there_is_a_persons() {
    told(Some("belonged"), |known| known.known_since = Some(at(5, 45)));
    told(Some("price"), |known| known.tariff_since = Some(at(5, 45)));
    told(None, |known| {
        (known.known_since, known.tariff_since) = (Some(at(5, 43)), Some(at(5, 43)));
    });
    // 1976, by the pile's own word: one that does not count its uptime has nothing else.
    let pile = right();
    let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
    known.known_since = Some(at(0, 30));
    let mut record = pile.record(at(5, 39), at(7, 44));
    let fifty_years = -50 * 365 * 24 * HOUR;
    record.start_ts = record.start_ts.map(|at| at.after_ms(fifty_years));
    record.stop_ts = record.stop_ts.map(|at| at.after_ms(fifty_years));
    assert_contradicts(&align(&record, &known), "not measured");
    (record.start_mono_ms, record.stop_mono_ms) = (0, 0);
    assert_contradicts(&align(&record, &known), "belonged");
}

#[test]
fn times_that_nobody_can_write_down_are_a_persons_and_can_be_read_again() {
    for ahead_ms in [-1_772_000_000 * SECOND, 0, 5_400_000_000 * SECOND] {
        for (ts, mono_ms) in [
            (None, u64::MAX),
            (Some(Wall(0)), u64::MAX),
            (Some(Wall(Wall::RANGE.end.0 - 1)), 0),
            (Some(Wall(0)), 0),
        ] {
            let pile = start("a", at(1, 0), Some(ahead_ms));
            let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
            known.known_since = Some(at(0, 30));
            for named in [None, order(at(5, 38), at(5, 39), &pile)] {
                let mut record = pile.record(at(5, 39), at(7, 44));
                (record.start_ts, record.stop_ts) = (ts, ts);
                (record.start_mono_ms, record.stop_mono_ms) = (0, mono_ms);
                record.samples = vec![crate::messages::BufferedSample {
                    ts,
                    mono_ms,
                    meter_kwh: record.meter_start_kwh,
                }];
                known.order = named;
                let times = align(&record, &known);
                assert!(times.suspicion.is_some(), "{record:?}");
                let json = serde_json::to_string(&times).unwrap();
                assert_eq!(serde_json::from_str::<SessionTimes>(&json).unwrap(), times);
            }
        }
    }
}

// The station's own clock.

#[test]
fn a_step_of_the_stations_clock_since_a_session_began_is_a_persons() {
    for (steps, flagged) in [
        (vec![], false),
        (vec![step(at(5, 0), 2 * HOUR)], false),
        (vec![step(at(6, 0), 2 * MINUTE)], true),
        (vec![step(at(8, 30), -2 * MINUTE)], true),
        // By the clock as it is now, the first was at 7:00.
        (vec![step(at(5, 0), 2 * MINUTE), step(at(8, 50), 2 * HOUR)], true),
        (vec![step(at(6, 0), HOUR), step(at(4, 0), -2 * HOUR)], false),
    ] {
        let pile = right();
        for order in [None, order(at(5, 38), at(5, 39), &pile)] {
            let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
            (known.steps, known.order) = (steps.clone(), order);
            let times = align(&pile.record(at(5, 39), at(7, 44)), &known);
            assert_near(&times, at(5, 39), at(7, 44));
            let stepped = times.suspicions().any(|found| *found == Suspicion::ClockStepped);
            assert_eq!(stepped, flagged, "{steps:?}");
        }
    }
}

#[test]
fn a_step_before_an_order_was_placed_is_not_since_its_session_began_though_the_record_says_a_little_earlier() {
    let pile = right();
    for (placed, flagged) in [(Mono(0), true), (Mono(1), true), (Mono(2), false)] {
        let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
        known.steps = vec![ClockStep {
            mono: Mono(2),
            ..step(at(5, 40), 2 * HOUR)
        }];
        known.order = order(at(5, 41), at(5, 41), &pile);
        known.order.as_mut().unwrap().placed = Some(placed);
        let times = align(&pile.record(at(5, 39), at(7, 44)), &known);
        let stepped = times.suspicions().any(|found| *found == Suspicion::ClockStepped);
        assert_eq!(stepped, flagged, "{placed:?}");
    }
}

#[test]
fn what_was_noted_before_a_step_contradicts_nothing_by_the_step() {
    let pile = right();
    let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
    // The clock was two hours behind until 7:00: the order was placed at 5:38 and noted at 3:38.
    known.order = order(at(3, 38), at(3, 39), &pile);
    known.steps = vec![step(at(7, 0), 2 * HOUR)];
    let times = align(&pile.record(at(5, 39), at(7, 44)), &known);
    assert_eq!(times.suspicions().collect::<Vec<_>>(), [&Suspicion::ClockStepped]);
}

#[test]
fn a_step_before_an_order_was_placed_leaves_its_times_no_more_room() {
    let pile = right();
    // Set back by two hours at 5:30 by the clock before it: the order was noted afterwards, and the record says an hour later.
    for (placed, room) in [(Mono(0), true), (Mono(2), false)] {
        let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
        known.steps = vec![ClockStep {
            mono: Mono(1),
            ..step(at(3, 30), -2 * HOUR)
        }];
        known.order = order(at(4, 38), at(4, 39), &pile);
        known.order.as_mut().unwrap().placed = Some(placed);
        let times = align(&pile.record(at(5, 39), at(7, 44)), &known);
        let contradict = |doubt: &&Suspicion| matches!(doubt, Suspicion::TimesContradict { .. });
        assert_eq!(times.suspicions().find(contradict).is_none(), room, "{times:?}");
    }
}

#[test]
fn a_step_since_the_start_of_the_pile_was_last_heard_is_a_persons_though_the_session_came_later() {
    // Put back at a start: how long the station was off before that is in no measure that it took until then.
    let (before, after) = (right(), start("b2", at(8, 50), Some(0)));
    for (stepped_at, by_ms, flagged) in [
        (at(5, 0), -MINUTE, true),
        (at(5, 0), MINUTE, false),
        (at(0, 1), -MINUTE, false),
    ] {
        let mut known = evidence(&[before.clone(), after.clone()], &after, at(9, 0));
        known.steps = vec![step(stepped_at, by_ms)];
        let mut record = before.record(at(5, 39), at(7, 44));
        record.session_boot_id = Some(boot(&before.name));
        let times = align(&record, &known);
        assert_near(&times, at(5, 39), at(7, 44));
        let stepped = times.suspicions().any(|found| *found == Suspicion::ClockStepped);
        assert_eq!(stepped, flagged, "{times:?}");
    }
}

#[test]
fn while_the_station_doubts_its_clock_nothing_is_certain_and_the_times_are_still_given() {
    let pile = right();
    let mut known = evidence(std::slice::from_ref(&pile), &pile, at(9, 0));
    known.clock_in_doubt = true;
    let times = align(&pile.record(at(5, 39), at(7, 44)), &known);
    assert_near(&times, at(5, 39), at(7, 44));
    assert_eq!(
        times.suspicions().collect::<Vec<_>>(),
        [&Suspicion::StationClockInDoubt]
    );
    (known.order, known.steps) = (order(at(5, 50), at(5, 51), &pile), vec![step(at(8, 0), MINUTE)]);
    let times = align(&pile.record(at(5, 39), at(7, 44)), &known);
    assert_eq!(times.suspicions().count(), 3, "{times:?}");
}

// Readings of the idle connector.

#[test]
fn of_each_register_the_first_and_the_last_idle_reading_are_kept() {
    let mut idle = IdleReadings::default();
    for minute in 0..50 {
        idle.observe(0, reading(at(1, minute), "1000"));
    }
    idle.observe(0, reading(at(3, 0), "1014"));
    let kept = [
        reading(at(1, 0), "1000"),
        reading(at(1, 49), "1000"),
        reading(at(3, 0), "1014"),
    ];
    assert_eq!(idle.of(0), kept);
    idle.follow_step(-HOUR);
    assert_eq!(idle.of(0)[2].at, at(2, 0));
    for register in 2_000..2_100 {
        idle.observe(0, reading(at(4, 0), &register.to_string()));
    }
    assert_eq!(idle.of(0).len(), IDLE_MAX);
    idle.observe(0, reading(at(5, 0), "3"));
    assert_eq!(idle.of(0), [reading(at(5, 0), "3")], "it ran backwards");
    assert_eq!(idle.of(1), [], "nothing is known of the next meter");
    idle.observe(1, reading(at(6, 0), "7"));
    assert_eq!((idle.of(0), idle.of(1)), (&[][..], &[reading(at(6, 0), "7")][..]));
}

// Whatever the clocks and the delays.

prop_compose! {
    fn any_clock()(has in 0..4, ahead_s in prop_oneof![-20_i64..20, -400_i64..400, -100_000_i64..100_000]) -> Option<i64> {
        (has > 0).then_some(ahead_s * SECOND)
    }
}

#[test]
fn times_by_a_clock_that_had_lost_its_battery_are_believed_by_nobody_once_it_is_right() {
    // Measured while the station's own clock showed 1970; that was put right while the station was off, and the step back
    // leaves room for anything.
    let in_1970 = Wall(10 * HOUR);
    let old = start("old", in_1970, Some(MIDNIGHT.0 - 10 * HOUR));
    let mut watch = ClockWatch::default();
    old.heard(&mut watch, in_1970.after_ms(10 * MINUTE), 50);
    let present = start("present", at(9, 0), Some(0));
    present.heard(&mut watch, at(9, 10), 50);
    let record = old.record(in_1970.after_ms(HOUR), in_1970.after_ms(2 * HOUR));
    let mut known = evidence(&[], &present, at(9, 10));
    known.clocks = watch.clocks().clone();
    known.steps = vec![step(in_1970, in_1970.ms_since(MIDNIGHT))];
    known.known_since = Some(at(0, 0));
    let times = align(&record, &known);
    assert!(
        times
            .suspicions()
            .any(|doubt| matches!(doubt, Suspicion::TimesContradict { .. })),
        "{times:?}"
    );
    // While it shows 1970, that is no reason of its own: such times move with the clock.
    known.now = in_1970.after_ms(3 * HOUR);
    known.boot_id = boot("old");
    known.mono_ms = old.uptime(known.now);
    known.steps.clear();
    known.known_since = None;
    assert_times(
        &align(&record, &known),
        in_1970.after_ms(HOUR),
        in_1970.after_ms(2 * HOUR),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn times_are_true_within_five_seconds_in_every_start_that_was_measured(
        clocks in prop::collection::vec((any_clock(), 2_i64..2_000, prop::collection::vec(0_i64..600_000, 0..20)), 1..=8),
        which in any::<prop::sample::Index>(),
        (from, to) in (0.0..1.0_f64, 0.0..1.0_f64),
        named in any::<bool>(),
    ) {
        let (mut watch, mut on, mut starts) = (ClockWatch::default(), at(0, 0), Vec::new());
        for (n, (ahead_ms, minutes, delays)) in clocks.iter().enumerate() {
            let pile = start(&format!("b{n}"), on, *ahead_ms);
            let end = on.after_ms(minutes * MINUTE);
            // One message is on time; any other may be late.
            let on_time = delays.len() / 2;
            for (i, delay_ms) in delays.iter().enumerate() {
                let sent = on.after_ms(minutes * MINUTE * i as i64 / 20);
                pile.heard(&mut watch, sent, *delay_ms);
                if i == on_time {
                    pile.heard(&mut watch, sent.after_ms(1), 100);
                }
            }
            pile.heard(&mut watch, end.after_ms(-SECOND), 100);
            starts.push((pile, end));
            on = end;
        }
        let (pile, end) = &starts[which.index(starts.len())];
        let lasted = end.ms_since(pile.on) as f64;
        let mut ends = [from, to].map(|share| pile.on.after_ms((lasted * share) as i64));
        ends.sort();
        let (present, now) = starts.last().unwrap();
        let mut known = evidence(&[], present, *now);
        known.clocks = watch.clocks().clone();
        if named {
            known.order = order(ends[0], ends[0], pile);
        }
        let times = align(&pile.record(ends[0], ends[1]), &known);
        match &times.suspicion {
            None => assert_near(&times, ends[0], ends[1]),
            // Of what names no start, a pile may have said the same in two of them, or have no clock.
            Some(_) if !named => {}
            Some(suspicion) => prop_assert!(false, "{suspicion:?}"),
        }
    }
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use super::*;
    use crate::planted::plant;

    /// The times of a record with a bug, which nobody doubts.
    fn with(bug: Bug, record: &Record, known: &Evidence) -> (Wall, Wall) {
        plant(Some(bug));
        let times = align(record, known);
        plant(None);
        assert_eq!(times.suspicion, None, "{bug:?}");
        (times.start, times.stop)
    }

    #[test]
    fn each_bug_of_times_makes_a_bill_of_wrong_ones() {
        let before = three_hours_ahead();
        let after = start("b", at(8, 10), Some(0));
        let mut known = evidence(&[before.clone(), after.clone()], &after, at(12, 0));
        known.order = order(at(5, 38), at(5, 39), &before);
        let record = before.record(at(5, 39), at(7, 44));
        let (start, _) = with(Bug::OffsetOfPresentBoot, &record, &known);
        assert_eq!(start, at(8, 39));
        let (start, _) = with(Bug::OffsetTwice, &record, &known);
        assert_eq!(start.after_ms(-100), at(2, 39));
        let (_, stop) = with(Bug::RateByReceiveTime, &record, &known);
        assert_eq!(stop, at(12, 0));
        (known.order, known.known_since) = (None, Some(at(6, 0)));
        assert_contradicts(&align(&record, &known), "belonged");
        with(Bug::NoLowerBound, &record, &known);
    }
}

//! Slips of every sort in every place, registers that really are elsewhere, and that what is true is found again.

use super::*;
use proptest::prelude::*;

const SEVEN_KW: Power = Power(7_000);
const BEAT_MS: u64 = 15_000;
/// What 7 kW are in 15 s, rounded down: 0.0291 kWh.
const BEAT: Energy = Energy(291);

fn kwh(text: &str) -> Energy {
    text.parse().unwrap()
}

/// A watch, and a clock that each reading moves on.
#[derive(Default)]
struct Bench {
    watch: RegisterWatch,
    now: Mono,
}

impl Bench {
    /// A connector whose register has been known at this for long.
    fn at(register: &str) -> Self {
        let mut bench = Self::default();
        for _ in 0..2 {
            assert_eq!(bench.beat(register), Verdict::Believed);
        }
        bench
    }

    fn after(&mut self, ms: u64, source: Source, register: &str) -> Verdict {
        self.now = self.now.after_ms(ms);
        // What is kept is all that counts.
        let kept = serde_json::to_string(&self.watch).unwrap();
        self.watch = serde_json::from_str(&kept).unwrap();
        self.watch.take(self.now, kwh(register), SEVEN_KW, source)
    }

    fn beat(&mut self, register: &str) -> Verdict {
        self.after(BEAT_MS, Source::Heartbeat, register)
    }

    fn beats(&mut self, registers: &[&str]) -> Vec<Verdict> {
        registers.iter().map(|register| self.beat(register)).collect()
    }

    fn boot(&mut self, register: &str) -> Verdict {
        self.after(BEAT_MS, Source::Boot, register)
    }

    fn believed(&self) -> String {
        self.watch.believed().unwrap().register.to_string()
    }
}

fn slip(wrong: &str) -> Verdict {
    Verdict::SlipDropped { wrong: kwh(wrong) }
}

fn withdrawn(wrong: &str) -> Verdict {
    Verdict::SlipWithdrawn { wrong: kwh(wrong) }
}

use Verdict::{Adopted, Believed, Waiting};

#[test]
fn a_first_heartbeat_of_a_session_that_is_578_kwh_too_high_is_dropped() {
    let mut bench = Bench::at("1000");
    let seen = bench.beats(&["1578", "1000.0291", "1000.0582"]);
    assert_eq!(seen, [Waiting, slip("1578"), Believed]);
}

#[test]
fn slips_high_and_low_are_dropped_in_the_middle_of_a_session() {
    let mut bench = Bench::at("1000");
    let seen = bench.beats(&["1000.0291", "1578", "1000.0582", "422.5", "1000.0873", "0", "1000.1164"]);
    let expected = [
        Believed,
        Waiting,
        slip("1578"),
        Waiting,
        slip("422.5"),
        Waiting,
        slip("0"),
    ];
    assert_eq!(seen, expected);
    assert!(bench.watch.doubt().is_none() && bench.watch.left().is_none());
}

#[test]
fn a_slip_at_the_end_of_a_session_is_believed_by_nothing() {
    let mut bench = Bench::at("1000");
    bench.beats(&["1000.0291", "1000.0582"]);
    assert_eq!(bench.beat("1578"), Waiting);
    assert_eq!(bench.believed(), "1000.0582", "an estimate is made of this one");
    let stop_is_possible = |bench: &Bench, stop: &str| bench.watch.is_possible(bench.now, kwh(stop), SEVEN_KW);
    assert!(stop_is_possible(&bench, "1000.08") && !stop_is_possible(&bench, "1578.03"));
    assert_eq!(bench.after(300_000, Source::Heartbeat, "1000.08"), slip("1578"));
}

#[test]
fn a_first_reading_ever_that_was_wrong_is_withdrawn_by_the_next_two() {
    for first in ["1578", "999", "0.5", "0", "42949672.95"] {
        let mut bench = Bench::default();
        let seen = bench.beats(&[first, "1000.0291", "1000.0582", "1000.0873"]);
        assert_eq!(seen, [Believed, Waiting, withdrawn(first), Believed]);
    }
    let mut bench = Bench::default();
    let seen = bench.beats(&["1000", "1578", "1000.0291"]);
    assert_eq!(
        seen,
        [Believed, Waiting, slip("1578")],
        "a first one that was right is not"
    );
}

#[test]
fn a_boot_that_says_42949672_95_is_a_slip_wherever_it_comes() {
    let mut bench = Bench::default();
    assert_eq!(bench.boot("42949672.95"), Believed, "nothing else is known");
    let seen = bench.beats(&["1000.0", "1000.0", "1000.0"]);
    assert_eq!(seen, [Waiting, withdrawn("42949672.95"), Believed]);

    let mut bench = Bench::at("1000");
    assert_eq!(bench.boot("42949672.95"), Waiting);
    assert_eq!(bench.beat("1000.0"), slip("42949672.95"));
    assert!(bench.watch.left().is_none(), "no doubt is left for a person");
}

#[test]
fn a_possible_slip_is_withdrawn_when_two_readings_go_on_from_the_one_before_it() {
    let mut bench = Bench::at("1000.01");
    // A quarter of an hour of silence, in which 1.93 kWh are possible.
    assert_eq!(bench.after(900_000, Source::Heartbeat, "1001.5"), Believed);
    let seen = bench.beats(&["1000.02", "1000.04", "1000.06"]);
    assert_eq!(seen, [Waiting, withdrawn("1001.5"), Believed]);
    // Too low, but not below the last: then the right ones are too high.
    assert_eq!(bench.after(900_000, Source::Heartbeat, "1000.1"), Believed);
    let seen = bench.beats(&["1001.5", "1001.52", "1001.54"]);
    assert_eq!(seen, [Waiting, withdrawn("1000.1"), Believed]);
}

#[test]
fn a_last_digit_that_trembles_needs_no_person() {
    let mut bench = Bench::at("1000.0001");
    for _ in 0..20 {
        for verdict in bench.beats(&["1000.0002", "1000.0001", "1000.0001", "1000.0001"]) {
            assert!(!matches!(verdict, Adopted { .. }), "{verdict:?}");
        }
    }
    assert_eq!(bench.believed(), "1000.0001");
}

#[test]
fn three_readings_over_half_a_minute_that_agree_show_that_the_register_is_elsewhere() {
    let mut bench = Bench::at("1006");
    let seen = bench.beats(&["3.01", "3.02", "3.04", "3.06"]);
    let since = Mono(3 * BEAT_MS);
    let adopted = |known, found| Adopted {
        known: kwh(known),
        found: kwh(found),
        since,
    };
    assert_eq!(seen, [Waiting, Waiting, adopted("1006", "3.01"), Believed]);
    assert_eq!(bench.watch.left().unwrap().register, kwh("1006"));

    let mut bench = Bench::at("1006");
    let seen = bench.beats(&["1600.01", "1600.02", "1600.04"]);
    assert_eq!(seen, [Waiting, Waiting, adopted("1006", "1600.01")], "a jump, too");

    let mut bench = Bench::at("1006");
    for _ in 0..4 {
        let hasty = bench.after(5_000, Source::Heartbeat, "3.01");
        assert_eq!(hasty, Waiting, "many within 30 s are no more than one");
    }
}

#[test]
fn a_boot_and_the_next_heartbeat_are_enough_for_a_replaced_meter() {
    let mut bench = Bench::at("1006");
    assert_eq!(bench.boot("3"), Waiting);
    let (known, found, since) = (kwh("1006"), kwh("3"), bench.now);
    let adopted = bench.after(1_000, Source::Heartbeat, "3");
    assert_eq!(adopted, Adopted { known, found, since });

    let mut bench = Bench::at("1006");
    for _ in 0..2 {
        let again = bench.after(1_000, Source::Boot, "3");
        assert_eq!(again, Waiting, "a connection that flaps says the same again");
    }
}

#[test]
fn a_register_that_begins_again_at_zero_after_its_last_digit_is_adopted() {
    for (last, first, next) in [
        ("99999.98", ["0.01", "0.04"], "0.07"),
        ("42949672.95", ["0.02", "0.05"], "0.08"),
        ("999999", ["0", "0"], "1"),
    ] {
        let mut bench = Bench::at(last);
        assert_eq!(bench.beats(&first), [Waiting, Waiting]);
        let (known, found) = (kwh(last), kwh(first[0]));
        assert!(
            matches!(bench.beat(next), Adopted { known: k, found: f, .. } if (k, f) == (known, found)),
            "{last}"
        );
        assert_eq!(bench.beat(next), Believed);
    }
}

#[test]
fn a_pile_that_reads_zero_for_three_reports_is_not_believed() {
    let mut bench = Bench::at("1000.0001");
    let seen = bench.beats(&["0", "0", "0", "1000.12"]);
    assert_eq!(seen, [Waiting, Waiting, Waiting, slip("0")]);
    // Nor when it does so right after it booted, or while it is idle.
    assert_eq!(bench.boot("0"), Waiting);
    for _ in 0..3 {
        assert_eq!(bench.after(300_000, Source::Heartbeat, "0"), Waiting);
    }
    assert_eq!(bench.beat("1000.12"), slip("0"));
}

#[test]
fn a_meter_that_stays_at_zero_for_five_minutes_is_a_new_one_and_one_that_counts_sooner() {
    let mut bench = Bench::at("1000");
    let adopted = (1..).find(|_| bench.beat("0") != Waiting).unwrap();
    assert_eq!(adopted, 21, "eight reports, and five minutes");

    let mut bench = Bench::at("1000");
    bench.boot("0");
    assert_eq!(bench.beat("0"), Waiting);
    let counts = bench.beat("0.0291");
    assert!(
        matches!(counts, Adopted { found, .. } if found == Energy::ZERO),
        "{counts:?}"
    );

    let mut bench = Bench::default();
    let seen = bench.beats(&["0", "0", "0.0291"]);
    assert_eq!(seen, [Believed; 3], "a pile that never had another");
}

#[test]
fn a_slip_that_lasted_is_left_again_and_its_doubt_with_it() {
    let mut bench = Bench::at("1000");
    while bench.beat("0") == Waiting {}
    assert_eq!(
        (bench.believed().as_str(), bench.watch.left().is_some()),
        ("0.0000", true)
    );
    let seen = bench.beats(&["1000.3", "1000.32", "1000.34", "1000.36"]);
    let returned = Verdict::Returned { wrong: Energy::ZERO };
    assert_eq!(seen, [Waiting, Waiting, returned, Believed]);
    assert!(bench.watch.left().is_none());

    // Two days later it may be chance.
    let mut bench = Bench::at("1000");
    bench.beats(&["3", "3", "3"]);
    bench.after(2 * RETURN_MS, Source::Heartbeat, "3.01");
    let seen = bench.beats(&["1000.3", "1000.32", "1000.34"]);
    assert!(matches!(seen[2], Adopted { .. }), "{seen:?}");
    assert_eq!(bench.watch.left().unwrap().register, kwh("3.01"));
}

#[test]
fn slips_within_a_doubt_do_not_keep_it_open() {
    let mut bench = Bench::at("1000.01");
    let seen = bench.beats(&["3.01", "900", "3.03", "3.05", "77.7", "3.07", "3.09"]);
    assert!(matches!(seen[6], Adopted { .. }), "{seen:?}");
}

#[test]
fn a_register_in_whole_kwh_may_move_a_whole_step_at_once() {
    let mut bench = Bench::at("1000");
    for beat in 1..400 {
        let register = (kwh("1000") + Energy(BEAT.0 * beat)).0 / 10_000;
        assert_eq!(bench.beat(&register.to_string()), Believed, "at {register} kWh");
    }
    assert_eq!((bench.believed().as_str(), bench.watch.step()), ("1011.0000", kwh("1")));
    assert_eq!(bench.beat("1013"), Waiting, "two steps are one too many");

    let mut bench = Bench::at("1000.01");
    assert_eq!(bench.beat("1001.01"), Waiting, "a fine register has no such excuse");
}

#[test]
fn a_coarse_meter_that_replaces_a_fine_one_is_adopted_by_its_own_steps() {
    let mut bench = Bench::at("1000.01");
    let seen = bench.beats(&["3", "4", "4", "4"]);
    assert!(matches!(seen[2], Adopted { .. }), "{seen:?}");
    assert_eq!((seen[3], bench.watch.step()), (Believed, kwh("1")));
}

#[test]
fn silence_widens_what_is_possible() {
    let mut bench = Bench::at("1000.01");
    assert_eq!(bench.beat("1006.01"), Waiting);
    let mut bench = Bench::at("1000.01");
    assert_eq!(bench.after(3_600_000, Source::Boot, "1006.01"), Believed);
}

#[test]
fn a_doubt_that_time_explains_is_no_slip() {
    let mut bench = Bench::at("1000.01");
    assert_eq!(bench.beat("1000.21"), Waiting, "0.16 kWh are possible in 15 s");
    assert_eq!(bench.after(60_000, Source::Heartbeat, "1000.22"), Believed);
    assert!(bench.watch.doubt().is_none());
}

#[test]
fn a_persons_word_ends_every_doubt() {
    let mut bench = Bench::at("1000.01");
    bench.beats(&["3.01", "3.02"]);
    let doubt = *bench.watch.doubt().unwrap();
    assert_eq!((doubt.first().register, doubt.count()), (kwh("3.01"), 2));
    let latest = bench.watch.latest().unwrap().register;
    assert_eq!(latest, kwh("3.02"), "what `meter-cleared` takes");
    bench.watch.resolved_by_person(bench.now, latest);
    assert_eq!(
        (bench.watch.doubt().copied(), bench.watch.left(), bench.beat("3.03")),
        (None, None, Believed)
    );

    // What a person said is not withdrawn by two readings: another person decides.
    bench.watch.resolved_by_person(bench.now, kwh("500.01"));
    let seen = bench.beats(&["3.04", "3.06", "3.08"]);
    assert!(
        matches!(seen[..], [Waiting, Waiting, Adopted { known, .. }] if known == kwh("500.01")),
        "{seen:?}"
    );
}

#[test]
fn a_record_is_judged_by_the_last_reading_before_or_after_it() {
    let hour_ms = 3_600_000;
    let at = Mono(10 * hour_ms);
    let watch = RegisterWatch::known(at, kwh("1000.01"));
    let is_possible = |hours: u64, register: &str| watch.is_possible(Mono(hours * hour_ms), kwh(register), SEVEN_KW);
    assert!(is_possible(9, "993") && is_possible(9, "1000.01"));
    assert!(!is_possible(9, "992") && !is_possible(9, "1000.5"));
    assert!(is_possible(11, "1007") && !is_possible(11, "1008") && !is_possible(11, "999"));
    assert!(RegisterWatch::default().is_possible(at, kwh("5"), SEVEN_KW));
}

/// What a slip shows.
#[derive(Debug, Clone, Copy)]
enum Slip {
    Zero,
    Off(i64),
    Anything(i64),
}

fn any_slip() -> impl Strategy<Value = Slip> {
    prop_oneof![
        Just(Slip::Zero),
        (-3_000..3_000_i64).prop_map(Slip::Off),
        (-10_000_000..10_000_000_i64).prop_map(Slip::Off),
        (0..=429_496_729_500_i64).prop_map(Slip::Anything),
    ]
}

/// Readings of a true register: how long after the one before, at what share of the power in per cent, and for how many
/// true readings before the next slip.
fn any_course() -> impl Strategy<Value = Vec<(u64, i64, Option<Slip>)>> {
    let slip = proptest::option::weighted(0.3, any_slip());
    let gap_ms = prop_oneof![4 => 14_000..16_000_u64, 1 => 1_000..600_000_u64];
    proptest::collection::vec((gap_ms, 0..=100_i64, slip), 1..60)
}

proptest! {
    /// Slips with at least two true readings after each: after two true ones the truth is believed, whatever happened.
    #[test]
    fn slips_that_stand_alone_never_lose_the_true_line(start in 1..1_000_000_000_i64, course in any_course()) {
        let mut watch = RegisterWatch::default();
        let (mut now, mut truth, mut trues) = (Mono(0), Energy(start), 2);
        for (gap_ms, share, slip) in course {
            now = now.after_ms(gap_ms);
            truth += Energy(SEVEN_KW.energy_in_ms(gap_ms as i64).0 * share / 100);
            let told = match slip.filter(|_| trues >= 2) {
                None => truth,
                Some(Slip::Zero) => Energy::ZERO,
                Some(Slip::Off(by)) => Energy((truth.0 + by).max(0)),
                Some(Slip::Anything(register)) => Energy(register),
            };
            trues = if told == truth { trues + 1 } else { 0 };
            let verdict = watch.take(now, told, SEVEN_KW, Source::Heartbeat);
            prop_assert!(!matches!(verdict, Adopted { .. } | Verdict::Returned { .. }), "{:?}", verdict);
            if trues >= 2 {
                prop_assert!(verdict.is_believed());
                prop_assert_eq!(watch.believed().unwrap().register, truth);
            }
        }
    }

    #[test]
    fn a_register_of_any_step_is_believed_throughout(
        start in 0..1_000_000_000_i64,
        places in 0_u32..=4,
        course in any_course(),
    ) {
        let step = 10_i64.pow(4 - places);
        let mut watch = RegisterWatch::default();
        let (mut now, mut truth) = (Mono(0), start);
        for (gap_ms, share, _) in course {
            now = now.after_ms(gap_ms);
            truth += SEVEN_KW.energy_in_ms(gap_ms as i64).0 * share / 100;
            let told = Energy(truth / step * step);
            prop_assert_eq!(watch.take(now, told, SEVEN_KW, Source::Heartbeat), Believed);
        }
    }

    /// Whatever is told, each reading that goes on from the line is bounded by time and power, and the next true ones are
    /// believed within a bounded time.
    #[test]
    fn nothing_is_believed_beyond_what_can_be_delivered_and_every_doubt_has_a_way_back(
        told in proptest::collection::vec((0..600_000_u64, any_slip(), any::<bool>()), 0..60),
        truth in 1..1_000_000_000_i64,
    ) {
        let mut watch = RegisterWatch::default();
        let mut now = Mono(0);
        for (gap_ms, slip, boots) in told {
            now = now.after_ms(gap_ms);
            let register = match slip {
                Slip::Zero => Energy::ZERO,
                Slip::Off(by) => Energy(by.abs()),
                Slip::Anything(register) => Energy(register),
            };
            let before = watch.believed();
            let source = if boots { Source::Boot } else { Source::Heartbeat };
            let verdict = watch.take(now, register, SEVEN_KW, source);
            let goes_on = verdict.is_believed() && !verdict.is_new_line();
            if let (true, Some(before)) = (goes_on, before) {
                let most = possible(SEVEN_KW, now.ms_since(before.at)) + Resolution::COARSEST;
                prop_assert!((Energy::ZERO..=most).contains(&(register - before.register)));
            }
            prop_assert_eq!(watch.latest().is_some(), true);
            prop_assert_eq!(verdict.is_believed(), watch.believed() == Some(Seen::now(now, register)));
        }
        let mut register = Energy(truth);
        let settled = (1..=16).find(|_| {
            now = now.after_ms(BEAT_MS);
            register += BEAT;
            watch.take(now, register, SEVEN_KW, Source::Heartbeat).is_believed()
        });
        prop_assert!(settled.is_some());
        prop_assert!(watch.doubt().is_none());
    }

    #[test]
    fn no_figure_is_too_large(at in any::<u64>(), register in any::<i64>(), power in any::<i64>()) {
        let mut watch = RegisterWatch::known(Mono(7), Energy(5));
        watch.take(Mono(at), Energy(register), Power(power), Source::Boot);
        watch.take(Mono(u64::MAX), Energy(i64::MAX), Power(power), Source::Heartbeat);
        watch.take(Mono(0), Energy(i64::MIN), Power(power), Source::Heartbeat);
        watch.is_possible(Mono(at), Energy(register), Power(power));
    }
}

#[test]
fn what_flowed_while_the_station_was_off_is_possible_however_short_it_had_run_before() {
    let power = Power(7_000);
    for (away_ms, verdict) in [(0, Verdict::Waiting), (1_800_000, Verdict::Believed)] {
        // Ten seconds after the very first start of the station.
        let mut watch = RegisterWatch::known(Mono(10_000), Energy(10_000_000));
        watch.let_pass(away_ms);
        watch.let_pass(away_ms);
        let took = watch.take(Mono(11_000), Energy(10_070_000), power, Source::Boot);
        assert_eq!(took, verdict, "{away_ms}");
    }
}

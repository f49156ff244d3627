//! Rating by example, with figures worked by hand, and by property over any tariff, zone and stream of readings.
//! Figures worked out by another program from the design alone are in `tests/figures`.

use super::*;
use crate::tariff::tests::{any_tariff, any_wall, daily, wall};
use proptest::{collection, prelude::*};
use rust_decimal::Decimal;

fn reading(at: &str, register: &str) -> Reading {
    Reading {
        at: wall(at),
        register: register.parse().unwrap(),
    }
}

/// On 1 May 2026 in Shanghai.
fn may_1(time: &str, register: &str) -> Reading {
    reading(&format!("2026-05-01T{time}:00+08:00"), register)
}

/// Valley to 08:00 at 0.30 + 0.30, flat to 18:00 at 0.60 + 0.40, peak to 21:00 at 1.00 + 0.40, flat again, valley from
/// 22:00.
fn shanghai() -> Tariff {
    use PeriodKind::{Flat, Peak, Valley};
    daily(
        "Asia/Shanghai",
        &[
            ("00:00", Valley),
            ("08:00", Flat),
            ("18:00", Peak),
            ("21:00", Flat),
            ("22:00", Valley),
        ],
    )
}

fn energies(bill: &Bill) -> Vec<(PeriodKind, String)> {
    bill.segments
        .iter()
        .map(|segment| (segment.kind, segment.energy.to_string()))
        .collect()
}

/// The bill as it would be if no sample had been doubted.
fn undoubted(mut bill: Bill) -> Bill {
    bill.dropped = 0;
    bill
}

/// A session and what meters say of it: mostly sensible, in any order, now and then nonsense.
fn any_session() -> impl Strategy<Value = (Tariff, Reading, Vec<Reading>, Reading)> {
    // Hundredths of 12.5, 25 and 50 hours are 7.5, 15 and 30 minutes: samples on boundaries.
    let round = (1..=4_i64).prop_map(|half_days| half_days * 45_000_000);
    let span = prop_oneof![1 => Just(0), 2 => 0..=3_600_000_i64, 3 => 0..=3 * 86_400_000_i64, 4 => round];
    let energy = prop_oneof![Just(0), 0..=100_i64, 0..=3_000_000_i64];
    // Per mille of time and energy, beyond both ends too, on a coarse grid so that instants and registers coincide.
    let sample = prop_oneof![
        6 => (0..=100_i64).prop_map(|share| (share * 10, share * 10)),
        2 => (0..=100_i64, -20..=20_i64).prop_map(|(share, off)| (share * 10, share * 10 + off)),
        1 => (-100..=1_100_i64, -100..=1_100_i64),
    ];
    (
        any_tariff(),
        any_wall(),
        span,
        0..=1_000_000_000_i64,
        energy,
        collection::vec(sample, 0..60),
    )
        .prop_map(|(tariff, at, span_ms, register, energy, samples)| {
            let reading = |(time, share): (i64, i64)| Reading {
                at: at.after_ms(span_ms / 1_000 * time),
                register: Energy(register + energy * share / 1_000),
            };
            let start = Reading {
                at,
                register: Energy(register),
            };
            let stop = Reading {
                at: at.after_ms(span_ms),
                register: Energy(register + energy),
            };
            (tariff, start, samples.into_iter().map(reading).collect(), stop)
        })
}

proptest! {
    #[test]
    fn segments_sum_to_the_whole((tariff, start, samples, stop) in any_session()) {
        let bill = rate(&tariff, start, &samples, stop).unwrap();
        prop_assert_eq!(bill.energy, stop.register - start.register);
        prop_assert_eq!(bill.segments.iter().map(|segment| segment.energy).sum::<Energy>(), bill.energy);
        prop_assert_eq!(bill.split().total(), bill.energy);
        let mut at = start.at;
        for segment in &bill.segments {
            prop_assert!(at <= segment.from && segment.from <= segment.to && segment.to <= stop.at);
            prop_assert!(!segment.energy.is_negative());
            prop_assert!(segment.energy != Energy::ZERO || bill.energy == Energy::ZERO);
            prop_assert_eq!(tariff.kind_at(segment.from), segment.kind);
            let price = tariff.prices[&segment.kind];
            prop_assert_eq!((segment.electricity_price, segment.service_price), (price.electricity, price.service));
            // The same product by another arithmetic.
            prop_assert_eq!(segment.electricity_amount.to_string(), price.electricity.amount(segment.energy).to_string());
            prop_assert_eq!(segment.service_amount.to_string(), price.service.amount(segment.energy).to_string());
            at = segment.to;
        }
        let total = |amount: fn(&BillSegment) -> Amount| -> Fen {
            let exact = bill.segments.iter().map(|segment| amount(segment).to_string().parse::<Decimal>().unwrap());
            Fen::round(exact.sum()).unwrap()
        };
        prop_assert_eq!(bill.electricity, total(|segment| segment.electricity_amount));
        prop_assert_eq!(bill.service, total(|segment| segment.service_amount));
        prop_assert_eq!(bill.fee, bill.electricity + bill.service);
    }

    #[test]
    fn a_bill_can_be_worked_out_again_from_its_own_readings((tariff, start, samples, stop) in any_session()) {
        let bill = rate(&tariff, start, &samples, stop).unwrap();
        prop_assert_eq!(bill.readings.first(), Some(&start));
        prop_assert_eq!(bill.readings.last(), Some(&stop));
        let boundaries = tariff.pieces(start.at, stop.at).count().saturating_sub(1);
        prop_assert!(bill.readings.len() <= 2 * boundaries + 2);
        prop_assert!(bill.segments.len() <= boundaries + 1);
        let again = rate(&tariff, bill.start, &bill.readings, bill.stop).unwrap();
        prop_assert_eq!(again.dropped, 0);
        prop_assert_eq!(again, undoubted(bill));
    }

    #[test]
    fn a_bill_survives_the_wire((tariff, start, samples, stop) in any_session()) {
        let bill = rate(&tariff, start, &samples, stop).unwrap();
        let json = serde_json::to_string(&bill).unwrap();
        prop_assert_eq!(serde_json::from_str::<Bill>(&json).unwrap(), bill);
    }

    #[test]
    fn the_order_in_which_samples_come_does_not_matter(
        (tariff, start, mut samples, stop) in any_session(), turn in 0..60_usize,
    ) {
        samples.sort_by_key(|sample| sample.at);
        samples.dedup_by_key(|sample| sample.at);
        let bill = rate(&tariff, start, &samples, stop).unwrap();
        let middle = turn.min(samples.len());
        samples.rotate_left(middle);
        prop_assert_eq!(rate(&tariff, start, &samples, stop).unwrap(), bill);
    }

    #[test]
    fn thinning_changes_nothing((tariff, start, mut samples, stop) in any_session()) {
        samples.retain(|sample| sample.at > start.at && sample.at < stop.at && sample.register <= stop.register);
        samples.sort_by_key(|sample| sample.at);
        // Of two that contradict each other rating believes the first and the keeper the last.
        samples.dedup_by_key(|sample| sample.at);
        let mut keeper = SampleKeeper::default();
        keeper.push(&tariff, start);
        for sample in &samples {
            keeper.push(&tariff, *sample);
        }
        let all = rate(&tariff, start, &samples, stop).unwrap();
        let kept = rate(&tariff, start, keeper.readings(), stop).unwrap();
        prop_assert_eq!((keeper.dropped(), kept.dropped), (all.dropped, 0));
        prop_assert_eq!(kept, undoubted(all));
        let boundaries = tariff.pieces(start.at, stop.at).count().saturating_sub(1);
        prop_assert!(keeper.readings().len() <= 2 * boundaries + 2);
    }

    #[test]
    fn only_the_last_word_of_an_instant_counts((tariff, start, mut samples, _) in any_session()) {
        samples.retain(|sample| sample.at > start.at && sample.register >= start.register);
        samples.sort_by_key(|sample| (sample.at, sample.register));
        let mut highest = start.register;
        for sample in &mut samples {
            highest = highest.max(sample.register);
            sample.register = highest;
        }
        let pushed = |samples: &[Reading]| {
            let mut keeper = SampleKeeper::default();
            keeper.push(&tariff, start);
            for sample in samples {
                prop_assert!(keeper.push(&tariff, *sample));
            }
            Ok(keeper)
        };
        let all = pushed(&samples)?;
        samples.reverse();
        samples.dedup_by_key(|sample| sample.at);
        samples.reverse();
        prop_assert_eq!(all, pushed(&samples)?);
    }

    /// How much the number of samples may matter when power is constant and meters floor to 0.1 Wh.
    ///
    /// Let x be the true register at a boundary. Interpolation between two floored registers gives a value above x − 1
    /// and at most x (in 0.1 Wh), since it is their weighted mean; flooring the j-th part of a straddling pair takes
    /// less than 1 more for each of its j parts so far. So the register that rating puts at the j-th boundary of a pair
    /// is a whole number above x − 1 − j and at most x, whatever the samples: two ratings differ there by at most j,
    /// and j is at most the boundary's number in the session. Moving 0.1 Wh across a boundary costs the difference of
    /// the two prices. Hence before rounding the amounts differ by at most Σ j·|price before − price after|·0.1 Wh
    /// (0.36 fen for eight boundaries of ¥1.00 each), and after it by that rounded up: one fen for electricity and
    /// one for service, so two for the fee, not one.
    #[test]
    fn at_constant_power_the_number_of_samples_hardly_matters(
        tariff in any_tariff(),
        at in any_wall(),
        span_ms in 1..=2 * 86_400_000_i64,
        watt in 0..=350_000_i64,
        first in 0..360_000_000_i64,
        few in collection::vec(0..=1_000_i64, 0..4),
        many in collection::vec(0..=1_000_i64, 0..200),
    ) {
        // W·ms; 0.1 Wh is 360,000 of them.
        let register = |ms: i64| Energy((first + watt * ms) / 360_000);
        let reading = |ms: i64| Reading { at: at.after_ms(ms), register: register(ms) };
        let bill = |shares: &[i64]| {
            let samples: Vec<Reading> = shares.iter().map(|share| reading(span_ms * share / 1_000)).collect();
            rate(&tariff, reading(0), &samples, reading(span_ms)).unwrap()
        };
        let (few, many) = (bill(&few), bill(&many));
        prop_assert_eq!((few.dropped, many.dropped), (0, 0));

        let prices: Vec<_> = tariff.pieces(at, at.after_ms(span_ms)).map(|piece| tariff.price_of(piece.kind)).collect();
        let bound_fen = |price: fn(&crate::tariff::PriceParts) -> Price| -> i64 {
            let steps = prices.windows(2).map(|pair| (price(&pair[0]) - price(&pair[1])).0.abs());
            let amount: i64 = steps.zip(1..).map(|(step, number)| number * step).sum();
            (amount + 9_999_999) / 10_000_000
        };
        let apart = |a: Fen, b: Fen| (a - b).0.abs();
        prop_assert!(apart(few.electricity, many.electricity) <= bound_fen(|price| price.electricity));
        prop_assert!(apart(few.service, many.service) <= bound_fen(|price| price.service));
    }

    #[test]
    fn no_reading_is_too_strange(
        tariff in any_tariff(), start: (i64, i64), stop: (i64, i64), samples: Vec<(i64, i64)>, near in any_session(),
    ) {
        let reading = |(at, register): (i64, i64)| Reading { at: Wall(at), register: Energy(register) };
        let samples: Vec<Reading> = samples.into_iter().map(reading).collect();
        let _ = rate(&tariff, reading(start), &samples, reading(stop));
        let (_, sane_start, _, sane_stop) = near;
        let bill = rate(&tariff, sane_start, &samples, sane_stop).unwrap();
        let claimed = PeriodSplit { sharp: Energy(start.0), peak: Energy(start.1), flat: Energy(stop.0), valley: Energy(stop.1) };
        let _ = compare_split(&bill, &tariff, &claimed);
        let mut keeper = SampleKeeper::default();
        for sample in &samples {
            keeper.push(&tariff, *sample);
        }
        prop_assert!(keeper.readings().is_sorted_by_key(|reading| reading.register));
    }
}

#[test]
fn energy_across_a_boundary_is_split_by_time_and_floored() {
    // 7.0001 kWh from 07:30 to 08:30: half is 3.50005, floored to 3.5000; the rest is 3.5001.
    let bill = rate(&shanghai(), may_1("07:30", "100.0000"), &[], may_1("08:30", "107.0001")).unwrap();
    assert_eq!(
        energies(&bill),
        [
            (PeriodKind::Valley, "3.5000".into()),
            (PeriodKind::Flat, "3.5001".into())
        ]
    );
    // 3.5000 × 0.30000 = 1.050000000 and 3.5001 × 0.60000 = 2.100060000: together 3.150060000.
    assert_eq!(bill.segments[1].electricity_amount.to_string(), "2.100060000");
    assert_eq!(bill.electricity, "3.15".parse().unwrap());
    // 3.5000 × 0.30000 = 1.050000000 and 3.5001 × 0.40000 = 1.400040000: together 2.450040000.
    assert_eq!(bill.service, "2.45".parse().unwrap());
    assert_eq!(bill.fee, "5.60".parse().unwrap());
    assert_eq!(bill.readings, [bill.start, bill.stop]);
}

#[test]
fn the_readings_next_to_the_boundary_decide() {
    // 6 kWh before 07:58, 0.4 from there to 08:02, 0.6 after: the boundary lies in the middle of the 0.4.
    let samples = [
        may_1("07:30", "5.0000"),
        may_1("07:58", "6.0000"),
        may_1("08:02", "6.4000"),
        may_1("08:20", "6.9000"),
    ];
    let bill = rate(
        &shanghai(),
        may_1("07:00", "0.0000"),
        &samples,
        may_1("08:30", "7.0000"),
    )
    .unwrap();
    assert_eq!(
        energies(&bill),
        [
            (PeriodKind::Valley, "6.2000".into()),
            (PeriodKind::Flat, "0.8000".into())
        ]
    );
    assert_eq!(
        bill.readings,
        [bill.start, samples[1], samples[2], bill.stop],
        "the others decide nothing"
    );
}

#[test]
fn a_reading_on_the_boundary_settles_it() {
    let samples = [
        may_1("07:59", "6.1000"),
        may_1("08:00", "6.1500"),
        may_1("08:01", "6.2000"),
    ];
    let bill = rate(
        &shanghai(),
        may_1("07:00", "0.0000"),
        &samples,
        may_1("08:30", "7.0000"),
    )
    .unwrap();
    assert_eq!(
        energies(&bill),
        [
            (PeriodKind::Valley, "6.1500".into()),
            (PeriodKind::Flat, "0.8500".into())
        ]
    );
    assert_eq!(bill.readings, [bill.start, samples[1], bill.stop]);
}

#[test]
fn each_part_is_floored_and_the_last_takes_the_rest() {
    // 1.0000 kWh from 17:00 to 22:30, 330 minutes: flat 60, peak 180, flat 60, valley 30.
    // 1.0000 × 60/330 = 0.18181…, × 180/330 = 0.54545…, × 60/330 again; the rest is 1.0000 − 0.9090 = 0.0910.
    let bill = rate(&shanghai(), may_1("17:00", "0.0000"), &[], may_1("22:30", "1.0000")).unwrap();
    let expected = [
        (PeriodKind::Flat, "0.1818".to_owned()),
        (PeriodKind::Peak, "0.5454".to_owned()),
        (PeriodKind::Flat, "0.1818".to_owned()),
        (PeriodKind::Valley, "0.0910".to_owned()),
    ];
    assert_eq!(energies(&bill), expected);
    assert_eq!(bill.split().flat, "0.3636".parse().unwrap());
}

#[test]
fn pieces_without_energy_are_left_out_unless_there_is_no_other() {
    // Full at 17:30; the cable stays in until 22:30.
    let samples = [may_1("17:30", "4.0000"), may_1("17:59", "4.0000")];
    let bill = rate(
        &shanghai(),
        may_1("17:00", "0.0000"),
        &samples,
        may_1("22:30", "4.0000"),
    )
    .unwrap();
    assert_eq!(energies(&bill), [(PeriodKind::Flat, "4.0000".into())]);
    assert_eq!(bill.segments[0].to, wall("2026-05-01T18:00:00+08:00"));

    let nothing = rate(&shanghai(), may_1("17:00", "4.0000"), &[], may_1("18:30", "4.0000")).unwrap();
    assert_eq!(
        energies(&nothing),
        [(PeriodKind::Flat, "0.0000".into()), (PeriodKind::Peak, "0.0000".into())]
    );
    assert_eq!(nothing.fee, Fen::ZERO);
}

#[test]
fn a_session_without_duration_takes_the_price_of_its_instant() {
    let bill = rate(&shanghai(), may_1("08:00", "1.0000"), &[], may_1("08:00", "2.0000")).unwrap();
    assert_eq!(energies(&bill), [(PeriodKind::Flat, "1.0000".into())]);
    assert_eq!(bill.fee, Fen(100));
}

#[test]
fn the_hour_change_is_priced_by_the_clock() {
    // openWB/core#1757: Berlin, 25 October 2026, 1 kWh per half hour from 02:00 summer time (00:00Z) to 03:00 (02:00Z).
    // By the clock 02:00–02:30 valley, 02:30–03:00 peak, then once more valley and peak.
    let tariff = daily(
        "Europe/Berlin",
        &[("00:00", PeriodKind::Valley), ("02:30", PeriodKind::Peak)],
    );
    let bill = rate(
        &tariff,
        reading("2026-10-25T00:00:00Z", "0"),
        &[],
        reading("2026-10-25T02:00:00Z", "4"),
    )
    .unwrap();
    let kinds: Vec<_> = bill.segments.iter().map(|segment| segment.kind).collect();
    assert_eq!(
        kinds,
        [
            PeriodKind::Valley,
            PeriodKind::Peak,
            PeriodKind::Valley,
            PeriodKind::Peak
        ]
    );
    // 2 kWh × 0.60 + 2 kWh × 1.40.
    assert_eq!(bill.fee, "4.00".parse().unwrap());
}

#[test]
fn totals_are_rounded_once_each_half_away_from_zero() {
    // 0.0500 kWh: electricity 0.05 × 0.30 = 0.015 → 0.02, service the same; 0.05 × 0.60 = 0.03 is not the fee.
    let bill = rate(&shanghai(), may_1("01:00", "0"), &[], may_1("02:00", "0.05")).unwrap();
    assert_eq!((bill.electricity, bill.service, bill.fee), (Fen(2), Fen(2), Fen(4)));
}

#[test]
fn samples_that_cannot_be_are_dropped_and_counted() {
    let sound = [may_1("07:58", "6.0000"), may_1("08:02", "6.4000")];
    let bill =
        |samples: &[Reading]| rate(&shanghai(), may_1("07:00", "1.0000"), samples, may_1("08:30", "7.0000")).unwrap();
    let clean = bill(&sound);
    let mut samples = sound.to_vec();
    samples.extend([
        may_1("06:59", "6.1000"), // before the session
        may_1("08:31", "6.1000"), // after it
        may_1("07:30", "0.9000"), // below the start
        may_1("08:01", "7.0001"), // above the stop
        may_1("08:01", "5.9999"), // below the one before it
        may_1("08:02", "6.5000"), // the same instant, another register
        may_1("07:00", "1.1000"), // the start says otherwise
        may_1("08:30", "6.9000"), // the stop says otherwise
    ]);
    let doubted = bill(&samples);
    assert_eq!(doubted.dropped, 8);
    assert_eq!(undoubted(doubted), clean);
    let twice: Vec<Reading> = sound
        .into_iter()
        .chain(sound)
        .chain([clean.start, clean.stop])
        .collect();
    assert_eq!(bill(&twice), clean, "a repetition is not a doubt");
}

#[test]
fn what_cannot_be_rated_says_why() {
    let rated = |start, stop| {
        rate(&shanghai(), start, &[], stop)
            .map(|bill| bill.fee)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        rated(may_1("08:00", "1"), may_1("07:00", "2")),
        "the session stops at 2026-04-30T23:00:00Z, before its start at 2026-05-01T00:00:00Z"
    );
    assert_eq!(
        rated(may_1("08:00", "2"), may_1("09:00", "1.9999")),
        "the meter stops at 1.9999 kWh, below its start at 2.0000 kWh"
    );
    assert_eq!(
        rated(may_1("08:00", "-1"), may_1("09:00", "1")),
        "a reading of -1.0000 kWh at 1777593600000 is out of range"
    );
    let late = reading("2026-06-01T08:00:00.001+08:00", "1");
    assert!(matches!(
        rate(&shanghai(), may_1("08:00", "1"), &[], late),
        Err(RatingError::TooLong { .. })
    ));
    let many = vec![may_1("08:30", "1"); SAMPLES_MAX + 1];
    let error = rate(&shanghai(), may_1("08:00", "1"), &many, may_1("09:00", "1")).unwrap_err();
    assert_eq!(error, RatingError::TooManySamples { count: SAMPLES_MAX + 1 });
}

#[test]
fn the_longest_finest_session_stays_within_its_bounds() {
    let quarters: Vec<String> = (0..96)
        .map(|quarter| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15))
        .collect();
    let kinds = [PeriodKind::Flat, PeriodKind::Peak].into_iter().cycle();
    let periods: Vec<_> = quarters.iter().map(String::as_str).zip(kinds).collect();
    let tariff = daily("Europe/Berlin", &periods);
    let start = reading("2026-10-01T00:07:00+02:00", "0");
    let sample = |minute: i64| Reading {
        at: start.at.after_ms(minute * 60_000),
        register: Energy(minute),
    };
    let mut keeper = SampleKeeper::default();
    for minute in 0..31 * 24 * 60 {
        assert!(keeper.push(&tariff, sample(minute)));
    }
    assert!(
        !keeper.push(&tariff, sample(31 * 24 * 60 + 1)),
        "longer than a session can be"
    );
    let bill = rate(&tariff, start, keeper.readings(), sample(31 * 24 * 60)).unwrap();
    assert_eq!(bill.segments.len(), 31 * 96 + 1);
    assert!(bill.segments.len() <= SEGMENTS_MAX && keeper.readings().len() <= BILL_READINGS_MAX);
}

#[test]
fn a_heartbeat_that_runs_backwards_does_not_poison_the_keeper() {
    let tariff = shanghai();
    let mut keeper = SampleKeeper::default();
    for sample in [may_1("07:00", "1"), may_1("07:30", "2"), may_1("07:58", "3")] {
        assert!(keeper.push(&tariff, sample));
    }
    assert!(
        !keeper.push(&tariff, may_1("07:59", "0")),
        "a meter that says nothing for once"
    );
    assert!(!keeper.push(&tariff, may_1("07:31", "3")), "a message that was held up");
    assert!(
        keeper.push(&tariff, may_1("07:58", "3")),
        "the same again is nothing new"
    );
    assert!(keeper.push(&tariff, may_1("08:02", "3.4")));
    assert!(keeper.push(&tariff, may_1("08:10", "4")));
    assert!(keeper.push(&tariff, may_1("08:20", "5")));
    let kept = [
        may_1("07:00", "1"),
        may_1("07:58", "3"),
        may_1("08:02", "3.4"),
        may_1("08:20", "5"),
    ];
    assert_eq!(keeper.readings(), kept);
    assert_eq!((keeper.latest(), keeper.dropped()), (Some(kept[3]), 2));
}

#[test]
fn of_two_readings_of_one_instant_the_later_word_stands() {
    let tariff = shanghai();
    let mut keeper = SampleKeeper::default();
    let (first, before) = (may_1("07:00", "1"), may_1("07:30", "2"));
    for sample in [first, before, may_1("07:58", "3")] {
        assert!(keeper.push(&tariff, sample));
    }
    assert!(keeper.push(&tariff, may_1("07:58", "3.5")), "higher");
    assert_eq!(keeper.readings(), [first, may_1("07:58", "3.5")]);
    assert!(keeper.push(&tariff, may_1("07:58", "2.5")), "lower");
    assert_eq!(keeper.readings(), [first, may_1("07:58", "2.5")]);
    assert!(!keeper.push(&tariff, may_1("07:58", "0.9")), "below the one before");
    assert_eq!(keeper.readings(), [first, may_1("07:58", "2.5")]);
    // Next to a boundary too.
    for sample in [may_1("08:02", "3"), may_1("08:02", "3.4"), may_1("08:20", "5")] {
        assert!(keeper.push(&tariff, sample));
    }
    let kept = [first, may_1("07:58", "2.5"), may_1("08:02", "3.4"), may_1("08:20", "5")];
    assert_eq!(keeper.readings(), kept);
    assert_eq!(keeper.dropped(), 1);
}

#[test]
fn the_first_reading_of_a_session_is_never_replaced() {
    let tariff = shanghai();
    let mut keeper = SampleKeeper::default();
    let first = may_1("07:59", "1");
    let rated = |keeper: &SampleKeeper| {
        let bill = rate(&tariff, first, keeper.readings(), keeper.latest().unwrap()).unwrap();
        assert_eq!(bill.dropped, 0);
        energies(&bill)
    };
    assert!(keeper.push(&tariff, first));
    assert!(!keeper.push(&tariff, may_1("07:59", "0.9")), "below the start");
    for register in ["2", "3", "2.5"] {
        assert!(keeper.push(&tariff, may_1("07:59", register)));
    }
    assert_eq!(keeper.readings(), [first, may_1("07:59", "2.5")]);
    assert_eq!(rated(&keeper), [(PeriodKind::Valley, "1.5000".into())]);
    assert!(keeper.push(&tariff, first), "the later word, again");
    assert_eq!(keeper.readings(), [first]);
    assert!(keeper.push(&tariff, may_1("07:59", "2")));
    assert!(!keeper.push(&tariff, may_1("08:01", "1.5")), "below the latest");
    // The two minutes straddle the boundary, and are split by time from the first reading on.
    assert!(keeper.push(&tariff, may_1("08:01", "3")));
    assert_eq!(keeper.readings(), [first, may_1("08:01", "3")]);
    let halves = [PeriodKind::Valley, PeriodKind::Flat].map(|kind| (kind, "1.0000".to_owned()));
    assert_eq!(rated(&keeper), halves);
    assert_eq!(keeper.dropped(), 2);
}

#[test]
fn a_pile_that_splits_otherwise_is_noticed_beyond_the_tolerances() {
    let tariff = shanghai();
    let compare = |energy: &str, claim: PeriodSplit| {
        let bill = rate(&tariff, may_1("09:00", "0"), &[], may_1("10:00", energy)).unwrap();
        compare_split(&bill, &tariff, &claim)
    };
    let split = |flat: &str, valley: &str| PeriodSplit {
        flat: flat.parse().unwrap(),
        valley: valley.parse().unwrap(),
        ..PeriodSplit::default()
    };
    // Of 10 kWh, 0.5 % is 0.05 kWh. Moving 0.0501 from flat (0.60 + 0.40) to valley (0.30 + 0.30): electricity
    // 9.9499 × 0.6 + 0.0501 × 0.3 = 5.98497 → 5.98, service 9.9499 × 0.4 + 0.0501 × 0.3 = 3.99499 → 3.99; 0.03 less.
    assert_eq!(compare("10", split("10", "0")), None);
    assert_eq!(compare("10", split("9.95", "0.05")), None, "both exactly on the line");
    let beyond = compare("10", split("9.9499", "0.0501")).unwrap();
    assert_eq!(
        (beyond.energy_difference, beyond.fee_difference),
        (Energy(501), Fen(-3))
    );
    assert_eq!(
        (beyond.ours, beyond.claimed),
        (split("10", "0"), split("9.9499", "0.0501"))
    );
    // Of 100 kWh, 0.05 kWh more is far below 0.5 %, and its fee of 0.05 is on the line; 0.06 is not.
    assert_eq!(compare("100", split("100.05", "0")), None);
    assert_eq!(compare("100", split("100.06", "0")).unwrap().fee_difference, Fen(6));
    // Nothing delivered: any claim is a difference.
    assert!(compare("0", split("0.0001", "0")).is_some());
    assert_eq!(compare("0", split("0", "0")), None);
}

#[test]
fn amounts_print_every_digit() {
    assert_eq!(Amount::of(Energy(12_345), Price(12_345)).to_string(), "0.152399025");
    assert_eq!(Amount(-5).to_string(), "-0.000000005");
    for amount in [
        Amount(0),
        Amount(-1),
        Amount(1_234_567_890_123),
        Amount(i128::from(i64::MAX) * 100),
    ] {
        assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
    }
    for bad in [
        "1",
        "1.0",
        "1.0000000000",
        "+1.000000000",
        "1.00000000a",
        ".000000000",
        "1e9",
        "",
    ] {
        assert!(bad.parse::<Amount>().is_err(), "{bad}");
    }
    let to_fen = |amount| Amount(amount).to_fen().0;
    assert_eq!(
        [
            to_fen(4_999_999),
            to_fen(5_000_000),
            to_fen(-4_999_999),
            to_fen(-5_000_000)
        ],
        [0, 1, 0, -1]
    );
    assert_eq!(to_fen(i128::MAX), i64::MAX);
}

#[test]
fn a_slip_that_is_taken_back_leaves_the_bill_of_the_others() {
    let tariff = shanghai();
    let samples = [may_1("07:30", "100"), may_1("07:59", "103"), may_1("08:01", "103.2")];
    let mut keeper = SampleKeeper::default();
    for sample in samples {
        keeper.push(&tariff, sample);
    }
    assert!(!keeper.withdraw_latest("103".parse().unwrap()), "only the latest");
    keeper.push(&tariff, may_1("08:02", "109"));
    assert!(keeper.withdraw_latest("109".parse().unwrap()));
    let stop = may_1("08:30", "106");
    assert!(keeper.push(&tariff, stop));
    let rated = |readings: &[Reading]| rate(&tariff, samples[0], readings, stop).unwrap().fee;
    assert_eq!((rated(keeper.readings()), keeper.dropped()), (rated(&samples), 1));
}

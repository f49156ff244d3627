//! Tariffs by example and by property, in zones whose days have 23, 23.5, 24, 24.5 and 25 hours.
//! The generators here also feed the tests of rating.

use super::*;
use jiff::tz::TimeZone;
use proptest::{collection, option, prelude::*, sample};

const EXAMPLE: &str = include_str!("../../../config/tariffs/example.toml");

/// Summer time of an hour and of half an hour, odd offsets, a zone that skipped a day, and the zone that counts.
pub(crate) const ZONES: [&str; 8] = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Pacific/Apia",
    "UTC",
];

pub(crate) fn wall(text: &str) -> Wall {
    Wall::parse(text).unwrap()
}

fn minute(text: &str) -> MinuteOfDay {
    text.parse().unwrap()
}

/// A tariff of one schedule for every day: `[("00:00", Valley), …]`.
pub(crate) fn daily(zone: &str, periods: &[(&str, PeriodKind)]) -> Tariff {
    let periods = periods
        .iter()
        .map(|(from, kind)| Period {
            from: minute(from),
            kind: *kind,
        })
        .collect();
    let parts = |electricity, service| PriceParts {
        electricity: Price(electricity),
        service: Price(service),
    };
    let spec = TariffSpec {
        id: TariffId::new("daily").unwrap(),
        effective_from: Wall::RANGE.start,
        currency: Currency::Cny,
        time_zone: zone.to_owned(),
        prices: [
            (PeriodKind::Sharp, parts(120_000, 50_000)),
            (PeriodKind::Peak, parts(100_000, 40_000)),
            (PeriodKind::Flat, parts(60_000, 40_000)),
            (PeriodKind::Valley, parts(30_000, 30_000)),
        ]
        .into(),
        schedules: vec![DaySchedule {
            months: None,
            weekdays: None,
            periods,
        }],
    };
    spec.validate().unwrap()
}

pub(crate) fn any_kind() -> impl Strategy<Value = PeriodKind> {
    sample::select(&PeriodKind::ALL[..])
}

/// A day cut at up to `cuts_max` minutes.
fn any_periods(cuts_max: usize) -> impl Strategy<Value = Vec<Period>> {
    let grid = prop_oneof![Just(30_u16), Just(15), Just(1)];
    let marks = grid.prop_flat_map(move |grid| {
        collection::btree_set(
            (1..MinuteOfDay::PER_DAY / grid).prop_map(move |step| step * grid),
            0..=cuts_max,
        )
    });
    marks.prop_flat_map(|marks| {
        collection::vec(any_kind(), marks.len() + 1).prop_map(move |kinds| {
            let starts = [0].into_iter().chain(marks.iter().copied());
            starts
                .zip(kinds)
                .map(|(from, kind)| Period {
                    from: MinuteOfDay::new(from).unwrap(),
                    kind,
                })
                .collect()
        })
    })
}

fn any_condition() -> impl Strategy<Value = (Option<BTreeSet<u8>>, Option<BTreeSet<Weekday>>)> {
    let months = option::of(collection::btree_set(1_u8..=12, 1..8));
    let weekdays = option::of(collection::btree_set(sample::select(&Weekday::ALL[..]), 1..5));
    (months, weekdays)
}

fn any_parts() -> impl Strategy<Value = PriceParts> {
    (0..=300_000_i64, 0..=100_000_i64).prop_map(|(electricity, service)| PriceParts {
        electricity: Price(electricity),
        service: Price(service),
    })
}

/// Any tariff in any of [`ZONES`].
pub(crate) fn any_tariff() -> impl Strategy<Value = Tariff> {
    let special = collection::vec((any_condition(), any_periods(6)), 0..3);
    let parts = collection::vec(any_parts(), 4);
    (sample::select(&ZONES[..]), special, any_periods(8), parts).prop_map(|(zone, special, everyday, parts)| {
        let spec = TariffSpec {
            id: TariffId::new("any").unwrap(),
            effective_from: wall("2026-01-01T00:00:00+08:00"),
            currency: Currency::Cny,
            time_zone: zone.to_owned(),
            prices: PeriodKind::ALL.into_iter().zip(parts).collect(),
            schedules: Vec::new(),
        };
        let everyday = DaySchedule {
            months: None,
            weekdays: None,
            periods: everyday,
        };
        let special = special
            .into_iter()
            .map(|((months, weekdays), periods)| DaySchedule {
                months,
                weekdays,
                periods,
            })
            .collect();
        let with = |mut schedules: Vec<DaySchedule>| {
            schedules.push(everyday.clone());
            TariffSpec {
                schedules,
                ..spec.clone()
            }
            .validate()
        };
        // The special days may by chance take every day there is, or each other's.
        with(special).or_else(|_| with(Vec::new())).unwrap()
    })
}

/// An instant: half of the time within two days of a change of some zone's clock.
pub(crate) fn any_wall() -> impl Strategy<Value = Wall> {
    const CHANGES: [&str; 8] = [
        "2026-03-29T01:00:00Z", // Berlin forward
        "2026-10-25T01:00:00Z", // Berlin back
        "2026-03-08T07:00:00Z", // New York forward
        "2026-11-01T06:00:00Z", // New York back
        "2026-04-04T15:00:00Z", // Lord Howe back by half an hour
        "2026-10-03T15:30:00Z", // Lord Howe forward by half an hour
        "2026-02-15T02:00:00Z", // Casablanca for Ramadan
        "2011-12-30T10:00:00Z", // Apia leaves out a day
    ];
    let near = (sample::select(&CHANGES[..]), -172_800_i64..172_800)
        .prop_map(|(change, seconds)| wall(change).after_ms(seconds * 1_000));
    let anywhere = (wall("2024-01-01T00:00:00Z").0..wall("2028-01-01T00:00:00Z").0).prop_map(Wall);
    // Whole quarters of an hour, so that instants fall on boundaries.
    let on_grid = anywhere.clone().prop_map(|at| Wall(at.0 - at.0 % 900_000));
    prop_oneof![2 => near.clone(), 2 => near.prop_map(|at| Wall(at.0 - at.0 % 900_000)), 1 => anywhere, 1 => on_grid]
}

/// The same question put to jiff's own calendar.
fn kind_by_the_calendar(tariff: &Tariff, at: Wall) -> PeriodKind {
    let local = at.timestamp().to_zoned(TimeZone::get(&tariff.time_zone).unwrap());
    let weekday = Weekday::ALL[usize::from(local.weekday().to_monday_zero_offset().unsigned_abs())];
    let month = local.month().unsigned_abs();
    let schedule = tariff
        .schedules
        .iter()
        .find(|schedule| schedule.matches(month, weekday))
        .unwrap();
    let now = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
    schedule
        .periods
        .iter()
        .rfind(|period| period.from.get() <= now)
        .unwrap()
        .kind
}

proptest! {
    #[test]
    fn the_kind_is_the_one_on_the_local_clock(tariff in any_tariff(), at in any_wall()) {
        prop_assert_eq!(tariff.kind_at(at), kind_by_the_calendar(&tariff, at));
        prop_assert_eq!(tariff.price_at(at), tariff.prices[&tariff.kind_at(at)]);
        prop_assert!(tariff.price_at(at).total() <= tariff.highest_price());
    }

    #[test]
    fn pieces_cover_the_span_and_change_kind_where_the_clock_says(
        tariff in any_tariff(), from in any_wall(), ms in 0..3 * 86_400_000_i64,
    ) {
        let to = from.after_ms(ms);
        let pieces: Vec<Piece> = tariff.pieces(from, to).collect();
        prop_assert_eq!(pieces.is_empty(), from == to);
        prop_assert!(pieces.len() <= 4 * (PERIODS_MAX + 2));
        let mut at = from;
        for piece in &pieces {
            prop_assert_eq!(piece.from, at);
            prop_assert!(piece.to > piece.from);
            for inside in (piece.from.0..piece.to.0).step_by(5 * 60_000).chain([piece.to.0 - 1]) {
                prop_assert_eq!(kind_by_the_calendar(&tariff, Wall(inside)), piece.kind);
            }
            at = piece.to;
        }
        prop_assert_eq!(at, to.max(from));
        prop_assert!(pieces.windows(2).all(|pair| pair[0].kind != pair[1].kind));
    }

    #[test]
    fn the_next_boundary_is_where_the_first_piece_ends(tariff in any_tariff(), at in any_wall()) {
        let next = tariff.next_boundary(at);
        prop_assert!(next > at);
        if next < Wall::RANGE.end {
            prop_assert_ne!(tariff.kind_at(next), tariff.kind_at(at));
            prop_assert_eq!(tariff.kind_at(Wall(next.0 - 1)), tariff.kind_at(at));
            let first = tariff.pieces(at, next.after_ms(1)).next().unwrap();
            prop_assert_eq!(first, Piece { from: at, to: next, kind: tariff.kind_at(at) });
        }
    }

    #[test]
    fn the_day_table_says_what_the_day_is(tariff in any_tariff(), at in any_wall()) {
        let rows = tariff.day_table(at);
        prop_assert_eq!(rows[0].from.as_str(), "00:00");
        prop_assert!(rows.windows(2).all(|pair| pair[0].from < pair[1].from && pair[0].kind != pair[1].kind));
        let local = at.timestamp().to_zoned(TimeZone::get(&tariff.time_zone).unwrap());
        let now = format!("{:02}:{:02}", local.hour(), local.minute());
        let row = rows.iter().rfind(|row| row.from <= now).unwrap();
        prop_assert_eq!(row.kind, tariff.kind_at(at));
        prop_assert_eq!(row.price_per_kwh, tariff.price_at(at).total());
    }

    #[test]
    fn a_tariff_survives_json_and_toml(tariff in any_tariff()) {
        let json = serde_json::to_string(&tariff).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Tariff>(&json).unwrap(), &tariff);
        prop_assert_eq!(&Tariff::from_json(&json, &tariff.time_zone).unwrap(), &tariff);
        let toml = toml::to_string(tariff.spec()).unwrap();
        prop_assert_eq!(&Tariff::from_toml(&toml, &tariff.time_zone).unwrap(), &tariff);
    }

    #[test]
    fn no_instant_is_too_strange(tariff in any_tariff(), at: i64, to: i64) {
        let (at, to) = (Wall(at), Wall(to));
        tariff.kind_at(at);
        tariff.day_table(at);
        prop_assert!(tariff.next_boundary(at) > at || at >= Wall::RANGE.end);
        prop_assert!(tariff.pieces(at, to).take(3).all(|piece| piece.to > piece.from));
    }

    #[test]
    fn a_damaged_document_is_refused_in_words(
        at in 0..EXAMPLE.len(), cut in 0..40_usize, insert in "[ -~\n尖]{0,12}",
    ) {
        let (Some(head), Some(tail)) = (EXAMPLE.get(..at), EXAMPLE.get(at + cut..)) else { return Ok(()) };
        let text = format!("{head}{insert}{tail}");
        if let Err(fault) = Tariff::from_toml(&text, "Asia/Shanghai") {
            prop_assert!((1..=check::FAULTS_MAX).contains(&fault.faults.len()));
            prop_assert!(fault.faults.iter().all(|fault| !fault.message.is_empty()), "{}", fault);
        }
    }

    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC{0,60}", json in "[\\[\\]{}:,\"0-9a-z. -]{0,60}") {
        prop_assert!(Tariff::from_toml(&text, "UTC").is_err());
        prop_assert!(Tariff::from_json(&json, "UTC").is_err());
        prop_assert!(Tariff::from_json(&text, "UTC").is_err());
    }
}

fn pieces_of(tariff: &Tariff, from: &str, to: &str) -> Vec<(String, PeriodKind)> {
    tariff
        .pieces(wall(from), wall(to))
        .map(|piece| (piece.from.to_string(), piece.kind))
        .collect()
}

fn pairs(expected: &[(&str, PeriodKind)]) -> Vec<(String, PeriodKind)> {
    expected.iter().map(|(at, kind)| ((*at).to_owned(), *kind)).collect()
}

#[test]
fn the_hour_that_comes_twice_has_each_price_twice() {
    use PeriodKind::{Peak, Valley};
    let tariff = daily("Europe/Berlin", &[("00:00", Valley), ("02:30", Peak)]);
    // At 03:00 summer time (01:00Z) the clock goes back to 02:00, which is valley again, and 02:30 strikes twice.
    let expected = pairs(&[
        ("2026-10-24T22:00:00Z", Valley),
        ("2026-10-25T00:30:00Z", Peak),
        ("2026-10-25T01:00:00Z", Valley),
        ("2026-10-25T01:30:00Z", Peak),
    ]);
    assert_eq!(
        pieces_of(&tariff, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        expected,
        "a day of 25 hours"
    );
}

#[test]
fn a_mark_in_the_hour_that_is_left_out_counts_when_the_clock_has_passed_it() {
    use PeriodKind::{Flat, Peak, Valley};
    let tariff = daily("Europe/Berlin", &[("00:00", Valley), ("02:15", Flat), ("02:30", Peak)]);
    let expected = pairs(&[("2026-03-28T23:00:00Z", Valley), ("2026-03-29T01:00:00Z", Peak)]);
    assert_eq!(
        pieces_of(&tariff, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        expected,
        "a day of 23 hours"
    );
}

#[test]
fn a_mark_that_the_clock_goes_back_from_is_passed_once() {
    use PeriodKind::{Flat, Peak, Valley};
    let tariff = daily("Europe/Berlin", &[("00:00", Valley), ("02:00", Peak), ("03:00", Flat)]);
    // When 03:00 would strike for the first time it is 02:00 again: peak for two hours on end.
    let expected = pairs(&[
        ("2026-10-24T22:00:00Z", Valley),
        ("2026-10-25T00:00:00Z", Peak),
        ("2026-10-25T02:00:00Z", Flat),
    ]);
    assert_eq!(
        pieces_of(&tariff, "2026-10-24T22:00:00Z", "2026-10-25T12:00:00Z"),
        expected
    );
}

#[test]
fn half_an_hour_of_summer_time_is_half_an_hour() {
    use PeriodKind::{Peak, Valley};
    let tariff = daily("Australia/Lord_Howe", &[("00:00", Valley), ("01:45", Peak)]);
    // 02:00 at +11:00 is 15:00Z; the clock goes back to 01:30 at +10:30.
    let expected = pairs(&[
        ("2026-04-04T14:00:00Z", Valley),
        ("2026-04-04T14:45:00Z", Peak),
        ("2026-04-04T15:00:00Z", Valley),
        ("2026-04-04T15:15:00Z", Peak),
    ]);
    assert_eq!(
        pieces_of(&tariff, "2026-04-04T14:00:00Z", "2026-04-04T20:00:00Z"),
        expected
    );
}

#[test]
fn midnight_is_a_boundary_only_if_the_kind_changes() {
    use PeriodKind::{Flat, Valley};
    let tariff = daily(
        "Asia/Shanghai",
        &[("00:00", Valley), ("08:00", Flat), ("22:00", Valley)],
    );
    assert_eq!(
        tariff.next_boundary(wall("2026-05-01T23:00:00+08:00")),
        wall("2026-05-02T08:00:00+08:00")
    );
    let flat = daily("Asia/Shanghai", &[("00:00", Flat)]);
    assert_eq!(
        flat.next_boundary(wall("2026-05-01T23:00:00+08:00")),
        Wall::RANGE.end,
        "never"
    );
}

#[test]
fn the_example_file_is_a_tariff() {
    let tariff = Tariff::from_toml(EXAMPLE, "Asia/Shanghai").unwrap();
    assert_eq!(tariff.id.as_str(), "example-2026");
    assert_eq!(tariff.time_zone, "Asia/Shanghai");
    let kind = |at: &str| tariff.kind_at(wall(at));
    assert_eq!(kind("2026-07-15T20:00:00+08:00"), PeriodKind::Sharp, "a summer evening");
    assert_eq!(
        kind("2026-08-01T20:00:00+08:00"),
        PeriodKind::Sharp,
        "summer wins over the weekend"
    );
    assert_eq!(kind("2026-06-30T20:00:00+08:00"), PeriodKind::Peak, "not yet summer");
    assert_eq!(kind("2026-09-05T12:00:00+08:00"), PeriodKind::Valley, "a Saturday noon");
    assert_eq!(kind("2026-09-04T12:00:00+08:00"), PeriodKind::Flat, "a Friday noon");
    assert_eq!(tariff.highest_price(), "1.63255".parse().unwrap(), "1.18255 + 0.45");
    let table = tariff.day_table(wall("2026-09-04T12:00:00+08:00"));
    assert_eq!(table.len(), 7);
    let row = serde_json::to_string(&table[1]).unwrap();
    assert_eq!(row, r#"{"from":"06:00","kind":"flat","price_per_kwh":"1.04370"}"#);
}

#[test]
fn a_tariff_on_the_wire_looks_like_the_document() {
    let tariff = daily(
        "Asia/Shanghai",
        &[("00:00", PeriodKind::Valley), ("08:30", PeriodKind::Peak)],
    );
    let json = serde_json::to_value(&tariff).unwrap();
    let periods = serde_json::json!([
        {"from": "00:00", "to": "08:30", "kind": "valley"},
        {"from": "08:30", "to": "24:00", "kind": "peak"},
    ]);
    assert_eq!(json["schedules"], serde_json::json!([{ "periods": periods }]));
    assert_eq!(
        json["prices"]["peak"],
        serde_json::json!({"electricity": "1.00000", "service": "0.40000"})
    );
    assert_eq!(
        (json["currency"].as_str(), json["time_zone"].as_str()),
        (Some("CNY"), Some("Asia/Shanghai"))
    );
}

/// A small valid document, for breaking.
const SMALL: &str = r#"id = "small"
effective_from = "2026-01-01T00:00:00+08:00"

[prices.flat]
electricity = "0.60"
service = "0.40"

[prices.peak]
electricity = "1.00000"
service = "0.40"

[[schedules]]
weekdays = ["sat", "sun"]
periods = [{ from = "00:00", to = "24:00", kind = "flat" }]

[[schedules]]
periods = [
    { from = "00:00", to = "08:00", kind = "flat" },
    { from = "08:00", to = "20:00", kind = "peak" },
    { from = "20:00", to = "24:00", kind = "flat" },
]
"#;

#[track_caller]
fn refused(from: &str, to: &str) -> Vec<String> {
    assert!(SMALL.contains(from), "{from}");
    let fault = Tariff::from_toml(&SMALL.replacen(from, to, 1), "Asia/Shanghai").unwrap_err();
    fault.faults.iter().map(ToString::to_string).collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn every_fault_names_its_line_its_key_and_the_way_out() {
    assert!(Tariff::from_toml(SMALL, "Asia/Shanghai").is_ok());
    let cases = [
        (
            r#"to = "20:00""#,
            r#"to = "19:00""#,
            "line 20: schedules[1].periods[2].from: nothing covers 19:00 to 20:00; start this period at 19:00",
        ),
        (
            r#"to = "20:00""#,
            r#"to = "20:30""#,
            "line 20: schedules[1].periods[2].from: overlaps the period before it, which ends at 20:30; start at 20:30, \
             with periods in order",
        ),
        (
            r#"to = "24:00", kind = "flat" },"#,
            r#"to = "23:30", kind = "flat" },"#,
            "line 20: schedules[1].periods[2].to: the day ends at 23:30; the last period must go to 24:00",
        ),
        (
            r#"from = "20:00", to = "24:00""#,
            r#"from = "20:00", to = "06:00""#,
            "line 20: schedules[1].periods[2].to: ends at 06:00, not after its start at 20:00; a period across midnight is \
             written as two: one to 24:00, one from 00:00",
        ),
        (
            r#"electricity = "0.60""#,
            "electricity = 0.60",
            "line 5: prices.flat.electricity: write the price in quotes (\"0.60\"), so that every digit counts",
        ),
        (
            r#"electricity = "0.60""#,
            r#"electricity = "-0.60""#,
            "line 5: prices.flat.electricity: the price -0.60000 is negative; give 0 or more",
        ),
        (
            r#"electricity = "0.60""#,
            r#"electricity = "0.600001""#,
            "line 5: prices.flat.electricity: `0.600001` has more than 5 decimal places",
        ),
        (
            r#"electricity = "1.00000""#,
            r#"electricity = "100.5""#,
            "line 9: prices.peak.electricity: the price 100.50000 is above 100.00000 yuan/kWh; prices are in yuan, not in fen",
        ),
        (
            r#"kind = "peak""#,
            r#"kind = "peek""#,
            "line 19: schedules[1].periods[1].kind: `peek` is not known here; did you mean `peak`?",
        ),
        (
            r#"kind = "peak""#,
            r#"kind = "sharp""#,
            "line 4: prices.sharp: a schedule uses `sharp`, which has no price; add `electricity` and `service` for it",
        ),
        (
            "weekdays",
            "weekday",
            "line 13: schedules[0].weekday: `weekday` is not known here; did you mean `weekdays`?",
        ),
        (
            r#"["sat", "sun"]"#,
            r#"["sat", "sunday"]"#,
            "line 13: schedules[0].weekdays[1]: a day of the week is one of \"mon\" \"tue\" \"wed\" \"thu\" \"fri\" \"sat\" \
             \"sun\"",
        ),
        (
            r#"["sat", "sun"]"#,
            "[]",
            "line 13: schedules[0].weekdays: is empty; leave it out to mean every day",
        ),
        (
            r#"weekdays = ["sat", "sun"]"#,
            "months = [0]",
            "line 13: schedules[0].months[0]: a month is a number from 1 to 12",
        ),
        (
            r#"weekdays = ["sat", "sun"]"#,
            "months = [7, 7]",
            "line 13: schedules[0].months[1]: is listed twice",
        ),
        (
            "[[schedules]]\nperiods",
            "[[schedules]]\nmonths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]\nperiods",
            "line 12: schedules: no schedule applies to `mon` in October; add a last one without `months` and `weekdays`",
        ),
        (
            "weekdays = [\"sat\", \"sun\"]\n",
            "",
            "line 15: schedules[1]: never applies: the schedules before it take all its days, and the first match wins; move \
             it up",
        ),
        (
            r#"id = "small""#,
            r#"id = "s m""#,
            "line 1: id: `s m` is not a valid tariff id: 1 to 32 of A-Z a-z 0-9 _ -",
        ),
        (r#"id = "small""#, "", "id: is missing"),
        (
            r#"id = "small""#,
            "id = \"small\"\ncurrency = \"EUR\"",
            "line 2: currency: `EUR` is not supported; the only currency is \"CNY\"",
        ),
        (
            r#"id = "small""#,
            "id = \"small\"\ntime_zone = \"Europe/Berlin\"",
            "line 2: time_zone: is `Europe/Berlin`, but the site is in `Asia/Shanghai`; leave it out here",
        ),
        (
            r#""2026-01-01T00:00:00+08:00""#,
            "2026-01-01T00:00:00",
            "line 2: effective_from: `2026-01-01T00:00:00` is not an RFC 3339 time such as 2026-03-01T08:00:00+08:00",
        ),
        (
            r#"from = "08:00""#,
            "from = 08:00:00",
            "line 19: schedules[1].periods[1].from: is a date or time; give a time of day in quotes such as \"08:30\"",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(refused(from, to), [expected]);
    }
}

#[test]
fn faults_are_collected() {
    let broken = SMALL.replace("0.60", "-0.60").replace("\"0.40\"", "\"101\"");
    let fault = Tariff::from_toml(&broken, "Asia/Shanghai").unwrap_err();
    let paths: Vec<&str> = fault.faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        ["prices.peak.service", "prices.flat.electricity", "prices.flat.service"]
    );
    assert_eq!(fault.to_string().lines().count(), 3);
}

#[test]
fn syntax_faults_and_unknown_zones_have_a_place_too() {
    assert_eq!(refused("[prices.flat]", "[prices.flat").len(), 1);
    let fault = Tariff::from_toml("id = \n", "Asia/Shanghai").unwrap_err();
    assert_eq!(fault.faults[0].line, Some(1));
    let fault = Tariff::from_toml(SMALL, "Asia/Shanghigh").unwrap_err();
    assert_eq!(fault.faults[0].path, "time_zone");
    assert!(Tariff::from_toml(&" ".repeat(DOCUMENT_BYTES_MAX + 1), "UTC").is_err());
}

#[test]
fn json_gives_the_same_faults_by_key() {
    let text = r#"{"id":"small","effective_from":"2026-01-01T00:00:00+08:00","prices":{"flat":{"electricity":0.55,"service":"-1"}},
        "schedules":[{"periods":[{"from":"00:00","to":"24:00","kind":"flat"}]}]}"#;
    let fault = Tariff::from_json(text, "Asia/Shanghai").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "prices.flat.service: the price -1.00000 is negative; give 0 or more"
    );
    let tariff = Tariff::from_json(&text.replace("-1", "0.1"), "Asia/Shanghai").unwrap();
    assert_eq!(
        tariff.highest_price(),
        Price(65_000),
        "a JSON number is read by its digits"
    );
    let twice = text
        .replace("-1", "0.1")
        .replace(r#"{"id":"small","#, r#"{"id":"small","id":"other","#);
    assert_eq!(
        Tariff::from_json(&twice, "Asia/Shanghai").unwrap_err().to_string(),
        "id: is given twice"
    );
    let stored = serde_json::from_str::<Tariff>(&text.replace("-1", "0.1")).unwrap_err();
    assert!(stored.to_string().starts_with("time_zone: is missing"), "{stored}");
    assert!(Tariff::from_json(r#"{"id":"\ud800"}"#, "UTC").is_err());
    assert!(Tariff::from_json(&format!("{}{}", "[".repeat(100), "]".repeat(100)), "UTC").is_err());
}

#[test]
fn the_bounds_are_refused_beyond() {
    let full = |periods: u16| -> Vec<Period> {
        (0..periods)
            .map(|from| Period {
                from: MinuteOfDay::new(from).unwrap(),
                kind: PeriodKind::Flat,
            })
            .collect()
    };
    let with = |periods: u16, schedules: usize| {
        let mut spec = daily("UTC", &[("00:00", PeriodKind::Flat)]).spec().clone();
        spec.schedules[0].periods = full(periods);
        spec.schedules = vec![spec.schedules[0].clone(); schedules];
        spec.validate()
            .map(|_| ())
            .map_err(|fault| fault.faults[0].path.clone())
    };
    assert_eq!(with(96, 1), Ok(()));
    assert_eq!(with(97, 1), Err("schedules[0].periods".to_owned()));
    assert_eq!(with(0, 1), Err("schedules[0].periods".to_owned()));
    assert_eq!(with(1, 33), Err("schedules".to_owned()));
    assert_eq!(with(1, 0), Err("schedules".to_owned()));
}

#[test]
fn the_latest_version_in_effect_is_in_force() {
    let version = |id: &str, from: &str| {
        let mut spec = daily("UTC", &[("00:00", PeriodKind::Flat)]).spec().clone();
        (spec.id, spec.effective_from) = (TariffId::new(id).unwrap(), wall(from));
        spec.validate().unwrap()
    };
    let versions = [
        version("b", "2026-02-01T00:00:00Z"),
        version("a", "2026-02-01T00:00:00Z"),
        version("old", "2026-01-01T00:00:00Z"),
    ];
    let at = |at: &str| in_force(&versions, wall(at)).map(|tariff| tariff.id.as_str());
    assert_eq!(at("2025-12-31T23:59:59Z"), None);
    assert_eq!(at("2026-01-31T23:59:59Z"), Some("old"));
    assert_eq!(at("2026-02-01T00:00:00Z"), Some("b"), "the greatest id among equals");
}

#[test]
fn times_of_day_are_strict() {
    assert_eq!(minute("08:30").get(), 510);
    for bad in ["24:00", "8:30", "08:60", "08-30", "", "08:3", "+8:30", "０８:30"] {
        assert!(bad.parse::<MinuteOfDay>().is_err(), "{bad}");
    }
}

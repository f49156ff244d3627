//! Days of a scope: when one begins and ends, what is due on it, how old something is. Arithmetic alone: what the time is stands in none
//! of it.

use domain::time::{Day, Wall, Zone};

/// A payment of the last hour of a day may be credited on the next: the channel says it again until it is heard. Until then it is not
/// LONG, in milliseconds.
pub const CALLBACK_GRACE_MS: i64 = 3_600_000;

/// A day of a channel, in the time of its zone: 23 or 25 hours long where clocks change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Which day.
    pub day: Day,
    /// When it begins.
    pub begin: Wall,
    /// When it ends, and the next begins.
    pub end: Wall,
    /// A payment from here on may be credited tomorrow.
    pub grace_from: Wall,
    /// A credit from before this is due: the channel must have it (T+n, calendar days).
    pub due_before: Wall,
}

impl Window {
    /// This day, where a payment is in the bill after `settle_days` calendar days at the latest.
    pub fn of(zone: &Zone, day: Day, settle_days: u32) -> Self {
        let end = zone.begin_of(day.plus(1));
        let back = i32::try_from(settle_days).unwrap_or(i32::MAX - 1);
        Self {
            day,
            begin: zone.begin_of(day),
            end,
            grace_from: end.after_ms(-CALLBACK_GRACE_MS),
            due_before: zone.begin_of(day.plus(1 - back)),
        }
    }
}

/// How many calendar days `to` comes after `from`; below zero: before.
pub fn apart(from: Day, to: Day) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    let utc = Zone::named("UTC").expect("the bundled time zones hold UTC");
    utc.begin_of(to).ms_since(utc.begin_of(from)) / DAY_MS
}

/// The days from one to another, both included.
pub fn through(from: Day, to: Day) -> impl Iterator<Item = Day> {
    std::iter::successors(Some(from), |day| Some(day.plus(1))).take_while(move |day| *day <= to)
}

/// How old something is that has been open since a day, in the bands of reports.
pub fn age(since: Day, on: Day) -> &'static str {
    match apart(since, on) {
        ..=1 => "0-1",
        2..=3 => "2-3",
        4..=7 => "4-7",
        8..=30 => "8-30",
        _ => ">30",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn hours(zone: &str, text: &str) -> i64 {
        let window = Window::of(&Zone::named(zone).unwrap(), day(text), 3);
        window.end.ms_since(window.begin) / HOUR_MS
    }

    #[test]
    fn a_day_is_as_long_as_its_zone_makes_it() {
        assert_eq!(hours("Asia/Shanghai", "2026-03-29"), 24);
        assert_eq!(hours("Europe/Berlin", "2026-03-29"), 23);
        assert_eq!(hours("Europe/Berlin", "2026-10-25"), 25);
    }

    #[test]
    fn a_credit_is_due_after_as_many_calendar_days_as_the_channel_takes() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let due = |on: &str, settle_days| Window::of(&zone, day(on), settle_days).due_before;
        // T+3: of Friday it is due on Monday, whichever hour was lost on Sunday.
        assert_eq!(due("2026-03-30", 3), zone.begin_of(day("2026-03-28")));
        assert_eq!(
            due("2026-03-30", 0),
            zone.begin_of(day("2026-03-31")),
            "T+0: on its own day"
        );
        assert_eq!(due("2026-03-30", 1), zone.begin_of(day("2026-03-30")));
    }

    #[test]
    fn what_is_open_is_of_an_age() {
        let of = |on: &str| age(day("2026-02-27"), day(on));
        assert_eq!(
            [of("2026-02-27"), of("2026-02-28"), of("2026-03-01")],
            ["0-1", "0-1", "2-3"]
        );
        assert_eq!(
            [of("2026-03-02"), of("2026-03-03"), of("2026-03-06")],
            ["2-3", "4-7", "4-7"]
        );
        assert_eq!(
            [of("2026-03-07"), of("2026-03-29"), of("2026-03-30")],
            ["8-30", "8-30", ">30"]
        );
        assert_eq!(apart(day("2026-03-01"), day("2026-02-27")), -2);
    }

    #[test]
    fn days_go_on_over_the_end_of_a_month() {
        let days: Vec<String> = through(day("2026-02-27"), day("2026-03-01"))
            .map(|day| day.to_string())
            .collect();
        assert_eq!(days, ["2026-02-27", "2026-02-28", "2026-03-01"]);
        assert_eq!(through(day("2026-03-02"), day("2026-03-01")).count(), 0);
    }
}

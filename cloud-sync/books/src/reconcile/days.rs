//! Days of a scope: when one begins and ends, what is due on it, how old something is. Arithmetic alone: what the time is stands in none
//! of it.

use crate::store::jobs::AHEAD_MS_MAX;
use bills::Biller;
use domain::time::{Day, Wall, Zone};

/// The hour at which a day that is over is reconciled first (S05 §3), and from which on it may be final.
const AT_HOUR: i8 = 1;

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

/// How a channel's days are reconciled, from one on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// From which day on.
    pub from: Day,
    /// Where its days begin.
    pub zone: Zone,
    /// What it keeps of a payment, in millionths.
    pub fee_ppm: u32,
    /// After so many calendar days a payment is in its bill (T+n).
    pub settle_days: u32,
    /// Whose files its bills are.
    pub biller: Biller,
}

impl Setting {
    /// Whether it says the same, of whichever days.
    pub fn is_like(&self, other: &Self) -> bool {
        let from = self.from;
        *self == Self { from, ..other.clone() }
    }
}

/// The settings of a channel, each for the days up to the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(Vec<Setting>);

impl Settings {
    /// These, by their days; none where there are none.
    pub fn new(settings: Vec<Setting>) -> Option<Self> {
        (!settings.is_empty()).then_some(Self(settings))
    }

    /// The channel's first day.
    pub fn first(&self) -> Day {
        self.0[0].from
    }

    /// Those that hold now.
    pub fn last(&self) -> &Setting {
        &self.0[self.0.len() - 1]
    }

    /// What holds on a day.
    pub fn on(&self, day: Day) -> &Setting {
        let found = self.0.iter().rev().find(|setting| setting.from <= day);
        found.unwrap_or(&self.0[0])
    }

    /// When a day ends by its own clocks.
    fn end_of(&self, day: Day) -> Wall {
        self.on(day).zone.begin_of(day.plus(1))
    }

    /// When a day begins: when the one before ends, by its clocks. No time is of no day, and none is of two.
    fn begin_of(&self, day: Day) -> Wall {
        let before = |back: i32| {
            let day = day.plus(-back);
            (day >= self.first()).then(|| self.end_of(day))
        };
        // The day before may have no hour of its own.
        match before(1).max(before(2)) {
            Some(end) => end,
            None => self.on(day).zone.begin_of(day),
        }
    }

    /// A day. Where the channel's clocks change their zone it is longer or shorter.
    pub fn window(&self, day: Day) -> Window {
        let begin = self.begin_of(day);
        let end = self.end_of(day).max(begin);
        let back = i32::try_from(self.on(day).settle_days).unwrap_or(i32::MAX - 1);
        Window {
            day,
            begin,
            end,
            grace_from: end.after_ms(-CALLBACK_GRACE_MS),
            due_before: self.begin_of(day.plus(1 - back)),
        }
    }

    /// The last day that is over.
    pub fn over(&self, now: Wall) -> Day {
        let today = self.last().zone.day_of(now);
        let is_over = |day: &Day| self.window(*day).end <= now;
        let mut days = (-2..=0).rev().map(|back| today.plus(back));
        days.find(is_over).unwrap_or(today.plus(-3))
    }

    /// The last day that is reconciled by itself by now: it is over, and it is 01:00.
    pub fn due(&self, now: Wall) -> Day {
        self.over(now).min(last_due(&self.last().zone, now))
    }
}

/// The last day that is to be reconciled by now where the clocks are these: it is over, and it is 01:00.
pub fn last_due(zone: &Zone, now: Wall) -> Day {
    let today = zone.day_of(now);
    match now < zone.at(today, AT_HOUR) {
        true => today.plus(-2),
        false => today.plus(-1),
    }
}

/// The first 01:00 after a time, by clocks of a zone: what came then may be final from here on, and was to be seen and to be withdrawn
/// until then.
pub fn night_after(zone: &Zone, at: Wall) -> Wall {
    let today = zone.day_of(at);
    let hour = zone.at(today, AT_HOUR);
    match at < hour {
        true => hour,
        false => zone.at(today.plus(1), AT_HOUR),
    }
}

/// The night after the last of what head office learnt of at these times: nothing that it learnt of then is final before. What was written by
/// a clock that was ahead came before, and has had its night.
pub fn night_of(zone: &Zone, learnt: impl IntoIterator<Item = Wall>, now: Wall) -> Option<Wall> {
    let learnt = learnt.into_iter().filter(|at| *at <= now.after_ms(AHEAD_MS_MAX));
    learnt.max().map(|at| night_after(zone, at))
}

/// The latest day that it may be anywhere: tomorrow in Greenwich.
pub fn latest(now: Wall) -> Day {
    utc().day_of(now).plus(1)
}

fn utc() -> Zone {
    Zone::named("UTC").expect("the bundled time zones hold UTC")
}

/// How many calendar days `to` comes after `from`; below zero: before.
pub fn apart(from: Day, to: Day) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    let utc = utc();
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
    fn a_day_is_due_at_one_o_clock_where_the_channel_is() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let due = |at: &str| last_due(&zone, Wall::parse(at).unwrap()).to_string();
        assert_eq!(
            due("2026-03-30T22:59:59Z"),
            "2026-03-29",
            "00:59:59 there: the day before is over, and not due yet"
        );
        assert_eq!(due("2026-03-30T23:00:00Z"), "2026-03-30");
        assert_eq!(due("2026-03-31T21:59:59Z"), "2026-03-30");
        let night = |at: &str| night_after(&zone, Wall::parse(at).unwrap());
        assert_eq!(
            night("2026-03-30T22:59:59Z"),
            Wall::parse("2026-03-30T23:00:00Z").unwrap()
        );
        assert_eq!(
            night("2026-03-30T23:00:00Z"),
            Wall::parse("2026-03-31T23:00:00Z").unwrap()
        );
    }

    #[test]
    fn what_a_clock_ahead_has_written_is_not_waited_for() {
        let zone = Zone::named("UTC").unwrap();
        let at = |text: &str| Wall::parse(text).unwrap();
        let now = at("2026-03-10T12:00:00Z");
        let night = |learnt: &[Wall]| night_of(&zone, learnt.iter().copied(), now);
        assert_eq!(night(&[]), None);
        let (before, ahead) = (at("2026-03-10T00:30:00Z"), at("2031-01-01T00:00:00Z"));
        assert_eq!(night(&[ahead]), None);
        assert_eq!(night(&[before, ahead]), Some(at("2026-03-10T01:00:00Z")));
        assert_eq!(night(&[before, now]), Some(at("2026-03-11T01:00:00Z")));
    }

    #[test]
    fn no_time_is_of_no_day_and_none_is_of_two_where_the_zone_changes() {
        let setting = |from: &str, zone: &str| Setting {
            from: day(from),
            zone: Zone::named(zone).unwrap(),
            fee_ppm: 6_000,
            settle_days: 1,
            biller: Biller::Csv,
        };
        // West, and as far east as there is.
        let settings = Settings::new(vec![
            setting("2026-03-02", "Asia/Shanghai"),
            setting("2026-03-04", "Pacific/Pago_Pago"),
            setting("2026-03-06", "Pacific/Kiritimati"),
        ]);
        let settings = settings.unwrap();
        let windows: Vec<Window> = through(day("2026-03-02"), day("2026-03-08"))
            .map(|day| settings.window(day))
            .collect();
        let hours: Vec<i64> = windows.iter().map(|of| of.end.ms_since(of.begin) / HOUR_MS).collect();
        assert_eq!(hours, [24, 24, 24 + 19, 24, 0, 23, 24]);
        assert!(windows.windows(2).all(|two| two[0].end == two[1].begin));
        assert_eq!(settings.on(day("2026-03-03")).zone.name(), "Asia/Shanghai");
        assert_eq!(settings.over(windows[2].end), day("2026-03-04"));
        assert_eq!(settings.over(windows[2].end.after_ms(-1)), day("2026-03-03"));
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

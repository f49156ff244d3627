//! The two clocks a station has, both as inputs: elapsed time for deadlines, wall time for prices.
//! Nothing in this crate reads a clock.

use jiff::{
    Timestamp, ToSpan,
    civil::Date,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Elapsed station time in milliseconds.
///
/// It never runs backwards and goes on across restarts, so a deadline keeps what was left of it; it is not the time of
/// day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    /// This instant and `ms` milliseconds.
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant; zero if it is not earlier.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Wall time: milliseconds since 1970-01-01T00:00:00Z. RFC 3339 on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

impl Wall {
    /// The earliest and latest times that are taken at all: 1970 (a pile whose clock lost its battery) and 2200.
    pub const RANGE: std::ops::Range<Self> = Self(0)..Self(7_258_118_400_000);

    /// Reads RFC 3339 with an offset; times outside [`Wall::RANGE`] are refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        let at: Timestamp = text
            .parse()
            .map_err(|_| format!("`{text}` is not an RFC 3339 time such as 2026-03-01T08:00:00+08:00"))?;
        let wall = Self(at.as_millisecond());
        if Self::RANGE.contains(&wall) {
            Ok(wall)
        } else {
            Err(format!("`{text}` is outside 1970 to 2200"))
        }
    }

    /// The same instant for calendar arithmetic; clamped to [`Wall::RANGE`].
    pub fn timestamp(self) -> Timestamp {
        let ms = self.0.clamp(Self::RANGE.start.0, Self::RANGE.end.0);
        Timestamp::from_millisecond(ms).expect("the years 1970 to 2200 are inside jiff's range")
    }

    /// This instant and `ms` milliseconds (negative: before).
    pub fn after_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant, negative if it is later.
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.timestamp())
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// A moment by both clocks: the present, as it is given with every input, or one that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Now {
    /// Elapsed station time: deadlines, offline detection.
    pub mono: Mono,
    /// Wall time: prices, and what people read.
    pub wall: Wall,
}

/// A business day of the site: 00:00 to 24:00 by its own clocks on the wall. `YYYY-MM-DD` on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// Reads `YYYY-MM-DD`, from 1970 to 2200.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let date: Option<Date> = text.parse().ok().filter(|_| text.len() == 10);
        date.filter(|date| (1970..=2200).contains(&date.year()))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a day such as 2026-03-01"))
    }

    /// The day `days` later; negative: earlier. The calendar's ends stay what they are.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days.days()))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// The site's time zone: what its business days are cut by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of an IANA name, such as `Asia/Shanghai`.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn named(name: &str) -> Result<Self, String> {
        let zone = TimeZoneDatabase::bundled().get(name);
        zone.map(Self)
            .map_err(|_| format!("`{name}` is not the IANA name of a time zone"))
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The business day that `at` lies in.
    pub fn day_of(&self, at: Wall) -> Day {
        Day(self.0.to_datetime(at.timestamp()).date())
    }

    /// When a day begins; the day before ends there.
    pub fn begin_of(&self, day: Day) -> Wall {
        self.at(day, 0)
    }

    /// When clocks on the wall show `hour` o'clock of a day. Where they are put forward over it, as much later; where they
    /// show it twice, the first time.
    pub fn at(&self, day: Day, hour: i8) -> Wall {
        let shown = day.0.at(hour, 0, 0, 0);
        let at = shown.to_zoned(self.0.clone());
        Wall(at.map_or(Wall::RANGE.end.0, |at| at.timestamp().as_millisecond()))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::named("Asia/Shanghai").expect("the bundled time zones hold Asia/Shanghai")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> Wall {
        Wall::parse(text).unwrap()
    }

    #[test]
    fn days_are_as_long_as_the_clocks_on_the_wall_make_them() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let hours = |day: &str| {
            let day = Day::parse(day).unwrap();
            berlin.begin_of(day.plus(1)).ms_since(berlin.begin_of(day)) / 3_600_000
        };
        assert_eq!(
            (hours("2026-03-28"), hours("2026-03-29"), hours("2026-10-25")),
            (24, 23, 25)
        );
        // New York's clocks go from 02:00 back to 01:00: one o'clock is shown twice.
        let new_york = Zone::named("America/New_York").unwrap();
        let day = Day::parse("2026-11-01").unwrap();
        assert_eq!(new_york.at(day, 1), wall("2026-11-01T01:00:00-04:00"), "the first time");
        // Beirut's go from 00:00 to 01:00: that day has no midnight.
        let beirut = Zone::named("Asia/Beirut").unwrap();
        let day = Day::parse("2026-03-29").unwrap();
        assert_eq!(beirut.begin_of(day), wall("2026-03-29T01:00:00+03:00"));
        assert_eq!(beirut.day_of(wall("2026-03-28T23:59:59+02:00")), day.plus(-1));
        assert_eq!(beirut.day_of(beirut.begin_of(day)), day);
    }

    #[test]
    fn a_day_is_read_strictly() {
        for wrong in [
            "",
            "2026-3-1",
            "2026-02-30",
            "1969-12-31",
            "2026-03-01T00:00:00Z",
            "20260301",
            "-002026-01",
        ] {
            assert!(Day::parse(wrong).unwrap_err().contains("2026-03-01"), "{wrong}");
        }
        assert_eq!(Day::parse("2026-03-01").unwrap().plus(-1).to_string(), "2026-02-28");
    }
}

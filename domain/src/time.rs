//! The two clocks a station has, both as inputs: elapsed time for deadlines, wall time for prices.
//! Nothing in this crate reads a clock.

use jiff::Timestamp;
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

/// The present, given with every input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Elapsed station time: deadlines, offline detection.
    pub mono: Mono,
    /// Wall time: prices, and what people read.
    pub wall: Wall,
}

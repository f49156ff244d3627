//! Tariffs: what a kilowatt-hour costs at any moment, by the clock on the station's wall.
//! A [`Tariff`] is one checked, immutable version; everything that can be wrong with it is found when it is made.

mod calendar;
mod check;
mod document;
#[cfg(test)]
pub(crate) mod tests;

use crate::{ids::TariffId, time::Wall, units::Price};
use calendar::Calendar;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Deref,
    str::FromStr,
    sync::Arc,
};

pub use check::{Fault, TariffFault};

/// The most day schedules a tariff may have.
pub const SCHEDULES_MAX: usize = 32;
/// The most periods a day schedule may have: every quarter of an hour.
pub const PERIODS_MAX: usize = 96;
/// The highest price a part may have: ¥100 per kWh. A price meant in fen lands above it.
pub const PRICE_MAX: Price = Price(100_00000);
/// The longest tariff document that is read, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// The four kinds of period (尖/峰/平/谷) that a Chinese time-of-use tariff knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodKind {
    /// 尖
    Sharp,
    /// 峰
    Peak,
    /// 平
    Flat,
    /// 谷
    Valley,
}

impl PeriodKind {
    /// Every kind, in the order in which bills and piles list them.
    pub const ALL: [Self; 4] = [Self::Sharp, Self::Peak, Self::Flat, Self::Valley];

    /// The kind's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sharp => "sharp",
            Self::Peak => "peak",
            Self::Flat => "flat",
            Self::Valley => "valley",
        }
    }
}

impl fmt::Display for PeriodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A price per kWh in its two parts, which are booked apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PriceParts {
    /// The electricity itself (电费), yuan per kWh.
    pub electricity: Price,
    /// The station's service fee (服务费), yuan per kWh.
    pub service: Price,
}

impl PriceParts {
    /// What the driver pays per kWh.
    pub fn total(self) -> Price {
        self.electricity + self.service
    }
}

/// The only currency there is so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Currency {
    /// Renminbi yuan.
    #[default]
    #[serde(rename = "CNY")]
    Cny,
}

/// A minute of the local day, 00:00 to 23:59; `"HH:MM"` on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MinuteOfDay(u16);

impl MinuteOfDay {
    /// Where the day begins.
    pub const MIDNIGHT: Self = Self(0);
    /// Minutes in a day of the clock face, whatever the length of the day itself.
    pub const PER_DAY: u16 = 24 * 60;

    /// `minutes` after midnight by the clock; `None` from 24:00 on.
    pub const fn new(minutes: u16) -> Option<Self> {
        if minutes < Self::PER_DAY {
            Some(Self(minutes))
        } else {
            None
        }
    }

    /// Minutes after midnight by the clock.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Reads `HH:MM`, from 00:00 to 24:00, as minutes after midnight.
fn parse_clock(text: &str) -> Option<u16> {
    let two = |part: &str| (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok());
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (two(hour)??, two(minute)??);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= MinuteOfDay::PER_DAY).then_some(minutes)
}

impl FromStr for MinuteOfDay {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_clock(text).and_then(Self::new).ok_or_else(|| {
            format!(
                "`{}` is not a time of day such as 08:30",
                text.chars().take(40).collect::<String>()
            )
        })
    }
}

impl fmt::Display for MinuteOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl fmt::Debug for MinuteOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MinuteOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MinuteOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A day of the week, Monday first as in ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the days of the week explain themselves")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// The whole week.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];

    /// The day's name on the wire.
    pub fn as_str(self) -> &'static str {
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][self as usize]
    }
}

/// One stretch of a day; it lasts until the next one, or until 24:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    /// When it begins by the local clock.
    pub from: MinuteOfDay,
    /// What applies.
    pub kind: PeriodKind,
}

/// What a day looks like, and which days look like that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaySchedule {
    /// Months it applies to, 1 to 12; every month if `None`.
    pub months: Option<BTreeSet<u8>>,
    /// Days of the week it applies to; every day if `None`.
    pub weekdays: Option<BTreeSet<Weekday>>,
    /// The day from 00:00 on, in order.
    pub periods: Vec<Period>,
}

impl DaySchedule {
    /// Whether it applies to such a day.
    pub fn matches(&self, month: u8, weekday: Weekday) -> bool {
        self.months.as_ref().is_none_or(|months| months.contains(&month))
            && self
                .weekdays
                .as_ref()
                .is_none_or(|weekdays| weekdays.contains(&weekday))
    }
}

impl Serialize for DaySchedule {
    /// As a person writes it: periods with both ends.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct PeriodRow<'a> {
            from: MinuteOfDay,
            to: &'a str,
            kind: PeriodKind,
        }
        #[derive(Serialize)]
        struct ScheduleRow<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            months: &'a Option<BTreeSet<u8>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            weekdays: &'a Option<BTreeSet<Weekday>>,
            periods: Vec<PeriodRow<'a>>,
        }
        let later_starts = self.periods.iter().skip(1).map(|period| period.from.to_string());
        let ends: Vec<String> = later_starts.chain(["24:00".to_owned()]).collect();
        let periods = self.periods.iter().zip(&ends).map(|(period, to)| PeriodRow {
            from: period.from,
            to,
            kind: period.kind,
        });
        ScheduleRow {
            months: &self.months,
            weekdays: &self.weekdays,
            periods: periods.collect(),
        }
        .serialize(serializer)
    }
}

/// What a tariff version says, not yet checked. [`TariffSpec::validate`] makes it a [`Tariff`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TariffSpec {
    /// The version's name.
    pub id: TariffId,
    /// Orders placed from then on are pinned to it, until a later version takes over.
    pub effective_from: Wall,
    /// What prices are in.
    pub currency: Currency,
    /// IANA name of the zone whose clock hangs on the station's wall, such as `Asia/Shanghai`.
    pub time_zone: String,
    /// Prices of the kinds that schedules use; others may be left out.
    pub prices: BTreeMap<PeriodKind, PriceParts>,
    /// Day schedules; the first that matches a day is the day's.
    pub schedules: Vec<DaySchedule>,
}

/// A checked tariff version.
///
/// It has all fields of its [`TariffSpec`] for reading (`tariff.id`), none for writing. On the wire it is the JSON
/// object a person would write, with its time zone; reading it from there checks it again.
#[derive(Clone)]
pub struct Tariff {
    spec: TariffSpec,
    /// Derived from `spec`; shared, because tariffs are cloned into orders and the table of clock changes is long.
    calendar: Arc<Calendar>,
}

/// A stretch of time with one kind of period, `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Piece {
    /// Its first instant.
    pub from: Wall,
    /// The first instant after it.
    pub to: Wall,
    /// What applies throughout.
    pub kind: PeriodKind,
}

/// One row of a day's price table, as a pile gets it to price on its own (pile protocol v1, `start` and `price`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PriceRow {
    /// From when by the local clock, `"HH:MM"`; until the next row, or 24:00.
    pub from: String,
    /// What applies.
    pub kind: PeriodKind,
    /// Electricity and service together.
    pub price_per_kwh: Price,
}

impl TariffSpec {
    /// Checks everything and makes it a tariff; on failure, every fault with the key it belongs to.
    pub fn validate(self) -> Result<Tariff, TariffFault> {
        let faults = check::faults(&self);
        if !faults.is_empty() {
            return Err(TariffFault { faults });
        }
        let calendar = Calendar::new(&self).map_err(|fault| TariffFault { faults: vec![fault] })?;
        Ok(Tariff {
            spec: self,
            calendar: Arc::new(calendar),
        })
    }
}

impl Tariff {
    /// Reads a tariff as a person writes it in TOML; `site_zone` is the IANA name of the site's time zone.
    ///
    /// Faults carry line and key. Prices are quoted (`"0.55"`): a TOML float has already lost its digits.
    pub fn from_toml(text: &str, site_zone: &str) -> Result<Self, TariffFault> {
        document::from_toml(text, site_zone)
    }

    /// Reads the same model as JSON; faults carry the key. `time_zone` may be left out or must be the site's.
    pub fn from_json(text: &str, site_zone: &str) -> Result<Self, TariffFault> {
        document::from_json(text, Some(site_zone))
    }

    /// What was checked.
    pub fn spec(&self) -> &TariffSpec {
        &self.spec
    }

    /// The kind of period at an instant. In an hour that the clock shows twice, the clock's reading decides.
    pub fn kind_at(&self, at: Wall) -> PeriodKind {
        self.calendar.kind_at(clamped(at).0)
    }

    /// The price of such a period; nothing for a kind that no schedule uses and that has no price.
    pub fn price_of(&self, kind: PeriodKind) -> PriceParts {
        self.calendar.price_of(kind)
    }

    /// The price at an instant.
    pub fn price_at(&self, at: Wall) -> PriceParts {
        self.price_of(self.kind_at(at))
    }

    /// The first instant after `after` at which the kind of period changes.
    ///
    /// Where the clock is put forward or back, the change counts if the kind is another afterwards. A tariff that never
    /// changes has its next boundary at the end of [`Wall::RANGE`], beyond which nothing is rated.
    pub fn next_boundary(&self, after: Wall) -> Wall {
        Wall(self.calendar.next_change(clamped(after).0, Wall::RANGE.end.0))
    }

    /// Cuts `[from, to)` at every boundary, in time order; empty if `to` is not after `from`.
    ///
    /// Bounded: at most [`PERIODS_MAX`] pieces a day and one more for a change of the clock.
    pub fn pieces(&self, from: Wall, to: Wall) -> impl Iterator<Item = Piece> + '_ {
        let (mut at, to) = (clamped(from), clamped(to));
        std::iter::from_fn(move || {
            (at < to).then(|| {
                let end = Wall(self.calendar.next_change(at.0, to.0));
                let piece = Piece {
                    from: at,
                    to: end,
                    kind: self.calendar.kind_at(at.0),
                };
                at = end;
                piece
            })
        })
    }

    /// The highest total price per kWh that any schedule can ask.
    pub fn highest_price(&self) -> Price {
        let used = self
            .spec
            .schedules
            .iter()
            .flat_map(|schedule| &schedule.periods)
            .map(|period| period.kind);
        used.map(|kind| self.price_of(kind).total())
            .max()
            .unwrap_or(Price::ZERO)
    }

    /// The price table of the local day that holds `at`, from 00:00; neighbours differ in kind.
    pub fn day_table(&self, at: Wall) -> Vec<PriceRow> {
        let row = |Period { from, kind }: &Period| PriceRow {
            from: from.to_string(),
            kind: *kind,
            price_per_kwh: self.price_of(*kind).total(),
        };
        self.calendar.day_of(clamped(at).0).iter().map(row).collect()
    }
}

/// Of these versions, the one an order placed at `at` is pinned to: the latest in effect, the greatest id among equals.
pub fn in_force<'a>(versions: impl IntoIterator<Item = &'a Tariff>, at: Wall) -> Option<&'a Tariff> {
    let in_effect = versions.into_iter().filter(|tariff| tariff.effective_from <= at);
    in_effect.max_by(|a, b| (a.effective_from, &a.id).cmp(&(b.effective_from, &b.id)))
}

fn clamped(at: Wall) -> Wall {
    at.clamp(Wall::RANGE.start, Wall::RANGE.end)
}

impl Deref for Tariff {
    type Target = TariffSpec;
    fn deref(&self) -> &TariffSpec {
        &self.spec
    }
}

impl PartialEq for Tariff {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for Tariff {}

impl fmt::Debug for Tariff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tariff").field(&self.spec).finish()
    }
}

impl Serialize for Tariff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.spec.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tariff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        document::from_stored_json(raw.get()).map_err(de::Error::custom)
    }
}

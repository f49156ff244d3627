//! Which kind of period applies at an instant: day schedules laid over the local clock.
//! The zone's clock changes are read out once, so that rating needs no time-zone library.

use super::{Fault, Period, PeriodKind, PriceParts, TariffSpec, check};
use crate::time::Wall;
use jiff::{
    Timestamp,
    tz::{Offset, TimeZoneDatabase},
};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// More clock changes than any zone has within [`Wall::RANGE`] (two a year; four where Ramadan interrupts summer time).
const CLOCK_CHANGES_MAX: usize = 1_000;

/// A stretch of time in which the local clock keeps its distance from UTC.
#[derive(Clone, Copy)]
struct Stretch {
    from_ms: i64,
    offset_ms: i64,
}

/// The compiled form of a valid [`TariffSpec`].
pub(super) struct Calendar {
    /// In time order; the first covers everything before the second.
    stretches: Vec<Stretch>,
    /// Index into `days` by month and weekday.
    day_by_date: [[u8; 7]; 12],
    /// The periods of each schedule, equal neighbours merged.
    days: Vec<Vec<Period>>,
    prices: [PriceParts; 4],
    /// Set if no schedule ever changes: there is no boundary to look for.
    only_kind: Option<PeriodKind>,
}

/// A reading of the clock on the wall.
struct Local<'a> {
    day: &'a [Period],
    ms_of_day: i64,
}

impl Local<'_> {
    /// The period at this reading, and when by the same clock it ends.
    fn period(&self) -> (PeriodKind, i64) {
        let start_ms = |period: &Period| i64::from(period.from.get()) * MINUTE_MS;
        let begun = self.day.partition_point(|period| start_ms(period) <= self.ms_of_day);
        let end_ms = self.day.get(begun).map_or(DAY_MS, start_ms);
        (self.day[begun - 1].kind, end_ms)
    }
}

impl Calendar {
    /// Compiles a spec that passed every other check; the time zone is checked here.
    pub(super) fn new(spec: &TariffSpec) -> Result<Self, Fault> {
        let stretches = stretches(&spec.time_zone)?;
        let day_by_date = check::day_by_date(&spec.schedules).map(|week| week.map(|index| index.unwrap_or(0)));
        let days: Vec<Vec<Period>> = spec
            .schedules
            .iter()
            .map(|schedule| {
                let mut periods = schedule.periods.clone();
                periods.dedup_by_key(|period| period.kind);
                periods
            })
            .collect();
        let first_kind = days[0][0].kind;
        let only_kind = days
            .iter()
            .flatten()
            .all(|period| period.kind == first_kind)
            .then_some(first_kind);
        let prices = PeriodKind::ALL.map(|kind| spec.prices.get(&kind).copied().unwrap_or_default());
        Ok(Self {
            stretches,
            day_by_date,
            days,
            prices,
            only_kind,
        })
    }

    pub(super) fn price_of(&self, kind: PeriodKind) -> PriceParts {
        self.prices[kind as usize]
    }

    pub(super) fn kind_at(&self, at_ms: i64) -> PeriodKind {
        self.only_kind
            .unwrap_or_else(|| self.local(at_ms, self.stretch_at(at_ms)).period().0)
    }

    /// The periods of the local day that holds an instant.
    pub(super) fn day_of(&self, at_ms: i64) -> &[Period] {
        self.local(at_ms, self.stretch_at(at_ms)).day
    }

    /// The first instant after `after_ms` at which another kind applies, or `limit_ms` if that comes first.
    pub(super) fn next_change(&self, after_ms: i64, limit_ms: i64) -> i64 {
        if self.only_kind.is_some() {
            return limit_ms;
        }
        let (mut at_ms, mut stretch) = (after_ms, self.stretch_at(after_ms));
        let mut kind_before = None;
        // Each turn goes at least to the end of a period or of a stretch, so the loop ends.
        while at_ms < limit_ms {
            let local = self.local(at_ms, stretch);
            let (kind, end_ms) = local.period();
            if *kind_before.get_or_insert(kind) != kind {
                return at_ms;
            }
            at_ms += end_ms - local.ms_of_day;
            if let Some(next) = self.stretches.get(stretch + 1)
                && next.from_ms <= at_ms
            {
                (at_ms, stretch) = (next.from_ms, stretch + 1);
            }
        }
        limit_ms
    }

    fn stretch_at(&self, at_ms: i64) -> usize {
        self.stretches[1..].partition_point(|stretch| stretch.from_ms <= at_ms)
    }

    fn local(&self, at_ms: i64, stretch: usize) -> Local<'_> {
        let local_ms = at_ms + self.stretches[stretch].offset_ms;
        let clock = Timestamp::from_millisecond(local_ms).expect("callers clamp to Wall::RANGE");
        let date = Offset::UTC.to_datetime(clock).date();
        let month = usize::from(date.month().unsigned_abs()) - 1;
        let weekday = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
        let day = &self.days[usize::from(self.day_by_date[month][weekday])];
        Local {
            day,
            ms_of_day: local_ms.rem_euclid(DAY_MS),
        }
    }
}

/// Every change of a zone's clock within [`Wall::RANGE`], from the database built into this program: the same on every
/// machine, whatever its operating system has installed.
fn stretches(zone_name: &str) -> Result<Vec<Stretch>, Fault> {
    let zone = TimeZoneDatabase::bundled().get(zone_name).map_err(|_| {
        let shown: String = zone_name.chars().take(64).collect();
        Fault::at(
            "time_zone",
            format!("`{shown}` is not a known time zone; give an IANA name such as \"Asia/Shanghai\""),
        )
    })?;
    let first = Wall::RANGE.start.timestamp();
    let offset_ms = |at| i64::from(zone.to_offset(at).seconds()) * 1_000;
    let mut stretches = vec![Stretch {
        from_ms: i64::MIN,
        offset_ms: offset_ms(first),
    }];
    let changes = zone.following(first).map(|change| change.timestamp());
    for at in changes
        .take_while(|at| *at < Wall::RANGE.end.timestamp())
        .take(CLOCK_CHANGES_MAX)
    {
        let next = Stretch {
            from_ms: at.as_millisecond(),
            offset_ms: offset_ms(at),
        };
        if stretches.last().is_some_and(|last| last.offset_ms != next.offset_ms) {
            stretches.push(next);
        }
    }
    Ok(stretches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_zone_has_more_clock_changes_than_are_read() {
        for name in TimeZoneDatabase::bundled().available() {
            let count = stretches(name.as_str()).unwrap().len();
            assert!(count < CLOCK_CHANGES_MAX, "{name}: {count}");
        }
    }

    #[test]
    fn shanghai_has_kept_one_offset_since_1991() {
        let last = *stretches("Asia/Shanghai").unwrap().last().unwrap();
        assert_eq!(last.offset_ms, 8 * 3_600_000);
        assert_eq!(Wall(last.from_ms).to_string(), "1991-09-14T17:00:00Z");
    }
}

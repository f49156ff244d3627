//! The price table a pile is given with a start, and the fee it counts by it so that it can stop in time on its own.
//! Times of day are the site's; amounts are exact until somebody has to pay them.

use domain::{
    messages::PriceEntry,
    tariff::PeriodKind,
    time::Wall,
    units::{Energy, Fen, Price},
};

const DAY_MS: i64 = 86_400_000;
/// 10⁻⁹ yuan (price with five places × energy with four) in a fen.
const NANO_PER_FEN: i128 = 10_000_000;

/// A day's prices in order of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PriceTable {
    rows: Vec<Row>,
    utc_offset_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    from_ms: i64,
    kind: PeriodKind,
    price: Price,
}

impl PriceTable {
    /// Reads the rows of a `start` or `price` message; `None` for no rows at all.
    pub(crate) fn read(entries: &[PriceEntry], utc_offset_ms: i64) -> Result<Option<Self>, String> {
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let from = entry.from.to_string();
            let from_ms =
                time_of_day_ms(&from).ok_or_else(|| format!("`{from}` is not a time of day such as 08:30"))?;
            if entry.price_per_kwh.is_negative() {
                return Err(format!("the price from {from} is negative"));
            }
            rows.push(Row {
                from_ms,
                kind: entry.kind,
                price: entry.price_per_kwh,
            });
        }
        rows.sort_by_key(|row| row.from_ms);
        if rows.windows(2).any(|pair| pair[0].from_ms == pair[1].from_ms) {
            return Err("two prices from the same time of day".to_owned());
        }
        Ok(if rows.is_empty() {
            None
        } else {
            Some(Self { rows, utc_offset_ms })
        })
    }

    /// The row in force at `wall`; before the first row of a day it is the last row of the day before.
    fn row_at(&self, wall: Wall) -> Row {
        let time_of_day = self.time_of_day(wall);
        let later = self.rows.partition_point(|row| row.from_ms <= time_of_day);
        self.rows[if later == 0 { self.rows.len() - 1 } else { later - 1 }]
    }

    /// The first instant after `wall` at which a row begins.
    fn next_boundary(&self, wall: Wall) -> Wall {
        let time_of_day = self.time_of_day(wall);
        let midnight = wall.after_ms(-time_of_day);
        match self.rows.iter().find(|row| row.from_ms > time_of_day) {
            Some(row) => midnight.after_ms(row.from_ms),
            None => midnight.after_ms(DAY_MS + self.rows[0].from_ms),
        }
    }

    fn dearest(&self) -> Row {
        self.rows
            .iter()
            .copied()
            .max_by_key(|row| row.price)
            .unwrap_or(self.rows[0])
    }

    fn time_of_day(&self, wall: Wall) -> i64 {
        (wall.0 + self.utc_offset_ms).rem_euclid(DAY_MS)
    }
}

fn time_of_day_ms(text: &str) -> Option<i64> {
    let two = |part: &str| -> Option<i64> {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60_000)
}

/// A running count of the fee and of the energy per period.
#[derive(Debug, Clone)]
pub(crate) struct FeeCount {
    table: PriceTable,
    row: Row,
    /// The energy at which the present row began to count.
    since: Energy,
    closed_nano: i128,
    closed_kinds: [Energy; 4],
    by_clock: bool,
}

impl FeeCount {
    /// Begins at `wall` with nothing delivered. A pile without a clock counts everything at the highest price, which
    /// can only stop it early.
    pub(crate) fn new(table: PriceTable, wall: Option<Wall>) -> Self {
        let row = wall.map_or_else(|| table.dearest(), |wall| table.row_at(wall));
        let closed_kinds = [Energy::ZERO; 4];
        Self {
            table,
            row,
            since: Energy::ZERO,
            closed_nano: 0,
            closed_kinds,
            by_clock: wall.is_some(),
        }
    }

    /// When the next row begins; `None` for a pile without a clock.
    pub(crate) fn next_boundary(&self, wall: Option<Wall>) -> Option<Wall> {
        wall.filter(|_| self.by_clock)
            .map(|wall| self.table.next_boundary(wall))
    }

    /// `delivered` so far was counted by the old row; from here on the row in force at `wall` counts.
    pub(crate) fn turn(&mut self, delivered: Energy, wall: Wall) {
        let part = delivered - self.since;
        self.closed_nano += nano(self.row.price, part);
        self.closed_kinds[index(self.row.kind)] += part;
        self.since = delivered;
        if self.by_clock {
            self.row = self.table.row_at(wall);
        }
    }

    /// The fee for `delivered`, rounded half up to the fen.
    pub(crate) fn fee(&self, delivered: Energy) -> Fen {
        let nano = self.closed_nano + nano(self.row.price, delivered - self.since);
        Fen(i64::try_from((nano + NANO_PER_FEN / 2) / NANO_PER_FEN).unwrap_or(i64::MAX))
    }

    /// The least energy, at the present row's price, that costs `limit` or more; `None` if no energy does.
    pub(crate) fn energy_for(&self, limit: Fen) -> Option<Energy> {
        let missing = i128::from(limit.0) * NANO_PER_FEN - self.closed_nano;
        if missing <= 0 {
            return Some(self.since);
        }
        let price = i128::from(self.row.price.0);
        let units = (price > 0).then(|| (missing + price - 1) / price)?;
        Some(self.since + Energy(i64::try_from(units).unwrap_or(i64::MAX)))
    }

    /// The energy per period in the contract's order; `None` for a pile without a clock.
    pub(crate) fn kinds(&self, delivered: Energy) -> Option<[Energy; 4]> {
        let mut kinds = self.closed_kinds;
        kinds[index(self.row.kind)] += delivered - self.since;
        self.by_clock.then_some(kinds)
    }
}

fn index(kind: PeriodKind) -> usize {
    match kind {
        PeriodKind::Sharp => 0,
        PeriodKind::Peak => 1,
        PeriodKind::Flat => 2,
        PeriodKind::Valley => 3,
    }
}

fn nano(price: Price, energy: Energy) -> i128 {
    i128::from(price.0) * i128::from(energy.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHINA_MS: i64 = 8 * 3_600_000;

    fn table(rows: &str) -> PriceTable {
        let entries: Vec<PriceEntry> = serde_json::from_str(rows).unwrap();
        PriceTable::read(&entries, CHINA_MS).unwrap().unwrap()
    }

    fn two_rows() -> PriceTable {
        table(
            r#"[{"from":"08:00","kind":"peak","price_per_kwh":"1.2"},{"from":"00:00","kind":"valley","price_per_kwh":"0.5"}]"#,
        )
    }

    fn wall(text: &str) -> Wall {
        Wall::parse(text).unwrap()
    }

    #[test]
    fn boundaries_are_the_sites_times_of_day() {
        let table = two_rows();
        assert_eq!(
            table.next_boundary(wall("2026-03-01T07:59:59.999+08:00")),
            wall("2026-03-01T08:00:00+08:00")
        );
        assert_eq!(
            table.next_boundary(wall("2026-03-01T08:00:00+08:00")),
            wall("2026-03-02T00:00:00+08:00")
        );
        assert_eq!(
            table.row_at(wall("2026-03-01T07:59:59.999+08:00")).kind,
            PeriodKind::Valley
        );
        assert_eq!(table.row_at(wall("2026-03-01T08:00:00+08:00")).kind, PeriodKind::Peak);
        let late = self::table(r#"[{"from":"08:00","kind":"peak","price_per_kwh":"1"}]"#);
        assert_eq!(
            late.row_at(wall("2026-03-01T01:00:00+08:00")).kind,
            PeriodKind::Peak,
            "yesterday's row goes on"
        );
    }

    #[test]
    fn the_fee_is_counted_across_a_boundary() {
        let mut count = FeeCount::new(two_rows(), Some(wall("2026-03-01T07:00:00+08:00")));
        assert_eq!(count.fee(Energy(70_000)), Fen(350));
        count.turn(Energy(70_000), wall("2026-03-01T08:00:00+08:00"));
        assert_eq!(count.fee(Energy(80_000)), Fen(470));
        assert_eq!(
            count.kinds(Energy(80_000)),
            Some([Energy(0), Energy(10_000), Energy(0), Energy(70_000)])
        );
        assert_eq!(count.energy_for(Fen(470)), Some(Energy(80_000)));
        assert_eq!(count.energy_for(Fen(100)), Some(Energy(70_000)), "passed already");
    }

    #[test]
    fn without_a_clock_everything_counts_at_the_highest_price() {
        let count = FeeCount::new(two_rows(), None);
        assert_eq!(count.fee(Energy(10_000)), Fen(120));
        assert_eq!((count.kinds(Energy(10_000)), count.next_boundary(None)), (None, None));
    }

    #[test]
    fn a_price_table_that_cannot_be_right_is_refused() {
        for rows in [
            r#"[{"from":"08:00","kind":"peak","price_per_kwh":"-1"}]"#,
            r#"[{"from":"08:00","kind":"peak","price_per_kwh":"1"},{"from":"08:00","kind":"flat","price_per_kwh":"1"}]"#,
        ] {
            let entries: Vec<PriceEntry> = serde_json::from_str(rows).unwrap();
            assert!(PriceTable::read(&entries, 0).is_err(), "{rows}");
        }
        assert_eq!(PriceTable::read(&[], 0), Ok(None));
        assert_eq!(
            [time_of_day_ms("24:00"), time_of_day_ms("7:00"), time_of_day_ms("07:60")],
            [None; 3]
        );
    }
}

//! A business day's energy (S05 §3): what orders billed, held against what the registers moved, by connector and pile.
//! Sums are kept as orders settle; a report is made of them once, at 01:00 the day after.

use crate::{
    ids::{OrderId, Outlet, PileId},
    meter::Rollback,
    rating::REGISTER_MAX,
    register::{Correction, PostedAs, RegisterChanges, Span, Unrecorded, UnrecordedClass},
    time::{Day, Wall},
    units::Energy,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// At this hour of the site's clocks the day before is reported.
pub const REPORT_HOUR: i8 = 1;
/// The most days that are reported afterwards, when the station was off: what is older has left the piles' memory too.
pub const CATCH_UP_DAYS_MAX: i32 = 35;
/// The most discrepancies that are listed for one connector and day; more are counted.
pub const FINDINGS_MAX: usize = 32;
/// How many reported days are remembered, to tell late data from a day that is yet to be reported.
const REPORTED_MAX: usize = 64;
/// A difference up to this is nobody's business: 0.1 kWh.
const TOLERANCE: Energy = Energy(1_000);

/// Whether what was billed differs from its register by more than 1 % of it and more than 0.1 kWh.
pub fn differs(billed: Energy, register: Energy) -> bool {
    let difference = i128::from(billed.0) - i128::from(register.0);
    let difference = difference.abs();
    difference > i128::from(TOLERANCE.0) && difference * 100 > i128::from(register.0).abs()
}

/// A sum as far as it can be written down: only registers that cannot be come to more.
pub(crate) fn within_range(sum: Energy) -> Energy {
    sum.clamp(-REGISTER_MAX, REGISTER_MAX)
}

/// Something that does not fit, with its class in finance's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Finding {
    /// An order, or the connector's day where none is named, differs from its register by > 1 % and > 0.1 kWh.
    Energy {
        /// Which order.
        order: Option<OrderId>,
        /// By the bills.
        billed: Energy,
        /// By the register.
        register: Energy,
    },
    /// Energy on the register between sessions: stop(n) ≠ start(n+1). Never a driver's.
    RegisterGap {
        /// The order it was found before; none where the register was read while nobody charged.
        order: Option<OrderId>,
        /// From this register on.
        from: Energy,
        /// Up to this.
        to: Energy,
    },
    /// The register ran backwards, or it is another meter's.
    Rollback {
        /// The order whose record says so; none where the pile said so when it started.
        order: Option<OrderId>,
        /// Known before.
        known: Energy,
        /// Found.
        found: Energy,
    },
    /// A metered session without an order: its record is in quarantine.
    Unbilled {
        /// Its number there.
        item: u64,
        /// What the record says was delivered.
        energy: Energy,
    },
    /// The connector charged without an order, as the station saw, and no record came.
    #[serde(rename = "UNBILLED_SEEN")]
    Unordered {
        /// From this register on.
        from: Energy,
        /// Up to this.
        to: Energy,
    },
    /// Unrecorded energy that a report has told of, and that a session explains after all.
    Explained {
        /// The order it was found before.
        order: Option<OrderId>,
        /// From this register on.
        from: Energy,
        /// Up to this.
        to: Energy,
        /// What of it still is unrecorded.
        left: Energy,
    },
    /// An order that an earlier report said differs from its register: a person gave it a record, and it does not any more.
    EnergyAgrees {
        /// Which order.
        order: OrderId,
        /// By its record.
        billed: Energy,
        /// By the register.
        register: Energy,
    },
    /// An order without a record: its bill is an estimate.
    NoMeter {
        /// Which order.
        order: OrderId,
        /// By the estimate.
        billed: Energy,
    },
    /// A record that contradicts the one its order has is in quarantine.
    Conflict {
        /// Which order.
        order: OrderId,
        /// The record's number there.
        item: u64,
        /// By the order's bill.
        billed: Energy,
        /// By the record.
        claimed: Energy,
    },
    /// The pile splits an order's energy over the tariff's periods otherwise than the station.
    RatingDiffers {
        /// Which order.
        order: OrderId,
        /// The number of the quarantine item that says how.
        item: u64,
    },
}

impl Finding {
    /// The class as finance knows it.
    pub fn class(&self) -> &'static str {
        match self {
            Finding::Energy { .. } => "ENERGY",
            Finding::RegisterGap { .. } => "REGISTER_GAP",
            Finding::Rollback { .. } => "ROLLBACK",
            Finding::Unbilled { .. } | Finding::Unordered { .. } => "UNBILLED",
            Finding::Explained { .. } => "EXPLAINED",
            Finding::EnergyAgrees { .. } => "ENERGY_AGREES",
            Finding::NoMeter { .. } => "NO_METER",
            Finding::Conflict { .. } => "CONFLICT",
            Finding::RatingDiffers { .. } => "RATING",
        }
    }

    pub(crate) fn unrecorded(span: Span, found: &Unrecorded) -> Self {
        let Span { from, to } = span;
        match found.class {
            UnrecordedClass::Gap => Finding::RegisterGap {
                order: found.before.clone(),
                from,
                to,
            },
            UnrecordedClass::Unordered => Finding::Unordered { from, to },
        }
    }

    pub(crate) fn rollback(order: Option<&OrderId>, rollback: Rollback) -> Self {
        Finding::Rollback {
            order: order.cloned(),
            known: rollback.known,
            found: rollback.found,
        }
    }
}

/// A connector's business day as it adds up: the same sessions on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectorDay {
    /// Orders whose money first moved that day.
    pub orders: u32,
    /// What they were billed for.
    pub billed: Energy,
    /// What the register moved between their own first and last readings.
    pub metered: Energy,
    /// What it moved besides, where that was found that day.
    pub unrecorded: Energy,
    /// What sessions without an order moved, whose records are in quarantine.
    #[serde(default)]
    pub unbilled: Energy,
    /// What does not fit.
    pub findings: Vec<Finding>,
    /// More of it than is listed.
    #[serde(default)]
    pub findings_left_out: u32,
}

impl ConnectorDay {
    /// What the register moved, but for what is known to be nobody's bill yet: that has a finding of its own.
    pub fn register(&self) -> Energy {
        within_range(self.metered + self.unrecorded)
    }

    /// All that the register moved.
    pub fn moved(&self) -> Energy {
        within_range(self.register() + self.unbilled)
    }

    /// Posts what a change of the connector's register book means for this day. Findings that are in no open list any more
    /// were reported: that they are explained is said.
    pub(crate) fn post(&mut self, day: Day, changes: &RegisterChanges) {
        for posting in changes.postings.iter().filter(|posting| posting.day == day) {
            let sum = match posting.what {
                PostedAs::Metered(_) => &mut self.metered,
                PostedAs::Unbilled(_) => &mut self.unbilled,
                PostedAs::Unrecorded { .. } => &mut self.unrecorded,
            };
            *sum = within_range(*sum + posting.change);
        }
        for found in changes.found.iter().filter(|found| found.day == day) {
            self.find(Finding::unrecorded(found.span, found));
        }
        for Correction { was, now } in changes.corrected.iter().filter(|corrected| corrected.was.day == day) {
            let gone = Finding::unrecorded(was.span, was);
            match self.findings.iter().position(|finding| *finding == gone) {
                Some(at) => {
                    self.findings.remove(at);
                    now.iter().for_each(|span| self.find(Finding::unrecorded(*span, was)));
                }
                None => self.find(Finding::Explained {
                    order: was.before.clone(),
                    from: was.span.from,
                    to: was.span.to,
                    left: now
                        .iter()
                        .map(|span| span.energy())
                        .fold(Energy::ZERO, |sum, one| sum + one),
                }),
            }
        }
    }

    pub(crate) fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out = self.findings_left_out.saturating_add(1);
        }
    }

    /// An order differs from its register no more: what was found is taken back, or, where it has been reported, corrected.
    pub(crate) fn agrees(&mut self, order: &OrderId, billed: Energy, register: Energy) {
        let of_it = |found: &Finding| matches!(found, Finding::Energy { order: Some(of), .. } if of == order);
        let before = self.findings.len();
        self.findings.retain(|found| !of_it(found));
        if self.findings.len() == before {
            let order = order.clone();
            self.find(Finding::EnergyAgrees {
                order,
                billed,
                register,
            });
        }
    }

    /// The record of an order came after all, while its day is still open.
    pub(crate) fn has_meter(&mut self, of: &OrderId) {
        let is_it = |finding: &Finding| matches!(finding, Finding::NoMeter { order, .. } if order == of);
        self.findings.retain(|finding| !is_it(finding));
    }
}

/// One connector in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorEnergy {
    /// Which.
    pub outlet: Outlet,
    /// Its day; what the day as a whole differs by is among the findings.
    pub sums: ConnectorDay,
    /// The register read while nobody charged, where it lies above what sessions account for. The next day goes on from
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Energy>,
}

/// What came late: it belongs to a day that has its report, and is said in the report of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// The day it belongs to.
    pub of: Day,
    /// Where.
    pub outlet: Outlet,
    /// What changes; negative where less.
    pub change: ConnectorDay,
}

/// A business day's energy. Made once and never changed; what comes late is an [`Adjustment`] in a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergyReport {
    /// Which day.
    pub day: Day,
    /// The site's time zone.
    pub time_zone: String,
    /// When the day began.
    pub begins: Wall,
    /// When it ended.
    pub ends: Wall,
    /// When the report was made; later than 01:00 where the station was off.
    pub made_at: Wall,
    /// Whether the station's clock was trusted then.
    pub clock_trusted: bool,
    /// Every connector with sessions, energy or findings, in order.
    pub connectors: Vec<ConnectorEnergy>,
    /// What came late for days before.
    pub adjustments: Vec<Adjustment>,
    /// Piles whose meter differs: they are marked `meter_abnormal`.
    pub abnormal: Vec<PileId>,
}

impl EnergyReport {
    /// In which way a pile's meter differs, in words for people.
    pub(crate) fn findings_of(&self, pile: &PileId) -> String {
        let own = self.connectors.iter().filter(|one| one.outlet.pile == *pile);
        let differing = own.flat_map(|one| {
            let differing = one.sums.findings.iter().filter_map(|finding| match finding {
                Finding::Energy {
                    order,
                    billed,
                    register,
                } => Some((order, billed, register)),
                _ => None,
            });
            differing.map(|(order, billed, register)| {
                let whose = order
                    .as_ref()
                    .map_or("orders".to_owned(), |order| format!("order {order}"));
                let connector = &one.outlet.connector;
                format!("connector {connector}: {whose} {billed} kWh, register {register} kWh")
            })
        });
        let said: Vec<String> = differing.take(4).collect();
        format!("{}: {}", self.day, said.join("; "))
    }
}

/// Sums over a report, or over one pile of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EnergyTotals {
    /// Orders whose money first moved that day.
    pub orders: u64,
    /// What they were billed for.
    pub billed: Energy,
    /// What the registers moved.
    pub register: Energy,
    /// Discrepancies, listed or not.
    pub findings: u64,
}

impl EnergyTotals {
    /// The sums over `connectors`.
    pub fn over<'a>(connectors: impl Iterator<Item = &'a ConnectorEnergy>) -> Self {
        let mut totals = Self::default();
        for ConnectorEnergy { sums, .. } in connectors {
            totals.orders += u64::from(sums.orders);
            totals.billed += sums.billed;
            totals.register += sums.register();
            totals.findings += sums.findings.len() as u64 + u64::from(sums.findings_left_out);
        }
        totals
    }
}

/// Days that add up, and which have been reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnergyBooks {
    /// The business day that what happens now belongs to, and the first there was.
    pub days: Option<Days>,
    /// Sums that are in no report yet.
    pub open: BTreeMap<(Day, Outlet), ConnectorDay>,
    /// The last days that were reported.
    pub reported: BTreeSet<Day>,
}

/// The business day that what happens now belongs to, and the first there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// Now.
    pub now: Day,
    /// The first that is to be reported.
    pub first: Day,
}

impl EnergyBooks {
    /// What happens from now on belongs to `day`; a clock set back may take it back.
    pub(crate) fn begin(&mut self, day: Day) {
        let first = self.days.map_or(day, |days| days.first.min(day));
        self.days = Some(Days { now: day, first });
    }

    /// The days up to `last` that are to be reported, oldest first: each once, and none of those that are too long past.
    pub(crate) fn due(&self, last: Day) -> Vec<Day> {
        let Some(days) = self.days else { return Vec::new() };
        let after_reported = self.reported.range(..=last).next_back().map(|day| day.plus(1));
        let first = after_reported
            .unwrap_or(days.first)
            .max(last.plus(1 - CATCH_UP_DAYS_MAX));
        std::iter::successors(Some(first), |day| Some(day.plus(1)))
            .take(CATCH_UP_DAYS_MAX.unsigned_abs() as usize)
            .take_while(|day| *day <= last)
            .collect()
    }

    /// Forgets what a report holds.
    pub(crate) fn close(&mut self, report: &EnergyReport) -> Vec<(Day, Outlet)> {
        let own = report.connectors.iter().map(|one| (report.day, one.outlet.clone()));
        let late = report.adjustments.iter().map(|one| (one.of, one.outlet.clone()));
        let closed: Vec<(Day, Outlet)> = own.chain(late).collect();
        for key in &closed {
            self.open.remove(key);
        }
        self.reported.insert(report.day);
        if self.reported.len() > REPORTED_MAX {
            self.reported.pop_first();
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kwh(text: &str) -> Energy {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn a_difference_counts_above_one_per_cent_and_above_a_tenth_of_a_kilowatt_hour() {
        for (billed, register, wrong) in [
            // Exactly 1 % of 100 kWh, either side, and 0.1 Wh more.
            ("99", "100", false),
            ("98.9999", "100", true),
            ("101", "100", false),
            ("101.0001", "100", true),
            // Exactly 0.1 kWh of 5 kWh, which is 2 %, and 0.1 Wh more.
            ("4.9", "5", false),
            ("4.8999", "5", true),
            ("5.1", "5", false),
            ("5.1001", "5", true),
            // Both at once, at 10 kWh.
            ("9.9", "10", false),
            ("9.8999", "10", true),
            // 0.2 kWh of 50 kWh is 0.4 %.
            ("49.8", "50", false),
            ("0", "0", false),
            ("0", "0.1", false),
            ("0", "0.1001", true),
            ("0.1001", "0", true),
            ("5", "-5", true),
        ] {
            assert_eq!(
                differs(kwh(billed), kwh(register)),
                wrong,
                "{billed} against {register}"
            );
        }
        assert!(differs(Energy(i64::MIN), Energy(i64::MAX)), "nothing overflows");
    }

    #[test]
    fn every_day_is_due_once_and_the_missed_ones_with_it() {
        let mut books = EnergyBooks::default();
        assert_eq!(books.due(day("2026-03-01")), []);
        books.begin(day("2026-03-01"));
        books.begin(day("2026-03-02"));
        let march = |days: std::ops::RangeInclusive<u32>| -> Vec<Day> {
            days.map(|n| day(&format!("2026-03-{n:02}"))).collect()
        };
        assert_eq!(books.due(day("2026-02-28")), []);
        assert_eq!(books.due(day("2026-03-03")), march(1..=3));
        books.reported.extend(march(1..=3));
        assert_eq!(books.due(day("2026-03-03")), []);
        assert_eq!(books.due(day("2026-03-02")), [], "the clock was set back");
        assert_eq!(books.due(day("2026-03-05")), march(4..=5));
        let late = books.due(day("2026-12-31"));
        assert_eq!(
            (late.len(), late[34]),
            (35, day("2026-12-31")),
            "not every day of a wrong year"
        );
        // A clock that was years ahead has reported days to come; the real ones are reported all the same.
        books.reported = [day("2031-01-01")].into();
        books.begin(day("2026-03-09"));
        books.days.as_mut().unwrap().first = day("2026-03-08");
        assert_eq!(books.due(day("2026-03-09")), march(8..=9));
    }

    #[test]
    fn findings_are_bounded() {
        let mut day = ConnectorDay::default();
        for item in 0..40 {
            let energy = kwh("1");
            day.find(Finding::Unbilled { item, energy });
        }
        assert_eq!((day.findings.len(), day.findings_left_out), (32, 8));
    }
}

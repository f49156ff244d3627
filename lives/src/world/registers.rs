//! Energy is conserved: what left a register is in the energy reports once, as an order's, as a quarantine item's or as
//! unrecorded. The world knows what its meters counted, and asks of all reports together nothing but that sum.
//!
//! What a station can know of a register is a line. It begins with the first reading there is of it, and ends where the
//! register is found lower: another meter, or one that begins again at zero. Two things are excepted, because nobody could
//! tell them: what a meter counted between its last reading and the first of the one that took its place, and that a new
//! meter which shows more than the old one is not the old one. And where a person lets a lying record stand, it counts
//! as it is.

use domain::{
    energy::EnergyReport,
    ids::{OrderId, Outlet},
    meter::Rollback,
    order::Order,
    register::SessionId,
    units::Energy,
};
use std::collections::BTreeMap;

/// A span of a register, from its first 0.1 Wh to the one after its last.
type Span = (i64, i64);

/// Spans that do not touch, in order.
#[derive(Debug, Clone, Default)]
struct Spans(Vec<Span>);

impl Spans {
    fn add(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        let mut joined = (from, to);
        self.0.retain(|(a, b)| {
            let touches = *a <= joined.1 && joined.0 <= *b;
            if touches {
                joined = (joined.0.min(*a), joined.1.max(*b));
            }
            !touches
        });
        let place = self.0.partition_point(|span| span.0 < joined.0);
        self.0.insert(place, joined);
    }

    fn sum(&self) -> i64 {
        self.0.iter().map(|(from, to)| to - from).sum()
    }

    /// The first hole between two registers.
    fn hole(&self, from: i64, to: i64) -> Option<Span> {
        let mut reached = from;
        for (a, b) in &self.0 {
            if *a > reached {
                break;
            }
            reached = reached.max(*b);
        }
        let next = self.0.iter().map(|(a, _)| *a).find(|a| *a > reached);
        (reached < to).then(|| (reached, next.unwrap_or(to).min(to)))
    }
}

/// A register from the first that was known of it until it is found lower.
#[derive(Debug, Clone, Default)]
struct Line {
    base: Option<i64>,
    /// Where it was left for a lower one.
    end: Option<i64>,
    /// Up to here all was reported, by a session or as unrecorded, wherever the register was left or is read afterwards.
    said: Option<i64>,
    /// What sessions claim, by whose they are.
    claimed: BTreeMap<SessionId, Span>,
    /// The same, and what was said to be unrecorded.
    told: Spans,
}

/// The registers of one connector, one after another, and what all reports say of them.
#[derive(Debug, Clone, Default)]
struct Register {
    lines: Vec<Line>,
    /// Which of them is there, and which was before it.
    present: usize,
    before: Option<usize>,
    reported: i64,
}

impl Register {
    fn now(&mut self) -> &mut Line {
        if self.lines.is_empty() {
            self.lines.push(Line::default());
        }
        &mut self.lines[self.present]
    }

    fn line(&mut self, meter: usize) -> &mut Line {
        while self.lines.len() <= meter {
            self.lines.push(Line::default());
        }
        &mut self.lines[meter]
    }
}

/// All registers as the journal tells of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Registers(BTreeMap<Outlet, Register>);

impl Registers {
    /// The pile said that it reads this while nobody charges.
    pub(super) fn begin(&mut self, outlet: &Outlet, reading: Energy) {
        let line = self.0.entry(outlet.clone()).or_default().now();
        line.base.get_or_insert(reading.0);
    }

    /// The meter before the present one is told of no more. An order that is still open on it comes too late: the meter
    /// moved to where it began at least, and what lies below is said.
    pub(super) fn give_up<'a>(&mut self, outlet: &Outlet, orders: impl Iterator<Item = &'a Order>) {
        let before = self.0.get(outlet).and_then(|register| register.before);
        let Some(meter) = before.and_then(|before| u32::try_from(before).ok()) else {
            return;
        };
        let here = orders.filter(|order| order.outlet == *outlet && order.meter == meter && order.state.is_open());
        let Some(start) = here.filter_map(|order| order.started.as_ref()?.register).max() else {
            return;
        };
        self.said_below(outlet, meter, start);
        if let Some(line) = self.line(outlet, meter) {
            line.end = line.end.max(Some(start.0));
        }
    }

    /// The register was found lower.
    pub(super) fn rolled_back(&mut self, outlet: &Outlet, rollback: Rollback) {
        let register = self.0.entry(outlet.clone()).or_default();
        let before = register.now();
        before.end = Some(before.end.unwrap_or(0).max(rollback.known.0));
        if let Some(base) = before.base {
            before.told.add(base, rollback.known.0);
        }
        register.before = Some(register.present);
        register.present = register.lines.len();
        register.lines.push(Line {
            base: Some(rollback.found.0),
            ..Line::default()
        });
    }

    /// The register is that of meter `before` again: of the one that was taken for another only sessions count.
    pub(super) fn returned(&mut self, outlet: &Outlet, before: u32) {
        let register = self.0.entry(outlet.clone()).or_default();
        let Ok(before) = usize::try_from(before) else { return };
        let left = register.now();
        left.end = left.claimed.values().map(|(_, to)| *to).max().or(left.base);
        // What was said above its sessions is taken back.
        left.said = None;
        register.before = Some(std::mem::replace(&mut register.present, before));
        register.now().end = None;
    }

    /// What was read above this register was wrong.
    pub(super) fn corrected(&mut self, outlet: &Outlet, reading: Energy) {
        let line = self.0.entry(outlet.clone()).or_default().now();
        line.base = Some(line.base.map_or(reading.0, |base| base.min(reading.0)));
        line.said = line.said.map(|said| said.min(reading.0));
    }

    /// A session of meter `meter` claims so much, in place of what it claimed before. Of a register that nobody knew, this
    /// is the first that is known.
    pub(super) fn claimed(&mut self, outlet: &Outlet, meter: u32, by: SessionId, from: Energy, to: Energy) {
        let Some(line) = self.line(outlet, meter) else { return };
        let is_order = matches!(by, SessionId::Order(_));
        line.claimed.remove(&by);
        if from < to {
            line.base.get_or_insert(from.0);
            line.claimed.insert(by, (from.0, to.0));
            // A session that comes late may show that a register went further than was known.
            line.end = line.end.map(|end| end.max(from.0));
            line.told.add(from.0, to.0);
        }
        // What a session leaves open of a meter that is there no more is said with it.
        if let Some((base, end)) = line.base.zip(line.end) {
            line.told.add(base, end.max(to.0));
        }
        if is_order {
            self.say_left(outlet);
        }
    }

    /// What is left of the meter before is said, up to its highest session, even one from before it was left.
    pub(super) fn say_left(&mut self, outlet: &Outlet) {
        let Some(register) = self.0.get_mut(outlet) else { return };
        let before = register.before;
        let Some(line) = before.and_then(|before| register.lines.get_mut(before)) else {
            return;
        };
        line.said = line.said.max(line.claimed.values().map(|(from, _)| *from).max());
        if let Some((base, said)) = line.base.zip(line.said) {
            line.told.add(base, said);
        }
    }

    /// An order other than `order` that claims some of these readings.
    pub(super) fn other_claim(
        &self,
        outlet: &Outlet,
        meter: u32,
        order: &OrderId,
        from: Energy,
        to: Energy,
    ) -> Option<OrderId> {
        let line = self.0.get(outlet)?.lines.get(usize::try_from(meter).ok()?)?;
        let mut claims = line.claimed.iter();
        claims.find_map(|(by, (start, stop))| match by {
            SessionId::Order(other) if other != order && from.0.max(*start) < to.0.min(*stop) => Some(other.clone()),
            _ => None,
        })
    }

    /// An order other than `order` that claims more than `most` of the readings that `order` claims itself.
    pub(super) fn claims_the_same(
        &self,
        outlet: &Outlet,
        meter: u32,
        order: &OrderId,
        most: Energy,
    ) -> Option<OrderId> {
        let line = self.0.get(outlet)?.lines.get(usize::try_from(meter).ok()?)?;
        let own = line.claimed.get(&SessionId::Order(order.clone()))?;
        line.claimed.iter().find_map(|(by, other)| match by {
            SessionId::Order(id) if id != order && own.1.min(other.1) - own.0.max(other.0) > most.0 => Some(id.clone()),
            _ => None,
        })
    }

    /// What an item claimed is an order's.
    pub(super) fn renamed(&mut self, item: u64, order: &OrderId) {
        for line in self.0.values_mut().flat_map(|register| &mut register.lines) {
            if let Some(span) = line.claimed.remove(&SessionId::Item(item)) {
                line.claimed.insert(SessionId::Order(order.clone()), span);
            }
        }
    }

    /// An item claims nothing any more.
    pub(super) fn released(&mut self, item: u64) {
        for line in self.0.values_mut().flat_map(|register| &mut register.lines) {
            line.claimed.remove(&SessionId::Item(item));
        }
    }

    /// So much was said to be unrecorded; of which meter is not always said.
    pub(super) fn said(&mut self, outlet: &Outlet, meter: Option<u32>, from: Energy, to: Energy) {
        if let Some(meter) = meter {
            if let Some(line) = self.line(outlet, meter) {
                line.told.add(from.0, to.0);
                line.end = line.end.map(|end| end.max(to.0));
                line.said = line.said.max(Some(to.0));
            }
        } else if let Some(register) = self.0.get_mut(outlet) {
            for line in &mut register.lines {
                line.told.add(from.0, to.0);
            }
        }
    }

    /// Whatever nobody explained below this register was said to be unrecorded.
    pub(super) fn said_below(&mut self, outlet: &Outlet, meter: u32, to: Energy) {
        let Some(line) = self.line(outlet, meter) else { return };
        if let Some(base) = line.base {
            line.told.add(base, to.0);
            line.said = line.said.max(Some(to.0));
        }
    }

    /// The line of a meter, if it is told of any more: of the one that is there, and of the one before it.
    fn line(&mut self, outlet: &Outlet, meter: u32) -> Option<&mut Line> {
        let register = self.0.entry(outlet.clone()).or_default();
        let meter = usize::try_from(meter).ok()?;
        (meter == register.present || Some(meter) == register.before || register.lines.is_empty())
            .then(|| register.line(meter))
    }

    /// A day was reported, and days before it corrected.
    pub(super) fn reported(&mut self, report: &EnergyReport) {
        for one in &report.connectors {
            self.0.entry(one.outlet.clone()).or_default().reported += one.sums.moved().0;
        }
        for late in &report.adjustments {
            self.0.entry(late.outlet.clone()).or_default().reported += late.change.moved().0;
        }
    }

    /// What below `start` is in no session and was not said to be unrecorded.
    pub(super) fn hole_below(&self, outlet: &Outlet, meter: u32, start: Energy) -> Option<(Energy, Energy)> {
        let register = self.0.get(outlet)?;
        let line = register.lines.get(usize::try_from(meter).ok()?)?;
        let (from, to) = line.told.hole(line.base?, start.0)?;
        Some((Energy(from), Energy(to)))
    }

    /// Whether all reports together say what the registers moved; `now` is what each shows at the end.
    pub(super) fn check(&self, now: &BTreeMap<Outlet, Energy>) -> Result<(), String> {
        for (outlet, register) in &self.0 {
            let mut moved = 0;
            for line in &register.lines {
                let end = line.end.or_else(|| now.get(outlet).map(|energy| energy.0));
                let mut spans = Spans::default();
                line.claimed.values().for_each(|(from, to)| spans.add(*from, *to));
                if let Some((base, end)) = line.base.zip(end) {
                    spans.add(base, end);
                }
                // Whatever was said, it moved no further than where it was left or is now, and below what sessions claim.
                let claimed = line.claimed.values().map(|(_, to)| *to).max();
                let most = end.max(claimed);
                if let Some(((base, said), most)) = line.base.zip(line.said).zip(most) {
                    spans.add(base, said.min(most));
                }
                moved += spans.sum();
            }
            if moved != register.reported {
                let lines: Vec<_> = register
                    .lines
                    .iter()
                    .map(|line| (line.base, line.end, &line.claimed))
                    .collect();
                return Err(format!(
                    "the register of {outlet} moved {moved} × 0.1 Wh, all reports together say {}: {:?} at the end, of \
                     {lines:?}",
                    register.reported,
                    now.get(outlet),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_joined_and_holes_found() {
        let mut spans = Spans::default();
        for (from, to) in [(10, 20), (30, 40), (20, 25), (5, 5)] {
            spans.add(from, to);
        }
        assert_eq!((spans.0.clone(), spans.sum()), (vec![(10, 25), (30, 40)], 25));
        assert_eq!(spans.hole(10, 40), Some((25, 30)));
        assert_eq!(spans.hole(10, 28), Some((25, 28)));
        assert_eq!(spans.hole(0, 40), Some((0, 10)));
        assert_eq!(spans.hole(12, 25), None);
        assert_eq!(spans.hole(12, 50), Some((25, 30)));
        spans.add(24, 31);
        assert_eq!(spans.0, [(10, 40)]);
    }
}

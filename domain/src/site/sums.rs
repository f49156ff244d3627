//! What facts add up to in a business day: sums by connector, and what of a register they explain. Part of [`Rows`].

use super::{Changes, Rows};
use crate::{
    energy::{ConnectorDay, EnergyReport, Finding},
    ids::{OrderId, Outlet, PileId},
    journal::Stamp,
    messages::Record,
    meter::{self, RegisterGap, Rollback, Suspicion},
    order::{Basis, Counted, Order},
    pile::{Connector, Excess, MeterAbnormal},
    time::Day,
    units::Energy,
};

impl Rows {
    pub(super) fn connector_mut(&mut self, outlet: &Outlet, changes: &mut Changes) -> &mut Connector {
        let pile = self.pile_mut(&outlet.pile, changes);
        pile.connectors.entry(outlet.connector).or_default()
    }

    /// How often the connector's register was found lower: which of its meters is the one that counts.
    pub(super) fn meter_at(&self, outlet: &Outlet) -> u32 {
        self.connector_at(outlet).map_or(0, |connector| connector.meters_before)
    }

    /// Which meter an order begins with: the one that is there, but for a session that is over already and went on from where
    /// the one before was last read.
    pub(super) fn meter_of(&self, placed: &Order) -> u32 {
        let connector = self.connector_at(&placed.outlet);
        let before = connector.and_then(|connector| connector.rollback);
        let is_before = before.is_some_and(|before| placed.baseline == Some(before.known));
        self.meter_at(&placed.outlet).saturating_sub(u32::from(is_before))
    }

    pub(super) fn connector_at(&self, outlet: &Outlet) -> Option<&Connector> {
        self.piles.get(&outlet.pile)?.connectors.get(&outlet.connector)
    }

    /// Whether an order began with the meter that counts now: what it says of the register is said of this one.
    pub(super) fn has_its_meter(&self, order: &Order) -> bool {
        order.meter == self.meter_at(&order.outlet)
    }

    /// The sums of a connector's business day.
    pub(super) fn day_mut(&mut self, day: Day, outlet: &Outlet, changes: &mut Changes) -> &mut ConnectorDay {
        changes.energy_days.insert((day, outlet.clone()));
        self.energy.open.entry((day, outlet.clone())).or_default()
    }

    /// The sums of the day that what happens now belongs to.
    pub(super) fn today(&mut self, outlet: &Outlet, changes: &mut Changes) -> &mut ConnectorDay {
        let days = self.energy.days.expect("a day has begun before anything happens in it");
        self.day_mut(days.now, outlet, changes)
    }

    /// An order whose money moves counts in its day; what a later bill changes counts there too.
    pub(super) fn count(&mut self, id: &OrderId, changes: &mut Changes) {
        let today = self.energy.days.expect("a day has begun before money moves").now;
        let order = self.order_mut(id, changes);
        let bill = order.bills.iter().rev().find_map(|bill| bill.detail.as_ref());
        let rated = bill.map_or(Energy::ZERO, |bill| bill.energy);
        let metered = match &order.ending {
            Some(ending) => (ending.stop.register - ending.start.register).max(Energy::ZERO),
            None => rated,
        };
        // Who sets a bill has looked at the meter; what could not be rated is no fault of it.
        let corrected = order.bills.last().is_some_and(|bill| bill.basis == Basis::Correction);
        let billed = if corrected { metered } else { rated };
        let before = order.counted;
        let day = before.map_or(today, |before| before.day);
        order.counted = Some(Counted {
            day,
            energy: billed,
            metered,
        });
        let no_meter = order.estimated && order.ending.is_none();
        let outlet = order.outlet.clone();
        let known = before.map_or((Energy::ZERO, Energy::ZERO), |before| (before.energy, before.metered));
        if before.is_some() && known == (billed, metered) {
            return;
        }
        let sums = self.day_mut(day, &outlet, changes);
        sums.billed += billed - known.0;
        sums.metered += metered - known.1;
        if before.is_none() {
            sums.orders += 1;
            if no_meter {
                let order = id.clone();
                sums.find(Finding::NoMeter { order, billed });
            }
        }
    }

    /// A session from `start` to `stop` came late: what a report has said of its energy is taken back.
    pub(super) fn explain(&mut self, outlet: &Outlet, start: Energy, stop: Energy, changes: &mut Changes) {
        let connector = self.connector_mut(outlet, changes);
        let Some(excess) = connector.excess else { return };
        let explained = stop.min(excess.to) - start.max(excess.from);
        if explained > Energy::ZERO {
            // What lies before it is a gap, and is found as one.
            let from = stop.max(excess.from);
            connector.excess = Some(Excess { from, ..excess });
            self.day_mut(excess.day, outlet, changes).unrecorded -= explained;
        }
    }

    pub(super) fn say_excess(&mut self, day: Day, outlet: &Outlet, read: Energy, changes: &mut Changes) {
        let connector = self.connector_mut(outlet, changes);
        // What was said before, lies below it and is not explained yet stays with it.
        let sessions = connector.accounted.max(connector.set_aside);
        let below = connector
            .excess
            .filter(|before| before.from < before.to && Some(before.to) >= sessions);
        let from = below.map(|before| before.from).or(connector.explained());
        let from = from.unwrap_or(read);
        connector.excess = Some(Excess { day, from, to: read });
    }

    /// A record in quarantine: a metered session without an order. What it says of the register is no gap.
    pub(super) fn note_unbilled(&mut self, item: u64, pile: &PileId, record: &Record, ms: i64, changes: &mut Changes) {
        let energy = record.energy();
        let known = self
            .piles
            .get(pile)
            .and_then(|pile| pile.connectors.get(&record.connector));
        let Some(connector) = known.filter(|_| energy > Energy::ZERO).cloned() else {
            return;
        };
        let outlet = Outlet {
            pile: pile.clone(),
            connector: record.connector,
        };
        let (start, stop) = (record.meter_start_kwh, record.meter_stop_kwh);
        self.today(&outlet, changes).find(Finding::Unbilled { item, energy });
        if connector.is_of_meter_before(start) {
            return;
        }
        let believed = connector
            .power_max
            .is_some_and(|power| energy <= meter::possible(power, ms));
        match connector.explained().filter(|_| believed) {
            Some(known) if start >= known => {
                self.connector_mut(&outlet, changes).set_aside = Some(stop);
                if let Some(gap) = meter::gap(start, Some(known)) {
                    let day = self.today(&outlet, changes);
                    day.unrecorded += start - known;
                    day.find(Finding::gap(None, gap));
                }
            }
            Some(_) => self.explain(&outlet, start, stop, changes),
            None => {}
        }
    }

    /// An order's record came: what it explains of the register, and what it says against it.
    pub(super) fn note_record(
        &mut self,
        id: &OrderId,
        record: &Record,
        suspicions: &[Suspicion],
        changes: &mut Changes,
    ) {
        let order = self.order_mut(id, changes).clone();
        let outlet = &order.outlet;
        if let Some(Counted { day, .. }) = order.counted
            && self.energy.open.contains_key(&(day, outlet.clone()))
        {
            self.day_mut(day, outlet, changes).has_meter(id);
        }
        if self.has_its_meter(&order) {
            self.explain(outlet, record.meter_start_kwh, record.meter_stop_kwh, changes);
            // The first session after the register was found lower has come.
            self.connector_mut(outlet, changes).rollback = None;
        }
        for suspicion in suspicions {
            let (known, found) = match *suspicion {
                Suspicion::StopBelowStart { start, stop } => (start, stop),
                Suspicion::StartBelowLastKnown { start, last_known } => (last_known, start),
                _ => continue,
            };
            let finding = Finding::rollback(Some(id), Rollback { known, found });
            self.today(outlet, changes).find(finding);
        }
    }

    /// Energy between two sessions; what a report has said of it, it has said.
    pub(super) fn note_gap(&mut self, order: &OrderId, outlet: &Outlet, gap: RegisterGap, changes: &mut Changes) {
        let excess = self.connector_mut(outlet, changes).excess;
        let known = excess.map_or(gap.last_known, |excess| excess.to.max(gap.last_known));
        let day = self.today(outlet, changes);
        day.unrecorded += (gap.start - known).max(Energy::ZERO);
        day.find(Finding::gap(Some(order), gap));
    }

    /// A day has its report.
    pub(super) fn close_day(&mut self, report: &EnergyReport, stamp: Stamp, changes: &mut Changes) {
        changes.energy_days.extend(self.energy.close(report));
        changes.energy_reports.insert(report.day);
        for one in &report.connectors {
            if let Some(read) = one.read {
                self.say_excess(report.day, &one.outlet, read, changes);
            }
        }
        for id in &report.abnormal {
            let reason = report.findings_of(id);
            let pile = self.pile_mut(id, changes);
            pile.meter_abnormal.get_or_insert(MeterAbnormal {
                day: report.day,
                reason,
                since: stamp.at,
            });
        }
        self.energy_reports.insert(report.day, report.clone());
    }
}

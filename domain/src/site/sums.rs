//! What facts add up to in a business day: sums by connector, and what of a register they explain. Part of taking a fact in.

use super::apply::Books;
use crate::{
    energy::{ConnectorDay, EnergyReport, Finding},
    fact::Fact,
    ids::{OrderId, Outlet, PileId},
    messages::Record,
    meter::{self, RegisterGap, Rollback, Suspicion},
    order::{Basis, Counted, Source},
    pile::{Connector, Excess, MeterAbnormal},
    time::Day,
    units::Energy,
};

impl Books<'_> {
    fn connector_mut(&mut self, outlet: &Outlet) -> &mut Connector {
        self.pile_mut(&outlet.pile).connector_mut(outlet.connector)
    }

    /// What the fact says of energy: sums of days, and registers that are explained.
    pub(super) fn apply_to_energy(&mut self, fact: &Fact) {
        match fact {
            Fact::RecordReceived {
                order,
                record,
                suspicions,
                ..
            } => {
                self.note_record(order, record, suspicions);
                // An impossible jump must not make every later session look like a meter running backwards.
                if !suspicions.iter().any(|s| matches!(s, Suspicion::TooFast { .. })) {
                    self.account(order, record.meter_stop_kwh);
                }
            }
            Fact::OrderRated { order, basis, bill } => {
                let source = self.order_mut(order).source;
                // Other bills follow a record, which has been accounted for.
                if *basis == Basis::Estimate || source == Source::Quarantine {
                    self.account(order, bill.stop.register);
                }
            }
            Fact::OrderEstimated { order, .. } | Fact::OrderSettled { order, .. } => self.count(order),
            Fact::Quarantined {
                pile,
                record: Some(record),
                times: Some(times),
                ..
            } => self.note_unbilled(self.stamp.seq, pile, record, times.stop.ms_since(times.start)),
            Fact::RegisterGapFound { order, outlet, gap } => self.note_gap(order, outlet, *gap),
            Fact::RegisterRolledBack { outlet, rollback } => {
                self.today(outlet).find(Finding::rollback(None, *rollback));
            }
            Fact::EnergyDiffers {
                order,
                outlet,
                billed,
                register,
            } => self.today(outlet).find(Finding::Energy {
                order: Some(order.clone()),
                billed: *billed,
                register: *register,
            }),
            Fact::EnergyReported { report } => self.close_day(report),
            _ => {}
        }
    }

    /// An order accounts for what its meter counted up to `register`, and for nothing on the next one.
    fn account(&mut self, id: &OrderId, register: Energy) {
        let order = self.order_mut(id).clone();
        if self.rows.has_its_meter(&order) {
            self.connector_mut(&order.outlet).account(register);
        }
    }

    /// The sums of a connector's business day.
    fn day_mut(&mut self, day: Day, outlet: &Outlet) -> &mut ConnectorDay {
        self.changes.energy_days.insert((day, outlet.clone()));
        self.rows.energy.open.entry((day, outlet.clone())).or_default()
    }

    /// The sums of the day that what happens now belongs to.
    fn today(&mut self, outlet: &Outlet) -> &mut ConnectorDay {
        let days = self
            .rows
            .energy
            .days
            .expect("a day has begun before anything happens in it");
        self.day_mut(days.now, outlet)
    }

    /// An order whose money moves counts in its day; what a later bill changes counts there too.
    fn count(&mut self, id: &OrderId) {
        let today = self.rows.energy.days.expect("a day has begun before money moves").now;
        let order = self.order_mut(id);
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
        order.count(Counted {
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
        let sums = self.day_mut(day, &outlet);
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
    fn explain(&mut self, outlet: &Outlet, start: Energy, stop: Energy) {
        let connector = self.connector_mut(outlet);
        let Some(excess) = connector.excess else { return };
        let explained = stop.min(excess.to) - start.max(excess.from);
        if explained > Energy::ZERO {
            // What lies before it is a gap, and is found as one.
            let from = stop.max(excess.from);
            connector.excess = Some(Excess { from, ..excess });
            self.day_mut(excess.day, outlet).unrecorded -= explained;
        }
    }

    fn say_excess(&mut self, day: Day, outlet: &Outlet, read: Energy) {
        let connector = self.connector_mut(outlet);
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
    fn note_unbilled(&mut self, item: u64, pile: &PileId, record: &Record, ms: i64) {
        let energy = record.energy();
        let known = self
            .rows
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
        self.today(&outlet).find(Finding::Unbilled { item, energy });
        if connector.is_of_meter_before(start) {
            return;
        }
        let believed = connector
            .power_max
            .is_some_and(|power| energy <= meter::possible(power, ms));
        match connector.explained().filter(|_| believed) {
            Some(known) if start >= known => {
                self.connector_mut(&outlet).set_aside = Some(stop);
                if let Some(gap) = meter::gap(start, Some(known)) {
                    let day = self.today(&outlet);
                    day.unrecorded += start - known;
                    day.find(Finding::gap(None, gap));
                }
            }
            Some(_) => self.explain(&outlet, start, stop),
            None => {}
        }
    }

    /// An order's record came: what it explains of the register, and what it says against it.
    fn note_record(&mut self, id: &OrderId, record: &Record, suspicions: &[Suspicion]) {
        let order = self.order_mut(id).clone();
        let outlet = &order.outlet;
        if let Some(Counted { day, .. }) = order.counted
            && self.rows.energy.open.contains_key(&(day, outlet.clone()))
        {
            self.day_mut(day, outlet).has_meter(id);
        }
        if self.rows.has_its_meter(&order) {
            self.explain(outlet, record.meter_start_kwh, record.meter_stop_kwh);
            // The first session after the register was found lower has come.
            self.connector_mut(outlet).rollback = None;
        }
        for suspicion in suspicions {
            let (known, found) = match *suspicion {
                Suspicion::StopBelowStart { start, stop } => (start, stop),
                Suspicion::StartBelowLastKnown { start, last_known } => (last_known, start),
                _ => continue,
            };
            let finding = Finding::rollback(Some(id), Rollback { known, found });
            self.today(outlet).find(finding);
        }
    }

    /// Energy between two sessions; what a report has said of it, it has said.
    fn note_gap(&mut self, order: &OrderId, outlet: &Outlet, gap: RegisterGap) {
        let excess = self.connector_mut(outlet).excess;
        let known = excess.map_or(gap.last_known, |excess| excess.to.max(gap.last_known));
        let day = self.today(outlet);
        day.unrecorded += (gap.start - known).max(Energy::ZERO);
        day.find(Finding::gap(Some(order), gap));
    }

    /// A day has its report.
    fn close_day(&mut self, report: &EnergyReport) {
        self.changes.energy_days.extend(self.rows.energy.close(report));
        self.changes.energy_reports.insert(report.day);
        for one in &report.connectors {
            if let Some(read) = one.read {
                self.say_excess(report.day, &one.outlet, read);
            }
        }
        for id in &report.abnormal {
            let reason = report.findings_of(id);
            let (day, since) = (report.day, self.stamp.at);
            self.pile_mut(id).doubt_meter(MeterAbnormal { day, reason, since });
        }
        self.rows.energy_reports.insert(report.day, report.clone());
    }
}

//! Business days: when one begins, and the report of its energy at 01:00 the day after (S05 §3).

use super::{Turn, live::Timer, sums::say_unexplained};
use crate::{
    energy::{Adjustment, ConnectorDay, ConnectorEnergy, EnergyReport, Finding, REPORT_HOUR, differs},
    fact::Fact,
    ids::{Outlet, PileId},
    messages::ConnectorStatus,
    order::Order,
    planted::{Bug, is_planted},
    register::SessionId,
    time::{Day, Mono},
    units::Energy,
};
use std::collections::{BTreeMap, BTreeSet};

impl Turn<'_> {
    /// Journals that another business day has begun: what follows belongs to it. A clock that is set back takes the day
    /// back with it.
    pub(super) fn notice_day(&mut self) {
        let now = self.now.wall;
        if self
            .site
            .live
            .day
            .is_some_and(|(begins, ends)| begins <= now && now < ends)
        {
            return;
        }
        let zone = &self.site.policy.time_zone;
        let day = zone.day_of(now);
        let ends = zone.begin_of(day.plus(1));
        let before = self.site.live.day.replace((zone.begin_of(day), ends));
        if self.site.rows.energy.days.is_none_or(|days| days.now != day) {
            self.journal(Fact::DayBegan { day });
            self.renew_budgets();
        }
        if before.is_none() {
            // The first input since the station was started says what time it is.
            let (last, next) = self.report_times();
            let overdue = !self.site.rows.energy.due(last).is_empty();
            self.wait_for_report(if overdue { self.now.mono } else { next });
        }
    }

    /// The last day whose report may be made now, and when the one after may.
    fn report_times(&self) -> (Day, Mono) {
        let zone = &self.site.policy.time_zone;
        let today = zone.day_of(self.now.wall);
        let hour = zone.at(today, REPORT_HOUR);
        let (last, next) = if self.now.wall < hour {
            (today.plus(-2), hour)
        } else {
            (today.plus(-1), zone.at(today.plus(1), REPORT_HOUR))
        };
        let wait_ms = u64::try_from(next.ms_since(self.now.wall)).unwrap_or(0);
        (last, self.now.mono.after_ms(wait_ms.max(1)))
    }

    /// Makes the reports that are due, and waits for the next 01:00.
    pub(super) fn report_energy(&mut self) {
        let (last, next) = self.report_times();
        let today = self.site.policy.time_zone.day_of(self.now.wall);
        for day in self.site.rows.energy.due(last) {
            let report = Box::new(self.energy_report(day, last, today));
            self.journal(Fact::EnergyReported { report });
        }
        self.wait_for_report(next);
    }

    /// Looks again then, and not before.
    pub(super) fn wait_for_report(&mut self, at: Mono) {
        let timers = &mut self.site.live.timers;
        timers.retain(|(_, timer)| *timer != Timer::EnergyReport);
        timers.insert((at, Timer::EnergyReport));
    }

    fn energy_report(&self, day: Day, last: Day, today: Day) -> EnergyReport {
        let zone = &self.site.policy.time_zone;
        let open = &self.site.rows.energy.open;
        let here = self.site.rows.piles.values().flat_map(|pile| {
            let outlet = |connector: &_| Outlet {
                pile: pile.id.clone(),
                connector: *connector,
            };
            pile.connectors.keys().map(outlet)
        });
        let mut open_orders: BTreeMap<&Outlet, Vec<&Order>> = BTreeMap::new();
        for order in self.site.rows.orders().filter(|order| order.state.is_open()) {
            open_orders.entry(&order.outlet).or_default().push(order);
        }
        // Sums are of connectors that once were there, so of these and no others.
        let mut connectors = Vec::new();
        for outlet in here {
            let sums = open.get(&(day, outlet.clone())).cloned().unwrap_or_default();
            // What registers read now was not there to be read on days that are reported afterwards.
            let open_here = open_orders.get(&outlet).map_or(&[][..], Vec::as_slice);
            let read = self.read_between_sessions(&outlet, open_here).filter(|_| day == last);
            let one = self.connector_energy(day, outlet, sums, read);
            if one.read.is_some() || one.sums != ConnectorDay::default() {
                connectors.push(one);
            }
        }
        // What is of neither this day, nor one that is yet to be reported: late, or of a day that a wrong clock made.
        let late = |of: Day| of != day && of != today && (of < day || of > last);
        let adjustments = open.iter().filter(|((of, _), _)| late(*of));
        let adjustments = adjustments.map(|((of, outlet), change)| Adjustment {
            of: *of,
            outlet: outlet.clone(),
            change: change.clone(),
        });
        let abnormal: BTreeSet<PileId> = connectors
            .iter()
            .filter(|one| {
                one.sums
                    .findings
                    .iter()
                    .any(|found| matches!(found, Finding::Energy { .. }))
            })
            .map(|one| one.outlet.pile.clone())
            .collect();
        EnergyReport {
            day,
            time_zone: zone.name().to_owned(),
            begins: zone.begin_of(day),
            ends: zone.begin_of(day.plus(1)),
            made_at: self.now.wall,
            clock_trusted: self.site.live.clock_trusted,
            adjustments: adjustments.collect(),
            abnormal: abnormal.into_iter().collect(),
            connectors,
        }
    }

    /// The register while nobody charges, or as it was known when the running order began; none where a session that is
    /// over explains it, or will.
    fn read_between_sessions(&self, outlet: &Outlet, open_here: &[&Order]) -> Option<Energy> {
        let book = &self.site.rows.connector(outlet)?.book;
        if self.site.rows.connector(outlet)?.jump.is_some() {
            // Nobody believes it before a person has looked.
            return None;
        }
        let waits = |order: &Order| {
            let is_accounted = book.session(&SessionId::Order(order.id.clone())).is_some();
            !order.state.occupies_connector() && !is_accounted
        };
        if open_here.iter().any(|order| waits(order)) {
            return None;
        }
        match open_here.iter().find(|order| order.state.occupies_connector()) {
            // Its registers are of a meter that is not there any more.
            Some(running) if !self.site.rows.has_its_meter(running) => None,
            Some(running) => running.baseline,
            None => {
                let live = self.site.live.outlets.get(outlet)?;
                (live.report.status != ConnectorStatus::Charging).then_some(live.report.meter_kwh)
            }
        }
    }

    /// A connector's day with what nothing explains of its register up to `read`, where that was read.
    fn connector_energy(
        &self,
        day: Day,
        outlet: Outlet,
        mut sums: ConnectorDay,
        read: Option<Energy>,
    ) -> ConnectorEnergy {
        let book = self
            .site
            .rows
            .connector(&outlet)
            .map(|connector| connector.book.clone());
        let said = book.zip(read).filter(|_| !is_planted(Bug::SwallowGap));
        let said = said.map(|(mut book, read)| say_unexplained(&mut book, read, day));
        let said = said.filter(|said| !said.found.is_empty());
        if let Some(said) = &said {
            sums.post(day, said);
        }
        sum_up(outlet, sums, read.filter(|_| said.is_some()))
    }
}

fn sum_up(outlet: Outlet, mut sums: ConnectorDay, read: Option<Energy>) -> ConnectorEnergy {
    let (billed, register) = (sums.billed, sums.register());
    if differs(billed, register) {
        // The one that matters stands in any case.
        sums.findings.insert(
            0,
            Finding::Energy {
                order: None,
                billed,
                register,
            },
        );
    }
    ConnectorEnergy { outlet, sums, read }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_days_difference_stands_before_what_it_is_made_of() {
        let kwh = |text: &str| -> Energy { text.parse().unwrap() };
        let outlet = Outlet {
            pile: "P1".parse().unwrap(),
            connector: crate::ids::ConnectorNo(1),
        };
        let sums = |unrecorded| ConnectorDay {
            orders: 1,
            billed: kwh("10"),
            metered: kwh("10"),
            unrecorded: kwh(unrecorded),
            findings: vec![Finding::RegisterGap {
                order: None,
                from: kwh("1010"),
                to: kwh("1010") + kwh(unrecorded),
            }],
            ..ConnectorDay::default()
        };
        // 0.1 kWh is 0.99 % of 10.1 kWh; 0.1011 kWh is 1.0009 % of 10.1011 kWh.
        assert_eq!(sum_up(outlet.clone(), sums("0.1"), None).sums.findings.len(), 1);
        let wrong = sum_up(outlet, sums("0.1011"), None);
        assert_eq!(
            wrong.sums.findings.iter().map(Finding::class).collect::<Vec<_>>(),
            ["ENERGY", "REGISTER_GAP"]
        );
    }
}

//! Heartbeats, with a report of each connector: readings are kept, a start is confirmed, limits are watched.
//! Readings show and stop a running session and make an estimate; the final bill comes from the record.

use super::{Turn, live::OutletLive, runs::Heard};
use crate::{
    fact::{Fact, StopCause},
    flow::{Judged, Uncounted},
    ids::{OrderId, Outlet, PileId},
    messages::{Common, ConnectorReport, ConnectorStatus, Heartbeat},
    meter::Suspicion,
    order::{Order, State},
    planted::{Bug, is_planted},
    plausible::{RegisterWatch, Source, Verdict},
    rating::Reading,
    resolution::Resolution,
    units::Energy,
};

/// Whether a report says that the session of the order that occupies its connector goes on.
///
/// A pile need not name the order it charges; an unnamed session does not confirm a start. A car that pauses is in the
/// session as long as the pile names it.
fn goes_on(order: &Order, status: ConnectorStatus, named: Option<&OrderId>) -> bool {
    let is_running = order.state == State::Charging;
    match status {
        ConnectorStatus::Charging => named.map_or(is_running, |id| *id == order.id),
        ConnectorStatus::Plugged | ConnectorStatus::Finished => {
            is_running && named == Some(&order.id) && !is_planted(Bug::CutPause)
        }
        ConnectorStatus::Idle | ConnectorStatus::Fault | ConnectorStatus::Unavailable => false,
    }
}

/// Whether a report says that its connector is in no session.
///
/// A pile need not name its session, so a car that is still plugged in may be in that of the order that charges here.
fn is_between_sessions(here: Option<&Order>, status: ConnectorStatus, named: Option<&OrderId>) -> bool {
    let may_go_on = here.is_some_and(|order| order.state == State::Charging);
    let between = match status {
        ConnectorStatus::Idle => true,
        ConnectorStatus::Plugged | ConnectorStatus::Finished => !may_go_on,
        ConnectorStatus::Charging | ConnectorStatus::Fault | ConnectorStatus::Unavailable => false,
    };
    between && named.is_none()
}

impl Turn<'_> {
    pub(super) fn heartbeat(&mut self, pile: &PileId, common: &Common, heard: Heard, heartbeat: Heartbeat) {
        if heard == Heard::Late {
            self.ignore("heartbeat_out_of_order");
            return;
        }
        for report in heartbeat.connectors {
            let outlet = Outlet {
                pile: pile.clone(),
                connector: report.no,
            };
            if self.site.rows.connector(&outlet).is_some() {
                self.report(&outlet, common, report);
            } else {
                self.ignore("unknown_connector");
            }
        }
        self.note_heard_since_restore(pile);
    }

    fn report(&mut self, outlet: &Outlet, common: &Common, mut report: ConnectorReport) {
        self.note_faults(outlet, &report);
        let verdict = self.read_register(outlet, report.meter_kwh, Source::Heartbeat);
        // Shown and settled by is what is believed; what waits is in the watch.
        report.meter_kwh = self.believed_register(outlet).unwrap_or(report.meter_kwh);
        let charging = report.status == ConnectorStatus::Charging;
        let named = report.order_id.clone();
        let order = self
            .site
            .live
            .occupied
            .get(outlet)
            .and_then(|id| self.order(id))
            .cloned();
        // While the pile says that the session goes on, it goes on, whether or not energy flows.
        let its_own = order
            .as_ref()
            .is_some_and(|order| goes_on(order, report.status, named.as_ref()));
        let reading = Reading {
            at: self.now.wall,
            register: report.meter_kwh,
        };

        match &order {
            Some(order) if its_own && order.state == State::Place => {
                // One that is not believed is an older one by now, and what flowed since then is not the driver's.
                let first = verdict.is_believed().then_some(report.meter_kwh);
                self.confirm_start(order, common, first);
            }
            Some(order) if its_own && order.deadline.is_some() => self.goes_on(order),
            _ => {}
        }
        if let Some(order) = order.as_ref().filter(|_| its_own && verdict.is_believed()) {
            self.note_first_reading(&order.id, report.meter_kwh);
        }
        self.keep_report(
            outlet,
            report.clone(),
            order.as_ref().filter(|_| its_own),
            reading,
            verdict,
        );
        if verdict.is_believed() && is_between_sessions(order.as_ref(), report.status, named.as_ref()) {
            self.note_idle(outlet, reading);
        }
        if let Some(order) = order.as_ref().filter(|order| order.state.occupies_connector()) {
            self.seen(&order.id);
        }
        match &order {
            Some(order) if its_own => {
                self.watch_limits(&order.id);
                self.watch_finished(outlet, &order.id, report.status);
            }
            Some(order) if order.state == State::Charging => self.watch_missing_record(outlet, order),
            _ => {}
        }
        if !charging || its_own {
            self.end_unordered(outlet, report.meter_kwh);
        } else if !self.stop_if_ended(outlet, named.as_ref()) {
            self.watch_unordered(outlet, order.as_ref(), &report);
        }
    }

    /// A pile that charges an order which has failed or ended is told to stop at once. Says whether that is so.
    fn stop_if_ended(&mut self, outlet: &Outlet, named: Option<&OrderId>) -> bool {
        let ended = named
            .and_then(|id| self.order(id))
            .filter(|order| order.outlet == *outlet && !order.state.occupies_connector());
        let ended = ended.map(|order| order.id.clone());
        if let Some(id) = &ended {
            self.ask_to_stop(id);
        }
        ended.is_some()
    }

    /// The order itself remembers where the driver began to pay: readings may be lost with the process.
    fn note_first_reading(&mut self, id: &OrderId, register: Energy) {
        let order = self.order(id);
        let without = order
            .and_then(|order| order.started.as_ref())
            .is_some_and(|started| started.register.is_none());
        if without {
            self.journal(Fact::FirstReading {
                order: id.clone(),
                register,
            });
        }
    }

    /// Its register stands between two sessions, which are before and after now.
    fn note_idle(&mut self, outlet: &Outlet, reading: Reading) {
        let meter = self.site.rows.connector(outlet);
        let meter = meter.map_or(0, |connector| connector.meters_before);
        if let Some(live) = self.site.live.outlets.get_mut(outlet) {
            live.idle.observe(meter, reading);
        }
    }

    fn keep_report(
        &mut self,
        outlet: &Outlet,
        report: ConnectorReport,
        order: Option<&Order>,
        reading: Reading,
        verdict: Verdict,
    ) {
        let now = self.now;
        let policy = self.policy();
        let (window_ms, pct) = (policy.fake_charging_window_ms, policy.fake_charging_pct);
        // As the order is now: this very report may have brought its first reading.
        let remembered = order.and_then(|order| self.first_remembered(self.order(&order.id)?));
        let rows = &self.site.rows;
        let live = self
            .site
            .live
            .outlets
            .entry(outlet.clone())
            .or_insert_with(|| OutletLive::new(report.clone(), now));
        live.watch = self.site.live.registers.get(outlet).cloned();
        if verdict.is_believed() {
            live.shown = match verdict.is_new_line() {
                true => Resolution::shown_by(report.meter_kwh),
                false => live.shown.with(report.meter_kwh),
            };
        }
        live.watch_meter = rows.connector(outlet).map_or(0, |connector| connector.meters_before);
        // As it is now: its start may have been confirmed by this very report.
        let order = order.and_then(|order| rows.orders.get(&order.id)?.as_ref());
        let mut uncounted = None;
        if let Some(order) = order {
            let tariff = rows.tariff_of(order);
            if live.order.as_ref() != Some(&order.id) {
                // Readings lost with an earlier run: what the order itself remembers counts, at the time it was read.
                // Of an order that an earlier version confirmed that time is unknown.
                let confirmed = || {
                    let started = order.started.as_ref()?;
                    Some(Reading {
                        at: started.at,
                        register: started.register?,
                    })
                };
                live.begin(&order.id, tariff, remembered.or_else(confirmed));
            }
            live.lost_since = None;
            if let (None, Some(soc)) = (live.soc_start, report.soc_pct) {
                live.soc_start = Some((soc, now.wall));
            }
            if verdict.is_new_line() && live.readings.readings().len() <= 1 {
                // Only a slip was known of it: the driver pays from here.
                live.begin(&order.id, tariff, Some(reading));
                live.note_charging(report.status, reading);
            } else if verdict.is_believed() {
                live.note_charging(report.status, reading);
                live.readings.push(tariff, reading);
            }
            // A register that is not believed is not what was counted.
            if verdict.is_believed() {
                let step = live.watch.as_ref().map_or(Energy(1), RegisterWatch::step);
                let judged = Judged { window_ms, pct, step };
                let seen = live.flow.report(now.mono, report.watts(), report.meter_kwh, judged);
                let known = |suspicion: &Suspicion| matches!(suspicion, Suspicion::FakeCharging { .. });
                uncounted = seen
                    .filter(|_| !order.suspicions.iter().any(known))
                    .map(|seen| (order.id.clone(), seen));
            }
        }
        live.report = report;
        live.as_of = now.wall;
        live.received = now.mono;
        if let Some((order, Uncounted { claimed, counted })) = uncounted {
            let suspicion = Suspicion::FakeCharging { claimed, counted };
            self.journal(Fact::FakeChargingSeen { order, suspicion });
        }
    }

    /// Ends a session whose fee, energy, time or state of charge has reached its limit, and goes on asking.
    fn watch_limits(&mut self, id: &OrderId) {
        let Some(order) = self.order(id).filter(|order| order.state == State::Charging).cloned() else {
            return;
        };
        if order.stopping {
            self.ask_to_stop(id);
            return;
        }
        let Some(live) = self.site.live.outlets.get(&order.outlet) else {
            return;
        };
        let bill = live.bill_so_far(&order, &self.site.rows);
        let until = &order.until;
        let minutes = order
            .started
            .as_ref()
            .map(|started| self.now.mono.ms_since(started.mono) / 60_000);
        let energy = bill.as_ref().map_or(Energy::ZERO, |bill| bill.energy);
        let fee_reached = bill.as_ref().is_some_and(|bill| bill.fee >= order.limit_fee);
        let own_fee = until.fee.is_some_and(|fee| fee <= order.limit_fee);
        let own_limit = until.kwh.is_some_and(|kwh| energy >= kwh)
            || until
                .minutes
                .zip(minutes)
                .is_some_and(|(limit, passed)| passed >= u64::from(limit))
            || until
                .soc_pct
                .zip(live.report.soc_pct)
                .is_some_and(|(limit, soc)| soc >= f64::from(limit))
            || (fee_reached && own_fee);
        if own_limit {
            self.request_stop(&order, StopCause::LimitReached);
        } else if fee_reached {
            self.request_stop(&order, StopCause::FundsUsed);
        } else {
            self.raise_limit(id, energy);
        }
    }
}

//! What the station itself saw of a register, and who accounts for its readings: every record and every estimate is held
//! against both before money moves. A record is not believed because it came.

use super::{Site, Turn, live::OutletLive};
use crate::{
    alignment::TIME_SLACK_MS,
    energy,
    fact::SessionTimes,
    ids::Outlet,
    messages::Record,
    meter::{self, Rollback, SessionEnd, Suspicion},
    order::{Basis, Order},
    planted::{Bug, is_planted},
    plausible::{Seen, can_be},
    quarantine::{CoveredBy, Covering},
    rating::Reading,
    resolution::Resolution,
    units::{Energy, Power},
};

impl Site {
    /// On which of its connector's meters a session ran that comes late and moved the register from `start` to `stop`.
    pub(super) fn meter_of_late_session(&self, outlet: &Outlet, start: Energy, stop: Energy) -> u32 {
        let connector = self.rows.connector(outlet);
        connector.map_or(0, |connector| connector.meter_of_late_session(start, stop))
    }

    /// All that covers these readings of one of a connector's meters: sessions in its book, and what the station has seen of
    /// an order that charges there and has no record yet.
    pub(super) fn covering(&self, outlet: &Outlet, meter: u32, from: Energy, to: Energy) -> Vec<Covering> {
        let connector = self.rows.connector(outlet);
        let book = connector.and_then(|connector| connector.book_for(meter));
        let sessions = book.map(|book| book.overlapping(from, to)).unwrap_or_default();
        let mut covers: Vec<Covering> = sessions.into_iter().map(Covering::from).collect();
        covers.extend(self.covering_while_charging(outlet, meter, from, to));
        covers
    }

    /// Whether the book of this meter was given up, so that nobody can tell what covers its readings.
    pub(super) fn has_forgotten(&self, outlet: &Outlet, meter: u32) -> bool {
        let connector = self.rows.connector(outlet);
        connector.is_some_and(|connector| connector.book_for(meter).is_none())
    }

    /// The order that charges there, where the station saw any of these readings while it did.
    fn covering_while_charging(&self, outlet: &Outlet, meter: u32, from: Energy, to: Energy) -> Option<Covering> {
        let running = self.live.occupied.get(outlet).and_then(|id| self.rows.order(id))?;
        let readings = self.live_of(running)?.readings.readings();
        let (from, to) = (from.max(readings.first()?.register), to.min(readings.last()?.register));
        let by = CoveredBy::Order(running.id.clone());
        (running.meter == meter && from < to).then_some(Covering { by, from, to })
    }

    /// What covers so much of the readings of a session without an order that it is no new one.
    pub(super) fn covers_late_session(&self, outlet: &Outlet, record: &Record) -> Option<Covering> {
        let (from, to) = (record.meter_start_kwh, record.meter_stop_kwh);
        let meter = self.meter_of_late_session(outlet, from, to);
        let covers = self.covering(outlet, meter, from, to);
        too_much(covers, to - from, self.step_between(outlet, from, to))
    }

    /// The step by which two sessions that follow one another may overlap: that of the register as the pile reports it, or as
    /// it writes it in records, whichever is coarser.
    fn step_between(&self, outlet: &Outlet, from: Energy, to: Energy) -> Energy {
        let recorded = Resolution::shown_by(from).with(to).step();
        self.shown_step(outlet).max(recorded)
    }

    /// The step in which the station sees a register.
    pub(super) fn shown_step(&self, outlet: &Outlet) -> Energy {
        let live = self.live.outlets.get(outlet);
        live.map_or(Resolution::COARSEST, |live| live.shown.step())
    }

    /// The step in which the last reading before an order was shown: what shows more places than reports do is no report.
    pub(super) fn step_of_baseline(&self, order: &Order) -> Energy {
        let shown = self.shown_step(&order.outlet);
        let own = order.baseline.map(|baseline| Resolution::shown_by(baseline).step());
        own.map_or(shown, |own| own.min(shown))
    }

    /// What a connector said of itself last, while its readings are this order's.
    fn live_of(&self, order: &Order) -> Option<&OutletLive> {
        let live = self.live.outlets.get(&order.outlet);
        live.filter(|live| live.order.as_ref() == Some(&order.id))
    }
}

impl Turn<'_> {
    /// The first session after the register was found elsewhere than it had been.
    pub(super) fn rolled_back(&self, order: &Order) -> Option<Suspicion> {
        let connector = self.site.rows.connector(&order.outlet);
        let connector = connector.filter(|_| self.site.rows.has_its_meter(order))?;
        if let Some(Rollback { known, found }) = connector.jump {
            return Some(Suspicion::RegisterJumped { known, found });
        }
        let Rollback { known, found } = connector.rollback?;
        Some(Suspicion::RegisterLower { known, found })
    }

    /// Whatever else covers the readings of an order's session by so much that they would be paid for twice.
    pub(super) fn already_accounted(&self, order: &Order, (from, to): (Energy, Energy)) -> Option<Suspicion> {
        if from >= to || is_planted(Bug::BillTwice) {
            return None;
        }
        let itself = CoveredBy::Order(order.id.clone());
        let mut covers = self.site.covering(&order.outlet, order.meter, from, to);
        covers.retain(|cover| cover.by != itself);
        // Its own estimate may be so long ago that it is no longer known by name.
        if order.counted.is_some() {
            let estimate = order.bills.iter().rev().find_map(|bill| bill.detail.as_ref());
            let own = estimate.map(|bill| (bill.start.register, bill.stop.register));
            for cover in covers.iter_mut().filter(|cover| cover.by == CoveredBy::Earlier) {
                leave_out(cover, own);
            }
        }
        let step = self.site.step_between(&order.outlet, from, to);
        let Covering { by, from, to } = too_much(covers, to - from, step)?;
        Some(Suspicion::AlreadyAccounted { by, from, to })
    }

    /// What the register moved by what the station saw of it while the order ran, where that is more than its record says:
    /// from the first reading under the order, or from where the record begins if that is before it, to the last reading, or
    /// the one that an estimate was made of.
    pub(super) fn further_than_recorded(&self, order: &Order, record: &Record) -> Option<Energy> {
        let live = self.site.live_of(order);
        let reported = live.and_then(|live| live.readings.latest());
        let estimates = order.bills.iter().filter(|bill| bill.basis == Basis::Estimate);
        let estimated = estimates
            .filter_map(|bill| Some(bill.detail.as_ref()?.stop.register))
            .max();
        let last = reported.map(|reading| reading.register).max(estimated)?;
        let start = record.meter_start_kwh;
        let first = self.first_seen(order).map_or(start, |first| first.register.min(start));
        let (recorded, seen) = (record.energy(), last - first);
        let is_above_step = seen - recorded >= self.site.shown_step(&order.outlet);
        (is_above_step && energy::differs(recorded, seen)).then_some(seen)
    }

    /// A register of the record that claims energy which the station's own readings leave no room for: a start below the
    /// first reading under the order, a stop above the last one or above what the register has come to since.
    pub(super) fn not_as_seen(&self, order: &Order, record: &Record, times: &SessionTimes) -> Option<Suspicion> {
        // By times that are in doubt nothing can be told, and a person looks anyway.
        if !self.site.rows.has_its_meter(order) || times.suspicions().next().is_some() || is_planted(Bug::TrustMeter) {
            return None;
        }
        let start = Reading {
            at: times.start,
            register: record.meter_start_kwh,
        };
        let stop = Reading {
            at: times.stop,
            register: record.meter_stop_kwh,
        };
        let (power, step) = (self.power_of(&order.outlet), self.site.shown_step(&order.outlet));
        let last = self.site.live_of(order).and_then(|live| live.readings.latest());
        let first = self.first_seen(order);
        let claims = [
            (SessionEnd::Start, start, first),
            (SessionEnd::Stop, stop, last),
            (SessionEnd::Stop, stop, self.read_since(&order.outlet)),
        ];
        claims.into_iter().find_map(|(at, told, seen)| {
            let seen = seen?;
            let more = match at {
                SessionEnd::Start => told.register < seen.register,
                SessionEnd::Stop => told.register > seen.register,
            };
            let possible = beyond(told, seen, power, step).filter(|_| more)?;
            let (recorded, seen) = (told.register, seen.register);
            Some(Suspicion::NotAsSeen {
                at,
                recorded,
                seen,
                possible,
            })
        })
    }

    /// The first reading that an order itself remembers, with when it was read, by the clock as it is now.
    pub(super) fn first_remembered(&self, order: &Order) -> Option<Reading> {
        let started = order.started.as_ref()?;
        let read = started.register_at?;
        let away_ms = self.site.rows.clock.away_ms(self.now, read);
        let ago_ms = self.now.mono.ms_since(read.mono).saturating_add(away_ms);
        Some(Reading {
            at: self.now.wall.after_ms(-i64::try_from(ago_ms).ok()?),
            register: started.register?,
        })
    }

    /// The first reading under an order, with when it came.
    fn first_seen(&self, order: &Order) -> Option<Reading> {
        let by_order = self.first_remembered(order);
        // One that turned out to be a slip was withdrawn from the readings alone.
        let live = self.site.live_of(order);
        let first = live.and_then(|live| live.readings.readings().first().copied());
        match (first, by_order) {
            (Some(first), Some(by_order)) if first.register != by_order.register => Some(first),
            (first, by_order) => by_order.or(first),
        }
    }

    /// The register as it is believed to be now, and when it was read.
    fn read_since(&self, outlet: &Outlet) -> Option<Reading> {
        let believed = self.site.live.registers.get(outlet)?.believed()?;
        let ago_ms = i64::try_from(believed.ms_until(Seen::now(self.now.mono, believed.register))).ok()?;
        Some(Reading {
            at: self.now.wall.after_ms(-ago_ms),
            register: believed.register,
        })
    }
}

/// What can lie between two readings at most, where there is more; times are a record's, so they may be off a little.
fn beyond(told: Reading, seen: Reading, power: Power, step: Energy) -> Option<Energy> {
    let later_by_ms = told.at.ms_since(seen.at);
    let fits = |slack_ms: i64| can_be(told.register, seen.register, later_by_ms + slack_ms, power, step);
    let possible = meter::possible(power, later_by_ms.saturating_abs().saturating_add(TIME_SLACK_MS));
    (!fits(-TIME_SLACK_MS) && !fits(TIME_SLACK_MS)).then_some(possible)
}

/// The largest of what covers a session that moved so much, where it is too much to be nothing but the step of a register:
/// more than that of any one neighbour, or half of a short session.
fn too_much(covers: Vec<Covering>, energy: Energy, step: Energy) -> Option<Covering> {
    let all: i64 = covers.iter().map(|cover| (cover.to - cover.from).0).sum();
    let largest = covers.into_iter().max_by_key(|cover| cover.to - cover.from)?;
    (largest.to - largest.from > step || all.saturating_mul(2) > energy.0).then_some(largest)
}

/// A cover without what of it is known to be one's own.
fn leave_out(cover: &mut Covering, own: Option<(Energy, Energy)>) {
    let Some((from, to)) = own else { return };
    if from <= cover.from {
        cover.from = cover.from.max(to).min(cover.to);
    } else if to >= cover.to {
        cover.to = from.min(cover.to);
    }
}

/// A record that says less than was seen is known to be wrong before any money moves.
pub(super) fn below_seen(record: &Record, seen: Energy) -> Option<Suspicion> {
    let recorded = record.energy();
    // A register that ran backwards is suspect by itself.
    let is_told = recorded.is_negative() || is_planted(Bug::SettleBelowSeen);
    (!is_told).then_some(Suspicion::BelowSeen { recorded, seen })
}

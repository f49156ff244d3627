//! An estimate takes the place of a record that has not come: rated from the last reading, paid from the hold alone.
//! The remainder stays held for the record.

use super::Turn;
use crate::{
    fact::Fact,
    ids::OrderId,
    meter::{self, Suspicion},
    notice::Notice,
    order::{Basis, Order},
    planted::{Bug, is_planted},
    rating::{self, Reading},
    settlement::{Payment, Split},
    units::{Energy, Fen},
};

impl Turn<'_> {
    /// An estimate takes the record's place: captured from the last reading, the remainder stays held.
    pub(super) fn estimate(&mut self, id: &OrderId) {
        let order = self
            .order(id)
            .expect("an estimate is made for an order in memory")
            .clone();
        let live = self.site.live.outlets.get(&order.outlet);
        let bill = live
            .and_then(|live| live.bill_so_far(&order, &self.site.rows))
            .or_else(|| {
                let started = order.started.as_ref();
                let nothing = Reading {
                    at: started.map_or(order.placed_at, |started| started.at),
                    register: started
                        .and_then(|started| started.register)
                        .or(order.baseline)
                        .or(self.site.live.last_known_register(&order.outlet, &self.site.rows))
                        .unwrap_or_default(),
                };
                rating::rate(self.site.rows.tariff_of(&order), nothing, &[], nothing).ok()
            });
        let bill = bill.expect("a session from a reading to itself can always be rated");
        let started_at = bill.start.register;
        self.journal(Fact::OrderRated {
            order: id.clone(),
            basis: Basis::Estimate,
            bill,
        });
        if !is_planted(Bug::EstimateSwallowsGap) {
            self.find_gaps(id, self.register_below(&order, started_at));
        }
        self.settle_estimate(id);
    }

    /// Up to where it is asked what flowed before an order that began at `start`: where that reading was taken back meanwhile,
    /// up to the register that took its place.
    fn register_below(&self, order: &Order, start: Energy) -> Energy {
        let connector = self.site.rows.connector(&order.outlet);
        let connector = connector.filter(|connector| connector.meters_before == order.meter);
        let read = connector.and_then(|connector| Some((connector.register?, connector.register_at.mono)));
        let began = order.started.as_ref().map(|started| started.mono);
        // A late record of an earlier session leaves the baseline as it was.
        let taken_back =
            read.filter(|(read, at)| began.is_some_and(|began| *at > began) && order.baseline == Some(*read));
        taken_back.map_or(start, |(read, _)| start.min(read))
    }

    /// What speaks against the registers of a record speaks against an estimate by the same registers.
    fn doubts_of_estimate(&self, id: &OrderId) -> Vec<Suspicion> {
        let order = self.order(id).expect("an estimate is settled while in memory");
        let mut doubts = Vec::new();
        let bill = order.bill().and_then(|bill| bill.detail.as_ref());
        if let Some(bill) = bill.filter(|bill| bill.energy > Energy::ZERO) {
            doubts.extend(self.rolled_back(order));
            let registers = (bill.start.register, bill.stop.register);
            let (power, ms) = (self.power_of(&order.outlet), bill.stop.at.ms_since(bill.start.at));
            // Its start is a report, and rounded as they are.
            let step = self.site.shown_step(&order.outlet);
            doubts.extend(meter::suspicions(registers, order.baseline, step, power, ms));
            doubts.extend(self.already_accounted(order, registers));
        }
        doubts
    }

    /// Captures what an estimate says and leaves the remainder held for the record.
    fn settle_estimate(&mut self, id: &OrderId) {
        let doubts = self.doubts_of_estimate(id);
        let reasons = self.reasons_to_review(id, doubts);
        if !reasons.is_empty() {
            self.open_review(id, reasons);
            return;
        }
        let order = self.order(id).expect("an estimate is settled while in memory").clone();
        let fee = order.bill().map_or(Fen::ZERO, |bill| bill.fee());
        // Only the hold: what the record may yet change is not taken from anywhere else.
        let payment = Payment {
            from_allowance: Split::default(),
            on_debt: Split::default(),
            ..self.payment(&order, false)
        };
        let remainder_until = self.now.mono.after_ms(self.policy().remainder_ms);
        self.journal(Fact::OrderEstimated {
            order: id.clone(),
            payment,
            remainder_until,
        });
        self.return_freed(id, payment.refund);
        self.notify(&order, Notice::estimated(fee, payment.from_hold.total()));
        self.seen(id);
    }
}

//! How money reaches a bill (S05 §2.3, §4.1): from the hold, the allowance and debt, and back again when a bill gets lower.
//! Arithmetic alone: who settles what, and when, is decided in `site/settle.rs`.

use crate::{
    planted::{Bug, is_planted},
    units::Fen,
};
use serde::{Deserialize, Serialize};

/// Electricity and service, which are booked apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// For energy.
    pub electricity: Fen,
    /// For service.
    pub service: Fen,
}

impl Split {
    /// Both together.
    pub fn total(&self) -> Fen {
        self.electricity + self.service
    }

    /// Takes up to `amount` out of what is left to pay, electricity first.
    pub(crate) fn take(&mut self, amount: Fen) -> Split {
        let electricity = self.electricity.min(amount);
        let service = self.service.min(amount - electricity);
        self.electricity -= electricity;
        self.service -= service;
        Split { electricity, service }
    }
}

/// How one settlement of an order moves money. All parts are zero or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Payment {
    /// Captured from the hold.
    pub from_hold: Split,
    /// Captured from what else the member has here.
    pub from_allowance: Split,
    /// Delivered and owed.
    pub on_debt: Split,
    /// Owed by an earlier bill and no longer.
    pub debt_cut: Fen,
    /// Paid by an earlier bill and given back.
    pub refund: Fen,
    /// The sales that `debt_cut` and `refund` take back.
    #[serde(default)]
    pub back: Split,
    /// Of what an earlier bill booked as electricity, this much is service after all; negative the other way round.
    #[serde(default)]
    pub regrouped: Fen,
    /// Released from the hold.
    pub release: Fen,
}

/// Where an order's money stands before a settlement.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Left in the hold.
    pub held: Fen,
    /// What else the member has here; never negative.
    pub allowance: Fen,
    /// What has moved for the order so far.
    pub paid: Paid,
}

impl Standing {
    /// How to reach `bill` from here: first the hold, then the allowance, then debt (S05 §2.3); a lower bill than before
    /// cuts the debt first and refunds the rest, never more than was paid and not yet given back. `release` says whether
    /// the hold ends here (S05 §4.1). What is booked as electricity and as service follows the bill.
    pub fn settle(&self, bill: Split, release: bool) -> Payment {
        let electricity = bill.electricity - self.paid.electricity;
        let service = bill.service - self.paid.service;
        let regrouped = if electricity.is_negative() {
            service.max(Fen::ZERO).min(-electricity)
        } else {
            -(-service).max(Fen::ZERO).min(electricity)
        };
        let (electricity, service) = (electricity + regrouped, service - regrouped);
        let part = |electricity: Fen, service: Fen| Split {
            electricity: electricity.max(Fen::ZERO),
            service: service.max(Fen::ZERO),
        };
        let (mut due, mut over) = (part(electricity, service), part(-electricity, -service));
        let from_hold = due.take(self.held);
        let from_allowance = due.take(self.allowance);
        if is_planted(Bug::NoDebt) {
            due = Split::default();
        }
        let debt_cut = over.total().min(self.paid.debt);
        let refund = (over.total() - debt_cut).min(self.paid.refundable());
        Payment {
            from_hold,
            from_allowance,
            on_debt: due,
            debt_cut,
            refund,
            back: over.take(debt_cut + refund),
            regrouped,
            release: if release && is_planted(Bug::ReleaseAndCapture) {
                self.held
            } else if release {
                self.held - from_hold.total()
            } else {
                Fen::ZERO
            },
        }
    }
}

/// Money that moved for an order, all in fen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Paid {
    /// Booked as electricity sales, by the last bill that was settled.
    pub electricity: Fen,
    /// Booked as service sales, likewise.
    pub service: Fen,
    /// What lower bills have taken back so far; not part of the above.
    pub rebated: Fen,
    /// Of electricity and service, still owed.
    pub debt: Fen,
    /// Given back after settlement (售后退款); does not change the bill.
    pub refunded: Fen,
}

impl Paid {
    /// What the driver is charged by the bill, paid or owed.
    pub fn charged(&self) -> Fen {
        self.electricity + self.service
    }

    /// What can still be given back: what was really paid and not yet returned.
    pub fn refundable(&self) -> Fen {
        self.charged() - self.debt - self.refunded
    }

    /// Books `payment` of one settlement.
    pub(crate) fn add(&mut self, payment: &Payment) {
        for part in [payment.from_hold, payment.from_allowance, payment.on_debt] {
            self.electricity += part.electricity;
            self.service += part.service;
        }
        self.electricity -= payment.back.electricity + payment.regrouped;
        self.service -= payment.back.service - payment.regrouped;
        self.debt += payment.on_debt.total() - payment.debt_cut;
        self.rebated += payment.debt_cut + payment.refund;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Hold;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_settlement_reaches_the_bill_from_wherever_it_stands(
            held in 0..10_000_i64, allowance in 0..10_000_i64, first in (0..9_000_i64, 0..9_000_i64), second in (0..9_000_i64, 0..9_000_i64)
        ) {
            let mut hold = Hold { taken: Fen(held), ..Hold::default() };
            let mut paid = Paid::default();
            let mut funds = Fen(allowance);
            for (bill, release) in [(first, false), (second, true)] {
                let bill = Split { electricity: Fen(bill.0), service: Fen(bill.1) };
                let standing = Standing { held: hold.remaining(), allowance: funds, paid };
                let payment = standing.settle(bill, release);
                hold.captured += payment.from_hold.total();
                hold.released += payment.release;
                funds = funds - payment.from_allowance.total() + payment.refund + payment.release;
                paid.add(&payment);
                prop_assert_eq!((paid.electricity, paid.service), (bill.electricity, bill.service));
                prop_assert_eq!(payment.back.total(), payment.debt_cut + payment.refund);
                prop_assert!(hold.remaining() >= Fen::ZERO && funds >= Fen::ZERO && paid.debt >= Fen::ZERO);
                prop_assert!(payment.on_debt.total() == Fen::ZERO || funds == payment.release + payment.refund);
            }
            prop_assert!(hold.is_resolved());
        }
    }
}

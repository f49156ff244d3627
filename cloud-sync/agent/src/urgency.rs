//! Which entries head office must hear of at once: what came of a directive, a start that a card wished for, money that goes back to a
//! wallet or has come by a voucher, a debt, and whatever happens to an order that head office placed or that somebody there
//! watches. Everything else may wait ten seconds for company.

use crate::courier::Watched;
use domain::{fact::Fact, ids::OrderId, journal::Entry, units::Fen};
use std::collections::BTreeMap;

/// What is urgent now.
pub(crate) struct Urgency<'a> {
    watched: &'a BTreeMap<OrderId, Watched>,
}

impl<'a> Urgency<'a> {
    pub(crate) fn of(watched: &'a BTreeMap<OrderId, Watched>) -> Self {
        Self { watched }
    }

    /// Whether an entry with these stored bytes is. One that cannot be read is not: nobody waits for what a newer station
    /// alone knows.
    pub(crate) fn is_urgent(&self, entry: &[u8]) -> bool {
        let Ok(Entry { fact, .. }) = Entry::from_bytes(entry) else {
            return false;
        };
        let is_awaited = |order: &OrderId| self.watched.contains_key(order) || order.is_head_offices();
        fact.order().is_some_and(is_awaited) || moves_money_between(&fact) || makes_a_debt(&fact)
    }
}

fn moves_money_between(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::DirectiveTaken { .. }
            | Fact::StartWished { .. }
            | Fact::LeaseReceived { .. }
            | Fact::LeaseReturned { .. }
            | Fact::VouchersClosed { .. }
    )
}

fn makes_a_debt(fact: &Fact) -> bool {
    match fact {
        Fact::OrderSettled { payment, .. } | Fact::OrderEstimated { payment, .. } => {
            payment.on_debt.total() > Fen::ZERO
        }
        Fact::DebtPaid { .. } => true,
        _ => false,
    }
}

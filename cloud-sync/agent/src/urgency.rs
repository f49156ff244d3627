//! Which entries head office must hear of at once: a debt, and whatever happens to an order that somebody there watches.
//! Everything else may wait ten seconds for company.

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
        let is_watched = fact.order().is_some_and(|order| self.watched.contains_key(order));
        is_watched || makes_a_debt(&fact)
    }
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

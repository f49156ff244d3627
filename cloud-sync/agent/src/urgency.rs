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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]
mod tests {
    use super::*;
    use domain::{
        ids::{HEAD_OFFICE_ORDER, SiteId},
        journal::Stamp,
        time::{Mono, Wall},
    };
    use std::{collections::BTreeSet, fs, path::Path};

    /// Facts of these kinds move money between a site's books and head office's, answer what head office had the station do, or ask it for
    /// an order.
    const ALWAYS: [&str; 6] = [
        "DebtPaid",
        "DirectiveTaken",
        "LeaseReceived",
        "LeaseReturned",
        "StartWished",
        "VouchersClosed",
    ];
    /// Facts of these are where they leave a debt.
    const WITH_A_DEBT: [&str; 2] = ["OrderEstimated", "OrderSettled"];

    /// A fact of each kind in each of its shapes, by kind: those that the form of the journal is held by.
    fn facts() -> Vec<(String, Fact)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../domain/tests/facts");
        let mut facts = Vec::new();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "jsonl") {
                let kind = path.file_stem().unwrap().to_str().unwrap().to_owned();
                for line in fs::read_to_string(&path)
                    .unwrap()
                    .lines()
                    .filter(|line| !line.is_empty())
                {
                    facts.push((kind.clone(), serde_json::from_str(line).unwrap()));
                }
            }
        }
        facts
    }

    fn is_urgent(fact: &Fact, watched: &BTreeMap<OrderId, Watched>) -> bool {
        let site: SiteId = "s01".parse().unwrap();
        let stamp = Stamp {
            seq: 1,
            at: Wall(0),
            mono: Mono(0),
        };
        Urgency::of(watched).is_urgent(&Entry::bytes_of(&site, "e", stamp, fact))
    }

    #[test]
    fn what_moves_money_between_books_is_urgent_and_a_stations_own_orders_wait() {
        let (nobody, mut urgent, mut waits) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for (kind, fact) in facts() {
            match is_urgent(&fact, &nobody) {
                true => urgent.insert(kind),
                false => waits.insert(kind),
            };
        }
        assert_eq!(urgent, ALWAYS.map(str::to_owned).into());
        let both: Vec<&String> = urgent.intersection(&waits).collect();
        assert!(both.is_empty(), "{both:?}");
        assert!(waits.len() > 60, "{waits:?}");
    }

    #[test]
    fn an_order_that_leaves_a_debt_is_urgent() {
        let (nobody, mut kinds) = (BTreeMap::new(), BTreeSet::new());
        for (kind, fact) in facts() {
            let mut fact = serde_json::to_value(&fact).unwrap();
            let Some(on_debt) = fact.pointer_mut(&format!("/{kind}/payment/on_debt/service")) else {
                continue;
            };
            *on_debt = "0.01".into();
            let fact: Fact = serde_json::from_value(fact).unwrap();
            assert!(is_urgent(&fact, &nobody), "{kind}");
            kinds.insert(kind);
        }
        assert_eq!(kinds, WITH_A_DEBT.map(str::to_owned).into());
    }

    #[test]
    fn whatever_happens_to_an_order_that_head_office_placed_or_somebody_watches_is_urgent() {
        let mut with_an_order = 0;
        for (kind, fact) in facts() {
            let Some(order) = fact.order().cloned() else { continue };
            with_an_order += 1;
            let watched = BTreeMap::from([(order.clone(), Watched::default())]);
            assert!(is_urgent(&fact, &watched), "{kind} of an order that is watched");
            let text = serde_json::to_string(&fact).unwrap();
            let (ours, theirs) = (format!("\"{order}\""), format!("\"{HEAD_OFFICE_ORDER}{order}\""));
            let placed: Fact = serde_json::from_str(&text.replace(&ours, &theirs)).unwrap();
            assert!(is_urgent(&placed, &BTreeMap::new()), "{kind} of head office's order");
        }
        assert!(with_an_order > 60, "{with_an_order}");
    }

    #[test]
    fn what_cannot_be_read_is_not_urgent() {
        let nobody = BTreeMap::new();
        assert!(!Urgency::of(&nobody).is_urgent(b"{\"a newer\": \"form\"}"));
    }
}

//! Which rows must be in memory before a fact that was decided long ago is applied. Open orders with their members, piles,
//! tariffs, the desk's shift and the station's accounts always are.

use domain::{
    fact::{Fact, PaidFrom, QuarantineOutcome},
    ids::{MemberId, OrderId},
    site::{Key, Rows},
};

/// Rows that `fact` needs and that are not there. One row may name another: ask again until none is left.
pub(super) fn missing(rows: &Rows, fact: &Fact) -> Vec<Key> {
    let mut keys = Vec::new();
    for order in fact.order().into_iter().chain(others(fact)) {
        of_order(rows, order, &mut keys);
    }
    match fact {
        Fact::OrderPlaced { member, .. }
        | Fact::MemberRegistered { member, .. }
        | Fact::MemberBlocked { member, .. }
        | Fact::Notified { member, .. } => of_member(rows, member, &mut keys),
        Fact::ToppedUp { member, receipt, .. }
        | Fact::TopUpReversed { member, receipt, .. }
        | Fact::DebtPaid {
            from: PaidFrom::Cash,
            member,
            receipt,
            ..
        } => {
            of_member(rows, member, &mut keys);
            if !receipt.is_empty() && !rows.receipts.contains_key(receipt) {
                keys.push(Key::Receipt(receipt.clone()));
            }
        }
        Fact::CardBound { card, .. } | Fact::CardUnbound { card, .. } if !rows.cards.contains_key(card) => {
            keys.push(Key::Card(card.clone()));
        }
        Fact::CashBanked { slip, .. } if !rows.slips.contains_key(slip) => keys.push(Key::Slip(slip.clone())),
        Fact::Quarantined { pile, digest, .. } => {
            let content = (pile.clone(), digest.clone());
            if !rows.set_aside.contains_key(&content) {
                keys.push(Key::SetAside(content.0, content.1));
            }
        }
        Fact::QuarantineClosed { item, .. } if !rows.quarantine.contains_key(item) => keys.push(Key::Quarantine(*item)),
        _ => {}
    }
    keys
}

/// Orders that a fact is about besides the one whose log it stands in.
fn others(fact: &Fact) -> impl Iterator<Item = &OrderId> {
    let (about, billed) = match fact {
        Fact::QuarantineClosed { outcome, order, .. } => {
            let billed = match outcome {
                QuarantineOutcome::Billed { order } => Some(order),
                QuarantineOutcome::Dismissed => None,
            };
            (order.as_ref(), billed)
        }
        _ => (None, None),
    };
    about.into_iter().chain(billed)
}

fn of_order(rows: &Rows, id: &OrderId, keys: &mut Vec<Key>) {
    match rows.orders.get(id) {
        None => keys.push(Key::Order(id.clone())),
        Some(Some(order)) => of_member(rows, &order.member, keys),
        Some(None) => {}
    }
}

fn of_member(rows: &Rows, id: &MemberId, keys: &mut Vec<Key>) {
    if !rows.members.contains_key(id) {
        keys.push(Key::Member(id.clone()));
    }
}

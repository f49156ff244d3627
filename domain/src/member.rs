//! A member (会员): who pays, and what stops them from starting.

use crate::{
    fact::Fact,
    ids::{MemberId, OrderId},
    order::Order,
    units::Fen,
};
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// Everything that is kept of a member; the money is in the ledger. Whoever holds a [`Member`] reads these fields; only
/// facts write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The member's id.
    pub id: MemberId,
    /// A name for people at the desk; may be empty.
    pub name: String,
    /// Not served any more, and why (S05 §5). Never stops a running order.
    pub blocked: Option<String>,
    /// Orders that are not at an end.
    pub open_orders: Vec<OrderId>,
    /// Orders with something owed, oldest first.
    pub unpaid_orders: Vec<OrderId>,
}

/// A member as they are known. The fields can be read; facts change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Member(MemberRow);

impl Deref for Member {
    type Target = MemberRow;

    fn deref(&self) -> &MemberRow {
        &self.0
    }
}

impl Member {
    /// A member without history.
    pub fn new(id: MemberId, name: String) -> Self {
        Self(MemberRow {
            id,
            name,
            blocked: None,
            open_orders: Vec::new(),
            unpaid_orders: Vec::new(),
        })
    }

    /// Takes a fact about this member into account. Facts that say nothing of a member's row change nothing.
    pub(crate) fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::MemberRegistered { name, .. } => self.0.name.clone_from(name),
            Fact::MemberBlocked { reason, .. } => self.0.blocked.clone_from(reason),
            _ => {}
        }
    }

    /// Whether the lists of open and unpaid orders say of `order` what it is.
    pub(crate) fn lists_rightly(&self, order: &Order) -> bool {
        self.open_orders.contains(&order.id) == order.state.is_open()
            && self.unpaid_orders.contains(&order.id) == (order.paid.debt > Fen::ZERO)
    }

    /// Brings both lists in step with an order of theirs.
    pub(crate) fn list(&mut self, order: &Order) {
        let keep =
            |list: &mut Vec<OrderId>, listed: bool| match (list.iter().position(|known| *known == order.id), listed) {
                (None, true) => list.push(order.id.clone()),
                (Some(at), false) => {
                    list.remove(at);
                }
                _ => {}
            };
        keep(&mut self.0.open_orders, order.state.is_open());
        keep(&mut self.0.unpaid_orders, order.paid.debt > Fen::ZERO);
    }
}

//! A member (会员): who pays, and what stops them from starting.

use crate::ids::{MemberId, OrderId};
use serde::{Deserialize, Serialize};

/// Everything that is kept of a member; the money is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
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

impl Member {
    /// A member without history.
    pub fn new(id: MemberId, name: String) -> Self {
        Self {
            id,
            name,
            blocked: None,
            open_orders: Vec::new(),
            unpaid_orders: Vec::new(),
        }
    }
}

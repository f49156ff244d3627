//! What an input led to: facts for the journal, effects for afterwards, an answer for whoever asked.

use super::Rejected;
use crate::{
    fact::Fact,
    ids::{MemberId, OrderId, PileId},
    journal::Stamp,
    messages::{Ack, Down},
    notice::Notice,
};

/// Something to do once the facts are on disk. Every effect is safe to repeat.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Publish to a pile; lost without harm if it is not connected.
    Send {
        /// Which.
        pile: PileId,
        /// What.
        message: Down,
    },
    /// Close a pile's connection and let it in no more.
    Disconnect {
        /// Which.
        pile: PileId,
    },
    /// Tell a driver.
    Notify {
        /// Who.
        member: MemberId,
        /// About which order.
        order: OrderId,
        /// What.
        notice: Notice,
    },
}

/// What an input led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// To journal, in this order, before any effect. Applied already.
    pub facts: Vec<(Stamp, Fact)>,
    /// To perform afterwards.
    pub effects: Vec<Effect>,
    /// For whoever asked.
    pub answer: Result<Answer, Rejected>,
    /// Orders whose live view changed.
    pub seen: Vec<OrderId>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            facts: Vec::new(),
            effects: Vec::new(),
            answer: Ok(Answer::Done),
            seen: Vec::new(),
        }
    }
}

/// The answer to whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Answer {
    /// It is done.
    #[default]
    Done,
    /// It is about this order.
    Order(OrderId),
    /// A correction of this order's bill waits for a second person.
    Proposed {
        /// Which order.
        order: OrderId,
        /// The number of the proposal.
        proposal: u64,
    },
    /// The stop was sent, or is remembered until the pile is back (S05 §2.2).
    Stopping {
        /// Which order.
        order: OrderId,
        /// Whether the pile could be reached.
        pile_online: bool,
    },
    /// The answer to a pile; also among the effects.
    Ack(Ack),
}

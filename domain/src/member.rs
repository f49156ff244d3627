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
    /// Not served any more, as the desk says, and why (S05 §5). Never stops a running order.
    pub blocked: Option<String>,
    /// The same as head office says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by_head_office: Option<String>,
    /// What they owe elsewhere, to head office's knowledge.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub owes: Fen,
    /// They are head office's member, with a wallet there; others are this station's alone.
    #[serde(default, skip_serializing_if = "is_not_so")]
    pub head_office: bool,
    /// What of their money here came out of the wallet and was not taken back; never more than what they have.
    #[serde(default, skip_serializing_if = "Leased::is_nothing")]
    pub leased: Leased,
    /// Orders that are not at an end.
    pub open_orders: Vec<OrderId>,
    /// Orders with something owed, oldest first.
    pub unpaid_orders: Vec<OrderId>,
}

/// What of a member's money here came out of their wallet. It is taken to be spent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leased {
    /// Since the station last went on without what head office has.
    pub now: Fen,
    /// Before that: frozen while nobody has said which branch of the journal lives.
    pub before: Fen,
    /// The entry by which it last changed.
    pub seq: u64,
}

impl Leased {
    fn is_nothing(&self) -> bool {
        (self.now, self.before) == (Fen::ZERO, Fen::ZERO)
    }

    /// So much, by the entry `seq`; nothing is the same whenever it became so.
    fn of(now: Fen, before: Fen, seq: u64) -> Self {
        let leased = Self { now, before, seq };
        if leased.is_nothing() { Self::default() } else { leased }
    }

    /// As it is where the station goes on alone since an entry, or does not.
    fn since(self, alone_since: Option<u64>) -> Self {
        match alone_since {
            Some(alone) if self.seq < alone => Self {
                now: Fen::ZERO,
                before: self.before + self.now,
                seq: self.seq,
            },
            Some(_) => self,
            None => Self {
                now: self.before + self.now,
                before: Fen::ZERO,
                seq: self.seq,
            },
        }
    }
}

fn is_nothing(amount: &Fen) -> bool {
    *amount == Fen::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_not_so(flag: &bool) -> bool {
    !flag
}

impl MemberRow {
    /// What of their allowance cannot be spent: it came by lease before the station went on without what head office has
    /// (rule 7 of the line).
    pub fn frozen(&self, allowance: Fen, alone_since: Option<u64>) -> Fen {
        match alone_since {
            Some(_) => self.leased.since(alone_since).before.min(allowance),
            None => Fen::ZERO,
        }
    }

    /// Why they are not served any more, whoever says so.
    pub fn blocked_for(&self) -> Option<&str> {
        self.blocked.as_deref().or(self.blocked_by_head_office.as_deref())
    }
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
            blocked_by_head_office: None,
            owes: Fen::ZERO,
            head_office: false,
            leased: Leased::default(),
            open_orders: Vec::new(),
            unpaid_orders: Vec::new(),
        })
    }

    /// Takes a fact about this member into account, by the entry `seq`. Facts that say nothing of a member's row change nothing.
    /// `allowance` is theirs before the fact's money moves.
    pub(crate) fn apply(&mut self, seq: u64, fact: &Fact, allowance: Fen, alone_since: Option<u64>) {
        match fact {
            Fact::MemberRegistered { name, head_office, .. } => {
                self.0.name.clone_from(name);
                self.0.head_office |= head_office;
            }
            Fact::MemberBlocked {
                reason, head_office, ..
            } => match head_office {
                true => self.0.blocked_by_head_office.clone_from(reason),
                false => self.0.blocked.clone_from(reason),
            },
            Fact::MemberOwes { amount, .. } => self.0.owes = *amount,
            Fact::ToppedUp { .. } => self.spent_last(allowance),
            Fact::LeaseReceived { amount, .. } => {
                self.spent_last(allowance);
                let leased = self.leased.since(alone_since);
                self.0.leased = Leased::of(leased.now + *amount, leased.before, seq);
            }
            Fact::LeaseReturned { amount, .. } => {
                let leased = self.leased.since(alone_since);
                let before = leased.before.min(*amount);
                let now = (leased.now - (*amount - before)).max(Fen::ZERO);
                self.0.leased = Leased::of(now, leased.before - before, seq);
            }
            _ => {}
        }
    }

    /// What was leased cannot be more than what is there. With an order open, what it holds is not in the allowance.
    fn spent_last(&mut self, allowance: Fen) {
        if self.open_orders.is_empty() {
            let Leased { now, before, seq } = self.leased;
            let before = before.min(allowance);
            let now = now.min(allowance - before);
            self.0.leased = Leased::of(now, before, seq);
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

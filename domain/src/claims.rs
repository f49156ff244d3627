//! Which sessions claim which readings of a connector's register: what a person is told before they bill a quarantine item.
//! The same kilowatt-hours are billed twice only by somebody who knows that they are.

use crate::{ids::OrderId, units::Energy};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most claims that are kept for one connector; of more the oldest go.
pub const CLAIMS_MAX: usize = 32;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionId {
    /// An order's.
    Order(OrderId),
    /// Of a quarantine item: a metered session without an order.
    Item(u64),
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionId::Order(order) => write!(f, "order {order}"),
            SessionId::Item(item) => write!(f, "quarantine item {item}"),
        }
    }
}

/// A session that covers readings of a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose it is.
    pub by: SessionId,
    /// The register at its start.
    pub from: Energy,
    /// The register at its end.
    pub to: Energy,
}

impl Claim {
    /// Whether it covers any of the readings from `from` to `to`. Sessions that follow one another have one reading in
    /// common, and no energy.
    pub fn covers(&self, from: Energy, to: Energy) -> bool {
        self.from.max(from) < self.to.min(to)
    }
}

/// What claims the readings of one connector's register, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Claims(Vec<Claim>);

impl Claims {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What covers any of the readings from `from` to `to`.
    pub fn covering(&self, from: Energy, to: Energy) -> Vec<Claim> {
        let covering = self.0.iter().filter(|claim| claim.covers(from, to));
        covering.cloned().collect()
    }

    /// Adds a claim, in place of the one of the same session. A session without energy claims nothing.
    pub(crate) fn claim(&mut self, claim: Claim) {
        self.release(&claim.by);
        if claim.to <= claim.from {
            return;
        }
        if self.0.len() == CLAIMS_MAX {
            self.0.remove(0);
        }
        self.0.push(claim);
    }

    /// A session claims nothing any more.
    pub(crate) fn release(&mut self, by: &SessionId) {
        self.0.retain(|claim| claim.by != *by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(item: u64, from: i64, to: i64) -> Claim {
        Claim {
            by: SessionId::Item(item),
            from: Energy(from),
            to: Energy(to),
        }
    }

    #[test]
    fn sessions_that_follow_one_another_do_not_cover_each_other() {
        let mut claims = Claims::default();
        claims.claim(claim(1, 0, 10));
        claims.claim(claim(2, 10, 20));
        assert_eq!(claims.covering(Energy(10), Energy(20)), [claim(2, 10, 20)]);
        assert_eq!(claims.covering(Energy(9), Energy(11)).len(), 2);
        claims.claim(claim(2, 30, 40));
        assert_eq!(claims.covering(Energy(10), Energy(30)), [], "a session claims one span");
        claims.claim(claim(2, 30, 30));
        assert_eq!(claims.covering(Energy(0), Energy(100)), [claim(1, 0, 10)]);
    }

    #[test]
    fn the_oldest_claims_go() {
        let mut claims = Claims::default();
        for item in 0..40 {
            claims.claim(claim(item, 0, 1));
        }
        let left = claims.covering(Energy(0), Energy(1));
        assert_eq!((left.len(), left[0].by.clone()), (CLAIMS_MAX, SessionId::Item(8)));
    }
}

//! What a channel has paid out, as two people say that the bank has got it: for a channel whose bills of the account do not come here.

use super::{Decided, Money, Refused, waiting::Proposed};
use crate::store::{
    StoreError,
    payouts::{self, Payout},
    proposed::State,
};
use domain::time::Wall;

impl Money<'_> {
    /// Proposes that a channel has paid out, which waits for a second person. A number of the bank's is proposed once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn propose_payout(&mut self, of: Payout) -> Decided<Payout> {
        if let Some(other) = payouts::of_reference(self.tx, &of.channel, &of.reference)? {
            return Ok(Err(Refused::PaidOut { payout: other.id }));
        }
        let of = Payout {
            state: State::Proposed,
            proposed_by: self.by.clone(),
            proposed_at: self.now,
            decided_by: None,
            decided_at: None,
            ..of
        };
        payouts::add(self.tx, &of)?;
        Ok(Ok(of))
    }

    /// A second person says so too: it counts from the next run on. It is booked when its day is final.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approve_payout(&mut self, id: &str) -> Decided<Payout> {
        if let Err(refused) = self.waiting_for_second::<Payout>(id)? {
            return Ok(Err(refused));
        }
        self.decide_payout(id, State::Approved)
    }

    /// Somebody says no to one that waits: the one who proposed it may, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reject_payout(&mut self, id: &str) -> Decided<Payout> {
        if let Err(refused) = self.waiting::<Payout>(id)? {
            return Ok(Err(refused));
        }
        self.decide_payout(id, State::Rejected)
    }

    fn decide_payout(&mut self, id: &str, state: State) -> Decided<Payout> {
        payouts::decide(self.tx, id, state, &self.by, self.now)?;
        let again = payouts::find(self.tx, id)?;
        again.map_or_else(
            || Err(StoreError::Broken(format!("payout {id} is not there"))),
            |of| Ok(Ok(of)),
        )
    }
}

impl Proposed for Payout {
    type Id = str;

    fn find(money: &mut Money<'_>, id: &str) -> Result<Option<Self>, StoreError> {
        payouts::find(money.tx, id)
    }

    fn hold(&self, money: &mut Money<'_>) -> Result<(), StoreError> {
        payouts::hold(money.tx, &self.id)
    }

    fn waits(&self) -> Option<(&str, Wall)> {
        (self.state == State::Proposed).then_some((self.proposed_by.as_str(), self.proposed_at))
    }

    fn unknown(id: &str) -> Refused {
        Refused::UnknownPayout(id.to_owned())
    }

    fn decided(self) -> Refused {
        Refused::PayoutDecided {
            payout: self.id,
            state: self.state.word(),
        }
    }
}

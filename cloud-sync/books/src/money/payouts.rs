//! What a channel has paid out, as two people say that the bank has got it: for a channel whose bills of the account do not come here.

use super::{Decided, Money, Refused, waiting::Proposed};
use crate::store::{
    StoreError, channel_settings, channels,
    payouts::{self, Payout},
    proposed::State,
};
use domain::{time::Wall, units::Fen};

/// So many days before it, or after, the channel may have said of what the bank got on a day: over a weekend with a holiday.
const NEAR_DAYS: i32 = 3;

impl Money<'_> {
    /// Proposes that a channel has paid out, which waits for a second person. A number of the bank's is proposed once; what was said wrong, or
    /// went back, is said by another number and an amount below zero.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn propose_payout(&mut self, of: Payout) -> Decided<Payout> {
        if let Some(other) = payouts::of_reference(self.tx, &of.channel, &of.reference)? {
            return Ok(Err(Refused::PaidOut { payout: other.id }));
        }
        if let Some(refused) = self.why_no_payout(&of)? {
            return Ok(Err(refused));
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
        let of: Payout = match self.waiting_for_second(id)? {
            Ok(of) => of,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(refused) = self.why_no_payout(&of)? {
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

    /// Why people need not, or cannot, say so: the bank's number may be another one than the channel's, so the same money would count twice
    /// beside a bill that has it, on that day or some days earlier or later.
    fn why_no_payout(&mut self, of: &Payout) -> Result<Option<Refused>, StoreError> {
        let channel = channels::find(self.tx, &of.channel)?.filter(|channel| channel.bills.is_some());
        let settings = match &channel {
            Some(channel) => channel_settings::load(self.tx, channel)?,
            None => None,
        };
        let Some(settings) = settings else {
            return Ok(Some(Refused::NoSuchBills(of.channel.clone())));
        };
        let (first, last) = (settings.first(), settings.last().zone.day_of(self.now));
        if of.day < first || of.day > last {
            let channel = of.channel.clone();
            return Ok(Some(Refused::PayoutDay { channel, first, last }));
        }
        // What was said wrong is taken back whatever bills say.
        if of.amount < Fen::ZERO {
            return Ok(None);
        }
        let near = (of.day.plus(-NEAR_DAYS), of.day.plus(NEAR_DAYS));
        let billed = payouts::billed(self.tx, &of.channel, near)?;
        Ok(billed.map(|day| Refused::PaidByBill { day }))
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

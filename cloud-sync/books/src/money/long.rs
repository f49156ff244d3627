//! What a channel was paid and nobody was credited for (LONG 长款) is credited to a member once people have approved that (补单). What a
//! restore has paid for the member is repaid first (rule 4): the top-up was forgotten, and what it paid for was not.

use super::{Credited, Decided, Money, RESTORE, Refused, TOPUP};
use crate::store::{
    StoreError, discrepancy_decisions as decisions,
    ledger::{self, Movement},
    members,
    topups::{self, TopUp, Used},
};
use domain::{ids::MemberId, units::Fen};
use std::collections::BTreeSet;

/// A payment that a channel has and that people say is a member's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongCredit {
    /// Which channel, by its name in the configuration.
    pub channel: String,
    /// Our number that the payment names (out_trade_no).
    pub reference: String,
    /// The channel's number of the payment (transaction_id).
    pub transaction: String,
    /// Whose it is.
    pub member: MemberId,
    /// How much was paid: all of the line, whatever was given back of it since, as its callback would have it.
    pub amount: Fen,
}

impl LongCredit {
    /// The movement that credits it, which is also its callback's.
    pub(super) fn movement(&self) -> String {
        format!("topup:{}:{}", self.channel, self.transaction)
    }
}

impl Money<'_> {
    /// Credits a LONG that two people have approved, from where its money stands. Where a callback has credited the payment first, or comes
    /// later, it is credited once (rule 25): whoever is second posts nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn credit_long(&mut self, of: &LongCredit) -> Decided<Credited> {
        let there = topups::hold(self.tx, &of.channel, &of.reference)?;
        if there.as_ref().is_some_and(|there| there.member != of.member) {
            return Ok(Err(Refused::OtherTopUp(of.reference.clone())));
        }
        let Some(member) = members::hold(self.tx, &of.member)? else {
            return Ok(Err(Refused::UnknownMember(of.member.clone())));
        };
        let used = Used {
            channel: of.channel.clone(),
            transaction: of.transaction.clone(),
            reference: of.reference.clone(),
            amount: of.amount,
            is_credited: true,
            why: None,
            at: self.now,
        };
        if !topups::use_transaction(self.tx, &used)? {
            let used = topups::used(self.tx, &of.channel, &of.transaction)?;
            return Ok(Ok(match used.is_some_and(|used| used.reference != of.reference) {
                true => Credited::OtherPayment,
                false => Credited::Before,
            }));
        }
        if there.is_none() {
            // Nobody asked under this number, or it was forgotten: a callback finds the same row as the credit.
            let asked = TopUp {
                channel: of.channel.clone(),
                reference: of.reference.clone(),
                member: of.member.clone(),
                amount: of.amount,
                state: topups::State::Pending,
                made_at: self.now,
                made_by: self.by.clone(),
                credited_at: None,
            };
            if !topups::add(self.tx, &asked)? {
                // Somebody asks under this number at this moment: nothing of this is kept, and whoever asks again is told.
                return Err(StoreError::Unavailable(format!(
                    "top-up {} is being asked for",
                    of.reference
                )));
            }
        }
        if there.is_none_or(|there| there.state != topups::State::Credited) {
            topups::set(self.tx, &of.channel, &of.reference, topups::State::Credited, self.now)?;
        }
        let payment = (of.channel.as_str(), of.transaction.as_str(), of.amount);
        let held: BTreeSet<u64> = self.too_much(payment)?.into_iter().collect();
        for discrepancy in &held {
            decisions::hold(self.tx, *discrepancy)?;
        }
        let account = self.paid_from(payment, &held, &of.member)?;
        let movements = self.long_movements(of.movement(), of, &account)?;
        ledger::book(self.tx, &movements)?;
        self.wallet_of_moved(&member)?;
        Ok(Ok(Credited::Now(of.member.clone())))
    }

    /// What a restore has paid for the member is repaid out of an account, and the wallet gets the rest: a movement `id`, and one
    /// `id.{account}` for each that is repaid.
    pub(super) fn long_movements(
        &mut self,
        id: String,
        of: &LongCredit,
        from: &str,
    ) -> Result<Vec<Movement>, StoreError> {
        let movement = |id: String, credit: String, amount: Fen, code: &'static str| Movement {
            id,
            debit: from.to_owned(),
            credit,
            amount,
            code,
            member: Some(of.member.clone()),
            at: self.now,
            by: Some(self.by.clone()),
            ..Movement::default()
        };
        let (mut movements, mut rest) = (Vec::new(), of.amount);
        for (account, owed) in ledger::paid_by_restores(self.tx, &of.member)? {
            let repaid = owed.min(rest);
            if repaid > Fen::ZERO {
                rest -= repaid;
                movements.push(movement(format!("{id}.{account}"), account, repaid, RESTORE));
            }
        }
        if rest > Fen::ZERO {
            movements.push(movement(id, ledger::wallet(&of.member), rest, TOPUP));
        }
        Ok(movements)
    }
}

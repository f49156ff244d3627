//! Top-ups through a channel (WeChat, Alipay, …): the mini-program asks for one and gets its number (out_trade_no); the driver pays
//! the channel; the channel calls back, signed. A transaction of the channel's credits a wallet once, by whichever way it is told
//! of.

use super::{Decided, Money, Refused, TOPUP};
use crate::store::{
    StoreError,
    ledger::{self, Movement},
    members,
    topups::{self, TopUp, Used},
};
use domain::{ids::MemberId, units::Fen};

/// What a channel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Which channel, by its name in the configuration.
    pub channel: String,
    /// Our number of the top-up (out_trade_no).
    pub reference: String,
    /// The channel's number of the payment (transaction_id).
    pub transaction: String,
    /// How much was paid.
    pub amount: Fen,
    /// What became of it.
    pub paid: Paid,
}

/// What a channel says of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// It was paid.
    Paid,
    /// It was closed unpaid.
    Closed,
}

/// What a callback came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credited {
    /// The wallet has it.
    Now(MemberId),
    /// It had it before.
    Before,
    /// The top-up is closed, or was paid before it was: nothing moves.
    Closed,
    /// The top-up was paid by another transaction, or this transaction has paid another: people look at it.
    OtherPayment,
    /// Nobody asked for a top-up of this number: people look at it.
    Unknown,
    /// It was asked for with another amount: nothing moves, people look at it.
    OtherAmount {
        /// What was asked for.
        asked: Fen,
    },
}

impl Money<'_> {
    /// Somebody is going to pay in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ask_top_up(&mut self, member: &MemberId, channel: &str, reference: &str, amount: Fen) -> Decided<()> {
        if members::find(self.tx, member)?.is_none() {
            return Ok(Err(Refused::UnknownMember(member.clone())));
        }
        let asked = TopUp {
            channel: channel.to_owned(),
            reference: reference.to_owned(),
            member: member.clone(),
            amount,
            state: topups::State::Pending,
            made_at: self.now,
            made_by: self.by.clone(),
            credited_at: None,
        };
        match topups::add(self.tx, &asked)? {
            true => Ok(Ok(())),
            false => Ok(Err(Refused::OtherTopUp(reference.to_owned()))),
        }
    }

    /// A top-up of this number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn top_up(&mut self, channel: &str, reference: &str) -> Result<Option<TopUp>, StoreError> {
        topups::find(self.tx, channel, reference)
    }

    /// A channel has called back. Whoever calls has checked that it was the channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn called_back(&mut self, said: &Callback) -> Result<Credited, StoreError> {
        let Callback {
            channel,
            reference,
            transaction,
            amount,
            paid,
        } = said;
        let Some(asked) = topups::hold(self.tx, channel, reference)? else {
            if *paid == Paid::Paid {
                self.set_aside(said, "nobody asked for a top-up of this number")?;
            }
            return Ok(Credited::Unknown);
        };
        if *paid == Paid::Closed {
            // A payment that came first stands.
            if asked.state == topups::State::Pending {
                topups::set(self.tx, channel, reference, topups::State::Closed, self.now)?;
            }
            return Ok(Credited::Closed);
        }
        if asked.amount != *amount {
            let why = format!("{} yuan were asked for under this number", asked.amount);
            self.set_aside(said, &why)?;
            return Ok(Credited::OtherAmount { asked: asked.amount });
        }
        let before = topups::used(self.tx, channel, transaction)?.filter(|used| used.is_credited);
        if let Some(before) = before {
            return Ok(match before.reference == *reference {
                true => Credited::Before,
                false => Credited::OtherPayment,
            });
        }
        if asked.state == topups::State::Credited {
            self.set_aside(said, "this top-up was paid by another transaction")?;
            return Ok(Credited::OtherPayment);
        }
        let used = Used {
            channel: channel.clone(),
            transaction: transaction.clone(),
            reference: reference.clone(),
            amount: *amount,
            is_credited: true,
            why: None,
            at: self.now,
        };
        if !topups::use_transaction(self.tx, &used)? {
            // Somebody else has just used it: the channel says it again.
            return Ok(Credited::OtherPayment);
        }
        topups::set(self.tx, channel, reference, topups::State::Credited, self.now)?;
        let member = asked.member;
        members::hold(self.tx, &member)?;
        self.book(Movement {
            id: format!("topup:{channel}:{transaction}"),
            debit: format!("clearing:{channel}"),
            credit: ledger::wallet(&member),
            amount: *amount,
            code: TOPUP,
            member: Some(member.clone()),
            at: self.now,
            by: Some(channel.clone()),
            ..Movement::default()
        })?;
        self.wallet_moved(&member)?;
        Ok(Credited::Now(member))
    }

    /// What was paid and credits nobody is kept for people: reconciliation finds it in the channel's bill (LONG).
    fn set_aside(&mut self, said: &Callback, why: &str) -> Result<(), StoreError> {
        let used = Used {
            channel: said.channel.clone(),
            transaction: said.transaction.clone(),
            reference: said.reference.clone(),
            amount: said.amount,
            is_credited: false,
            why: Some(why.to_owned()),
            at: self.now,
        };
        topups::use_transaction(self.tx, &used).map(drop)
    }
}

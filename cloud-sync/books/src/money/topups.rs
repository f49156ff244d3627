//! Top-ups through a channel (WeChat, Alipay, …): the mini-program asks for one and gets its number (out_trade_no); the driver pays
//! the channel; the channel calls back, signed. A transaction of the channel's credits a wallet once, by whichever way it is told
//! of.

use super::{Decided, Money, Refused, TOPUP, suspense::clearing};
use crate::store::{
    StoreError, discrepancy_decisions as decisions,
    ledger::{self, Movement},
    members, suspense,
    topups::{self, TopUp, Used},
};
use domain::{ids::MemberId, units::Fen};
use std::collections::{BTreeMap, BTreeSet};

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

impl Callback {
    /// The payment: its channel, its number there, how much.
    fn payment(&self) -> (&str, &str, Fen) {
        (&self.channel, &self.transaction, self.amount)
    }
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
        let mut credited = self.called_back_together(std::slice::from_ref(said))?;
        let one = credited.pop();
        one.ok_or_else(|| StoreError::Broken("a callback came to nothing".to_owned()))
    }

    /// A channel has called back about several payments; what each came to, in their order.
    ///
    /// Rows are held in one order, top-ups, members, discrepancies, transactions, accounts, whatever the callbacks' own order is: two that
    /// credit the same wallets at once wait for each other, and not in a circle. Decisions about discrepancies keep to it too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn called_back_together(&mut self, said: &[Callback]) -> Result<Vec<Credited>, StoreError> {
        let mut asked = BTreeMap::new();
        for said in said {
            asked.insert((said.channel.as_str(), said.reference.as_str()), None);
        }
        for ((channel, reference), asked) in &mut asked {
            *asked = topups::hold(self.tx, channel, reference)?;
        }
        let whose: BTreeSet<MemberId> = asked.values().flatten().map(|asked| asked.member.clone()).collect();
        let mut held = BTreeMap::new();
        for member in whose {
            held.extend(members::hold(self.tx, &member)?.map(|found| (member, found)));
        }
        let mut in_order: Vec<usize> = (0..said.len()).collect();
        in_order.sort_by_key(|at| &said[*at].transaction);
        let mut suspended = BTreeSet::new();
        for channel in said.iter().map(|said| said.channel.as_str()).collect::<BTreeSet<_>>() {
            if suspense::has_long(self.tx, channel)? {
                for said in said.iter().filter(|said| said.channel == channel) {
                    suspended.extend(self.too_much(said.payment())?);
                }
            }
        }
        for discrepancy in &suspended {
            decisions::hold(self.tx, *discrepancy)?;
        }
        let (mut credited, mut movements) = (vec![Credited::Unknown; said.len()], Vec::new());
        for at in in_order {
            let said = &said[at];
            let asked = asked.get_mut(&(said.channel.as_str(), said.reference.as_str()));
            let done = match asked.and_then(Option::as_mut) {
                Some(asked) => self.credit(said, asked)?,
                None => self.nobody_asked(said)?,
            };
            if let Credited::Now(member) = &done {
                let debit = match suspended.is_empty() {
                    true => clearing(&said.channel),
                    false => self.paid_from(said.payment(), &suspended, member)?,
                };
                movements.push(self.credits(said, member, debit));
            }
            credited[at] = done;
        }
        ledger::book(self.tx, &movements)?;
        let moved: BTreeSet<&MemberId> = movements.iter().filter_map(|of| of.member.as_ref()).collect();
        for member in moved {
            if let Some(member) = held.get(member) {
                self.wallet_of_moved(member)?;
            }
        }
        Ok(credited)
    }

    fn nobody_asked(&mut self, said: &Callback) -> Result<Credited, StoreError> {
        if said.paid == Paid::Paid {
            self.set_aside(said, "nobody asked for a top-up of this number")?;
        }
        Ok(Credited::Unknown)
    }

    /// What a callback about a top-up comes to. The top-up is held, and its member; whoever calls books what is credited.
    fn credit(&mut self, said: &Callback, asked: &mut TopUp) -> Result<Credited, StoreError> {
        let Callback {
            channel,
            reference,
            transaction,
            amount,
            paid,
        } = said;
        if *paid == Paid::Closed {
            // A payment that came first stands.
            if asked.state == topups::State::Pending {
                self.set_top_up(asked, topups::State::Closed)?;
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
        self.set_top_up(asked, topups::State::Credited)?;
        Ok(Credited::Now(asked.member.clone()))
    }

    fn set_top_up(&mut self, of: &mut TopUp, state: topups::State) -> Result<(), StoreError> {
        of.state = state;
        topups::set(self.tx, &of.channel, &of.reference, state, self.now)
    }

    fn credits(&self, said: &Callback, member: &MemberId, debit: String) -> Movement {
        let Callback {
            channel, transaction, ..
        } = said;
        Movement {
            id: format!("topup:{channel}:{transaction}"),
            debit,
            credit: ledger::wallet(member),
            amount: said.amount,
            code: TOPUP,
            member: Some(member.clone()),
            at: self.now,
            by: Some(channel.clone()),
            ..Movement::default()
        }
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

//! Where the money of a channel's discrepancies is (S05 §3, rule 25): what is on one side alone goes into suspense, and from there to a
//! wallet, to whoever had it too much, or to gain and loss. What runs find no more goes back the way it came.

use super::{
    Credited, Decided, LongCredit, Money, Undecided,
    discrepancies::{RECONCILIATION, channel},
};
use crate::{
    reconcile::{
        stake::{Kind, Stake},
        words::Class,
    },
    store::{
        StoreError,
        discrepancies::{self, Discrepancy, State as Stands},
        discrepancy_decisions::{self as decisions, Decision},
        ledger::{self, Movement},
        members,
        suspense::{self, State as Is, Suspense},
    },
};
use domain::{ids::MemberId, units::Fen};
use std::collections::BTreeSet;

/// The code of money that goes into suspense, or out of it.
const SUSPENSE: &str = "SUSPENSE";
/// Head office's own account of gains and losses that people have written off.
const WRITE_OFF: &str = "writeoff";
/// So many are taken back in a transaction.
const PART: u64 = 1_000;

/// What is at stake as one number: above zero the channel has it too much, below zero too little.
pub(super) fn at_stake(of: &Discrepancy) -> Fen {
    match of.differs().stake() {
        Stake::None => Fen::ZERO,
        Stake::Long(amount) => amount,
        Stake::Short(amount) => -amount,
    }
}

/// The account of what a channel has taken and not paid out.
pub(crate) fn clearing(channel: &str) -> String {
    format!("clearing:{channel}")
}

impl Money<'_> {
    /// What runs find no more, or find with other values, does not stay in suspense, nor written off, nor taken back: some of it, after this
    /// discrepancy. Up to which, where there may be more. Whoever calls holds the scope's runs, and has looked that they are all there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_back_suspense(&mut self, scope: &str, after: u64) -> Result<Option<u64>, StoreError> {
        let doubtful = suspense::doubtful(self.tx, scope, after, PART)?;
        let last = doubtful.last().map(|last| last.discrepancy);
        let more = last.filter(|_| doubtful.len() as u64 == PART);
        for member in doubtful
            .iter()
            .filter_map(|of| of.member.as_ref())
            .collect::<BTreeSet<_>>()
        {
            members::hold(self.tx, member)?;
        }
        for of in &doubtful {
            decisions::hold(self.tx, of.discrepancy)?;
        }
        for of in doubtful {
            // A callback, or a person, may have come first.
            let again = suspense::find(self.tx, of.discrepancy)?;
            let Some(of) = again.filter(|again| again.state == of.state && again.turn == of.turn) else {
                continue;
            };
            let found = self.known(of.discrepancy)?;
            let is_found = discrepancies::is_found(self.tx, found.id)?;
            if is_found && at_stake(&found) == of.amount {
                continue;
            }
            self.reverse(of)?;
            // What was decided is over; where it is found again people decide anew.
            if found.state == Stands::Posted {
                let (state, event) = match is_found {
                    true => (Stands::Open, ("changed", RECONCILIATION, None)),
                    false => (Stands::Cleared, ("cleared", RECONCILIATION, None)),
                };
                decisions::turn(self.tx, &found, state, event, self.now)?;
            }
        }
        Ok(more)
    }

    /// What is open since a day that is final is in suspense: it is in the channel's account no longer, which is held against what the
    /// channel pays out. Some of it, after this discrepancy; up to which, where there may be more. Whoever calls holds the channel's runs,
    /// and has looked that they are all there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn park_final(&mut self, scope: &str, after: u64) -> Result<Option<u64>, StoreError> {
        let open = discrepancies::final_and_open(self.tx, scope, after, PART)?;
        let more = open.last().map(|last| last.id).filter(|_| open.len() as u64 == PART);
        for of in &open {
            decisions::hold(self.tx, of.id)?;
        }
        for of in open {
            // Somebody may have decided it since it was read, or a callback come.
            let of = self.known(of.id)?;
            let stake = at_stake(&of);
            if stake != Fen::ZERO && of.closed_at.is_none() && !self.is_credited_since(&of)? {
                self.park(&of, stake)?;
            }
        }
        Ok(more)
    }

    fn known(&mut self, id: u64) -> Result<Discrepancy, StoreError> {
        let found = discrepancies::find(self.tx, id)?;
        found.ok_or_else(|| StoreError::Broken(format!("there is no discrepancy {id}")))
    }

    /// What a channel has too much by a transaction and exactly so much, in suspense or written off by now: the discrepancy, which whoever
    /// credits a wallet with it holds before they look [where it is](Self::paid_from).
    pub(super) fn too_much(
        &mut self,
        (of_channel, transaction, amount): (&str, &str, Fen),
    ) -> Result<Option<u64>, StoreError> {
        let there = suspense::long_of(self.tx, of_channel, transaction, amount)?;
        Ok(there.map(|there| there.discrepancy))
    }

    /// The account out of which a wallet is credited with a channel's transaction: the channel's, or where people have put the money since
    /// (rule 25). Of those discrepancies that are held: what was put there since goes back with the next run.
    pub(super) fn paid_from(
        &mut self,
        (of_channel, transaction, amount): (&str, &str, Fen),
        held: &BTreeSet<u64>,
        member: &MemberId,
    ) -> Result<String, StoreError> {
        let there = suspense::long_of(self.tx, of_channel, transaction, amount)?;
        let Some(there) = there.filter(|there| held.contains(&there.discrepancy)) else {
            return Ok(clearing(of_channel));
        };
        let account = match there.state {
            Is::WrittenOff => WRITE_OFF.to_owned(),
            _ => there.account(),
        };
        self.keep(Suspense {
            state: Is::Credited,
            member: Some(member.clone()),
            ..there
        })?;
        Ok(account)
    }

    /// Where it is from now on.
    fn keep(&mut self, of: Suspense) -> Result<Suspense, StoreError> {
        let of = Suspense { at: self.now, ..of };
        suspense::put(self.tx, &of)?;
        Ok(of)
    }

    /// Has a decision in the books: the movement's id, where one was made. Nothing is written where it is refused. Whatever it has to do with
    /// is [held](Self::hold_about).
    pub(super) fn post(&mut self, of: &Discrepancy, decision: &Decision) -> Decided<Option<String>> {
        match (decision.kind, &decision.member) {
            (Kind::Accept, _) => Ok(Ok(None)),
            (Kind::Credit, Some(member)) => Ok(self.credit_of(of, member, decision.stake)?.map(Some)),
            _ => {
                let parked = self.park(of, decision.stake)?;
                self.settle(of, parked, decision).map(|id| Ok(Some(id)))
            }
        }
    }

    /// Puts what is at stake into suspense, if it is not there. What was spent of it before stands for other values: what a wallet was
    /// credited with it keeps, and everything else goes back first.
    fn park(&mut self, of: &Discrepancy, stake: Fen) -> Result<Suspense, StoreError> {
        let turn = match suspense::find(self.tx, of.id)? {
            None => 1,
            Some(there) if there.state == Is::Parked && there.amount == stake => return Ok(there),
            Some(there) if matches!(there.state, Is::Credited | Is::Reversed) => there.turn + 1,
            Some(there) => self.reverse(there)?.turn + 1,
        };
        let parked = Suspense {
            discrepancy: of.id,
            channel: channel(of)?.to_owned(),
            transaction: of.reference.clone(),
            amount: stake,
            turn,
            basis: suspense::basis(self.tx, of.id)?,
            state: Is::Parked,
            member: None,
            at: self.now,
        };
        let sides = match stake > Fen::ZERO {
            true => (clearing(&parked.channel), parked.account()),
            false => (parked.account(), clearing(&parked.channel)),
        };
        let id = format!("suspense:{}:{turn}", of.id);
        self.move_suspense(&parked, id, sides)?;
        self.keep(parked)
    }

    /// A wallet gets what the channel has too much: the movement's id. Nothing is written where it is refused.
    fn credit_of(&mut self, of: &Discrepancy, member: &MemberId, amount: Fen) -> Decided<String> {
        let channel = channel(of)?.to_owned();
        let credit = LongCredit {
            reference: self.own_number(of)?,
            transaction: of.reference.clone(),
            member: member.clone(),
            amount,
            channel,
        };
        // Of a payment that nobody was credited with the same row is made as by its callback, so whoever is second books nothing (rule 25).
        // What was credited with less has that row already, and a line that comes again has another's number.
        if !of.is_matched && of.class != Class::Duplicate {
            return Ok(match self.credit_long(&credit)? {
                Ok(Credited::Now(_)) => Ok(credit.movement()),
                Ok(_) => Err(Undecided::CreditedMeanwhile(of.id).into()),
                Err(refused) => Err(refused),
            });
        }
        let parked = self.park(of, amount)?;
        let id = format!("suspense:{}:{}:credit", of.id, parked.turn);
        let movements = self.long_movements(id.clone(), &credit, &parked.account())?;
        ledger::book(self.tx, &movements)?;
        self.wallet_moved(member)?;
        self.keep(Suspense {
            state: Is::Credited,
            member: Some(member.clone()),
            ..parked
        })?;
        Ok(Ok(id))
    }

    /// Has a decision in the books that credits nobody: the movement's id.
    fn settle(&mut self, of: &Discrepancy, parked: Suspense, decision: &Decision) -> Result<String, StoreError> {
        let (kind, account) = (decision.kind, parked.account());
        let id = format!("suspense:{}:{}:{}", of.id, parked.turn, kind.word());
        let (state, sides) = match (kind, parked.amount > Fen::ZERO, &decision.member) {
            (Kind::WriteOff, true, _) => (Is::WrittenOff, (account, WRITE_OFF.to_owned())),
            (Kind::WriteOff, false, _) => (Is::WrittenOff, (WRITE_OFF.to_owned(), account)),
            (Kind::Adjust, false, Some(member)) => (Is::Recovered, (ledger::debt(member), account)),
            _ => {
                let what = format!("{} about discrepancy {}", kind.word(), of.id);
                return Err(StoreError::Broken(what));
            }
        };
        let settled = Suspense {
            state,
            member: decision.member.clone(),
            ..parked
        };
        self.move_suspense(&settled, id.clone(), sides)?;
        self.keep(settled)?;
        if let Some(member) = &decision.member {
            self.wallet_moved(member)?;
        }
        Ok(id)
    }

    /// There is no difference any more: what was moved because of it goes back the way it came.
    fn reverse(&mut self, of: Suspense) -> Result<Suspense, StoreError> {
        let there = match (of.state, &of.member) {
            (Is::Parked, _) => of.account(),
            (Is::WrittenOff, _) => WRITE_OFF.to_owned(),
            (Is::Recovered, Some(member)) => ledger::wallet(member),
            _ => {
                return Err(StoreError::Broken(format!(
                    "suspense of discrepancy {} is {}",
                    of.discrepancy,
                    of.state.word()
                )));
            }
        };
        let sides = match of.amount > Fen::ZERO {
            true => (there, clearing(&of.channel)),
            false => (clearing(&of.channel), there),
        };
        let id = format!("suspense:{}:{}:reversed", of.discrepancy, of.turn);
        self.move_suspense(&of, id, sides)?;
        let reversed = self.keep(Suspense {
            state: Is::Reversed,
            ..of.clone()
        })?;
        if let (Is::Recovered, Some(member)) = (of.state, &of.member) {
            self.wallet_moved(member)?;
        }
        Ok(reversed)
    }

    fn move_suspense(
        &mut self,
        of: &Suspense,
        id: String,
        (debit, credit): (String, String),
    ) -> Result<(), StoreError> {
        let by = self.by.clone();
        self.book(Movement {
            id,
            debit,
            credit,
            amount: Fen(of.amount.0.abs()),
            code: SUSPENSE,
            member: of.member.clone(),
            at: self.now,
            by: Some(by),
            ..Movement::default()
        })
    }
}

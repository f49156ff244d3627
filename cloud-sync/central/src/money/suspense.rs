//! What people decide of discrepancies of a channel (S05 §3, rule 25): money that is on one side alone goes into suspense, and from there to
//! a wallet, to whoever had it too much, or to gain and loss. One proposes, another has it posted. What runs find no more goes back the
//! way it came.

use super::{Credited, Decided, LongCredit, Money, Refused, Undecided};
use crate::{
    reconcile::{
        funds::scope_of,
        stake::{Kind, Stake},
        words::{Class, Source},
    },
    store::{
        StoreError, bill_proposals,
        discrepancies::{self, Discrepancy, State as Stands},
        discrepancy_decisions::{self as decisions, Decision, State},
        ledger::{self, Movement},
        members, people,
        queries::{
            Page,
            reconcile::{self as queries, Which},
        },
        suspense::{self, State as Is, Suspense},
        topups::{self, TopUp},
    },
};
use domain::{ids::MemberId, time::Day, units::Fen};

/// The code of money that goes into suspense, or out of it.
const SUSPENSE: &str = "SUSPENSE";
/// Head office's own account of gains and losses that people have written off.
const WRITE_OFF: &str = "writeoff";
/// Whoever says that there is nothing to decide any more.
const RECONCILIATION: &str = "reconciliation";
/// So many are taken back in a transaction.
const PART: u64 = 1_000;

/// What somebody proposes to do about a discrepancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propose {
    /// What.
    pub kind: Kind,
    /// Whose wallet is to be credited.
    pub member: Option<MemberId>,
    /// Why.
    pub reason: String,
}

/// What is at stake as one number: above zero the channel has it too much, below zero too little.
fn signed(stake: Stake) -> Fen {
    match stake {
        Stake::None => Fen::ZERO,
        Stake::Long(amount) => amount,
        Stake::Short(amount) => Fen(-amount.0),
    }
}

/// The account of what a channel has taken and not paid out.
pub(super) fn clearing(channel: &str) -> String {
    format!("clearing:{channel}")
}

/// The channel that a discrepancy is of.
fn channel(of: &Discrepancy) -> Result<&str, StoreError> {
    let channel = of.scope.strip_prefix("channel:");
    channel.ok_or_else(|| StoreError::Broken(format!("discrepancy {} is of {}", of.id, of.scope)))
}

impl Money<'_> {
    /// Proposes what to do about a discrepancy, which waits for a second person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn propose_for(&mut self, id: u64, of: &Propose) -> Decided<Decision> {
        let found = match self.held(id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        if found.state != Stands::Open {
            let state = found.state.word();
            return Ok(Err(Undecided::NotOpen { discrepancy: id, state }.into()));
        }
        let stake = self.stake_of(&found)?;
        if !of.kind.fits(stake) {
            return Ok(Err(Undecided::DoesNotFit {
                discrepancy: id,
                kind: of.kind.word(),
                fit: Kind::that_fit(stake),
            }
            .into()));
        }
        if let Some(refused) = self.why_not(&found, of.kind)? {
            return Ok(Err(refused.into()));
        }
        let member = match of.kind {
            Kind::Credit => match &of.member {
                Some(member) if members::find(self.tx, member)?.is_none() => {
                    return Ok(Err(Refused::UnknownMember(member.clone())));
                }
                Some(member) => Some(member.clone()),
                None => match self.asked_for(&found)? {
                    Some(asked) => Some(asked.member),
                    None => return Ok(Err(Undecided::NobodyNamed(id).into())),
                },
            },
            Kind::Adjust => match self.credited_with(&found)? {
                Some(member) => Some(member),
                None => return Ok(Err(Undecided::NobodyCredited(id).into())),
            },
            Kind::WriteOff | Kind::Accept => None,
        };
        let mut decision = Decision {
            discrepancy: id,
            no: 0,
            kind: of.kind,
            member,
            stake: signed(stake),
            reason: of.reason.clone(),
            state: State::Proposed,
            maker: self.by.clone(),
            made_at: self.now,
            checker: None,
            checked_at: None,
            answer: None,
            transfer: None,
        };
        // Runs have found it no more meanwhile, and found it again: what was proposed then is of no use.
        if let Some(stale) = self.waiting_about(id)? {
            let said = (RECONCILIATION, Some("found no more"), None);
            decisions::decide(self.tx, (id, stale.no), State::Rejected, said, self.now)?;
        }
        decision.no = decisions::add(self.tx, &decision)?;
        let by = self.by.clone();
        let words = format!("{}: {}", of.kind.word(), of.reason);
        decisions::turn(
            self.tx,
            &found,
            Stands::Proposed,
            ("proposed", &by, Some(&words)),
            self.now,
        )?;
        Ok(Ok(decision))
    }

    /// A second person has it posted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approve_for(&mut self, id: u64) -> Decided<Decision> {
        let (found, waits) = match self.proposed(id)? {
            Ok(proposed) => proposed,
            Err(refused) => return Ok(Err(refused)),
        };
        let by = self.by.clone();
        let (maker, checker) = ((waits.maker.as_str(), waits.made_at), (by.as_str(), self.now));
        if !people::are_two(self.tx, maker, checker)? {
            return Ok(Err(Refused::SamePerson {
                proposed_by: waits.maker,
                by,
            }));
        }
        if let Some(refused) = self.why_not(&found, waits.kind)? {
            return Ok(Err(refused.into()));
        }
        let stake = signed(self.stake_of(&found)?);
        if stake != waits.stake {
            return Ok(Err(Undecided::StakeChanged {
                discrepancy: id,
                proposed: waits.stake,
                now: stake,
            }
            .into()));
        }
        let transfer = match (waits.kind, &waits.member) {
            (Kind::Accept, _) => None,
            (Kind::Credit, Some(member)) => match self.credit_of(&found, member, stake)? {
                Ok(transfer) => Some(transfer),
                Err(refused) => return Ok(Err(refused)),
            },
            _ => {
                let parked = self.park(&found, stake)?;
                Some(self.settle(&found, parked, &waits)?)
            }
        };
        let said = (by.as_str(), None, transfer.as_deref());
        decisions::decide(self.tx, (id, waits.no), State::Approved, said, self.now)?;
        decisions::happened(self.tx, &found, ("approved", &by, None), self.now)?;
        let posted = ("posted", by.as_str(), transfer.as_deref());
        decisions::turn(self.tx, &found, Stands::Posted, posted, self.now)?;
        self.decided_again(id, waits.no).map(Ok)
    }

    /// Somebody says no to what waits, and why: whoever proposed it may, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reject_for(&mut self, id: u64, why: &str) -> Decided<Decision> {
        let (found, waits) = match self.proposed(id)? {
            Ok(proposed) => proposed,
            Err(refused) => return Ok(Err(refused)),
        };
        let by = self.by.clone();
        decisions::decide(
            self.tx,
            (id, waits.no),
            State::Rejected,
            (&by, Some(why), None),
            self.now,
        )?;
        decisions::turn(self.tx, &found, Stands::Open, ("rejected", &by, Some(why)), self.now)?;
        self.decided_again(id, waits.no).map(Ok)
    }

    /// Somebody has a discrepancy from now on, or nobody.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn assign_discrepancy(&mut self, id: u64, to: Option<&str>) -> Decided<Discrepancy> {
        let found = match self.held(id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let by = self.by.clone();
        decisions::assign(self.tx, &found, to, &by, self.now)?;
        self.held(id)
    }

    /// Somebody says something of a discrepancy.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn comment_on(&mut self, id: u64, words: &str) -> Decided<Discrepancy> {
        let found = match self.held(id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let by = self.by.clone();
        decisions::happened(self.tx, &found, ("commented", &by, Some(words)), self.now)?;
        Ok(Ok(found))
    }

    /// Discrepancies, the newest first, after a place in the list, at most so many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn discrepancies(
        &mut self,
        which: &Which,
        after: Option<(Day, u64)>,
        limit: usize,
    ) -> Result<Page<Discrepancy>, StoreError> {
        queries::discrepancies(self.tx, which, after, limit)
    }

    /// What runs find no more, or find with other values, does not stay in suspense, nor written off, nor taken back: some of it, after this
    /// discrepancy. Up to which, where there may be more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_back_suspense(&mut self, of_channel: &str, after: u64) -> Result<Option<u64>, StoreError> {
        // While a run is at work, or one was cut off, much is not found that will be.
        if !suspense::is_all_found(self.tx, &scope_of(of_channel))? {
            return Ok(None);
        }
        let doubtful = suspense::doubtful(self.tx, of_channel, after, PART)?;
        let last = doubtful.last().map(|last| last.discrepancy);
        let more = last.filter(|_| doubtful.len() as u64 == PART);
        for of in doubtful {
            let found = match self.held(of.discrepancy)? {
                Ok(found) => found,
                Err(refused) => return Err(StoreError::Broken(refused.to_string())),
            };
            // A callback, or a person, may have come first.
            let again = suspense::find(self.tx, of.discrepancy)?;
            let Some(of) = again.filter(|again| again.state == of.state && again.turn == of.turn) else {
                continue;
            };
            let is_found = discrepancies::is_found(self.tx, found.id)?;
            if is_found && signed(self.stake_of(&found)?) == of.amount {
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
    /// channel pays out. Some of it, after this discrepancy; up to which, where there may be more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn park_final(&mut self, of_channel: &str, after: u64) -> Result<Option<u64>, StoreError> {
        if !suspense::is_all_found(self.tx, &scope_of(of_channel))? {
            return Ok(None);
        }
        let open = discrepancies::final_and_open(self.tx, &scope_of(of_channel), after, PART)?;
        let more = open.last().map(|last| last.id).filter(|_| open.len() as u64 == PART);
        for of in open {
            decisions::hold(self.tx, of.id)?;
            match signed(self.stake_of(&of)?) {
                Fen::ZERO => {}
                _ if self.is_credited_since(&of)? => {}
                stake => drop(self.park(&of, stake)?),
            }
        }
        Ok(more)
    }

    /// What is at stake: what its class and values say, less what was given back since.
    fn stake_of(&mut self, of: &Discrepancy) -> Result<Stake, StoreError> {
        let stake = of.differs().stake();
        Ok(match (of.class, stake) {
            (Class::Long, Stake::Long(amount)) => match amount - discrepancies::given_back(self.tx, of)? {
                rest @ Fen(1..) => Stake::Long(rest),
                _ => Stake::None,
            },
            // A wallet has the payment: whatever the channel gave back of it is missing here.
            (Class::OverRefund, _) if self.has_credited(of)? => Stake::Short(Fen(of.amount.0.abs())),
            (_, stake) => stake,
        })
    }

    /// Why something cannot be decided now, whatever is at stake.
    fn why_not(&mut self, of: &Discrepancy, kind: Kind) -> Result<Option<Undecided>, StoreError> {
        if self.is_credited_since(of)? {
            return Ok(Some(Undecided::CreditedMeanwhile(of.id)));
        }
        // It goes into a wallet for good, and a bill that is not final may be another one tomorrow.
        let is_for_good = kind == Kind::Credit && (of.is_matched || of.class == Class::Duplicate);
        if is_for_good && !bill_proposals::is_final(self.tx, channel(of)?, of.day)? {
            return Ok(Some(Undecided::NotFinal(of.id)));
        }
        Ok(None)
    }

    /// Whether a payment that nobody had been credited with was credited since: the next run says so.
    fn is_credited_since(&mut self, of: &Discrepancy) -> Result<bool, StoreError> {
        if of.source != Source::Payment || of.is_matched || of.class == Class::Duplicate {
            return Ok(false);
        }
        let used = topups::used(self.tx, channel(of)?, &of.reference)?;
        Ok(used.is_some_and(|used| used.is_credited))
    }

    /// Whether a wallet was credited with the payment of a refund.
    fn has_credited(&mut self, of: &Discrepancy) -> Result<bool, StoreError> {
        let Some(payment) = discrepancies::payment_of(self.tx, of)? else {
            return Ok(false);
        };
        let used = topups::used(self.tx, channel(of)?, &payment)?;
        Ok(used.is_some_and(|used| used.is_credited))
    }

    /// The account out of which a callback credits a wallet: the channel's, or where people have put the money since (rule 25).
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn paid_from(&mut self, of_channel: &str, transaction: &str, amount: Fen) -> Result<String, StoreError> {
        let Some(there) = suspense::long_of(self.tx, of_channel, transaction, amount)? else {
            return Ok(clearing(of_channel));
        };
        // Whoever decides it holds it fast; where that is over the money may be elsewhere.
        decisions::hold(self.tx, there.discrepancy)?;
        let Some(there) = suspense::long_of(self.tx, of_channel, transaction, amount)? else {
            return Ok(clearing(of_channel));
        };
        let account = match there.state {
            Is::WrittenOff => WRITE_OFF.to_owned(),
            _ => there.account(),
        };
        suspense::put(
            self.tx,
            &Suspense {
                state: Is::Credited,
                at: self.now,
                ..there
            },
        )?;
        Ok(account)
    }

    fn held(&mut self, id: u64) -> Decided<Discrepancy> {
        decisions::hold(self.tx, id)?;
        let found = discrepancies::find(self.tx, id)?;
        Ok(found.ok_or(Undecided::UnknownDiscrepancy(id).into()))
    }

    fn waiting_about(&mut self, id: u64) -> Result<Option<Decision>, StoreError> {
        let all = decisions::of(self.tx, id)?;
        Ok(all.into_iter().find(|decision| decision.state == State::Proposed))
    }

    /// A discrepancy of which something is proposed, held fast.
    fn proposed(&mut self, id: u64) -> Decided<(Discrepancy, Decision)> {
        let found = match self.held(id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        match (found.state, self.waiting_about(id)?) {
            (Stands::Proposed, Some(waits)) => Ok(Ok((found, waits))),
            (state, _) => Ok(Err(Undecided::NothingProposed {
                discrepancy: id,
                state: state.word(),
            }
            .into())),
        }
    }

    fn decided_again(&mut self, id: u64, no: u64) -> Result<Decision, StoreError> {
        let all = decisions::of(self.tx, id)?;
        let found = all.into_iter().find(|decision| decision.no == no);
        found.ok_or_else(|| StoreError::Broken(format!("decision {no} about discrepancy {id} is not there")))
    }

    /// The top-up that a payment was for, by our number on its line or as the channel has called it.
    fn asked_for(&mut self, of: &Discrepancy) -> Result<Option<TopUp>, StoreError> {
        let channel = channel(of)?;
        let named = match discrepancies::out_no(self.tx, of)? {
            Some(out_no) => topups::find(self.tx, channel, &out_no)?,
            None => None,
        };
        match (named, topups::used(self.tx, channel, &of.reference)?) {
            (None, Some(used)) => topups::find(self.tx, channel, &used.reference),
            (named, _) => Ok(named),
        }
    }

    /// Whose wallet was credited with a transaction.
    fn credited_with(&mut self, of: &Discrepancy) -> Result<Option<MemberId>, StoreError> {
        let channel = channel(of)?;
        let payment = match of.source {
            // A refund has a number of its own; the payment's stands beside it.
            Source::Refund => discrepancies::payment_of(self.tx, of)?,
            _ => Some(of.reference.clone()),
        };
        let Some(payment) = payment else { return Ok(None) };
        let used = topups::used(self.tx, channel, &payment)?.filter(|used| used.is_credited);
        let Some(used) = used else { return Ok(None) };
        let asked = topups::find(self.tx, channel, &used.reference)?;
        Ok(asked.map(|asked| asked.member))
    }

    /// Puts what is at stake into suspense, if it is not there.
    fn park(&mut self, of: &Discrepancy, stake: Fen) -> Result<Suspense, StoreError> {
        let before = suspense::find(self.tx, of.id)?;
        if let Some(there) = &before
            && there.state == Is::Parked
            && there.amount == stake
        {
            return Ok(there.clone());
        }
        if let Some(there) = &before
            && !matches!(there.state, Is::Parked | Is::Reversed)
        {
            let what = format!("discrepancy {} was {} before", of.id, there.state.word());
            return Err(StoreError::Constraint(what));
        }
        let turn = match before {
            Some(before) if before.state == Is::Parked => self.reverse(before)?.turn + 1,
            Some(before) => before.turn + 1,
            None => 1,
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
        suspense::put(self.tx, &parked)?;
        Ok(parked)
    }

    /// A wallet gets what the channel has too much: the movement's id. Nothing is written where it is refused.
    fn credit_of(&mut self, of: &Discrepancy, member: &MemberId, amount: Fen) -> Decided<String> {
        let channel = channel(of)?.to_owned();
        // Of a payment nobody was credited with the same row is made as by its callback, so whoever is second books nothing (rule 25). What
        // was credited with less has that row already, and a line that comes again has another's number.
        let is_whole = !of.is_matched && of.class != Class::Duplicate;
        let number = match discrepancies::out_no(self.tx, of)? {
            Some(out_no) => out_no,
            None => format!("discrepancy-{}", of.id),
        };
        if is_whole
            && let Some(asked) = topups::find(self.tx, &channel, &number)?
            && asked.member != *member
        {
            return Ok(Err(Refused::OtherTopUp(number)));
        }
        let parked = self.park(of, amount)?;
        let credit = LongCredit {
            reference: number,
            transaction: of.reference.clone(),
            member: member.clone(),
            amount,
            account: parked.account(),
            channel,
        };
        let id = match is_whole {
            true => {
                match self.credit_long(&credit)? {
                    Ok(Credited::Now(_)) => {}
                    // Somebody has come first at this moment: nothing of this is kept, and whoever asks again is told.
                    other => return Err(StoreError::Constraint(format!("discrepancy {}: {other:?}", of.id))),
                }
                format!("topup:{}:{}", credit.channel, credit.transaction)
            }
            false => {
                let id = format!("suspense:{}:{}:credit", of.id, parked.turn);
                members::hold(self.tx, member)?;
                let movements = self.long_movements(id.clone(), &credit)?;
                ledger::book(self.tx, &movements)?;
                self.wallet_moved(member)?;
                id
            }
        };
        let credited = Suspense {
            state: Is::Credited,
            member: Some(member.clone()),
            at: self.now,
            ..parked
        };
        suspense::put(self.tx, &credited)?;
        Ok(Ok(id))
    }

    /// Has a decision in the books that credits nobody: the movement's id.
    fn settle(&mut self, of: &Discrepancy, parked: Suspense, decision: &Decision) -> Result<String, StoreError> {
        let (kind, account) = (decision.kind, parked.account());
        let id = format!("suspense:{}:{}:{}", of.id, parked.turn, kind.word());
        let (state, sides) = match (kind, parked.amount > Fen::ZERO, &decision.member) {
            (Kind::WriteOff, true, _) => (Is::WrittenOff, (account, WRITE_OFF.to_owned())),
            (Kind::WriteOff, false, _) => (Is::WrittenOff, (WRITE_OFF.to_owned(), account)),
            (Kind::Adjust, false, Some(member)) => {
                members::hold(self.tx, member)?;
                (Is::Recovered, (ledger::debt(member), account))
            }
            _ => {
                let what = format!("{} about discrepancy {}", kind.word(), of.id);
                return Err(StoreError::Broken(what));
            }
        };
        let settled = Suspense {
            state,
            member: decision.member.clone(),
            at: self.now,
            ..parked
        };
        self.move_suspense(&settled, id.clone(), sides)?;
        suspense::put(self.tx, &settled)?;
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
            (Is::Recovered, Some(member)) => {
                members::hold(self.tx, member)?;
                ledger::wallet(member)
            }
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
        let reversed = Suspense {
            state: Is::Reversed,
            at: self.now,
            ..of.clone()
        };
        suspense::put(self.tx, &reversed)?;
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

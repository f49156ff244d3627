//! What people decide of discrepancies of a channel (S05 §3): one proposes, another has it posted. Where the money goes is `suspense`.

use super::{
    Decided, Money, Refused, Undecided,
    suspense::{at_stake, clearing},
    waiting::Proposed,
};
use crate::{
    reconcile::{
        stake::Kind,
        words::{Class, Source},
    },
    store::{
        StoreError, bill_proposals,
        discrepancies::{self, Discrepancy, State as Stands},
        discrepancy_decisions::{self as decisions, Decision, State},
        ledger, members,
        queries::{
            Page,
            reconcile::{self as queries, Which},
        },
        suspense,
        topups::{self, TopUp, Used},
    },
};
use domain::{
    ids::MemberId,
    time::{Day, Wall},
    units::Fen,
};
use std::collections::BTreeSet;

/// Whoever says that there is nothing to decide any more.
pub(super) const RECONCILIATION: &str = "reconciliation";

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

/// What is done with many discrepancies alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Many {
    /// It is proposed for each.
    Propose(Propose),
    /// What was proposed for each is approved.
    Approve,
}

/// What came of one of many: which discrepancy, and what was decided of it, or why nothing was.
pub type OneOfMany = (u64, Result<Decision, Refused>);

/// The channel that a discrepancy is of: of its bills, or of what it has paid out.
pub(super) fn channel(of: &Discrepancy) -> Result<&str, StoreError> {
    let channel = match of.scope.split_once(':') {
        Some(("channel" | "payouts", channel)) => Some(channel),
        _ => None,
    };
    channel.ok_or_else(|| StoreError::Broken(format!("discrepancy {} is of {}", of.id, of.scope)))
}

/// A discrepancy, and what waits to be decided of it.
struct About {
    found: Discrepancy,
    waits: Option<Decision>,
}

impl Proposed for About {
    type Id = u64;

    fn find(money: &mut Money<'_>, id: &u64) -> Result<Option<Self>, StoreError> {
        let Some(found) = discrepancies::find(money.tx, *id)? else {
            return Ok(None);
        };
        let waits = match found.state {
            Stands::Proposed => decisions::waiting(money.tx, *id)?,
            _ => None,
        };
        Ok(Some(Self { found, waits }))
    }

    fn hold(&self, money: &mut Money<'_>) -> Result<(), StoreError> {
        money.hold_about(std::slice::from_ref(self))
    }

    fn waits(&self) -> Option<(&str, Wall)> {
        self.waits.as_ref().map(|waits| (waits.maker.as_str(), waits.made_at))
    }

    fn unknown(id: &u64) -> Refused {
        Undecided::UnknownDiscrepancy(*id).into()
    }

    fn decided(self) -> Refused {
        Undecided::NothingProposed {
            discrepancy: self.found.id,
            state: self.found.state.word(),
        }
        .into()
    }
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
        let mut decision = match self.proposal(&found, of)? {
            Ok(decision) => decision,
            Err(refused) => return Ok(Err(refused)),
        };
        // Runs have found it no more meanwhile, and found it again: what was proposed then is of no use.
        if let Some(stale) = decisions::waiting(self.tx, id)? {
            let said = (RECONCILIATION, Some("found no more"), None);
            decisions::decide(self.tx, &found, stale.no, State::Rejected, said, self.now)?;
        }
        decision.no = decisions::add(self.tx, &decision)?;
        let by = self.by.clone();
        let words = format!("{}: {}", of.kind.word(), of.reason);
        let event = ("proposed", by.as_str(), Some(words.as_str()));
        decisions::turn(self.tx, &found, Stands::Proposed, event, self.now)?;
        Ok(Ok(decision))
    }

    /// A decision that can be proposed about a discrepancy as it is now.
    fn proposal(&mut self, found: &Discrepancy, of: &Propose) -> Decided<Decision> {
        let id = found.id;
        if found.state != Stands::Open {
            let state = found.state.word();
            return Ok(Err(Undecided::NotOpen { discrepancy: id, state }.into()));
        }
        let differs = found.differs();
        if !differs.may_be(of.kind) {
            return Ok(Err(Undecided::DoesNotFit {
                discrepancy: id,
                kind: of.kind.word(),
                fit: differs.kinds(),
            }
            .into()));
        }
        if let Some(refused) = self.why_not(found, of.kind)? {
            return Ok(Err(refused.into()));
        }
        let member = match of.kind {
            Kind::Credit => match &of.member {
                Some(member) if members::find(self.tx, member)?.is_none() => {
                    return Ok(Err(Refused::UnknownMember(member.clone())));
                }
                Some(member) => Some(member.clone()),
                None => match self.asked_for(found)? {
                    Some(asked) => Some(asked.member),
                    None => return Ok(Err(Undecided::NobodyNamed(id).into())),
                },
            },
            Kind::Adjust => match self.credited_member(found)? {
                Some(member) => Some(member),
                None => return Ok(Err(Undecided::NobodyCredited(id).into())),
            },
            Kind::WriteOff | Kind::Accept => None,
        };
        Ok(Ok(Decision {
            discrepancy: id,
            no: 0,
            kind: of.kind,
            member,
            stake: at_stake(found),
            reason: of.reason.clone(),
            state: State::Proposed,
            maker: self.by.clone(),
            made_at: self.now,
            checker: None,
            checked_at: None,
            answer: None,
            transfer: None,
        }))
    }

    /// A second person has it posted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approve_for(&mut self, id: u64) -> Decided<Decision> {
        let about: About = match self.waiting_for_second(&id)? {
            Ok(about) => about,
            Err(refused) => return Ok(Err(refused)),
        };
        let (found, waits) = match self.approvable(about)? {
            Ok(both) => both,
            Err(refused) => return Ok(Err(refused)),
        };
        let transfer = match self.post(&found, &waits)? {
            Ok(transfer) => transfer,
            Err(refused) => return Ok(Err(refused)),
        };
        let (by, transfer) = (self.by.clone(), transfer.as_deref());
        let said = (by.as_str(), None, transfer);
        let decided = decisions::decide(self.tx, &found, waits.no, State::Approved, said, self.now)?;
        decisions::happened(self.tx, &found, ("approved", &by, None), self.now)?;
        let posted = ("posted", by.as_str(), transfer);
        decisions::turn(self.tx, &found, Stands::Posted, posted, self.now)?;
        Ok(Ok(decided))
    }

    /// What waits, where it can be posted as things are now.
    fn approvable(&mut self, about: About) -> Decided<(Discrepancy, Decision)> {
        let About { found, waits } = about;
        let Some(waits) = waits else {
            return Ok(Err(About { found, waits: None }.decided()));
        };
        if let Some(refused) = self.why_not(&found, waits.kind)? {
            return Ok(Err(refused.into()));
        }
        let now = at_stake(&found);
        if now != waits.stake {
            return Ok(Err(Undecided::StakeChanged {
                discrepancy: found.id,
                proposed: waits.stake,
                now,
            }
            .into()));
        }
        Ok(Ok((found, waits)))
    }

    /// Somebody says no to what waits, and why: whoever proposed it may, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reject_for(&mut self, id: u64, why: &str) -> Decided<Decision> {
        let about: About = match self.waiting(&id)? {
            Ok(about) => about,
            Err(refused) => return Ok(Err(refused)),
        };
        let About { found, waits } = about;
        let Some(waits) = waits else {
            return Ok(Err(About { found, waits: None }.decided()));
        };
        let by = self.by.clone();
        let said = (by.as_str(), Some(why), None);
        let decided = decisions::decide(self.tx, &found, waits.no, State::Rejected, said, self.now)?;
        decisions::turn(self.tx, &found, Stands::Open, ("rejected", &by, Some(why)), self.now)?;
        Ok(Ok(decided))
    }

    /// Whether something can be done with one of many, as far as is seen without holding it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn can(&mut self, what: &Many, id: u64) -> Decided<()> {
        let Some(about) = About::find(self, &id)? else {
            return Ok(Err(About::unknown(&id)));
        };
        Ok(match what {
            Many::Propose(of) => self.proposal(&about.found, of)?.map(drop),
            Many::Approve => match about.waits() {
                Some(maker) => match self.second(maker)? {
                    Ok(()) => self.approvable(about)?.map(drop),
                    Err(refused) => Err(refused),
                },
                None => Err(about.decided()),
            },
        })
    }

    /// Does something with each of many: all that they have to do with is held before the first is done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn do_all(&mut self, what: &Many, ids: &BTreeSet<u64>) -> Result<Vec<OneOfMany>, StoreError> {
        self.hold_all(ids)?;
        let mut done = Vec::with_capacity(ids.len());
        for id in ids {
            let one = match what {
                Many::Propose(of) => self.propose_for(*id, of)?,
                Many::Approve => self.approve_for(*id)?,
            };
            done.push((*id, one));
        }
        Ok(done)
    }

    /// Holds all that discrepancies have to do with of which several are decided at once: before the first is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hold_all(&mut self, ids: &BTreeSet<u64>) -> Result<(), StoreError> {
        let mut abouts = Vec::with_capacity(ids.len());
        for id in ids {
            abouts.extend(About::find(self, id)?);
        }
        self.hold_about(&abouts)
    }

    /// Holds what decisions about discrepancies have to do with: top-ups, members, discrepancies, channels' accounts, each in their order.
    /// Whoever holds several of these does it in this order, before anything is booked: callbacks, decisions, and runs when they take back
    /// what was decided.
    fn hold_about(&mut self, abouts: &[About]) -> Result<(), StoreError> {
        let (mut topups, mut members) = (BTreeSet::new(), BTreeSet::new());
        let (mut ids, mut channels) = (BTreeSet::new(), BTreeSet::new());
        for About { found, waits } in abouts {
            ids.insert(found.id);
            let Some(waits) = waits else { continue };
            if waits.stake != Fen::ZERO {
                channels.insert(channel(found)?.to_owned());
            }
            if waits.kind == Kind::Credit {
                topups.insert((channel(found)?.to_owned(), self.own_number(found)?));
            }
            members.extend(waits.member.clone());
            // What was taken from somebody for other values goes back first.
            members.extend(suspense::find(self.tx, found.id)?.and_then(|there| there.member));
        }
        for (channel, reference) in topups {
            topups::hold(self.tx, &channel, &reference)?;
        }
        for member in members {
            members::hold(self.tx, &member)?;
        }
        for id in ids {
            decisions::hold(self.tx, id)?;
        }
        // Whatever is booked of a channel's discrepancies goes over its account or out of suspense: whoever has several of them booked holds
        // that account before the first.
        for account in channels.into_iter().map(|channel| clearing(&channel)) {
            ledger::hold(self.tx, &account)?;
        }
        Ok(())
    }

    fn held(&mut self, id: u64) -> Decided<Discrepancy> {
        decisions::hold(self.tx, id)?;
        let found = discrepancies::find(self.tx, id)?;
        Ok(found.ok_or(Undecided::UnknownDiscrepancy(id).into()))
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

    /// The credit of the payment that a discrepancy is about: its own, or the one that it is a refund of. None where no wallet was credited.
    fn credit_for(&mut self, of: &Discrepancy) -> Result<Option<Used>, StoreError> {
        let payment = match of.source {
            // A refund has a number of its own; the payment's stands beside it.
            Source::Refund => discrepancies::payment_of(self.tx, of)?,
            _ => Some(of.reference.clone()),
        };
        let used = match payment {
            Some(payment) => topups::used(self.tx, channel(of)?, &payment)?,
            None => None,
        };
        Ok(used.filter(|used| used.is_credited))
    }

    /// Whether a payment that nobody had been credited with was credited since: the next run says so.
    pub(super) fn is_credited_since(&mut self, of: &Discrepancy) -> Result<bool, StoreError> {
        let was_alone = of.source == Source::Payment && !of.is_matched && of.class != Class::Duplicate;
        Ok(was_alone && self.credit_for(of)?.is_some())
    }

    /// Whose wallet was credited with what a discrepancy is about.
    fn credited_member(&mut self, of: &Discrepancy) -> Result<Option<MemberId>, StoreError> {
        let asked = match self.credit_for(of)? {
            Some(used) => topups::find(self.tx, &used.channel, &used.reference)?,
            None => None,
        };
        Ok(asked.map(|asked| asked.member))
    }

    /// Our number under which a payment is credited: that on its line, or one of its own.
    pub(super) fn own_number(&mut self, of: &Discrepancy) -> Result<String, StoreError> {
        let named = discrepancies::out_no(self.tx, of)?;
        Ok(named.unwrap_or_else(|| format!("discrepancy-{}", of.id)))
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
}

//! A line of the table of differences that a person has sent back: it is done as if they had asked for it alone, unless the discrepancy is
//! another one by now than they have judged, or what they want was done before.

use super::{Many, Money, Propose};
use crate::{
    reconcile::stake::Kind,
    store::{
        StoreError,
        discrepancies::State as Stands,
        queries::reports::{self, Decided as Known},
    },
};
use domain::ids::MemberId;
use std::collections::BTreeSet;

/// A line that wants something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, counted from 1.
    pub number: u64,
    /// The discrepancy as it stands there.
    pub discrepancy: String,
    /// By which values it was judged.
    pub judged: String,
    /// What it wants, or what is wrong with it.
    pub wants: Result<Wants, String>,
}

/// What a line wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// The discrepancy.
    pub discrepancy: u64,
    /// Whether somebody approves what stands there, rather than to propose it.
    pub approves: bool,
    /// What is to be done.
    pub kind: Kind,
    /// Whose wallet.
    pub member: Option<MemberId>,
    /// Why.
    pub reason: String,
    /// Who had proposed it when the table was taken.
    pub maker: Option<String>,
}

/// What whoever sent a table may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct May {
    /// Propose.
    pub propose: bool,
    /// Approve.
    pub approve: bool,
}

/// What came of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was proposed.
    Proposed,
    /// It was approved, and is in the books.
    Approved,
    /// It was done before: nothing changed.
    Known,
    /// It was not done, and why not.
    Refused(String),
}

impl Verdict {
    /// Its word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Known => "known",
            Self::Refused(_) => "refused",
        }
    }
}

/// Whether what stands there is what a line wants.
fn is_same(known: &Known, wants: &Wants) -> bool {
    let member = wants.member.as_ref().map(|member| member.as_str());
    let is_theirs = wants.maker.as_ref().is_none_or(|maker| *maker == known.maker);
    is_theirs
        && known.kind == wants.kind.word()
        && known.reason == wants.reason
        && (member.is_none() || member == known.member.as_deref())
}

/// What came of lines, each with what came of it; and whether there are more.
pub type Done<'l> = (Vec<(&'l Line, Verdict)>, bool);

/// What is seen of a line without holding anything.
enum Seen {
    /// Nothing is done.
    Told(Verdict),
    /// This is to be done about its discrepancy.
    Does(u64, Many),
}

impl Money<'_> {
    /// Does what lines want, in their order, of at most so many; what came of each that was looked at, and whether there are more. All that
    /// they have to do with is held before the first is done, as whoever decides many does; and of two who decide at once the second sees
    /// what the first has done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_lines<'l>(&mut self, lines: &'l [Line], may: May, most: usize) -> Result<Done<'l>, StoreError> {
        let (mut seen, mut ids, mut more) = (Vec::new(), BTreeSet::new(), false);
        for line in lines {
            let of = self.see(line, may)?;
            if let Seen::Does(id, _) = &of {
                if ids.len() == most {
                    more = true;
                    break;
                }
                ids.insert(*id);
            }
            seen.push((line, of));
        }
        self.hold_all(&ids)?;
        let mut done = Vec::with_capacity(seen.len());
        for (line, of) in seen {
            let verdict = match of {
                Seen::Told(verdict) => verdict,
                Seen::Does(..) => match self.see(line, may)? {
                    Seen::Told(verdict) => verdict,
                    Seen::Does(id, what) => self.take(id, &what)?,
                },
            };
            done.push((line, verdict));
        }
        Ok((done, more))
    }

    fn take(&mut self, id: u64, what: &Many) -> Result<Verdict, StoreError> {
        let (done, verdict) = match what {
            Many::Propose(of) => (self.propose_for(id, of)?, Verdict::Proposed),
            Many::Approve => (self.approve_for(id)?, Verdict::Approved),
        };
        Ok(match done {
            Ok(_) => verdict,
            Err(refused) => Verdict::Refused(refused.to_string()),
        })
    }

    /// What a line wants, as things are now: what was done before, and what cannot be done, is told at once.
    fn see(&mut self, line: &Line, may: May) -> Result<Seen, StoreError> {
        let refused = |why: String| Ok(Seen::Told(Verdict::Refused(why)));
        let wants = match &line.wants {
            Ok(wants) => wants,
            Err(why) => return refused(why.clone()),
        };
        let id = wants.discrepancy;
        let Some(work) = reports::work_of(self.tx, id)? else {
            return refused(format!("there is no discrepancy {id}"));
        };
        let is_rejected = |of: &Known| of.state == "rejected";
        if !wants.approves
            && work
                .decision
                .as_ref()
                .is_some_and(|of| is_rejected(of) && is_same(of, wants))
        {
            return refused(format!(
                "the same was proposed about discrepancy {id}, and rejected: give another reason"
            ));
        }
        let decision = work.decision.filter(|of| !is_rejected(of));
        let is_known = match work.state {
            Stands::Proposed => !wants.approves && decision.as_ref().is_some_and(|decision| is_same(decision, wants)),
            Stands::Posted => decision.as_ref().is_some_and(|decision| is_same(decision, wants)),
            _ => false,
        };
        if is_known {
            return Ok(Seen::Told(Verdict::Known));
        }
        if work.values.judged() != line.judged {
            return refused(format!(
                "discrepancy {id} has changed: it was judged as `{}` and is `{}` now; take the table anew",
                line.judged,
                work.values.judged()
            ));
        }
        let what = match wants.approves {
            false if !may.propose => return refused("to propose wants the role finance_maker".to_owned()),
            false => Many::Propose(Propose {
                kind: wants.kind,
                member: wants.member.clone(),
                reason: wants.reason.clone(),
            }),
            true if !may.approve => return refused("to approve wants the role finance_checker".to_owned()),
            // What is approved is what stood in the table.
            true if work.state == Stands::Proposed && !decision.is_some_and(|decision| is_same(&decision, wants)) => {
                return refused(format!(
                    "what is proposed about discrepancy {id} is not what stands in the table: take it anew"
                ));
            }
            true => Many::Approve,
        };
        match self.can(&what, id)? {
            Ok(()) => Ok(Seen::Does(id, what)),
            Err(why) => refused(why.to_string()),
        }
    }
}

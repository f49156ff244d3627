//! A line of the table of differences that a person has sent back: it is done as if they had asked for it alone, unless the discrepancy is
//! another one by now than they have judged, or what they want was done before.

use super::{Money, Propose};
use crate::{
    report::{
        lines::judged,
        sent_back::{Line, Wants},
    },
    store::{
        StoreError,
        discrepancies::State as Stands,
        discrepancy_decisions as decisions,
        queries::reports::{self, Decided as Known},
    },
};

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

impl Money<'_> {
    /// Does what a line wants.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_line(&mut self, line: &Line, may: May) -> Result<Verdict, StoreError> {
        let wants = match &line.wants {
            Ok(wants) => wants,
            Err(why) => return Ok(Verdict::Refused(why.clone())),
        };
        let id = wants.discrepancy;
        let refused = |why: &str| Ok(Verdict::Refused(why.to_owned()));
        // Of two who decide at once the second sees what the first has done.
        decisions::hold(self.tx, id)?;
        let Some(work) = reports::work_of(self.tx, id)? else {
            return Ok(Verdict::Refused(format!("there is no discrepancy {id}")));
        };
        let is_rejected = |of: &Known| of.state == "rejected";
        if !wants.approves
            && work
                .decision
                .as_ref()
                .is_some_and(|of| is_rejected(of) && is_same(of, wants))
        {
            return Ok(Verdict::Refused(format!(
                "the same was proposed about discrepancy {id}, and rejected: give another reason"
            )));
        }
        let decision = work.decision.filter(|of| !is_rejected(of));
        let is_known = match work.state {
            Stands::Proposed => !wants.approves && decision.as_ref().is_some_and(|decision| is_same(decision, wants)),
            Stands::Posted => decision.as_ref().is_some_and(|decision| is_same(decision, wants)),
            _ => false,
        };
        if is_known {
            return Ok(Verdict::Known);
        }
        if judged(&work.values) != line.judged {
            return Ok(Verdict::Refused(format!(
                "discrepancy {id} has changed: it was judged as `{}` and is `{}` now; take the table anew",
                line.judged,
                judged(&work.values)
            )));
        }
        if !wants.approves {
            if !may.propose {
                return refused("to propose wants the role finance_maker");
            }
            let propose = Propose {
                kind: wants.kind,
                member: wants.member.clone(),
                reason: wants.reason.clone(),
            };
            return Ok(match self.propose_for(id, &propose)? {
                Ok(_) => Verdict::Proposed,
                Err(refused) => Verdict::Refused(refused.to_string()),
            });
        }
        if !may.approve {
            return refused("to approve wants the role finance_checker");
        }
        // What is approved is what stood in the table.
        if work.state == Stands::Proposed && !decision.is_some_and(|decision| is_same(&decision, wants)) {
            return Ok(Verdict::Refused(format!(
                "what is proposed about discrepancy {id} is not what stands in the table: take it anew"
            )));
        }
        Ok(match self.approve_for(id)? {
            Ok(_) => Verdict::Approved,
            Err(refused) => Verdict::Refused(refused.to_string()),
        })
    }
}

//! People correct the bill of an order that was settled, up or down. One person may do so within a limit of the fee first
//! settled; beyond it the request waits in the order until a second person approves exactly that one (decision 0019).

use super::{Answer, Handled, Rejected, Turn};
use crate::{
    correction::{Approval, BILL_VERSIONS_MAX, Proposal, are_two_people, is_anonymous},
    fact::Fact,
    ids::OrderId,
    meter::Suspicion,
    order::{Order, State},
    settlement::Split,
    units::Fen,
};

impl Turn<'_> {
    pub(super) fn correct_bill(&mut self, id: &OrderId, bill: Split, reason: String, by: String) -> Handled {
        let order = self.known_order(id)?;
        if !matches!(order.state, State::Payed | State::Unpaid) {
            return Err(Rejected::NotCorrectable {
                order: id.clone(),
                state: order.state,
            });
        }
        let now = order.bill().map(|bill| (bill.electricity, bill.service));
        if now == Some((bill.electricity, bill.service)) {
            return Ok(Answer::Order(id.clone()));
        }
        if order.bills.len() >= BILL_VERSIONS_MAX {
            return Err(Rejected::TooManyBills(id.clone()));
        }
        self.correct_or_propose(&order, bill, reason, by)
    }

    /// Sets the bill and settles by it, or keeps the request for a second person. `order` is settled, or under review.
    pub(super) fn correct_or_propose(&mut self, order: &Order, bill: Split, reason: String, by: String) -> Handled {
        self.check_bill(bill, &reason)?;
        match self.beyond_one_person(order, bill) {
            None => {
                self.correct(&order.id, bill, reason, by, None);
                Ok(Answer::Order(order.id.clone()))
            }
            Some(differs) => self.propose(order, bill, differs, reason, by),
        }
    }

    /// Whether a person can set such a bill, for such a reason.
    pub(super) fn check_bill(&self, bill: Split, reason: &str) -> Result<(), Rejected> {
        for amount in [bill.electricity, bill.service] {
            if amount.is_negative() {
                return Err(Rejected::NotPositive(amount));
            }
            self.check_amount_size(amount)?;
        }
        match reason.trim().is_empty() {
            true => Err(Rejected::NoReason),
            false => Ok(()),
        }
    }

    /// A bill that a person made out of quarantine, beyond what one person may do, is approved by somebody else.
    pub(super) fn check_second_person(&self, order: &Order, by: &str) -> Result<(), Rejected> {
        let billed = order.suspicions.iter().rev().find_map(|suspicion| match suspicion {
            Suspicion::BeyondOnePerson { by, .. } => Some(by),
            _ => None,
        });
        let bill = order.bill().map(|bill| Split {
            electricity: bill.electricity,
            service: bill.service,
        });
        let beyond = bill.and_then(|bill| self.beyond_one_person(order, bill));
        match billed.zip(beyond) {
            Some((billed_by, differs)) if !are_two_people(billed_by, by) => Err(Rejected::BilledByOnePerson {
                order: order.id.clone(),
                differs,
                above: self.policy().second_person_above,
                billed_by: billed_by.clone(),
                by: by.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// By how much a bill differs from the one first settled, where that is more than one person may do.
    pub(super) fn beyond_one_person(&self, order: &Order, bill: Split) -> Option<Fen> {
        let differs = order.measured_by()?.differs(bill.total());
        (differs > self.policy().second_person_above).then_some(differs)
    }

    fn propose(&mut self, order: &Order, bill: Split, differs: Fen, reason: String, by: String) -> Handled {
        if is_anonymous(&by) {
            return Err(Rejected::SecondPersonNeeded {
                order: order.id.clone(),
                differs,
                above: self.policy().second_person_above,
                by,
            });
        }
        let same = |waits: &&Proposal| waits.bill() == bill && waits.reason == reason && waits.by == by;
        if let Some(waits) = order.proposal.as_ref().filter(same) {
            return Ok(Answer::Proposed {
                order: order.id.clone(),
                proposal: waits.number,
            });
        }
        self.journal(Fact::CorrectionProposed {
            order: order.id.clone(),
            electricity: bill.electricity,
            service: bill.service,
            reason,
            by,
        });
        self.seen(&order.id);
        Ok(Answer::Proposed {
            order: order.id.clone(),
            proposal: self.site.last.seq,
        })
    }

    /// Makes a correction: the debt is cut first, then money goes back; upwards what the member has here pays first, then
    /// it is a debt.
    pub(super) fn correct(
        &mut self,
        id: &OrderId,
        bill: Split,
        reason: String,
        by: String,
        approval: Option<Approval>,
    ) {
        self.journal(Fact::BillCorrected {
            order: id.clone(),
            electricity: bill.electricity,
            service: bill.service,
            reason,
            by,
            approval,
        });
        let order = self
            .order(id)
            .expect("a bill is corrected while its order is in memory")
            .clone();
        self.account_as_decided(&order, false);
        self.settle(id);
    }

    /// A second person agrees. Asking again after that changes nothing.
    pub(super) fn approve_correction(&mut self, id: &OrderId, number: u64, by: String) -> Handled {
        let order = self.known_order(id)?;
        let asked = Approval { proposal: number, by };
        if order.bills.iter().any(|bill| bill.approval.as_ref() == Some(&asked)) {
            return Ok(Answer::Order(id.clone()));
        }
        let proposal = waiting(&order, number)?;
        if !are_two_people(&proposal.by, &asked.by) {
            return Err(Rejected::NotASecondPerson {
                order: id.clone(),
                proposal: number,
                proposed_by: proposal.by,
                by: asked.by,
            });
        }
        self.correct(id, proposal.bill(), proposal.reason, proposal.by, Some(asked));
        Ok(Answer::Order(id.clone()))
    }

    pub(super) fn withdraw_correction(&mut self, id: &OrderId, number: u64, reason: String, by: String) -> Handled {
        let order = self.known_order(id)?;
        waiting(&order, number)?;
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        self.journal(Fact::CorrectionWithdrawn {
            order: id.clone(),
            proposal: number,
            reason,
            by,
        });
        self.seen(id);
        Ok(Answer::Order(id.clone()))
    }
}

/// The proposal of this number, if it is the one that waits.
fn waiting(order: &Order, number: u64) -> Result<Proposal, Rejected> {
    let waits = order.proposal.clone();
    let other = waits.as_ref().map(|waits| waits.number);
    waits
        .filter(|waits| waits.number == number)
        .ok_or_else(|| Rejected::UnknownProposal {
            order: order.id.clone(),
            proposal: number,
            waits: other,
        })
}

//! What people decide of bills at head office: an order under review, or a bill that was settled. The bill is the site's: it takes the
//! decision in its place, or has decided first, and then its own stands. Beyond what one person may do it takes two, here as there.

use super::{Decided, Money, Refused, waiting::Proposed};
use crate::store::{
    StoreError, at_sites,
    bill_decisions::{self, BillDecision, State, What},
};
use domain::{
    head_office::{Directive, DirectiveNo},
    ids::{OrderId, SiteId},
    order::{Order, State as OrderState},
    settlement::Split,
    site::Decision,
    time::Wall,
    units::Fen,
};

/// What somebody decides of an order's bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decide {
    /// The decision's number.
    pub id: String,
    /// At which site the order is.
    pub site: SiteId,
    /// Which order.
    pub order: OrderId,
    /// The bill stands, or is this.
    pub decision: Decision,
    /// Why.
    pub reason: String,
}

impl Money<'_> {
    /// Decides an order's bill. One that differs from the bill first settled by more than this waits for a second person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn decide_bill(&mut self, decide: &Decide, second_person_above: Fen) -> Decided<BillDecision> {
        let order = match self.at_open_site(&decide.site, &decide.order)? {
            Ok(order) => order,
            Err(refused) => return Ok(Err(refused)),
        };
        let what = match (decide.decision, order.state) {
            (Decision::AsIs, OrderState::Review) => What::AsIs,
            (Decision::Corrected { electricity, service }, OrderState::Review) => {
                What::Reviewed(Split { electricity, service })
            }
            (Decision::Corrected { electricity, service }, OrderState::Payed | OrderState::Unpaid) => {
                What::Corrected(Split { electricity, service }, order.bills.len())
            }
            (_, state) => {
                let order = decide.order.clone();
                return Ok(Err(Refused::NotDecidable { order, state }));
            }
        };
        let decision = BillDecision {
            id: decide.id.clone(),
            site: decide.site.clone(),
            order: decide.order.clone(),
            what,
            reason: decide.reason.clone(),
            state: State::Proposed,
            proposed_by: self.by.clone(),
            proposed_at: self.now,
            decided_by: None,
            decided_at: None,
        };
        bill_decisions::add(self.tx, &decision)?;
        if !takes_two(&order, what, second_person_above) {
            self.send_decision(&decision, None)?;
        }
        self.decision_again(&decide.id).map(Ok)
    }

    /// A second person approves a decision that waits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approve_decision(&mut self, id: &str) -> Decided<BillDecision> {
        let waits: BillDecision = match self.waiting_for_second(id)? {
            Ok(waits) => waits,
            Err(refused) => return Ok(Err(refused)),
        };
        let by = self.by.clone();
        let order = match self.at_open_site(&waits.site, &waits.order)? {
            Ok(order) => order,
            Err(refused) => return Ok(Err(refused)),
        };
        let is_as_read = match waits.what {
            What::AsIs | What::Reviewed(_) => order.state == OrderState::Review,
            What::Corrected(_, version) => {
                matches!(order.state, OrderState::Payed | OrderState::Unpaid) && order.bills.len() == version
            }
        };
        if !is_as_read {
            return Ok(Err(Refused::OtherBill { order: waits.order }));
        }
        bill_decisions::decide(self.tx, id, true, &by, self.now)?;
        self.send_decision(&waits, Some(by))?;
        self.decision_again(id).map(Ok)
    }

    /// Somebody says no to a decision that waits: the one who proposed it may, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reject_decision(&mut self, id: &str) -> Decided<BillDecision> {
        if let Err(refused) = self.waiting::<BillDecision>(id)? {
            return Ok(Err(refused));
        }
        let by = self.by.clone();
        bill_decisions::decide(self.tx, id, false, &by, self.now)?;
        self.decision_again(id).map(Ok)
    }

    fn decision_again(&mut self, id: &str) -> Result<BillDecision, StoreError> {
        let found = bill_decisions::find(self.tx, id)?;
        found.ok_or_else(|| StoreError::Broken(format!("decision {id} is not there")))
    }

    fn at_open_site(&mut self, site: &SiteId, order: &OrderId) -> Decided<Order> {
        if let Err(refused) = self.open_line(site)? {
            return Ok(Err(refused));
        }
        let found = at_sites::order(self.tx, site, order)?;
        Ok(found.ok_or_else(|| Refused::UnknownOrder {
            site: site.clone(),
            order: order.clone(),
        }))
    }

    fn send_decision(&mut self, of: &BillDecision, second: Option<String>) -> Result<DirectiveNo, StoreError> {
        let (order, reason, by) = (of.order.clone(), of.reason.clone(), of.proposed_by.clone());
        let directive = match of.what {
            What::Corrected(Split { electricity, service }, version) => Directive::Correct {
                order,
                version,
                electricity,
                service,
                reason,
                by,
                second,
            },
            What::AsIs | What::Reviewed(_) => Directive::Review {
                order,
                decision: match of.what {
                    What::Reviewed(Split { electricity, service }) => Decision::Corrected { electricity, service },
                    _ => Decision::AsIs,
                },
                reason,
                by,
                second,
            },
        };
        let line = match self.open_line(&of.site)? {
            Ok(line) => line,
            Err(refused) => return Err(StoreError::Broken(refused.to_string())),
        };
        let no = self.issue(&line, &directive)?;
        bill_decisions::sent(self.tx, &of.id, no)?;
        Ok(no)
    }
}

impl Proposed for BillDecision {
    type Id = str;

    fn find(money: &mut Money<'_>, id: &str) -> Result<Option<Self>, StoreError> {
        bill_decisions::find(money.tx, id)
    }

    fn hold(&self, money: &mut Money<'_>) -> Result<(), StoreError> {
        bill_decisions::hold(money.tx, &self.id)
    }

    fn waits(&self) -> Option<(&str, Wall)> {
        (self.state == State::Proposed).then_some((self.proposed_by.as_str(), self.proposed_at))
    }

    fn unknown(id: &str) -> Refused {
        Refused::UnknownDecision(id.to_owned())
    }

    fn decided(self) -> Refused {
        Refused::DecisionDecided {
            decision: self.id,
            state: self.state.word(),
        }
    }
}

/// Whether a bill differs from the one first settled by more than one person may decide.
fn takes_two(order: &Order, what: What, above: Fen) -> bool {
    match what {
        What::AsIs => false,
        What::Reviewed(bill) | What::Corrected(bill, _) => order
            .measured_by()
            .is_some_and(|first| first.differs(bill.total()) > above),
    }
}

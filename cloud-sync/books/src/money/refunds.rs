//! Money is given back for orders (售后退款). Head office decides; the order's site marks it in the order's row, or refuses where a
//! correction has come before it. Only then is the money in the wallet (rule 22 of the line): until then it is nobody's to spend.

use super::{Decided, Line, Money, REFUND, REFUND_ACCOUNT, Refused, waiting::Proposed};
use crate::store::{
    StoreError, at_sites,
    findings::{Class, Finding},
    inbox, ledger,
    ledger::Movement,
    members,
    refunds::{self, Refund, State},
};
use domain::{
    head_office::{Directive, RefusedDirective},
    ids::{MemberId, OrderId, SiteId},
    order::{Order, State as OrderState},
    planted::{Bug, is_planted},
    time::Wall,
    units::Fen,
};
use serde_json::json;
use service::wire::order::OrderView;

/// What a member is told once a refund is approved: the money is on its way.
pub const REFUND_APPROVED: &str = "refund_approved";
/// What a member is told where a refund that was approved went back.
pub const REFUND_NOT_MADE: &str = "refund_not_made";

/// Money that somebody wants given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The refund's number.
    pub id: String,
    /// At which site the order is.
    pub site: SiteId,
    /// For which order.
    pub order: OrderId,
    /// How much.
    pub amount: Fen,
    /// Why.
    pub reason: String,
}

/// An order that money can be given back for, with its member held fast.
struct Refundable {
    line: Line,
    order: Order,
    member: MemberId,
}

/// Where a mark stands in a site's journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marked<'a> {
    pub site: &'a SiteId,
    pub branch: u64,
    pub seq: u64,
}

impl Marked<'_> {
    fn finding(&self, class: Class, order: &OrderId, detail: serde_json::Value) -> Finding {
        Finding {
            class,
            seq: self.seq,
            order: Some(order.clone()),
            detail: detail.to_string(),
        }
    }
}

impl Money<'_> {
    /// Gives money back for an order, never more than its driver has paid of the bill in force. Where all refunds of the order together
    /// are more than one person may approve it waits for a second one; below that these rules approve it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refund(&mut self, wanted: &Wanted, second_person_above: Fen) -> Decided<Refund> {
        let found = match self.refundable(&wanted.site, &wanted.order)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let of = refunds::of_order(self.tx, &wanted.site, &wanted.order, &found.member)?;
        if wanted.amount > of.left() {
            return Ok(Err(Refused::RefundTooMuch {
                order: wanted.order.clone(),
                most: of.left(),
            }));
        }
        let refund = Refund {
            id: wanted.id.clone(),
            site: wanted.site.clone(),
            order: wanted.order.clone(),
            member: found.member.clone(),
            amount: wanted.amount,
            reason: wanted.reason.clone(),
            state: State::Proposed,
            marked: false,
            proposed_by: self.by.clone(),
            proposed_at: self.now,
            decided_by: None,
            decided_at: None,
            ended_at: None,
        };
        refunds::add(self.tx, &refund)?;
        if of.total + wanted.amount <= second_person_above {
            self.approve(&refund, &found, super::RULE)?;
        }
        self.found_again(&wanted.id).map(Ok)
    }

    /// A second person approves a refund that waits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approve_refund(&mut self, id: &str) -> Decided<Refund> {
        let refund: Refund = match self.waiting_for_second(id)? {
            Ok(refund) => refund,
            Err(refused) => return Ok(Err(refused)),
        };
        let by = self.by.clone();
        if refund.marked {
            // Its site has counted it: what was forgotten here is paid now.
            refunds::decide(self.tx, id, &State::Credited, &by, self.now)?;
            refunds::end(self.tx, id, &State::Credited, self.now)?;
            let wallet = ledger::wallet(&refund.member);
            self.book(self.refund_moves(&refund, format!("refund:{id}:again"), REFUND_ACCOUNT, &wallet))?;
            self.wallet_moved(&refund.member)?;
            return self.found_again(id).map(Ok);
        }
        let found = match self.refundable(&refund.site, &refund.order)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let most = refunds::of_order(self.tx, &refund.site, &refund.order, &refund.member)?.left();
        if refund.amount > most {
            return Ok(Err(Refused::RefundTooMuch {
                order: refund.order,
                most,
            }));
        }
        self.approve(&refund, &found, &by)?;
        self.found_again(id).map(Ok)
    }

    /// Somebody says no to a refund that waits, and why: the one who proposed it may, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reject_refund(&mut self, id: &str, reason: &str) -> Decided<Refund> {
        match self.waiting::<Refund>(id)? {
            Ok(refund) if refund.marked => Ok(Err(Refused::RefundMarked(refund.id))),
            Ok(_) => {
                let by = self.by.clone();
                refunds::decide(self.tx, id, &State::Rejected(reason.to_owned()), &by, self.now)?;
                self.found_again(id).map(Ok)
            }
            Err(refused) => Ok(Err(refused)),
        }
    }

    fn found_again(&mut self, id: &str) -> Result<Refund, StoreError> {
        refunds::find(self.tx, id)?.ok_or_else(|| StoreError::Broken(format!("refund {id} is not there")))
    }

    fn hold(&mut self, member: &MemberId) -> Result<(), StoreError> {
        if members::hold(self.tx, member)?.is_none() {
            members::remember(self.tx, member, self.now)?;
        }
        Ok(())
    }

    /// An order that money can be given back for, and its member, held fast: it was settled, by its record or by an estimate whose remainder
    /// is released (rule 24), and no person looks at it just now.
    fn refundable(&mut self, site: &SiteId, order: &OrderId) -> Decided<Refundable> {
        let unknown = || Refused::UnknownOrder {
            site: site.clone(),
            order: order.clone(),
        };
        if at_sites::order(self.tx, site, order)?.is_none() {
            return Ok(Err(match self.open_line(site)? {
                Ok(_) => unknown(),
                Err(refused) => refused,
            }));
        }
        let Some(member) = at_sites::member_of_order(self.tx, site, order)? else {
            return Ok(Err(Refused::SitesOwn {
                site: site.clone(),
                order: order.clone(),
            }));
        };
        self.hold(&member)?;
        let line = match self.open_line(site)? {
            Ok(line) => line,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(order_now) = at_sites::order(self.tx, site, order)? else {
            return Ok(Err(unknown()));
        };
        match order_now.state {
            OrderState::Payed | OrderState::Unpaid => Ok(Ok(Refundable {
                line,
                order: order_now,
                member,
            })),
            state => Ok(Err(Refused::NotRefundable {
                order: order.clone(),
                state,
            })),
        }
    }

    /// The money is put aside, and the order's site is told. Whoever calls has looked that there is as much left to give back.
    fn approve(&mut self, refund: &Refund, found: &Refundable, by: &str) -> Result<(), StoreError> {
        let Refund { site, amount, .. } = refund;
        if !refunds::count(self.tx, site, &refund.order, *amount)? {
            return Err(StoreError::Unavailable(format!(
                "the bill of order {} has just become another one: try again",
                refund.order
            )));
        }
        refunds::decide(self.tx, &refund.id, &State::Approved, by, self.now)?;
        let due = ledger::refund_due(site, &refund.order);
        self.book(self.refund_moves(refund, format!("refund:{}", refund.id), REFUND_ACCOUNT, &due))?;
        self.issue(
            &found.line,
            &Directive::RefundMark {
                order: refund.order.clone(),
                amount: *amount,
                reference: refund.id.clone(),
            },
        )?;
        let words = format!("退款 {amount} 元已批准，到账后另行通知");
        self.tell_of(refund, &found.order, (REFUND_APPROVED, ""), &words)?;
        if is_planted(Bug::RefundBeforeMark) {
            self.credit_refund(refund, "early")?;
        }
        Ok(())
    }

    /// Tells the driver what becomes of a refund, once.
    fn tell_of(
        &mut self,
        refund: &Refund,
        order: &Order,
        (kind, of): (&'static str, &str),
        words: &str,
    ) -> Result<(), StoreError> {
        let (view, amount) = (OrderView::from(order), refund.amount);
        let body = json!({
            "site": refund.site.as_str(), "order": refund.order.as_str(), "at": self.now.to_string(), "refund": refund.id,
            "amount": amount.to_string(), "text": words, "pile": view.pile, "connector": view.connector, "state": view.state,
            "bill": view.bill, "paid": view.paid,
        });
        let key = format!("refund:{}{of}", refund.id);
        inbox::tell(self.tx, &refund.member, kind, &key, &body, self.now).map(drop)
    }

    /// What of a refund moves, from one account to another.
    fn refund_moves(&self, refund: &Refund, id: String, debit: &str, credit: &str) -> Movement {
        Movement {
            id,
            debit: debit.to_owned(),
            credit: credit.to_owned(),
            amount: refund.amount,
            code: REFUND,
            site: Some(refund.site.clone()),
            order: Some(refund.order.clone()),
            member: Some(refund.member.clone()),
            at: self.now,
            by: Some(self.by.clone()),
            ..Movement::default()
        }
    }

    /// What was put aside goes on to the wallet.
    fn credit_refund(&mut self, refund: &Refund, cause: &str) -> Result<(), StoreError> {
        refunds::end(self.tx, &refund.id, &State::Credited, self.now)?;
        let due = ledger::refund_due(&refund.site, &refund.order);
        self.book(self.refund_moves(
            refund,
            format!("{cause}:{}", refund.id),
            &due,
            &ledger::wallet(&refund.member),
        ))
    }

    /// What was put aside goes back: its site does not mark it.
    fn take_back(&mut self, refund: &Refund, why: &RefusedDirective, cause: &str) -> Result<(), StoreError> {
        refunds::end(self.tx, &refund.id, &State::Refused(why.clone()), self.now)?;
        let due = ledger::refund_due(&refund.site, &refund.order);
        self.book(self.refund_moves(refund, format!("{cause}:{}", refund.id), &due, REFUND_ACCOUNT))?;
        refunds::of_order(self.tx, &refund.site, &refund.order, &refund.member)?;
        if let Some(order) = at_sites::order(self.tx, &refund.site, &refund.order)? {
            let words = format!("退款 {} 元未能完成，工作人员会再联系您：{}", refund.amount, why.detail);
            self.tell_of(refund, &order, (REFUND_NOT_MADE, ":back"), &words)?;
        }
        Ok(())
    }

    /// A site has marked a refund in an order's row. What people see of it, and whose wallet has moved.
    pub(super) fn marked(
        &mut self,
        at: Marked<'_>,
        (order, amount, reference): (&OrderId, Fen, &str),
        cause: &str,
    ) -> Result<(Option<Finding>, Option<MemberId>), StoreError> {
        let Some(member) = at_sites::member_of_order(self.tx, at.site, order)? else {
            let why = "a refund was marked for an order of a member of the site's own, who has no wallet";
            let detail = json!({ "why": why, "refund": reference, "amount": amount });
            return Ok((Some(at.finding(Class::OverRefund, order, detail)), None));
        };
        let found = refunds::find(self.tx, reference)?;
        let Some(refund) = found else {
            // Head office's database was restored from a copy, and has forgotten it (rule 4).
            let why = "the site has marked a refund that this database does not know: was it restored from a copy?";
            refunds::add(
                self.tx,
                &Refund {
                    id: reference.to_owned(),
                    site: at.site.clone(),
                    order: order.clone(),
                    member: member.clone(),
                    amount,
                    reason: why.to_owned(),
                    state: State::Proposed,
                    marked: true,
                    proposed_by: super::RULE.to_owned(),
                    proposed_at: self.now,
                    decided_by: None,
                    decided_at: None,
                    ended_at: None,
                },
            )?;
            refunds::mark(self.tx, reference, (at.branch, at.seq))?;
            refunds::of_order(self.tx, at.site, order, &member)?;
            let detail = json!({ "why": why, "refund": reference, "amount": amount, "member": member.as_str() });
            return Ok((Some(at.finding(Class::Forgotten, order, detail)), None));
        };
        if (&refund.site, &refund.order, refund.amount) != (at.site, order, amount) {
            let why =
                "the site has marked under this number what head office has under another order or with another amount";
            let detail = json!({ "why": why, "refund": reference, "amount": amount });
            return Ok((Some(at.finding(Class::OverRefund, order, detail)), None));
        }
        let (mut finding, mut moved) = (None, None);
        match refund.state {
            State::Approved => {
                self.credit_refund(&refund, cause)?;
                moved = Some(member.clone());
            }
            // Marked again on another branch of the site's journal.
            State::Credited => {}
            State::Proposed => {
                let why = "the site has marked a refund that waits here for a person: was it approved after this database was copied?";
                let detail = json!({ "why": why, "refund": reference, "amount": amount, "member": member.as_str() });
                finding = Some(at.finding(Class::Forgotten, order, detail));
            }
            State::Refused(_) | State::Rejected(_) => {
                refunds::open_again(self.tx, reference)?;
                let why = "the site has marked a refund that went back here: it waits for a person again";
                let detail = json!({ "why": why, "refund": reference, "amount": amount, "member": member.as_str() });
                finding = Some(at.finding(Class::Forgotten, order, detail));
            }
        }
        refunds::mark(self.tx, reference, (at.branch, at.seq))?;
        refunds::of_order(self.tx, at.site, order, &member)?;
        Ok((finding, moved))
    }

    /// A site has taken the directive to mark a refund: where it refuses, the money goes back.
    pub(super) fn mark_taken(
        &mut self,
        at: Marked<'_>,
        reference: &str,
        refused: Option<&RefusedDirective>,
        cause: &str,
    ) -> Result<Option<Finding>, StoreError> {
        let (Some(refund), Some(why)) = (refunds::find(self.tx, reference)?, refused) else {
            return Ok(None);
        };
        match refund.state {
            State::Approved => {
                self.take_back(&refund, why, cause)?;
                Ok(None)
            }
            State::Credited if !refund.marked => {
                let words =
                    "what was given back on a branch that the site has left cannot be marked on the one that lives";
                let detail = json!({ "why": words, "refund": reference, "amount": refund.amount, "site": why });
                Ok(Some(at.finding(Class::OverRefund, &refund.order, detail)))
            }
            _ => Ok(None),
        }
    }

    /// What an order costs or has paid is another: what can be given back follows. Where its bill is lower now than what was given back
    /// people see it; nothing is paid by itself.
    pub(super) fn billed(
        &mut self,
        at: Marked<'_>,
        member: &MemberId,
        order: &OrderId,
    ) -> Result<Option<Finding>, StoreError> {
        refunds::of_order(self.tx, at.site, order, member)?;
        let Some(row) = at_sites::order(self.tx, at.site, order)? else {
            return Ok(None);
        };
        let fee = row.bill().map_or(Fen::ZERO, domain::order::BillVersion::fee);
        if row.paid.refunded <= fee {
            return Ok(None);
        }
        let detail = json!({
            "why": "more was given back than the bill in force says that the order cost", "here": row.paid.refunded, "site": fee,
        });
        Ok(Some(at.finding(Class::OverRefund, order, detail)))
    }

    /// A site was closed: it marks nothing any more, and what was put aside for its orders goes back.
    pub(super) fn close_refunds(&mut self, site: &SiteId, cause: &str) -> Result<(), StoreError> {
        let why = RefusedDirective {
            code: "site_closed".to_owned(),
            detail: format!("site {site} was closed before it had marked the refund"),
        };
        for refund in refunds::approved_at(self.tx, site)? {
            self.take_back(&refund, &why, cause)?;
        }
        Ok(())
    }

    /// Whether a refund's money is put aside, or paid, and its site has not marked it.
    pub(super) fn waits_for_mark(&mut self, reference: &str) -> Result<bool, StoreError> {
        let refund = refunds::find(self.tx, reference)?;
        Ok(refund.is_some_and(|refund| !refund.marked && matches!(refund.state, State::Approved | State::Credited)))
    }

    /// A site goes on with another branch of its journal: what was marked after this entry of the one before is marked anew.
    pub(super) fn unmark(&mut self, site: &SiteId, branch: u64, left: u64) -> Result<(), StoreError> {
        for (member, order) in refunds::unmark_after(self.tx, site, branch, left)? {
            self.hold(&member)?;
            refunds::of_order(self.tx, site, &order, &member)?;
        }
        Ok(())
    }
}

impl Proposed for Refund {
    type Id = str;

    fn find(money: &mut Money<'_>, id: &str) -> Result<Option<Self>, StoreError> {
        refunds::find(money.tx, id)
    }

    fn hold(&self, money: &mut Money<'_>) -> Result<(), StoreError> {
        money.hold(&self.member)
    }

    fn waits(&self) -> Option<(&str, Wall)> {
        (self.state == State::Proposed).then_some((self.proposed_by.as_str(), self.proposed_at))
    }

    fn unknown(id: &str) -> Refused {
        Refused::UnknownRefund(id.to_owned())
    }

    fn decided(self) -> Refused {
        Refused::RefundDecided {
            refund: self.id,
            state: self.state.word(),
        }
    }
}

//! From a bill to money: settlement, review, debts and refunds (S05 §2.3, §4, §5).

use super::{Answer, Decision, Handled, Rejected, Turn};
use crate::{
    fact::{Fact, PaidFrom, ReceiptFor},
    ids::{MemberId, OrderId},
    meter::Suspicion,
    notice::Notice,
    order::{self, Basis, BillVersion, Illegal, Order, Source, State, Step},
    planted::{Bug, is_planted},
    register::{RegisterBook, SessionId},
    settlement::{Paid, Payment, Split, Standing},
    units::Fen,
};

impl Turn<'_> {
    /// Moves an order's money to where its last bill says, or sends it to a person first.
    pub(super) fn settle_or_review(&mut self, id: &OrderId, suspicions: Vec<Suspicion>) {
        let reasons = self.reasons_to_review(id, suspicions);
        if reasons.is_empty() {
            self.settle(id);
        } else {
            self.open_review(id, reasons);
        }
    }

    pub(super) fn reasons_to_review(&self, id: &OrderId, mut suspicions: Vec<Suspicion>) -> Vec<Suspicion> {
        let order = self.order(id).expect("an order is settled while in memory");
        let seen = order
            .suspicions
            .iter()
            .filter(|seen| matches!(seen, Suspicion::FakeCharging { .. }));
        suspicions.extend(seen.cloned());
        let in_doubt = order.clock_doubted || self.site.rows.clock.doubt.is_some();
        let of_clock = [
            (
                Suspicion::StationClockInDoubt,
                in_doubt && !is_planted(Bug::BelieveDoubtfulClock),
            ),
            (Suspicion::ClockStepped, order.clock_stepped),
        ];
        for (suspicion, applies) in of_clock {
            if applies && !suspicions.contains(&suspicion) {
                suspicions.push(suspicion);
            }
        }
        suspicions.extend(self.tariff_not_in_force(order));
        let fee = order.bill().map_or(Fen::ZERO, |bill| bill.fee());
        if fee > self.policy().review_above {
            suspicions.push(Suspicion::LargeFee);
        }
        if order.source == Source::OfflineSession && fee > self.policy().offline_session_cap {
            suspicions.push(Suspicion::AboveOfflineCap);
        }
        suspicions
    }

    pub(super) fn open_review(&mut self, id: &OrderId, suspicions: Vec<Suspicion>) {
        self.journal(Fact::ReviewOpened {
            order: id.clone(),
            suspicions,
        });
        let order = self.order(id).expect("the order was in memory a line above").clone();
        self.notify(&order, Notice::under_review());
        self.seen(id);
    }

    pub(super) fn payment(&self, order: &Order, release: bool) -> Payment {
        let bill = order.bill().map_or(Split::default(), |bill| Split {
            electricity: bill.electricity,
            service: bill.service,
        });
        let allowance = self.site.rows.ledger.allowance(&order.member);
        let standing = Standing {
            held: order.hold.remaining(),
            allowance,
            paid: match order.bill().is_some_and(BillVersion::is_persons) && is_planted(Bug::CorrectionPaysTwice) {
                true => Paid {
                    debt: Fen::ZERO,
                    ..order.paid
                },
                false => order.paid,
            },
        };
        standing.settle(bill, release)
    }

    /// Settles by the last bill: captured, the rest released in the same step, what is not covered becomes debt.
    pub(super) fn settle(&mut self, id: &OrderId) {
        let order = self.order(id).expect("an order is settled while in memory").clone();
        // A day after an estimate its remainder is released: nothing has been rated anew.
        let first = order.settled_at.is_none() && (order.estimated || order.paid.charged() == Fen::ZERO);
        let ends_badly = self.is_told_of_abnormal_end(&order);
        let payment = self.payment(&order, true);
        self.journal(Fact::OrderSettled {
            order: id.clone(),
            payment,
        });
        self.return_freed(id, payment.release + payment.refund);
        let settled = self.order(id).expect("the order was in memory a line above").clone();
        let fee = settled.bill().map_or(Fen::ZERO, |bill| bill.fee());
        let notice = if first || ends_badly {
            let reason = settled.ending.as_ref().map(|ending| &ending.reason);
            let returned = match first {
                true => payment.release,
                false => settled.hold.released + payment.refund,
            };
            Notice::settled(reason, fee, returned, settled.paid.debt)
        } else {
            Notice::rerated(fee, payment.refund + payment.release, settled.paid.debt)
        };
        self.notify(&settled, notice);
        self.seen(id);
    }

    /// Whether the driver learns by this settlement that the session ended abnormally (S03 §3.1): it is the first one by
    /// the record, and what was settled before was an estimate.
    fn is_told_of_abnormal_end(&self, order: &Order) -> bool {
        if !order.ending.as_ref().is_some_and(|ending| ending.reason.is_abnormal()) {
            return false;
        }
        let is_its = |fact: &Fact| matches!(fact, Fact::RecordReceived { order: id, .. } if *id == order.id);
        let came_now = self.outcome.facts.iter().any(|(_, fact)| is_its(fact));
        let by_record = order.bills.iter().rev().find(|bill| bill.basis == Basis::Record);
        let waited = order.state == State::Review
            && by_record.is_some_and(|bill| order.settled_at.is_none_or(|at| at < bill.at));
        came_now || waited
    }

    pub(super) fn decide(&mut self, id: &OrderId, decision: Decision, reason: String, by: String) -> Handled {
        let order = self.known_order(id)?;
        if order.state != State::Review {
            return Err(illegal(id, order.state, Step::Covered));
        }
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        match decision {
            Decision::AsIs => {
                self.check_second_person(&order, &by)?;
                self.journal(Fact::ReviewApproved {
                    order: id.clone(),
                    reason,
                    by,
                });
            }
            Decision::Corrected { electricity, service } => {
                return self.correct_or_propose(&order, Split { electricity, service }, reason, by);
            }
        }
        self.account_as_decided(&order, true);
        self.settle(id);
        Ok(Answer::Order(id.clone()))
    }

    /// A decision on a bill takes the register along: the record's readings as they are, or as far as the station knows the
    /// register, before and after, where the person set the bill.
    pub(super) fn account_as_decided(&mut self, order: &Order, believed: bool) {
        let of_register =
            |seen: &Suspicion| matches!(seen, Suspicion::RegisterLower { .. } | Suspicion::RegisterJumped { .. });
        if self.site.rows.has_its_meter(order)
            && order.suspicions.iter().any(of_register)
            && let Some(watch) = self.site.live.registers.get_mut(&order.outlet)
        {
            watch.looked_at();
        }
        let connector = self.site.rows.connector(&order.outlet);
        let book = connector.and_then(|connector| connector.book_for(order.meter));
        let by = SessionId::Order(order.id.clone());
        let is_accounted = book.is_none_or(|book| book.session(&by).is_some());
        let Some(ending) = order.ending.as_ref().filter(|_| !is_accounted) else {
            return;
        };
        // Of a meter that is there no more, its book tells how far it went.
        let known = if self.site.rows.has_its_meter(order) {
            self.site.live.last_known_register(&order.outlet, &self.site.rows)
        } else {
            book.and_then(RegisterBook::explained_to)
        };
        let (start, stop) = (ending.start.register, ending.stop.register);
        // Of a session that a pile ran alone, what was known before it may be of a later one.
        let known_before = order.baseline.filter(|_| !believed && order.source.is_ordered());
        let below = known_before.filter(|known| start <= *known - self.site.step_of_baseline(order));
        let from = below.unwrap_or(start);
        let to = known.filter(|_| !believed).map_or(stop, |known| stop.min(known));
        if to > from {
            self.journal(Fact::OrderAccounted {
                order: order.id.clone(),
                from,
                to,
            });
            self.find_gaps(&order.id, from);
        }
        if believed && self.site.rows.has_its_meter(order) {
            self.believe_higher(&order.outlet);
        }
    }

    /// Whether this very payment has been booked already; an error if the receipt was written for another.
    pub(super) fn receipt_counted(
        &self,
        receipt: &str,
        member: &MemberId,
        amount: Fen,
        paid: ReceiptFor,
    ) -> Result<bool, Rejected> {
        let Some(used) = self.site.rows.receipts.get(receipt).and_then(Option::as_ref) else {
            return Ok(false);
        };
        // What was taken back of it since does not make it another payment.
        if used.member == *member && used.amount == amount && used.paid == paid {
            return Ok(true);
        }
        Err(Rejected::ReceiptUsed {
            receipt: receipt.to_owned(),
            used: used.clone(),
        })
    }

    pub(super) fn pay_debt(
        &mut self,
        member: &MemberId,
        amount: Fen,
        from: PaidFrom,
        receipt: &str,
        by: &str,
    ) -> Handled {
        let row = self
            .site
            .rows
            .member(member)
            .ok_or_else(|| Rejected::UnknownMember(member.clone()))?;
        let unpaid = row.unpaid_orders.clone();
        self.check_positive(amount)?;
        if from == PaidFrom::Cash && self.receipt_counted(receipt, member, amount, ReceiptFor::Debt)? {
            return Ok(Answer::Done);
        }
        let debt = self.site.rows.ledger.debt(member);
        if amount > debt {
            return Err(Rejected::TooMuch { amount, most: debt });
        }
        if from == PaidFrom::Allowance {
            self.check_spendable(member, amount, Fen::ZERO)?;
        }
        let mut left = amount;
        for id in unpaid {
            let owed = self.order(&id).map_or(Fen::ZERO, |order| order.paid.debt);
            let part = owed.min(left);
            if part == Fen::ZERO {
                continue;
            }
            left -= part;
            let receipt = receipt.to_owned();
            self.journal(Fact::DebtPaid {
                member: member.clone(),
                order: id.clone(),
                amount: part,
                from,
                receipt,
                by: by.to_owned(),
                directive: None,
            });
            let order = self
                .order(&id)
                .expect("a member's unpaid orders are loaded with the request")
                .clone();
            if order.paid.debt == Fen::ZERO {
                self.notify(&order, Notice::debt_cleared());
            }
            self.seen(&id);
        }
        assert_eq!(left, Fen::ZERO, "a member's debt is the sum over their unpaid orders");
        Ok(Answer::Done)
    }

    /// Money back to the balance (售后退款), never more than was paid.
    pub(super) fn refund(&mut self, id: &OrderId, amount: Fen, reason: String, by: String) -> Handled {
        self.check_own("giving money back for an order")?;
        let order = self.known_order(id)?;
        if order.state != State::Payed {
            return Err(illegal(id, order.state, Step::Refund));
        }
        self.check_positive(amount)?;
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        let most = order.paid.refundable();
        if amount > most {
            return Err(Rejected::TooMuch { amount, most });
        }
        self.journal(Fact::Refunded {
            order: id.clone(),
            amount,
            reason,
            by,
        });
        self.notify(&order, Notice::refunded(amount));
        self.seen(id);
        Ok(Answer::Order(id.clone()))
    }

    pub(super) fn check_positive(&self, amount: Fen) -> Result<(), Rejected> {
        if amount <= Fen::ZERO {
            Err(Rejected::NotPositive(amount))
        } else {
            self.check_amount_size(amount)
        }
    }

    pub(super) fn check_amount_size(&self, amount: Fen) -> Result<(), Rejected> {
        const AMOUNT_MAX: Fen = Fen(1_000_000_000);
        if amount > AMOUNT_MAX {
            Err(Rejected::AmountTooLarge {
                amount,
                most: AMOUNT_MAX,
            })
        } else {
            Ok(())
        }
    }
}

pub(super) fn illegal(order: &OrderId, state: State, step: Step) -> Rejected {
    let illegal = order::next(Some(state), step).err().unwrap_or(Illegal {
        state: Some(state),
        step,
    });
    Rejected::Illegal {
        order: order.clone(),
        illegal,
    }
}

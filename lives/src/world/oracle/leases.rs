//! What head office has the station do: each directive and each voucher counts once, as head office signed it; what was not used of an
//! order's goes back.

use super::{
    super::{Time, station::wall},
    Book, Checked, Desk, Oracle,
};
use domain::{
    correction::Approval,
    fact::{Fact, PaidFrom},
    head_office::{Directive, DirectiveNo, LeasedBy},
    ids::{MemberId, OrderId},
    ledger::Account,
    order::{Source, State},
    site::Decision,
    time::Wall,
    units::Fen,
};
use std::collections::BTreeMap;

/// A voucher is closed when it has ended, by the one true clock (rule 16): head office's, less what it may be off.
pub(super) fn closes_in_time(until: Wall, now: Time) -> Checked {
    match until <= wall(now, 0) {
        true => Ok(()),
        false => Err(format!("it is {} by the one true clock", wall(now, 0))),
    }
}

/// What head office told under a number.
fn told(desk: &Desk, no: DirectiveNo) -> Result<&Directive, String> {
    let told = desk.told.get(&no).map(|(_, directive)| directive);
    told.ok_or_else(|| format!("head office never told it {no}"))
}

impl Oracle {
    pub(super) fn judge_leases(&mut self, fact: &Fact, desk: &Desk, now: Time) -> Checked {
        match fact {
            Fact::LeaseReceived { member, amount, by } => {
                let (key, whose, most) = match by {
                    LeasedBy::Directive(no) => match told(desk, *no)? {
                        Directive::Lease { member, amount, .. } => (no.to_string(), member, *amount),
                        Directive::Start {
                            member,
                            prepay,
                            expires_at,
                            ..
                        } => {
                            let handed = desk.handed.get(no).copied();
                            let decided = handed.unwrap_or_else(|| wall(now, 0));
                            if decided >= *expires_at {
                                return Err(format!(
                                    "{no} ended at {expires_at}, and was taken at {decided} or later"
                                ));
                            }
                            (no.to_string(), member, *prepay)
                        }
                        other => return Err(format!("{no} carries no lease: {other:?}")),
                    },
                    LeasedBy::Voucher { id, .. } => {
                        let shown = desk.vouchers.get(id);
                        let shown = shown.ok_or_else(|| format!("nobody has shown voucher {id}"))?;
                        (id.clone(), &shown.member, shown.amount)
                    }
                };
                if whose != member || most != *amount {
                    return Err(format!("head office leased {most} to {whose}"));
                }
                self.act(&format!("lease:{key}"), amount.0, most.0)?;
                self.moves(member, amount.0);
                self.transfer(Account::HeadOffice, Account::Allowance(member.clone()), amount.0)
            }
            Fact::LeaseReturned {
                member,
                amount,
                order,
                directive,
            } => {
                match (order, directive) {
                    (None, Some(no)) => {
                        let Directive::Recall { member: whose, up_to } = told(desk, *no)? else {
                            return Err(format!("{no} recalls nothing"));
                        };
                        let most = up_to.0.min(self.allowance(member));
                        if whose != member || amount.0 != most {
                            return Err(format!("of {whose} {most} were to go back"));
                        }
                        self.act(&format!("recall:{no}"), 1, 1)?;
                    }
                    (Some(order), None) => {
                        let book = self.book(order)?;
                        book.returned += amount.0;
                        if book.source != Source::HeadOffice || book.returned > book.prepaid {
                            return Err(format!("{} of {} go back", book.returned, book.prepaid));
                        }
                    }
                    other => return Err(format!("it goes back because of {other:?}")),
                }
                self.moves(member, -amount.0);
                self.transfer(Account::Allowance(member.clone()), Account::HeadOffice, amount.0)
            }
            Fact::DebtPaid {
                member,
                order,
                amount,
                from: PaidFrom::HeadOffice,
                directive,
                ..
            } => {
                let no = directive.ok_or("it names no directive")?;
                let Directive::DebtPaid {
                    order: which,
                    amount: most,
                    ..
                } = told(desk, no)?
                else {
                    return Err(format!("{no} pays nothing"));
                };
                let (most, which) = (most.0, which.clone());
                let book = self.book(order)?;
                if which != *order || book.member != *member || amount.0 != most.min(book.debt) {
                    return Err(format!("{most} were sent for {which}, {} are owed", book.debt));
                }
                book.debt -= amount.0;
                self.act(&format!("paid:{no}"), 1, 1)?;
                self.moves(member, amount.0);
                self.transfer(Account::HeadOffice, Account::Debt(member.clone()), amount.0)
            }
            Fact::RefundMarked {
                order,
                amount,
                reference,
            } => {
                let marks = |told: &Directive| match told {
                    Directive::RefundMark {
                        order: which,
                        amount: most,
                        reference: number,
                    } => number == reference && which == order && most == amount,
                    _ => false,
                };
                if !desk.told.values().any(|(_, told)| marks(told)) {
                    return Err(format!("head office never gave {amount} back for {order}"));
                }
                // Under a later life of head office's it may be told again, and counts once all the same.
                self.act(&format!("refund:{reference}"), 1, 1)?;
                let book = self.book(order)?;
                book.marked += amount.0;
                match book.refunded + book.marked > book.charged - book.debt {
                    true => Err("more is given back than was paid".to_owned()),
                    false => Ok(()),
                }
            }
            Fact::DirectiveTaken { directive, sha256, .. } => {
                let told = desk.told.get(directive).map(|(sha256, _)| sha256);
                if told != Some(sha256) {
                    return Err(format!("head office never told it {directive}"));
                }
                self.act(&format!("taken:{directive}"), 1, 1)
            }
            _ => Ok(()),
        }
    }

    /// Head office's people have decided a bill, and the station was told: each decision has its effect once.
    pub(super) fn decided_at_head_office(
        &mut self,
        order: &OrderId,
        decision: Decision,
        (by, approval): (&str, Option<&Approval>),
        desk: &Desk,
    ) -> Checked {
        let corrected = |electricity: &Fen, service: &Fen| Decision::Corrected {
            electricity: *electricity,
            service: *service,
        };
        let is_it = |no: &DirectiveNo, told: &Directive| {
            let (which, what, who, second) = match told {
                Directive::Review {
                    order,
                    decision,
                    by,
                    second,
                    ..
                } => (order, *decision, by, second),
                Directive::Correct {
                    order,
                    electricity,
                    service,
                    by,
                    second,
                    ..
                } => (order, corrected(electricity, service), by, second),
                _ => return false,
            };
            let second = second.clone().map(|by| Approval { proposal: no.n, by });
            let is_second = decision == Decision::AsIs || second.as_ref() == approval;
            which == order && what == decision && who == by && is_second
        };
        let mut told = desk.told.iter().filter(|(no, (_, told))| is_it(no, told));
        let fresh = told.find(|(no, _)| !self.has_done(&format!("bill:{no}")));
        let Some((no, _)) = fresh else {
            return Err(format!(
                "nobody asked for it: {by} decided {decision:?} with {approval:?}"
            ));
        };
        self.act(&format!("bill:{no}"), 1, 1)?;
        self.book(order)?.decided = true;
        Ok(())
    }

    fn moves(&mut self, member: &MemberId, amount: i64) {
        *self.paid_in.entry(member.clone()).or_default() += amount;
    }

    /// What was lost at most on debts, and the most that it could be: order by order, what was delivered beyond what was reserved
    /// (which is what came after the limit, less the margin), or all where nothing was; and above an estimate what the
    /// record says. What a person has set is theirs to answer for.
    pub(in crate::world) fn lost(&self) -> Result<(i64, i64), String> {
        let (mut lost, mut bound) = (0, 0);
        for (id, book) in self.books.iter().filter(|(_, book)| !book.decided) {
            let secured = match book.estimated {
                Some(estimated) => estimated.min(book.prepaid),
                None => book.prepaid,
            };
            let most = (book.dearest - secured).max(0);
            if book.worst > most {
                return Err(format!("order {id} owed {}, and could owe {most} at most", book.worst));
            }
            (lost, bound) = (lost + book.worst, bound + most);
        }
        Ok((lost, bound))
    }

    /// What orders were charged, and have not got back.
    pub(in crate::world) fn charges(&self) -> BTreeMap<OrderId, i64> {
        let charged = self.books.iter().filter(|(_, book)| book.charged > 0);
        charged.map(|(id, book)| (id.clone(), book.charged)).collect()
    }

    /// Whether nobody pays for an order, and no person has said so.
    pub(in crate::world) fn is_free(&self, order: &OrderId) -> bool {
        let book = self.books.get(order);
        book.is_none_or(|book| book.charged == 0 && !book.decided)
    }

    /// Of an order of head office's that is over and was paid as rated, all goes back that it did not cost; or that it did not cost when it
    /// was settled by an estimate, after which a record that says more is paid by what the member has then.
    pub(in crate::world) fn check_returned(&self) -> Checked {
        for (id, book) in &self.books {
            let row = self.rows.orders.get(id).and_then(Option::as_ref);
            let over = row.is_some_and(|row| matches!(row.state, State::Payed | State::Fail));
            let as_rated = !book.decided && book.debt == 0 && book.charged <= book.prepaid;
            if book.source != Source::HeadOffice || !over || !as_rated {
                continue;
            }
            let costs = [Some(book.charged), book.least].into_iter().flatten();
            if costs.map(|cost| book.prepaid - cost).all(|back| book.returned != back) {
                return Err(format!(
                    "order {id} had {} and cost {}, and {} went back",
                    book.prepaid, book.charged, book.returned
                ));
            }
        }
        Ok(())
    }
}

impl Book {
    /// It was settled for now, by an estimate.
    pub(super) fn is_estimated(&mut self) {
        self.estimated = Some(self.charged);
        self.settles();
    }

    /// It was settled at what is charged now.
    pub(super) fn settles(&mut self) {
        self.least = Some(self.least.map_or(self.charged, |least| least.min(self.charged)));
    }
}

//! Head office has the station do something: each directive once, in order, whole, in one step that ends with
//! [`Fact::DirectiveTaken`]. What the station cannot do is refused there, with the reason, so that the next one is never held up.

use super::{Answer, Decision, Handled, Place, Rejected, Told, Turn, leases::HEAD_OFFICE, quarantine::Closing};
use crate::{
    correction::{Approval, BILL_VERSIONS_MAX, are_two_people},
    fact::{Fact, PaidFrom},
    head_office::{
        Directive, DirectiveNo, HQ_KEYS_MAX, HqEpoch, HqKey, LeasedBy, RefusedDirective, VoucherRef, voucher_receipt,
    },
    ids::{MemberId, OrderId, Outlet},
    notice::Notice,
    order::{self, Source, State, Step},
    planted::{Bug, is_planted},
    settlement::Split,
    time::Wall,
    units::Fen,
};

/// So long after a card was held to a pile nobody waits there any more, in milliseconds.
pub const WISH_MS: u64 = 120_000;

impl Turn<'_> {
    /// Head office follows this branch of the journal, and is in this life. What is of another one counts for nothing from now
    /// on, and leases that were frozen can be spent (rules 4 and 7 of the line).
    pub(super) fn head_office_seen(&mut self, hq_epoch: HqEpoch) -> Handled {
        let row = &self.site.rows.head_office;
        if row.hq_epoch != Some(hq_epoch) || row.alone_since.is_some() {
            self.journal(Fact::HeadOfficeSeen { hq_epoch });
        }
        Ok(Answer::Done)
    }

    /// Takes a directive. Taken again it changes nothing.
    pub(super) fn directive(&mut self, told: Told) -> Handled {
        let Told {
            directive: no,
            sha256,
            content,
            at_most,
        } = told;
        let row = &self.site.rows.head_office;
        if row.hq_epoch != Some(no.hq_epoch) {
            return Err(Rejected::OtherHqEpoch);
        }
        let taken = row.taken(no.row);
        if no.n == taken.n && sha256 != taken.sha256 {
            return Err(Rejected::OtherDirective(no));
        }
        if no.n <= taken.n && !(is_planted(Bug::DirectiveTwice) && no.n == taken.n) {
            return Ok(Answer::Done);
        }
        if no.n > taken.n + 1 {
            return Err(Rejected::DirectiveOutOfOrder {
                row: no.row,
                expected: taken.n + 1,
            });
        }
        let before = self.outcome.facts.len();
        let done = match content {
            Ok(directive) => self.do_as_told(no, directive, at_most),
            Err(why) => Err(Rejected::UnreadableDirective(why)),
        };
        let (answer, refused) = match done {
            Ok(answer) => (answer, None),
            Err(why) => {
                assert_eq!(
                    self.outcome.facts.len(),
                    before,
                    "a refusal comes before the first fact: {why}"
                );
                let (code, detail) = (why.code().to_owned(), why.to_string());
                (Answer::Done, Some(RefusedDirective { code, detail }))
            }
        };
        self.journal(Fact::DirectiveTaken {
            directive: no,
            sha256,
            refused,
        });
        Ok(answer)
    }

    /// Does it, or says why not before the first fact.
    fn do_as_told(&mut self, no: DirectiveNo, directive: Directive, at_most: Option<Wall>) -> Handled {
        match directive {
            Directive::Lease {
                member,
                name,
                amount,
                voucher,
            } => self.lease(no, &member, &name, amount, voucher.as_ref()),
            Directive::Recall { member, up_to } => self.recall(no, member, up_to),
            Directive::Start {
                order,
                member,
                name,
                outlet,
                prepay,
                until,
                expires_at,
                wished,
            } => {
                self.check_in_time(expires_at, at_most)?;
                self.check_wish(wished, &outlet)?;
                let place = Place {
                    member,
                    outlet,
                    prepay: Some(prepay),
                    until,
                };
                self.start(no, order, &name, place, prepay)
            }
            Directive::Stop { order, by } => self.stop(&order, by),
            Directive::DebtPaid { order, amount, receipt } => self.debt_paid(no, &order, amount, receipt),
            Directive::Review { .. } | Directive::Correct { .. } => self.decide_as_told(no, directive),
            Directive::Quarantine {
                item,
                bill_to,
                despite,
                reason,
                by,
            } => self.close_quarantine(
                item,
                Closing {
                    bill_to,
                    despite,
                    typed: None,
                    reason,
                    by,
                },
            ),
            Directive::RefundMark {
                order,
                amount,
                reference,
            } => self.mark_refund(&order, amount, reference),
            Directive::Member { .. }
            | Directive::Block { .. }
            | Directive::Owes { .. }
            | Directive::Card { .. }
            | Directive::Maintenance { .. }
            | Directive::Tariff { .. } => self.master_data(directive),
            Directive::Key { key, ends } => self.set_head_offices_key(key, ends),
        }
    }

    /// What head office keeps of members, cards, piles and prices, and the site is told.
    fn master_data(&mut self, directive: Directive) -> Handled {
        match directive {
            Directive::Member { member, name, adopt } => {
                if !adopt {
                    self.check_head_offices(&member)?;
                }
                self.know_head_offices(&member, &name);
                Ok(Answer::Done)
            }
            Directive::Block { member, reason, by } => self.block_as_told(member, reason, by),
            Directive::Owes { member, amount } => self.owes(member, amount),
            Directive::Card {
                card,
                member: Some(member),
                by,
            } => {
                self.check_head_offices(&member)?;
                self.hand_card(card, member, by)
            }
            Directive::Card { card, member: None, by } => self.take_card(card, by),
            Directive::Maintenance { pile, reason, by } => self.set_maintenance(pile, reason, by),
            Directive::Tariff { tariff, by } => self.add_tariff(*tariff, by),
            other => unreachable!("do_as_told() sends only master data: {other:?}"),
        }
    }

    /// A new key of head office's counts beside the old one, which ends by a later directive: by then head office signs nothing
    /// with it any more (rule 11). There is always one that does not end.
    fn set_head_offices_key(&mut self, key: HqKey, ends: Option<Wall>) -> Handled {
        let keys = &self.site.rows.head_office.keys;
        match (keys.get(&key), ends) {
            (Some(known), _) if *known == ends => return Ok(Answer::Done),
            // What has come to an end does not begin again, nor end later.
            (Some(Some(_)), _) => return Err(Rejected::KeyEnds(key)),
            (None, _) if keys.len() >= HQ_KEYS_MAX => return Err(Rejected::TooManyKeys),
            (_, Some(_)) if !keys.iter().any(|(other, ends)| *other != key && ends.is_none()) => {
                return Err(Rejected::LastKey(key));
            }
            _ => {}
        }
        self.journal(Fact::HeadOfficeKeySet { key, ends });
        Ok(Answer::Done)
    }

    fn lease(
        &mut self,
        no: DirectiveNo,
        member: &MemberId,
        name: &str,
        amount: Fen,
        voucher: Option<&VoucherRef>,
    ) -> Handled {
        self.check_positive(amount)?;
        self.check_head_offices(member)?;
        let by = match voucher {
            None => LeasedBy::Directive(no),
            Some(VoucherRef { id, expires_at }) => {
                let taken = self.site.rows.receipts.get(&voucher_receipt(id));
                if taken.is_some_and(Option::is_some) {
                    return Ok(Answer::Done);
                }
                self.check_voucher_open(*expires_at)?;
                let (id, hq_epoch) = (id.clone(), no.hq_epoch);
                LeasedBy::Voucher { id, hq_epoch }
            }
        };
        self.receive_lease(member, name, amount, by);
        Ok(Answer::Done)
    }

    fn receive_lease(&mut self, member: &MemberId, name: &str, amount: Fen, by: LeasedBy) {
        self.know_head_offices(member, name);
        self.journal(Fact::LeaseReceived {
            member: member.clone(),
            amount,
            by,
        });
    }

    /// What is not reserved goes back, at most so much. What of it was frozen as well: head office has said who owns it.
    fn recall(&mut self, no: DirectiveNo, member: MemberId, up_to: Fen) -> Handled {
        self.check_positive(up_to)?;
        self.check_head_offices(&member)?;
        let amount = up_to.min(self.site.rows.ledger.allowance(&member));
        if amount > Fen::ZERO {
            self.journal(Fact::LeaseReturned {
                member,
                amount,
                order: None,
                directive: Some(no),
            });
        }
        Ok(Answer::Done)
    }

    /// By head office's clock, with all that may be wrong with what is known of it here.
    fn check_in_time(&self, expires_at: Wall, at_most: Option<Wall>) -> Result<(), Rejected> {
        let at_most = at_most.ok_or(Rejected::NoTime)?;
        match at_most >= expires_at && !is_planted(Bug::LateStartTaken) {
            true => Err(Rejected::Expired { expires_at, at_most }),
            false => Ok(()),
        }
    }

    /// What a card wished for counts while it was held nowhere else since, nobody has ordered there, and whoever held it may
    /// still stand there: by the station's own elapsed time, as its clock may be hours off.
    fn check_wish(&self, wished: Option<u64>, outlet: &Outlet) -> Result<(), Rejected> {
        let Some(seq) = wished else { return Ok(()) };
        let wish = self.site.rows.connector(outlet).and_then(|row| row.wished.as_ref());
        match wish {
            Some(wish) if wish.seq == seq && self.now.mono < wish.at.after_ms(WISH_MS) => Ok(()),
            _ => Err(Rejected::WishOver),
        }
    }

    /// Leases, places and reserves in one step (rule 1 of the line: no acknowledgement falls between).
    fn start(&mut self, no: DirectiveNo, order: OrderId, name: &str, place: Place, prepay: Fen) -> Handled {
        if let Some(known) = self.order(&order) {
            return Err(super::settle::illegal(&order, known.state, Step::Place));
        }
        let member = place.member.clone();
        self.check_head_offices(&member)?;
        let placing = self.may_place(place, prepay)?;
        self.receive_lease(&member, name, prepay, LeasedBy::Directive(no));
        self.put(placing, order.clone(), Source::HeadOffice);
        Ok(Answer::Order(order))
    }

    /// A wallet pays what an order still owes; what it does not owe any more is head office's to take back.
    fn debt_paid(&mut self, no: DirectiveNo, id: &OrderId, amount: Fen, receipt: String) -> Handled {
        self.check_positive(amount)?;
        let order = self.known_order(id)?;
        self.check_head_offices(&order.member)?;
        let amount = amount.min(order.paid.debt);
        if amount == Fen::ZERO {
            return Ok(Answer::Order(id.clone()));
        }
        self.journal(Fact::DebtPaid {
            member: order.member.clone(),
            order: id.clone(),
            amount,
            from: PaidFrom::HeadOffice,
            receipt,
            by: HEAD_OFFICE.to_owned(),
            directive: Some(no),
        });
        let order = self.known_order(id)?;
        if order.paid.debt == Fen::ZERO {
            self.notify(&order, Notice::debt_cleared());
        }
        self.seen(id);
        Ok(Answer::Order(id.clone()))
    }

    /// A decision that was made at head office, on the bill that was in force there: the station's first one stands.
    fn decide_as_told(&mut self, no: DirectiveNo, directive: Directive) -> Handled {
        match directive {
            Directive::Review {
                order,
                decision: Decision::AsIs,
                reason,
                by,
                ..
            } => self.decide(&order, Decision::AsIs, reason, by),
            Directive::Review {
                order,
                decision: Decision::Corrected { electricity, service },
                reason,
                by,
                second,
            } => {
                let known = self.known_order(&order)?;
                if known.state != State::Review {
                    return Err(super::settle::illegal(&order, known.state, Step::Covered));
                }
                self.set_bill(no, &order, Split { electricity, service }, reason, by, second)
            }
            Directive::Correct {
                order,
                version,
                electricity,
                service,
                reason,
                by,
                second,
            } => {
                let known = self.known_order(&order)?;
                if !matches!(known.state, State::Payed | State::Unpaid) {
                    let state = known.state;
                    return Err(Rejected::NotCorrectable { order, state });
                }
                if known.bills.len() != version {
                    let (found, meant) = (known.bills.len(), version);
                    return Err(Rejected::OtherBill { order, found, meant });
                }
                self.set_bill(no, &order, Split { electricity, service }, reason, by, second)
            }
            other => unreachable!("do_as_told() sends only decisions on bills: {other:?}"),
        }
    }

    /// Sets a bill, by one person or by two.
    fn set_bill(
        &mut self,
        no: DirectiveNo,
        id: &OrderId,
        bill: Split,
        reason: String,
        by: String,
        second: Option<String>,
    ) -> Handled {
        let order = self.known_order(id)?;
        self.check_bill(bill, &reason)?;
        if order.bills.len() >= BILL_VERSIONS_MAX {
            return Err(Rejected::TooManyBills(id.clone()));
        }
        if let Some(differs) = self.beyond_one_person(&order, bill) {
            let above = self.policy().second_person_above;
            if second.as_ref().is_none_or(|second| !are_two_people(&by, second)) {
                let order = id.clone();
                return Err(Rejected::SecondPersonNeeded {
                    order,
                    differs,
                    above,
                    by,
                });
            }
        }
        let approval = second.map(|by| Approval { proposal: no.n, by });
        self.correct(id, bill, reason, by, approval);
        Ok(Answer::Order(id.clone()))
    }

    /// Head office gives money back for an order: it counts in what can be given back, and the driver is told once.
    fn mark_refund(&mut self, id: &OrderId, amount: Fen, reference: String) -> Handled {
        let order = self.known_order(id)?;
        self.check_positive(amount)?;
        if order.refund_marks.contains(&reference) {
            return Ok(Answer::Order(id.clone()));
        }
        if order::next(Some(order.state), Step::RefundMark).is_err() {
            return Err(super::settle::illegal(id, order.state, Step::RefundMark));
        }
        let most = order.paid.refundable();
        if amount > most {
            return Err(Rejected::TooMuch { amount, most });
        }
        self.journal(Fact::RefundMarked {
            order: id.clone(),
            amount,
            reference,
        });
        self.notify(&order, Notice::refunded(amount));
        self.seen(id);
        Ok(Answer::Order(id.clone()))
    }

    fn block_as_told(&mut self, member: MemberId, reason: Option<String>, by: String) -> Handled {
        let known = self.site.rows.member(&member);
        let known = known.ok_or_else(|| Rejected::UnknownMember(member.clone()))?;
        self.check_head_offices(&member)?;
        if known.blocked_by_head_office != reason {
            self.journal(Fact::MemberBlocked {
                member,
                reason,
                by,
                head_office: true,
            });
        }
        Ok(Answer::Done)
    }

    fn owes(&mut self, member: MemberId, amount: Fen) -> Handled {
        let known = self.site.rows.member(&member);
        let known = known.ok_or_else(|| Rejected::UnknownMember(member.clone()))?;
        self.check_head_offices(&member)?;
        if amount.is_negative() {
            return Err(Rejected::NotPositive(amount));
        }
        self.check_amount_size(amount)?;
        if known.owes != amount {
            self.journal(Fact::MemberOwes {
                member,
                amount,
                receipt: None,
                by: HEAD_OFFICE.to_owned(),
            });
        }
        Ok(Answer::Done)
    }
}

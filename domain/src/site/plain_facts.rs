//! What a station makes sure of before it journals a fact, checked again on the fact itself by whoever follows its journal.
//! What taking it in finds by itself stands where it is taken in; this is the rest.

use super::Rows;
use crate::{
    contradiction::Contradicts,
    desk::CashMoved,
    energy::EnergyReport,
    fact::Fact,
    head_office::{DirectiveNo, HQ_KEYS_MAX, HqKey},
    ids::{MemberId, OrderId, Outlet, PileId, TariffId},
    journal::Stamp,
    ledger::{LedgerError, Transfer},
    order::Order,
    settlement::Payment,
    time::Wall,
    units::{Fen, UNITS_MAX},
};

type Checked = Result<(), Contradicts>;

/// Whether an entry may stand after another.
pub(super) fn check_place(last: Stamp, stamp: Stamp) -> Checked {
    let expected = last.seq.saturating_add(1);
    if stamp.seq != expected {
        Err(Contradicts::OutOfPlace { expected })
    } else if stamp.mono < last.mono {
        Err(Contradicts::BackInTime { before: last.mono })
    } else {
        in_range(Wall::RANGE.contains(&stamp.at), "its time")
    }
}

fn in_range(is_in_range: bool, what: &'static str) -> Checked {
    is_in_range.then_some(()).ok_or(Contradicts::OutOfRange(what))
}

/// Whether it can be written down and read again, either way.
fn is_readable(amount: Fen) -> bool {
    (-UNITS_MAX..=UNITS_MAX).contains(&amount.0)
}

fn is_amount(amount: Fen) -> bool {
    (0..=UNITS_MAX).contains(&amount.0)
}

fn positive(amount: Fen) -> Checked {
    match amount > Fen::ZERO {
        true => Ok(()),
        false => Err(LedgerError::NotPositive(amount).into()),
    }
}

/// More than nothing, and no more than there is.
fn up_to(amount: Fen, most: Fen) -> Checked {
    positive(amount)?;
    match amount <= most {
        true => Ok(()),
        false => Err(Contradicts::TooMuch { amount, most }),
    }
}

fn check_bill(electricity: Fen, service: Fen) -> Checked {
    let parts = [electricity, service, electricity + service];
    in_range(parts.into_iter().all(is_amount), "the bill")
}

fn check_payment(payment: &Payment) -> Checked {
    let parts = [payment.from_hold, payment.from_allowance, payment.on_debt, payment.back];
    let parts = parts.into_iter().flat_map(|part| [part.electricity, part.service]);
    let sums = [payment.debt_cut, payment.refund, payment.release];
    let is_in_range = parts.chain(sums).all(is_amount) && is_readable(payment.regrouped);
    in_range(is_in_range, "the payment")
}

impl Rows {
    /// What must be so before a fact is taken in.
    pub(super) fn check_before(&self, fact: &Fact) -> Checked {
        match fact {
            Fact::CardBound { member, .. } => self.checked_member(member),
            Fact::CardUnbound { card, .. } => match self.card(card) {
                Some(_) => Ok(()),
                None => Err(Contradicts::UnknownCard(card.clone())),
            },
            Fact::TariffAdded { tariff, .. } => match self.tariffs.contains_key(&tariff.spec().id) {
                true => Err(Contradicts::TariffExists(tariff.spec().id.clone())),
                false => Ok(()),
            },
            Fact::ToppedUp { member, amount, .. } => {
                positive(*amount)?;
                self.checked_member(member)
            }
            Fact::TopUpReversed {
                member,
                receipt,
                amount,
                missing,
                ..
            } => {
                positive(*amount + *missing)?;
                let used = self.receipts.get(receipt).and_then(Option::as_ref);
                match used.is_none_or(|used| used.member == *member) {
                    true => self.checked_member(member),
                    false => Err(Contradicts::OtherMember(member.clone())),
                }
            }
            Fact::OrderPlaced {
                outlet, member, tariff, ..
            } => {
                self.checked_member(member)?;
                self.checked_pile(&outlet.pile)?;
                self.checked_tariff(tariff)
            }
            Fact::OrderRepinned { tariff, .. } => self.checked_tariff(tariff),
            Fact::OrderTimesMoved { order, by_ms } => check_moved_times(self.checked_order(order)?, *by_ms),
            Fact::RegisterGapFound { order, outlet, .. } | Fact::EnergyDiffers { order, outlet, .. } => {
                match self.checked_order(order)?.outlet == *outlet {
                    true => Ok(()),
                    false => Err(other_outlet(order, outlet)),
                }
            }
            Fact::EnergyReported { report } => self.check_report(report),
            _ => self.check_money(fact),
        }
    }

    /// The same of facts by which an order is billed and paid, and of the till.
    fn check_money(&self, fact: &Fact) -> Checked {
        match fact {
            Fact::OrderRated { bill, .. } => {
                self.checked_tariff(&bill.tariff)?;
                check_bill(bill.electricity, bill.service)
            }
            Fact::BillCorrected {
                electricity, service, ..
            }
            | Fact::CorrectionProposed {
                electricity, service, ..
            } => check_bill(*electricity, *service),
            Fact::OrderEstimated { payment, .. } | Fact::OrderSettled { payment, .. } => check_payment(payment),
            Fact::DebtPaid {
                member, order, amount, ..
            } => {
                let of = self.checked_order(order)?;
                match of.member == *member {
                    true => up_to(*amount, of.paid.debt),
                    false => Err(Contradicts::OtherMember(member.clone())),
                }
            }
            Fact::Refunded { order, amount, .. } | Fact::RefundMarked { order, amount, .. } => {
                up_to(*amount, self.checked_order(order)?.paid.refundable())
            }
            Fact::LeaseReceived { member, amount, .. } => {
                positive(*amount)?;
                self.checked_member(member)
            }
            Fact::LeaseReturned {
                member, amount, order, ..
            } => {
                self.checked_member(member)?;
                let Some(order) = order else { return positive(*amount) };
                let of = self.checked_order(order)?;
                match of.member == *member {
                    true => up_to(*amount, of.leased),
                    false => Err(Contradicts::OtherMember(member.clone())),
                }
            }
            Fact::MemberOwes { member, amount, .. } => {
                in_range(is_amount(*amount), "what a member owes")?;
                self.checked_member(member)
            }
            Fact::DirectiveTaken { directive, .. } => self.check_directive(*directive),
            Fact::VouchersClosed { until } => in_range(Wall::RANGE.contains(until), "the end of vouchers"),
            Fact::HeadOfficeKeySet { key, ends } => self.check_key(key, *ends),
            Fact::CashBanked { amount, .. } => positive(*amount),
            Fact::ShiftOpened { till, .. } => self.checked_till(*till),
            Fact::CashCounted {
                counted,
                by_books,
                difference,
                ..
            } => {
                self.checked_till(*by_books)?;
                self.checked_till(*counted - *difference)
            }
            Fact::ShiftClosed { shift, till, .. } => {
                self.checked_till(*till)?;
                match self.desk.shift == Some(*shift) {
                    true => Ok(()),
                    false => Err(Contradicts::ShiftNotOpen(*shift)),
                }
            }
            _ => Ok(()),
        }
    }

    /// What must be so after it has been taken in, and made these transfers: every sum can be written and read again.
    pub(super) fn check_after(&self, fact: &Fact, transfers: &[Transfer]) -> Checked {
        let accounts = transfers
            .iter()
            .flat_map(|transfer| [&transfer.debit, &transfer.credit]);
        for account in accounts {
            in_range(is_readable(self.ledger.balance(account)), "the balance of an account")?;
        }
        if transfers.is_empty() {
            return Ok(());
        }
        if let Some(order) = fact.order().and_then(|order| self.order(order)) {
            in_range(has_readable_money(order), "the money of the order")?;
        }
        let used = match fact {
            Fact::DebtPaid { receipt, .. } => self.receipts.get(receipt).and_then(Option::as_ref),
            _ => None,
        };
        in_range(used.is_none_or(|used| is_amount(used.amount)), "the receipt")?;
        let days = self.desk_day().map(|day| (day.moved, day.closing()));
        let shifts = self.open_shift().map(|shift| (shift.moved, shift.till()));
        let mut moved = days.into_iter().chain(shifts);
        in_range(
            moved.all(|(moved, till)| is_readable(till) && has_readable_sums(moved)),
            "what the till moved",
        )
    }

    /// Directives are taken in order, of the life of head office that was seen last.
    fn check_directive(&self, DirectiveNo { hq_epoch, row, n }: DirectiveNo) -> Checked {
        let expected = self.head_office.taken(row).n.saturating_add(1);
        match self.head_office.hq_epoch == Some(hq_epoch) && n == expected {
            true => Ok(()),
            false => Err(Contradicts::DirectiveOutOfPlace { row, expected }),
        }
    }

    /// A key is another one, or ends; there is room for it.
    fn check_key(&self, key: &HqKey, ends: Option<Wall>) -> Checked {
        in_range(ends.is_none_or(|ends| Wall::RANGE.contains(&ends)), "the end of a key")?;
        let keys = &self.head_office.keys;
        in_range(keys.contains_key(key) || keys.len() < HQ_KEYS_MAX, "the number of keys")
    }

    /// A report is of a day that has none, and of piles that are known.
    fn check_report(&self, report: &EnergyReport) -> Checked {
        if self.energy.reported.contains(&report.day) {
            return Err(Contradicts::DayReported(report.day));
        }
        let connectors = report.connectors.iter().map(|one| &one.outlet.pile);
        let late = report.adjustments.iter().map(|one| &one.outlet.pile);
        let mut piles = connectors.chain(late).chain(&report.abnormal);
        piles.try_for_each(|pile| self.checked_pile(pile))
    }

    fn checked_order(&self, id: &OrderId) -> Result<&Order, Contradicts> {
        self.order(id).ok_or_else(|| Contradicts::UnknownOrder(id.clone()))
    }

    fn checked_member(&self, id: &MemberId) -> Checked {
        match self.member(id) {
            Some(_) => Ok(()),
            None => Err(Contradicts::UnknownMember(id.clone())),
        }
    }

    fn checked_pile(&self, id: &PileId) -> Checked {
        match self.piles.contains_key(id) {
            true => Ok(()),
            false => Err(Contradicts::UnknownPile(id.clone())),
        }
    }

    fn checked_tariff(&self, id: &TariffId) -> Checked {
        match self.tariffs.contains_key(id) {
            true => Ok(()),
            false => Err(Contradicts::UnknownTariff(id.clone())),
        }
    }

    fn checked_till(&self, said: Fen) -> Checked {
        let known = self.till();
        match said == known {
            true => Ok(()),
            false => Err(Contradicts::Till { said, known }),
        }
    }
}

fn other_outlet(order: &OrderId, outlet: &Outlet) -> Contradicts {
    Contradicts::OtherOutlet {
        order: order.clone(),
        outlet: outlet.clone(),
    }
}

/// A session's times stay what a clock can show.
fn check_moved_times(order: &Order, by_ms: i64) -> Checked {
    let began = order.started.as_ref().map(|started| started.at);
    let own = [Some(order.placed_at), began].into_iter().flatten();
    let moved = own.map(|at| at.after_ms(by_ms));
    let rated = order.ending.as_ref().map(|ending| [ending.start.at, ending.stop.at]);
    let rated = rated.into_iter().flatten().map(|at| at.after_ms(order.rated_moved_ms));
    let mut all = moved.chain(rated);
    in_range(all.all(|at| Wall::RANGE.contains(&at)), "a time of the order")
}

fn has_readable_money(order: &Order) -> bool {
    let (hold, paid) = (order.hold, order.paid);
    let of_hold = [hold.taken, hold.captured, hold.released, hold.remaining()];
    let of_bill = [paid.electricity, paid.service, paid.charged(), paid.rebated];
    let rest = [paid.debt, paid.refunded];
    of_hold.into_iter().chain(of_bill).chain(rest).all(is_amount)
}

fn has_readable_sums(moved: CashMoved) -> bool {
    let CashMoved {
        topped_up,
        debts_paid,
        reversed,
        banked,
        over,
    } = moved;
    [topped_up, debts_paid, reversed, banked].into_iter().all(is_amount) && is_readable(over)
}

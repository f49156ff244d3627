//! What each fact makes of the rows: every row that a fact concerns takes it in by itself, and money moves by one table.
//! [`Rows::apply`] is the only way the rows of a running station change.

use super::{Changes, Rows};
use crate::{
    card::Holding,
    contradiction::Contradicts,
    desk::{CashMoved, DeskDay, Shift},
    fact::{Fact, PaidFrom, QuarantineOutcome, ReceiptFor, ReceiptUse, Reversal, SlipUse},
    head_office::{LeasedBy, voucher_receipt},
    ids::{CardId, ConnectorNo, MemberId, OrderId, Outlet, PileId},
    journal::Stamp,
    ledger::Hold,
    member::{Leased, Member},
    order::{Order, State},
    pile::{Connector, Pile},
    planted::{Bug, is_planted},
    postings::postings,
    quarantine::QuarantineItem,
    units::Fen,
};
use std::collections::BTreeSet;

/// One fact being taken in: the rows, which of them have changed, and where the fact stands in the journal.
pub(super) struct Books<'a> {
    pub(super) rows: &'a mut Rows,
    pub(super) changes: &'a mut Changes,
    pub(super) stamp: Stamp,
}

impl Rows {
    /// Takes one fact into account.
    ///
    /// # Panics
    /// If the fact contradicts the rows: it was not decided by [`super::Site::handle`] on these rows, and going on would
    /// falsify the books.
    pub fn apply(&mut self, stamp: Stamp, fact: &Fact, changes: &mut Changes) {
        self.take_in(stamp, fact, changes)
            .unwrap_or_else(|why| panic!("what is decided on these rows fits them: entry {}: {why}", stamp.seq));
    }

    /// Takes one fact into account.
    ///
    /// # Errors
    /// The fact contradicts the rows. They have taken in a part of it, and are not to be used any more.
    pub(super) fn take_in(&mut self, stamp: Stamp, fact: &Fact, changes: &mut Changes) -> Result<(), Contradicts> {
        let mut books = Books {
            rows: self,
            changes,
            stamp,
        };
        // What a hold was before the fact decides what a failed order gives back.
        let payer = books.payer(fact);
        books.changes.clock |= books.rows.clock.apply(stamp, fact);
        books.changes.head_office |= books.rows.head_office.apply(stamp, fact);
        books.apply_to_masters(fact)?;
        books.apply_to_pile(fact)?;
        books.apply_to_orders(fact)?;
        books.apply_to_quarantine(fact)?;
        books.apply_to_desk(fact)?;
        let (member, hold) = payer.unzip();
        books.post(fact, member.as_ref(), hold.flatten())?;
        books.apply_to_energy(fact)?;
        books.list(fact)
    }
}

impl Books<'_> {
    /// Whose money the fact moves, if any, with the hold of its order as it is before the fact.
    fn payer(&self, fact: &Fact) -> Option<(MemberId, Option<Hold>)> {
        match fact {
            Fact::ToppedUp { member, .. }
            | Fact::TopUpReversed { member, .. }
            | Fact::LeaseReceived { member, .. }
            | Fact::LeaseReturned { member, .. } => Some((member.clone(), None)),
            Fact::OrderPlaced { .. } => None,
            _ => {
                let order = self.rows.order(fact.order()?)?;
                Some((order.member.clone(), Some(order.hold)))
            }
        }
    }

    /// Members, cards, tariffs, receipts, days: what people set up and what the calendar brings.
    fn apply_to_masters(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        match fact {
            Fact::MemberRegistered { member, name, .. } => {
                let row = self.rows.members.entry(member.clone()).or_default();
                row.get_or_insert_with(|| Member::new(member.clone(), name.clone()));
                self.tell_member(member, fact)?;
            }
            Fact::MemberBlocked { member, .. } | Fact::MemberOwes { member, .. } => self.tell_member(member, fact)?,
            Fact::LeaseReceived { member, amount, by } => {
                if let LeasedBy::Voucher { id, .. } = by {
                    self.note_receipt(&voucher_receipt(id), member, *amount, ReceiptFor::Lease)?;
                }
                self.tell_member(member, fact)?;
            }
            Fact::LeaseReturned { member, .. } => self.tell_member(member, fact)?,
            Fact::CardBound { card, member, .. } => self.pass_on(card, Some(member)),
            Fact::CardUnbound { card, .. } => self.pass_on(card, None),
            Fact::TariffAdded { tariff, .. } => {
                let id = &tariff.spec().id;
                self.changes.tariffs.insert(id.clone());
                self.rows.tariffs.insert(id.clone(), tariff.clone());
            }
            Fact::ToppedUp {
                member,
                amount,
                receipt,
                ..
            } => {
                self.note_receipt(receipt, member, *amount, ReceiptFor::TopUp)?;
                if self
                    .rows
                    .member(member)
                    .is_some_and(|row| row.leased != Leased::default())
                {
                    self.tell_member(member, fact)?;
                }
            }
            Fact::DebtPaid {
                from: PaidFrom::Cash,
                amount,
                receipt,
                member,
                ..
            } => self.note_receipt(receipt, member, *amount, ReceiptFor::Debt)?,
            Fact::TopUpReversed {
                receipt,
                amount,
                missing,
                reason,
                ..
            } => self.note_reversal(receipt, *amount + *missing, reason)?,
            Fact::DayBegan { day } => {
                self.changes.day_began = true;
                self.rows.energy.begin(*day);
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_to_pile(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        if let Fact::ClockStepped { .. } = fact {
            // What was measured against the station's clock moves along.
            let measured = self.rows.piles.values().filter(|pile| !pile.clocks.boots().is_empty());
            let measured: Vec<PileId> = measured.map(|pile| pile.id.clone()).collect();
            let stamp = self.stamp;
            for pile in measured {
                self.pile_mut(&pile)?.apply(stamp, fact, &BTreeSet::new());
            }
            return Ok(());
        }
        let Some(id) = fact.pile() else { return Ok(()) };
        if let Fact::PileProvisioned { pile, .. } = fact {
            let row = self.rows.piles.entry(pile.clone());
            row.or_insert_with(|| Pile::new(pile.clone()));
        }
        let busy: BTreeSet<ConnectorNo> = match fact {
            Fact::PileBooted { .. } => {
                let here = self.rows.orders().filter(|order| order.outlet.pile == *id);
                let busy = here.filter(|order| order.state.occupies_connector());
                busy.map(|order| order.outlet.connector).collect()
            }
            _ => BTreeSet::new(),
        };
        if let Fact::RegisterRolledBack { outlet, rollback } = fact {
            self.close_book(outlet, rollback.known)?;
        }
        if let Fact::RegisterReturned { outlet, .. } = fact {
            self.leave_book(outlet)?;
        }
        let stamp = self.stamp;
        if let Fact::StartWished { card, .. } = fact {
            self.forget_wishes_of(card);
        }
        self.pile_mut(id)?.apply(stamp, fact, &busy);
        Ok(())
    }

    /// A card wishes for one start: where it was held to a pile last.
    fn forget_wishes_of(&mut self, card: &CardId) {
        for (id, pile) in &mut self.rows.piles {
            let wished = |connector: &Connector| connector.wished.as_ref().is_some_and(|wish| wish.card == *card);
            if let Some((connector, _)) = pile.connectors.iter().find(|(_, connector)| wished(connector)) {
                let connector = *connector;
                self.changes.piles.insert(id.clone());
                pile.connector_mut(connector).wished = None;
            }
        }
    }

    fn apply_to_orders(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        let stamp = self.stamp;
        match fact {
            Fact::OrderPlaced { order, outlet, .. } => {
                self.changes.orders.insert(order.clone());
                let in_doubt = self.rows.clock.doubt.is_some();
                let placed = Order::placed(stamp, fact, self.rows.connector(outlet), in_doubt);
                let before = self.rows.orders.insert(order.clone(), Some(placed));
                if !matches!(before, None | Some(None)) {
                    return Err(Contradicts::OrderExists(order.clone()));
                }
                if self
                    .rows
                    .connector(outlet)
                    .is_some_and(|connector| connector.wished.is_some())
                {
                    self.pile_mut(&outlet.pile)?.connector_mut(outlet.connector).wished = None;
                }
            }
            Fact::ClockStepped { .. } | Fact::ClockDoubted { .. } | Fact::ClockBelieved { .. } => {
                // What waits for a person has been rated, and by a clock that was right for all that was known.
                let over = |order: &&Order| order.state == State::Review && !order.placed_in_doubt;
                let running = self.rows.orders().filter(|order| order.state.is_open() && !over(order));
                let running: Vec<OrderId> = running.map(|order| order.id.clone()).collect();
                for order in running {
                    self.order_mut(&order)?.apply(stamp, fact, None)?;
                }
            }
            Fact::RegisterCorrected { outlet, .. } => self.follow_register(outlet)?,
            Fact::RegisterReturned { outlet, .. } => self.follow_register(outlet)?,
            Fact::MeterCleared { pile, registers, .. } => {
                for (connector, _) in registers {
                    let (pile, connector) = (pile.clone(), *connector);
                    self.follow_register(&Outlet { pile, connector })?;
                }
            }
            // The item may name an order that is not known here.
            Fact::Quarantined { order: Some(id), .. } => self.apply_to_known_order(id, fact)?,
            Fact::QuarantineClosed { outcome, order, .. } => {
                let billed = match outcome {
                    QuarantineOutcome::Billed { order } => Some(order),
                    QuarantineOutcome::Dismissed => None,
                };
                let about = order.iter().filter(|about| Some(*about) != billed);
                for id in about.chain(billed) {
                    self.apply_to_known_order(id, fact)?;
                }
            }
            // They say of an order what its row does not hold.
            Fact::Quarantined { .. } | Fact::Notified { .. } | Fact::RatingDiffers { .. } => {}
            Fact::RegisterGapFound { .. } | Fact::EnergyDiffers { .. } => {}
            _ => {
                let Some(id) = fact.order() else { return Ok(()) };
                self.changes.orders.insert(id.clone());
                let order = self.rows.orders.get(id).and_then(Option::as_ref);
                let at = order.map(|order| self.rows.connector(&order.outlet));
                let at = at.ok_or_else(|| Contradicts::UnknownOrder(id.clone()))?.cloned();
                self.order_mut(id)?.apply(stamp, fact, at.as_ref())?;
            }
        }
        Ok(())
    }

    /// The order that runs there goes by where the register is now, and by the meter that is there where the one it began
    /// with was none.
    fn follow_register(&mut self, outlet: &Outlet) -> Result<(), Contradicts> {
        let Some(connector) = self.rows.connector(outlet).cloned() else {
            return Ok(());
        };
        let here = |order: &&Order| order.outlet == *outlet && order.state.occupies_connector();
        let running: Vec<OrderId> = self.rows.orders().filter(here).map(|order| order.id.clone()).collect();
        for id in running {
            let order = self.order_mut(&id)?;
            let given_up = connector.was_none(order.meter);
            order.follow_register(&connector, given_up);
        }
        Ok(())
    }

    fn apply_to_known_order(&mut self, id: &OrderId, fact: &Fact) -> Result<(), Contradicts> {
        let stamp = self.stamp;
        if self.rows.order(id).is_some() {
            self.order_mut(id)?.apply(stamp, fact, None)?;
        }
        Ok(())
    }

    /// Before the fact's money moves: what of it came by lease follows from what was there.
    fn tell_member(&mut self, member: &MemberId, fact: &Fact) -> Result<(), Contradicts> {
        let (seq, alone_since) = (self.stamp.seq, self.rows.head_office.alone_since);
        let allowance = self.rows.ledger.allowance(member);
        self.member_mut(member)?.apply(seq, fact, allowance, alone_since);
        Ok(())
    }

    /// A card is this member's from now on, or nobody's.
    fn pass_on(&mut self, card: &CardId, member: Option<&MemberId>) {
        self.changes.cards.insert(card.clone());
        let row = self.rows.cards.entry(card.clone()).or_default();
        row.get_or_insert_default().pass_on(Holding {
            member: member.cloned(),
            since: self.stamp.at,
            mono: Some(self.stamp.mono),
        });
    }

    fn apply_to_quarantine(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        match fact {
            Fact::Quarantined {
                pile, digest, record, ..
            } => {
                let number = self.stamp.seq;
                self.changes.quarantine.insert(number);
                let before = self.rows.set_aside.insert((pile.clone(), digest.clone()), Some(number));
                if !matches!(before, None | Some(None)) {
                    return Err(Contradicts::PutAsideTwice(pile.clone()));
                }
                let meter = record.as_ref().and_then(|record| self.meter_of(pile, record));
                let certain = self.rows.clock.doubt.map(|doubt| doubt.certain);
                let item = QuarantineItem::put_aside(self.stamp, fact, meter, certain);
                let bytes = item.bytes();
                self.rows.quarantine.insert(number, Some(item));
                self.count_quarantined(pile, |count| count.saturating_add(bytes))?;
            }
            Fact::QuarantineClosed {
                item, outcome, typed, ..
            } => {
                self.changes.quarantine.insert(*item);
                let row = self.rows.quarantine.get_mut(item).and_then(Option::as_mut);
                let row = row.ok_or(Contradicts::UnknownItem(*item))?;
                row.close(outcome, typed.as_deref())?;
                let (pile, bytes) = (row.pile.clone(), row.bytes());
                // What was put aside before this was counted counts nothing.
                self.count_quarantined(&pile, |count| count.saturating_sub(bytes))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A pile that came with a certificate and was never provisioned has no row to count in.
    fn count_quarantined(&mut self, pile: &PileId, count: impl FnOnce(u64) -> u64) -> Result<(), Contradicts> {
        if self.rows.piles.contains_key(pile) {
            self.pile_mut(pile)?.count_quarantined(count);
        }
        Ok(())
    }

    /// Keeps a member's lists of open and unpaid orders right.
    fn list(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        let order = match fact {
            Fact::QuarantineClosed {
                outcome: QuarantineOutcome::Dismissed,
                ..
            }
            | Fact::Quarantined { .. }
            | Fact::Notified { .. } => None,
            _ => fact.order().and_then(|id| self.rows.order(id)),
        };
        let Some(order) = order else { return Ok(()) };
        let member = self.rows.member(&order.member);
        let member = member.ok_or_else(|| Contradicts::UnknownMember(order.member.clone()))?;
        if !member.lists_rightly(order) {
            let order = order.clone();
            self.member_mut(&order.member)?.list(&order);
        }
        Ok(())
    }

    /// One payment may clear the debts of several orders: its facts add up.
    fn note_receipt(
        &mut self,
        receipt: &str,
        member: &MemberId,
        amount: Fen,
        paid: ReceiptFor,
    ) -> Result<(), Contradicts> {
        if receipt.is_empty() {
            return Ok(());
        }
        self.changes.receipts.insert(receipt.to_owned());
        let row = self.rows.receipts.entry(receipt.to_owned()).or_default();
        let used = row.get_or_insert_with(|| ReceiptUse {
            member: member.clone(),
            amount: Fen::ZERO,
            paid,
            reversals: Vec::new(),
        });
        let is_free = paid == ReceiptFor::Debt || used.amount == Fen::ZERO;
        if used.member != *member || used.paid != paid || !is_free {
            return Err(Contradicts::ReceiptUsed(receipt.to_owned()));
        }
        used.amount += amount;
        Ok(())
    }

    fn note_reversal(&mut self, receipt: &str, amount: Fen, reason: &str) -> Result<(), Contradicts> {
        self.changes.receipts.insert(receipt.to_owned());
        let row = self.rows.receipts.get_mut(receipt).and_then(Option::as_mut);
        let used = row.ok_or_else(|| Contradicts::UnknownReceipt(receipt.to_owned()))?;
        used.reversals.push(Reversal {
            amount,
            reason: reason.to_owned(),
        });
        if used.paid != ReceiptFor::TopUp || used.left().is_negative() {
            return Err(Contradicts::OverReversed(receipt.to_owned()));
        }
        Ok(())
    }

    /// Shifts and days at the desk; called before the fact's money moves.
    fn apply_to_desk(&mut self, fact: &Fact) -> Result<(), Contradicts> {
        match fact {
            Fact::DayBegan { .. } if self.rows.desk.day.is_some() => {
                self.changes.desk = true;
                self.rows.desk.day = None;
            }
            Fact::ShiftOpened { .. } => {
                let number = self.stamp.seq;
                self.changes.desk = true;
                self.changes.shifts.insert(number);
                if let Some(open) = self.rows.desk.shift {
                    return Err(Contradicts::ShiftOpen(open));
                }
                self.rows.desk.shift = Some(number);
                self.rows.shifts.insert(number, Shift::opened(self.stamp, fact));
            }
            Fact::CashBanked { amount, slip, .. } => {
                let at = self.stamp.at;
                self.changes.slips.insert(slip.clone());
                let before = self
                    .rows
                    .slips
                    .insert(slip.clone(), Some(SlipUse { amount: *amount, at }));
                if !matches!(before, None | Some(None)) {
                    return Err(Contradicts::SlipUsed(slip.clone()));
                }
            }
            _ => {}
        }
        let moves_cash = CashMoved::by(fact).is_some();
        if moves_cash && let Some(days) = self.rows.energy.days {
            let (day, stamp, till) = (days.now, self.stamp, self.rows.till());
            let key = *self.rows.desk.day.get_or_insert_with(|| {
                self.changes.desk = true;
                (day, stamp.seq)
            });
            self.changes.desk_days.insert(key);
            let row = self.rows.desk_days.entry(key);
            row.or_insert_with(|| DeskDay::begin(day, stamp, till)).apply(fact);
        }
        let closes = matches!(fact, Fact::ShiftClosed { .. });
        if let Some(number) = self.rows.desk.shift.filter(|_| moves_cash || closes) {
            self.changes.shifts.insert(number);
            let shift = self.rows.shifts.get_mut(&number);
            let shift = shift.ok_or(Contradicts::ShiftNotOpen(number))?;
            shift.apply(self.stamp, fact)?;
        }
        if closes {
            self.changes.desk = true;
            self.rows.desk.shift = None;
        }
        Ok(())
    }

    fn post(&mut self, fact: &Fact, member: Option<&MemberId>, hold: Option<Hold>) -> Result<(), Contradicts> {
        if matches!(fact, Fact::OrderFailed { .. }) && is_planted(Bug::KeepHold) {
            return Ok(());
        }
        for transfer in postings(fact, member, hold, self.stamp.seq, self.stamp.at) {
            self.rows.ledger.post(&transfer)?;
            self.changes.accounts.insert(transfer.debit.clone());
            self.changes.accounts.insert(transfer.credit.clone());
            self.changes.transfers.push(transfer);
        }
        Ok(())
    }

    pub(super) fn order_mut(&mut self, id: &OrderId) -> Result<&mut Order, Contradicts> {
        self.changes.orders.insert(id.clone());
        self.rows
            .orders
            .get_mut(id)
            .and_then(Option::as_mut)
            .ok_or_else(|| Contradicts::UnknownOrder(id.clone()))
    }

    fn member_mut(&mut self, id: &MemberId) -> Result<&mut Member, Contradicts> {
        self.changes.members.insert(id.clone());
        self.rows
            .members
            .get_mut(id)
            .and_then(Option::as_mut)
            .ok_or_else(|| Contradicts::UnknownMember(id.clone()))
    }

    pub(super) fn pile_mut(&mut self, id: &PileId) -> Result<&mut Pile, Contradicts> {
        self.changes.piles.insert(id.clone());
        let pile = self.rows.piles.get_mut(id);
        pile.ok_or_else(|| Contradicts::UnknownPile(id.clone()))
    }
}

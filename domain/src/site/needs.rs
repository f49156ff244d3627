//! Which rows must be in memory before an input can be decided, or a fact of another's journal followed. One row may name
//! another, so it is asked again until nothing is missing.

use super::{Input, Key, Rows, Site, record};
use crate::{
    card::Card,
    fact::{Fact, PaidFrom, QuarantineOutcome, TypedFigures},
    head_office::{Directive, LeasedBy, voucher_receipt},
    ids::{CardId, MemberId, OrderId, Outlet, PileId},
    messages::{Digest, Record, Up, UpMessage},
    order::Command,
    quarantine::QuarantineItem,
    register::SessionId,
    topics::UpKind,
};

impl Site {
    /// Rows that `input` needs and that are not in memory. Load them with [`Site::load`] and ask again, until none is
    /// left: one row may name another.
    pub fn needs(&self, input: &Input) -> Vec<Key> {
        let mut keys = Vec::new();
        match input {
            Input::Message { pile, message } => self.needs_of_message(pile, message, &mut keys),
            Input::Place(place) => self.rows.needs_member(&place.member, &mut keys),
            Input::Stop { order, .. }
            | Input::StopSent { order, .. }
            | Input::Close { order, .. }
            | Input::Decide { order, .. }
            | Input::CorrectBill { order, .. }
            | Input::ApproveCorrection { order, .. }
            | Input::WithdrawCorrection { order, .. }
            | Input::Refund { order, .. } => self.rows.needs_order(order, &mut keys),
            Input::CloseQuarantine {
                item, bill_to, typed, ..
            } => {
                self.needs_of_item(*item, typed.as_deref(), &mut keys);
                if let Some(member) = bill_to {
                    self.rows.needs_member(member, &mut keys);
                }
            }
            Input::RegisterMember { member, .. }
            | Input::BlockMember { member, .. }
            | Input::LiftOwes { member, .. } => self.rows.needs_member(member, &mut keys),
            Input::Directive(told) => {
                if let Ok(directive) = &told.content {
                    self.needs_of_directive(directive, &mut keys);
                }
            }
            Input::TakeVoucher { voucher, .. } => {
                self.rows.needs_member(&voucher.member, &mut keys);
                self.rows.needs_receipt(voucher_receipt(&voucher.id), &mut keys);
            }
            Input::BindCard { card, member, .. } => {
                self.rows.needs_member(member, &mut keys);
                self.rows.needs_card(card, &mut keys);
            }
            Input::TopUp { member, receipt, .. } | Input::ReverseTopUp { member, receipt, .. } => {
                self.rows.needs_member(member, &mut keys);
                self.rows.needs_receipt(receipt, &mut keys);
            }
            Input::PayDebt { member, receipt, .. } => self.needs_of_payment(member, receipt, &mut keys),
            Input::Unreadable { pile, kind, raw, fault } => {
                if *kind != Some(UpKind::Heartbeat) {
                    if let Some(order) = &fault.order_id {
                        self.rows.needs_order(order, &mut keys);
                    }
                    self.rows
                        .needs_set_aside(pile, record::digest_of(raw.content()), &mut keys);
                }
            }
            Input::UnbindCard { card, .. } => self.rows.needs_card(card, &mut keys),
            Input::BankCash { slip, .. } => self.rows.needs_slip(slip, &mut keys),
            Input::Connected { .. }
            | Input::Disconnected { .. }
            | Input::TakenOver { .. }
            | Input::AddTariff { .. }
            | Input::ProvisionPile { .. }
            | Input::RemovePile { .. }
            | Input::SetMaintenance { .. }
            | Input::ClearMeter { .. }
            | Input::OpenShift { .. }
            | Input::CountCash { .. }
            | Input::CloseShift { .. }
            | Input::ClockTrust(_)
            | Input::CertainTime(_)
            | Input::ConfirmClock { .. }
            | Input::Space(_)
            | Input::HeadOfficeSeen(_)
            | Input::CloseVouchers { .. }
            | Input::Line(_)
            | Input::Tick => {}
        }
        keys
    }

    /// Who pays a debt, and the orders that it is of.
    fn needs_of_payment(&self, member: &MemberId, receipt: &str, keys: &mut Vec<Key>) {
        self.rows.needs_member(member, keys);
        self.rows.needs_receipt(receipt, keys);
        for order in self.rows.member(member).iter().flat_map(|row| &row.unpaid_orders) {
            self.rows.needs_order(order, keys);
        }
    }

    fn needs_of_directive(&self, directive: &Directive, keys: &mut Vec<Key>) {
        match directive {
            Directive::Lease { member, voucher, .. } => {
                self.rows.needs_member(member, keys);
                if let Some(voucher) = voucher {
                    self.rows.needs_receipt(voucher_receipt(&voucher.id), keys);
                }
            }
            Directive::Start { member, order, .. } => {
                self.rows.needs_member(member, keys);
                self.rows.needs_order(order, keys);
            }
            Directive::Recall { member, .. }
            | Directive::Member { member, .. }
            | Directive::Block { member, .. }
            | Directive::Owes { member, .. } => self.rows.needs_member(member, keys),
            Directive::Stop { order, .. }
            | Directive::DebtPaid { order, .. }
            | Directive::Review { order, .. }
            | Directive::Correct { order, .. }
            | Directive::RefundMark { order, .. } => self.rows.needs_order(order, keys),
            Directive::Card { card, member, .. } => {
                self.rows.needs_card(card, keys);
                if let Some(member) = member {
                    self.rows.needs_member(member, keys);
                }
            }
            Directive::Quarantine { item, bill_to, .. } => {
                self.needs_of_item(*item, None, keys);
                if let Some(member) = bill_to {
                    self.rows.needs_member(member, keys);
                }
            }
            Directive::Maintenance { .. } | Directive::Tariff { .. } | Directive::Key { .. } => {}
        }
    }

    fn needs_of_message(&self, pile: &PileId, message: &UpMessage, keys: &mut Vec<Key>) {
        match &message.body {
            Up::Heartbeat(heartbeat) => {
                for report in &heartbeat.connectors {
                    if let Some(order) = &report.order_id {
                        self.rows.needs_order(order, keys);
                    }
                }
            }
            Up::Reply(reply) => {
                if let Some(order) = Command::order_of(&reply.command_id) {
                    self.rows.needs_order(&order, keys);
                }
            }
            Up::Record(record) => self.needs_of_record(pile, record, &message.digest, keys),
            Up::Card(swipe) => {
                self.rows.needs_card(&swipe.card_id, keys);
                if let Some(holder) = self.rows.card(&swipe.card_id).and_then(Card::holder) {
                    self.rows.needs_member(holder, keys);
                }
            }
            Up::Boot(_) | Up::Event(_) => {}
        }
    }

    /// A quarantine item that a person deals with: the order that it is about, and what else covers its readings.
    fn needs_of_item(&self, item: u64, typed: Option<&TypedFigures>, keys: &mut Vec<Key>) {
        match self.rows.quarantine.get(&item) {
            None => keys.push(Key::Quarantine(item)),
            Some(Some(found)) => {
                let recorded = found.record.as_ref().map(|record| &record.order_id);
                for order in found.order.iter().chain(recorded) {
                    self.rows.needs_order(order, keys);
                }
                self.needs_covering_items(found, typed, keys);
            }
            Some(None) => {}
        }
    }

    /// A record's order; its card with everybody who may pay; and whether it was put aside before, where that matters.
    fn needs_of_record(&self, pile: &PileId, record: &Record, digest: &Digest, keys: &mut Vec<Key>) {
        self.rows.needs_order(&record.order_id, keys);
        if let Some(card) = &record.card_id {
            self.rows.needs_card(card, keys);
            for member in self.rows.card(card).into_iter().flat_map(Card::members) {
                self.rows.needs_member(member, keys);
            }
        }
        if !keys.is_empty() {
            return;
        }
        let outlet = Outlet {
            pile: pile.clone(),
            connector: record.connector,
        };
        if self.classify(&outlet, record, digest).asks_for_quarantine() {
            self.rows.needs_set_aside(pile, digest.of(record).to_owned(), keys);
        }
    }

    /// Other items that cover the readings of one that is to be billed: whether they are open.
    fn needs_covering_items(&self, item: &QuarantineItem, typed: Option<&TypedFigures>, keys: &mut Vec<Key>) {
        let recorded = item.record.as_ref();
        let recorded = recorded.map(|record| (record.connector, record.meter_start_kwh, record.meter_stop_kwh));
        let typed = typed.map(|typed| (typed.connector, typed.start.register, typed.stop.register));
        let Some((connector, from, to)) = recorded.or(typed) else {
            return;
        };
        let pile = item.pile.clone();
        // On whichever of its meters it ran.
        let connector = self.rows.connector(&Outlet { pile, connector });
        let books = connector.into_iter().flat_map(|connector| {
            let meters = connector.meters();
            meters.filter_map(|meter| connector.book_for(meter))
        });
        for cover in books.flat_map(|book| book.overlapping(from, to)) {
            if let Some(SessionId::Item(number)) = cover.by
                && !self.rows.quarantine.contains_key(&number)
            {
                keys.push(Key::Quarantine(number));
            }
        }
    }
}

impl Rows {
    /// Rows that a fact of another's journal is about and that are not in memory: what [`Rows::apply`] reads and changes.
    /// Load them with [`Rows::load`] and ask again, until none is left: one row may name another.
    pub fn needs(&self, fact: &Fact) -> Vec<Key> {
        let mut keys = Vec::new();
        match fact {
            Fact::MemberRegistered { member, .. }
            | Fact::MemberBlocked { member, .. }
            | Fact::MemberOwes { member, .. } => self.needs_member(member, &mut keys),
            Fact::LeaseReceived { member, by, .. } => {
                self.needs_member(member, &mut keys);
                if let LeasedBy::Voucher { id, .. } = by {
                    self.needs_receipt(voucher_receipt(id), &mut keys);
                }
            }
            Fact::LeaseReturned { member, order, .. } => {
                self.needs_member(member, &mut keys);
                if let Some(order) = order {
                    self.needs_order(order, &mut keys);
                }
            }
            Fact::CardBound { card, member, .. } => {
                self.needs_card(card, &mut keys);
                self.needs_member(member, &mut keys);
            }
            Fact::CardUnbound { card, .. } => self.needs_card(card, &mut keys),
            Fact::ToppedUp { member, receipt, .. } | Fact::TopUpReversed { member, receipt, .. } => {
                self.needs_member(member, &mut keys);
                self.needs_receipt(receipt, &mut keys);
            }
            Fact::OrderPlaced { order, member, .. } => {
                self.needs_order(order, &mut keys);
                self.needs_member(member, &mut keys);
            }
            Fact::DebtPaid {
                order, from, receipt, ..
            } => {
                self.needs_order(order, &mut keys);
                if *from == PaidFrom::Cash {
                    self.needs_receipt(receipt, &mut keys);
                }
            }
            Fact::CashBanked { slip, .. } => self.needs_slip(slip, &mut keys),
            Fact::Quarantined {
                pile, digest, order, ..
            } => {
                self.needs_set_aside(pile, digest.clone(), &mut keys);
                if let Some(order) = order {
                    self.needs_order(order, &mut keys);
                }
            }
            Fact::QuarantineClosed {
                item, outcome, order, ..
            } => {
                if !self.quarantine.contains_key(item) {
                    keys.push(Key::Quarantine(*item));
                }
                let billed = match outcome {
                    QuarantineOutcome::Billed { order } => Some(order),
                    QuarantineOutcome::Dismissed => None,
                };
                for order in order.iter().chain(billed) {
                    self.needs_order(order, &mut keys);
                }
            }
            // It changes no row.
            Fact::Notified { .. } => {}
            _ => {
                if let Some(order) = fact.order() {
                    self.needs_order(order, &mut keys);
                }
            }
        }
        keys
    }

    pub(super) fn needs_order(&self, id: &OrderId, keys: &mut Vec<Key>) {
        match self.orders.get(id) {
            None => keys.push(Key::Order(id.clone())),
            Some(Some(order)) => self.needs_member(&order.member, keys),
            Some(None) => {}
        }
    }

    pub(super) fn needs_set_aside(&self, pile: &PileId, digest: String, keys: &mut Vec<Key>) {
        let content = (pile.clone(), digest);
        if !self.set_aside.contains_key(&content) {
            keys.push(Key::SetAside(content.0, content.1));
        }
    }

    pub(super) fn needs_receipt(&self, receipt: impl AsRef<str>, keys: &mut Vec<Key>) {
        let receipt = receipt.as_ref();
        if !receipt.is_empty() && !self.receipts.contains_key(receipt) {
            keys.push(Key::Receipt(receipt.to_owned()));
        }
    }

    pub(super) fn needs_card(&self, card: &CardId, keys: &mut Vec<Key>) {
        if !self.cards.contains_key(card) {
            keys.push(Key::Card(card.clone()));
        }
    }

    fn needs_slip(&self, slip: &str, keys: &mut Vec<Key>) {
        if !self.slips.contains_key(slip) {
            keys.push(Key::Slip(slip.to_owned()));
        }
    }
}

//! The station's durable state: what facts add up to. [`Rows::apply`] is the only way it changes.
//! The edge keeps these rows on disk; replaying the journal from empty gives the identical rows.

use crate::{
    energy::{EnergyBooks, EnergyReport, Finding},
    fact::{Fact, PaidFrom, QuarantineItem, QuarantineOutcome, ReceiptFor, ReceiptUse},
    ids::{CardId, MemberId, OrderId, Outlet, PileId, TariffId},
    journal::Stamp,
    ledger::{self, Account, Hold, Ledger, Payment, Transfer},
    member::Member,
    messages::{CommandKind, EventKind},
    meter::Suspicion,
    order::{self, Basis, BillVersion, Deadline, DeadlineKind, Order, Paid, Source, Started, State, Step},
    pile::{Maintenance, Pile},
    planted::{Bug, is_planted},
    tariff::Tariff,
    time::Day,
    units::{Energy, Fen},
};
use std::collections::{BTreeMap, BTreeSet};

/// A row that can be fetched on demand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An order.
    Order(OrderId),
    /// A member, with the accounts `allowance` and `debt`.
    Member(MemberId),
    /// Whose a card is.
    Card(CardId),
    /// A quarantined message.
    Quarantine(u64),
    /// Under which number a pile's message with this content was quarantined.
    SetAside(PileId, String),
    /// What a receipt of the desk was written for.
    Receipt(String),
}

/// Durable state. Where a value is an `Option`, `None` says that the row was looked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// All piles.
    pub piles: BTreeMap<PileId, Pile>,
    /// All tariff versions.
    pub tariffs: BTreeMap<TariffId, Tariff>,
    /// Open orders, and what was asked for.
    pub orders: BTreeMap<OrderId, Option<Order>>,
    /// Members of open orders, and what was asked for.
    pub members: BTreeMap<MemberId, Option<Member>>,
    /// Cards that were asked for.
    pub cards: BTreeMap<CardId, Option<MemberId>>,
    /// Quarantined messages that were asked for.
    pub quarantine: BTreeMap<u64, Option<QuarantineItem>>,
    /// The number of a pile's quarantined message by its content's digest, where that was asked for.
    pub set_aside: BTreeMap<(PileId, String), Option<u64>>,
    /// Receipts of the desk that were asked for.
    pub receipts: BTreeMap<String, Option<ReceiptUse>>,
    /// Accounts of the members and orders above, and the station's own.
    pub ledger: Ledger,
    /// Business days whose energy is not reported yet.
    pub energy: EnergyBooks,
    /// Reports that were made just now.
    pub energy_reports: BTreeMap<Day, EnergyReport>,
}

/// Rows that differ from what is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Piles.
    pub piles: BTreeSet<PileId>,
    /// Tariff versions.
    pub tariffs: BTreeSet<TariffId>,
    /// Orders.
    pub orders: BTreeSet<OrderId>,
    /// Members.
    pub members: BTreeSet<MemberId>,
    /// Cards.
    pub cards: BTreeSet<CardId>,
    /// Quarantined messages.
    pub quarantine: BTreeSet<u64>,
    /// Receipts of the desk.
    pub receipts: BTreeSet<String>,
    /// Accounts.
    pub accounts: BTreeSet<Account>,
    /// Transfers, to be added.
    pub transfers: Vec<Transfer>,
    /// Sums of business days; those that are there no more are in a report.
    pub energy_days: BTreeSet<(Day, Outlet)>,
    /// Reports of business days, to be added.
    pub energy_reports: BTreeSet<Day>,
    /// Another business day has begun.
    pub day_began: bool,
}

impl Changes {
    /// Whether anything differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Rows {
    pub(super) fn needs_member(&self, member: &MemberId, keys: &mut Vec<Key>) {
        if !self.members.contains_key(member) {
            keys.push(Key::Member(member.clone()));
        }
    }

    /// A member that is in memory.
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)?.as_ref()
    }

    /// Every order in memory.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().flatten()
    }

    /// The tariff an order is pinned to.
    pub fn tariff_of(&self, order: &Order) -> &Tariff {
        self.tariffs
            .get(&order.tariff)
            .expect("tariff versions are never removed, and an order is pinned to a known one")
    }

    /// How many rows are in memory besides piles and tariffs, which always are.
    pub fn in_memory(&self) -> usize {
        let Self {
            piles: _,
            tariffs: _,
            orders,
            members,
            cards,
            quarantine,
            set_aside,
            receipts,
            ledger: _,
            energy: _,
            energy_reports,
        } = self;
        let of_people = orders.len() + members.len() + cards.len() + receipts.len();
        of_people + quarantine.len() + set_aside.len() + energy_reports.len()
    }

    pub(super) fn evict(&mut self) {
        self.orders
            .retain(|_, order| order.as_ref().is_some_and(|order| order.state.is_open()));
        let kept: BTreeSet<&MemberId> = self.orders.values().flatten().map(|order| &order.member).collect();
        self.members.retain(|id, _| kept.contains(id));
        self.cards.clear();
        self.quarantine.clear();
        self.set_aside.clear();
        self.receipts.clear();
        self.energy_reports.clear();
        let gone: Vec<Account> = self
            .ledger
            .accounts()
            .filter(|(account, _)| match account {
                Account::Allowance(member) | Account::Debt(member) => !self.members.contains_key(member),
                Account::Held(order) => !self.orders.contains_key(order),
                Account::SalesElectricity | Account::SalesService | Account::Refund | Account::Cash => false,
            })
            .map(|(account, _)| account.clone())
            .collect();
        for account in gone {
            self.ledger.forget(&account);
        }
    }

    pub(super) fn order_mut(&mut self, id: &OrderId, changes: &mut Changes) -> &mut Order {
        changes.orders.insert(id.clone());
        self.orders
            .get_mut(id)
            .and_then(Option::as_mut)
            .expect("a fact is about an order that is in memory")
    }

    fn member_mut(&mut self, id: &MemberId, changes: &mut Changes) -> &mut Member {
        changes.members.insert(id.clone());
        self.members
            .get_mut(id)
            .and_then(Option::as_mut)
            .expect("a fact is about a member that is in memory")
    }

    pub(super) fn pile_mut(&mut self, id: &PileId, changes: &mut Changes) -> &mut Pile {
        changes.piles.insert(id.clone());
        self.piles.get_mut(id).expect("a fact is about a known pile")
    }

    /// A pile that came with a certificate and was never provisioned has no row to count in.
    fn count_quarantined(&mut self, pile: &PileId, count: impl FnOnce(u64) -> u64, changes: &mut Changes) {
        if self.piles.contains_key(pile) {
            let row = self.pile_mut(pile, changes);
            row.quarantined_bytes = count(row.quarantined_bytes);
        }
    }

    /// Takes one fact into account.
    ///
    /// # Panics
    /// If the fact contradicts the rows: it was not decided by [`super::Site::handle`] on these rows, and going on would
    /// falsify the books.
    pub fn apply(&mut self, stamp: Stamp, fact: &Fact, changes: &mut Changes) {
        match fact {
            Fact::PileProvisioned { pile } => {
                changes.piles.insert(pile.clone());
                self.piles
                    .entry(pile.clone())
                    .or_insert_with(|| Pile::new(pile.clone()))
                    .removed = false;
            }
            Fact::PileRemoved { pile, .. } => self.pile_mut(pile, changes).removed = true,
            Fact::PileBooted {
                pile,
                boot_id,
                make,
                connectors,
            } => {
                let busy: BTreeSet<_> = self
                    .orders()
                    .filter(|order| order.state.occupies_connector() && order.outlet.pile == *pile)
                    .map(|order| order.outlet.connector)
                    .collect();
                let pile = self.pile_mut(pile, changes);
                pile.boot_id = Some(boot_id.clone());
                pile.make = make.clone();
                for reported in connectors {
                    let connector = pile.connectors.entry(reported.no).or_default();
                    // A boot whose `max_kw` cannot be read says nothing against what an earlier one said.
                    connector.power_max = reported.max_kw.or(connector.power_max);
                    if reported.is_idle(busy.contains(&reported.no)) {
                        connector.register = Some(reported.meter_kwh);
                        // A higher register may be an offline session whose record is yet to come; a lower one begins
                        // anew, and `RegisterRolledBack` says so.
                        let known = connector.accounted.unwrap_or(reported.meter_kwh);
                        connector.accounted = Some(known.min(reported.meter_kwh));
                    }
                }
            }
            Fact::PileDropped { pile, at } => self.pile_mut(pile, changes).remember_drop(*at),
            Fact::PileEvent { outlet, kind, .. } => {
                let pile = self.pile_mut(&outlet.pile, changes);
                let connector = pile.connectors.entry(outlet.connector).or_default();
                match kind {
                    EventKind::Fault => {
                        connector.faulted = true;
                        pile.remember_fault(stamp.mono);
                    }
                    EventKind::Estop => connector.faulted = true,
                    EventKind::FaultCleared => connector.faulted = false,
                    EventKind::Plugged | EventKind::Unplugged | EventKind::Reboot => {}
                }
            }
            Fact::MaintenanceSet { pile, reason, by } => {
                let pile = self.pile_mut(pile, changes);
                match reason {
                    Some(reason) => {
                        let (reason, by) = (reason.clone(), by.clone());
                        pile.maintenance = Some(Maintenance {
                            reason,
                            by,
                            since: stamp.at,
                        });
                    }
                    None => {
                        pile.maintenance = None;
                        pile.faults.clear();
                        pile.drops.clear();
                    }
                }
            }
            Fact::MemberRegistered { member, name } => {
                changes.members.insert(member.clone());
                let row = self.members.entry(member.clone()).or_default();
                match row {
                    Some(member) => member.name.clone_from(name),
                    None => *row = Some(Member::new(member.clone(), name.clone())),
                }
            }
            Fact::MemberBlocked { member, reason, .. } => {
                self.member_mut(member, changes).blocked.clone_from(reason);
            }
            Fact::CardBound { card, member } => {
                changes.cards.insert(card.clone());
                self.cards.insert(card.clone(), Some(member.clone()));
            }
            Fact::CardUnbound { card } => {
                changes.cards.insert(card.clone());
                self.cards.insert(card.clone(), None);
            }
            Fact::TariffAdded { tariff } => {
                let id = &tariff.spec().id;
                changes.tariffs.insert(id.clone());
                self.tariffs.insert(id.clone(), tariff.clone());
            }
            Fact::ToppedUp {
                member,
                amount,
                receipt,
                ..
            } => {
                let member = member.clone();
                self.note_receipt(receipt, &member, *amount, ReceiptFor::TopUp, changes);
                self.post(fact, &member, None, stamp, changes);
            }
            Fact::OrderPlaced { order, .. } => {
                changes.orders.insert(order.clone());
                let mut placed = placed(stamp, fact);
                placed.meter = self.meter_of(&placed);
                self.member_mut(&placed.member, changes).open_orders.push(order.clone());
                let before = self.orders.insert(order.clone(), Some(placed));
                assert!(matches!(before, None | Some(None)), "order {order} is placed once");
            }
            Fact::HoldTaken { order, amount } => {
                let row = self.order_mut(order, changes);
                assert_eq!(row.hold, Hold::default(), "order {order} has one hold");
                row.hold.taken = *amount;
                let member = row.member.clone();
                self.post(fact, &member, None, stamp, changes);
            }
            Fact::CommandIssued { order, command } => {
                let row = self.order_mut(order, changes);
                row.commands
                    .retain(|old| old.expires > stamp.mono && old.kind != command.kind);
                row.commands.push(command.clone());
                row.command_count += 1;
                if matches!(command.kind, CommandKind::Start | CommandKind::Limit) {
                    row.limit_kwh = command.limit_kwh;
                }
            }
            Fact::CommandAnswered { order, command, .. } => {
                self.order_mut(order, changes)
                    .commands
                    .retain(|issued| issued.id != *command);
            }
            Fact::StartAcknowledged {
                order,
                register,
                boot_id,
            } => {
                let outlet = self.order_mut(order, changes).outlet.clone();
                let (meter, read) = (
                    self.meter_at(&outlet),
                    self.connector_at(&outlet).and_then(|at| at.register),
                );
                let row = self.step(order, Step::StartConfirmed, changes);
                if row.meter != meter {
                    // It was placed before the register was found lower.
                    (row.meter, row.baseline) = (meter, read);
                }
                row.started = Some(Started {
                    at: stamp.at,
                    mono: stamp.mono,
                    register: *register,
                    boot_id: boot_id.clone(),
                });
                row.deadline = None;
                row.commands.retain(|command| command.kind != CommandKind::Start);
            }
            Fact::OrderFailed { order, reason } => {
                let step = match reason {
                    order::FailReason::Refused { .. } => Step::StartRefused,
                    order::FailReason::TimedOut => Step::StartTimedOut,
                    order::FailReason::Cancelled => Step::Cancel,
                    order::FailReason::NeverStarted => Step::StartRefused,
                };
                let row = self.step(order, step, changes);
                let (hold, member) = (row.hold, row.member.clone());
                if is_planted(Bug::KeepHold) {
                    (row.fail, row.deadline) = (Some(reason.clone()), None);
                    self.close_if_ended(order, changes);
                    return;
                }
                row.hold.released += hold.remaining();
                row.fail = Some(reason.clone());
                row.deadline = None;
                row.commands.clear();
                self.post(fact, &member, Some(hold), stamp, changes);
                self.close_if_ended(order, changes);
            }
            Fact::StopRequested { order, .. } => self.step(order, Step::StopAsked, changes).stopping = true,
            Fact::ChargingLost { order, estimate_at } => {
                let row = self.step(order, Step::ChargingLost, changes);
                row.deadline = Some(Deadline {
                    at: *estimate_at,
                    kind: DeadlineKind::Record,
                });
            }
            Fact::FakeChargingSeen { order, suspicion } => {
                self.order_mut(order, changes).suspicions.push(suspicion.clone());
            }
            Fact::ChargingResumed { order } => self.step(order, Step::Telemetry, changes).deadline = None,
            Fact::RecordReceived {
                order,
                record,
                ending,
                suspicions,
            } => {
                let row = self.step(order, Step::Record, changes);
                row.ending = Some(ending.clone());
                row.estimated = false;
                row.suspicions.extend(suspicions.iter().cloned());
                row.deadline = None;
                row.commands.clear();
                self.note_record(order, record, suspicions, changes);
                // An impossible jump must not make every later session look like a meter running backwards.
                if !suspicions.iter().any(|s| matches!(s, Suspicion::TooFast { .. })) {
                    self.account(order, record.meter_stop_kwh, changes);
                }
            }
            Fact::OrderRated { order, basis, bill } => {
                let row = if *basis == Basis::Estimate {
                    let row = self.step(order, Step::Estimate, changes);
                    row.estimated = true;
                    row.commands.clear();
                    row.deadline = None;
                    row
                } else {
                    self.order_mut(order, changes)
                };
                row.bills.push(BillVersion {
                    basis: *basis,
                    electricity: bill.electricity,
                    service: bill.service,
                    detail: Some(bill.clone()),
                    reason: None,
                    by: None,
                    at: stamp.at,
                });
                // Other bills follow a record, which has been accounted for.
                if *basis == Basis::Estimate || row.source == Source::Quarantine {
                    self.account(order, bill.stop.register, changes);
                }
            }
            Fact::BillCorrected {
                order,
                electricity,
                service,
                reason,
                by,
            } => {
                self.order_mut(order, changes).bills.push(BillVersion {
                    basis: Basis::Correction,
                    electricity: *electricity,
                    service: *service,
                    detail: None,
                    reason: Some(reason.clone()),
                    by: Some(by.clone()),
                    at: stamp.at,
                });
            }
            Fact::ReviewOpened { order, suspicions } => {
                let row = self.step(order, Step::Suspend, changes);
                for suspicion in suspicions {
                    if !row.suspicions.contains(suspicion) {
                        row.suspicions.push(suspicion.clone());
                    }
                }
                row.deadline = None;
                let (member, id) = (row.member.clone(), row.id.clone());
                let member = self.member_mut(&member, changes);
                if !member.open_orders.contains(&id) {
                    member.open_orders.push(id);
                }
            }
            Fact::ReviewApproved { order, .. } => {
                self.order_mut(order, changes);
            }
            Fact::OrderEstimated {
                order,
                payment,
                remainder_until,
            } => {
                let deadline = Deadline {
                    at: *remainder_until,
                    kind: DeadlineKind::Remainder,
                };
                self.pay(order, payment, fact, stamp, changes);
                self.order_mut(order, changes).deadline = Some(deadline);
                self.count(order, changes);
            }
            Fact::OrderSettled { order, payment } => {
                self.pay(order, payment, fact, stamp, changes);
                let row = self.order_mut(order, changes);
                let step = if row.paid.debt == Fen::ZERO {
                    Step::Covered
                } else {
                    Step::Uncovered
                };
                let row = self.step(order, step, changes);
                row.deadline = None;
                row.settled_at = Some(stamp.at);
                assert!(row.hold.is_resolved(), "a settled order {order} holds nothing");
                self.count(order, changes);
                self.note_debt(order, changes);
                self.close_if_ended(order, changes);
            }
            Fact::DebtPaid {
                order,
                amount,
                from,
                receipt,
                member: payer,
                ..
            } => {
                if *from == PaidFrom::Cash {
                    self.note_receipt(receipt, payer, *amount, ReceiptFor::Debt, changes);
                }
                let row = self.order_mut(order, changes);
                row.paid.debt -= *amount;
                let (member, left) = (row.member.clone(), row.paid.debt);
                self.post(fact, &member, None, stamp, changes);
                // An order under review stays there: the debt is of its earlier bill.
                let unpaid = self.order_mut(order, changes).state == State::Unpaid;
                if left == Fen::ZERO && unpaid {
                    self.step(order, Step::DebtCleared, changes);
                }
                self.note_debt(order, changes);
            }
            Fact::Refunded { order, amount, .. } => {
                let row = self.step(order, Step::Refund, changes);
                row.paid.refunded += *amount;
                row.after_sales = true;
                let member = row.member.clone();
                self.post(fact, &member, None, stamp, changes);
            }
            Fact::Quarantined {
                why,
                pile,
                record,
                raw,
                times,
                digest,
                detail,
            } => {
                changes.quarantine.insert(stamp.seq);
                if let (Some(record), Some(times)) = (record, times) {
                    self.note_unbilled(stamp.seq, pile, record, times.stop.ms_since(times.start), changes);
                }
                let before = self.set_aside.insert((pile.clone(), digest.clone()), Some(stamp.seq));
                assert!(
                    matches!(before, None | Some(None)),
                    "a message of {pile} is put aside once"
                );
                let item = QuarantineItem {
                    item: stamp.seq,
                    at: stamp.at,
                    why: *why,
                    pile: pile.clone(),
                    connector: record.as_ref().map(|record| record.connector),
                    record: record.clone(),
                    raw: raw.clone(),
                    times: times.clone(),
                    digest: digest.clone(),
                    detail: detail.clone(),
                    outcome: None,
                };
                let bytes = item.bytes();
                self.quarantine.insert(stamp.seq, Some(item));
                self.count_quarantined(pile, |count| count.saturating_add(bytes), changes);
            }
            Fact::QuarantineClosed { item, outcome, .. } => {
                changes.quarantine.insert(*item);
                let row = self.quarantine.get_mut(item).and_then(Option::as_mut);
                let row = row.expect("a fact is about a quarantined message that is in memory");
                assert!(row.outcome.is_none(), "quarantine item {item} is dealt with once");
                row.outcome = Some(outcome.clone());
                let (pile, bytes) = (row.pile.clone(), row.bytes());
                // What was put aside before this was counted counts nothing.
                self.count_quarantined(&pile, |count| count.saturating_sub(bytes), changes);
                if let QuarantineOutcome::Billed { order } = outcome {
                    self.reopen_failed(order, changes);
                }
            }
            Fact::ClockStepped { .. } => {
                let running: Vec<OrderId> = self
                    .orders()
                    .filter(|order| order.state == State::Charging)
                    .map(|order| order.id.clone())
                    .collect();
                for order in running {
                    self.order_mut(&order, changes).clock_stepped = true;
                }
            }
            Fact::RecordConflict { order, digest, .. } => {
                self.order_mut(order, changes).conflicts.push(digest.clone());
            }
            Fact::RegisterGapFound { order, outlet, gap } => {
                self.note_gap(order, outlet, *gap, changes);
            }
            Fact::RegisterRolledBack { outlet, rollback } => {
                let connector = self.connector_mut(outlet, changes);
                connector.rollback = Some(*rollback);
                connector.meters_before += 1;
                (connector.excess, connector.set_aside) = (None, None);
                self.today(outlet, changes).find(Finding::rollback(None, *rollback));
            }
            Fact::EnergyDiffers {
                order,
                outlet,
                billed,
                register,
            } => {
                let finding = Finding::Energy {
                    order: Some(order.clone()),
                    billed: *billed,
                    register: *register,
                };
                self.today(outlet, changes).find(finding);
            }
            Fact::DayBegan { day } => {
                changes.day_began = true;
                self.energy.begin(*day);
            }
            Fact::EnergyReported { report } => {
                self.close_day(report, stamp, changes);
            }
            Fact::MeterCleared { pile, .. } => {
                let pile = self.pile_mut(pile, changes);
                pile.meter_abnormal = None;
                for connector in pile.connectors.values_mut() {
                    connector.rollback = None;
                }
            }
            Fact::RatingDiffers { .. } | Fact::Notified { .. } | Fact::Restored { .. } => {}
        }
    }

    /// An order accounts for what its meter counted up to `register`, and for nothing on the next one.
    fn account(&mut self, id: &OrderId, register: Energy, changes: &mut Changes) {
        let order = self.order_mut(id, changes).clone();
        if !self.has_its_meter(&order) {
            return;
        }
        let connector = self.connector_mut(&order.outlet, changes);
        connector.register = connector.register.max(Some(register));
        connector.accounted = connector.accounted.max(Some(register));
    }

    /// One payment may clear the debts of several orders: its facts add up.
    fn note_receipt(&mut self, receipt: &str, member: &MemberId, amount: Fen, paid: ReceiptFor, changes: &mut Changes) {
        if receipt.is_empty() {
            return;
        }
        changes.receipts.insert(receipt.to_owned());
        let row = self.receipts.entry(receipt.to_owned()).or_default();
        let used = row.get_or_insert_with(|| ReceiptUse {
            member: member.clone(),
            amount: Fen::ZERO,
            paid,
        });
        assert!(
            used.member == *member && used.paid == paid && (paid == ReceiptFor::Debt || used.amount == Fen::ZERO),
            "receipt {receipt} is for one payment"
        );
        used.amount += amount;
    }

    fn step(&mut self, id: &OrderId, step: Step, changes: &mut Changes) -> &mut Order {
        let order = self.order_mut(id, changes);
        order.state = order::next(Some(order.state), step)
            .unwrap_or_else(|illegal| panic!("handle() checks a step before it journals it: {id}: {illegal}"));
        order
    }

    fn post(&mut self, fact: &Fact, member: &MemberId, hold: Option<Hold>, stamp: Stamp, changes: &mut Changes) {
        for transfer in ledger::postings(fact, member, hold, stamp.seq, stamp.at) {
            self.ledger
                .post(&transfer)
                .unwrap_or_else(|error| panic!("handle() checks funds before it journals: {}: {error}", transfer.id));
            changes.accounts.insert(transfer.debit.clone());
            changes.accounts.insert(transfer.credit.clone());
            changes.transfers.push(transfer);
        }
    }

    fn pay(&mut self, id: &OrderId, payment: &Payment, fact: &Fact, stamp: Stamp, changes: &mut Changes) {
        let order = self.order_mut(id, changes);
        order.paid.add(payment);
        order.hold.captured += payment.from_hold.total();
        order.hold.released += payment.release;
        let member = order.member.clone();
        self.post(fact, &member, None, stamp, changes);
    }

    /// Keeps the member's list of unpaid orders right.
    fn note_debt(&mut self, id: &OrderId, changes: &mut Changes) {
        let order = self.order_mut(id, changes);
        let (member, owes) = (order.member.clone(), order.paid.debt > Fen::ZERO);
        let unpaid = &mut self.member_mut(&member, changes).unpaid_orders;
        match (unpaid.iter().position(|known| known == id), owes) {
            (None, true) => unpaid.push(id.clone()),
            (Some(at), false) => {
                unpaid.remove(at);
            }
            _ => {}
        }
    }

    fn close_if_ended(&mut self, id: &OrderId, changes: &mut Changes) {
        let order = self.order_mut(id, changes);
        let (member, open) = (order.member.clone(), order.state.is_open());
        if !open {
            self.member_mut(&member, changes)
                .open_orders
                .retain(|known| known != id);
        }
    }

    /// A person bills the late energy of a failed order; an order made from quarantine is in SETTLE already.
    fn reopen_failed(&mut self, id: &OrderId, changes: &mut Changes) {
        if self.order_mut(id, changes).state == State::Fail {
            let order = self.step(id, Step::BillLate, changes);
            let member = order.member.clone();
            self.member_mut(&member, changes).open_orders.push(id.clone());
        }
    }

    /// What must be true of the rows that `facts` touched, and of the books as a whole.
    /// `total_before` is [`Ledger::total`] of the accounts in memory before them: what went into accounts of theirs came
    /// out of others.
    pub(super) fn check_invariants(&self, facts: &[(Stamp, Fact)], total_before: Fen) {
        if cfg!(debug_assertions) && !facts.is_empty() {
            assert_eq!(
                self.ledger.total(),
                total_before,
                "the accounts that a step changed sum to what they did before"
            );
            for order in self.orders() {
                let held = self.ledger.balance(&Account::Held(order.id.clone()));
                assert_eq!(
                    held,
                    order.hold.remaining(),
                    "the books and the hold of order {} agree",
                    order.id
                );
                assert!(
                    !order.hold.remaining().is_negative(),
                    "order {} never gives back more than it took",
                    order.id
                );
                let ended = matches!(order.state, State::Payed | State::Unpaid | State::Fail);
                assert!(
                    !ended || order.hold.is_resolved(),
                    "ended order {} holds nothing",
                    order.id
                );
                assert_eq!(
                    order.state == State::Unpaid,
                    ended && order.paid.debt > Fen::ZERO,
                    "UNPAID means debt: {}",
                    order.id
                );
            }
            for (account, balance) in self.ledger.accounts() {
                match account {
                    Account::Allowance(_) | Account::Held(_) => {
                        assert!(!balance.is_negative(), "{account} is overdrawn")
                    }
                    Account::Debt(_) => assert!(balance <= Fen::ZERO, "{account} was overpaid"),
                    _ => {}
                }
            }
        }
    }
}

fn placed(stamp: Stamp, fact: &Fact) -> Order {
    let Fact::OrderPlaced {
        order,
        outlet,
        member,
        tariff,
        source,
        until,
        limit_fee,
        baseline,
        start_by,
    } = fact
    else {
        unreachable!("called for OrderPlaced alone")
    };
    let step = match source {
        Source::Api | Source::Card => Step::Place,
        Source::OfflineSession | Source::Quarantine => Step::Adopt,
    };
    Order {
        id: order.clone(),
        outlet: outlet.clone(),
        member: member.clone(),
        tariff: tariff.clone(),
        source: *source,
        state: order::next(None, step).expect("an order may begin by being placed or adopted"),
        until: until.clone(),
        limit_fee: *limit_fee,
        limit_kwh: None,
        hold: Hold::default(),
        stopping: false,
        estimated: false,
        after_sales: false,
        clock_stepped: false,
        baseline: *baseline,
        meter: 0,
        placed_at: stamp.at,
        started: None,
        ending: None,
        conflicts: Vec::new(),
        fail: None,
        commands: Vec::new(),
        command_count: 0,
        deadline: start_by.map(|at| Deadline {
            at,
            kind: DeadlineKind::Start,
        }),
        suspicions: Vec::new(),
        bills: Vec::new(),
        paid: Paid::default(),
        settled_at: None,
        counted: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Mono, Wall};

    fn step(credited: Fen) {
        let member: MemberId = "m".parse().unwrap();
        let mut rows = Rows::default();
        rows.ledger.load(Account::Cash, Fen(-500));
        let before = rows.ledger.total();
        rows.ledger.load(Account::Cash, Fen(-700));
        rows.ledger.load(Account::Allowance(member.clone()), credited);
        let stamp = Stamp {
            seq: 1,
            at: Wall(0),
            mono: Mono(0),
        };
        let name = "m".to_owned();
        rows.check_invariants(&[(stamp, Fact::MemberRegistered { member, name })], before);
    }

    #[test]
    fn what_goes_in_came_out() {
        step(Fen(200));
    }

    #[test]
    #[should_panic(expected = "sum to what they did before")]
    fn money_from_nowhere_is_found_in_the_step_that_made_it() {
        step(Fen(201));
    }
}

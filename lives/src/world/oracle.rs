//! What the books must say, kept by the world from what piles delivered and people did.
//!
//! It follows the journal as a reader does: from it come what happened and in which order, and the lines of a bill. The
//! amounts that the site worked out (fees, captures, releases, debts, balances) are never read: the oracle rates each bill
//! with [`super::prices`], moves money by rules of its own, and compares. Every act of a person must be one that somebody
//! asked for, with that amount, once.

mod accounts;
mod judged;
mod leases;

use super::{
    Time,
    coverage::Oddity,
    people::{Asked, Desk},
    physics::Physics,
    prices,
    registers::Registers,
};
use domain::{
    correction::Approval,
    energy::Finding,
    fact::{Fact, PaidFrom, QuarantineOutcome, QuarantineReason},
    ids::{CardId, MemberId, OrderId, Outlet, PileId},
    journal::{Entry, Hash},
    ledger::Account,
    messages::{POWER_MAX, Record},
    meter::{self, Suspicion},
    order::{Basis, Ending, Source, State},
    register::SessionId,
    site::{Changes, Decision, Rows},
    time::Wall,
    units::Energy,
};
use judged::Judged;
use std::collections::{BTreeMap, BTreeSet};

/// What the oracle knows of one order.
#[derive(Debug, Clone)]
struct Book {
    member: MemberId,
    outlet: Outlet,
    source: Source,
    /// Taken and not yet captured or released.
    held: i64,
    /// What was reserved, and what of it went back to head office.
    prepaid: i64,
    returned: i64,
    /// What an estimate charged; the least that it was settled at; the highest bill; the highest debt.
    estimated: Option<i64>,
    least: Option<i64>,
    dearest: i64,
    worst: i64,
    taken: bool,
    resolved: bool,
    recorded: bool,
    /// Its record has readings of the session.
    sampled: bool,
    /// Electricity and service by the last bill, and what of it has been booked.
    bill: Option<(i64, i64)>,
    charged: i64,
    debt: i64,
    refunded: i64,
    /// What head office has given back, out of its own books.
    marked: i64,
    /// A person had a say in its bill.
    decided: bool,
    /// What is wrong with its bill: then a person must look at it before any money moves.
    doubt: Option<String>,
    /// Why somebody else should pay: likewise.
    wrong_payer: Option<String>,
    /// Its record says less than the station saw: likewise.
    below_seen: Option<String>,
}

/// A message that was put aside.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) open: bool,
    pub(super) billable: bool,
    /// Where it is of, and from which register to which.
    claims: Option<(Outlet, Energy, Energy)>,
}

/// The books as they must be.
#[derive(Debug, Clone)]
pub(super) struct Oracle {
    /// The last entry that was followed.
    pub(super) head: u64,
    pub(super) hash: Hash,
    /// The rows that the journal gives when it is replayed.
    pub(super) rows: Rows,
    accounts: BTreeMap<Account, i64>,
    books: BTreeMap<OrderId, Book>,
    /// Contents of records that are in the journal.
    pub(super) records: BTreeSet<String>,
    pub(super) quarantine: BTreeMap<u64, Item>,
    /// When a stop was journaled.
    pub(super) stops: BTreeMap<OrderId, Time>,
    registers: Registers,
    /// When a day was last reported.
    pub(super) reported_at: Option<Time>,
    /// From when on each card was whose.
    cards: BTreeMap<CardId, Vec<(Time, MemberId)>>,
    /// What was met that is not as it should be.
    pub(super) met: Vec<Oddity>,
    /// How much of each person's act has been journaled, by who did it.
    done: BTreeMap<String, i64>,
    /// What is left of each top-up, by its receipt.
    top_ups: BTreeMap<String, i64>,
    /// What each member has paid in.
    paid_in: BTreeMap<MemberId, i64>,
    touched: BTreeSet<Account>,
    judged: Judged,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            head: 0,
            hash: Hash::GENESIS,
            rows: Rows::default(),
            accounts: BTreeMap::new(),
            books: BTreeMap::new(),
            records: BTreeSet::new(),
            quarantine: BTreeMap::new(),
            stops: BTreeMap::new(),
            registers: Registers::default(),
            reported_at: None,
            cards: BTreeMap::new(),
            met: Vec::new(),
            done: BTreeMap::new(),
            top_ups: BTreeMap::new(),
            paid_in: BTreeMap::new(),
            touched: BTreeSet::new(),
            judged: Judged::default(),
        }
    }
}

/// A record's content, however often and under whatever number it is said.
pub(super) fn content(record: &Record) -> String {
    serde_json::to_string(record).expect("a record has string keys and no failing serializer")
}

/// How far from a card's change of hands a session may begin and be either's: what passes between the desk, the station and
/// the pile takes its time, and so do clocks.
const HANDS_OVER_MS: Time = 600_000;

/// The coarsest step in which a register counts: sessions one after the other may overlap by as much.
const STEP_MAX: Energy = Energy(10_000);

type Checked = Result<(), String>;

impl Oracle {
    /// Takes the next entry into account.
    pub(super) fn follow(
        &mut self,
        hash: Hash,
        bytes: &[u8],
        desk: &Desk,
        physics: &Physics,
        now: Time,
    ) -> Result<Entry, String> {
        if Hash::seal(&self.hash, bytes) != hash {
            return Err(format!("journal entry {} does not chain on", self.head + 1));
        }
        let entry = Entry::from_bytes(bytes).map_err(|error| format!("journal entry {}: {error}", self.head + 1))?;
        if entry.stamp.seq != self.head + 1 {
            return Err(format!("journal entry {} follows {}", entry.stamp.seq, self.head));
        }
        (self.head, self.hash) = (entry.stamp.seq, hash);
        let now = self.judged.at(hash, now);
        let told = self.tell_registers(&entry);
        self.rows.apply(entry.stamp, &entry.fact, &mut Changes::default());
        let judged = told.and_then(|()| self.judge(&entry, desk, physics, now));
        judged.map_err(|wrong| format!("journal entry {} ({}): {wrong}", entry.stamp.seq, name(&entry.fact)))?;
        Ok(entry)
    }

    /// What the entry says of registers, by the rows as they were before it.
    fn tell_registers(&mut self, entry: &Entry) -> Checked {
        let row = |order: &OrderId| self.rows.orders.get(order).and_then(Option::as_ref);
        let of = |order: &OrderId| SessionId::Order(order.clone());
        match &entry.fact {
            Fact::PileBooted {
                pile,
                connectors,
                doubted,
                ..
            } => {
                for one in connectors {
                    let outlet = Outlet {
                        pile: pile.clone(),
                        connector: one.no,
                    };
                    let mut here = self.rows.orders().filter(|order| order.outlet == outlet);
                    let busy = here.any(|order| order.state.occupies_connector());
                    if one.is_idle(busy) && !doubted.contains(&one.no) {
                        self.registers.begin(&outlet, one.meter_kwh);
                    }
                }
            }
            // What is left of the meter before is said with it.
            Fact::RegisterRolledBack { outlet, rollback } => {
                self.registers.give_up(outlet, self.rows.orders());
                self.registers.rolled_back(outlet, *rollback);
            }
            Fact::RegisterReturned { outlet, .. } => {
                if let Some(before) = self
                    .rows
                    .connector(outlet)
                    .and_then(|connector| connector.meter_before())
                {
                    self.registers.returned(outlet, before);
                }
            }
            Fact::RegisterCorrected { outlet, register, .. } => self.registers.corrected(outlet, *register),
            Fact::MeterCleared { pile, registers, .. } => {
                for (connector, register) in registers {
                    let (pile, connector) = (pile.clone(), *connector);
                    self.registers.corrected(&Outlet { pile, connector }, *register);
                }
            }
            Fact::RecordReceived {
                order,
                ending,
                suspicions,
                ..
            } => {
                let believed = !suspicions.iter().any(Suspicion::is_of_register);
                if let Some(row) = row(order).filter(|row| believed && row.state != State::Fail) {
                    let (from, to) = (ending.start.register, ending.stop.register);
                    let (outlet, meter) = (row.outlet.clone(), row.meter);
                    self.registers.claimed(&outlet, meter, of(order), from, to);
                }
            }
            Fact::OrderRated { order, basis, bill } => {
                let by_bill = |row: &&domain::order::Order| {
                    *basis == Basis::Estimate || (*basis == Basis::Record && row.source == Source::Quarantine)
                };
                if let Some(row) = row(order).filter(by_bill) {
                    let (outlet, meter) = (row.outlet.clone(), row.meter);
                    let (from, to) = (bill.start.register, bill.stop.register);
                    self.registers.claimed(&outlet, meter, of(order), from, to);
                }
            }
            Fact::RecordTaken { order, ending, .. } => {
                if let Some(row) = row(order) {
                    let (outlet, meter) = (row.outlet.clone(), row.meter);
                    let (from, to) = (ending.start.register, ending.stop.register);
                    self.registers.claimed(&outlet, meter, of(order), from, to);
                }
            }
            Fact::QuarantineClosed {
                item,
                outcome: QuarantineOutcome::Billed { order },
                ..
            } => {
                self.registers.renamed(*item, order);
            }
            Fact::QuarantineClosed { item, .. } => {
                let row = self.rows.quarantine.get(item).and_then(Option::as_ref);
                if row.is_some_and(|row| row.why == QuarantineReason::Conflict) {
                    self.registers.released(*item);
                }
                // As after every claim of an order.
                if let Some((pile, connector)) = row.and_then(|row| Some((row.pile.clone(), row.connector?))) {
                    self.registers.say_left(&Outlet { pile, connector });
                }
            }
            Fact::OrderAccounted { order, from, to } => {
                if let Some(row) = row(order) {
                    let (outlet, meter) = (row.outlet.clone(), row.meter);
                    self.registers.claimed(&outlet, meter, of(order), *from, *to);
                }
            }
            Fact::RegisterGapFound { order, outlet, gap } => {
                let meter = row(order).map(|row| row.meter);
                self.registers.said(outlet, meter, gap.last_known, gap.start);
            }
            Fact::UnorderedChargingEnded { outlet, from, to } => self.registers.said(outlet, None, *from, *to),
            Fact::EnergyReported { report } => {
                for one in &report.connectors {
                    for finding in &one.sums.findings {
                        if let Finding::RegisterGap { from, to, .. } | Finding::Unordered { from, to } = finding {
                            self.registers.said(&one.outlet, None, *from, *to);
                        }
                    }
                }
                self.registers.reported(report);
            }
            Fact::Quarantined {
                why,
                pile,
                record: Some(record),
                times: Some(times),
                order,
                ..
            } => {
                // Of its order's session that one's own record tells.
                let told = order.as_ref().and_then(row).and_then(|row| row.ending.as_ref());
                let told = told.filter(|_| *why == QuarantineReason::Conflict);
                if told.is_some_and(|ending| is_of_session(ending, record)) {
                    return Ok(());
                }
                let outlet = Outlet {
                    pile: pile.clone(),
                    connector: record.connector,
                };
                let (from, to) = (record.meter_start_kwh, record.meter_stop_kwh);
                let Some(connector) = self.rows.connector(&outlet) else {
                    return Ok(());
                };
                let lasted_ms = times.lasted_ms(record);
                let most = meter::possible(connector.power_max.unwrap_or(POWER_MAX), lasted_ms);
                // What moved nothing claims nothing and says nothing.
                if record.energy() > Energy::ZERO && record.energy() <= most {
                    let meter = connector.meter_of_late_session(from, to);
                    self.registers
                        .claimed(&outlet, meter, SessionId::Item(entry.stamp.seq), from, to);
                    // What lies before it is said with it.
                    self.registers.said_below(&outlet, meter, from);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Once the money of an order moves, nothing is silent below its start: sessions explain it, or it was said to be
    /// unrecorded.
    fn leaves_no_hole(&self, order: &OrderId) -> Checked {
        let Some(row) = self.rows.orders.get(order).and_then(Option::as_ref) else {
            return Ok(());
        };
        let bill = row.bills.iter().rev().find_map(|bill| bill.detail.as_ref());
        let believed = !row.suspicions.iter().any(Suspicion::is_of_register);
        let Some(bill) = bill.filter(|bill| believed && bill.energy > Energy::ZERO) else {
            return Ok(());
        };
        match self.registers.hole_below(&row.outlet, row.meter, bill.start.register) {
            Some((from, to)) => Err(format!(
                "from {from} to {to} the register of {} is in no session, and nobody was told",
                row.outlet
            )),
            None => Ok(()),
        }
    }

    /// Which order accounts for some of these readings, on the meter of `order`, other than that one.
    fn is_billed(&self, order: &OrderId, (outlet, from, to): &(Outlet, Energy, Energy)) -> Option<OrderId> {
        let meter = self.rows.orders.get(order)?.as_ref()?.meter;
        self.registers.other_claim(outlet, meter, order, *from, *to)
    }

    /// Before the first money of an order moves: no other order accounts for what it is billed for, beyond the step of a
    /// coarse register, unless a person has looked.
    fn is_nobody_elses(&self, order: &OrderId) -> Checked {
        let row = self.rows.orders.get(order).and_then(Option::as_ref);
        let book = self.books.get(order);
        let unasked =
            book.filter(|book| !book.decided && book.charged == 0 && book.bill.is_some_and(|bill| bill != (0, 0)));
        let Some(row) = row.filter(|_| unasked.is_some()) else {
            return Ok(());
        };
        match self.registers.claims_the_same(&row.outlet, row.meter, order, STEP_MAX) {
            Some(other) => Err(format!("{other} accounts for the same readings, and nobody was asked")),
            None => Ok(()),
        }
    }

    /// Whether an offline session is paid by whoever held its card.
    fn check_payer(&mut self, order: &OrderId, member: &MemberId, physics: &Physics) -> Option<String> {
        let sessions = physics.sessions.get(order)?;
        let mut wrong = None;
        for session in sessions {
            let holders = self.cards.get(session.card.as_ref()?)?;
            if holders.len() > 1 {
                self.met.push(Oddity::OldCard);
            }
            // It is not known to the second when a card changes hands, nor better than the station knows its own clock.
            let slack = HANDS_OVER_MS + physics.unseen_steps_ms(session.began);
            let until = holders
                .iter()
                .skip(1)
                .map(|(since, _)| *since)
                .chain(std::iter::once(Time::MAX));
            let held = |((since, holder), until): (&(Time, MemberId), Time)| {
                holder == member && *since <= session.began + slack && until.saturating_add(slack) > session.began
            };
            if holders.iter().zip(until).any(held) {
                return None;
            }
            wrong = Some(format!(
                "{member} pays, and of {holders:?} it held the card at {} ms",
                session.began
            ));
        }
        wrong
    }

    /// Piles whose meter somebody should look at.
    pub(super) fn doubted_meters(&self) -> impl Iterator<Item = &PileId> {
        let doubted = self.rows.piles.values().filter(|pile| {
            let mut all = pile.connectors.values();
            let elsewhere = all.any(|connector| connector.jump.is_some() || connector.rollback.is_some());
            pile.meter_abnormal.is_some() || elsewhere
        });
        doubted.map(|pile| &pile.id)
    }

    /// Whether all reports together say what the registers moved.
    pub(super) fn check_energy_is_conserved(&self, now: &BTreeMap<Outlet, Energy>) -> Checked {
        self.registers.check(now)
    }

    fn judge(&mut self, entry: &Entry, desk: &Desk, physics: &Physics, now: Time) -> Checked {
        match &entry.fact {
            Fact::OrderPlaced {
                order,
                outlet,
                member,
                source,
                ..
            } => {
                let of_card = *source == Source::OfflineSession;
                let wrong_payer = of_card.then(|| self.check_payer(order, member, physics)).flatten();
                let book = Book {
                    member: member.clone(),
                    outlet: outlet.clone(),
                    source: *source,
                    held: 0,
                    prepaid: 0,
                    returned: 0,
                    estimated: None,
                    least: None,
                    dearest: 0,
                    worst: 0,
                    taken: false,
                    resolved: false,
                    recorded: false,
                    sampled: false,
                    bill: None,
                    charged: 0,
                    debt: 0,
                    refunded: 0,
                    marked: 0,
                    decided: *source == Source::Quarantine,
                    doubt: None,
                    wrong_payer,
                    below_seen: None,
                };
                if self.books.insert(order.clone(), book).is_some() {
                    return Err(format!("order {order} was placed before"));
                }
                Ok(())
            }
            Fact::HoldTaken { order, amount } => {
                let book = self.book(order)?;
                if std::mem::replace(&mut book.taken, true) {
                    return Err("a second hold".to_owned());
                }
                (book.held, book.prepaid) = (amount.0, amount.0);
                let member = book.member.clone();
                self.transfer(Account::Allowance(member), Account::Held(order.clone()), amount.0)
            }
            Fact::OrderFailed { order, .. } => self.resolve(order),
            Fact::RecordReceived { order, record, .. } => {
                self.take_in(record);
                let book = self.book(order)?;
                book.sampled = !record.samples.is_empty();
                if std::mem::replace(&mut book.recorded, true) {
                    return Err("a second record was taken in".to_owned());
                }
                Ok(())
            }
            Fact::RecordConflict { record, .. } => {
                self.take_in(record);
                Ok(())
            }
            Fact::StopRequested { order, .. } => {
                self.stops.insert(order.clone(), now);
                Ok(())
            }
            Fact::EnergyDiffers {
                order,
                billed,
                register,
                ..
            } => {
                let seen = format!("its record says {billed}, and {register} kWh were seen");
                self.book(order)?.below_seen = Some(seen);
                Ok(())
            }
            Fact::EnergyReported { .. } => {
                self.reported_at = Some(now);
                Ok(())
            }
            Fact::CardBound { card, member, .. } => {
                self.cards.entry(card.clone()).or_default().push((now, member.clone()));
                Ok(())
            }
            Fact::MeterCleared { .. } => {
                self.met.push(Oddity::MeterCleared);
                Ok(())
            }
            Fact::OrderRated { order, basis, bill } => {
                let (electricity, service) = prices::cost(&bill.segments)?;
                let parts: i64 = bill.segments.iter().map(|segment| segment.energy.0).sum();
                if parts != bill.stop.register.0 - bill.start.register.0 {
                    return Err(format!(
                        "its parts sum to {parts}, its registers differ by another amount"
                    ));
                }
                let book = self.book(order)?;
                book.bill = Some((electricity, service));
                if *basis == Basis::Correction || book.source == Source::Quarantine {
                    return Ok(());
                }
                let sampled = self.book(order)?.sampled;
                let look = || physics.check_bill(order, (*basis, bill), sampled, now).err();
                let doubt = self.judged.doubt(&self.hash, look);
                self.book(order)?.doubt = doubt;
                Ok(())
            }
            Fact::BillCorrected {
                order,
                electricity,
                service,
                by,
                approval,
                ..
            } => {
                let asked = Decision::Corrected {
                    electricity: *electricity,
                    service: *service,
                };
                match approval {
                    _ if desk.asked(by).is_none() => {
                        self.decided_at_head_office(order, asked, (by, approval.as_ref()), desk)?;
                    }
                    None => self.decided(order, asked, by, desk)?,
                    Some(Approval { proposal, by: second }) => {
                        wants(desk, by, order, asked)?;
                        match desk.asked(second) {
                            Some(Asked::Approve(other, number)) if other == order && number == proposal => {}
                            wanted => return Err(format!("nobody approved it: {second} asked for {wanted:?}")),
                        }
                        self.act(second, 1, 1)?;
                        self.book(order)?.decided = true;
                    }
                }
                self.book(order)?.bill = Some((electricity.0, service.0));
                if matches!(desk.asked(by), Some(Asked::Correct(..))) {
                    self.met.push(Oddity::BillCorrected);
                }
                Ok(())
            }
            Fact::CorrectionProposed {
                order,
                electricity,
                service,
                by,
                ..
            } => {
                let asked = Decision::Corrected {
                    electricity: *electricity,
                    service: *service,
                };
                wants(desk, by, order, asked)?;
                self.act(by, 1, 1)
            }
            Fact::ReviewApproved { order, by, .. } if desk.asked(by).is_none() => {
                self.decided_at_head_office(order, Decision::AsIs, (by, None), desk)
            }
            Fact::ReviewApproved { order, by, .. } => self.decided(order, Decision::AsIs, by, desk),
            Fact::OrderEstimated { order, .. } => {
                self.leaves_no_hole(order)?;
                self.is_nobody_elses(order)?;
                self.pay(order, false)?;
                self.book(order)?.is_estimated();
                Ok(())
            }
            Fact::OrderSettled { order, .. } => {
                self.leaves_no_hole(order)?;
                self.is_nobody_elses(order)?;
                self.pay(order, true)?;
                self.book(order)?.settles();
                self.resolve(order)?;
                self.pays_for_what_was_delivered(order, physics)
            }
            Fact::ToppedUp {
                member,
                amount,
                receipt,
                by,
            } => {
                match desk.asked(by) {
                    Some(Asked::TopUp(who, most, number)) if who == member && most == amount && number == receipt => {}
                    asked => return Err(format!("nobody asked for it: {by} asked for {asked:?}")),
                }
                self.act(by, amount.0, amount.0)?;
                *self.top_ups.entry(receipt.clone()).or_default() += amount.0;
                *self.paid_in.entry(member.clone()).or_default() += amount.0;
                self.transfer(Account::Cash, Account::Allowance(member.clone()), amount.0)
            }
            Fact::TopUpReversed {
                member,
                receipt,
                amount,
                missing,
                by,
                ..
            } => {
                let wrong = *amount + *missing;
                match desk.asked(by) {
                    Some(Asked::ReverseTopUp(who, number, most))
                        if who == member && number == receipt && most.is_none_or(|most| most == wrong) => {}
                    asked => return Err(format!("nobody asked for it: {by} asked for {asked:?}")),
                }
                self.leaves_nothing(member, *amount, *missing)?;
                self.act(by, wrong.0, wrong.0)?;
                let left = self.top_ups.entry(receipt.clone()).or_default();
                *left -= wrong.0;
                if *left < 0 {
                    return Err(format!("more of receipt {receipt} is taken back than was paid in"));
                }
                *self.paid_in.entry(member.clone()).or_default() -= amount.0;
                self.met.push(Oddity::TopUpReversed);
                self.transfer(Account::Allowance(member.clone()), Account::Cash, amount.0)
            }
            Fact::ShiftOpened { till, by } => {
                self.asked_for(desk, by, &Asked::OpenShift)?;
                self.till_is(till.0)
            }
            Fact::ShiftClosed { till, by, .. } => {
                self.asked_for(desk, by, &Asked::CloseShift)?;
                self.met.push(Oddity::ShiftClosed);
                self.till_is(till.0)
            }
            Fact::CashCounted {
                counted,
                by_books,
                difference,
                by,
                ..
            } => {
                self.asked_for(desk, by, &Asked::CountCash(*counted))?;
                self.till_is(by_books.0)?;
                if difference.0 != counted.0 - by_books.0 {
                    return Err(format!("{counted} differs from {by_books} by another amount"));
                }
                if difference.0 < 0 {
                    self.transfer(Account::CashOver, Account::Cash, -difference.0)
                } else {
                    self.transfer(Account::Cash, Account::CashOver, difference.0)
                }
            }
            Fact::CashBanked { amount, slip, by } => {
                self.asked_for(desk, by, &Asked::BankCash(*amount, slip.clone()))?;
                self.transfer(Account::Bank, Account::Cash, amount.0)?;
                let is_short = (self.till() < 0).then(|| "more went to the bank than was in the till".to_owned());
                is_short.map_or(Ok(()), Err)
            }
            Fact::VouchersClosed { until } => leases::closes_in_time(*until, now),
            Fact::LeaseReceived { .. }
            | Fact::LeaseReturned { .. }
            | Fact::DirectiveTaken { .. }
            | Fact::RefundMarked { .. }
            | Fact::DebtPaid {
                from: PaidFrom::HeadOffice,
                ..
            } => self.judge_leases(&entry.fact, desk, now),
            Fact::DebtPaid {
                member,
                order,
                amount,
                from,
                by,
                ..
            } => {
                let most = match desk.asked(by) {
                    Some(Asked::PayDebt(who, most, source)) if who == member && source == from => most.0,
                    asked => return Err(format!("nobody asked for it: {by} asked for {asked:?}")),
                };
                self.act(by, amount.0, most)?;
                let book = self.book(order)?;
                if book.debt < amount.0 || book.member != *member {
                    return Err(format!("{member} owes {} fen for {order}", book.debt));
                }
                book.debt -= amount.0;
                if *from == PaidFrom::Cash {
                    *self.paid_in.entry(member.clone()).or_default() += amount.0;
                }
                let source = match from {
                    PaidFrom::Cash => Account::Cash,
                    PaidFrom::Allowance => Account::Allowance(member.clone()),
                    PaidFrom::HeadOffice => Account::HeadOffice,
                };
                self.transfer(source, Account::Debt(member.clone()), amount.0)
            }
            Fact::Refunded { order, amount, by, .. } => {
                match desk.asked(by) {
                    Some(Asked::Refund(which, most)) if which == order && most == amount => {}
                    asked => return Err(format!("nobody asked for it: {by} asked for {asked:?}")),
                }
                self.act(by, amount.0, amount.0)?;
                let book = self.book(order)?;
                book.refunded += amount.0;
                if book.refunded + book.marked > book.charged - book.debt {
                    return Err("more is given back than was paid".to_owned());
                }
                let member = book.member.clone();
                self.transfer(Account::Refund, Account::Allowance(member), amount.0)
            }
            Fact::Quarantined { pile, record, .. } => {
                let item = Item {
                    open: true,
                    billable: record.as_ref().is_some_and(|record| record.energy().0 > 0),
                    claims: record.as_deref().map(|record| {
                        let outlet = Outlet {
                            pile: pile.clone(),
                            connector: record.connector,
                        };
                        (outlet, record.meter_start_kwh, record.meter_stop_kwh)
                    }),
                };
                self.quarantine.insert(entry.stamp.seq, item);
                if let Some(record) = record {
                    self.take_in(record);
                }
                Ok(())
            }
            Fact::QuarantineClosed {
                item,
                outcome,
                by,
                despite,
                ..
            } => {
                match desk.asked(by) {
                    Some(Asked::CloseQuarantine(which, ..)) if which == item => {}
                    asked => return Err(format!("nobody asked for it: {by} asked for {asked:?}")),
                }
                self.act(by, 1, 1)?;
                let item = self.quarantine.get_mut(item).ok_or("it was never put aside")?;
                if !std::mem::replace(&mut item.open, false) {
                    return Err("it was dealt with before".to_owned());
                }
                if let QuarantineOutcome::Billed { order } = outcome {
                    let claims = item.claims.clone();
                    self.book(order)?.decided = true;
                    if !despite.is_empty() {
                        self.met.push(Oddity::BilledDespite);
                    } else if let Some(twice) = claims.and_then(|claims| self.is_billed(order, &claims)) {
                        return Err(format!("{twice} pays for some of it already, and nobody was told"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn asked_for(&mut self, desk: &Desk, by: &str, what: &Asked) -> Checked {
        match desk.asked(by) {
            Some(asked) if asked == what => self.act(by, 1, 1),
            asked => Err(format!("nobody asked for it: {by} asked for {asked:?}")),
        }
    }

    /// What the till holds.
    pub(super) fn till(&self) -> i64 {
        -self.balance(&Account::Cash)
    }

    fn till_is(&self, said: i64) -> Checked {
        match self.till() {
            till if till == said => Ok(()),
            till => Err(format!("the till holds {till} fen, not {said}")),
        }
    }

    fn take_in(&mut self, record: &Record) {
        self.records.insert(content(record));
    }

    fn book(&mut self, order: &OrderId) -> Result<&mut Book, String> {
        self.books
            .get_mut(order)
            .ok_or_else(|| format!("order {order} was never placed"))
    }

    fn decided(&mut self, order: &OrderId, decision: Decision, by: &str, desk: &Desk) -> Checked {
        wants(desk, by, order, decision)?;
        self.act(by, 1, 1)?;
        self.book(order)?.decided = true;
        Ok(())
    }

    /// Somebody's act has its effect once.
    fn act(&mut self, by: &str, amount: i64, most: i64) -> Checked {
        let done = self.done.entry(by.to_owned()).or_default();
        *done += amount;
        if *done > most {
            return Err(format!("{by} asked for {most} and got {done}"));
        }
        Ok(())
    }

    /// Whether this is the number of an order in the journal.
    pub(super) fn has_order(&self, order: &str) -> bool {
        OrderId::new(order).is_ok_and(|order| self.books.contains_key(&order))
    }

    /// Whether an act that was answered with success is in the journal.
    pub(super) fn has_done(&self, by: &str) -> bool {
        self.done.contains_key(by)
    }

    fn transfer(&mut self, from: Account, to: Account, amount: i64) -> Checked {
        let source = self.accounts.entry(from.clone()).or_default();
        *source -= amount;
        if matches!(from, Account::Allowance(_) | Account::Held(_)) && *source < 0 {
            return Err(format!("{from} is overdrawn by {}", -*source));
        }
        *self.accounts.entry(to.clone()).or_default() += amount;
        self.touched.insert(from);
        self.touched.insert(to);
        Ok(())
    }

    /// What is left of a hold goes back, once.
    fn resolve(&mut self, order: &OrderId) -> Checked {
        let book = self.book(order)?;
        let (left, member) = (std::mem::take(&mut book.held), book.member.clone());
        if left > 0 && book.resolved {
            return Err("its hold was resolved before".to_owned());
        }
        book.resolved = true;
        self.transfer(Account::Held(order.clone()), Account::Allowance(member), left)
    }

    /// Moves money until what is booked is what the last bill says: hold, then allowance, then debt; back the other way
    /// round, and never more than was paid.
    fn pay(&mut self, order: &OrderId, last: bool) -> Checked {
        let book = self.book(order)?.clone();
        let (electricity, service) = book.bill.ok_or("it has no bill")?;
        if let Some(doubt) = book
            .doubt
            .or(book.wrong_payer)
            .or(book.below_seen)
            .filter(|_| !book.decided)
        {
            return Err(format!("nobody looked at its bill: {doubt}"));
        }
        let (held, allowance) = (Account::Held(order.clone()), Account::Allowance(book.member.clone()));
        // The two parts of the sales are looked at together: their sum is what anybody pays.
        let (sales, debt) = (Account::SalesElectricity, Account::Debt(book.member.clone()));
        let mut more = electricity + service - book.charged;
        let book_after = |this: &mut Self, change: &dyn Fn(&mut Book)| -> Checked {
            change(this.book(order)?);
            Ok(())
        };
        if more >= 0 {
            let from_hold = more.min(book.held);
            self.transfer(held, sales.clone(), from_hold)?;
            more -= from_hold;
            let mut charged = from_hold;
            let mut owed = 0;
            if last {
                let there = self.accounts.get(&allowance).copied().unwrap_or(0);
                let from_allowance = more.min(there);
                self.transfer(allowance, sales.clone(), from_allowance)?;
                more -= from_allowance;
                self.transfer(debt, sales, more)?;
                (charged, owed) = (from_hold + from_allowance + more, more);
            }
            book_after(self, &|book| {
                book.held -= from_hold;
                book.charged += charged;
                book.debt += owed;
                (book.dearest, book.worst) = (book.dearest.max(book.charged), book.worst.max(book.debt));
            })
        } else {
            let over = -more;
            let cut = over.min(book.debt);
            let back = (over - cut).min(book.charged - book.debt - book.refunded - book.marked);
            self.transfer(sales.clone(), debt, cut)?;
            self.transfer(sales, allowance, back)?;
            book_after(self, &|book| {
                book.debt -= cut;
                book.charged -= cut + back;
            })
        }
    }

    /// Nobody pays for energy that was not delivered, unless a person has looked at it.
    fn pays_for_what_was_delivered(&mut self, order: &OrderId, physics: &Physics) -> Checked {
        let book = self.book(order)?.clone();
        let row = self.rows.orders.get(order).and_then(Option::as_ref);
        let billed = row
            .and_then(|row| row.bill()?.detail.as_ref())
            .map_or(0, |bill| bill.segments.iter().map(|segment| segment.energy.0).sum());
        let delivered = physics.delivered(order);
        if billed > delivered && !book.decided {
            return Err(format!(
                "{} pays at {} for {billed} × 0.1 Wh, {delivered} were delivered, and nobody looked at it",
                book.member, book.outlet
            ));
        }
        Ok(())
    }
}

/// Whether the one who signs like this wanted that bill.
fn wants(desk: &Desk, by: &str, order: &OrderId, decision: Decision) -> Checked {
    let asked = desk.asked(by);
    let wanted = match asked {
        Some(Asked::Decide(which, decision)) => Some((which, *decision)),
        Some(Asked::Correct(which, electricity, service)) => {
            let (electricity, service) = (*electricity, *service);
            Some((which, Decision::Corrected { electricity, service }))
        }
        _ => None,
    };
    if wanted == Some((order, decision)) {
        Ok(())
    } else {
        Err(format!("nobody asked for it: {by} asked for {asked:?}"))
    }
}

/// Whether a record is of the session that an order ended with: their registers have something in common.
fn is_of_session(ending: &Ending, record: &Record) -> bool {
    let (start, stop) = (ending.start.register, ending.stop.register);
    let low = start.min(stop).max(record.meter_start_kwh.min(record.meter_stop_kwh));
    let high = start.max(stop).min(record.meter_start_kwh.max(record.meter_stop_kwh));
    low < high || (low == high && (start == stop || record.energy() == Energy::ZERO))
}

fn name(fact: &Fact) -> String {
    let text = format!("{fact:?}");
    text.chars().take(160).collect()
}

/// The station's wall clock runs from here.
pub(super) const EPOCH: Wall = Wall(1_772_323_200_000);

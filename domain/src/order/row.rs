//! The row that is kept of an order, and what each fact makes of it.
//! Nothing else changes an order: [`Order`] lends its fields for reading alone.

use super::{
    Basis, BillVersion, Command, Counted, Deadline, DeadlineKind, Ending, FailReason, OrderItem, Source, Started,
    State, Step, Until, next,
};
use crate::{
    contradiction::Contradicts,
    correction::{FirstSettled, Proposal},
    fact::{Fact, QuarantineOutcome, QuarantineReason},
    ids::{BootId, MemberId, OrderId, Outlet, TariffId},
    journal::Stamp,
    ledger::Hold,
    messages::CommandKind,
    meter::Suspicion,
    pile::Connector,
    planted::{Bug, is_planted},
    settlement::{Paid, Payment},
    time::{Day, Mono, Wall},
    units::{Energy, Fen},
};
use serde::{Deserialize, Serialize};
use std::ops::{Deref, RangeInclusive};

/// The most quarantine items that an order's row names; of more the oldest go that are dealt with, then the oldest. All
/// of them are in its log.
pub const ITEMS_MAX: usize = 32;
/// The most records of one order that a person can replace by another.
pub const REPLACED_MAX: usize = 8;
/// So long after the end that a record names a report of its session may come, in milliseconds.
const LAST_REPORT_MS: i64 = 60_000;

/// Everything that is kept of an order. Whoever holds an [`Order`] reads these fields; only [`Order::apply`] writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Its number.
    pub id: OrderId,
    /// Where.
    pub outlet: Outlet,
    /// Who pays.
    pub member: MemberId,
    /// The tariff version it is pinned to.
    pub tariff: TariffId,
    /// How it came about.
    pub source: Source,
    /// Where it stands.
    pub state: State,
    /// The driver's own limits.
    pub until: Until,
    /// The fee at which the station stops it: the hold less a margin, or the driver's own limit.
    pub limit_fee: Fen,
    /// The energy at which the pile stops it by itself, as last told; none where energy is free.
    #[serde(default)]
    pub limit_kwh: Option<Energy>,
    /// Money reserved for it.
    pub hold: Hold,
    /// A stop has been asked for.
    pub stopping: bool,
    /// Its bill is an estimate: the record has not come.
    pub estimated: bool,
    /// Money went back after settlement (已售后).
    pub after_sales: bool,
    /// The station's wall clock was stepped while it ran.
    pub clock_stepped: bool,
    /// The station's clock could not be right while it ran.
    #[serde(default)]
    pub clock_doubted: bool,
    /// It was placed by such a clock: its times move when that is put right.
    #[serde(default)]
    pub placed_in_doubt: bool,
    /// When its times were moved to the right time, by elapsed time.
    #[serde(default)]
    pub times_moved: Option<Mono>,
    /// By how much the clock has been put forward since, in milliseconds.
    #[serde(default)]
    pub clock_moved_ms: i64,
    /// By how much of that it has been stepped since the session was rated last.
    #[serde(default)]
    pub rated_moved_ms: i64,
    /// The connector's last known register reading before it began.
    pub baseline: Option<Energy>,
    /// Its meter: [`Connector::meters_before`](crate::pile::Connector::meters_before) when it began.
    #[serde(default)]
    pub meter: u32,
    /// When it was placed.
    pub placed_at: Wall,
    /// When that was by elapsed time. Rows of schema 2 do not say.
    #[serde(default)]
    pub placed: Option<Mono>,
    /// When charging was confirmed, with the register then if it was known.
    pub started: Option<Started>,
    /// How it ended, from the record.
    pub ending: Option<Ending>,
    /// Digests of other records that came for it before such records were put aside; nothing is added.
    pub conflicts: Vec<String>,
    /// Why it failed.
    pub fail: Option<FailReason>,
    /// Commands that may have to go again.
    pub commands: Vec<Command>,
    /// How many commands it has had.
    pub command_count: u32,
    /// What it waits for.
    pub deadline: Option<Deadline>,
    /// Why a person must look.
    pub suspicions: Vec<Suspicion>,
    /// Its bills, oldest first; the last one counts.
    pub bills: Vec<BillVersion>,
    /// Money that moved for it.
    pub paid: Paid,
    /// When its money was last settled.
    pub settled_at: Option<Wall>,
    /// What the energy report counts of it.
    #[serde(default)]
    pub counted: Option<Counted>,
    /// Its record said less than the station had seen: on which day that was found, and up to which register was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<(Day, Energy)>,
    /// Quarantine items about it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<OrderItem>,
    /// What it ended with before a person gave it another record, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Ending>,
    /// What corrections of its bill are measured by; none before it is settled. An order that an older version settled has
    /// none until it is settled again: [`OrderRow::measured_by`].
    #[serde(default)]
    pub first_settled: Option<FirstSettled>,
    /// A correction of its bill that waits for a second person.
    #[serde(default)]
    pub proposal: Option<Proposal>,
    /// What head office sent along with it and has not got back: what comes free of it does not stay here.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub leased: Fen,
    /// Head office's numbers of the refunds that are marked, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refund_marks: Vec<String>,
}

fn is_nothing(amount: &Fen) -> bool {
    *amount == Fen::ZERO
}

/// An order as it stands. Its fields can be read; facts change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Order(OrderRow);

impl Deref for Order {
    type Target = OrderRow;

    fn deref(&self) -> &OrderRow {
        &self.0
    }
}

impl OrderRow {
    /// Whether it has this record, or had it before a person gave it another.
    pub fn had_record(&self, digest: &str) -> bool {
        let endings = self.ending.iter().chain(&self.replaced);
        endings.into_iter().any(|ending| ending.digest == digest)
    }

    /// From when to when its connector's reports are its own: the last one may come just after the end that the record
    /// names. It has no end while there is no record.
    pub fn reported(&self) -> RangeInclusive<Wall> {
        let end = self.ending.as_ref();
        let end = end.map_or(Wall(i64::MAX), |ending| ending.stop.at.after_ms(LAST_REPORT_MS));
        self.placed_at..=end
    }

    /// The version of the bill that counts.
    pub fn bill(&self) -> Option<&BillVersion> {
        self.bills.last()
    }

    /// Whether it is not certain when its session was, so that it says nothing of when others were. Of what a person bills
    /// out of quarantine the item itself tells.
    pub fn has_times_in_doubt(&self) -> bool {
        let of_times = self.suspicions.iter().any(Suspicion::is_of_times);
        self.clock_doubted || of_times || self.source == Source::Quarantine
    }

    /// What a correction of its bill is measured by; none before money has moved by a bill.
    pub fn measured_by(&self) -> Option<FirstSettled> {
        let by_estimate = self.estimated && self.state == State::Settle;
        let has_settled = self.settled_at.is_some() || by_estimate;
        let by_now = has_settled.then(|| FirstSettled {
            fee: self.paid.charged(),
            estimated: self.estimated || self.bills.iter().any(|bill| bill.basis == Basis::Estimate),
        });
        self.first_settled.or(by_now)
    }

    /// A command of this kind that is still worth sending.
    pub fn valid_command(&self, kind: CommandKind, now: Mono) -> Option<&Command> {
        self.commands
            .iter()
            .find(|command| command.kind == kind && command.expires > now)
    }
}

impl Order {
    /// A copy of the row, for whoever looks at it apart from the station.
    pub fn into_row(self) -> OrderRow {
        self.0
    }

    /// The order that [`Fact::OrderPlaced`] begins, at a connector that is `at` by then; `in_doubt` says whether the
    /// station's clock cannot be right.
    ///
    /// # Panics
    /// If it is another fact.
    pub(crate) fn placed(stamp: Stamp, fact: &Fact, at: Option<&Connector>, in_doubt: bool) -> Self {
        let Fact::OrderPlaced {
            order,
            outlet,
            member,
            tariff,
            source,
            until,
            limit_fee,
            baseline,
            meter,
            start_by,
        } = fact
        else {
            unreachable!("called for OrderPlaced alone")
        };
        let step = if source.is_ordered() { Step::Place } else { Step::Adopt };
        Self(OrderRow {
            id: order.clone(),
            outlet: outlet.clone(),
            member: member.clone(),
            tariff: tariff.clone(),
            source: *source,
            state: next(None, step).expect("an order may begin by being placed or adopted"),
            until: until.clone(),
            limit_fee: *limit_fee,
            limit_kwh: None,
            hold: Hold::default(),
            stopping: false,
            estimated: false,
            after_sales: false,
            clock_stepped: false,
            clock_doubted: in_doubt,
            placed_in_doubt: in_doubt,
            clock_moved_ms: 0,
            rated_moved_ms: 0,
            times_moved: None,
            baseline: *baseline,
            meter: meter.unwrap_or_else(|| at.map_or(0, |connector| connector.meter_of_session_from(*baseline))),
            placed_at: stamp.at,
            placed: Some(stamp.mono),
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
            differs: None,
            items: Vec::new(),
            replaced: Vec::new(),
            first_settled: None,
            proposal: None,
            leased: Fen::ZERO,
            refund_marks: Vec::new(),
        })
    }

    /// Takes a fact about this order into account; `at` is its connector as it is by then. Facts that say nothing of an
    /// order's row change nothing.
    ///
    /// # Errors
    /// The fact contradicts the row: it was decided on another one. The row is not to be used any more.
    pub(crate) fn apply(&mut self, stamp: Stamp, fact: &Fact, at: Option<&Connector>) -> Result<(), Contradicts> {
        match fact {
            Fact::HoldTaken { amount, .. } => {
                if self.hold != Hold::default() {
                    return Err(Contradicts::HeldTwice(self.id.clone()));
                }
                self.0.hold.taken = *amount;
                if self.source == Source::HeadOffice {
                    self.0.leased = *amount;
                }
            }
            Fact::CommandIssued { command, .. } => self.issue(stamp.mono, command),
            Fact::CommandAnswered { command, .. } => self.0.commands.retain(|issued| issued.id != *command),
            Fact::StartAcknowledged { register, boot_id, .. } => {
                self.follow_meter(at);
                self.confirm_start(stamp, *register, boot_id.clone())?;
            }
            Fact::FirstReading { register, .. } => {
                if let Some(started) = self.0.started.as_mut().filter(|started| started.register.is_none()) {
                    (started.register, started.register_at) = (Some(*register), Some(stamp.now()));
                }
            }
            Fact::OrderFailed { reason, .. } => self.fail(reason)?,
            Fact::StopRequested { .. } => {
                self.step(Step::StopAsked)?;
                self.0.stopping = true;
            }
            Fact::ChargingLost { estimate_at, .. } => {
                self.step(Step::ChargingLost)?;
                self.wait(*estimate_at, DeadlineKind::Record);
            }
            Fact::ChargingResumed { .. } => {
                self.step(Step::Telemetry)?;
                self.0.deadline = None;
            }
            Fact::FakeChargingSeen { suspicion, .. } => self.0.suspicions.push(suspicion.clone()),
            Fact::RecordConflict { digest, .. } => self.0.conflicts.push(digest.clone()),
            Fact::ClockStepped { .. }
            | Fact::ClockDoubted { .. }
            | Fact::ClockBelieved { .. }
            | Fact::OrderTimesMoved { .. }
            | Fact::OrderRepinned { .. } => self.apply_clock(stamp, fact),
            Fact::RecordReceived { ending, suspicions, .. } => {
                self.step(Step::Record)?;
                self.0.ending = Some(ending.clone());
                self.0.rated_moved_ms = 0;
                self.0.estimated = false;
                self.0.suspicions.extend(suspicions.iter().cloned());
                self.be_over();
            }
            Fact::Quarantined { why, .. } => self.note_item(stamp.seq, *why),
            Fact::QuarantineClosed { item, outcome, .. } => {
                self.close_item(*item);
                let is_billed = matches!(outcome, QuarantineOutcome::Billed { order } if *order == self.id);
                if is_billed && self.state == State::Fail {
                    self.step(Step::BillLate)?;
                }
            }
            Fact::RecordTaken { ending, .. } => {
                self.step(Step::Record)?;
                // A person chose it: unlike its own record, it does not take the place of an estimate to be measured by.
                self.0.first_settled = self.measured_by().map(|first| FirstSettled {
                    estimated: false,
                    ..first
                });
                self.0.replaced.extend(self.0.ending.replace(ending.clone()));
                self.0.estimated = false;
                self.be_over();
            }
            _ => self.apply_money(stamp, fact)?,
        }
        Ok(())
    }

    fn confirm_start(
        &mut self,
        stamp: Stamp,
        register: Option<Energy>,
        boot_id: Option<BootId>,
    ) -> Result<(), Contradicts> {
        self.step(Step::StartConfirmed)?;
        self.0.started = Some(Started {
            at: stamp.at,
            mono: stamp.mono,
            register,
            register_at: register.map(|_| stamp.now()),
            boot_id,
        });
        self.0.deadline = None;
        self.0.commands.retain(|command| command.kind != CommandKind::Start);
        Ok(())
    }

    /// What the station's own clock did, or what an order's times are by it now.
    fn apply_clock(&mut self, stamp: Stamp, fact: &Fact) {
        match fact {
            Fact::ClockStepped { by_ms } if self.placed_in_doubt => {
                self.0.clock_moved_ms = self.clock_moved_ms.saturating_add(*by_ms);
                self.0.rated_moved_ms = self.rated_moved_ms.saturating_add(*by_ms);
            }
            Fact::ClockStepped { .. } => self.0.clock_stepped = true,
            Fact::ClockDoubted { .. } => {
                // Doubted anew, because nobody knows what the clock did meanwhile: by how much it was wrong before is lost.
                (self.0.clock_doubted, self.0.placed_in_doubt) = (true, false);
            }
            // What has not been moved when the clock is believed again is a person's: no later step is about it.
            Fact::ClockBelieved { .. } => self.0.placed_in_doubt = false,
            Fact::OrderTimesMoved { by_ms, .. } => {
                self.move_times(*by_ms);
                self.0.times_moved = Some(stamp.mono);
            }
            Fact::OrderRepinned { tariff, .. } => self.0.tariff = tariff.clone(),
            _ => {}
        }
    }

    /// Facts by which an order is billed and paid.
    fn apply_money(&mut self, stamp: Stamp, fact: &Fact) -> Result<(), Contradicts> {
        match fact {
            Fact::OrderRated { basis, bill, .. } => {
                if *basis == Basis::Estimate && self.state == State::Charging {
                    self.step(Step::Estimate)?;
                    self.0.estimated = true;
                    self.be_over();
                }
                self.0.rated_moved_ms = 0;
                self.0.bills.push(BillVersion {
                    basis: *basis,
                    electricity: bill.electricity,
                    service: bill.service,
                    detail: Some(bill.clone()),
                    reason: None,
                    by: None,
                    at: stamp.at,
                    approval: None,
                });
                self.0.proposal = None;
            }
            Fact::BillCorrected { .. }
            | Fact::CorrectionProposed { .. }
            | Fact::CorrectionWithdrawn { .. }
            | Fact::ReviewApproved { .. } => self.apply_correction(stamp, fact)?,
            Fact::ReviewOpened { suspicions, .. } => self.suspend(suspicions)?,
            Fact::OrderEstimated {
                payment,
                remainder_until,
                ..
            } => {
                self.pay(payment);
                self.wait(*remainder_until, DeadlineKind::Remainder);
            }
            Fact::OrderSettled { payment, .. } => self.settle(stamp.at, payment)?,
            Fact::DebtPaid { amount, .. } => {
                self.0.paid.debt -= *amount;
                // An order under review stays there: the debt is of its earlier bill.
                if self.paid.debt == Fen::ZERO && self.state == State::Unpaid {
                    self.step(Step::DebtCleared)?;
                }
            }
            Fact::Refunded { amount, .. } => {
                self.step(Step::Refund)?;
                self.0.paid.refunded += *amount;
                self.0.after_sales = true;
            }
            Fact::RefundMarked { amount, reference, .. } => {
                self.step(Step::RefundMark)?;
                self.0.paid.refunded += *amount;
                self.0.after_sales = true;
                self.0.refund_marks.push(reference.clone());
            }
            Fact::LeaseReturned { amount, .. } => self.0.leased -= *amount,
            _ => {}
        }
        Ok(())
    }

    /// Facts by which people decide on a bill. Any other bill than the one that it was made in view of takes a proposal
    /// away, and so does a decision.
    fn apply_correction(&mut self, stamp: Stamp, fact: &Fact) -> Result<(), Contradicts> {
        self.0.proposal = None;
        match fact {
            Fact::BillCorrected {
                electricity,
                service,
                reason,
                by,
                approval,
                ..
            } => {
                self.step(Step::Correct)?;
                self.0.bills.push(BillVersion {
                    basis: Basis::Correction,
                    electricity: *electricity,
                    service: *service,
                    detail: None,
                    reason: Some(reason.clone()),
                    by: Some(by.clone()),
                    at: stamp.at,
                    approval: approval.clone(),
                });
            }
            Fact::CorrectionProposed {
                electricity,
                service,
                reason,
                by,
                ..
            } => {
                self.0.proposal = Some(Proposal {
                    number: stamp.seq,
                    electricity: *electricity,
                    service: *service,
                    reason: reason.clone(),
                    by: by.clone(),
                    at: stamp.at,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// What [`Bug::ForgetOutbox`] does.
    pub(crate) fn forget_outbox(&mut self) {
        self.0.commands.clear();
        self.0.stopping = false;
    }

    /// What an energy report counts of it from now on.
    pub(crate) fn count(&mut self, counted: Counted) {
        self.0.counted = Some(counted);
    }

    /// Its record said less on that day than the station had seen, up to that register; or what a person gave it does not.
    pub(crate) fn note_difference(&mut self, differs: Option<(Day, Energy)>) {
        self.0.differs = differs;
    }

    fn step(&mut self, step: Step) -> Result<(), Contradicts> {
        let order = self.id.clone();
        self.0.state = next(Some(self.state), step).map_err(|illegal| Contradicts::Step { order, illegal })?;
        Ok(())
    }

    fn wait(&mut self, at: Mono, kind: DeadlineKind) {
        self.0.deadline = Some(Deadline { at, kind });
    }

    fn note_item(&mut self, item: u64, why: QuarantineReason) {
        let items = &mut self.0.items;
        if items.len() == ITEMS_MAX {
            let closed = items.iter().position(|item| !item.open);
            items.remove(closed.unwrap_or(0));
        }
        let open = true;
        items.push(OrderItem { item, why, open });
    }

    fn close_item(&mut self, number: u64) {
        let item = self.0.items.iter_mut().find(|item| item.item == number);
        if let Some(item) = item {
            item.open = false;
        }
    }

    /// The session is over: no command makes sense any more, and nothing is waited for.
    fn be_over(&mut self) {
        self.0.deadline = None;
        self.0.commands.clear();
    }

    fn issue(&mut self, now: Mono, command: &Command) {
        let commands = &mut self.0.commands;
        commands.retain(|old| old.expires > now && old.kind != command.kind);
        commands.push(command.clone());
        self.0.command_count += 1;
        if matches!(command.kind, CommandKind::Start | CommandKind::Limit) {
            self.0.limit_kwh = command.limit_kwh;
        }
    }

    /// It may have been placed before the register was found lower, and begins with the meter that is there.
    fn follow_meter(&mut self, at: Option<&Connector>) {
        let meter = at.map_or(0, |connector| connector.meters_before);
        if self.meter != meter {
            self.0.meter = meter;
            self.0.baseline = at.and_then(|connector| connector.register);
        }
    }

    /// The register is elsewhere than was believed when it was placed: what was read too high, or of a meter that is not
    /// there, is no reason to doubt its record.
    pub(crate) fn follow_register(&mut self, at: &Connector, given_up: bool) {
        if given_up {
            self.0.meter = at.meters_before;
            self.0.baseline = at.book.explained_to().min(at.register).or(at.register);
        } else if self.0.meter == at.meters_before {
            let began = self.0.started.as_ref().and_then(|started| started.register);
            let now = began.map_or(at.register, |began| at.register.map(|register| register.min(began)));
            self.0.baseline = self.0.baseline.min(now.or(self.0.baseline));
        }
    }

    /// It turns out to be of this one of its connector's meters.
    pub(crate) fn be_of_meter(&mut self, meter: u32) {
        self.0.meter = meter;
    }

    fn move_times(&mut self, by_ms: i64) {
        let row = &mut self.0;
        row.placed_at = row.placed_at.after_ms(by_ms);
        if let Some(started) = &mut row.started {
            started.at = started.at.after_ms(by_ms);
        }
        if let Some(ending) = &mut row.ending {
            let by_ms = row.rated_moved_ms;
            ending.start.at = ending.start.at.after_ms(by_ms);
            ending.stop.at = ending.stop.at.after_ms(by_ms);
        }
        (row.clock_doubted, row.placed_in_doubt) = (false, false);
        (row.clock_moved_ms, row.rated_moved_ms) = (0, 0);
    }

    fn fail(&mut self, reason: &FailReason) -> Result<(), Contradicts> {
        self.step(match reason {
            FailReason::Refused { .. } | FailReason::NeverStarted => Step::StartRefused,
            FailReason::TimedOut => Step::StartTimedOut,
            FailReason::Cancelled => Step::Cancel,
        })?;
        self.0.fail = Some(reason.clone());
        self.0.deadline = None;
        if !is_planted(Bug::KeepHold) {
            self.0.hold.released += self.hold.remaining();
            self.0.commands.clear();
        }
        Ok(())
    }

    fn suspend(&mut self, suspicions: &[Suspicion]) -> Result<(), Contradicts> {
        self.step(Step::Suspend)?;
        for suspicion in suspicions {
            if !self.suspicions.contains(suspicion) {
                self.0.suspicions.push(suspicion.clone());
            }
        }
        self.0.deadline = None;
        Ok(())
    }

    fn pay(&mut self, payment: &Payment) {
        self.0.paid.add(payment);
        self.0.hold.captured += payment.from_hold.total();
        self.0.hold.released += payment.release;
    }

    fn settle(&mut self, at: Wall, payment: &Payment) -> Result<(), Contradicts> {
        let bill = self.bill().ok_or_else(|| Contradicts::NoBill(self.id.clone()))?;
        self.0.first_settled = Some(FirstSettled::after(self.measured_by(), bill, self.estimated));
        self.pay(payment);
        self.step(if self.paid.debt == Fen::ZERO {
            Step::Covered
        } else {
            Step::Uncovered
        })?;
        self.0.deadline = None;
        self.0.settled_at = Some(at);
        match self.hold.is_resolved() {
            true => Ok(()),
            false => Err(Contradicts::StillHolds(self.id.clone())),
        }
    }
}

//! Facts: what happened at the station, in its own words. They are journaled, and nothing else changes money or orders.

use crate::{
    clock::PileClocks,
    correction::Approval,
    energy::EnergyReport,
    faults::ToldBy,
    ids::{BootId, CardId, CommandId, ConnectorNo, MemberId, OrderId, Outlet, PileId, TariffId},
    messages::{BootConnector, EventKind, Record, Unread},
    meter::{RegisterGap, Rollback, Suspicion},
    notice::Notice,
    order::{Basis, Command, Ending, FailReason, Source, Until},
    pile::Make,
    quarantine::CoveredBy,
    rating::{Bill, Reading, SESSION_MS_MAX, SplitDifference},
    settlement::Payment,
    tariff::Tariff,
    time::{Day, Mono, Wall},
    units::{Energy, Fen},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

fn counted() -> bool {
    true
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A pile may connect.
    PileProvisioned {
        /// Which.
        pile: PileId,
    },
    /// A pile may not connect any more.
    PileRemoved {
        /// Which.
        pile: PileId,
        /// Who did it.
        by: String,
    },
    /// A pile said what it is, and that differed from what was known.
    PileBooted {
        /// Which.
        pile: PileId,
        /// This start of it.
        boot_id: BootId,
        /// What it says it is.
        make: Make,
        /// Its connectors with their registers.
        connectors: Vec<BootConnector>,
        /// Connectors whose register is not believed, for all that is known so far.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        doubted: Vec<ConnectorNo>,
    },
    /// A pile fell off the network while others stayed.
    PileDropped {
        /// Which.
        pile: PileId,
        /// When it was last there.
        at: Mono,
    },
    /// Something happened at a connector.
    PileEvent {
        /// Where.
        outlet: Outlet,
        /// What.
        kind: EventKind,
        /// The pile's own code.
        code: i32,
        /// The pile's words.
        text: String,
        /// Who told it; not written down by earlier versions.
        #[serde(default)]
        told_by: ToldBy,
        /// Whether it is one more fault towards `faults_max`. To earlier versions every fault was.
        #[serde(default = "counted")]
        counts: bool,
    },
    /// A pile was fenced off, or put back to work.
    MaintenanceSet {
        /// Which.
        pile: PileId,
        /// Why it takes no orders; `None` puts it back.
        reason: Option<String>,
        /// Who; `holdfast` for the rule.
        by: String,
    },
    /// A member may charge here, or has another name.
    MemberRegistered {
        /// Who.
        member: MemberId,
        /// A name for people.
        name: String,
    },
    /// A member was put on the blacklist, or taken off.
    MemberBlocked {
        /// Who.
        member: MemberId,
        /// Why; `None` takes them off.
        reason: Option<String>,
        /// Who did it.
        by: String,
    },
    /// A card belongs to a member.
    CardBound {
        /// Which card.
        card: CardId,
        /// Whose.
        member: MemberId,
    },
    /// A card belongs to nobody.
    CardUnbound {
        /// Which card.
        card: CardId,
    },
    /// A tariff version was added.
    TariffAdded {
        /// All of it.
        tariff: Tariff,
    },
    /// A member paid in at the desk.
    ToppedUp {
        /// Who.
        member: MemberId,
        /// How much.
        amount: Fen,
        /// The desk's receipt number.
        receipt: String,
        /// Who took the money.
        by: String,
    },
    /// An order was placed.
    OrderPlaced {
        /// Its number.
        order: OrderId,
        /// Where.
        outlet: Outlet,
        /// Who pays.
        member: MemberId,
        /// The tariff it is pinned to.
        tariff: TariffId,
        /// How it came about.
        source: Source,
        /// The driver's own limits.
        until: Until,
        /// The fee at which the station stops it.
        limit_fee: Fen,
        /// The connector's last known register.
        baseline: Option<Energy>,
        /// Of which of its meters; an earlier version did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meter: Option<u32>,
        /// When the start must have been confirmed; none for a session that is over already.
        start_by: Option<Mono>,
    },
    /// Money was reserved.
    HoldTaken {
        /// For which order.
        order: OrderId,
        /// How much.
        amount: Fen,
    },
    /// A command is on its way to the pile.
    CommandIssued {
        /// For which order.
        order: OrderId,
        /// What.
        command: Command,
    },
    /// A pile answered a command.
    CommandAnswered {
        /// For which order.
        order: OrderId,
        /// Which command.
        command: CommandId,
        /// Done, or not.
        ok: bool,
        /// The pile's own code.
        code: i32,
        /// The pile's words.
        message: String,
    },
    /// The pile confirmed the start.
    StartAcknowledged {
        /// Which order.
        order: OrderId,
        /// The register then, if known.
        register: Option<Energy>,
        /// The pile's boot.
        boot_id: Option<BootId>,
    },
    /// The order failed and its hold was released.
    OrderFailed {
        /// Which order.
        order: OrderId,
        /// Why.
        reason: FailReason,
    },
    /// Somebody or something asked for the end of charging.
    StopRequested {
        /// Which order.
        order: OrderId,
        /// Who or what.
        cause: StopCause,
        /// Whether the pile could be reached.
        pile_online: bool,
    },
    /// The pile is there and not charging the order; a record must follow.
    ChargingLost {
        /// Which order.
        order: OrderId,
        /// When an estimate takes the record's place.
        estimate_at: Mono,
    },
    /// It charges after all.
    ChargingResumed {
        /// Which order.
        order: OrderId,
    },
    /// Current flowed and the register did not count it (虚充): a person must look at the order when it ends.
    FakeChargingSeen {
        /// Which order.
        order: OrderId,
        /// What was seen: always [`Suspicion::FakeCharging`].
        suspicion: Suspicion,
    },
    /// The pile's record of an order came.
    RecordReceived {
        /// Which order.
        order: OrderId,
        /// As the pile said it.
        record: Box<Record>,
        /// As the station understands it.
        ending: Ending,
        /// What is wrong with it.
        suspicions: Vec<Suspicion>,
    },
    /// Another record for an order that has one. Only in old journals: since then such a record is put aside
    /// ([`QuarantineReason::Conflict`]), so that a person can act on it.
    RecordConflict {
        /// Which order.
        order: OrderId,
        /// The other record.
        record: Box<Record>,
        /// SHA-256 of its content, hex.
        digest: String,
    },
    /// Energy between sessions that no session accounts for.
    RegisterGapFound {
        /// Before which order.
        order: OrderId,
        /// Where.
        outlet: Outlet,
        /// How much.
        gap: RegisterGap,
    },
    /// A person's decision takes the register along: what of it the order accounts for.
    OrderAccounted {
        /// Which order.
        order: OrderId,
        /// From this register on.
        from: Energy,
        /// Up to this.
        to: Energy,
    },
    /// The pile's split over the tariff differs from the station's; the station's is charged.
    RatingDiffers {
        /// Which order.
        order: OrderId,
        /// Both splits.
        difference: SplitDifference,
    },
    /// The order was rated.
    OrderRated {
        /// Which order.
        order: OrderId,
        /// From what.
        basis: Basis,
        /// Every reading that was used, and what follows from it.
        bill: Bill,
    },
    /// A person set the bill.
    BillCorrected {
        /// Which order.
        order: OrderId,
        /// For electricity.
        electricity: Fen,
        /// For service.
        service: Fen,
        /// Why.
        reason: String,
        /// Who.
        by: String,
        /// The second person, where it took two.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Approval>,
    },
    /// The order waits for a person.
    ReviewOpened {
        /// Which order.
        order: OrderId,
        /// Why.
        suspicions: Vec<Suspicion>,
    },
    /// A person let the bill stand.
    ReviewApproved {
        /// Which order.
        order: OrderId,
        /// Words for the log.
        reason: String,
        /// Who.
        by: String,
    },
    /// Paid for now by an estimate; the remainder of the hold waits for the record.
    OrderEstimated {
        /// Which order.
        order: OrderId,
        /// How the money moved.
        payment: Payment,
        /// When the remainder is released.
        remainder_until: Mono,
    },
    /// The order's money was settled.
    OrderSettled {
        /// Which order.
        order: OrderId,
        /// How the money moved.
        payment: Payment,
    },
    /// A member paid what was owed for an order, or part of it.
    DebtPaid {
        /// Who.
        member: MemberId,
        /// For which order.
        order: OrderId,
        /// How much.
        amount: Fen,
        /// Out of what.
        from: PaidFrom,
        /// The desk's receipt number; may be empty when paid from the allowance.
        receipt: String,
        /// Who took it.
        by: String,
    },
    /// Money went back after settlement (售后退款).
    Refunded {
        /// Which order.
        order: OrderId,
        /// How much.
        amount: Fen,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A message that carries money, or may, and fits nowhere was put aside.
    Quarantined {
        /// Its number: the journal number of this fact.
        why: QuarantineReason,
        /// Which pile said it.
        pile: PileId,
        /// The record, where it could be read.
        record: Option<Box<Record>>,
        /// The message as it came, where it could not (at most 256 KiB).
        raw: Option<Raw>,
        /// When the session was, by the station's clock as measured when the record came.
        times: Option<Box<SessionTimes>>,
        /// SHA-256 of its content, hex: a pile repeats what it was not told about, and nothing is put aside twice.
        digest: String,
        /// What is wrong with it.
        detail: String,
        /// The order that it is about, whose log it belongs in; none where it names none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<OrderId>,
        /// The connector that it names, where it holds no record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connector: Option<ConnectorNo>,
        /// What of the record could not be read, as it was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unread: Option<Box<Unread>>,
    },
    /// A person dealt with it.
    QuarantineClosed {
        /// Its number.
        item: u64,
        /// What was done.
        outcome: QuarantineOutcome,
        /// Why.
        reason: String,
        /// Who.
        by: String,
        /// The order that the item is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<OrderId>,
        /// What else covers its readings, and was known to do so when it was billed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        despite: Vec<CoveredBy>,
        /// The figures that the person read from a message that the station cannot read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        typed: Option<Box<TypedFigures>>,
    },
    /// A person gave an order its record out of quarantine: in place of the one that it had, which contradicts it, or
    /// because the station cannot read the pile's own. [`Fact::QuarantineClosed`] says who and why.
    RecordTaken {
        /// Which order.
        order: OrderId,
        /// From which quarantine item.
        item: u64,
        /// What the order ends with from now on.
        ending: Ending,
    },
    /// A driver was told something.
    Notified {
        /// Who.
        member: MemberId,
        /// About which order.
        order: OrderId,
        /// What.
        notice: Notice,
    },
    /// The station's wall clock was stepped.
    ClockStepped {
        /// By how much, in milliseconds; negative is backwards.
        by_ms: i64,
    },
    /// How a pile's clocks relate to the station's was measured anew: it has started again, shows a clock, or that was set.
    PileClocksMeasured {
        /// Which pile.
        pile: PileId,
        /// All that is known of its last starts.
        clocks: PileClocks,
    },
    /// The station's wall clock cannot be right: what is rated meanwhile waits for a person, or for the clock. Said again
    /// where the station was off meanwhile: nobody knows what the clock did, so what waited for it waits for a person.
    ClockDoubted {
        /// The last certain time: it is later than that.
        certain: Wall,
    },
    /// It can be right again.
    ClockBelieved {
        /// Who said so; none where the clock itself caught up, or was synchronised.
        by: Option<String>,
    },
    /// An order that was placed by a clock that could not be right belongs to another time.
    OrderTimesMoved {
        /// Which order.
        order: OrderId,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// A session that nobody was shown a price for goes by the tariff that was in force when it really was.
    OrderRepinned {
        /// Which order.
        order: OrderId,
        /// By which tariff it is rated from now on.
        tariff: TariffId,
    },
    /// The station was restored from a copy: the first entry of another run of the journal. What the run before it
    /// journaled after the copy was made is not here.
    Restored {
        /// The run that the copy was made of.
        epoch_before: String,
    },
    /// A connector's register was found lower than it had been: another meter, or one that runs backwards (ROLLBACK).
    RegisterRolledBack {
        /// Where.
        outlet: Outlet,
        /// Both readings.
        rollback: Rollback,
    },
    /// A connector's register was found higher than the connector can have delivered, and stays there: the next session
    /// waits for a person.
    RegisterJumped {
        /// Where.
        outlet: Outlet,
        /// Known before.
        known: Energy,
        /// Found.
        found: Energy,
    },
    /// A reading that had been believed was a slip: the register is where it was.
    RegisterCorrected {
        /// Where.
        outlet: Outlet,
        /// The slip.
        wrong: Energy,
        /// The register.
        register: Energy,
    },
    /// A connector's register is where that of the meter before ended: it is there again, or always was, and what was read
    /// since was wrong.
    RegisterReturned {
        /// Where.
        outlet: Outlet,
        /// The last reading of what was taken for another meter.
        wrong: Energy,
        /// The register.
        register: Energy,
    },
    /// An order's register moved more than 1 % and 0.1 kWh further than its record says (ENERGY).
    EnergyDiffers {
        /// Which order.
        order: OrderId,
        /// Where.
        outlet: Outlet,
        /// By the record.
        billed: Energy,
        /// By what the register itself said while the order ran.
        register: Energy,
    },
    /// What follows belongs to this business day.
    DayBegan {
        /// Which.
        day: Day,
    },
    /// A business day's energy was reported.
    EnergyReported {
        /// All of it.
        report: Box<EnergyReport>,
    },
    /// A person has dealt with a pile's meter.
    MeterCleared {
        /// Which pile.
        pile: PileId,
        /// Where its registers are, as last read.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        registers: Vec<(ConnectorNo, Energy)>,
        /// What was done.
        reason: String,
        /// Who.
        by: String,
    },
    /// The first reading under an order whose start was confirmed without one: from here on the driver pays.
    FirstReading {
        /// Which order.
        order: OrderId,
        /// The register.
        register: Energy,
    },
    /// A connector charges without an order of this station. Said once, until it ends.
    UnorderedCharging {
        /// Where.
        outlet: Outlet,
        /// The register when it was first seen to.
        register: Energy,
        /// The session that the pile names, if it does.
        named: Option<OrderId>,
        /// Whether the pile is told to stop it.
        told_to_stop: bool,
    },
    /// It does so no longer.
    UnorderedChargingEnded {
        /// Where.
        outlet: Outlet,
        /// The register when it was first seen to.
        from: Energy,
        /// The register now.
        to: Energy,
    },
    /// A pile has restarted and begun to count anew under the `boot_id` of before.
    PileRestarted {
        /// Which.
        pile: PileId,
        /// The name of both starts.
        boot_id: BootId,
    },
    /// A person wants another bill for an order, so far from the one first settled that a second person must agree. It
    /// takes the place of one that waits. Its number: the journal number of this fact.
    CorrectionProposed {
        /// Which order.
        order: OrderId,
        /// For electricity.
        electricity: Fen,
        /// For service.
        service: Fen,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A proposed correction is not made.
    CorrectionWithdrawn {
        /// Of which order.
        order: OrderId,
        /// Its number.
        proposal: u64,
        /// Why not.
        reason: String,
        /// Who.
        by: String,
    },
    /// A top-up was typed wrong: so much of it is taken back.
    TopUpReversed {
        /// Whose.
        member: MemberId,
        /// The number of the top-up's receipt.
        receipt: String,
        /// How much; never more than is left of the top-up, nor than the member has here.
        amount: Fen,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Somebody took over the desk. The shift's number: the journal number of this fact.
    ShiftOpened {
        /// What the till should hold, by the books.
        till: Fen,
        /// Who.
        by: String,
    },
    /// The cash in the till was counted, and what it differs from the books was booked.
    CashCounted {
        /// What was there.
        counted: Fen,
        /// What should have been there.
        by_books: Fen,
        /// How much more was there; negative: less.
        difference: Fen,
        /// Why it differs, if it does.
        reason: Option<String>,
        /// Who counted.
        by: String,
    },
    /// Cash was taken from the till to the bank.
    CashBanked {
        /// How much.
        amount: Fen,
        /// The number of the bank's slip.
        slip: String,
        /// Who took it.
        by: String,
    },
    /// Whoever had the desk left it.
    ShiftClosed {
        /// The shift's number.
        shift: u64,
        /// What is in the till, as counted.
        till: Fen,
        /// Who closed it.
        by: String,
    },
}

/// In which pile's log a fact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PileLog<'a> {
    /// In this one's.
    Of(&'a PileId),
    /// In that of the pile at which this order runs.
    OfOrder(&'a OrderId),
}

impl Fact {
    /// The order it is about, whose log it belongs in.
    pub fn order(&self) -> Option<&OrderId> {
        match self {
            Fact::OrderPlaced { order, .. }
            | Fact::HoldTaken { order, .. }
            | Fact::CommandIssued { order, .. }
            | Fact::CommandAnswered { order, .. }
            | Fact::StartAcknowledged { order, .. }
            | Fact::OrderFailed { order, .. }
            | Fact::StopRequested { order, .. }
            | Fact::ChargingLost { order, .. }
            | Fact::ChargingResumed { order }
            | Fact::FakeChargingSeen { order, .. }
            | Fact::RecordReceived { order, .. }
            | Fact::RecordConflict { order, .. }
            | Fact::RegisterGapFound { order, .. }
            | Fact::EnergyDiffers { order, .. }
            | Fact::RatingDiffers { order, .. }
            | Fact::OrderRated { order, .. }
            | Fact::BillCorrected { order, .. }
            | Fact::ReviewOpened { order, .. }
            | Fact::ReviewApproved { order, .. }
            | Fact::OrderEstimated { order, .. }
            | Fact::OrderSettled { order, .. }
            | Fact::DebtPaid { order, .. }
            | Fact::Refunded { order, .. }
            | Fact::CorrectionProposed { order, .. }
            | Fact::CorrectionWithdrawn { order, .. }
            | Fact::RecordTaken { order, .. }
            | Fact::OrderTimesMoved { order, .. }
            | Fact::OrderRepinned { order, .. }
            | Fact::OrderAccounted { order, .. }
            | Fact::Notified { order, .. }
            | Fact::FirstReading { order, .. } => Some(order),
            Fact::Quarantined { order, record, .. } => {
                let named = record.as_ref().map(|record| &record.order_id);
                order.as_ref().or(named)
            }
            Fact::QuarantineClosed {
                outcome: QuarantineOutcome::Billed { order },
                ..
            } => Some(order),
            Fact::QuarantineClosed { order, .. } => order.as_ref(),
            Fact::PileProvisioned { .. }
            | Fact::PileRemoved { .. }
            | Fact::PileBooted { .. }
            | Fact::PileDropped { .. }
            | Fact::PileEvent { .. }
            | Fact::MaintenanceSet { .. }
            | Fact::MemberRegistered { .. }
            | Fact::MemberBlocked { .. }
            | Fact::CardBound { .. }
            | Fact::CardUnbound { .. }
            | Fact::TariffAdded { .. }
            | Fact::ToppedUp { .. }
            | Fact::ClockStepped { .. }
            | Fact::ClockDoubted { .. }
            | Fact::ClockBelieved { .. }
            | Fact::PileClocksMeasured { .. }
            | Fact::Restored { .. }
            | Fact::RegisterRolledBack { .. }
            | Fact::RegisterJumped { .. }
            | Fact::RegisterCorrected { .. }
            | Fact::RegisterReturned { .. }
            | Fact::DayBegan { .. }
            | Fact::EnergyReported { .. }
            | Fact::MeterCleared { .. }
            | Fact::UnorderedCharging { .. }
            | Fact::UnorderedChargingEnded { .. }
            | Fact::PileRestarted { .. }
            | Fact::TopUpReversed { .. }
            | Fact::ShiftOpened { .. }
            | Fact::CashCounted { .. }
            | Fact::CashBanked { .. }
            | Fact::ShiftClosed { .. } => None,
        }
    }
}

impl Fact {
    /// The pile whose row it is about.
    pub fn pile(&self) -> Option<&PileId> {
        match self {
            Fact::PileProvisioned { pile }
            | Fact::PileRemoved { pile, .. }
            | Fact::PileBooted { pile, .. }
            | Fact::PileDropped { pile, .. }
            | Fact::MaintenanceSet { pile, .. }
            | Fact::MeterCleared { pile, .. }
            | Fact::PileClocksMeasured { pile, .. }
            | Fact::PileRestarted { pile, .. } => Some(pile),
            Fact::PileEvent { outlet, .. }
            | Fact::RegisterRolledBack { outlet, .. }
            | Fact::RegisterJumped { outlet, .. }
            | Fact::RegisterCorrected { outlet, .. }
            | Fact::RegisterReturned { outlet, .. }
            | Fact::UnorderedCharging { outlet, .. }
            | Fact::UnorderedChargingEnded { outlet, .. } => Some(&outlet.pile),
            _ => None,
        }
    }

    /// The log of a pile that it stands in, if any: what the pile said and did, what it was told, and what was found of
    /// its meter.
    pub fn pile_log(&self) -> Option<PileLog<'_>> {
        match self {
            Fact::CommandIssued { order, .. }
            | Fact::CommandAnswered { order, .. }
            | Fact::ChargingLost { order, .. }
            | Fact::ChargingResumed { order }
            | Fact::FakeChargingSeen { order, .. } => Some(PileLog::OfOrder(order)),
            Fact::RegisterGapFound { outlet, .. } | Fact::EnergyDiffers { outlet, .. } => {
                Some(PileLog::Of(&outlet.pile))
            }
            Fact::Quarantined { pile, .. } => Some(PileLog::Of(pile)),
            _ => self.pile().map(PileLog::Of),
        }
    }

    /// The member it names.
    pub fn member(&self) -> Option<&MemberId> {
        match self {
            Fact::MemberRegistered { member, .. }
            | Fact::MemberBlocked { member, .. }
            | Fact::CardBound { member, .. }
            | Fact::ToppedUp { member, .. }
            | Fact::TopUpReversed { member, .. }
            | Fact::OrderPlaced { member, .. }
            | Fact::DebtPaid { member, .. }
            | Fact::Notified { member, .. } => Some(member),
            _ => None,
        }
    }
}

/// Who or what asked for the end of charging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// The driver, or somebody for them.
    Asked {
        /// Who.
        by: String,
    },
    /// The driver's card.
    Card,
    /// The fee reached the hold less the margin.
    FundsUsed,
    /// The driver's own limit was reached.
    LimitReached,
}

/// What a debt was paid out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidFrom {
    /// Cash at the desk.
    Cash,
    /// The member's allowance here.
    Allowance,
}

/// What one of the desk's receipts was written for. Its number is never taken for anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptUse {
    /// Who paid.
    pub member: MemberId,
    /// How much cash.
    pub amount: Fen,
    /// For what.
    pub paid: ReceiptFor,
    /// Of a top-up: what was taken back because it was typed wrong, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reversals: Vec<Reversal>,
}

impl ReceiptUse {
    /// What was paid and not taken back since.
    pub fn left(&self) -> Fen {
        self.amount - self.reversals.iter().map(|one| one.amount).sum()
    }
}

/// A part of a top-up that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversal {
    /// How much.
    pub amount: Fen,
    /// Why.
    pub reason: String,
}

/// What a bank's slip was written for. Its number is never taken for anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlipUse {
    /// How much cash went to the bank.
    pub amount: Fen,
    /// When, by the station's clock.
    pub at: Wall,
}

/// What cash was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptFor {
    /// The member's allowance.
    TopUp,
    /// What the member owed.
    Debt,
}

impl std::fmt::Display for ReceiptFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReceiptFor::TopUp => "a top-up",
            ReceiptFor::Debt => "a debt",
        })
    }
}

/// Why a message was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    /// A record of no known order (S03 §3.1).
    Orphan,
    /// A record of another outlet's order.
    ForeignOrder,
    /// A record with energy of an order that failed (UNBILLED).
    Unbilled,
    /// An offline session of an unknown card.
    UnknownCard,
    /// An offline session that the station does not take; the detail says why.
    OfflineSessionRefused,
    /// A message that could not be read.
    Malformed,
    /// A record that contradicts the one its order has.
    Conflict,
    /// The pile's split of a billed record over the tariff's periods differs from the station's. No message: the bill
    /// stands, and a person looks at why.
    RatingDiffers,
}

impl QuarantineReason {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            QuarantineReason::Orphan => "orphan",
            QuarantineReason::ForeignOrder => "foreign_order",
            QuarantineReason::Unbilled => "unbilled",
            QuarantineReason::UnknownCard => "unknown_card",
            QuarantineReason::OfflineSessionRefused => "offline_session_refused",
            QuarantineReason::Malformed => "malformed",
            QuarantineReason::Conflict => "conflict",
            QuarantineReason::RatingDiffers => "rating_differs",
        }
    }
}

/// A message exactly as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Raw {
    /// It was UTF-8.
    Text(String),
    /// It was not.
    Bytes {
        /// All of it.
        base64: String,
    },
}

impl Raw {
    /// `payload` as it came: not a byte of it is lost.
    pub fn of(payload: &[u8]) -> Self {
        match std::str::from_utf8(payload) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes {
                base64: STANDARD.encode(payload),
            },
        }
    }

    /// What tells it from others.
    pub(crate) fn content(&self) -> &[u8] {
        match self {
            Raw::Text(text) => text.as_bytes(),
            Raw::Bytes { base64 } => base64.as_bytes(),
        }
    }
}

/// What a person did with a quarantined message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineOutcome {
    /// Nothing is owed.
    Dismissed,
    /// It was billed.
    Billed {
        /// As this order.
        order: OrderId,
    },
}

/// What a person read from a message that the station cannot read: one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedFigures {
    /// At which connector of the pile.
    pub connector: ConnectorNo,
    /// The register at the start, and when by the station's clock.
    pub start: Reading,
    /// The register at the end, and when by the station's clock.
    pub stop: Reading,
}

/// A record's times, moved to the station's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTimes {
    /// When it began.
    pub start: Wall,
    /// When it ended.
    pub stop: Wall,
    /// The buffered readings whose time is known.
    pub samples: Vec<Reading>,
    /// Why the times cannot be believed.
    pub suspicion: Option<Suspicion>,
    /// Further reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Suspicion>,
}

impl SessionTimes {
    /// Times that nobody doubts.
    pub fn certain(start: Wall, stop: Wall, samples: Vec<Reading>) -> Self {
        Self {
            start,
            stop,
            samples,
            suspicion: None,
            also: Vec::new(),
        }
    }

    /// How long the session lasted, for what its connector can have delivered, in milliseconds. Of times that are not known
    /// at all the pile's uptime tells, as far as it makes sense.
    pub fn lasted_ms(&self, record: &Record) -> i64 {
        let lasted = self.stop.ms_since(self.start);
        let is_unknown = self.suspicions().any(|doubt| *doubt == Suspicion::ClockUnknown);
        let uptime = record.uptime().filter(|_| is_unknown);
        let by_uptime = uptime.and_then(|(start, stop)| i64::try_from(stop.checked_sub(start)?).ok());
        let possible = by_uptime.filter(|ms| *ms <= SESSION_MS_MAX);
        possible.map_or(lasted, |ms| ms.max(lasted))
    }

    /// Every reason why they cannot be believed.
    pub fn suspicions(&self) -> impl Iterator<Item = &Suspicion> {
        self.suspicion.iter().chain(&self.also)
    }

    /// The same session by a station's clock that has been put forward by so many milliseconds since.
    pub(crate) fn moved(mut self, by_ms: i64) -> Self {
        let own = [&mut self.start, &mut self.stop].into_iter();
        for at in own.chain(self.samples.iter_mut().map(|sample| &mut sample.at)) {
            *at = at.after_ms(by_ms);
        }
        self
    }

    /// The same times, now that the station's own clock is certain. A step between the session and its record may be the one
    /// that began the doubt, and how long the station was off before that one nobody knows.
    pub(crate) fn believed(self) -> Self {
        let doubts = self.suspicion.into_iter().chain(self.also);
        let mut others = doubts.filter(|doubt| *doubt != Suspicion::StationClockInDoubt);
        Self {
            suspicion: others.next(),
            also: others.collect(),
            ..self
        }
    }
}

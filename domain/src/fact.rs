//! Facts: what happened at the station, in its own words. They are journaled, and nothing else changes money or orders.
//! Each is described, field by field, in `docs/journal.md`; what was written once is read for ever.
//!
//! | file | holds |
//! |---|---|
//! | `kind` | the one list of the kinds' names |
//! | `about` | which order, pile and member a fact is about, and so in whose log it stands |
//! | `desk` | receipts, slips, what was paid out of what |
//! | `restored` | who let a restored station go on alone, and why |
//! | `set_aside` | messages that a person must look at, and what was done about them |
//! | `session` | a session's times by the station's clock, and who asked for its end |

mod about;
mod desk;
mod kind;
mod restored;
mod session;
mod set_aside;

pub use about::PileLog;
pub use desk::{PaidFrom, ReceiptFor, ReceiptUse, Reversal, SlipUse};
pub use restored::WentOnAlone;
pub use session::{SessionTimes, StopCause};
pub use set_aside::{QuarantineOutcome, QuarantineReason, Raw, TypedFigures};

use crate::{
    clock::PileClocks,
    correction::Approval,
    energy::EnergyReport,
    faults::ToldBy,
    head_office::{DirectiveNo, HqEpoch, HqKey, LeasedBy, RefusedDirective},
    ids::{BootId, CardId, CommandId, ConnectorNo, MemberId, OrderId, Outlet, PileId, TariffId},
    messages::{BootConnector, EventKind, Record, Unread},
    meter::{RegisterGap, Rollback, Suspicion},
    notice::Notice,
    order::{Basis, Command, Ending, FailReason, Source, Until},
    pile::Make,
    quarantine::CoveredBy,
    rating::{Bill, SplitDifference},
    settlement::Payment,
    tariff::Tariff,
    time::{Day, Mono, Wall},
    units::{Energy, Fen},
};
use serde::{Deserialize, Serialize};

fn counted() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_nothing(amount: &Fen) -> bool {
    *amount == Fen::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_not_so(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_none_at_all(count: &u32) -> bool {
    *count == 0
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "what a field's name says is said here once; docs/journal.md describes every field"
)]
pub enum Fact {
    /// A pile may connect.
    PileProvisioned {
        pile: PileId,
        /// Who let it in; an earlier version did not say.
        #[serde(default)]
        by: String,
    },
    /// A pile may not connect any more.
    PileRemoved { pile: PileId, by: String },
    /// A pile said what it is, and that differed from what was known.
    PileBooted {
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
        pile: PileId,
        /// When it was last there.
        at: Mono,
    },
    /// Something happened at a connector.
    PileEvent {
        outlet: Outlet,
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
        /// How many of this kind came since the last one that is written down, and are not.
        #[serde(default, skip_serializing_if = "is_none_at_all")]
        left_out: u32,
    },
    /// A pile has had so much journaled today that it takes no orders, and only that counts of what it says which money
    /// needs: until the next day, or until a person says so.
    PileBudgetSpent {
        pile: PileId,
        /// How many bytes.
        bytes: u64,
    },
    /// It may say as much again.
    PileBudgetRenewed {
        pile: PileId,
        /// Who says so; none where another day has begun.
        by: Option<String>,
    },
    /// A pile was fenced off, or put back to work.
    MaintenanceSet {
        pile: PileId,
        /// Why it takes no orders; `None` puts it back.
        reason: Option<String>,
        /// Who; `holdfast` for the rule.
        by: String,
    },
    /// A member may charge here, or has another name.
    MemberRegistered {
        member: MemberId,
        /// A name for people.
        name: String,
        /// Who registered them; an earlier version did not say.
        #[serde(default)]
        by: String,
        /// The member is head office's from now on, and their money there a wallet.
        #[serde(default, skip_serializing_if = "is_not_so")]
        head_office: bool,
    },
    /// A member was put on the blacklist, or taken off.
    MemberBlocked {
        member: MemberId,
        /// Why; `None` takes them off.
        reason: Option<String>,
        by: String,
        /// It is head office's blacklist, and not the desk's.
        #[serde(default, skip_serializing_if = "is_not_so")]
        head_office: bool,
    },
    /// A card belongs to a member.
    CardBound {
        card: CardId,
        member: MemberId,
        /// Who gave it out; an earlier version did not say.
        #[serde(default)]
        by: String,
    },
    /// A card belongs to nobody.
    CardUnbound {
        card: CardId,
        /// Who took it back; an earlier version did not say.
        #[serde(default)]
        by: String,
    },
    /// A tariff version was added.
    TariffAdded {
        tariff: Tariff,
        /// Who added it; an earlier version did not say.
        #[serde(default)]
        by: String,
    },
    /// A member paid in at the desk.
    ToppedUp {
        member: MemberId,
        amount: Fen,
        /// The desk's receipt number.
        receipt: String,
        by: String,
    },
    /// An order was placed.
    OrderPlaced {
        order: OrderId,
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
    HoldTaken { order: OrderId, amount: Fen },
    /// A command is on its way to the pile.
    CommandIssued { order: OrderId, command: Command },
    /// A pile answered a command.
    CommandAnswered {
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
        order: OrderId,
        /// The register then, if known.
        register: Option<Energy>,
        /// The pile's boot.
        boot_id: Option<BootId>,
    },
    /// The order failed and its hold was released.
    OrderFailed { order: OrderId, reason: FailReason },
    /// Somebody or something asked for the end of charging.
    StopRequested {
        order: OrderId,
        /// Who or what.
        cause: StopCause,
        /// Whether the pile could be reached.
        pile_online: bool,
    },
    /// The pile is there and not charging the order; a record must follow.
    ChargingLost {
        order: OrderId,
        /// When an estimate takes the record's place.
        estimate_at: Mono,
    },
    /// It charges after all.
    ChargingResumed { order: OrderId },
    /// Current flowed and the register did not count it (虚充): a person must look at the order when it ends.
    FakeChargingSeen {
        order: OrderId,
        /// What was seen: always [`Suspicion::FakeCharging`].
        suspicion: Suspicion,
    },
    /// The pile's record of an order came.
    RecordReceived {
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
        outlet: Outlet,
        gap: RegisterGap,
    },
    /// A person's decision takes the register along: what of it the order accounts for.
    OrderAccounted {
        order: OrderId,
        /// From this register on.
        from: Energy,
        /// Up to this.
        to: Energy,
    },
    /// The pile's split over the tariff differs from the station's; the station's is charged.
    RatingDiffers {
        order: OrderId,
        /// Both splits.
        difference: SplitDifference,
    },
    /// The order was rated.
    OrderRated {
        order: OrderId,
        /// From what.
        basis: Basis,
        /// Every reading that was used, and what follows from it.
        bill: Bill,
    },
    /// A person set the bill.
    BillCorrected {
        order: OrderId,
        electricity: Fen,
        service: Fen,
        reason: String,
        by: String,
        /// The second person, where it took two.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Approval>,
    },
    /// The order waits for a person.
    ReviewOpened { order: OrderId, suspicions: Vec<Suspicion> },
    /// A person let the bill stand.
    ReviewApproved { order: OrderId, reason: String, by: String },
    /// Paid for now by an estimate; the remainder of the hold waits for the record.
    OrderEstimated {
        order: OrderId,
        /// How the money moved.
        payment: Payment,
        /// When the remainder is released.
        remainder_until: Mono,
    },
    /// The order's money was settled.
    OrderSettled {
        order: OrderId,
        /// How the money moved.
        payment: Payment,
    },
    /// A member paid what was owed for an order, or part of it.
    DebtPaid {
        member: MemberId,
        order: OrderId,
        amount: Fen,
        /// Out of what.
        from: PaidFrom,
        /// The desk's receipt number; may be empty when paid from the allowance. Of what a wallet paid, head office's.
        receipt: String,
        by: String,
        /// The directive that brought the money, where a wallet paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        directive: Option<DirectiveNo>,
    },
    /// Money went back after settlement (售后退款).
    Refunded {
        order: OrderId,
        amount: Fen,
        reason: String,
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
        item: u64,
        outcome: QuarantineOutcome,
        reason: String,
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
        order: OrderId,
        /// From which quarantine item.
        item: u64,
        /// What the order ends with from now on.
        ending: Ending,
    },
    /// A driver was told something.
    Notified {
        member: MemberId,
        order: OrderId,
        notice: Notice,
    },
    /// The station's wall clock was stepped.
    ClockStepped {
        /// By how much, in milliseconds; negative is backwards.
        by_ms: i64,
    },
    /// The station's wall clock was put elsewhere while the station was off, as the clocks of a pile tell that went on
    /// meanwhile: what is known of starts of piles that were not heard since may be by a wrong clock.
    ClockMoveFound {
        /// The pile whose clocks tell.
        pile: PileId,
        /// By how much, in milliseconds; negative is backwards.
        by_ms: i64,
    },
    /// How a pile's clocks relate to the station's was measured anew: it has started again, shows a clock, or that was set.
    PileClocksMeasured {
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
        order: OrderId,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// A session that nobody was shown a price for goes by the tariff that was in force when it really was.
    OrderRepinned {
        order: OrderId,
        /// By which tariff it is rated from now on.
        tariff: TariffId,
    },
    /// The station was restored from a copy: the first entry of another run of the journal. What the run before it
    /// journaled after the entry before this one is not here.
    Restored {
        /// The run that goes before.
        epoch_before: String,
        /// A person went on without what head office may have beyond the copy: another branch of the journal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alone: Option<WentOnAlone>,
    },
    /// A connector's register was found lower than it had been: another meter, or one that runs backwards (ROLLBACK).
    RegisterRolledBack {
        outlet: Outlet,
        /// Both readings.
        rollback: Rollback,
    },
    /// A connector's register was found higher than the connector can have delivered, and stays there: the next session
    /// waits for a person.
    RegisterJumped {
        outlet: Outlet,
        /// Known before.
        known: Energy,
        /// Found.
        found: Energy,
    },
    /// A reading that had been believed was a slip: the register is where it was.
    RegisterCorrected {
        outlet: Outlet,
        /// The slip.
        wrong: Energy,
        /// The register.
        register: Energy,
    },
    /// A connector's register is where that of the meter before ended: it is there again, or always was, and what was read
    /// since was wrong.
    RegisterReturned {
        outlet: Outlet,
        /// The last reading of what was taken for another meter.
        wrong: Energy,
        /// The register.
        register: Energy,
    },
    /// An order's register moved more than 1 % and 0.1 kWh further than its record says (ENERGY).
    EnergyDiffers {
        order: OrderId,
        outlet: Outlet,
        /// By the record.
        billed: Energy,
        /// By what the register itself said while the order ran.
        register: Energy,
    },
    /// What follows belongs to this business day.
    DayBegan { day: Day },
    /// A business day's energy was reported.
    EnergyReported { report: Box<EnergyReport> },
    /// A person has dealt with a pile's meter.
    MeterCleared {
        pile: PileId,
        /// Where its registers are, as last read.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        registers: Vec<(ConnectorNo, Energy)>,
        reason: String,
        by: String,
    },
    /// The first reading under an order whose start was confirmed without one: from here on the driver pays.
    FirstReading {
        order: OrderId,
        /// The register.
        register: Energy,
    },
    /// A connector charges without an order of this station. Said once, until it ends.
    UnorderedCharging {
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
        outlet: Outlet,
        /// The register when it was first seen to.
        from: Energy,
        /// The register now.
        to: Energy,
    },
    /// A pile has restarted and begun to count anew under the `boot_id` of before.
    PileRestarted {
        pile: PileId,
        /// The name of both starts.
        boot_id: BootId,
    },
    /// A person wants another bill for an order, so far from the one first settled that a second person must agree. It
    /// takes the place of one that waits. Its number: the journal number of this fact.
    CorrectionProposed {
        order: OrderId,
        electricity: Fen,
        service: Fen,
        reason: String,
        by: String,
    },
    /// A proposed correction is not made.
    CorrectionWithdrawn {
        order: OrderId,
        proposal: u64,
        reason: String,
        by: String,
    },
    /// A top-up was typed wrong: so much of it is taken back.
    TopUpReversed {
        member: MemberId,
        /// The number of the top-up's receipt.
        receipt: String,
        /// How much; never more than is left of the top-up, nor than the member has here.
        amount: Fen,
        /// What was typed too much besides and a member of head office's has not here any more: a discrepancy of cash, which head office
        /// settles with their wallet.
        #[serde(default, skip_serializing_if = "is_nothing")]
        missing: Fen,
        reason: String,
        by: String,
    },
    /// Somebody took over the desk. The shift's number: the journal number of this fact.
    ShiftOpened {
        /// What the till should hold, by the books.
        till: Fen,
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
        by: String,
    },
    /// Cash was taken from the till to the bank.
    CashBanked {
        amount: Fen,
        /// The number of the bank's slip.
        slip: String,
        by: String,
    },
    /// Whoever had the desk left it.
    ShiftClosed {
        /// The shift's number.
        shift: u64,
        /// What is in the till, as counted.
        till: Fen,
        by: String,
    },
    /// The station goes by this life of head office from now on: directives and vouchers of another one count for nothing. It
    /// also says that head office follows this branch of the journal.
    HeadOfficeSeen { hq_epoch: HqEpoch },
    /// A directive was taken: done, as the facts before this one in its step say, or refused.
    DirectiveTaken {
        directive: DirectiveNo,
        /// SHA-256 of its bytes, hex: a number has one content.
        sha256: String,
        /// Why it was not done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<RefusedDirective>,
    },
    /// Money of a member's wallet came here to be spent.
    LeaseReceived {
        member: MemberId,
        amount: Fen,
        by: LeasedBy,
    },
    /// Money went back to a member's wallet: recalled, or come free of an order that head office placed.
    LeaseReturned {
        member: MemberId,
        amount: Fen,
        /// The order whose hold or fee came free.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<OrderId>,
        /// The directive that recalled it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        directive: Option<DirectiveNo>,
    },
    /// A card that is unknown here, or has too little here, was held to a pile: head office is asked to start. The wish's
    /// number: the journal number of this fact.
    StartWished {
        card: CardId,
        outlet: Outlet,
        /// Whose card it is, if that is known here.
        member: Option<MemberId>,
    },
    /// What a member owes elsewhere is this much now.
    MemberOwes {
        member: MemberId,
        amount: Fen,
        /// Head office's receipt that was shown at the desk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
        by: String,
    },
    /// Vouchers that end by then are not taken any more: what they carried and was not taken goes back.
    VouchersClosed { until: Wall },
    /// A key that head office signs with: it counts beside those that count, or ends.
    HeadOfficeKeySet {
        key: HqKey,
        /// It counts until [`Fact::VouchersClosed`] has come there; none: for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends: Option<Wall>,
    },
    /// Money is given back for an order out of head office's books (售后退款).
    RefundMarked {
        order: OrderId,
        amount: Fen,
        /// Head office's number of the refund.
        reference: String,
    },
}

//! Why an input was refused, in words for people and a word for programs.

use crate::{
    correction::BILL_VERSIONS_MAX,
    fact::{ReceiptUse, SlipUse},
    head_office::{DirectiveNo, DirectiveRow, HQ_KEYS_MAX, HqKey},
    ids::{CardId, MemberId, OrderId, Outlet, PileId, SiteId, TariffId},
    order::{Illegal, State},
    quarantine::Covering,
    time::Wall,
    units::Fen,
};

/// Why an input was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No such member.
    #[error("member {0} is not known at this station")]
    UnknownMember(MemberId),
    /// The member is on the blacklist.
    #[error("member {member} is blocked: {reason}")]
    MemberBlocked {
        /// Who.
        member: MemberId,
        /// Why.
        reason: String,
    },
    /// The member owes money (S05 §2.3).
    #[error("member {member} owes {debt} yuan; it must be paid before the next start")]
    UnpaidDebt {
        /// Who.
        member: MemberId,
        /// How much.
        debt: Fen,
    },
    /// The member charges already.
    #[error("member {0} has an order running")]
    TooManyOpenOrders(MemberId),
    /// No such pile.
    #[error("pile {0} is not known at this station")]
    UnknownPile(PileId),
    /// The pile has no such connector.
    #[error("{0} is not a connector of this pile")]
    UnknownConnector(Outlet),
    /// The pile is not connected.
    #[error("pile {0} is offline")]
    PileOffline(PileId),
    /// The pile is fenced off.
    #[error("pile {pile} is in maintenance: {reason}")]
    PileInMaintenance {
        /// Which.
        pile: PileId,
        /// Why.
        reason: String,
    },
    /// The connector is broken or out of use.
    #[error("connector {0} reports a fault or is out of use")]
    ConnectorUnavailable(Outlet),
    /// Somebody charges there.
    #[error("connector {0} is busy")]
    ConnectorBusy(Outlet),
    /// Outside the site's limits.
    #[error("a prepayment is from {min} to {max} yuan, not {prepay}")]
    PrepayOutsideLimits {
        /// What was asked.
        prepay: Fen,
        /// At least.
        min: Fen,
        /// At most.
        max: Fen,
    },
    /// Less than what the connector delivers before it can be stopped.
    #[error("{prepay} yuan does not cover the {margin} yuan this connector may deliver while it is being stopped")]
    PrepayBelowMargin {
        /// What was asked.
        prepay: Fen,
        /// The margin.
        margin: Fen,
    },
    /// More than there is.
    #[error("{needed} yuan needed, {available} there")]
    InsufficientFunds {
        /// What was asked.
        needed: Fen,
        /// What is there.
        available: Fen,
    },
    /// No tariff is in force.
    #[error("no tariff is in force; add one first")]
    NoTariff,
    /// No such order.
    #[error("order {0} is not known at this station")]
    UnknownOrder(OrderId),
    /// Not in this state.
    #[error("order {order}: {illegal}")]
    Illegal {
        /// Which order.
        order: OrderId,
        /// What does not fit.
        illegal: Illegal,
    },
    /// An amount that must be above zero is not.
    #[error("an amount must be above zero, not {0}")]
    NotPositive(Fen),
    /// An amount is larger than the station can hold.
    #[error("{amount} is more than the {most} yuan that can be booked at once")]
    AmountTooLarge {
        /// What was asked.
        amount: Fen,
        /// The most.
        most: Fen,
    },
    /// More than is owed, or can be given back.
    #[error("{amount} is more than the {most} yuan there is")]
    TooMuch {
        /// What was asked.
        amount: Fen,
        /// The most.
        most: Fen,
    },
    /// A receipt's number counts once.
    #[error(
        "receipt {receipt} was written for {} of {} yuan by member {}",
        used.paid,
        used.amount,
        used.member
    )]
    ReceiptUsed {
        /// Its number.
        receipt: String,
        /// What it was written for.
        used: ReceiptUse,
    },
    /// A reason must be given.
    #[error("a reason must be given")]
    NoReason,
    /// That tariff version is there with other content.
    #[error("tariff {0} exists with other content; a version is never changed, add one with a new id")]
    TariffExists(TariffId),
    /// A tariff that took effect earlier cannot be added afterwards.
    #[error("tariff {0} would take effect before now; orders are pinned to what was in force when they were placed")]
    TariffInThePast(TariffId),
    /// The pile has an order running.
    #[error("pile {pile} has order {order} running")]
    PileBusy {
        /// Which pile.
        pile: PileId,
        /// The order.
        order: OrderId,
    },
    /// No such quarantined message.
    #[error("quarantine has no open item {0}")]
    UnknownQuarantineItem(u64),
    /// What the pile said cannot be kept, so it is not acknowledged: the pile keeps it.
    #[error(
        "pile {pile} has {} KiB in quarantine, of {} KiB that may wait there; close items of it (GET /v1/quarantine), then it can send the rest",
        kept / 1024,
        most / 1024
    )]
    QuarantineFull {
        /// Which pile.
        pile: PileId,
        /// What waits already, in bytes.
        kept: u64,
        /// The most, in bytes.
        most: u64,
    },
    /// The pile has had too much journaled today, so what it says is not acknowledged: the pile keeps it for the next day.
    #[error(
        "pile {pile} has had {} KiB journaled today, of {} KiB that one pile may; it keeps the rest until the next day, or until \
         it is put back to work (holdfast-edge pile maintenance {pile} --off)",
        written / 1024,
        most / 1024
    )]
    JournalBudgetSpent {
        /// Which pile.
        pile: PileId,
        /// What was journaled already, in bytes.
        written: u64,
        /// The most, in bytes.
        most: u64,
    },
    /// It cannot be billed.
    #[error("quarantine item {item} cannot be billed: {why}")]
    NotBillable {
        /// Which.
        item: u64,
        /// Why not.
        why: String,
    },
    /// No such card.
    #[error("card {0} belongs to nobody")]
    UnknownCard(CardId),
    /// The clock is before the station was made: it cannot be confirmed.
    #[error("the clock shows {0}, which cannot be right; set it first (`timedatectl set-time`), then confirm it")]
    ClockWrong(Wall),
    /// The station is not taking new orders.
    #[error("the station takes no new orders: {0}")]
    NotTakingOrders(String),
    /// Something else covers the readings of a quarantine item, or not what was said to.
    #[error(
        "quarantine item {item}: {}; look whether the same energy would be billed twice, and name exactly these in \
         `despite` to bill the item all the same",
        covered(covers)
    )]
    Covered {
        /// Which item.
        item: u64,
        /// What covers them, and from where to where; nothing if more was named than is there.
        covers: Vec<Covering>,
    },
    /// Only a bill that was settled can be corrected.
    #[error("order {order} is {state}: {}", way_to_a_bill(*state))]
    NotCorrectable {
        /// Which order.
        order: OrderId,
        /// Where it stands.
        state: State,
    },
    /// An order's bill was corrected too often.
    #[error(
        "the bill of order {0} has {BILL_VERSIONS_MAX} versions, the most there can be; let it stand, and give money back by a refund"
    )]
    TooManyBills(OrderId),
    /// It takes two people, and this one cannot be told from another.
    #[error(
        "this bill differs by {differs} yuan from the one order {order} was first settled by, and above {above} yuan it takes two people; {by} may be anybody on the station's machine: ask with a token of your own (HTTP API, or --token-file)"
    )]
    SecondPersonNeeded {
        /// Which order.
        order: OrderId,
        /// By how much.
        differs: Fen,
        /// The most that one person may do.
        above: Fen,
        /// Who asked.
        by: String,
    },
    /// Who proposed a correction and who approves it are not two people.
    #[error(
        "correction {proposal} of order {order} was proposed by {proposed_by}, and {by} cannot be told from them: somebody else must approve it, with a token of their own (HTTP API, or --token-file)"
    )]
    NotASecondPerson {
        /// Which order.
        order: OrderId,
        /// The number of the proposal.
        proposal: u64,
        /// Who wants it.
        proposed_by: String,
        /// Who approves.
        by: String,
    },
    /// Who billed an order out of quarantine and who approves that are not two people.
    #[error(
        "this bill differs by {differs} yuan from the one order {order} was first settled by, and above {above} yuan it takes two people: {billed_by} billed it out of quarantine, and {by} cannot be told from them; somebody else must approve it, with a token of their own (HTTP API, or --token-file)"
    )]
    BilledByOnePerson {
        /// Which order.
        order: OrderId,
        /// By how much.
        differs: Fen,
        /// The most that one person may do.
        above: Fen,
        /// Who billed it.
        billed_by: String,
        /// Who approves.
        by: String,
    },
    /// No such correction waits.
    #[error("order {order} has no correction {proposal} waiting{}", instead(*waits))]
    UnknownProposal {
        /// Which order.
        order: OrderId,
        /// What was asked for.
        proposal: u64,
        /// What waits instead.
        waits: Option<u64>,
    },
    /// No such receipt.
    #[error("no top-up was written under receipt {0}")]
    UnknownReceipt(String),
    /// What was paid for a debt is not taken back like a top-up.
    #[error(
        "receipt {receipt} was written for a debt of {} yuan by member {}; money that was paid for an order goes back to the balance by a lower bill of it or a refund (holdfast-edge order correct; POST /v1/orders/{{id}}/corrections or /refunds)",
        used.amount,
        used.member
    )]
    NotATopUp {
        /// Its number.
        receipt: String,
        /// What it was written for.
        used: ReceiptUse,
    },
    /// A top-up was taken back in too many parts.
    #[error("receipt {receipt} was taken back in {most} parts already, the most there can be")]
    TooManyReversals {
        /// Its number.
        receipt: String,
        /// The most.
        most: usize,
    },
    /// Somebody has the desk.
    #[error("the desk is {by}'s since {since} (shift {shift}): count the cash and close that shift first")]
    ShiftIsOpen {
        /// Its number.
        shift: u64,
        /// Who opened it.
        by: String,
        /// Since when.
        since: Wall,
    },
    /// Nobody has the desk.
    #[error("no shift is open at the desk")]
    NoShift,
    /// A shift ends with a count.
    #[error("cash of shift {0} has moved since it was counted, or never was: count it, then close the shift")]
    ShiftNotCounted(u64),
    /// The till does not hold what the books say.
    #[error(
        "{counted} yuan were counted, {by_books} should be there by the books: count again, or say why in `reason`, and the difference is booked"
    )]
    CountDiffers {
        /// What was there.
        counted: Fen,
        /// What should have been.
        by_books: Fen,
    },
    /// It is head office's to do.
    #[error("{0} is head office's here: ask there, or have it done there; the station is told by itself")]
    HeadOfficeOwns(&'static str),
    /// Members that are made at the desk have ids that no other site and head office itself can make.
    #[error("a member who is registered at this desk has an id that begins with `s{site}_`, not {member}")]
    NotThisSitesMember {
        /// Who.
        member: MemberId,
        /// The number that head office has given the site.
        site: u64,
    },
    /// The member owes money elsewhere.
    #[error(
        "member {member} owes {amount} yuan at another site; once it is paid, head office says so, or the desk lifts it by head office's receipt"
    )]
    OwesElsewhere {
        /// Who.
        member: MemberId,
        /// How much.
        amount: Fen,
    },
    /// A member of the station's own has no wallet at head office.
    #[error("member {0} is this station's own: an admin at head office says first who that is there")]
    NotHeadOffices(MemberId),
    /// It is of another life of head office than the last one seen.
    #[error("it is of another life of head office's database than the last one that was seen here")]
    OtherHqEpoch,
    /// Directives are taken in order.
    #[error("directive {expected} of {row} comes next")]
    DirectiveOutOfOrder {
        /// In which row.
        row: DirectiveRow,
        /// Its number.
        expected: u64,
    },
    /// A directive's number has one content.
    #[error("directive {0} was taken with another content")]
    OtherDirective(DirectiveNo),
    /// A directive that this program cannot read.
    #[error("this program cannot read it, and a newer one may: {0}")]
    UnreadableDirective(String),
    /// It came too late.
    #[error("it ended at {expires_at}, and by head office's clock it may be {at_most}")]
    Expired {
        /// When it ended.
        expires_at: Wall,
        /// So late it may be.
        at_most: Wall,
    },
    /// Nobody knows whether it came too late.
    #[error(
        "whether it has ended by now is not known: head office has not said what time it is, and the station's clock is not trusted"
    )]
    NoTime,
    /// The card was held elsewhere since, somebody else has ordered there, or nobody waits there any more.
    #[error("the card was held to another pile since, another order was placed there, or it is over two minutes ago")]
    WishOver,
    /// The bill is another than the one that was decided on.
    #[error("order {order} has {found} versions of its bill, and {meant} when this was decided")]
    OtherBill {
        /// Which order.
        order: OrderId,
        /// How many there are.
        found: usize,
        /// How many there were.
        meant: usize,
    },
    /// What the member has here is frozen.
    #[error(
        "{frozen} yuan of member {member} are frozen until head office says which branch of this station's journal lives: they came from there before the station was restored"
    )]
    LeasesFrozen {
        /// Who.
        member: MemberId,
        /// How much.
        frozen: Fen,
    },
    /// A voucher for another site.
    #[error("the voucher is for the site {0}")]
    VoucherOfOtherSite(SiteId),
    /// A voucher that head office gave out before the station was restored from a copy: it may have been taken.
    #[error(
        "the voucher was given out before this station was restored from a copy; what it carries goes back to the wallet"
    )]
    VoucherBeforeRestore,
    /// A voucher that is too old.
    #[error("the voucher ended at {0}; what it carries goes back to the wallet")]
    VoucherClosed(Wall),
    /// A key of head office's that has ended, or ends.
    #[error("head office's key {0} has ended, or is about to: it does not count again, nor for longer")]
    KeyEnds(HqKey),
    /// A key of head office's must stay.
    #[error("head office's key {0} is the only one that this station was told of: another one is announced first")]
    LastKey(HqKey),
    /// Too many keys of head office's.
    #[error("head office has had {HQ_KEYS_MAX} keys, and no station remembers more")]
    TooManyKeys,
    /// A bank slip's number counts once.
    #[error("slip {slip} was written for {} yuan taken to the bank at {}", used.amount, used.at)]
    SlipUsed {
        /// Its number.
        slip: String,
        /// What it was written for.
        used: SlipUse,
    },
}

fn covered(covers: &[Covering]) -> String {
    let said = covers
        .iter()
        .map(|Covering { by, from, to }| format!("{by} covers {from} to {to} kWh"));
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        "nothing else covers its readings".to_owned()
    } else {
        said.join(", ")
    }
}

/// What to do about an order whose bill cannot be corrected.
fn way_to_a_bill(state: State) -> &'static str {
    match state {
        State::Place | State::Charging => "it has no bill yet; stop it and wait for its record, then correct the bill",
        State::Settle => {
            "its estimate waits for the pile's record; correct the bill once that has come or the rest of the hold was released"
        }
        State::Review => "its bill waits for a decision; set it there (POST /v1/reviews/{order}/decision)",
        State::Fail => {
            "it never began and has no bill; what its pile delivered all the same is billed from quarantine (GET /v1/quarantine)"
        }
        State::Payed | State::Unpaid => "its bill can be corrected",
    }
}

fn instead(waits: Option<u64>) -> String {
    waits.map_or_else(
        || "; it was approved, withdrawn, or the bill has changed since".to_owned(),
        |number| format!("; correction {number} has taken its place"),
    )
}

impl Rejected {
    /// "Not now": it passes by itself or when somebody makes room, and the same request may be made again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Rejected::NotTakingOrders(_))
    }

    /// Whether what was said stays with the pile: it is not acknowledged, so that nothing that carries money is lost.
    pub fn stays_with_pile(&self) -> bool {
        matches!(
            self,
            Rejected::QuarantineFull { .. } | Rejected::JournalBudgetSpent { .. }
        )
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Rejected::UnknownMember(_) => "unknown_member",
            Rejected::MemberBlocked { .. } => "member_blocked",
            Rejected::UnpaidDebt { .. } => "unpaid_debt",
            Rejected::TooManyOpenOrders(_) => "too_many_open_orders",
            Rejected::UnknownPile(_) => "unknown_pile",
            Rejected::UnknownConnector(_) => "unknown_connector",
            Rejected::PileOffline(_) => "pile_offline",
            Rejected::PileInMaintenance { .. } => "pile_in_maintenance",
            Rejected::ConnectorUnavailable(_) => "connector_unavailable",
            Rejected::ConnectorBusy(_) => "connector_busy",
            Rejected::PrepayOutsideLimits { .. } => "prepay_outside_limits",
            Rejected::PrepayBelowMargin { .. } => "prepay_below_margin",
            Rejected::InsufficientFunds { .. } => "insufficient_funds",
            Rejected::NoTariff => "no_tariff",
            Rejected::UnknownOrder(_) => "unknown_order",
            Rejected::Illegal { .. } => "illegal_in_this_state",
            Rejected::NotPositive(_) => "not_positive",
            Rejected::AmountTooLarge { .. } => "amount_too_large",
            Rejected::TooMuch { .. } => "too_much",
            Rejected::ReceiptUsed { .. } => "receipt_used",
            Rejected::NoReason => "no_reason",
            Rejected::TariffExists(_) => "tariff_exists",
            Rejected::TariffInThePast(_) => "tariff_in_the_past",
            Rejected::PileBusy { .. } => "pile_busy",
            Rejected::UnknownQuarantineItem(_) => "unknown_quarantine_item",
            Rejected::QuarantineFull { .. } => "quarantine_full",
            Rejected::JournalBudgetSpent { .. } => "journal_budget_spent",
            Rejected::NotBillable { .. } => "not_billable",
            Rejected::UnknownCard(_) => "unknown_card",
            Rejected::ClockWrong(_) => "clock_wrong",
            Rejected::NotTakingOrders(_) => "not_taking_orders",
            Rejected::Covered { .. } => "covered",
            Rejected::NotCorrectable { .. } => "not_correctable",
            Rejected::TooManyBills(_) => "too_many_bills",
            Rejected::SecondPersonNeeded { .. } => "second_person_needed",
            Rejected::NotASecondPerson { .. } | Rejected::BilledByOnePerson { .. } => "not_a_second_person",
            Rejected::UnknownProposal { .. } => "unknown_proposal",
            Rejected::UnknownReceipt(_) => "unknown_receipt",
            Rejected::NotATopUp { .. } => "not_a_top_up",
            Rejected::TooManyReversals { .. } => "too_many_reversals",
            Rejected::ShiftIsOpen { .. } => "shift_is_open",
            Rejected::NoShift => "no_shift",
            Rejected::ShiftNotCounted(_) => "shift_not_counted",
            Rejected::CountDiffers { .. } => "count_differs",
            Rejected::SlipUsed { .. } => "slip_used",
            Rejected::HeadOfficeOwns(_) => "head_office_owns",
            Rejected::NotThisSitesMember { .. } => "not_this_sites_member",
            Rejected::OwesElsewhere { .. } => "owes_elsewhere",
            Rejected::NotHeadOffices(_) => "not_head_offices",
            Rejected::OtherHqEpoch => "other_hq_epoch",
            Rejected::DirectiveOutOfOrder { .. } => "directive_out_of_order",
            Rejected::OtherDirective(_) => "other_directive",
            Rejected::UnreadableDirective(_) => "unreadable_directive",
            Rejected::Expired { .. } => "expired",
            Rejected::NoTime => "no_time",
            Rejected::WishOver => "wish_over",
            Rejected::OtherBill { .. } => "other_bill",
            Rejected::LeasesFrozen { .. } => "leases_frozen",
            Rejected::VoucherOfOtherSite(_) => "voucher_of_other_site",
            Rejected::VoucherBeforeRestore => "voucher_before_restore",
            Rejected::VoucherClosed(_) => "voucher_closed",
            Rejected::KeyEnds(_) => "key_ends",
            Rejected::LastKey(_) => "last_key",
            Rejected::TooManyKeys => "too_many_keys",
        }
    }
}

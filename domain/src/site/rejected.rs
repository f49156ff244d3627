//! Why an input was refused, in words for people and a word for programs.

use crate::{
    fact::ReceiptUse,
    ids::{CardId, MemberId, OrderId, Outlet, PileId, TariffId},
    order::Illegal,
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

impl Rejected {
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
            Rejected::NotBillable { .. } => "not_billable",
            Rejected::UnknownCard(_) => "unknown_card",
            Rejected::ClockWrong(_) => "clock_wrong",
            Rejected::NotTakingOrders(_) => "not_taking_orders",
            Rejected::Covered { .. } => "covered",
        }
    }
}

//! In which way a fact can contradict the rows: what whoever follows another's journal is told, and what ends the station
//! that decided it.

use crate::{
    head_office::DirectiveRow,
    ids::{CardId, MemberId, OrderId, Outlet, PileId, TariffId},
    ledger::LedgerError,
    order::Illegal,
    time::{Day, Mono},
    units::Fen,
};

/// Why a fact cannot be true after those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradicts {
    /// Entries have numbers without gaps.
    #[error("entry {expected} was to come")]
    OutOfPlace {
        /// The number that comes next.
        expected: u64,
    },
    /// Elapsed time never runs backwards.
    #[error("elapsed time was {} ms already", before.0)]
    BackInTime {
        /// That of the entry before.
        before: Mono,
    },
    /// A time, an amount or a sum that nothing can come to, and that could not be read again.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// No business day has begun.
    #[error("no business day has begun")]
    NoDay,
    /// It is about an order that is not there.
    #[error("there is no order {0}")]
    UnknownOrder(OrderId),
    /// It is about a member who is not there.
    #[error("there is no member {0}")]
    UnknownMember(MemberId),
    /// It is about a card that nobody ever had.
    #[error("nobody ever had the card {0}")]
    UnknownCard(CardId),
    /// It is about a pile that is not there.
    #[error("there is no pile {0}")]
    UnknownPile(PileId),
    /// It goes by a tariff that is not there.
    #[error("there is no tariff {0}")]
    UnknownTariff(TariffId),
    /// It is about a quarantine item that is not there.
    #[error("there is no quarantine item {0}")]
    UnknownItem(u64),
    /// It is about a receipt that was not written.
    #[error("there is no receipt {0}")]
    UnknownReceipt(String),
    /// An order is placed once.
    #[error("order {0} was placed before")]
    OrderExists(OrderId),
    /// A tariff version is never changed.
    #[error("tariff {0} was added before")]
    TariffExists(TariffId),
    /// A receipt is for one payment, or for what one member owes.
    #[error("receipt {0} was written for something else")]
    ReceiptUsed(String),
    /// A bank's slip is for one sum.
    #[error("slip {0} was written for another sum")]
    SlipUsed(String),
    /// A message is put aside once.
    #[error("this message of {0} was put aside before")]
    PutAsideTwice(PileId),
    /// A quarantine item is dealt with once.
    #[error("quarantine item {0} was dealt with before")]
    ItemClosed(u64),
    /// A day is reported once.
    #[error("{0} was reported before")]
    DayReported(Day),
    /// A step that is not in the order table.
    #[error("order {order}: {illegal}")]
    Step {
        /// Which order.
        order: OrderId,
        /// What was tried.
        illegal: Illegal,
    },
    /// An order has one hold.
    #[error("order {0} has a hold already")]
    HeldTwice(OrderId),
    /// A settled order holds nothing.
    #[error("order {0} is settled and still holds money")]
    StillHolds(OrderId),
    /// An order is settled by a bill.
    #[error("order {0} has no bill")]
    NoBill(OrderId),
    /// It names another outlet than its order's.
    #[error("order {order} is not of {outlet}")]
    OtherOutlet {
        /// Which order.
        order: OrderId,
        /// What is named.
        outlet: Outlet,
    },
    /// It names another member than whose money it is about.
    #[error("this is not about the money of {0}")]
    OtherMember(MemberId),
    /// More than is owed, or than can be given back.
    #[error("{amount} yuan are more than the {most} that there are")]
    TooMuch {
        /// How much.
        amount: Fen,
        /// The most it can be.
        most: Fen,
    },
    /// No more of a top-up is taken back than was paid in.
    #[error("more of receipt {0} is taken back than was paid in")]
    OverReversed(String),
    /// The books refuse a transfer.
    #[error("{0}")]
    Money(#[from] LedgerError),
    /// The desk has one shift at a time.
    #[error("shift {0} is open")]
    ShiftOpen(u64),
    /// Another shift is open, or none.
    #[error("shift {0} is not open")]
    ShiftNotOpen(u64),
    /// A shift is counted before it is closed.
    #[error("shift {0} is counted before it is closed")]
    NotCounted(u64),
    /// The till holds something else by the books.
    #[error("the till holds {known} yuan by the books, not {said}")]
    Till {
        /// What the fact says.
        said: Fen,
        /// What the account says.
        known: Fen,
    },
    /// Directives have numbers without gaps.
    #[error("directive {expected} of {row} was to come, of the life of head office that was seen last")]
    DirectiveOutOfPlace {
        /// In which row.
        row: DirectiveRow,
        /// The number that comes next.
        expected: u64,
    },
    /// At the end of a step the books are wrong.
    #[error("{0}")]
    Books(String),
}

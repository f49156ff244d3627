//! An order (订单): its states, the one table of transitions, and the row that is kept.
//! Names of states on the wire are the user's (S03, S05).

use crate::{
    correction::Approval,
    fact::QuarantineReason,
    ids::{BootId, CommandId, OrderId},
    messages::{CommandKind, StopReason, Unread},
    rating::{Bill, Reading},
    time::{Day, Mono, Now, Wall},
    units::{Energy, Fen},
};
use serde::{Deserialize, Serialize};
use std::fmt;

mod row;

pub use row::{ITEMS_MAX, Order, OrderRow, REPLACED_MAX};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Hold taken, start command sent, not charging yet.
    Place,
    /// Energy flows, or may flow.
    Charging,
    /// Charging is over, money has not moved in full. At rest only while an estimate waits for its record.
    Settle,
    /// Money is held until a person decides.
    Review,
    /// Paid in full. The user's documents spell it so.
    Payed,
    /// Something is still owed.
    Unpaid,
    /// Never started.
    Fail,
}

impl State {
    /// Every state.
    pub const ALL: [State; 7] = [
        State::Place,
        State::Charging,
        State::Settle,
        State::Review,
        State::Payed,
        State::Unpaid,
        State::Fail,
    ];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            State::Place => "PLACE",
            State::Charging => "CHARGING",
            State::Settle => "SETTLE",
            State::Review => "REVIEW",
            State::Payed => "PAYED",
            State::Unpaid => "UNPAID",
            State::Fail => "FAIL",
        }
    }

    /// Whether the station still has something to do for it: such orders stay in memory.
    pub fn is_open(self) -> bool {
        matches!(self, State::Place | State::Charging | State::Settle | State::Review)
    }

    /// Whether it occupies its connector.
    pub fn occupies_connector(self) -> bool {
        matches!(self, State::Place | State::Charging)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A driver asked for it.
    Place,
    /// Its record came before anybody asked: an offline session.
    Adopt,
    /// The pile confirmed the start, by a reply or by charging.
    StartConfirmed,
    /// The pile refused.
    StartRefused,
    /// Nobody answered in time (S05 §2.1).
    StartTimedOut,
    /// The driver thought better of it.
    Cancel,
    /// Energy was reported.
    Telemetry,
    /// Somebody asked to stop.
    StopAsked,
    /// The pile says it is not charging this order.
    ChargingLost,
    /// The pile's record came.
    Record,
    /// No record came; the last reading must do.
    Estimate,
    /// A suspect meter, a large fee or an untrusted clock: a person must look.
    Suspend,
    /// The fee is covered.
    Covered,
    /// The fee is more than there was (S05 §2.3).
    Uncovered,
    /// What was owed has been paid.
    DebtCleared,
    /// Money went back after settlement.
    Refund,
    /// Money goes back out of head office's books.
    RefundMark,
    /// A person decided to bill energy that an order never covered.
    BillLate,
    /// A person set another bill.
    Correct,
}

impl Step {
    /// Every step.
    pub const ALL: [Step; 19] = [
        Step::Place,
        Step::Adopt,
        Step::StartConfirmed,
        Step::StartRefused,
        Step::StartTimedOut,
        Step::Cancel,
        Step::Telemetry,
        Step::StopAsked,
        Step::ChargingLost,
        Step::Record,
        Step::Estimate,
        Step::Suspend,
        Step::Covered,
        Step::Uncovered,
        Step::DebtCleared,
        Step::Refund,
        Step::RefundMark,
        Step::BillLate,
        Step::Correct,
    ];
}

/// A step that makes no sense in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order {} cannot take the step {step:?}", .state.map_or("that does not exist", State::word))]
pub struct Illegal {
    /// Where the order stands; `None` before it exists.
    pub state: Option<State>,
    /// What was tried.
    pub step: Step,
}

/// The order table: the state after `step`, or why there is none.
pub fn next(state: Option<State>, step: Step) -> Result<State, Illegal> {
    use State::{Charging, Fail, Payed, Place, Review, Settle, Unpaid};
    Ok(match (state, step) {
        (None, Step::Place) => Place,
        (None, Step::Adopt) => Settle,

        (Some(Place), Step::StartConfirmed) => Charging,
        (Some(Place), Step::StartRefused | Step::StartTimedOut | Step::Cancel) => Fail,
        (Some(Place), Step::Record) => Settle,

        (Some(Charging), Step::Telemetry | Step::StopAsked | Step::ChargingLost) => Charging,
        (Some(Charging), Step::Record | Step::Estimate) => Settle,

        (Some(Settle), Step::Record) => Settle,
        (Some(Settle), Step::Suspend) => Review,
        (Some(Settle), Step::Covered) => Payed,
        (Some(Settle), Step::Uncovered) => Unpaid,

        (Some(Review), Step::Record | Step::Suspend | Step::Correct) => Review,
        (Some(Review), Step::Covered) => Payed,
        (Some(Review), Step::Uncovered) => Unpaid,

        (Some(Payed), Step::Record | Step::Covered | Step::Refund | Step::RefundMark | Step::Correct) => Payed,
        (Some(Payed), Step::Uncovered) => Unpaid,
        (Some(Unpaid), Step::Record | Step::Uncovered | Step::RefundMark | Step::Correct) => Unpaid,
        (Some(Unpaid), Step::Covered | Step::DebtCleared) => Payed,
        (Some(Payed | Unpaid), Step::Suspend) => Review,

        (Some(Fail), Step::Record) => Fail,
        (Some(Fail), Step::BillLate) => Settle,

        (state, step) => return Err(Illegal { state, step }),
    })
}

/// Where a driver wants the session to end, besides the hold. All that are given apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Until {
    /// At this fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Fen>,
    /// At this energy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kwh: Option<Energy>,
    /// After this many minutes of charging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
    /// At this state of charge, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soc_pct: Option<u8>,
}

/// How an order came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Through the API: mini-program, kiosk, desk.
    Api,
    /// A card swiped at the pile.
    Card,
    /// Through head office, which made its number and sent the money along.
    HeadOffice,
    /// The pile ran it alone; the order was made from its record.
    OfflineSession,
    /// A person billed a record from quarantine.
    Quarantine,
}

impl Source {
    /// Whether a driver ordered it: a price was shown and pinned before it began.
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::Api | Self::Card | Self::HeadOffice)
    }
}

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// The pile said no.
    Refused {
        /// The pile's own code.
        code: i32,
        /// The pile's words.
        message: String,
    },
    /// No answer in time.
    TimedOut,
    /// Cancelled before it began.
    Cancelled,
    /// The pile's record says it never began.
    NeverStarted,
}

/// A command that went to the pile and may have to go again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// A pile acts on it once.
    pub id: CommandId,
    /// What it asks for.
    pub kind: CommandKind,
    /// When it stops being worth sending.
    pub expires: Mono,
    /// `start`, `limit`: the pile's own limit on the fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_fee: Option<Fen>,
    /// `start`, `limit`: the pile's own limit on the energy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_kwh: Option<Energy>,
}

impl Command {
    /// The id of an order's `n`th command. The order can be read back from it: [`Command::order_of`].
    pub fn id_for(order: &OrderId, kind: CommandKind, n: u32) -> CommandId {
        CommandId::new(format!("{order}:{}:{n}", kind.word()))
            .or_else(|_| CommandId::new(format!("{}:{n}", kind.word())))
            .expect("a kind and a number are within the rule for ids")
    }

    /// The order that a command of ours was about.
    pub fn order_of(id: &CommandId) -> Option<OrderId> {
        let mut parts = id.as_str().rsplitn(3, ':');
        let (_n, _kind, order) = (parts.next()?, parts.next()?, parts.next()?);
        OrderId::new(order).ok()
    }
}

/// A moment by which something must have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// When.
    pub at: Mono,
    /// What then.
    pub kind: DeadlineKind,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineKind {
    /// The start must be confirmed (S05 §2.1).
    Start,
    /// The record must have come, or an estimate takes its place.
    Record,
    /// The record of an estimate must have come, or its remainder is released.
    Remainder,
}

/// What a bill was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The pile's record.
    Record,
    /// The last reading before the pile fell silent.
    Estimate,
    /// A person.
    Correction,
}

/// One version of an order's bill; versions are added, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillVersion {
    /// What it was made from.
    pub basis: Basis,
    /// For electricity.
    pub electricity: Fen,
    /// For service.
    pub service: Fen,
    /// How it was worked out; none for a correction.
    pub detail: Option<Bill>,
    /// Why, for a correction.
    pub reason: Option<String>,
    /// Who, for a correction.
    pub by: Option<String>,
    /// When it was made.
    pub at: Wall,
    /// The second person, for a correction that took two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

impl BillVersion {
    /// What the driver pays by this version.
    pub fn fee(&self) -> Fen {
        self.electricity + self.service
    }

    /// A person set it.
    pub fn is_persons(&self) -> bool {
        self.basis == Basis::Correction
    }
}

/// How the pile ended the session, from its record, with times corrected to the station's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// SHA-256 of the record's content, hex: tells a repetition from a contradiction.
    pub digest: String,
    /// When it began.
    pub start: Reading,
    /// When it ended.
    pub stop: Reading,
    /// Why.
    pub reason: StopReason,
    /// Whether it ran without the station.
    pub offline: bool,
    /// What of the record could not be read, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Box<Unread>>,
}

/// A quarantine item about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// Its number.
    pub item: u64,
    /// Why it was put aside.
    pub why: QuarantineReason,
    /// Nobody has dealt with it.
    pub open: bool,
}

/// What an energy report counts of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The business day in which its money first moved; it stays in it.
    pub day: Day,
    /// What was billed.
    pub energy: Energy,
    /// What the register moved between its first and last reading.
    pub metered: Energy,
}

/// The moment a start was confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// By the wall clock.
    pub at: Wall,
    /// By elapsed time.
    pub mono: Mono,
    /// The first reading under the order: the start reply's, or that of the first report of the session. From here on the
    /// driver pays while there is no record. None until there is one.
    pub register: Option<Energy>,
    /// When that was. Unknown of orders that an earlier version confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register_at: Option<Now>,
    /// The pile's boot, whose uptime the record will speak of.
    pub boot_id: Option<BootId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_order_never_charges_again() {
        for state in [State::Settle, State::Review, State::Payed, State::Unpaid, State::Fail] {
            for step in Step::ALL {
                let after = next(Some(state), step);
                assert!(!matches!(after, Ok(State::Place | State::Charging)), "{state} {step:?}");
            }
        }
    }

    #[test]
    fn the_order_can_be_read_back_from_its_commands() {
        let order = OrderId::new("off-P1-1-7").unwrap();
        let id = Command::id_for(&order, CommandKind::RequestRecord, 3);
        assert_eq!(id.as_str(), "off-P1-1-7:request_record:3");
        assert_eq!(Command::order_of(&id), Some(order));
        assert_eq!(Command::order_of(&CommandId::new("x").unwrap()), None);
    }
}

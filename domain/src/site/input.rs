//! What a station must react to: words from piles, wishes of drivers, decisions of people, and time.

use crate::{
    fact::{PaidFrom, Raw, StopCause, TypedFigures},
    head_office::{Directive, DirectiveNo, HqEpoch, Voucher},
    ids::{CardId, MemberId, OrderId, Outlet, PileId},
    messages::{Malformed, UpMessage},
    order::Until,
    quarantine::CoveredBy,
    tariff::Tariff,
    time::Wall,
    topics::UpKind,
    units::Fen,
};
use serde::{Deserialize, Serialize};

/// Something the station must react to.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A pile's MQTT connection is up.
    Connected {
        /// Which.
        pile: PileId,
    },
    /// A pile's MQTT connection ended.
    Disconnected {
        /// Which.
        pile: PileId,
        /// It fell off: no DISCONNECT, no take-over, not sent away by the station.
        dropped: bool,
    },
    /// A pile said something.
    Message {
        /// Which.
        pile: PileId,
        /// What.
        message: UpMessage,
    },
    /// A pile said something that cannot be read.
    Unreadable {
        /// Which.
        pile: PileId,
        /// On which topic; `None` if that names no kind.
        kind: Option<UpKind>,
        /// Where the fault is.
        fault: Malformed,
        /// The message as it came.
        raw: Raw,
    },
    /// A driver wants to charge.
    Place(Place),
    /// A driver wants to stop, or to cancel before the start.
    Stop {
        /// Which order.
        order: OrderId,
        /// Who asks.
        by: String,
    },
    /// A stop went to the pile while nothing could be journaled: it is journaled now, if the order is not over.
    StopSent {
        /// Which order.
        order: OrderId,
        /// Why.
        cause: StopCause,
    },
    /// A person ends an order with what is known of it: cancelled before the start, estimated after it.
    Close {
        /// Which order.
        order: OrderId,
        /// Who.
        by: String,
    },
    /// A person decides an order under review.
    Decide {
        /// Which order.
        order: OrderId,
        /// How.
        decision: Decision,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A person gives money back.
    Refund {
        /// Which order.
        order: OrderId,
        /// How much.
        amount: Fen,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A person deals with a quarantined message.
    CloseQuarantine {
        /// Its number.
        item: u64,
        /// The member to bill, or nobody.
        bill_to: Option<MemberId>,
        /// What else covers its readings, as the person was told: exactly these, to bill it all the same.
        despite: Vec<CoveredBy>,
        /// What the person read from a message that the station cannot read.
        typed: Option<Box<TypedFigures>>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A member is to be served here.
    RegisterMember {
        /// Who.
        member: MemberId,
        /// A name for people.
        name: String,
        /// Who registers them.
        by: String,
    },
    /// A member goes on the blacklist (`Some(reason)`) or off it.
    BlockMember {
        /// Who.
        member: MemberId,
        /// Why.
        reason: Option<String>,
        /// Who decided.
        by: String,
    },
    /// A member pays in at the desk.
    TopUp {
        /// Who.
        member: MemberId,
        /// How much.
        amount: Fen,
        /// The desk's receipt number.
        receipt: String,
        /// Who took the money.
        by: String,
    },
    /// A member pays what they owe, oldest order first.
    PayDebt {
        /// Who.
        member: MemberId,
        /// How much; never more than is owed.
        amount: Fen,
        /// Out of what.
        from: PaidFrom,
        /// The desk's receipt number.
        receipt: String,
        /// Who took the money.
        by: String,
    },
    /// A card is given to a member.
    BindCard {
        /// Which card.
        card: CardId,
        /// Whose.
        member: MemberId,
        /// Who gives it out.
        by: String,
    },
    /// A card is taken back.
    UnbindCard {
        /// Which card.
        card: CardId,
        /// Who takes it back.
        by: String,
    },
    /// A tariff version is added.
    AddTariff {
        /// All of it.
        tariff: Tariff,
        /// Who adds it.
        by: String,
    },
    /// A pile is to be let in.
    ProvisionPile {
        /// Which.
        pile: PileId,
        /// Who lets it in.
        by: String,
    },
    /// A pile is to be let in no more.
    RemovePile {
        /// Which.
        pile: PileId,
        /// Who decided.
        by: String,
    },
    /// A pile is fenced off (`Some(reason)`) or put back to work.
    SetMaintenance {
        /// Which.
        pile: PileId,
        /// Why.
        reason: Option<String>,
        /// Who decided.
        by: String,
    },
    /// A person has looked at a pile's meter: it counts as it should, or it is another one.
    ClearMeter {
        /// Which.
        pile: PileId,
        /// What was found and done.
        reason: String,
        /// Who.
        by: String,
    },
    /// A person sets the bill of an order that was settled, up or down.
    CorrectBill {
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
    /// A second person agrees to a correction that waits.
    ApproveCorrection {
        /// Of which order.
        order: OrderId,
        /// The number of the proposal: of that one, and of none that has taken its place.
        proposal: u64,
        /// Who.
        by: String,
    },
    /// A correction that waits is not to be made.
    WithdrawCorrection {
        /// Of which order.
        order: OrderId,
        /// The number of the proposal.
        proposal: u64,
        /// Why not.
        reason: String,
        /// Who.
        by: String,
    },
    /// A top-up was typed wrong: what is unspent of it is taken back.
    ReverseTopUp {
        /// Whose.
        member: MemberId,
        /// The number of the top-up's receipt.
        receipt: String,
        /// How much; all that is left of the top-up if not said.
        amount: Option<Fen>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Somebody takes over the desk.
    OpenShift {
        /// Who.
        by: String,
    },
    /// The cash in the till was counted.
    CountCash {
        /// What was there.
        counted: Fen,
        /// Why that differs from the books, if it does.
        reason: Option<String>,
        /// Who counted.
        by: String,
    },
    /// Cash went from the till to the bank.
    BankCash {
        /// How much.
        amount: Fen,
        /// The number of the bank's slip.
        slip: String,
        /// Who took it.
        by: String,
    },
    /// Whoever had the desk leaves it.
    CloseShift {
        /// Who closes the shift.
        by: String,
    },
    /// Whether the station's wall clock can be trusted.
    ClockTrust(bool),
    /// By what was certain in an earlier run of the program it is this late at least.
    CertainTime(Wall),
    /// A person has looked at a clock that the station cannot believe: it is right.
    ConfirmClock {
        /// Who.
        by: String,
    },
    /// How much room there is on the disk.
    Space(Space),
    /// A deadline may have passed.
    Tick,
    /// Head office, which follows this branch of the journal, is in this life.
    HeadOfficeSeen(HqEpoch),
    /// Head office has the station do something.
    Directive(Box<Told>),
    /// A driver shows a lease that head office has given them.
    TakeVoucher {
        /// What it says; head office has signed it.
        voucher: Box<Voucher>,
        /// The journal's epoch now.
        epoch: String,
    },
    /// By head office's clock it is this late at least: vouchers that end by then are not taken any more.
    CloseVouchers {
        /// So late.
        certainly: Wall,
    },
    /// A receipt of head office was shown at the desk: what a member owed elsewhere is paid.
    LiftOwes {
        /// Who.
        member: MemberId,
        /// Its number.
        receipt: String,
        /// Who saw it.
        by: String,
    },
    /// Whether head office can be reached.
    Line(bool),
    /// Another connection with the pile's identity took the place of the one before.
    TakenOver {
        /// Which.
        pile: PileId,
    },
}

impl Input {
    /// The pile that it comes from: what it says, or that it came and went.
    pub fn pile(&self) -> Option<&PileId> {
        match self {
            Input::Connected { pile }
            | Input::Disconnected { pile, .. }
            | Input::TakenOver { pile }
            | Input::Message { pile, .. }
            | Input::Unreadable { pile, .. } => Some(pile),
            _ => None,
        }
    }

    /// Whether it books an amount, or decides one, because a person or a program asks for it: were it taken twice, somebody
    /// would pay or be paid twice, or be told that it failed when it did not. So its answer is kept for as long as the
    /// same request may come again, or it is not taken at all (decision 0024). This is the one list of them.
    ///
    /// What a pile says is not: its records carry money, and are known again by their order and content when all
    /// else of them is forgotten.
    pub fn is_about_money(&self) -> bool {
        match self {
            // Holds the prepayment.
            Input::Place(_)
            // A bill by what is known, or the hold given back.
            | Input::Close { .. }
            // A bill, set or approved.
            | Input::Decide { .. }
            | Input::CorrectBill { .. }
            | Input::ApproveCorrection { .. }
            | Input::CloseQuarantine { .. }
            // A member's money, in and back.
            | Input::TopUp { .. }
            | Input::ReverseTopUp { .. }
            | Input::PayDebt { .. }
            | Input::Refund { .. }
            | Input::TakeVoucher { .. }
            // The till's.
            | Input::CountCash { .. }
            | Input::BankCash { .. } => true,
            // Done twice it does nothing more, and nothing may keep a driver from it.
            Input::Stop { .. }
            | Input::StopSent { .. }
            // No amount changes, and the second one finds nothing that waits.
            | Input::WithdrawCorrection { .. }
            // Who has the desk, not what is in it.
            | Input::OpenShift { .. }
            | Input::CloseShift { .. }
            // Taken once by their numbers, whatever is remembered of answers.
            | Input::Directive(_)
            // Members, cards, prices and piles.
            | Input::RegisterMember { .. }
            | Input::LiftOwes { .. }
            | Input::BlockMember { .. }
            | Input::BindCard { .. }
            | Input::UnbindCard { .. }
            | Input::AddTariff { .. }
            | Input::ProvisionPile { .. }
            | Input::RemovePile { .. }
            | Input::SetMaintenance { .. }
            | Input::ClearMeter { .. }
            // From piles, and from inside the daemon.
            | Input::Connected { .. }
            | Input::Disconnected { .. }
            | Input::TakenOver { .. }
            | Input::Message { .. }
            | Input::Unreadable { .. }
            | Input::ClockTrust(_)
            | Input::CertainTime(_)
            | Input::ConfirmClock { .. }
            | Input::Space(_)
            | Input::HeadOfficeSeen(_)
            | Input::CloseVouchers { .. }
            | Input::Line(_)
            | Input::Tick => false,
        }
    }
}

/// A directive, as it came, signed by head office.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Which.
    pub directive: DirectiveNo,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// What it says, or why this program cannot read it.
    pub content: Result<Directive, String>,
    /// The latest that it can be by head office's clock; none where nobody knows.
    pub at_most: Option<Wall>,
}

/// The room on the disk that the database is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What is left for the station, in bytes.
    pub free_bytes: u64,
    /// Whether the reserve is set aside: room that is given up when the disk is full, so that open orders can settle.
    pub reserve: bool,
}

impl Default for Space {
    /// Room enough, until somebody has looked.
    fn default() -> Self {
        Self {
            free_bytes: u64::MAX,
            reserve: true,
        }
    }
}

/// A driver's wish to charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Who pays.
    pub member: MemberId,
    /// Where.
    pub outlet: Outlet,
    /// How much to reserve; the site's default if not said.
    pub prepay: Option<Fen>,
    /// The driver's own limits.
    pub until: Until,
}

/// A person's decision on an order under review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The bill stands.
    AsIs,
    /// The bill is this.
    Corrected {
        /// For electricity.
        electricity: Fen,
        /// For service.
        service: Fen,
    },
}

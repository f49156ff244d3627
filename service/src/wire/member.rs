//! Members, cards and the money at the desk.

use super::{
    Switch,
    amounts::{At, Yuan},
    described,
};
use crate::http::{
    body::{Checked, check_name, check_positive, check_reason},
    problem::Problem,
};
use domain::{
    card::Card,
    fact::PaidFrom,
    ids::{CardId, MemberId},
    ledger::Transfer,
    member::Member,
    notice::Notice,
    units::Fen,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A member to be served here, or another name for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutMember {
    /// A name for people at the desk; may be empty.
    pub name: String,
}

impl Checked for PutMember {
    fn check(&self) -> Result<(), Problem> {
        check_name("name", &self.name, 0)
    }
}

/// A member (会员).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// The member's id.
    pub id: String,
    /// A name for people at the desk.
    pub name: String,
    /// What the member can spend here, holds left out.
    pub allowance: Yuan,
    /// Reserved for open orders (冻结).
    pub held: Yuan,
    /// Owed (欠费).
    pub debt: Yuan,
    /// Why the member is not served any more, by the desk or by head office; `null` if they are.
    #[schema(required)]
    pub blocked: Option<String>,
    /// Owed elsewhere, to head office's knowledge: it must be paid before the next start.
    pub owes: Yuan,
    /// They are head office's member, with a wallet there; others are this station's alone.
    pub head_office: bool,
    /// Orders that are not at an end.
    pub open_orders: Vec<String>,
    /// Orders with something owed, oldest first.
    pub unpaid_orders: Vec<String>,
}

impl MemberView {
    /// With the member's money here.
    pub fn new(member: &Member, allowance: Fen, held: Fen, debt: Fen) -> Self {
        let ids = |orders: &[domain::ids::OrderId]| orders.iter().map(ToString::to_string).collect();
        Self {
            id: member.id.to_string(),
            name: member.name.clone(),
            allowance: Yuan(allowance),
            held: Yuan(held),
            debt: Yuan(debt),
            blocked: member.blocked_for().map(str::to_owned),
            owes: Yuan(member.owes),
            head_office: member.head_office,
            open_orders: ids(&member.open_orders),
            unpaid_orders: ids(&member.unpaid_orders),
        }
    }
}

/// Money paid in at the desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUp {
    /// How much.
    #[schema(value_type = described::PositiveYuan)]
    pub amount: Yuan,
    /// The desk's receipt number. A number counts once, for ever: the same payment again changes nothing, another one
    /// with the same number is refused.
    #[schema(example = "R-2026-0001")]
    pub receipt: String,
}

impl Checked for TopUp {
    fn check(&self) -> Result<(), Problem> {
        check_positive("amount", self.amount.0.0, self.amount.0)?;
        check_name("receipt", &self.receipt, 1)
    }
}

/// A top-up that was typed wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReverseTopUp {
    /// The number of the top-up's receipt.
    #[schema(example = "R-2026-0001")]
    pub receipt: String,
    /// How much; all that is left of the top-up if left out. Never more than the member has here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::PositiveYuan>)]
    pub amount: Option<Yuan>,
    /// Why.
    pub reason: String,
}

impl Checked for ReverseTopUp {
    fn check(&self) -> Result<(), Problem> {
        if let Some(Yuan(amount)) = self.amount {
            check_positive("amount", amount.0, amount)?;
        }
        check_name("receipt", &self.receipt, 1)?;
        check_reason("reason", &self.reason)
    }
}

/// Money paid for what is owed, oldest order first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayDebt {
    /// How much; never more than is owed.
    #[schema(value_type = described::PositiveYuan)]
    pub amount: Yuan,
    /// Out of what.
    pub from: PaidFromDto,
    /// The desk's receipt number; must be given for cash, and counts once, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// What a debt is paid out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PaidFrom)]
pub enum PaidFromDto {
    /// Cash at the desk.
    Cash,
    /// The member's allowance here.
    Allowance,
}

impl From<PaidFromDto> for PaidFrom {
    fn from(from: PaidFromDto) -> Self {
        match from {
            PaidFromDto::Cash => Self::Cash,
            PaidFromDto::Allowance => Self::Allowance,
        }
    }
}

impl Checked for PayDebt {
    fn check(&self) -> Result<(), Problem> {
        check_positive("amount", self.amount.0.0, self.amount.0)?;
        match (self.from, &self.receipt) {
            (PaidFromDto::Cash, Some(receipt)) => check_name("receipt", receipt, 1),
            (PaidFromDto::Cash, None) => Err(Problem::field("receipt", "cash needs the desk's receipt number")),
            (PaidFromDto::Allowance, None) => Ok(()),
            (PaidFromDto::Allowance, Some(receipt)) => check_name("receipt", receipt, 0),
        }
    }
}

impl Checked for Switch {
    fn check(&self) -> Result<(), Problem> {
        match (self.on, &self.reason) {
            (true, Some(reason)) => check_reason("reason", reason),
            (true, None) => Err(Problem::field("reason", "must be given to switch it on")),
            (false, None) => Ok(()),
            (false, Some(_)) => Err(Problem::field("reason", "switching off takes no reason; leave it out")),
        }
    }
}

impl Switch {
    /// The reason if it is on.
    pub fn into_reason(self) -> Option<String> {
        self.reason.filter(|_| self.on)
    }
}

/// What a member owes, order by order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DebtsView {
    /// The member.
    pub member: String,
    /// All of it.
    pub debt: Yuan,
    /// Oldest first.
    pub orders: Vec<OrderDebt>,
}

/// What is owed for one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderDebt {
    /// The order.
    pub order: String,
    /// What is owed for it.
    pub debt: Yuan,
    /// When it was settled.
    #[schema(required)]
    pub settled_at: Option<At>,
}

/// One movement of a member's money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferView {
    /// Made from what caused it.
    pub id: String,
    /// When.
    pub at: At,
    /// `TOPUP`, `HOLD`, `CAPTURE`, `RELEASE`, `DEBT`, `DEBT_PAID`, `REFUND` or `ADJUST`; a `TOPUP` from
    /// the allowance to the till is one that was typed wrong, taken back.
    #[schema(example = "CAPTURE")]
    pub code: String,
    /// The account that gives.
    #[schema(example = "held:01957c3e-7d5a-7b1e-8c35-2f6b4a1d9e07")]
    pub debit: String,
    /// The account that receives.
    #[schema(example = "sales:electricity")]
    pub credit: String,
    /// More than zero.
    pub amount: Yuan,
    /// The order it is about.
    #[schema(required)]
    pub order: Option<String>,
    /// The number in the journal of the fact that caused it.
    pub cause: u64,
}

impl From<&Transfer> for TransferView {
    fn from(transfer: &Transfer) -> Self {
        Self {
            id: transfer.id.clone(),
            at: At(transfer.at),
            code: super::word(&transfer.code),
            debit: transfer.debit.to_string(),
            credit: transfer.credit.to_string(),
            amount: Yuan(transfer.amount),
            order: transfer.order.as_ref().map(ToString::to_string),
            cause: transfer.cause,
        }
    }
}

/// Something a driver was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotificationView {
    /// Its number in the journal.
    pub seq: u64,
    /// When.
    pub at: At,
    /// About which order.
    pub order: String,
    /// Stable, for programs.
    #[schema(example = "start_timed_out")]
    pub key: String,
    /// For the driver.
    #[schema(example = "启动超时，请重试")]
    pub text: String,
}

impl NotificationView {
    /// Of a notice that stands in the journal under this number.
    pub fn new(seq: u64, at: At, order: String, notice: &Notice) -> Self {
        Self {
            seq,
            at,
            order,
            key: super::word(&notice.key),
            text: notice.text.clone(),
        }
    }
}

/// Whose a card is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutCard {
    /// The member.
    #[schema(value_type = described::MemberId)]
    pub member: MemberId,
}

impl Checked for PutCard {}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CardView {
    /// What is on it.
    pub id: String,
    /// Whose it is; `null` once it was taken back.
    #[schema(required)]
    pub member: Option<String>,
    /// Whose it was since when, oldest first; the last 16. An offline session is paid by whoever held the card when it
    /// began.
    pub holders: Vec<HoldingView>,
}

/// From when on a card was whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldingView {
    /// Whose; `null`: nobody's.
    #[schema(required)]
    pub member: Option<String>,
    /// Since when.
    pub since: At,
}

impl CardView {
    /// Of a card by its one form.
    pub fn of(id: &CardId, card: &Card) -> Self {
        let name = |member: Option<&MemberId>| member.map(ToString::to_string);
        let holders = card.holders().iter().map(|holding| HoldingView {
            member: name(holding.member.as_ref()),
            since: At(holding.since),
        });
        Self {
            id: id.to_string(),
            member: name(card.holder()),
            holders: holders.collect(),
        }
    }
}

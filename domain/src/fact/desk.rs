//! What the desk's papers were written for: receipts of top-ups and debts, and the bank's slips.
//! A paper's number counts once.

use crate::{ids::MemberId, time::Wall, units::Fen};
use serde::{Deserialize, Serialize};

/// What a debt was paid out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidFrom {
    /// Cash at the desk.
    Cash,
    /// The member's allowance here.
    Allowance,
    /// The member's wallet at head office.
    HeadOffice,
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
    /// No cash: a voucher that was taken.
    Lease,
}

impl std::fmt::Display for ReceiptFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReceiptFor::TopUp => "a top-up",
            ReceiptFor::Debt => "a debt",
            ReceiptFor::Lease => "a voucher",
        })
    }
}

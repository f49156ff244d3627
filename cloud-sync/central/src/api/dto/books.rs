//! Head office's books.

use crate::store::queries::books::{Sum, Transfer};
use domain::units::Fen;
use serde::{Deserialize, Serialize};
use service::wire::{At, Yuan};
use utoipa::ToSchema;

/// A movement between two accounts of head office's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BookTransfer)]
pub struct TransferView {
    /// `{site}:{branch}:{seq}.{n}`, or its cause's.
    #[schema(example = "s01:0:57.0")]
    pub id: String,
    /// When.
    pub at: At,
    /// Why, such as `CAPTURE`.
    #[schema(example = "CAPTURE")]
    pub code: String,
    /// The account that gives.
    #[schema(example = "held:s01:01957c3e-7d5a-7b1e-8c35-2f6b4a1d9e07")]
    pub debit: String,
    /// The account that receives.
    #[schema(example = "sales:s01:electricity")]
    pub credit: String,
    /// More than zero.
    pub amount: Yuan,
    /// The site whose journal says so.
    #[schema(required)]
    pub site: Option<String>,
    /// The number of the entry there.
    #[schema(required)]
    pub seq: Option<u64>,
    /// The order it is about, at that site.
    #[schema(required)]
    pub order: Option<String>,
    /// Whose money it is.
    #[schema(required)]
    pub member: Option<String>,
    /// The business day of that entry.
    #[schema(required, example = "2026-03-01")]
    pub day: Option<String>,
}

impl From<&Transfer> for TransferView {
    fn from(transfer: &Transfer) -> Self {
        Self {
            id: transfer.id.clone(),
            at: At(transfer.at),
            code: transfer.code.clone(),
            debit: transfer.debit.clone(),
            credit: transfer.credit.clone(),
            amount: Yuan(Fen(transfer.amount)),
            site: transfer.site.clone(),
            seq: transfer.seq,
            order: transfer.order.clone(),
            member: transfer.member.clone(),
            day: transfer.day.clone(),
        }
    }
}

/// An account of head office's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BookAccount)]
pub struct AccountView {
    /// Its name: its kind, and whose it is. Of a site's own accounts the site comes first.
    #[schema(example = "allowance:s01:m-1001")]
    pub name: String,
    /// Its kind.
    #[schema(example = "allowance")]
    pub kind: String,
    /// Credits less debits.
    pub balance: Yuan,
}

/// What movements of one code, or accounts of one kind, come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BookSum)]
pub struct SumView {
    /// The code, or the kind.
    #[schema(example = "CAPTURE")]
    pub of: String,
    /// How many there are.
    pub count: u64,
    /// All of them together.
    pub amount: Yuan,
}

impl From<&Sum> for SumView {
    fn from(sum: &Sum) -> Self {
        Self {
            of: sum.of.clone(),
            count: sum.count,
            amount: Yuan(Fen(sum.amount)),
        }
    }
}

/// Sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BookSums)]
pub struct SumsView {
    /// By code, or by kind.
    pub items: Vec<SumView>,
}

impl SumsView {
    /// These.
    pub fn of(sums: &[Sum]) -> Self {
        Self {
            items: sums.iter().map(Into::into).collect(),
        }
    }
}

//! What head office had the station do, and which vouchers it took, as people look at it.

use super::sync::DirectivesTakenView;
use crate::{
    api::wire::{At, Yuan},
    store::{DirectiveTaken, OfVouchers},
};
use domain::journal::Stamp;
use serde::Serialize;
use utoipa::ToSchema;

/// Directives that were taken, and how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DirectivesView {
    /// How far directives of the life of head office that counts now were taken.
    pub taken: DirectivesTakenView,
    /// They, newest first.
    pub items: Vec<DirectiveView>,
    /// The `cursor` of the next page; `null` after the last. A page may have few items, or none, and be followed by others.
    #[schema(required)]
    pub next: Option<String>,
}

/// A directive that was taken: done, or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DirectiveView {
    /// The entry that says so.
    pub seq: u64,
    /// When, by the station's clock.
    pub at: At,
    /// Of which life of head office; 32 hexadecimal digits.
    pub hq_epoch: String,
    /// In which row it is numbered: `orders` or `others`.
    pub row: String,
    /// Its number there.
    pub n: u64,
    /// A stable word for why it was not done; `null`: it was.
    #[schema(required)]
    pub refused: Option<String>,
    /// The same in words.
    #[schema(required)]
    pub detail: Option<String>,
    /// The kinds of what was journaled before it in the same moment, in order: what it came to.
    pub journaled: Vec<String>,
    /// The order that it was about.
    #[schema(required)]
    pub order: Option<String>,
    /// Whose money came or went.
    #[schema(required)]
    pub member: Option<String>,
    /// How much of it.
    #[schema(required)]
    pub amount: Option<Yuan>,
}

impl From<&DirectiveTaken> for DirectiveView {
    fn from(of: &DirectiveTaken) -> Self {
        let refused = of.refused.as_ref();
        Self {
            seq: of.stamp.seq,
            at: At(of.stamp.at),
            hq_epoch: of.directive.hq_epoch.to_string(),
            row: of.directive.row.to_string(),
            n: of.directive.n,
            refused: refused.map(|refused| refused.code.clone()),
            detail: refused.map(|refused| refused.detail.clone()),
            journaled: of.journaled.iter().map(|kind| (*kind).to_owned()).collect(),
            order: of.order.as_ref().map(ToString::to_string),
            member: of.member.as_ref().map(ToString::to_string),
            amount: of.amount.map(Yuan),
        }
    }
}

/// What became of vouchers, and until when they are closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VouchersView {
    /// Vouchers that end at this time or before are not taken any more, by head office's clock; `null`: none was closed yet.
    #[schema(required)]
    pub closed_until: Option<At>,
    /// Vouchers that were taken, and closings, newest first.
    pub items: Vec<OfVouchersView>,
    /// The `cursor` of the next page; `null` after the last. A page may have few items, or none, and be followed by others.
    #[schema(required)]
    pub next: Option<String>,
}

/// A voucher that was taken, or a closing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfVouchersView {
    /// The entry that says so.
    pub seq: u64,
    /// When, by the station's clock.
    pub at: At,
    /// `taken` or `closed`.
    pub what: String,
    /// The number of the voucher that was taken.
    #[schema(required)]
    pub voucher: Option<String>,
    /// Whose.
    #[schema(required)]
    pub member: Option<String>,
    /// How much it carried.
    #[schema(required)]
    pub amount: Option<Yuan>,
    /// Until when vouchers were closed.
    #[schema(required)]
    pub until: Option<At>,
}

impl From<&(Stamp, OfVouchers)> for OfVouchersView {
    fn from((stamp, what): &(Stamp, OfVouchers)) -> Self {
        let bare = |word: &str| Self {
            seq: stamp.seq,
            at: At(stamp.at),
            what: word.to_owned(),
            voucher: None,
            member: None,
            amount: None,
            until: None,
        };
        match what {
            OfVouchers::Taken { id, member, amount } => Self {
                voucher: Some(id.clone()),
                member: Some(member.to_string()),
                amount: Some(Yuan(*amount)),
                ..bare("taken")
            },
            OfVouchers::Closed { until } => Self {
                until: Some(At(*until)),
                ..bare("closed")
            },
        }
    }
}

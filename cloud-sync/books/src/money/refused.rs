//! Why something is not done.

use super::Undecided;
use crate::store::{adjustments::OfFinding, people};
use domain::{
    ids::{MemberId, OrderId, SiteId},
    order::State as OrderState,
    time::{Day, Wall},
    units::Fen,
};

/// Why something was not done. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Head office has no such member.
    #[error("head office has no member {0}: PUT /v1/members/{0} makes one")]
    UnknownMember(MemberId),
    /// There is no such site.
    #[error("there is no site {0}")]
    UnknownSite(SiteId),
    /// Nothing leaves this wallet.
    #[error("the wallet of {member} is frozen: {why}")]
    Frozen {
        /// Whose.
        member: MemberId,
        /// Why.
        why: String,
    },
    /// Nothing leaves any wallet.
    #[error("wallets are frozen: {0}. PUT /v1/head-office/wallets lets them go once every site has reported")]
    AllFrozen(String),
    /// Sites have not said what they have of head office's since its database was restored.
    #[error(
        "these sites have not reported since head office's database was restored: {}. Wait until they have, or name them as missing: \
         who is known there spends nothing then until the site is back", names(.0)
    )]
    Silent(Vec<SiteId>),
    /// They are on the blacklist.
    #[error("{member} is on the blacklist: {why}")]
    Blocked {
        /// Who.
        member: MemberId,
        /// Why.
        why: String,
    },
    /// They owe something.
    #[error("{member} owes {amount} yuan, which is to be paid first")]
    Owes {
        /// Who.
        member: MemberId,
        /// How much.
        amount: Fen,
    },
    /// There is not enough.
    #[error("the wallet of {member} has {has} yuan, and {wanted} are wanted{}", elsewhere(.lies))]
    TooLittle {
        /// Whose.
        member: MemberId,
        /// What can be spent of it.
        has: Fen,
        /// What is wanted.
        wanted: Fen,
        /// What lies at sites.
        lies: Vec<(SiteId, Fen)>,
    },
    /// The site's journal is not followed.
    #[error("the journal of site {site} is not followed ({state}): only stops, recalls and blocks go there")]
    NotFollowed {
        /// Which.
        site: SiteId,
        /// How it stands.
        state: &'static str,
    },
    /// The site was closed or may not come in.
    #[error("site {0} was closed, or its certificate was taken back: nothing goes there")]
    Gone(SiteId),
    /// The site has not said who it is.
    #[error("site {0} has never reported: nothing goes there before it has")]
    NeverHeard(SiteId),
    /// Nobody would know when it arrives.
    #[error("site {0} has no line just now: an order can be placed there at the station, or with a voucher")]
    NoLine(SiteId),
    /// It would end too soon.
    #[error("site {site} takes no voucher that ends by {closed} any more; this one would end at {ends}")]
    MarkAhead {
        /// Which.
        site: SiteId,
        /// What it has closed.
        closed: Wall,
        /// When the voucher would end.
        ends: Wall,
    },
    /// A voucher counts at most a day.
    #[error("a voucher counts for at most 24 hours; this one would end at {ends}, and it is {now}")]
    VoucherEnds {
        /// When the voucher would end.
        ends: Wall,
        /// What time it is.
        now: Wall,
    },
    /// There is no such order.
    #[error("head office knows no order {order} of site {site}")]
    UnknownOrder {
        /// Where.
        site: SiteId,
        /// Which.
        order: OrderId,
    },
    /// The order is of a member of the site's own.
    #[error(
        "order {order} is of a member whom site {site} has to itself, and who has no wallet: money goes back at the site's desk, by a lower bill"
    )]
    SitesOwn {
        /// Where.
        site: SiteId,
        /// Which.
        order: OrderId,
    },
    /// Money has not moved for it, or a person has to look at it first.
    #[error("order {order} is {state}: {}", not_refundable(.state))]
    NotRefundable {
        /// Which.
        order: OrderId,
        /// Where it stands.
        state: OrderState,
    },
    /// More than its driver has paid.
    #[error(
        "at most {most} yuan can be given back for order {order}: what its driver has paid of it, less what was given back or is on its way"
    )]
    RefundTooMuch {
        /// Which.
        order: OrderId,
        /// What can be.
        most: Fen,
    },
    /// There is none such.
    #[error("there is no refund {0}")]
    UnknownRefund(String),
    /// Nobody has to decide it any more.
    #[error("refund {refund} is {state} already")]
    RefundDecided {
        /// Which.
        refund: String,
        /// How far it is.
        state: &'static str,
    },
    /// It takes two.
    #[error("{}", people::not_two(.proposed_by, .by))]
    SamePerson {
        /// Who proposed it.
        proposed_by: String,
        /// Who wants to approve it.
        by: String,
    },
    /// Nobody has to look at it.
    #[error(
        "order {order} is {state}: a bill stands as it is by a decision only where the order is under REVIEW; one that was settled is corrected"
    )]
    NotDecidable {
        /// Which.
        order: OrderId,
        /// Where it stands.
        state: OrderState,
    },
    /// Its site has counted it.
    #[error("the order's site has marked refund {0} and told the driver of it: it can only be approved")]
    RefundMarked(String),
    /// Another decision was first.
    #[error("the bill of order {order} is another one since this was proposed: look at it again")]
    OtherBill {
        /// Which.
        order: OrderId,
    },
    /// There is none such.
    #[error("there is no decision {0}")]
    UnknownDecision(String),
    /// Nobody has to decide it any more.
    #[error("decision {decision} is {state} already")]
    DecisionDecided {
        /// Which.
        decision: String,
        /// How far it is.
        state: &'static str,
    },
    /// There is none such.
    #[error("there is no finding {} of branch {} at entry {} of the journal of site {}", .0.class.word(), .0.branch, .0.seq, .0.site)]
    UnknownFinding(OfFinding),
    /// The finding is about somebody else.
    #[error("the finding is not about {0}: look at whom its detail names")]
    NotInFinding(MemberId),
    /// The finding says another amount.
    #[error("by the finding {member} {} at most {} yuan", if .says.0 > 0 { "gets" } else { "gives" }, Fen(.says.0.abs()))]
    OtherThanFinding {
        /// Whose wallet.
        member: MemberId,
        /// What it says that the wallet gets; below zero what it gives.
        says: Fen,
    },
    /// It is compensated once.
    #[error(
        "this finding has adjustment {adjustment} for the same member: reject that one first, or look at what it did"
    )]
    Adjusted {
        /// Which.
        adjustment: String,
    },
    /// Nothing is held against what it pays out.
    #[error("channel {0} has no bills: say whose files they are by `bills` in PUT /v1/channels/{0}")]
    NoSuchBills(String),
    /// It cannot have been then.
    #[error("a payout of channel {channel} is of a day from {first} to {last}")]
    PayoutDay {
        /// Which channel.
        channel: String,
        /// The channel's first day.
        first: Day,
        /// The day that it is there.
        last: Day,
    },
    /// The channel says itself what it has paid out.
    #[error(
        "the channel's bill of its account of {day} is here, and says what was paid out: correct that one if it is wrong"
    )]
    PaidByBill {
        /// Of which day it is.
        day: Day,
    },
    /// There is none such.
    #[error("there is no payout {0}")]
    UnknownPayout(String),
    /// Nobody has to decide it any more.
    #[error("payout {payout} is {state} already")]
    PayoutDecided {
        /// Which.
        payout: String,
        /// How far it is.
        state: &'static str,
    },
    /// Somebody has said so of the bank's number.
    #[error("payout {payout} has that number of the bank's: reject it, or say another number")]
    PaidOut {
        /// Which.
        payout: String,
    },
    /// There is none such.
    #[error("there is no adjustment {0}")]
    UnknownAdjustment(String),
    /// Nobody has to decide it any more.
    #[error("adjustment {adjustment} is {state} already")]
    AdjustmentDecided {
        /// Which.
        adjustment: String,
        /// How far it is.
        state: &'static str,
    },
    /// The number is taken.
    #[error("{0} was used for something else: each top-up has a number of its own")]
    OtherTopUp(String),
    /// Of a discrepancy nothing is proposed or decided.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

fn not_refundable(state: &OrderState) -> &'static str {
    match state {
        OrderState::Review => "a person has to decide its bill first",
        OrderState::Settle => {
            "its bill is an estimate, and is refundable once the remainder of its hold is released or a person has set the bill"
        }
        OrderState::Fail => "it never charged, and all of its hold went back",
        _ => "it has not ended, and nothing was charged",
    }
}

fn names(sites: &[SiteId]) -> String {
    sites.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ")
}

fn elsewhere(lies: &[(SiteId, Fen)]) -> String {
    if lies.is_empty() {
        return String::new();
    }
    let sites: Vec<String> = lies
        .iter()
        .map(|(site, amount)| format!("{amount} at {site}"))
        .collect();
    format!(
        "; there are {}, which has no line just now or reserves them",
        sites.join(", ")
    )
}

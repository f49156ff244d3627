//! What every change of members' money does alike: the rules of [`crate::money`] in one transaction with what the audit chain says
//! of it; then whoever has the line of a site is told that something was issued to it.

use super::{
    ApiState,
    answered::{Answered, Decided, Shown, Told},
};
use crate::{
    money::{self, Money, Refused},
    store::{StoreError, Tx},
};
use axum::http::StatusCode;
use domain::ids::SiteId;
use service::http::{access::Caller, body::Posted, idempotency::IdempotencyKey, problem::Problem};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Something that people propose and decide: what is shown of it, and what the audit chain says.
pub(super) trait Tells {
    /// Both, for an answer of this status to an action of this word.
    fn told(&self, tx: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError>;
}

impl ApiState {
    /// Has somebody propose or decide something.
    pub(super) async fn decides<T, D, F>(
        &self,
        posted: Posted<T>,
        (status, action): (StatusCode, &'static str),
        work: F,
    ) -> Result<Answered, Problem>
    where
        T: Send + 'static,
        D: Tells,
        F: FnOnce(&mut Money<'_>, T) -> money::Decided<D> + Send + 'static,
    {
        let Posted { body, key, caller } = posted;
        self.with_money(caller, Some(key), move |money| match work(money, body)? {
            Ok(decided) => decided.told(money.tx(), status, action).map(Ok),
            Err(refused) => Ok(Err(refused.into())),
        })
        .await
    }

    /// Does something with members' money, for a caller.
    pub(super) async fn with_money<F>(
        &self,
        caller: Caller,
        key: Option<IdempotencyKey>,
        work: F,
    ) -> Result<Answered, Problem>
    where
        F: FnOnce(&mut Money<'_>) -> Decided<(Shown, Told)> + Send + 'static,
    {
        let rung: Arc<Mutex<BTreeSet<SiteId>>> = Arc::default();
        let (by, rings) = (caller.name.clone(), Arc::clone(&rung));
        let done = self
            .change(caller, key, move |tx, now| {
                let mut money = Money::new(tx, now, &by);
                let done = work(&mut money)?;
                *rings.lock().unwrap_or_else(PoisonError::into_inner) = money.into_rung();
                Ok(done)
            })
            .await?;
        let rung = std::mem::take(&mut *rung.lock().unwrap_or_else(PoisonError::into_inner));
        self.ring(rung);
        Ok(done)
    }

    /// Something was issued to these sites.
    pub(super) fn ring(&self, sites: BTreeSet<SiteId>) {
        if let Some(entrance) = &self.entrance {
            for site in sites {
                entrance.bell.issued(&site);
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let words = refused.to_string();
        let (status, code) = match &refused {
            Refused::UnknownMember(_) => (StatusCode::NOT_FOUND, "unknown_member"),
            Refused::UnknownSite(_) => (StatusCode::NOT_FOUND, "unknown_site"),
            Refused::UnknownOrder { .. } => (StatusCode::NOT_FOUND, "unknown_order"),
            Refused::Frozen { .. } => (StatusCode::CONFLICT, "wallet_frozen"),
            Refused::Silent(_) => (StatusCode::CONFLICT, "sites_missing"),
            Refused::AllFrozen(_) => (StatusCode::CONFLICT, "wallets_frozen"),
            Refused::Blocked { .. } => (StatusCode::CONFLICT, "member_blocked"),
            Refused::Owes { .. } => (StatusCode::CONFLICT, "member_owes"),
            Refused::TooLittle { .. } => (StatusCode::CONFLICT, "too_little_in_wallet"),
            Refused::NotFollowed { .. } => (StatusCode::CONFLICT, "site_not_followed"),
            Refused::Gone(_) => (StatusCode::CONFLICT, "site_gone"),
            Refused::NeverHeard(_) => (StatusCode::CONFLICT, "site_never_heard"),
            Refused::NoLine(_) => (StatusCode::CONFLICT, "site_no_line"),
            Refused::MarkAhead { .. } => (StatusCode::CONFLICT, "vouchers_closed_ahead"),
            Refused::VoucherEnds { .. } => return Self::field("hours", words),
            Refused::SitesOwn { .. } => (StatusCode::CONFLICT, "sites_own_member"),
            Refused::NotRefundable { .. } => (StatusCode::CONFLICT, "not_refundable"),
            Refused::RefundTooMuch { .. } => (StatusCode::CONFLICT, "refund_too_much"),
            Refused::UnknownRefund(_) => (StatusCode::NOT_FOUND, "unknown_refund"),
            Refused::RefundMarked(_) => (StatusCode::CONFLICT, "refund_marked"),
            Refused::RefundDecided { .. } => (StatusCode::CONFLICT, "refund_decided"),
            Refused::SamePerson { .. } => (StatusCode::CONFLICT, "same_person"),
            Refused::NotDecidable { .. } => (StatusCode::CONFLICT, "not_decidable"),
            Refused::OtherBill { .. } => (StatusCode::CONFLICT, "other_bill"),
            Refused::UnknownDecision(_) => (StatusCode::NOT_FOUND, "unknown_decision"),
            Refused::DecisionDecided { .. } => (StatusCode::CONFLICT, "decision_decided"),
            Refused::UnknownFinding(_) => (StatusCode::NOT_FOUND, "unknown_finding"),
            Refused::NotInFinding(_) => (StatusCode::CONFLICT, "not_in_finding"),
            Refused::OtherThanFinding { .. } => (StatusCode::CONFLICT, "other_than_finding"),
            Refused::Adjusted { .. } => (StatusCode::CONFLICT, "finding_adjusted"),
            Refused::NoSuchBills(_) => (StatusCode::CONFLICT, "no_such_bills"),
            Refused::PayoutDay { .. } => (StatusCode::CONFLICT, "payout_day"),
            Refused::PaidByBill { .. } => (StatusCode::CONFLICT, "paid_by_bill"),
            Refused::UnknownPayout(_) => (StatusCode::NOT_FOUND, "unknown_payout"),
            Refused::PayoutDecided { .. } => (StatusCode::CONFLICT, "payout_decided"),
            Refused::PaidOut { .. } => (StatusCode::CONFLICT, "paid_out"),
            Refused::UnknownAdjustment(_) => (StatusCode::NOT_FOUND, "unknown_adjustment"),
            Refused::AdjustmentDecided { .. } => (StatusCode::CONFLICT, "adjustment_decided"),
            Refused::OtherTopUp(_) => (StatusCode::CONFLICT, "top_up_reference_used"),
            Refused::Undecided(undecided @ crate::money::Undecided::UnknownDiscrepancy(_)) => {
                (StatusCode::NOT_FOUND, undecided.code())
            }
            Refused::Undecided(undecided) => (StatusCode::CONFLICT, undecided.code()),
        };
        let problem = Self::new(status, code, words);
        match refused {
            Refused::TooLittle { has, wanted, lies, .. } => {
                let lies = lies
                    .into_iter()
                    .map(|(site, amount)| serde_json::json!({ "site": site.as_str(), "amount": amount.to_string() }));
                problem
                    .with("has", has.to_string())
                    .with("wanted", wanted.to_string())
                    .with("lies", lies.collect::<Vec<_>>())
            }
            Refused::Silent(sites) => problem.with("sites", serde_json::json!(sites)),
            Refused::RefundTooMuch { most, .. } => problem.with("most", most.to_string()),
            Refused::NotRefundable { state, .. } | Refused::NotDecidable { state, .. } => {
                problem.with("state", state.word())
            }
            Refused::OtherThanFinding { says, .. } => problem.with("says", says.to_string()),
            Refused::Owes { amount, .. } => problem.with("owes", amount.to_string()),
            _ => problem,
        }
    }
}

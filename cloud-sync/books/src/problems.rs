//! What callers over HTTP are told of what the books refuse: a status and a code that programs go by, and the words of the refusal.

use crate::{money::Refused, reconcile::funds::NotRun, store::StoreError};
use service::http::problem::{Problem, StatusCode};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!("a request failed: {why}");
                let detail = "the database of head office cannot be reached just now; ask again";
                Self::unavailable("database_unavailable", detail)
            }
            other => Self::internal(other),
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

impl From<NotRun> for Problem {
    fn from(not: NotRun) -> Self {
        let words = not.to_string();
        let conflict = |code: &'static str| Self::new(StatusCode::CONFLICT, code, words);
        match not {
            NotRun::UnknownChannel(name) => Self::unknown("channel", name),
            NotRun::UnknownSite(site) => Self::unknown("site", site),
            NotRun::NoBills(_) => conflict("no_such_bills"),
            NotRun::NotOver { .. } => conflict("day_not_over"),
            NotRun::BeforeFirst { .. } => conflict("before_first_day"),
            NotRun::Running(_) | NotRun::Left => conflict("run_running"),
            NotRun::DoesNotClose { .. } => conflict("totals_do_not_close"),
            NotRun::Store(error) => error.into(),
        }
    }
}

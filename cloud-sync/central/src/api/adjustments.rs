//! Adjustments of wallets (调账): one person proposes, another has it posted.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    dto::finding::FindingClass,
    money::Tells,
    orders::moment,
    placing::new_id,
};
use crate::{
    money::{AMOUNT_MAX, Adjust},
    store::{
        StoreError, Tx,
        adjustments::{self, Adjustment, OfFinding, State as Stands},
        queries::decided::{self, Which},
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::{MemberId, SiteId},
    units::Fen,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Asked, Checked, Nothing, Of, Posted, check_reason},
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{At, PageOf, Yuan, described},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(propose_adjustment))
        .routes(routes!(list_adjustments))
        .routes(routes!(get_adjustment))
        .routes(routes!(approve_adjustment))
        .routes(routes!(reject_adjustment))
}

/// A finding, by where it stands in the list of findings.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FindingPlace {
    /// In whose journal.
    #[schema(value_type = described::SiteId)]
    site: SiteId,
    /// On which branch of it.
    branch: u64,
    /// At which entry.
    seq: u64,
    /// Of which class.
    class: FindingClass,
}

/// Money for a wallet, or from it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProposeAdjustment {
    /// What the wallet gets; below zero what it gives, where what it has not is owed. Not zero.
    amount: Yuan,
    /// Why. The member reads it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// The finding that it makes good. Of a finding a member has one that was not rejected. Where the finding names members, it is one
    /// of them, and where it says how much each gets or gives, it is at most that, the same way.
    #[serde(default)]
    finding: Option<FindingPlace>,
}

impl Checked for ProposeAdjustment {
    fn check(&self) -> Result<(), Problem> {
        let amount = self.amount.0;
        if amount == Fen::ZERO || amount.0.unsigned_abs() > AMOUNT_MAX.0.unsigned_abs() {
            let words = format!("is not zero, and {AMOUNT_MAX} yuan at most, either way");
            return Err(Problem::field("amount", words));
        }
        check_reason("reason", &self.reason)
    }
}

/// Why not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RejectAdjustment {
    /// Why not.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for RejectAdjustment {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// An adjustment of a wallet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Adjustment)]
struct AdjustmentView {
    /// Its number.
    id: String,
    /// Whose wallet.
    member: String,
    /// What it gets; below zero what it gives.
    amount: Yuan,
    /// Why.
    reason: String,
    /// The finding that it makes good.
    #[schema(required)]
    finding: Option<FindingPlace>,
    /// How far it is.
    state: AdjustmentIs,
    /// Why a person has said no.
    #[schema(required)]
    why: Option<String>,
    /// Who proposed it.
    proposed_by: String,
    /// When.
    proposed_at: At,
    /// Who had it posted, or rejected it.
    #[schema(required)]
    decided_by: Option<String>,
    /// When.
    #[schema(required)]
    decided_at: Option<At>,
}

impl From<&Adjustment> for AdjustmentView {
    fn from(of: &Adjustment) -> Self {
        let finding = of.finding.clone().map(|of| FindingPlace {
            site: of.site,
            branch: of.branch,
            seq: of.seq,
            class: of.class.into(),
        });
        let (state, why) = match &of.state {
            Stands::Proposed => (AdjustmentIs::Proposed, None),
            Stands::Posted => (AdjustmentIs::Posted, None),
            Stands::Rejected(why) => (AdjustmentIs::Rejected, Some(why.clone())),
        };
        Self {
            id: of.id.clone(),
            member: of.member.to_string(),
            amount: Yuan(of.amount),
            reason: of.reason.clone(),
            finding,
            state,
            why,
            proposed_by: of.proposed_by.clone(),
            proposed_at: At(of.proposed_at),
            decided_by: of.decided_by.clone(),
            decided_at: of.decided_at.map(At),
        }
    }
}

/// How an adjustment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AdjustmentIs {
    /// It waits for a second person.
    Proposed,
    /// It is in the books.
    Posted,
    /// A person has said no.
    Rejected,
}

impl AdjustmentIs {
    fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Posted => "posted",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListAdjustments {
    /// Only those that stand so.
    #[serde(default)]
    state: Option<AdjustmentIs>,
    /// Only about findings of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only of this member.
    #[serde(default)]
    #[param(value_type = Option<described::MemberId>, inline)]
    member: Option<MemberId>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

impl Tells for Adjustment {
    fn told(&self, _: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError> {
        let view = AdjustmentView::from(self);
        let detail = json!({
            "member": view.member, "amount": view.amount, "reason": view.reason, "finding": view.finding,
            "state": self.state.word(), "proposed_by": view.proposed_by,
        });
        let told = Told {
            action,
            subject: self.id.clone(),
            detail,
        };
        Ok((Shown::new(status, &view)?, told))
    }
}

/// Propose to add to a member's wallet, or to take from it. It waits for a second person.
#[utoipa::path(
    post, path = "/v1/members/{member}/adjustments", tag = "after-sales",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = ProposeAdjustment,
    responses(
        (status = 202, description = "It waits", body = AdjustmentView),
        (status = 404, description = "`unknown_member`; `unknown_finding`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`finding_adjusted`: the finding has one for this member; `not_in_finding`: it is about somebody \
            else; `other_than_finding`: it says a smaller amount, or that it goes the other way",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["service"]), ("bearer" = ["finance_maker"])),
)]
async fn propose_adjustment(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<ProposeAdjustment>,
) -> Result<Answered, Problem> {
    let id = new_id("adjust-")?;
    let told = (StatusCode::ACCEPTED, "adjustment_proposed");
    api.decides(posted, told, move |money, body: ProposeAdjustment| {
        money.propose_adjustment(&Adjust {
            id,
            member,
            amount: body.amount.0,
            reason: body.reason,
            finding: body.finding.map(|of| OfFinding {
                site: of.site,
                branch: of.branch,
                seq: of.seq,
                class: of.class.into(),
            }),
        })
    })
    .await
}

/// Adjustments, the newest first.
#[utoipa::path(
    get, path = "/v1/adjustments", tag = "after-sales",
    params(ListAdjustments),
    responses((status = 200, description = "One page", body = PageOf<AdjustmentView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["service"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_adjustments(
    State(api): State<ApiState>,
    Asked(query): Asked<ListAdjustments>,
) -> Result<Json<PageOf<AdjustmentView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.to_owned())),
    };
    let which = Which {
        state: query.state.map(|state| state.word().to_owned()),
        site: query.site,
        order: None,
        member: query.member,
    };
    let page = api
        .read(move |tx| decided::adjustments(tx, &which, after, limit))
        .await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.proposed_at.0.to_string(), last.id.clone()])),
        items: page.items.iter().map(AdjustmentView::from).collect(),
    }))
}

/// One adjustment.
#[utoipa::path(
    get, path = "/v1/adjustments/{adjustment}", tag = "after-sales",
    params(("adjustment" = String, Path, description = "The adjustment's number")),
    responses((status = 200, description = "The adjustment", body = AdjustmentView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["service"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn get_adjustment(State(api): State<ApiState>, Of(id): Of<String>) -> Result<Json<AdjustmentView>, Problem> {
    let of = id.clone();
    let found = api.read(move |tx| adjustments::find(tx, &of)).await?;
    let found = found.ok_or_else(|| Problem::unknown("adjustment", &id))?;
    Ok(Json(AdjustmentView::from(&found)))
}

/// Have an adjustment posted, as the second person: under another name than that of whoever proposed it.
#[utoipa::path(
    post, path = "/v1/adjustments/{adjustment}/approve", tag = "after-sales",
    params(("adjustment" = String, Path, description = "The adjustment's number")),
    request_body = Nothing,
    responses(
        (status = 200, description = "It is in the books", body = AdjustmentView),
        (status = 409, description = "`same_person`; `adjustment_decided`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_checker"])),
)]
async fn approve_adjustment(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "adjustment_posted");
    api.decides(posted, told, move |money, _| money.approve_adjustment(&id))
        .await
}

/// Say no to an adjustment that waits, and why. Whoever proposed it may, too.
#[utoipa::path(
    post, path = "/v1/adjustments/{adjustment}/reject", tag = "after-sales",
    params(("adjustment" = String, Path, description = "The adjustment's number")),
    request_body = RejectAdjustment,
    responses(
        (status = 200, description = "Rejected", body = AdjustmentView),
        (status = 409, description = "`adjustment_decided`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["service"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn reject_adjustment(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<RejectAdjustment>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "adjustment_rejected");
    api.decides(posted, told, move |money, body: RejectAdjustment| {
        money.reject_adjustment(&id, &body.reason)
    })
    .await
}

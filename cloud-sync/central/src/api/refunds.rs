//! Refunds (售后退款): money back for an order, to the wallet, by one person or two.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    money::Tells,
    orders::moment,
    placing::new_id,
    wallets::check_amount,
};
use crate::{
    money::Wanted,
    store::{
        StoreError, Tx,
        queries::decided::{self, Which},
        refunds::{self, Refund, State as Stands},
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::ids::{MemberId, OrderId, SiteId};
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
        .routes(routes!(propose_refund))
        .routes(routes!(list_refunds))
        .routes(routes!(get_refund))
        .routes(routes!(approve_refund))
        .routes(routes!(reject_refund))
}

/// Money back for an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProposeRefund {
    /// How much; never more than the driver has paid and was not given back.
    #[schema(value_type = described::PositiveYuan)]
    amount: Yuan,
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for ProposeRefund {
    fn check(&self) -> Result<(), Problem> {
        check_amount("amount", self.amount)?;
        check_reason("reason", &self.reason)
    }
}

/// Why not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RejectRefund {
    /// Why not.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for RejectRefund {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// A refund.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
struct RefundView {
    /// Its number.
    id: String,
    /// At which site the order is.
    site: String,
    /// Which order.
    order: String,
    /// Whose wallet gets it.
    member: String,
    /// How much.
    amount: Yuan,
    /// Why.
    reason: String,
    /// `proposed`: it waits for a second person; `approved`: the money is put aside until the order's site has marked it; `credited`: it is in
    /// the wallet; `refused`: the site could not mark it, and the money went back; `rejected`: a person has said no.
    state: String,
    /// Why the site refused it, a stable word and in words; or why a person did, in words.
    #[schema(required, value_type = Option<Object>)]
    why: Option<serde_json::Value>,
    /// The order's row has it.
    marked: bool,
    /// Who proposed it.
    proposed_by: String,
    /// When.
    proposed_at: At,
    /// Who approved or rejected it; `head office` where it took no second person.
    #[schema(required)]
    decided_by: Option<String>,
    /// When.
    #[schema(required)]
    decided_at: Option<At>,
    /// When it was credited or refused.
    #[schema(required)]
    ended_at: Option<At>,
}

impl From<&Refund> for RefundView {
    fn from(of: &Refund) -> Self {
        Self {
            id: of.id.clone(),
            site: of.site.to_string(),
            order: of.order.to_string(),
            member: of.member.to_string(),
            amount: Yuan(of.amount),
            reason: of.reason.clone(),
            state: of.state.word().to_owned(),
            why: match &of.state {
                Stands::Refused(why) => serde_json::to_value(why).ok(),
                Stands::Rejected(why) => Some(json!({ "code": "rejected", "detail": why })),
                _ => None,
            },
            marked: of.marked,
            proposed_by: of.proposed_by.clone(),
            proposed_at: At(of.proposed_at),
            decided_by: of.decided_by.clone(),
            decided_at: of.decided_at.map(At),
            ended_at: of.ended_at.map(At),
        }
    }
}

/// How a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RefundIs {
    /// It waits for a second person.
    Proposed,
    /// The money is put aside until the site has marked it.
    Approved,
    /// It is in the wallet.
    Credited,
    /// The site could not mark it.
    Refused,
    /// A person has said no.
    Rejected,
}

impl RefundIs {
    fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Credited => "credited",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListRefunds {
    /// Only those that stand so.
    #[serde(default)]
    state: Option<RefundIs>,
    /// Only of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only for this order.
    #[serde(default)]
    #[param(value_type = Option<described::OrderId>, inline)]
    order: Option<OrderId>,
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

impl Tells for Refund {
    fn told(&self, _: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError> {
        let detail = json!({
            "site": self.site.as_str(), "order": self.order.as_str(), "member": self.member.as_str(),
            "amount": self.amount.to_string(), "reason": self.reason, "state": self.state.word(),
            "proposed_by": self.proposed_by, "decided_by": self.decided_by,
        });
        let told = Told {
            action,
            subject: self.id.clone(),
            detail,
        };
        Ok((Shown::new(status, &RefundView::from(self))?, told))
    }
}

/// Give money back for an order, to its member's wallet: never more than the driver has paid of the bill in force and was not given back.
///
/// As soon as all refunds of one order together exceed `after_sales.refund_second_person_above` it waits for a second person; below that it is
/// approved by the rules. What is approved is put aside until the order's site has it in the order's row, and is in the wallet then.
#[utoipa::path(
    post, path = "/v1/sites/{site}/orders/{order}/refunds", tag = "after-sales",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number"),
    ),
    request_body = ProposeRefund,
    responses(
        (status = 202, description = "`approved` and on its way to the site, or `proposed`", body = RefundView),
        (status = 409, description = "`not_refundable`: it has not ended, is under review or settled by an estimate; `refund_too_much`, with \
            `most`; `sites_own_member`; …",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["service"]), ("bearer" = ["finance_maker"])),
)]
async fn propose_refund(
    State(api): State<ApiState>,
    Of((site, order)): Of<(SiteId, OrderId)>,
    posted: Posted<ProposeRefund>,
) -> Result<Answered, Problem> {
    let id = new_id("refund-")?;
    let above = api.after_sales.refund_second_person_above;
    let told = (StatusCode::ACCEPTED, "refund_proposed");
    api.decides(posted, told, move |money, body: ProposeRefund| {
        let wanted = Wanted {
            id,
            site,
            order,
            amount: body.amount.0,
            reason: body.reason,
        };
        money.refund(&wanted, above)
    })
    .await
}

/// Refunds, the newest first.
#[utoipa::path(
    get, path = "/v1/refunds", tag = "after-sales",
    params(ListRefunds),
    responses((status = 200, description = "One page", body = PageOf<RefundView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["service"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_refunds(
    State(api): State<ApiState>,
    Asked(query): Asked<ListRefunds>,
) -> Result<Json<PageOf<RefundView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.to_owned())),
    };
    let which = Which {
        state: query.state.map(|state| state.word().to_owned()),
        site: query.site,
        order: query.order,
        member: query.member,
    };
    let page = api.read(move |tx| decided::refunds(tx, &which, after, limit)).await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.proposed_at.0.to_string(), last.id.clone()])),
        items: page.items.iter().map(RefundView::from).collect(),
    }))
}

/// One refund.
#[utoipa::path(
    get, path = "/v1/refunds/{refund}", tag = "after-sales",
    params(("refund" = String, Path, description = "The refund's number")),
    responses((status = 200, description = "The refund", body = RefundView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["service"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn get_refund(State(api): State<ApiState>, Of(id): Of<String>) -> Result<Json<RefundView>, Problem> {
    let of = id.clone();
    let found = api.read(move |tx| refunds::find(tx, &of)).await?;
    let found = found.ok_or_else(|| Problem::unknown("refund", &id))?;
    Ok(Json(RefundView::from(&found)))
}

/// Approve a refund that waits, as the second person: under another name than that of whoever proposed it.
#[utoipa::path(
    post, path = "/v1/refunds/{refund}/approve", tag = "after-sales",
    params(("refund" = String, Path, description = "The refund's number")),
    request_body = Nothing,
    responses((status = 200, description = "Approved, and on its way to the site", body = RefundView)),
    security(("bearer" = ["finance_checker"])),
)]
async fn approve_refund(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    api.decides(posted, (StatusCode::OK, "refund_approved"), move |money, _| {
        money.approve_refund(&id)
    })
    .await
}

/// Say no to a refund that waits, and why.
#[utoipa::path(
    post, path = "/v1/refunds/{refund}/reject", tag = "after-sales",
    params(("refund" = String, Path, description = "The refund's number")),
    request_body = RejectRefund,
    responses((status = 200, description = "Rejected", body = RefundView)),
    security(("bearer" = ["service"]), ("bearer" = ["finance_checker"])),
)]
async fn reject_refund(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<RejectRefund>,
) -> Result<Answered, Problem> {
    api.decides(
        posted,
        (StatusCode::OK, "refund_rejected"),
        move |money, body: RejectRefund| money.reject_refund(&id, &body.reason),
    )
    .await
}

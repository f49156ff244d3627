//! Decisions on bills at head office: orders under review, and bills that were settled, by one person or two. The bill is the site's: it
//! takes the decision in its place, or has decided first.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    leases::DirectiveNoView,
    money::Tells,
    orders::moment,
    placing::new_id,
};
use crate::{
    money::Decide,
    store::{
        StoreError, Tx,
        bill_decisions::{BillDecision, State as Stands, What},
        directives,
        queries::decided::{self, Which},
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::{OrderId, SiteId},
    settlement::Split,
    site::Decision,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Asked, Nothing, Of, Posted},
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{
        At, PageOf, Yuan, described,
        order::{DecideReview, ReviewDecision},
    },
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(decide_bill))
        .routes(routes!(list_decisions))
        .routes(routes!(approve_decision))
        .routes(routes!(reject_decision))
}

/// A decision on a bill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BillDecision)]
struct BillDecisionView {
    /// Its number.
    id: String,
    /// At which site the order is.
    site: String,
    /// Which order.
    order: String,
    /// `review`: of an order under review; `correct`: of one that was settled.
    kind: String,
    /// For electricity; `null` where the bill stands as it is.
    #[schema(required)]
    electricity: Option<Yuan>,
    /// For service; `null` where the bill stands as it is.
    #[schema(required)]
    service: Option<Yuan>,
    /// Why.
    reason: String,
    /// `proposed`: it waits for a second person; `waiting`: it is on its way to the site; `done`; `refused`: the site has decided first, or
    /// could not; `forgotten`: another life of head office's has begun before the site had it; `rejected`: a person has said no.
    state: String,
    /// Why the site refused it: a stable word, and in words.
    #[schema(required, value_type = Option<Object>)]
    refused: Option<serde_json::Value>,
    /// The directive by which the site is told.
    #[schema(required)]
    directive: Option<DirectiveNoView>,
    /// Who proposed it.
    proposed_by: String,
    /// When.
    proposed_at: At,
    /// Who approved or rejected it; `null` where it took no second person, or waits for one.
    #[schema(required)]
    decided_by: Option<String>,
    /// When.
    #[schema(required)]
    decided_at: Option<At>,
}

/// What became of a decision, by its directive.
fn view(tx: &mut dyn Tx, of: &BillDecision) -> Result<BillDecisionView, StoreError> {
    let (kind, bill) = match of.what {
        What::AsIs => ("review", None),
        What::Reviewed(bill) => ("review", Some(bill)),
        What::Corrected(bill, _) => ("correct", Some(bill)),
    };
    let sent = match of.state {
        Stands::Sent(no) => directives::find(tx, &of.site, no)?,
        _ => None,
    };
    let Split { electricity, service } = bill.unwrap_or_default();
    Ok(BillDecisionView {
        id: of.id.clone(),
        site: of.site.to_string(),
        order: of.order.to_string(),
        kind: kind.to_owned(),
        electricity: bill.map(|_| Yuan(electricity)),
        service: bill.map(|_| Yuan(service)),
        reason: of.reason.clone(),
        state: sent
            .as_ref()
            .map_or(of.state.word(), |sent| sent.state.word())
            .to_owned(),
        refused: match sent.as_ref().map(|sent| &sent.state) {
            Some(directives::State::Refused(why)) => serde_json::to_value(why).ok(),
            _ => None,
        },
        directive: sent.map(|sent| sent.no.into()),
        proposed_by: of.proposed_by.clone(),
        proposed_at: At(of.proposed_at),
        decided_by: of.decided_by.clone(),
        decided_at: of.decided_at.map(At),
    })
}

/// How a decision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DecisionIs {
    /// It waits for a second person.
    Proposed,
    /// The site was told.
    Sent,
    /// A person has said no.
    Rejected,
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListDecisions {
    /// Only those that stand so.
    #[serde(default)]
    state: Option<DecisionIs>,
    /// Only of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only of this order.
    #[serde(default)]
    #[param(value_type = Option<described::OrderId>, inline)]
    order: Option<OrderId>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

impl Tells for BillDecision {
    fn told(&self, tx: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError> {
        let view = view(tx, self)?;
        let told = Told {
            action,
            subject: self.id.clone(),
            detail: json!({
                "site": view.site, "order": view.order, "kind": view.kind, "electricity": view.electricity,
                "service": view.service, "reason": view.reason, "proposed_by": view.proposed_by, "state": view.state,
            }),
        };
        Ok((Shown::new(status, &view)?, told))
    }
}

/// Decide the bill of an order: let that of one under review stand, or set it; or set that of an order that was settled. The site takes it,
/// or refuses where its own people have decided first.
///
/// A bill that differs by more than `after_sales.bill_second_person_above` from the one first settled waits for a second person; the site
/// has its own limit besides, `policy.second_person_above`, beyond which it takes no bill of one person.
#[utoipa::path(
    post, path = "/v1/sites/{site}/orders/{order}/review", tag = "after-sales",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number"),
    ),
    request_body = DecideReview,
    responses(
        (status = 202, description = "On its way to the site, or `proposed`", body = BillDecisionView),
        (status = 409, description = "`not_decidable`: the order has no bill yet, or is settled and its bill is to stand", 
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["service"]), ("bearer" = ["risk"])),
)]
async fn decide_bill(
    State(api): State<ApiState>,
    Of((site, order)): Of<(SiteId, OrderId)>,
    posted: Posted<DecideReview>,
) -> Result<Answered, Problem> {
    let id = new_id("bill-")?;
    let above = api.after_sales.bill_second_person_above;
    let told = (StatusCode::ACCEPTED, "bill_decided");
    api.decides(posted, told, move |money, body: DecideReview| {
        let decide = Decide {
            id,
            site,
            order,
            decision: match body.decision {
                ReviewDecision::AsIs => Decision::AsIs,
                ReviewDecision::Corrected(bill) => Decision::Corrected {
                    electricity: bill.electricity.0,
                    service: bill.service.0,
                },
            },
            reason: body.reason,
        };
        money.decide_bill(&decide, above)
    })
    .await
}

/// Decisions on bills, the newest first, and what became of them at their sites.
#[utoipa::path(
    get, path = "/v1/bill-decisions", tag = "after-sales",
    params(ListDecisions),
    responses((status = 200, description = "One page", body = PageOf<BillDecisionView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["service"]), ("bearer" = ["risk"]), ("bearer" = ["finance_checker"])),
)]
async fn list_decisions(
    State(api): State<ApiState>,
    Asked(query): Asked<ListDecisions>,
) -> Result<Json<PageOf<BillDecisionView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.to_owned())),
    };
    let state = query.state.map(|state| match state {
        DecisionIs::Proposed => "proposed".to_owned(),
        DecisionIs::Sent => "sent".to_owned(),
        DecisionIs::Rejected => "rejected".to_owned(),
    });
    let which = Which {
        state,
        site: query.site,
        order: query.order,
        member: None,
    };
    let page = api.read(move |tx| {
        let page = decided::bills(tx, &which, after, limit)?;
        let views: Result<Vec<_>, _> = page.items.iter().map(|of| view(tx, of)).collect();
        let next = page.next_after();
        let next = next.map(|last| cursor_of([last.proposed_at.0.to_string(), last.id.clone()]));
        Ok(PageOf { items: views?, next })
    });
    page.await.map(Json)
}

/// Approve a decision that waits, as the second person: under another name than that of whoever proposed it.
#[utoipa::path(
    post, path = "/v1/bill-decisions/{decision}/approve", tag = "after-sales",
    params(("decision" = String, Path, description = "The decision's number")),
    request_body = Nothing,
    responses((status = 200, description = "On its way to the site", body = BillDecisionView)),
    security(("bearer" = ["finance_checker"])),
)]
async fn approve_decision(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "bill_decision_approved");
    api.decides(posted, told, move |money, _| money.approve_decision(&id))
        .await
}

/// Say no to a decision that waits.
#[utoipa::path(
    post, path = "/v1/bill-decisions/{decision}/reject", tag = "after-sales",
    params(("decision" = String, Path, description = "The decision's number")),
    request_body = Nothing,
    responses((status = 200, description = "Rejected", body = BillDecisionView)),
    security(("bearer" = ["service"]), ("bearer" = ["risk"]), ("bearer" = ["finance_checker"])),
)]
async fn reject_decision(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "bill_decision_rejected");
    api.decides(posted, told, move |money, _| money.reject_decision(&id))
        .await
}

//! Who changed what.

use super::{ApiState, dto::people::AuditView};
use crate::store::audit;
use axum::{Json, extract::State};
use service::{
    http::{body::Asked, page::Paging, problem::Problem},
    wire::PageOf,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_audit))
}

/// What was changed by whom, newest first. Each entry is sealed to the one before by SHA-256.
#[utoipa::path(
    get, path = "/v1/audit", tag = "people",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<AuditView>)),
    security(("bearer" = ["admin"]), ("bearer" = ["finance_checker"])),
)]
async fn list_audit(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<AuditView>>, Problem> {
    let (before, limit) = (paging.number()?, paging.limit()?);
    let page = api.read(move |tx| audit::before(tx, before, limit)).await?;
    Ok(Json(PageOf {
        next: page.next_after().map(|(last, _)| last.seq.to_string()),
        items: page.items.iter().map(AuditView::from).collect(),
    }))
}

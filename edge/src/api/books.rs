//! The station's books: every account at one moment.

use super::{ApiState, body::Asked, dto::books::BalanceSheet, problem::Problem};
use crate::store::StoreError;
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_balance_sheet))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Detail {
    /// Every single account too.
    #[serde(default)]
    detail: bool,
}

/// All accounts at one moment; they sum to zero.
#[utoipa::path(
    get, path = "/v1/balance-sheet", tag = "books",
    params(Detail),
    responses((status = 200, description = "`total` is always 0.00", body = BalanceSheet)),
    security(("bearer" = ["viewer"]), ("bearer" = ["sync", "socket"])),
)]
async fn get_balance_sheet(
    State(api): State<ApiState>,
    Asked(query): Asked<Detail>,
) -> Result<Json<BalanceSheet>, Problem> {
    let sheet = api
        .read(move |reader| {
            let (head, _) = reader.head()?;
            BalanceSheet::new(head.seq, &reader.accounts()?, query.detail)
                .map_err(|wrong| StoreError::Corrupt(wrong.to_string()))
        })
        .await?;
    Ok(Json(sheet))
}

//! Which life of head office's this is, and what sites know of it that its database does not.

use super::ApiState;
use crate::{
    alerts::conditions::was_restored,
    store::{forgotten, identity},
};
use axum::{Json, extract::State};
use serde::Serialize;
use service::{http::problem::Problem, wire::At};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_head_office))
}

/// Head office.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeadOffice)]
struct HeadOfficeView {
    /// Which life of its database this is, 32 hexadecimal digits.
    hq_epoch: String,
    /// Why people are asked whether the database was restored, and what to do; `null` where they are not.
    #[schema(required)]
    restored: Option<String>,
    /// What sites know of head office that the database does not: nothing is acknowledged to these.
    forgotten: Vec<ForgottenView>,
}

/// What a site knows of head office that its database does not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Forgotten)]
struct ForgottenView {
    /// The site's id.
    site: String,
    /// The life of head office's that it last heard of; `null`: none.
    #[schema(required)]
    hq_epoch: Option<String>,
    /// The place up to which its journal was acknowledged: an entry's number, a colon, its hash; `null`: none.
    #[schema(required)]
    acknowledged: Option<String>,
    /// When it said so first.
    said_at: At,
}

/// Which life of head office's this is, and whether people are asked if its database was restored from a copy.
#[utoipa::path(
    get, path = "/v1/head-office", tag = "upkeep",
    responses((status = 200, description = "Head office", body = HeadOfficeView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_head_office(State(api): State<ApiState>) -> Result<Json<HeadOfficeView>, Problem> {
    let read = api.read(|tx| Ok((identity::epoch(tx)?, forgotten::unknown(tx)?)));
    let (hq_epoch, unknown) = read.await?;
    let restored = was_restored(&unknown);
    let view = |said: forgotten::Forgotten| ForgottenView {
        site: said.site.to_string(),
        hq_epoch: said.hq_epoch.map(|epoch| epoch.to_string()),
        acknowledged: said.acknowledged.map(|place| place.to_string()),
        said_at: At(said.said_at),
    };
    Ok(Json(HeadOfficeView {
        hq_epoch: hq_epoch.map_or_else(String::new, |epoch| epoch.to_string()),
        restored,
        forgotten: unknown.into_iter().map(view).collect(),
    }))
}

//! Which life of head office's this is, and what sites know of it that its database does not.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
};
use crate::{
    alerts::conditions::was_restored,
    money::Rotation,
    store::{forgotten, identity},
};
use axum::{Json, extract::State, http::StatusCode};
use domain::ids::SiteId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Checked, Put, check_reason},
        problem::Problem,
    },
    wire::At,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_head_office))
        .routes(routes!(rotate_key))
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

/// Head office is to sign with another key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateKey {
    /// Why, for the audit chain.
    #[schema(max_length = 500)]
    reason: String,
    /// Sites that are not waited for: a person puts the new key into their configuration.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    left_out: Vec<SiteId>,
}

impl Checked for RotateKey {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// How far head office is with another key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyRotation)]
struct RotationView {
    /// What it signs with: the public key, 64 hexadecimal digits.
    key: String,
    /// What will take its place; `null` where it has.
    #[schema(required)]
    next: Option<String>,
    /// Every site that has come in, and may.
    sites: Vec<BelievesView>,
}

/// Whether a site believes the new key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BelievesKey)]
struct BelievesView {
    /// The site's id.
    site: String,
    /// `yes`: its journal says so; `told`: it was told, and has not said; `left_out`; or why it cannot be told: `ahead`, `broken`,
    /// `forked`, `gone`.
    believes: &'static str,
}

impl From<Rotation> for RotationView {
    fn from(Rotation { key, next, sites }: Rotation) -> Self {
        let view = |(site, believes): (SiteId, crate::money::Believes)| BelievesView {
            site: site.to_string(),
            believes: believes.word(),
        };
        Self {
            key: key.to_string(),
            next: next.map(|next| next.to_string()),
            sites: sites.into_iter().map(view).collect(),
        }
    }
}

/// Sign with another key. It is announced to every site, and signs once all of them believe it; until then the same request says how
/// far that is. The old one counts at sites for a day and an hour after, and then no more.
#[utoipa::path(
    put, path = "/v1/head-office/key", tag = "upkeep",
    request_body = RotateKey,
    responses((status = 200, description = "How far it is", body = RotationView)),
    security(("bearer" = ["admin"])),
)]
async fn rotate_key(State(api): State<ApiState>, put: Put<RotateKey>) -> Result<Answered, Problem> {
    let RotateKey { reason, left_out } = put.body;
    api.with_money(put.caller, None, move |money| {
        let rotation = match money.rotate_key(&left_out)? {
            Ok(rotation) => rotation,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let view = RotationView::from(rotation);
        let left_out: Vec<&str> = left_out.iter().map(SiteId::as_str).collect();
        let told = Told {
            action: if view.next.is_some() {
                "key_announced"
            } else {
                "key_changed"
            },
            subject: view.next.as_ref().unwrap_or(&view.key).clone(),
            detail: json!({ "reason": reason, "left_out": left_out }),
        };
        Ok(Ok((Shown::new(StatusCode::OK, &view)?, told)))
    })
    .await
}

//! What head office has a site do that is neither money nor an order: prices, and piles that are fenced off. The site's journal says
//! what came of it; until then it is among the site's directives.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    leases::IssuedView,
};
use axum::{extract::State, http::StatusCode};
use domain::{
    head_office::Directive,
    ids::{PileId, SiteId, TariffId},
    tariff::Tariff,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{json, value::RawValue};
use service::{
    http::{
        access::Caller,
        body::{Checked, Of, Put, check_reason},
        problem::Problem,
    },
    wire::{described, tariff::TariffDocument},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(put_tariff))
        .routes(routes!(put_maintenance))
}

/// A tariff version as a person writes it, with its time zone: checked as it is read, and what is not known of it is an error.
#[derive(Debug)]
struct PutTariff(Tariff);

impl<'de> Deserialize<'de> for PutTariff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Zone {
            time_zone: String,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let Zone { time_zone } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let tariff = Tariff::from_json(text.get(), &time_zone);
        tariff.map(Self).map_err(|faults| D::Error::custom(faults.to_string()))
    }
}

impl Checked for PutTariff {
    fn check(&self) -> Result<(), Problem> {
        Ok(())
    }
}

/// Why a pile is fenced off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Maintenance {
    /// Why; `null` puts it back to work.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

impl Checked for Maintenance {
    fn check(&self) -> Result<(), Problem> {
        self.reason
            .as_ref()
            .map_or(Ok(()), |reason| check_reason("reason", reason))
    }
}

impl ApiState {
    /// Has a site do something that moves no money.
    async fn direct(
        &self,
        caller: Caller,
        site: SiteId,
        directive: Directive,
        told: (&'static str, serde_json::Value),
    ) -> Result<Answered, Problem> {
        self.with_money(caller, None, move |money| {
            let no = match money.direct(&site, &directive)? {
                Ok(no) => no,
                Err(refused) => return Ok(Err(refused.into())),
            };
            let (action, mut detail) = told;
            detail["directive"] = json!(no.to_string());
            let view = IssuedView::new(&site, no);
            let subject = site.to_string();
            let told = Told {
                action,
                subject,
                detail,
            };
            Ok(Ok((Shown::new(StatusCode::ACCEPTED, &view)?, told)))
        })
        .await
    }
}

/// Add a tariff version at a site, with the time zone that it is in. A version is never changed: the same content again is fine, and
/// the site refuses another under its name. Orders that are placed from its `effective_from` on are pinned to it.
#[utoipa::path(
    put, path = "/v1/sites/{site}/tariffs/{id}", tag = "sites",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("id" = inline(described::TariffId), Path, description = "The version's name, as in the document"),
    ),
    request_body = TariffDocument,
    responses((status = 202, description = "The site is told", body = IssuedView)),
    security(("bearer" = ["admin"])),
)]
async fn put_tariff(
    State(api): State<ApiState>,
    Of((site, id)): Of<(SiteId, TariffId)>,
    put: Put<PutTariff>,
) -> Result<Answered, Problem> {
    let PutTariff(tariff) = put.body;
    if tariff.id != id {
        let detail = format!("the document is of tariff {}, the path names {id}", tariff.id);
        return Err(Problem::field("id", detail));
    }
    let directive = Directive::Tariff {
        tariff: Box::new(tariff),
        by: put.caller.name.clone(),
    };
    let told = ("tariff_put", json!({ "tariff": id.as_str() }));
    api.direct(put.caller, site, directive, told).await
}

/// Fence a pile off at a site, or put it back to work. An order that is running there goes on.
#[utoipa::path(
    put, path = "/v1/sites/{site}/piles/{pile}/maintenance", tag = "sites",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("pile" = inline(described::PileId), Path, description = "The pile's id"),
    ),
    request_body = Maintenance,
    responses((status = 202, description = "The site is told", body = IssuedView)),
    security(("bearer" = ["station"])),
)]
async fn put_maintenance(
    State(api): State<ApiState>,
    Of((site, pile)): Of<(SiteId, PileId)>,
    put: Put<Maintenance>,
) -> Result<Answered, Problem> {
    let reason = put.body.reason;
    let told = ("maintenance_put", json!({ "pile": pile.as_str(), "reason": reason }));
    let directive = Directive::Maintenance {
        pile,
        reason,
        by: put.caller.name.clone(),
    };
    api.direct(put.caller, site, directive, told).await
}

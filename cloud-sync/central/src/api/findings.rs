//! Findings: where a site says one thing, and another is worked out here.

use super::{
    ApiState,
    dto::finding::{FindingClass, FindingView},
    orders::moment,
};
use crate::store::findings::{self, Class, Filter, Finding, Found};
use axum::{Json, extract::State};
use domain::ids::{OrderId, SiteId};
use serde::Deserialize;
use service::{
    http::{
        body::Asked,
        page::{Paging, bad_cursor, cursor_of},
        problem::Problem,
    },
    wire::{PageOf, described},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_findings))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListFindings {
    /// Only of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only of this class.
    #[serde(default)]
    class: Option<FindingClass>,
    /// Only about this order.
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

/// The place of a finding in the list.
fn place([at, site, branch, seq, class]: [&str; 5]) -> Result<Found, Problem> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad_cursor());
    Ok(Found {
        site: site.parse().map_err(|_| bad_cursor())?,
        branch: number(branch)?,
        finding: Finding {
            class: Class::of_word(class).ok_or_else(bad_cursor)?,
            seq: number(seq)?,
            order: None,
            detail: String::new(),
        },
        found_at: moment(at)?,
    })
}

/// Differences between what a site says and what is worked out here, the newest first.
#[utoipa::path(
    get, path = "/v1/findings", tag = "books",
    params(ListFindings),
    responses((status = 200, description = "One page", body = PageOf<FindingView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_findings(
    State(api): State<ApiState>,
    Asked(query): Asked<ListFindings>,
) -> Result<Json<PageOf<FindingView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = paging.parts()?.map(place).transpose()?;
    let filter = Filter {
        site: query.site,
        class: query.class.map(Into::into),
        order: query.order,
    };
    let mut found = api
        .read(move |tx| findings::list(tx, &filter, after.as_ref(), limit as u64 + 1))
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| {
        let Finding { class, seq, .. } = &last.finding;
        let (at, site) = (last.found_at.0.to_string(), last.site.to_string());
        cursor_of([
            at,
            site,
            last.branch.to_string(),
            seq.to_string(),
            class.word().to_owned(),
        ])
    });
    Ok(Json(PageOf {
        items: found.iter().map(FindingView::from).collect(),
        next,
    }))
}

//! Alerts: what people must look at.

use super::{ApiState, dto::alert::AlertView, orders::moment};
use crate::store::alerts;
use axum::{Json, extract::State};
use domain::time::Wall;
use serde::Deserialize;
use service::{
    http::{
        body::Asked,
        page::{Paging, bad_cursor, cursor_of},
        problem::Problem,
    },
    wire::PageOf,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_alerts))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListAlerts {
    /// Only those that are open, or only those that are over.
    #[serde(default)]
    open: Option<bool>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// The place of an alert in the list.
fn place([open, begun_at, id]: [&str; 3]) -> Result<(bool, Wall, String), Problem> {
    let open = match open {
        "1" => true,
        "0" => false,
        _ => return Err(bad_cursor()),
    };
    Ok((open, moment(begun_at)?, id.to_owned()))
}

/// What people must look at: what is open first, then what is over, each the newest first.
#[utoipa::path(
    get, path = "/v1/alerts", tag = "health",
    params(ListAlerts),
    responses((status = 200, description = "One page", body = PageOf<AlertView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_alerts(
    State(api): State<ApiState>,
    Asked(query): Asked<ListAlerts>,
) -> Result<Json<PageOf<AlertView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = paging.parts()?.map(place).transpose()?;
    let page = api.read(move |tx| alerts::list(tx, query.open, after, limit)).await?;
    let next = page.next_after().map(|last| {
        let open = u8::from(last.ended_at.is_none());
        cursor_of([open.to_string(), last.begun_at.0.to_string(), last.id.clone()])
    });
    Ok(Json(PageOf {
        items: page.items.iter().map(AlertView::from).collect(),
        next,
    }))
}

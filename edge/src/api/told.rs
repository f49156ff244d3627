//! What head office had the station do, and which vouchers it took: for whoever stands at the station and wants to know why
//! something happened, or did not.

use super::{
    ApiState,
    body::Asked,
    dto::told::{DirectiveView, DirectivesView, OfVouchersView, VouchersView},
    page::Paging,
    problem::Problem,
    wire::At,
};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_directives))
        .routes(routes!(list_vouchers))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListDirectives {
    /// Only those that were refused.
    #[serde(default)]
    refused: bool,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// What head office had the station do, newest first, as far back as the journal goes; and how far its directives were taken.
#[utoipa::path(
    get, path = "/v1/directives", tag = "station",
    params(ListDirectives),
    responses((status = 200, description = "One page", body = DirectivesView)),
    security(("bearer" = ["viewer"])),
)]
async fn list_directives(
    State(api): State<ApiState>,
    Asked(query): Asked<ListDirectives>,
) -> Result<Json<DirectivesView>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let (before, limit, refused) = (paging.number()?, paging.limit()?, query.refused);
    let view = api.read(move |reader| {
        let page = reader.directives(refused, before, limit)?;
        Ok(DirectivesView {
            taken: (&reader.head_office()?).into(),
            items: page.items.iter().map(DirectiveView::from).collect(),
            next: page.next.map(|next| next.to_string()),
        })
    });
    Ok(Json(view.await?))
}

/// Vouchers (凭证) that were taken, and until when they were closed, newest first, as far back as the journal goes.
#[utoipa::path(
    get, path = "/v1/vouchers", tag = "members",
    params(Paging),
    responses((status = 200, description = "One page", body = VouchersView)),
    security(("bearer" = ["viewer"])),
)]
async fn list_vouchers(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<VouchersView>, Problem> {
    let (before, limit) = (paging.number()?, paging.limit()?);
    let view = api.read(move |reader| {
        let page = reader.vouchers(before, limit)?;
        Ok(VouchersView {
            closed_until: reader.head_office()?.vouchers_closed.map(At),
            items: page.items.iter().map(OfVouchersView::from).collect(),
            next: page.next.map(|next| next.to_string()),
        })
    });
    Ok(Json(view.await?))
}

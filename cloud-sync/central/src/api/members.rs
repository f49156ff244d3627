//! Members as the sites have them: what lies where.

use super::{ApiState, dto::AtSite, unknown_at};
use crate::store::queries::rows::{self, MemberRow};
use axum::{Json, extract::State};
use domain::ids::{MemberId, SiteId};
use serde::Deserialize;
use service::{
    http::{
        body::{Asked, Of},
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{PageOf, described, member::MemberView},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_members))
        .routes(routes!(get_member))
}

fn view(of: &MemberRow) -> MemberView {
    MemberView::new(&of.member, of.allowance, of.held, of.debt)
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListMembers {
    /// Only of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only this member, at each site that has them.
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

/// List members in the order of their ids, a row for each site that has one.
#[utoipa::path(
    get, path = "/v1/members", tag = "members",
    params(ListMembers),
    responses((status = 200, description = "One page", body = PageOf<AtSite<MemberView>>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_members(
    State(api): State<ApiState>,
    Asked(query): Asked<ListMembers>,
) -> Result<Json<PageOf<AtSite<MemberView>>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = paging.parts()?.map(|[id, site]| (id.to_owned(), site.to_owned()));
    let (site, member) = (query.site, query.member);
    let page = api
        .read(move |tx| {
            let site = site.as_ref().map(SiteId::as_str);
            rows::members(tx, site, member.as_ref().map(MemberId::as_str), after, limit)
        })
        .await?;
    let next = page.next_after();
    let next = next.map(|last| cursor_of([last.row.member.id.to_string(), last.site.clone()]));
    let items = page.items.iter().map(|of| AtSite {
        site: of.site.clone(),
        row: view(&of.row),
    });
    Ok(Json(PageOf {
        items: items.collect(),
        next,
    }))
}

/// One member at one site.
#[utoipa::path(
    get, path = "/v1/sites/{site}/members/{member}", tag = "members",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("member" = inline(described::MemberId), Path, description = "The member's id"),
    ),
    responses((status = 200, description = "The member", body = AtSite<MemberView>)),
    security(("bearer" = ["viewer"])),
)]
async fn get_member(
    State(api): State<ApiState>,
    Of((site, id)): Of<(SiteId, MemberId)>,
) -> Result<Json<AtSite<MemberView>>, Problem> {
    let (of, wanted) = (site.clone(), id.clone());
    let found = api.read(move |tx| rows::find_member(tx, of.as_str(), &wanted)).await?;
    let found = found.ok_or_else(|| unknown_at("member", id, &site))?;
    let (site, row) = (site.to_string(), view(&found));
    Ok(Json(AtSite { site, row }))
}

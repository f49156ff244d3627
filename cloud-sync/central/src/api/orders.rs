//! Orders of all sites: list, look, the bill and the log of one; its curve, which only the station has.

use super::{ApiState, dto::AtSite, station::Passed, unknown_at};
use crate::{
    role::Role,
    store::queries::{
        orders::{self, OrderFilter},
        rows,
    },
};
use axum::{Json, extract::State};
use domain::{
    ids::{MemberId, OrderId, PileId, SiteId},
    journal::Written,
    order::Order,
    time::{Day, Wall},
};
use protocol::read_through::Question;
use serde::Deserialize;
use service::{
    http::{
        access::Caller,
        body::{Asked, Of},
        page::{Paging, bad_cursor, cursor_of},
        problem::Problem,
    },
    wire::{
        At, PageOf,
        bill::BillView,
        described,
        order::{Curve, LogEntry, OrderState, OrderView},
    },
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_orders))
        .routes(routes!(get_order))
        .routes(routes!(get_bill))
        .routes(routes!(get_log))
        .routes(routes!(get_curve))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListOrders {
    /// Only of this site.
    #[serde(default)]
    #[param(value_type = Option<described::SiteId>, inline)]
    site: Option<SiteId>,
    /// Only this member's.
    #[serde(default)]
    #[param(value_type = Option<described::MemberId>, inline)]
    member: Option<MemberId>,
    /// Only those at this pile of the site, which must be named too.
    #[serde(default)]
    #[param(value_type = Option<described::PileId>, inline)]
    pile: Option<PileId>,
    /// Only orders in this state.
    #[serde(default)]
    state: Option<OrderState>,
    /// Only those that count for this business day: once their money has moved.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date, example = "2026-03-01")]
    day: Option<String>,
    /// Only those placed at this moment or later, RFC 3339.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Wall>,
    /// Only those placed before this moment, RFC 3339.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Wall>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A business day in a query.
pub(super) fn day(text: Option<String>) -> Result<Option<Day>, Problem> {
    text.map(|text| Day::parse(&text).map_err(|error| Problem::url("day", error)))
        .transpose()
}

/// A moment in a cursor.
pub(super) fn moment(text: &str) -> Result<Wall, Problem> {
    text.parse().map(Wall).map_err(|_| bad_cursor())
}

/// List orders of all sites, the last placed first.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders",
    params(ListOrders),
    responses((status = 200, description = "One page", body = PageOf<AtSite<OrderView>>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_orders(
    State(api): State<ApiState>,
    Asked(query): Asked<ListOrders>,
) -> Result<Json<PageOf<AtSite<OrderView>>>, Problem> {
    if query.pile.is_some() && query.site.is_none() {
        let detail = "name the site of the pile too: other sites may have one of the same id";
        return Err(Problem::url("pile", detail));
    }
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, site, id]) => Some((moment(at)?, site.to_owned(), id.to_owned())),
    };
    let filter = OrderFilter {
        site: query.site.map(|site| site.to_string()),
        member: query.member.map(|member| member.to_string()),
        pile: query.pile.map(|pile| pile.to_string()),
        state: query
            .state
            .map(|state| domain::order::State::from(state).word().to_owned()),
        day: day(query.day)?.map(|day| day.to_string()),
        from: query.from,
        to: query.to,
    };
    let page = api.read(move |tx| orders::list(tx, &filter, after, limit)).await?;
    let next = page.next_after().map(|last| {
        let order = &last.row;
        cursor_of([order.placed_at.0.to_string(), last.site.clone(), order.id.to_string()])
    });
    let items = page.items.iter().map(|of| AtSite {
        site: of.site.clone(),
        row: OrderView::from(&of.row),
    });
    Ok(Json(PageOf {
        items: items.collect(),
        next,
    }))
}

impl ApiState {
    /// An order that head office has.
    pub(super) async fn order(&self, site: &SiteId, id: &OrderId) -> Result<Order, Problem> {
        let (of, wanted) = (site.clone(), id.clone());
        let found = self.read(move |tx| orders::find(tx, of.as_str(), &wanted)).await?;
        found.ok_or_else(|| unknown_at("order", id, site))
    }

    /// An order that head office has, for who may look: a mini-program's back end only at orders of head office's members, since whom
    /// a site has to itself it does not serve.
    pub(super) async fn order_for(&self, caller: &Caller, site: &SiteId, id: &OrderId) -> Result<Order, Problem> {
        let order = self.order(site, id).await?;
        if caller.roles.contains(Role::Viewer.word()) {
            return Ok(order);
        }
        let (at, of) = (site.clone(), order.member.clone());
        let member = self.read(move |tx| rows::find_member(tx, at.as_str(), &of)).await?;
        match member.is_some_and(|of| of.member.head_office) {
            true => Ok(order),
            false => Err(unknown_at("order", id, site)),
        }
    }
}

/// One order, with what of its record could not be read.
///
/// The role `station` sees those of head office's members.
#[utoipa::path(
    get, path = "/v1/sites/{site}/orders/{order}", tag = "orders",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number there"),
    ),
    responses((status = 200, description = "The order", body = AtSite<OrderView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["station"])),
)]
async fn get_order(
    State(api): State<ApiState>,
    Of((site, id)): Of<(SiteId, OrderId)>,
    caller: Caller,
) -> Result<Json<AtSite<OrderView>>, Problem> {
    let order = api.order_for(&caller, &site, &id).await?;
    let mut row = OrderView::from(&order);
    let unread = order.ending.as_ref().and_then(|ending| ending.unread.as_deref());
    row.unread = unread.map(Into::into);
    let site = site.to_string();
    Ok(Json(AtSite { site, row }))
}

/// Every version of an order's bill, with its segments to nine places.
#[utoipa::path(
    get, path = "/v1/sites/{site}/orders/{order}/bill", tag = "orders",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number there"),
    ),
    responses((status = 200, description = "No versions before the order is rated", body = BillView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_bill(
    State(api): State<ApiState>,
    Of((site, id)): Of<(SiteId, OrderId)>,
) -> Result<Json<BillView>, Problem> {
    Ok(Json(BillView::from(&api.order(&site, &id).await?)))
}

/// Everything that happened to an order, oldest first, out of the site's journal.
#[utoipa::path(
    get, path = "/v1/sites/{site}/orders/{order}/log", tag = "orders",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number there"),
        Paging,
    ),
    responses((status = 200, description = "One page", body = PageOf<LogEntry>)),
    security(("bearer" = ["viewer"])),
)]
async fn get_log(
    State(api): State<ApiState>,
    Of((site, id)): Of<(SiteId, OrderId)>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<LogEntry>>, Problem> {
    let (after, limit) = (paging.number()?.unwrap_or(0), paging.limit()?);
    let (of, wanted) = (site.clone(), id.clone());
    let (page, known) = api
        .read(move |tx| {
            let page = orders::log(tx, of.as_str(), &wanted, after.saturating_add(1), limit)?;
            let known = !page.items.is_empty() || orders::find(tx, of.as_str(), &wanted)?.is_some();
            Ok((page, known))
        })
        .await?;
    if !known {
        return Err(unknown_at("order", id, &site));
    }
    Ok(Json(PageOf {
        next: page.next_after().map(|last| last.stamp.seq.to_string()),
        items: page.items.iter().map(log_entry).collect(),
    }))
}

fn log_entry(entry: &Written) -> LogEntry {
    LogEntry {
        seq: entry.stamp.seq,
        at: At(entry.stamp.at),
        kind: entry.fact.kind.clone(),
        body: entry.fact.body.clone().into(),
    }
}

/// What was measured while an order charged. Only the station has it: it is asked over the line.
#[utoipa::path(
    get, path = "/v1/sites/{site}/orders/{order}/curve", tag = "orders",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number there"),
    ),
    responses(
        (status = 200, description = "The first day of it", body = Curve),
        (status = 503, description = "`site_away`, `site_silent` or `site_busy`: the station cannot be asked just now",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["viewer"])),
)]
async fn get_curve(
    State(api): State<ApiState>,
    Of((site, order)): Of<(SiteId, OrderId)>,
    caller: Caller,
) -> Result<Passed, Problem> {
    api.order(&site, &order).await?;
    api.ask(&caller, &site, Question::Curve { order }).await
}

//! Orders: place, look, list, stop, close, refund; the bill, the log and the curve of one.

use super::{
    ApiState,
    body::{Asked, Nothing, Of, Posted},
    page::Paging,
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{
        At, Kwh, PageOf,
        bill::BillView,
        described,
        order::{Curve, CurvePoint, LogEntry, OrderState, OrderView, PlaceOrder, RefundOrder, StopAccepted},
    },
};
use crate::store::OrderFilter;
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::{MemberId, OrderId, Outlet, PileId},
    journal::Written,
    notice::Notice,
    order::Order,
    site::{Answer, Input, Place, Site},
    time::Wall,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most points of a curve in one answer: a day of samples every 15 s.
const POINTS_MAX: usize = 5_760;
/// The longest stretch of time that one answer of a curve looks at, in milliseconds.
const CURVE_MS_MAX: i64 = 86_400_000;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(place_order, list_orders))
        .routes(routes!(get_order))
        .routes(routes!(stop_order))
        .routes(routes!(close_order))
        .routes(routes!(refund_order))
        .routes(routes!(get_bill))
        .routes(routes!(get_log))
        .routes(routes!(get_curve))
}

/// The order as just decided, rendered in the loop.
pub(super) fn order_in_memory(site: &Site, id: &OrderId) -> Result<OrderView, Problem> {
    let order = site.rows().orders.get(id).and_then(Option::as_ref);
    order
        .map(OrderView::from)
        .ok_or_else(|| Problem::internal(format!("order {id} was decided and is not in memory")))
}

/// The answer to a decision about one order; a correction that waits for a second person is accepted and not done.
pub(super) fn about_order(decided: &Answer, site: &Site, status: StatusCode) -> Result<Shown, Problem> {
    match decided {
        Answer::Order(id) => Ok(Shown::new(status, &order_in_memory(site, id)?)),
        Answer::Proposed { order, .. } => Ok(Shown::new(StatusCode::ACCEPTED, &order_in_memory(site, order)?)),
        other => Err(Problem::internal(format!("{other:?} is no answer about an order"))),
    }
}

pub(super) async fn stored_order(api: &ApiState, id: OrderId) -> Result<Order, Problem> {
    let wanted = id.clone();
    let (found, begins_after) = api
        .read(move |reader| Ok((reader.order(&wanted)?, reader.checkpoint()?.seq)))
        .await?;
    found.ok_or_else(|| no_order(&id, begins_after))
}

/// One that was never here, or is here no more.
fn no_order(id: &OrderId, begins_after: u64) -> Problem {
    match begins_after {
        0 => Problem::unknown("order", id),
        _ => Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_order",
            format!(
                "order {id} is not known at this station; orders that ended long ago are kept no longer than \
                 `retention.days` in its configuration says"
            ),
        ),
    }
}

/// Place an order: reserve the money and start the pile.
///
/// The order is in PLACE until the pile confirms the start; if it does not within a minute, the order fails and the
/// whole hold goes back.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders",
    request_body = PlaceOrder,
    responses((status = 201, description = "Placed; the pile has been told to start", body = OrderView)),
    security(("bearer" = ["station"])),
)]
async fn place_order(State(api): State<ApiState>, posted: Posted<PlaceOrder>) -> Result<Answered, Problem> {
    let Posted { body, key, .. } = posted;
    let place = Place {
        member: body.member,
        outlet: Outlet {
            pile: body.pile,
            connector: body.connector,
        },
        prepay: body.prepay.map(|prepay| prepay.0),
        until: body.until.into(),
    };
    Question::new(Input::Place(place), Some(key))
        .ask(&api, |decided, site, _| about_order(decided, site, StatusCode::CREATED))
        .await
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListOrders {
    /// Only orders in this state.
    #[serde(default)]
    state: Option<OrderState>,
    /// Only this member's.
    #[serde(default)]
    #[param(value_type = Option<described::MemberId>, inline)]
    member: Option<MemberId>,
    /// Only those at this pile.
    #[serde(default)]
    #[param(value_type = Option<described::PileId>, inline)]
    pile: Option<PileId>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// List orders, newest first.
///
/// A page may have fewer rows than `limit`, or none, and still a `next`: filters are applied to a bounded number of rows
/// at a time.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders",
    params(ListOrders),
    responses((status = 200, description = "One page", body = PageOf<OrderView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_orders(
    State(api): State<ApiState>,
    Asked(query): Asked<ListOrders>,
) -> Result<Json<PageOf<OrderView>>, Problem> {
    let filter = OrderFilter {
        state: query.state.map(Into::into),
        member: query.member,
        pile: query.pile,
    };
    orders_page(&api, filter, &Paging::new(query.cursor, query.limit)).await
}

pub(super) async fn orders_page(
    api: &ApiState,
    filter: OrderFilter,
    paging: &Paging,
) -> Result<Json<PageOf<OrderView>>, Problem> {
    let (before, limit) = (paging.number()?, paging.limit()?);
    let page = api.read(move |reader| reader.orders(&filter, before, limit)).await?;
    Ok(Json(PageOf {
        items: page.items.iter().map(OrderView::from).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// One order; with `live` while it is open, and with what of its record could not be read.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders",
    params(("id" = inline(described::OrderId), Path, description = "The order's number")),
    responses((status = 200, description = "The order", body = OrderView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_order(State(api): State<ApiState>, Of(id): Of<OrderId>) -> Result<Json<OrderView>, Problem> {
    let order = stored_order(&api, id).await?;
    let mut view = OrderView::from(&order);
    let unread = order.ending.as_ref().and_then(|ending| ending.unread.as_deref());
    view.unread = unread.map(Into::into);
    if order.state.is_open() {
        let live = api.station.look(move |site, now| site.view_of(&order.id, now)).await?;
        view.live = live.as_ref().map(Into::into);
    }
    Ok(Json(view))
}

/// Stop charging, or cancel an order that has not begun.
///
/// If the pile is offline, the stop is remembered and sent when it is back; what was really delivered is charged.
#[utoipa::path(
    post, path = "/v1/orders/{id}/stop", tag = "orders",
    params(("id" = inline(described::OrderId), Path, description = "The order's number")),
    request_body = Nothing,
    responses(
        (status = 200, description = "The pile has been told, or the order was cancelled", body = StopAccepted),
        (status = 202, description = "The pile is offline; the stop is remembered", body = StopAccepted),
    ),
    security(("bearer" = ["station"])),
)]
async fn stop_order(
    State(api): State<ApiState>,
    Of(order): Of<OrderId>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let by = posted.caller.name;
    Question::new(Input::Stop { order, by }, Some(posted.key))
        .ask(&api, |decided, site, _| {
            let (id, pile_online) = match decided {
                Answer::Stopping { order, pile_online } => (order, *pile_online),
                // Cancelled before it began: there was nothing to stop.
                Answer::Order(order) => (order, true),
                other => return Err(Problem::internal(format!("{other:?} is no answer to a stop"))),
            };
            let order = order_in_memory(site, id)?;
            let status = if pile_online {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            };
            let message = (!pile_online).then(|| Notice::stop_remembered().text);
            Ok(Shown::new(
                status,
                &StopAccepted {
                    order,
                    pile_online,
                    message,
                },
            ))
        })
        .await
}

/// End an order with what is known of it, whatever its pile says.
///
/// Before the start it is cancelled. After it the pile is told to stop if it is there, and an estimate takes the record's
/// place: paid by the last reading, the rest of the hold waits for the record.
#[utoipa::path(
    post, path = "/v1/orders/{id}/close", tag = "orders",
    params(("id" = inline(described::OrderId), Path, description = "The order's number")),
    request_body = Nothing,
    responses((status = 200, description = "Cancelled, or settled by an estimate", body = OrderView)),
    security(("bearer" = ["service"])),
)]
async fn close_order(
    State(api): State<ApiState>,
    Of(order): Of<OrderId>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let by = posted.caller.name;
    Question::new(Input::Close { order, by }, Some(posted.key))
        .ask(&api, |decided, site, _| about_order(decided, site, StatusCode::OK))
        .await
}

/// Give money back to the member's balance after settlement (售后退款).
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds", tag = "orders",
    params(("id" = inline(described::OrderId), Path, description = "The order's number")),
    request_body = RefundOrder,
    responses((status = 201, description = "Given back", body = OrderView)),
    security(("bearer" = ["service"])),
)]
async fn refund_order(
    State(api): State<ApiState>,
    Of(order): Of<OrderId>,
    posted: Posted<RefundOrder>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let input = Input::Refund {
        order,
        amount: body.amount.0,
        reason: body.reason,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, |decided, site, _| about_order(decided, site, StatusCode::CREATED))
        .await
}

/// Every version of an order's bill, with its segments to nine places.
#[utoipa::path(
    get, path = "/v1/orders/{id}/bill", tag = "orders",
    params(("id" = inline(described::OrderId), Path, description = "The order's number")),
    responses((status = 200, description = "No versions before the order is rated", body = BillView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_bill(State(api): State<ApiState>, Of(id): Of<OrderId>) -> Result<Json<BillView>, Problem> {
    let order = stored_order(&api, id).await?;
    Ok(Json(BillView::from(&order)))
}

/// Everything that happened to an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/log", tag = "orders",
    params(("id" = inline(described::OrderId), Path, description = "The order's number"), Paging),
    responses((status = 200, description = "One page", body = PageOf<LogEntry>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["sync", "socket"])),
)]
async fn get_log(
    State(api): State<ApiState>,
    Of(id): Of<OrderId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<LogEntry>>, Problem> {
    let (from, limit) = (paging.number()?.unwrap_or(0), paging.limit()?);
    let wanted = id.clone();
    let (known, begins_after, mut entries) = api
        .read(move |reader| {
            // One more than asked tells whether there is a next page.
            let entries = reader.order_log_from(&wanted, from, limit + 1)?;
            let known = !entries.is_empty() || reader.order(&wanted)?.is_some();
            Ok((known, reader.checkpoint()?.seq, entries))
        })
        .await?;
    if !known {
        return Err(no_order(&id, begins_after));
    }
    let next = entries.get(limit).map(|entry| entry.stamp.seq.to_string());
    entries.truncate(limit);
    Ok(Json(PageOf {
        items: entries.iter().map(log_entry).collect(),
        next,
    }))
}

/// A line of a log, whether or not this program knows its kind of fact.
pub(super) fn log_entry(entry: &Written) -> LogEntry {
    LogEntry {
        seq: entry.stamp.seq,
        at: At(entry.stamp.at),
        kind: entry.fact.kind.clone(),
        body: entry.fact.body.clone().into(),
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CurveFrom {
    /// Only points after this moment, RFC 3339: `next` of the answer before.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<Wall>,
}

/// What was measured while an order charged.
#[utoipa::path(
    get, path = "/v1/orders/{id}/curve", tag = "orders",
    params(("id" = inline(described::OrderId), Path, description = "The order's number"), CurveFrom),
    responses((status = 200, description = "At most a day of it", body = Curve)),
    security(("bearer" = ["viewer"]), ("bearer" = ["sync", "socket"])),
)]
async fn get_curve(
    State(api): State<ApiState>,
    Of(id): Of<OrderId>,
    Asked(query): Asked<CurveFrom>,
) -> Result<Json<Curve>, Problem> {
    let order = stored_order(&api, id).await?;
    let (begin, end) = order.reported().into_inner();
    let end = match order.ending {
        Some(_) => end,
        None => api.station.clock.now().wall,
    };
    let first = query.after.map_or(begin, |after| after.after_ms(1)).max(begin);
    let last = end.min(first.after_ms(CURVE_MS_MAX));
    let outlet = order.outlet.clone();
    let (samples, until) = api
        .read(move |reader| reader.samples(&outlet, first, last, POINTS_MAX))
        .await?;
    let next = until.or((last < end).then_some(last)).map(At);
    let of_order = samples
        .into_iter()
        .filter(|(_, report)| report.order_id.as_ref() == Some(&order.id));
    let points = of_order.map(|(at, report)| CurvePoint {
        at: At(at),
        power_kw: report.watts().map(|watts| watts / 1000.0),
        voltage_v: report.voltage_v,
        current_a: report.current_a,
        soc_pct: report.soc_pct,
        temp_c: report.temp_c,
        meter_kwh: Kwh(report.meter_kwh),
    });
    Ok(Json(Curve {
        points: points.collect(),
        next,
    }))
}

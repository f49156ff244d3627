//! Orders through head office: placed, followed until the site has them, stopped.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    leases::DirectiveNoView,
    wallets::check_amount,
};
use crate::{
    money::{Order, Placed},
    role::Role,
    store::placings,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::ids::{ConnectorNo, HEAD_OFFICE_ORDER, MemberId, OrderId, Outlet, PileId, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Checked, Nothing, Of, Posted},
        problem::Problem,
    },
    wire::{At, Yuan, described, order::PlaceOrder},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What is reserved where nobody says an amount.
const PREPAY: domain::units::Fen = domain::units::Fen(5_000);

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(place_order))
        .routes(routes!(get_placing))
        .routes(routes!(stop_order))
}

/// An id that nobody else makes.
pub(super) fn new_id(begins: &str) -> Result<String, Problem> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(Problem::internal)?;
    Ok(format!("{begins}{}", domain::journal::hex(&random)))
}

/// A driver's wish to charge at a site.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceAtSite {
    /// At which site.
    #[schema(value_type = described::SiteId)]
    site: SiteId,
    /// Who pays.
    #[schema(value_type = described::MemberId)]
    member: MemberId,
    /// At which pile.
    #[schema(value_type = described::PileId)]
    pile: PileId,
    /// At which connector of it, counted from 1.
    #[schema(value_type = u8, minimum = 1, example = 1)]
    connector: ConnectorNo,
    /// How much is moved to the site and reserved there; 50.00 if left out.
    #[serde(default)]
    #[schema(value_type = Option<described::PositiveYuan>)]
    prepay: Option<Yuan>,
    /// Where to stop besides; all that are given apply.
    #[serde(default)]
    until: service::wire::order::UntilDto,
}

impl Checked for PlaceAtSite {
    fn check(&self) -> Result<(), Problem> {
        let as_at_a_station = PlaceOrder {
            member: self.member.clone(),
            pile: self.pile.clone(),
            connector: self.connector,
            prepay: self.prepay,
            until: self.until.clone(),
        };
        as_at_a_station.check()?;
        self.prepay.map_or(Ok(()), |prepay| check_amount("prepay", prepay))
    }
}

/// An order on its way to a site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Placing)]
struct PlacingView {
    /// The order's number, at head office and at the site.
    order: String,
    /// The site.
    site: String,
    /// Who pays.
    member: String,
    /// The pile.
    pile: String,
    /// The connector.
    connector: u8,
    /// What is reserved.
    prepay: Yuan,
    /// `gathering`: money is recalled from other sites first; `sent`: on its way to the site; `placed`: the site has it, and its row
    /// is `GET /v1/sites/{site}/orders/{order}`; `refused`; `expired`: the money did not come in time.
    state: String,
    /// Why it was refused: a stable word, and in words.
    #[schema(required, value_type = Option<Object>)]
    refused: Option<serde_json::Value>,
    /// From then on the site does not begin it any more, by head office's clock.
    expires_at: At,
    /// When it was asked for.
    made_at: At,
    /// The directive with which it was sent, in the answer to placing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    directive: Option<DirectiveNoView>,
}

fn view(of: &placings::Placing, now: domain::time::Wall) -> PlacingView {
    let is_over = of.expires_at <= now && of.state == placings::State::Gathering;
    PlacingView {
        order: of.order.to_string(),
        site: of.site.to_string(),
        member: of.member.to_string(),
        pile: of.outlet.pile.to_string(),
        connector: of.outlet.connector.0,
        prepay: Yuan(of.prepay),
        state: if is_over { "expired" } else { of.state.word() }.to_owned(),
        refused: match &of.state {
            placings::State::Refused(why) => serde_json::to_value(why).ok(),
            _ => None,
        },
        expires_at: At(of.expires_at),
        made_at: At(of.made_at),
        directive: None,
    }
}

/// Place an order at a site: money of the wallet goes there, the order is placed and the money reserved, in one step of the site.
/// Where the wallet has too little, money is fetched from sites with a line first.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders",
    request_body = PlaceAtSite,
    responses(
        (status = 202, description = "On its way: `GET /v1/orders/{order}` says how far", body = PlacingView),
        (status = 409, description = "`too-little-in-wallet`, with `lies`: the sites that have the member's money; `member-owes`; …",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["station"])),
)]
async fn place_order(State(api): State<ApiState>, posted: Posted<PlaceAtSite>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let id = OrderId::new(new_id(HEAD_OFFICE_ORDER)?).map_err(Problem::internal)?;
    let order = Order {
        id,
        member: body.member,
        site: body.site,
        outlet: Outlet {
            pile: body.pile,
            connector: body.connector,
        },
        prepay: body.prepay.map_or(PREPAY, |prepay| prepay.0),
        until: body.until.into(),
        wished: None,
    };
    api.with_money(caller, Some(key), move |money| {
        let placed = match money.place(&order)? {
            Ok(placed) => placed,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let Some((placing, now)) = money.placing(&order.id)? else {
            return Err(crate::store::StoreError::Broken(
                "an order that was placed is not there".to_owned(),
            ));
        };
        let mut view = view(&placing, now);
        if let Placed::Sent(no) = placed {
            view.directive = Some(no.into());
        }
        let told = Told {
            action: "order_placed",
            subject: order.id.to_string(),
            detail: json!({ "site": order.site.as_str(), "member": order.member.as_str(), "prepay": view.prepay }),
        };
        Ok(Ok((Shown::new(StatusCode::ACCEPTED, &view)?, told)))
    })
    .await
}

/// How far an order is that was placed through head office.
#[utoipa::path(
    get, path = "/v1/orders/{order}", tag = "orders",
    params(("order" = inline(described::OrderId), Path, description = "The order's number")),
    responses((status = 200, description = "The order on its way", body = PlacingView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["station"])),
)]
async fn get_placing(State(api): State<ApiState>, Of(order): Of<OrderId>) -> Result<Json<PlacingView>, Problem> {
    let of = order.clone();
    let found = api.read(move |tx| placings::find(tx, &of)).await?;
    let found = found.ok_or_else(|| Problem::unknown("order", &order))?;
    Ok(Json(view(&found, api.clock.wall())))
}

/// Stop an order at a site, or cancel it before its start. It never expires: a site that has no line stops it once it has one.
#[utoipa::path(
    post, path = "/v1/sites/{site}/orders/{order}/stop", tag = "orders",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number"),
    ),
    request_body = Nothing,
    responses((status = 202, description = "On its way to the site", body = DirectiveNoView)),
    security(("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn stop_order(
    State(api): State<ApiState>,
    Of((site, order)): Of<(SiteId, OrderId)>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let Posted { key, caller, .. } = posted;
    let (of, at) = (order.clone(), site.clone());
    let placing = api.read(move |tx| placings::find(tx, &of)).await?;
    let is_placed_here = placing.is_some_and(|placing| placing.site == at);
    let may_stop_any = caller.roles.contains(Role::Service.word());
    if !is_placed_here {
        match may_stop_any {
            true => api.order(&site, &order).await?,
            false => api.order_for(&caller, &site, &order).await?,
        };
    }
    api.with_money(caller, Some(key), move |money| {
        let no = match money.stop(&site, &order)? {
            Ok(no) => no,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let told = Told {
            action: "order_stopped",
            subject: order.to_string(),
            detail: json!({ "site": site.as_str(), "directive": no.to_string() }),
        };
        Ok(Ok((
            Shown::new(StatusCode::ACCEPTED, &DirectiveNoView::from(no))?,
            told,
        )))
    })
    .await
}

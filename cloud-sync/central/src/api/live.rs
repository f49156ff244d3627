//! An order as its driver sees it, while somebody at head office watches: the station is told so, and sends what changes.

use super::{ApiState, station::not_answered};
use crate::asks::Watching;
use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use domain::ids::{OrderId, SiteId};
use service::{
    http::{
        access::Caller,
        body::Of,
        feed::{Ended, Feed},
        problem::Problem,
    },
    wire::described,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(watch_order))
}

/// An order as the driver sees it, at most every 5 s (WebSocket).
///
/// The first message comes once the station has sent one; while the site is away none does. `station` sees orders of head office's members.
#[utoipa::path(
    get, path = "/v1/sites/{site}/orders/{order}/live", tag = "orders",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("order" = inline(described::OrderId), Path, description = "The order's number there"),
    ),
    responses(
        (status = 101, description = "A WebSocket whose messages are `LiveFrame`s of the station's own document; a program sends \
            its token as subprotocol: `new WebSocket(url, [\"bearer\", token])`"),
        (status = 426, description = "This is a WebSocket"),
    ),
    security(("bearer" = ["viewer"]), ("bearer" = ["station"])),
)]
async fn watch_order(
    State(api): State<ApiState>,
    Of((site, order)): Of<(SiteId, OrderId)>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    api.order_for(&caller, &site, &order).await?;
    let watching = api.asks.watch(&site, &order);
    let watching = watching.map_err(|why| not_answered(&site, why))?;
    api.sockets.show(caller, upgrade, OrderFeed(watching))
}

/// What the station sends of one order.
struct OrderFeed(Watching);

impl Feed for OrderFeed {
    async fn next(&mut self) -> Result<Vec<String>, Ended> {
        Ok(self.0.newest().into_iter().collect())
    }

    async fn changed(&mut self) -> Result<(), Ended> {
        self.0.changed().await;
        Ok(())
    }
}

//! What WebSockets show: one order, or all that are open.

use super::{
    ApiState,
    access::Caller,
    body::{Asked, Of},
    dto::live::{LiveFrame, LiveSite},
    orders::stored_order,
    problem::Problem,
    wire::described,
};
use crate::station::Station;
use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use domain::{ids::OrderId, order::Order};
use serde::{Deserialize, Serialize};
use service::http::feed::{Ended, Feed};
use std::sync::Arc;
use tokio::sync::watch;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(watch_order))
        .routes(routes!(watch_site))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Resume {
    /// `seq` of the last message that was seen: only what is newer comes. Left out, or where not everything since can be
    /// told any more, as after a restart, the present state comes first.
    #[serde(default)]
    after: Option<u64>,
}

/// An order as the driver sees it, on every change (WebSocket).
#[utoipa::path(
    get, path = "/v1/orders/{id}/live", tag = "live",
    params(("id" = inline(described::OrderId), Path, description = "The order's number"), Resume),
    responses(
        (status = 101, description = "A WebSocket whose messages are `LiveFrame`s; browsers send the token as subprotocol: \
            `new WebSocket(url, [\"bearer\", token])`"),
        (status = 426, description = "This is a WebSocket"),
    ),
    security(("bearer" = ["viewer"]), ("bearer" = ["sync", "socket"])),
)]
async fn watch_order(
    State(api): State<ApiState>,
    Of(id): Of<OrderId>,
    Asked(resume): Asked<Resume>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let order = Arc::new(stored_order(&api, id).await?);
    let news = api.station.hub.follow(&order.id);
    let feed = OrderFeed {
        order,
        from: Position::new(api.station, news, resume.after),
    };
    api.sockets.show(caller, upgrade, feed)
}

/// All open orders, on every change (WebSocket).
#[utoipa::path(
    get, path = "/v1/live", tag = "live",
    params(Resume),
    responses(
        (status = 101, description = "A WebSocket whose messages are `LiveSite`s; the first has every open order"),
        (status = 426, description = "This is a WebSocket"),
    ),
    security(("bearer" = ["viewer"])),
)]
async fn watch_site(
    State(api): State<ApiState>,
    Asked(resume): Asked<Resume>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let news = api.station.hub.subscribe();
    let feed = SiteFeed {
        from: Position::new(api.station, news, resume.after),
    };
    api.sockets.show(caller, upgrade, feed)
}

/// How far a reader is.
struct Position {
    station: Station,
    news: watch::Receiver<u64>,
    /// The number of the last frame that was said; `None` until the present state was.
    seen: Option<u64>,
}

impl Position {
    /// `news` began before anything is looked up: whatever happens meanwhile comes again afterwards.
    fn new(station: Station, mut news: watch::Receiver<u64>, after: Option<u64>) -> Self {
        news.mark_unchanged();
        let seen = after.filter(|after| station.hub.can_resume(*after));
        Self { station, news, seen }
    }

    async fn changed(&mut self) -> Result<(), Ended> {
        self.news.changed().await.map_err(|_| Ended)
    }
}

/// One order.
struct OrderFeed {
    order: Arc<Order>,
    from: Position,
}

impl Feed for OrderFeed {
    async fn next(&mut self) -> Result<Vec<String>, Ended> {
        let station = &self.from.station;
        let (mut texts, mut seen) = (Vec::new(), station.hub.newest());
        match self.from.seen {
            Some(before) => seen = before,
            None => {
                let order = Arc::clone(&self.order);
                let looked = station.look(move |site, now| {
                    // In memory it is newer than on disk.
                    let view = site.view_of(&order.id, now);
                    view.unwrap_or_else(|| site.view(&order, now))
                });
                let view = looked.await.map_err(|_| Ended)?;
                let view = (&view).into();
                texts.push(json(&LiveFrame { seq: seen, view })?);
            }
        }
        for frame in station.hub.newer_than(seen, Some(&self.order.id)) {
            seen = frame.seq;
            texts.push(json(&LiveFrame::from(&*frame))?);
        }
        self.from.seen = Some(seen);
        Ok(texts)
    }

    async fn changed(&mut self) -> Result<(), Ended> {
        self.from.changed().await
    }
}

/// All open orders.
struct SiteFeed {
    from: Position,
}

impl Feed for SiteFeed {
    async fn next(&mut self) -> Result<Vec<String>, Ended> {
        let station = &self.from.station;
        let (mut texts, mut seen) = (Vec::new(), station.hub.newest());
        match self.from.seen {
            Some(before) => seen = before,
            None => {
                let looked = station.look(move |site, now| {
                    let open = site.rows().orders().filter(|order| order.state.is_open());
                    open.map(|order| LiveFrame {
                        seq: seen,
                        view: (&site.view(order, now)).into(),
                    })
                    .collect()
                });
                let orders = looked.await.map_err(|_| Ended)?;
                texts.push(json(&LiveSite {
                    seq: seen,
                    complete: true,
                    orders,
                })?);
            }
        }
        let frames = station.hub.newer_than(seen, None);
        if let Some(last) = frames.last() {
            seen = last.seq;
            let orders = frames.iter().map(|frame| LiveFrame::from(&**frame)).collect();
            texts.push(json(&LiveSite {
                seq: seen,
                complete: false,
                orders,
            })?);
        }
        self.from.seen = Some(seen);
        Ok(texts)
    }

    async fn changed(&mut self) -> Result<(), Ended> {
        self.from.changed().await
    }
}

fn json(value: &impl Serialize) -> Result<String, Ended> {
    serde_json::to_string(value).map_err(|_| Ended)
}

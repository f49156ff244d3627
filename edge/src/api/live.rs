//! WebSockets: the present state first, then what changes. A slow reader gets the latest and never a queue.

use super::{
    ApiState,
    access::{Caller, WS_PROTOCOL},
    body::{Asked, Of},
    dto::live::{LiveFrame, LiveSite},
    orders::stored_order,
    problem::Problem,
};
use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::StatusCode,
    response::Response,
};
use domain::{ids::OrderId, order::Order};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, MissedTickBehavior},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// How often the other side is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long it may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one message may take to be taken.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
/// The longest message that is taken; readers have nothing to say.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(watch_order))
        .routes(routes!(watch_site))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Resume {
    /// `seq` of the last message that was seen: only what is newer comes. Left out, the present state comes first.
    #[serde(default)]
    after: Option<u64>,
}

/// An order as the driver sees it, on every change (WebSocket).
#[utoipa::path(
    get, path = "/v1/orders/{id}/live", tag = "live",
    params(("id" = String, Path, description = "The order's number"), Resume),
    responses(
        (status = 101, description = "A WebSocket whose messages are `LiveFrame`s; browsers send the token as subprotocol: \
            `new WebSocket(url, [\"bearer\", token])`"),
        (status = 426, description = "This is a WebSocket"),
    ),
    security(("bearer" = ["viewer"])),
)]
async fn watch_order(
    State(api): State<ApiState>,
    Of(id): Of<OrderId>,
    Asked(resume): Asked<Resume>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let order = stored_order(&api, id).await?;
    open(api, caller, upgrade, Scope::Order(Arc::new(order)), resume.after)
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
    open(api, caller, upgrade, Scope::Site, resume.after)
}

/// What a socket shows.
#[derive(Clone)]
enum Scope {
    Order(Arc<Order>),
    Site,
}

fn open(
    api: ApiState,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    scope: Scope,
    after: Option<u64>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("open this as a WebSocket: {rejection}");
        Problem::new(StatusCode::UPGRADE_REQUIRED, "not_a_websocket", detail)
    })?;
    let permit = Arc::clone(&api.sockets).try_acquire_owned().map_err(|_| {
        let detail = format!("{} sockets are open already; try again later", super::SOCKETS_MAX);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_sockets", detail)
    })?;
    let response = upgrade
        .protocols([WS_PROTOCOL])
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| show(socket, api, caller, scope, after, permit));
    Ok(response)
}

/// Why a socket is closed by the station.
enum Over {
    /// The other side is gone, or too slow.
    Gone,
    /// The daemon ends.
    Stopping,
    /// The token was taken back.
    TokenGone,
}

async fn show(
    mut socket: WebSocket,
    api: ApiState,
    caller: Caller,
    scope: Scope,
    after: Option<u64>,
    _permit: OwnedSemaphorePermit,
) {
    let (code, reason) = match feed(&mut socket, &api, &caller, &scope, after).await {
        Over::Gone => return,
        Over::Stopping => (close_code::AWAY, "the station is shutting down"),
        Over::TokenGone => (close_code::POLICY, "the token was taken back"),
    };
    let close = Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }));
    let _gone = tokio::time::timeout(SEND_TIME_MAX, socket.send(close)).await;
}

async fn feed(socket: &mut WebSocket, api: &ApiState, caller: &Caller, scope: &Scope, after: Option<u64>) -> Over {
    // Subscribed first: whatever happens while the present is looked up comes again afterwards.
    let mut news = match scope {
        Scope::Order(order) => api.station.hub.follow(&order.id),
        Scope::Site => api.station.hub.subscribe(),
    };
    let mut closing = api.closing.subscribe();
    news.mark_unchanged();
    let newest = api.station.hub.newest();
    // A number that was never given out is of another life of this station: start over.
    let mut seen = match after.filter(|after| *after <= newest) {
        Some(after) => after,
        None => {
            let Ok(()) = show_present(socket, api, scope, newest).await else {
                return Over::Gone;
            };
            newest
        }
    };
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    if show_news(socket, api, scope, &mut seen).await.is_err() {
        return Over::Gone;
    }
    loop {
        tokio::select! {
            changed = news.changed() => {
                if changed.is_err() || show_news(socket, api, scope, &mut seen).await.is_err() {
                    return Over::Gone;
                }
            }
            message = socket.recv() => match message {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Over::Gone,
                Some(Ok(_)) => heard = Instant::now(),
            },
            _ = ping.tick() => {
                if !caller.local && !api.station.credentials.tokens().iter().any(|(name, _)| *name == caller.name) {
                    return Over::TokenGone;
                }
                if heard.elapsed() > SILENCE_MAX || send(socket, Message::Ping(bytes::Bytes::new())).await.is_err() {
                    return Over::Gone;
                }
            }
            () = super::becomes_true(&mut closing) => return Over::Stopping,
        }
    }
}

/// The other side is gone, or too slow.
struct Gone;

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Gone> {
    match tokio::time::timeout(SEND_TIME_MAX, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

async fn send_json(socket: &mut WebSocket, value: &impl Serialize) -> Result<(), Gone> {
    let text = serde_json::to_string(value).map_err(|_| Gone)?;
    send(socket, Message::text(text)).await
}

/// How things are now, as seen by the loop.
async fn show_present(socket: &mut WebSocket, api: &ApiState, scope: &Scope, seq: u64) -> Result<(), Gone> {
    match scope {
        Scope::Order(order) => {
            let order = Arc::clone(order);
            let looked = api.station.look(move |site, now| {
                // In memory it is newer than on disk.
                let view = site.view_of(&order.id, now);
                view.unwrap_or_else(|| site.view(&order, now))
            });
            let view = looked.await.map_err(|_| Gone)?;
            let view = (&view).into();
            send_json(socket, &LiveFrame { seq, view }).await
        }
        Scope::Site => {
            let looked = api.station.look(move |site, now| {
                let open = site.rows().orders().filter(|order| order.state.is_open());
                open.map(|order| LiveFrame {
                    seq,
                    view: (&site.view(order, now)).into(),
                })
                .collect()
            });
            let orders = looked.await.map_err(|_| Gone)?;
            send_json(socket, &LiveSite { seq, orders }).await
        }
    }
}

/// What is newer than `seen`.
async fn show_news(socket: &mut WebSocket, api: &ApiState, scope: &Scope, seen: &mut u64) -> Result<(), Gone> {
    let hub = &api.station.hub;
    match scope {
        Scope::Order(order) => {
            for frame in hub.newer_than(*seen, Some(&order.id)) {
                *seen = frame.seq;
                send_json(socket, &LiveFrame::from(&*frame)).await?;
            }
        }
        Scope::Site => {
            let frames = hub.newer_than(*seen, None);
            if let Some(last) = frames.last() {
                *seen = last.seq;
                let orders = frames.iter().map(|frame| LiveFrame::from(&**frame)).collect();
                send_json(socket, &LiveSite { seq: *seen, orders }).await?;
            }
        }
    }
    Ok(())
}

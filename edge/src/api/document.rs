//! The OpenAPI document of the station: what it is about, its sections, and where it is served.

use super::{
    ApiState,
    dto::{
        live::{LiveFrame, LiveSite},
        problem::ProblemDetails,
    },
};
use axum::{http::header, response::IntoResponse};
use std::sync::LazyLock;
use utoipa::{
    OpenApi,
    openapi::{Info, Tag},
};
use utoipa_axum::{router::OpenApiRouter, routes};

const ABOUT: &str = "What a charging station does for its drivers, desk and integrators, with or without the internet.

**Tokens.** `Authorization: Bearer <token>`; a WebSocket may send `Sec-WebSocket-Protocol: bearer, <token>` instead. The \
roles are viewer < station < service < admin; the least one is given as the scope of each operation. On the station's \
Unix socket the file's permissions take the place of tokens, and callers are administrators; one who shows a token there \
is who the token says.

**Repeating.** Every POST carries an `Idempotency-Key`. The same key with the same body gets the answer that was given \
before, with `Idempotent-Replayed: true`, for 24 hours; the same key with another body gets 422. What was refused decided \
nothing: the same request may be sent again with the same key. PUT and DELETE can be repeated as they are. Of one caller's \
answers that are not about money only the last 4,096 are remembered. Those about money (orders placed and closed, bills \
decided, corrected and approved, top-ups, payments, refunds, cash) all are; with 100,000 of them within 24 hours the next one is refused: \
503 `answers-full`, `Retry-After` says until when, and nothing was booked.

**Amounts** are decimal strings: yuan with two places, kWh with four, kW with three, prices with five.

**Errors** are `application/problem+json` (RFC 9457); `type` is stable.

**Request ids.** Every answer has an `X-Request-Id`, the caller's own if one was sent; the log has it, and a problem as \
`instance`.";

/// The document before any operation is in it.
pub(super) fn start() -> utoipa::openapi::OpenApi {
    #[derive(OpenApi)]
    #[openapi(components(schemas(LiveFrame, LiveSite, ProblemDetails)))]
    struct Schemas;

    let mut document = Schemas::openapi();
    document.info = Info::new("Holdfast station", env!("CARGO_PKG_VERSION"));
    document.info.description = Some(ABOUT.to_owned());
    let tag = |name: &str, about: &str| {
        let mut tag = Tag::new(name);
        tag.description = Some(about.to_owned());
        tag
    };
    document.tags = Some(vec![
        tag("orders", "Charging sessions (订单)"),
        tag("reviews", "Orders that wait for a person before money moves"),
        tag("corrections", "Bills of settled orders that people correct"),
        tag("members", "Who pays (会员), and their money at the desk"),
        tag("cards", "Cards presented at piles"),
        tag("piles", "Charging piles (桩) and their secrets"),
        tag(
            "displays",
            "Price boards and other systems that read live frames over MQTT (docs/displays.md)",
        ),
        tag("tariffs", "Prices by time of day (尖/峰/平/谷)"),
        tag("quarantine", "Messages that carry money, or may, and fit nowhere"),
        tag("books", "The station's double-entry books"),
        tag("desk", "The till, shifts and the cash of a day"),
        tag(
            "energy",
            "What orders billed, held against what the registers moved, day by day",
        ),
        tag("live", "WebSockets"),
        tag("station", "The station itself"),
        tag("tokens", "Tokens for this API"),
        tag("journal", "The journal as it is stored; on the Unix socket only"),
        tag(
            "sync",
            "The line to head office, for the program that carries it; on a Unix socket of its own only",
        ),
        tag("health", "For supervisors and monitoring"),
    ]);
    document
}

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_openapi))
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "station",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
    security(()),
)]
async fn get_openapi() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| super::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

//! The OpenAPI document of head office: what it is about, its sections, and where it is served.

use super::{
    ApiState,
    dto::{inbox::WebhookEvent, problem::ProblemDetails},
};
use axum::{http::header, response::IntoResponse};
use std::sync::LazyLock;
use utoipa::{
    OpenApi,
    openapi::{Info, Tag},
};
use utoipa_axum::{router::OpenApiRouter, routes};

const ABOUT: &str = "What head office knows of all sites, and who may use it.

**Who asks.** Machines send `Authorization: Bearer <token>`; a WebSocket may send `Sec-WebSocket-Protocol: bearer, <token>` \
instead. People log in with `POST /v1/sessions` and have a cookie; every request of theirs that changes something has the \
header `X-CSRF-Token` besides. On head office's own Unix socket the file's permissions take the place of both, and callers \
are administrators. Roles are a set, none includes another, and each operation names those of which one is needed as its \
scope; `person` is whoever is logged in.

**Two sites may both have an order, a member or a quarantine item of one number.** Whatever a station shows is shown here in \
the same shape, with the `site` beside it.

**What is here** follows from the sites' journals, up to the `head` of each. What only a station knows (the curve of an order, \
the station as it is now, its books) is asked for over its line; where that is down the answer is 503 `site_away`.

**Repeating.** Every POST but the login carries an `Idempotency-Key`. The same key with the same body gets the answer that was \
given before, with `Idempotent-Replayed: true`, for 24 hours; the same key with another body gets 422. What was refused decided \
nothing. PUT and DELETE can be repeated as they are.

**Lists** come in pages: `next` of one is the `cursor` of the one after it. Rows that come meanwhile neither repeat nor hide \
others.

**Amounts** are decimal strings: yuan with two places, kWh with four, kW with three, prices with five.

**Errors** are `application/problem+json` (RFC 9457); `type` is stable.

**Request ids.** Every answer has an `X-Request-Id`, the caller's own if one was sent; the log has it, and a problem as \
`instance`.";

/// The document before any operation is in it.
pub(super) fn start() -> utoipa::openapi::OpenApi {
    #[derive(OpenApi)]
    #[openapi(components(schemas(ProblemDetails, WebhookEvent)))]
    struct Schemas;

    let mut document = Schemas::openapi();
    document.info = Info::new("Holdfast head office", env!("CARGO_PKG_VERSION"));
    document.info.description = Some(ABOUT.to_owned());
    let tag = |name: &str, about: &str| {
        let mut tag = Tag::new(name);
        tag.description = Some(about.to_owned());
        tag
    };
    document.tags = Some(vec![
        tag(
            "sites",
            "Sites (场站): how far their journals are here, and what they have come to",
        ),
        tag("orders", "Charging sessions (订单) of all sites"),
        tag(
            "after-sales",
            "Money back for orders (售后退款), and decisions on their bills, by one person or two",
        ),
        tag("members", "Who pays (会员), and what lies at which site"),
        tag(
            "mini-program",
            "For the mini-program's back end: where to charge, and what members are told",
        ),
        tag(
            "energy",
            "What orders billed, held against what the registers moved, day by day",
        ),
        tag("quarantine", "Messages that carry money, or may, and fit nowhere"),
        tag(
            "bills",
            "Channels' bills (账单): what WeChat, Alipay and others say that they took",
        ),
        tag(
            "reconciliation",
            "Channels' days held against their bills (对账), and what differs",
        ),
        tag("books", "Head office's double-entry books"),
        tag(
            "people",
            "Who may use head office, tokens of machines, and who changed what",
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
    get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
    security(()),
)]
async fn get_openapi() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| super::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

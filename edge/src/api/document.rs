//! The OpenAPI document: what `utoipa` cannot know of an operation is added here to all of them alike.

use super::{
    ApiState,
    dto::live::{LiveFrame, LiveSite},
    problem::{PROBLEM_JSON, ProblemDetails},
};
use axum::{http::header, response::IntoResponse};
use std::sync::LazyLock;
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, Info, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, Tag,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{ComponentsBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

const ABOUT: &str = "What a charging station does for its drivers, desk and integrators, with or without the internet.

**Tokens.** `Authorization: Bearer <token>`; a WebSocket may send `Sec-WebSocket-Protocol: bearer, <token>` instead. The \
roles are viewer < station < service < admin; the least one is given as the scope of each operation. On the station's \
Unix socket the file's permissions take the place of tokens, and callers are administrators; one who shows a token there \
is who the token says.

**Repeating.** Every POST carries an `Idempotency-Key`. The same key with the same body gets the answer that was given \
before (refusals too), with `Idempotent-Replayed: true`, for 24 hours; the same key with another body gets 422. PUT and \
DELETE can be repeated as they are.

**Amounts** are decimal strings: yuan with two places, kWh with four, kW with three, prices with five.

**Errors** are `application/problem+json` (RFC 9457); `type` is stable.";

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
        tag("health", "For supervisors and monitoring"),
    ]);
    document
}

/// Adds what all operations have in common: problems, the idempotency key, the security scheme.
pub(super) fn finish(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let components = document
        .components
        .get_or_insert_with(|| ComponentsBuilder::new().build());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token made with POST /v1/tokens. Scopes are roles."))
        .build();
    components
        .security_schemes
        .insert("bearer".to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ProblemDetails")))
        .build();
    let problem = ResponseBuilder::new()
        .description("Why the request was not fulfilled, and what to do about it")
        .content(PROBLEM_JSON, problem)
        .build();
    components.responses.insert("Problem".to_owned(), RefOr::T(problem));
    for item in document.paths.paths.values_mut() {
        let PathItem {
            get, put, post, delete, ..
        } = item;
        if let Some(post) = post {
            post.parameters
                .get_or_insert_default()
                .push(RefOr::T(idempotency_key()));
        }
        for operation in [get, put, post, delete].into_iter().flatten() {
            add_problems(operation);
            allow_empty_body(operation);
        }
    }
    document
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(64))
        .build();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(
            "A new UUID for each request; the same one when a request is repeated",
        ))
        .schema(Some(schema))
        .build()
}

fn add_problems(operation: &mut Operation) {
    let secured = operation
        .security
        .iter()
        .flatten()
        .any(|one| serde_json::to_value(one).is_ok_and(|one| one.as_object().is_some_and(|one| !one.is_empty())));
    let problem = || RefOr::Ref(Ref::from_response_name("Problem"));
    let mut codes = vec!["default"];
    if secured {
        codes.extend(["401", "403", "429"]);
    }
    for code in codes {
        operation
            .responses
            .responses
            .entry(code.to_owned())
            .or_insert_with(problem);
    }
}

/// A request without content may come without a body.
fn allow_empty_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    let nothing = RefOr::Ref(Ref::from_schema_name("Nothing"));
    if body
        .content
        .values()
        .any(|content| matches!(content, RefOr::T(content) if content.schema.as_ref() == Some(&nothing)))
    {
        body.required = Some(Required::False);
    }
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

//! Tariffs: add a version, look, check one without adding it.

use super::{
    ApiState,
    access::Caller,
    body::{Of, PostedText},
    dto::problem::{ProblemDetails, TariffFault},
    dto::tariff::{TariffList, TariffVerdict},
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{
        described,
        tariff::{TariffDocument, TariffInForce},
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::TariffId,
    site::Input,
    tariff::{self, Tariff, TariffFault as Faults},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Words that stand for something else in the path.
const RESERVED: [&str; 2] = ["in-force", "validate"];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_tariffs))
        .routes(routes!(get_tariff_in_force))
        .routes(routes!(validate_tariff))
        .routes(routes!(get_tariff, put_tariff))
}

fn read(api: &ApiState, document: &PostedText) -> Result<Tariff, Faults> {
    if document.is_toml {
        Tariff::from_toml(&document.text, &api.time_zone)
    } else {
        Tariff::from_json(&document.text, &api.time_zone)
    }
}

fn faulty(faults: Faults) -> Problem {
    let first = faults.faults.first().map(|fault| fault.to_string()).unwrap_or_default();
    let detail = match faults.faults.len() {
        1 => first,
        n => format!("{first} (and {} more; see `faults`)", n - 1),
    };
    let path = faults
        .faults
        .first()
        .map(|fault| fault.path.clone())
        .unwrap_or_default();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_tariff", detail)
        .at(if path.is_empty() { "." } else { &path })
        .with(
            "faults",
            faults.faults.into_iter().map(TariffFault::from).collect::<Vec<_>>(),
        )
}

/// All tariff versions.
#[utoipa::path(
    get, path = "/v1/tariffs", tag = "tariffs",
    responses((status = 200, description = "By name", body = TariffList)),
    security(("bearer" = ["viewer"])),
)]
async fn list_tariffs(State(api): State<ApiState>) -> Result<Json<TariffList>, Problem> {
    let now = api.station.clock.now().wall;
    let items = api.read(|reader| reader.tariffs()).await?;
    let in_force = tariff::in_force(&items, now).map(|tariff| tariff.id.to_string());
    Ok(Json(TariffList { items, in_force }))
}

/// What an order placed now is pinned to: show it to the driver before starting.
#[utoipa::path(
    get, path = "/v1/tariffs/in-force", tag = "tariffs",
    responses((status = 200, description = "With the price now and today's table", body = TariffInForce)),
    security(("bearer" = ["viewer"])),
)]
async fn get_tariff_in_force(State(api): State<ApiState>) -> Result<Json<TariffInForce>, Problem> {
    let now = api.station.clock.now().wall;
    let versions = api.read(|reader| reader.tariffs()).await?;
    TariffInForce::of(&versions, now).map(Json).ok_or_else(|| {
        let detail = "no tariff is in force; add one with PUT /v1/tariffs/{id}";
        Problem::new(StatusCode::NOT_FOUND, "no_tariff", detail)
    })
}

/// One tariff version.
#[utoipa::path(
    get, path = "/v1/tariffs/{id}", tag = "tariffs",
    params(("id" = inline(described::TariffId), Path, description = "The version's name")),
    responses((status = 200, description = "The version", body = TariffDocument)),
    security(("bearer" = ["viewer"])),
)]
async fn get_tariff(State(api): State<ApiState>, Of(id): Of<TariffId>) -> Result<Json<Tariff>, Problem> {
    let versions = api.read(|reader| reader.tariffs()).await?;
    let found = versions.into_iter().find(|tariff| tariff.id == id);
    found.map(Json).ok_or_else(|| Problem::unknown("tariff", id))
}

/// Add a tariff version. A version is never changed: the same content again is fine, other content is refused.
#[utoipa::path(
    put, path = "/v1/tariffs/{id}", tag = "tariffs",
    params(("id" = inline(described::TariffId), Path, description = "The version's name, as in the document")),
    request_body(content(
        (TariffDocument = "application/json"),
        (String = "application/toml"),
    )),
    responses(
        (status = 200, description = "The version", body = TariffDocument),
        (status = 422, description = "Everything that is wrong with it, by key", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"])),
)]
async fn put_tariff(
    State(api): State<ApiState>,
    Of(id): Of<TariffId>,
    caller: Caller,
    document: PostedText,
) -> Result<Answered, Problem> {
    let tariff = read(&api, &document).map_err(faulty)?;
    if tariff.id != id {
        let detail = format!("the document is of tariff {}, the path names {id}", tariff.id);
        return Err(Problem::field("id", detail));
    }
    if RESERVED.contains(&id.as_str()) {
        return Err(Problem::field(
            "id",
            format!("{id} means something else here; choose another name"),
        ));
    }
    let view = tariff.clone();
    Question::new(
        Input::AddTariff {
            tariff,
            by: caller.name,
        },
        None,
    )
    .ask(&api, move |_, _, _| Ok(Shown::ok(&view)))
    .await
}

/// Check a tariff without adding it.
#[utoipa::path(
    post, path = "/v1/tariffs/validate", tag = "tariffs",
    request_body(content(
        (TariffDocument = "application/json"),
        (String = "application/toml"),
    )),
    responses((status = 200, description = "Everything that is wrong with it", body = TariffVerdict)),
    security(("bearer" = ["viewer"])),
)]
async fn validate_tariff(State(api): State<ApiState>, document: PostedText) -> Result<Answered, Problem> {
    let faults = read(&api, &document).err().map(|faults| faults.faults);
    let verdict = TariffVerdict {
        valid: faults.is_none(),
        faults: faults.into_iter().flatten().map(TariffFault::from).collect(),
    };
    Question::without_input(document.key)
        .ask(&api, move |_, _, _| Ok(Shown::ok(&verdict)))
        .await
}

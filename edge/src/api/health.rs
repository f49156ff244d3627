//! Whether the daemon lives, and whether it can take requests. Neither needs a token.

use super::{ApiState, dto::station::HealthView, problem::Problem};
use axum::{Json, extract::State, http::StatusCode};
use std::{sync::atomic::Ordering, time::Duration};
use utoipa_axum::{router::OpenApiRouter, routes};

/// How long the loop may take to show a sign of life. Idle, it beats every second.
const BEAT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the loop may take to answer.
const READY_TIME_MAX: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

fn ok() -> Json<HealthView> {
    Json(HealthView {
        status: "ok".to_owned(),
    })
}

fn unwell(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_well", detail)
}

/// The process lives and its loop turns. May take a second: it waits for the loop's next beat.
#[utoipa::path(
    get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It does", body = HealthView)),
    security(()),
)]
async fn healthz(State(api): State<ApiState>) -> Result<Json<HealthView>, Problem> {
    let beats = || api.station.stats.beats.load(Ordering::Relaxed);
    let before = beats();
    let next_beat = async {
        while beats() == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let beating = tokio::time::timeout(BEAT_TIME_MAX, next_beat).await;
    beating.map_err(|_| unwell("the station's loop does not turn"))?;
    Ok(ok())
}

/// The loop answers and the database can be read: requests can be taken.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses((status = 200, description = "They can", body = HealthView)),
    security(()),
)]
async fn readyz(State(api): State<ApiState>) -> Result<Json<HealthView>, Problem> {
    let answer = tokio::time::timeout(READY_TIME_MAX, api.station.look(|_, _| ())).await;
    match answer {
        Ok(Ok(())) => {}
        Ok(Err(stopping)) => return Err(stopping.into()),
        Err(_) => return Err(unwell("the station's loop does not answer")),
    }
    let read = tokio::time::timeout(READY_TIME_MAX, api.read(|reader| reader.head())).await;
    match read {
        Ok(Ok(_)) => Ok(ok()),
        Ok(Err(_)) => Err(unwell("the database cannot be read")),
        Err(_) => Err(unwell("the database does not answer")),
    }
}

//! A copy of the database while the station goes on: on the Unix socket only, as it writes a file.

use super::{
    ApiState,
    body::Put,
    dto::{
        problem::ProblemDetails,
        station::{BackupView, MakeBackup},
    },
    problem::Problem,
};
use crate::store::StoreError;
use axum::{Json, extract::State, http::StatusCode};
use std::{path::PathBuf, sync::Arc, time::Duration};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(make_backup))
}

/// Copy the database into a new file.
#[utoipa::path(
    put, path = "/v1/backup", tag = "station",
    description = "Served on the station's Unix socket only. The file has its name once it is whole and on disk; it is \
        readable for the daemon's user alone. One backup at a time.",
    request_body = MakeBackup,
    responses(
        (status = 200, description = "The file", body = BackupView),
        (status = 409, description = "`file_exists`; `backup_running`", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "`backup_too_slow`; `backup_failed`: the disk refused, as when it is full or not the \
            daemon's to write to", body = ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin", "socket"])),
)]
async fn make_backup(State(api): State<ApiState>, put: Put<MakeBackup>) -> Result<Json<BackupView>, Problem> {
    let Ok(turn) = Arc::clone(&api.backups).try_acquire_owned() else {
        let detail = "another backup is being made; wait until it is done";
        return Err(Problem::new(StatusCode::CONFLICT, "backup_running", detail));
    };
    let MakeBackup { file, within_s } = put.body;
    let (store, path) = (api.station.store.clone(), PathBuf::from(&file));
    let (done, made) = tokio::sync::oneshot::channel();
    let copying = std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
        let _until_the_end = turn;
        let _gone = done.send(store.backup(&path, Duration::from_secs(within_s)));
    });
    copying.map_err(Problem::internal)?;
    let failed = |status, code, error: StoreError| Problem::new(status, code, error.to_string());
    let made = made.await.map_err(Problem::internal)?.map_err(|error| match error {
        StoreError::NotNew(_) => failed(StatusCode::CONFLICT, "file_exists", error),
        StoreError::InUse(_) => failed(StatusCode::CONFLICT, "backup_running", error),
        StoreError::TooSlow(_) => failed(StatusCode::SERVICE_UNAVAILABLE, "backup_too_slow", error),
        StoreError::Io(_) | StoreError::Full(_) => failed(StatusCode::SERVICE_UNAVAILABLE, "backup_failed", error),
        other => other.into(),
    })?;
    tracing::info!(file, bytes = made.bytes, seq = made.head.seq, "backup made");
    Ok(Json(BackupView {
        file,
        bytes: made.bytes,
        took_ms: u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX),
        head: made.head.into(),
    }))
}

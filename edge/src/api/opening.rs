//! The station's opening, for a head office that does not have its journal from the beginning: on the Unix socket only, as it writes
//! a file.

use super::{
    ApiState,
    body::{Checked, Put},
    dto::problem::ProblemDetails,
    problem::Problem,
    sync::end_of,
    wire::journal::JournalHead,
};
use crate::store::StoreError;
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(make_opening))
}

/// Where the opening goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MakeOpening {
    /// The new file: an absolute path where the daemon may write. Nothing may be there.
    #[schema(example = "/var/lib/holdfast/s01.opening")]
    file: String,
}

impl Checked for MakeOpening {
    fn check(&self) -> Result<(), Problem> {
        if !std::path::Path::new(&self.file).is_absolute() || self.file.contains('\0') {
            return Err(Problem::field("file", "an absolute path"));
        }
        Ok(())
    }
}

/// An opening that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Opening)]
struct OpeningView {
    /// Where it is.
    file: String,
    /// How long it is.
    bytes: u64,
    /// How many rows it has.
    rows: u64,
    /// The place in the journal after which the rows are these: head office follows from there.
    head: JournalHead,
}

/// Write the station's rows and balances, as of now, into a new file, signed by the station.
#[utoipa::path(
    put, path = "/v1/opening", tag = "station",
    description = "Served on the station's Unix socket only. Two people at head office take it, where the journal does not begin \
        with its first entry any more. The file has its name once it is whole and on disk; it is readable for the daemon's \
        user alone.",
    request_body = MakeOpening,
    responses(
        (status = 200, description = "The file", body = OpeningView),
        (status = 409, description = "`file_exists`; `backup_running`: the two take turns; `no_head_office`", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "`opening_failed`: the disk refused", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin", "socket"])),
)]
async fn make_opening(State(api): State<ApiState>, put: Put<MakeOpening>) -> Result<Json<OpeningView>, Problem> {
    let end = Arc::clone(end_of(&api)?);
    let Ok(turn) = Arc::clone(&api.backups).try_acquire_owned() else {
        let detail = "a backup is being made; wait until it is done";
        return Err(Problem::new(StatusCode::CONFLICT, "backup_running", detail));
    };
    let MakeOpening { file } = put.body;
    let (store, path, now) = (
        api.station.store.clone(),
        PathBuf::from(&file),
        api.station.clock.now().wall,
    );
    let made = tokio::task::spawn_blocking(move || {
        let _until_the_end = turn;
        end.make_opening(&store, &path, now)
    });
    let failed = |status, code, error: StoreError| Problem::new(status, code, error.to_string());
    let made = made.await.map_err(Problem::internal)?.map_err(|error| match error {
        StoreError::NotNew(_) => failed(StatusCode::CONFLICT, "file_exists", error),
        StoreError::Io(_) | StoreError::Full(_) => failed(StatusCode::SERVICE_UNAVAILABLE, "opening_failed", error),
        other => other.into(),
    })?;
    tracing::info!(file, rows = made.rows, seq = made.head.seq, "opening made");
    Ok(Json(OpeningView {
        file,
        bytes: made.bytes,
        rows: made.rows,
        head: made.head.into(),
    }))
}

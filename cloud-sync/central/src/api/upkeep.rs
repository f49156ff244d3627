//! Looking after copies: whether the database says what the journals say, making it say so again, and the books as a table.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    office::unknown,
};
use crate::{
    bell::Ring,
    store::{StoreError, Tx, audit, sites},
    upkeep::{self, Verified},
};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::{ids::SiteId, journal::Head, time::Day};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        access::Caller,
        body::{Asked, Checked, Nothing, Of, Put},
        problem::Problem,
    },
    wire::described,
};
use std::{io, path::PathBuf};
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Pieces of a table that wait for whoever reads it.
const PIECES_MAX: usize = 8;
/// How large a piece is, in bytes.
const PIECE_BYTES: usize = 64 * 1_024;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(verify_journal))
        .routes(routes!(verify_replica))
        .routes(routes!(rebuild_replica))
        .routes(routes!(verify_ledger))
        .routes(routes!(export_ledger))
        .routes(routes!(make_backup))
}

/// What was looked at, and what was found.
#[derive(Debug, Serialize, ToSchema)]
struct VerifiedView {
    /// Whether all is as it must be.
    right: bool,
    /// How many rows, accounts or batches were looked at.
    looked_at: u64,
    /// How many of them differ.
    differ: u64,
    /// The first of them, in words.
    differences: Vec<String>,
}

impl From<Verified> for VerifiedView {
    fn from(verified: Verified) -> Self {
        Self {
            right: verified.is_right(),
            looked_at: verified.looked_at,
            differ: verified.differ,
            differences: verified.differences.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What following a journal came to.
#[derive(Debug, Serialize, ToSchema)]
struct FollowedView {
    /// Whether it is whole, to the site's head and through the given place.
    right: bool,
    /// How many batches were followed.
    batches: u64,
    /// The place up to which it is whole: an entry's number, a colon, its hash.
    head: String,
    /// Why it is not followed further.
    #[schema(required)]
    fault: Option<String>,
}

/// Does something with a site that there is. What is broken is said, and not an error of the server.
fn of_site<T>(
    tx: &mut dyn Tx,
    site: &SiteId,
    work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>,
) -> Result<Result<T, Problem>, StoreError> {
    if sites::find(tx, site)?.is_none() {
        return Ok(Err(unknown(site)));
    }
    work(tx).map(Ok)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Through {
    /// A place that somebody wrote down elsewhere, which the journal must go through: an entry's number, a colon, its hash.
    #[serde(default)]
    through: Option<String>,
}

/// Follow a site's journal from its first entry: every hash, every signature, to its head. It takes as long as it is long.
#[utoipa::path(
    get, path = "/v1/sites/{site}/journal/verification", tag = "upkeep",
    params(("site" = inline(described::SiteId), Path, description = "Its id"), Through),
    responses((status = 200, description = "What it came to", body = FollowedView)),
    security(("bearer" = ["admin"]), ("bearer" = ["finance_checker"])),
)]
async fn verify_journal(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    Asked(query): Asked<Through>,
    caller: Caller,
) -> Result<Json<FollowedView>, Problem> {
    let through: Option<Head> = match query.through.map(|text| text.parse()).transpose() {
        Ok(through) => through,
        Err(_) => {
            return Err(Problem::field(
                "through",
                "is an entry's number, a colon and its hash, as in 17:0a1b…",
            ));
        }
    };
    let verify = move |tx: &mut dyn Tx| of_site(tx, &site, |tx| upkeep::journal::verify(tx, &site, through));
    let verified = api.read_long(&caller, verify);
    let followed = verified.await??;
    Ok(Json(FollowedView {
        right: followed.fault.is_none(),
        batches: followed.batches,
        head: followed.head.to_string(),
        fault: followed.fault,
    }))
}

/// Follow a site's journal again, and compare every row that comes of it with the one that is here.
#[utoipa::path(
    get, path = "/v1/sites/{site}/replica/verification", tag = "upkeep",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    responses((status = 200, description = "What it came to", body = VerifiedView)),
    security(("bearer" = ["admin"]), ("bearer" = ["finance_checker"])),
)]
async fn verify_replica(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    caller: Caller,
) -> Result<Json<VerifiedView>, Problem> {
    let verify = move |tx: &mut dyn Tx| of_site(tx, &site, |tx| upkeep::replica::verify(tx, &site));
    let verified = api.read_long(&caller, verify);
    Ok(Json(verified.await??.into()))
}

/// Make a site's rows anew from its journal. The journal and the books stay as they are.
#[utoipa::path(
    put, path = "/v1/sites/{site}/replica", tag = "upkeep",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = Nothing,
    responses((status = 204, description = "Made anew")),
    security(("bearer" = ["admin"])),
)]
async fn rebuild_replica(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<Nothing>,
) -> Result<Answered, Problem> {
    let entrance = api.entrance()?;
    let (me, of) = (entrance.process.clone(), site.clone());
    let bell = entrance.bell.clone();
    let work = move |tx: &mut dyn Tx, now| {
        if sites::find(tx, &of)?.is_none() {
            return Ok(Err(unknown(&of)));
        }
        match upkeep::replica::rebuild(tx, &me, &of, now) {
            Ok(_) => {}
            Err(StoreError::NotOwner) => {
                let detail = "another process has this site's desk: ask that one, or let it go there first";
                return Ok(Err(Problem::new(StatusCode::CONFLICT, "not_the_owner", detail)));
            }
            Err(error) => return Err(error),
        }
        let told = Told {
            action: "replica_rebuilt",
            subject: of.to_string(),
            detail: json!({}),
        };
        Ok(Ok((Shown::nothing(), told)))
    };
    // It is done to its end whether somebody waits for the answer or not, and so the desk must be told.
    let rebuilt = tokio::spawn({
        let api = api.clone();
        async move {
            let rebuilt = api.change(put.caller, None, work).await?;
            bell.ring(Ring::Anew(site)).await;
            Ok(rebuilt)
        }
    });
    rebuilt.await.map_err(Problem::internal)?
}

/// Add the books up again: every account against its movements, all accounts against zero, those of sites against their
/// replicas.
#[utoipa::path(
    get, path = "/v1/ledger/verification", tag = "upkeep",
    responses((status = 200, description = "What it came to", body = VerifiedView)),
    security(("bearer" = ["admin"]), ("bearer" = ["finance_checker"])),
)]
async fn verify_ledger(State(api): State<ApiState>, caller: Caller) -> Result<Json<VerifiedView>, Problem> {
    let verified = api.read_long(&caller, upkeep::ledger::verify).await?;
    Ok(Json(verified.into()))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfDay {
    /// Only movements of this business day, as in 2026-03-01.
    #[serde(default)]
    day: Option<String>,
}

/// All movements of the books as CSV, or those of one business day: amounts in yuan, in the order of their ids.
#[utoipa::path(
    get, path = "/v1/ledger/export", tag = "upkeep",
    params(OfDay),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv")),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn export_ledger(
    State(api): State<ApiState>,
    Asked(query): Asked<OfDay>,
    caller: Caller,
) -> Result<impl IntoResponse, Problem> {
    let day = match query.day.map(|text| Day::parse(&text)).transpose() {
        Ok(day) => day,
        Err(error) => return Err(Problem::field("day", error.to_string())),
    };
    let turn = api.turn(&caller)?;
    tracing::info!(by = caller.name, "the books are written out");
    let (pieces, table) = mpsc::channel(PIECES_MAX);
    let db = api.db.clone();
    tokio::spawn(async move {
        let broken = pieces.clone();
        let written = db.read(move |tx| {
            let _until_written = turn;
            let mut out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces));
            Ok(upkeep::ledger::export(tx, day, &mut out))
        });
        let error = match written.await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!("the books were not written out to their end: {error}");
        // Whoever reads sees that it broke off.
        let _gone = broken.send(Err(io::Error::other(error))).await;
    });
    let body = futures_util::stream::unfold(table, async |mut table| Some((table.recv().await?, table)));
    Ok((
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8")],
        Body::from_stream(body),
    ))
}

/// A copy to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CopyDatabase {
    /// The new file, on head office's machine.
    file: String,
}

impl Checked for CopyDatabase {}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
struct DatabaseCopy {
    /// The file.
    file: String,
    /// How large it is.
    bytes: u64,
}

/// Copy the database into a new file, while everything goes on. Only where it is a file; `pg_dump` copies PostgreSQL.
#[utoipa::path(
    put, path = "/v1/backup", tag = "upkeep",
    request_body = CopyDatabase,
    responses((status = 200, description = "Made, and on disk", body = DatabaseCopy)),
    security(("bearer" = ["admin", "socket"])),
)]
async fn make_backup(State(api): State<ApiState>, put: Put<CopyDatabase>) -> Result<Json<DatabaseCopy>, Problem> {
    let file = put.body.file;
    let path = PathBuf::from(&file);
    if !path.is_absolute() {
        return Err(Problem::field(
            "file",
            "is a path from the root of head office's machine",
        ));
    }
    match api.db.copy_to(path.clone()).await {
        Ok(true) => {}
        Ok(false) => {
            let detail = "the database is PostgreSQL: copy it with `pg_dump`, or as its operator does";
            return Err(Problem::new(StatusCode::CONFLICT, "not_a_file", detail));
        }
        Err(StoreError::Constraint(why)) => return Err(Problem::field("file", why)),
        Err(error) => return Err(error.into()),
    }
    let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
    let (by, now, subject) = (put.caller.name, api.clock.wall(), file.clone());
    let told = api
        .db
        .write(move |tx| audit::append(tx, now, &by, "backup_made", &subject, json!({ "bytes": bytes })));
    told.await?;
    Ok(Json(DatabaseCopy { file, bytes }))
}

/// Writes pieces for whoever reads them, and waits for them.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The journal as it is stored, for the sync agent: on the Unix socket only, waiting for news if asked to; and how far
//! head office has it.

use super::{
    ApiState,
    body::{Asked, Put},
    dto::problem::ProblemDetails,
    dto::station::{AcknowledgeJournal, JournalPage},
    problem::Problem,
    wire::journal::{JournalEntry, JournalHead},
};
use crate::store::StoreError;
use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::journal::{Hash, Head, NotAHead};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most entries in one answer.
const ENTRIES_MAX: usize = 1_000;
/// The longest wait for news, in seconds.
const WAIT_S_MAX: u64 = 60;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_journal))
        .routes(routes!(acknowledge_journal))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Feed {
    /// Entries after this number; 0 for the beginning.
    #[serde(default)]
    after: u64,
    /// How many entries at most, 1 to 1000; 500 if left out. Fewer come where they are long, and more where a single step of
    /// the station made more.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// How long to wait if there is nothing new, in seconds, at most 60.
    #[serde(default)]
    #[param(maximum = 60)]
    wait_s: u64,
}

/// Journal entries as they are stored, so that their hashes can be checked.
#[utoipa::path(
    get, path = "/v1/journal", tag = "journal",
    description = "Served on the station's Unix sockets only. A page ends where a step of the station has ended, so it may be \
        longer than `limit`: a step that is longer goes alone. Each hash is SHA-256 over the 32 bytes of the hash before \
        and the stored bytes. Numbers and hashes go on through every restore, so 32 zero bytes stand before entry 1 of the \
        site alone, and not before the first of another epoch. `docs/journal.md` has the form of an entry.",
    params(Feed),
    responses((status = 200, description = "Empty if nothing new came in time", body = JournalPage)),
    security(("bearer" = ["admin", "socket"]), ("bearer" = ["sync", "socket"])),
)]
async fn get_journal(State(api): State<ApiState>, Asked(feed): Asked<Feed>) -> Result<Json<JournalPage>, Problem> {
    let limit = match feed.limit {
        None => ENTRIES_MAX / 2,
        Some(limit) if (1..=ENTRIES_MAX).contains(&limit) => limit,
        Some(_) => return Err(Problem::url("limit", format!("from 1 to {ENTRIES_MAX} entries"))),
    };
    if feed.wait_s > WAIT_S_MAX {
        return Err(Problem::url("wait_s", format!("waits from 0 to {WAIT_S_MAX} seconds")));
    }
    wait_for_news(&api, feed.after, Duration::from_secs(feed.wait_s)).await;
    let identity = api.station.store.identity();
    let (site, epoch) = (identity.site.to_string(), identity.epoch.clone());
    let end = api.head_office.clone();
    let page = api
        .read(move |reader| {
            let (head, head_hash) = reader.head()?;
            let entries = reader.whole_steps(feed.after.saturating_add(1), limit)?;
            let last = entries.last().map(|(seq, hash, _)| Head { seq: *seq, hash: *hash });
            let signature = end.zip(last).map(|(end, last)| STANDARD.encode(end.sign(last).0));
            Ok(JournalPage {
                site,
                epoch,
                begins_after: reader.checkpoint()?.into(),
                acknowledged: reader.acknowledged()?.map(Into::into),
                after_hash: reader.hash_of(feed.after)?.map(|hash| hash.to_string()),
                head: JournalHead {
                    seq: head.seq,
                    hash: head_hash.to_string(),
                },
                entries: entries.into_iter().map(shown).collect(),
                signature,
            })
        })
        .await?;
    Ok(Json(page))
}

/// Returns when there is an entry after `after`, when the time is over, or when the daemon ends.
async fn wait_for_news(api: &ApiState, after: u64, patience: Duration) {
    if patience.is_zero() {
        return;
    }
    let mut head = api.station.journal_head();
    let mut closing = api.closing.subscribe();
    tokio::select! {
        _news = head.wait_for(|seq| *seq > after) => {}
        () = super::becomes_true(&mut closing) => {}
        () = tokio::time::sleep(patience) => {}
    }
}

/// Head office has this entry, and everything before it.
#[utoipa::path(
    put, path = "/v1/journal/acknowledged", tag = "journal",
    description = "Served on the station's Unix sockets only, and only where no head office is set: where one is, \
        `PUT /v1/sync/ack` takes what it has signed. May be repeated, and come late: the furthest place counts. \
        What is acknowledged may be pruned when it is old enough; a journal that does not reach this place any more does \
        not verify.",
    request_body = AcknowledgeJournal,
    responses(
        (status = 200, description = "The furthest place that is acknowledged, on disk", body = JournalHead),
        (status = 409, description = "`journal_fork`: another entry stands there, or none; `other_epoch`; `ack_not_signed`: \
            there is a head office, whose own word is needed",
            body = ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["service", "socket"]), ("bearer" = ["sync", "socket"])),
)]
async fn acknowledge_journal(
    State(api): State<ApiState>,
    put: Put<AcknowledgeJournal>,
) -> Result<Json<JournalHead>, Problem> {
    if api.head_office.as_ref().is_some_and(|end| end.is_set()) {
        let detail = "a head office is set, and only what it has signed counts: PUT /v1/sync/ack takes that";
        return Err(Problem::new(StatusCode::CONFLICT, "ack_not_signed", detail));
    }
    let AcknowledgeJournal { epoch, seq, hash } = put.body;
    let hash = hash
        .parse()
        .map_err(|error: NotAHead| Problem::field("hash", error.to_string()))?;
    let store = api.station.store.clone();
    let done = tokio::task::spawn_blocking(move || store.acknowledge(&epoch, Head { seq, hash }));
    match done.await.map_err(Problem::internal)? {
        Ok(place) => Ok(Json(place.into())),
        Err(error @ StoreError::OtherEpoch { .. }) => {
            Err(Problem::new(StatusCode::CONFLICT, "other_epoch", error.to_string()))
        }
        Err(StoreError::Journal(broken)) => Err(super::sync::fork(&broken)),
        Err(other) => Err(other.into()),
    }
}

/// An entry as it is stored: its number, its hash and its bytes.
type Stored = (u64, Hash, Vec<u8>);

fn shown((seq, hash, bytes): Stored) -> JournalEntry {
    JournalEntry::new(seq, hash, &bytes)
}

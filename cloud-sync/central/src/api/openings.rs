//! How a station with a history joins: one person brings its opening, another approves it.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    branches::{approve, check_reason, refuse},
    office::unknown,
};
use crate::{
    ingest::opening::{self, Totals},
    store::{
        Tx,
        decisions::{self, About, Kind},
        openings, sites,
        sites::Site,
    },
    upkeep,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{ids::SiteId, journal::Head};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Checked, Nothing, Of, Put},
        problem::Problem,
    },
    wire::{At, Yuan, described},
};
use std::{collections::BTreeMap, fs::File, io::BufReader, path::PathBuf};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_opening))
        .routes(routes!(propose_opening))
        .routes(routes!(approve_opening))
}

/// The file that the station has made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProposeOpening {
    /// Where it is on head office's machine, from the root; the daemon must be able to read it.
    file: String,
    /// Why, for whoever approves it and for the audit chain.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for ProposeOpening {
    fn check(&self) -> Result<(), Problem> {
        if !std::path::Path::new(&self.file).is_absolute() || self.file.contains('\0') {
            return Err(Problem::field(
                "file",
                "is a path from the root of head office's machine",
            ));
        }
        check_reason(&self.reason)
    }
}

/// An opening, and what it comes to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Opening)]
struct OpeningView {
    /// The place in the station's journal after which its rows are these: an entry's number, a colon, its hash.
    head: String,
    /// When it was made, by the station's clock.
    made_at: At,
    /// Members.
    members: u64,
    /// Cards.
    cards: u64,
    /// Piles.
    piles: u64,
    /// Orders.
    orders: u64,
    /// Those of them that are not over.
    open_orders: u64,
    /// Quarantined messages.
    quarantine: u64,
    /// All rows.
    rows: u64,
    /// Balances in yuan by their kind; they sum to zero.
    balances: BTreeMap<String, Yuan>,
    /// Who has proposed it.
    proposed_by: String,
    /// Why.
    reason: String,
    /// Who has approved it; `null`: nobody yet.
    #[schema(required)]
    approved_by: Option<String>,
}

fn about(site: &Site, place: Head) -> About {
    About {
        kind: Kind::Open,
        site: site.id.clone(),
        branch: site.branch,
        entry: place,
    }
}

fn found(tx: &mut dyn Tx, site: &Site) -> Result<Option<OpeningView>, crate::store::StoreError> {
    let Some((begins, totals)) = openings::find(tx, &site.id)? else {
        return Ok(None);
    };
    let totals: Totals =
        serde_json::from_str(&totals).map_err(|error| crate::store::StoreError::Broken(error.to_string()))?;
    let decision = decisions::find(tx, &about(site, begins.head))?;
    let Some(decision) = decision else { return Ok(None) };
    Ok(Some(OpeningView {
        head: begins.head.to_string(),
        made_at: At(begins.at),
        members: totals.members,
        cards: totals.cards,
        piles: totals.piles,
        orders: totals.orders,
        open_orders: totals.open_orders,
        quarantine: totals.quarantine,
        rows: totals.rows,
        balances: totals
            .balances
            .into_iter()
            .map(|(kind, sum)| (kind, Yuan(sum)))
            .collect(),
        proposed_by: decision.proposed_by,
        reason: decision.reason,
        approved_by: decision.approved_by,
    }))
}

/// The opening with which a station with a history joins, or has joined.
#[utoipa::path(
    get, path = "/v1/sites/{site}/opening", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    responses((status = 200, description = "The opening", body = OpeningView)),
    security(("bearer" = ["admin"])),
)]
async fn get_opening(State(api): State<ApiState>, Of(id): Of<SiteId>) -> Result<Json<OpeningView>, Problem> {
    let of = id.clone();
    let read = api.read(move |tx| match sites::find(tx, &of)? {
        None => Ok(Err(unknown(&of))),
        Some(site) => Ok(Ok(found(tx, &site)?)),
    });
    let none = || {
        let detail = "nobody has proposed an opening of this site";
        Problem::new(StatusCode::NOT_FOUND, "no_opening", detail)
    };
    read.await??.map(Json).ok_or_else(none)
}

/// Propose that a station with a history joins with this opening, in place of an earlier proposal. Another person approves it.
#[utoipa::path(
    put, path = "/v1/sites/{site}/opening", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = ProposeOpening,
    responses((status = 200, description = "What it comes to", body = OpeningView)),
    security(("bearer" = ["admin", "socket"])),
)]
async fn propose_opening(
    State(api): State<ApiState>,
    Of(id): Of<SiteId>,
    put: Put<ProposeOpening>,
) -> Result<Answered, Problem> {
    let ProposeOpening { file, reason } = put.body;
    let of = id.clone();
    let site = api.read(move |tx| sites::find(tx, &of)).await?;
    let site = site.ok_or_else(|| unknown(&id))?;
    let (keys, path) = (site.clone(), PathBuf::from(&file));
    let read = tokio::task::spawn_blocking(move || {
        let file = File::open(&path).map_err(|error| Problem::field("file", format!("cannot be read: {error}")))?;
        opening::read(BufReader::new(file), &keys).map_err(|error| not_opened(&error))
    });
    let opened = read.await.map_err(Problem::internal)??;
    let by = put.caller.name.clone();
    let proposed = api.change(put.caller, None, move |tx, now| {
        let Some(site) = sites::find(tx, &id)? else {
            return Ok(Err(unknown(&id)));
        };
        if let Err(why) = upkeep::opening::propose(tx, &site, &opened)? {
            return Ok(Err(not_opened(&why)));
        }
        decisions::propose(tx, &about(&site, opened.begins.head), &reason, &by, now)?;
        let Some(view) = found(tx, &site)? else {
            return refuse("approved_already", "this opening is approved already");
        };
        let told = Told {
            action: "opening_proposed",
            subject: site.id.to_string(),
            detail: json!({ "head": view.head, "reason": reason, "rows": view.rows }),
        };
        Ok(Ok((Shown::new(StatusCode::OK, &view)?, told)))
    });
    proposed.await
}

fn not_opened(why: &opening::NotOpened) -> Problem {
    Problem::new(StatusCode::CONFLICT, "not_opened", why.to_string())
}

/// Approve the opening of a site, which another person has proposed: its rows are these, its balances are booked against
/// `opening:{site}`, and its journal is followed from there.
#[utoipa::path(
    put, path = "/v1/sites/{site}/opening/approval", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = Nothing,
    responses((status = 204, description = "The site has joined")),
    security(("bearer" = ["admin"])),
)]
async fn approve_opening(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<Nothing>,
) -> Result<Answered, Problem> {
    let by = put.caller.name.clone();
    api.change_own(put.caller, site, move |tx, entrance, site, now| {
        let Some((begins, _)) = openings::find(tx, &site.id)? else {
            return refuse("not_proposed", "nobody has proposed an opening of this site");
        };
        if let Err(why) = upkeep::opening::may_approve(tx, site, begins.head)? {
            return Ok(Err(not_opened(&why)));
        }
        let decision = match approve(tx, &about(site, begins.head), None, &by, now)? {
            Ok(decision) => decision,
            Err(problem) => return Ok(Err(problem)),
        };
        let opened = upkeep::opening::approve(tx, &entrance.process, site, now)?;
        let told = Told {
            action: "opening_approved",
            subject: site.id.to_string(),
            detail: json!({
                "head": begins.head.to_string(),
                "proposed_by": decision.proposed_by,
                "reason": decision.reason,
                "accounts": opened,
            }),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

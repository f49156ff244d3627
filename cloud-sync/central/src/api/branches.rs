//! Sites that stand still: which branch of a journal lives, trying again, setting an entry aside, closing. What needs two people is
//! proposed by one and approved by another.

use super::{
    ApiState,
    answered::{Answered, Decided, Shown, Told},
    office::{unknown, write_down},
};
use crate::{
    bell::Ring,
    desk::LEASE_MS,
    enrol::{self, Entrance},
    enrolments::Line,
    store::{
        StoreError, Tx,
        branches::{self, Branch},
        decisions::{self, About, Kind},
        sites::{self, Site},
    },
    upkeep,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{ids::SiteId, journal::Head, time::Wall};
use protocol::frame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::{
    http::{
        access::Caller,
        body::{Checked, Nothing, Of, Put},
        problem::Problem,
    },
    wire::{At, described, journal::JournalHead},
};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_branches))
        .routes(routes!(accept_branch))
        .routes(routes!(resume_site))
        .routes(routes!(propose_set_aside))
        .routes(routes!(approve_set_aside))
        .routes(routes!(propose_closure))
        .routes(routes!(approve_closure))
}

/// A branch of a site's journal that is not followed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Branch)]
struct BranchView {
    /// Its number.
    number: u64,
    /// The last entry that it has in common with the branch that is followed.
    leaves_at: JournalHead,
    /// Its last entry that is here: what accepts it, as `SEQ:HASH`.
    head: JournalHead,
    /// How many entries it has alone.
    entries: u64,
    /// When the last of them was taken.
    taken_at: At,
}

/// The branches that are not followed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Branches)]
struct BranchesView {
    /// Which branch is followed.
    followed: u64,
    /// The others, by number.
    others: Vec<BranchView>,
}

fn head(place: Head) -> JournalHead {
    JournalHead {
        seq: place.seq,
        hash: place.hash.to_string(),
    }
}

impl From<&Branch> for BranchView {
    fn from(branch: &Branch) -> Self {
        Self {
            number: branch.number,
            leaves_at: head(branch.left),
            head: head(branch.head),
            entries: branch.head.seq.saturating_sub(branch.left.seq),
            taken_at: At(branch.taken_at),
        }
    }
}

/// Which branch lives.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcceptBranch {
    /// A place that it goes through, and no other branch: an entry's number, a colon, its hash.
    through: String,
    /// Why, for the audit chain.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for AcceptBranch {
    fn check(&self) -> Result<(), Problem> {
        check_reason(&self.reason)?;
        self.place().map(drop)
    }
}

impl AcceptBranch {
    fn place(&self) -> Result<Head, Problem> {
        let bad = "is an entry's number, a colon and its hash, as in 17:0a1b…";
        self.through.parse().map_err(|_| Problem::field("through", bad))
    }
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
struct AcceptedBranch {
    /// The branch that is followed.
    branch: u64,
    /// The place from which it is followed; `null` where it was before.
    #[schema(required)]
    from: Option<JournalHead>,
    /// How far it is here.
    head: JournalHead,
    /// How many accounts were brought to its rows, against `restore:{site}`.
    opened: u64,
    /// Why it is not followed to the end of what is here; `null` where it is.
    #[schema(required)]
    trouble: Option<String>,
}

/// A proposal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Propose {
    /// Why, for whoever approves it and for the audit chain.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A proposal that was made.
#[derive(Debug, Serialize, ToSchema)]
struct Proposed {
    /// What names it: whoever approves it says which one they have read.
    proposal: String,
}

/// An approval.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Approve {
    /// Of which proposal: the `proposal` of the answer to it. Another one that has taken its place is not approved.
    proposal: String,
}

impl Checked for Approve {}

impl Checked for Propose {
    fn check(&self) -> Result<(), Problem> {
        check_reason(&self.reason)
    }
}

pub(super) fn check_reason(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX || reason.chars().any(char::is_control) {
        let detail = format!("a reason has 1 to {REASON_CHARS_MAX} characters, none of which is a control character");
        return Err(Problem::field("reason", detail));
    }
    Ok(())
}

pub(super) fn refuse<T>(code: &'static str, detail: impl Into<String>) -> Decided<T> {
    Ok(Err(Problem::new(StatusCode::CONFLICT, code, detail.into())))
}

/// What is told of a site, and no answer but that it is done.
fn done(action: &'static str, site: &SiteId, detail: Value) -> Decided<(Shown, Told)> {
    let told = Told {
        action,
        subject: site.to_string(),
        detail,
    };
    Ok(Ok((Shown::nothing(), told)))
}

/// What was proposed, under its name.
fn proposed(tx: &mut dyn Tx, about: &About, action: &'static str, detail: Value) -> Decided<(Shown, Told)> {
    let found = decisions::find(tx, about)?.ok_or_else(|| StoreError::Broken("a proposal is not there".to_owned()))?;
    let proposed = Proposed {
        proposal: found.name(about),
    };
    let told = Told {
        action,
        subject: about.site.to_string(),
        detail,
    };
    Ok(Ok((Shown::new(StatusCode::OK, &proposed)?, told)))
}

/// Does something with a site that this process has, or nobody: one that was shut out has no desk.
fn of_own(
    tx: &mut dyn Tx,
    (me, now): (&str, Wall),
    id: &SiteId,
    work: impl FnOnce(&mut dyn Tx, &Site) -> Decided<(Shown, Told)>,
) -> Decided<(Shown, Told)> {
    let is_own = sites::own(tx, id, me, now, now.after_ms(LEASE_MS))?;
    // Held fast by that, so it is read afterwards.
    match sites::find(tx, id)? {
        None => Ok(Err(unknown(id))),
        Some(site) if is_own => work(tx, &site),
        Some(_) => refuse(
            "not_the_owner",
            "another process has this site's desk: ask that one, or let it go there first",
        ),
    }
}

impl ApiState {
    /// Changes something of a site that this process has, whose desk begins anew then.
    pub(super) async fn change_own<F>(&self, caller: Caller, site: SiteId, work: F) -> Result<Answered, Problem>
    where
        F: FnOnce(&mut dyn Tx, &Entrance, &Site, Wall) -> Decided<(Shown, Told)> + Send + 'static,
    {
        let entrance = self.entrance()?;
        let (of, inner) = (site.clone(), Arc::clone(&entrance));
        let changed = self.change(caller, None, move |tx, now| {
            of_own(tx, (&inner.process, now), &of, |tx, site| work(tx, &inner, site, now))
        });
        let changed = changed.await?;
        entrance.bell.ring(Ring::Anew(site)).await;
        Ok(changed)
    }
}

/// Branches of a site's journal that are not followed: where each leaves the one that is, and how far it is here.
#[utoipa::path(
    get, path = "/v1/sites/{site}/branches", tag = "upkeep",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    responses((status = 200, description = "All of them", body = BranchesView)),
    security(("bearer" = ["viewer"])),
)]
async fn list_branches(State(api): State<ApiState>, Of(id): Of<SiteId>) -> Result<Json<BranchesView>, Problem> {
    let of = id.clone();
    let found = api.read(move |tx| {
        let Some(site) = sites::find(tx, &of)? else {
            return Ok(None);
        };
        let others = branches::others(tx, &of, site.branch)?;
        Ok(Some((site.branch, others)))
    });
    let (followed, others) = found.await?.ok_or_else(|| unknown(&id))?;
    Ok(Json(BranchesView {
        followed,
        others: others.iter().map(BranchView::from).collect(),
    }))
}

/// Say which branch of a site's journal lives: the one that goes through a place. The site's rows are made anew on it, what is
/// booked of the other stays booked, and the site's accounts are brought to the rows where it leaves, against `restore:{site}`.
#[utoipa::path(
    put, path = "/v1/sites/{site}/branch", tag = "upkeep",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = AcceptBranch,
    responses((status = 200, description = "The branch is followed", body = AcceptedBranch)),
    security(("bearer" = ["admin"])),
)]
async fn accept_branch(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<AcceptBranch>,
) -> Result<Answered, Problem> {
    let (place, AcceptBranch { through, reason }) = (put.body.place()?, put.body);
    api.change_own(put.caller, site, move |tx, entrance, site, now| {
        let accepted = match upkeep::fork::accept(tx, &entrance.process, &site.id, place, now)? {
            Ok(accepted) => accepted,
            Err(error) => return refuse("not_accepted", error.to_string()),
        };
        let told = Told {
            action: "branch_accepted",
            subject: site.id.to_string(),
            detail: json!({
                "through": through,
                "reason": reason,
                "before": site.branch,
                "branch": accepted.branch,
                "from": accepted.from.map(|from| from.to_string()),
            }),
        };
        let view = AcceptedBranch {
            branch: accepted.branch,
            from: accepted.from.map(head),
            head: head(accepted.head),
            opened: accepted.opened,
            trouble: accepted.trouble,
        };
        Ok(Ok((Shown::new(StatusCode::OK, &view)?, told)))
    })
    .await
}

/// Try a site again whose journal is `ahead` or `broken`: from its head, as every start of head office does.
#[utoipa::path(
    put, path = "/v1/sites/{site}/trial", tag = "upkeep",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = Nothing,
    responses((status = 204, description = "It is tried again")),
    security(("bearer" = ["admin"])),
)]
async fn resume_site(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<Nothing>,
) -> Result<Answered, Problem> {
    api.change_own(put.caller, site, |_, _, site, _| match site.state {
        frame::State::Following => refuse(
            "site_follows",
            "this site's journal is followed: there is nothing to try again",
        ),
        frame::State::Forked => refuse(
            "site_forked",
            "two journals of this site are about: say which one lives with `holdfast-central site accept`",
        ),
        state => done(
            "site_tried_again",
            &site.id,
            json!({ "state": state.word(), "trouble": site.trouble }),
        ),
    })
    .await
}

/// The decision on an entry of a site that stands still at it.
fn entry_of(site: &Site, entry: Head) -> Result<About, Problem> {
    let head = site.head.seq;
    let conflict = |code, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail));
    if site.state != frame::State::Broken {
        let detail = "an entry is set aside only at a site that is broken".to_owned();
        return conflict("site_not_broken", detail);
    }
    if entry.seq <= head {
        return conflict(
            "entry_applied",
            format!("entries up to {head} are applied; name the one in `trouble`"),
        );
    }
    Ok(About {
        kind: Kind::SetAside,
        site: site.id.clone(),
        branch: site.branch,
        entry,
    })
}

fn closing_of(site: &Site) -> Result<About, Problem> {
    if site.closed_at.is_some() {
        let detail = "this site is closed already";
        return Err(Problem::new(StatusCode::CONFLICT, "site_closed", detail));
    }
    Ok(About {
        kind: Kind::Close,
        site: site.id.clone(),
        branch: site.branch,
        // A site that goes on until it is closed is closed where it is then; once on each branch.
        entry: Head::START,
    })
}

/// Approves what somebody else has proposed, if it is still the proposal of this name.
pub(super) fn approve(
    tx: &mut dyn Tx,
    about: &About,
    proposal: Option<&str>,
    by: &str,
    now: Wall,
) -> Decided<decisions::Decision> {
    let Some(decision) = decisions::find(tx, about)? else {
        return refuse(
            "not_proposed",
            "nobody has proposed this: propose it, and have another person approve it",
        );
    };
    if decision.approved_by.is_some() {
        return refuse("approved_already", "this is approved already");
    }
    let name = decision.name(about);
    if proposal.is_some_and(|proposal| proposal != name) {
        let decisions::Decision {
            reason, proposed_by, ..
        } = &decision;
        return refuse(
            "other_proposal",
            format!("{proposed_by} has proposed it anew since, as {name}, with the reason: {reason}"),
        );
    }
    if !decisions::approve(tx, about, &decision, by, now)? {
        return refuse(
            "same_person",
            format!("{by} has proposed this, and another person has to approve it"),
        );
    }
    Ok(Ok(decision))
}

/// Which entry, in a path.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Place(Head);

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("{text:?} is no entry's number, a colon and its hash, as in 17:0a1b…"))
    }
}

/// Propose to set aside an entry at which a site's journal is broken: its bytes are kept, nothing of it is applied, and the entries
/// after it are followed. Another person approves it. What it moved at the site differs from then on, and BOOKS findings say by how
/// much.
#[utoipa::path(
    put, path = "/v1/sites/{site}/set-aside/{entry}", tag = "upkeep",
    params(
        ("site" = inline(described::SiteId), Path, description = "Its id"),
        ("entry" = String, Path, description = "The entry as `trouble` names it: its number, a colon, its hash"),
    ),
    request_body = Propose,
    responses((status = 200, description = "Proposed, in place of an earlier proposal", body = Proposed)),
    security(("bearer" = ["admin"])),
)]
async fn propose_set_aside(
    State(api): State<ApiState>,
    Of((site, place)): Of<(SiteId, Place)>,
    put: Put<Propose>,
) -> Result<Answered, Problem> {
    let (by, reason, Place(entry)) = (put.caller.name.clone(), put.body.reason, place);
    api.change_own(put.caller, site, move |tx, _, site, now| {
        let about = match entry_of(site, entry) {
            Ok(about) => about,
            Err(problem) => return Ok(Err(problem)),
        };
        if decisions::find(tx, &about)?.is_some_and(|decision| decision.approved_by.is_some()) {
            return refuse("approved_already", "this entry is set aside already");
        }
        decisions::propose(tx, &about, &reason, &by, now)?;
        proposed(
            tx,
            &about,
            "set_aside_proposed",
            json!({ "entry": entry.to_string(), "reason": reason }),
        )
    })
    .await
}

/// Approve that an entry is set aside, which another person has proposed. The site is tried again.
#[utoipa::path(
    put, path = "/v1/sites/{site}/set-aside/{entry}/approval", tag = "upkeep",
    params(
        ("site" = inline(described::SiteId), Path, description = "Its id"),
        ("entry" = String, Path, description = "The entry: its number, a colon, its hash"),
    ),
    request_body = Approve,
    responses((status = 204, description = "The entry is set aside once it comes")),
    security(("bearer" = ["admin"])),
)]
async fn approve_set_aside(
    State(api): State<ApiState>,
    Of((site, place)): Of<(SiteId, Place)>,
    put: Put<Approve>,
) -> Result<Answered, Problem> {
    let (by, Approve { proposal }, Place(entry)) = (put.caller.name.clone(), put.body, place);
    api.change_own(put.caller, site, move |tx, _, site, now| {
        let about = match entry_of(site, entry) {
            Ok(about) => about,
            Err(problem) => return Ok(Err(problem)),
        };
        match approve(tx, &about, Some(&proposal), &by, now)? {
            Ok(decision) => done(
                "set_aside_approved",
                &site.id,
                json!({
                    "entry": entry.to_string(),
                    "reason": decision.reason,
                    "proposed_by": decision.proposed_by,
                }),
            ),
            Err(problem) => Ok(Err(problem)),
        }
    })
    .await
}

/// Propose to close a site that never comes back. Another person approves it.
#[utoipa::path(
    put, path = "/v1/sites/{site}/closure", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = Propose,
    responses((status = 200, description = "Proposed, in place of an earlier proposal", body = Proposed)),
    security(("bearer" = ["admin"])),
)]
async fn propose_closure(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<Propose>,
) -> Result<Answered, Problem> {
    let (by, reason) = (put.caller.name.clone(), put.body.reason);
    let proposed = api.change(put.caller, None, move |tx, now| {
        let Some(site) = sites::find(tx, &site)? else {
            return Ok(Err(unknown(&site)));
        };
        let about = match closing_of(&site) {
            Ok(about) => about,
            Err(problem) => return Ok(Err(problem)),
        };
        decisions::propose(tx, &about, &reason, &by, now)?;
        proposed(tx, &about, "closure_proposed", json!({ "reason": reason }))
    });
    proposed.await
}

/// Approve that a site is closed, which another person has proposed: its certificate is taken back, what is open by its rows
/// becomes a finding, and whatever it says if it comes back is kept as a branch, and not booked.
#[utoipa::path(
    put, path = "/v1/sites/{site}/closure/approval", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "Its id")),
    request_body = Approve,
    responses((status = 204, description = "Closed")),
    security(("bearer" = ["admin"])),
)]
async fn approve_closure(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    put: Put<Approve>,
) -> Result<Answered, Problem> {
    let (by, of, at) = (put.caller.name.clone(), site.clone(), api.clock.wall());
    let Approve { proposal } = put.body;
    let closed = api.change_own(put.caller, site, move |tx, entrance, site, now| {
        let about = match closing_of(site) {
            Ok(about) => about,
            Err(problem) => return Ok(Err(problem)),
        };
        let decision = match approve(tx, &about, Some(&proposal), &by, now)? {
            Ok(decision) => decision,
            Err(problem) => return Ok(Err(problem)),
        };
        upkeep::closing::close(tx, &entrance.process, site, now)?;
        enrol::revoke(tx, &site.id, now)?;
        done(
            "site_closed",
            &site.id,
            json!({
                "reason": decision.reason,
                "proposed_by": decision.proposed_by,
                "head": site.head.to_string(),
            }),
        )
    });
    let (closed, entrance) = (closed.await?, api.entrance()?);
    write_down(&entrance, Line::Revoked { site: of, at }).await?;
    Ok(closed)
}

//! What people do about discrepancies: propose, approve, reject, give to somebody, comment; one by one, or many by what they have in common.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    money::Tells,
    reconciliation::{DiscrepancyView, class_of, scope_asked},
    topups::ChannelName,
};
use crate::{
    money::{Many, Money, Propose, Refused},
    reconcile::stake::Kind,
    store::{
        StoreError, Tx,
        discrepancies::{Discrepancy, State as Stands},
        discrepancy_decisions::Decision,
        queries::reconcile::Which,
    },
};
use axum::{extract::State, http::StatusCode};
use domain::{ids::MemberId, time::Day};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        access::Caller,
        body::{Checked, Nothing, Of, Posted, check_name, check_reason},
        idempotency::IdempotencyKey,
        problem::Problem,
    },
    wire::{At, Yuan, described},
};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// So many are decided by one request at most: in one transaction, for which callbacks of the channel wait.
const AT_ONCE: usize = 200;
/// So many are looked at at once.
const PAGE: usize = 1_000;
/// So many are looked at where few of them can be done.
const LOOKED_AT_MAX: u64 = 10_000;
/// So many of those that were not are listed.
const LISTED: usize = 100;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(propose_decision))
        .routes(routes!(approve_discrepancy))
        .routes(routes!(reject_discrepancy))
        .routes(routes!(assign_discrepancy))
        .routes(routes!(comment_on_discrepancy))
        .routes(routes!(propose_many))
        .routes(routes!(approve_many))
}

/// What is decided of a discrepancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DecisionKind {
    /// 补单: a wallet gets what nobody was credited with.
    Credit,
    /// 核销: it is our gain, or our loss.
    WriteOff,
    /// 调账: whoever was credited with it gives it back, or owes it.
    Adjust,
    /// It is right as it is: no money is at stake.
    Accept,
}

impl From<DecisionKind> for Kind {
    fn from(kind: DecisionKind) -> Self {
        match kind {
            DecisionKind::Credit => Self::Credit,
            DecisionKind::WriteOff => Self::WriteOff,
            DecisionKind::Adjust => Self::Adjust,
            DecisionKind::Accept => Self::Accept,
        }
    }
}

impl From<Kind> for DecisionKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Credit => Self::Credit,
            Kind::WriteOff => Self::WriteOff,
            Kind::Adjust => Self::Adjust,
            Kind::Accept => Self::Accept,
        }
    }
}

/// A decision about a discrepancy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscrepancyDecision)]
pub(super) struct DecisionView {
    /// About which discrepancy.
    discrepancy: u64,
    /// The how manieth about it.
    no: u64,
    /// What.
    decision: DecisionKind,
    /// Whose wallet it is about.
    #[schema(required)]
    member: Option<String>,
    /// What was at stake when it was proposed: above zero the channel has it too much, below zero too little.
    stake: Yuan,
    /// Why.
    reason: String,
    /// `proposed`, `approved` or `rejected`.
    state: String,
    /// Who proposed it.
    maker: String,
    /// When.
    made_at: At,
    /// Who approved or rejected it.
    #[schema(required)]
    checker: Option<String>,
    /// When.
    #[schema(required)]
    checked_at: Option<At>,
    /// Why not.
    #[schema(required)]
    answer: Option<String>,
    /// The movement in the books that it stands for.
    #[schema(required)]
    transfer: Option<String>,
}

impl From<&Decision> for DecisionView {
    fn from(of: &Decision) -> Self {
        Self {
            discrepancy: of.discrepancy,
            no: of.no,
            decision: of.kind.into(),
            member: of.member.as_ref().map(ToString::to_string),
            stake: Yuan(of.stake),
            reason: of.reason.clone(),
            state: of.state.word().to_owned(),
            maker: of.maker.clone(),
            made_at: At(of.made_at),
            checker: of.checker.clone(),
            checked_at: of.checked_at.map(At),
            answer: of.answer.clone(),
            transfer: of.transfer.clone(),
        }
    }
}

/// What is to be done about a discrepancy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProposeDecision {
    /// What. `credit` and `write_off` settle what a channel has too much, `write_off` and `adjust` what it has too little, `accept` what
    /// moves no money.
    decision: DecisionKind,
    /// Whose wallet is credited; left out, that of whoever asked for the top-up, where the channel has said which it is.
    #[serde(default)]
    #[schema(value_type = Option<described::MemberId>)]
    member: Option<MemberId>,
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for ProposeDecision {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// Why not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RejectDecision {
    /// Why not.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for RejectDecision {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// Who is to look at a discrepancy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Assign {
    /// By name; `null`: nobody in particular.
    #[schema(required)]
    to: Option<String>,
}

impl Checked for Assign {
    fn check(&self) -> Result<(), Problem> {
        self.to.as_deref().map_or(Ok(()), |to| check_name("to", to, 1))
    }
}

/// What somebody says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Comment {
    /// The words.
    #[schema(min_length = 1, max_length = 500)]
    words: String,
}

impl Checked for Comment {
    fn check(&self) -> Result<(), Problem> {
        check_reason("words", &self.words)
    }
}

/// Which discrepancies: those for which everything that is given holds, the newest first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Common {
    /// Of this channel.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    channel: Option<ChannelName>,
    /// Of this scope: `channel:`, `payouts:` and a channel's name, or `site:` and a site's id. Not with `channel`.
    #[serde(default)]
    scope: Option<String>,
    /// Of this class, as in `LONG`.
    #[serde(default)]
    class: Option<String>,
    /// Since this day.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    day: Option<Day>,
}

impl Common {
    fn which(self, state: Stands) -> Result<Which, Problem> {
        Ok(Which {
            scope: scope_asked(self.channel.as_ref().map(|of| of.0.as_str()), self.scope)?,
            class: self.class.as_deref().map(class_of).transpose()?,
            state: Some(state),
            day: self.day,
        })
    }
}

/// What is to be done about many.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProposeMany {
    /// Which, of those that are open.
    of: Common,
    /// What.
    decision: DecisionKind,
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for ProposeMany {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// Which of those that were proposed are approved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ApproveMany {
    /// Which.
    of: Common,
}

impl Checked for ApproveMany {}

/// One that was not done.
#[derive(Debug, Serialize, ToSchema)]
struct NotDone {
    /// Which discrepancy.
    discrepancy: u64,
    /// Why not.
    detail: String,
}

/// What came of many.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ManyDone)]
struct ManyDone {
    /// So many were done.
    done: u64,
    /// So many were not.
    not_done: u64,
    /// The first hundred of these.
    why: Vec<NotDone>,
    /// There are more than were looked at: the same request, under another Idempotency-Key, goes on.
    more: bool,
}

impl Tells for Decision {
    fn told(&self, _: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError> {
        let view = DecisionView::from(self);
        let told = Told {
            action,
            subject: self.discrepancy.to_string(),
            detail: json!({
                "no": self.no, "decision": self.kind.word(), "member": view.member, "stake": view.stake, "reason": view.reason,
                "maker": view.maker, "transfer": view.transfer,
            }),
        };
        Ok((Shown::new(status, &view)?, told))
    }
}

/// A discrepancy of which something was said, and what that was.
struct Said {
    of: Discrepancy,
    today: Day,
    what: serde_json::Value,
}

impl Tells for Said {
    fn told(&self, _: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError> {
        let told = Told {
            action,
            subject: self.of.id.to_string(),
            detail: self.what.clone(),
        };
        Ok((Shown::new(status, &DiscrepancyView::of(&self.of, self.today))?, told))
    }
}

impl ManyDone {
    fn refused(&mut self, discrepancy: u64, why: &Refused) {
        self.not_done += 1;
        if self.why.len() < LISTED {
            let detail = why.to_string();
            self.why.push(NotDone { discrepancy, detail });
        }
    }
}

/// With which of many something can be done, the newest first: at most so many at once, whatever stands before them.
fn pick(money: &mut Money<'_>, what: &Many, which: &Which) -> Result<(BTreeSet<u64>, ManyDone), StoreError> {
    let (mut ids, mut after) = (BTreeSet::new(), None);
    let mut many = ManyDone {
        done: 0,
        not_done: 0,
        why: Vec::new(),
        more: false,
    };
    loop {
        let page = money.discrepancies(which, after, PAGE)?;
        for found in &page.items {
            if ids.len() == AT_ONCE || many.not_done == LOOKED_AT_MAX {
                many.more = true;
                return Ok((ids, many));
            }
            match money.can(what, found.id)? {
                Ok(()) => drop(ids.insert(found.id)),
                Err(refused) => many.refused(found.id, &refused),
            }
        }
        after = page.next_after().map(|last| (last.day, last.id));
        if after.is_none() {
            return Ok((ids, many));
        }
    }
}

impl ApiState {
    /// Does the same with many. Which these are is looked up first, by a connection that nobody waits for.
    async fn with_many(
        &self,
        (caller, key): (Caller, IdempotencyKey),
        which: Which,
        action: &'static str,
        what: Many,
    ) -> Result<Answered, Problem> {
        let (now, by) = (self.clock.wall(), caller.name.clone());
        let (of, picks) = (which.clone(), what.clone());
        let picked = self.read(move |tx| pick(&mut Money::new(tx, now, &by), &picks, &of));
        let (ids, mut many) = picked.await?;
        self.with_money(caller, Some(key), move |money| {
            for (id, done) in money.do_all(&what, &ids)? {
                match done {
                    Ok(_) => many.done += 1,
                    Err(refused) => many.refused(id, &refused),
                }
            }
            let told = Told {
                action,
                subject: which.scope.clone().unwrap_or_default(),
                detail: json!({ "done": many.done, "not_done": many.not_done }),
            };
            Ok(Ok((Shown::new(StatusCode::OK, &many)?, told)))
        })
        .await
    }
}

/// Propose what to do about a discrepancy. It waits for a second person.
#[utoipa::path(
    post, path = "/v1/discrepancies/{discrepancy}/proposal", tag = "reconciliation",
    params(("discrepancy" = u64, Path, description = "Its number")),
    request_body = ProposeDecision,
    responses(
        (status = 202, description = "It waits", body = DecisionView),
        (status = 404, description = "`unknown_discrepancy`, `unknown_member`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`discrepancy_not_open`; `does_not_settle_it`: what does stands in the words; `member_wanted`; \
            `nobody_credited`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"])),
)]
async fn propose_decision(
    State(api): State<ApiState>,
    Of(id): Of<u64>,
    posted: Posted<ProposeDecision>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::ACCEPTED, "decision_proposed");
    api.decides(posted, told, move |money, body: ProposeDecision| {
        money.propose_for(
            id,
            &Propose {
                kind: body.decision.into(),
                member: body.member,
                reason: body.reason,
            },
        )
    })
    .await
}

/// Have what was proposed posted, as the second person: under another name than that of whoever proposed it.
#[utoipa::path(
    post, path = "/v1/discrepancies/{discrepancy}/approve", tag = "reconciliation",
    params(("discrepancy" = u64, Path, description = "Its number")),
    request_body = Nothing,
    responses(
        (status = 200, description = "It is in the books", body = DecisionView),
        (status = 409, description = "`same_person`; `nothing_proposed`; `discrepancy_changed`: runs have found other values since; \
            `credited_meanwhile`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_checker"])),
)]
async fn approve_discrepancy(
    State(api): State<ApiState>,
    Of(id): Of<u64>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "decision_approved");
    api.decides(posted, told, move |money, _| money.approve_for(id)).await
}

/// Say no to what was proposed, and why. Whoever proposed it may, too.
#[utoipa::path(
    post, path = "/v1/discrepancies/{discrepancy}/reject", tag = "reconciliation",
    params(("discrepancy" = u64, Path, description = "Its number")),
    request_body = RejectDecision,
    responses(
        (status = 200, description = "It is open again", body = DecisionView),
        (status = 409, description = "`nothing_proposed`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn reject_discrepancy(
    State(api): State<ApiState>,
    Of(id): Of<u64>,
    posted: Posted<RejectDecision>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "decision_rejected");
    api.decides(posted, told, move |money, body: RejectDecision| {
        money.reject_for(id, &body.reason)
    })
    .await
}

/// Give a discrepancy to somebody to look at, or to nobody in particular.
#[utoipa::path(
    post, path = "/v1/discrepancies/{discrepancy}/assign", tag = "reconciliation",
    params(("discrepancy" = u64, Path, description = "Its number")),
    request_body = Assign,
    responses((status = 200, description = "The discrepancy", body = DiscrepancyView)),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn assign_discrepancy(
    State(api): State<ApiState>,
    Of(id): Of<u64>,
    posted: Posted<Assign>,
) -> Result<Answered, Problem> {
    let today = api.today();
    api.decides(
        posted,
        (StatusCode::OK, "discrepancy_assigned"),
        move |money, body: Assign| {
            let what = json!({ "to": body.to });
            let assigned = money.assign_discrepancy(id, body.to.as_deref())?;
            Ok(assigned.map(|of| Said { of, today, what }))
        },
    )
    .await
}

/// Say something about a discrepancy: it stands among what happened to it.
#[utoipa::path(
    post, path = "/v1/discrepancies/{discrepancy}/comments", tag = "reconciliation",
    params(("discrepancy" = u64, Path, description = "Its number")),
    request_body = Comment,
    responses((status = 201, description = "The discrepancy", body = DiscrepancyView)),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn comment_on_discrepancy(
    State(api): State<ApiState>,
    Of(id): Of<u64>,
    posted: Posted<Comment>,
) -> Result<Answered, Problem> {
    let today = api.today();
    let told = (StatusCode::CREATED, "discrepancy_commented");
    api.decides(posted, told, move |money, body: Comment| {
        let what = json!({ "words": body.words });
        let commented = money.comment_on(id, &body.words)?;
        Ok(commented.map(|of| Said { of, today, what }))
    })
    .await
}

/// Propose the same for many that are open: up to two hundred at a time. Of a credit each goes to whoever asked for the top-up.
#[utoipa::path(
    post, path = "/v1/discrepancies/proposals", tag = "reconciliation",
    request_body = ProposeMany,
    responses((status = 200, description = "What came of it", body = ManyDone)),
    security(("bearer" = ["finance_maker"])),
)]
async fn propose_many(State(api): State<ApiState>, posted: Posted<ProposeMany>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let which = body.of.which(Stands::Open)?;
    let propose = Propose {
        kind: body.decision.into(),
        member: None,
        reason: body.reason,
    };
    api.with_many((caller, key), which, "decisions_proposed", Many::Propose(propose))
        .await
}

/// Have many posted that somebody else has proposed: up to two hundred at a time.
#[utoipa::path(
    post, path = "/v1/discrepancies/approvals", tag = "reconciliation",
    request_body = ApproveMany,
    responses((status = 200, description = "What came of it", body = ManyDone)),
    security(("bearer" = ["finance_checker"])),
)]
async fn approve_many(State(api): State<ApiState>, posted: Posted<ApproveMany>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let which = body.of.which(Stands::Proposed)?;
    api.with_many((caller, key), which, "decisions_approved", Many::Approve)
        .await
}

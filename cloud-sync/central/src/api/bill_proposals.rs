//! What two people decide of channels' bills: to withdraw a file, and that a day has none as nothing was traded on it.

use super::{
    ApiState,
    answered::{Answered, Decided, Shown, Told},
    branches::refuse,
    orders::moment,
    placing::new_id,
    topups::ChannelName,
};
use crate::{
    bills::{Format, import::other_biller},
    store::{
        StoreError, Tx,
        bill_proposals::{self, Kind, Proposal, State as Stands},
        bills, channel_settings, channels, people, queries,
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::time::{Day, Wall, Zone};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Asked, Checked, Nothing, Of, Posted, check_reason},
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{At, PageOf},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(propose_withdrawal))
        .routes(routes!(propose_nothing))
        .routes(routes!(list_proposals))
        .routes(routes!(approve_proposal))
        .routes(routes!(reject_proposal))
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProposeOfBill {
    /// Why, for whoever approves it and for the audit chain.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for ProposeOfBill {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// A proposal about a channel's bill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BillProposal)]
struct BillProposalView {
    /// Its number.
    id: String,
    /// `withdraw`: the file goes; `nothing`: nothing was traded on the day.
    kind: String,
    /// The channel.
    channel: String,
    /// The format of the file.
    format: String,
    /// The day, by the channel's clocks.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// The file that goes, or the one that says that nothing was; `null` before that is approved.
    #[schema(required)]
    file: Option<u64>,
    /// Why.
    reason: String,
    /// `proposed`: it waits for a second person; `approved`; `rejected`.
    state: String,
    /// Who proposed it.
    proposed_by: String,
    /// When.
    proposed_at: At,
    /// Who approved or rejected it.
    #[schema(required)]
    decided_by: Option<String>,
    /// When.
    #[schema(required)]
    decided_at: Option<At>,
}

impl From<&Proposal> for BillProposalView {
    fn from(of: &Proposal) -> Self {
        Self {
            id: of.id.clone(),
            kind: of.kind.word().to_owned(),
            channel: of.channel.clone(),
            format: of.format.word().to_owned(),
            day: of.day,
            file: of.file,
            reason: of.reason.clone(),
            state: of.state.word().to_owned(),
            proposed_by: of.proposed_by.clone(),
            proposed_at: At(of.proposed_at),
            decided_by: of.decided_by.clone(),
            decided_at: of.decided_at.map(At),
        }
    }
}

/// What is shown and told of a proposal, as it is now.
fn told(tx: &mut dyn Tx, id: &str, status: StatusCode, action: &'static str) -> Decided<(Shown, Told)> {
    let proposal = bill_proposals::find(tx, id)?;
    let proposal = proposal.ok_or_else(|| StoreError::Broken(format!("proposal {id} is gone")))?;
    let view = BillProposalView::from(&proposal);
    let told = Told {
        action,
        subject: format!("{}/{}/{}", view.channel, view.day, view.format),
        detail: json!({
            "proposal": view.id, "kind": view.kind, "file": view.file, "reason": view.reason,
            "proposed_by": view.proposed_by, "state": view.state,
        }),
    };
    Ok(Ok((Shown::new(status, &view)?, told)))
}

/// Keeps a proposal where none of its day and format waits.
fn propose(tx: &mut dyn Tx, proposal: &Proposal) -> Decided<(Shown, Told)> {
    // Nobody makes the day final meanwhile.
    bill_proposals::hold_days(tx)?;
    if went_into_final(tx, proposal)? {
        return day_final(proposal.day);
    }
    if let Some(waits) = bill_proposals::open(tx, &proposal.channel, proposal.format, proposal.day)? {
        let detail = format!(
            "{} has proposed {} of this day and format, number {}: approve or reject that first",
            waits.proposed_by,
            waits.kind.word(),
            waits.id
        );
        return refuse("already_proposed", detail);
    }
    bill_proposals::add(tx, proposal)?;
    told(tx, &proposal.id, StatusCode::ACCEPTED, "bill_proposed")
}

/// Whether its day is final and went by bills of its format. What was paid out by one of the account is corrected on a later day, whenever
/// that is learnt.
fn went_into_final(tx: &mut dyn Tx, of: &Proposal) -> Result<bool, StoreError> {
    Ok(of.format.is_of_trades() && bill_proposals::is_final(tx, &of.channel, of.day)?)
}

fn day_final<T>(day: Day) -> Decided<T> {
    let detail =
        format!("the reconciliation of {day} is final: what it went by stays, and is corrected on a later day");
    refuse("day_final", detail)
}

fn other_bill<T>(file: &bills::File) -> Decided<T> {
    let detail = format!(
        "{} of {} has its {} already, file {}",
        file.channel, file.day, file.format, file.id
    );
    refuse("other_bill", detail)
}

/// Propose that a file which was imported is withdrawn: its lines do not count any more, and the day takes another one. A second person
/// approves that; of a day whose reconciliation is final no bill of trades is withdrawn.
#[utoipa::path(
    post, path = "/v1/bills/{file}/withdrawal", tag = "bills",
    params(("file" = u64, Path, description = "The file's number")),
    request_body = ProposeOfBill,
    responses(
        (status = 202, description = "It waits for a second person", body = BillProposalView),
        (status = 409, description = "`day_final`; `already_proposed`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"])),
)]
async fn propose_withdrawal(
    State(api): State<ApiState>,
    Of(file): Of<u64>,
    posted: Posted<ProposeOfBill>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let (id, by) = (new_id("bill-proposal-")?, caller.name.clone());
    api.change(caller, Some(key), move |tx, now| {
        let Some(file) = bills::find(tx, file)? else {
            return Ok(Err(Problem::unknown("bill", file)));
        };
        let proposal = Proposal {
            id,
            kind: Kind::Withdraw,
            channel: file.channel,
            format: file.format,
            day: file.day,
            file: Some(file.id),
            reason: body.reason,
            state: Stands::Proposed,
            proposed_by: by,
            proposed_at: now,
            decided_by: None,
            decided_at: None,
        };
        propose(tx, &proposal)
    })
    .await
}

/// Propose that nothing was traded at a channel on a day, for which it made no file. Once a second person approves that, the day's bill is
/// one without a line.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/bills/{day}/{format}/nothing", tag = "bills",
    params(
        ("channel" = String, Path, description = "The channel's name"),
        ("day" = String, Path, description = "The day, by the channel's clocks"),
        ("format" = String, Path, description = "`wechat_trade`, `wechat_fund`, `alipay_trade`, `alipay_fund` or `csv`"),
    ),
    request_body = ProposeOfBill,
    responses(
        (status = 202, description = "It waits for a second person", body = BillProposalView),
        (status = 409, description = "`no_such_bills`; `day_not_over`; `other_bill`: the day has its bill; `day_final`; `already_proposed`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"])),
)]
async fn propose_nothing(
    State(api): State<ApiState>,
    Of((channel, day, format)): Of<(ChannelName, Day, Format)>,
    posted: Posted<ProposeOfBill>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let (id, by, channel) = (new_id("bill-proposal-")?, caller.name.clone(), channel.0);
    api.change(caller, Some(key), move |tx, now| {
        let Some(mut known) = channels::find(tx, &channel)? else {
            return Ok(Err(Problem::unknown("channel", channel)));
        };
        channel_settings::as_on(tx, &mut known, day)?;
        if known.bills != Some(format.biller()) {
            return refuse("no_such_bills", other_biller(&channel, known.bills, format));
        }
        let zone = Zone::named(&known.zone).map_err(StoreError::Broken)?;
        if now < zone.begin_of(day.plus(1)) {
            return refuse(
                "day_not_over",
                format!("the day {day} is not over where the channel is"),
            );
        }
        if let Some(file) = bills::of_day(tx, &channel, format, day)? {
            return other_bill(&file);
        }
        let proposal = Proposal {
            id,
            kind: Kind::Nothing,
            channel,
            format,
            day,
            file: None,
            reason: body.reason,
            state: Stands::Proposed,
            proposed_by: by,
            proposed_at: now,
            decided_by: None,
            decided_at: None,
        };
        propose(tx, &proposal)
    })
    .await
}

/// How a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ProposalIs {
    /// It waits for a second person.
    Proposed,
    /// It was done.
    Approved,
    /// A person has said no.
    Rejected,
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListProposals {
    /// Only those that stand so.
    #[serde(default)]
    state: Option<ProposalIs>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Proposals about bills, the newest first.
#[utoipa::path(
    get, path = "/v1/bill-proposals", tag = "bills",
    params(ListProposals),
    responses((status = 200, description = "One page", body = PageOf<BillProposalView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_proposals(
    State(api): State<ApiState>,
    Asked(query): Asked<ListProposals>,
) -> Result<Json<PageOf<BillProposalView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.to_owned())),
    };
    let state = query.state.map(|state| match state {
        ProposalIs::Proposed => Stands::Proposed,
        ProposalIs::Approved => Stands::Approved,
        ProposalIs::Rejected => Stands::Rejected,
    });
    let page = api
        .read(move |tx| queries::bills::proposals(tx, state, after, limit))
        .await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.proposed_at.0.to_string(), last.id.clone()])),
        items: page.items.iter().map(BillProposalView::from).collect(),
    }))
}

/// A proposal that waits, held fast; or why it cannot be decided.
fn waiting(tx: &mut dyn Tx, id: &str) -> Decided<Proposal> {
    bill_proposals::hold(tx, id)?;
    match bill_proposals::find(tx, id)? {
        None => Ok(Err(Problem::unknown("bill-proposal", id))),
        Some(proposal) if proposal.state == Stands::Proposed => Ok(Ok(proposal)),
        Some(proposal) => refuse("decided_already", format!("it is {} already", proposal.state.word())),
    }
}

fn approve(tx: &mut dyn Tx, id: &str, by: &str, now: Wall) -> Decided<(Shown, Told)> {
    // Nobody makes the day final meanwhile.
    bill_proposals::hold_days(tx)?;
    let proposal = match waiting(tx, id)? {
        Ok(proposal) => proposal,
        Err(problem) => return Ok(Err(problem)),
    };
    if !people::are_two(tx, (&proposal.proposed_by, proposal.proposed_at), (by, now))? {
        return refuse("same_person", people::not_two(&proposal.proposed_by, by));
    }
    if went_into_final(tx, &proposal)? {
        return day_final(proposal.day);
    }
    if proposal.format.is_of_trades() && bill_proposals::is_running(tx, &proposal.channel, proposal.day, now)? {
        let detail = format!("{} is being reconciled: approve it when that is done", proposal.channel);
        return refuse("being_reconciled", detail);
    }
    let (file, action) = match (proposal.kind, proposal.file) {
        (Kind::Withdraw, Some(file)) => {
            if bills::find(tx, file)?.is_none() {
                return refuse("decided_already", format!("file {file} is withdrawn already"));
            }
            bill_proposals::withdraw(tx, file)?;
            (file, "bill_withdrawn")
        }
        (Kind::Withdraw, None) => return Err(StoreError::Broken(format!("proposal {id} has no file"))),
        (Kind::Nothing, _) => {
            if let Some(file) = bills::of_day(tx, &proposal.channel, proposal.format, proposal.day)? {
                return other_bill(&file);
            }
            (bill_proposals::nothing(tx, &proposal, now)?, "bill_of_nothing")
        }
    };
    bill_proposals::decide(tx, id, Stands::Approved, Some(file), by, now)?;
    told(tx, id, StatusCode::OK, action)
}

/// Approve a proposal that waits, as the second person: under another name than that of whoever proposed it.
#[utoipa::path(
    post, path = "/v1/bill-proposals/{proposal}/approve", tag = "bills",
    params(("proposal" = String, Path, description = "The proposal's number")),
    request_body = Nothing,
    responses(
        (status = 200, description = "Done", body = BillProposalView),
        (status = 409, description = "`same_person`; `decided_already`; `day_final`; `being_reconciled`; `other_bill`: the day has its bill meanwhile",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_checker"])),
)]
async fn approve_proposal(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let by = posted.caller.name.clone();
    api.change(posted.caller, Some(posted.key), move |tx, now| {
        approve(tx, &id, &by, now)
    })
    .await
}

/// Say no to a proposal that waits: whoever proposed it may, too.
#[utoipa::path(
    post, path = "/v1/bill-proposals/{proposal}/reject", tag = "bills",
    params(("proposal" = String, Path, description = "The proposal's number")),
    request_body = Nothing,
    responses((status = 200, description = "Rejected", body = BillProposalView)),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn reject_proposal(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let by = posted.caller.name.clone();
    api.change(posted.caller, Some(posted.key), move |tx, now| {
        let proposal = match waiting(tx, &id)? {
            Ok(proposal) => proposal,
            Err(problem) => return Ok(Err(problem)),
        };
        bill_proposals::decide(tx, &id, Stands::Rejected, proposal.file, &by, now)?;
        told(tx, &id, StatusCode::OK, "bill_proposal_rejected")
    })
    .await
}

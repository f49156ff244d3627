//! Reconciliation over HTTP: days are reconciled when somebody asks; runs with their totals, and what they found.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    topups::ChannelName,
    workflow::DecisionView,
};
use crate::{
    reconcile::{
        days::age,
        funds::{Reconciler, scope_of},
        payouts::Payouts,
        site_day::reference_told,
        sites::Sites,
        words::{Class, Leg},
    },
    store::{
        discrepancies::{self, Discrepancy, Event, State as Stands},
        discrepancy_decisions,
        queries::reconcile::{self as queries, Which},
        reconcile_runs::{self, Run},
        suspense::{self, Suspense},
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::SiteId,
    time::{Day, Zone},
    units::{Energy, Fen},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::{
    http::{
        body::{Asked, Checked, Of, Posted},
        page::{Paging, bad_cursor, cursor_of},
        problem::Problem,
    },
    wire::{At, PageOf, Yuan},
};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(reconcile))
        .routes(routes!(list_runs))
        .routes(routes!(get_run))
        .routes(routes!(list_discrepancies))
        .routes(routes!(get_discrepancy))
}

/// What is to be reconciled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reconcile {
    /// The channel; or the site.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    channel: Option<ChannelName>,
    /// The site; or the channel.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    site: Option<SiteId>,
    /// The day, by the clocks there.
    #[schema(value_type = String, format = Date)]
    day: Day,
}

impl Checked for Reconcile {
    fn check(&self) -> Result<(), Problem> {
        match self.channel.is_some() == self.site.is_some() {
            true => Err(Problem::field(
                "channel",
                "say which `channel`, or which `site`: one of the two",
            )),
            false => Ok(()),
        }
    }
}

/// A run: what a day came to. It is the report of the day as JSON; `docs/reconciliation.md` says what its totals are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconciliationRun)]
struct RunView {
    /// Its number.
    run: u64,
    /// What was reconciled: `channel:` and the channel's name.
    scope: String,
    /// The day, by the channel's clocks.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// The how manieth run of the day it is.
    no: u64,
    /// `running`; `provisional`: it counts, and is made again when a bill comes; `final`: it counts for ever; `replaced`: it did; `left`: it
    /// was cut off.
    status: String,
    /// What it went by: the day's bill with its SHA-256, days whose bill is missing, what was credited, the run of the day before, and the
    /// channel's settings.
    #[schema(value_type = Object)]
    inputs: Value,
    /// What it came to; none until it counts.
    #[schema(required, value_type = Option<Object>)]
    totals: Option<Value>,
    /// One number over everything that it found.
    #[schema(required)]
    digest: Option<String>,
    /// When it began.
    begun_at: At,
    /// By whom.
    begun_by: String,
    /// When it ended.
    #[schema(required)]
    ended_at: Option<At>,
}

impl From<&Run> for RunView {
    fn from(of: &Run) -> Self {
        Self {
            run: of.id,
            scope: of.scope.clone(),
            day: of.day,
            no: of.no,
            status: of.status.word().to_owned(),
            inputs: serde_json::from_str(&of.inputs).unwrap_or_default(),
            totals: of
                .totals
                .as_ref()
                .map(|totals| serde_json::to_value(totals).unwrap_or_default()),
            digest: of.digest.clone(),
            begun_at: At(of.begun_at),
            begun_by: of.begun_by.clone(),
            ended_at: of.ended_at.map(At),
        }
    }
}

/// Something that differs, named once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Discrepancy)]
pub(super) struct DiscrepancyView {
    /// Its number.
    id: u64,
    /// Where it was found: `channel:` and a channel's name.
    scope: String,
    /// `funds` and `sources` of a channel; `orders`, `meters`, `till` and `sources` of a site.
    leg: String,
    /// What it is, as `docs/reconciliation.md` has it: `LONG`, `SHORT`, `RATING`, `ENERGY`, and so on.
    class: String,
    /// What it is about: `payment` or `refund` of a bill, `credit`, `day`; `order`, `entry` of a journal, `connector`.
    source: String,
    /// The number of that: the channel's, or the day; of an entry its number and when something was found in it.
    reference: String,
    /// The file of the bill.
    #[schema(required)]
    file: Option<u64>,
    /// The line in it, counted from 1.
    #[schema(required)]
    line: Option<u64>,
    /// Since which day it has its values.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// Since which day it is open: what grows from day to day is as old as its first.
    #[schema(value_type = String, format = Date)]
    since: Day,
    /// The day of the line or credit itself.
    #[schema(value_type = String, format = Date)]
    of_day: Day,
    /// How many days it is old, of one that is open: `0-1`, `2-3`, `4-7`, `8-30` or `>30`.
    #[schema(required)]
    age: Option<String>,
    /// `open`, `proposed`, `posted` or `cleared`.
    state: String,
    /// The amount; below zero: it went out.
    amount: Yuan,
    /// What our books say.
    #[schema(required)]
    ours: Option<Yuan>,
    /// What the channel, or the site, says.
    #[schema(required)]
    theirs: Option<Yuan>,
    /// Of the leg `meters`: what was billed, in kWh.
    #[schema(required, value_type = Option<String>)]
    billed_kwh: Option<Energy>,
    /// Of the leg `meters`: what the register says, in kWh.
    #[schema(required, value_type = Option<String>)]
    register_kwh: Option<Energy>,
    /// Who has it.
    #[schema(required)]
    assigned: Option<String>,
    /// When it was found.
    opened_at: At,
    /// When it was over.
    #[schema(required)]
    closed_at: Option<At>,
}

impl DiscrepancyView {
    pub(super) fn of(of: &Discrepancy, today: Day) -> Self {
        let is_energy = of.leg == Leg::Meters;
        let money = |value: Option<Fen>| value.filter(|_| !is_energy).map(Yuan);
        let energy = |value: Option<Fen>| value.filter(|_| is_energy).map(|value| Energy(value.0));
        Self {
            id: of.id,
            scope: of.scope.clone(),
            leg: of.leg.word().to_owned(),
            class: of.class.word().to_owned(),
            source: of.source.word().to_owned(),
            reference: reference_told(of.source, &of.reference),
            file: of.line.map(|(file, _)| file),
            line: of.line.map(|(_, line)| line),
            day: of.day,
            since: of.since,
            of_day: of.of_day,
            age: of.closed_at.is_none().then(|| age(of.since, today).to_owned()),
            state: of.state.word().to_owned(),
            amount: Yuan(of.amount),
            ours: money(of.ours),
            theirs: money(of.theirs),
            billed_kwh: energy(of.ours),
            register_kwh: energy(of.theirs),
            assigned: of.assigned.clone(),
            opened_at: At(of.opened_at),
            closed_at: of.closed_at.map(At),
        }
    }
}

/// What happened to a discrepancy.
#[derive(Debug, Serialize, ToSchema)]
struct DiscrepancyEvent {
    /// `opened`: found, or found again; `changed`: found with other values; `cleared`: found no more, and what was decided is taken back;
    /// `assigned`, `commented`, `proposed`, `approved`, `rejected`, `posted`.
    kind: String,
    /// When.
    at: At,
    /// Who, or who had the days reconciled that found it.
    by: String,
    /// The amount then.
    amount: Yuan,
    /// What our books said then.
    #[schema(required)]
    ours: Option<Yuan>,
    /// What the channel said then.
    #[schema(required)]
    theirs: Option<Yuan>,
    /// What was said of it, who was to look at it, or the movement that was posted.
    #[schema(required)]
    body: Option<String>,
}

impl From<&Event> for DiscrepancyEvent {
    fn from(of: &Event) -> Self {
        Self {
            kind: of.kind.clone(),
            at: At(of.at),
            by: of.by.clone(),
            amount: Yuan(of.amount),
            ours: of.ours.map(Yuan),
            theirs: of.theirs.map(Yuan),
            body: of.body.clone(),
        }
    }
}

/// A discrepancy, and what happened to it.
#[derive(Debug, Serialize, ToSchema)]
struct DiscrepancyTold {
    /// As it is now.
    discrepancy: DiscrepancyView,
    /// What happened to it, in its order.
    events: Vec<DiscrepancyEvent>,
    /// What two people decided of it, in its order.
    decisions: Vec<DecisionView>,
    /// Where its money is; none while it is in no account of its own.
    #[schema(required)]
    suspense: Option<SuspenseView>,
}

/// Money that is on one side alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Suspense)]
struct SuspenseView {
    /// Its account in the books.
    account: String,
    /// How much: above zero the channel has it too much, below zero too little.
    amount: Yuan,
    /// `parked`: it is in its account; `credited`, `recovered`, `written_off`: it left it by a decision; `reversed`: there is no
    /// difference any more.
    state: String,
    /// Since when.
    at: At,
}

impl From<&Suspense> for SuspenseView {
    fn from(of: &Suspense) -> Self {
        Self {
            account: of.account(),
            amount: Yuan(of.amount),
            state: of.state.word().to_owned(),
            at: At(of.at),
        }
    }
}

/// Reconcile a channel's day, now: its bill against what wallets were credited; or a site's: its journal, its energy report and its till.
/// With it every day before and after it that this changes. A day that is final is not done again; otherwise the same bills and credits come to the same, however often it is asked for.
#[utoipa::path(
    post, path = "/v1/reconciliation/runs", tag = "reconciliation",
    request_body = Reconcile,
    responses(
        (status = 200, description = "The run of the day that counts", body = RunView),
        (status = 409, description = "`no_such_bills`, `day_not_over`, `before_first_day`; `run_running`: somebody is at the channel's days; \
            `totals_do_not_close`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn reconcile(State(api): State<ApiState>, posted: Posted<Reconcile>) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let turn = api.turn(&caller)?;
    let (db, clock) = (api.db.clone(), Arc::clone(&api.clock));
    let (by, Reconcile { channel, site, day }) = (caller.name.clone(), body);
    // What was begun goes on where the caller goes away.
    let run = tokio::spawn(async move {
        let _until_done = turn;
        match (channel, site) {
            (Some(channel), _) => {
                let (all, at) = (db.clone(), Arc::clone(&clock));
                let run = Reconciler { db, clock }.run(&channel.0, day, &by).await?;
                // What it has paid out is held against its days as they are now.
                Payouts { db: all, clock: at }.catch_up(&channel.0, &by).await?;
                Ok(run)
            }
            (None, Some(site)) => Sites { db, clock }.run(&site, day, &by).await,
            (None, None) => unreachable!("one of the two is checked to be there"),
        }
    });
    let run = run.await.map_err(Problem::internal)??;
    api.change(caller, Some(key), move |_, _| {
        let told = Told {
            action: "reconciled",
            subject: format!("{}/{}", run.scope, run.day),
            detail: json!({ "run": run.id, "status": run.status.word(), "digest": run.digest }),
        };
        Ok(Ok((Shown::new(StatusCode::OK, &RunView::from(&run))?, told)))
    })
    .await
}

/// The place of a row in a list by days.
fn place([day, id]: [&str; 2]) -> Result<(Day, u64), Problem> {
    let day = day.parse().map_err(|_| bad_cursor())?;
    Ok((day, id.parse().map_err(|_| bad_cursor())?))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListRuns {
    /// Only of this channel's days.
    #[serde(default)]
    channel: Option<String>,
    /// Only of this scope: `channel:`, `payouts:` and a channel's name, or `site:` and a site's id. Not with `channel`.
    #[serde(default)]
    scope: Option<String>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Runs, the newest days first.
#[utoipa::path(
    get, path = "/v1/reconciliation/runs", tag = "reconciliation",
    params(ListRuns),
    responses((status = 200, description = "One page", body = PageOf<RunView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_runs(
    State(api): State<ApiState>,
    Asked(query): Asked<ListRuns>,
) -> Result<Json<PageOf<RunView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = paging.parts()?.map(place).transpose()?;
    let scope = scope_asked(query.channel.as_deref(), query.scope)?;
    let page = api
        .read(move |tx| queries::runs(tx, scope.as_deref(), after, limit))
        .await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.day.to_string(), last.id.to_string()])),
        items: page.items.iter().map(RunView::from).collect(),
    }))
}

/// One run: the report of its day.
#[utoipa::path(
    get, path = "/v1/reconciliation/runs/{run}", tag = "reconciliation",
    params(("run" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The run", body = RunView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn get_run(State(api): State<ApiState>, Of(run): Of<u64>) -> Result<Json<RunView>, Problem> {
    let found = api.read(move |tx| reconcile_runs::find(tx, run)).await?;
    let found = found.ok_or_else(|| Problem::unknown("run", run))?;
    Ok(Json(RunView::from(&found)))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListDiscrepancies {
    /// Only of this channel's days.
    #[serde(default)]
    channel: Option<String>,
    /// Only of this scope: `channel:`, `payouts:` and a channel's name, or `site:` and a site's id. Not with `channel`.
    #[serde(default)]
    scope: Option<String>,
    /// Only of this class, as in `LONG`.
    #[serde(default)]
    class: Option<String>,
    /// Only those that are so far: `open`, `proposed`, `posted` or `cleared`.
    #[serde(default)]
    state: Option<String>,
    /// Only those that are so since this day.
    #[serde(default)]
    #[param(value_type = Option<String>, format = Date)]
    day: Option<Day>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// The scope that is asked for, by its name or by a channel's.
pub(super) fn scope_asked(channel: Option<&str>, scope: Option<String>) -> Result<Option<String>, Problem> {
    match (channel, scope) {
        (Some(_), Some(_)) => Err(Problem::url(
            "scope",
            "is given, and `channel` too: only one of them counts",
        )),
        (Some(channel), None) => Ok(Some(scope_of(channel))),
        (None, Some(scope)) => {
            let (kind, name) = scope.split_once(':').unwrap_or_default();
            let is_one = ["channel", "payouts", "site"].contains(&kind) && !name.is_empty();
            let wrong = || Problem::url("scope", "is `channel:`, `payouts:` or `site:` and a name");
            is_one.then_some(Some(scope)).ok_or_else(wrong)
        }
        (None, None) => Ok(None),
    }
}

/// The class of a word.
pub(super) fn class_of(word: &str) -> Result<Class, Problem> {
    let found = Class::of_word(word);
    found.ok_or_else(|| Problem::url("class", format!("`{word}` is none; see the list of classes")))
}

/// What differs, the newest days first.
#[utoipa::path(
    get, path = "/v1/discrepancies", tag = "reconciliation",
    params(ListDiscrepancies),
    responses((status = 200, description = "One page", body = PageOf<DiscrepancyView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_discrepancies(
    State(api): State<ApiState>,
    Asked(query): Asked<ListDiscrepancies>,
) -> Result<Json<PageOf<DiscrepancyView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = paging.parts()?.map(place).transpose()?;
    let state = query.state.map(|word| {
        let found = Stands::ALL.into_iter().find(|state| state.word() == word);
        found.ok_or_else(|| Problem::url("state", "is open, proposed, posted or cleared"))
    });
    let which = Which {
        scope: scope_asked(query.channel.as_deref(), query.scope)?,
        class: query.class.as_deref().map(class_of).transpose()?,
        state: state.transpose()?,
        day: query.day,
    };
    let today = api.today();
    let page = api
        .read(move |tx| queries::discrepancies(tx, &which, after, limit))
        .await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.day.to_string(), last.id.to_string()])),
        items: page.items.iter().map(|of| DiscrepancyView::of(of, today)).collect(),
    }))
}

/// Something that differs, and what happened to it.
#[utoipa::path(
    get, path = "/v1/discrepancies/{discrepancy}", tag = "reconciliation",
    params(("discrepancy" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The discrepancy", body = DiscrepancyTold)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn get_discrepancy(State(api): State<ApiState>, Of(id): Of<u64>) -> Result<Json<DiscrepancyTold>, Problem> {
    let found = api.read(move |tx| {
        let found = discrepancies::find(tx, id)?;
        let (events, decisions) = (discrepancies::events(tx, id)?, discrepancy_decisions::of(tx, id)?);
        Ok((found, events, decisions, suspense::find(tx, id)?))
    });
    let (found, events, decisions, suspense) = found.await?;
    let found = found.ok_or_else(|| Problem::unknown("discrepancy", id))?;
    Ok(Json(DiscrepancyTold {
        discrepancy: DiscrepancyView::of(&found, api.today()),
        events: events.iter().map(DiscrepancyEvent::from).collect(),
        decisions: decisions.iter().map(DecisionView::from).collect(),
        suspense: suspense.as_ref().map(SuspenseView::from),
    }))
}

impl ApiState {
    /// The day that it is at head office, by which ages are counted: head office has no zone of its own but the one that channels have
    /// where nothing else is said.
    pub(super) fn today(&self) -> Day {
        Zone::default().day_of(self.clock.wall())
    }
}

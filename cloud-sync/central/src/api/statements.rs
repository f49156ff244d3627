//! A member's account statement: what they had, every movement and what caused it, what they have.

use super::ApiState;
use crate::{
    csv,
    store::{
        members,
        queries::statements::{self, Balances, LINES_MAX, Line, Statement},
    },
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{ids::MemberId, time::Wall, units::Fen};
use serde::{Deserialize, Serialize};
use service::{
    http::{
        body::{Asked, Of},
        problem::Problem,
    },
    wire::{At, Yuan, described},
};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_statement))
}

/// Of which time, and in which form.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// From this moment on, RFC 3339; from the first movement on if left out.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Wall>,
    /// Up to this moment, without it, RFC 3339; all there is if left out.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Wall>,
    /// `json` or `csv`; if left out, as `Accept` says.
    #[serde(default)]
    format: Option<String>,
}

impl Which {
    /// The time, and whether a table is wanted.
    fn checked(&self, headers: &HeaderMap) -> Result<(Wall, Wall, bool), Problem> {
        let (from, to) = (self.from.unwrap_or(Wall(i64::MIN)), self.to.unwrap_or(Wall(i64::MAX)));
        if from > to {
            return Err(Problem::url("to", "ends before `from`"));
        }
        let table = match self.format.as_deref() {
            Some("csv") => true,
            Some("json") => false,
            Some(_) => return Err(Problem::url("format", "is json or csv")),
            None => headers
                .get(header::ACCEPT)
                .and_then(|accept| accept.to_str().ok())
                .is_some_and(|accept| accept.contains("text/csv")),
        };
        Ok((from, to, table))
    }
}

/// Where a member's money is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatementBalances)]
struct BalancesView {
    /// In the wallet.
    wallet: Yuan,
    /// On the road to sites, or back.
    on_road: Yuan,
    /// At sites, to be spent there.
    at_sites: Yuan,
    /// Reserved there for orders.
    reserved: Yuan,
    /// Owed there.
    owed: Yuan,
    /// All of it, less what is owed.
    together: Yuan,
}

impl From<&Balances> for BalancesView {
    fn from(of: &Balances) -> Self {
        Self {
            wallet: Yuan(of.wallet),
            on_road: Yuan(of.on_road),
            at_sites: Yuan(of.at_sites),
            reserved: Yuan(of.reserved),
            owed: Yuan(of.owed),
            together: Yuan(of.together()),
        }
    }
}

/// A movement of a member's money, and what they had after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatementLine)]
struct LineView {
    /// When; of a movement at a site by the site's clock.
    at: At,
    /// The movement's id, the same in `GET /v1/transfers`.
    id: String,
    /// What caused it: `top_up` through a channel, `cash` paid in at a desk, `cash_taken_back`, `lease` on its way to a site,
    /// `arrived` there, `return` on its way back, `returned` to the wallet, `reserved` for an order, `released`, `order`: what was
    /// delivered, `owed`: of that what was not paid, `debt_paid`, `refund`, `adjustment`, `restored`, `opening`.
    cause: String,
    /// The site that it has to do with.
    #[schema(required)]
    site: Option<String>,
    /// The order that it is for.
    #[schema(required)]
    order: Option<String>,
    /// The account that gives.
    from: String,
    /// The account that receives.
    to: String,
    /// How much.
    amount: Yuan,
    /// By how much the member has more, less where it is negative, all of it together.
    change: Yuan,
    /// Where the member's money is after it.
    after: BalancesView,
}

/// What all movements of one cause come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatementSum)]
struct SumView {
    /// The cause.
    cause: String,
    /// How many there are.
    count: u64,
    /// What they moved.
    amount: Yuan,
    /// By how much the member has more through them, all of it together. All of these are `closing` less `opening`.
    change: Yuan,
}

/// A member's account over a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Statement)]
struct StatementView {
    /// The member.
    member: String,
    /// A name for people.
    name: String,
    /// From when on; `null`: from the first movement on.
    #[schema(required)]
    from: Option<At>,
    /// Up to when; `null`: all there is.
    #[schema(required)]
    to: Option<At>,
    /// Where the member's money was before the first of these.
    opening: BalancesView,
    /// Every movement, in the order of time.
    lines: Vec<LineView>,
    /// What they come to, by cause.
    sums: Vec<SumView>,
    /// Where the member's money is after the last.
    closing: BalancesView,
}

/// The cause of a movement, by its code and its accounts.
fn cause(line: &Line) -> &str {
    let kind = |account: &str| account.split(':').next().unwrap_or_default().to_owned();
    let (debit, credit) = (kind(&line.debit), kind(&line.credit));
    match (line.code.as_str(), debit.as_str(), credit.as_str()) {
        ("TOPUP", "cash", _) => "cash",
        ("TOPUP", _, "cash") => "cash_taken_back",
        ("TOPUP", ..) => "top_up",
        ("LEASE", _, "allowance") => "arrived",
        ("LEASE", ..) => "lease",
        ("LEASE_RETURN", _, "wallet") => "returned",
        ("LEASE_RETURN", ..) => "return",
        ("HOLD", ..) => "reserved",
        ("RELEASE", ..) => "released",
        ("CAPTURE", ..) => "order",
        ("DEBT", ..) => "owed",
        ("DEBT_PAID", ..) => "debt_paid",
        ("REFUND", ..) => "refund",
        ("ADJUST", ..) => "adjustment",
        ("RESTORE", ..) => "restored",
        ("OPENING", ..) => "opening",
        _ => &line.code,
    }
}

impl StatementView {
    fn of(member: &members::Member, which: &Which, statement: &Statement) -> Self {
        let mut balances = statement.opening;
        let mut sums: BTreeMap<&str, (u64, Fen, Fen)> = BTreeMap::new();
        let mut lines = Vec::with_capacity(statement.lines.len());
        for line in &statement.lines {
            let before = balances.together();
            balances.apply(line);
            let change = balances.together() - before;
            let sum = sums.entry(cause(line)).or_default();
            *sum = (sum.0 + 1, sum.1 + line.amount, sum.2 + change);
            lines.push(LineView {
                at: At(line.at),
                id: line.id.clone(),
                cause: cause(line).to_owned(),
                site: line.site.clone(),
                order: line.order.clone(),
                from: line.debit.clone(),
                to: line.credit.clone(),
                amount: Yuan(line.amount),
                change: Yuan(change),
                after: BalancesView::from(&balances),
            });
        }
        let sums = sums.into_iter().map(|(cause, (count, amount, change))| SumView {
            cause: cause.to_owned(),
            count,
            amount: Yuan(amount),
            change: Yuan(change),
        });
        Self {
            member: member.id.to_string(),
            name: member.name.clone(),
            from: which.from.map(At),
            to: which.to.map(At),
            opening: BalancesView::from(&statement.opening),
            lines,
            sums: sums.collect(),
            closing: BalancesView::from(&balances),
        }
    }

    /// As a table: a line for the opening balances, one for each movement, one for the closing balances.
    fn table(&self) -> String {
        const HEADER: [&str; 15] = [
            "at",
            "id",
            "cause",
            "site",
            "order",
            "from",
            "to",
            "amount_yuan",
            "change_yuan",
            "wallet_yuan",
            "on_road_yuan",
            "at_sites_yuan",
            "reserved_yuan",
            "owed_yuan",
            "together_yuan",
        ];
        let row = |what: [String; 9], balances: &BalancesView| {
            let of = [
                &balances.wallet,
                &balances.on_road,
                &balances.at_sites,
                &balances.reserved,
                &balances.owed,
                &balances.together,
            ];
            let balances = of.map(|Yuan(balance)| balance.to_string());
            csv::line(what.iter().chain(&balances).map(String::as_str))
        };
        let bare = |at: Option<At>, cause: &str| {
            let mut what: [String; 9] = Default::default();
            what[0] = at.map(|At(at)| at.to_string()).unwrap_or_default();
            cause.clone_into(&mut what[2]);
            what
        };
        let mut table = csv::line(HEADER);
        table += &row(bare(self.from, "balance before"), &self.opening);
        for line in &self.lines {
            let what = [
                line.at.0.to_string(),
                line.id.clone(),
                line.cause.clone(),
                line.site.clone().unwrap_or_default(),
                line.order.clone().unwrap_or_default(),
                line.from.clone(),
                line.to.clone(),
                line.amount.0.to_string(),
                line.change.0.to_string(),
            ];
            table += &row(what, &line.after);
        }
        table += &row(bare(self.to, "balance after"), &self.closing);
        table
    }
}

/// A member's account statement: every movement of their money over a time, what caused it, and where the money was before, after
/// and in between. As JSON, or as CSV.
#[utoipa::path(
    get, path = "/v1/members/{member}/statement", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id"), Which),
    responses(
        (status = 200, description = "The statement; with `format=csv` or `Accept: text/csv` as a table, amounts in yuan",
            content((StatementView = "application/json"), (String = "text/csv"))),
        (status = 409, description = "`too_many_movements`: choose a shorter time",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(
        ("bearer" = ["viewer"]), ("bearer" = ["station"]), ("bearer" = ["service"]), ("bearer" = ["finance_maker"]),
        ("bearer" = ["finance_checker"]),
    ),
)]
async fn get_statement(
    State(api): State<ApiState>,
    Of(id): Of<MemberId>,
    Asked(which): Asked<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (from, to, as_table) = which.checked(&headers)?;
    let of = id.clone();
    let found = api.read(move |tx| {
        let Some(member) = members::find(tx, &of)? else {
            return Ok(None);
        };
        Ok(Some((member, statements::statement(tx, &of, from, to)?)))
    });
    let (member, statement) = found.await?.ok_or_else(|| Problem::unknown("member", &id))?;
    if statement.is_cut {
        let detail = format!("there are more than {LINES_MAX} movements in this time: choose a shorter one");
        return Err(Problem::new(StatusCode::CONFLICT, "too_many_movements", detail));
    }
    let view = StatementView::of(&member, &which, &statement);
    if !as_table {
        return Ok(Json(view).into_response());
    }
    let name = format!("attachment; filename=\"statement-{id}.csv\"");
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, view.table()).into_response())
}

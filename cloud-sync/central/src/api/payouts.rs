//! What channels have paid out, as two people say that the bank has got it.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    money::Tells,
    orders::moment,
    placing::new_id,
    topups::ChannelName,
};
use crate::{
    money::AMOUNT_MAX,
    store::{StoreError, Tx, channels, payouts::Payout, proposed::State as Stands, queries::decided},
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    time::{Day, Wall},
    units::Fen,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Asked, Checked, Nothing, Of, Posted, check_reason},
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{At, PageOf, Yuan},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(propose_payout))
        .routes(routes!(list_payouts))
        .routes(routes!(approve_payout))
        .routes(routes!(reject_payout))
}

/// What the bank has got.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProposePayout {
    /// On which day, by the channel's clocks. Where that is final already it is of the first day that is not.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// The bank's number of it: each counts once.
    #[schema(min_length = 1, max_length = 64)]
    reference: String,
    /// How much. Below zero: it went back to the channel, or was said wrong before under another number.
    amount: Yuan,
    /// What shows it, as a line of the bank's statement.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Payouts may be larger than what a person pays in at once: those of all of a day.
const MANY: i64 = 10_000;

impl Checked for ProposePayout {
    fn check(&self) -> Result<(), Problem> {
        let most = Fen(AMOUNT_MAX.0 * MANY);
        if self.amount.0 == Fen::ZERO || self.amount.0.0.unsigned_abs() > most.0.unsigned_abs() {
            return Err(Problem::field(
                "amount",
                format!("is not zero, and {most} yuan at most, either way"),
            ));
        }
        let length = self.reference.chars().count();
        if length == 0 || length > 64 || self.reference.chars().any(char::is_control) {
            return Err(Problem::field(
                "reference",
                "has 1 to 64 characters, none of them a control character",
            ));
        }
        check_reason("reason", &self.reason)
    }
}

/// What a channel has paid out, as people say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payout)]
struct PayoutView {
    /// Its number.
    id: String,
    /// Which channel.
    channel: String,
    /// On which day.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// The bank's number of it.
    reference: String,
    /// How much.
    amount: Yuan,
    /// What shows it.
    reason: String,
    /// `proposed`, `approved` or `rejected`.
    state: String,
    /// Who said so first.
    proposed_by: String,
    /// When.
    proposed_at: At,
    /// Who said so too, or that it is not so.
    #[schema(required)]
    decided_by: Option<String>,
    /// When.
    #[schema(required)]
    decided_at: Option<At>,
}

impl From<&Payout> for PayoutView {
    fn from(of: &Payout) -> Self {
        Self {
            id: of.id.clone(),
            channel: of.channel.clone(),
            day: of.day,
            reference: of.reference.clone(),
            amount: Yuan(of.amount),
            reason: of.reason.clone(),
            state: of.state.word().to_owned(),
            proposed_by: of.proposed_by.clone(),
            proposed_at: At(of.proposed_at),
            decided_by: of.decided_by.clone(),
            decided_at: of.decided_at.map(At),
        }
    }
}

impl Tells for Payout {
    fn told(&self, _: &mut dyn Tx, status: StatusCode, action: &'static str) -> Result<(Shown, Told), StoreError> {
        let view = PayoutView::from(self);
        let told = Told {
            action,
            subject: self.id.clone(),
            detail: json!({ "channel": view.channel, "day": view.day, "amount": view.amount, "reference": view.reference }),
        };
        Ok((Shown::new(status, &view)?, told))
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListPayouts {
    /// Only of this channel.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    channel: Option<ChannelName>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Say that the bank has got what a channel paid out. It waits for a second person, and is needed where the channel's bills of the account do
/// not come here.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/payouts", tag = "reconciliation",
    params(("channel" = String, Path, description = "The channel's name")),
    request_body = ProposePayout,
    responses(
        (status = 202, description = "It waits", body = PayoutView),
        (status = 404, description = "`unknown_channel`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`paid_out`: somebody has said so of that number; `no_such_bills`; `payout_day`: the channel was not there \
            yet, or it is not that day yet; `paid_by_bill`: the channel's bill of its account of a day near says what was paid out",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"])),
)]
async fn propose_payout(
    State(api): State<ApiState>,
    Of(channel): Of<ChannelName>,
    posted: Posted<ProposePayout>,
) -> Result<Answered, Problem> {
    let name = channel.0.clone();
    let known = api.read(move |tx| channels::find(tx, &name)).await?;
    if known.is_none() {
        return Err(Problem::unknown("channel", &channel.0));
    }
    let id = new_id("payout-")?;
    let told = (StatusCode::ACCEPTED, "payout_proposed");
    api.decides(posted, told, move |money, body: ProposePayout| {
        money.propose_payout(Payout {
            id,
            channel: channel.0,
            day: body.day,
            reference: body.reference,
            amount: body.amount.0,
            reason: body.reason,
            state: Stands::Proposed,
            proposed_by: String::new(),
            proposed_at: Wall(0),
            decided_by: None,
            decided_at: None,
        })
    })
    .await
}

/// What people say that channels have paid out, the newest first.
#[utoipa::path(
    get, path = "/v1/payouts", tag = "reconciliation",
    params(ListPayouts),
    responses((status = 200, description = "One page", body = PageOf<PayoutView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_payouts(
    State(api): State<ApiState>,
    Asked(query): Asked<ListPayouts>,
) -> Result<Json<PageOf<PayoutView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, id]) => Some((moment(at)?, id.to_owned())),
    };
    let channel = query.channel.map(|channel| channel.0);
    let page = api
        .read(move |tx| decided::payouts(tx, channel.as_deref(), after, limit))
        .await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.proposed_at.0.to_string(), last.id.clone()])),
        items: page.items.iter().map(PayoutView::from).collect(),
    }))
}

/// Say so too, as the second person: under another name than that of whoever said so first. It counts from the next run on.
#[utoipa::path(
    post, path = "/v1/payouts/{payout}/approve", tag = "reconciliation",
    params(("payout" = String, Path, description = "The payout's number")),
    request_body = Nothing,
    responses(
        (status = 200, description = "It counts", body = PayoutView),
        (status = 409, description = "`same_person`; `payout_decided`; `paid_by_bill`: a bill of the channel's account has come meanwhile",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_checker"])),
)]
async fn approve_payout(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "payout_approved");
    api.decides(posted, told, move |money, _| money.approve_payout(&id))
        .await
}

/// Say that it is not so. Whoever said so first may, too.
#[utoipa::path(
    post, path = "/v1/payouts/{payout}/reject", tag = "reconciliation",
    params(("payout" = String, Path, description = "The payout's number")),
    request_body = Nothing,
    responses(
        (status = 200, description = "Rejected", body = PayoutView),
        (status = 409, description = "`payout_decided`",
            body = super::dto::problem::ProblemDetails, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn reject_payout(
    State(api): State<ApiState>,
    Of(id): Of<String>,
    posted: Posted<Nothing>,
) -> Result<Answered, Problem> {
    let told = (StatusCode::OK, "payout_rejected");
    api.decides(posted, told, move |money, _| money.reject_payout(&id))
        .await
}

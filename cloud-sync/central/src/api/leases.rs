//! Money to sites and back: leases, recalls, vouchers, and what is on the road.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    wallets::check_amount,
};
use crate::{
    money::{Money, VOUCHER_MS_MAX, Vouchered},
    store::{
        directives::{self, Kept},
        issues::{self, Issue},
        sites,
    },
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    head_office::DirectiveNo,
    ids::{MemberId, SiteId},
};
use protocol::voucher;
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Asked, Checked, Of, Posted},
        problem::Problem,
    },
    wire::{At, Yuan, described},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// An hour, in milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// The most rows of a list that has no pages.
const ROWS_MAX: u64 = 200;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(lease))
        .routes(routes!(recall))
        .routes(routes!(make_voucher, list_vouchers))
        .routes(routes!(list_on_road))
        .routes(routes!(list_directives))
}

/// Money for a site, or from it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveMoney {
    /// The site.
    #[schema(value_type = described::SiteId)]
    site: SiteId,
    /// How much; of a recall at most so much.
    #[schema(value_type = described::PositiveYuan)]
    amount: Yuan,
}

impl Checked for MoveMoney {
    fn check(&self) -> Result<(), Problem> {
        check_amount("amount", self.amount)
    }
}

/// A voucher to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MakeVoucher {
    /// The site that takes it.
    #[schema(value_type = described::SiteId)]
    site: SiteId,
    /// How much it carries.
    #[schema(value_type = described::PositiveYuan)]
    amount: Yuan,
    /// For how many hours it counts; 24 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 24)]
    hours: Option<u32>,
}

impl Checked for MakeVoucher {
    fn check(&self) -> Result<(), Problem> {
        check_amount("amount", self.amount)
    }
}

/// Which directive: its life of head office's, row and number.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DirectiveNoView {
    /// The life of head office's in which it was issued.
    hq_epoch: String,
    /// `orders` or `others`.
    row: String,
    /// Its number in that row.
    n: u64,
}

impl From<DirectiveNo> for DirectiveNoView {
    fn from(no: DirectiveNo) -> Self {
        Self {
            hq_epoch: no.hq_epoch.to_string(),
            row: no.row.to_string(),
            n: no.n,
        }
    }
}

/// Something that was issued to a site.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuedView {
    /// The site.
    site: String,
    /// The directive.
    directive: DirectiveNoView,
}

impl IssuedView {
    pub(super) fn new(site: &SiteId, no: DirectiveNo) -> Self {
        Self {
            site: site.to_string(),
            directive: no.into(),
        }
    }
}

/// Money on the road.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OnRoad)]
pub(super) struct IssueView {
    /// Its id; of a voucher its number.
    id: String,
    /// To which site.
    site: String,
    /// Whose.
    member: String,
    /// `lease`, `standing`, `start`, `debt_paid` or `voucher`.
    kind: String,
    /// How much it was.
    amount: Yuan,
    /// What of it is on the road still.
    rest: Yuan,
    /// `on_road`, `received` or `returned`.
    state: String,
    /// The order that it is for.
    #[schema(required)]
    order: Option<String>,
    /// When a voucher ends.
    #[schema(required)]
    expires_at: Option<At>,
    /// When it was sent.
    made_at: At,
    /// By whom.
    made_by: String,
}

impl From<&Issue> for IssueView {
    fn from(of: &Issue) -> Self {
        Self {
            id: of.id.clone(),
            site: of.site.to_string(),
            member: of.member.to_string(),
            kind: of.kind.word().to_owned(),
            amount: Yuan(of.amount),
            rest: Yuan(of.rest),
            state: of.state.word().to_owned(),
            order: of.order.as_ref().map(ToString::to_string),
            expires_at: of.expires_at.map(At),
            made_at: At(of.made_at),
            made_by: of.made_by.clone(),
        }
    }
}

/// A voucher (凭证), as the driver's phone carries it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Voucher)]
struct VoucherView {
    /// Its number.
    id: String,
    /// The site that takes it.
    site: String,
    /// How much it carries.
    amount: Yuan,
    /// When it ends.
    expires_at: At,
    /// What the station takes: the content of a link or a QR code.
    text: String,
    /// `on_road`, `received` or `returned`.
    state: String,
}

/// A directive to a site, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Directive)]
struct DirectiveView {
    /// Which.
    no: DirectiveNoView,
    /// Its kind, such as `start`.
    kind: String,
    /// What it says.
    #[schema(value_type = Object)]
    body: serde_json::Value,
    /// `waiting`, `done`, `refused` or `forgotten`.
    state: String,
    /// Why the site could not do it: a stable word, and in words.
    #[schema(required, value_type = Option<Object>)]
    refused: Option<serde_json::Value>,
    /// When it was issued.
    made_at: At,
    /// By whom.
    made_by: String,
    /// When the site has said what came of it.
    #[schema(required)]
    ended_at: Option<At>,
}

impl From<&Kept> for DirectiveView {
    fn from(of: &Kept) -> Self {
        Self {
            no: of.no.into(),
            kind: of.kind.clone(),
            body: serde_json::from_str(&of.body).unwrap_or_default(),
            state: of.state.word().to_owned(),
            refused: match &of.state {
                directives::State::Refused(why) => serde_json::to_value(why).ok(),
                _ => None,
            },
            made_at: At(of.made_at),
            made_by: of.made_by.clone(),
            ended_at: of.ended_at.map(At),
        }
    }
}

/// Move money of a wallet to a site, to be spent there: it is there when the site's journal says so.
#[utoipa::path(
    post, path = "/v1/members/{member}/leases", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = MoveMoney,
    responses((status = 202, description = "On the road", body = IssuedView)),
    security(("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn lease(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<MoveMoney>,
) -> Result<Answered, Problem> {
    move_money(&api, member, posted, "leased", |money, member, site, amount| {
        money.lease(member, site, amount.0)
    })
    .await
}

/// Ask a site for a member's money back, as much as is not reserved there: it is in the wallet when the site's journal says so.
#[utoipa::path(
    post, path = "/v1/members/{member}/recalls", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = MoveMoney,
    responses((status = 202, description = "Asked", body = IssuedView)),
    security(("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn recall(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<MoveMoney>,
) -> Result<Answered, Problem> {
    move_money(&api, member, posted, "recalled", |money, member, site, amount| {
        money.recall(member, site, amount.0)
    })
    .await
}

async fn move_money<F>(
    api: &ApiState,
    member: MemberId,
    posted: Posted<MoveMoney>,
    action: &'static str,
    work: F,
) -> Result<Answered, Problem>
where
    F: FnOnce(&mut Money<'_>, &MemberId, &SiteId, Yuan) -> crate::money::Decided<DirectiveNo> + Send + 'static,
{
    let Posted { body, key, caller } = posted;
    let MoveMoney { site, amount } = body;
    api.with_money(caller, Some(key), move |money| {
        let no = match work(money, &member, &site, amount)? {
            Ok(no) => no,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let view = IssuedView::new(&site, no);
        let told = Told {
            action,
            subject: member.to_string(),
            detail: json!({ "site": site.as_str(), "amount": amount, "directive": no.to_string() }),
        };
        Ok(Ok((Shown::new(StatusCode::ACCEPTED, &view)?, told)))
    })
    .await
}

impl ApiState {
    fn voucher_view(&self, of: &Vouchered, state: issues::State) -> Result<VoucherView, Problem> {
        let office = self
            .office
            .as_ref()
            .ok_or_else(|| Problem::unavailable("no_key", "this process of head office signs nothing; ask another"))?;
        let voucher = &of.voucher;
        Ok(VoucherView {
            id: voucher.id.clone(),
            site: voucher.site.to_string(),
            amount: Yuan(voucher.amount),
            expires_at: At(voucher.expires_at),
            text: voucher::to_text(voucher, &office.key.with()),
            state: state.word().to_owned(),
        })
    }
}

/// Make a voucher (凭证): the driver's phone carries the money to a site whose line is cut. The same request again answers the same
/// voucher.
#[utoipa::path(
    post, path = "/v1/members/{member}/vouchers", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = MakeVoucher,
    responses((status = 201, description = "The voucher", body = VoucherView)),
    security(("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn make_voucher(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<MakeVoucher>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let MakeVoucher { site, amount, hours } = body;
    let id = super::placing::new_id("v")?;
    let counts_ms = hours.map_or(VOUCHER_MS_MAX, |hours| i64::from(hours) * HOUR_MS);
    let ends = api.clock.wall().after_ms(counts_ms);
    let of = api.clone();
    api.with_money(caller, Some(key), move |money| {
        let made = match money.voucher(&member, &site, amount.0, ends, id)? {
            Ok(made) => made,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let view = match of.voucher_view(&made, issues::State::OnRoad) {
            Ok(view) => view,
            // Nobody has it: the money is not to be on the road.
            Err(_) => return Err(crate::store::StoreError::Unavailable("there is no key to sign with".to_owned())),
        };
        let told = Told {
            action: "voucher_made",
            subject: member.to_string(),
            detail: json!({ "site": site.as_str(), "amount": amount, "voucher": view.id, "expires_at": view.expires_at }),
        };
        Ok(Ok((Shown::new(StatusCode::CREATED, &view)?, told)))
    })
    .await
}

/// A member's vouchers, the newest first, at most 200: what each carries, and where that is.
#[utoipa::path(
    get, path = "/v1/members/{member}/vouchers", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    responses((status = 200, description = "The vouchers", body = Vec<VoucherView>)),
    security(("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn list_vouchers(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
) -> Result<Json<Vec<VoucherView>>, Problem> {
    let now = api.clock.wall();
    let found = api.read(move |tx| {
        let mut found = Vec::new();
        for issue in issues::vouchers_for(tx, &member, ROWS_MAX)? {
            if let Some(made) = Money::new(tx, now, "").voucher_again(&member, &issue.id)? {
                found.push((made, issue.state));
            }
        }
        Ok(found)
    });
    let views: Result<Vec<_>, _> = found
        .await?
        .iter()
        .map(|(made, state)| api.voucher_view(made, *state))
        .collect();
    views.map(Json)
}

/// All money that is on the road, the oldest first, at most 200.
#[utoipa::path(
    get, path = "/v1/on-road", tag = "books",
    responses((status = 200, description = "What is on the road", body = Vec<IssueView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_on_road(State(api): State<ApiState>) -> Result<Json<Vec<IssueView>>, Problem> {
    let found = api.read(|tx| issues::on_road(tx, ROWS_MAX)).await?;
    Ok(Json(found.iter().map(IssueView::from).collect()))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListDirectives {
    /// Only those in this state: `waiting`, `done`, `refused` or `forgotten`.
    #[serde(default)]
    state: Option<String>,
}

/// What a site was told to do, the newest first, at most 200, and what came of it.
#[utoipa::path(
    get, path = "/v1/sites/{site}/directives", tag = "sites",
    params(("site" = inline(described::SiteId), Path, description = "The site's id"), ListDirectives),
    responses((status = 200, description = "The directives", body = Vec<DirectiveView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_directives(
    State(api): State<ApiState>,
    Of(site): Of<SiteId>,
    Asked(query): Asked<ListDirectives>,
) -> Result<Json<Vec<DirectiveView>>, Problem> {
    const STATES: [&str; 4] = ["waiting", "done", "refused", "forgotten"];
    if let Some(state) = &query.state
        && !STATES.contains(&state.as_str())
    {
        return Err(Problem::url("state", format!("is one of {}", STATES.join(", "))));
    }
    let of = site.clone();
    let found = api.read(move |tx| match sites::find(tx, &of)? {
        None => Ok(None),
        Some(_) => directives::of_site(tx, &of, query.state.as_deref(), ROWS_MAX).map(Some),
    });
    let found = found.await?.ok_or_else(|| super::office::unknown(&site))?;
    Ok(Json(found.iter().map(DirectiveView::from).collect()))
}

//! Members of head office's: their wallets, cards, and whether anything leaves a wallet.

use super::{
    ApiState,
    answered::{Answered, Shown, Told},
    leases::IssueView,
};
use crate::{
    ingest,
    money::Money,
    store::{at_sites, issues, ledger, members},
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ids::{CardId, MemberId, SiteId},
    units::Fen,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{
    http::{
        body::{Checked, Of, Put, check_name, check_reason},
        problem::Problem,
    },
    wire::{At, Yuan, described},
};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(put_member))
        .routes(routes!(get_wallet))
        .routes(routes!(freeze_wallet))
        .routes(routes!(block_member))
        .routes(routes!(put_card))
        .routes(routes!(freeze_wallets))
        .routes(routes!(adopt_member))
}

/// A member of head office's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutMember {
    /// A name for people.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

impl Checked for PutMember {
    fn check(&self) -> Result<(), Problem> {
        check_name("name", &self.name, 1)
    }
}

/// Something is stopped, and why; or it goes on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Stopped {
    /// Why; `null` lets it go on.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

impl Checked for Stopped {
    fn check(&self) -> Result<(), Problem> {
        match &self.reason {
            Some(reason) => check_reason("reason", reason),
            None => Ok(()),
        }
    }
}

/// Why a station's own member is head office's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Adopted {
    /// By what people know that they are one person.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl Checked for Adopted {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// All wallets are frozen, and why; or let go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StoppedWallets {
    /// Why; `null` lets them go.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// Sites that have not reported since head office's database was restored, and will not soon: whoever is known there spends
    /// nothing until the site is back and has closed the vouchers of before.
    #[serde(default)]
    #[schema(value_type = Vec<described::SiteId>)]
    missing: BTreeSet<SiteId>,
}

impl Checked for StoppedWallets {
    fn check(&self) -> Result<(), Problem> {
        match &self.reason {
            Some(_) if !self.missing.is_empty() => Err(Problem::field(
                "missing",
                "is said where wallets are let go, without a reason",
            )),
            Some(reason) => check_reason("reason", reason),
            None => Ok(()),
        }
    }
}

/// Whose a card is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CardOf {
    /// The member; `null`: nobody's any more.
    #[schema(required, value_type = Option<String>)]
    member: Option<MemberId>,
}

impl Checked for CardOf {}

/// What a member has at a site.
#[derive(Debug, Serialize, ToSchema)]
struct LiesView {
    /// The site.
    site: String,
    /// What can be spent there.
    allowance: Yuan,
    /// What of it came out of the wallet, and can be recalled.
    leased: Yuan,
    /// What they owe there.
    debt: Yuan,
}

/// A member's wallet, and where else their money is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wallet)]
struct WalletView {
    /// The member.
    member: String,
    /// A name for people.
    name: String,
    /// What is in the wallet.
    balance: Yuan,
    /// What of it can be spent now: the rest is kept for orders that wait for money from sites.
    spendable: Yuan,
    /// What lies at sites.
    sites: Vec<LiesView>,
    /// What is on the road to sites, the oldest first.
    on_road: Vec<IssueView>,
    /// Why nothing leaves the wallet; `null`: it does.
    #[schema(required)]
    frozen: Option<String>,
    /// Why they are on the blacklist; `null`: they are not.
    #[schema(required)]
    blocked: Option<String>,
    /// Since when head office knows them.
    made_at: At,
}

/// Make a member, or give one another name. They have a wallet from then on.
#[utoipa::path(
    put, path = "/v1/members/{member}", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = PutMember,
    responses((status = 204, description = "Head office knows them")),
    security(("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn put_member(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    put: Put<PutMember>,
) -> Result<Answered, Problem> {
    let (name, by) = (put.body.name, put.caller.name.clone());
    if ingest::made_at_desk(&member).is_some() {
        let detail = "ids like s3_… are made at the desk of the site with that number; choose another";
        return Err(Problem::url("member", detail));
    }
    api.change(put.caller, None, move |tx, now| {
        members::put(tx, &member, &name, &by, now)?;
        let told = Told {
            action: "member_put",
            subject: member.to_string(),
            detail: json!({ "name": name }),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

/// A member's wallet, and where else their money is.
#[utoipa::path(
    get, path = "/v1/members/{member}/wallet", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    responses((status = 200, description = "The wallet", body = WalletView)),
    security(("bearer" = ["viewer"]), ("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn get_wallet(State(api): State<ApiState>, Of(id): Of<MemberId>) -> Result<Json<WalletView>, Problem> {
    let (of, now) = (id.clone(), api.clock.wall());
    let found = api.read(move |tx| {
        let Some(member) = members::find(tx, &of)? else {
            return Ok(None);
        };
        let balance = ledger::balance(tx, &ledger::wallet(&of))?;
        let at_sites = at_sites::of_member(tx, &of)?;
        let on_road = issues::on_road_of(tx, &of)?;
        let spendable = Money::new(tx, now, "").spendable(&of)?;
        Ok(Some((member, balance, spendable, at_sites, on_road)))
    });
    let (member, balance, spendable, at_sites, on_road) =
        found.await?.ok_or_else(|| Problem::unknown("member", &id))?;
    let lies = at_sites.into_iter().map(|at| LiesView {
        site: at.site.to_string(),
        allowance: Yuan(at.allowance),
        leased: Yuan(at.leased),
        debt: Yuan(at.debt),
    });
    Ok(Json(WalletView {
        member: member.id.to_string(),
        name: member.name,
        balance: Yuan(balance),
        spendable: Yuan(spendable),
        sites: lies.collect(),
        on_road: on_road.iter().map(IssueView::from).collect(),
        frozen: member.frozen,
        blocked: member.blocked,
        made_at: At(member.made_at),
    }))
}

/// Freeze a wallet, or let it go: nothing leaves one that is frozen. What is at sites is not touched.
#[utoipa::path(
    put, path = "/v1/members/{member}/wallet/freeze", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = Stopped,
    responses((status = 204, description = "It is as asked")),
    security(("bearer" = ["risk"])),
)]
async fn freeze_wallet(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    put: Put<Stopped>,
) -> Result<Answered, Problem> {
    let reason = put.body.reason;
    api.with_money(put.caller, None, move |money| {
        if !money.freeze(&member, reason.as_deref())? {
            return Ok(Err(Problem::unknown("member", &member)));
        }
        let told = Told {
            action: if reason.is_some() {
                "wallet_frozen"
            } else {
                "wallet_let_go"
            },
            subject: member.to_string(),
            detail: json!({ "reason": reason }),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

/// Put a member on the blacklist, or take them off: every site where they are known is told.
#[utoipa::path(
    put, path = "/v1/members/{member}/block", tag = "members",
    params(("member" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = Stopped,
    responses((status = 204, description = "It is as asked")),
    security(("bearer" = ["risk"])),
)]
async fn block_member(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    put: Put<Stopped>,
) -> Result<Answered, Problem> {
    let reason = put.body.reason;
    api.with_money(put.caller, None, move |money| {
        if !money.block(&member, reason.as_deref())? {
            return Ok(Err(Problem::unknown("member", &member)));
        }
        let told = Told {
            action: if reason.is_some() {
                "member_blocked"
            } else {
                "member_unblocked"
            },
            subject: member.to_string(),
            detail: json!({ "reason": reason }),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

/// Give a card to a member, or take it back: every site is told.
#[utoipa::path(
    put, path = "/v1/cards/{card}", tag = "members",
    params(("card" = inline(described::CardId), Path, description = "The card's number")),
    request_body = CardOf,
    responses((status = 204, description = "It is as asked")),
    security(("bearer" = ["station"]), ("bearer" = ["service"])),
)]
async fn put_card(State(api): State<ApiState>, Of(card): Of<CardId>, put: Put<CardOf>) -> Result<Answered, Problem> {
    let member = put.body.member;
    api.with_money(put.caller, None, move |money| {
        if let Err(refused) = money.put_card(&card, member.as_ref())? {
            return Ok(Err(refused.into()));
        }
        let told = Told {
            action: "card_put",
            subject: card.to_string(),
            detail: json!({ "member": member.as_ref().map(MemberId::as_str) }),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

/// Freeze all wallets, or let them go. They are frozen by themselves where head office's database was restored from a copy; they go
/// once every site has reported since, or is named as missing: `409 sites_missing` names those that have not.
#[utoipa::path(
    put, path = "/v1/head-office/wallets", tag = "head office",
    request_body = StoppedWallets,
    responses((status = 204, description = "It is as asked")),
    security(("bearer" = ["admin"])),
)]
async fn freeze_wallets(State(api): State<ApiState>, put: Put<StoppedWallets>) -> Result<Answered, Problem> {
    let StoppedWallets { reason, missing } = put.body;
    api.with_money(put.caller, None, move |money| {
        let before = money.why_all_frozen()?;
        if before.is_none() && reason.is_none() {
            let detail = "wallets are not frozen";
            return Ok(Err(Problem::new(StatusCode::CONFLICT, "not_frozen", detail)));
        }
        match &reason {
            Some(reason) => money.freeze_all(reason)?,
            None => {
                if let Err(refused) = money.let_wallets_go(&missing)? {
                    return Ok(Err(refused.into()));
                }
            }
        }
        let told = Told {
            action: if reason.is_some() {
                "wallets_frozen"
            } else {
                "wallets_let_go"
            },
            subject: "head office".to_owned(),
            detail: json!({ "reason": reason, "before": before, "missing": missing }),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

/// Say that a station's own member is head office's member of the same id from now on: what they have there is their wallet's to
/// recall, and they are told so at the desk. Without this two members of one id, made at two places, stay two.
#[utoipa::path(
    put, path = "/v1/sites/{site}/members/{member}/adopted", tag = "members",
    params(
        ("site" = inline(described::SiteId), Path, description = "The site's id"),
        ("member" = inline(described::MemberId), Path, description = "The member's id"),
    ),
    request_body = Adopted,
    responses((status = 204, description = "The site is told")),
    security(("bearer" = ["admin"])),
)]
async fn adopt_member(
    State(api): State<ApiState>,
    Of((site, member)): Of<(SiteId, MemberId)>,
    put: Put<Adopted>,
) -> Result<Answered, Problem> {
    let reason = put.body.reason;
    api.with_money(put.caller, None, move |money| {
        if let Err(refused) = money.adopt(&site, &member)? {
            return Ok(Err(refused.into()));
        }
        let told = Told {
            action: "member_adopted",
            subject: member.to_string(),
            detail: json!({ "site": site.as_str(), "reason": reason }),
        };
        Ok(Ok((Shown::nothing(), told)))
    })
    .await
}

/// More than nothing, and not beyond what is moved at once.
pub(super) fn check_amount(path: &str, Yuan(amount): Yuan) -> Result<(), Problem> {
    service::http::body::check_positive(path, amount.0, amount)?;
    let most: Fen = crate::money::AMOUNT_MAX;
    if amount > most {
        return Err(Problem::field(path, format!("is at most {most} yuan at once")));
    }
    Ok(())
}

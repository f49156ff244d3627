//! Members: register, look, block; money at the desk; debts, statement and what they were told.

use super::{
    ApiState,
    body::{Asked, Of, Posted, Put},
    page::Paging,
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{
        At, PageOf, Switch, Yuan, described,
        member::{
            DebtsView, MemberView, NotificationView, OrderDebt, PayDebt, PutMember, ReverseTopUp, TopUp, TransferView,
        },
    },
};
use crate::store::{Reader, StoreError};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    fact::Fact,
    ids::MemberId,
    ledger::Account,
    member::Member,
    site::{Input, Site},
    units::Fen,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_members))
        .routes(routes!(put_member, get_member))
        .routes(routes!(top_up))
        .routes(routes!(reverse_top_up))
        .routes(routes!(get_debts))
        .routes(routes!(pay_debt))
        .routes(routes!(block_member))
        .routes(routes!(get_statement))
        .routes(routes!(get_notifications))
}

/// The member as just decided, rendered in the loop: with the rows of all open orders in memory.
pub(super) fn member_in_memory(site: &Site, id: &MemberId) -> Result<MemberView, Problem> {
    let rows = site.rows();
    let member = rows
        .member(id)
        .ok_or_else(|| Problem::internal(format!("member {id} was decided and is not in memory")))?;
    let open = rows.orders().filter(|order| order.member == *id);
    let held = open.map(|order| order.hold.remaining()).sum();
    Ok(MemberView::new(
        member,
        rows.ledger.allowance(id),
        held,
        rows.ledger.debt(id),
    ))
}

fn stored_member(reader: &Reader, member: &Member) -> Result<MemberView, StoreError> {
    let mut held = Fen::ZERO;
    for order in &member.open_orders {
        held += reader.balance(&Account::Held(order.clone()))?;
    }
    let allowance = reader.balance(&Account::Allowance(member.id.clone()))?;
    let debt = -reader.balance(&Account::Debt(member.id.clone()))?;
    Ok(MemberView::new(member, allowance, held, debt))
}

/// List members in order of their ids.
#[utoipa::path(
    get, path = "/v1/members", tag = "members",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<MemberView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_members(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<MemberView>>, Problem> {
    let (after, limit) = (paging.name()?, paging.limit()?);
    let page = api
        .read(move |reader| {
            let mut members = reader.members(after.as_deref(), limit + 1)?;
            let more = members.len() > limit;
            members.truncate(limit);
            let items: Vec<MemberView> = members
                .iter()
                .map(|member| stored_member(reader, member))
                .collect::<Result<_, _>>()?;
            let next = items.last().filter(|_| more).map(|last| last.id.clone());
            Ok(PageOf { items, next })
        })
        .await?;
    Ok(Json(page))
}

/// One member.
#[utoipa::path(
    get, path = "/v1/members/{id}", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    responses((status = 200, description = "The member", body = MemberView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_member(State(api): State<ApiState>, Of(id): Of<MemberId>) -> Result<Json<MemberView>, Problem> {
    let wanted = id.clone();
    let found = api
        .read(move |reader| {
            let member = reader.member(&wanted)?;
            member.map(|member| stored_member(reader, &member)).transpose()
        })
        .await?;
    found.map(Json).ok_or_else(|| Problem::unknown("member", id))
}

/// Serve a member here, or change the name.
#[utoipa::path(
    put, path = "/v1/members/{id}", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = PutMember,
    responses((status = 200, description = "The member", body = MemberView)),
    security(("bearer" = ["service"])),
)]
async fn put_member(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    put: Put<PutMember>,
) -> Result<Answered, Problem> {
    let (name, by, id) = (put.body.name, put.caller.name, member.clone());
    Question::new(Input::RegisterMember { member, name, by }, None)
        .ask(&api, move |_, site, _| Ok(Shown::ok(&member_in_memory(site, &id)?)))
        .await
}

/// Take money in at the desk.
#[utoipa::path(
    post, path = "/v1/members/{id}/topups", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = TopUp,
    responses((status = 201, description = "Credited", body = MemberView)),
    security(("bearer" = ["service"])),
)]
async fn top_up(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<TopUp>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let id = member.clone();
    let input = Input::TopUp {
        member,
        amount: body.amount.0,
        receipt: body.receipt,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, move |_, site, _| {
            Ok(Shown::new(StatusCode::CREATED, &member_in_memory(site, &id)?))
        })
        .await
}

/// Take back a top-up that was typed wrong, as far as it is unspent. The cash leaves the till by the books. What a member of head office's has
/// not here any more is left as what the till is short of, and head office settles it with their wallet.
#[utoipa::path(
    post, path = "/v1/members/{id}/topup-reversals", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = ReverseTopUp,
    responses((status = 201, description = "Taken back", body = MemberView)),
    security(("bearer" = ["service"])),
)]
async fn reverse_top_up(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<ReverseTopUp>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let id = member.clone();
    let input = Input::ReverseTopUp {
        member,
        receipt: body.receipt,
        amount: body.amount.map(|amount| amount.0),
        reason: body.reason,
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, move |_, site, _| {
            Ok(Shown::new(StatusCode::CREATED, &member_in_memory(site, &id)?))
        })
        .await
}

/// What a member owes, order by order.
#[utoipa::path(
    get, path = "/v1/members/{id}/debts", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    responses((status = 200, description = "Empty if nothing is owed", body = DebtsView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_debts(State(api): State<ApiState>, Of(id): Of<MemberId>) -> Result<Json<DebtsView>, Problem> {
    let wanted = id.clone();
    let found = api
        .read(move |reader| {
            let Some(member) = reader.member(&wanted)? else {
                return Ok(None);
            };
            let mut orders = Vec::new();
            for id in &member.unpaid_orders {
                orders.extend(reader.order(id)?.map(|order| OrderDebt {
                    order: order.id.to_string(),
                    debt: Yuan(order.paid.debt),
                    settled_at: order.settled_at.map(At),
                }));
            }
            let debt = -reader.balance(&Account::Debt(wanted.clone()))?;
            Ok(Some(DebtsView {
                member: member.id.to_string(),
                debt: Yuan(debt),
                orders,
            }))
        })
        .await?;
    found.map(Json).ok_or_else(|| Problem::unknown("member", id))
}

/// Pay what is owed, or part of it, oldest order first.
#[utoipa::path(
    post, path = "/v1/members/{id}/payments", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = PayDebt,
    responses((status = 201, description = "Paid", body = MemberView)),
    security(("bearer" = ["service"])),
)]
async fn pay_debt(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    posted: Posted<PayDebt>,
) -> Result<Answered, Problem> {
    let Posted { body, key, caller } = posted;
    let id = member.clone();
    let input = Input::PayDebt {
        member,
        amount: body.amount.0,
        from: body.from.into(),
        receipt: body.receipt.unwrap_or_default(),
        by: caller.name,
    };
    Question::new(input, Some(key))
        .ask(&api, move |_, site, _| {
            Ok(Shown::new(StatusCode::CREATED, &member_in_memory(site, &id)?))
        })
        .await
}

/// Put a member on the blacklist, or take them off. A running order goes on.
#[utoipa::path(
    put, path = "/v1/members/{id}/block", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id")),
    request_body = Switch,
    responses((status = 200, description = "The member", body = MemberView)),
    security(("bearer" = ["service"])),
)]
async fn block_member(
    State(api): State<ApiState>,
    Of(member): Of<MemberId>,
    put: Put<Switch>,
) -> Result<Answered, Problem> {
    let (id, by, reason) = (member.clone(), put.caller.name, put.body.into_reason());
    Question::new(Input::BlockMember { member, reason, by }, None)
        .ask(&api, move |_, site, _| Ok(Shown::ok(&member_in_memory(site, &id)?)))
        .await
}

/// A member's money movements, newest first. A page may be a little longer than `limit`: what one fact moved stays
/// together.
#[utoipa::path(
    get, path = "/v1/members/{id}/statement", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id"), Paging),
    responses((status = 200, description = "One page", body = PageOf<TransferView>)),
    security(("bearer" = ["viewer"])),
)]
async fn get_statement(
    State(api): State<ApiState>,
    Of(id): Of<MemberId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<TransferView>>, Problem> {
    let (before, limit) = (paging.number()?, paging.limit()?);
    let wanted = id.clone();
    let page = api
        .read(move |reader| {
            if reader.member(&wanted)?.is_none() {
                return Ok(None);
            }
            reader.statement(&wanted, before, limit).map(Some)
        })
        .await?
        .ok_or_else(|| Problem::unknown("member", id))?;
    Ok(Json(PageOf {
        items: page.items.iter().map(TransferView::from).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// What a member was told, newest first.
#[utoipa::path(
    get, path = "/v1/members/{id}/notifications", tag = "members",
    params(("id" = inline(described::MemberId), Path, description = "The member's id"), Paging),
    responses((status = 200, description = "One page", body = PageOf<NotificationView>)),
    security(("bearer" = ["viewer"])),
)]
async fn get_notifications(
    State(api): State<ApiState>,
    Of(id): Of<MemberId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<NotificationView>>, Problem> {
    let (before, limit) = (paging.number()?, paging.limit()?);
    let wanted = id.clone();
    let page = api
        .read(move |reader| {
            if reader.member(&wanted)?.is_none() {
                return Ok(None);
            }
            reader.notices(&wanted, before, limit).map(Some)
        })
        .await?
        .ok_or_else(|| Problem::unknown("member", id))?;
    let items = page.items.iter().filter_map(|entry| match &entry.fact {
        Fact::Notified { order, notice, .. } => {
            let (seq, at) = (entry.stamp.seq, At(entry.stamp.at));
            Some(NotificationView::new(seq, at, order.to_string(), notice))
        }
        _ => None,
    });
    Ok(Json(PageOf {
        items: items.collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

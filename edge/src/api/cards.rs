//! Cards: whose they are, and whose they were.

use super::{
    ApiState,
    access::Caller,
    body::{Asked, Of, Put},
    page::Paging,
    problem::Problem,
    respond::{Answered, Question, Shown},
    wire::{
        PageOf, described,
        member::{CardView, PutCard},
    },
};
use axum::{Json, extract::State};
use domain::{ids::CardId, site::Input};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_cards))
        .routes(routes!(get_card, put_card, delete_card))
}

/// List cards in order of their ids, those that were taken back too.
#[utoipa::path(
    get, path = "/v1/cards", tag = "cards",
    params(Paging),
    responses((status = 200, description = "One page", body = PageOf<CardView>)),
    security(("bearer" = ["viewer"])),
)]
async fn list_cards(
    State(api): State<ApiState>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<PageOf<CardView>>, Problem> {
    let (after, limit) = (paging.name()?, paging.limit()?);
    let mut cards = api
        .read(move |reader| reader.cards(after.as_deref(), limit + 1))
        .await?;
    let more = cards.len() > limit;
    cards.truncate(limit);
    let items: Vec<CardView> = cards.iter().map(|(id, card)| CardView::of(id, card)).collect();
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(PageOf { items, next }))
}

/// Whose a card is, and whose it was.
#[utoipa::path(
    get, path = "/v1/cards/{id}", tag = "cards",
    params(("id" = inline(described::CardId), Path, description = "What is on the card")),
    responses((status = 200, description = "The card", body = CardView)),
    security(("bearer" = ["viewer"])),
)]
async fn get_card(State(api): State<ApiState>, Of(id): Of<CardId>) -> Result<Json<CardView>, Problem> {
    let wanted = id.clone();
    let card = api.read(move |reader| reader.card(&wanted)).await?;
    let view = card.map(|card| CardView::of(&id, &card));
    view.map(Json).ok_or_else(|| Problem::unknown("card", id))
}

/// Give a card to a member.
#[utoipa::path(
    put, path = "/v1/cards/{id}", tag = "cards",
    params(("id" = inline(described::CardId), Path, description = "What is on the card")),
    request_body = PutCard,
    responses((status = 200, description = "The card", body = CardView)),
    security(("bearer" = ["service"])),
)]
async fn put_card(State(api): State<ApiState>, Of(card): Of<CardId>, put: Put<PutCard>) -> Result<Answered, Problem> {
    let (member, by, id) = (put.body.member, put.caller.name, card.clone());
    Question::new(Input::BindCard { card, member, by }, None)
        .ask(&api, move |_, site, _| {
            let card = site.rows().card(&id);
            let card = card.ok_or_else(|| Problem::internal(format!("card {id} is not in memory")))?;
            Ok(Shown::ok(&CardView::of(&id, card)))
        })
        .await
}

/// Take a card back.
#[utoipa::path(
    delete, path = "/v1/cards/{id}", tag = "cards",
    params(("id" = inline(described::CardId), Path, description = "What is on the card")),
    responses((status = 204, description = "It belongs to nobody now")),
    security(("bearer" = ["service"])),
)]
async fn delete_card(State(api): State<ApiState>, Of(card): Of<CardId>, caller: Caller) -> Result<Answered, Problem> {
    Question::new(Input::UnbindCard { card, by: caller.name }, None)
        .ask(&api, |_, _, _| Ok(Shown::nothing()))
        .await
}

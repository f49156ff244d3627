//! Payments that credit nobody: people look at them.

use super::{ApiState, orders::moment};
use crate::store::queries::payments::{self, SetAside};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use service::{
    http::{
        body::Asked,
        page::{Paging, cursor_of},
        problem::Problem,
    },
    wire::{At, PageOf, Yuan},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_set_aside))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListSetAside {
    /// Only of this channel.
    #[serde(default)]
    channel: Option<String>,
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A payment that a channel has signed, and that credits nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SetAsidePayment)]
struct SetAsideView {
    /// Through which channel.
    channel: String,
    /// The channel's number of the payment.
    transaction_id: String,
    /// Our number that it names.
    out_trade_no: String,
    /// How much was paid.
    amount: Yuan,
    /// Why it credits nobody, in words.
    why: String,
    /// When the channel said so first.
    at: At,
}

impl From<&SetAside> for SetAsideView {
    fn from(of: &SetAside) -> Self {
        Self {
            channel: of.channel.clone(),
            transaction_id: of.transaction.clone(),
            out_trade_no: of.reference.clone(),
            amount: Yuan(of.amount),
            why: of.why.clone(),
            at: At(of.at),
        }
    }
}

/// Payments that credit nobody, since nobody asked for a top-up of that number, or for another amount, or it was paid already: the
/// newest first. One that is credited later is on the list no more.
#[utoipa::path(
    get, path = "/v1/payments/set-aside", tag = "top-ups",
    params(ListSetAside),
    responses((status = 200, description = "One page", body = PageOf<SetAsideView>)),
    security(("bearer" = ["viewer"]), ("bearer" = ["finance_maker"]), ("bearer" = ["finance_checker"])),
)]
async fn list_set_aside(
    State(api): State<ApiState>,
    Asked(query): Asked<ListSetAside>,
) -> Result<Json<PageOf<SetAsideView>>, Problem> {
    let paging = Paging::new(query.cursor, query.limit);
    let limit = paging.limit()?;
    let after = match paging.parts()? {
        None => None,
        Some([at, channel, id]) => Some((moment(at)?, channel.to_owned(), id.to_owned())),
    };
    let channel = query.channel;
    let page = api.read(move |tx| payments::set_aside_payments(tx, channel.as_deref(), after, limit));
    let page = page.await?;
    let next = page.next_after();
    Ok(Json(PageOf {
        next: next.map(|last| cursor_of([last.at.0.to_string(), last.channel.clone(), last.transaction.clone()])),
        items: page.items.iter().map(SetAsideView::from).collect(),
    }))
}

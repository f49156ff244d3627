//! What members are told: what a station's journal has come to for a driver, as soon as it is here. What is kept of it is in
//! [`crate::store::inbox`]; whatever else members are told is written there, by [`tell`](crate::store::inbox::tell).

use crate::store::{inbox::Event, sites::Site};
use domain::{
    fact::Fact,
    journal::Stamp,
    order::{Order, State},
    site::Rows,
};
use serde::{Deserialize, Serialize};
use service::wire::{
    At,
    order::{BillSummary, OrderState, OrderView, PaidView},
    word,
};
use utoipa::ToSchema;

/// An order was placed.
pub const ORDER_PLACED: &str = "order_placed";
/// The pile has begun.
pub const CHARGING_STARTED: &str = "charging_started";
/// The pile has said how it ended; what it cost follows.
pub const CHARGING_ENDED: &str = "charging_ended";

/// What a member is told of an order, as it stood right then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderNews {
    /// At which site.
    #[schema(example = "s01")]
    pub site: String,
    /// Which order.
    pub order: String,
    /// When, by the station's clock.
    pub at: At,
    /// The station's words for the driver; `null` where it has none: for `order_placed`, `charging_started`, `charging_ended`.
    #[schema(required, example = "充电已结束，费用 3.00 元，已退回 27.00 元")]
    pub text: Option<String>,
    /// At which pile.
    pub pile: String,
    /// At which connector.
    pub connector: u8,
    /// Where the order stood.
    pub state: OrderState,
    /// The bill that counted; `null` before it is rated.
    #[schema(required)]
    pub bill: Option<BillSummary>,
    /// Money that had moved for it, and what is owed.
    pub paid: PaidView,
}

/// What a member is told of a fact of a site's, by the rows that the fact has just led to: the station's own words wherever it told
/// them itself, and the steps between, of which it says nothing since a driver sees them. Members that a site has to itself are told
/// nothing here: head office does not know who they are.
pub fn of_fact(site: &Site, rows: &Rows, stamp: Stamp, fact: &Fact) -> Option<Event> {
    let (kind, text) = match fact {
        Fact::Notified { notice, .. } => (word(&notice.key), Some(notice.text.clone())),
        Fact::OrderPlaced { source, .. } if source.is_ordered() => (ORDER_PLACED.to_owned(), None),
        Fact::StartAcknowledged { .. } => (CHARGING_STARTED.to_owned(), None),
        Fact::RecordReceived { .. } => (CHARGING_ENDED.to_owned(), None),
        _ => return None,
    };
    // Whatever is told of an order follows, in its step, on a fact that has it in memory with its member.
    let order = rows.order(fact.order()?)?;
    let has_ended = order.source.is_ordered() && order.state != State::Fail;
    let is_head_offices = rows.member(&order.member).is_some_and(|member| member.head_office);
    if !is_head_offices || (kind == CHARGING_ENDED && !has_ended) {
        return None;
    }
    let Site { id, branch, .. } = site;
    let news = news(site, order, stamp, text);
    Some(Event {
        member: order.member.clone(),
        id: format!("{id}:{branch}:{}", stamp.seq),
        kind,
        body: serde_json::to_string(&news).ok()?,
    })
}

fn news(site: &Site, order: &Order, stamp: Stamp, text: Option<String>) -> OrderNews {
    let view = OrderView::from(order);
    OrderNews {
        site: site.id.to_string(),
        order: view.id,
        at: At(stamp.at),
        text,
        pile: view.pile,
        connector: view.connector,
        state: view.state,
        bill: view.bill,
        paid: view.paid,
    }
}

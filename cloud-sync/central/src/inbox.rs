//! What members are told, and the mini-program's back end about it: what a station's journal has come to for a driver, as soon as
//! it is here.
//!
//! | file | holds |
//! |---|---|
//! | here | the rules: which entries a member is told of, and what |
//! | [`delivery`] | the back end is told by webhook, each member's events in order, until it has taken them |
//!
//! What is kept of it is in [`crate::store::inbox`]; whatever else members are told is written there, by
//! [`tell`](crate::store::inbox::tell).

pub mod delivery;

use crate::{
    api::dto::inbox::OrderNews,
    store::{inbox::Event, sites::Site},
};
use domain::{
    fact::Fact,
    journal::Stamp,
    order::{Order, State},
    site::Rows,
};
use service::wire::{At, order::OrderView, word};

/// An order was placed.
pub const ORDER_PLACED: &str = "order_placed";
/// The pile has begun.
pub const CHARGING_STARTED: &str = "charging_started";
/// The pile has said how it ended; what it cost follows.
pub const CHARGING_ENDED: &str = "charging_ended";

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

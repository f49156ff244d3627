//! What members are told, and what the mini-program's back end did not take of it.

use crate::store::inbox::{DeadLetter, Told};
use books::inbox::OrderNews;
use serde::{Deserialize, Serialize};
use service::wire::At;
use utoipa::ToSchema;

/// Something that a member was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = InboxEvent)]
pub struct InboxEventView {
    /// Its id, the same wherever it is told: the header `webhook-id` has it too.
    #[schema(example = "s01:0:4711")]
    pub id: String,
    /// Who was told.
    pub member: String,
    /// Its number among those of the member, counted from 1 without gaps.
    pub seq: u64,
    /// What it is. Of an order `order_placed`, `charging_started`, `charging_ended`; and what the station itself told its driver:
    /// `start_timed_out`, `start_refused`, `cancelled`, `settled`, `abnormal_end`, `in_debt`, `under_review`, `estimated`, `rerated`,
    /// `debt_cleared`, `refunded`, `stop_remembered`. By head office: `refund_approved`, `refund_not_made`, `wallet_adjusted`. Kinds may be added.
    #[schema(example = "settled")]
    pub kind: String,
    /// When it was written, by head office's clock: after a time without a line that is later than what it tells of.
    pub at: At,
    /// What there is to say; of an order `OrderNews`.
    #[schema(value_type = OrderNews)]
    pub body: serde_json::Value,
}

impl From<&Told> for InboxEventView {
    fn from(told: &Told) -> Self {
        let event = &told.event;
        Self {
            id: event.id.clone(),
            member: event.member.to_string(),
            seq: told.seq,
            kind: event.kind.clone(),
            at: At(told.at),
            body: serde_json::from_str(&event.body).unwrap_or_default(),
        }
    }
}

/// What the mini-program's back end is sent: one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookEvent {
    /// `inbox.` and the kind of the event.
    #[serde(rename = "type")]
    #[schema(example = "inbox.settled")]
    pub kind: String,
    /// When it was written, by head office's clock.
    pub timestamp: At,
    /// The event, as `GET /v1/members/{member}/inbox` shows it.
    pub data: InboxEventView,
}

impl From<&Told> for WebhookEvent {
    fn from(told: &Told) -> Self {
        Self {
            kind: format!("inbox.{}", told.event.kind),
            timestamp: At(told.at),
            data: told.into(),
        }
    }
}

/// An event that the mini-program's back end did not take, and is sent no more by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct DeadLetterView {
    /// The event.
    pub event: InboxEventView,
    /// When it was given up.
    pub died_at: At,
    /// How often it was tried, since it was last asked for.
    pub tries: u64,
    /// Why it was not taken, the last time.
    #[schema(example = "the server answered 410: it wants no more of them")]
    pub why: String,
    /// Somebody has it sent again, and it was not taken yet.
    pub resending: bool,
}

impl From<&DeadLetter> for DeadLetterView {
    fn from(dead: &DeadLetter) -> Self {
        Self {
            event: (&dead.told).into(),
            died_at: At(dead.died_at),
            tries: dead.tries,
            why: dead.why.clone(),
            resending: dead.waits,
        }
    }
}

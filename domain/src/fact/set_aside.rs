//! Messages that were put aside for a person: why, as they came, and what was done about them.
//! What is kept of one is [`crate::quarantine::QuarantineRow`].

use crate::{
    ids::{ConnectorNo, OrderId},
    rating::Reading,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// Why a message was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    /// A record of no known order (S03 §3.1).
    Orphan,
    /// A record of another outlet's order.
    ForeignOrder,
    /// A record with energy of an order that failed (UNBILLED).
    Unbilled,
    /// An offline session of an unknown card.
    UnknownCard,
    /// An offline session that the station does not take; the detail says why.
    OfflineSessionRefused,
    /// A message that could not be read.
    Malformed,
    /// A record that contradicts the one its order has.
    Conflict,
    /// The pile's split of a billed record over the tariff's periods differs from the station's. No message: the bill
    /// stands, and a person looks at why.
    RatingDiffers,
}

impl QuarantineReason {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            QuarantineReason::Orphan => "orphan",
            QuarantineReason::ForeignOrder => "foreign_order",
            QuarantineReason::Unbilled => "unbilled",
            QuarantineReason::UnknownCard => "unknown_card",
            QuarantineReason::OfflineSessionRefused => "offline_session_refused",
            QuarantineReason::Malformed => "malformed",
            QuarantineReason::Conflict => "conflict",
            QuarantineReason::RatingDiffers => "rating_differs",
        }
    }
}

/// A message exactly as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Raw {
    /// It was UTF-8.
    Text(String),
    /// It was not.
    Bytes {
        /// All of it.
        base64: String,
    },
}

impl Raw {
    /// `payload` as it came: not a byte of it is lost.
    pub fn of(payload: &[u8]) -> Self {
        match std::str::from_utf8(payload) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes {
                base64: STANDARD.encode(payload),
            },
        }
    }

    /// What tells it from others.
    pub(crate) fn content(&self) -> &[u8] {
        match self {
            Raw::Text(text) => text.as_bytes(),
            Raw::Bytes { base64 } => base64.as_bytes(),
        }
    }
}

/// What a person did with a quarantined message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineOutcome {
    /// Nothing is owed.
    Dismissed,
    /// It was billed.
    Billed {
        /// As this order.
        order: OrderId,
    },
}

/// What a person read from a message that the station cannot read: one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedFigures {
    /// At which connector of the pile.
    pub connector: ConnectorNo,
    /// The register at the start, and when by the station's clock.
    pub start: Reading,
    /// The register at the end, and when by the station's clock.
    pub stop: Reading,
}

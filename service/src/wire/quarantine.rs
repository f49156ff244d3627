//! Messages that carry money, or may, and fit nowhere: kept until a person has dealt with them.

use super::{
    amounts::{At, Kwh},
    described,
    unread::{UnreadView, text_or_bytes},
    word,
};
use crate::http::{
    body::{Checked, check_reason},
    problem::Problem,
};
use domain::{
    fact::{QuarantineOutcome, QuarantineReason, TypedFigures},
    ids::{ConnectorNo, MemberId, OrderId},
    json,
    quarantine::{CoveredBy, QuarantineItem},
    rating::Reading,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// More than can cover anything: the sessions that are kept by name of one connector, and the orders that wait there.
const DESPITE_MAX: usize = 64;

/// A quarantined message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineView {
    /// Its number.
    pub item: u64,
    /// When it came.
    pub at: At,
    /// `orphan`, `foreign_order`, `unbilled`, `unknown_card`, `offline_session_refused`, `malformed`, `conflict` (a record
    /// that contradicts the one its order has) or `rating_differs` (a bill that the pile splits otherwise).
    #[schema(example = "orphan")]
    pub why: String,
    /// Which pile said it.
    pub pile: String,
    /// Which connector, where that could be read.
    #[schema(required)]
    pub connector: Option<u8>,
    /// What is wrong with it.
    pub detail: String,
    /// The order the pile names, where it could be read.
    #[schema(required)]
    pub order: Option<String>,
    /// The energy of the record, where it could be read.
    #[schema(required)]
    pub energy_kwh: Option<Kwh>,
    /// `dismissed` or `billed`; `null` while nobody has dealt with it.
    #[schema(required)]
    pub outcome: Option<String>,
    /// The order it was billed as.
    #[schema(required)]
    pub billed_as: Option<String>,
    /// The record as the pile said it; for a single item only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub record: Option<serde_json::Value>,
    /// The message as it came, where it could not be read; for a single item only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// In place of `raw` where the message was not UTF-8: its bytes in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// What of the record could not be read; for a single item only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<UnreadView>,
    /// The figures that a person read from the message; for a single item only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typed: Option<Typed>,
}

/// Why something lies in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QuarantineReason)]
pub enum QuarantineWhy {
    /// A record of no known order.
    Orphan,
    /// A record of another outlet's order.
    ForeignOrder,
    /// A record with energy of an order that failed.
    Unbilled,
    /// An offline session whose card was nobody's.
    UnknownCard,
    /// An offline session that the station does not take.
    OfflineSessionRefused,
    /// A message that cannot be read.
    Malformed,
    /// A record that contradicts the one its order has.
    Conflict,
    /// A bill that the pile splits over the tariff's periods otherwise.
    RatingDiffers,
}

impl From<QuarantineWhy> for QuarantineReason {
    fn from(why: QuarantineWhy) -> Self {
        match why {
            QuarantineWhy::Orphan => Self::Orphan,
            QuarantineWhy::ForeignOrder => Self::ForeignOrder,
            QuarantineWhy::Unbilled => Self::Unbilled,
            QuarantineWhy::UnknownCard => Self::UnknownCard,
            QuarantineWhy::OfflineSessionRefused => Self::OfflineSessionRefused,
            QuarantineWhy::Malformed => Self::Malformed,
            QuarantineWhy::Conflict => Self::Conflict,
            QuarantineWhy::RatingDiffers => Self::RatingDiffers,
        }
    }
}

impl QuarantineView {
    /// Without the message itself, which may be long.
    pub fn brief(item: &QuarantineItem) -> Self {
        let record = item.record.as_ref();
        let order = item.order.as_ref().or(record.map(|record| &record.order_id));
        let billed_as = match &item.outcome {
            Some(QuarantineOutcome::Billed { order }) => Some(order.to_string()),
            _ => None,
        };
        Self {
            item: item.item,
            at: At(item.at),
            why: item.why.word().to_owned(),
            pile: item.pile.to_string(),
            connector: item.connector.map(|connector| connector.0),
            detail: item.detail.clone(),
            order: order.map(ToString::to_string),
            energy_kwh: record.map(|record| Kwh(record.energy())),
            outcome: item.outcome.as_ref().map(word),
            billed_as,
            record: None,
            raw: None,
            raw_base64: None,
            unread: None,
            typed: None,
        }
    }

    /// With everything.
    pub fn full(item: &QuarantineItem) -> Self {
        let record = item.record.as_ref().map(serde_json::to_value);
        let (raw, raw_base64) = item.raw.as_ref().map_or((None, None), text_or_bytes);
        Self {
            record: record.and_then(Result::ok),
            raw,
            raw_base64,
            unread: item.unread.as_deref().map(Into::into),
            typed: item.typed.as_deref().map(Into::into),
            ..Self::brief(item)
        }
    }
}

/// What a person does with a quarantined message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseQuarantine {
    /// The member to bill it to; nobody if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::MemberId>)]
    pub bill_to: Option<MemberId>,
    /// What else covers its readings, exactly as the problem `covered` lists it (`by`): to bill the item all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub despite: Vec<CoveredByDto>,
    /// The figures of the session, read by a person from a message that the station cannot read (`malformed`).
    #[serde(
        default,
        deserialize_with = "json::optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub typed: Option<Typed>,
    /// Why.
    pub reason: String,
}

/// What covers readings: `{"order": "…"}`, `{"item": 7}`, or `"earlier"` for sessions of long ago that are no longer known by
/// name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CoveredBy)]
pub enum CoveredByDto {
    /// An order.
    Order(String),
    /// An item in quarantine, by its number.
    Item(u64),
    /// Sessions of long ago.
    Earlier,
}

impl CoveredByDto {
    fn read(&self) -> Result<CoveredBy, Problem> {
        match self {
            Self::Order(order) => match OrderId::new(order) {
                Ok(order) => Ok(CoveredBy::Order(order)),
                Err(error) => Err(Problem::field("despite", error.to_string())),
            },
            Self::Item(item) => Ok(CoveredBy::Item(*item)),
            Self::Earlier => Ok(CoveredBy::Earlier),
        }
    }
}

impl From<&CoveredBy> for CoveredByDto {
    fn from(by: &CoveredBy) -> Self {
        match by {
            CoveredBy::Order(order) => Self::Order(order.to_string()),
            CoveredBy::Item(item) => Self::Item(*item),
            CoveredBy::Earlier => Self::Earlier,
        }
    }
}

impl CloseQuarantine {
    /// What else covers its readings, in the domain's words.
    ///
    /// # Errors
    /// An order among them has no valid number.
    pub fn despite(&self) -> Result<Vec<CoveredBy>, Problem> {
        self.despite.iter().map(CoveredByDto::read).collect()
    }
}

/// One session's figures. They stand in the journal beside the message as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// At which connector of the pile, counted from 1.
    #[schema(value_type = u8, minimum = 1)]
    pub connector: ConnectorNo,
    /// The register at the start.
    pub meter_start_kwh: Kwh,
    /// The register at the end.
    pub meter_stop_kwh: Kwh,
    /// When it began, by the station's clock.
    pub start: At,
    /// When it ended, by the station's clock.
    pub stop: At,
}

impl From<&TypedFigures> for Typed {
    fn from(typed: &TypedFigures) -> Self {
        let TypedFigures { connector, start, stop } = *typed;
        Self {
            connector,
            meter_start_kwh: Kwh(start.register),
            meter_stop_kwh: Kwh(stop.register),
            start: At(start.at),
            stop: At(stop.at),
        }
    }
}

impl From<Typed> for TypedFigures {
    fn from(typed: Typed) -> Self {
        Self {
            connector: typed.connector,
            start: Reading {
                at: typed.start.0,
                register: typed.meter_start_kwh.0,
            },
            stop: Reading {
                at: typed.stop.0,
                register: typed.meter_stop_kwh.0,
            },
        }
    }
}

impl Checked for CloseQuarantine {
    fn check(&self) -> Result<(), Problem> {
        if self.despite.len() > DESPITE_MAX {
            return Err(Problem::field("despite", format!("at most {DESPITE_MAX} entries")));
        }
        self.despite()?;
        check_reason("reason", &self.reason)
    }
}

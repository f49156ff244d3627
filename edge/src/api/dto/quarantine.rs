//! Messages that carry money, or may, and fit nowhere: kept until a person has dealt with them.

use super::word;
use crate::api::{
    body::{Checked, check_reason},
    problem::Problem,
    wire::{At, Kwh},
};
use domain::{
    fact::{QuarantineOutcome, Raw},
    ids::MemberId,
    quarantine::QuarantineItem,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A quarantined message.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct QuarantineView {
    /// Its number.
    pub item: u64,
    /// When it came.
    pub at: At,
    /// `orphan`, `foreign_order`, `unbilled`, `unknown_card`, `offline_session_refused` or `malformed`.
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
}

impl QuarantineView {
    /// Without the message itself, which may be long.
    pub(in crate::api) fn brief(item: &QuarantineItem) -> Self {
        let record = item.record.as_ref();
        let billed_as = match &item.outcome {
            Some(QuarantineOutcome::Billed { order }) => Some(order.to_string()),
            _ => None,
        };
        Self {
            item: item.item,
            at: At(item.at),
            why: word(&item.why),
            pile: item.pile.to_string(),
            connector: item.connector.map(|connector| connector.0),
            detail: item.detail.clone(),
            order: record.map(|record| record.order_id.to_string()),
            energy_kwh: record.map(|record| Kwh(record.energy())),
            outcome: item.outcome.as_ref().map(word),
            billed_as,
            record: None,
            raw: None,
            raw_base64: None,
        }
    }

    /// With everything.
    pub(in crate::api) fn full(item: &QuarantineItem) -> Self {
        let record = item.record.as_ref().map(serde_json::to_value);
        let (raw, raw_base64) = match item.raw.clone() {
            Some(Raw::Text(text)) => (Some(text), None),
            Some(Raw::Bytes { base64 }) => (None, Some(base64)),
            None => (None, None),
        };
        Self {
            record: record.and_then(Result::ok),
            raw,
            raw_base64,
            ..Self::brief(item)
        }
    }
}

/// What a person does with a quarantined message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseQuarantine {
    /// The member to bill it to; nobody if left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub bill_to: Option<MemberId>,
    /// Why.
    pub reason: String,
}

impl Checked for CloseQuarantine {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

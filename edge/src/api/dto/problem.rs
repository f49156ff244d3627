//! Errors as the document describes them. What is sent is made by `service::http::problem` and `refusal`; a test holds them
//! to this shape.

use crate::api::wire::{Kwh, Yuan, quarantine::CoveredByDto};
use domain::{quarantine::Covering, tariff::Fault};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not fulfilled (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(title = "Problem")]
pub struct ProblemDetails {
    /// A stable name for programs: `urn:holdfast:problem:{code}`.
    #[serde(rename = "type")]
    #[schema(example = "urn:holdfast:problem:unpaid-debt")]
    pub kind: String,
    /// The same for people.
    #[schema(example = "Unpaid debt")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 409)]
    pub status: u16,
    /// What is wrong in this case, and what to do about it.
    pub detail: String,
    /// The field of the request that is wrong, such as `until.fee`; `.` for the body as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Which request it was: `urn:holdfast:request:{id}`, with the id of the answer's `X-Request-Id`, under which the log
    /// has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "urn:holdfast:request:9f2c11ab-17")]
    pub instance: Option<String>,
    /// What the member owes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debt: Option<Yuan>,
    /// What was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<Yuan>,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<Yuan>,
    /// The least that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<Yuan>,
    /// The most that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<Yuan>,
    /// The order that is in the way, or in the wrong state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The state that order is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Everything that is wrong with a tariff.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<TariffFault>,
    /// What else covers the readings of a quarantine item: to be named in `despite`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<Cover>,
}

/// Something that covers readings which are to be billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cover {
    /// What: to be named like this in `despite`.
    pub by: CoveredByDto,
    /// The register at its start.
    pub from_kwh: Kwh,
    /// The register at its end.
    pub to_kwh: Kwh,
}

impl Cover {
    /// What is in the way.
    pub fn of(covering: &Covering) -> Self {
        Self {
            by: (&covering.by).into(),
            from_kwh: Kwh(covering.from),
            to_kwh: Kwh(covering.to),
        }
    }
}

/// One thing wrong with a tariff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TariffFault {
    /// The line of the document, where it has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key, such as `schedules[1].periods[3].to`; empty for the document as a whole.
    pub path: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl From<Fault> for TariffFault {
    fn from(fault: Fault) -> Self {
        let Fault { line, path, message } = fault;
        Self { line, path, message }
    }
}

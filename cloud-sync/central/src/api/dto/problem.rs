//! Errors as the document describes them. What is sent is made by `service::http::problem`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not fulfilled (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(title = "Problem")]
pub struct ProblemDetails {
    /// A stable name for programs: `urn:holdfast:problem:{code}`.
    #[serde(rename = "type")]
    #[schema(example = "urn:holdfast:problem:site-away")]
    pub kind: String,
    /// The same for people.
    #[schema(example = "Site away")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 503)]
    pub status: u16,
    /// What is wrong in this case, and what to do about it.
    pub detail: String,
    /// The field of the request that is wrong, such as `roles`; `.` for the body as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Which request it was: `urn:holdfast:request:{id}`, with the id of the answer's `X-Request-Id`, under which the log
    /// has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "urn:holdfast:request:9f2c11ab-17")]
    pub instance: Option<String>,
    /// The site that did not answer, or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The status that a station answered instead, where it is not passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_status: Option<u16>,
}

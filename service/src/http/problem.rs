//! Errors as `application/problem+json` (RFC 9457): a stable type, a status, a detail that says what to do, and extension
//! members for programs.

use super::request_id::RequestId;
pub use axum::http::StatusCode;
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// How long a caller should wait before asking again, in seconds, where the answer is "not now" and nothing says until when.
const RETRY_AFTER_S: u64 = 2;

/// What an error answer says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// A stable name for programs: `urn:holdfast:problem:{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong in this case, and what to do about it.
    pub detail: String,
    /// The field of the request that is wrong, such as `until.fee`; `.` for the body as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `urn:holdfast:request:{id}`: by this the request is found in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Extension members (RFC 9457 §3.2): figures, where programs find them.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl Details {
    /// The stable word in the type, such as `unpaid-debt`.
    pub fn code(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or(&self.kind)
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    retry_after_s: u64,
    details: Box<Details>,
}

impl Problem {
    /// A problem whose `code` is a stable word such as `unpaid_debt`.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let title = code.replace(['_', '-'], " ");
        let mut letters = title.chars();
        let title = letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default();
        Self {
            status,
            retry_after_s: RETRY_AFTER_S,
            details: Box::new(Details {
                kind: format!("urn:holdfast:problem:{}", code.replace('_', "-")),
                title,
                status: status.as_u16(),
                detail: detail.into(),
                path: None,
                instance: None,
                members: Map::new(),
            }),
        }
    }

    /// A body with a field that cannot be accepted.
    pub fn field(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail).at(path)
    }

    /// Something in the URL that cannot be accepted.
    pub fn url(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_url", detail).at(path)
    }

    /// Nothing of that name is here.
    pub fn unknown(what: &str, id: impl std::fmt::Display) -> Self {
        let code = format!("unknown_{}", what.replace(' ', "_"));
        let detail = format!("{what} {id} is not known here");
        Self::new(StatusCode::NOT_FOUND, &code, detail)
    }

    /// "Not now": nothing was decided, and the same request may be sent again.
    pub fn unavailable(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// "Not now" ends in so many seconds, as far as is known.
    #[must_use]
    pub fn until(mut self, retry_after_s: u64) -> Self {
        self.retry_after_s = retry_after_s;
        self
    }

    /// A fault of the daemon's own, whose cause is in its log.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "an API request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_fault",
            "the request failed here; the log says why",
        )
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.details.path = Some(path.into());
        self
    }

    /// Adds an extension member. One that cannot be written as JSON is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.details.members.insert(name.to_owned(), value);
        }
        self
    }

    /// Names the request.
    #[must_use]
    pub fn of_request(mut self, id: &RequestId) -> Self {
        self.details.instance = Some(format!("urn:holdfast:request:{id}"));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is sent.
    pub fn details(&self) -> &Details {
        &self.details
    }
}

impl IntoResponse for Problem {
    /// The problem itself goes with the response, for whoever logs it or adds to it.
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&*self.details).unwrap_or_default();
        let kind = HeaderValue::from_static(PROBLEM_JSON);
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], body).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Bearer realm=\"holdfast\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, self.retry_after_s.into());
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_now_says_when_to_try_again() {
        let response = Problem::unavailable("station_busy", "later").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        let response = Problem::unavailable("answers_full", "later")
            .until(3_600)
            .into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "3600");
    }

    #[test]
    fn every_code_has_a_title_and_a_name_without_underscores() {
        let problem = Problem::new(StatusCode::CONFLICT, "too_many_open_orders", "x");
        let details = problem.details();
        assert_eq!(details.kind, "urn:holdfast:problem:too-many-open-orders");
        assert_eq!(
            (details.title.as_str(), details.code()),
            ("Too many open orders", "too-many-open-orders")
        );
    }

    #[test]
    fn members_stand_beside_what_every_problem_has() {
        let problem = Problem::field("amount", "too much").with("most", "12.00");
        let json = serde_json::to_value(problem.details()).unwrap();
        assert_eq!(
            (json["path"].as_str(), json["most"].as_str()),
            (Some("amount"), Some("12.00"))
        );
        let read: Details = serde_json::from_value(json).unwrap();
        assert_eq!(&read, problem.details());
    }
}

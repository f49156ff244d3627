//! Errors as `application/problem+json` (RFC 9457): a stable type, a status, and a detail that says what to do.
//! The domain's refusals know no HTTP; here is the one table that gives them their status.

use super::wire::Yuan;
use crate::{
    station::{Response as Answer, Unavailable},
    store::StoreError,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{site::Rejected, tariff::Fault};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not fulfilled (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<TariffFault>,
}

/// One thing wrong with a tariff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    details: Box<ProblemDetails>,
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
            details: Box::new(ProblemDetails {
                kind: format!("urn:holdfast:problem:{}", code.replace('_', "-")),
                title,
                status: status.as_u16(),
                detail: detail.into(),
                path: None,
                debt: None,
                needed: None,
                available: None,
                least: None,
                most: None,
                order: None,
                state: None,
                faults: Vec::new(),
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
        let detail = format!("{what} {id} is not known at this station");
        Self::new(StatusCode::NOT_FOUND, &code, detail)
    }

    /// A fault of the station's own, whose cause is in its log.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "an API request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "station_fault",
            "the station failed to answer; its log says why",
        )
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.details.path = Some(path.into());
        self
    }

    /// Names everything that is wrong with a tariff.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<TariffFault>) -> Self {
        self.details.faults = faults;
        self
    }

    /// What is sent.
    pub fn details(&self) -> &ProblemDetails {
        &self.details
    }

    /// The same as an answer of the station's loop.
    pub(super) fn to_answer(&self) -> Answer {
        let body = serde_json::to_string(&*self.details).unwrap_or_default();
        Answer::new(self.status.as_u16(), body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        super::respond::Answered(self.to_answer()).into_response()
    }
}

/// Headers that belong to an error of this status.
pub(super) fn decorate(response: &mut Response) {
    let headers = response.headers_mut();
    match headers.get(header::CONTENT_TYPE) {
        Some(kind) if kind == PROBLEM_JSON => {}
        _ => return,
    }
    match response.status() {
        StatusCode::UNAUTHORIZED => {
            let challenge = HeaderValue::from_static("Bearer realm=\"holdfast\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        _ => {}
    }
}

impl From<&Rejected> for Problem {
    fn from(rejected: &Rejected) -> Self {
        let problem = |status, what_to_do: &str| Self::new(status, rejected.code(), format!("{rejected}{what_to_do}"));
        let conflict = |what_to_do| problem(StatusCode::CONFLICT, what_to_do);
        let amount = |what_to_do| problem(StatusCode::UNPROCESSABLE_ENTITY, what_to_do);
        let mut problem = match rejected {
            Rejected::UnknownMember(_) => problem(StatusCode::NOT_FOUND, "; register the member first"),
            Rejected::UnknownPile(_) => problem(StatusCode::NOT_FOUND, "; provision the pile first"),
            Rejected::UnknownConnector(_)
            | Rejected::UnknownOrder(_)
            | Rejected::UnknownQuarantineItem(_)
            | Rejected::UnknownCard(_) => problem(StatusCode::NOT_FOUND, ""),
            Rejected::MemberBlocked { .. } => conflict("; the desk can lift the block"),
            Rejected::UnpaidDebt { .. } => conflict("; pay it with POST /v1/members/{id}/payments"),
            Rejected::TooManyOpenOrders(_) => conflict("; stop it first"),
            Rejected::PileOffline(_) => conflict("; choose another pile, or wait until it is back"),
            Rejected::PileInMaintenance { .. } | Rejected::ConnectorUnavailable(_) | Rejected::ConnectorBusy(_) => {
                conflict("; choose another connector")
            }
            Rejected::InsufficientFunds { .. } => conflict("; top up, or ask for less"),
            Rejected::NoTariff | Rejected::TariffExists(_) | Rejected::Illegal { .. } => conflict(""),
            Rejected::PileNotGone { .. } | Rejected::NotBillable { .. } | Rejected::QuarantineFull { .. } => {
                conflict("")
            }
            Rejected::ReceiptUsed { .. } => conflict("; a receipt's number counts once, write a new one"),
            Rejected::PileBusy { .. } => conflict("; stop it and wait for its record first"),
            Rejected::PrepayOutsideLimits { .. }
            | Rejected::PrepayBelowMargin { .. }
            | Rejected::NotPositive(_)
            | Rejected::AmountTooLarge { .. }
            | Rejected::TooMuch { .. }
            | Rejected::NoReason
            | Rejected::TariffInThePast(_) => amount(""),
            Rejected::NotTakingOrders(_) => problem(StatusCode::SERVICE_UNAVAILABLE, ""),
            Rejected::UnknownProposal { .. } | Rejected::UnknownReceipt(_) => problem(StatusCode::NOT_FOUND, ""),
            Rejected::CountDiffers { .. } => amount(""),
            Rejected::SlipUsed { .. } => conflict("; a slip's number counts once"),
            Rejected::NoShift => conflict("; open one with POST /v1/desk/shift"),
            Rejected::NotCorrectable { .. }
            | Rejected::TooManyBills(_)
            | Rejected::SecondPersonNeeded { .. }
            | Rejected::NotASecondPerson { .. }
            | Rejected::NotATopUp { .. }
            | Rejected::TooManyReversals { .. }
            | Rejected::ShiftIsOpen { .. }
            | Rejected::ShiftNotCounted(_) => conflict(""),
        };
        problem.explain(rejected);
        problem
    }
}

impl Problem {
    /// Puts the figures of a refusal where programs find them.
    fn explain(&mut self, rejected: &Rejected) {
        let details = &mut self.details;
        let path = |name: &str| Some(name.to_owned());
        match rejected {
            Rejected::UnpaidDebt { debt, .. } => details.debt = Some(Yuan(*debt)),
            Rejected::InsufficientFunds { needed, available } => {
                details.needed = Some(Yuan(*needed));
                details.available = Some(Yuan(*available));
            }
            Rejected::PrepayOutsideLimits { min, max, .. } => {
                details.path = path("prepay");
                details.least = Some(Yuan(*min));
                details.most = Some(Yuan(*max));
            }
            Rejected::PrepayBelowMargin { margin, .. } => {
                details.path = path("prepay");
                details.least = Some(Yuan(*margin));
            }
            Rejected::AmountTooLarge { most, .. } | Rejected::TooMuch { most, .. } => {
                details.path = path("amount");
                details.most = Some(Yuan(*most));
            }
            Rejected::NotPositive(_) => details.path = path("amount"),
            Rejected::ReceiptUsed { .. } | Rejected::NotATopUp { .. } | Rejected::UnknownReceipt(_) => {
                details.path = path("receipt");
            }
            Rejected::SlipUsed { .. } => details.path = path("slip"),
            Rejected::CountDiffers { by_books, .. } => {
                details.path = path("reason");
                details.needed = Some(Yuan(*by_books));
            }
            Rejected::NotCorrectable { order, state } => {
                details.order = Some(order.to_string());
                details.state = Some(state.word().to_owned());
            }
            Rejected::SecondPersonNeeded { order, above, .. } => {
                details.order = Some(order.to_string());
                details.most = Some(Yuan(*above));
            }
            Rejected::NotASecondPerson { order, .. }
            | Rejected::UnknownProposal { order, .. }
            | Rejected::TooManyBills(order) => details.order = Some(order.to_string()),
            Rejected::NoReason => details.path = path("reason"),
            Rejected::TariffInThePast(_) => details.path = path("effective_from"),
            Rejected::Illegal { order, illegal } => {
                details.order = Some(order.to_string());
                details.state = illegal.state.map(|state| state.word().to_owned());
            }
            Rejected::PileBusy { order, .. } | Rejected::PileNotGone { order, .. } => {
                details.order = Some(order.to_string());
            }
            _ => {}
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let (status, code) = match unavailable {
            Unavailable::Busy => (StatusCode::SERVICE_UNAVAILABLE, "station_busy"),
            Unavailable::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "station_stopping"),
            Unavailable::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
        };
        Self::new(status, code, unavailable.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ids::MemberId, units::Fen};

    #[test]
    fn a_refusal_carries_its_figures_and_says_what_to_do() {
        let member = MemberId::new("m1").unwrap();
        let problem = Problem::from(&Rejected::UnpaidDebt {
            member,
            debt: Fen(1234),
        });
        let json = serde_json::to_value(problem.details()).unwrap();
        assert_eq!(json["type"], "urn:holdfast:problem:unpaid-debt");
        assert_eq!(json["title"], "Unpaid debt");
        assert_eq!(
            (json["status"].as_u64(), json["debt"].as_str()),
            (Some(409), Some("12.34"))
        );
        assert!(json["detail"].as_str().unwrap().contains("/payments"), "{json}");
        assert!(json.get("path").is_none());
    }

    #[test]
    fn not_now_says_when_to_try_again() {
        let response = Problem::from(Unavailable::Busy).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn every_code_has_a_title_and_a_name_without_underscores() {
        let problem = Problem::new(StatusCode::CONFLICT, "too_many_open_orders", "x");
        assert_eq!(problem.details().kind, "urn:holdfast:problem:too-many-open-orders");
        assert_eq!(problem.details().title, "Too many open orders");
    }
}

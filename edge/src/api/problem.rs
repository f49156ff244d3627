//! Errors as `application/problem+json` (RFC 9457): a stable type, a status, and a detail that says what to do.
//! The domain's refusals know no HTTP; here is the one table that gives them their status.

use super::{
    dto::quarantine::CoveredByDto,
    wire::{Kwh, Yuan},
};
use crate::{
    station::{Response as Answer, Unavailable},
    store::StoreError,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    ids::OrderId,
    order::{Illegal, State},
    quarantine::Covering,
    site::Rejected,
    tariff::Fault,
};
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
    /// What else covers the readings of a quarantine item: to be named in `despite`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<Cover>,
}

/// Something that covers readings which are to be billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cover {
    /// What: to be named like this in `despite`.
    pub by: CoveredByDto,
    /// The register at its start.
    pub from_kwh: Kwh,
    /// The register at its end.
    pub to_kwh: Kwh,
}

impl Cover {
    fn of(covering: &Covering) -> Self {
        Self {
            by: (&covering.by).into(),
            from_kwh: Kwh(covering.from),
            to_kwh: Kwh(covering.to),
        }
    }
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
                covers: Vec::new(),
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

/// How a person ends an order that runs.
fn ending_it(order: &OrderId) -> String {
    format!(
        "stop it (POST /v1/orders/{order}/stop) and wait for its record, or close it with what is known (POST \
         /v1/orders/{order}/close, or holdfast-edge order close {order})"
    )
}

/// What can be done with an order that does not take a step in its state.
fn way_out(order: &OrderId, illegal: &Illegal) -> String {
    let Some(state) = illegal.state else {
        return String::new();
    };
    match state {
        State::Place | State::Charging => format!("; it has no bill yet: {}", ending_it(order)),
        State::Settle => {
            "; it has ended, and its bill is an estimate: the rest of its hold goes back when its record comes, \
                          or by itself after `remainder` of the policy"
                .to_owned()
        }
        State::Review => format!("; it has ended, and its bill waits: POST /v1/reviews/{order}/decision decides it"),
        State::Payed => format!(
            "; it has ended and is paid: GET /v1/orders/{order}/bill shows the bill, POST /v1/orders/{order}/refunds gives \
             money back"
        ),
        State::Unpaid => format!(
            "; it has ended and something is owed: GET /v1/orders/{order} names the member, POST \
             /v1/members/{{member}}/payments (holdfast-edge member pay) pays it"
        ),
        State::Fail => {
            "; it never charged, and nothing is held for it. Energy that its record reports waits in quarantine and \
                        can be billed there: GET /v1/quarantine"
                .to_owned()
        }
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
            Rejected::MemberBlocked { member, .. } => conflict(&format!(
                "; the desk can lift the block: PUT /v1/members/{member}/block, or holdfast-edge member unblock {member}"
            )),
            Rejected::UnpaidDebt { member, .. } => conflict(&format!(
                "; pay it with POST /v1/members/{member}/payments, or holdfast-edge member pay {member}"
            )),
            Rejected::TooManyOpenOrders(member) => conflict(&format!(
                "; stop it first: GET /v1/orders?member={member} names it, POST /v1/orders/{{id}}/stop stops it"
            )),
            Rejected::PileOffline(_) => conflict("; choose another pile, or wait until it is back"),
            Rejected::PileInMaintenance { .. } | Rejected::ConnectorUnavailable(_) | Rejected::ConnectorBusy(_) => {
                conflict("; choose another connector")
            }
            Rejected::InsufficientFunds { .. } => conflict("; top up, or ask for less"),
            Rejected::Covered { .. } => conflict(""),
            Rejected::NoTariff
            | Rejected::TariffExists(_)
            | Rejected::QuarantineFull { .. }
            | Rejected::JournalBudgetSpent { .. } => conflict(""),
            Rejected::Illegal { order, illegal } => conflict(&way_out(order, illegal)),
            Rejected::NotBillable { item, .. } => conflict(&format!(
                "; what nobody owes is closed with POST /v1/quarantine/{item}/close without `bill_to`"
            )),
            Rejected::ReceiptUsed { .. } => conflict("; a receipt's number counts once, write a new one"),
            Rejected::PileBusy { order, .. } => conflict(&format!("; {}", ending_it(order))),
            Rejected::PrepayOutsideLimits { .. }
            | Rejected::PrepayBelowMargin { .. }
            | Rejected::NotPositive(_)
            | Rejected::AmountTooLarge { .. }
            | Rejected::TooMuch { .. }
            | Rejected::NoReason
            | Rejected::TariffInThePast(_) => amount(""),
            Rejected::ClockWrong(_) => conflict(""),
            Rejected::NotTakingOrders(_) => problem(StatusCode::SERVICE_UNAVAILABLE, ""),
            Rejected::UnknownProposal { .. } | Rejected::UnknownReceipt(_) => problem(StatusCode::NOT_FOUND, ""),
            Rejected::CountDiffers { .. } => amount(""),
            Rejected::SlipUsed { .. } => conflict("; a slip's number counts once"),
            Rejected::NoShift => conflict("; open one with POST /v1/desk/shift"),
            Rejected::NotCorrectable { .. }
            | Rejected::TooManyBills(_)
            | Rejected::SecondPersonNeeded { .. }
            | Rejected::NotASecondPerson { .. }
            | Rejected::BilledByOnePerson { .. }
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
            | Rejected::BilledByOnePerson { order, .. }
            | Rejected::UnknownProposal { order, .. }
            | Rejected::TooManyBills(order) => details.order = Some(order.to_string()),
            Rejected::NoReason => details.path = path("reason"),
            Rejected::TariffInThePast(_) => details.path = path("effective_from"),
            Rejected::Illegal { order, illegal } => {
                details.order = Some(order.to_string());
                details.state = illegal.state.map(|state| state.word().to_owned());
            }
            Rejected::Covered { covers, .. } => {
                details.path = path("despite");
                details.covers = covers.iter().map(Cover::of).collect();
            }
            Rejected::PileBusy { order, .. } => details.order = Some(order.to_string()),
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
    use domain::{ids::MemberId, order::Step, units::Fen};

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
    fn a_refusal_about_an_order_names_the_way_out_in_every_state() {
        let order = OrderId::new("o1").unwrap();
        for state in State::ALL {
            for step in [
                Step::StopAsked,
                Step::Estimate,
                Step::Covered,
                Step::Refund,
                Step::BillLate,
            ] {
                let illegal = Illegal {
                    state: Some(state),
                    step,
                };
                let order = order.clone();
                let problem = Problem::from(&Rejected::Illegal { order, illegal });
                let detail = &problem.details().detail;
                let path = detail.contains("POST /v1/") || detail.contains("GET /v1/");
                assert!(path || state == State::Settle, "{state} {step:?}: {detail}");
            }
        }
        let pile = "P1".parse().unwrap();
        let problem = Problem::from(&Rejected::PileBusy { pile, order });
        let detail = &problem.details().detail;
        for way in [
            "/v1/orders/o1/stop",
            "/v1/orders/o1/close",
            "holdfast-edge order close o1",
        ] {
            assert!(detail.contains(way), "{detail}");
        }
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

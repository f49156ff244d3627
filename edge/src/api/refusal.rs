//! The domain's refusals know no HTTP; here is the one table that gives them their status, and the way out in words.

use super::{dto::problem::Cover, wire::Yuan};
use crate::{
    station::{Objection, Refused, Unavailable},
    store::StoreError,
};
use axum::http::StatusCode;
use domain::{
    ids::OrderId,
    order::{Illegal, State},
    site::Rejected,
};
use service::http::problem::Problem;

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

/// Why a request was refused, as an answer.
pub(super) fn of(refused: &Refused) -> Problem {
    match refused {
        Refused::ByRules(rejected) => problem(rejected),
        Refused::Objected(objection) => Problem::from(objection),
        Refused::Unavailable(unavailable) => Problem::from(unavailable.clone()),
    }
}

/// Why the station's rules refuse something, as an answer.
fn problem(rejected: &Rejected) -> Problem {
    let (status, way_out) = status_and_way_out(rejected);
    let problem = Problem::new(status, rejected.code(), format!("{rejected}{way_out}"));
    explained(problem, rejected)
}

fn status_and_way_out(rejected: &Rejected) -> (StatusCode, String) {
    if rejected.is_transient() {
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    let unknown = |way_out: &str| (StatusCode::NOT_FOUND, way_out.to_owned());
    let conflict = |way_out: &str| (StatusCode::CONFLICT, way_out.to_owned());
    let field = (StatusCode::UNPROCESSABLE_ENTITY, String::new());
    match rejected {
        Rejected::UnknownMember(_) => unknown("; register the member first"),
        Rejected::UnknownPile(_) => unknown("; provision the pile first"),
        Rejected::UnknownConnector(_)
        | Rejected::UnknownOrder(_)
        | Rejected::UnknownQuarantineItem(_)
        | Rejected::UnknownCard(_)
        | Rejected::UnknownProposal { .. }
        | Rejected::UnknownReceipt(_) => unknown(""),
        Rejected::PrepayOutsideLimits { .. }
        | Rejected::PrepayBelowMargin { .. }
        | Rejected::NotPositive(_)
        | Rejected::AmountTooLarge { .. }
        | Rejected::TooMuch { .. }
        | Rejected::NoReason
        | Rejected::TariffInThePast(_)
        | Rejected::CountDiffers { .. } => field,
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
        Rejected::Illegal { order, illegal } => conflict(&way_out(order, illegal)),
        Rejected::NotBillable { item, .. } => conflict(&format!(
            "; what nobody owes is closed with POST /v1/quarantine/{item}/close without `bill_to`"
        )),
        Rejected::ReceiptUsed { .. } => conflict("; a receipt's number counts once, write a new one"),
        Rejected::PileBusy { order, .. } => conflict(&format!("; {}", ending_it(order))),
        Rejected::SlipUsed { .. } => conflict("; a slip's number counts once"),
        Rejected::NoShift => conflict("; open one with POST /v1/desk/shift"),
        // Their words say what to do.
        Rejected::Covered { .. }
        | Rejected::NoTariff
        | Rejected::TariffExists(_)
        | Rejected::QuarantineFull { .. }
        | Rejected::JournalBudgetSpent { .. }
        | Rejected::ClockWrong(_)
        | Rejected::NotTakingOrders(_)
        | Rejected::NotCorrectable { .. }
        | Rejected::TooManyBills(_)
        | Rejected::SecondPersonNeeded { .. }
        | Rejected::NotASecondPerson { .. }
        | Rejected::BilledByOnePerson { .. }
        | Rejected::NotATopUp { .. }
        | Rejected::TooManyReversals { .. }
        | Rejected::ShiftIsOpen { .. }
        | Rejected::ShiftNotCounted(_)
        | Rejected::HeadOfficeOwns(_)
        | Rejected::NotThisSitesMember { .. }
        | Rejected::OwesElsewhere { .. }
        | Rejected::NotHeadOffices(_)
        | Rejected::OtherHqEpoch
        | Rejected::DirectiveOutOfOrder { .. }
        | Rejected::OtherDirective(_)
        | Rejected::UnreadableDirective(_)
        | Rejected::Expired { .. }
        | Rejected::NoTime
        | Rejected::WishOver
        | Rejected::OtherBill { .. }
        | Rejected::LeasesFrozen { .. }
        | Rejected::VoucherBeforeRestore
        | Rejected::VoucherClosed(_)
        | Rejected::KeyEnds(_)
        | Rejected::LastKey(_)
        | Rejected::TooManyKeys => conflict(""),
        Rejected::VoucherOfOtherSite(site) => conflict(&format!("; it is taken there, at {site}")),
    }
}

/// Puts the figures of a refusal where programs find them.
fn explained(problem: Problem, rejected: &Rejected) -> Problem {
    match rejected {
        Rejected::UnpaidDebt { debt, .. } => problem.with("debt", Yuan(*debt)),
        Rejected::InsufficientFunds { needed, available } => problem
            .with("needed", Yuan(*needed))
            .with("available", Yuan(*available)),
        Rejected::PrepayOutsideLimits { min, max, .. } => {
            problem.at("prepay").with("least", Yuan(*min)).with("most", Yuan(*max))
        }
        Rejected::PrepayBelowMargin { margin, .. } => problem.at("prepay").with("least", Yuan(*margin)),
        Rejected::AmountTooLarge { most, .. } | Rejected::TooMuch { most, .. } => {
            problem.at("amount").with("most", Yuan(*most))
        }
        Rejected::NotPositive(_) => problem.at("amount"),
        Rejected::ReceiptUsed { .. } | Rejected::NotATopUp { .. } | Rejected::UnknownReceipt(_) => {
            problem.at("receipt")
        }
        Rejected::SlipUsed { .. } => problem.at("slip"),
        Rejected::NotThisSitesMember { .. } => problem.at("id"),
        Rejected::OwesElsewhere { amount, .. } => problem.with("debt", Yuan(*amount)),
        Rejected::LeasesFrozen { frozen, .. } => problem.with("frozen", Yuan(*frozen)),
        Rejected::DirectiveOutOfOrder { expected, .. } => problem.with("expected", expected),
        Rejected::CountDiffers { by_books, .. } => problem.at("reason").with("needed", Yuan(*by_books)),
        Rejected::NotCorrectable { order, state } => problem.with("order", order).with("state", state.word()),
        Rejected::SecondPersonNeeded { order, above, .. } => problem.with("order", order).with("most", Yuan(*above)),
        Rejected::NotASecondPerson { order, .. }
        | Rejected::BilledByOnePerson { order, .. }
        | Rejected::UnknownProposal { order, .. }
        | Rejected::TooManyBills(order)
        | Rejected::PileBusy { order, .. } => problem.with("order", order),
        Rejected::NoReason => problem.at("reason"),
        Rejected::TariffInThePast(_) => problem.at("effective_from"),
        Rejected::Illegal { order, illegal } => {
            let problem = problem.with("order", order);
            match illegal.state {
                Some(state) => problem.with("state", state.word()),
                None => problem,
            }
        }
        Rejected::Covered { covers, .. } => {
            let covers: Vec<Cover> = covers.iter().map(Cover::of).collect();
            problem.at("despite").with("covers", covers)
        }
        _ => problem,
    }
}

impl From<&Objection> for Problem {
    fn from(objection: &Objection) -> Self {
        let conflict = |code| Problem::new(StatusCode::CONFLICT, code, objection.to_string());
        match objection {
            Objection::UnknownPile(pile) => Problem::unknown("pile", pile),
            Objection::UnknownDisplay(display) => Problem::unknown("display", display),
            Objection::UnknownToken(name) => Problem::unknown("token", name),
            Objection::PileExists(_) => conflict("pile_exists"),
            Objection::DisplayExists(_) => conflict("display_exists"),
            Objection::TooManyDisplays(_) => conflict("too_many_displays"),
            Objection::TokenExists(_) => conflict("token_exists"),
            Objection::TooManyTokens(_) => conflict("too_many_tokens"),
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let words = unavailable.to_string();
        match unavailable {
            Unavailable::Busy => Problem::unavailable("station_busy", words),
            Unavailable::Recovering => Problem::unavailable("recovering", words),
            Unavailable::Stopping => Problem::unavailable("station_stopping", words),
            Unavailable::AnswersFull { retry_after_s, .. } => {
                Problem::unavailable("answers_full", words).until(retry_after_s)
            }
            Unavailable::KeyReused => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", words),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Problem::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::dto::problem::ProblemDetails;
    use domain::{ids::MemberId, order::Step, units::Fen};

    #[test]
    fn a_refusal_carries_its_figures_and_says_what_to_do() {
        let member = MemberId::new("m1").unwrap();
        let shown = problem(&Rejected::UnpaidDebt {
            member,
            debt: Fen(1234),
        });
        let json = serde_json::to_value(shown.details()).unwrap();
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
                let shown = problem(&Rejected::Illegal { order, illegal });
                let detail = &shown.details().detail;
                let path = detail.contains("POST /v1/") || detail.contains("GET /v1/");
                assert!(path || state == State::Settle, "{state} {step:?}: {detail}");
            }
        }
        let pile = "P1".parse().unwrap();
        let shown = problem(&Rejected::PileBusy { pile, order });
        let detail = &shown.details().detail;
        for way in [
            "/v1/orders/o1/stop",
            "/v1/orders/o1/close",
            "holdfast-edge order close o1",
        ] {
            assert!(detail.contains(way), "{detail}");
        }
    }

    #[test]
    fn what_is_refused_for_now_is_unavailable() {
        let shown = problem(&Rejected::NotTakingOrders("the disk is full".to_owned()));
        assert_eq!(shown.status(), StatusCode::SERVICE_UNAVAILABLE);
        let problem = Problem::from(Unavailable::Busy);
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn figures_are_those_that_the_document_describes() {
        let order = OrderId::new("o1").unwrap();
        for rejected in [
            Rejected::UnpaidDebt {
                member: MemberId::new("m1").unwrap(),
                debt: Fen(1234),
            },
            Rejected::InsufficientFunds {
                needed: Fen(500),
                available: Fen(499),
            },
            Rejected::TooManyBills(order.clone()),
            Rejected::Illegal {
                order,
                illegal: Illegal {
                    state: Some(State::Payed),
                    step: Step::StopAsked,
                },
            },
        ] {
            let sent = serde_json::to_value(problem(&rejected).details()).unwrap();
            let read: ProblemDetails = serde_json::from_value(sent.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), sent, "nothing is lost");
        }
    }
}

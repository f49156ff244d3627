//! What drivers and the desk ask of the station. A request is repeated under its key until it is answered, as an app does
//! whose network comes and goes.

use domain::{
    fact::PaidFrom,
    head_office::{Directive, DirectiveNo, Voucher},
    ids::{CardId, MemberId, OrderId, PileId},
    quarantine::CoveredBy,
    site::{Decision, Input, Place, Rejected},
    time::Wall,
    units::Fen,
};
use edge::station::RequestKey;
use std::collections::BTreeMap;

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    Place(Place),
    Stop(OrderId),
    Close(OrderId),
    /// Who, how much, the receipt's number.
    TopUp(MemberId, Fen, String),
    PayDebt(MemberId, Fen, PaidFrom),
    Decide(OrderId, Decision),
    /// As the second person, the correction of this number.
    Approve(OrderId, u64),
    Refund(OrderId, Fen),
    /// Whose settled bill: electricity and service.
    Correct(OrderId, Fen, Fen),
    /// Whose top-up, by its receipt, and how much of it.
    ReverseTopUp(MemberId, String, Option<Fen>),
    OpenShift,
    /// What is in the till.
    CountCash(Fen),
    /// How much, and the slip's number.
    BankCash(Fen, String),
    CloseShift,
    /// Which message, who pays for it, and what else covers its readings for all that they know.
    CloseQuarantine(u64, Option<MemberId>, Vec<CoveredBy>),
    Maintenance(PileId),
    ClearMeter(PileId),
    BindCard(CardId, MemberId),
    /// A lease in the driver's hands is shown.
    ShowVoucher(Box<Voucher>),
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) asked: Asked,
    /// How often it was asked from the beginning, because a restore had forgotten it.
    again: u32,
    pub(super) answer: Option<Result<String, Rejected>>,
}

/// Everything that was ever asked, by number.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) requests: BTreeMap<u64, Request>,
    /// What head office has signed for this station, and came as far as it: by number, with the hash of it.
    pub(super) told: BTreeMap<DirectiveNo, (String, Directive)>,
    /// When a directive was first handed to the station, by the station's idea of the time then where that was slow.
    pub(super) handed: BTreeMap<DirectiveNo, Wall>,
    /// The vouchers that were shown here, by number.
    pub(super) vouchers: BTreeMap<String, Voucher>,
}

impl Desk {
    /// Notes a new request; returns its number.
    pub(super) fn ask(&mut self, asked: Asked) -> u64 {
        let number = self.requests.len() as u64 + 1;
        let request = Request {
            asked,
            again: 0,
            answer: None,
        };
        self.requests.insert(number, request);
        number
    }

    /// What the one asked for who signs like this.
    pub(super) fn asked(&self, by: &str) -> Option<&Asked> {
        let number = by.strip_prefix("desk-")?.parse().ok()?;
        self.requests.get(&number).map(|request| &request.asked)
    }

    /// How a request signs.
    pub(super) fn signature(number: u64) -> String {
        format!("desk-{number}")
    }

    /// A request as the station gets it.
    pub(super) fn input(&self, number: u64) -> Option<(Input, RequestKey)> {
        let request = self.requests.get(&number)?;
        let by = Self::signature(number);
        let reason = "as agreed".to_owned();
        let input = match request.asked.clone() {
            Asked::Place(place) => Input::Place(place),
            Asked::Stop(order) => Input::Stop { order, by },
            Asked::Close(order) => Input::Close { order, by },
            Asked::TopUp(member, amount, receipt) => Input::TopUp {
                member,
                amount,
                receipt,
                by,
            },
            Asked::PayDebt(member, amount, from) => Input::PayDebt {
                member,
                amount,
                from,
                receipt: format!("D-{number}"),
                by,
            },
            Asked::Decide(order, decision) => Input::Decide {
                order,
                decision,
                reason,
                by,
            },
            Asked::Approve(order, proposal) => Input::ApproveCorrection { order, proposal, by },
            Asked::Refund(order, amount) => Input::Refund {
                order,
                amount,
                reason,
                by,
            },
            Asked::CloseQuarantine(item, bill_to, despite) => Input::CloseQuarantine {
                item,
                bill_to,
                despite,
                typed: None,
                reason,
                by,
            },
            Asked::Correct(order, electricity, service) => Input::CorrectBill {
                order,
                electricity,
                service,
                reason,
                by,
            },
            Asked::ReverseTopUp(member, receipt, amount) => Input::ReverseTopUp {
                member,
                receipt,
                amount,
                reason: format!("typed wrong, {number}"),
                by,
            },
            Asked::OpenShift => Input::OpenShift { by },
            Asked::CountCash(counted) => Input::CountCash {
                counted,
                reason: Some(reason),
                by,
            },
            Asked::BankCash(amount, slip) => Input::BankCash { amount, slip, by },
            Asked::CloseShift => Input::CloseShift { by },
            Asked::ClearMeter(pile) => Input::ClearMeter { pile, reason, by },
            Asked::BindCard(card, member) => Input::BindCard {
                card,
                member,
                by: "desk".to_owned(),
            },
            Asked::Maintenance(pile) => Input::SetMaintenance { pile, reason: None, by },
            // The run of the journal is that of the station, which says it.
            Asked::ShowVoucher(voucher) => Input::TakeVoucher {
                voucher,
                epoch: String::new(),
            },
        };
        let key = format!("{number}.{}", request.again);
        Some((
            input,
            RequestKey {
                body_hash: format!("{:?}", request.asked),
                key: format!("http\ndesk\nworld\n{key}"),
            },
        ))
    }

    /// Whether it is one that leaves a trace in the journal, signed, when it succeeds.
    pub(super) fn leaves_trace(asked: &Asked) -> bool {
        matches!(
            asked,
            Asked::TopUp(..)
                | Asked::PayDebt(..)
                | Asked::Decide(..)
                | Asked::Approve(..)
                | Asked::OpenShift
                | Asked::CountCash(..)
                | Asked::BankCash(..)
                | Asked::CloseShift
                | Asked::Refund(..)
                | Asked::CloseQuarantine(..)
        )
    }

    /// A restore has forgotten what was paid in since: the desk has the receipts and enters them again. Returns which.
    pub(super) fn enter_again(&mut self, forgotten: impl Fn(&str) -> bool) -> Vec<u64> {
        let mut again = Vec::new();
        for (number, request) in &mut self.requests {
            let paid_in = matches!(request.asked, Asked::TopUp(..));
            let succeeded = request.answer.as_ref().is_some_and(Result::is_ok);
            if paid_in && succeeded && forgotten(&Self::signature(*number)) {
                request.again += 1;
                request.answer = None;
                again.push(*number);
            }
        }
        again
    }

    /// Requests that nobody has answered.
    pub(super) fn open(&self) -> impl Iterator<Item = u64> {
        let open = self.requests.iter().filter(|(_, request)| request.answer.is_none());
        open.map(|(number, _)| *number)
    }
}

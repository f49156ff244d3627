//! The one table from facts to transfers: what a fact moves in the station's books.
//! A fact that is not in it moves no money.

use crate::{
    fact::{Fact, PaidFrom},
    ids::{MemberId, OrderId},
    ledger::{Account, Code, Hold, Transfer},
    settlement::Payment,
    time::Wall,
    units::Fen,
};

/// The one table from facts to transfers.
///
/// `member` is whose order or account the fact is about; cash of the desk alone is nobody's. Facts that move no money give
/// none.
///
/// | fact | debit | credit | code |
/// |---|---|---|---|
/// | `ToppedUp` | cash | allowance | TOPUP |
/// | `HoldTaken` | allowance | held | HOLD |
/// | `OrderFailed` | held | allowance | RELEASE |
/// | `OrderSettled`, `OrderEstimated` | held, allowance | sales | CAPTURE |
/// | | debt | sales | DEBT |
/// | | sales | debt | ADJUST |
/// | | sales | allowance | REFUND |
/// | | sales | sales | ADJUST |
/// | | held | allowance | RELEASE |
/// | `DebtPaid` | cash, allowance or hq | debt | DEBT_PAID |
/// | `Refunded` | refund | allowance | REFUND |
/// | `TopUpReversed` | allowance | cash | TOPUP |
/// | `CashCounted` | cash or cash_over | cash_over or cash | CASH |
/// | `CashBanked` | bank | cash | CASH |
/// | `LeaseReceived` | hq | allowance | LEASE |
/// | `LeaseReturned` | allowance | hq | LEASE_RETURN |
///
/// # Panics
/// If a fact about a member's money comes without the member.
pub fn postings(fact: &Fact, member: Option<&MemberId>, hold: Option<Hold>, cause: u64, at: Wall) -> Vec<Transfer> {
    let mut rows = match fact {
        Fact::OrderSettled { order, payment } | Fact::OrderEstimated { order, payment, .. } => {
            settlement(order, payer(member), payment)
        }
        _ => single(fact, member, hold).into_iter().collect(),
    };
    let order = fact.order();
    rows.retain(|(_, _, amount, _)| *amount != Fen::ZERO);
    let subject = order
        .map(OrderId::as_str)
        .or(member.map(MemberId::as_str))
        .unwrap_or("desk");
    rows.into_iter()
        .enumerate()
        .map(|(n, (debit, credit, amount, code))| Transfer {
            id: format!("{subject}:{}:{cause}.{n}", code.word()),
            debit,
            credit,
            amount,
            code,
            order: order.cloned(),
            member: member.cloned(),
            cause,
            at,
        })
        .collect()
}

/// What gives, what receives, how much, and what kind of movement.
type Row = (Account, Account, Fen, Code);

fn payer(member: Option<&MemberId>) -> &MemberId {
    member.expect("a fact about a member's money names them, or their order does")
}

/// The movement of a fact that makes one.
fn single(fact: &Fact, member: Option<&MemberId>, hold: Option<Hold>) -> Option<Row> {
    let allowance = || Account::Allowance(payer(member).clone());
    let held = |order: &OrderId| Account::Held(order.clone());
    Some(match fact {
        Fact::ToppedUp { amount, .. } => (Account::Cash, allowance(), *amount, Code::Topup),
        Fact::TopUpReversed { amount, .. } => (allowance(), Account::Cash, *amount, Code::Topup),
        Fact::HoldTaken { order, amount } => (allowance(), held(order), *amount, Code::Hold),
        Fact::OrderFailed { order, .. } => {
            let left = hold.unwrap_or_default().remaining();
            (held(order), allowance(), left, Code::Release)
        }
        Fact::DebtPaid { amount, from, .. } => {
            let source = match from {
                PaidFrom::Cash => Account::Cash,
                PaidFrom::Allowance => allowance(),
                PaidFrom::HeadOffice => Account::HeadOffice,
            };
            (source, Account::Debt(payer(member).clone()), *amount, Code::DebtPaid)
        }
        Fact::Refunded { amount, .. } => (Account::Refund, allowance(), *amount, Code::Refund),
        Fact::CashCounted { difference, .. } if difference.is_negative() => {
            (Account::CashOver, Account::Cash, -*difference, Code::Cash)
        }
        Fact::CashCounted { difference, .. } => (Account::Cash, Account::CashOver, *difference, Code::Cash),
        Fact::CashBanked { amount, .. } => (Account::Bank, Account::Cash, *amount, Code::Cash),
        Fact::LeaseReceived { amount, .. } => (Account::HeadOffice, allowance(), *amount, Code::Lease),
        Fact::LeaseReturned { amount, .. } => (allowance(), Account::HeadOffice, *amount, Code::LeaseReturn),
        _ => return None,
    })
}

/// The movements of a settlement.
fn settlement(order: &OrderId, member: &MemberId, payment: &Payment) -> Vec<Row> {
    let held = || Account::Held(order.clone());
    let allowance = || Account::Allowance(member.clone());
    let debt = || Account::Debt(member.clone());
    let mut rows = Vec::new();
    let sources = [
        (held(), payment.from_hold, Code::Capture),
        (allowance(), payment.from_allowance, Code::Capture),
        (debt(), payment.on_debt, Code::Debt),
    ];
    for (source, part, code) in sources {
        rows.push((source.clone(), Account::SalesElectricity, part.electricity, code));
        rows.push((source, Account::SalesService, part.service, code));
    }
    let mut back = payment.back;
    let sinks = [
        (debt(), back.take(payment.debt_cut), Code::Adjust),
        (allowance(), back.take(payment.refund), Code::Refund),
    ];
    for (sink, part, code) in sinks {
        rows.push((Account::SalesElectricity, sink.clone(), part.electricity, code));
        rows.push((Account::SalesService, sink, part.service, code));
    }
    let (from, to) = if payment.regrouped.is_negative() {
        (Account::SalesService, Account::SalesElectricity)
    } else {
        (Account::SalesElectricity, Account::SalesService)
    };
    let amount = payment.regrouped.max(-payment.regrouped);
    rows.push((from, to, amount, Code::Adjust));
    rows.push((held(), allowance(), payment.release, Code::Release));
    rows
}

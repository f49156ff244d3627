//! The one table from facts to transfers: what a fact moves in the station's books.
//! A fact that is not in it moves no money.

use crate::{
    fact::{Fact, PaidFrom},
    ids::{MemberId, OrderId},
    ledger::{Account, Code, Hold, Transfer},
    time::Wall,
    units::Fen,
};

/// The one table from facts to transfers.
///
/// `member` is whose order or account the fact is about; facts that move no money give none.
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
/// | `DebtPaid` | cash or allowance | debt | DEBT_PAID |
/// | `Refunded` | refund | allowance | REFUND |
pub fn postings(fact: &Fact, member: &MemberId, hold: Option<Hold>, cause: u64, at: Wall) -> Vec<Transfer> {
    let allowance = || Account::Allowance(member.clone());
    let debt = || Account::Debt(member.clone());
    let held = |order: &OrderId| Account::Held(order.clone());
    let mut rows: Vec<(Account, Account, Fen, Code)> = Vec::new();
    let mut order = None;
    match fact {
        Fact::ToppedUp { amount, .. } => rows.push((Account::Cash, allowance(), *amount, Code::Topup)),
        Fact::HoldTaken { order: id, amount } => {
            order = Some(id);
            rows.push((allowance(), held(id), *amount, Code::Hold));
        }
        Fact::OrderFailed { order: id, .. } => {
            order = Some(id);
            rows.push((
                held(id),
                allowance(),
                hold.unwrap_or_default().remaining(),
                Code::Release,
            ));
        }
        Fact::OrderSettled { order: id, payment } | Fact::OrderEstimated { order: id, payment, .. } => {
            order = Some(id);
            let sources = [
                (held(id), payment.from_hold, Code::Capture),
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
            rows.push((held(id), allowance(), payment.release, Code::Release));
        }
        Fact::DebtPaid {
            order: id,
            amount,
            from,
            ..
        } => {
            order = Some(id);
            let source = match from {
                PaidFrom::Cash => Account::Cash,
                PaidFrom::Allowance => allowance(),
            };
            rows.push((source, debt(), *amount, Code::DebtPaid));
        }
        Fact::Refunded { order: id, amount, .. } => {
            order = Some(id);
            rows.push((Account::Refund, allowance(), *amount, Code::Refund));
        }
        _ => {}
    }
    rows.retain(|(_, _, amount, _)| *amount != Fen::ZERO);
    let subject = order.map_or(member.as_str(), OrderId::as_str);
    rows.into_iter()
        .enumerate()
        .map(|(n, (debit, credit, amount, code))| Transfer {
            id: format!("{subject}:{}:{cause}.{n}", code.word()),
            debit,
            credit,
            amount,
            code,
            order: order.cloned(),
            member: member.clone(),
            cause,
            at,
        })
        .collect()
}

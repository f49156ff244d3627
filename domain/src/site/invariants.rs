//! What must be true of the money in every step, checked on the rows that the step touched, in every build.
//! A violated one ends the step before anything of it is written, as a failed commit does.

use super::Rows;
use crate::{
    fact::Fact,
    ids::{MemberId, OrderId},
    journal::Stamp,
    ledger::Account,
    order::{Order, State},
    units::Fen,
};
use std::collections::BTreeSet;

/// The books would be wrong after a step: a fault of this program. The rows in memory must not be written or used any
/// more; what is on disk is as it was before the step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the books would be wrong, and nothing of this step is written: {0}")]
pub struct Violation(String);

/// Checks the orders and the accounts that `facts` touched; `drift` is what they made of the sum over all accounts.
pub(super) fn check(rows: &Rows, facts: &[(Stamp, Fact)], drift: Fen) -> Result<(), Violation> {
    let orders: BTreeSet<&OrderId> = facts.iter().filter_map(|(_, fact)| fact.order()).collect();
    let members: BTreeSet<&MemberId> = facts.iter().filter_map(|(_, fact)| fact.member()).collect();
    check_touched(rows, orders.into_iter(), members.into_iter(), drift)
}

/// The same of orders and members; those that are not in memory are not looked at.
pub(super) fn check_touched<'a>(
    rows: &Rows,
    orders: impl Iterator<Item = &'a OrderId>,
    members: impl Iterator<Item = &'a MemberId>,
    drift: Fen,
) -> Result<(), Violation> {
    let violated = |what: String| Err(Violation(what));
    if drift != Fen::ZERO {
        return violated(format!("the accounts sum to {drift} yuan more than before"));
    }
    for order in orders.filter_map(|id| rows.order(id)) {
        if let Some(what) = wrong_with(order, rows) {
            return violated(format!("order {}: {what}", order.id));
        }
    }
    if let Some(what) = wrong_at_the_desk(rows) {
        return violated(what);
    }
    for member in members {
        if rows.ledger.allowance(member).is_negative() {
            return violated(format!("the allowance of {member} is overdrawn"));
        }
        if rows.ledger.debt(member).is_negative() {
            return violated(format!("the debt of {member} was overpaid"));
        }
    }
    Ok(())
}

/// The shift and the day add up what the account `cash` moved.
fn wrong_at_the_desk(rows: &Rows) -> Option<String> {
    let till = rows.till();
    if let Some(shift) = rows.open_shift().filter(|shift| shift.till() != till) {
        return Some(format!(
            "the till holds {till} yuan, and {} by shift {}",
            shift.till(),
            shift.number
        ));
    }
    let day = rows.desk_day().filter(|day| day.closing() != till)?;
    Some(format!(
        "the till holds {till} yuan, and {} by the day {}",
        day.closing(),
        day.day
    ))
}

fn wrong_with(order: &Order, rows: &Rows) -> Option<String> {
    let held = rows.ledger.balance(&Account::Held(order.id.clone()));
    let ended = matches!(order.state, State::Payed | State::Unpaid | State::Fail);
    let (allowance, debt) = (rows.ledger.allowance(&order.member), rows.ledger.debt(&order.member));
    if held != order.hold.remaining() {
        Some(format!(
            "{held} yuan are held by the books, {} by its hold",
            order.hold.remaining()
        ))
    } else if held.is_negative() {
        Some("more was given back than taken".to_owned())
    } else if ended && !order.hold.is_resolved() {
        Some(format!("it has ended and {held} yuan are still held"))
    } else if (order.state == State::Unpaid) != (ended && order.paid.debt > Fen::ZERO) {
        Some(format!("it is {} and owes {} yuan", order.state, order.paid.debt))
    } else if let Some(what) = wrong_with_bill(order) {
        Some(what)
    } else if allowance.is_negative() || debt.is_negative() {
        Some(format!("{} has {allowance} yuan here and owes {debt}", order.member))
    } else {
        None
    }
}

/// Whoever is settled is charged what the last bill says, paid or owed. Only where money went back afterwards a lower bill
/// may find nothing left to take back.
fn wrong_with_bill(order: &Order) -> Option<String> {
    if !matches!(order.state, State::Payed | State::Unpaid) {
        return None;
    }
    let (paid, fee) = (order.paid, order.bill().map_or(Fen::ZERO, |bill| bill.fee()));
    let charged = paid.charged();
    let agrees = charged == fee || (paid.refunded > Fen::ZERO && charged > fee);
    (!agrees || paid.debt > charged).then(|| {
        format!(
            "{charged} yuan are charged, {} of them owed, and its bill says {fee}",
            paid.debt
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Code, Transfer},
        time::{Mono, Wall},
    };

    fn fact(member: &MemberId) -> [(Stamp, Fact); 1] {
        let stamp = Stamp {
            seq: 1,
            at: Wall(0),
            mono: Mono(0),
        };
        let (member, name, by) = (member.clone(), String::new(), String::new());
        let head_office = false;
        let registered = Fact::MemberRegistered {
            member,
            name,
            by,
            head_office,
        };
        [(stamp, registered)]
    }

    #[test]
    fn money_from_nowhere_is_found_in_the_step_that_made_it() {
        let member: MemberId = "m".parse().unwrap();
        let mut rows = Rows::default();
        let transfer = Transfer {
            id: "t".to_owned(),
            debit: Account::Cash,
            credit: Account::Allowance(member.clone()),
            amount: Fen(200),
            code: Code::Topup,
            order: None,
            member: Some(member.clone()),
            cause: 1,
            at: Wall(0),
        };
        rows.ledger.post(&transfer).unwrap();
        let drift = rows.ledger.take_drift();
        assert_eq!(check(&rows, &fact(&member), drift), Ok(()));
        let found = check(&rows, &fact(&member), Fen(1)).unwrap_err().to_string();
        assert!(found.contains("0.01 yuan more than before"), "{found}");
    }

    #[test]
    fn an_account_below_zero_is_found_by_the_member_it_belongs_to() {
        let member: MemberId = "m".parse().unwrap();
        let mut rows = Rows::default();
        rows.ledger.load(Account::Allowance(member.clone()), Fen(-1));
        assert!(check(&rows, &fact(&member), Fen::ZERO).is_err());
        rows.ledger.load(Account::Allowance(member.clone()), Fen::ZERO);
        rows.ledger.load(Account::Debt(member.clone()), Fen(1));
        assert!(check(&rows, &fact(&member), Fen::ZERO).is_err());
        let other: MemberId = "n".parse().unwrap();
        assert_eq!(
            check(&rows, &fact(&other), Fen::ZERO),
            Ok(()),
            "only what was touched is looked at"
        );
    }
}

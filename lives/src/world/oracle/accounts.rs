//! What accounts must hold, and that members' sums come out the same whatever the order of events.

use super::{Checked, Oracle};
use domain::{ids::MemberId, ledger::Account, units::Fen};
use std::collections::{BTreeMap, BTreeSet};

impl Oracle {
    /// What an account must hold. The two kinds of sales are compared as one.
    pub(in crate::world) fn balance(&self, account: &Account) -> i64 {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    /// What a member can spend.
    pub(in crate::world) fn allowance(&self, member: &MemberId) -> i64 {
        self.balance(&Account::Allowance(member.clone()))
    }

    /// Where something is missing of what is taken back, all is taken that is there.
    pub(super) fn leaves_nothing(&self, member: &MemberId, taken: Fen, missing: Fen) -> Checked {
        match missing > Fen::ZERO && taken.0 != self.allowance(member) {
            true => Err(format!(
                "{member} has {} here, and {taken} are taken back",
                self.allowance(member)
            )),
            false => Ok(()),
        }
    }

    /// What a member owes.
    pub(in crate::world) fn debt(&self, member: &MemberId) -> i64 {
        -self.balance(&Account::Debt(member.clone()))
    }

    /// Accounts that changed since this was last asked.
    pub(in crate::world) fn take_touched(&mut self) -> BTreeSet<Account> {
        std::mem::take(&mut self.touched)
    }

    /// Every account that is not empty.
    pub(in crate::world) fn accounts(&self) -> BTreeMap<Account, i64> {
        let all = self.accounts.iter().filter(|(_, balance)| **balance != 0);
        all.map(|(account, balance)| (account.clone(), *balance)).collect()
    }

    /// What a member has must be what was paid in, less what the orders cost, plus what was given back: the same money
    /// reckoned without any order of events.
    pub(in crate::world) fn check_sums(&self, members: &[MemberId]) -> Checked {
        for member in members {
            let mine = || self.books.values().filter(|book| book.member == *member);
            let cost: i64 = mine().map(|book| book.charged - book.refunded).sum();
            let held: i64 = mine().map(|book| book.held).sum();
            let debt: i64 = mine().map(|book| book.debt).sum();
            if debt != self.debt(member) {
                return Err(format!(
                    "{member} owes {debt} by orders, {} by account",
                    self.debt(member)
                ));
            }
            let paid_in = self.paid_in.get(member).copied().unwrap_or(0);
            let has = self.allowance(member) + held - debt;
            if has != paid_in - cost {
                return Err(format!("{member} paid in {paid_in}, was charged {cost} and has {has}"));
            }
        }
        Ok(())
    }
}

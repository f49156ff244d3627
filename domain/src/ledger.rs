//! The station's books: double entry in fen, transfers that never change, holds that are resolved once.
//! A balance is credits less debits, so assets (`cash`, `bank`, `debt`) show as negative and all accounts sum to zero.

mod digest;

pub use digest::{NotInOrder, digest};

use crate::{
    ids::{MemberId, OrderId},
    time::Wall,
    units::Fen,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// An account in the station's books.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What a member can spend here.
    Allowance(MemberId),
    /// Money reserved for an order.
    Held(OrderId),
    /// What a member owes (an asset).
    Debt(MemberId),
    /// Energy sold.
    SalesElectricity,
    /// Service sold.
    SalesService,
    /// Given back to members after settlement (售后退款); a lower bill takes back the sale itself.
    Refund,
    /// The desk's till (an asset).
    Cash,
    /// What counts of the till found above the books; below them it is negative.
    CashOver,
    /// Cash of the till that was taken to the bank (an asset).
    Bank,
    /// Where money of wallets comes from and goes back to; what of it is here shows as negative.
    HeadOffice,
}

impl Account {
    /// The station's own accounts, which are always in memory.
    pub const OF_STATION: [Account; 7] = [
        Account::SalesElectricity,
        Account::SalesService,
        Account::Refund,
        Account::Cash,
        Account::CashOver,
        Account::Bank,
        Account::HeadOffice,
    ];
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Allowance(member) => write!(f, "allowance:{member}"),
            Account::Held(order) => write!(f, "held:{order}"),
            Account::Debt(member) => write!(f, "debt:{member}"),
            Account::SalesElectricity => f.write_str("sales:electricity"),
            Account::SalesService => f.write_str("sales:service"),
            Account::Refund => f.write_str("refund"),
            Account::Cash => f.write_str("cash"),
            Account::CashOver => f.write_str("cash_over"),
            Account::Bank => f.write_str("bank"),
            Account::HeadOffice => f.write_str("hq"),
        }
    }
}

impl FromStr for Account {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = |_| format!("`{text}` is not an account");
        Ok(match text.split_once(':') {
            Some(("allowance", member)) => Account::Allowance(member.parse().map_err(unknown)?),
            Some(("held", order)) => Account::Held(order.parse().map_err(unknown)?),
            Some(("debt", member)) => Account::Debt(member.parse().map_err(unknown)?),
            Some(("sales", "electricity")) => Account::SalesElectricity,
            Some(("sales", "service")) => Account::SalesService,
            _ if text == "refund" => Account::Refund,
            _ if text == "cash" => Account::Cash,
            _ if text == "cash_over" => Account::CashOver,
            _ if text == "bank" => Account::Bank,
            _ if text == "hq" => Account::HeadOffice,
            _ => return Err(format!("`{text}` is not an account")),
        })
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What kind of movement a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A member paid in at the desk; from the allowance to the till it is a top-up typed wrong, taken back.
    Topup,
    /// Reserved for an order (冻结).
    Hold,
    /// Taken for what was delivered (扣款).
    Capture,
    /// Given back from the reservation (解冻).
    Release,
    /// Delivered and not paid for (欠费).
    Debt,
    /// A debt was paid.
    DebtPaid,
    /// Given back after settlement.
    Refund,
    /// A debt was reduced, or a sale regrouped, by a better bill.
    Adjust,
    /// The till differed from the books, or cash was taken to the bank.
    Cash,
    /// Money of a wallet came to be spent here.
    Lease,
    /// It went back.
    LeaseReturn,
}

impl Code {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Code::Topup => "TOPUP",
            Code::Hold => "HOLD",
            Code::Capture => "CAPTURE",
            Code::Release => "RELEASE",
            Code::Debt => "DEBT",
            Code::DebtPaid => "DEBT_PAID",
            Code::Refund => "REFUND",
            Code::Adjust => "ADJUST",
            Code::Cash => "CASH",
            Code::Lease => "LEASE",
            Code::LeaseReturn => "LEASE_RETURN",
        }
    }
}

/// One movement of money; never changed, corrected only by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// `{order, member or desk}:{code}:{cause}.{n}`: made from what caused it, so that a replay cannot double it.
    pub id: String,
    /// The account that gives.
    pub debit: Account,
    /// The account that receives.
    pub credit: Account,
    /// More than zero.
    pub amount: Fen,
    /// What kind of movement.
    pub code: Code,
    /// The order it is about.
    pub order: Option<OrderId>,
    /// The member it is about; none for cash of the desk alone.
    pub member: Option<MemberId>,
    /// The journal number of the fact that caused it.
    pub cause: u64,
    /// When.
    pub at: Wall,
}

/// A reservation of money for one order. Captured and released never exceed what was taken; when they equal it, the
/// hold is resolved, and that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hold {
    /// Reserved.
    pub taken: Fen,
    /// Became revenue.
    pub captured: Fen,
    /// Went back.
    pub released: Fen,
}

impl Hold {
    /// Still reserved.
    pub fn remaining(&self) -> Fen {
        self.taken - self.captured - self.released
    }

    /// Nothing is reserved any more.
    pub fn is_resolved(&self) -> bool {
        self.remaining() == Fen::ZERO
    }
}

/// A transfer that the books refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Amounts move forward only.
    #[error("a transfer of {0} is not above zero")]
    NotPositive(Fen),
    /// An allowance or a hold would go below zero, a debt above it.
    #[error("{account} has {balance}, which does not cover {amount}")]
    Insufficient {
        /// Which account.
        account: Account,
        /// What is there.
        balance: Fen,
        /// What was asked.
        amount: Fen,
    },
}

/// Balances of the accounts in memory. An account that is not there has nothing in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    balances: BTreeMap<Account, Fen>,
    /// By how much transfers changed the sum of all balances since that was last asked: zero, or the books are wrong.
    drift: Fen,
}

impl Ledger {
    /// Credits less debits.
    pub fn balance(&self, account: &Account) -> Fen {
        self.balances.get(account).copied().unwrap_or_default()
    }

    /// What a member can spend here beyond holds.
    pub fn allowance(&self, member: &MemberId) -> Fen {
        self.balance(&Account::Allowance(member.clone()))
    }

    /// What a member owes, as a positive number.
    pub fn debt(&self, member: &MemberId) -> Fen {
        -self.balance(&Account::Debt(member.clone()))
    }

    /// Puts a balance in memory as it was stored.
    pub fn load(&mut self, account: Account, balance: Fen) {
        self.balances.insert(account, balance);
    }

    /// Takes an account out of memory.
    pub fn forget(&mut self, account: &Account) {
        self.balances.remove(account);
    }

    /// Every account in memory.
    pub fn accounts(&self) -> impl Iterator<Item = (&Account, Fen)> {
        self.balances.iter().map(|(account, balance)| (account, *balance))
    }

    /// The sum over all accounts in memory: zero when all are loaded.
    pub fn total(&self) -> Fen {
        self.balances.values().copied().sum()
    }

    /// Moves money, or changes nothing.
    pub fn post(&mut self, transfer: &Transfer) -> Result<(), LedgerError> {
        let Transfer {
            debit, credit, amount, ..
        } = transfer;
        if amount.0 <= 0 {
            return Err(LedgerError::NotPositive(*amount));
        }
        let covers = |account: &Account, after: Fen, fits: bool| {
            if fits {
                Ok(after)
            } else {
                Err(LedgerError::Insufficient {
                    account: account.clone(),
                    balance: self.balance(account),
                    amount: *amount,
                })
            }
        };
        let giver = self.balance(debit) - *amount;
        let funds = matches!(debit, Account::Allowance(_) | Account::Held(_));
        let giver = covers(debit, giver, !funds || !giver.is_negative())?;
        let taker = self.balance(credit) + *amount;
        let owed = matches!(credit, Account::Debt(_));
        let taker = covers(credit, taker, !owed || taker <= Fen::ZERO)?;
        self.set(debit, giver);
        self.set(credit, taker);
        Ok(())
    }

    fn set(&mut self, account: &Account, balance: Fen) {
        let before = self.balances.insert(account.clone(), balance).unwrap_or_default();
        self.drift += balance - before;
    }

    /// By how much transfers have changed the sum of all balances since this was last asked. Anything but zero is money
    /// from nowhere.
    pub(crate) fn take_drift(&mut self) -> Fen {
        std::mem::take(&mut self.drift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn transfer(debit: &str, credit: &str, amount: i64) -> Transfer {
        Transfer {
            id: "t".into(),
            debit: debit.parse().unwrap(),
            credit: credit.parse().unwrap(),
            amount: Fen(amount),
            code: Code::Hold,
            order: None,
            member: Some(MemberId::new("m").unwrap()),
            cause: 1,
            at: Wall(0),
        }
    }

    #[test]
    fn a_hold_beyond_the_allowance_changes_nothing() {
        let mut ledger = Ledger::default();
        ledger.post(&transfer("cash", "allowance:m", 100)).unwrap();
        ledger.post(&transfer("allowance:m", "held:a", 60)).unwrap();
        let before = ledger.clone();
        assert!(matches!(
            ledger.post(&transfer("allowance:m", "held:b", 41)),
            Err(LedgerError::Insufficient { .. })
        ));
        assert!(matches!(
            ledger.post(&transfer("allowance:m", "held:b", 0)),
            Err(LedgerError::NotPositive(_))
        ));
        assert!(matches!(
            ledger.post(&transfer("allowance:m", "held:b", -5)),
            Err(LedgerError::NotPositive(_))
        ));
        assert_eq!(ledger, before);
    }

    #[test]
    fn a_debt_cannot_be_paid_twice() {
        let mut ledger = Ledger::default();
        ledger.post(&transfer("debt:m", "sales:service", 30)).unwrap();
        assert_eq!(ledger.debt(&MemberId::new("m").unwrap()), Fen(30));
        ledger.post(&transfer("cash", "debt:m", 30)).unwrap();
        assert!(ledger.post(&transfer("cash", "debt:m", 1)).is_err());
    }

    #[test]
    fn accounts_print_as_they_are_read() {
        for name in [
            "allowance:m",
            "held:o-1",
            "debt:m",
            "sales:electricity",
            "sales:service",
            "refund",
            "cash",
            "cash_over",
            "bank",
            "hq",
        ] {
            assert_eq!(name.parse::<Account>().unwrap().to_string(), name);
        }
        assert!("sales:other".parse::<Account>().is_err());
    }

    proptest! {
        #[test]
        fn the_books_balance_after_any_sequence(moves in prop::collection::vec((0..7_usize, 0..7_usize, -5..500_i64), 0..200)) {
            let names = ["allowance:m", "allowance:n", "held:o", "debt:m", "sales:electricity", "refund", "cash"];
            let mut ledger = Ledger::default();
            for (debit, credit, amount) in moves {
                if debit != credit {
                    let _ = ledger.post(&transfer(names[debit], names[credit], amount));
                }
                prop_assert_eq!(ledger.total(), Fen::ZERO);
                for (account, balance) in ledger.accounts() {
                    match account {
                        Account::Allowance(_) | Account::Held(_) => prop_assert!(!balance.is_negative()),
                        Account::Debt(_) => prop_assert!(balance <= Fen::ZERO),
                        _ => {}
                    }
                }
            }
        }
    }
}

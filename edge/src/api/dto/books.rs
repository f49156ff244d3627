//! The station's books at one moment.

use crate::api::wire::Yuan;
use domain::{
    ledger::{self, Account, NotInOrder},
    units::Fen,
};
use serde::Serialize;
use utoipa::ToSchema;

/// The most single accounts in one balance sheet.
pub const ACCOUNTS_MAX: usize = 10_000;

/// Every account at one moment. Balances are credits less debits: what the station owes or earned is positive, what it
/// has or is owed is negative, and all of them together are zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BalanceSheet {
    /// The last journal entry that is in it.
    pub seq: u64,
    /// Energy sold.
    pub sales_electricity: Yuan,
    /// Service sold.
    pub sales_service: Yuan,
    /// Given back to members.
    pub refund: Yuan,
    /// The desk's till.
    pub cash: Yuan,
    /// Counted in the till above the books; negative: below.
    pub cash_over: Yuan,
    /// Cash of the till that was taken to the bank.
    pub bank: Yuan,
    /// What members can spend here.
    pub allowances: Yuan,
    /// Reserved for orders.
    pub held: Yuan,
    /// What members owe.
    pub debts: Yuan,
    /// The sum: always `"0.00"`.
    #[schema(example = "0.00")]
    pub total: Yuan,
    /// SHA-256 of all accounts, in hexadecimal: two who keep the same books have the same after the same entry. What is
    /// hashed is a text in ASCII: a line with `seq` in decimal, then a line for each account whose balance is not zero, with
    /// its name, a space and its balance in fen, credits less debits, in decimal, with `-` before one below zero. Each line
    /// ends with a line feed. Lines stand in the order of the names' bytes.
    pub digest: String,
    /// Every account that is not empty, with `?detail=true`; at most 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<AccountView>>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountView {
    /// Its name.
    #[schema(example = "allowance:m-1001")]
    pub account: String,
    /// Credits less debits.
    pub balance: Yuan,
}

impl BalanceSheet {
    /// `accounts` are in the order of their names.
    ///
    /// # Errors
    /// They are not.
    pub(in crate::api) fn new(seq: u64, accounts: &[(Account, Fen)], detail: bool) -> Result<Self, NotInOrder> {
        let sum = |of: fn(&Account) -> bool| {
            let chosen = accounts.iter().filter(|(account, _)| of(account));
            Yuan(chosen.map(|(_, balance)| *balance).sum())
        };
        let views = accounts
            .iter()
            .take(ACCOUNTS_MAX)
            .map(|(account, balance)| AccountView {
                account: account.to_string(),
                balance: Yuan(*balance),
            });
        let named = accounts
            .iter()
            .map(|(account, balance)| (account.to_string(), *balance));
        let digest = ledger::digest(seq, named)?.to_string();
        Ok(Self {
            seq,
            sales_electricity: sum(|account| *account == Account::SalesElectricity),
            sales_service: sum(|account| *account == Account::SalesService),
            refund: sum(|account| *account == Account::Refund),
            cash: sum(|account| *account == Account::Cash),
            cash_over: sum(|account| *account == Account::CashOver),
            bank: sum(|account| *account == Account::Bank),
            allowances: sum(|account| matches!(account, Account::Allowance(_))),
            held: sum(|account| matches!(account, Account::Held(_))),
            debts: sum(|account| matches!(account, Account::Debt(_))),
            total: sum(|_| true),
            digest,
            accounts: detail.then(|| views.collect()),
        })
    }
}

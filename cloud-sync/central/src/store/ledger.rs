//! The books in the database: accounts, and the movements between them. An account's balance is credits less debits.

use super::{
    SetStatement, StoreError, Tx, Value,
    set::{Present, int, text},
};
use domain::{ids::SiteId, ledger, time::Day};
use std::collections::BTreeMap;

const TRANSFERS: SetStatement = SetStatement {
    table: "transfer",
    keys: 1,
    columns: &[
        text("id"),
        text("debit"),
        text("credit"),
        int("amount"),
        text("code"),
        text("site"),
        int("branch"),
        int("seq"),
        text("order_id"),
        text("member"),
        text("day"),
        int("at"),
    ],
    present: Present::Refuse,
};

const BALANCES: SetStatement = SetStatement {
    table: "account",
    keys: 1,
    columns: &[text("name"), text("kind"), int("balance")],
    present: Present::Add("balance"),
};

/// A movement of a station's, under the names of head office's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// `{site}:{branch}:{seq}.{n}`.
    pub id: String,
    /// The account that gives.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// The station's own movement.
    pub of: ledger::Transfer,
    /// The business day of the entry that caused it.
    pub day: Option<Day>,
}

/// The name under which an account of a site stands in head office's books: `allowance:{s}:{m}`, `sales:{s}:electricity`,
/// `cash:{s}`.
pub fn mirrored(site: &SiteId, account: &ledger::Account) -> String {
    let name = account.to_string();
    match name.split_once(':') {
        Some((kind, of)) => format!("{kind}:{site}:{of}"),
        None => format!("{name}:{site}"),
    }
}

/// Books movements of a site.
///
/// # Errors
/// [`StoreError::Constraint`]: one was booked before, or an account does not cover it.
pub fn book(tx: &mut dyn Tx, site: &SiteId, branch: u64, transfers: &[Mirrored]) -> Result<(), StoreError> {
    let mut balances: BTreeMap<&str, i64> = BTreeMap::new();
    let mut rows = Vec::with_capacity(transfers.len());
    for Mirrored {
        id,
        debit,
        credit,
        of,
        day,
    } in transfers
    {
        *balances.entry(debit).or_default() -= of.amount.0;
        *balances.entry(credit).or_default() += of.amount.0;
        rows.push(vec![
            id.as_str().into(),
            debit.as_str().into(),
            credit.as_str().into(),
            of.amount.0.into(),
            of.code.word().into(),
            site.as_str().into(),
            branch.into(),
            of.cause.into(),
            of.order.as_ref().map(|order| order.as_str()).into(),
            of.member.as_ref().map(|member| member.as_str()).into(),
            day.map(|day| day.to_string()).into(),
            of.at.0.into(),
        ]);
    }
    tx.write_all(&TRANSFERS, &rows)?;
    let balance = |(name, by): (&str, i64)| {
        let kind = name.split(':').next().unwrap_or_default();
        vec![Value::from(name), kind.into(), by.into()]
    };
    tx.write_all(&BALANCES, &balances.into_iter().map(balance).collect::<Vec<_>>())
}

/// The sum over all accounts: zero, or the books are wrong.
///
/// # Errors
/// [`StoreError`].
pub fn total(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    let row = tx.query_optional("SELECT CAST(COALESCE(SUM(balance), 0) AS BIGINT) FROM account", &[])?;
    row.map_or(Ok(0), |mut row| row.int(0))
}

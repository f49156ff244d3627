//! Accounts in a snapshot: balances, and the transfers that a member sees.
//! An account that was never used is zero and has no row.

use super::{Page, Reader, bad, parse};
use crate::store::{StoreError, tables};
use domain::{
    ids::MemberId,
    ledger::{Account, Transfer},
    units::Fen,
};
use redb::ReadableTable;

impl Reader {
    /// An account's balance: credits less debits, zero if it was never used.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn balance(&self, account: &Account) -> Result<Fen, StoreError> {
        let accounts = self.read.open_table(tables::ACCOUNTS)?;
        let balance = accounts.get(account.to_string().as_str())?;
        Ok(balance.map_or(Fen::ZERO, |balance| Fen(balance.value())))
    }

    /// Every account that is not empty, in order of their names. They sum to zero.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn accounts(&self) -> Result<Vec<(Account, Fen)>, StoreError> {
        let accounts = self.read.open_table(tables::ACCOUNTS)?;
        let mut sheet = Vec::new();
        for row in accounts.iter()? {
            let (name, balance) = row?;
            let account = name
                .value()
                .parse()
                .map_err(|error| bad("accounts", name.value(), error))?;
            sheet.push((account, Fen(balance.value())));
        }
        Ok(sheet)
    }

    pub(in crate::store) fn station_accounts(&self) -> Result<Vec<(Account, Fen)>, StoreError> {
        Account::OF_STATION
            .into_iter()
            .map(|account| self.balance(&account).map(|balance| (account, balance)))
            .collect()
    }

    /// A member's movements, newest first, before `before` (a journal seq), at most about `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn statement(
        &self,
        member: &MemberId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<Transfer>, StoreError> {
        let index = self.read.open_table(tables::TRANSFERS_BY_MEMBER)?;
        let transfers = self.read.open_table(tables::TRANSFERS)?;
        let end = (member.as_str(), before.unwrap_or(u64::MAX), 0);
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for row in index.range((member.as_str(), 0, 0)..end)?.rev() {
            let (_, seq, n) = row?.0.value();
            if page.items.len() >= limit && page.next != Some(seq) {
                return Ok(page);
            }
            page.next = Some(seq);
            if let Some(transfer) = transfers.get((seq, n))? {
                page.items
                    .push(parse("transfers", &format!("{seq}.{n}"), transfer.value())?);
            }
        }
        page.next = None;
        Ok(page)
    }
}

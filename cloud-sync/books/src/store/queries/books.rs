//! Head office's books as people read them: accounts, and the movements between them.

use super::{Filter, Page};
use crate::store::{Row, StoreError, Tx};
use domain::time::Wall;

/// Which movements. One of `site` and `member` is named, since no index serves them all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferFilter {
    /// Only of this site.
    pub site: Option<String>,
    /// Only of this member.
    pub member: Option<String>,
    /// Only about an order of this id.
    pub order: Option<String>,
    /// Only of this code.
    pub code: Option<String>,
    /// Only of this business day.
    pub day: Option<String>,
    /// Only those at this moment or later.
    pub from: Option<Wall>,
    /// Only those before this moment.
    pub to: Option<Wall>,
}

impl TransferFilter {
    fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        filter.and_if("site = ?", self.site.as_deref());
        filter.and_if("member = ?", self.member.as_deref());
        filter.and_if("order_id = ?", self.order.as_deref());
        filter.and_if("code = ?", self.code.as_deref());
        filter.and_if("day = ?", self.day.as_deref());
        filter.and_if("at >= ?", self.from.map(|from| from.0));
        filter.and_if("at < ?", self.to.map(|to| to.0));
        filter
    }
}

/// A movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// `{site}:{branch}:{seq}.{n}`, or its cause's.
    pub id: String,
    /// The account that gives.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// Fen, above zero.
    pub amount: i64,
    /// Why, in a word.
    pub code: String,
    /// The site of the entry that caused it.
    pub site: Option<String>,
    /// That entry's number.
    pub seq: Option<u64>,
    /// The order it is about.
    pub order: Option<String>,
    /// Whose money it is.
    pub member: Option<String>,
    /// The business day of the entry that caused it.
    pub day: Option<String>,
    /// When.
    pub at: Wall,
}

const TRANSFER: &str = "id, debit, credit, amount, code, site, seq, order_id, member, day, at";

fn transfer(mut row: Row) -> Result<Transfer, StoreError> {
    let seq = row.optional_int(6)?.map(u64::try_from).transpose();
    Ok(Transfer {
        id: row.text(0)?,
        debit: row.text(1)?,
        credit: row.text(2)?,
        amount: row.int(3)?,
        code: row.text(4)?,
        site: row.optional_text(5)?,
        seq: seq.map_err(|error| StoreError::Broken(error.to_string()))?,
        order: row.optional_text(7)?,
        member: row.optional_text(8)?,
        day: row.optional_text(9)?,
        at: Wall(row.int(10)?),
    })
}

/// Movements, the latest first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn transfers(
    tx: &mut dyn Tx,
    which: &TransferFilter,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<Transfer>, StoreError> {
    let mut filter = which.filter();
    if let Some((at, id)) = after {
        filter.and("(at, id) < (?, ?)", [at.0.into(), id.into()]);
    }
    filter.page(tx, TRANSFER, "transfer", "at DESC, id DESC", limit, transfer)
}

/// What movements of one code come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// The code of a movement, or the kind of an account.
    pub of: String,
    /// How many there are.
    pub count: u64,
    /// Fen.
    pub amount: i64,
}

fn sum(mut row: Row) -> Result<Sum, StoreError> {
    Ok(Sum {
        of: row.text(0)?,
        count: row.count(1)?,
        amount: row.int(2)?,
    })
}

/// What movements come to, by code.
///
/// # Errors
/// [`StoreError`].
pub fn transfer_sums(tx: &mut dyn Tx, which: &TransferFilter) -> Result<Vec<Sum>, StoreError> {
    let filter = which.filter();
    let clause = filter.clause();
    let rows = tx.query(
        &format!(
            "SELECT code, COUNT(*), CAST(SUM(amount) AS BIGINT) FROM transfer{clause} GROUP BY code ORDER BY code"
        ),
        &filter.values,
    )?;
    rows.into_iter().map(sum).collect()
}

/// Accounts by their names, with their kinds and balances (credits less debits, fen), after a name.
///
/// # Errors
/// [`StoreError`].
pub fn accounts(
    tx: &mut dyn Tx,
    kind: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<(String, String, i64)>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("kind = ?", kind);
    filter.and_if("name > ?", after);
    filter.page(tx, "name, kind, balance", "account", "name", limit, |mut row| {
        Ok((row.text(0)?, row.text(1)?, row.int(2)?))
    })
}

/// What all accounts of each kind come to.
///
/// # Errors
/// [`StoreError`].
pub fn account_sums(tx: &mut dyn Tx) -> Result<Vec<Sum>, StoreError> {
    let rows = tx.query(
        "SELECT kind, COUNT(*), CAST(SUM(balance) AS BIGINT) FROM account GROUP BY kind ORDER BY kind",
        &[],
    )?;
    rows.into_iter().map(sum).collect()
}

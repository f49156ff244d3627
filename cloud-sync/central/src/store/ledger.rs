//! The books in the database: accounts, and the movements between them. An account's balance is credits less debits.

use super::{
    SetStatement, StoreError, Tx, Value,
    set::{Present, int, text},
};
use domain::{
    ids::SiteId,
    ledger,
    time::{Day, Wall},
    units::Fen,
};
use std::collections::BTreeMap;

/// Movements, which are only ever added.
pub const TRANSFERS: SetStatement = SetStatement {
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
        text("by"),
    ],
    present: Present::Refuse,
};

/// The code of movements by which a site's accounts are brought to the rows of another branch.
const RESTORE: &str = "RESTORE";
/// The code of those by which a station with a history joins.
const OPENING: &str = "OPENING";

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
    /// Who moved it, where that entry says so.
    pub by: Option<String>,
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

/// The kinds of accounts that sites have, as in the names of head office's books.
const KINDS: [&str; 9] = [
    "allowance",
    "held",
    "debt",
    "sales",
    "refund",
    "cash",
    "cash_over",
    "bank",
    "hq",
];

/// The site's own account that stands under this name in head office's books; none where it is another's.
pub fn of_site(site: &SiteId, name: &str) -> Option<ledger::Account> {
    let (kind, rest) = name.split_once(':')?;
    match rest.strip_prefix(site.as_str())? {
        "" => kind.parse().ok(),
        of => format!("{kind}:{}", of.strip_prefix(':')?).parse().ok(),
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
        by,
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
            by.as_deref().into(),
        ]);
    }
    tx.write_all(&TRANSFERS, &rows)?;
    let changes = balances.into_iter().map(|(name, by)| change(name, by));
    tx.write_all(&BALANCES, &changes.collect::<Vec<_>>())
}

/// A site goes on with another branch of its journal: brings the accounts that it has here to what they are by its rows where the
/// branch begins, each by one movement `{site}:{branch}:open.{n}` against `restore:{site}` (rule 8). How many movements.
///
/// # Errors
/// [`StoreError::Constraint`]: the branch was opened before.
pub fn open_branch(
    tx: &mut dyn Tx,
    of: (&SiteId, u64, u64),
    rows: &BTreeMap<ledger::Account, Fen>,
    at: (Option<Day>, Wall),
) -> Result<u64, StoreError> {
    bring(tx, of, rows, at, ("restore", RESTORE))
}

/// A station with a history joins: brings the accounts that it has here to what they are by its rows, each by one movement
/// `{site}:{branch}:open.{n}` against `opening:{site}` (rule 13). How many movements.
///
/// # Errors
/// [`StoreError::Constraint`]: it has joined before.
pub fn open_site(
    tx: &mut dyn Tx,
    of: (&SiteId, u64, u64),
    rows: &BTreeMap<ledger::Account, Fen>,
    at: (Option<Day>, Wall),
) -> Result<u64, StoreError> {
    bring(tx, of, rows, at, ("opening", OPENING))
}

fn bring(
    tx: &mut dyn Tx,
    (site, branch, seq): (&SiteId, u64, u64),
    rows: &BTreeMap<ledger::Account, Fen>,
    (day, now): (Option<Day>, Wall),
    (against, code): (&str, &str),
) -> Result<u64, StoreError> {
    let mut differing: BTreeMap<String, i64> = of_sites(tx)?
        .into_iter()
        .filter(|(name, _)| of_site(site, name).is_some())
        .map(|(name, here)| (name, -here))
        .collect();
    for (account, balance) in rows {
        *differing.entry(mirrored(site, account)).or_default() += balance.0;
    }
    differing.retain(|_, by| *by != 0);
    let against = format!("{against}:{site}");
    let (mut movements, mut balances) = (Vec::new(), Vec::new());
    for (n, (name, by)) in differing.iter().enumerate() {
        let (debit, credit) = match *by > 0 {
            true => (&against, name),
            false => (name, &against),
        };
        let account = of_site(site, name);
        let order = account.as_ref().and_then(|account| match account {
            ledger::Account::Held(order) => Some(order.as_str()),
            _ => None,
        });
        let member = account.as_ref().and_then(|account| match account {
            ledger::Account::Allowance(member) | ledger::Account::Debt(member) => Some(member.as_str()),
            _ => None,
        });
        movements.push(vec![
            format!("{site}:{branch}:open.{n}").into(),
            debit.as_str().into(),
            credit.as_str().into(),
            by.abs().into(),
            code.into(),
            site.as_str().into(),
            branch.into(),
            seq.into(),
            order.into(),
            member.into(),
            day.map(|day| day.to_string()).into(),
            now.0.into(),
            Value::Null,
        ]);
        balances.push(change(name, *by));
        balances.push(change(&against, -by));
    }
    tx.write_all(&TRANSFERS, &movements)?;
    tx.write_all(&BALANCES, &balances)?;
    Ok(movements.len() as u64)
}

/// What is written of an account that has moved.
fn change(name: &str, by: i64) -> Vec<Value> {
    let kind = name.split(':').next().unwrap_or_default();
    vec![name.into(), kind.into(), by.into()]
}

/// The sum over all accounts: zero, or the books are wrong.
///
/// # Errors
/// [`StoreError`].
pub fn total(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    let row = tx.query_optional("SELECT CAST(COALESCE(SUM(balance), 0) AS BIGINT) FROM account", &[])?;
    row.map_or(Ok(0), |mut row| row.int(0))
}

/// By how much each of a site's own accounts has moved by entries after this one, credits less debits.
///
/// # Errors
/// [`StoreError`].
pub fn moved_since(
    tx: &mut dyn Tx,
    site: &SiteId,
    branch: u64,
    seq: u64,
) -> Result<Vec<(ledger::Account, Fen)>, StoreError> {
    let rows = tx.query(
        "SELECT name, CAST(SUM(amount) AS BIGINT) FROM (\
         SELECT credit AS name, amount FROM transfer WHERE site = $1 AND branch = $2 AND seq > $3 UNION ALL \
         SELECT debit, -amount FROM transfer WHERE site = $1 AND branch = $2 AND seq > $3) AS moved GROUP BY name",
        &[site.as_str().into(), branch.into(), seq.into()],
    )?;
    let mut moved = Vec::with_capacity(rows.len());
    for mut row in rows {
        // What is head office's alone is on no site's sheet.
        if let Some(account) = of_site(site, &row.text(0)?) {
            moved.push((account, Fen(row.int(1)?)));
        }
    }
    Ok(moved)
}

/// An account whose balance is not the sum of its movements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unequal {
    /// Its name.
    pub name: String,
    /// Its balance; none where there is no such account.
    pub balance: Option<i64>,
    /// The sum of its movements, credits less debits.
    pub moved: i64,
}

/// The accounts whose balances are not the sums of their movements, at most so many. One statement over all movements.
///
/// # Errors
/// [`StoreError`].
pub fn unequal(tx: &mut dyn Tx, limit: u64) -> Result<Vec<Unequal>, StoreError> {
    const SUMMED: &str = "WITH summed (name, moved) AS (SELECT name, CAST(SUM(amount) AS BIGINT) FROM (\
         SELECT credit AS name, amount FROM transfer UNION ALL SELECT debit, -amount FROM transfer) AS moved GROUP BY name)";
    let other = format!(
        "{SUMMED} SELECT account.name, balance, COALESCE(moved, 0) FROM account LEFT JOIN summed ON summed.name = account.name \
         WHERE balance <> COALESCE(moved, 0) ORDER BY account.name LIMIT $1"
    );
    let missing = format!(
        "{SUMMED} SELECT summed.name, balance, moved FROM summed LEFT JOIN account ON summed.name = account.name \
         WHERE account.name IS NULL ORDER BY summed.name LIMIT $1"
    );
    let mut found = Vec::new();
    for statement in [other, missing] {
        for mut row in tx.query(&statement, &[limit.into()])? {
            found.push(Unequal {
                name: row.text(0)?,
                balance: row.optional_int(1)?,
                moved: row.int(2)?,
            });
        }
    }
    Ok(found)
}

/// The accounts of all sites that have money in them, by name.
///
/// # Errors
/// [`StoreError`].
pub fn of_sites(tx: &mut dyn Tx) -> Result<BTreeMap<String, i64>, StoreError> {
    let kinds = KINDS.map(|kind| format!("'{kind}'")).join(", ");
    let statement = format!("SELECT name, balance FROM account WHERE balance <> 0 AND kind IN ({kinds})");
    let mut accounts = BTreeMap::new();
    for mut row in tx.query(&statement, &[])? {
        let name = row.text(0)?;
        // Without a site it is head office's own.
        if name.contains(':') {
            accounts.insert(name, row.int(1)?);
        }
    }
    Ok(accounts)
}

/// How many accounts there are.
///
/// # Errors
/// [`StoreError`].
pub fn count(tx: &mut dyn Tx) -> Result<u64, StoreError> {
    let row = tx.query_optional("SELECT COUNT(*) FROM account", &[])?;
    row.map_or(Ok(0), |mut row| row.count(0))
}

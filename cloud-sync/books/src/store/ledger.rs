//! The books in the database: accounts, and the movements between them. An account's balance is credits less debits.

use super::{
    Row, SetStatement, StoreError, Tx, Value,
    set::{Present, int, text},
};
use domain::{
    ids::{MemberId, OrderId, SiteId},
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

/// A movement between two accounts of head office's books.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Movement {
    /// Its id, which is that of its cause: it is booked once.
    pub id: String,
    /// The account that gives.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// How much.
    pub amount: Fen,
    /// What kind of movement it is.
    pub code: &'static str,
    /// The site that it has to do with.
    pub site: Option<SiteId>,
    /// The entry that it stands in, branch and number, where it is the site's own.
    pub entry: Option<(u64, u64)>,
    /// The order that it is for.
    pub order: Option<OrderId>,
    /// Whose money it is.
    pub member: Option<MemberId>,
    /// The site's business day.
    pub day: Option<Day>,
    /// When.
    pub at: Wall,
    /// Who moved it, where that is known.
    pub by: Option<String>,
}

/// A member's wallet.
pub fn wallet(member: &MemberId) -> String {
    format!("wallet:{member}")
}

/// What a member owes head office itself, from zero down: what they owed at sites that were closed (rule 14).
pub fn debt(member: &MemberId) -> String {
    format!("debt:{member}")
}

/// A member's money on the road to or from a site: what the site's own books call `hq`.
pub fn transit(site: &SiteId, member: &MemberId) -> String {
    format!("transit:{site}:{member}")
}

/// What was approved to be given back for an order, and the order's site has not marked yet.
pub fn refund_due(site: &SiteId, order: &OrderId) -> String {
    format!("refund_due:{site}:{order}")
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
const KINDS: [&str; 8] = [
    "allowance",
    "held",
    "debt",
    "sales",
    "refund",
    "cash",
    "cash_over",
    "bank",
];

/// The site's own account that stands under this name in head office's books; none where it is another's.
pub fn of_site(site: &SiteId, name: &str) -> Option<ledger::Account> {
    let (kind, rest) = name.split_once(':')?;
    match rest.strip_prefix(site.as_str())? {
        "" => kind.parse().ok(),
        of => format!("{kind}:{}", of.strip_prefix(':')?).parse().ok(),
    }
}

/// Books movements.
///
/// # Errors
/// [`StoreError::Constraint`]: one was booked before, or an account does not cover it.
pub fn book(tx: &mut dyn Tx, movements: &[Movement]) -> Result<(), StoreError> {
    let mut balances: BTreeMap<&str, i64> = BTreeMap::new();
    let mut rows = Vec::with_capacity(movements.len());
    for of in movements {
        *balances.entry(&of.debit).or_default() -= of.amount.0;
        *balances.entry(&of.credit).or_default() += of.amount.0;
        rows.push(vec![
            of.id.as_str().into(),
            of.debit.as_str().into(),
            of.credit.as_str().into(),
            of.amount.0.into(),
            of.code.into(),
            of.site.as_ref().map(SiteId::as_str).into(),
            of.entry.map(|(branch, _)| branch).into(),
            of.entry.map(|(_, seq)| seq).into(),
            of.order.as_ref().map(OrderId::as_str).into(),
            of.member.as_ref().map(MemberId::as_str).into(),
            of.day.map(|day| day.to_string()).into(),
            of.at.0.into(),
            of.by.as_deref().into(),
        ]);
    }
    tx.write_all(&TRANSFERS, &rows)?;
    let changes = balances.into_iter().map(|(name, by)| change(name, by));
    tx.write_all(&BALANCES, &changes.collect::<Vec<_>>())
}

/// Holds an account fast until the transaction ends, before others are.
///
/// # Errors
/// [`StoreError`].
pub fn hold(tx: &mut dyn Tx, name: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE account SET balance = balance WHERE name = $1", &[name.into()])
        .map(drop)
}

/// Whether a movement of this id is booked.
///
/// # Errors
/// [`StoreError`].
pub fn is_booked(tx: &mut dyn Tx, id: &str) -> Result<bool, StoreError> {
    let row = tx.query_optional("SELECT 1 FROM transfer WHERE id = $1", &[id.into()])?;
    Ok(row.is_some())
}

/// What an account has; nothing where there is none.
///
/// # Errors
/// [`StoreError`].
pub fn balance(tx: &mut dyn Tx, name: &str) -> Result<Fen, StoreError> {
    let row = tx.query_optional("SELECT balance FROM account WHERE name = $1", &[name.into()])?;
    row.map_or(Ok(Fen::ZERO), |mut row| row.int(0).map(Fen))
}

/// What restores have paid for a member, by the accounts `restore:{site}:{member}` that owe it: what was spent twice after head
/// office's database was restored from a copy (rule 4).
///
/// # Errors
/// [`StoreError`].
pub fn paid_by_restores(tx: &mut dyn Tx, member: &MemberId) -> Result<Vec<(String, Fen)>, StoreError> {
    let rows = tx.query(
        "SELECT name, -balance FROM account WHERE balance < 0 AND name IN (SELECT 'restore:' || id || ':' || $1 FROM site) ORDER BY name",
        &[member.as_str().into()],
    )?;
    let account = |mut row: Row| Ok((row.text(0)?, Fen(row.int(1)?)));
    rows.into_iter().map(account).collect()
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
    (against, code): (&str, &'static str),
) -> Result<u64, StoreError> {
    let mut differing: BTreeMap<String, i64> = of_sites(tx)?
        .into_iter()
        .filter(|(name, _)| of_site(site, name).is_some())
        .map(|(name, here)| (name, -here))
        .collect();
    for (account, balance) in rows {
        // What came from head office and went back to it is on no account of the site's here, but on the road.
        if *account != ledger::Account::HeadOffice {
            *differing.entry(mirrored(site, account)).or_default() += balance.0;
        }
    }
    differing.retain(|_, by| *by != 0);
    let against = format!("{against}:{site}");
    let mut movements = Vec::with_capacity(differing.len());
    for (n, (name, by)) in differing.into_iter().enumerate() {
        let account = of_site(site, &name);
        let (order, member) = match account {
            Some(ledger::Account::Held(order)) => (Some(order), None),
            Some(ledger::Account::Allowance(member) | ledger::Account::Debt(member)) => (None, Some(member)),
            _ => (None, None),
        };
        let (debit, credit) = match by > 0 {
            true => (against.clone(), name),
            false => (name, against.clone()),
        };
        movements.push(Movement {
            id: format!("{site}:{branch}:open.{n}"),
            debit,
            credit,
            amount: Fen(by.abs()),
            code,
            site: Some(site.clone()),
            entry: Some((branch, seq)),
            order,
            member,
            day,
            at: now,
            by: None,
        });
    }
    book(tx, &movements)?;
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
    let (mut moved, mut from_head_office) = (Vec::with_capacity(rows.len() + 1), Fen::ZERO);
    let on_road = format!("transit:{site}:");
    for mut row in rows {
        let (name, by) = (row.text(0)?, Fen(row.int(1)?));
        match of_site(site, &name) {
            Some(account) => moved.push((account, by)),
            None if name.starts_with(&on_road) => from_head_office += by,
            // What is head office's alone is on no site's sheet.
            None => {}
        }
    }
    moved.push((ledger::Account::HeadOffice, from_head_office));
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
        let least = if name.starts_with("debt:") { 2 } else { 1 };
        if name.matches(':').count() >= least {
            accounts.insert(name, row.int(1)?);
        }
    }
    Ok(accounts)
}

/// The accounts of a kind that have money in them, by name.
///
/// # Errors
/// [`StoreError`].
pub fn of_kind(tx: &mut dyn Tx, kind: &str) -> Result<BTreeMap<String, i64>, StoreError> {
    let rows = tx.query(
        "SELECT name, balance FROM account WHERE balance <> 0 AND kind = $1",
        &[kind.into()],
    )?;
    let account = |mut row: Row| Ok((row.text(0)?, row.int(1)?));
    rows.into_iter().map(account).collect()
}

/// How many accounts there are.
///
/// # Errors
/// [`StoreError`].
pub fn count(tx: &mut dyn Tx) -> Result<u64, StoreError> {
    let row = tx.query_optional("SELECT COUNT(*) FROM account", &[])?;
    row.map_or(Ok(0), |mut row| row.count(0))
}

/// How many movements of a code a member has had.
///
/// # Errors
/// [`StoreError`].
pub fn count_of(tx: &mut dyn Tx, member: &MemberId, code: &str) -> Result<u64, StoreError> {
    let row = tx.query_optional(
        "SELECT COUNT(*) FROM transfer WHERE member = $1 AND code = $2",
        &[member.as_str().into(), code.into()],
    )?;
    row.map_or(Ok(0), |mut row| row.count(0))
}

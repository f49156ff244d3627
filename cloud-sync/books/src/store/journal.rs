//! Sites' journals in the database: batches, as they came.

use super::{
    Column, Row, SetStatement, StoreError, Tx, Value,
    set::{Present, bytes, int, text},
};
use domain::{
    ids::{OrderId, SiteId},
    journal::Hash,
    time::Wall,
};
use protocol::{
    frame::Batch,
    key::{SIGNATURE_LEN, Signature},
};
use std::collections::BTreeSet;

const BATCHES: SetStatement = SetStatement {
    table: "batch",
    keys: 3,
    columns: &[
        text("site"),
        int("branch"),
        int("first"),
        int("last"),
        bytes("prev"),
        int("dictionary"),
        int("raw"),
        bytes("body"),
        bytes("sig"),
        int("taken_at"),
    ],
    present: Present::Refuse,
};

const ORDERS: SetStatement = SetStatement {
    table: "order_batch",
    keys: 4,
    columns: ORDER_COLUMNS,
    present: Present::Keep,
};
const ORDER_COLUMNS: &[Column] = &[text("site"), text("order_id"), int("branch"), int("first")];

/// Keeps a batch, and which orders it is about.
///
/// # Errors
/// [`StoreError::Constraint`]: one of this first entry is there.
pub fn keep(
    tx: &mut dyn Tx,
    site: &SiteId,
    branch: u64,
    batch: &Batch,
    orders: &BTreeSet<OrderId>,
    now: Wall,
) -> Result<(), StoreError> {
    let row = vec![
        site.as_str().into(),
        branch.into(),
        batch.first.into(),
        batch.last().into(),
        batch.prev.0.as_slice().into(),
        i64::from(batch.dictionary).into(),
        i64::from(batch.raw).into(),
        batch.body.as_slice().into(),
        batch.signature.0.as_slice().into(),
        now.0.into(),
    ];
    tx.write_all(&BATCHES, &[row])?;
    let order = |order: &OrderId| {
        vec![
            site.as_str().into(),
            order.as_str().into(),
            branch.into(),
            batch.first.into(),
        ]
    };
    tx.write_all(&ORDERS, &orders.iter().map(order).collect::<Vec<_>>())
}

const COLUMNS: &str = "first, last, prev, dictionary, raw, body, sig";

fn batch(mut row: Row) -> Result<Batch, StoreError> {
    let bad = |what: &str| StoreError::Broken(format!("{what} of a batch is not as it was kept"));
    let (first, last) = (row.count(0)?, row.count(1)?);
    let count = last.checked_sub(first).map(|more| more + 1);
    let prev: [u8; 32] = row.bytes(2)?.try_into().map_err(|_| bad("the hash before"))?;
    let signature: [u8; SIGNATURE_LEN] = row.bytes(6)?.try_into().map_err(|_| bad("the signature"))?;
    Ok(Batch {
        first,
        prev: Hash(prev),
        count: count
            .and_then(|count| count.try_into().ok())
            .ok_or_else(|| bad("the number of entries"))?,
        dictionary: row.count(3)?.try_into().map_err(|_| bad("the dictionary"))?,
        raw: row.count(4)?.try_into().map_err(|_| bad("the length"))?,
        body: row.bytes(5)?,
        signature: Signature(signature),
    })
}

/// The batch that holds an entry.
///
/// # Errors
/// [`StoreError`].
pub fn holding(tx: &mut dyn Tx, site: &SiteId, branch: u64, seq: u64) -> Result<Option<Batch>, StoreError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM batch WHERE site = $1 AND branch = $2 AND first <= $3 ORDER BY first DESC LIMIT 1"
    );
    let row = tx.query_optional(&statement, &[site.as_str().into(), branch.into(), seq.into()])?;
    Ok(row.map(batch).transpose()?.filter(|batch| batch.last() >= seq))
}

/// Batches after an entry, in order, at most so many.
///
/// # Errors
/// [`StoreError`].
pub fn after(tx: &mut dyn Tx, site: &SiteId, branch: u64, seq: u64, limit: u64) -> Result<Vec<Batch>, StoreError> {
    // They follow each other without gaps, so the one that holds the next entry is the last that begins at it or before.
    let statement = format!(
        "SELECT {COLUMNS} FROM batch WHERE site = $1 AND branch = $2 AND last > $3 AND first >= COALESCE((\
         SELECT MAX(first) FROM batch WHERE site = $1 AND branch = $2 AND first <= $3 + 1), 0) ORDER BY first LIMIT $4"
    );
    let rows = tx.query(
        &statement,
        &[site.as_str().into(), branch.into(), seq.into(), limit.into()],
    )?;
    rows.into_iter().map(batch).collect()
}

/// Gives the batches that begin before an entry, or all, and what is said of them, to another branch: the two have them in
/// common, and the branch that is followed has its journal from its first entry on.
///
/// # Errors
/// [`StoreError`].
pub fn give(tx: &mut dyn Tx, site: &SiteId, from: u64, to: u64, before: Option<u64>) -> Result<(), StoreError> {
    let before = before.map_or(Value::Int(i64::MAX), Value::from);
    for table in ["batch", "order_batch"] {
        let statement = format!("UPDATE {table} SET branch = $1 WHERE site = $2 AND branch = $3 AND first < $4");
        tx.execute(
            &statement,
            &[to.into(), site.as_str().into(), from.into(), before.clone()],
        )?;
    }
    Ok(())
}

/// Gives another branch the batches too that begin from `first` on and before `before`.
///
/// # Errors
/// [`StoreError`].
pub fn share(tx: &mut dyn Tx, site: &SiteId, from: u64, to: u64, first: u64, before: u64) -> Result<(), StoreError> {
    let shared = [
        "INSERT INTO batch (site, branch, first, last, prev, dictionary, raw, body, sig, taken_at) \
         SELECT site, CAST($1 AS BIGINT), first, last, prev, dictionary, raw, body, sig, taken_at",
        "INSERT INTO order_batch (site, order_id, branch, first) SELECT site, order_id, CAST($1 AS BIGINT), first",
    ];
    for (insert, table) in shared.into_iter().zip(["batch", "order_batch"]) {
        let statement = format!("{insert} FROM {table} WHERE site = $2 AND branch = $3 AND first >= $4 AND first < $5");
        tx.execute(
            &statement,
            &[
                to.into(),
                site.as_str().into(),
                from.into(),
                first.into(),
                before.into(),
            ],
        )?;
    }
    Ok(())
}

/// Takes the batches of a branch away that begin from an entry on and before another, with what is said of them.
///
/// # Errors
/// [`StoreError`].
pub fn remove(tx: &mut dyn Tx, site: &SiteId, branch: u64, from: u64, to: Option<u64>) -> Result<(), StoreError> {
    let to = to.map_or(Value::Int(i64::MAX), Value::from);
    for table in ["batch", "order_batch"] {
        let statement = format!("DELETE FROM {table} WHERE site = $1 AND branch = $2 AND first >= $3 AND first < $4");
        tx.execute(
            &statement,
            &[site.as_str().into(), branch.into(), from.into(), to.clone()],
        )?;
    }
    Ok(())
}

/// How many bytes the batches of a branch have, packed, that begin from an entry on.
///
/// # Errors
/// [`StoreError`].
pub fn bytes_from(tx: &mut dyn Tx, site: &SiteId, branch: u64, first: u64) -> Result<u64, StoreError> {
    let row = tx.query_optional(
        "SELECT CAST(COALESCE(SUM(LENGTH(body)), 0) AS BIGINT) FROM batch WHERE site = $1 AND branch = $2 AND first >= $3",
        &[site.as_str().into(), branch.into(), first.into()],
    )?;
    row.map_or(Ok(0), |mut row| row.count(0))
}

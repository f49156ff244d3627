//! Sites' journals in the database: batches, as they came.

use super::{
    Column, Row, SetStatement, StoreError, Tx,
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

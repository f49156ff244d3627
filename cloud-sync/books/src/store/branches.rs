//! Branches of a site's journal in the database: what a restored or cloned site has said that is not followed, and what was
//! followed before another branch was.

use super::{LookUp, Row, SetStatement, StoreError, Tx, Value, set};
use domain::{
    ids::{OrderId, SiteId},
    journal::{Hash, Head},
    time::Wall,
    units::Fen,
};
use set::{Present, int, text};

/// A branch of a site's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Its number: no other of the site has it, or had it.
    pub number: u64,
    /// The last place that it has in common with the branch that is followed; of that one itself, with the one before it.
    pub left: Head,
    /// The first entry of its own batches. Where it leaves in the middle of one, this is the first of that.
    pub first: u64,
    /// Its end; of the branch that is followed the site's head is that.
    pub head: Head,
    /// How many bytes its own batches have, packed.
    pub bytes: u64,
    /// When the last of them was taken, by head office's clock.
    pub taken_at: Wall,
}

const COLUMNS: &str = "branch, left_seq, left_hash, first, seq, hash, bytes, taken_at";

fn hash(bytes: Vec<u8>) -> Result<Hash, StoreError> {
    let bytes = bytes.try_into();
    bytes
        .map(Hash)
        .map_err(|_| StoreError::Broken("a hash of a branch has not 32 bytes".to_owned()))
}

fn branch(mut row: Row) -> Result<Branch, StoreError> {
    Ok(Branch {
        number: row.count(0)?,
        left: Head {
            seq: row.count(1)?,
            hash: hash(row.bytes(2)?)?,
        },
        first: row.count(3)?,
        head: Head {
            seq: row.count(4)?,
            hash: hash(row.bytes(5)?)?,
        },
        bytes: row.count(6)?,
        taken_at: Wall(row.int(7)?),
    })
}

/// All of a site, the one that is followed too if the site did not begin with it, by number.
///
/// # Errors
/// [`StoreError`].
pub fn all(tx: &mut dyn Tx, site: &SiteId) -> Result<Vec<Branch>, StoreError> {
    let statement = format!("SELECT {COLUMNS} FROM branch WHERE site = $1 ORDER BY branch");
    let rows = tx.query(&statement, &[site.as_str().into()])?;
    rows.into_iter().map(branch).collect()
}

/// Those that are not followed.
///
/// # Errors
/// [`StoreError`].
pub fn others(tx: &mut dyn Tx, site: &SiteId, followed: u64) -> Result<Vec<Branch>, StoreError> {
    let mut all = all(tx, site)?;
    all.retain(|branch| branch.number != followed);
    Ok(all)
}

/// The place from which a branch is followed; none where the site began with it.
///
/// # Errors
/// [`StoreError`].
pub fn left(tx: &mut dyn Tx, site: &SiteId, number: u64) -> Result<Option<Head>, StoreError> {
    let statement = format!("SELECT {COLUMNS} FROM branch WHERE site = $1 AND branch = $2");
    let row = tx.query_optional(&statement, &[site.as_str().into(), number.into()])?;
    Ok(row.map(branch).transpose()?.map(|branch| branch.left))
}

/// Whether a branch was followed once: something of it is booked.
///
/// # Errors
/// [`StoreError`].
pub fn was_followed(tx: &mut dyn Tx, site: &SiteId, number: u64) -> Result<bool, StoreError> {
    let booked = tx.query_optional(
        "SELECT id FROM transfer WHERE site = $1 AND branch = $2 LIMIT 1",
        &[site.as_str().into(), number.into()],
    )?;
    Ok(booked.is_some())
}

/// Forgets a branch whose batches were given to another.
///
/// # Errors
/// [`StoreError`].
pub fn remove(tx: &mut dyn Tx, site: &SiteId, number: u64) -> Result<(), StoreError> {
    let values = [site.as_str().into(), number.into()];
    tx.execute("DELETE FROM branch WHERE site = $1 AND branch = $2", &values)
        .map(drop)
}

/// A number that no branch of the site has, or had.
///
/// # Errors
/// [`StoreError`].
pub fn next_number(tx: &mut dyn Tx, site: &SiteId, followed: u64) -> Result<u64, StoreError> {
    let all = all(tx, site)?;
    Ok(all.last().map_or(followed, |last| last.number.max(followed)) + 1)
}

/// Writes a branch, as it is now.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, site: &SiteId, branch: &Branch) -> Result<(), StoreError> {
    const PUT: &str = "INSERT INTO branch (site, branch, left_seq, left_hash, first, seq, hash, bytes, taken_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (site, branch) DO UPDATE SET \
         left_seq = excluded.left_seq, left_hash = excluded.left_hash, first = excluded.first, seq = excluded.seq, \
         hash = excluded.hash, bytes = excluded.bytes, taken_at = excluded.taken_at";
    let values = [
        site.as_str().into(),
        branch.number.into(),
        branch.left.seq.into(),
        branch.left.hash.0.as_slice().into(),
        branch.first.into(),
        branch.head.seq.into(),
        branch.head.hash.0.as_slice().into(),
        branch.bytes.into(),
        branch.taken_at.0.into(),
    ];
    tx.execute(PUT, &values).map(drop)
}

const ORDERS: SetStatement = SetStatement {
    table: "branch_order",
    keys: 3,
    columns: &[text("site"), text("order_id"), int("branch"), int("fee")],
    present: Present::Replace,
};

/// An order, and its bill.
pub type Billed = (OrderId, Fen);

const FEES: LookUp = LookUp {
    table: "r_order",
    keys: &[text("site"), text("id")],
    columns: &[text("id"), int("fee")],
};

/// Orders with their bills by a site's rows; of one that has none it is nothing.
///
/// # Errors
/// [`StoreError`].
pub fn billed(
    tx: &mut dyn Tx,
    site: &SiteId,
    orders: impl IntoIterator<Item = OrderId>,
) -> Result<Vec<Billed>, StoreError> {
    let key = |order: OrderId| vec![site.as_str().into(), order.as_str().into()];
    let keys: Vec<Vec<Value>> = orders.into_iter().map(key).collect();
    let mut found = Vec::with_capacity(keys.len());
    for mut row in tx.find_all(&FEES, &keys)? {
        let id = row.text(0)?;
        let id = id
            .parse()
            .map_err(|error| StoreError::Broken(format!("the id of an order, {id}: {error}")))?;
        found.push((id, Fen(row.optional_int(1)?.unwrap_or(0))));
    }
    Ok(found)
}

/// Keeps which orders were settled on a branch that is not followed any more, in place of what was kept of it.
///
/// # Errors
/// [`StoreError`].
pub fn keep_settled(tx: &mut dyn Tx, site: &SiteId, branch: u64, orders: &[Billed]) -> Result<(), StoreError> {
    let row = |(order, fee): &Billed| vec![site.as_str().into(), order.as_str().into(), branch.into(), fee.0.into()];
    tx.write_all(&ORDERS, &orders.iter().map(row).collect::<Vec<_>>())
}

/// Forgets it: the branch is followed again.
///
/// # Errors
/// [`StoreError`].
pub fn forget_settled(tx: &mut dyn Tx, site: &SiteId, branch: u64) -> Result<(), StoreError> {
    let values = [site.as_str().into(), branch.into()];
    tx.execute("DELETE FROM branch_order WHERE site = $1 AND branch = $2", &values)
        .map(drop)
}

/// On which other branches an order was settled, and its bills there: each is told once.
///
/// # Errors
/// [`StoreError`].
pub fn tell_settled(tx: &mut dyn Tx, site: &SiteId, order: &OrderId) -> Result<Vec<(u64, Fen)>, StoreError> {
    let rows = tx.query(
        "DELETE FROM branch_order WHERE site = $1 AND order_id = $2 RETURNING branch, fee",
        &[site.as_str().into(), order.as_str().into()],
    )?;
    let mut told = Vec::with_capacity(rows.len());
    for mut row in rows {
        told.push((row.count(0)?, Fen(row.int(1)?)));
    }
    told.sort_by_key(|(branch, _)| *branch);
    Ok(told)
}

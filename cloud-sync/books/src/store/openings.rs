//! Openings of sites in the database: the rows with which a station with a history has joined, or is to join (rule 13). They are kept,
//! as its rows are made anew from there.

use super::{
    SetStatement, StoreError, Tx,
    set::{Present, bytes, int, text},
};
use domain::ids::SiteId;
use protocol::{opening::Begins, pack};

const PARTS: SetStatement = SetStatement {
    table: "opening_part",
    keys: 2,
    columns: &[text("site"), int("n"), int("raw"), bytes("body")],
    present: Present::Refuse,
};

/// Some rows of an opening: JSON, a line each, packed with zstd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    raw: usize,
    body: Vec<u8>,
}

impl Part {
    /// Packs some lines.
    pub fn pack(lines: &[u8]) -> Self {
        Self {
            raw: lines.len(),
            body: pack::Packer::with(0).pack(lines),
        }
    }

    /// The lines.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub fn unpack(&self) -> Result<Vec<u8>, StoreError> {
        pack::unpack(0, &self.body, self.raw)
            .map_err(|error| StoreError::Broken(format!("a part of an opening: {error}")))
    }
}

/// Keeps an opening in place of what was kept before. What it comes to is kept as it is, for people.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, begins: &Begins, totals: &str, parts: &[Part]) -> Result<(), StoreError> {
    let site = begins.site.as_str();
    for table in ["opening_part", "opening"] {
        tx.execute(&format!("DELETE FROM {table} WHERE site = $1"), &[site.into()])?;
    }
    let text = serde_json::to_string(begins).map_err(|error| StoreError::Broken(error.to_string()))?;
    tx.execute(
        "INSERT INTO opening (site, begins, totals) VALUES ($1, $2, $3)",
        &[site.into(), text.into(), totals.into()],
    )?;
    for (n, part) in (0_u64..).zip(parts) {
        let row = vec![
            site.into(),
            n.into(),
            (part.raw as u64).into(),
            part.body.as_slice().into(),
        ];
        tx.write_all(&PARTS, &[row])?;
    }
    Ok(())
}

/// What is kept of a site: what it is, and what it comes to.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, site: &SiteId) -> Result<Option<(Begins, String)>, StoreError> {
    let row = tx.query_optional(
        "SELECT begins, totals FROM opening WHERE site = $1",
        &[site.as_str().into()],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let begins =
        serde_json::from_str(&row.text(0)?).map_err(|error| StoreError::Broken(format!("an opening: {error}")))?;
    Ok(Some((begins, row.text(1)?)))
}

/// Its rows, in order.
///
/// # Errors
/// [`StoreError`].
pub fn parts(tx: &mut dyn Tx, site: &SiteId) -> Result<Vec<Part>, StoreError> {
    let rows = tx.query(
        "SELECT raw, body FROM opening_part WHERE site = $1 ORDER BY n",
        &[site.as_str().into()],
    )?;
    let part = |mut row: super::Row| {
        let raw = usize::try_from(row.count(0)?).map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok(Part {
            raw,
            body: row.bytes(1)?,
        })
    };
    rows.into_iter().map(part).collect()
}

//! Sites that people have named as missing when they let wallets go after head office's database was restored from a copy (rule 4):
//! what such a site has taken since the copy nobody knows, nor which vouchers are on their way to it.

use super::{Row, StoreError, Tx};
use domain::{ids::SiteId, time::Wall};

fn site(mut row: Row) -> Result<SiteId, StoreError> {
    let id = row.text(0)?.parse();
    id.map_err(|_| StoreError::Broken("the id of a missing site".to_owned()))
}

/// Names a site as missing, since the life of head office's began that it has not heard.
///
/// # Errors
/// [`StoreError`].
pub fn name(tx: &mut dyn Tx, id: &SiteId, since: Wall, by: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO missing_site (site, since, named_by) VALUES ($1, $2, $3) \
         ON CONFLICT (site) DO UPDATE SET since = excluded.since, named_by = excluded.named_by",
        &[id.as_str().into(), since.0.into(), by.into()],
    )
    .map(drop)
}

/// The site takes nothing any more that was issued before a time: whether it was missing since then, and is so no more.
///
/// # Errors
/// [`StoreError`].
pub fn is_back(tx: &mut dyn Tx, id: &SiteId, since: Wall) -> Result<bool, StoreError> {
    let gone = tx.execute(
        "DELETE FROM missing_site WHERE site = $1 AND since <= $2",
        &[id.as_str().into(), since.0.into()],
    )?;
    Ok(gone > 0)
}

/// All of them.
///
/// # Errors
/// [`StoreError`].
pub fn all(tx: &mut dyn Tx) -> Result<Vec<SiteId>, StoreError> {
    let rows = tx.query("SELECT site FROM missing_site ORDER BY site", &[])?;
    rows.into_iter().map(site).collect()
}

//! What sites say of head office that this database does not know (rule 3): a life of it, a place up to which it has
//! acknowledged their journals, or a directive. It was restored from a copy, or a failover lost its last commits; until people have said so, by
//! `restored`, nothing is acknowledged to these sites.

use super::{Row, StoreError, Tx, identity};
use domain::{ids::SiteId, journal::Head, time::Wall};
use protocol::frame::HqEpoch;

/// What a site has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Which site.
    pub site: SiteId,
    /// The life of head office's that it last heard of.
    pub hq_epoch: Option<HqEpoch>,
    /// The place up to which its journal was acknowledged.
    pub acknowledged: Option<Head>,
    /// When it said so first, by head office's clock.
    pub said_at: Wall,
    /// Whether people know of it.
    pub is_known: bool,
}

const COLUMNS: &str = "site, hq_epoch, place, said_at, known";

fn forgotten(mut row: Row) -> Result<Forgotten, StoreError> {
    let bad = |what: &str| StoreError::Broken(format!("{what} that a site has named is not as it was kept"));
    let epoch = row.optional_text(1)?.map(HqEpoch::try_from).transpose();
    let place = row.optional_text(2)?.map(|place| place.parse()).transpose();
    Ok(Forgotten {
        site: row.text(0)?.parse().map_err(|_| bad("the site"))?,
        hq_epoch: epoch.map_err(|_| bad("a life of head office"))?,
        acknowledged: place.map_err(|_| bad("a place"))?,
        said_at: Wall(row.int(3)?),
        is_known: row.int(4)? != 0,
    })
}

/// What a site has said, if it has.
///
/// # Errors
/// [`StoreError`].
pub fn of(tx: &mut dyn Tx, site: &SiteId) -> Result<Option<Forgotten>, StoreError> {
    let statement = format!("SELECT {COLUMNS} FROM forgotten WHERE site = $1");
    let row = tx.query_optional(&statement, &[site.as_str().into()])?;
    row.map(forgotten).transpose()
}

/// What sites have said that people do not know of, by site.
///
/// # Errors
/// [`StoreError`].
pub fn unknown(tx: &mut dyn Tx) -> Result<Vec<Forgotten>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM forgotten WHERE known = 0 ORDER BY site"),
        &[],
    )?;
    rows.into_iter().map(forgotten).collect()
}

/// Keeps what a site says, in place of what it said before.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, said: &Forgotten) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO forgotten (site, hq_epoch, place, said_at, known) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (site) DO UPDATE SET hq_epoch = excluded.hq_epoch, place = excluded.place, said_at = excluded.said_at, known = excluded.known",
        &[
            said.site.as_str().into(),
            said.hq_epoch.map(|epoch| epoch.to_string()).into(),
            said.acknowledged.map(|place| place.to_string()).into(),
            said.said_at.0.into(),
            said.is_known.into(),
        ],
    )
    .map(drop)
}

/// A site says nothing any more that is not known.
///
/// # Errors
/// [`StoreError`].
pub fn remove(tx: &mut dyn Tx, site: &SiteId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM forgotten WHERE site = $1", &[site.as_str().into()])
        .map(drop)
}

/// People know of all that sites have said: the lives that they named are former ones of this database's.
///
/// # Errors
/// [`StoreError`].
pub fn know(tx: &mut dyn Tx, now: Wall) -> Result<(), StoreError> {
    for said in unknown(tx)? {
        if let Some(epoch) = said.hq_epoch {
            identity::has_lived(tx, epoch, now)?;
        }
        put(tx, &Forgotten { is_known: true, ..said })?;
    }
    Ok(())
}

//! A station with a history joins (rule 13): one person brings its opening, another approves it, and its journal is followed from
//! there. Its balances are booked against `opening:{site}`.

use crate::{
    ingest::{
        SiteCopy,
        opening::{self, NotOpened, Opened},
    },
    store::{
        StoreError, Tx, ledger, openings,
        queries::sites::find,
        replica,
        sites::{self, Site},
    },
};
use domain::{journal::Head, time::Wall};

/// Keeps an opening that was read, for somebody else to approve.
///
/// # Errors
/// [`StoreError`].
pub fn propose(tx: &mut dyn Tx, site: &Site, opened: &Opened) -> Result<Result<(), NotOpened>, StoreError> {
    if let Err(why) = opening::may_begin(site, opened.begins.head, begins_after(tx, site)?) {
        return Ok(Err(why));
    }
    let totals = serde_json::to_string(&opened.totals).map_err(|error| StoreError::Broken(error.to_string()))?;
    openings::put(tx, &opened.begins, &totals, &opened.parts)?;
    Ok(Ok(()))
}

/// The place after which a site's journal begins, by what it last said.
fn begins_after(tx: &mut dyn Tx, site: &Site) -> Result<Option<Head>, StoreError> {
    let row = find(tx, site.id.as_str())?;
    Ok(row.and_then(|row| row.said).and_then(|said| said.begins_after))
}

/// Whether a site may begin with the opening that is kept of it.
///
/// # Errors
/// [`StoreError`].
pub fn may_approve(tx: &mut dyn Tx, site: &Site, place: Head) -> Result<Result<(), NotOpened>, StoreError> {
    Ok(opening::may_begin(site, place, begins_after(tx, site)?))
}

/// Begins a site with the opening that is kept of it: its rows, its head and its balances. Its owner alone may do it, and has to load
/// its copy anew. How many accounts were opened.
///
/// # Errors
/// [`StoreError::NotOwner`]; [`StoreError::Broken`]: there is no opening, or its rows are not what it says.
pub fn approve(tx: &mut dyn Tx, me: &str, site: &Site, now: Wall) -> Result<u64, StoreError> {
    super::replica::clear(tx, &site.id)?;
    let laid = opening::lay_down(tx, None, site)?;
    let place = laid.0.head;
    let copy = SiteCopy::opened(tx, site, laid)?;
    let rows = replica::balances(tx, &site.id)?;
    let (of, day) = ((&site.id, site.branch, place.seq), copy.site().day);
    let opened = ledger::open_site(tx, of, &rows, (day, now))?;
    sites::begin(tx, me, site, copy.site())?;
    Ok(opened)
}

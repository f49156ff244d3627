//! Files of channels' bills.

use super::{Filter, Page};
use crate::store::{
    StoreError, Tx,
    bills::{COLUMNS, File, file},
};
use domain::time::Wall;

/// Files that were imported, the newest first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn list(
    tx: &mut dyn Tx,
    channel: Option<&str>,
    after: Option<(Wall, u64)>,
    limit: usize,
) -> Result<Page<File>, StoreError> {
    let mut filter = Filter::default();
    filter.and("state = 'imported'", []);
    filter.and_if("channel = ?", channel);
    if let Some((made_at, id)) = after {
        filter.and("(made_at, id) < (?, ?)", [made_at.0.into(), id.into()]);
    }
    filter.page(tx, COLUMNS, "bill_file", "made_at DESC, id DESC", limit, file)
}

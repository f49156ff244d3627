//! Files of channels' bills.

use super::{Filter, Page};
use crate::store::{
    StoreError, Tx,
    bill_proposals::{self, Proposal, State, proposal},
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

/// Proposals about bills, the newest first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn proposals(
    tx: &mut dyn Tx,
    state: Option<State>,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<Proposal>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("state = ?", state.map(State::word));
    if let Some((at, id)) = after {
        filter.and("(proposed_at, id) < (?, ?)", [at.0.into(), id.into()]);
    }
    let columns = bill_proposals::COLUMNS;
    filter.page(
        tx,
        columns,
        "bill_proposal",
        "proposed_at DESC, id DESC",
        limit,
        proposal,
    )
}

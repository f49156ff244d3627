//! A channel's callbacks, for people.

use super::{Filter, Page};
use crate::store::{
    StoreError, Tx,
    callbacks::{self, Heard},
};
use domain::time::Wall;

/// Which are asked for: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Which {
    /// Our number that they name.
    pub reference: Option<String>,
    /// The channel's number that they name.
    pub transaction: Option<String>,
    /// Whether the channel has signed them.
    pub is_signed: Option<bool>,
}

/// Callbacks of a channel, the newest first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn callbacks(
    tx: &mut dyn Tx,
    channel: &str,
    which: &Which,
    after: Option<(Wall, String)>,
    limit: usize,
) -> Result<Page<Heard>, StoreError> {
    let mut filter = Filter::default();
    filter.and("channel = ?", [channel.into()]);
    filter.and_if("ref = ?", which.reference.as_deref());
    filter.and_if("transaction_id = ?", which.transaction.as_deref());
    if let Some(is_signed) = which.is_signed {
        filter.and("is_signed = ?", [is_signed.into()]);
    }
    if let Some((at, id)) = after {
        filter.and("(at, id) < (?, ?)", [at.0.into(), id.into()]);
    }
    filter.page(
        tx,
        callbacks::COLUMNS,
        "callback",
        "at DESC, id DESC",
        limit,
        callbacks::heard,
    )
}

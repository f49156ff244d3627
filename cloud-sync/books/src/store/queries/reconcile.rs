//! Runs of reconciliation, and what they found.

use super::{Filter, Page};
use crate::{
    reconcile::words::Class,
    store::{
        StoreError, Tx,
        discrepancies::{self, Discrepancy, State},
        reconcile_runs::{self, Run},
    },
};
use domain::time::Day;

const ORDER: &str = "day DESC, id DESC";

/// Runs, the newest days first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn runs(
    tx: &mut dyn Tx,
    scope: Option<&str>,
    after: Option<(Day, u64)>,
    limit: usize,
) -> Result<Page<Run>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("scope = ?", scope);
    if let Some((day, id)) = after {
        filter.and("(day, id) < (?, ?)", [day.to_string().into(), id.into()]);
    }
    filter.page(tx, reconcile_runs::COLUMNS, "run", ORDER, limit, reconcile_runs::run)
}

/// Which discrepancies are asked for: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Which {
    /// Of this scope.
    pub scope: Option<String>,
    /// Of this class.
    pub class: Option<Class>,
    /// So far.
    pub state: Option<State>,
    /// Since this day.
    pub day: Option<Day>,
}

/// Discrepancies, the newest days first, after a place in the list.
///
/// # Errors
/// [`StoreError`].
pub fn discrepancies(
    tx: &mut dyn Tx,
    which: &Which,
    after: Option<(Day, u64)>,
    limit: usize,
) -> Result<Page<Discrepancy>, StoreError> {
    let mut filter = Filter::default();
    filter.and_if("scope = ?", which.scope.as_deref());
    filter.and_if("class = ?", which.class.map(Class::code));
    filter.and_if("day = ?", which.day.map(|day| day.to_string()));
    filter.and_if("state = ?", which.state.map(State::word));
    if which
        .state
        .is_some_and(|state| !matches!(state, State::Posted | State::Cleared))
    {
        // Of what was ever found little is open: there is an index of that.
        filter.and("closed_at IS NULL", []);
    }
    if let Some((day, id)) = after {
        filter.and("(day, id) < (?, ?)", [day.to_string().into(), id.into()]);
    }
    let columns = discrepancies::COLUMNS;
    filter.page(tx, columns, "discrepancy", ORDER, limit, discrepancies::discrepancy)
}

//! What people have decided of what runs find, by the days of a scope: what is open no more, though it is found still.

use super::{
    Row, StoreError, Tx,
    reconcile_runs::{Group, group},
};
use crate::reconcile::{days::Window, stake::Kind, totals::Sum};
use domain::{
    time::{Day, Wall},
    units::Fen,
};

/// Verdicts of one kind of which the same was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// They.
    pub of: Group,
    /// Whether they were written off.
    pub is_write_off: bool,
}

/// Of what is open at the end of a scope's day, what is decided by then, by kind.
///
/// # Errors
/// [`StoreError`].
pub fn open(tx: &mut dyn Tx, scope: &str, day: Day, ends_at: Wall) -> Result<Vec<Decided>, StoreError> {
    let rows = tx.query(
        &format!(
            "SELECT v.leg, v.source, v.class, v.is_matched, 0, COUNT(*), CAST(SUM(v.amount) AS BIGINT), \
             CASE WHEN x.kind = '{}' THEN 1 ELSE 0 END FROM discrepancy_decision x CROSS JOIN discrepancy d CROSS JOIN verdict v \
             WHERE x.state = 'approved' AND x.checked_at < $3 AND (x.over_at IS NULL OR x.over_at >= $3) AND d.id = x.discrepancy \
             AND d.scope = $1 AND v.scope = d.scope AND v.leg = d.leg AND v.source = d.source AND v.ref = d.ref AND v.of_day = d.of_day \
             AND v.n = d.n AND v.class = d.class AND v.day <= $2 AND (v.until IS NULL OR v.until > $2) \
             GROUP BY v.leg, v.source, v.class, v.is_matched, CASE WHEN x.kind = '{0}' THEN 1 ELSE 0 END",
            Kind::WriteOff.word()
        ),
        &[scope.into(), day.to_string().into(), ends_at.0.into()],
    )?;
    let decided = |mut row: Row| {
        Ok(Decided {
            is_write_off: row.int(7)? != 0,
            of: group(row)?,
        })
    };
    rows.into_iter().map(decided).collect()
}

/// What was decided on a day, less what did not count any more from it on: how many decisions, and of how much.
///
/// # Errors
/// [`StoreError`].
pub fn on(tx: &mut dyn Tx, scope: &str, window: &Window) -> Result<Sum, StoreError> {
    let mut sum = |at: &str| -> Result<Sum, StoreError> {
        let row = tx.query_optional(
            &format!(
                "SELECT COUNT(*), CAST(COALESCE(SUM(x.stake), 0) AS BIGINT) FROM discrepancy_decision x CROSS JOIN discrepancy d \
                 WHERE x.state = 'approved' AND x.{at} >= $2 AND x.{at} < $3 AND d.id = x.discrepancy AND d.scope = $1"
            ),
            &[scope.into(), window.begin.0.into(), window.end.0.into()],
        )?;
        let mut row = row.ok_or_else(|| StoreError::Broken("a sum has no row".to_owned()))?;
        Ok(Sum {
            count: row.int(0)?,
            amount: Fen(row.int(1)?),
        })
    };
    Ok(sum("checked_at")?.minus(sum("over_at")?))
}

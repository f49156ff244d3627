//! What runs of sites say, in the database. A site's day is small: row by row.

use super::{StoreError, Tx, Value};
use crate::reconcile::{
    site_day::{Row, Said},
    words::Ended,
};
use domain::time::Day;

/// As if no day from one on had been done.
///
/// # Errors
/// [`StoreError`].
pub fn take_back(tx: &mut dyn Tx, scope: &str, day: Day) -> Result<(), StoreError> {
    let values: [Value; 2] = [scope.into(), day.to_string().into()];
    tx.execute(
        "UPDATE verdict SET until = NULL, ended = NULL WHERE scope = $1 AND until >= $2",
        &values,
    )?;
    tx.execute("DELETE FROM verdict WHERE scope = $1 AND day >= $2", &values)
        .map(drop)
}

/// Says what differs from a day on. Of what was said before it is not said again.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, scope: &str, day: Day, said: &[Said]) -> Result<(), StoreError> {
    for Said {
        row,
        of_day,
        at,
        amount,
        ours,
        theirs,
        order,
    } in said
    {
        tx.execute(
            "INSERT INTO verdict (scope, leg, source, ref, file, line, class, is_matched, day, of_day, at, amount, ours, theirs, other, n) \
             VALUES ($1, $2, $3, $4, 0, 0, $5, 0, $6, $7, $8, $9, $10, $11, $12, 0) ON CONFLICT DO NOTHING",
            &[
                scope.into(),
                row.leg.code().into(),
                row.source.code().into(),
                row.reference.as_str().into(),
                row.class.code().into(),
                day.to_string().into(),
                of_day.to_string().into(),
                at.0.into(),
                amount.0.into(),
                (*ours).into(),
                (*theirs).into(),
                order.as_deref().into(),
            ],
        )?;
    }
    Ok(())
}

/// What was said of rows is over on a day, by this.
///
/// # Errors
/// [`StoreError`].
pub fn end(tx: &mut dyn Tx, scope: &str, day: Day, over: &[Row], by: Ended) -> Result<(), StoreError> {
    for row in over {
        tx.execute(
            "UPDATE verdict SET until = $1, ended = $2 WHERE scope = $3 AND leg = $4 AND source = $5 AND ref = $6 AND class = $7 \
             AND until IS NULL",
            &[
                day.to_string().into(),
                by.code().into(),
                scope.into(),
                row.leg.code().into(),
                row.source.code().into(),
                row.reference.as_str().into(),
                row.class.code().into(),
            ],
        )?;
    }
    Ok(())
}

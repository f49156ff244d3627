//! What runs of sites say, in the database. A site's day is small: row by row.

use super::{StoreError, Tx, Value};
use crate::reconcile::{
    site_day::{Row, Said},
    words::{Class, Ended, Leg, Source},
};
use domain::time::Day;
use std::collections::BTreeSet;

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

/// What is said of a row, as it was said last.
struct SaidLast {
    /// How often it was said before.
    again: i64,
    day: Day,
    of_day: Day,
    is_over: bool,
    values: [Value; 3],
}

fn said_last(tx: &mut dyn Tx, scope: &str, row: &Row) -> Result<Option<SaidLast>, StoreError> {
    let found = tx.query_optional(
        "SELECT file, day, of_day, CASE WHEN until IS NULL THEN 0 ELSE 1 END, amount, ours, theirs FROM verdict \
         WHERE scope = $1 AND leg = $2 AND source = $3 AND ref = $4 AND line = 0 AND class = $5 AND is_matched = 0 ORDER BY file DESC LIMIT 1",
        &key(scope, row),
    )?;
    let Some(mut found) = found else { return Ok(None) };
    let day = |text: String| text.parse::<Day>().map_err(StoreError::Broken);
    Ok(Some(SaidLast {
        again: found.int(0)?,
        day: day(found.text(1)?)?,
        of_day: day(found.text(2)?)?,
        is_over: found.int(3)? != 0,
        values: [
            found.int(4)?.into(),
            found.optional_int(5)?.into(),
            found.optional_int(6)?.into(),
        ],
    }))
}

fn key(scope: &str, row: &Row) -> [Value; 5] {
    [
        scope.into(),
        row.leg.code().into(),
        row.source.code().into(),
        row.reference.as_str().into(),
        row.class.code().into(),
    ]
}

/// Says what differs from a day on. Of what was said before, and holds still, nothing is said again; where it has other values now, what was
/// said is over on the day, and these are. A row that differs again is of the day that it was of first: it is the same discrepancy.
///
/// # Errors
/// [`StoreError`].
pub fn put(tx: &mut dyn Tx, scope: &str, day: Day, said: &[Said]) -> Result<(), StoreError> {
    for of in said {
        let values: [Value; 3] = [of.amount.0.into(), of.ours.into(), of.theirs.into()];
        let last = said_last(tx, scope, &of.row)?;
        if let Some(last) = &last
            && !last.is_over
        {
            if last.values == values {
                continue;
            }
            match last.day == day {
                // Twice on one day: the last word counts.
                true => take_back_one(tx, scope, &of.row, last.again)?,
                false => end(tx, scope, day, std::slice::from_ref(&of.row), Ended::Changed)?,
            }
        }
        let again = last.as_ref().map_or(0, |last| last.again + 1);
        let of_day = last.map_or(of.of_day, |last| last.of_day);
        insert(tx, (scope, day), of, (again, of_day))?;
    }
    Ok(())
}

fn take_back_one(tx: &mut dyn Tx, scope: &str, row: &Row, again: i64) -> Result<(), StoreError> {
    let mut values = key(scope, row).to_vec();
    values.push(again.into());
    tx.execute(
        "DELETE FROM verdict WHERE scope = $1 AND leg = $2 AND source = $3 AND ref = $4 AND class = $5 AND file = $6",
        &values,
    )
    .map(drop)
}

/// Rows are of no file: by its number those are told apart in which the same is said again.
fn insert(
    tx: &mut dyn Tx,
    (scope, day): (&str, Day),
    of: &Said,
    (again, of_day): (i64, Day),
) -> Result<(), StoreError> {
    let row = &of.row;
    tx.execute(
        "INSERT INTO verdict (scope, leg, source, ref, file, line, class, is_matched, day, of_day, at, amount, ours, theirs, other, n) \
         VALUES ($1, $2, $3, $4, $5, 0, $6, 0, $7, $8, $9, $10, $11, $12, $13, 0)",
        &[
            scope.into(),
            row.leg.code().into(),
            row.source.code().into(),
            row.reference.as_str().into(),
            again.into(),
            row.class.code().into(),
            day.to_string().into(),
            of_day.to_string().into(),
            of.at.0.into(),
            of.amount.0.into(),
            of.ours.into(),
            of.theirs.into(),
            of.order.as_deref().into(),
        ],
    )
    .map(drop)
}

/// Whether anything was said of a row on a day before, be it over or not.
///
/// # Errors
/// [`StoreError`].
pub fn is_said_before(tx: &mut dyn Tx, scope: &str, row: &Row, day: Day) -> Result<bool, StoreError> {
    let mut values = key(scope, row).to_vec();
    values.push(day.to_string().into());
    let found = tx.query_optional(
        "SELECT 1 FROM verdict WHERE scope = $1 AND leg = $2 AND source = $3 AND ref = $4 AND class = $5 AND day < $6 LIMIT 1",
        &values,
    )?;
    Ok(found.is_some())
}

/// The rows of a kind of which something was said before a day and holds still when it begins.
///
/// # Errors
/// [`StoreError`].
pub fn open_before(
    tx: &mut dyn Tx,
    scope: &str,
    (leg, source, class): (Leg, Source, Class),
    day: Day,
) -> Result<BTreeSet<String>, StoreError> {
    let rows = tx.query(
        "SELECT ref FROM verdict WHERE scope = $1 AND leg = $2 AND source = $3 AND class = $4 AND day < $5 AND (until IS NULL OR until >= $5)",
        &[
            scope.into(),
            leg.code().into(),
            source.code().into(),
            class.code().into(),
            day.to_string().into(),
        ],
    )?;
    rows.into_iter().map(|mut row| row.text(0)).collect()
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

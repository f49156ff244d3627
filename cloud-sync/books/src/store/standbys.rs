//! Whether what is committed here is with the machine that takes the database's place, too: a commit that was answered is
//! acknowledged to sites, which forget it some day.

use super::{Access, Dialect, Engine, Place, StoreError, Tx, checked::Checked, postgres::Postgres};

/// What is wrong with that, and what to do; none where it is right, or there is no such machine.
///
/// # Errors
/// [`StoreError`].
pub fn trouble(tx: &mut dyn Tx) -> Result<Option<String>, StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(None);
    }
    // Whoever may not see what a standby does sees that it is there.
    let row = tx.query_optional(
        "SELECT CAST(current_setting('synchronous_standby_names') AS TEXT), (SELECT COUNT(*) FROM pg_stat_replication \
         WHERE state IS NULL OR state IN ('catchup', 'streaming'))",
        &[],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let (names, standbys) = (row.text(0)?, row.count(1)?);
    Ok((names.is_empty() && standbys > 0).then(|| {
        format!(
            "{standbys} standbys follow PostgreSQL, and none of them is synchronous: when one takes its place, what was acknowledged \
             last may be missing, and sites may have forgotten it. Name them in `synchronous_standby_names`, or see that none takes \
             its place"
        )
    }))
}

/// The same without bringing the tables up to date: before the daemon runs.
///
/// # Errors
/// [`StoreError`]: the database cannot be reached.
pub fn trouble_at(place: &Place) -> Result<Option<String>, StoreError> {
    let Place::Postgres(url) = place else { return Ok(None) };
    let mut found = None;
    Postgres::new(url)?.transact(Access::Read, &mut |tx| {
        found = trouble(&mut Checked::new(tx, Access::Read))?;
        Ok(())
    })?;
    Ok(found)
}

//! Enrolments in the database: a one-time token for each site that may come in for the first time, or anew.

use super::{StoreError, Tx};
use domain::{ids::SiteId, time::Wall};
use service::secret::SecretHash;

/// An enrolment that a token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Whose.
    pub site: SiteId,
    /// Until when the token counts.
    pub until: Wall,
    /// What it was used for, if it was: the same may be asked again, where the answer was lost.
    pub used_for: Option<String>,
}

/// Lets a site enrol with this token until then; an earlier token of the site counts no more.
///
/// # Errors
/// [`StoreError::Constraint`]: there is no such site.
pub fn offer(tx: &mut dyn Tx, site: &SiteId, token: &SecretHash, until: Wall) -> Result<(), StoreError> {
    tx.execute("DELETE FROM enrolment WHERE site = $1", &[site.as_str().into()])?;
    tx.execute(
        "INSERT INTO enrolment (site, token, until) VALUES ($1, $2, $3)",
        &[site.as_str().into(), token.as_str().into(), until.0.into()],
    )
    .map(drop)
}

/// What this token opens.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, token: &SecretHash) -> Result<Option<Enrolment>, StoreError> {
    let row = tx.query_optional(
        "SELECT site, until, used_for FROM enrolment WHERE token = $1",
        &[token.as_str().into()],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let site = row.text(0)?;
    let site = site
        .parse()
        .map_err(|error| StoreError::Broken(format!("an enrolment of {site}: {error}")))?;
    Ok(Some(Enrolment {
        site,
        until: Wall(row.int(1)?),
        used_for: row.optional_text(2)?,
    }))
}

/// The token is used up, for this. Whether it was this call that used it.
///
/// # Errors
/// [`StoreError`].
pub fn use_up(tx: &mut dyn Tx, token: &SecretHash, used_for: &str) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE enrolment SET used_for = $1 WHERE token = $2 AND used_for IS NULL",
        &[used_for.into(), token.as_str().into()],
    )?;
    Ok(changed == 1)
}

/// The site may not enrol any more.
///
/// # Errors
/// [`StoreError`].
pub fn withdraw(tx: &mut dyn Tx, site: &SiteId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM enrolment WHERE site = $1", &[site.as_str().into()])
        .map(drop)
}

//! What two people decide of a site: one proposes, another approves. The database itself refuses one person twice.

use super::{Row, StoreError, Tx, Value};
use domain::{ids::SiteId, time::Wall};
use std::collections::BTreeSet;

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An entry is not applied.
    SetAside,
    /// The site never comes back.
    Close,
    /// A station with a history joins.
    Open,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::SetAside => "set_aside",
            Self::Close => "close",
            Self::Open => "open",
        }
    }
}

/// Which decision it is: at most one of a kind at a place of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Of what kind.
    pub kind: Kind,
    /// Which site.
    pub site: SiteId,
    /// Which branch of its journal.
    pub branch: u64,
    /// Which entry of it.
    pub seq: u64,
}

impl About {
    fn values(&self) -> [Value; 4] {
        [
            self.site.as_str().into(),
            self.kind.word().into(),
            self.branch.into(),
            self.seq.into(),
        ]
    }
}

/// A proposal, and whether it was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: Wall,
    /// Who approved it, if somebody has.
    pub approved_by: Option<String>,
}

/// Proposes it, in place of an earlier proposal that nobody approved.
///
/// # Errors
/// [`StoreError`].
pub fn propose(tx: &mut dyn Tx, about: &About, reason: &str, by: &str, now: Wall) -> Result<(), StoreError> {
    let mut values = about.values().to_vec();
    values.extend([reason.into(), by.into(), now.0.into()]);
    tx.execute(
        "INSERT INTO site_decision (site, kind, branch, seq, reason, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (site, kind, branch, seq) DO UPDATE SET \
         reason = excluded.reason, proposed_by = excluded.proposed_by, proposed_at = excluded.proposed_at \
         WHERE site_decision.approved_by IS NULL",
        &values,
    )
    .map(drop)
}

/// What was proposed.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, about: &About) -> Result<Option<Decision>, StoreError> {
    let row = tx.query_optional(
        "SELECT reason, proposed_by, proposed_at, approved_by FROM site_decision \
         WHERE site = $1 AND kind = $2 AND branch = $3 AND seq = $4",
        &about.values(),
    )?;
    let decision = |mut row: Row| {
        Ok(Decision {
            reason: row.text(0)?,
            proposed_by: row.text(1)?,
            proposed_at: Wall(row.int(2)?),
            approved_by: row.optional_text(3)?,
        })
    };
    row.map(decision).transpose()
}

/// Approves what was proposed and not approved. Whether there was such a proposal, by somebody else.
///
/// # Errors
/// [`StoreError`].
pub fn approve(tx: &mut dyn Tx, about: &About, by: &str, now: Wall) -> Result<bool, StoreError> {
    let mut values = about.values().to_vec();
    values.extend([by.into(), now.0.into()]);
    let approved = tx.execute(
        "UPDATE site_decision SET approved_by = $5, approved_at = $6 \
         WHERE site = $1 AND kind = $2 AND branch = $3 AND seq = $4 AND approved_by IS NULL AND proposed_by <> $5",
        &values,
    )?;
    Ok(approved == 1)
}

/// The entries of a site's branch that are not applied.
///
/// # Errors
/// [`StoreError`].
pub fn set_aside(tx: &mut dyn Tx, site: &SiteId, branch: u64) -> Result<BTreeSet<u64>, StoreError> {
    let rows = tx.query(
        "SELECT seq FROM site_decision WHERE site = $1 AND kind = $2 AND branch = $3 AND approved_by IS NOT NULL",
        &[site.as_str().into(), Kind::SetAside.word().into(), branch.into()],
    )?;
    rows.into_iter().map(|mut row| row.count(0)).collect()
}

/// Gives what was decided of entries up to this one to another branch, which has the journal up to there in common.
///
/// # Errors
/// [`StoreError`].
pub fn give(tx: &mut dyn Tx, site: &SiteId, from: u64, to: u64, seq: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE site_decision SET branch = $1 WHERE site = $2 AND kind = $3 AND branch = $4 AND seq <= $5",
        &[
            to.into(),
            site.as_str().into(),
            Kind::SetAside.word().into(),
            from.into(),
            seq.into(),
        ],
    )
    .map(drop)
}

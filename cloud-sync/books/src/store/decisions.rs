//! What two people decide of a site: one proposes, another approves. The database itself refuses one person twice.

use super::{Row, StoreError, Tx, Value, people};
use domain::{
    correction::is_anonymous,
    ids::SiteId,
    journal::{Hash, Head, hex},
    time::Wall,
};
use sha2::{Digest, Sha256};

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
    /// Which entry of it, by its hash too: another one that comes under this number is another decision.
    pub entry: Head,
}

impl About {
    fn values(&self) -> [Value; 5] {
        [
            self.site.as_str().into(),
            self.kind.word().into(),
            self.branch.into(),
            self.entry.seq.into(),
            self.entry.hash.to_string().into(),
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

impl Decision {
    /// What names this proposal, 16 hexadecimal digits: whoever approves says which one they have read.
    pub fn name(&self, about: &About) -> String {
        let parts = [
            about.site.as_str(),
            about.kind.word(),
            &about.branch.to_string(),
            &about.entry.to_string(),
            &self.proposed_by,
            &self.proposed_at.0.to_string(),
            &self.reason,
        ];
        let digest = Sha256::digest(parts.join("\n").as_bytes());
        hex(digest.get(..8).unwrap_or_default())
    }
}

/// Proposes it, in place of an earlier proposal that nobody approved.
///
/// # Errors
/// [`StoreError`].
pub fn propose(tx: &mut dyn Tx, about: &About, reason: &str, by: &str, now: Wall) -> Result<(), StoreError> {
    let mut values = about.values().to_vec();
    values.extend([reason.into(), by.into(), now.0.into()]);
    tx.execute(
        "INSERT INTO site_decision (site, kind, branch, seq, hash, reason, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (site, kind, branch, seq, hash) DO UPDATE SET \
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
         WHERE site = $1 AND kind = $2 AND branch = $3 AND seq = $4 AND hash = $5",
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

/// Approves this decision, as it was read and not approved. Whether it is still that proposal, by somebody else.
///
/// # Errors
/// [`StoreError`].
pub fn approve(tx: &mut dyn Tx, about: &About, read: &Decision, by: &str, now: Wall) -> Result<bool, StoreError> {
    // Over the socket of head office's own machine users of that are told apart, and nobody else has a name there.
    let is_local = is_anonymous(by) || is_anonymous(&read.proposed_by);
    if !is_local && !people::are_two(tx, (&read.proposed_by, read.proposed_at), (by, now))? {
        return Ok(false);
    }
    let mut values = about.values().to_vec();
    values.extend([by.into(), now.0.into()]);
    values.extend([
        read.reason.as_str().into(),
        read.proposed_by.as_str().into(),
        read.proposed_at.0.into(),
    ]);
    let approved = tx.execute(
        "UPDATE site_decision SET approved_by = $6, approved_at = $7 \
         WHERE site = $1 AND kind = $2 AND branch = $3 AND seq = $4 AND hash = $5 AND approved_by IS NULL \
         AND proposed_by <> $6 AND reason = $8 AND proposed_by = $9 AND proposed_at = $10",
        &values,
    )?;
    Ok(approved == 1)
}

/// The entries of a site's branch that are not applied.
///
/// # Errors
/// [`StoreError`].
pub fn set_aside(tx: &mut dyn Tx, site: &SiteId, branch: u64) -> Result<Vec<Head>, StoreError> {
    let rows = tx.query(
        "SELECT seq, hash FROM site_decision WHERE site = $1 AND kind = $2 AND branch = $3 AND approved_by IS NOT NULL",
        &[site.as_str().into(), Kind::SetAside.word().into(), branch.into()],
    )?;
    let entry = |mut row: Row| {
        let (seq, hash) = (row.count(0)?, row.text(1)?);
        let hash: Hash = hash
            .parse()
            .map_err(|_| StoreError::Broken(format!("{hash} is no hash of an entry that was set aside")))?;
        Ok(Head { seq, hash })
    };
    rows.into_iter().map(entry).collect()
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

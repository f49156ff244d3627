//! Who has enrolled and who was shut out, in a file beside the database (rule 11): a database that is restored from a copy has
//! forgotten what came after it, and sites that enrolled since would be strangers until somebody drives to each of them.

use crate::{
    enrol::CERTIFICATE_DAYS,
    store::{
        StoreError, Tx,
        sites::{self, Certificate, EdgeKey, Site},
    },
};
use domain::{ids::SiteId, time::Wall};
use protocol::key::PublicKey;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Its name in `data_dir`.
const FILE: &str = "enrolments.jsonl";
const DAY_MS: i64 = 86_400_000;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Line {
    /// A site has come in.
    Enrolled {
        /// Which.
        site: SiteId,
        /// Its number.
        number: u64,
        /// Its name for people.
        name: String,
        /// SHA-256 (hex) of the certificate that its connection shows.
        fingerprint: String,
        /// When that ends.
        until: Wall,
        /// What its batches are signed with.
        edge_key: PublicKey,
        /// From which entry on, on the branch that was followed.
        from: u64,
        /// When it came in.
        at: Wall,
    },
    /// A site was shut out.
    Revoked {
        /// Which.
        site: SiteId,
        /// When.
        at: Wall,
    },
}

impl Line {
    /// What is to be written of a site that has just enrolled; none where it has no certificate.
    pub fn enrolled(site: &Site, at: Wall) -> Option<Self> {
        let (certificate, key) = (site.certificate.as_ref()?, site.keys.last()?);
        Some(Self::Enrolled {
            site: site.id.clone(),
            number: site.number,
            name: site.name.clone(),
            fingerprint: certificate.fingerprint.clone(),
            until: certificate.until,
            edge_key: key.key,
            from: key.from,
            at,
        })
    }
}

/// The file.
#[derive(Debug, Clone)]
pub struct Enrolments(PathBuf);

impl Enrolments {
    /// That in this folder.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join(FILE))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Adds a line; it is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&self, line: &Line) -> io::Result<()> {
        let is_new = !self.0.exists();
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.0)?;
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        if is_new && let Some(folder) = self.0.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// All lines. One that was not written to its end, which nobody was told of, is passed over.
    ///
    /// # Errors
    /// It cannot be read, or a line in it is none.
    pub fn read(&self) -> io::Result<Vec<Line>> {
        let text = match std::fs::read_to_string(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let mut lines = Vec::new();
        for (n, line) in text.split_inclusive('\n').enumerate() {
            match serde_json::from_str(line) {
                Ok(line) => lines.push(line),
                Err(_) if !line.ends_with('\n') => {}
                Err(error) => {
                    let why = format!("line {} of {}: {error}", n + 1, self.0.display());
                    return Err(io::Error::new(ErrorKind::InvalidData, why));
                }
            }
        }
        Ok(lines)
    }
}

/// Puts back what a database that was restored from a copy has forgotten of these, in their order. Which sites have changed.
///
/// # Errors
/// [`StoreError::Constraint`]: the number of a site was given to another one since.
pub fn put_back(tx: &mut dyn Tx, lines: &[Line]) -> Result<Vec<SiteId>, StoreError> {
    let mut changed = Vec::new();
    for line in lines {
        let (site, has_changed) = match line {
            Line::Revoked { site, at } => (site, shut_out(tx, site, *at)?),
            Line::Enrolled {
                site,
                number,
                name,
                fingerprint,
                until,
                edge_key,
                from,
                at: _,
            } => {
                let certificate = Certificate {
                    fingerprint: fingerprint.clone(),
                    until: *until,
                };
                let key = EdgeKey {
                    key: *edge_key,
                    from: *from,
                };
                (site, let_in(tx, (site, *number, name), key, &certificate)?)
            }
        };
        if has_changed && !changed.contains(site) {
            changed.push(site.clone());
        }
    }
    Ok(changed)
}

/// A revocation counts against the certificates that were made before it.
fn shut_out(tx: &mut dyn Tx, id: &SiteId, at: Wall) -> Result<bool, StoreError> {
    let Some(Site {
        certificate: Some(certificate),
        ..
    }) = sites::find(tx, id)?
    else {
        return Ok(false);
    };
    match certificate.until.after_ms(-CERTIFICATE_DAYS * DAY_MS) <= at {
        true => sites::revoke(tx, id, at),
        false => Ok(false),
    }
}

fn let_in(
    tx: &mut dyn Tx,
    (id, number, name): (&SiteId, u64, &str),
    key: EdgeKey,
    certificate: &Certificate,
) -> Result<bool, StoreError> {
    let Some(site) = sites::find(tx, id)? else {
        sites::put_back(tx, id, number, name, EdgeKey { from: 0, ..key })?;
        sites::let_in(tx, id, certificate)?;
        return Ok(true);
    };
    let is_known = site.keys.iter().any(|known| known.key == key.key);
    if !is_known {
        // What it has signed since comes again.
        sites::re_enrol(tx, id, key.key)?;
    }
    let shown_until = site.certificate.as_ref().map(|shown| shown.until);
    let is_later = match (shown_until, site.revoked_at) {
        (Some(until), _) => certificate.until > until,
        (None, Some(revoked_at)) => certificate.until.after_ms(-CERTIFICATE_DAYS * DAY_MS) > revoked_at,
        (None, None) => true,
    };
    if is_later {
        sites::let_in(tx, id, certificate)?;
    }
    Ok(!is_known || is_later)
}

//! A database of an older version: copied beside itself before it is brought up to date in one transaction.
//! Whatever interrupts that, the next start does it again.

use super::{SCHEMA_VERSION, StoreError, backup::new_private, in_words, named, read::Reader, tables};
use domain::{
    ids::SiteId,
    journal::{Hash, Stamp},
};
use redb::Database;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// A database that is of an older version.
pub(super) struct Old {
    /// Which.
    pub(super) version: u32,
    /// The journal's last entry and its hash, which tell one state of the database from another.
    head: (Stamp, Hash),
}

/// What must be brought up to date, if anything, in a database of `site`.
pub(super) fn needed(db: &Database, site: &SiteId) -> Result<Option<Old>, StoreError> {
    match tables::version(db)? {
        Some(version) if version < SCHEMA_VERSION => {
            // Another site's file stays as it is.
            tables::identity(db, Some(site))?;
            let head = Reader::new(db)?.head()?;
            Ok(Some(Old { version, head }))
        }
        _ => Ok(None),
    }
}

/// Copies the file at `path`, which nobody has open, to a name beside it that says which state it was in.
///
/// # Errors
/// [`StoreError::NoBackup`], [`StoreError::InUse`]: nothing was changed.
pub(super) fn backup(path: &Path, old: &Old) -> Result<PathBuf, StoreError> {
    let (Stamp { seq, .. }, hash) = &old.head;
    let hash: String = hash.to_string().chars().take(8).collect();
    let mut name = path.as_os_str().to_owned();
    // The same state has the same name: a copy that is there already is of an earlier try, and may be written again.
    name.push(format!(".schema{}-entry{seq}-{hash}", old.version));
    let backup = PathBuf::from(name);
    let from = File::open(path).map_err(|error| named(path, StoreError::of(&error)))?;
    from.try_lock_shared().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => StoreError::InUse(path.to_owned()),
        std::fs::TryLockError::Error(error) => named(path, StoreError::of(&error)),
    })?;
    copy(from, &backup).map_err(|error| StoreError::NoBackup {
        path: path.to_owned(),
        why: format!("{}: {}", backup.display(), in_words(&error)),
    })?;
    Ok(backup)
}

/// Under another name first: what has the name is whole, whatever happens meanwhile.
fn copy(mut from: File, to: &Path) -> io::Result<()> {
    let unfinished = to.with_added_extension("unfinished");
    let mut file = new_private(&unfinished)?;
    let copied = io::copy(&mut from, &mut file).and_then(|_bytes| file.sync_all());
    if let Err(error) = copied {
        let _none_is_better_than_half = std::fs::remove_file(&unfinished);
        return Err(error);
    }
    std::fs::rename(&unfinished, to)?;
    super::sync_folder_of(to)
}

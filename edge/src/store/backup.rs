//! A copy of the running database: one snapshot, table by table, into a new file, while the station goes on.

use super::{Store, StoreError, named, read::Reader, refused, sync_folder_of, tables};
use domain::journal::Head;
use nix::libc;
use redb::{Database, ReadableDatabase, backends::FileBackend};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

/// How much memory the file that is written may use.
pub(super) const CACHE_BYTES: usize = 4 << 20;

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// How long the file is, in bytes.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// How far the journal in it goes.
    pub head: Head,
}

impl Store {
    /// Writes the present state of the database into a new file at `to`, for its owner alone. It has that name once it is
    /// whole and on disk. While it is written, space that the station frees is not used again: hence `within`.
    ///
    /// # Errors
    /// [`StoreError::NotNew`] if there is a file; [`StoreError::TooSlow`]; [`StoreError::Io`]. None of them leaves
    /// anything behind.
    pub fn backup(&self, to: &Path, within: Duration) -> Result<Backup, StoreError> {
        let begun = Instant::now();
        let free = |path: &Path| match path.try_exists() {
            Ok(false) => Ok(()),
            Ok(true) => Err(StoreError::NotNew(path.to_owned())),
            Err(error) => Err(named(path, StoreError::of(&error))),
        };
        free(to)?;
        let unfinished = to.with_added_extension("unfinished");
        let written = self.write_copy(&unfinished, begun, within).and_then(|head| {
            let bytes = give_name(&unfinished, to).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => StoreError::NotNew(to.to_owned()),
                _ => named(to, StoreError::of(&error)),
            })?;
            let took = begun.elapsed();
            Ok(Backup { bytes, took, head })
        });
        if written.is_err() && !matches!(written, Err(StoreError::InUse(_))) {
            let _none_is_better_than_half = std::fs::remove_file(&unfinished);
        }
        written
    }

    fn write_copy(&self, path: &Path, begun: Instant, within: Duration) -> Result<Head, StoreError> {
        let go_on = || match begun.elapsed() <= within {
            true => Ok(()),
            false => Err(StoreError::TooSlow(within)),
        };
        // What a backup that was cut off has left is nobody's.
        let db = new_database(path)?;
        let from = self.db.begin_read()?;
        let to = db.begin_write()?;
        for table in tables::ALL {
            table.copy(&from, &to, &go_on)?;
        }
        to.commit().map_err(|error| named(path, error.into()))?;
        let (stamp, hash) = Reader::new(&db)?.head()?;
        go_on()?;
        Ok(Head { seq: stamp.seq, hash })
    }
}

fn new_database(path: &Path) -> Result<Database, StoreError> {
    let failed = |error: io::Error| named(path, StoreError::of(&error));
    if is_being_written(path).map_err(failed)? {
        return Err(StoreError::InUse(path.to_owned()));
    }
    // The file itself is handed over: what its name leads to may have changed since.
    let file = new_private(path).map_err(failed)?;
    let file = FileBackend::new(file).map_err(|error| refused(path, error))?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.create_with_backend(file).map_err(|error| refused(path, error))
}

/// Whether another one is at work on this file. A link is nobody's work, and is not followed.
fn is_being_written(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) if file.metadata()?.is_file() => file,
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ELOOP) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// A new file as [`private`] makes one. What has its name, a link too, loses it and is not written to: whoever may write
/// into the folder of a backup must not have the daemon empty another file of its own.
pub(super) fn new_private(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path)
}

/// A file for its owner alone, whatever the process's umask: what is in it is the drivers' money.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

/// Gives a whole file its name, which nothing may have; returns its length.
pub(super) fn give_name(unfinished: &Path, to: &Path) -> io::Result<u64> {
    let file = File::open(unfinished)?;
    file.sync_all()?;
    // Unlike a rename, a link never takes the place of another file.
    std::fs::hard_link(unfinished, to)?;
    std::fs::remove_file(unfinished)?;
    sync_folder_of(to)?;
    Ok(file.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_path::own_path;

    #[test]
    fn a_backup_that_takes_too_long_leaves_nothing() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb");
        let store = Store::look_at(&fixture, 4 << 20).unwrap();
        let folder = own_path("backup");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("copy.redb");
        let late = store.backup(&file, Duration::ZERO).unwrap_err();
        assert!(matches!(late, StoreError::TooSlow(_)), "{late}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);

        // What another one that was cut off has left is no hindrance.
        std::fs::write(folder.join("copy.redb.unfinished"), b"half").unwrap();
        let made = store.backup(&file, Duration::from_secs(60)).unwrap();
        let copy = Store::look_at(&file, 4 << 20).unwrap();
        let rows = |store: &Store| -> Vec<String> {
            let read = store.db.begin_read().unwrap();
            tables::ALL.iter().flat_map(|table| table.rows(&read)).collect()
        };
        assert!(rows(&copy) == rows(&store), "every row of every table");
        assert_eq!(copy.reader().unwrap().verify(None).unwrap().head, made.head);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_a_backup_leads_nowhere() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb");
        let store = Store::look_at(&fixture, 4 << 20).unwrap();
        let folder = own_path("backup-link");
        std::fs::create_dir_all(&folder).unwrap();
        let (file, other) = (folder.join("copy.redb"), folder.join("somebody's"));
        std::fs::write(&other, b"kept").unwrap();
        let link = folder.join("copy.redb.unfinished");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        store.backup(&file, Duration::from_secs(60)).unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"kept");
        assert!(file.symlink_metadata().unwrap().is_file() && !link.exists());
        // As the name of the backup itself it is something that is there, wherever it leads.
        let nowhere = folder.join("nowhere.redb");
        std::os::unix::fs::symlink(folder.join("not-there"), &nowhere).unwrap();
        let refused = store.backup(&nowhere, Duration::from_secs(60)).unwrap_err();
        assert!(matches!(refused, StoreError::NotNew(_)), "{refused}");
        assert!(!folder.join("not-there").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

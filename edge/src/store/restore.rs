//! The way back from a copy: it is checked, put in the place of the station's database, and begins a new run of the
//! journal, so that nobody takes what happens from here on for what happened before.

use super::{
    Store, StoreError,
    backup::{CACHE_BYTES, give_name, new_private},
    named, refused, sync_folder_of, tables,
};
use crate::random::OsRandom;
use domain::{
    ids::SiteId,
    journal::Head,
    time::{Now, Wall},
};
use redb::{Database, backends::FileBackend};
use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// How far the copy's journal goes.
    pub head: Head,
    /// The new run of the journal; none yet where the station recovers first.
    pub epoch: Option<String>,
    /// Where the database that was there is now.
    pub aside: Option<PathBuf>,
}

/// What comes after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRestore {
    /// Another run of the journal, at once: the station works alone.
    NewRun,
    /// Head office hands back what it has beyond the copy; then another run begins.
    Recovery,
}

impl Store {
    /// Makes the copy at `from` the database of a station that does not run, at `path`; the copy stays as it is. All of it
    /// is checked first. A database that is there is moved aside if `may_move`.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while the station runs; [`StoreError::Present`]; [`StoreError::OtherSite`],
    /// [`StoreError::TooNew`], [`StoreError::Damaged`] of the copy; [`StoreError::Io`]. Then the station's database is
    /// what it was.
    pub fn restore(
        from: &Path,
        path: &Path,
        site: &SiteId,
        now: Wall,
        may_move: bool,
        after: AfterRestore,
    ) -> Result<Restored, StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| named(&path, StoreError::of(&error))
        };
        // Held until the end: a daemon that is started meanwhile is refused.
        let present = match File::open(path) {
            Ok(file) => Some(locked(path, file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(path)(error)),
        };
        if present.is_some() && !may_move {
            return Err(StoreError::Present(path.to_owned()));
        }
        let copy = Self::look_at(from, CACHE_BYTES)?;
        if copy.identity().site != *site {
            return Err(StoreError::OtherSite {
                found: copy.identity().site.to_string(),
                expected: site.clone(),
            });
        }
        let verified = copy.reader()?.verify(None).map_err(|error| named(from, error))?;
        drop(copy);

        let unfinished = path.with_added_extension("restoring");
        let written = write(from, &unfinished, now, after);
        let epoch = written.inspect_err(|_| {
            let _none_is_better_than_half = std::fs::remove_file(&unfinished);
        })?;
        let aside = match &present {
            Some(_) => Some(move_aside(path, now).map_err(failed(path))?),
            None => None,
        };
        give_name(&unfinished, path).map_err(failed(path))?;
        Ok(Restored {
            head: verified.head,
            epoch,
            aside,
        })
    }

    /// Begins another run of the journal, with an entry that says so: what a copy does that takes the place of a database.
    /// Nobody else may have the store: a clone of it would go on with the run before.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then it is to be opened again, as whichever run it finds.
    pub fn begin_run(self, now: Wall) -> Result<Self, StoreError> {
        let now = Now {
            mono: self.reader()?.mark()?.mono,
            wall: now,
        };
        let write = self.db.begin_write()?;
        let (epoch, _) = self.write_restored(&write, now, None)?;
        // The copy may be of a station that was recovering.
        write.open_table(tables::META)?.remove(tables::RECOVERING)?;
        write.commit()?;
        self.is_of(epoch);
        Ok(self)
    }
}

fn locked(path: &Path, file: File) -> Result<File, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(named(path, StoreError::of(&error))),
    }
}

/// A copy of the copy, brought up to date, with a new run of the journal, whose name is returned, or with a mark that the
/// station recovers.
fn write(from: &Path, to: &Path, now: Wall, after: AfterRestore) -> Result<Option<String>, StoreError> {
    let failed = |error: io::Error| named(to, StoreError::of(&error));
    let mut file = new_private(to).map_err(failed)?;
    let mut from = File::open(from).map_err(failed)?;
    io::copy(&mut from, &mut file).map_err(failed)?;
    belongs_to_its_folder(&file, to).map_err(failed)?;
    // The file itself is handed over: whoever restores may be root, and what its name leads to is another user's to say.
    let file = FileBackend::new(file).map_err(|error| refused(to, error))?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let db = builder.create_with_backend(file).map_err(|error| refused(to, error))?;
    let store = Store::prepare(db, None, false, OsRandom).map_err(|error| named(to, error))?;
    let written = match after {
        AfterRestore::NewRun => store.begin_run(now).map(|store| Some(store.identity().epoch.clone())),
        AfterRestore::Recovery => store.begin_recovery(now).map(|()| None),
    };
    written.map_err(|error| named(to, error))
}

/// Whoever restores may be root; the folder is the service's user's, who must be able to open the file.
fn belongs_to_its_folder(file: &File, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(".")).metadata()?;
    if file.metadata()?.uid() != folder.uid() {
        std::os::unix::fs::fchown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

/// Gives the present database a name that says when it was moved, and that nothing has.
fn move_aside(path: &Path, now: Wall) -> io::Result<PathBuf> {
    let when: String = now
        .to_string()
        .chars()
        .take(19)
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let mut n = 1;
    loop {
        let suffix = if n == 1 { String::new() } else { format!("-{n}") };
        let aside = path.with_added_extension(format!("aside-{when}{suffix}"));
        match std::fs::hard_link(path, &aside) {
            Ok(()) => {
                std::fs::remove_file(path)?;
                sync_folder_of(path)?;
                return Ok(aside);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && n < 100 => n += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_path::own_path;
    use std::time::Duration;

    #[test]
    fn a_link_in_the_place_of_a_restored_database_leads_nowhere() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb");
        let store = Store::look_at(&fixture, CACHE_BYTES).unwrap();
        let folder = own_path("restore-link");
        std::fs::create_dir_all(&folder).unwrap();
        let [copy, path, other] = ["copy.redb", "holdfast.redb", "somebody's"].map(|name| folder.join(name));
        store.backup(&copy, Duration::from_secs(60)).unwrap();
        std::fs::write(&other, b"kept").unwrap();
        std::os::unix::fs::symlink(&other, folder.join("holdfast.redb.restoring")).unwrap();
        let now = Wall::parse("2026-03-01T00:00:00Z").unwrap();
        let site = store.identity().site.clone();
        let restored = Store::restore(&copy, &path, &site, now, false, AfterRestore::NewRun).unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"kept");
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(
            Some(&Store::look_at(&path, CACHE_BYTES).unwrap().identity().epoch),
            restored.epoch.as_ref()
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

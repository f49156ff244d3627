//! What tells a folder that was a station's from a new one. A database that is gone, by a wrong disk or a wrong command,
//! must not be replaced by an empty one: its orders and money would be forgotten without a word.

use domain::ids::SiteId;
use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The first bytes of every redb file.
const REDB: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// How many copies are named.
const COPIES_MAX: usize = 5;

/// The mark beside the database.
fn mark(path: &Path) -> PathBuf {
    path.with_added_extension("station")
}

/// Leaves a mark beside the database at `path` that a station has begun.
pub(super) fn note(path: &Path, site: &SiteId) {
    let mark = mark(path);
    if mark.exists() {
        return;
    }
    let text = format!(
        "The database of station {site} lies here. While this file does, the daemon makes no new one in its place.\n"
    );
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&mark)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        super::sync_folder_of(&mark)
    };
    if let Err(error) = write() {
        tracing::warn!(mark = %mark.display(), %error, "no mark can be left that a station is here");
    }
}

/// The files beside `path` whose names begin with its name, but for a first start that was cut off.
fn beside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let first_start = path.with_added_extension("unfinished");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?.path();
        let begins = |other: &OsStr| other != name && other.as_bytes().starts_with(name.as_bytes());
        if file.file_name().is_some_and(begins) && file.file_name() != first_start.file_name() {
            found.push(file);
        }
    }
    Ok(found)
}

/// What says that a station was here whose database would be at `path`.
pub(super) fn evidence(path: &Path) -> io::Result<Option<PathBuf>> {
    let found = beside(path)?;
    let mark = mark(path);
    Ok(found.iter().find(|file| **file == mark).or(found.first()).cloned())
}

/// The databases in the folder of `path` besides it, newest first.
fn copies(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for file in folder.into_iter().flatten().flatten().map(|file| file.path()) {
        let mut begins = [0; REDB.len()];
        let is_redb = File::open(&file)
            .and_then(|mut file| file.read_exact(&mut begins))
            .is_ok()
            && begins == REDB;
        let written = file.metadata().and_then(|about| about.modified());
        if let (true, true, Ok(written)) = (is_redb, file != path, written) {
            found.push((written, file));
        }
    }
    found.sort();
    found.into_iter().rev().take(COPIES_MAX).map(|(_, file)| file).collect()
}

/// What somebody is told who looks for a way back.
pub(super) fn copies_in_words(path: &Path) -> String {
    let copies: Vec<String> = copies(path).iter().map(|copy| copy.display().to_string()).collect();
    match &copies[..] {
        [] => "No copy lies beside it.".to_owned(),
        [one] => format!("Beside it lies {one}."),
        several => format!("Beside it lie, newest first: {}.", several.join(", ")),
    }
}

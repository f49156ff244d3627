//! Folders of a daemon's own.

use std::{os::unix::fs::DirBuilderExt, path::Path};

/// Makes a folder that only its owner may enter, whatever the process's umask. One that is there stays as it is.
///
/// # Errors
/// The system says no.
pub fn make_private(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

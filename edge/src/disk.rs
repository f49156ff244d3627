//! Room on the disk that the database is on: how much is left, and the reserve, a file of real blocks that is given up
//! when the disk is full, so that the station starts again and what is open can settle.
//!
//! Nothing here decides: what follows from how much is left is the site's to say (`domain::site::Space`).

use domain::site::Space;
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    sys::statvfs::statvfs,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The reserve's name in the data directory.
const RESERVE: &str = "reserve";
/// Less than this is nothing: a commit that failed did so for want of room.
const FULL_BELOW: u64 = 1 << 20;

/// What the daemon exits with when the disk is full (EX_IOERR of sysexits.h).
pub const EXIT_DISK_FULL: u8 = 74;

/// The disk is full: the process ends, and the next one begins with the reserve given up.
#[derive(Debug, thiserror::Error)]
#[error(
    "the disk that {} is on is full ({cause}). Nothing that was acknowledged is lost. Make room on it; meanwhile the station \
     starts again with {} MiB of reserve given up, settles what is open and takes no new orders",
    folder.display(),
    given_up / (1 << 20)
)]
pub struct DiskFull {
    folder: PathBuf,
    given_up: u64,
    cause: String,
}

/// The disk under a data directory.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: PathBuf,
    reserve: PathBuf,
    reserve_bytes: u64,
}

impl Disk {
    /// The disk that `folder` is on, with a reserve of so many bytes.
    pub fn under(folder: &Path, reserve_bytes: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            reserve: folder.join(RESERVE),
            reserve_bytes,
        }
    }

    /// How much room there is.
    ///
    /// # Errors
    /// If the folder cannot be looked at.
    pub fn space(&self) -> io::Result<Space> {
        Ok(Space {
            free_bytes: self.free()?,
            reserve: self.is_set_aside(),
        })
    }

    /// Sets the reserve aside if it is not, and `enough` is left besides.
    ///
    /// # Errors
    /// If it cannot be made although there seemed to be room.
    pub fn set_aside(&self, enough: u64) -> io::Result<()> {
        if self.is_set_aside() || self.free()? < self.reserve_bytes.saturating_add(enough) {
            return Ok(());
        }
        let made = self.make();
        if made.is_err() {
            // Half a reserve would only be in the way.
            let _not_there = std::fs::remove_file(&self.reserve);
        }
        made
    }

    /// Whether a commit that failed did so for want of room, as far as can be told afterwards.
    pub fn is_full(&self) -> bool {
        self.free().is_ok_and(|free| free < FULL_BELOW)
    }

    /// Gives the reserve up. What is returned ends the process.
    pub fn give_up(&self, cause: impl std::fmt::Display) -> DiskFull {
        let given_up = if self.is_set_aside() { self.reserve_bytes } else { 0 };
        if let Err(error) = std::fs::remove_file(&self.reserve)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::error!(%error, "the reserve cannot be given up; remove {} by hand", self.reserve.display());
        }
        DiskFull {
            folder: self.folder.clone(),
            given_up,
            cause: cause.to_string(),
        }
    }

    /// What an ordinary user may still take.
    fn free(&self) -> io::Result<u64> {
        let found = statvfs(&self.folder)?;
        // The widths of both differ between systems.
        #[allow(clippy::useless_conversion, reason = "it is one elsewhere")]
        let (blocks, bytes) = (u64::from(found.blocks_available()), u64::from(found.fragment_size()));
        Ok(blocks.saturating_mul(bytes))
    }

    /// By its blocks and not by its length: a file with holes in it would give nothing back.
    fn is_set_aside(&self) -> bool {
        const BLOCK: u64 = 512;
        std::fs::metadata(&self.reserve).is_ok_and(|file| file.blocks().saturating_mul(BLOCK) >= self.reserve_bytes)
    }

    fn make(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.reserve)?;
        let bytes = i64::try_from(self.reserve_bytes).map_err(io::Error::other)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => {}
            // A file system that cannot: then it is written.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => fill(&mut file, self.reserve_bytes)?,
            Err(errno) => return Err(errno.into()),
        }
        file.sync_all()
    }
}

/// Bytes that are not all the same, for file systems that would not store those.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let chunk: Vec<u8> = (0..64 * 1024_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        file.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_path::own_path;

    const BYTES: u64 = 1 << 20;

    #[test]
    fn the_reserve_is_made_of_blocks_once_and_given_up() {
        let folder = own_path("reserve");
        std::fs::create_dir_all(&folder).unwrap();
        let disk = Disk::under(&folder, BYTES);
        assert!(!disk.space().unwrap().reserve);
        disk.set_aside(u64::MAX).unwrap();
        assert!(!disk.space().unwrap().reserve, "there is not that much room besides");
        // As a restored backup would bring it: long, and nothing in it.
        File::create(folder.join(RESERVE)).unwrap().set_len(BYTES).unwrap();
        assert!(!disk.space().unwrap().reserve, "holes are no reserve");
        disk.set_aside(0).unwrap();
        let space = disk.space().unwrap();
        assert!(space.reserve && space.free_bytes > 0, "{space:?}");
        assert!(!disk.is_full());
        let full = disk.give_up("for a test").to_string();
        assert!(
            full.contains("for a test") && full.contains("1 MiB of reserve given up"),
            "{full}"
        );
        assert!(!folder.join(RESERVE).exists());
        assert!(disk.give_up("again").to_string().contains("with 0 MiB"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn where_nothing_can_be_allocated_it_is_written() {
        let path = own_path("filled");
        fill(&mut File::create(&path).unwrap(), 100_000).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 100_000);
        std::fs::remove_file(&path).unwrap();
    }
}

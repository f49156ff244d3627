//! A file on its way in: its bytes are kept where nobody sees them and where they go with the process, while their SHA-256 is
//! counted.

use crate::alerts::free;
use domain::journal::hex;
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions, remove_file},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The most bytes of a file as it comes.
pub const BYTES_MAX: u64 = 1 << 30;
/// What stays free on the disk beside it, in bytes: the database is there too.
const FREE_MIN: u64 = 256 << 20;

/// A file that came whole.
#[derive(Debug)]
pub struct Received {
    /// Its bytes.
    pub file: File,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// How many.
    pub bytes: u64,
}

/// Why a file did not come whole.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// It has more bytes than [`BYTES_MAX`].
    #[error("a bill has at most {BYTES_MAX} bytes")]
    TooLarge,
    /// The disk has no room for it.
    #[error("{free} bytes are free where bills are kept while they are imported, and {needed} are needed: make room")]
    NoRoom {
        /// How many are free.
        free: u64,
        /// How many would have to be.
        needed: u64,
    },
    /// They could not be read, or kept.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// A file that is coming.
pub struct Spool {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Spool {
    /// An empty one, in this folder, which is made where it is not there. So many bytes will come, as far as that is known.
    ///
    /// # Errors
    /// [`NotReceived`].
    pub fn begin(folder: &Path, bytes: u64) -> Result<Self, NotReceived> {
        service::folder::make_private(folder)?;
        has_room(free(folder), bytes)?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, nameless(folder, "bill")?),
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// More of it has come.
    ///
    /// # Errors
    /// [`NotReceived`].
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), NotReceived> {
        self.bytes += bytes.len() as u64;
        if self.bytes > BYTES_MAX {
            return Err(NotReceived::TooLarge);
        }
        self.hash.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// All of it has come.
    ///
    /// # Errors
    /// The system says no.
    pub fn end(self) -> Result<Received, NotReceived> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Received {
            file,
            sha256: hex(&self.hash.finalize()),
            bytes: self.bytes,
        })
    }

    /// All of what can be read there.
    ///
    /// # Errors
    /// [`NotReceived`].
    pub fn copy(mut self, mut from: impl io::Read) -> Result<Received, NotReceived> {
        let mut some = vec![0; 1 << 16];
        loop {
            match from.read(&mut some) {
                Ok(0) => return self.end(),
                Ok(read) => self.add(&some[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A file in this folder, which is there, that nobody else sees and that goes when the process does.
///
/// # Errors
/// The system says no.
pub fn nameless(folder: &Path, what: &str) -> io::Result<File> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let path = folder.join(format!("{what}-{}", hex(&random)));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    remove_file(&path)?;
    Ok(file)
}

/// Whether so many bytes may come where so many are free; as long as nobody knows, they may.
fn has_room(free: Option<u64>, bytes: u64) -> Result<(), NotReceived> {
    if bytes > BYTES_MAX {
        return Err(NotReceived::TooLarge);
    }
    let needed = bytes + FREE_MIN;
    match free {
        Some(free) if free < needed => Err(NotReceived::NoRoom { free, needed }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_fill_the_disk_is_not_begun() {
        let begin = |free, bytes| has_room(free, bytes).map_err(|error| error.to_string());
        assert_eq!(begin(Some(FREE_MIN + 10), 10), Ok(()));
        assert!(begin(Some(FREE_MIN + 10), 11).unwrap_err().contains("make room"));
        assert_eq!(begin(None, BYTES_MAX), Ok(()));
        assert!(begin(None, BYTES_MAX + 1).unwrap_err().contains("at most"));
    }
}

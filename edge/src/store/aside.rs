//! A file that is only read: what is written goes to memory beside it. redb repairs a copy of a running database before
//! it reads it, and a copy that is looked at must stay what it was.

use redb::StorageBackend;
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How much of the file one written piece covers.
const PIECE: u64 = 4096;

/// A file and what would have been written to it.
#[derive(Debug)]
pub(super) struct Aside {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file is still the file's: it may have been made shorter, and longer again.
    kept: u64,
    /// Whole pieces by number.
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Aside {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody has it open to write.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        file.try_lock_shared().map_err(io::Error::from)?;
        let len = file.metadata()?.len();
        let written = Mutex::new(Written {
            len,
            kept: len,
            pieces: BTreeMap::new(),
        });
        Ok(Self { file, written })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One piece of the file as it is; zeros beyond its end.
    fn of_file(&self, piece: u64, kept: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PIECE as usize];
        let start = piece * PIECE;
        let there = kept.saturating_sub(start).min(PIECE) as usize;
        self.file.read_exact_at(&mut bytes[..there], start)?;
        Ok(bytes)
    }
}

/// The pieces that `len` bytes from `offset` lie in: number, where in the piece, where in the bytes, how many.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PIECE) as usize;
        let many = (len - done).min(PIECE as usize - within);
        let piece = (at / PIECE, within, done, many);
        done += many;
        (many > 0).then_some(piece)
    })
}

impl StorageBackend for Aside {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (piece, within, done, many) in pieces(offset, out.len()) {
            let to = &mut out[done..done + many];
            match written.pieces.get(&piece) {
                Some(bytes) => to.copy_from_slice(&bytes[within..within + many]),
                None => to.copy_from_slice(&self.of_file(piece, written.kept)?[within..within + many]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        written.kept = written.kept.min(len);
        written.pieces.retain(|piece, _| piece * PIECE < len);
        if let Some(last) = written.pieces.get_mut(&(len / PIECE)) {
            last[(len % PIECE) as usize..].fill(0);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        for (piece, within, done, many) in pieces(offset, data.len()) {
            let kept = written.kept;
            let bytes = match written.pieces.entry(piece) {
                std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => free.insert(self.of_file(piece, kept)?),
            };
            bytes[within..within + many].copy_from_slice(&data[done..done + many]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_was() {
        let path = std::env::temp_dir().join(format!("holdfast-aside-{}", std::process::id()));
        let original: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        std::fs::write(&path, &original).unwrap();
        let aside = Aside::of(&path).unwrap();
        aside.write(4_090, &[7; 20]).unwrap();
        aside.set_len(5_000).unwrap();
        aside.set_len(20_000).unwrap();
        aside.write(19_999, &[9]).unwrap();
        let mut expected = original[..5_000].to_vec();
        expected[4_090..4_110].fill(7);
        expected.resize(20_000, 0);
        expected[19_999] = 9;
        let mut found = vec![1; 20_000];
        aside.read(0, &mut found).unwrap();
        assert!(found == expected);
        assert!(aside.read(19_999, &mut [0; 2]).is_err());
        drop(aside);
        assert!(std::fs::read(&path).unwrap() == original);
        std::fs::remove_file(&path).unwrap();
    }
}

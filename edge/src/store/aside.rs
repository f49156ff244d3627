//! A file whose writes wait in memory beside it. redb repairs a file as it opens it, and one that is refused must stay what
//! it was, byte for byte. A copy that is looked at never gets them; a station's own database gets them once every page of
//! it has been checked.

use redb::{BackendError, StorageBackend};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Bound,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// How much of the file one written piece covers.
const PIECE: u64 = 4096;

/// A storage and what would have been written to it. Clones are handles to the same one.
#[derive(Debug)]
pub(super) struct Aside<B>(Arc<Shared<B>>);

#[derive(Debug)]
struct Shared<B> {
    file: B,
    /// What waits; none once the file has it, or has failed to take it.
    waiting: Mutex<Option<Written>>,
    /// Nothing waits any more: the file has all of it.
    kept: AtomicBool,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file is still the file's: it may have been made shorter, and longer again.
    kept: u64,
    /// Whole pieces by number.
    pieces: BTreeMap<u64, Vec<u8>>,
    /// What was done, in order.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
    Sync,
}

/// A file that is only read.
#[derive(Debug)]
pub(super) struct ReadOnly(File);

impl Aside<ReadOnly> {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody has it open to write.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        file.try_lock_shared().map_err(io::Error::from)?;
        Self::over(ReadOnly(file))
    }
}

impl<B: StorageBackend> Aside<B> {
    /// Holds back what is written to `file`.
    ///
    /// # Errors
    /// Its length cannot be told.
    pub(super) fn over(file: B) -> io::Result<Self> {
        let len = file.len()?;
        let waiting = Mutex::new(Some(Written {
            len,
            kept: len,
            pieces: BTreeMap::new(),
            steps: Vec::new(),
        }));
        let kept = AtomicBool::new(false);
        Ok(Self(Arc::new(Shared { file, waiting, kept })))
    }

    /// Does to the file what has waited, in the order in which it was written and with the same syncs in between: whatever
    /// cuts that off leaves one of the states that redb goes through when nothing waits. From then on nothing does.
    ///
    /// # Errors
    /// What the file fails with; then it gets nothing any more.
    pub(super) fn keep(&self) -> io::Result<()> {
        let Shared { file, waiting, kept } = &*self.0;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(written) = waiting.take() else {
            return match kept.load(Ordering::Acquire) {
                true => Ok(()),
                false => Err(gets_nothing()),
            };
        };
        for step in written.steps {
            match step {
                Step::Write { offset, data } => file.write(offset, &data)?,
                Step::SetLen(len) => file.set_len(len)?,
                Step::Sync => file.sync_data()?,
            }
        }
        kept.store(true, Ordering::Release);
        Ok(())
    }

    /// Does `with` to what waits, or to the file where nothing does.
    fn ask<W, T>(
        &self,
        with: W,
        waits: impl FnOnce(&mut Written, &B, W) -> io::Result<T>,
        kept: impl FnOnce(&B, W) -> io::Result<T>,
    ) -> io::Result<T> {
        let is_kept = || self.0.kept.load(Ordering::Acquire);
        if is_kept() {
            return kept(&self.0.file, with);
        }
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waiting {
            Some(written) => waits(written, &self.0.file, with),
            None if is_kept() => kept(&self.0.file, with),
            None => Err(gets_nothing()),
        }
    }
}

fn gets_nothing() -> io::Error {
    io::Error::other("what had waited could not all be written")
}

impl<B> Clone for Aside<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Written {
    /// One piece of the file as it is; zeros beyond its end.
    fn of_file(file: &impl StorageBackend, piece: u64, kept: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PIECE as usize];
        let start = piece * PIECE;
        let there = kept.saturating_sub(start).min(PIECE) as usize;
        if there > 0 {
            file.read(start, &mut bytes[..there])?;
        }
        Ok(bytes)
    }

    fn read(&self, file: &impl StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if end <= self.kept && self.pieces.range(offset / PIECE..end.div_ceil(PIECE)).next().is_none() {
            return file.read(offset, out);
        }
        for (piece, within, done, many) in pieces(offset, out.len()) {
            let to = &mut out[done..done + many];
            match self.pieces.get(&piece) {
                Some(bytes) => to.copy_from_slice(&bytes[within..within + many]),
                None => to.copy_from_slice(&Self::of_file(file, piece, self.kept)?[within..within + many]),
            }
        }
        Ok(())
    }

    fn write(&mut self, file: &impl StorageBackend, offset: u64, data: &[u8]) -> io::Result<()> {
        for (piece, within, done, many) in pieces(offset, data.len()) {
            let bytes = match self.pieces.entry(piece) {
                std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => free.insert(Self::of_file(file, piece, self.kept)?),
            };
            bytes[within..within + many].copy_from_slice(&data[done..done + many]);
        }
        self.steps.push(Step::Write {
            offset,
            data: data.to_vec(),
        });
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.kept = self.kept.min(len);
        self.pieces.retain(|piece, _| piece * PIECE < len);
        if let Some(last) = self.pieces.get_mut(&(len / PIECE)) {
            last[(len % PIECE) as usize..].fill(0);
        }
        self.len = len;
        self.steps.push(Step::SetLen(len));
        Ok(())
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

impl<B: StorageBackend> StorageBackend for Aside<B> {
    fn len(&self) -> io::Result<u64> {
        self.ask((), |written, _, ()| Ok(written.len), |file, ()| file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.ask(
            out,
            |written, file, out| written.read(file, offset, out),
            |file, out| file.read(offset, out),
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ask(len, |written, _, len| written.set_len(len), B::set_len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(
            (),
            |written, _, ()| {
                written.steps.push(Step::Sync);
                Ok(())
            },
            |file, ()| file.sync_data(),
        )
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.ask(
            data,
            |written, file, data| written.write(file, offset, data),
            |file, data| file.write(offset, data),
        )
    }

    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}

impl StorageBackend for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_path::own_path;

    /// A storage that notes what is done to it, and may fail from the so-many-eth change on.
    #[derive(Debug, Clone, Default)]
    struct Noted(Arc<Mutex<Notes>>);

    #[derive(Debug, Default)]
    struct Notes {
        bytes: Vec<u8>,
        changes: Vec<String>,
        changes_max: Option<usize>,
    }

    impl Noted {
        fn with(bytes: &[u8]) -> Self {
            let noted = Self::default();
            noted.0.lock().unwrap().bytes = bytes.to_vec();
            noted
        }

        fn note(&self, change: String, then: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
            let mut notes = self.0.lock().unwrap();
            if notes.changes_max.is_some_and(|most| notes.changes.len() >= most) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            notes.changes.push(change);
            then(&mut notes.bytes);
            Ok(())
        }

        fn changes(&self) -> Vec<String> {
            self.0.lock().unwrap().changes.clone()
        }

        fn bytes(&self) -> Vec<u8> {
            self.0.lock().unwrap().bytes.clone()
        }
    }

    impl StorageBackend for Noted {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().bytes.len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let notes = self.0.lock().unwrap();
            let found = notes.bytes.get(offset as usize..offset as usize + out.len());
            out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.note(format!("length {len}"), |bytes| bytes.resize(len as usize, 0))
        }

        fn sync_data(&self) -> io::Result<()> {
            self.note("sync".to_owned(), |_| {})
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.note(format!("{data:?} at {offset}"), |bytes| {
                bytes[offset as usize..offset as usize + data.len()].copy_from_slice(data);
            })
        }
    }

    fn seen(storage: &impl StorageBackend) -> Vec<u8> {
        let mut bytes = vec![1; storage.len().unwrap() as usize];
        storage.read(0, &mut bytes).unwrap();
        bytes
    }

    fn original() -> Vec<u8> {
        (0..10_000_u32).map(|n| n as u8).collect()
    }

    /// Writes over the edge of a piece, beyond what a shorter file has left, twice to one place.
    fn change(storage: &impl StorageBackend) {
        storage.write(4_090, &[7; 20]).unwrap();
        storage.sync_data().unwrap();
        storage.set_len(5_000).unwrap();
        storage.set_len(20_000).unwrap();
        storage.write(19_999, &[9]).unwrap();
        storage.write(4_092, &[8; 2]).unwrap();
        storage.sync_data().unwrap();
        storage.write(0, &[5]).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_was() {
        let path = own_path("aside");
        std::fs::write(&path, original()).unwrap();
        let aside = Aside::of(&path).unwrap();
        change(&aside);
        let direct = Noted::with(&original());
        change(&direct);
        assert!(seen(&aside) == direct.bytes());
        assert!(aside.read(19_999, &mut [0; 2]).is_err());
        assert!(aside.keep().is_err(), "the file is open to be read alone");
        drop(aside);
        assert!(std::fs::read(&path).unwrap() == original());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_file_gets_what_waited_step_by_step_as_if_nothing_had_waited() {
        let (file, direct) = (Noted::with(&original()), Noted::with(&original()));
        let aside = Aside::over(file.clone()).unwrap();
        change(&aside);
        assert!(file.changes().is_empty() && file.bytes() == original());
        aside.keep().unwrap();
        change(&direct);
        assert_eq!(file.changes(), direct.changes());
        for storage in [&aside as &dyn StorageBackend, &direct] {
            storage.write(10, &[3; 3]).unwrap();
            storage.sync_data().unwrap();
            storage.set_len(30_000).unwrap();
        }
        assert_eq!(file.changes(), direct.changes(), "from then on nothing waits");
        assert!(seen(&aside) == direct.bytes());
        aside.keep().unwrap();
        assert_eq!(file.changes(), direct.changes(), "nothing is done twice");
    }

    #[test]
    fn a_file_that_failed_to_take_what_waited_gets_nothing_more() {
        let file = Noted::with(&original());
        file.0.lock().unwrap().changes_max = Some(3);
        let aside = Aside::over(file.clone()).unwrap();
        change(&aside);
        assert_eq!(aside.keep().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let left = file.bytes();
        file.0.lock().unwrap().changes_max = None;
        assert!(aside.write(0, &[1]).is_err() && aside.set_len(1).is_err() && aside.sync_data().is_err());
        assert!(aside.len().is_err() && aside.read(0, &mut [0]).is_err());
        assert!(aside.keep().is_err());
        assert_eq!((file.changes().len(), file.bytes() == left), (3, true));
    }
}

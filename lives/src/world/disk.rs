//! A disk that keeps what was synced, and of the rest whatever it likes.
//!
//! What is written is seen at once, as through a page cache, and is on the platter only once a sync has returned. When
//! the power goes, every sector of every write since then is kept or lost on its own, so writes are lost, torn and
//! reordered. A fuse lets the power go in the middle of a commit: after so many more writes and syncs.

use crate::seed::Seed;
use redb::StorageBackend;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is kept or lost as a whole.
const SECTOR: usize = 512;

/// A disk. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What a sync has made safe.
    safe: Vec<u8>,
    /// What a reader sees.
    seen: Vec<u8>,
    /// What has changed since the last sync, in order.
    unsynced: Vec<Change>,
    /// No machine stands behind it any more: a process that is dead writes nothing.
    dead: bool,
    /// So many writes and syncs until the power goes.
    fuse: Option<u32>,
}

#[derive(Debug)]
enum Change {
    Length(u64),
    Write { at: usize, data: Vec<u8> },
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                self.dead = true;
            } else {
                *left -= 1;
            }
        }
        self.living()
    }

    fn living(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("the power is gone"))
        } else {
            Ok(())
        }
    }
}

fn write(to: &mut Vec<u8>, at: usize, data: &[u8]) {
    if to.len() < at + data.len() {
        to.resize(at + data.len(), 0);
    }
    to[at..at + data.len()].copy_from_slice(data);
}

impl Disk {
    /// A disk with this on it.
    pub fn with(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            safe: image.clone(),
            seen: image,
            unsynced: Vec::new(),
            dead: false,
            fuse: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a copy of it holds, as of the last sync.
    pub fn image(&self) -> Vec<u8> {
        self.state().safe.clone()
    }

    /// The power goes after so many more writes and syncs.
    pub fn set_fuse(&self, operations: u32) {
        self.state().fuse = Some(operations);
    }

    /// It has no fuse any more.
    pub fn clear_fuse(&self) {
        self.state().fuse = None;
    }

    /// Whether the fuse has blown, or the process was ended.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The power goes now. Returns what is found when it is back: what was synced, and of the rest each sector with a
    /// chance of `kept` in a hundred.
    pub fn cut(&self, kept: u64, seed: &mut Seed) -> Vec<u8> {
        let mut state = self.state();
        state.dead = true;
        let mut image = state.safe.clone();
        for change in &state.unsynced {
            match change {
                Change::Length(length) => {
                    if seed.below(100) < kept {
                        image.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0);
                    }
                }
                Change::Write { at, data } => {
                    let mut from = 0;
                    while from < data.len() {
                        let to = data.len().min(from + SECTOR - (at + from) % SECTOR);
                        if seed.below(100) < kept {
                            write(&mut image, at + from, &data[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
        image
    }

    /// The process ends, the machine stays up: everything that was written is there.
    pub fn end_process(&self) -> Vec<u8> {
        let mut state = self.state();
        state.dead = true;
        state.seen.clone()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        state.living()?;
        Ok(state.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.living()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let found = state.seen.get(at..at + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.seen.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        state.unsynced.push(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let State { safe, unsynced, .. } = &mut *state;
        for change in unsynced.drain(..) {
            match change {
                Change::Length(length) => safe.resize(usize::try_from(length).unwrap_or(usize::MAX), 0),
                Change::Write { at, data } => write(safe, at, &data),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        write(&mut state.seen, at, data);
        let data = data.to_vec();
        state.unsynced.push(Change::Write { at, data });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_stays_and_of_the_rest_any_sector_may() {
        let disk = Disk::with(vec![0; 4 * SECTOR]);
        disk.write(0, &[1; 2 * SECTOR]).unwrap();
        disk.sync_data().unwrap();
        disk.write(SECTOR as u64, &[2; 3 * SECTOR]).unwrap();
        let mut seen = vec![0; 4 * SECTOR];
        disk.read(0, &mut seen).unwrap();
        assert_eq!((seen[0], seen[SECTOR], seen[3 * SECTOR]), (1, 2, 2));
        let mut torn = std::collections::BTreeSet::new();
        for n in 0..200 {
            let found = disk.cut(50, &mut Seed::new(n));
            assert_eq!((found.len(), found[0]), (4 * SECTOR, 1), "what was synced");
            torn.insert([found[SECTOR], found[2 * SECTOR], found[3 * SECTOR]]);
        }
        assert_eq!(torn.len(), 8, "every mixture of old and new sectors: {torn:?}");
        assert_eq!(disk.end_process()[SECTOR], 2);
        assert!(disk.write(0, &[3]).is_err(), "a dead process writes nothing");
    }

    #[test]
    fn the_fuse_blows_in_the_middle() {
        let disk = Disk::with(vec![0; 8]);
        disk.set_fuse(2);
        disk.write(0, &[1]).unwrap();
        disk.write(1, &[1]).unwrap();
        assert!(disk.sync_data().is_err() && disk.is_dead());
        assert_eq!(disk.cut(0, &mut Seed::new(1)), [0; 8]);
    }
}

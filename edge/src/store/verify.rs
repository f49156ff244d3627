//! Whether the journal is what was sealed: from its beginning, or from where retention left it, to its end; and whether
//! the end is there.

use super::{Store, StoreError, read::Reader, tables};
use domain::journal::{Broken, Hash, Head, Walk};

/// How many entries are read in one step.
const STEP: usize = 200;

/// A journal that is what was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The place that it begins after.
    pub from: Head,
    /// Its end.
    pub head: Head,
    /// The last place that head office has acknowledged, if any.
    pub acknowledged: Option<Head>,
}

impl Store {
    /// Notes how far head office has the journal, durably; returns the furthest place that is noted.
    ///
    /// # Errors
    /// [`StoreError::OtherEpoch`]; [`StoreError::Journal`] if another entry stands there, or none; [`StoreError::Io`].
    pub fn acknowledge(&self, epoch: &str, place: Head) -> Result<Head, StoreError> {
        let here = &self.identity().epoch;
        if epoch != here {
            return Err(StoreError::OtherEpoch {
                given: epoch.to_owned(),
                here: here.clone(),
            });
        }
        // A small transaction of its own: none of the rows that the station's loop writes are in it.
        let write = self.db.begin_write()?;
        // What is read here is what the commit before has left, and no other commit can come between.
        let reader = self.reader()?;
        let furthest = reader.acknowledged()?.unwrap_or(Head::START);
        match reader.hash_of(place.seq)? {
            Some(found) if found == place.hash => {}
            Some(found) => Err(Broken::Fork {
                seq: place.seq,
                found,
                known: place.hash,
            })?,
            None if place.seq > reader.head()?.0.seq => Err(Broken::CutOff {
                end: reader.head()?.0.seq,
                known: place.seq,
            })?,
            // Pruned long ago: it was acknowledged then.
            None => {}
        }
        if place.seq <= furthest.seq {
            return Ok(furthest);
        }
        let bytes = serde_json::to_vec(&place).map_err(StoreError::io)?;
        write
            .open_table(tables::META)?
            .insert(tables::ACKNOWLEDGED, bytes.as_slice())?;
        write.commit()?;
        Ok(place)
    }
}

impl Reader {
    /// The hash of entry `seq`, of the place that the journal begins after, or of its very beginning.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn hash_of(&self, seq: u64) -> Result<Option<Hash>, StoreError> {
        let begin = self.checkpoint()?;
        if seq == begin.seq {
            return Ok(Some(begin.hash));
        }
        let found = self.journal(seq, 1)?.into_iter().next();
        Ok(found.filter(|(found, ..)| *found == seq).map(|(_, hash, _)| hash))
    }

    /// The place after which the journal begins: everything up to there was pruned.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn checkpoint(&self) -> Result<Head, StoreError> {
        Ok(self.place(tables::CHECKPOINT)?.unwrap_or(Head::START))
    }

    /// The last place in the journal that head office has acknowledged.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn acknowledged(&self) -> Result<Option<Head>, StoreError> {
        self.place(tables::ACKNOWLEDGED)
    }

    /// Checks every entry, and that the journal goes through the places that are known: where head office was, and
    /// `known`, which somebody wrote down.
    ///
    /// # Errors
    /// [`StoreError::Journal`] with what is wrong, and as [`Reader::head`].
    pub fn verify(&self, known: Option<Head>) -> Result<Verified, StoreError> {
        let (from, acknowledged) = (self.checkpoint()?, self.acknowledged()?);
        let mut walk = Walk::new(from, known.into_iter().chain(acknowledged))?;
        loop {
            let entries = self.journal(walk.head().seq + 1, STEP)?;
            if entries.is_empty() {
                break;
            }
            for (seq, hash, bytes) in entries {
                walk.follow(seq, hash, &bytes)?;
            }
        }
        Ok(Verified {
            from,
            head: walk.end()?,
            acknowledged,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_path::own_path;
    use std::path::{Path, PathBuf};

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb")
    }

    /// A real station's journal, in memory, to be changed.
    fn station() -> Store {
        Store::look_at(&fixture(), 4 << 20).unwrap()
    }

    fn entries(store: &Store) -> Vec<(u64, Vec<u8>)> {
        let all = store.reader().unwrap().journal(1, usize::MAX).unwrap();
        let stored = |(seq, hash, bytes): (u64, Hash, Vec<u8>)| (seq, [&hash.0[..], &bytes].concat());
        all.into_iter().map(stored).collect()
    }

    fn set(store: &Store, change: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>)) {
        let write = store.db.begin_write().unwrap();
        change(&mut write.open_table(tables::JOURNAL).unwrap());
        write.commit().unwrap();
    }

    #[test]
    fn every_byte_of_a_real_journal_that_flips_is_found() {
        let store = station();
        let stored = entries(&store);
        assert!(stored.len() > 50);
        let mut flips = 0;
        let mut before = Head::START;
        for (seq, bytes) in &stored {
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << (at % 8);
                let (hash, content) = bad.split_first_chunk::<32>().unwrap();
                let mut walk = Walk::new(before, []).unwrap();
                assert!(
                    walk.follow(*seq, Hash(*hash), content).is_err(),
                    "byte {at} of entry {seq}"
                );
                flips += 1;
            }
            let (hash, content) = bytes.split_first_chunk::<32>().unwrap();
            before.follow(*seq, Hash(*hash), content).unwrap();
        }
        // A few of them in the database itself, through what the command does.
        for (n, (seq, bytes)) in stored.iter().enumerate() {
            let mut bad = bytes.clone();
            bad[(n * 97) % bytes.len()] ^= 0x20;
            set(&store, |journal| drop(journal.insert(*seq, bad.as_slice()).unwrap()));
            let said = store.reader().unwrap().verify(None).unwrap_err().to_string();
            assert!(said.contains(&format!("entry {seq}")), "{said}");
            set(&store, |journal| drop(journal.insert(*seq, bytes.as_slice()).unwrap()));
        }
        store.reader().unwrap().verify(None).unwrap();
        println!("{flips} flips in {} entries", stored.len());
    }

    #[test]
    fn an_end_that_is_missing_is_found_against_what_was_acknowledged() {
        let store = station();
        let stored = entries(&store);
        let (last, _) = stored.last().unwrap();
        let head = store.reader().unwrap().verify(None).unwrap().head;
        let epoch = store.identity().epoch.clone();
        assert_eq!(store.acknowledge(&epoch, head).unwrap(), head);
        set(&store, |journal| drop(journal.remove(last).unwrap()));
        let said = store.reader().unwrap().verify(None).unwrap_err().to_string();
        assert!(said.contains("the end of it is missing"), "{said}");
        set(&store, |journal| drop(journal.remove(10).unwrap()));
        let said = store.reader().unwrap().verify(None).unwrap_err().to_string();
        assert!(said.contains("entry 10 is missing"), "{said}");
    }

    /// Every row of every table, as text.
    fn everything(store: &Store) -> Vec<String> {
        let read = redb::ReadableDatabase::begin_read(&*store.db).unwrap();
        tables::ALL.iter().flat_map(|table| table.rows(&read)).collect()
    }

    /// redb keeps its last two commits under a checksum each, and takes the one before where the newer is not whole: it
    /// cannot know a flipped byte from a torn write. Then the journal ends earlier, and verifies up to there.
    #[test]
    fn a_byte_that_flips_in_the_file_is_found_or_nothing_uses_it_or_the_last_commit_is_gone() {
        let file = std::fs::read(fixture()).unwrap();
        let path = own_path("flips");
        let before = everything(&station());
        let head = station().reader().unwrap().verify(None).unwrap().head;
        let (mut found, mut unused, mut gone, mut gone_unseen) = (0, 0, 0, 0);
        let header = (0..320).step_by(7);
        for at in header.chain((320..file.len()).step_by(1_021)) {
            let mut bad = file.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            let looked = Store::look_at(&path, 4 << 20).and_then(|store| {
                let end = store.reader()?.verify(None)?.head;
                Ok((store, end))
            });
            match looked {
                Err(_) => found += 1,
                Ok((store, _)) if everything(&store) == before => unused += 1,
                Ok((store, end)) if end.seq < head.seq => {
                    let said = store.reader().unwrap().verify(Some(head)).unwrap_err().to_string();
                    assert!(said.contains("the end of it is missing"), "byte {at}: {said}");
                    gone += 1;
                }
                // The last commit had no facts in it: only what connectors last said is older.
                Ok((_, end)) => {
                    assert_eq!(end, head, "byte {at} was taken for what it is not");
                    gone_unseen += 1;
                }
            }
            assert!(std::fs::read(&path).unwrap() == bad, "byte {at}: the copy was changed");
        }
        std::fs::remove_file(&path).unwrap();
        println!("{found} flips found, {unused} in bytes that nothing uses, {gone} and {gone_unseen} cost a commit");
        assert!(found > 20, "{found} found, {unused} unused");
        assert!(gone + gone_unseen < found, "{gone} and {gone_unseen} of {found}");
    }
}

//! The journal as it is sent elsewhere: whole steps of the station, and whether a place is in it.

use super::Reader;
use crate::store::StoreError;
use domain::journal::{Broken, Hash, Head, Stamp};

/// The most stored bytes at once, save that a single step always goes.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many entries are read at a time.
const READ_AT_ONCE: usize = 64;

/// An entry as it is stored: its number, its hash and its bytes.
type Stored = (u64, Hash, Vec<u8>);

impl Reader {
    /// Entries from this one on, at most so many and so long, that end where a step of the station has ended: all of a step has
    /// one time, and a commit holds whole steps. A first step that is longer comes whole, and alone.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn whole_steps(&self, mut from: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let (mut entries, mut bytes_so_far): (Vec<Stored>, usize) = (Vec::new(), 0);
        // How many of them are whole steps, and when the last of them was made.
        let (mut whole, mut last) = (0, None);
        loop {
            let some = self.journal(from, READ_AT_ONCE)?;
            if some.is_empty() {
                // What is on disk ends with a step.
                return Ok(entries);
            }
            for (seq, hash, bytes) in some {
                let stamp = Stamp::of_entry(&bytes).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                if last.replace(stamp.now()) != Some(stamp.now()) {
                    whole = entries.len();
                }
                bytes_so_far += bytes.len();
                if whole > 0 && (entries.len() >= limit || bytes_so_far > BYTES_MAX) {
                    entries.truncate(whole);
                    return Ok(entries);
                }
                entries.push((seq, hash, bytes));
                from = seq.saturating_add(1);
            }
        }
    }

    /// Whether this place is in the journal. It is not where it lies beyond the last entry.
    ///
    /// # Errors
    /// [`StoreError::Journal`]: another entry stands there, or none any more; as [`Reader::head`].
    pub fn has(&self, place: Head) -> Result<bool, StoreError> {
        if place == Head::START {
            return Ok(true);
        }
        match self.hash_of(place.seq)? {
            Some(found) if found == place.hash => Ok(true),
            None if place.seq > self.head()?.0.seq => Ok(false),
            found => Err(Broken::Fork {
                seq: place.seq,
                found: found.unwrap_or(Hash::GENESIS),
                known: place.hash,
            }
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Mark,
        store::{Batch, Store},
    };
    use domain::{
        fact::Fact,
        ids::SiteId,
        site::Rows,
        time::{Mono, Wall},
    };

    /// A journal whose steps have these many entries.
    fn journal(steps: &[u64], path: &std::path::Path) -> Store {
        let store = Store::open(path, &SiteId::new("s1").unwrap(), 1 << 20).unwrap();
        let (mut seq, mut head) = (0, Hash::GENESIS);
        for (n, entries) in (1..).zip(steps) {
            let facts = (0..*entries).map(|_| {
                seq += 1;
                let (at, mono) = (Wall(n), Mono(n.unsigned_abs()));
                (Stamp { seq, at, mono }, Fact::ClockStepped { by_ms: n })
            });
            let batch = Batch {
                facts: facts.collect(),
                ..Batch::default()
            };
            head = store.commit(&batch, &Rows::default(), head, &Mark::default()).unwrap();
        }
        store
    }

    #[test]
    fn rule_1_a_page_of_the_feed_ends_where_a_step_ends_for_every_beginning_and_limit() {
        let steps = [1, 3, 2, 70, 1, 1, 5];
        let path = crate::own_path::own_path("feed-steps").with_extension("redb");
        let store = journal(&steps, &path);
        let reader = store.reader().unwrap();
        let ends: Vec<u64> = steps
            .iter()
            .scan(0, |sum, step| {
                *sum += step;
                Some(*sum)
            })
            .collect();
        let head = *ends.last().unwrap();
        for after in 0..=head {
            for limit in 1..=usize::try_from(head).unwrap() + 1 {
                let page = reader.whole_steps(after + 1, limit).unwrap();
                let last = page.last().map_or(after, |(seq, ..)| *seq);
                assert_eq!(page.len() as u64, last - after, "without gaps");
                assert!(
                    after == head || ends.contains(&last),
                    "after {after}, limit {limit}: {last}"
                );
                let next = *ends.iter().find(|end| **end > after).unwrap_or(&head);
                let room = after + limit as u64;
                // As much as there is room for, and a step at least.
                let most = ends.iter().copied().filter(|end| *end <= room).max().unwrap_or(0);
                assert_eq!(last, most.max(next).max(after), "after {after}, limit {limit}");
            }
        }
        drop((reader, store));
        std::fs::remove_file(path).unwrap();
    }
}

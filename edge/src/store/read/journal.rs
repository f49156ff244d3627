//! The journal in a snapshot: its head, entries by number, by time and by an index that names them.
//! A stored entry is its hash and the bytes that were hashed.

use super::{Page, Reader, bad, parse};
use crate::store::{StoreError, tables};
use domain::{
    journal::{Entry, Hash, Head, NotReadable, Stamp, Written},
    time::{Mono, Wall},
};
use redb::{ReadableTable, TableDefinition};

impl Reader {
    /// The journal's last entry and its hash; zero and [`Hash::GENESIS`] before the first.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] or [`StoreError::Io`], as all of these.
    pub fn head(&self) -> Result<(Stamp, Hash), StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        let Some((seq, stored)) = journal.last()? else {
            return Ok((
                Stamp {
                    seq: 0,
                    at: Wall(0),
                    mono: Mono(0),
                },
                Hash::GENESIS,
            ));
        };
        let (hash, bytes) = split_entry(seq.value(), stored.value())?;
        Ok((stamp(seq.value(), bytes)?, hash))
    }

    /// Journal entries from `from` on, at most `limit`: seq, hash, stored bytes.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn journal(&self, from: u64, limit: usize) -> Result<Vec<(u64, Hash, Vec<u8>)>, StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        let mut entries = Vec::new();
        for row in journal.range(from..)?.take(limit) {
            let (seq, stored) = row?;
            let (hash, bytes) = split_entry(seq.value(), stored.value())?;
            entries.push((seq.value(), hash, bytes.to_vec()));
        }
        Ok(entries)
    }

    /// The number of the first journal entry at or after `at` by the wall clock; the one after the last if there is none.
    /// A clock that was stepped back leaves entries out of order: then it is one such number.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn seq_from(&self, at: Wall) -> Result<u64, StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        let Some((first, _)) = journal.first()? else {
            return Ok(1);
        };
        let (mut low, mut high) = (first.value(), self.head()?.0.seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = journal.get(middle)?;
            let stored = found.ok_or_else(|| bad("journal", &middle.to_string(), "is missing"))?;
            if stamp(middle, split_entry(middle, stored.value())?.1)?.at < at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Shows `each` the stored bytes of these journal entries, in order.
    ///
    /// # Errors
    /// As [`Reader::head`], and what `each` fails with.
    pub(in crate::store) fn each_entry(
        &self,
        entries: std::ops::Range<u64>,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        for row in journal.range(entries)? {
            let (seq, stored) = row?;
            each(seq.value(), split_entry(seq.value(), stored.value())?.1)?;
        }
        Ok(())
    }

    /// Journal entries that an index names under `name`, newest first, before `before`, at most `limit`.
    pub(in crate::store) fn entries_of<T>(
        &self,
        index: TableDefinition<'static, (&'static str, u64), ()>,
        name: &str,
        before: Option<u64>,
        limit: usize,
        read: impl Fn(u64, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let index = self.read.open_table(index)?;
        let journal = self.read.open_table(tables::JOURNAL)?;
        let kept = self.read.open_table(tables::KEPT_ENTRIES)?;
        let end = (name, before.unwrap_or(u64::MAX));
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for row in index.range((name, 0)..end)?.rev() {
            let (_, seq) = row?.0.value();
            if page.items.len() == limit {
                return Ok(page);
            }
            page.next = Some(seq);
            if let Some(stored) = journal
                .get(seq)?
                .map_or_else(|| kept.get(seq), |stored| Ok(Some(stored)))?
            {
                page.items.push(read(seq, split_entry(seq, stored.value())?.1)?);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// A place in the journal that is kept under this name.
    pub(in crate::store) fn place(&self, name: &'static str) -> Result<Option<Head>, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        meta.get(name)?.map(|row| parse("meta", &name, row.value())).transpose()
    }
}

pub(in crate::store) fn split_entry(seq: u64, stored: &[u8]) -> Result<(Hash, &[u8]), StoreError> {
    let (hash, bytes) = stored
        .split_first_chunk::<32>()
        .ok_or_else(|| bad("journal", &seq.to_string(), "too short"))?;
    Ok((Hash(*hash), bytes))
}

fn no_entry(seq: u64) -> impl Fn(NotReadable) -> StoreError {
    move |error| bad("journal", &seq.to_string(), error)
}

/// For whoever draws conclusions from the fact.
pub(in crate::store) fn entry(seq: u64, bytes: &[u8]) -> Result<Entry, StoreError> {
    Entry::from_bytes(bytes).map_err(no_entry(seq))
}

/// For whoever shows the fact, which may be of a kind that is not known here.
pub(in crate::store) fn written(seq: u64, bytes: &[u8]) -> Result<Written, StoreError> {
    Written::from_bytes(bytes).map_err(no_entry(seq))
}

/// For whoever asks when it was.
pub(in crate::store) fn stamp(seq: u64, bytes: &[u8]) -> Result<Stamp, StoreError> {
    Stamp::of_entry(bytes).map_err(no_entry(seq))
}

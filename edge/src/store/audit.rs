//! A day's bills worked out again from the readings that the journal kept, on every core, from one snapshot.

use super::{Reader, Store, StoreError, read};
use domain::{
    fact::Fact,
    ids::{OrderId, TariffId},
    rating::Bill,
    tariff::Tariff,
    time::Wall,
    units::Fen,
};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

/// Entries that one thread takes at a time.
const SHARE: u64 = 4_096;
/// The most differences that are told one by one.
pub const DIFFERENCES_MAX: usize = 100;
/// The most threads.
const THREADS_MAX: usize = 8;

/// What came of rating a day's bills again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BillAudit {
    /// Bills that were rated again.
    pub rated: u64,
    /// Of which to the fen and the digit as before.
    pub same: u64,
    /// The others, at most [`DIFFERENCES_MAX`] of them.
    pub differences: Vec<Difference>,
}

/// A bill that is another one when it is worked out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The journal entry of the bill.
    pub seq: u64,
    /// Whose bill.
    pub order: OrderId,
    /// The fee that was journaled.
    pub fee: Fen,
    /// The fee it is now; none where it cannot be rated.
    pub again: Option<Fen>,
}

impl Store {
    /// Rates every bill again that was journaled from `from` until before `to`, by the tariff it was rated by.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] or [`StoreError::Io`].
    pub fn audit_bills(&self, from: Wall, to: Wall) -> Result<BillAudit, StoreError> {
        let reader = self.reader()?;
        let tariffs: BTreeMap<TariffId, Tariff> = reader
            .tariffs()?
            .into_iter()
            .map(|tariff| (tariff.spec().id.clone(), tariff))
            .collect();
        let entries = reader.seq_from(from)?..reader.seq_from(to)?;
        let next = AtomicU64::new(entries.start);
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_MAX);
        let work = || -> Result<BillAudit, StoreError> {
            let mut audit = BillAudit::default();
            loop {
                let begin = next.fetch_add(SHARE, Ordering::Relaxed);
                if begin >= entries.end {
                    return Ok(audit);
                }
                audit.take(&reader, begin..entries.end.min(begin + SHARE), &tariffs)?;
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut whole = BillAudit::default();
            for worker in workers {
                let part = worker
                    .join()
                    .map_err(|_| StoreError::Corrupt("a bill cannot be rated".to_owned()))??;
                whole.rated += part.rated;
                whole.same += part.same;
                whole.differences.extend(part.differences);
            }
            whole.differences.sort_by_key(|difference| difference.seq);
            whole.differences.truncate(DIFFERENCES_MAX);
            Ok(whole)
        })
    }
}

impl BillAudit {
    fn take(
        &mut self,
        reader: &Reader,
        entries: Range<u64>,
        tariffs: &BTreeMap<TariffId, Tariff>,
    ) -> Result<(), StoreError> {
        reader.each_entry(entries, |seq, bytes| {
            if !may_be_rated(bytes) {
                return Ok(());
            }
            let Fact::OrderRated { order, bill, .. } = read::entry(seq, bytes)?.fact else {
                return Ok(());
            };
            let again = tariffs.get(&bill.tariff).and_then(|tariff| bill.again(tariff).ok());
            self.rated += 1;
            if again.as_ref().is_some_and(|again| again.is_same(&bill)) {
                self.same += 1;
            } else if self.differences.len() < DIFFERENCES_MAX {
                self.differences.push(Difference {
                    seq,
                    order,
                    fee: bill.fee,
                    again: again.map(|Bill { fee, .. }| fee),
                });
            }
            Ok(())
        })
    }
}

/// Whether the stored entry is of a bill, told without reading all of it: the kind of fact stands after the third brace,
/// that of the entry, of its stamp and of the fact; no name has one.
fn may_be_rated(bytes: &[u8]) -> bool {
    let fact = bytes.splitn(4, |byte| *byte == b'{').nth(3);
    fact.is_some_and(|fact| fact.starts_with(b"\"OrderRated\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_bill_of_a_real_journal_is_found_and_nothing_else() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb");
        let store = Store::look_at(&fixture, 4 << 20).unwrap();
        let reader = store.reader().unwrap();
        let (mut bills, mut others) = (0, 0);
        for (seq, _, bytes) in reader.journal(1, usize::MAX).unwrap() {
            let is_rated = matches!(read::entry(seq, &bytes).unwrap().fact, Fact::OrderRated { .. });
            assert_eq!(may_be_rated(&bytes), is_rated, "entry {seq}");
            *(if is_rated { &mut bills } else { &mut others }) += 1;
        }
        assert!(bills >= 3 && others > 40, "{bills} bills, {others} others");
    }
}

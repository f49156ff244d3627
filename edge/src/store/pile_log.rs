//! The log of a pile: which journal entries tell of it, whatever they are about. An index over the journal, nothing else.

use super::{
    StoreError,
    indexed::Indexed,
    read::{Page, Reader, parse, split_entry, written},
    tables,
};
use domain::{
    ids::{OrderId, PileId},
    journal::Written,
    order::Order,
};
use redb::{ReadableTable, WriteTransaction};

/// At which pile an order runs, by its row.
pub(super) fn pile_of(
    orders: &impl ReadableTable<&'static str, &'static [u8]>,
    order: &OrderId,
) -> Result<Option<PileId>, StoreError> {
    let row = orders.get(order.as_str())?;
    let order: Option<Order> = row.map(|row| parse("orders", order, row.value())).transpose()?;
    Ok(order.map(|order| order.outlet.pile.clone()))
}

/// Makes the index of a journal that has none.
pub(super) fn index(write: &WriteTransaction) -> Result<(), StoreError> {
    let journal = write.open_table(tables::JOURNAL)?;
    let orders = write.open_table(tables::ORDERS)?;
    let mut log = write.open_table(tables::PILE_LOG)?;
    for row in journal.iter()? {
        let (seq, stored) = row?;
        let seq = seq.value();
        let (_, bytes) = split_entry(seq, stored.value())?;
        if let Some(pile) = Indexed::read(seq, bytes, |order| pile_of(&orders, order))?.pile {
            log.insert((pile.as_str(), seq), ())?;
        }
    }
    Ok(())
}

impl Reader {
    /// A pile's log, newest first, before `before` (a journal seq), at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn pile_log(&self, pile: &PileId, before: Option<u64>, limit: usize) -> Result<Page<Written>, StoreError> {
        self.entries_of(tables::PILE_LOG, pile.as_str(), before, limit, written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use std::path::Path;

    #[test]
    fn a_database_of_an_older_version_gets_the_logs_of_its_piles() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb");
        let store = Store::look_at(&fixture, 4 << 20).unwrap();
        let reader = store.reader().unwrap();
        let pile: PileId = "P1".parse().unwrap();
        let all = reader.pile_log(&pile, None, 1_000).unwrap();
        assert_eq!(all.next, None);
        let kinds: Vec<String> = all.items.iter().map(|entry| entry.fact.kind.clone()).collect();
        for kind in ["PileProvisioned", "PileBooted", "CommandIssued", "CommandAnswered"] {
            assert!(kinds.contains(&kind.to_owned()), "{kind} in {kinds:?}");
        }
        let page = reader.pile_log(&pile, None, 2).unwrap();
        let rest = reader.pile_log(&pile, page.next, 1_000).unwrap();
        let paged: Vec<u64> = page
            .items
            .iter()
            .chain(&rest.items)
            .map(|entry| entry.stamp.seq)
            .collect();
        let whole: Vec<u64> = all.items.iter().map(|entry| entry.stamp.seq).collect();
        assert_eq!(paged, whole);
        assert!(whole.is_sorted_by(|newer, older| newer > older));
    }
}

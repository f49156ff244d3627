//! Displays with what is kept of their secrets: one row of the table of everything that there is once.

use super::{StoreError, read::parse, tables, write::json};
use crate::credentials::SecretHash;
use domain::ids::DisplayId;
use redb::{ReadableTable, Table, WriteTransaction};
use std::collections::BTreeMap;

/// Every display with SHA-256 of its secret, hex.
type Displays = BTreeMap<DisplayId, SecretHash>;

/// What the row says; none where nothing was ever written.
pub(super) fn read(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Displays, StoreError> {
    let row = meta.get(tables::DISPLAYS)?;
    let kept = row.map(|row| parse("meta", &tables::DISPLAYS, row.value()));
    Ok(kept.transpose()?.unwrap_or_default())
}

/// The row, to be changed.
pub(super) struct Row<'w> {
    meta: Table<'w, &'static str, &'static [u8]>,
}

impl<'w> Row<'w> {
    pub(super) fn of(write: &'w WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: write.open_table(tables::META)?,
        })
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Displays)) -> Result<(), StoreError> {
        let mut known = read(&self.meta)?;
        change(&mut known);
        self.meta.insert(tables::DISPLAYS, json(&known)?.as_slice())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credentials::Secret, store::Store};
    use domain::ids::SiteId;
    use redb::{ReadableDatabase, backends::InMemoryBackend};

    #[test]
    fn what_was_committed_of_displays_is_read_and_nothing_else() {
        let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
        let kept = || read(&store.db.begin_read().unwrap().open_table(tables::META).unwrap());
        assert_eq!(kept().unwrap().len(), 0, "a database that never had one");
        let [board, meter] = ["board", "meter"].map(|id| DisplayId::new(id).unwrap());
        let hash = Secret::generate().unwrap().hash();
        let write = store.db.begin_write().unwrap();
        let mut row = Row::of(&write).unwrap();
        for id in [&board, &meter] {
            row.change(|known| drop(known.insert(id.clone(), hash.clone())))
                .unwrap();
        }
        row.change(|known| drop(known.remove(&board))).unwrap();
        drop(row);
        assert!(kept().unwrap().is_empty());
        write.commit().unwrap();
        assert!(kept().unwrap() == BTreeMap::from([(meter, hash)]));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_no_empty_one() {
        let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
        let write = store.db.begin_write().unwrap();
        let mut row = Row::of(&write).unwrap();
        row.meta.insert(tables::DISPLAYS, b"{".as_slice()).unwrap();
        let changed = row.change(|known| known.clear());
        assert!(matches!(changed, Err(StoreError::BadRow { table: "meta", .. })));
    }
}

//! From schema 3 to 4: remembered answers have their place by caller, and are counted for each; until then one index had
//! those of everybody by their age.
//!
//! What was asked is not written with an answer. Of what came over HTTP any may be about money, and all of it is taken to be:
//! it stays until it is old.

use super::{StoreError, answers::caller_of, tables};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use std::collections::BTreeMap;

/// Elapsed ms, key → nothing.
const BY_AGE_3: TableDefinition<'static, (u64, &str), ()> = TableDefinition::new("idempotency_by_age");

/// Makes the index and the counts, and takes the index of schema 3 away.
pub(super) fn bring_up(write: &WriteTransaction) -> Result<(), StoreError> {
    let mut of_callers: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    {
        let by_age = write.open_table(BY_AGE_3)?;
        let mut by_caller = write.open_table(tables::IDEMPOTENCY_BY_CALLER)?;
        for entry in by_age.iter()? {
            let (key, _) = entry?;
            let (at, key) = key.value();
            let caller = caller_of(key);
            let about_money = key.starts_with("http\n");
            by_caller.insert((caller, about_money, at, &key[caller.len()..]), ())?;
            let (money, others) = of_callers.entry(caller.to_owned()).or_default();
            *if about_money { money } else { others } += 1;
        }
    }
    let mut counts = write.open_table(tables::IDEMPOTENCY_COUNTS)?;
    for (caller, of_caller) in of_callers {
        counts.insert(caller.as_str(), of_caller)?;
    }
    write.delete_table(BY_AGE_3)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AnswerBudget, FullBudgets, Store, answers};
    use domain::time::Mono;
    use redb::{Builder, Database, ReadableDatabase};
    use std::path::Path;

    /// What the program of schema 3 remembered, oldest first.
    fn remembered_by_3(fixture: &Path) -> Vec<(u64, String)> {
        let copy = crate::own_path::own_path("schema3");
        std::fs::copy(fixture, &copy).unwrap();
        let db: Database = Builder::new().open(&copy).unwrap();
        let read = db.begin_read().unwrap();
        let by_age = read.open_table(BY_AGE_3).unwrap();
        let entry = |entry: Result<(redb::AccessGuard<'_, (u64, &str)>, _), _>| {
            let key = entry.unwrap().0;
            let (at, key) = key.value();
            (at, key.to_owned())
        };
        let found = by_age.iter().unwrap().map(entry).collect();
        drop((read, db));
        std::fs::remove_file(copy).unwrap();
        found
    }

    #[test]
    fn the_answers_of_a_database_of_the_version_before_are_counted_by_caller() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-3.redb");
        let before = remembered_by_3(&fixture);
        let store = Store::look_at(&fixture, 4 << 20).unwrap();
        assert_eq!(answers::tests::agree(&store), before.len() as u64);
        let reader = store.reader().unwrap();
        let (mut of_http, mut of_piles) = (BTreeMap::new(), 0);
        for (at, key) in &before {
            assert_eq!(
                reader.remembered(key, Mono(*at)).unwrap().map(|known| known.at),
                Some(Mono(*at))
            );
            match key.starts_with("http\n") {
                true => *of_http.entry(caller_of(key)).or_insert(0) += 1,
                false => of_piles += 1,
            }
        }
        assert!(of_piles > 5 && of_http.len() == 1, "{before:?}");
        // All that came over HTTP may have been about money: none of it is forgotten for another.
        let (caller, count) = of_http.pop_first().unwrap();
        let now = Mono(before.last().unwrap().0);
        let no_room = |most| reader.no_room_until(caller, true, 0, most, now).unwrap();
        assert!(no_room(count).is_some() && no_room(count + 1).is_none());
        let full = reader.full_budgets(AnswerBudget::default(), now).unwrap();
        assert_eq!(full, FullBudgets::default());
    }
}

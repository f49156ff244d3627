//! Which indexes a stored entry stands in: by the fact that it tells, or, where a newer program has written it, by what it
//! names (`docs/journal.md`, *The rules of a fact*).

use super::{StoreError, read::bad};
use domain::{
    fact::{Fact, PileLog},
    ids::{MemberId, OrderId, PileId},
    journal::{Entry, NotReadable, Written},
    time::Wall,
};

/// Where to find an entry.
pub(super) struct Indexed {
    /// When it was journaled.
    pub(super) at: Wall,
    /// In the log of this order.
    pub(super) order: Option<OrderId>,
    /// In the log of this pile.
    pub(super) pile: Option<PileId>,
    /// Among the notices of this member.
    pub(super) notified: Option<MemberId>,
}

/// In which pile's log a fact stands, where `at` says at which pile an order runs.
pub(super) fn pile_of(
    fact: &Fact,
    at: impl FnOnce(&OrderId) -> Result<Option<PileId>, StoreError>,
) -> Result<Option<PileId>, StoreError> {
    match fact.pile_log() {
        Some(PileLog::Of(pile)) => Ok(Some(pile.clone())),
        Some(PileLog::OfOrder(order)) => at(order),
        None => Ok(None),
    }
}

impl Indexed {
    /// Where to find the entry with these stored bytes, where `at` says at which pile an order runs.
    pub(super) fn read(
        seq: u64,
        bytes: &[u8],
        at: impl FnOnce(&OrderId) -> Result<Option<PileId>, StoreError>,
    ) -> Result<Self, StoreError> {
        let no_entry = |error: NotReadable| bad("journal", &seq.to_string(), error);
        let Ok(Entry { stamp, fact, .. }) = Entry::from_bytes(bytes) else {
            let written = Written::from_bytes(bytes).map_err(no_entry)?;
            return Ok(Self {
                at: written.stamp.at,
                order: written.fact.order(),
                pile: written.fact.pile(),
                notified: None,
            });
        };
        let pile = pile_of(&fact, at)?;
        let order = fact.order().cloned();
        let notified = match fact {
            Fact::Notified { member, .. } => Some(member),
            _ => None,
        };
        Ok(Self {
            at: stamp.at,
            order,
            pile,
            notified,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{Limits, Pass, Store, tables};
    use domain::{
        ids::{PileId, SiteId},
        journal::{Hash, Head},
        time::Wall,
    };
    use redb::backends::InMemoryBackend;

    /// A station's journal in which a newer program has written the second of three entries.
    fn written_by_a_newer_program() -> (Store, Head) {
        let store = Store::on(InMemoryBackend::new(), &SiteId::new("S1").unwrap()).unwrap();
        let facts = [
            r#"{"PileProvisioned":{"pile":"P1"}}"#,
            r#"{"PileMelted":{"pile":"P1","order":"o1","degrees":1085}}"#,
            r#"{"ClockStepped":{"by_ms":60000}}"#,
        ];
        let write = store.db.begin_write().unwrap();
        let mut head = Head::START;
        for (seq, fact) in (1..).zip(facts) {
            let mut journal = write.open_table(tables::JOURNAL).unwrap();
            let stamp = format!(r#"{{"seq":{seq},"at":"2026-03-01T00:00:0{seq}Z","mono":{seq}}}"#);
            let entry = format!(r#"{{"site":"S1","epoch":"e","stamp":{stamp},"fact":{fact}}}"#);
            let hash = Hash::seal(&head.hash, entry.as_bytes());
            journal
                .insert(seq, [&hash.0[..], entry.as_bytes()].concat().as_slice())
                .unwrap();
            head = Head { seq, hash };
        }
        let mut of_pile = write.open_table(tables::PILE_LOG).unwrap();
        of_pile.insert(("P1", 1), ()).unwrap();
        of_pile.insert(("P1", 2), ()).unwrap();
        write
            .open_table(tables::ORDER_LOG)
            .unwrap()
            .insert(("o1", 2), ())
            .unwrap();
        drop(of_pile);
        write.commit().unwrap();
        (store, head)
    }

    #[test]
    fn an_entry_of_a_newer_program_is_verified_shown_and_found() {
        let (store, head) = written_by_a_newer_program();
        let reader = store.reader().unwrap();
        assert_eq!(reader.verify(Some(head)).unwrap().head, head);
        assert_eq!(reader.head().unwrap().0.seq, 3);
        assert_eq!(
            reader.seq_from(Wall::parse("2026-03-01T00:00:02Z").unwrap()).unwrap(),
            2
        );
        let of_order = reader.order_log_from(&"o1".parse().unwrap(), 0, 10).unwrap();
        assert_eq!(of_order[0].fact.kind, "PileMelted");
        let pile: PileId = "P1".parse().unwrap();
        let of_pile = reader.pile_log(&pile, None, 10).unwrap().items;
        assert_eq!(of_pile.len(), 2);
        assert_eq!(of_pile[0].fact.body["degrees"], 1085);
    }

    #[test]
    fn an_entry_of_a_newer_program_is_forgotten_with_what_leads_to_it() {
        let (store, head) = written_by_a_newer_program();
        let before = Wall::parse("2027-01-01T00:00:00Z").unwrap();
        let limits = Limits {
            facts_before: before,
            samples_before: before,
            until_acknowledged: false,
        };
        let mut pass = Pass::default();
        while store.prune(&mut pass, limits, |_, _| false).unwrap() {}
        let reader = store.reader().unwrap();
        assert_eq!(
            reader.checkpoint().unwrap().seq,
            2,
            "the last entry is what the next is sealed to"
        );
        assert_eq!(reader.verify(Some(head)).unwrap().from.seq, 2);
        assert!(reader.order_log_from(&"o1".parse().unwrap(), 0, 10).unwrap().is_empty());
        let read = redb::ReadableDatabase::begin_read(&*store.db).unwrap();
        let mut rows = tables::ALL.iter().flat_map(|table| table.rows(&read));
        assert_eq!(rows.find(|row| row.contains("P1")), None);
    }
}

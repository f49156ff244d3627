//! A station that was restored from a copy and has a head office: what head office has beyond the copy is handed back and
//! appended as it is, and only then another run of the journal begins (decision 0028).

use super::{Batch, Identity, Reader, Store, StoreError, read::parse, tables, write::json};
use crate::{clock::Mark, credentials::CredentialChange};
use domain::{
    fact::{Fact, StopCause, WentOnAlone},
    ids::OrderId,
    journal::{Broken, Entry, Hash, Head, NotReadable, Stamp},
    ledger::Transfer,
    planted::{Bug, is_planted},
    site::{NotFollowed, Replica},
    time::{Mono, Now, Wall},
};
use protocol::frame::Unpacked;
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

/// That a station is recovering, as its database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// When it was restored, by the clock of whoever did it.
    pub since: Wall,
    /// Where the copy's journal ended.
    pub copy_end: Head,
    /// Stops that went to piles since then, to be journaled when that is possible again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stops: BTreeMap<OrderId, StopCause>,
}

/// Why entries that head office hands back are not taken: nothing of them was.
#[derive(Debug, thiserror::Error)]
pub enum TailRefused {
    /// Nothing is waited for.
    #[error("the station is not recovering: its journal goes on by itself")]
    NotRecovering,
    /// They begin elsewhere than after the last entry.
    #[error("they follow on {given}, and the journal ends at {head}")]
    DoNotFollow {
        /// What they follow on.
        given: Head,
        /// The journal's last entry.
        head: Head,
    },
    /// They are no journal.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// They are another site's.
    #[error("entry {seq} is of site {site}")]
    OtherSite {
        /// Which entry.
        seq: u64,
        /// Whose it is.
        site: String,
    },
    /// A newer program wrote them.
    #[error("entry {seq} cannot be applied: {why}. Install the version of the program that wrote it")]
    Unknown {
        /// Which entry.
        seq: u64,
        /// What is not known.
        why: NotReadable,
    },
    /// They do not fit what is there.
    #[error(transparent)]
    Contradicts(#[from] NotFollowed),
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of entries that were handed back.
pub struct Followed {
    /// The journal's last entry now.
    pub head: Head,
    /// When it was, by elapsed time: it goes on from there.
    pub mono: Mono,
    /// Credentials that count no more.
    pub credentials: Vec<CredentialChange>,
}

impl Reader {
    /// That the station is recovering, if it is.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn recovery(&self) -> Result<Option<Recovery>, StoreError> {
        self.kept(tables::RECOVERING)
    }

    /// When, by elapsed time, the station went on after a restore with a head office.
    pub(super) fn restored_at(&self) -> Result<Option<Mono>, StoreError> {
        self.kept(tables::RESTORED_AT)
    }

    /// Whether nothing has been journaled since a restore.
    pub(super) fn ends_with_a_restore(&self) -> Result<bool, StoreError> {
        let (head, _) = self.head()?;
        let last = self.journal(head.seq, 1)?.into_iter().next();
        let last = last.map(|(_, _, bytes)| Entry::from_bytes(&bytes)).transpose();
        let last = last.map_err(|why| StoreError::Corrupt(why.to_string()))?;
        Ok(last.is_some_and(|last| matches!(last.fact, Fact::Restored { .. })))
    }

    fn kept<T: for<'a> Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        let row = meta.get(name)?;
        row.map(|row| parse("meta", &name, row.value())).transpose()
    }
}

impl Store {
    /// From now on the station is recovering: what a copy does that takes the place of the database of a station with a head
    /// office.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn begin_recovery(&self, now: Wall) -> Result<(), StoreError> {
        let reader = self.reader()?;
        let (head, hash) = reader.head()?;
        let stops = reader.recovery()?.map(|before| before.stops).unwrap_or_default();
        self.note_recovery(&Recovery {
            since: now,
            copy_end: Head { seq: head.seq, hash },
            stops,
        })
    }

    /// Writes down what is to be known of the recovery after a restart too.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn note_recovery(&self, recovery: &Recovery) -> Result<(), StoreError> {
        self.note(tables::RECOVERING, recovery)
    }

    fn note<T: Serialize>(&self, name: &'static str, value: &T) -> Result<(), StoreError> {
        let write = self.db.begin_write()?;
        write.open_table(tables::META)?.insert(name, json(value)?.as_slice())?;
        write.commit()?;
        Ok(())
    }

    /// Appends entries that head office has handed back, to the byte, and the rows that follow from them, in one durable
    /// transaction. They have no effect but that.
    ///
    /// # Errors
    /// [`TailRefused`]: then nothing of them is on disk.
    pub fn follow(&self, tail: &Unpacked, mark: &Mark) -> Result<Followed, TailRefused> {
        let reader = self.reader()?;
        if reader.recovery()?.is_none() {
            return Err(TailRefused::NotRecovering);
        }
        let (last, hash) = reader.head()?;
        let head = Head { seq: last.seq, hash };
        if tail.before() != head {
            return Err(TailRefused::DoNotFollow {
                given: tail.before(),
                head,
            });
        }
        let end = tail.follow()?;
        let identity = self.identity();
        let site = &identity.site;
        let mut replica = Replica::new(last, self.recover()?.rows);
        let (mut batch, mut stored) = (Batch::default(), Vec::new());
        let (mut epoch, mut mono) = (None, last.mono);
        for (seq, _, bytes) in tail.entries() {
            let entry = Entry::from_bytes(bytes).map_err(|why| TailRefused::Unknown { seq, why })?;
            if entry.site != *site {
                let site = entry.site.to_string();
                return Err(TailRefused::OtherSite { seq, site });
            }
            apply(&reader, &mut replica, entry.stamp, &entry.fact)?;
            if let Fact::PileRemoved { pile, .. } = &entry.fact {
                batch.credentials.push(CredentialChange::RemovePile(pile.clone()));
            }
            (epoch, mono) = (Some(entry.epoch), mono.max(entry.stamp.mono));
            batch.facts.push((entry.stamp, entry.fact));
            stored.push(bytes.to_vec());
        }
        // A tail ends where a step of the station has ended, as every batch does.
        replica.end_step()?;
        batch.changes = replica.take_changes()?;
        batch.as_stored = Some(stored);
        let mut rows = Cow::Borrowed(replica.rows());
        if is_planted(Bug::TailWithEffects) {
            let ledger = &mut rows.to_mut().ledger;
            let moved = |transfer: &&Transfer| ledger.post(transfer).is_ok();
            let _last = batch.changes.transfers.iter().rfind(moved);
        }
        let mark = Mark {
            mono: mono.max(mark.mono),
            ..mark.clone()
        };
        let write = self.db.begin_write().map_err(StoreError::from)?;
        let written = self.write_batch(&write, &batch, &rows, hash, &mark)?;
        debug_assert_eq!(written, end.hash, "the same bytes have the same hash");
        let epoch = epoch.unwrap_or_else(|| identity.epoch.clone());
        set_epoch(&write, &epoch)?;
        write.commit().map_err(StoreError::from)?;
        self.is_of(epoch);
        Ok(Followed {
            head: end,
            mono,
            credentials: batch.credentials,
        })
    }

    /// Ends the recovery and begins another run of the journal, with an entry that says so.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the station is recovering as before.
    pub fn end_recovery(&self, alone: Option<WentOnAlone>, now: Now, mark: &Mark) -> Result<Head, StoreError> {
        let reader = self.reader()?;
        let (last, _) = reader.head()?;
        let now = Now {
            // Elapsed time goes on from the last entry, whatever this machine has counted since it was started.
            mono: now.mono.max(last.mono),
            wall: now.wall,
        };
        let write = self.db.begin_write()?;
        let (epoch, head) = self.write_restored(&write, now, alone)?;
        {
            let mut meta = write.open_table(tables::META)?;
            meta.remove(tables::RECOVERING)?;
            meta.insert(tables::RESTORED_AT, json(&now.mono)?.as_slice())?;
            let mark = Mark {
                mono: now.mono,
                // A wall clock behind the last entry was put back while nobody could say so: the next step finds it.
                wall: Some(now.wall.max(last.at)),
                ..mark.clone()
            };
            meta.insert("mark", json(&mark)?.as_slice())?;
        }
        write.commit()?;
        self.is_of(epoch);
        Ok(head)
    }

    /// The first entry of another run of the journal, into a transaction that is open. Returns the run, and the place of it.
    pub(super) fn write_restored(
        &self,
        write: &WriteTransaction,
        now: Now,
        alone: Option<WentOnAlone>,
    ) -> Result<(String, Head), StoreError> {
        let epoch = tables::new_epoch(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner));
        let reader = self.reader()?;
        let (last, hash) = reader.head()?;
        let (identity, went_alone) = (self.identity(), alone.is_some());
        let entry = Entry {
            site: identity.site.clone(),
            epoch: epoch.clone(),
            stamp: Stamp {
                seq: last.seq + 1,
                at: now.wall,
                mono: now.mono,
            },
            fact: Fact::Restored {
                epoch_before: identity.epoch.clone(),
                alone,
            },
        };
        let bytes = entry.to_bytes();
        let sealed = Hash::seal(&hash, &bytes);
        let mut journal = write.open_table(tables::JOURNAL)?;
        journal.insert(entry.stamp.seq, [&sealed.0[..], &bytes].concat().as_slice())?;
        set_epoch(write, &epoch)?;
        let seq = entry.stamp.seq;
        if went_alone {
            // What the entry says of head office: leases are frozen from here on (rule 7 of the line).
            let mut row = reader.head_office()?;
            row.alone_since = Some(seq);
            write
                .open_table(tables::META)?
                .insert(tables::HEAD_OFFICE, json(&row)?.as_slice())?;
        }
        Ok((epoch, Head { seq, hash: sealed }))
    }

    /// The run that the journal is of from now on, for every clone of this.
    pub(super) fn is_of(&self, epoch: String) {
        let mut identity = self.identity.write().unwrap_or_else(PoisonError::into_inner);
        let site = identity.site.clone();
        *identity = Arc::new(Identity { site, epoch });
    }
}

fn set_epoch(write: &WriteTransaction, epoch: &str) -> Result<(), StoreError> {
    write.open_table(tables::META)?.insert("epoch", epoch.as_bytes())?;
    Ok(())
}

/// Takes one fact into account that was decided long ago.
fn apply(reader: &Reader, replica: &mut Replica, stamp: Stamp, fact: &Fact) -> Result<(), TailRefused> {
    loop {
        let keys = replica.needs(fact);
        if keys.is_empty() {
            break;
        }
        for key in &keys {
            replica.load(reader.load(key)?);
        }
    }
    Ok(replica.follow(stamp, fact)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_station_that_goes_on_alone_knows_so_when_it_starts() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb");
        for is_alone in [true, false] {
            let store = Store::look_at(&fixture, 4 << 20).unwrap();
            store.begin_recovery(Wall(1_800_000_000_000)).unwrap();
            let (now, mark) = {
                let mark = store.recover().unwrap().mark;
                let wall = Wall(1_800_000_060_000);
                (Now { mono: mark.mono, wall }, mark)
            };
            let alone = is_alone.then(|| WentOnAlone {
                reason: "no line".to_owned(),
                by: "wang".to_owned(),
            });
            let head = store.end_recovery(alone, now, &mark).unwrap();
            let row = store.recover().unwrap().rows.head_office;
            assert_eq!(row.alone_since, is_alone.then_some(head.seq));
        }
    }
}

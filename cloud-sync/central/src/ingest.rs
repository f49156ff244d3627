//! How a batch is taken: checked, followed by the station's own code, and written in one transaction with everything that
//! follows from it. A batch is applied whole or not at all, and acknowledged only once it is on disk.
//!
//! | file | holds |
//! |---|---|
//! | here | what a batch is to the journal that is here, and what comes of it |
//! | `copy` | a site's rows in memory, and how they follow entries |

mod copy;

pub use copy::SiteCopy;

use crate::store::{StoreError, Tx, journal, ledger, replica, sites};
use copy::Stopped;
use domain::{
    ids::SiteId,
    journal::{Entry, Hash, Head, NotReadable},
    time::Wall,
};
use protocol::{
    frame::{Batch, Malformed, State, Unpacked},
    key::PublicKeys,
};

/// A batch that was unpacked, and whose signature and entries were read: what can be done without the database.
#[derive(Debug)]
pub struct Read {
    batch: Batch,
    unpacked: Unpacked,
    /// Of each entry what it says, or why that is not known here.
    entries: Vec<Result<Entry, NotReadable>>,
}

impl Read {
    /// Reads a batch that one of these keys has signed for the site.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn of(bytes: &[u8], site: &SiteId, keys: &PublicKeys) -> Result<Self, Malformed> {
        let batch = Batch::from_bytes(bytes)?;
        let unpacked = batch.unpack()?;
        batch.verify(site, &unpacked, keys)?;
        let entries = unpacked.entries().map(|(_, _, bytes)| Entry::from_bytes(bytes));
        let entries = entries.collect();
        Ok(Self {
            batch,
            unpacked,
            entries,
        })
    }
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was written, or was here already: the site's head says how far.
    Followed,
    /// It does not follow on what is here: the site goes on from the head.
    Gap,
    /// It was not written, and nothing after it will be, until somebody has looked.
    Stopped {
        /// What the journal is now.
        state: State,
        /// Why.
        why: String,
    },
}

/// Takes a batch into a site's copy and the database. On an error the copy is not to be used any more: it is loaded anew.
///
/// # Errors
/// [`StoreError`]: nothing was written.
pub fn take(tx: &mut dyn Tx, me: &str, copy: &mut SiteCopy, read: Read, now: Wall) -> Result<Taken, StoreError> {
    let head = copy.site().head;
    let batch = &read.batch;
    if batch.first > head.seq + 1 {
        return Ok(Taken::Gap);
    }
    // Whatever it says of entries that are here must be what is here.
    if let Some(why) = differs(tx, copy, &read)? {
        return stop(tx, me, copy, State::Forked, why);
    }
    let known = usize::try_from(head.seq + 1 - batch.first).unwrap_or(usize::MAX);
    if known >= read.entries.len() {
        return Ok(Taken::Followed);
    }
    let mut entries = Vec::with_capacity(read.entries.len() - known);
    for entry in read.entries.into_iter().skip(known) {
        match entry {
            Ok(entry) => entries.push(entry),
            Err(error @ (NotReadable::UnknownKind { .. } | NotReadable::UnknownWord { .. })) => {
                return stop(tx, me, copy, State::Ahead, error.to_string());
            }
            Err(error) => return stop(tx, me, copy, State::Broken, error.to_string()),
        }
    }
    if let Err(broken) = read.unpacked.follow() {
        return stop(tx, me, copy, State::Broken, broken.to_string());
    }
    let before = copy.site().clone();
    let followed = match copy.follow(tx, entries, read.unpacked.head()) {
        Ok(followed) => followed,
        Err(Stopped::Contradiction(why)) => {
            // What it made of the rows in memory is not what is written.
            *copy = SiteCopy::load(tx, before)?;
            return stop(tx, me, copy, State::Broken, why);
        }
        Err(Stopped::Store(error)) => return Err(error),
    };
    let site = copy.site();
    sites::go_on(tx, me, &before, site)?;
    let kept = match known {
        0 => read.batch,
        _ => rest_of(&read.batch, &read.unpacked, known)?,
    };
    journal::keep(tx, &site.id, site.branch, &kept, &followed.orders, now)?;
    replica::save(tx, &site.id, copy.rows(), &followed.changes)?;
    ledger::book(tx, &site.id, site.branch, &followed.transfers)?;
    copy.written();
    Ok(Taken::Followed)
}

/// In which way a batch is of another journal than the one that is here, where the two overlap or touch.
fn differs(tx: &mut dyn Tx, copy: &SiteCopy, read: &Read) -> Result<Option<String>, StoreError> {
    let site = copy.site();
    // Hashes stand for everything before them, so one place that both have tells it all: the last that both have.
    let last = read.unpacked.head();
    let place = if last.seq <= site.head.seq {
        last.seq
    } else {
        site.head.seq
    };
    let theirs = hash_in(&read.unpacked, place);
    let ours = hash_here(tx, copy, place)?;
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        return Err(StoreError::Broken(format!("entry {place} of {} is missing", site.id)));
    };
    let differs = format!("entry {place} has the hash {theirs}, and {ours} here: two journals of this site are about");
    Ok((theirs != ours).then_some(differs))
}

/// The hash of an entry of a batch, or of the one before its first.
fn hash_in(unpacked: &Unpacked, seq: u64) -> Option<Hash> {
    let before = unpacked.before();
    if before.seq == seq {
        return Some(before.hash);
    }
    unpacked
        .entries()
        .find(|(number, ..)| *number == seq)
        .map(|(_, hash, _)| hash)
}

/// The hash of an entry that is here; none if it is not.
fn hash_here(tx: &mut dyn Tx, copy: &SiteCopy, seq: u64) -> Result<Option<Hash>, StoreError> {
    let site = copy.site();
    if seq == site.head.seq {
        return Ok(Some(site.head.hash));
    }
    if seq == 0 {
        return Ok(Some(Hash::GENESIS));
    }
    let Some(batch) = journal::holding(tx, &site.id, site.branch, seq)? else {
        return Ok(None);
    };
    let unpacked = batch.unpack().map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(hash_in(&unpacked, seq))
}

/// A batch without its first entries, which are here.
fn rest_of(batch: &Batch, unpacked: &Unpacked, known: usize) -> Result<Batch, StoreError> {
    let broken = || StoreError::Broken("a batch has fewer entries than it had".to_owned());
    let (seq, hash, _) = unpacked.entries().nth(known - 1).ok_or_else(broken)?;
    let rest: Vec<&[u8]> = unpacked.entries().skip(known).map(|(_, _, bytes)| bytes).collect();
    let mut packer = protocol::pack::Packer::new();
    Batch::pack(Head { seq, hash }, &rest, batch.signature, &mut packer)
        .map_err(|error| StoreError::Broken(error.to_string()))
}

fn stop(tx: &mut dyn Tx, me: &str, copy: &mut SiteCopy, state: State, why: String) -> Result<Taken, StoreError> {
    sites::stand_still(tx, me, copy.site(), state, &why)?;
    copy.stand_still(state, why.clone());
    Ok(Taken::Stopped { state, why })
}

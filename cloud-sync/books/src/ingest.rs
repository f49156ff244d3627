//! How a batch is taken: checked, followed by the station's own code, and written in one transaction with everything that
//! follows from it. A batch is applied whole or not at all, and acknowledged only once it is on disk.
//!
//! | file | holds |
//! |---|---|
//! | here | what a batch is to the journal that is here, and what comes of it |
//! | `copy` | a site's rows in memory, and how they follow entries |
//! | `rating` | every bill is rated again |
//! | `members` | members that are made at a desk have an id of their site's |
//! | [`books`] | a site's balance sheet is compared with its books here |
//! | [`opening`] | a station with a history joins with its rows |
//! | [`fork`] | batches of a branch that is not followed are kept, so that people can say which one lives |

pub mod books;
mod copy;
pub mod fork;
mod members;
pub mod opening;
mod rating;
mod till;

pub use copy::SiteCopy;
pub use members::made_at_desk;

use crate::money::facts;
use crate::store::{
    StoreError, Tx, branches,
    findings::{self, Finding},
    inbox, journal, ledger, replica, site_days,
    sites::{self, EdgeKey, Site},
};
use copy::Stopped;
use domain::{
    ids::SiteId,
    journal::{Entry, Hash, Head, NotReadable},
    planted::{Bug, is_planted},
    time::Wall,
};
use protocol::{
    frame::{Batch, Malformed, State, Unpacked},
    key::PublicKey,
};

/// A batch that was unpacked, and whose signature and entries were read: what can be done without the database.
#[derive(Debug)]
pub struct Read {
    batch: Batch,
    unpacked: Unpacked,
    /// Who has signed it.
    signed_by: PublicKey,
    /// Of each entry what it says, or why that is not known here.
    entries: Vec<Result<Entry, NotReadable>>,
}

impl Read {
    /// Reads a batch that is signed for the site by a key that it has or had. Whether that counts where the batch belongs is known
    /// once it is taken.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn of(bytes: &[u8], site: &SiteId, keys: &[EdgeKey]) -> Result<Self, Malformed> {
        let batch = Batch::from_bytes(bytes)?;
        let unpacked = batch.unpack()?;
        let signed_by = batch.verify(site, &unpacked, &sites::every_key(keys))?;
        let entries = unpacked.entries().map(|(_, _, bytes)| Entry::from_bytes(bytes));
        let entries = entries.collect();
        Ok(Self {
            batch,
            unpacked,
            signed_by,
            entries,
        })
    }
}

impl Read {
    /// Reads a batch that is kept, and was read before it was.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub(crate) fn kept(batch: Batch, site: &Site) -> Result<Self, StoreError> {
        let broken = |error: Malformed| StoreError::Broken(format!("the batch from entry {} on: {error}", batch.first));
        Self::of(&batch.to_bytes(), &site.id, &site.keys).map_err(broken)
    }

    /// Its entries, but those that this version does not know.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// The same with their places.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Head, &Entry)> {
        let with_place = |((seq, hash, _), entry): ((u64, Hash, _), _)| (Head { seq, hash }, entry);
        let places = self.unpacked.entries().zip(&self.entries).map(with_place);
        places.filter_map(|(place, entry)| Some((place, entry.as_ref().ok()?)))
    }

    /// The number of its first entry.
    pub fn first(&self) -> u64 {
        self.batch.first
    }

    /// The batch.
    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was written, or was here already: the site's head says how far.
    Followed,
    /// It does not follow on what is here: the site goes on from the head.
    Gap,
    /// The key that has signed it does not count there: nothing of it is taken.
    NotSigned,
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
pub fn take(tx: &mut dyn Tx, me: &str, copy: &mut SiteCopy, read: &Read, now: Wall) -> Result<Taken, StoreError> {
    let before = copy.site().clone();
    if before.revoked_at.is_some() {
        // Whoever shut it out has not been heard everywhere yet.
        return Err(StoreError::NotOwner);
    }
    let batch = &read.batch;
    let (gap, duplicate) = (batch.first > before.head.seq + 1, batch.first <= before.head.seq);
    if gap && !is_planted(Bug::GapSkipped) {
        return Ok(Taken::Gap);
    }
    if gap || (duplicate && is_planted(Bug::DuplicateApplied)) {
        // The planted bugs: as if the copy were where the batch begins.
        let mut there = before.clone();
        there.head = batch.before();
        *copy = SiteCopy::load(tx, there)?;
    }
    let head = copy.site().head;
    // Whatever it says of entries that are here must be what is here.
    let signs_elsewhere = sites::signs_elsewhere(&before.keys, read.signed_by, batch.last());
    if let Some(why) = differs(tx, copy, read)? {
        if !signs_elsewhere {
            return Ok(Taken::NotSigned);
        }
        let stopped = stop(tx, me, copy, State::Forked, why)?;
        fork::keep(tx, copy.site(), read, now)?;
        facts::forked(tx, copy.site(), now)?;
        return Ok(stopped);
    }
    let known = usize::try_from(head.seq + 1 - batch.first).unwrap_or(usize::MAX);
    if known >= read.entries.len() {
        return Ok(Taken::Followed);
    }
    if copy.site().closed_at.is_some() {
        if !signs_elsewhere {
            return Ok(Taken::NotSigned);
        }
        let stopped = stop(tx, me, copy, State::Forked, CLOSED.to_owned())?;
        fork::keep(tx, copy.site(), read, now)?;
        return Ok(stopped);
    }
    let signs = |site: &Site| sites::key_at(&site.keys, batch.last()) == Some(read.signed_by);
    if !signs(&before) {
        return Ok(Taken::NotSigned);
    }
    let rest = (known > 0).then(|| rest_of(batch, &read.unpacked, known)).transpose()?;
    let taken = go_on(tx, (me, &before), copy, read, rest.as_ref().unwrap_or(batch), now)?;
    match signs(copy.site()) {
        true => Ok(taken),
        // The site was enrolled anew since the copy was loaded.
        false => Err(StoreError::NotOwner),
    }
}

/// A batch that is as it must be cannot be written: nothing beyond the head is taken until somebody has looked. In a transaction of
/// its own, with the copy as the database has it.
///
/// # Errors
/// [`StoreError`].
pub fn cannot_be_stored(tx: &mut dyn Tx, me: &str, copy: &mut SiteCopy, why: String) -> Result<(), StoreError> {
    stop(tx, me, copy, State::Broken, why).map(drop)
}

/// Why the journal of a site that was closed is not followed.
const CLOSED: &str = "the site was closed, and goes on: what it says is kept as a branch, and nothing of it is booked";

/// Takes a batch of the branch that a site goes over to, as [`take`] does. It is kept whole, where its beginning is one that is
/// followed already.
///
/// # Errors
/// [`StoreError`]: nothing was written.
pub(crate) fn take_kept(
    tx: &mut dyn Tx,
    me: &str,
    copy: &mut SiteCopy,
    read: &Read,
    now: Wall,
) -> Result<Taken, StoreError> {
    let before = copy.site().clone();
    go_on(tx, (me, &before), copy, read, &read.batch, now)
}

/// Follows what of a batch comes after the head, and keeps it in this form. The site is where it was `before`, and has this
/// owner, or nothing is written.
fn go_on(
    tx: &mut dyn Tx,
    (me, before): (&str, &Site),
    copy: &mut SiteCopy,
    read: &Read,
    kept: &Batch,
    now: Wall,
) -> Result<Taken, StoreError> {
    let batch = &read.batch;
    let known = usize::try_from(copy.site().head.seq + 1 - batch.first).unwrap_or(usize::MAX);
    let mut entries = Vec::with_capacity(read.entries.len() - known);
    for ((_, hash, _), entry) in read.unpacked.entries().zip(&read.entries).skip(known) {
        match entry {
            Ok(entry) => entries.push((hash, entry)),
            Err(error @ (NotReadable::UnknownKind { .. } | NotReadable::UnknownWord { .. })) => {
                return stop(tx, me, copy, State::Ahead, error.to_string());
            }
            Err(error) => return stop(tx, me, copy, State::Broken, error.to_string()),
        }
    }
    if let Err(broken) = read.unpacked.follow() {
        return stop(tx, me, copy, State::Broken, broken.to_string());
    }
    let settled = fork::settled(&entries);
    let followed = match copy.follow(tx, entries, read.unpacked.head()) {
        Ok(followed) => followed,
        Err(Stopped::Contradiction(why)) => {
            // What it made of the rows in memory is not what is written.
            *copy = SiteCopy::load(tx, before.clone())?;
            return stop(tx, me, copy, State::Broken, why);
        }
        Err(Stopped::Store(error)) => return Err(error),
    };
    let keys = sites::go_on(tx, me, before, copy.site())?;
    copy.take_keys(keys);
    let site = copy.site().clone();
    journal::keep(tx, &site.id, site.branch, kept, &followed.orders, now)?;
    replica::save(tx, &site.id, copy.rows(), &followed.changes)?;
    let forgotten = facts::cover(tx, &site, &followed.said, now)?;
    ledger::book(tx, &followed.transfers)?;
    let (rung, given_back) = facts::follow(tx, &site, &followed.said, now)?;
    copy.rings(rung);
    let twice = fork::settled_twice(tx, copy, settled)?;
    let findings = [followed.findings, twice, forgotten, given_back].concat();
    findings::add(tx, &site.id, site.branch, &findings, now)?;
    site_days::ended(tx, &site.id, site.branch, &followed.ended, now)?;
    inbox::tell_all(tx, followed.told, now)?;
    copy.written();
    Ok(Taken::Followed)
}

/// A copy that follows batches that are here already, from the first one on: rows are written, the journal and what moved in the
/// books stay as they are.
#[derive(Debug)]
pub(crate) struct Again(SiteCopy);

impl Again {
    /// Before the first batch of a site.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn new(tx: &mut dyn Tx, site: &Site) -> Result<Self, StoreError> {
        let laid = opening::lay(tx, None, site)?;
        SiteCopy::begins(tx, site, laid).map(Self)
    }

    /// The same with rows that are made elsewhere.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn elsewhere(tx: &mut dyn Tx, to: &mut dyn Tx, site: &Site) -> Result<Self, StoreError> {
        let laid = opening::lay(tx, Some(to), site)?;
        SiteCopy::begins(tx, site, laid).map(Self)
    }

    /// How far it is.
    pub(crate) fn site(&self) -> &Site {
        self.0.site()
    }

    /// The copy, once all batches are followed.
    pub(crate) fn into_copy(self) -> SiteCopy {
        self.0
    }

    /// The copy, from which its site goes on: whatever stood in the way of the site's journal does not any more.
    pub(crate) fn go_on(mut self) -> SiteCopy {
        self.0.goes_on();
        self.0
    }

    /// Follows batches; what differs of the bills in them.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: they do not follow, or cannot be followed; `to` is not to be used any more.
    pub(crate) fn follow(&mut self, to: &mut dyn Tx, batches: &[Batch]) -> Result<Vec<Finding>, StoreError> {
        let copy = &mut self.0;
        let (mut head, mut entries) = (copy.site().head, Vec::new());
        for batch in batches {
            let broken = |why: String| StoreError::Broken(format!("the batch from entry {} on: {why}", batch.first));
            let unpacked = batch.unpack().map_err(|error| broken(error.to_string()))?;
            if unpacked.before() != head {
                return Err(broken(format!("it does not follow on {head}")));
            }
            head = unpacked.head();
            for (_, hash, bytes) in unpacked.entries() {
                let entry = Entry::from_bytes(bytes).map_err(|error| broken(error.to_string()))?;
                entries.push((hash, entry));
            }
        }
        let followed = copy
            .follow(to, entries.iter().map(|(hash, entry)| (*hash, entry)).collect(), head)
            .map_err(|stopped| match stopped {
                Stopped::Contradiction(why) => StoreError::Broken(why),
                Stopped::Store(error) => error,
            })?;
        replica::save(to, &copy.site().id, copy.rows(), &followed.changes)?;
        copy.written();
        Ok(followed.findings)
    }
}

/// In which way a batch is of another journal than the one that is here, where the two overlap or touch.
fn differs(tx: &mut dyn Tx, copy: &SiteCopy, read: &Read) -> Result<Option<String>, StoreError> {
    let site = copy.site();
    // Nothing of it is here, and nothing of it will be.
    if read.unpacked.head().seq < site.begins.seq {
        return Ok(None);
    }
    // Hashes stand for everything before them, so one place that both have tells it all: the last that both have.
    let last = read.unpacked.head();
    let place = if last.seq <= site.head.seq {
        last.seq
    } else {
        site.head.seq
    };
    let theirs = hash_in(&read.unpacked, place);
    let ours = hash_here(tx, copy.site(), place)?;
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
pub(crate) fn hash_here(tx: &mut dyn Tx, site: &Site, seq: u64) -> Result<Option<Hash>, StoreError> {
    if seq == site.head.seq {
        return Ok(Some(site.head.hash));
    }
    if seq == site.begins.seq {
        return Ok(Some(site.begins.hash));
    }
    hash_on(tx, &site.id, site.branch, seq)
}

/// Whether a site's journal, on whichever branch that is here, goes through a place.
///
/// # Errors
/// [`StoreError`].
pub fn has(tx: &mut dyn Tx, site: &Site, place: Head) -> Result<bool, StoreError> {
    // What comes before its opening is not here.
    if place.seq < site.begins.seq || hash_here(tx, site, place.seq)? == Some(place.hash) {
        return Ok(true);
    }
    for other in branches::others(tx, &site.id, site.branch)? {
        if hash_on(tx, &site.id, other.number, place.seq)? == Some(place.hash) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The hash of an entry in the batches of a branch; none if it is in none of them.
pub(crate) fn hash_on(tx: &mut dyn Tx, site: &SiteId, branch: u64, seq: u64) -> Result<Option<Hash>, StoreError> {
    let Some(batch) = journal::holding(tx, site, branch, seq)? else {
        return Ok(None);
    };
    let unpacked = batch.unpack().map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(hash_in(&unpacked, seq))
}

/// What of a batch comes after a place; none if the batch does not go through it.
///
/// # Errors
/// [`StoreError::Broken`]: it cannot be unpacked.
pub fn rest_after(batch: &Batch, place: Head) -> Result<Option<Batch>, StoreError> {
    let unpacked = batch.unpack().map_err(|error| StoreError::Broken(error.to_string()))?;
    if hash_in(&unpacked, place.seq) != Some(place.hash) {
        return Ok(None);
    }
    let known = usize::try_from(place.seq + 1 - batch.first).unwrap_or(usize::MAX);
    rest_of(batch, &unpacked, known).map(Some)
}

/// A batch up to a place in it, which the station has not signed: for following it, not for keeping it.
///
/// # Errors
/// [`StoreError::Broken`]: it does not go through this place.
pub(crate) fn part_to(batch: &Batch, place: Head) -> Result<Batch, StoreError> {
    let broken = |why: String| StoreError::Broken(format!("the batch from entry {} on: {why}", batch.first));
    let unpacked = batch.unpack().map_err(|error| broken(error.to_string()))?;
    if hash_in(&unpacked, place.seq) != Some(place.hash) {
        return Err(broken(format!("it does not go through {place}")));
    }
    let within = unpacked.entries().take_while(|(seq, ..)| *seq <= place.seq);
    let entries: Vec<&[u8]> = within.map(|(_, _, bytes)| bytes).collect();
    let mut packer = protocol::pack::Packer::new();
    Batch::pack(batch.before(), &entries, batch.signature, &mut packer).map_err(|error| broken(error.to_string()))
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

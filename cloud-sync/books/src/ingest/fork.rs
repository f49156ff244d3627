//! Two journals of a site are about: it was restored from a copy and went on alone, its disk was cloned, or it was closed and came
//! back. Batches of the branch that is not followed are kept as far as they chain on, never applied and never acknowledged, so
//! that a person can see what they say before they say which branch lives (`upkeep::fork`).

use super::{Read, SiteCopy, differs, hash_here, hash_in, hash_on, rest_of};
use crate::store::{
    StoreError, Tx,
    branches::{self, Branch},
    findings::{Class, Finding},
    journal,
    sites::{self, Site},
};
use domain::{
    fact::Fact,
    ids::OrderId,
    journal::{Entry, Hash, Head},
    time::Wall,
};
use protocol::{frame::Batch, pack::Packer};
use serde_json::json;
use std::collections::BTreeSet;

/// The most branches of a site that are kept besides the one that is followed.
const BRANCHES_MAX: usize = 4;
/// The most bytes of a branch that are kept, packed: what a busy site says in years.
const BRANCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Keeps a batch that came while its site is `forked`, if it is of another branch. On which one it is; none where it is of the
/// one that is followed, or chains on to nothing.
///
/// # Errors
/// [`StoreError::NotOwner`]: another process goes on with the site.
pub fn keep_of_other(
    tx: &mut dyn Tx,
    me: &str,
    copy: &SiteCopy,
    read: &Read,
    now: Wall,
) -> Result<Option<u64>, StoreError> {
    let site = copy.site();
    sites::hold(tx, me, site)?;
    // Whatever is here already is no branch; nor is more of what is followed, unless that was closed.
    let is_of_followed = read.batch.first <= site.head.seq + 1 && differs(tx, copy, read)?.is_none();
    if is_of_followed && (site.closed_at.is_none() || read.batch.last() <= site.head.seq) {
        return Ok(None);
    }
    match sites::signs_elsewhere(&site.keys, read.signed_by, read.batch.last()) {
        true => keep(tx, site, read, now),
        false => Ok(None),
    }
}

/// Keeps a batch that is not of the branch that is followed: on one that is kept already, or on a new one that leaves the followed
/// one in it. The site is held. On which one it is; none where it chains on to nothing, or there is no room for more.
pub(super) fn keep(tx: &mut dyn Tx, site: &Site, read: &Read, now: Wall) -> Result<Option<u64>, StoreError> {
    if read.unpacked.follow().is_err() {
        return Ok(None);
    }
    let others = branches::others(tx, &site.id, site.branch)?;
    let last = read.unpacked.head();
    for other in &others {
        // Hashes stand for everything before them: the last place that both reach tells it all.
        let place = last.seq.min(other.head.seq);
        let (theirs, ours) = (
            hash_in(&read.unpacked, place),
            hash_on(tx, &site.id, other.number, place)?,
        );
        if theirs.is_none() || theirs != ours {
            continue;
        }
        if place == last.seq {
            return Ok(Some(other.number));
        }
        let known = usize::try_from(place + 1 - read.batch.first).unwrap_or(usize::MAX);
        let rest = match known {
            0 => read.batch.clone(),
            known => rest_of(&read.batch, &read.unpacked, known)?,
        };
        return add(tx, site, other.clone(), read, &rest, now);
    }
    let before = read.unpacked.before();
    if others.len() >= BRANCHES_MAX || hash_here(tx, site, before.seq)? != Some(before.hash) {
        return Ok(None);
    }
    let first = aligned(tx, site, read)?;
    let new = Branch {
        number: branches::next_number(tx, &site.id, site.branch)?,
        left: last_in_common(tx, site, read)?,
        first: first.first,
        head: before,
        bytes: 0,
        taken_at: now,
    };
    add(tx, site, new, read, &first, now)
}

/// Adds a batch to the end of a branch.
fn add(
    tx: &mut dyn Tx,
    site: &Site,
    mut branch: Branch,
    read: &Read,
    batch: &Batch,
    now: Wall,
) -> Result<Option<u64>, StoreError> {
    branch.bytes += batch.body.len() as u64;
    if branch.bytes > BRANCH_BYTES_MAX {
        return Ok(None);
    }
    (branch.head, branch.taken_at) = (read.unpacked.head(), now);
    let orders: BTreeSet<OrderId> = read.known().filter_map(|entry| entry.fact.order().cloned()).collect();
    branches::put(tx, &site.id, &branch)?;
    journal::keep(tx, &site.id, branch.number, batch, &orders, now)?;
    Ok(Some(branch.number))
}

/// A batch that begins where one of the followed branch does, so that the two can change places whole: what a batch there has
/// before it is put in front. The station's signature over its last entry stands for that too.
fn aligned(tx: &mut dyn Tx, site: &Site, read: &Read) -> Result<Batch, StoreError> {
    let before = read.unpacked.before();
    let holding = match before.seq {
        0 => None,
        seq => journal::holding(tx, &site.id, site.branch, seq)?,
    };
    let Some(holding) = holding.filter(|batch| batch.last() != before.seq) else {
        return Ok(read.batch.clone());
    };
    let broken = |error: protocol::frame::Malformed| StoreError::Broken(error.to_string());
    let common = holding.unpack().map_err(broken)?;
    let front = common.entries().take_while(|(seq, ..)| *seq <= before.seq);
    let entries: Vec<&[u8]> = front
        .chain(read.unpacked.entries())
        .map(|(_, _, bytes)| bytes)
        .collect();
    Batch::pack(holding.before(), &entries, read.batch.signature, &mut Packer::new()).map_err(broken)
}

/// The last place of a batch that the followed branch has too; the one before its first entry is.
fn last_in_common(tx: &mut dyn Tx, site: &Site, read: &Read) -> Result<Head, StoreError> {
    let places: Vec<Head> = read
        .unpacked
        .entries()
        .map(|(seq, hash, _)| Head { seq, hash })
        .collect();
    // What is in common is a beginning.
    let (mut common, mut beyond) = (0, places.len());
    while common < beyond {
        let middle = common.midpoint(beyond);
        let place = places[middle];
        match hash_here(tx, site, place.seq)? == Some(place.hash) {
            true => common = middle + 1,
            false => beyond = middle,
        }
    }
    Ok(common
        .checked_sub(1)
        .map_or(read.unpacked.before(), |last| places[last]))
}

/// Which entries settle which orders.
pub(super) fn settled(entries: &[(Hash, &Entry)]) -> Vec<(u64, OrderId)> {
    let settles = |(_, entry): &(Hash, &Entry)| match &entry.fact {
        Fact::OrderSettled { order, .. } => Some((entry.stamp.seq, order.clone())),
        _ => None,
    };
    entries.iter().filter_map(settles).collect()
}

/// Of orders that were settled the findings on those that were settled on a branch before that is not followed any more (FORK).
pub(super) fn settled_twice(
    tx: &mut dyn Tx,
    copy: &SiteCopy,
    settled: Vec<(u64, OrderId)>,
) -> Result<Vec<Finding>, StoreError> {
    let site = copy.site();
    let mut found = Vec::new();
    // A site that is where it began has left no branch.
    if site.branch == 0 {
        return Ok(found);
    }
    for (seq, order) in settled {
        for (branch, fee) in branches::tell_settled(tx, &site.id, &order)? {
            let bill = copy.rows().order(&order).and_then(|order| order.bill());
            let here = bill.map(|bill| bill.electricity + bill.service);
            let detail = json!({
                "why": format!("the order was settled on branch {branch} too, and what is booked of it there stays booked"),
                "site": here,
                "here": fee,
                "branch": branch,
            });
            found.push(Finding {
                class: Class::Fork,
                seq,
                order: Some(order.clone()),
                detail: detail.to_string(),
            });
        }
    }
    Ok(found)
}

//! Which branch of a site's journal lives (rule 8): a person says a place, and the site goes on with the branch that goes through
//! it. What is booked of the other stays booked; what it made of the site's accounts is taken back against `restore:{site}`.

use super::replica::{clear, found, next};
use crate::{
    ingest::{self, Again, Read, SiteCopy, Taken},
    money::{Money, RULE, facts},
    store::{
        StoreError, Tx, adjustments,
        branches::{self, Billed, Branch},
        decisions,
        findings::{self, Class, Finding},
        identity, journal, ledger, replica, site_days,
        sites::{self, Site},
    },
};
use domain::{
    fact::Fact,
    ids::{MemberId, SiteId},
    journal::Head,
    time::Wall,
    units::Fen,
};
use protocol::frame::{Batch, State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Batches that are gone through at once.
const PAGE: u64 = 1;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The branch that is followed.
    pub branch: u64,
    /// The place from which it is followed; none where it was before.
    pub from: Option<Head>,
    /// How far it is here.
    pub head: Head,
    /// How many accounts were brought to its rows.
    pub opened: u64,
    /// What stands in the way of what is kept of it, if something does.
    pub trouble: Option<String>,
}

/// Why a branch is not accepted. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// Nothing that is here goes through it.
    #[error(
        "no journal of this site that is here goes through {0}: `site branches` lists the places at which they end. A branch \
         is here once the station that goes on with it has been connected"
    )]
    Unknown(Head),
    /// Several branches go through it.
    #[error(
        "several branches of this journal go through {0}: name a place after the one where they part, as their ends are"
    )]
    Common(Head),
    /// The site was closed.
    #[error("the site was closed: only a branch on which it came back can be accepted")]
    Closed,
}

/// Goes on with the branch of a site that goes through a place: the followed one as it is; another one from where it leaves that.
/// Entries that are kept of it are followed then as if they had just come. The site's owner alone may do it, and has to load
/// the site's copy anew.
///
/// # Errors
/// [`StoreError::NotOwner`]; [`StoreError::Broken`] where there is no such site, or the part of the journal that both have cannot
/// be followed. Nothing has changed then.
pub fn accept(
    tx: &mut dyn Tx,
    me: &str,
    id: &SiteId,
    place: Head,
    now: Wall,
) -> Result<Result<Accepted, NotAccepted>, StoreError> {
    let site = found(tx, id)?;
    sites::hold(tx, me, &site)?;
    let others = branches::others(tx, id, site.branch)?;
    let mut through = Vec::new();
    for branch in &others {
        if ingest::hash_on(tx, id, branch.number, place.seq)? == Some(place.hash) {
            through.push(branch.clone());
        }
    }
    let is_followed = ingest::hash_here(tx, &site, place.seq)? == Some(place.hash);
    let is_common = is_followed && others.iter().any(|branch| branch.left.seq >= place.seq);
    match (is_followed, through.as_slice()) {
        (false, []) => Ok(Err(NotAccepted::Unknown(place))),
        (true, []) if is_common => Ok(Err(NotAccepted::Common(place))),
        (true, []) if site.closed_at.is_some() => Ok(Err(NotAccepted::Closed)),
        (true, []) => {
            sites::change_branch(tx, me, &site, &site)?;
            Ok(Ok(Accepted {
                branch: site.branch,
                from: None,
                head: site.head,
                opened: 0,
                trouble: None,
            }))
        }
        (false, [branch]) => change(tx, me, &site, branch, now).map(Ok),
        _ => Ok(Err(NotAccepted::Common(place))),
    }
}

/// Goes over to a branch.
fn change(tx: &mut dyn Tx, me: &str, site: &Site, branch: &Branch, now: Wall) -> Result<Accepted, StoreError> {
    let id = &site.id;
    branches::forget_settled(tx, id, branch.number)?;
    let was_followed = branches::was_followed(tx, id, branch.number)?;
    let branch = &match was_followed {
        true => booked_anew(tx, site, branch)?,
        false => branch.clone(),
    };
    let mut settled = settled_after_fork(tx, site, branch.left)?;
    if was_followed {
        // Both branches were followed before: what both had settled then was found then.
        let found = findings::orders_of(tx, id, Class::Fork)?;
        settled.retain(|(order, _)| !found.contains(order));
    }
    let had = match site.closed_at {
        None => Money::new(tx, now, RULE).in_all_at(site)?,
        // It went back to wallets when the site was closed.
        Some(_) => BTreeMap::new(),
    };
    exchange(tx, site, branch, now)?;
    clear(tx, id)?;
    let copy = rows_at_fork(tx, site, branch)?;
    let has = Money::new(tx, now, RULE).in_all_at(site)?;
    branches::keep_settled(tx, id, site.branch, &settled)?;
    let rows = replica::balances(tx, id)?;
    let (of, day) = ((id, branch.number, branch.left.seq), copy.site().day);
    let opened = ledger::open_branch(tx, of, &rows, (day, now))?;
    let epoch = identity::new_epoch(tx)?;
    let on_road = facts::reopen(tx, site, branch.left.seq, epoch, now)?;
    let named = named_above_fork(tx, site)?;
    if let Some(finding) = above_fork(site, had, [&has, &on_road, &named]) {
        findings::add(tx, id, site.branch, &[finding], now)?;
    }
    sites::change_branch(tx, me, site, copy.site())?;
    let copy = take_kept(tx, me, copy, branch, now)?;
    Ok(Accepted {
        branch: branch.number,
        from: Some(branch.left),
        head: copy.site().head,
        opened,
        trouble: copy.site().trouble.clone(),
    })
}

/// The most members that a finding names, those with the most first.
const NAMED_MAX: usize = 1_000;

/// What was found the last time that the branch was left, and stands at an entry of it above the fork: by member.
fn named_above_fork(tx: &mut dyn Tx, site: &Site) -> Result<BTreeMap<MemberId, Fen>, StoreError> {
    let mut named = BTreeMap::<MemberId, Fen>::new();
    for found in findings::on_branch(tx, &site.id, site.branch, Class::AboveFork)? {
        let broken = |error| StoreError::Broken(format!("a finding ABOVE_FORK of {}: {error}", site.id));
        let said: AboveFork = serde_json::from_str(&found.finding.detail).map_err(broken)?;
        for of in said.members {
            *named.entry(of.member).or_default() += of.amount;
        }
    }
    Ok(named)
}

/// The detail of a finding ABOVE_FORK.
#[derive(Serialize, Deserialize)]
struct AboveFork {
    why: String,
    members: Vec<Lost>,
    members_in_all: usize,
    in_all: Fen,
}

/// What a member had.
#[derive(Serialize, Deserialize)]
struct Lost {
    member: MemberId,
    amount: Fen,
}

/// What members had on the branch that is left and have not on the one that lives, nor on the road to it, and was not found before: cash
/// that they paid in at the desk, say, or with which they paid a debt that they have again. People look at it, and two of them adjust
/// wallets (rule 8).
fn above_fork(site: &Site, mut had: BTreeMap<MemberId, Fen>, less: [&BTreeMap<MemberId, Fen>; 3]) -> Option<Finding> {
    // Who had nothing and owed nothing is in no account.
    for member in less.iter().flat_map(|of| of.keys()) {
        had.entry(member.clone()).or_default();
    }
    let lost = had.into_iter().map(|(member, amount)| {
        let less: Fen = less.iter().filter_map(|of| of.get(&member)).copied().sum();
        (member, amount - less)
    });
    let mut lost: Vec<(MemberId, Fen)> = lost.filter(|(_, lost)| *lost > Fen::ZERO).collect();
    if lost.is_empty() {
        return None;
    }
    lost.sort_by(|(left, much), (right, more)| more.cmp(much).then_with(|| left.cmp(right)));
    let why = "members had this on the branch of the journal that was left, and had it not where the one that lives parts from it: look \
               whether it was entered there again; if not, an adjustment gives it back";
    let detail = AboveFork {
        why: why.to_owned(),
        members_in_all: lost.len(),
        in_all: lost.iter().map(|(_, amount)| *amount).sum(),
        members: lost
            .into_iter()
            .take(NAMED_MAX)
            .map(|(member, amount)| Lost { member, amount })
            .collect(),
    };
    Some(Finding {
        class: Class::AboveFork,
        seq: site.head.seq,
        order: None,
        detail: json!(detail).to_string(),
    })
}

/// A branch that was followed before, under a number under which nothing is booked: it is booked again from where it leaves the one that is
/// followed now, and what was booked of it stays too. What was found in it, and made good, is found in it still.
fn booked_anew(tx: &mut dyn Tx, site: &Site, branch: &Branch) -> Result<Branch, StoreError> {
    let id = &site.id;
    let renamed = Branch {
        number: branches::next_number(tx, id, site.branch)?,
        ..branch.clone()
    };
    journal::give(tx, id, branch.number, renamed.number, None)?;
    decisions::give(tx, id, branch.number, renamed.number, branch.head.seq)?;
    findings::give(tx, id, branch.number, renamed.number, branch.head.seq)?;
    site_days::give(tx, id, branch.number, renamed.number, branch.head.seq)?;
    adjustments::give(tx, id, branch.number, renamed.number, branch.head.seq)?;
    branches::remove(tx, id, branch.number)?;
    branches::put(tx, id, &renamed)?;
    Ok(renamed)
}

/// The beginning that both have belongs to the branch that lives, whose journal is whole so; the other keeps the rest, and leaves
/// it now.
fn exchange(tx: &mut dyn Tx, site: &Site, branch: &Branch, now: Wall) -> Result<(), StoreError> {
    let (id, left, old, new) = (&site.id, branch.left, site.branch, branch.number);
    for other in branches::others(tx, id, old)? {
        // A branch that leaves the old one further on goes through entries that only the old one has from here on.
        if other.number == new || other.left.seq <= left.seq {
            continue;
        }
        journal::share(tx, id, old, other.number, branch.first, other.first)?;
        let first = branch.first.min(other.first);
        let bytes = journal::bytes_from(tx, id, other.number, first)?;
        let moved = Branch {
            left,
            first,
            bytes,
            ..other
        };
        branches::put(tx, id, &moved)?;
    }
    journal::give(tx, id, old, new, Some(branch.first))?;
    findings::give(tx, id, old, new, left.seq)?;
    site_days::give(tx, id, old, new, left.seq)?;
    adjustments::give(tx, id, old, new, left.seq)?;
    decisions::give(tx, id, old, new, left.seq)?;
    let rest = Branch {
        number: old,
        left,
        first: branch.first,
        head: site.head,
        bytes: journal::bytes_from(tx, id, old, branch.first)?,
        taken_at: now,
    };
    branches::put(tx, id, &rest)
}

/// Follows the branch from its first entry to where it leaves the other.
fn rows_at_fork(tx: &mut dyn Tx, site: &Site, branch: &Branch) -> Result<SiteCopy, StoreError> {
    let begins = Site {
        branch: branch.number,
        ..site.clone()
    };
    let mut again = Again::new(tx, &begins)?;
    while again.site().head.seq < branch.left.seq {
        let batches = next(tx, &again)?;
        let mut within: Vec<Batch> = Vec::with_capacity(batches.len());
        for batch in batches {
            if batch.last() <= branch.left.seq {
                within.push(batch);
            } else if batch.first <= branch.left.seq {
                within.push(ingest::part_to(&batch, branch.left)?);
            }
        }
        if within.is_empty() {
            break;
        }
        // What differs of the bills up to here was found before.
        again.follow(tx, &within)?;
    }
    let head = again.site().head;
    if head != branch.left {
        let left = branch.left;
        return Err(StoreError::Broken(format!(
            "branch {} of {} leaves at {left}, and its journal is at {head}",
            branch.number, site.id
        )));
    }
    Ok(again.go_on())
}

/// The orders that the branch which is left settled after the fork, with their bills there: an order that was settled before by an
/// estimate may be settled anew on both by its record.
fn settled_after_fork(tx: &mut dyn Tx, site: &Site, left: Head) -> Result<Vec<Billed>, StoreError> {
    let set_aside = decisions::set_aside(tx, &site.id, site.branch)?;
    let (mut settled, mut seq) = (BTreeSet::new(), left.seq);
    loop {
        let batches = journal::after(tx, &site.id, site.branch, seq, PAGE)?;
        let Some(last) = batches.last() else { break };
        seq = last.last();
        for batch in &batches {
            for (place, entry) in Read::kept(batch.clone(), site)?.places() {
                if let Fact::OrderSettled { order, .. } = &entry.fact
                    && place.seq > left.seq
                    && !set_aside.contains(&place)
                {
                    settled.insert(order.clone());
                }
            }
        }
    }
    branches::billed(tx, &site.id, settled)
}

/// Takes what is kept of the branch as if it had just come. What cannot be followed is taken away: the site stands still there,
/// and sends it again when it is tried again.
fn take_kept(
    tx: &mut dyn Tx,
    me: &str,
    mut copy: SiteCopy,
    branch: &Branch,
    now: Wall,
) -> Result<SiteCopy, StoreError> {
    let id = copy.site().id.clone();
    loop {
        let head = copy.site().head;
        let kept = journal::after(tx, &id, branch.number, head.seq, PAGE)?;
        let Some(batch) = kept.into_iter().next() else {
            return Ok(copy);
        };
        journal::remove(tx, &id, branch.number, batch.first, Some(batch.first + 1))?;
        let read = Read::kept(batch, copy.site())?;
        match ingest::take_kept(tx, me, &mut copy, &read, now)? {
            Taken::Followed if copy.site().state == State::Following && copy.site().head != head => {}
            _ => {
                // Its first part may be what both have, which stays.
                journal::remove(tx, &id, branch.number, head.seq + 1, None)?;
                if head.seq >= read.first() {
                    let part = ingest::part_to(read.batch(), head)?;
                    journal::keep(tx, &id, branch.number, &part, &Default::default(), now)?;
                }
                return Ok(copy);
            }
        }
    }
}

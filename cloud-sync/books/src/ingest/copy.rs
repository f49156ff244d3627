//! A site's rows in memory, by the station's own code: what its journal makes of them, and what head office's books get of it.

use super::{members, rating, till};
use crate::{
    inbox,
    money::facts::{self, Said},
    store::{
        StoreError, Tx, decisions,
        findings::{Class, Finding},
        inbox::Event,
        ledger::{Movement, mirrored, transit},
        replica,
        site_days::EndedDay,
        sites::{EdgeKey, Site},
    },
};
use domain::{
    fact::Fact,
    ids::{OrderId, SiteId},
    journal::{Entry, Hash, Head, Stamp},
    ledger::{Account, Transfer},
    site::{Changes, Key, NotFollowed, Replica, Rows},
    time::{Day, Mono},
    units::Fen,
};
use protocol::{frame::State, opening::Begins};
use std::collections::{BTreeMap, BTreeSet};

/// How often it is asked what entries need before they are followed: an order names its member.
const READ_AHEAD: usize = 2;

/// A site as it is here: how far its journal is, and the rows that follow from it.
#[derive(Debug)]
pub struct SiteCopy {
    site: Site,
    replica: Replica,
    /// The entries that people have set aside.
    set_aside: Vec<Head>,
    /// Sites that something was issued to since that was last asked.
    rung: BTreeSet<SiteId>,
}

/// What entries came to.
#[derive(Debug)]
pub(super) struct Followed {
    /// The rows that have changed.
    pub changes: Changes,
    /// What they move in head office's books.
    pub transfers: Vec<Movement>,
    /// The orders that they are about.
    pub orders: BTreeSet<OrderId>,
    /// Bills that are others when they are rated again, and whatever else people must look at.
    pub findings: Vec<Finding>,
    /// What members are told of it.
    pub told: Vec<Event>,
    /// What they say of members' money.
    pub said: Vec<Said>,
    /// The business days that end in them.
    pub ended: Vec<EndedDay>,
}

/// What of an entry is said of the movements that it causes.
struct Cause {
    /// The business day that it belongs to.
    day: Option<Day>,
    /// Who did it.
    by: Option<String>,
}

/// Why entries were not followed to their end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// One contradicts those before it.
    Contradiction(String),
    /// The rows that they need cannot be had.
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl SiteCopy {
    /// The copy as the database has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(tx: &mut dyn Tx, site: Site) -> Result<Self, StoreError> {
        let rows = replica::always(tx, &site.id)?;
        let last = Stamp {
            seq: site.head.seq,
            at: domain::time::Wall(0),
            mono: site.mono,
        };
        Ok(Self {
            replica: Replica::new(last, rows),
            set_aside: decisions::set_aside(tx, &site.id, site.branch)?,
            rung: BTreeSet::new(),
            site,
        })
    }

    /// The copy of a site of which nothing has been followed but its opening, if it has one, whose rows these are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn begins(tx: &mut dyn Tx, site: &Site, laid: Option<(Begins, Rows)>) -> Result<Self, StoreError> {
        match laid {
            None => Self::empty(tx, site),
            Some(laid) => Self::opened(tx, site, laid),
        }
    }

    /// The copy of a site that begins with these rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn opened(tx: &mut dyn Tx, site: &Site, (begins, rows): (Begins, Rows)) -> Result<Self, StoreError> {
        let last = Stamp {
            seq: begins.head.seq,
            at: begins.at,
            mono: begins.mono,
        };
        Ok(Self {
            site: Site {
                begins: begins.head,
                head: begins.head,
                mono: begins.mono,
                day: rows.energy.days.map(|days| days.now),
                ..site.clone()
            },
            replica: Replica::new(last, rows),
            set_aside: decisions::set_aside(tx, &site.id, site.branch)?,
            rung: BTreeSet::new(),
        })
    }

    fn empty(tx: &mut dyn Tx, site: &Site) -> Result<Self, StoreError> {
        let mut rows = Rows::default();
        for account in Account::OF_STATION {
            rows.ledger.load(account, Fen::ZERO);
        }
        let start = Stamp {
            seq: 0,
            at: domain::time::Wall(0),
            mono: Mono(0),
        };
        Ok(Self {
            site: Site {
                head: Head::START,
                mono: start.mono,
                day: None,
                ..site.clone()
            },
            replica: Replica::new(start, rows),
            set_aside: decisions::set_aside(tx, &site.id, site.branch)?,
            rung: BTreeSet::new(),
        })
    }

    /// Nothing comes after it any more: where it is, is where its site goes on from. The site was opened again.
    pub(super) fn goes_on(&mut self) {
        (self.site.state, self.site.trouble, self.site.closed_at) = (State::Following, None, None);
    }

    /// The site, and how far its journal is.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The rows in memory.
    pub fn rows(&self) -> &Rows {
        self.replica.rows()
    }

    /// Its batches may be signed with these keys from here on.
    pub(super) fn take_keys(&mut self, keys: Vec<EdgeKey>) {
        self.site.keys = keys;
    }

    /// Whoever has the lines of these sites is to be told that something was issued to them.
    pub(super) fn rings(&mut self, sites: BTreeSet<SiteId>) {
        self.rung.extend(sites);
    }

    /// The sites that something was issued to since this was last asked; it counts once the transaction is committed.
    pub fn take_rung(&mut self) -> BTreeSet<SiteId> {
        std::mem::take(&mut self.rung)
    }

    /// It is not followed from here on.
    pub(super) fn stand_still(&mut self, state: State, trouble: String) {
        (self.site.state, self.site.trouble) = (state, Some(trouble));
    }

    /// Everything that has changed is written.
    pub(super) fn written(&mut self) {
        self.replica.evict();
    }

    /// Follows entries, each with its hash, to their last, which is at `head`. On an error the copy is not to be used any more.
    pub(super) fn follow(
        &mut self,
        tx: &mut dyn Tx,
        entries: Vec<(Hash, &Entry)>,
        head: Head,
    ) -> Result<Followed, Stopped> {
        self.read_ahead(tx, &entries)?;
        let (mut orders, mut findings, mut told) = (BTreeSet::new(), Vec::new(), Vec::new());
        let (mut said, mut ended, mut before) = (Vec::new(), Vec::new(), self.site.head);
        let mut causes: BTreeMap<u64, Cause> = BTreeMap::new();
        let (mut step, mut last) = (None, head);
        for (hash, entry) in entries {
            let Entry {
                site,
                epoch,
                stamp,
                fact,
            } = entry;
            let stamp = *stamp;
            if *site != self.site.id {
                return Err(Stopped::Contradiction(format!("entry {} is of site {site}", stamp.seq)));
            }
            if step.replace(stamp.now()).is_some_and(|before| before != stamp.now()) {
                self.end_step().map_err(|stopped| at(stopped, last))?;
            }
            last = Head { seq: stamp.seq, hash };
            if self.set_aside.contains(&last) {
                self.replica.pass_over(stamp).map_err(contradiction)?;
                findings.push(passed_over(stamp.seq, fact));
                self.site.mono = stamp.mono;
                before = last;
                continue;
            }
            self.follow_one(tx, stamp, fact).map_err(|stopped| at(stopped, last))?;
            if let Fact::DayBegan { day } = fact {
                let over = self.site.day.replace(*day);
                ended.extend(over.map(|day| EndedDay { day, last: before }));
            }
            before = last;
            findings.extend(rating::check(self.rows(), stamp.seq, fact));
            findings.extend(till::check(stamp.seq, fact));
            findings.extend(members::check(self.site.number, stamp.seq, fact));
            told.extend(inbox::of_fact(&self.site, self.rows(), stamp, fact));
            let (day, by) = (self.site.day, fact.by().map(str::to_owned));
            causes.insert(stamp.seq, Cause { day, by });
            orders.extend(fact.order().cloned());
            said.extend(facts::said(&self.site.id, entry));
            self.site.mono = stamp.mono;
            if self.site.epoch.as_deref() != Some(epoch.as_ref()) {
                self.site.epoch = Some(epoch.to_string());
            }
        }
        self.end_step().map_err(|stopped| at(stopped, last))?;
        let changes = self.replica.take_changes().map_err(contradiction)?;
        self.site.head = head;
        (self.site.state, self.site.trouble) = (State::Following, None);
        let transfers = self.mirror(&changes.transfers, &causes);
        Ok(Followed {
            changes,
            transfers,
            orders,
            findings,
            told,
            said,
            ended,
        })
    }

    /// Loads what the entries are about, all of a kind at once. What one of them makes, or names, is looked for when it is its
    /// turn.
    fn read_ahead(&mut self, tx: &mut dyn Tx, entries: &[(Hash, &Entry)]) -> Result<(), StoreError> {
        for _ in 0..READ_AHEAD {
            let needs = entries.iter().flat_map(|(_, entry)| self.replica.needs(&entry.fact));
            let needs: BTreeSet<Key> = needs.collect();
            if needs.is_empty() {
                break;
            }
            let loaded = replica::load(tx, &self.site.id, needs)?;
            loaded.into_iter().for_each(|row| self.replica.load(row));
        }
        Ok(())
    }

    fn follow_one(&mut self, tx: &mut dyn Tx, stamp: Stamp, fact: &Fact) -> Result<(), Stopped> {
        loop {
            let needs = self.replica.needs(fact);
            if needs.is_empty() {
                return self.replica.follow(stamp, fact).map_err(contradiction);
            }
            let loaded = replica::load(tx, &self.site.id, needs)?;
            loaded.into_iter().for_each(|row| self.replica.load(row));
        }
    }

    fn end_step(&mut self) -> Result<(), Stopped> {
        self.replica.end_step().map_err(contradiction)
    }

    /// The station's movements under the names of head office's books.
    fn mirror(&self, transfers: &[Transfer], causes: &BTreeMap<u64, Cause>) -> Vec<Movement> {
        let Site { id, branch, .. } = &self.site;
        let (mut cause, mut n) = (0, 0_u32);
        let mirror = |transfer: &Transfer| {
            n = if transfer.cause == cause { n + 1 } else { 0 };
            cause = transfer.cause;
            let of = causes.get(&cause);
            let name = |account: &Account| match (account, &transfer.member) {
                (Account::HeadOffice, Some(member)) => transit(id, member),
                _ => mirrored(id, account),
            };
            Movement {
                id: format!("{id}:{branch}:{cause}.{n}"),
                debit: name(&transfer.debit),
                credit: name(&transfer.credit),
                amount: transfer.amount,
                code: transfer.code.word(),
                site: Some(id.clone()),
                entry: Some((*branch, cause)),
                order: transfer.order.clone(),
                member: transfer.member.clone(),
                day: of.and_then(|of| of.day),
                at: transfer.at,
                by: of.and_then(|of| of.by.clone()),
            }
        };
        transfers.iter().map(mirror).collect()
    }
}

fn passed_over(seq: u64, fact: &Fact) -> Finding {
    let why = format!(
        "two people have set this entry aside: nothing of it, a {}, is applied here",
        fact.kind()
    );
    Finding {
        class: Class::SetAside,
        seq,
        order: fact.order().cloned(),
        detail: serde_json::json!({ "why": why }).to_string(),
    }
}

/// With the place of the entry, by which people name it.
fn at(stopped: Stopped, place: Head) -> Stopped {
    match stopped {
        Stopped::Contradiction(why) => Stopped::Contradiction(format!("{why} (it is {place})")),
        store => store,
    }
}

fn contradiction(error: NotFollowed) -> Stopped {
    Stopped::Contradiction(error.to_string())
}

//! Which sites this process has: it holds each for a time and goes on with it before that is over, and everything that it
//! writes of a site is fenced by it (rule 9). A process that ends well lets its sites go at once; of one that was killed they
//! are taken when it has not gone on with any for as long.

use crate::{
    bell::{Bell, Ring},
    desk::{Clock, Desk, LEASE_MS, Office, ToSites, bounds::Bounds},
    front::Front,
    heard::Heard,
    store::{
        Db, StoreError, directives, identity, sites,
        sites::{EdgeKey, Lease, Site},
    },
};
use domain::{
    ids::SiteId,
    time::{Mono, Wall},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::MissedTickBehavior,
};

/// How often it is gone on with, and sites of others are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How often it is looked for directives that another process has issued, or that nobody has answered.
const ISSUED_EVERY: Duration = Duration::from_secs(1);
/// How often it is tried, each time, to go on with sites that somebody is at work on, and the pause between.
const TRIES: usize = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// The pause before a desk begins again that came to an end.
const RETRY: Duration = Duration::from_secs(1);

/// Since when other processes have not gone on with their sites, by this process's own elapsed time: what their clocks show, which
/// may be years off, is compared with nothing but what they showed before.
#[derive(Debug, Default)]
struct Others(BTreeMap<String, (Wall, Mono)>);

impl Others {
    /// The leases that are over now, of all that others have.
    fn over(&mut self, leases: Vec<Lease>, now: Mono) -> Vec<Lease> {
        self.0
            .retain(|owner, _| leases.iter().any(|lease| lease.owner == *owner));
        let is_over = |lease: &Lease| {
            let (until, since) = self.0.entry(lease.owner.clone()).or_insert((lease.until, now));
            if *until != lease.until {
                (*until, *since) = (lease.until, now);
            }
            now.ms_since(*since) >= LEASE_MS.unsigned_abs()
        };
        leases.into_iter().filter(is_over).collect()
    }
}

/// Keeps the desks of this process's sites.
pub struct Owners {
    office: Arc<Office>,
    clock: Arc<dyn Clock>,
    db: Db,
    front: Arc<Front>,
    rings: mpsc::Receiver<Ring>,
    bell: Bell,
    desks: BTreeMap<SiteId, Kept>,
    others: Others,
    to_sites: ToSites,
    bounds: Arc<Bounds>,
    /// Answers pings; it ends with this.
    _hears: JoinSet<()>,
}

/// A desk that is kept.
struct Kept {
    task: AbortHandle,
    /// What the site signed with when the desk began: it knows no other.
    keys: Vec<EdgeKey>,
}

impl Owners {
    /// None yet. Sites' pings are answered from now on.
    pub fn new(
        office: Arc<Office>,
        clock: Arc<dyn Clock>,
        db: Db,
        front: Arc<Front>,
        (bell, rings): (Bell, mpsc::Receiver<Ring>),
        bounds: Arc<Bounds>,
    ) -> Self {
        let to_sites = front.to_sites();
        let to_sites: ToSites = Arc::new(move |site, kind, payload| to_sites.send(site, kind, payload));
        let (heard, hears) = Heard::new(
            Arc::clone(&office),
            Arc::clone(&clock),
            db.clone(),
            Arc::clone(&to_sites),
        );
        front.hear_by(heard);
        let mut beside = JoinSet::new();
        beside.spawn(hears);
        Self {
            to_sites,
            bounds,
            _hears: beside,
            office,
            clock,
            db,
            front,
            rings,
            bell,
            desks: BTreeMap::new(),
            others: Others::default(),
        }
    }

    /// Keeps them until the future is dropped.
    pub async fn run(&mut self) {
        let mut look = tokio::time::interval(EVERY);
        let mut issued = tokio::time::interval(ISSUED_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        issued.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => self.look().await,
                _ = issued.tick() => {
                    self.look_for_key().await;
                    self.look_for_issued().await;
                }
                Some(ring) = self.rings.recv() => match ring {
                    Ring::Sites => self.look().await,
                    Ring::Anew(site) => {
                        self.end(&site);
                        self.look().await;
                    }
                }
            }
        }
    }

    /// Signs with what the database says by now: a person may have changed it at another process.
    async fn look_for_key(&self) {
        match self.db.read(identity::signs_with).await {
            Ok(key) => {
                if self.office.key.now_with(key) {
                    tracing::info!(key = %self.office.key.with().public(), "head office signs with another key from now on");
                }
            }
            Err(error) => tracing::warn!("what head office signs with cannot be looked up: {error}"),
        }
    }

    /// Rings for what another process has issued to this one's sites, and for what is to be sent again.
    async fn look_for_issued(&self) {
        match self.db.read(directives::sites_waiting).await {
            Ok(sites) => sites.iter().for_each(|site| self.bell.issued(site)),
            Err(error) => tracing::warn!("what was issued to sites cannot be looked up: {error}"),
        }
    }

    /// Takes what nobody else has, goes on with what is here, and lets in whoever may come in.
    pub async fn look(&mut self) {
        let me = self.office.process.clone();
        let until = self.clock.wall().after_ms(LEASE_MS);
        let of = me.clone();
        let over = match self.db.read(move |tx| sites::leases(tx, &of)).await {
            Ok(leases) => self.others.over(leases, self.clock.mono()),
            Err(error) => {
                tracing::warn!("who has sites cannot be looked up: {error}");
                Vec::new()
            }
        };
        let over = Arc::new(over);
        for _ in 0..TRIES {
            let (me, over) = (me.clone(), Arc::clone(&over));
            match self.db.write(move |tx| sites::hold_all(tx, &me, &over, until)).await {
                Ok(0) => break,
                // A batch of theirs is being written; what takes longer is tried again the next time.
                Ok(_) => tokio::time::sleep(BETWEEN_TRIES).await,
                Err(error) => {
                    tracing::warn!("sites cannot be held on to: {error}");
                    break;
                }
            }
        }
        let held = self.db.read(move |tx| Ok((sites::held(tx, &me)?, sites::all(tx)?)));
        match held.await {
            Ok((held, all)) => self.keep(&held, &all),
            // Desks go on: nothing that another process has gone on with can be written here.
            Err(error) => tracing::warn!("which sites this process has cannot be looked up: {error}"),
        }
    }

    fn keep(&mut self, held: &[SiteId], all: &[Site]) {
        let certificates = all.iter().filter_map(|site| {
            let certificate = site.certificate.as_ref()?;
            Some((site.id.clone(), certificate.fingerprint.clone()))
        });
        self.front.know(certificates.collect());
        let gone: Vec<SiteId> = self.desks.keys().filter(|site| !held.contains(site)).cloned().collect();
        for site in gone {
            tracing::info!(%site, "another process goes on with this site, or nobody");
            self.end(&site);
        }
        for site in all.iter().filter(|site| held.contains(&site.id)) {
            let goes_on = |desk: &Kept| !desk.task.is_finished() && desk.keys == site.keys;
            if !self.desks.get(&site.id).is_some_and(goes_on) {
                self.begin(site);
            }
        }
    }

    fn begin(&mut self, site: &Site) {
        let (site, keys) = (&site.id, site.keys.clone());
        tracing::info!(%site, "this process has the site's desk");
        if let Some(before) = self.desks.remove(site) {
            before.task.abort();
        }
        let (front, office, clock, db) = (
            Arc::clone(&self.front),
            Arc::clone(&self.office),
            Arc::clone(&self.clock),
            self.db.clone(),
        );
        let of = site.clone();
        let (to_sites, bounds) = (Arc::clone(&self.to_sites), Arc::clone(&self.bounds));
        // The site may come in from here on.
        let mut says = front.begin(site);
        let (issued, bell) = (self.bell.is_here(site), self.bell.clone());
        let task = tokio::spawn(async move {
            loop {
                let desk = Desk::new(
                    Arc::clone(&office),
                    Arc::clone(&clock),
                    db.clone(),
                    of.clone(),
                    Arc::clone(&to_sites),
                    Arc::clone(&bounds),
                    (Arc::clone(&issued), bell.clone()),
                );
                match desk.run(says).await {
                    Ok(()) => return,
                    Err(StoreError::NotOwner) => {
                        tracing::warn!(site = %of, "another process has gone on with this site");
                        return;
                    }
                    Err(error) => tracing::error!(site = %of, "its desk begins again: {error}"),
                }
                tokio::time::sleep(RETRY).await;
                says = front.begin(&of);
            }
        });
        let task = task.abort_handle();
        self.desks.insert(site.clone(), Kept { task, keys });
    }

    fn end(&mut self, site: &SiteId) {
        if let Some(desk) = self.desks.remove(site) {
            desk.task.abort();
        }
        self.bell.is_gone(site);
        self.front.end(site);
    }

    /// Lets all sites go, for another process to take them at once.
    pub async fn let_go(mut self) {
        for site in self.desks.keys().cloned().collect::<Vec<_>>() {
            self.end(&site);
        }
        let me = self.office.process.clone();
        if let Err(error) = self.db.write(move |tx| sites::let_go(tx, &me)).await {
            tracing::warn!("this process's sites could not be let go, and are taken in {LEASE_MS} ms: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_over_when_it_has_not_been_gone_on_with_for_as_long_whatever_its_clock_shows() {
        let lease = |owner: &str, until: i64| Lease {
            owner: owner.to_owned(),
            until: Wall(until),
        };
        let mut others = Others::default();
        let mut over = |at: u64, leases: &[Lease]| others.over(leases.to_vec(), Mono(at));
        let (past, future) = (lease("past", 1), lease("future", i64::MAX));
        let both = [past.clone(), future.clone()];
        assert_eq!(over(1_000, &both), [], "nobody is over who was not looked at for long");
        assert_eq!(over(20_999, &both), []);
        // One goes on, and be it backwards.
        let dead = [future.clone()];
        assert_eq!(over(21_000, &[lease("past", 0), future.clone()]), dead);
        assert_eq!(over(40_999, &[lease("past", 0), future.clone()]), dead);
        assert_eq!(over(41_000, &[lease("past", 0)]), [lease("past", 0)]);
        assert_eq!(over(41_001, &[future]), [], "whoever has come back is new");
    }
}

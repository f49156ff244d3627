//! Which sites this process has: it holds each for a time and goes on with it before that is over, and everything that it
//! writes of a site is fenced by it (rule 9). A process that ends well lets its sites go at once; of one that was killed they
//! are taken when its time is over.

use crate::{
    desk::{Clock, Desk, Office, ToSites, bounds::Bounds},
    front::Front,
    heard::Heard,
    store::{
        Db, StoreError, directives, sites,
        sites::{EdgeKey, Site},
    },
};
use domain::ids::SiteId;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinSet},
    time::MissedTickBehavior,
};

/// For how long a site is held, in milliseconds.
pub const LEASE_MS: i64 = 20_000;
/// How often it is gone on with, and sites of others are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How often it is looked for directives that another process has issued, or that nobody has answered.
const ISSUED_EVERY: Duration = Duration::from_secs(1);
/// How often it is tried, each time, to go on with sites that somebody is at work on, and the pause between.
const TRIES: usize = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// Rings that wait to be heard; beyond them whoever rings waits.
const RINGS_MAX: usize = 64;
/// The pause before a desk begins again that came to an end.
const RETRY: Duration = Duration::from_secs(1);

/// What may have happened that desks are to be looked at for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ring {
    /// A site was added, let in, shut out.
    Sites,
    /// What a site's desk has in memory is not to be gone on with: its rows were made anew.
    Anew(SiteId),
    /// Something was issued to a site.
    Issued(SiteId),
}

/// Rings for whoever keeps the desks.
#[derive(Debug, Clone)]
pub struct Bell(mpsc::Sender<Ring>);

impl Bell {
    /// A bell, and where it is heard.
    pub fn new() -> (Self, mpsc::Receiver<Ring>) {
        let (rings, heard) = mpsc::channel(RINGS_MAX);
        (Self(rings), heard)
    }

    /// Rings.
    pub async fn ring(&self, ring: Ring) {
        let _going_down = self.0.send(ring).await;
    }

    /// Rings if there is room; otherwise it is found without.
    pub fn try_ring(&self, ring: Ring) {
        let _found_without = self.0.try_send(ring);
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
    to_sites: ToSites,
    bounds: Arc<Bounds>,
    /// Answers pings; it ends with this.
    _hears: JoinSet<()>,
}

/// A desk that is kept.
struct Kept {
    task: AbortHandle,
    /// Rings when something was issued to the site.
    issued: Arc<Notify>,
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
                _ = issued.tick() => self.look_for_issued().await,
                Some(ring) = self.rings.recv() => match ring {
                    Ring::Sites => self.look().await,
                    Ring::Anew(site) => {
                        self.end(&site);
                        self.look().await;
                    }
                    Ring::Issued(site) => self.issued(&site),
                }
            }
        }
    }

    /// Something was issued to a site: its desk sends it, if it is here.
    fn issued(&self, site: &SiteId) {
        if let Some(desk) = self.desks.get(site) {
            desk.issued.notify_one();
        }
    }

    /// Rings for what another process has issued to this one's sites, and for what is to be sent again.
    async fn look_for_issued(&self) {
        match self.db.read(directives::sites_waiting).await {
            Ok(sites) => sites.iter().for_each(|site| self.issued(site)),
            Err(error) => tracing::warn!("what was issued to sites cannot be looked up: {error}"),
        }
    }

    /// Takes what nobody else has, goes on with what is here, and lets in whoever may come in.
    pub async fn look(&mut self) {
        let (me, now) = (self.office.process.clone(), self.clock.wall());
        let until = now.after_ms(LEASE_MS);
        for _ in 0..TRIES {
            let me = me.clone();
            match self.db.write(move |tx| sites::hold_all(tx, &me, now, until)).await {
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
        let issued = Arc::new(Notify::new());
        let (rings, bell) = (Arc::clone(&issued), self.bell.clone());
        let task = tokio::spawn(async move {
            loop {
                let desk = Desk::new(
                    Arc::clone(&office),
                    Arc::clone(&clock),
                    db.clone(),
                    of.clone(),
                    Arc::clone(&to_sites),
                    Arc::clone(&bounds),
                    (Arc::clone(&rings), bell.clone()),
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
        self.desks.insert(site.clone(), Kept { task, issued, keys });
    }

    fn end(&mut self, site: &SiteId) {
        if let Some(desk) = self.desks.remove(site) {
            desk.task.abort();
        }
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

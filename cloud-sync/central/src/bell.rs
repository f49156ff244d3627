//! How one part of this process tells another that there is something to be looked at. Nothing hangs on it: whatever is rung for is in
//! the database, and is found a little later without.

use domain::ids::SiteId;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{Notify, mpsc};

/// Rings for whoever keeps the desks that wait to be heard; beyond them whoever rings waits.
const RINGS_MAX: usize = 64;

/// What may have happened that desks are to be looked at for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ring {
    /// A site was added, let in, shut out.
    Sites,
    /// What a site's desk has in memory is not to be gone on with: its rows were made anew.
    Anew(SiteId),
}

/// Whether something was issued to a site that its desk has not sent.
#[derive(Debug, Default)]
pub struct Issued {
    is_rung: AtomicBool,
    notify: Notify,
}

impl Issued {
    fn ring(&self) {
        self.is_rung.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether it has rung since it was last asked.
    pub fn take(&self) -> bool {
        self.is_rung.swap(false, Ordering::AcqRel)
    }

    /// Ends when it has rung.
    pub async fn rung(&self) {
        self.notify.notified().await;
    }
}

/// Rings for whoever keeps the desks, and at each desk. A desk is rung for past its keeper, who may be at work with the database:
/// somebody stands in front of a pile.
#[derive(Debug, Clone)]
pub struct Bell {
    rings: mpsc::Sender<Ring>,
    desks: Arc<Mutex<BTreeMap<SiteId, Arc<Issued>>>>,
}

impl Bell {
    /// A bell, and where its keeper hears it.
    pub fn new() -> (Self, mpsc::Receiver<Ring>) {
        let (rings, heard) = mpsc::channel(RINGS_MAX);
        let desks = Arc::default();
        (Self { rings, desks }, heard)
    }

    /// Rings for whoever keeps the desks.
    pub async fn ring(&self, ring: Ring) {
        let _going_down = self.rings.send(ring).await;
    }

    /// Something was issued to a site: its desk sends it, if it is here.
    pub fn issued(&self, site: &SiteId) {
        if let Some(desk) = self.desks().get(site) {
            desk.ring();
        }
    }

    /// The site's desk is here, until [`Bell::is_gone`].
    pub fn is_here(&self, site: &SiteId) -> Arc<Issued> {
        Arc::clone(self.desks().entry(site.clone()).or_default())
    }

    /// The site's desk is here no more.
    pub fn is_gone(&self, site: &SiteId) {
        self.desks().remove(site);
    }

    fn desks(&self) -> MutexGuard<'_, BTreeMap<SiteId, Arc<Issued>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

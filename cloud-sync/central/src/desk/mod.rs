//! One site's desk at head office: it takes what the site says, one after the other, and answers. Batches are acknowledged
//! once they are on disk, and not before. What it does stands in [`core`]; here are its clock, its runtime, and the pauses
//! after which a database is asked again that was not available.

pub mod core;

use self::core::{Core, Effect, Heard, Memory, Then, Unread, at_once};
use crate::{
    door::Up,
    front::ToSites,
    store::{Db, StoreError},
};
use broker::RefusalReason;
use domain::{
    ids::SiteId,
    time::{Mono, Now, Wall},
};
use protocol::{frame::HqEpoch, key::SigningKey, status::Hello};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The pause before the database is asked again that was not available.
const RETRY: Duration = Duration::from_millis(500);

/// What head office is to sites.
#[derive(Debug)]
pub struct Office {
    /// The name of this process among those that share the database.
    pub process: String,
    /// Which life of the database it is.
    pub hq_epoch: HqEpoch,
    /// What it signs with.
    pub key: SigningKey,
}

/// Time, as the desk needs it.
pub trait Clock: Send + Sync {
    /// Elapsed time of this process.
    fn mono(&self) -> Mono;
    /// The time of day.
    fn wall(&self) -> Wall;
}

/// One site's desk.
pub struct Desk {
    office: Arc<Office>,
    clock: Arc<dyn Clock>,
    db: Db,
    site: SiteId,
    to_sites: ToSites,
    /// None while it is with the database, or has to be loaded anew.
    core: Option<Core>,
    /// As of the last time that it was here.
    memory: Memory,
}

impl Desk {
    /// A desk for a site that this process owns.
    pub fn new(office: Arc<Office>, clock: Arc<dyn Clock>, db: Db, site: SiteId, to_sites: ToSites) -> Self {
        Self {
            office,
            clock,
            db,
            site,
            to_sites,
            core: None,
            memory: Memory::default(),
        }
    }

    /// Takes what the site says until nobody can say anything any more, or another process goes on with the site.
    ///
    /// # Errors
    /// [`StoreError`] that does not go away by itself.
    pub async fn run(mut self, mut says: mpsc::Receiver<Up>) -> Result<(), StoreError> {
        // A site that is connected already goes on from here at once.
        self.say().await?;
        loop {
            let deadline = self.core.as_ref().map_or(self.memory, Core::memory).next_deadline();
            let due = deadline.map(|at| Duration::from_millis(at.ms_since(self.clock.mono())));
            tokio::select! {
                up = says.recv() => match up {
                    None => return Ok(()),
                    Some(up) => self.hear(up).await?,
                },
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => self.say().await?,
            }
        }
    }

    async fn say(&mut self) -> Result<(), StoreError> {
        let mut core = self.core().await?;
        let said = core.say(self.clock.mono());
        self.core = Some(core);
        self.perform(said);
        Ok(())
    }

    async fn hear(&mut self, up: Up) -> Result<(), StoreError> {
        let Up { kind, payload, receipt } = up;
        let payload = match at_once(&self.office, &self.site, self.clock.wall(), kind, payload) {
            Ok(effect) => {
                effect.into_iter().for_each(|effect| self.perform(effect));
                receipt.acknowledge();
                return Ok(());
            }
            Err(payload) => payload,
        };
        let mut core = self.core().await?;
        let Heard { effects, then } = core.hear(kind, payload);
        self.core = Some(core);
        effects.into_iter().for_each(|effect| self.perform(effect));
        match then {
            None => {}
            Some(Then::Take(batch)) => {
                if !self.take(batch).await? {
                    receipt.refuse(RefusalReason::PayloadFormatInvalid);
                    return Ok(());
                }
            }
            Some(Then::Greet(hello)) => self.greet(*hello).await?,
        }
        receipt.acknowledge();
        Ok(())
    }

    async fn greet(&mut self, hello: Hello) -> Result<(), StoreError> {
        let hello = Arc::new(hello);
        loop {
            let mut core = self.core().await?;
            let (now, hello) = (self.clock.mono(), Arc::clone(&hello));
            let greeted = self.db.read(move |tx| Ok((core.greet(tx, now, &hello)?, core)));
            match greeted.await {
                Ok((effects, core)) => {
                    self.core = Some(core);
                    effects.into_iter().for_each(|effect| self.perform(effect));
                    return Ok(());
                }
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    /// Takes a batch; whether it was one.
    async fn take(&mut self, batch: Unread) -> Result<bool, StoreError> {
        // Unpacking and reading takes as long as following, and needs no database.
        let read = tokio::task::spawn_blocking(move || batch.read());
        let read = match read.await.map_err(|error| StoreError::Broken(error.to_string()))? {
            Ok(read) => Arc::new(read),
            Err(error) => {
                tracing::warn!(site = %self.site, "a batch is refused: {error}");
                self.forget();
                return Ok(false);
            }
        };
        loop {
            let mut core = self.core().await?;
            let (now, read) = (self.now(), Arc::clone(&read));
            let done = self.db.write(move |tx| Ok((core.take(tx, now, &read)?, core)));
            match done.await {
                Ok((effect, core)) => {
                    self.core = Some(core);
                    effect.into_iter().for_each(|effect| self.perform(effect));
                    return Ok(true);
                }
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    /// Waits where trying again later may help.
    async fn wait_after(&self, error: StoreError) -> Result<(), StoreError> {
        if !error.is_transient() {
            return Err(error);
        }
        tracing::warn!(site = %self.site, "{error}; it is tried again");
        tokio::time::sleep(RETRY).await;
        Ok(())
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Send(kind, payload) => drop(self.to_sites.send(&self.site, kind, payload)),
            // Nobody has asked, and nobody watches.
            Effect::Answer(_) | Effect::Live(_) => {}
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.clock.mono(),
            wall: self.clock.wall(),
        }
    }

    /// The copy is loaded anew.
    fn forget(&mut self) {
        if let Some(core) = self.core.take() {
            self.memory = core.memory();
        }
    }

    /// The core, with what the database has if need be.
    async fn core(&mut self) -> Result<Core, StoreError> {
        if let Some(core) = self.core.take() {
            self.memory = core.memory();
            return Ok(core);
        }
        loop {
            let (office, site, memory) = (Arc::clone(&self.office), self.site.clone(), self.memory);
            let loaded = self.db.read(move |tx| Core::load(tx, office, &site, memory));
            match loaded.await {
                Ok(core) => return Ok(core),
                Err(error) => self.wait_after(error).await?,
            }
        }
    }
}

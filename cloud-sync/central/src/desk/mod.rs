//! One site's desk at head office: it takes what the site says, one after the other, and answers. Batches are acknowledged
//! once they are on disk, and not before. What it does stands in [`core`]; here are its clock, its runtime, and the pauses
//! after which a database is asked again that was not available.

pub mod bounds;

pub use books::desk::{Clock, LEASE_MS, Office, Signs, core};

use self::{
    bounds::{Bounds, Place},
    core::{Core, Effect, Heard, Memory, Then, Unread, at_once},
};
use crate::{
    bell::{Bell, Issued},
    door::Up,
    ingest::Read,
    store::{Db, StoreError, sites},
};
use broker::{Receipt, RefusalReason};
use domain::{
    ids::SiteId,
    time::{Mono, Now},
};
use protocol::{
    frame::{Malformed, State},
    status::Hello,
    topic::Kind,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};

/// The least time between two hellos that are answered, in milliseconds: each time is a question to the database and a
/// signature. Of those that come meanwhile the latest is answered.
const GREET_MS: u64 = 1_000;
/// Messages that are looked at before it is their turn: a batch is unpacked and read while the one before is written.
const AHEAD: usize = 2;
/// The pause before the database is asked again that was not available.
const RETRY: Duration = Duration::from_millis(500);

/// Sends to sites; whether it is on its way.
pub type ToSites = Arc<dyn Fn(&SiteId, Kind, Vec<u8>) -> bool + Send + Sync>;

/// What a site has said, and whose turn comes.
enum Next {
    /// A batch that is being read; none where nothing beyond the head is taken any more.
    Batch(Option<Reading>, Receipt),
    /// A batch for which there was no room yet.
    Later(Unread, Receipt),
    /// Anything else.
    Other(Up),
}

/// A batch that is being read, and its place among what is unpacked.
struct Reading {
    task: JoinHandle<Result<Read, Malformed>>,
    _place: Option<Place>,
}

impl Reading {
    fn begin(batch: Unread, place: Option<Place>) -> Self {
        Self {
            task: tokio::task::spawn_blocking(move || batch.read()),
            _place: place,
        }
    }
}

/// Whether it will be the same however often it is tried, and the site is still this process's own.
fn stays(error: &StoreError) -> bool {
    matches!(error, StoreError::Constraint(_) | StoreError::Broken(_))
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
    bounds: Arc<Bounds>,
    /// Rings when something was issued to the site.
    issued: Arc<Issued>,
    /// Told when something was issued to others by what this site has said.
    bell: Bell,
    /// When a hello was last answered.
    greeted_at: Option<Mono>,
    /// The latest that was not.
    hello: Option<Hello>,
}

impl Desk {
    /// A desk for a site that this process owns.
    pub fn new(
        office: Arc<Office>,
        clock: Arc<dyn Clock>,
        db: Db,
        site: SiteId,
        to_sites: ToSites,
        bounds: Arc<Bounds>,
        (issued, bell): (Arc<Issued>, Bell),
    ) -> Self {
        Self {
            office,
            clock,
            db,
            site,
            to_sites,
            core: None,
            memory: Memory::default(),
            bounds,
            issued,
            bell,
            greeted_at: None,
            hello: None,
        }
    }

    /// Takes what the site says until nobody can say anything any more, or another process goes on with the site.
    ///
    /// # Errors
    /// [`StoreError`] that does not go away by itself.
    pub async fn run(mut self, mut says: mpsc::Receiver<Up>) -> Result<(), StoreError> {
        // A site that is connected already goes on from here at once.
        self.say().await?;
        let mut ahead = VecDeque::with_capacity(AHEAD);
        loop {
            // What waits for room stands before everything else, and this desk has no other place then.
            while ahead.len() < AHEAD
                && !matches!(ahead.back(), Some(Next::Later(..)))
                && let Ok(up) = says.try_recv()
            {
                let is_first = ahead.is_empty();
                ahead.push_back(self.begin(up, is_first).await?);
            }
            self.do_what_is_due().await?;
            if let Some(next) = ahead.pop_front() {
                self.hear(next).await?;
                continue;
            }
            let due = [self.say_at(), self.greet_at()].into_iter().flatten().min();
            let due = due.map(|at| Duration::from_millis(at.ms_since(self.clock.mono())));
            let issued = Arc::clone(&self.issued);
            tokio::select! {
                () = issued.rung() => {}
                up = says.recv() => match up {
                    None => return Ok(()),
                    Some(up) => ahead.push_back(self.begin(up, true).await?),
                },
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {}
            }
        }
    }

    fn say_at(&self) -> Option<Mono> {
        self.core.as_ref().map_or(self.memory, Core::memory).next_deadline()
    }

    fn greet_at(&self) -> Option<Mono> {
        let again_at = self.greeted_at.map_or(Mono(0), |at| at.after_ms(GREET_MS));
        self.hello.is_some().then_some(again_at)
    }

    async fn do_what_is_due(&mut self) -> Result<(), StoreError> {
        if self.issued.take() {
            self.direct().await?;
        }
        let now = self.clock.mono();
        if self.greet_at().is_some_and(|at| at <= now)
            && let Some(hello) = self.hello.take()
        {
            self.greeted_at = Some(now);
            self.greet(hello).await?;
        }
        match self.say_at() {
            Some(at) if at <= now => self.say().await,
            _ => Ok(()),
        }
    }

    /// Begins to read a batch, which takes as long as following it and needs no database: it is done when its turn comes. The
    /// first waits for room.
    async fn begin(&mut self, up: Up, is_first: bool) -> Result<Next, StoreError> {
        if up.kind != Kind::Journal {
            return Ok(Next::Other(up));
        }
        let Up { kind, payload, receipt } = up;
        let mut core = self.core().await?;
        let Heard { effects, then } = core.hear(kind, payload);
        self.core = Some(core);
        effects.into_iter().for_each(|effect| self.perform(effect));
        let Some(Then::Take(batch)) = then else {
            return Ok(Next::Batch(None, receipt));
        };
        let bytes = batch.unpacked_bytes();
        let place = match self.bounds.room.try_take(bytes) {
            None if !is_first => return Ok(Next::Later(batch, receipt)),
            None => self.bounds.room.take(bytes).await,
            place => place,
        };
        Ok(Next::Batch(Some(Reading::begin(batch, place)), receipt))
    }

    async fn say(&mut self) -> Result<(), StoreError> {
        let mut core = self.core().await?;
        let said = core.say(self.clock.mono());
        self.core = Some(core);
        said.into_iter().for_each(|said| self.perform(said));
        Ok(())
    }

    /// Sends what was issued to the site.
    async fn direct(&mut self) -> Result<(), StoreError> {
        let mut core = self.core().await?;
        let now = self.clock.mono();
        let directed = self.db.read(move |tx| Ok((core.direct(tx, now)?, core)));
        match directed.await {
            Ok((effects, core)) => {
                self.core = Some(core);
                effects.into_iter().for_each(|effect| self.perform(effect));
                Ok(())
            }
            // Whoever rang rings again.
            Err(error) => self.wait_after(error).await,
        }
    }

    async fn hear(&mut self, next: Next) -> Result<(), StoreError> {
        let (reading, receipt) = match next {
            Next::Other(up) => return self.hear_other(up).await,
            Next::Batch(reading, receipt) => (reading, receipt),
            Next::Later(batch, receipt) => {
                let place = self.bounds.room.take(batch.unpacked_bytes()).await;
                (Some(Reading::begin(batch, place)), receipt)
            }
        };
        let is_batch = match reading {
            Some(reading) => self.take(reading).await?,
            None => true,
        };
        match is_batch {
            true => receipt.acknowledge(),
            false => receipt.refuse(RefusalReason::PayloadFormatInvalid),
        }
        Ok(())
    }

    async fn hear_other(&mut self, Up { kind, payload, receipt }: Up) -> Result<(), StoreError> {
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
        if let Some(Then::Greet(hello)) = then {
            self.hello = Some(*hello);
        }
        receipt.acknowledge();
        self.do_what_is_due().await
    }

    async fn greet(&mut self, hello: Hello) -> Result<(), StoreError> {
        let hello = Arc::new(hello);
        loop {
            let mut core = self.core().await?;
            let (now, hello) = (self.now(), Arc::clone(&hello));
            let greeted = self.db.write(move |tx| Ok((core.greet(tx, now, &hello)?, core)));
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
    async fn take(&mut self, mut reading: Reading) -> Result<bool, StoreError> {
        let read = match (&mut reading.task)
            .await
            .map_err(|error| StoreError::Broken(error.to_string()))?
        {
            Ok(read) => Arc::new(read),
            Err(error) => {
                self.refuse(&error);
                return Ok(false);
            }
        };
        loop {
            let mut core = self.core().await?;
            let (now, of) = (self.now(), Arc::clone(&read));
            let done = self.db.write(move |tx| Ok((core.take(tx, now, &of)?, core)));
            match done.await {
                Ok((Ok(effect), mut core)) => {
                    let rung = core.take_rung();
                    self.core = Some(core);
                    effect.into_iter().for_each(|effect| self.perform(effect));
                    for site in rung {
                        // Nobody waits: whoever keeps the desks looks by itself soon.
                        self.bell.issued(&site);
                    }
                    return Ok(true);
                }
                Ok((Err(error), core)) => {
                    self.core = Some(core);
                    self.refuse(&error);
                    return Ok(false);
                }
                Err(error) if stays(&error) => {
                    let why = format!("the batch from entry {} on cannot be stored: {error}", read.first());
                    self.cannot_store(why).await?;
                    return Ok(true);
                }
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    /// A batch is none of the site's. Its keys are read anew: it may have been enrolled since they were.
    fn refuse(&mut self, error: &Malformed) {
        tracing::warn!(site = %self.site, "a batch is refused: {error}");
        self.bounds.refused.note(&self.site, error);
        self.forget();
    }

    async fn cannot_store(&mut self, why: String) -> Result<(), StoreError> {
        loop {
            let mut core = self.core().await?;
            let (now, why) = (self.clock.mono(), why.clone());
            let done = self.db.write(move |tx| Ok((core.cannot_store(tx, now, why)?, core)));
            match done.await {
                Ok((effect, core)) => {
                    self.core = Some(core);
                    effect.into_iter().for_each(|effect| self.perform(effect));
                    return Ok(());
                }
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    /// The site's rows cannot be read: people are told, as far as the site itself can be.
    async fn cannot_load(&self, error: &StoreError) {
        let (me, id) = (self.office.process.clone(), self.site.clone());
        let why = format!("what is here of it cannot be read: {error}");
        let told = self.db.write(move |tx| match sites::find(tx, &id)? {
            Some(site) if site.state == State::Following => sites::stand_still(tx, &me, &site, State::Broken, &why),
            _ => Ok(()),
        });
        if let Err(error) = told.await {
            tracing::warn!(site = %self.site, "{error}");
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

    fn perform(&self, Effect(kind, payload): Effect) {
        // Nobody waits for it: what must arrive is said again.
        let _is_there = (self.to_sites)(&self.site, kind, payload);
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
                Err(error) => {
                    if stays(&error) {
                        self.cannot_load(&error).await;
                    }
                    self.wait_after(error).await?;
                }
            }
        }
    }
}

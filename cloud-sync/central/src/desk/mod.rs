//! One site's desk at head office: it takes what the site says, one after the other, and answers. Batches are acknowledged
//! once they are on disk, and not before. What it does stands in [`core`]; here are its clock, its runtime, and the pauses
//! after which a database is asked again that was not available.

pub mod core;

use self::core::{Core, Effect, Heard, Memory, Then, at_once};
use crate::{
    door::Up,
    ingest::Read,
    store::{Db, StoreError, sites},
};
use broker::{Receipt, RefusalReason};
use domain::{
    ids::SiteId,
    time::{Mono, Now, Wall},
};
use protocol::{
    frame::{HqEpoch, Malformed, State},
    key::SigningKey,
    status::{Hello, Status},
    topic::Kind,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};

/// How often it is noted that a site was heard, in milliseconds: each time is a commit.
const NOTE_MS: u64 = 60_000;
/// Messages that are looked at before it is their turn: a batch is unpacked and read while the one before is written.
const AHEAD: usize = 2;
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

/// Sends to sites; whether it is on its way.
pub type ToSites = Arc<dyn Fn(&SiteId, Kind, Vec<u8>) -> bool + Send + Sync>;

/// What a site has said, and whose turn comes.
enum Next {
    /// A batch that is being read; none where nothing beyond the head is taken any more.
    Batch(Option<JoinHandle<Result<Read, Malformed>>>, Receipt),
    /// Anything else.
    Other(Up),
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
    /// When it was last noted that the site was heard.
    noted_at: Option<Mono>,
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
            noted_at: None,
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
            while ahead.len() < AHEAD
                && let Ok(up) = says.try_recv()
            {
                ahead.push_back(self.begin(up).await?);
            }
            let deadline = self.core.as_ref().map_or(self.memory, Core::memory).next_deadline();
            let due = deadline.map(|at| Duration::from_millis(at.ms_since(self.clock.mono())));
            if let Some(next) = ahead.pop_front() {
                if due.is_some_and(|due| due.is_zero()) {
                    self.say().await?;
                }
                self.hear(next).await?;
                continue;
            }
            tokio::select! {
                up = says.recv() => match up {
                    None => return Ok(()),
                    Some(up) => ahead.push_back(self.begin(up).await?),
                },
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => self.say().await?,
            }
        }
    }

    /// Begins to read a batch, which takes as long as following it and needs no database: it is done when its turn comes.
    async fn begin(&mut self, up: Up) -> Result<Next, StoreError> {
        if up.kind != Kind::Journal {
            return Ok(Next::Other(up));
        }
        let Up { kind, payload, receipt } = up;
        let mut core = self.core().await?;
        let Heard { effects, then } = core.hear(kind, payload);
        self.core = Some(core);
        effects.into_iter().for_each(|effect| self.perform(effect));
        let read = match then {
            Some(Then::Take(batch)) => Some(tokio::task::spawn_blocking(move || batch.read())),
            _ => None,
        };
        Ok(Next::Batch(read, receipt))
    }

    async fn say(&mut self) -> Result<(), StoreError> {
        let mut core = self.core().await?;
        let said = core.say(self.clock.mono());
        self.core = Some(core);
        said.into_iter().for_each(|said| self.perform(said));
        Ok(())
    }

    async fn hear(&mut self, next: Next) -> Result<(), StoreError> {
        let Up { kind, payload, receipt } = match next {
            Next::Other(up) => up,
            Next::Batch(read, receipt) => {
                let is_batch = match read {
                    Some(read) => self.take(read).await?,
                    None => true,
                };
                match is_batch {
                    true => receipt.acknowledge(),
                    false => receipt.refuse(RefusalReason::PayloadFormatInvalid),
                }
                return Ok(());
            }
        };
        self.note(kind, &payload).await?;
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
            self.greet(*hello).await?;
        }
        receipt.acknowledge();
        Ok(())
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

    /// Notes that the site was heard, and what it said of itself. Nothing hangs on it but what people are shown.
    async fn note(&mut self, kind: Kind, payload: &[u8]) -> Result<(), StoreError> {
        let hello = match kind {
            Kind::Status => Status::from_bytes(payload).ok(),
            _ => None,
        };
        let hello = hello.and_then(|status| match status {
            Status::Online(hello) if hello.site == self.site => serde_json::to_string(&hello).ok(),
            _ => None,
        });
        let mono = self.clock.mono();
        let is_new = self.noted_at.is_none_or(|at| mono.ms_since(at) >= NOTE_MS);
        if hello.is_none() && !(is_new && kind == Kind::Ping) {
            return Ok(());
        }
        self.noted_at = Some(mono);
        let (site, now) = (self.site.clone(), self.clock.wall());
        let noted = self.db.write(move |tx| sites::heard(tx, &site, hello.as_deref(), now));
        match noted.await {
            Err(error) if error.is_transient() => {
                tracing::warn!(site = %self.site, "{error}");
                Ok(())
            }
            noted => noted,
        }
    }

    /// Takes a batch; whether it was one.
    async fn take(&mut self, read: JoinHandle<Result<Read, Malformed>>) -> Result<bool, StoreError> {
        let read = match read.await.map_err(|error| StoreError::Broken(error.to_string()))? {
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
                Ok((Ok(effect), core)) => {
                    self.core = Some(core);
                    effect.into_iter().for_each(|effect| self.perform(effect));
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

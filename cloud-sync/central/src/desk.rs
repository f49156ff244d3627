//! One site's desk at head office: it takes what the site says, one after the other, and answers. Batches are acknowledged
//! once they are on disk, and not before.

use crate::{
    door::Up,
    front::ToSites,
    ingest::{Read, SiteCopy, Taken, take},
    store::{Db, StoreError, journal, sites},
};
use broker::{Receipt, RefusalReason};
use domain::{
    ids::SiteId,
    journal::Head,
    time::{Mono, Wall},
};
use protocol::{
    frame::{Ack, HqEpoch, Malformed, Nonce, Pong, State, Tail},
    key::SigningKey,
    status::{Hello, Status},
    topic::Kind,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};

/// The least time between two acknowledgements of batches, in milliseconds, unless half a window waits for one.
const ACK_MS: u64 = 500;
/// Batches that are acknowledged at once: half of what a site has on the way.
const ACK_BATCHES: u32 = 8;
/// How often it is noted that a site was heard, in milliseconds: each time is a commit.
const HEARD_MS: u64 = 60_000;
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

/// What a site has said, and is next.
enum Next {
    /// A batch that is being read.
    Batch(JoinHandle<Result<Read, Malformed>>, Receipt),
    /// Anything else.
    Other(Up),
}

/// One site's desk.
pub struct Desk {
    office: Arc<Office>,
    clock: Arc<dyn Clock>,
    db: Db,
    site: SiteId,
    to_sites: ToSites,
    /// None while it is with the database, or has to be loaded anew.
    copy: Option<SiteCopy>,
    /// It was found since this process began that nothing beyond the head can be taken.
    stands_still: bool,
    /// When it was last noted that the site was heard.
    heard_at: Option<Mono>,
    acked_at: Mono,
    /// Batches that were taken since.
    unacked: u32,
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
            copy: None,
            stands_still: false,
            heard_at: None,
            acked_at: Mono(0),
            unacked: 0,
        }
    }

    /// Takes what the site says until nobody can say anything any more, or another process goes on with the site.
    ///
    /// # Errors
    /// [`StoreError`] that does not go away by itself.
    pub async fn run(mut self, mut says: mpsc::Receiver<Up>) -> Result<(), StoreError> {
        // A site that is connected already goes on from here at once.
        self.ack(Nonce::NONE).await?;
        let mut ahead = VecDeque::with_capacity(AHEAD);
        loop {
            while ahead.len() < AHEAD
                && let Ok(up) = says.try_recv()
            {
                ahead.push_back(self.begin(up).await?);
            }
            let due = Duration::from_millis(self.acked_at.after_ms(ACK_MS).ms_since(self.clock.mono()));
            let waits = self.unacked > 0;
            if let Some(next) = ahead.pop_front() {
                if waits && due.is_zero() {
                    self.ack(Nonce::NONE).await?;
                }
                self.hear(next).await?;
                continue;
            }
            tokio::select! {
                up = says.recv() => match up {
                    None => return Ok(()),
                    Some(up) => ahead.push_back(self.begin(up).await?),
                },
                () = tokio::time::sleep(due), if waits => drop(self.ack(Nonce::NONE).await?),
            }
        }
    }

    /// Unpacking and reading a batch takes its time and needs no database.
    async fn begin(&mut self, up: Up) -> Result<Next, StoreError> {
        if up.kind != Kind::Journal {
            return Ok(Next::Other(up));
        }
        let Up { payload, receipt, .. } = up;
        let copy = self.copy().await?;
        let (site, keys) = (self.site.clone(), copy.site().keys.clone());
        self.copy = Some(copy);
        let read = tokio::task::spawn_blocking(move || Read::of(&payload, &site, &keys));
        Ok(Next::Batch(read, receipt))
    }

    async fn hear(&mut self, next: Next) -> Result<(), StoreError> {
        let Up { kind, payload, receipt } = match next {
            Next::Other(up) => up,
            Next::Batch(read, receipt) => {
                match self.batch(read).await? {
                    true => receipt.acknowledge(),
                    false => receipt.refuse(RefusalReason::PayloadFormatInvalid),
                }
                return Ok(());
            }
        };
        match kind {
            Kind::Status => match Status::from_bytes(&payload) {
                Ok(Status::Online(hello)) if hello.site == self.site => {
                    self.heard(Some(&hello)).await?;
                    self.greet(*hello).await?;
                }
                Ok(Status::Offline { .. }) => tracing::info!(site = %self.site, "site went away"),
                Ok(Status::Online(hello)) => tracing::warn!(site = %self.site, "it says that it is {}", hello.site),
                Err(error) => tracing::warn!(site = %self.site, "its status cannot be read: {error}"),
            },
            Kind::Ping => {
                if let Ok(nonce) = payload.try_into() {
                    let (nonce, now) = (Nonce(nonce), self.clock.wall());
                    let pong = Pong { nonce, now }.to_bytes(&self.site, &self.office.key);
                    self.to_sites.send(&self.site, Kind::Pong, pong);
                }
                self.heard(None).await?;
            }
            // Nobody has asked, and nobody watches.
            Kind::Answer | Kind::Live => {}
            Kind::Journal | Kind::Ack | Kind::Tail | Kind::Ask | Kind::Watch | Kind::Pong => {}
        }
        receipt.acknowledge();
        Ok(())
    }

    /// Notes that it was heard, and what it said of itself. Nothing hangs on it but what people are shown.
    async fn heard(&mut self, hello: Option<&Hello>) -> Result<(), StoreError> {
        let mono = self.clock.mono();
        if hello.is_none() && self.heard_at.is_some_and(|at| mono.ms_since(at) < HEARD_MS) {
            return Ok(());
        }
        self.heard_at = Some(mono);
        let hello = hello.map(serde_json::to_string).transpose();
        let hello = hello.map_err(|error| StoreError::Broken(error.to_string()))?;
        let (site, now) = (self.site.clone(), self.clock.wall());
        let noted = self.db.write(move |tx| sites::heard(tx, &site, hello.as_deref(), now));
        match noted.await {
            Err(error) if error.is_transient() => Ok(tracing::warn!(site = %self.site, "{error}")),
            noted => noted,
        }
    }

    /// A hello is answered by how far head office is, under its number; and where the site was restored from a copy, by the
    /// next entries that it lost.
    async fn greet(&mut self, hello: Hello) -> Result<(), StoreError> {
        if hello.protocol != protocol::VERSION {
            let theirs = hello.protocol;
            tracing::error!(site = %self.site, "it speaks version {theirs} of the line, and this is {}", protocol::VERSION);
            return Ok(());
        }
        let head = self.ack(hello.nonce).await?;
        if hello.recovering && hello.head.seq < head.seq {
            self.hand_back(hello.head).await?;
        }
        Ok(())
    }

    /// Hands back the entries after this place, a batch of them.
    async fn hand_back(&mut self, after: Head) -> Result<(), StoreError> {
        let copy = self.copy().await?;
        let (site, branch) = (copy.site().id.clone(), copy.site().branch);
        self.copy = Some(copy);
        let found = self
            .db
            .read(move |tx| journal::after(tx, &site, branch, after.seq, 1))
            .await?;
        let Some(batch) = found.into_iter().next() else {
            return Ok(());
        };
        let rest = match batch.before() == after {
            true => batch,
            false => match crate::ingest::rest_after(&batch, after) {
                Ok(Some(rest)) => rest,
                Ok(None) => {
                    tracing::error!(site = %self.site, "its copy holds another journal up to entry {}", after.seq);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        tracing::info!(site = %self.site, "entries {} to {} are handed back", rest.first, rest.last());
        let tail = Tail(rest).to_bytes(&self.site, &self.office.key);
        self.to_sites.send(&self.site, Kind::Tail, tail);
        Ok(())
    }

    /// Takes a batch; whether it was one.
    async fn batch(&mut self, read: JoinHandle<Result<Read, Malformed>>) -> Result<bool, StoreError> {
        if self.stands_still {
            self.unacked += 1;
            return Ok(true);
        }
        let read = match read.await.map_err(|error| StoreError::Broken(error.to_string()))? {
            Ok(read) => Arc::new(read),
            Err(error) => {
                tracing::warn!(site = %self.site, "a batch is refused: {error}");
                // The site may have been enrolled anew since its keys were read.
                self.copy = None;
                return Ok(false);
            }
        };
        let taken = loop {
            let copy = self.copy().await?;
            let (me, now, read) = (self.office.process.clone(), self.clock.wall(), Arc::clone(&read));
            let done = self.db.write(move |tx| {
                let mut copy = copy;
                let taken = take(tx, &me, &mut copy, &read, now)?;
                Ok((taken, copy))
            });
            match done.await {
                Ok((taken, copy)) => {
                    self.copy = Some(copy);
                    break taken;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(site = %self.site, "{error}; it is tried again");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        };
        self.unacked += 1;
        match taken {
            Taken::Followed if self.unacked < ACK_BATCHES => {}
            Taken::Followed | Taken::Gap => drop(self.ack(Nonce::NONE).await?),
            Taken::Stopped { state, why } => {
                tracing::error!(site = %self.site, state = state.word(), "its journal is not followed any more: {why}");
                self.stands_still = true;
                self.ack(Nonce::NONE).await?;
            }
        }
        Ok(true)
    }

    /// Says how far head office is.
    async fn ack(&mut self, nonce: Nonce) -> Result<Head, StoreError> {
        let copy = self.copy().await?;
        let (head, state) = (copy.site().head, copy.site().state);
        self.copy = Some(copy);
        let ack = Ack {
            hq_epoch: self.office.hq_epoch,
            // What an earlier process found is looked at again.
            state: if self.stands_still { state } else { State::Following },
            head,
            nonce,
        };
        (self.acked_at, self.unacked) = (self.clock.mono(), 0);
        self.to_sites
            .send(&self.site, Kind::Ack, ack.to_bytes(&self.site, &self.office.key));
        Ok(head)
    }

    /// The copy, from the database if need be.
    async fn copy(&mut self) -> Result<SiteCopy, StoreError> {
        if let Some(copy) = self.copy.take() {
            return Ok(copy);
        }
        loop {
            let site = self.site.clone();
            let loaded = self.db.read(move |tx| {
                let found = sites::find(tx, &site)?;
                let found = found.ok_or_else(|| StoreError::Broken(format!("there is no site {site}")))?;
                SiteCopy::load(tx, found)
            });
            match loaded.await {
                Err(error) if error.is_transient() => tokio::time::sleep(RETRY).await,
                loaded => return loaded,
            }
        }
    }
}

//! One site's desk at head office: it takes what the site says, one after the other, and answers. Batches are acknowledged
//! once they are on disk, and not before.

use crate::{
    door::Up,
    front::ToSites,
    ingest::{Read, SiteCopy, Taken, take},
    store::{Db, StoreError, journal, sites},
};
use broker::RefusalReason;
use domain::{
    ids::SiteId,
    journal::Head,
    time::{Mono, Wall},
};
use protocol::{
    frame::{Ack, HqEpoch, Nonce, Pong, State, Tail},
    key::SigningKey,
    status::{Hello, Status},
    topic::Kind,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The least time between two acknowledgements of batches, in milliseconds, unless half a window waits for one.
const ACK_MS: u64 = 1_000;
/// Batches that are acknowledged at once: half of what a site has on the way.
const ACK_BATCHES: u32 = 8;
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
    copy: Option<SiteCopy>,
    /// It was found since this process began that nothing beyond the head can be taken.
    stands_still: bool,
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
        loop {
            let waits = self.unacked > 0;
            let due = Duration::from_millis(self.acked_at.after_ms(ACK_MS).ms_since(self.clock.mono()));
            tokio::select! {
                up = says.recv() => match up {
                    None => return Ok(()),
                    Some(up) => self.hear(up).await?,
                },
                () = tokio::time::sleep(due), if waits => drop(self.ack(Nonce::NONE).await?),
            }
        }
    }

    async fn hear(&mut self, up: Up) -> Result<(), StoreError> {
        let Up { kind, payload, receipt } = up;
        match kind {
            Kind::Status => match Status::from_bytes(&payload) {
                Ok(Status::Online(hello)) if hello.site == self.site => self.greet(*hello).await?,
                Ok(Status::Offline { .. }) => tracing::info!(site = %self.site, "site went away"),
                Ok(Status::Online(hello)) => tracing::warn!(site = %self.site, "it says that it is {}", hello.site),
                Err(error) => tracing::warn!(site = %self.site, "its status cannot be read: {error}"),
            },
            Kind::Journal => {
                if !self.batch(payload).await? {
                    receipt.refuse(RefusalReason::PayloadFormatInvalid);
                    return Ok(());
                }
            }
            Kind::Ping => {
                if let Ok(nonce) = payload.try_into() {
                    let (nonce, now) = (Nonce(nonce), self.clock.wall());
                    let pong = Pong { nonce, now }.to_bytes(&self.site, &self.office.key);
                    self.to_sites.send(&self.site, Kind::Pong, pong);
                }
            }
            // Nobody has asked, and nobody watches.
            Kind::Answer | Kind::Live => {}
            Kind::Ack | Kind::Tail | Kind::Ask | Kind::Watch | Kind::Pong => {}
        }
        receipt.acknowledge();
        Ok(())
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
    async fn batch(&mut self, bytes: Vec<u8>) -> Result<bool, StoreError> {
        let copy = self.copy().await?;
        let site = self.site.clone();
        let keys = copy.site().keys.clone();
        if self.stands_still {
            self.copy = Some(copy);
            self.unacked += 1;
            return Ok(true);
        }
        self.copy = Some(copy);
        // Unpacking and reading takes as long as following, and needs no database.
        let read = tokio::task::spawn_blocking(move || Read::of(&bytes, &site, &keys));
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

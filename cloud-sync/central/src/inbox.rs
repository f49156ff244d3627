//! The mini-program's back end is told of each member's events in their order, by whichever process claims them, until it has
//! taken them or they are dead letters. A process that is killed between sending and noting it sends once more: the id is the
//! same, so that whoever gets it twice knows. One member's event that is not taken holds up that member alone.

use crate::{
    api::dto::inbox::WebhookEvent,
    desk::Clock,
    retry::Pauses,
    store::{
        Db, StoreError,
        inbox::{self, Claimed},
    },
    webhook::Webhook,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{sync::Arc, time::Duration};

/// How often it is looked for events that are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Members that are told at once.
const AT_ONCE: usize = 16;
/// How many events of one member are sent at a look: others wait for their turn.
const RUN_MAX: usize = 16;
/// For how long a process has an event to itself, in milliseconds: longer than sending it can take.
const CLAIM_MS: i64 = 120_000;
/// Pauses from 5 seconds to 15 minutes: back again after a day, the back end is told within that of everything.
const FIRST_MS: i64 = 5_000;
const LONGEST_MS: i64 = 15 * 60_000;

/// Tells the back end.
pub struct Delivery {
    /// The database.
    pub db: Db,
    /// Head office's clock.
    pub clock: Arc<dyn Clock>,
    /// Where it is told.
    pub webhook: Webhook,
    /// For how long an event is tried, in milliseconds, before it is a dead letter.
    pub tried_ms: i64,
}

impl Delivery {
    /// Goes on until the future is dropped.
    pub async fn run(self) {
        let mut has_begun = false;
        loop {
            let done = match has_begun {
                false => self.begin().await.map(|()| has_begun = true),
                true => self.look().await.map(drop),
            };
            if let Err(error) = done {
                tracing::warn!("the mini-program cannot be told now: {error}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// There is a back end from now on: of what was before the first time it is not told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&self) -> Result<(), StoreError> {
        let now = self.clock.wall();
        self.db.write(move |tx| inbox::begin(tx, now)).await
    }

    /// Sends what is due until nothing is; how many events were taken. Whoever does not answer keeps one place of [`AT_ONCE`] and nobody
    /// else waiting: the others are looked for meanwhile.
    ///
    /// # Errors
    /// [`StoreError`], once what is under way has ended.
    pub async fn look(&self) -> Result<usize, StoreError> {
        let (mut taken, mut failed) = (0, None);
        let mut runs = FuturesUnordered::new();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut is_time = true;
        loop {
            // Several are claimed at a time: it is a transaction of its own.
            if failed.is_none() && (is_time || runs.len() <= AT_ONCE / 2) {
                match self.claim(AT_ONCE - runs.len()).await {
                    Ok(claimed) => runs.extend(claimed.into_iter().map(|claimed| self.send_run(claimed))),
                    Err(error) => failed = Some(error),
                }
            }
            is_time = false;
            tokio::select! {
                run = runs.next() => match run {
                    Some(Ok(sent)) => taken += sent,
                    Some(Err(error)) => failed = Some(error),
                    None => return failed.map_or(Ok(taken), Err),
                },
                _ = looks.tick() => is_time = true,
            }
        }
    }

    /// So many events that are due, if there are any, for this process alone.
    async fn claim(&self, most: usize) -> Result<Vec<Claimed>, StoreError> {
        let now = self.clock.wall();
        // As a rule there is nothing, and nobody is kept waiting for that.
        if most == 0 || !self.db.read(move |tx| inbox::is_due(tx, now)).await? {
            return Ok(Vec::new());
        }
        let until = now.after_ms(CLAIM_MS);
        self.db.write(move |tx| inbox::claim(tx, now, until, most as u64)).await
    }

    /// Sends an event, and those of its member after it as long as they are taken; how many were.
    async fn send_run(&self, first: Claimed) -> Result<usize, StoreError> {
        let (mut next, mut taken) = (Some(first), 0);
        while let Some(claimed) = next {
            let is_taken;
            (next, is_taken) = self.send(claimed, taken + 1 < RUN_MAX).await?;
            taken += usize::from(is_taken);
        }
        Ok(taken)
    }

    /// Sends an event and notes what came of it: the member's next one, where this process goes on with it, and whether it was taken.
    async fn send(&self, claimed: Claimed, goes_on: bool) -> Result<(Option<Claimed>, bool), StoreError> {
        let event = &claimed.told.event;
        let body = serde_json::to_string(&WebhookEvent::from(&claimed.told));
        let body = body.map_err(|error| StoreError::Broken(error.to_string()))?;
        let began_at = self.clock.wall();
        let sent = self.webhook.send(&event.id, &body, began_at).await;
        let now = self.clock.wall();
        let since = claimed.tried_since.unwrap_or(began_at);
        let pauses = Pauses {
            first_ms: FIRST_MS,
            longest_ms: LONGEST_MS,
            tried_ms: self.tried_ms,
        };
        let noted = self.db.write(move |tx| match sent {
            Ok(()) => {
                let until = goes_on.then(|| now.after_ms(CLAIM_MS));
                Ok((inbox::taken(tx, &claimed, until)?, true))
            }
            Err(not) => {
                let id = &claimed.told.event.id;
                let again = pauses.again_at(since, claimed.tries, now).filter(|_| !not.for_good);
                let why = not.why;
                match again {
                    Some(at) => {
                        tracing::warn!("event {id}: {why}; it is sent again at {at}");
                        inbox::later(tx, &claimed, since, at)?;
                    }
                    None => {
                        tracing::error!("event {id}: {why}; it is a dead letter, see GET /v1/webhooks/dead");
                        inbox::dead(tx, &claimed, &why, now)?;
                    }
                }
                Ok((None, false))
            }
        });
        noted.await
    }
}

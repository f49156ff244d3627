//! Channels and sites are reconciled by themselves: at 01:00 by their clocks the day that is over, and again whenever a bill or a day's
//! journal has come in, the channel was changed, or a run was cut off; after any time that nobody looked, everything since.

use super::{
    funds::{NotRun, Reconciler, scope_of},
    payouts::{self, Payouts},
    sites::{self, Sites},
};
use crate::store::{
    StoreError, Tx,
    bills::{last_trade_day, which_trades},
    channel_settings,
    channels::{self, Channel},
    jobs::{self, Job},
    reconcile_runs as runs,
};
use domain::time::{Day, Wall};
use std::sync::Arc;

/// The kind of the work in the database; its key is the scope.
pub const KIND: &str = "reconcile";
/// What came of it where control totals do not close: people are told of it.
pub const DOES_NOT_CLOSE: &str = "does_not_close";
/// By whom runs are made that nobody asked for.
const BY: &str = "head office";
/// How many days after its last bill a channel is reconciled by itself: a clock that is years ahead makes no years of days.
const DAYS_MAX: i32 = 31;
/// For how long a process has a channel to itself, in milliseconds: longer than some days can take.
const CLAIM_MS: i64 = 1_800_000;
/// When it is tried again that failed, in milliseconds.
const RETRY_MS: i64 = 300_000;

/// What is to be done of a channel by itself: up to which day, and a word for all that it goes by. Another word is other work.
#[derive(Debug)]
struct Work {
    to: Day,
    goes_by: String,
    /// Days that have no run: new ones, and those of a run that was cut off.
    lacking: i64,
}

impl Work {
    fn of(tx: &mut dyn Tx, channel: &Channel, now: Wall) -> Result<Option<Self>, StoreError> {
        if channel.bills.is_none() {
            return Ok(None);
        }
        let Some(settings) = channel_settings::load(tx, channel)? else {
            return Ok(None);
        };
        let (scope, setting) = (scope_of(&channel.name), settings.last());
        let from = runs::last_final(tx, &scope)?.map_or(settings.first(), |last| last.plus(1));
        let known = last_trade_day(tx, &channel.name)?.map_or(settings.first(), |last| last.max(settings.first()));
        let to = settings.due(now).min(known.plus(DAYS_MAX));
        if to < settings.first() {
            return Ok(None);
        }
        let days = super::days::apart(from, to) + 1;
        let goes_by = format!(
            "{to} {} {} {} {} {}",
            which_trades(tx, &channel.name)?,
            setting.from,
            setting.zone.name(),
            setting.fee_ppm,
            setting.settle_days
        );
        Ok(Some(Self {
            to,
            goes_by,
            lacking: days.max(0) - runs::count(tx, &scope, from, to)?,
        }))
    }

    fn word(&self) -> String {
        match self.lacking {
            0 => self.goes_by.clone(),
            some => format!("{} {some}", self.goes_by),
        }
    }
}

/// Reconciles channels by themselves.
#[derive(Clone)]
pub struct Nightly(pub Reconciler);

impl Nightly {
    /// Reconciles what is due, once; how many days were done.
    ///
    /// # Errors
    /// [`StoreError`]: what is due cannot be looked up. Of a single channel it is logged.
    pub async fn look(&self) -> Result<usize, StoreError> {
        let channels = self.channels().await?;
        // What is paid out is held against days that are done.
        let payouts = self.payouts().await?;
        Ok(channels + payouts + self.sites().await?)
    }

    async fn channels(&self) -> Result<usize, StoreError> {
        let now = self.0.clock.wall();
        let due = self.0.db.read(move |tx| {
            let jobs = jobs::all(tx, KIND)?;
            let mut due = Vec::new();
            for channel in channels::all(tx)? {
                if let Some(work) = Work::of(tx, &channel, now)?
                    && is_due(&jobs, &scope_of(&channel.name), &work.word(), now)
                {
                    due.push((channel.name, work));
                }
            }
            Ok(due)
        });
        let mut days = 0;
        for (channel, work) in due.await? {
            // Once it is done nothing of it lacks any more.
            let (word, done_for, to) = (work.word(), work.goes_by, work.to);
            let done = self.0.catch_up(&channel, to, BY);
            days += self.claimed(scope_of(&channel), (word, done_for), done).await?;
        }
        Ok(days)
    }

    async fn payouts(&self) -> Result<usize, StoreError> {
        let now = self.0.clock.wall();
        let due = self.0.db.read(move |tx| {
            let jobs = jobs::all(tx, KIND)?;
            let mut due = payouts::due(tx, now)?;
            due.retain(|(channel, word)| is_due(&jobs, &payouts::scope_of(channel), word, now));
            Ok(due)
        });
        let payouts = Payouts {
            db: self.0.db.clone(),
            clock: Arc::clone(&self.0.clock),
        };
        let mut days = 0;
        for (channel, word) in due.await? {
            let done = payouts.catch_up(&channel, BY);
            days += self
                .claimed(payouts::scope_of(&channel), (word.clone(), word), done)
                .await?;
        }
        Ok(days)
    }

    async fn sites(&self) -> Result<usize, StoreError> {
        let now = self.0.clock.wall();
        let due = self.0.db.read(move |tx| {
            let jobs = jobs::all(tx, KIND)?;
            let mut due = sites::due(tx, now)?;
            due.retain(|(site, word)| is_due(&jobs, &sites::scope_of(site), word, now));
            Ok(due)
        });
        let sites = Sites {
            db: self.0.db.clone(),
            clock: Arc::clone(&self.0.clock),
        };
        let mut days = 0;
        for (site, word) in due.await? {
            let done = sites.catch_up(&site, BY);
            days += self.claimed(sites::scope_of(&site), (word.clone(), word), done).await?;
        }
        Ok(days)
    }

    /// Does work, unless somebody else is at it; how many days were done. What it is claimed for, and what it is done for then.
    async fn claimed(
        &self,
        scope: String,
        (word, done_for): (String, String),
        work: impl Future<Output = Result<usize, NotRun>>,
    ) -> Result<usize, StoreError> {
        let (key, now) = (scope.clone(), self.0.clock.wall());
        let claim = move |tx: &mut dyn Tx| jobs::claim(tx, KIND, &key, &word, now, now.after_ms(CLAIM_MS));
        if !self.0.db.write(claim).await? {
            return Ok(0);
        }
        let done = work.await;
        let (key, now) = (scope.clone(), self.0.clock.wall());
        match done {
            Ok(days) => {
                let noted = move |tx: &mut dyn Tx| jobs::done(tx, KIND, &key, Some(&done_for), "done", now);
                self.0.db.write(noted).await?;
                Ok(days)
            }
            Err(error) => {
                let is_wrong = matches!(error, NotRun::DoesNotClose { .. });
                match is_wrong {
                    true => tracing::error!(scope, "it is not reconciled: {error}"),
                    false => tracing::warn!(scope, "it is reconciled later: {error}"),
                }
                let later = move |tx: &mut dyn Tx| {
                    if is_wrong {
                        jobs::done(tx, KIND, &key, None, DOES_NOT_CLOSE, now)?;
                    }
                    jobs::later(tx, KIND, &key, now.after_ms(RETRY_MS))
                };
                self.0.db.write(later).await?;
                Ok(0)
            }
        }
    }
}

fn is_due(jobs: &[Job], scope: &str, work: &str, now: Wall) -> bool {
    let job = jobs.iter().find(|job| job.key == scope);
    job.is_none_or(|job| {
        let is_past = |at| jobs::is_past(at, now);
        job.done.as_deref() != Some(work) && is_past(job.due_at) && is_past(job.claimed_until)
    })
}

//! Channels and sites are reconciled by themselves: at 01:00 by their clocks the day that is over, and again whenever a bill or a day's
//! journal has come in, the channel was changed, or a run was cut off; after any time that nobody looked, everything since.

use super::{
    funds::{NotRun, Reconciler, scope_of},
    payouts::Payouts,
    sites::{Sites, due},
};
use crate::store::{
    StoreError, Tx,
    bills::{last_trade_day, which_trades},
    channel_settings,
    channels::{self, Channel},
    jobs::{self, Job},
    payouts, reconcile_runs as runs,
};
use domain::time::{Day, Wall};
use std::{sync::Arc, time::Duration};

/// The kind of the work in the database; its key is the channel.
pub const KIND: &str = "reconcile";
/// The same of sites; its key is the site.
pub const OF_SITES: &str = "reconcile_site";
/// What came of it where control totals do not close: people are told of it.
pub const DOES_NOT_CLOSE: &str = "does_not_close";
/// By whom runs are made that nobody asked for.
const BY: &str = "head office";
/// How many days after its last bill a channel is reconciled by itself: a clock that is years ahead makes no years of days.
const DAYS_MAX: i32 = 31;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
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
            "{to} {} {} {} {} {} {}",
            which_trades(tx, &channel.name)?,
            payouts::known(tx, &channel.name)?,
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
    /// Goes on until the future is dropped.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!("which channels are to be reconciled cannot be looked up: {error}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Reconciles what is due, once; how many days were done.
    ///
    /// # Errors
    /// [`StoreError`]: what is due cannot be looked up. Of a single channel it is logged.
    pub async fn look(&self) -> Result<usize, StoreError> {
        let now = self.0.clock.wall();
        let due = self.0.db.read(move |tx| {
            let jobs = jobs::all(tx, KIND)?;
            let mut due = Vec::new();
            for channel in channels::all(tx)? {
                let job = jobs.iter().find(|job| job.key == channel.name);
                if let Some(work) = Work::of(tx, &channel, now)?
                    && is_due(job, &work.word(), now)
                {
                    due.push((channel, work));
                }
            }
            Ok(due)
        });
        let mut days = 0;
        for (channel, work) in due.await? {
            days += self.channel(channel, work).await?;
        }
        Ok(days + self.sites().await?)
    }

    /// Reconciles the sites that are due, once.
    async fn sites(&self) -> Result<usize, StoreError> {
        let now = self.0.clock.wall();
        let found = self.0.db.read(move |tx| {
            let jobs = jobs::all(tx, OF_SITES)?;
            let mut found = due(tx, now)?;
            found.retain(|(site, word)| is_due(jobs.iter().find(|job| job.key == site.as_str()), word, now));
            Ok(found)
        });
        let sites = Sites {
            db: self.0.db.clone(),
            clock: Arc::clone(&self.0.clock),
        };
        let mut days = 0;
        for (site, word) in found.await? {
            let (key, of, now) = (site.to_string(), word.clone(), self.0.clock.wall());
            let claim = move |tx: &mut dyn Tx| jobs::claim(tx, OF_SITES, &key, &of, now, now.after_ms(CLAIM_MS));
            if !self.0.db.write(claim).await? {
                continue;
            }
            let done = sites.catch_up(&site, BY).await;
            let (key, now) = (site.to_string(), self.0.clock.wall());
            match done {
                Ok(done) => {
                    days += done;
                    let noted = move |tx: &mut dyn Tx| jobs::done(tx, OF_SITES, &key, Some(&word), "done", now);
                    self.0.db.write(noted).await?;
                }
                Err(error) => {
                    let is_wrong = matches!(error, NotRun::DoesNotClose { .. });
                    match is_wrong {
                        true => tracing::error!(%site, "it is not reconciled: {error}"),
                        false => tracing::warn!(%site, "it is reconciled later: {error}"),
                    }
                    self.0
                        .db
                        .write(move |tx| left(tx, OF_SITES, &key, is_wrong, now))
                        .await?;
                }
            }
        }
        Ok(days)
    }

    /// A channel's days, and then what it has paid out of them.
    async fn days_of(&self, channel: &str, to: Day) -> Result<usize, NotRun> {
        let days = self.0.catch_up(channel, to, BY).await?;
        let payouts = Payouts {
            db: self.0.db.clone(),
            clock: Arc::clone(&self.0.clock),
        };
        Ok(days + payouts.catch_up(channel, BY).await?)
    }

    async fn channel(&self, channel: Channel, work: Work) -> Result<usize, StoreError> {
        let (name, now, of) = (channel.name.clone(), self.0.clock.wall(), work.word());
        let claim = move |tx: &mut dyn Tx| jobs::claim(tx, KIND, &name, &of, now, now.after_ms(CLAIM_MS));
        if !self.0.db.write(claim).await? {
            return Ok(0);
        }
        let done = self.days_of(&channel.name, work.to).await;
        let (name, now) = (channel.name, self.0.clock.wall());
        let days = match done {
            Ok(days) => days,
            Err(error) => {
                let is_wrong = matches!(error, NotRun::DoesNotClose { .. });
                match is_wrong {
                    true => tracing::error!(channel = name, "it is not reconciled: {error}"),
                    false => tracing::warn!(channel = name, "it is reconciled later: {error}"),
                }
                self.0.db.write(move |tx| left(tx, KIND, &name, is_wrong, now)).await?;
                return Ok(0);
            }
        };
        // Nothing of it lacks any more.
        let done_for = work.goes_by;
        let noted = move |tx: &mut dyn Tx| jobs::done(tx, KIND, &name, Some(&done_for), "done", now);
        self.0.db.write(noted).await?;
        Ok(days)
    }
}

/// It could not be done: it is tried again later, and people are told where its totals do not close.
fn left(tx: &mut dyn Tx, kind: &str, key: &str, is_wrong: bool, now: Wall) -> Result<(), StoreError> {
    if is_wrong {
        jobs::done(tx, kind, key, None, DOES_NOT_CLOSE, now)?;
    }
    jobs::later(tx, kind, key, now.after_ms(RETRY_MS))
}

fn is_due(job: Option<&Job>, work: &str, now: Wall) -> bool {
    job.is_none_or(|job| {
        let is_past = |at| jobs::is_past(at, now);
        job.done.as_deref() != Some(work) && is_past(job.due_at) && is_past(job.claimed_until)
    })
}

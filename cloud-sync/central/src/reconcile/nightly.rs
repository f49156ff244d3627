//! Channels are reconciled by themselves: at 01:00 by their clocks the day that is over, and again whenever a bill has come in; after any
//! time that nobody looked, everything since.

use super::funds::{NotRun, Reconciler};
use crate::store::{
    StoreError,
    bills::which_trades,
    channels::{self, Channel},
    jobs::{self, Job},
};
use domain::time::{Day, Wall, Zone};
use std::time::Duration;

/// The kind of the work in the database; its key is the channel.
pub const KIND: &str = "reconcile";
/// The hour at which a day that is over is reconciled first (S05 §3).
const AT_HOUR: i8 = 1;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// For how long a process has a channel to itself, in milliseconds: longer than some days can take.
const CLAIM_MS: i64 = 1_800_000;
/// When it is tried again that failed, in milliseconds.
const RETRY_MS: i64 = 300_000;

/// The last day that is to be reconciled by now where the clocks are these: it is over, and it is 01:00.
pub fn last_due(zone: &Zone, now: Wall) -> Day {
    let today = zone.day_of(now);
    match now < zone.at(today, AT_HOUR) {
        true => today.plus(-2),
        false => today.plus(-1),
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
                if channel.bills.is_none() {
                    continue;
                }
                let zone = Zone::named(&channel.zone).map_err(StoreError::Broken)?;
                let (to, bills) = (last_due(&zone, now), which_trades(tx, &channel.name)?);
                // Another day, or another bill, is other work.
                let work = format!("{to} {bills}");
                let job = jobs.iter().find(|job| job.key == channel.name);
                if to >= zone.day_of(channel.made_at) && is_due(job, &work, now) {
                    due.push((channel, to, work));
                }
            }
            Ok(due)
        });
        let mut days = 0;
        for (channel, to, work) in due.await? {
            days += self.channel(channel, to, work).await?;
        }
        Ok(days)
    }

    async fn channel(&self, channel: Channel, to: Day, work: String) -> Result<usize, StoreError> {
        let (name, now, of) = (channel.name.clone(), self.0.clock.wall(), work.clone());
        let claim = move |tx: &mut dyn crate::store::Tx| jobs::claim(tx, KIND, &name, &of, now, now.after_ms(CLAIM_MS));
        if !self.0.db.write(claim).await? {
            return Ok(0);
        }
        let done = self.0.catch_up(&channel.name, to, "head office").await;
        let (name, now) = (channel.name, self.0.clock.wall());
        let days = match done {
            Ok(days) => days,
            Err(error) => {
                match error {
                    NotRun::DoesNotClose { .. } => tracing::error!(channel = name, "it is not reconciled: {error}"),
                    _ => tracing::warn!(channel = name, "it is reconciled later: {error}"),
                }
                let later = move |tx: &mut dyn crate::store::Tx| jobs::later(tx, KIND, &name, now.after_ms(RETRY_MS));
                self.0.db.write(later).await?;
                return Ok(0);
            }
        };
        let noted = move |tx: &mut dyn crate::store::Tx| jobs::done(tx, KIND, &name, Some(&work), "done", now);
        self.0.db.write(noted).await?;
        Ok(days)
    }
}

fn is_due(job: Option<&Job>, work: &str, now: Wall) -> bool {
    job.is_none_or(|job| {
        let is_past = |at| jobs::is_past(at, now);
        job.done.as_deref() != Some(work) && is_past(job.due_at) && is_past(job.claimed_until)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_due_at_one_o_clock_where_the_channel_is() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let due = |at: &str| last_due(&zone, Wall::parse(at).unwrap()).to_string();
        assert_eq!(
            due("2026-03-30T22:59:59Z"),
            "2026-03-29",
            "00:59:59 there: the day before is over, and not due yet"
        );
        assert_eq!(due("2026-03-30T23:00:00Z"), "2026-03-30");
        assert_eq!(due("2026-03-31T21:59:59Z"), "2026-03-30");
    }
}

//! When the station forgets what is over: a small step at a time, between two batches, while its clock is trusted.

use crate::{
    config::Retention,
    store::{Limits, Pass, Store, StoreError},
};
use domain::{
    ids::Outlet,
    site::Site,
    time::{Now, Wall},
};
use std::{
    cell::OnceCell,
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// How long after one step the next is made, while there is something to do.
const STEP_EVERY: Duration = Duration::from_secs(1);
/// How long after a pass through everything the next begins.
const PASS_EVERY: Duration = Duration::from_secs(600);
const DAY_MS: i64 = 86_400_000;

/// How far forgetting has come.
#[derive(Debug)]
pub(crate) struct Forgetting {
    keep: Retention,
    pass: Pass,
    due: Instant,
}

impl Forgetting {
    pub(crate) fn new(keep: Retention) -> Self {
        Self {
            keep,
            pass: Pass::default(),
            // A start has enough to do.
            due: Instant::now() + STEP_EVERY,
        }
    }

    /// How long until the next step.
    pub(crate) fn wait(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Makes a step if it is time for one. Nothing of a batch may be in memory that is not on disk.
    ///
    /// # Errors
    /// As [`Store::prune`].
    pub(crate) fn step(&mut self, store: &Store, site: &Site, now: Now) -> Result<(), StoreError> {
        if !self.wait().is_zero() {
            return Ok(());
        }
        // By a clock that may be months off, nothing is old.
        let more = site.clock_trusted() && {
            let days_ago = |days: u32| now.wall.after_ms(-i64::from(days) * DAY_MS);
            let limits = Limits {
                facts_before: days_ago(self.keep.days),
                samples_before: days_ago(self.keep.samples_days),
                until_acknowledged: self.keep.until_acknowledged,
            };
            let open = OnceCell::new();
            store.prune(&mut self.pass, limits, |outlet, at| {
                let sessions = open.get_or_init(|| open_sessions(site)).get(outlet);
                sessions.is_some_and(|sessions| sessions.iter().any(|session| session.contains(&at)))
            })?
        };
        self.due = Instant::now() + if more { STEP_EVERY } else { PASS_EVERY };
        Ok(())
    }
}

/// From when to when the curve of each open order is, by connector.
fn open_sessions(site: &Site) -> BTreeMap<Outlet, Vec<RangeInclusive<Wall>>> {
    let mut sessions: BTreeMap<Outlet, Vec<RangeInclusive<Wall>>> = BTreeMap::new();
    for order in site.rows().orders() {
        sessions.entry(order.outlet.clone()).or_default().push(order.reported());
    }
    sessions
}

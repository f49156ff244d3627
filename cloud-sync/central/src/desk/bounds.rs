//! What the desks of a process have in common: room for what is unpacked, and counts of what was refused.

use domain::ids::SiteId;
use protocol::frame::Malformed;
use service::http::metrics::{Counters, Metric};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of unpacked batches that all desks together may have in memory: several of the longest steps, and hundreds of ordinary
/// batches.
const UNPACKED_MAX: usize = 256 * 1024 * 1024;
const KIB: usize = 1_024;

/// What the desks of a process have in common.
#[derive(Debug, Default)]
pub struct Bounds {
    /// Where batches are unpacked.
    pub room: Room,
    /// What was refused.
    pub refused: Refused,
}

/// Room for unpacked batches, over all sites: those of many that come at once wait for each other.
#[derive(Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    whole: usize,
}

/// A batch's place; dropping it gives it back.
pub type Place = OwnedSemaphorePermit;

impl Default for Room {
    fn default() -> Self {
        Self::of(UNPACKED_MAX)
    }
}

impl Room {
    /// Room for so many bytes. One batch always fits.
    pub fn of(bytes: usize) -> Self {
        let whole = bytes.div_ceil(KIB).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(whole)),
            whole,
        }
    }

    fn parts(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(KIB).clamp(1, self.whole)).unwrap_or(u32::MAX)
    }

    /// A place for so many bytes, if there is one now.
    pub fn try_take(&self, bytes: usize) -> Option<Place> {
        Arc::clone(&self.free).try_acquire_many_owned(self.parts(bytes)).ok()
    }

    /// Waits for one; none where nobody takes any more. Whoever has one already must not wait for another.
    pub async fn take(&self, bytes: usize) -> Option<Place> {
        Arc::clone(&self.free).acquire_many_owned(self.parts(bytes)).await.ok()
    }
}

/// How many batches were refused, by site and why.
#[derive(Debug, Default)]
pub struct Refused(Mutex<BTreeMap<(SiteId, &'static str), u64>>);

impl Refused {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<(SiteId, &'static str), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one.
    pub fn note(&self, site: &SiteId, why: &Malformed) {
        *self.counts().entry((site.clone(), word(why))).or_default() += 1;
    }
}

const fn word(why: &Malformed) -> &'static str {
    match why {
        Malformed::Kind { .. } => "kind",
        Malformed::Length(_) => "length",
        Malformed::TooLarge(_) => "too_large",
        Malformed::Value(_) => "value",
        Malformed::NotSigned(_) => "not_signed",
        Malformed::Packed(_) => "packed",
    }
}

impl Counters for Bounds {
    fn metrics(&self) -> Vec<Metric> {
        let help = "Batches that were refused because they are none of the site's, and why.";
        let of = |((site, why), count): (&(SiteId, &'static str), &u64)| {
            Metric::counter("holdfast_batches_refused_total", help, *count)
                .labelled("site", site.as_str())
                .labelled("why", *why)
        };
        self.refused.counts().iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_has_a_bound_over_all_and_one_always_fits() {
        let room = Room::of(10 * KIB);
        let first = room.try_take(6 * KIB).unwrap();
        assert!(room.try_take(5 * KIB).is_none());
        let second = room.try_take(4 * KIB - 1).unwrap();
        assert!(room.try_take(1).is_none());
        drop((first, second));
        let whole = room.try_take(1 << 30).unwrap();
        assert!(room.try_take(1).is_none());
        drop(whole);
        assert!(room.try_take(0).is_some());
    }
}

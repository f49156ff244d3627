//! A station that was restored from a copy and has a head office: nothing is journaled until what head office has beyond the copy
//! is back. What the daemon decides meanwhile *as if* is not simulated: to its piles this station is away until it goes on.

use super::{Time, World, disk::Disk, station};
use crate::seed::Seed;
use domain::{
    fact::WentOnAlone,
    ids::SiteId,
    journal::Head,
    time::{Mono, Now},
};
use edge::{
    clock::{Certain, Mark},
    store::{Store, StoreError, TailRefused},
};
use protocol::frame::Unpacked;

/// A station that is recovering.
pub(super) struct Recovering {
    pub(super) store: Store,
    disk: Disk,
    /// Where elapsed time stood then.
    mono: Mono,
    since: Time,
    certain: Option<Certain>,
}

type Checked<T> = Result<T, String>;

impl Recovering {
    /// From an image; none if the station on it is not recovering.
    fn on(image: &[u8], site: &SiteId, now: Time) -> Result<Option<Self>, StoreError> {
        let disk = Disk::with(image.to_vec());
        let store = Store::drawn_on(disk.clone(), site, Seed::for_part(now, site.as_str()))?;
        if store.reader()?.recovery()?.is_none() {
            return Ok(None);
        }
        let mark = store.recover()?.mark;
        Ok(Some(Self {
            store,
            disk,
            mono: mark.goes_on_at(),
            since: now,
            certain: mark.certain,
        }))
    }

    fn mark(&self, now: Time, clock_off_ms: i64) -> (Now, Mark) {
        let now = Now {
            mono: self.mono.after_ms(now - self.since),
            wall: station::wall(now, clock_off_ms),
        };
        let mark = Mark {
            mono: now.mono,
            wall: Some(now.wall),
            kernel_boot: None,
            kernel_uptime_ms: 0,
            certain: self.certain,
        };
        (now, mark)
    }
}

/// What becomes of a recovery by a word of head office's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// It waits for entries.
    Waits,
    /// The station goes on.
    Ended,
    /// Head office follows another journal than that of the copy, and does not know: its database is older than a person's decision.
    OfAnother,
}

impl World {
    /// The station on this image, if it is recovering.
    pub(super) fn recovers_on(&self, image: &[u8]) -> Checked<Option<Recovering>> {
        if self.head_office.is_none() {
            return Ok(None);
        }
        Recovering::on(image, &self.site, self.now)
            .map_err(|error| format!("the station does not start again: {error}"))
    }

    /// Head office hands entries back.
    pub(super) fn take_tail(&mut self, tail: &Unpacked) -> Result<Head, TailRefused> {
        let (now, off) = (self.now, self.physics.clock_off_ms);
        let recovering = self.recovering.as_mut().ok_or(TailRefused::NotRecovering)?;
        let followed = recovering.store.follow(tail, &recovering.mark(now, off).1)?;
        // Elapsed time goes on after the last entry.
        let passed = recovering.mono.after_ms(now - recovering.since);
        (recovering.mono, recovering.since) = (passed.max(followed.mono.after_ms(1)), now);
        Ok(followed.head)
    }

    /// Head office has nothing beyond this place.
    pub(super) fn end_recovery(&mut self, place: Head) -> Checked<Recovery> {
        let failed = |error: StoreError| format!("the recovery does not end: {error}");
        let (now, off) = (self.now, self.physics.clock_off_ms);
        let Some(recovering) = self.recovering.as_ref() else {
            return Ok(Recovery::Waits);
        };
        match recovering.store.reader().map_err(failed)?.has(place) {
            Ok(true) => {}
            Ok(false) => return Ok(Recovery::Waits),
            Err(StoreError::Journal(_)) => return Ok(Recovery::OfAnother),
            Err(error) => return Err(failed(error)),
        }
        let (at, mark) = recovering.mark(now, off);
        recovering.store.end_recovery(None, at, &mark).map_err(failed)?;
        let image = recovering.disk.end_process();
        self.recovering = None;
        self.note(|| format!("the station goes on after entry {}", place.seq));
        self.restart(image, false, now)?;
        self.enter_receipts_again();
        Ok(Recovery::Ended)
    }

    /// Somebody does not wait for head office. Whether the station was recovering.
    pub(super) fn go_on_alone(&mut self, alone: WentOnAlone) -> Checked<bool> {
        let failed = |error: StoreError| format!("the station does not go on alone: {error}");
        let (now, off) = (self.now, self.physics.clock_off_ms);
        let Some(recovering) = self.recovering.take() else {
            return Ok(false);
        };
        let (at, mark) = recovering.mark(now, off);
        recovering.store.end_recovery(Some(alone), at, &mark).map_err(failed)?;
        let image = recovering.disk.end_process();
        self.note(|| "the station goes on alone".to_owned());
        self.restart(image, false, now)?;
        self.enter_receipts_again();
        Ok(true)
    }

    /// The power goes while the station is recovering.
    pub(super) fn recovery_is_cut(&mut self, kept: u64, down: Time) {
        let mut seed = self.fresh_seed();
        if let Some(recovering) = self.recovering.take() {
            self.has_power = false;
            let image = recovering.disk.cut(kept, &mut seed);
            self.goes_down(image, down, false);
        }
    }
}

//! The station's box: the daemon's own single writer and store, on a simulated disk, with clocks that the world sets.
//! What the daemon's loop does in real time is done here in virtual time: take what waits, commit, then let it be seen.

use super::{Time, disk::Disk, oracle::EPOCH};
use crate::seed::Seed;
use domain::{
    ids::{PileId, SiteId},
    journal::Hash,
    policy::Policy,
    time::{Mono, Now, Wall},
};
use edge::{
    clock::{Certain, Mark},
    station::{
        LoopStats,
        writer::{Committed, Work, Writer},
    },
    store::{AfterRestore, Store, StoreError},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// What waits for a commit on behalf of a pile: the PUBACK of one publish, and the record that it promises to keep.
#[derive(Debug, Clone)]
pub(super) struct Slip {
    pub(super) pile: PileId,
    pub(super) attempt: u64,
    pub(super) token: u64,
    pub(super) record: Option<String>,
}

/// The number of a request.
pub(super) type Asker = u64;
pub(super) type Job = Work<Slip, Asker>;
pub(super) type Done = Committed<Slip, Asker>;

/// A running process.
pub(super) struct Process {
    pub(super) writer: Writer<Slip, Asker>,
    pub(super) store: Store,
    pub(super) disk: Disk,
    pub(super) waiting: VecDeque<Job>,
    /// A commit is under way until it is let be seen.
    pub(super) under_way: Option<Done>,
    /// Where elapsed time stood when the process began, and when that was.
    mono: Mono,
    pub(super) since: Time,
    /// What was certain of the time when it began.
    pub(super) certain: Option<Certain>,
    random: Seed,
}

/// What one turn of the loop came to.
pub(super) enum Turned {
    /// A commit that is to be let be seen.
    Committed { facts: bool },
    /// The power went in the middle of it.
    PowerGone,
}

/// The only site of a world of one.
pub(super) fn site() -> SiteId {
    SiteId::new("world").expect("a word is a site id")
}

/// The image of a database that has just been made: the same for every seed.
pub(super) fn fresh_image(site: &SiteId) -> Vec<u8> {
    static IMAGES: Mutex<BTreeMap<SiteId, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let make = || {
        let disk = Disk::with(Vec::new());
        let store = Store::drawn_on(disk.clone(), site, Seed::for_part(0, site.as_str()));
        let store = store.expect("a fresh database can be made in memory");
        drop(store);
        disk.end_process()
    };
    let mut images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    images.entry(site.clone()).or_insert_with(make).clone()
}

/// The image of a copy that was made the station's database.
///
/// # Errors
/// It is no whole database.
pub(super) fn restored(copy: Vec<u8>, site: &SiteId, at: Wall, after: AfterRestore) -> Result<Vec<u8>, StoreError> {
    let disk = Disk::with(copy);
    let random = Seed::for_part(at.0.unsigned_abs(), site.as_str());
    let store = Store::drawn_on(disk.clone(), site, random)?;
    match after {
        AfterRestore::NewRun => drop(store.begin_run(at)?),
        AfterRestore::Recovery => store.begin_recovery(at)?,
    }
    Ok(disk.end_process())
}

impl Process {
    /// Starts on what is on the disk. `away` is how long elapsed time went on meanwhile: nothing through a power cut.
    ///
    /// # Errors
    /// What keeps the station from starting.
    pub(super) fn start(
        image: Vec<u8>,
        site: &SiteId,
        policy: &Policy,
        now: Time,
        away: u64,
        random: Seed,
    ) -> Result<Self, StoreError> {
        let disk = Disk::with(image);
        let store = Store::on(disk.clone(), site)?;
        let stats: Arc<LoopStats> = Arc::default();
        let (writer, found) = Writer::recover(store.clone(), policy.clone(), stats)?;
        Ok(Self {
            writer,
            store,
            disk,
            waiting: VecDeque::new(),
            under_way: None,
            mono: found.mark.goes_on_at().after_ms(away),
            since: now,
            certain: found.mark.certain,
            random,
        })
    }

    /// The station's clocks.
    pub(super) fn now(&self, now: Time, clock_off_ms: i64) -> Now {
        Now {
            mono: self.mono.after_ms(now - self.since),
            wall: wall(now, clock_off_ms),
        }
    }

    /// How late it is at least, by what was certain before.
    pub(super) fn not_before(&self, now: Time) -> Option<Wall> {
        let Certain { mono, wall } = self.certain?;
        let passed = self.now(now, 0).mono.ms_since(mono);
        Some(wall.after_ms(i64::try_from(passed).unwrap_or(i64::MAX)))
    }

    /// It is that late at least, by somebody who knows.
    pub(super) fn was_certainly(&mut self, now: Time, wall: Wall) {
        let mono = self.now(now, 0).mono;
        self.certain = Some(Certain { mono, wall });
    }

    /// When the loop has something to do, if ever; not before `now`.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        if self.under_way.is_some() {
            return None;
        }
        if !self.waiting.is_empty() {
            return Some(now);
        }
        let at = self
            .writer
            .next_deadline()
            .into_iter()
            .chain(self.writer.telemetry_due())
            .min()?;
        Some((self.since + at.ms_since(self.mono)).max(now))
    }

    /// One batch, as the daemon's loop makes it.
    ///
    /// # Errors
    /// The store failed, and not because the power went.
    pub(super) fn turn(&mut self, at: Time, clock_off_ms: i64, trusted: bool) -> Result<Turned, StoreError> {
        let now = self.now(at, clock_off_ms);
        if trusted {
            self.certain = Some(now.into());
        }
        if self.writer.next_deadline().is_some_and(|deadline| deadline <= now.mono) {
            self.writer.take(Work::Due, now, &mut self.random)?;
        }
        while !self.writer.is_full()
            && let Some(job) = self.waiting.pop_front()
        {
            self.writer.take(job, now, &mut self.random)?;
        }
        let mark = Mark {
            mono: now.mono,
            wall: Some(now.wall),
            kernel_boot: None,
            kernel_uptime_ms: 0,
            certain: self.certain,
        };
        match self.writer.commit(now, &mark, false) {
            Ok(done) => {
                let facts = done.journal_head.is_some();
                self.under_way = Some(done);
                Ok(Turned::Committed { facts })
            }
            Err(_) if self.disk.is_dead() => Ok(Turned::PowerGone),
            Err(error) => Err(error),
        }
    }

    /// Entries after `head`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(super) fn journal(&self, head: u64) -> Result<Vec<(u64, Hash, Vec<u8>)>, StoreError> {
        self.store.reader()?.journal(head + 1, usize::MAX)
    }
}

/// What a clock shows that is off by so much.
pub(super) fn wall(now: Time, off_ms: i64) -> Wall {
    EPOCH.after_ms(i64::try_from(now).unwrap_or(i64::MAX)).after_ms(off_ms)
}

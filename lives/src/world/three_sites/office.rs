//! Head office: the desk's own core, ingest and database, in processes that are killed, lose their power around a commit, or stand
//! still until another has their sites. The database outlives them.

use super::{
    super::{SECOND, Time, station},
    Event, ThreeSites,
    coverage::Mishap,
    restoring::Backup,
};
use crate::seed::Seed;
use books::{
    desk::{
        LEASE_MS, Office as Process,
        core::{Core, Effect, Heard, Memory, Then, Unread, at_once},
    },
    store::{
        Db, StoreError, Tx,
        identity::{self, Identity},
        sites,
    },
};
use domain::{
    ids::SiteId,
    planted,
    time::{Mono, Now, Wall},
};
use protocol::{
    frame::State,
    key::{PublicKey, PublicKeys, SigningKey},
    status::Status,
    topic::Kind,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::runtime::{Builder, Runtime};

/// How often it is noted that a site was heard.
const HEARD: Time = 30 * SECOND;
/// How long before its end a process goes on with its sites.
const RENEW_BEFORE: Time = 10 * SECOND;

/// Head office's database, and its processes.
pub(super) struct Office {
    pub(super) db: Db,
    /// What is left of it when it is lost.
    pub(super) backup: Option<Backup>,
    runtime: Runtime,
    sites: Vec<SiteId>,
    /// What its signatures are checked with.
    key: PublicKey,
    /// When it was last noted that a site was heard.
    heard_at: BTreeMap<usize, Time>,
    /// It is its own broker: with its process go all connections.
    is_broker: bool,
    processes: u32,
    running: Option<Running>,
    /// One that stood still when another took its sites.
    stale: Option<Running>,
}

/// A process.
struct Running {
    process: Arc<Process>,
    desks: Vec<Desk>,
    /// Until when its sites are its own.
    until: Time,
    /// It stands still, and this is what it has not looked at.
    stands_still: Option<Vec<(usize, Kind, Vec<u8>)>>,
}

/// A site's desk.
#[derive(Default)]
struct Desk {
    core: Option<Core>,
    memory: Memory,
}

/// What befalls a process at a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Nothing,
    Killed,
    PowerBeforeCommit,
    PowerAfterCommit,
    StandsStill,
}

type Step = Result<(), String>;

fn failed(error: impl std::fmt::Display) -> String {
    format!("head office's store failed: {error}")
}

impl Office {
    /// With these sites, and the keys that their stations sign with.
    pub(super) fn new(is_broker: bool, known: Vec<(SiteId, PublicKey)>, random: Seed) -> Result<Self, String> {
        let mut office = Self {
            db: Db::simulated(random).map_err(failed)?,
            backup: None,
            runtime: Builder::new_current_thread().build().map_err(failed)?,
            sites: known.iter().map(|(site, _)| site.clone()).collect(),
            key: PublicKey([0; 32]),
            heard_at: BTreeMap::new(),
            is_broker,
            processes: 0,
            running: None,
            stale: None,
        };
        office.write(move |tx| {
            known.iter().try_for_each(|(site, key)| {
                let key = sites::EdgeKey { key: *key, from: 0 };
                sites::add(tx, site, "a site", &[key])
            })
        })?;
        office.key = office.process("nobody")?.key.with().public();
        Ok(office)
    }

    /// What its signatures are checked with.
    pub(super) fn key(&self) -> PublicKey {
        self.key
    }

    /// A process of this name, as the database has it.
    pub(super) fn process(&self, name: &str) -> Result<Process, String> {
        let Identity { hq_epoch, key } = self.write(|tx| identity::of(tx, Wall(0)))?;
        let process = name.to_owned();
        let key = key.into();
        Ok(Process { process, hq_epoch, key })
    }

    /// Whether sites find somebody to connect to.
    pub(super) fn has_broker(&self) -> bool {
        !self.is_broker || self.running.is_some()
    }

    pub(super) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        self.try_read(work).map_err(failed)
    }

    fn try_read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.runtime.block_on(self.db.read(work))
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        self.try_write(work).map_err(failed)
    }

    /// In which the planted bugs of this thread are planted too.
    fn try_write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let carry = planted::carry();
        let work = move |tx: &mut dyn Tx| {
            carry();
            work(tx)
        };
        self.runtime.block_on(self.db.write(work))
    }

    /// Whether people and programs find it.
    pub(super) fn is_there(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.stands_still.is_none())
    }

    /// Has a site's desk do something, where there is one.
    pub(super) fn with_core<T>(
        &mut self,
        site: usize,
        work: impl FnOnce(&Self, Core) -> Result<(T, Core), String>,
    ) -> Result<Option<T>, String> {
        if !self.is_there() {
            return Ok(None);
        }
        let Some(mut running) = self.running.take() else {
            return Ok(None);
        };
        let core = self.core(&mut running, site)?;
        let (done, core) = work(self, core)?;
        running.desks[site].core = Some(core);
        self.running = Some(running);
        Ok(Some(done))
    }

    /// A site's desk ends, and another one begins: its rows were made anew.
    pub(super) fn begin_desk_anew(&mut self, site: usize) {
        if let Some(running) = &mut self.running {
            running.desks[site] = Desk::default();
        }
    }

    /// The name of the process that has the sites.
    pub(super) fn name(&self) -> Option<String> {
        self.running.as_ref().map(|running| running.process.process.clone())
    }

    /// The key was changed: the process that is there signs with it from now on.
    pub(super) fn signs_anew(&mut self) -> Step {
        let key = self.signing_key()?;
        if let Some(running) = &self.running {
            running.process.key.now_with(key);
        }
        Ok(())
    }

    /// What people put into the configuration of a station: the key that signed first, and what they are told is believed by now.
    pub(super) fn keys_by_now(&self) -> Result<PublicKeys, String> {
        let mut keys = self.read(identity::public_keys)?;
        keys.push(self.key);
        Ok(PublicKeys(keys))
    }

    /// What it signs with.
    pub(super) fn signing_key(&self) -> Result<SigningKey, String> {
        Ok(self.write(|tx| identity::of(tx, Wall(0)))?.key)
    }

    /// It is noted that a site was heard, and what it said of itself.
    fn notes(&mut self, site: usize, hello: Option<String>, now: Time) -> Result<(), String> {
        let last = self.heard_at.get(&site);
        if hello.is_none() && last.is_some_and(|at| now < at + HEARD) {
            return Ok(());
        }
        self.heard_at.insert(site, now);
        let (id, at) = (self.sites[site].clone(), station::wall(now, 0));
        self.write(move |tx| sites::heard(tx, &id, hello.as_deref(), at))
    }

    /// When a desk has something to say.
    pub(super) fn due(&self) -> Option<Time> {
        let running = self.running.as_ref().filter(|running| running.stands_still.is_none())?;
        let memory = |desk: &Desk| desk.core.as_ref().map_or(desk.memory, Core::memory);
        let due = running.desks.iter().filter_map(|desk| memory(desk).next_deadline());
        due.min().map(|at| at.0)
    }

    /// Takes what nobody else has for a process until its time is over, or goes on with it. Whether it has all sites.
    fn hold(&self, running: &mut Running, now: Time) -> Result<bool, String> {
        let at = station::wall(now, 0);
        let (me, until) = (running.process.process.clone(), at.after_ms(LEASE_MS));
        let held = self.write(move |tx| {
            let mut over = sites::leases(tx, &me)?;
            over.retain(|lease| lease.until <= at);
            sites::hold_all(tx, &me, &over, until)?;
            sites::held(tx, &me)
        })?;
        running.until = now + LEASE_MS.unsigned_abs();
        Ok(self.sites.iter().all(|site| held.contains(site)))
    }

    /// The desk of a site, as the database has it if need be.
    fn core(&self, running: &mut Running, site: usize) -> Result<Core, String> {
        let desk = &mut running.desks[site];
        if let Some(core) = desk.core.take() {
            desk.memory = core.memory();
            return Ok(core);
        }
        let (office, id, memory) = (Arc::clone(&running.process), self.sites[site].clone(), desk.memory);
        self.read(move |tx| Core::load(tx, office, &id, memory))
    }
}

impl ThreeSites {
    pub(super) fn clock(&self) -> Now {
        Now {
            mono: Mono(self.now),
            wall: station::wall(self.now, 0),
        }
    }

    /// A process of head office starts. It waits for the sites of one that was killed.
    pub(super) fn office_starts(&mut self) -> Step {
        if self.office.running.is_some() {
            return Ok(());
        }
        self.office.processes += 1;
        let process = self.office.process(&format!("office-{}", self.office.processes))?;
        let mut running = Running {
            process: Arc::new(process),
            desks: self.office.sites.iter().map(|_| Desk::default()).collect(),
            until: 0,
            stands_still: None,
        };
        if !self.office.hold(&mut running, self.now)? {
            self.after(2 * SECOND, Event::OfficeStarts);
            return Ok(());
        }
        self.note(|| format!("{} has the sites", running.process.process));
        self.office.running = Some(running);
        if !self.office.is_broker {
            self.hears_what_is_retained();
        }
        (0..self.sites.len()).try_for_each(|site| {
            self.desk_says(site)?;
            self.directs(site)
        })
    }

    /// Desks say what is due.
    pub(super) fn desks_say(&mut self) -> Step {
        for site in 0..self.sites.len() {
            let running = self.office.running.as_ref();
            let desk = running.map(|running| &running.desks[site]);
            let memory = desk.map(|desk| desk.core.as_ref().map_or(desk.memory, Core::memory));
            let due = memory.and_then(|memory| memory.next_deadline());
            if due.is_some_and(|at| at.0 <= self.now) {
                self.desk_says(site)?;
            }
        }
        Ok(())
    }

    pub(super) fn desk_says(&mut self, site: usize) -> Step {
        let Some(mut running) = self.office.running.take() else {
            return Ok(());
        };
        let mut core = self.office.core(&mut running, site)?;
        let said = core.say(Mono(self.now));
        running.desks[site].core = Some(core);
        self.office.running = Some(running);
        said.map_or(Ok(()), |said| self.sends(site, said))
    }

    fn sends(&mut self, site: usize, Effect(kind, bytes): Effect) -> Step {
        self.send(site, kind, bytes)
    }

    /// A message of a site is at head office.
    pub(super) fn office_hears(&mut self, site: usize, kind: Kind, bytes: Vec<u8>) -> Step {
        if self.is_agents_last(site, kind) {
            self.agent_dies(site, kind);
        }
        if matches!(kind, Kind::Answer | Kind::Live) {
            return self.is_shown(site, kind, &bytes);
        }
        // Its subscription stands as long as it is believed in.
        let late = self.office.stale.as_mut().and_then(|stale| stale.stands_still.as_mut());
        if let Some(late) = late {
            late.push((site, kind, bytes.clone()));
        }
        let Some(mut running) = self.office.running.take() else {
            return Ok(());
        };
        if let Some(waiting) = &mut running.stands_still {
            waiting.push((site, kind, bytes));
            self.office.running = Some(running);
            return Ok(());
        }
        let fate = match kind {
            Kind::Journal if !self.calm => match self.rng.below(120) {
                0 => Fate::Killed,
                1 | 2 => Fate::PowerBeforeCommit,
                3 | 4 => Fate::PowerAfterCommit,
                5 | 6 if !self.office.is_broker && self.office.stale.is_none() => Fate::StandsStill,
                _ => Fate::Nothing,
            },
            Kind::Status if !self.calm && self.rng.below(150) == 0 => Fate::Killed,
            _ => Fate::Nothing,
        };
        match fate {
            Fate::Killed => {
                self.met.note(Mishap::OfficeKilled(kind));
                self.office_dies();
                return Ok(());
            }
            Fate::StandsStill => {
                self.note(|| "head office stands still".to_owned());
                let over = running.until.saturating_sub(self.now) + self.between(SECOND, 5 * SECOND);
                running.stands_still = Some(vec![(site, kind, bytes)]);
                self.office.running = Some(running);
                self.after(over, Event::OfficeIsReplaced);
                return Ok(());
            }
            _ => {}
        }
        if running.until < self.now + RENEW_BEFORE && !self.office.hold(&mut running, self.now)? {
            return Err("somebody took a site from head office's only process".to_owned());
        }
        self.rung.clear();
        if self.takes(&mut running, site, (kind, bytes), fate, false)? {
            self.office.running = Some(running);
            let rung = std::mem::take(&mut self.rung);
            return self.ring(&rung);
        }
        self.office_dies();
        Ok(())
    }

    /// A process takes what a site says. Whether it lives.
    fn takes(
        &mut self,
        running: &mut Running,
        site: usize,
        (kind, bytes): (Kind, Vec<u8>),
        fate: Fate,
        is_stale: bool,
    ) -> Result<bool, String> {
        let now = self.clock();
        if !is_stale && matches!(kind, Kind::Ping | Kind::Status) {
            let hello = match Status::from_bytes(&bytes) {
                Ok(Status::Online(hello)) => serde_json::to_string(&hello).ok(),
                _ => None,
            };
            if kind == Kind::Ping || hello.is_some() {
                self.office.notes(site, hello, self.now)?;
            }
        }
        let bytes = match at_once(&running.process, &self.office.sites[site], now.wall, kind, bytes) {
            Ok(effect) => {
                effect.into_iter().try_for_each(|effect| self.sends(site, effect))?;
                return Ok(true);
            }
            Err(bytes) => bytes,
        };
        let mut core = self.office.core(running, site)?;
        let Heard { effects, then } = core.hear(kind, bytes);
        for effect in effects {
            self.sends(site, effect)?;
        }
        match then {
            None => running.desks[site].core = Some(core),
            Some(Then::Greet(hello)) => {
                running.desks[site].memory = core.memory();
                let greeted = self
                    .office
                    .try_write(move |tx| Ok((core.greet(tx, now, &hello)?, core)));
                let (effects, core) = match greeted {
                    Err(StoreError::NotOwner) if is_stale => {
                        self.met.note(Mishap::WokeLate);
                        return Ok(true);
                    }
                    greeted => greeted.map_err(failed)?,
                };
                running.desks[site].core = Some(core);
                effects.into_iter().try_for_each(|effect| self.sends(site, effect))?;
                self.directs_later(site);
            }
            Some(Then::Take(batch)) => {
                running.desks[site].memory = core.memory();
                return self.commits(running, site, (core, batch), fate, is_stale);
            }
        }
        Ok(true)
    }

    /// A batch is taken, in one transaction; and what head office has then is what the site had there.
    fn commits(
        &mut self,
        running: &mut Running,
        site: usize,
        (mut core, batch): (Core, Unread),
        fate: Fate,
        is_stale: bool,
    ) -> Result<bool, String> {
        let read = batch
            .read()
            .map_err(|error| format!("head office refuses a batch of site {site}: {error}"))?;
        let now = self.clock();
        let committed = self.office.try_write(move |tx| {
            let effect = core.take(tx, now, &read)?;
            match fate {
                Fate::PowerBeforeCommit => Err(StoreError::Unavailable("the power is gone".to_owned())),
                _ => Ok((effect, core)),
            }
        });
        let (effect, mut core) = match committed {
            Ok(done) => done,
            Err(StoreError::Unavailable(_)) if fate == Fate::PowerBeforeCommit => {
                self.met.note(Mishap::PowerBeforeCommit);
                return Ok(false);
            }
            Err(StoreError::NotOwner) if is_stale => {
                self.met.note(Mishap::WokeLate);
                return Ok(true);
            }
            Err(error) => return Err(failed(error)),
        };
        let effect = effect.map_err(|error| format!("head office refuses a batch of site {site}: {error}"))?;
        let state = core.copy().site().state;
        if state != State::Following && !(state == State::Forked && self.sites[site].went_alone) {
            let site = core.copy().site();
            return Err(format!("head office stops following {}: {:?}", site.id, site.trouble));
        }
        self.rung.extend(core.take_rung());
        running.desks[site].core = Some(core);
        self.commits += 1;
        self.check_copy(site)?;
        self.check_money()?;
        self.debts_are_paid_twice()?;
        if fate == Fate::PowerAfterCommit {
            self.met.note(Mishap::PowerAfterCommit);
            return Ok(false);
        }
        effect.into_iter().try_for_each(|effect| self.sends(site, effect))?;
        Ok(true)
    }

    /// The process is gone, with all that was not in the database.
    fn office_dies(&mut self) {
        self.note(|| "head office's process dies".to_owned());
        self.office_ends();
        let starts = self.between(SECOND, 2 * super::super::MINUTE);
        self.after(starts, Event::OfficeStarts);
    }

    /// It does not run any more. With a process that is the broker all connections go.
    fn office_ends(&mut self) {
        self.office.running = None;
        if self.office.is_broker {
            (0..self.sites.len()).for_each(|site| self.cut(site, self.now));
        }
    }

    /// No process runs any more, nor stands still.
    pub(super) fn offices_end(&mut self) {
        self.office_ends();
        self.office.stale = None;
    }

    /// Another process takes the sites of one that stands still.
    pub(super) fn office_is_replaced(&mut self) -> Step {
        let stands_still = |running: &mut Running| running.stands_still.is_some();
        let Some(stale) = self.office.running.take_if(stands_still) else {
            return Ok(());
        };
        self.office.stale = Some(stale);
        self.office_starts()?;
        let wakes = self.between(SECOND, 40 * SECOND);
        self.after(wakes, Event::OfficeWakes);
        Ok(())
    }

    /// It wakes, and goes on with what it had heard.
    pub(super) fn office_wakes(&mut self) -> Step {
        let Some(mut stale) = self.office.stale.take() else {
            return Ok(());
        };
        self.note(|| format!("{} wakes", stale.process.process));
        for (site, kind, bytes) in stale.stands_still.take().unwrap_or_default() {
            self.takes(&mut stale, site, (kind, bytes), Fate::Nothing, true)?;
        }
        Ok(())
    }
}

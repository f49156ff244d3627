//! A station's end of the line: its own store and keys behind what the daemon serves on the agent's socket, and the courier that
//! asks for it.

use super::{
    super::{MINUTE, SECOND, Time, World, coverage::Fault, recovering::Recovery, station},
    Event, ThreeSites,
    asking::Asked,
    copy::Mirror,
    coverage::Mishap,
    line::Line,
    races::Race,
};
use domain::{
    ids::OrderId,
    journal::{Hash, Head},
    site::Input as SiteInput,
    time::{Mono, Now},
};
use edge::{
    head_office::{HeadOffice, Unbelieved, line_watch::LineWatch},
    station::writer::Work,
    store::{Reader, StoreError, TailRefused},
};
use protocol::{
    frame::{Nonce, State, Tail},
    key::{PublicKey, PublicKeys, SIGNATURE_LEN, Signature, SigningKey},
    status::Hello,
    topic::Kind,
};
use std::collections::{BTreeMap, BTreeSet};
use sync::courier::{Courier, Effect, Input, Page};

/// How long the station lets a fetch wait for news.
const WAIT: Time = MINUTE;

/// The kinds of messages that the program's death is counted by.
pub(super) const AGENT_DIES_AT: [Kind; 5] = [Kind::Status, Kind::Journal, Kind::Ack, Kind::Tail, Kind::Directive];

/// A site and all that is known of it.
pub(super) struct Site {
    pub(super) world: World,
    /// Nothing will be journaled any more.
    pub(super) over: bool,
    /// The seed of its station's key.
    key: [u8; 32],
    /// The station's end of the line, as long as the station runs.
    pub(super) end: HeadOffice,
    /// Which run of the station that is.
    run: u64,
    restores: u32,
    pub(super) courier: Courier,
    pub(super) agent_is_up: bool,
    /// Which run of the program it is.
    pub(super) agent: u64,
    /// So many messages from now it is killed.
    pub(super) agent_dies_after: u64,
    /// The last entry that was seen in its journal.
    seen: u64,
    /// It is recovering.
    recovers: bool,
    /// It went on alone after a restore: there may be two journals of it.
    pub(super) went_alone: bool,
    /// Head office has found both, and people have not said which lives.
    pub(super) is_forked: bool,
    /// What orders had been charged by the entries of disks that were lost, and what of it head office had then.
    gone_with_disk: BTreeMap<OrderId, (i64, i64)>,
    /// Where the copy ended that it was last restored from.
    copy_end: u64,
    /// How far head office was when its database was last lost.
    pub(super) office_was_at: u64,
    fetch: Option<Fetch>,
    fetches: u64,
    /// The directive that the station is asked to take, and how many it was asked.
    pub(super) handing: Option<u64>,
    pub(super) handings: u64,
    /// What head office issued and was not answered is looked at then.
    pub(super) directs_again: bool,
    /// It is looked then whether head office has gone silent.
    pub(super) listens: bool,
    /// The station takes head office to be within reach.
    pub(super) has_line: bool,
    /// What head office asks of it.
    pub(super) asked: Asked,
    /// Head office's keys in its configuration.
    configured: PublicKeys,
    /// The kind of directives that its program is too old to read.
    pub(super) cannot_read: Option<&'static str>,
    /// What this run of the station is told of the line.
    pub(super) line_watch: LineWatch,
    pub(super) line: Line,
    /// Every entry that left the station, by number: those of all its journals.
    left: BTreeMap<u64, Vec<(Hash, Vec<u8>)>>,
    /// As head office must have it.
    pub(super) copy: Mirror,
    /// The entries that head office has had, whatever it has forgotten since.
    pub(super) met: BTreeSet<[u8; 32]>,
    /// The vouchers that were shown and not answered: the request's number.
    pub(super) shown: BTreeSet<u64>,
}

/// A fetch that waits.
#[derive(Debug, Clone, Copy)]
struct Fetch {
    number: u64,
    after: u64,
    limit: usize,
    wait: bool,
    until: Time,
}

/// What is asked of a station.
pub(super) enum Ask {
    Hello,
    Ping,
    Page(u64),
    Ack(Vec<u8>),
    Pong(Vec<u8>),
    Tail(Vec<u8>),
    Directive(Vec<u8>),
    Get(u64, String),
}

type Step = Result<(), String>;

fn failed(error: impl std::fmt::Display) -> String {
    format!("the station's store failed: {error}")
}

impl Site {
    /// Its disk is lost with everything that was journaled after the last entry that head office has.
    fn disk_is_lost(&mut self) {
        for (order, charged) in std::mem::take(&mut self.world.gone_with_disk) {
            let there = self.copy.rows.order(&order).map_or(0, |row| row.paid.charged().0);
            let gone = self.gone_with_disk.entry(order).or_default();
            *gone = (gone.0.max(charged), gone.1.max(there));
        }
    }

    /// What was lost with disks at most, and what was: of orders that nobody pays for after all. Nothing is lost of what head office had
    /// (rule 21), unless a branch was left or head office's database was lost.
    pub(super) fn lost_with_disks(&self, has_forgotten: bool) -> Result<(i64, i64), String> {
        let (mut lost, mut bound) = (0, 0);
        for (order, &(charged, there)) in &self.gone_with_disk {
            let may_go = has_forgotten || self.went_alone;
            let most = if may_go { charged } else { (charged - there).max(0) };
            let gone = if self.world.oracle.is_free(order) { charged } else { 0 };
            if gone > most {
                return Err(format!(
                    "{charged} of order {order} are gone with a disk, and head office had {there} of it"
                ));
            }
            (lost, bound) = (lost + gone, bound + most);
        }
        Ok((lost, bound))
    }

    pub(super) fn new(world: World, key: [u8; 32], office: PublicKey) -> Self {
        let configured = PublicKeys(vec![office]);
        let end = end(&world, key, configured.clone());
        Self {
            end,
            world,
            over: false,
            key,
            run: 0,
            restores: 0,
            courier: Courier::new(),
            agent_is_up: true,
            agent: 0,
            agent_dies_after: 0,
            seen: 0,
            recovers: false,
            went_alone: false,
            is_forked: false,
            gone_with_disk: BTreeMap::new(),
            copy_end: 0,
            office_was_at: 0,
            fetch: None,
            fetches: 0,
            handing: None,
            handings: 0,
            directs_again: false,
            listens: false,
            has_line: false,
            cannot_read: None,
            asked: Asked::default(),
            configured,
            line_watch: LineWatch::default(),
            line: Line::default(),
            left: BTreeMap::new(),
            copy: Mirror::default(),
            met: BTreeSet::new(),
            shown: BTreeSet::new(),
        }
    }

    /// Whether head office has all of its journal, and its program knows that.
    pub(super) fn is_everywhere(&self) -> bool {
        let place = Head {
            seq: self.world.oracle.head,
            hash: self.world.oracle.hash,
        };
        self.copy.head == place && self.courier.progress().acknowledged == Some(place)
    }

    /// The entries after a number, up to a place, that left the station.
    pub(super) fn chain(&self, after: u64, end: Head) -> Result<Vec<(Hash, &[u8])>, String> {
        let of = |seq: u64| self.left.get(&seq).map_or(&[][..], Vec::as_slice);
        let (mut chain, mut hash) = (Vec::new(), end.hash);
        for seq in (after + 1..=end.seq).rev() {
            let found = of(seq).iter().find(|(left, _)| *left == hash);
            let (_, bytes) = found.ok_or_else(|| format!("head office has entry {seq}, which no station sent"))?;
            chain.push((hash, bytes.as_slice()));
            // There is but one that it is sealed to.
            let before = of(seq - 1).iter().find(|(before, _)| Hash::seal(before, bytes) == hash);
            hash = before.map_or(Hash::GENESIS, |(before, _)| *before);
        }
        chain.reverse();
        Ok(chain)
    }

    fn reader(&self) -> Result<Option<Reader>, String> {
        self.world
            .store()
            .map(|store| store.reader())
            .transpose()
            .map_err(failed)
    }

    /// The keys of head office's that count by now, as the API asks before it checks anything.
    pub(super) fn knows_keys(&self) -> Step {
        if let Some(reader) = self.reader()? {
            self.end.know(&reader.head_office().map_err(failed)?);
        }
        Ok(())
    }

    /// As `PUT /v1/sync/hello` says it.
    fn hello(&self) -> Result<Option<Hello>, String> {
        let (Some(store), Some(reader)) = (self.world.store(), self.reader()?) else {
            return Ok(None);
        };
        let read = || -> Result<_, StoreError> {
            let (last, hash) = reader.head()?;
            let (recovering, row) = (reader.recovery()?.is_some(), reader.head_office()?);
            let places = (reader.checkpoint()?, reader.acknowledged()?);
            Ok((last, hash, recovering, row, places))
        };
        let (last, hash, recovering, row, (begins_after, acknowledged)) = read().map_err(failed)?;
        Ok(Some(Hello {
            site: self.world.site.clone(),
            protocol: protocol::VERSION,
            station: String::new(),
            agent: String::new(),
            epoch: store.identity().epoch.clone(),
            begins_after,
            head: Head { seq: last.seq, hash },
            acknowledged,
            recovering,
            hq_epoch: row.hq_epoch,
            directives: protocol::status::DirectivesTaken {
                orders: row.orders.n,
                others: row.others.n,
            },
            waiting_since: None,
            time_zone: String::new(),
            key: Some(self.end.own_key()),
            nonce: self.end.hello().map_err(failed)?,
        }))
    }

    /// As `GET /v1/journal` says it; none where it waits for news.
    fn page(&mut self, fetch: Fetch, now: Time) -> Result<Option<Page>, String> {
        let Some(reader) = self.reader()? else {
            return Ok(None);
        };
        let read = || -> Result<_, StoreError> {
            let entries = reader.whole_steps(fetch.after + 1, fetch.limit)?;
            Ok((
                entries,
                reader.hash_of(fetch.after)?,
                reader.head()?.0.seq,
                reader.checkpoint()?.seq,
            ))
        };
        let (entries, before, head, begins_after) = read().map_err(failed)?;
        if entries.is_empty() && fetch.wait && now < fetch.until {
            return Ok(None);
        }
        let last = entries.last().map(|(seq, hash, _)| Head { seq: *seq, hash: *hash });
        let signature = last.map_or(Signature([0; SIGNATURE_LEN]), |last| self.end.sign(last));
        let of_entry = |(seq, hash, bytes): (u64, Hash, Vec<u8>)| {
            let known = self.left.entry(seq).or_default();
            if known.iter().all(|(known, _)| *known != hash) {
                known.push((hash, bytes.clone()));
            }
            bytes
        };
        Ok(Some(Page {
            before: before.map(|hash| Head { seq: fetch.after, hash }),
            entries: entries.into_iter().map(of_entry).collect(),
            signature,
            head,
            begins_after,
        }))
    }
}

impl ThreeSites {
    pub(super) fn tell_courier(&mut self, site: usize, input: Input) -> Step {
        if !self.sites[site].agent_is_up {
            return Ok(());
        }
        let effects = self.sites[site].courier.handle(Mono(self.now), input);
        for effect in effects {
            let agent = self.sites[site].agent;
            let ask = match effect {
                Effect::AskHello => Ask::Hello,
                Effect::AskPing => Ask::Ping,
                Effect::Fetch { after, limit, wait } => {
                    let here = &mut self.sites[site];
                    here.fetches += 1;
                    let (number, until) = (here.fetches, self.now + WAIT);
                    here.fetch = Some(Fetch {
                        number,
                        after,
                        limit,
                        wait,
                        until,
                    });
                    let ask = Ask::Page(number);
                    self.at(until, Event::Asks { site, agent, ask });
                    Ask::Page(number)
                }
                Effect::HandAck(bytes) => Ask::Ack(bytes),
                Effect::HandPong(bytes) => Ask::Pong(bytes),
                Effect::HandTail(bytes) => Ask::Tail(bytes),
                Effect::Send(kind, bytes) => {
                    self.send(site, kind, bytes)?;
                    continue;
                }
                Effect::Reconnect(_) => {
                    self.disconnect(site);
                    continue;
                }
                Effect::HandDirective(bytes) => Ask::Directive(bytes),
                Effect::Get { id, path } => Ask::Get(id, path),
                Effect::Watch(order) => {
                    self.sites[site].asked.follow(order);
                    continue;
                }
                Effect::Unwatch(order) => {
                    self.sites[site].asked.unfollow(&order);
                    continue;
                }
            };
            let takes = self.between(1, 40);
            self.after(takes, Event::Asks { site, agent, ask });
        }
        Ok(())
    }

    /// The station is asked by its program, which may be another one by now.
    pub(super) fn asks(&mut self, site: usize, agent: u64, ask: Ask) -> Step {
        let now = self.now;
        let here = &mut self.sites[site];
        here.world.now = here.world.now.max(now);
        here.knows_keys()?;
        let answer = match ask {
            Ask::Hello => {
                let hello = here.hello()?;
                Some(hello.map_or(Input::StationAway, |hello| Input::Hello(Box::new(hello))))
            }
            Ask::Ping if here.world.store().is_some() => {
                let nonce: Nonce = here.end.ping(clock(now)).map_err(failed)?;
                Some(Input::Ping(nonce))
            }
            Ask::Ping => None,
            Ask::Page(number) => return self.page_is_due(site, number),
            // The station is away: nobody knows which keys count.
            Ask::Pong(_) if here.world.store().is_none() => None,
            Ask::Pong(bytes) => match here.end.pong(&bytes, clock(now)) {
                Ok(heard) => {
                    self.time_is_heard(site, heard);
                    None
                }
                Err(Unbelieved::Stale) => None,
                Err(error) => return Err(format!("site {site} does not believe a pong: {error}")),
            },
            Ask::Directive(bytes) => self.directive_comes(site, agent, &bytes)?.map(Input::DirectiveTaken),
            Ask::Ack(bytes) => {
                self.take_ack(site, &bytes)?;
                None
            }
            Ask::Get(id, path) => Some(self.is_asked(site, id, &path)),
            Ask::Tail(bytes) => Some(Input::TailTaken(self.take_tail(site, &bytes)?)),
        };
        match answer {
            Some(answer) if self.sites[site].agent == agent => self.tell_courier(site, answer),
            _ => Ok(()),
        }
    }

    /// Answers the fetch of this number, if it is still the latest and there is something to say.
    fn page_is_due(&mut self, site: usize, number: u64) -> Step {
        let now = self.now;
        let here = &mut self.sites[site];
        let Some(fetch) = here.fetch.filter(|fetch| fetch.number == number) else {
            return Ok(());
        };
        if here.world.store().is_none() {
            here.fetch = None;
            return self.tell_courier(site, Input::StationAway);
        }
        match here.page(fetch, now)? {
            Some(page) => {
                here.fetch = None;
                self.tell_courier(site, Input::Page(page))
            }
            None => Ok(()),
        }
    }

    /// As `PUT /v1/sync/ack` takes it.
    fn take_ack(&mut self, site: usize, bytes: &[u8]) -> Step {
        let here = &mut self.sites[site];
        if here.world.store().is_none() {
            return Ok(());
        }
        let believed = match here.end.ack(bytes) {
            Ok(believed) => believed,
            Err(Unbelieved::Stale) => return Ok(()),
            Err(error) => return Err(format!("site {site} does not believe an acknowledgement: {error}")),
        };
        let (recovers, said) = (here.world.recovering.is_some(), believed.head);
        if recovers || believed.state != State::Following {
            let state = believed.state.word();
            self.trace.note(self.now, || {
                format!("site {site} hears that its journal is {state} and ends at {said}; recovering: {recovers}")
            });
        }
        if believed.state == State::Forked && here.went_alone {
            return Ok(());
        }
        if believed.state != State::Following {
            let state = believed.state.word();
            return Err(format!("to head office the journal of site {site} is {state}"));
        }
        if here.world.recovering.is_some() && believed.may_end_recovery() {
            let whole = here.copy_end == believed.head.seq;
            let end = here.world.oracle.head;
            match here.world.end_recovery(believed.head)? {
                Recovery::Waits => {}
                Recovery::Ended => {
                    if whole {
                        self.met.note(Mishap::RestoredWhole);
                    }
                    if std::mem::take(&mut here.office_was_at) > end {
                        self.met.note(Mishap::LostInBoth);
                    }
                }
                // 409 `journal_fork`: a person at the station says `recover --alone`, and others then which branch lives.
                Recovery::OfAnother if here.went_alone => {
                    self.is_forked(site);
                    return Ok(());
                }
                Recovery::OfAnother => {
                    return Err(format!("site {site} never went alone, and has another entry at {said}"));
                }
            }
        }
        let here = &mut self.sites[site];
        let Some(store) = here.world.store().cloned() else {
            return Ok(());
        };
        let counts = believed.acknowledges(here.world.recovering.is_some());
        let disk = here.world.process.as_ref().map(|process| process.disk.clone());
        if let Some(disk) = disk.as_ref().filter(|_| counts && !here.over && !here.world.fuse_lit)
            && self.rng.below(100) == 0
        {
            disk.set_fuse(u32::try_from(self.rng.below(20)).unwrap_or(0));
            here.world.fuse_lit = true;
        }
        let note = || {
            let before = store.reader()?.head_office()?.hq_epoch;
            if counts {
                store.acknowledge(&store.identity().epoch, believed.head)?;
            }
            Ok(before.is_some_and(|before| before != believed.hq_epoch))
        };
        let noted: Result<bool, StoreError> = note();
        match noted {
            Ok(is_another_life) => {
                if is_another_life {
                    self.met.note(Mishap::AnotherLifeHeard);
                }
                if believed.is_fresh && here.world.recovering.is_none() {
                    here.world
                        .push(Work::Told(SiteInput::HeadOfficeSeen(believed.hq_epoch)));
                }
                Ok(())
            }
            // Two journals are about, and head office has not seen both: the station offers its own.
            Err(StoreError::Journal(_)) if here.went_alone => Ok(()),
            Err(_) if disk.is_some_and(|disk| disk.is_dead()) => {
                here.world.fuse_lit = false;
                here.world.strike_everywhere(Fault::TornCommit);
                here.world.power_cut();
                self.met.note(Mishap::PowerWhileAcknowledging);
                Ok(())
            }
            Err(error) => Err(format!("site {site} cannot note what is acknowledged: {error}")),
        }
    }

    /// As `PUT /v1/sync/tail` takes it.
    fn take_tail(&mut self, site: usize, bytes: &[u8]) -> Result<Result<(), String>, String> {
        let here = &mut self.sites[site];
        if here.world.store().is_none() {
            return Ok(Err("the station is away".to_owned()));
        }
        let Tail(batch) = Tail::from_bytes(bytes, &here.world.site, &here.end.keys())
            .map_err(|error| format!("site {site} does not believe a tail: {error}"))?;
        let tail = batch.unpack().map_err(|error| error.to_string())?;
        let taken = here.world.take_tail(&tail);
        match taken {
            Ok(head) => {
                let checked = self.sites[site].world.check_after_a_tail(tail.head());
                checked.map_err(|what| format!("site {site} has its entries back: {what}"))?;
                self.met.note(Mishap::TailTaken);
                self.note(|| format!("site {site} has its entries back up to {}", head.seq));
                if !self.calm && self.rng.below(6) == 0 {
                    self.met.note(Mishap::PowerWhileRecovering);
                    let (kept, down) = (self.rng.below(101), self.between(SECOND, 2 * MINUTE));
                    self.sites[site].world.recovery_is_cut(kept, down);
                }
                Ok(Ok(()))
            }
            Err(refused @ (TailRefused::NotRecovering | TailRefused::DoNotFollow { .. })) => {
                self.met.note(Mishap::TailRefused);
                Ok(Err(refused.to_string()))
            }
            Err(refused) => Err(format!("site {site} does not take its own entries back: {refused}")),
        }
    }

    /// Looks what has become of a station after it did something.
    pub(super) fn look_at(&mut self, site: usize) -> Step {
        let is_up = self.is_up(site);
        let here = &mut self.sites[site];
        if here.run != here.world.processes {
            here.run = here.world.processes;
            if here.restores != here.world.restores {
                // Its copy may be from before head office's other key (decision 0053).
                here.configured = self.office.keys_by_now()?;
            }
            here.end = end(&here.world, here.key, here.configured.clone());
            if is_up {
                self.met.note(Mishap::StationDown);
            }
            let here = &mut self.sites[site];
            if here.restores != here.world.restores {
                here.restores = here.world.restores;
                self.races.note(Race::StationRestored);
                let here = &mut self.sites[site];
                here.copy_end = here.world.oracle.head;
                here.disk_is_lost();
                if here.seen > here.copy.head.seq {
                    self.met.note(Mishap::EntriesGone);
                }
                if self.rng.below(2) == 0 {
                    // It would take hours until the line is up again by itself.
                    self.switch_wan(site, true);
                }
            }
            (self.sites[site].line_watch, self.sites[site].has_line) = (LineWatch::default(), false);
            if self.sites[site].fetch.take().is_some() {
                self.tell_courier(site, Input::StationAway)?;
            }
            if self.sites[site].handing.take().is_some() {
                let away = Err("the station is away".to_owned());
                self.tell_courier(site, Input::DirectiveTaken(away))?;
            }
            let here = &self.sites[site];
            if !here.world.has_power && here.agent_is_up {
                self.met.note(Mishap::BoxDown);
                self.agent_ends(site);
            }
        }
        self.shows_orders(site)?;
        self.directives_are_taken(site)?;
        self.vouchers_are_answered(site);
        self.drivers_want(site);
        let here = &mut self.sites[site];
        here.seen = here.world.oracle.head;
        let recovers = here.world.recovering.is_some();
        if recovers && !std::mem::replace(&mut here.recovers, recovers) {
            self.met.note(match is_up {
                true => Mishap::RestoredOnline,
                false => Mishap::RestoredOffline,
            });
            self.may_go_alone(site);
            if self.rng.below(8) == 0 {
                let lost = self.between(SECOND, 20 * MINUTE);
                self.after(lost, Event::OfficeIsLost);
            }
        }
        let here = &mut self.sites[site];
        here.recovers = recovers;
        match here.fetch {
            Some(fetch) if here.world.oracle.head > fetch.after && here.world.process.is_some() => {
                self.page_is_due(site, fetch.number)
            }
            _ => Ok(()),
        }
    }

    /// The program that carries the journal is killed where a message of this kind passes it, and starts again.
    pub(super) fn agent_dies(&mut self, site: usize, kind: Kind) {
        self.met.note(Mishap::AgentKilled(kind));
        self.agent_ends(site);
    }

    fn agent_ends(&mut self, site: usize) {
        self.note(|| format!("the agent of site {site} is gone"));
        let here = &mut self.sites[site];
        here.asked.program_ends();
        (here.courier, here.fetch, here.handing) = (Courier::new(), None, None);
        here.agent_is_up = false;
        here.agent += 1;
        self.disconnect(site);
        let starts = self.between(SECOND, MINUTE);
        self.after(starts, Event::AgentStarts { site });
        self.plan_agents_death(site);
    }

    /// It starts, once its box has power.
    pub(super) fn agent_starts(&mut self, site: usize) {
        if !self.sites[site].world.has_power {
            let starts = self.between(SECOND, MINUTE);
            self.after(starts, Event::AgentStarts { site });
            return;
        }
        self.sites[site].agent_is_up = true;
        self.connect_soon(site);
    }

    /// After some messages that pass it.
    pub(super) fn plan_agents_death(&mut self, site: usize) {
        self.sites[site].agent_dies_after = 10 + self.rng.below(100);
    }

    /// Whether the message of this kind that passes the program is the one at which it is killed.
    pub(super) fn is_agents_last(&mut self, site: usize, kind: Kind) -> bool {
        if self.calm || !AGENT_DIES_AT.contains(&kind) || !self.sites[site].agent_is_up {
            return false;
        }
        let left = &mut self.sites[site].agent_dies_after;
        *left = left.saturating_sub(1);
        // Tails are few.
        *left == 0 || (kind == Kind::Tail && self.rng.below(10) == 0)
    }
}

fn end(world: &World, key: [u8; 32], configured: PublicKeys) -> HeadOffice {
    let own = SigningKey::from_seed(key);
    HeadOffice::new(world.site.clone(), configured, own)
}

/// Elapsed time as the station's end of the line counts it, and the time that it is.
pub(super) fn clock(now: Time) -> Now {
    Now {
        mono: Mono(now),
        wall: station::wall(now, 0),
    }
}

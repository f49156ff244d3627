//! The lives of two sites and a head office from one seed, in virtual time: two worlds of one station each, and between them and
//! head office the line, with everything that can befall it and its ends.
//!
//! | module | holds |
//! |---|---|
//! | here | the clock that all of them share, and what happens by it |
//! | `station` | a station's end of the line: its own store and keys; and the courier |
//! | `line` | connections and messages |
//! | `office` | head office: the desk's core, ingest, the database |
//! | `restoring` | head office's database, lost and restored from a copy |
//! | `copy` | what must be true of it after every commit, and at the end |
//! | [`coverage`] | what went wrong, and how often |
//!
//! Each life ends with a line that is up and everything that waits delivered. One thing follows the other, on one thread; the
//! database has its own, which is waited for.

mod copy;
pub mod coverage;
mod line;
mod office;
mod restoring;
mod station;

use super::{Failure, HOUR, MINUTE, SECOND, Time, Trace, World, lived};
use crate::seed::Seed;
use coverage::Met;
use domain::ids::SiteId;
use office::Office;
use protocol::{key::SigningKey, topic::Kind};
use station::{Ask, Site};
use std::collections::BTreeMap;

/// Both sites, which have piles, members and orders of the same names.
const SITES: [&str; 2] = ["north", "south"];
/// In one of so many lives a third site rates a bill otherwise.
const CROOKED_IN: u64 = 3;
/// No life takes more steps than this.
const STEPS_MAX: u64 = 5_000_000;
/// How long after the lines are healed head office must have everything.
const HEALED_WITHIN: Time = HOUR;

/// What a life came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Journal entries of both sites.
    pub facts: u64,
    /// Commits at head office that followed a batch, or found that it was there.
    pub commits: u64,
    /// Times a station started again from its disk, restores included.
    pub crashes: usize,
    /// How long it lasted, in milliseconds of the world.
    pub lasted_ms: u64,
    /// What went wrong.
    pub met: Met,
}

impl Report {
    /// What another life came to.
    pub fn add(&mut self, other: &Self) {
        self.facts += other.facts;
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.lasted_ms += other.lasted_ms;
        self.met.add(&other.met);
    }
}

/// Lives one life.
///
/// # Errors
/// What was not as it must be, with the steps that led to it.
pub fn live_through(seed: u64) -> Result<Report, Failure> {
    lived(seed, "two_sites", |seed, trace| {
        TwoSites::new(seed, trace.clone())?.live()
    })
}

/// Something that will happen between the worlds.
enum Event {
    /// The program beside a station asks it for something.
    Asks {
        site: usize,
        agent: u64,
        ask: Ask,
    },
    /// A message is at the other end of the line.
    Arrives {
        site: usize,
        connection: u64,
        kind: Kind,
        bytes: Vec<u8>,
        /// Whatever has become of the connection.
        passes: bool,
    },
    /// Unless the line was switched meanwhile.
    Wan {
        site: usize,
        up: bool,
        switch: u64,
    },
    Connects {
        site: usize,
    },
    Notices {
        site: usize,
        connection: u64,
    },
    AgentStarts {
        site: usize,
    },
    OfficeStarts,
    OfficeIsReplaced,
    OfficeWakes,
    OfficeIsCopied,
    OfficeIsLost,
    /// Somebody at head office looks whether sites know more of it than its database does.
    PeopleLook,
}

/// Whose turn it is.
enum Next {
    Event,
    World(usize),
    Courier(usize),
    Desks,
}

struct TwoSites {
    now: Time,
    rng: Seed,
    events: BTreeMap<(Time, u64), Event>,
    count: u64,
    sites: Vec<Site>,
    office: Office,
    /// Nothing goes wrong any more.
    calm: bool,
    is_crooked: bool,
    commits: u64,
    met: Met,
    trace: Trace,
}

impl TwoSites {
    fn new(seed: u64, trace: Trace) -> Result<Self, String> {
        let mut rng = Seed::for_part(seed, "two sites");
        let ids = SITES.map(|name| SiteId::new(name).expect("a word is a site id"));
        let keys = [[7; 32], [8; 32]];
        let publics = keys.map(|key| SigningKey::from_seed(key).public());
        let known = ids.iter().cloned().zip(publics).collect();
        let office = Office::new(rng.below(2) == 0, known)?;
        let sites = ids.into_iter().zip(keys).map(|(id, key)| {
            let of_site = Seed::for_part(seed, id.as_str()).next_u64();
            Site::new(World::of_site(id, true, of_site, trace.clone()), key, office.key())
        });
        Ok(Self {
            now: 0,
            events: BTreeMap::new(),
            count: 0,
            sites: sites.collect(),
            office,
            calm: false,
            is_crooked: seed.is_multiple_of(CROOKED_IN),
            commits: 0,
            met: Met::default(),
            trace,
            rng,
        })
    }

    fn live(mut self) -> Result<Report, String> {
        self.office_starts()?;
        self.plan_offices_loss();
        for site in 0..self.sites.len() {
            self.sites[site].world.open()?;
            self.plan_agents_death(site);
            let up = self.between(SECOND, 30 * MINUTE);
            let switch = 0;
            self.after(up, Event::Wan { site, up: true, switch });
        }
        let mut healed = None;
        loop {
            self.step()?;
            if self.count > STEPS_MAX {
                return Err("it does not come to an end".to_owned());
            }
            if !self.sites.iter().all(|site| site.over) {
                continue;
            }
            let at = *healed.get_or_insert(self.now);
            if !self.calm {
                self.calm = true;
                (0..self.sites.len()).for_each(|site| self.switch_wan(site, true));
            }
            if self.sites.iter().all(Site::is_everywhere) {
                break;
            }
            if self.now > at + HEALED_WITHIN {
                let far = |site: &Site| (site.copy.head.seq, site.world.oracle.head, site.courier.progress());
                let far: Vec<_> = self.sites.iter().map(far).collect();
                return Err(format!("the lines are up, and head office has {far:?}"));
            }
        }
        self.check_the_end()?;
        if self.is_crooked {
            self.check_that_bills_are_rated_again()?;
        }
        Ok(Report {
            facts: self.sites.iter().map(|site| site.world.oracle.head).sum(),
            commits: self.commits,
            crashes: self.sites.iter().map(|site| site.world.report.crashes).sum(),
            lasted_ms: self.now,
            met: self.met,
        })
    }

    /// The next thing that happens, wherever it is.
    fn step(&mut self) -> Result<(), String> {
        let mut next: Vec<(Time, Next)> = Vec::with_capacity(6);
        next.extend(self.events.first_key_value().map(|(key, _)| (key.0, Next::Event)));
        for (at, site) in self.sites.iter().enumerate() {
            if !site.over {
                next.push((site.world.next()?.0, Next::World(at)));
            }
            let deadline = site.courier.next_deadline();
            next.extend(deadline.map(|due| (due.0, Next::Courier(at))));
        }
        next.extend(self.office.due().map(|due| (due, Next::Desks)));
        let next = next.into_iter().min_by_key(|(at, _)| *at);
        let (at, next) = next.ok_or("nothing will ever happen again")?;
        self.now = self.now.max(at);
        self.count += 1;
        match next {
            Next::Event => match self.events.pop_first() {
                Some((_, event)) => self.happen(event),
                None => Ok(()),
            },
            Next::World(site) => self.live_on(site),
            Next::Courier(site) => self.tell_courier(site, sync::courier::Input::Tick),
            Next::Desks => self.desks_say(),
        }
    }

    fn live_on(&mut self, site: usize) -> Result<(), String> {
        let name = SITES[site];
        let world = &mut self.sites[site].world;
        world.step().map_err(|what| format!("{name}: {what}"))?;
        if world.is_over().map_err(|what| format!("{name}: {what}"))? {
            world.check_at_the_end().map_err(|what| format!("{name}: {what}"))?;
            // It is not looked after any more, so its power stays.
            if let Some(process) = &world.process {
                process.disk.clear_fuse();
            }
            self.sites[site].over = true;
        }
        self.look_at(site)
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Asks { site, agent, ask } => {
                self.asks(site, agent, ask)?;
                self.look_at(site)
            }
            Event::Arrives {
                site,
                connection,
                kind,
                bytes,
                passes,
            } => self.arrives(site, connection, kind, bytes, passes),
            Event::Wan { site, up, switch } if switch == self.sites[site].line.switches => {
                self.switch_wan(site, up);
                Ok(())
            }
            Event::Wan { .. } => Ok(()),
            Event::Connects { site } => self.connects(site),
            Event::Notices { site, connection } => self.notices(site, connection),
            Event::AgentStarts { site } => {
                self.agent_starts(site);
                Ok(())
            }
            Event::OfficeStarts => self.office_starts(),
            Event::OfficeIsReplaced => self.office_is_replaced(),
            Event::OfficeWakes => self.office_wakes(),
            Event::OfficeIsCopied => self.office_is_copied(),
            Event::OfficeIsLost => self.office_is_lost(),
            Event::PeopleLook => self.people_look(),
        }
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    fn at(&mut self, at: Time, event: Event) {
        self.count += 1;
        self.events.insert((at.max(self.now), self.count), event);
    }

    /// From `least` to less than `most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.rng.below(most - least)
    }

    fn note(&self, step: impl FnOnce() -> String) {
        self.trace.note(self.now, step);
    }
}

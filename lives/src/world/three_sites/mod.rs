//! The lives of three sites and a head office from one seed, in virtual time: worlds of one station each, and between them and head
//! office the line, with everything that can befall it and its ends; and members whose money travels.
//!
//! | module | holds |
//! |---|---|
//! | here | the clock that all of them share, and what happens by it |
//! | `station` | a station's end of the line: its own store and keys; and the courier |
//! | `line` | connections and messages |
//! | `office` | head office: the desk's core, ingest, the database |
//! | `restoring` | head office's database, lost and restored from a copy |
//! | `money` | what members and people do at head office: pay in, order, lease, recall, carry vouchers, freeze, block |
//! | `after_sales` | what people at head office decide of orders that were charged |
//! | `directing` | what head office has stations do, on its way |
//! | `forking` | a station goes on alone, and people say which branch lives |
//! | `copy` | what must be true of the copies after every commit, and at the end |
//! | `books` | what must be true of the money |
//! | [`coverage`], [`races`] | what went wrong, what met what, and how often |
//!
//! Each life ends with a line that is up and everything that waits delivered. One thing follows the other, on one thread; the
//! database has its own, which is waited for.

mod after_sales;
mod asking;
mod books;
mod copy;
pub mod coverage;
mod directing;
mod forking;
mod line;
mod money;
mod office;
pub mod races;
mod restoring;
mod station;

use self::books::Purses;
use super::{Failure, HOUR, MINUTE, SECOND, Time, Trace, World, lived};
use crate::seed::Seed;
use coverage::Met;
use domain::ids::SiteId;
use money::Deed;
use office::Office;
use protocol::{key::SigningKey, topic::Kind};
use races::Races;
use station::{Ask, Site};
use std::collections::{BTreeMap, BTreeSet};

/// The sites, which have piles and orders of the same names, and members of head office's who come to all of them.
const SITES: [&str; 3] = ["north", "south", "west"];
/// In one of so many lives another site rates a bill otherwise.
const CROOKED_IN: u64 = 3;
/// In one of so many a station is older than head office.
const OLDER_IN: u64 = 4;
/// In one of so many head office changes its key.
const ROTATES_IN: u64 = 4;
/// No life takes more steps than this.
const STEPS_MAX: u64 = 5_000_000;
/// How long after the lines are healed head office must have everything: the longest voucher has ended by then.
const HEALED_WITHIN: Time = 5 * HOUR;

/// What a life came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Orders of all sites, those among them that a lost disk has taken.
    pub orders: u64,
    /// Those of the life that had the fewest.
    pub orders_least: u64,
    /// Journal entries of all sites.
    pub facts: u64,
    /// Commits at head office that followed a batch, or found that it was there.
    pub commits: u64,
    /// Times a station started again from its disk, restores included.
    pub crashes: usize,
    /// How long it lasted, in milliseconds of the world.
    pub lasted_ms: u64,
    /// What went wrong.
    pub met: Met,
    /// What met what.
    pub races: Races,
}

impl Report {
    /// What another life came to.
    pub fn add(&mut self, other: &Self) {
        self.orders_least = match self.orders {
            0 => other.orders,
            _ => self.orders_least.min(other.orders),
        };
        self.orders += other.orders;
        self.races.add(&other.races);
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
    lived(seed, "three_sites", |seed, trace| {
        ThreeSites::new(seed, trace.clone())?.live()
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
    /// What was issued to a site and not answered is due again.
    DirectsAgain {
        site: usize,
    },
    /// Whether head office has gone silent to a station.
    LineSilent {
        site: usize,
    },
    /// Somebody at a station does not wait for what head office has.
    GoesAlone {
        site: usize,
    },
    /// People say which branch of a site's journal lives.
    PeopleAccept {
        site: usize,
    },
    /// Somebody at head office wants to know something of a site, as long as this connection stands.
    AsksSite {
        site: usize,
        connection: u64,
    },
    /// Somebody does something with members' money.
    Deed(Deed),
}

/// Whose turn it is.
enum Next {
    Event,
    World(usize),
    Courier(usize),
    Desks,
}

struct ThreeSites {
    now: Time,
    rng: Seed,
    /// What is decided of orders that were charged: a stream of its own.
    after_sales: Seed,
    /// What is asked of stations, and when.
    asking: Seed,
    /// The number of the last question.
    questions: u64,
    events: BTreeMap<(Time, u64), Event>,
    count: u64,
    sites: Vec<Site>,
    office: Office,
    /// Nothing goes wrong any more.
    calm: bool,
    is_crooked: bool,
    /// Head office is to sign with another key.
    rotates_key: bool,
    commits: u64,
    met: Met,
    races: Races,
    purses: Purses,
    /// The sites that something was issued to by the batch that is being taken.
    rung: BTreeSet<SiteId>,
    trace: Trace,
}

impl ThreeSites {
    fn new(seed: u64, trace: Trace) -> Result<Self, String> {
        let (mut rng, after_sales) = (Seed::for_part(seed, "three sites"), Seed::for_part(seed, "after sales"));
        let ids = SITES.map(|name| SiteId::new(name).expect("a word is a site id"));
        let keys = [[7; 32], [8; 32], [9; 32]];
        let publics = keys.map(|key| SigningKey::from_seed(key).public());
        let known = ids.iter().cloned().zip(publics).collect();
        let office = Office::new(rng.below(2) == 0, known, Seed::for_part(seed, "head office"))?;
        let sites = ids.into_iter().zip(keys).zip(1..).map(|((id, key), number)| {
            let of_site = Seed::for_part(seed, id.as_str()).next_u64();
            let world = World::of_site(id, Some(number), of_site, trace.clone());
            Site::new(world, key, office.key())
        });
        let mut sites: Vec<Site> = sites.collect();
        if seed % OLDER_IN == 1 {
            // One of the stations is older than head office, and does not know a kind of directive.
            let at = seed / OLDER_IN;
            let kinds = ["lease", "card", "block"];
            let [site, kind] = [at, at / 3].map(|n| usize::try_from(n % 3).unwrap_or(0));
            sites[site].cannot_read = Some(kinds[kind]);
        }
        Ok(Self {
            now: 0,
            events: BTreeMap::new(),
            count: 0,
            sites,
            office,
            calm: false,
            is_crooked: seed.is_multiple_of(CROOKED_IN),
            rotates_key: seed % ROTATES_IN == 2,
            commits: 0,
            met: Met::default(),
            races: Races::default(),
            purses: Purses::default(),
            rung: BTreeSet::new(),
            trace,
            rng,
            after_sales,
            asking: Seed::for_part(seed, "asking"),
            questions: 0,
        })
    }

    fn live(mut self) -> Result<Report, String> {
        self.office_starts()?;
        self.members_join()?;
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
            if self.sites.iter().all(Site::is_everywhere) && self.is_settled()? {
                break;
            }
            if self.now > at + HEALED_WITHIN {
                let far = |site: &Site| (site.copy.head.seq, site.world.oracle.head, site.courier.progress());
                let far: Vec<_> = self.sites.iter().map(far).collect();
                let waits = self.what_waits()?;
                return Err(format!("the lines are up, and head office has {far:?}; {waits}"));
            }
        }
        self.check_the_end()?;
        if self.is_crooked {
            self.check_that_bills_are_rated_again()?;
        }
        let orders = self.sites.iter().map(|site| site.world.orders.len() as u64).sum();
        Ok(Report {
            orders,
            orders_least: orders,
            facts: self.sites.iter().map(|site| site.world.oracle.head).sum(),
            commits: self.commits,
            crashes: self.sites.iter().map(|site| site.world.report.crashes).sum(),
            lasted_ms: self.now,
            met: self.met,
            races: self.races,
        })
    }

    /// The next thing that happens, wherever it is.
    fn step(&mut self) -> Result<(), String> {
        let mut next: Vec<(Time, Next)> = Vec::with_capacity(6);
        next.extend(self.events.first_key_value().map(|(key, _)| (key.0, Next::Event)));
        for (at, site) in self.sites.iter().enumerate() {
            next.push((site.world.next()?.0, Next::World(at)));
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
        let here = &mut self.sites[site];
        let (world, was_over) = (&mut here.world, here.over);
        world.step().map_err(|what| format!("{name}: {what}"))?;
        if !was_over && world.is_over().map_err(|what| format!("{name}: {what}"))? {
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
            Event::OfficeIsCopied => self.office_is_copied_again(),
            Event::OfficeIsLost => self.office_is_lost(),
            Event::PeopleLook => self.people_look(),
            Event::DirectsAgain { site } => self.directs_again(site),
            Event::LineSilent { site } => {
                self.line_is_silent(site);
                Ok(())
            }
            Event::GoesAlone { site } => self.goes_alone(site),
            Event::PeopleAccept { site } => self.people_accept(site),
            Event::AsksSite { site, connection } => self.asks_site(site, connection),
            Event::Deed(deed) => self.is_done(deed),
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

//! A station's life from one seed, in virtual time: piles, network, drivers, the desk, clocks, crashes and restores around
//! the daemon's own writer and store on a simulated disk.
//!
//! | module | holds |
//! |---|---|
//! | here | the world's clock, its events, what starts and ends it |
//! | `station`, `recovering` | the box: the writer and store of `edge`, in virtual time; after a restore, with a head office |
//! | [`disk`] | what a power cut leaves of what was not synced |
//! | `net`, `traffic` | connections, and what passes over them |
//! | `drivers`, `people` | who comes, plugs, swipes, pays, decides |
//! | `faults`, [`coverage`] | what goes wrong, aimed at orders in every state; the table of what met what |
//! | `oracle`, `prices`, `physics`, `registers` | what the books must say, by nobody's sums but the world's own |
//! | `illtyped` | fields that cannot be read, where no money hangs on them |
//! | `trace` | the steps of a life, for whoever looks for what went wrong |
//! | `checks` | what must be true after every step, after every crash and at the end |
//! | [`three_sites`] | three of these worlds, with a head office and the money of its members |
//!
//! The same seed is the same life; [`live_through`] says what failed and which command shows it again.

mod checks;
pub mod coverage;
pub mod disk;
mod drivers;
mod faults;
mod illtyped;
mod net;
mod oracle;
mod people;
mod physics;
mod prices;
mod recovering;
mod registers;
mod station;
pub mod three_sites;
mod trace;
mod traffic;

use crate::{
    pile::{self, Pile},
    seed::Seed,
};
use coverage::{Coverage, Oddity};
use domain::{
    ids::{CardId, MemberId, OrderId, Outlet, PileId, SiteId},
    messages::Down,
    notice::Notice,
    policy::Policy,
    site::Rejected,
    time::{Mono, Zone},
    units::{Energy, Fen, Power},
};
use drivers::{Visit, Want};
use edge::store::Store;
use faults::Planned;
use net::Links;
use oracle::Oracle;
use people::Desk;
use physics::Physics;
use recovering::Recovering;
use station::{Process, Turned};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};
use trace::Trace;

/// Milliseconds since the world began.
type Time = u64;

const SECOND: Time = 1_000;
const MINUTE: Time = 60 * SECOND;
const HOUR: Time = 60 * MINUTE;

/// In one of so many lives a contact bounces.
const BOUNCES_IN: u64 = 20;
/// That long after its beginning.
const BOUNCES_AFTER: Time = 3 * HOUR;
/// No life takes more events than this.
const EVENTS_MAX: u64 = 3_000_000;
/// How long after the last customer everything must have come to an end: the longest silence, a day for the remainder of
/// an estimate, and people who take their time.
const AFTERLIFE: Time = 190 * HOUR;
/// For how long piles must have had nothing but their registers to tell of before the last report.
const REST: Time = 3 * HOUR;

/// What a life came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Sessions that piles began.
    pub sessions: usize,
    /// Orders that were placed.
    pub orders: usize,
    /// Times the station started again from its disk, restores included.
    pub crashes: usize,
    /// Times a network was cut.
    pub partitions: usize,
    /// Steps of the station's clock.
    pub clock_steps: usize,
    /// Journal entries.
    pub facts: u64,
    /// Commits.
    pub commits: u64,
    /// How long it lasted, in milliseconds of the world.
    pub lasted_ms: u64,
    /// Which fault met which state.
    pub coverage: Coverage,
}

/// What went wrong in a life, and when.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which life.
    pub seed: u64,
    /// The test that lives it.
    pub test: &'static str,
    /// What was not as it must be.
    pub what: String,
    /// The last steps before.
    pub steps: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "  {step}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        write!(
            f,
            "to see it again: HOLDFAST_SEED={} cargo test -p holdfast-tests --test {}",
            self.seed, self.test
        )
    }
}

/// Lives one life.
///
/// # Errors
/// What was not as it must be, with the steps that led to it.
pub fn live_through(seed: u64) -> Result<Report, Failure> {
    lived(seed, "world", |seed, trace| World::new(seed, trace.clone()).live())
}

/// Lives a life, and where something was not as it must be the same again.
fn lived<T>(seed: u64, test: &'static str, live: impl Fn(u64, &Trace) -> Result<T, String>) -> Result<T, Failure> {
    // Whoever asks for steps has those of a life that goes well too.
    let told = std::env::var_os("HOLDFAST_STEPS")
        .map(|_| Trace::on())
        .unwrap_or_default();
    match attempt(seed, &told, &live) {
        Ok(report) => {
            told.take().iter().for_each(|step| eprintln!("  {step}"));
            Ok(report)
        }
        Err(what) => {
            // The same again, and this time the steps are written down.
            let trace = Trace::on();
            let again = attempt(seed, &trace, &live).err();
            let what = match again {
                Some(again) if again == what => what,
                again => format!("{what} (and not the same when it was lived again: {again:?})"),
            };
            Err(Failure {
                seed,
                test,
                what,
                steps: trace.take(),
            })
        }
    }
}

/// The stored bytes of every entry that a life's station has in its journal at the end.
///
/// # Errors
/// What was not as it must be.
pub fn journal_of(seed: u64) -> Result<Vec<Vec<u8>>, String> {
    let mut world = World::new(seed, Trace::default());
    world.live()?;
    let process = world.process.as_ref().ok_or("the station is off at the end")?;
    let entries = process.journal(0).map_err(|error| error.to_string())?;
    Ok(entries.into_iter().map(|(_, _, bytes)| bytes).collect())
}

fn attempt<T>(seed: u64, trace: &Trace, live: &impl Fn(u64, &Trace) -> Result<T, String>) -> Result<T, String> {
    let life = AssertUnwindSafe(|| live(seed, trace));
    catch_unwind(life).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Something that will happen.
enum Event {
    /// A connection that a pile asked for stands, or could not be made.
    LinkMade {
        pile: usize,
        attempt: u64,
    },
    LinkFails {
        pile: usize,
        attempt: u64,
    },
    /// A publish reaches the station.
    Up(traffic::Parcel),
    /// A message reaches a pile.
    Down {
        pile: usize,
        attempt: u64,
        message: Box<Down>,
    },
    Puback {
        pile: usize,
        attempt: u64,
        token: u64,
    },
    /// One side finds out that the connection is gone.
    StationNotices {
        pile: usize,
        attempt: u64,
        dropped: bool,
    },
    PileNotices {
        pile: usize,
        attempt: u64,
    },
    /// The commit of process `process` may be seen.
    Released {
        process: u64,
    },
    /// The station is switched on again.
    Restart {
        image: Vec<u8>,
        away: bool,
        down_since: Time,
    },
    /// A request reaches the station, an answer whoever asked.
    Asked(u64),
    Answered {
        request: u64,
        answer: Result<String, Rejected>,
    },
    /// Somebody comes to a pile, or looks after a car there.
    Driver {
        pile: usize,
    },
    /// The desk looks around.
    Desk,
    /// The power of a pile is back.
    PowerBack {
        pile: usize,
    },
    /// The station's clock is set right again.
    ClockSet {
        by_ms: i64,
    },
    /// Something tells a station that had lost its clock what time it is.
    ClockFound,
    /// A car goes on taking.
    Resume {
        pile: usize,
    },
    /// A pile speaks of its connector again.
    SpeaksAgain {
        pile: usize,
    },
    /// A copy of the database is made.
    Backup,
    /// The contact of a connector bounces.
    Bounce {
        pile: usize,
    },
    /// The last customer has left.
    Close,
}

/// Whose turn it is.
enum Next {
    Event,
    Wake {
        pile: usize,
    },
    /// The station's loop.
    Turn,
}

/// A pile and who is at it.
struct Unit {
    id: PileId,
    pile: Pile,
    power: Power,
    /// How often it was replaced by another.
    replaced: u32,
    visit: Option<Visit>,
    /// How it was told to behave.
    behaviours: Vec<pile::Behaviour>,
    /// That makes its records wrong.
    lies: bool,
    /// The step in which its register shows what it has counted.
    step: Energy,
    /// Where its register begins again at zero.
    rolls_over_at: Option<Energy>,
    /// How its clock is odd when its power is back, if it is.
    clock_oddity: Option<Oddity>,
    newest_first: bool,
    /// It says nothing of its connector.
    hushed: bool,
    /// Since when it does.
    speaks_since: Time,
}

impl Unit {
    /// It is of this make now.
    fn take_on(&mut self, spec: &pile::PileSpec) {
        self.step = spec.connectors[0].step;
        self.rolls_over_at = spec.connectors[0].rolls_over_at;
        self.newest_first = spec.newest_first;
        self.clock_oddity = match spec.clock.map(|clock| clock.at_power_on) {
            Some(pile::ClockAtPowerOn::Resets(_)) => Some(Oddity::DeadPileClock),
            Some(pile::ClockAtPowerOn::IsSet(_)) => Some(Oddity::PileClockSet),
            Some(pile::ClockAtPowerOn::GoesOn) | None => None,
        };
    }
}

/// A copy of the database, and what the books said then.
struct Backup {
    image: Vec<u8>,
    committed_at: Time,
    oracle: Oracle,
}

struct World {
    site: SiteId,
    /// What it loses by a restore comes back from there: the number that it has there.
    head_office: Option<u64>,
    /// What drivers want of head office, and nobody has looked at.
    wants: Vec<Want>,
    /// What became of directives that were handed on.
    handed: Vec<(u64, Result<(), String>)>,
    now: Time,
    rng: Seed,
    events: BTreeMap<(Time, u64), Event>,
    count: u64,
    policy: Policy,
    process: Option<Process>,
    /// It waits for what head office has beyond the copy.
    recovering: Option<Recovering>,
    /// Which process it is: what belongs to an earlier one is not heard.
    processes: u64,
    random_of_process: Seed,
    /// Which messages have a field that cannot be read.
    illtyped: u64,
    units: Vec<Unit>,
    links: Links,
    members: Vec<(MemberId, CardId)>,
    desk: Desk,
    oracle: Oracle,
    physics: Physics,
    /// When the journal told of cars that come and go, by connector; of this process of the station.
    comings_and_goings: BTreeMap<Outlet, VecDeque<Mono>>,
    backup: Option<Backup>,
    /// Whom the journal says that the station tells what, of the entries since the last commit was let be seen.
    to_tell: Vec<(MemberId, OrderId, Notice)>,
    /// When the station last wrote what it knew.
    committed_at: Time,
    restores: u32,
    /// What orders had been charged by the entries of the disk that was last lost.
    gone_with_disk: BTreeMap<OrderId, i64>,
    planned: VecDeque<Planned>,
    /// When a pile was last replaced so that an estimate follows.
    prepared: Option<Time>,
    /// The box is on, whatever of its programs runs.
    has_power: bool,
    /// The next commit is followed by silence.
    silent_next: bool,
    fuse_lit: bool,
    sessions_wanted: usize,
    closing: Option<Time>,
    /// Since when nothing has been left to do, but to tell of it.
    at_rest: Option<Time>,
    report: Report,
    /// Every order that its journals have told of, those among them that a lost disk has taken.
    orders: BTreeSet<OrderId>,
    trace: Trace,
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        Self::of_site(station::site(), None, seed, trace)
    }

    fn of_site(site: SiteId, head_office: Option<u64>, seed: u64, trace: Trace) -> Self {
        let mut rng = Seed::for_part(seed, "world");
        let mut policy = Policy {
            review_above: Fen(4_000),
            offline_sessions: rng.below(2) == 0,
            offline_session_cap: Fen(3_000),
            time_zone: Zone::named("Asia/Shanghai").expect("the zone is among those of jiff"),
            head_office: head_office.is_some(),
            site_number: head_office,
            ..Policy::default()
        };
        if head_office.is_some() {
            // Two sites would wait for the third until its piles that are gone are given up, and nothing would happen meanwhile.
            policy.remainder_ms = 6 * HOUR;
            policy.gone_ms = 12 * HOUR;
        }
        let mut world = Self {
            site,
            head_office,
            wants: Vec::new(),
            handed: Vec::new(),
            now: 0,
            events: BTreeMap::new(),
            count: 0,
            policy,
            process: None,
            recovering: None,
            processes: 0,
            random_of_process: Seed::for_part(seed, "station"),
            illtyped: Seed::for_part(seed, "illtyped").next_u64(),
            units: Vec::new(),
            links: Links::new(),
            members: Vec::new(),
            desk: Desk::default(),
            oracle: Oracle::default(),
            physics: Physics::default(),
            comings_and_goings: BTreeMap::new(),
            backup: None,
            to_tell: Vec::new(),
            committed_at: 0,
            restores: 0,
            gone_with_disk: BTreeMap::new(),
            planned: VecDeque::new(),
            prepared: None,
            has_power: true,
            silent_next: false,
            fuse_lit: false,
            sessions_wanted: usize::try_from(rng.below(5)).unwrap_or(0) + if head_office.is_some() { 15 } else { 20 },
            closing: None,
            at_rest: None,
            report: Report::default(),
            orders: BTreeSet::new(),
            trace,
            rng,
        };
        world.populate(seed);
        world.planned = faults::plan(&mut world.rng, world.sessions_wanted, head_office.is_some());
        if seed.is_multiple_of(BOUNCES_IN) {
            world.after(BOUNCES_AFTER, Event::Bounce { pile: 0 });
        }
        world
    }

    /// Lives until everything has come to an end.
    fn live(&mut self) -> Result<Report, String> {
        self.open()?;
        while !self.is_over()? {
            self.step()?;
            if self.count > EVENTS_MAX {
                return Err("it does not come to an end".to_owned());
            }
        }
        self.check_at_the_end()?;
        self.report.sessions = self.physics.started;
        self.report.orders = self.oracle.rows.orders.len();
        self.report.facts = self.oracle.head;
        self.report.lasted_ms = self.now;
        Ok(self.report.clone())
    }

    /// What happens next, and when.
    fn next(&self) -> Result<(Time, Next), String> {
        let event = self.events.first_key_value().map(|(key, _)| (key.0, Next::Event));
        let wakes = self.units.iter().enumerate();
        let wakes = wakes.filter_map(|(at, unit)| Some((unit.pile.next_wake()?.0, at)));
        let wake = wakes.min().map(|(at, pile)| (at, Next::Wake { pile }));
        let process = self.process.as_ref();
        let turn = process
            .and_then(|process| process.due(self.now))
            .map(|at| (at, Next::Turn));
        // Of those that are due at once the first.
        let next = [event, wake, turn].into_iter().flatten().min_by_key(|(at, _)| *at);
        next.ok_or_else(|| "nothing will ever happen again".to_owned())
    }

    /// The next thing that happens, wherever it is.
    fn step(&mut self) -> Result<(), String> {
        let (at, next) = self.next()?;
        self.now = self.now.max(at);
        self.count += 1;
        match next {
            Next::Event => match self.events.pop_first() {
                Some((_, event)) => self.happen(event),
                None => Ok(()),
            },
            Next::Wake { pile } => self.tell_pile(pile, pile::Input::Wake),
            Next::Turn => self.turn(),
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::LinkMade { pile, attempt } => self.link_made(pile, attempt),
            Event::LinkFails { pile, attempt } => self.link_fails(pile, attempt, "no answer"),
            Event::Up(parcel) => self.up(parcel),
            Event::Down { pile, attempt, message } => self.down(pile, attempt, message),
            Event::Puback { pile, attempt, token } => self.puback(pile, attempt, token),
            Event::StationNotices { pile, attempt, dropped } => {
                self.station_notices(pile, attempt, dropped);
                Ok(())
            }
            Event::PileNotices { pile, attempt } => self.pile_notices(pile, attempt),
            Event::Released { process } if process == self.processes => self.released(),
            Event::Released { .. } => Ok(()),
            Event::Restart {
                image,
                away,
                down_since,
            } => self.restart(image, away, down_since),
            Event::Asked(request) => {
                self.request_arrives(request);
                Ok(())
            }
            Event::Answered { request, answer } => self.answered(request, answer),
            Event::Driver { pile } => self.look_after(pile),
            Event::Desk => {
                self.desk_looks_around();
                self.check_stops()?;
                self.check_that_nothing_hangs()?;
                self.pursue_faults()
            }
            Event::PowerBack { pile } => self.tell_pile(pile, pile::Input::Act(pile::Act::PowerOn)),
            Event::ClockSet { by_ms } => {
                self.step_clock(by_ms);
                Ok(())
            }
            Event::ClockFound => {
                self.find_the_clock();
                Ok(())
            }
            Event::Resume { pile } => self.resume(pile),
            Event::SpeaksAgain { pile } => self.speaks_again(pile),
            Event::Backup => {
                self.make_backup();
                Ok(())
            }
            Event::Bounce { pile } => self.bounce(pile),
            Event::Close => self.close(),
        }
    }

    /// One turn of the station's loop.
    fn turn(&mut self) -> Result<(), String> {
        let Some(process) = self.process.as_mut() else {
            return Ok(());
        };
        let trusted = self.physics.clock_lost_ms.is_none();
        let turned = process.turn(self.now, self.physics.clock_off_ms, trusted);
        match turned.map_err(|error| format!("the store failed: {error}"))? {
            Turned::PowerGone => {
                self.note(|| "the power went in the middle of a commit".to_owned());
                self.fuse_lit = false;
                self.strike_everywhere(coverage::Fault::TornCommit);
                self.power_cut();
            }
            Turned::Committed { facts } if facts && self.silent_next => {
                self.note(|| "the power went after a commit, before anybody was told".to_owned());
                self.silent_next = false;
                self.committed_at = self.now;
                self.strike_everywhere(coverage::Fault::SilentCommit);
                self.power_cut();
            }
            Turned::Committed { .. } => {
                self.report.commits += 1;
                self.committed_at = self.now;
                let takes = match self.rng.below(100) {
                    0 => self.rng.below(3 * SECOND),
                    _ => 1 + self.rng.below(25),
                };
                let process = self.processes;
                self.after(takes, Event::Released { process });
            }
        }
        Ok(())
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

    fn chance(&mut self, in_hundred: u64) -> bool {
        self.rng.below(100) < in_hundred
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.rng.below(from.len() as u64)).unwrap_or(0)]
    }

    fn note(&self, step: impl FnOnce() -> String) {
        self.trace.note(self.now, || match self.head_office.is_some() {
            true => format!("{}: {}", self.site, step()),
            false => step(),
        });
    }

    /// The store of a station that runs.
    fn store(&self) -> Option<&Store> {
        let process = self.process.as_ref().map(|process| &process.store);
        process.or_else(|| self.recovering.as_ref().map(|recovering| &recovering.store))
    }

    fn mono(&self) -> Mono {
        Mono(self.now)
    }

    /// The number of a pile among the units.
    fn unit_of(&self, pile: &PileId) -> Option<usize> {
        self.units.iter().position(|unit| unit.id == *pile)
    }

    /// Whether everything has come to an end; an error if it takes too long. What is found on a day is said in its report:
    /// the last one is made when there has been nothing left to find for a while.
    fn is_over(&mut self) -> Result<bool, String> {
        let Some(closed) = self.closing.filter(|at| self.now > *at + HOUR) else {
            return Ok(false);
        };
        let open = self.oracle.rows.orders().find(|order| order.state.is_open());
        let pile = self.units.iter().find(|unit| {
            let status = unit.pile.status();
            let link = self.links.get(&unit.id);
            let linked = link.is_some_and(|link| link.pile_side.is_some() && link.pile_side == link.station_side);
            status.unacked_records > 0 || status.charging > 0 || !linked || unit.hushed
        });
        let doubted = self.oracle.doubted_meters().next();
        let item = self.oracle.quarantine.iter().find(|(_, item)| item.open);
        let request = self.desk.open().next();
        let lost = self.physics.clock_lost_ms.is_some();
        let busy = self
            .process
            .as_ref()
            .is_none_or(|process| process.under_way.is_some() || !process.waiting.is_empty());
        let waits =
            open.is_some() || pile.is_some() || doubted.is_some() || item.is_some() || lost || self.process.is_none();
        let day = self.oracle.rows.energy.open.keys().next();
        if self.now > closed + AFTERLIFE {
            let open = open.map(|order| (&order.id, order.state));
            let pile = pile.map(|unit| &unit.id);
            let item = item.map(|(number, _)| number);
            return Err(format!(
                "not at an end: order {open:?}, pile {pile:?}, meter {doubted:?}, quarantine {item:?}, request {request:?}, \
                 day {day:?}"
            ));
        }
        if waits {
            self.at_rest = None;
            return Ok(false);
        }
        let at_rest = *self.at_rest.get_or_insert(self.now);
        // Lives with a head office do not wait for the last report, and are not asked for their energy: those of one station are.
        let reported = day.is_none() && self.oracle.reported_at.is_some_and(|at| at > at_rest + REST);
        Ok((reported || self.head_office.is_some()) && !busy && request.is_none())
    }
}

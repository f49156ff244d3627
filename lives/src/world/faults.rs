//! What goes wrong, and when: each fault is aimed at an order that stands in a certain state and strikes when one does.

use super::{
    Backup, Event, HOUR, MINUTE, SECOND, Time, World,
    coverage::{Fault, Standing},
    drivers::CONNECTOR,
    people::Asked,
    station::{self, Process},
};
use crate::{
    pile::{Act, Flash, Input, Pile},
    seed::Seed,
};
use domain::{ids::ConnectorNo, order::State, site::Input as SiteInput, units::Energy};
use edge::{station::writer::Work, store::AfterRestore};
use std::collections::{BTreeSet, VecDeque};

/// How long a fault waits for an order to stand as it wants it.
const PATIENCE: Time = HOUR;
/// What a clock without a battery shows, in milliseconds since 1970: late enough to be put back by some hours.
const RESET_TO_MS: i64 = 36_000_000;

/// A fault to come.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    fault: Fault,
    aim: Standing,
    /// After so many sessions have begun.
    after: usize,
    armed: Option<Time>,
    /// Not before then.
    not_before: Time,
}

/// At least three crashes, two partitions and a step of the clock in every life, and as much again of anything. With a head
/// office there are more piles that charge and say nothing, so that estimates come before records.
pub(super) fn plan(rng: &mut Seed, sessions: usize, head_office: bool) -> VecDeque<Planned> {
    // Where there are three stations, each has less of everything.
    let (more, silences) = if head_office { (7, 2) } else { (13, 0) };
    let crashes = [Fault::PowerCut, Fault::TornCommit, Fault::SilentCommit, Fault::Killed];
    let cuts = [Fault::Partition, Fault::SwitchDead];
    let mut pick = |from: &[Fault]| from[usize::try_from(rng.below(from.len() as u64)).unwrap_or(0)];
    let mut faults = vec![
        pick(&crashes),
        pick(&crashes),
        pick(&crashes),
        pick(&cuts),
        pick(&cuts),
        Fault::ClockStep,
    ];
    for _ in 0..more {
        faults.push(pick(&Fault::ALL));
    }
    faults.extend((0..silences).map(|_| Fault::Silence));
    for last in (1..faults.len()).rev() {
        faults.swap(last, usize::try_from(rng.below(last as u64 + 1)).unwrap_or(0));
    }
    let many = faults.len();
    let planned = faults.into_iter().enumerate().map(|(n, fault)| Planned {
        fault,
        aim: match fault {
            Fault::Silence if silences > 0 => Standing::Charging,
            _ => Standing::ALL[usize::try_from(rng.below(8)).unwrap_or(0)],
        },
        after: 1 + n * (sessions - 1) / many,
        armed: None,
        not_before: 0,
    });
    planned.collect()
}

type Step = Result<(), String>;

/// What a register counted from one reading to another, which may lie behind its last digit.
fn counted(from: Energy, to: Energy, digits: Option<Energy>) -> Energy {
    let counted = to - from;
    digits.map_or(counted, |digits| Energy(counted.0.rem_euclid(digits.0)))
}

impl World {
    /// Lets the next fault strike if its time has come.
    pub(super) fn pursue_faults(&mut self) -> Step {
        if self.closing.is_none() && self.planned.is_empty() && self.physics.started >= self.sessions_wanted {
            self.closing = Some(self.now);
            self.after(MINUTE, Event::Close);
        }
        let Some(planned) = self.planned.front_mut() else {
            return Ok(());
        };
        if self.physics.started < planned.after || self.process.is_none() || self.fuse_lit || self.silent_next {
            return Ok(());
        }
        let armed = *planned.armed.get_or_insert(self.now);
        if self.now < planned.not_before {
            return Ok(());
        }
        let Planned { fault, aim, .. } = planned.clone();
        let target = self.oracle.rows.orders().find(|order| Standing::of(order) == aim);
        let target = target.map(|order| order.outlet.pile.clone());
        if target.is_none() && self.now < armed + PATIENCE {
            return Ok(());
        }
        if target.is_none() && aim == Standing::Estimated && self.now < armed + 2 * PATIENCE {
            return self.lead_to_an_estimate();
        }
        self.planned.pop_front();
        let gap = self.between(SECOND, 15 * MINUTE);
        if let Some(next) = self.planned.front_mut() {
            next.not_before = self.now + gap;
        }
        let pile = target.and_then(|pile| self.unit_of(&pile));
        let pile = pile.unwrap_or(usize::try_from(self.rng.below(self.units.len() as u64)).unwrap_or(0));
        self.strike(fault, pile)
    }

    /// Estimates are rare: a pile that loses its memory while it charges leads to one, within half an hour.
    fn lead_to_an_estimate(&mut self) -> Step {
        let missing = self
            .oracle
            .rows
            .orders()
            .any(|order| order.deadline.is_some() && order.state == State::Charging);
        let charging = self
            .oracle
            .rows
            .orders()
            .find(|order| Standing::of(order) == Standing::Charging);
        let pile = charging
            .map(|order| order.outlet.pile.clone())
            .and_then(|pile| self.unit_of(&pile));
        match pile.filter(|_| !missing && self.prepared.is_none_or(|at| self.now > at + HOUR)) {
            Some(pile) => {
                self.prepared = Some(self.now);
                self.strike(Fault::PileReplaced, pile)
            }
            None => Ok(()),
        }
    }

    /// Notes in which states a fault that concerns the whole station finds orders.
    pub(super) fn strike_everywhere(&mut self, fault: Fault) {
        let standings: BTreeSet<Standing> = self.oracle.rows.orders().map(Standing::of).collect();
        self.report.coverage.note(fault, standings);
    }

    fn strike(&mut self, fault: Fault, pile: usize) -> Step {
        let id = self.units[pile].id.clone();
        self.note(|| format!("{fault:?} strikes, at {id} if it is a pile's"));
        if fault.is_of_a_pile() {
            let here = self.oracle.rows.orders().filter(|order| order.outlet.pile == id);
            let standings: BTreeSet<Standing> = here.map(Standing::of).collect();
            self.report.coverage.note(fault, standings);
        } else if !matches!(fault, Fault::TornCommit | Fault::SilentCommit) {
            // Those two are noted when the commit comes.
            self.strike_everywhere(fault);
        }
        match fault {
            Fault::PowerCut => self.power_cut(),
            Fault::TornCommit => {
                self.fuse_lit = true;
                let operations = u32::try_from(self.rng.below(70)).unwrap_or(0);
                if let Some(process) = &self.process {
                    process.disk.set_fuse(operations);
                }
            }
            Fault::SilentCommit => self.silent_next = true,
            Fault::Killed => {
                if let Some(process) = self.process.take() {
                    let image = process.disk.end_process();
                    let down = self.between(SECOND, MINUTE);
                    self.goes_down(image, down, true);
                }
            }
            Fault::Restore => self.restore()?,
            Fault::Partition => {
                let ms = match self.rng.below(16) {
                    0 => self.between(self.policy.gone_ms, self.policy.gone_ms + 6 * HOUR),
                    1..=3 => self.between(HOUR, 8 * HOUR),
                    4..=10 => self.between(2 * MINUTE, HOUR),
                    _ => self.between(5 * SECOND, 2 * MINUTE),
                };
                self.report.partitions += 1;
                self.stall(pile, ms);
            }
            Fault::SwitchDead => {
                let ms = self.between(20 * SECOND, 2 * HOUR);
                self.report.partitions += 1;
                for pile in 0..self.units.len() {
                    self.stall(pile, ms);
                }
            }
            Fault::Broken => self.break_link(pile)?,
            Fault::ClockStep => {
                let by = i64::try_from(self.between(65 * SECOND, 5 * HOUR)).unwrap_or(0);
                let by_ms = if self.chance(50) { by } else { -by };
                self.report.clock_steps += 1;
                self.step_clock(by_ms);
                let later = self.between(10 * MINUTE, 4 * HOUR);
                self.after(later, Event::ClockSet { by_ms: -by_ms });
            }
            Fault::PileClockStep => {
                let by = i64::try_from(self.between(10 * SECOND, 3 * HOUR)).unwrap_or(0);
                let by_ms = if self.chance(50) { by } else { -by };
                self.tell_pile(pile, Input::Act(Act::StepClock { by_ms }))?;
            }
            Fault::PilePower => {
                let off = self.between(SECOND, HOUR);
                self.after(off, Event::PowerBack { pile });
                self.tell_pile(pile, Input::Act(Act::PowerOff))?;
            }
            Fault::PileFault => {
                let connector = ConnectorNo(1);
                let act = match self.rng.below(4) {
                    0 => Act::EmergencyStop { connector },
                    n => Act::Fault {
                        connector,
                        code: [1, 3, 5][usize::try_from(n - 1).unwrap_or(0)],
                        text: "as told".to_owned(),
                    },
                };
                self.tell_pile(pile, Input::Act(act))?;
            }
            Fault::PileReplaced => self.replace_pile(pile)?,
            Fault::ClockLost => self.lose_the_clock(),
            Fault::RegisterSlip => {
                let by = Energy(i64::try_from(self.between(1_000_000, 9_000_000)).unwrap_or(0));
                let connector = CONNECTOR;
                self.tell_pile(pile, Input::Act(Act::Slip { connector, by }))?;
            }
            Fault::Leak => self.leak(pile)?,
            Fault::Pause => self.pause(pile)?,
            Fault::Silence => self.hush(pile)?,
            Fault::SessionForgotten => {
                self.hush(pile)?;
                self.forget_session(pile)?;
            }
            Fault::CardPassedOn => self.pass_on_a_card(),
        }
        Ok(())
    }

    fn leak(&mut self, pile: usize) -> Step {
        let energy = Energy(i64::try_from(self.between(2_000, 120_000)).unwrap_or(0));
        let connector = CONNECTOR;
        self.tell_pile(pile, Input::Act(Act::Leak { connector, energy }))
    }

    /// A loose contact: the connector says a hundred times that a car has come and gone.
    pub(super) fn bounce(&mut self, pile: usize) -> Step {
        let connector = CONNECTOR;
        let times = 100;
        self.tell_pile(pile, Input::Act(Act::Bounce { connector, times }))
    }

    fn pause(&mut self, pile: usize) -> Step {
        let id = self.units[pile].id.clone();
        let now = self.now;
        let for_ms = self.between(10 * MINUTE, 80 * MINUTE);
        let Some(session) = self.physics.running(&id) else {
            return Ok(());
        };
        if session.pauses.last().is_some_and(|(_, until)| until.is_none()) {
            return Ok(());
        }
        session.pauses.push((now, None));
        self.after(for_ms, Event::Resume { pile });
        self.tell_pile(pile, Input::Act(Act::Pause { connector: CONNECTOR }))
    }

    pub(super) fn resume(&mut self, pile: usize) -> Step {
        let id = self.units[pile].id.clone();
        let now = self.now;
        if let Some(session) = self.physics.running(&id) {
            session.pauses.iter_mut().for_each(|(_, until)| {
                until.get_or_insert(now);
            });
        }
        self.tell_pile(pile, Input::Act(Act::Resume { connector: CONNECTOR }))
    }

    fn hush(&mut self, pile: usize) -> Step {
        let for_ms = self.between(5 * MINUTE, 3 * HOUR);
        self.after(for_ms, Event::SpeaksAgain { pile });
        self.units[pile].hushed = true;
        let (connector, hushed) = (CONNECTOR, true);
        self.tell_pile(pile, Input::Act(Act::Hush { connector, hushed }))
    }

    pub(super) fn speaks_again(&mut self, pile: usize) -> Step {
        let now = self.now;
        self.units[pile].hushed = false;
        self.units[pile].speaks_since = now;
        let (connector, hushed) = (CONNECTOR, false);
        self.tell_pile(pile, Input::Act(Act::Hush { connector, hushed }))
    }

    fn forget_session(&mut self, pile: usize) -> Step {
        let now = self.now;
        let id = self.units[pile].id.clone();
        self.tell_pile(pile, Input::Act(Act::ForgetSession { connector: CONNECTOR }))?;
        let meter = self.units[pile].pile.meter(CONNECTOR).unwrap_or_default();
        let digits = self.units[pile].rolls_over_at;
        let Some(session) = self.physics.running(&id) else {
            return Ok(());
        };
        session.ended = Some(now);
        session.energy = Some(counted(session.meter_start, meter, digits));
        if let Some(visit) = &mut self.units[pile].visit {
            visit.ended = Some(now);
        }
        Ok(())
    }

    fn pass_on_a_card(&mut self) {
        let from = usize::try_from(self.rng.below(self.members.len() as u64)).unwrap_or(0);
        let to = usize::try_from(self.rng.below(self.members.len() as u64)).unwrap_or(0);
        let (card, member) = (self.members[from].1.clone(), self.members[to].0.clone());
        self.ask(Asked::BindCard(card, member));
    }

    /// The power goes, the battery of the clock is empty, and nothing on the network tells the time for a while.
    fn lose_the_clock(&mut self) {
        self.power_cut();
        if self.physics.clock_lost_ms.is_some() {
            return;
        }
        let shown = station::wall(self.now, self.physics.clock_off_ms);
        let back_by_ms = shown.0 - RESET_TO_MS;
        self.physics.clock_lost_ms = Some(back_by_ms);
        self.physics.step_clock(self.now, -back_by_ms);
        let later = self.between(20 * MINUTE, 12 * HOUR);
        self.after(later, Event::ClockFound);
    }

    /// The network tells the time again.
    pub(super) fn find_the_clock(&mut self) {
        if let Some(by_ms) = self.physics.clock_lost_ms.take() {
            self.step_clock(by_ms);
            self.push(Work::Told(SiteInput::ClockTrust(true)));
        }
    }

    /// The power goes, now.
    pub(super) fn power_cut(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.has_power = false;
        let kept = self.pick(&[0, 5, 50, 95, 100]);
        let mut seed = self.fresh_seed();
        let image = process.disk.cut(kept, &mut seed);
        let down = match self.rng.below(10) {
            0 => self.between(HOUR, 3 * HOUR),
            _ => self.between(20 * SECOND, 10 * MINUTE),
        };
        self.goes_down(image, down, false);
    }

    pub(super) fn goes_down(&mut self, image: Vec<u8>, down: Time, away: bool) {
        self.processes += 1;
        self.comings_and_goings.clear();
        (self.fuse_lit, self.silent_next) = (false, false);
        self.drop_all_links();
        let down_since = self.now;
        self.after(
            down,
            Event::Restart {
                image,
                away,
                down_since,
            },
        );
    }

    /// The station starts again from what is on the disk.
    pub(super) fn restart(&mut self, image: Vec<u8>, away: bool, down_since: Time) -> Step {
        self.report.crashes += 1;
        self.has_power = true;
        self.physics.unwitnessed.push((self.committed_at, self.now));
        self.note(|| "the station starts again".to_owned());
        if let Some(recovering) = self.recovers_on(&image)? {
            self.recovering = Some(recovering);
            return self.check_after_a_crash();
        }
        let away = if away { self.now - down_since } else { 0 };
        let random = self.fresh_seed();
        let process = Process::start(image, &self.site, &self.policy, self.now, away, random);
        self.process = Some(process.map_err(|error| format!("the station does not start again: {error}"))?);
        self.check_after_a_crash()?;
        self.tell_the_time();
        Ok(())
    }

    pub(super) fn make_backup(&mut self) {
        let again = self.between(20 * MINUTE, 4 * HOUR);
        let idle = self.process.as_ref().filter(|process| process.under_way.is_none());
        match idle {
            Some(process) => {
                self.backup = Some(Backup {
                    image: process.disk.image(),
                    committed_at: self.committed_at,
                    oracle: self.oracle.clone(),
                });
                self.after(again, Event::Backup);
            }
            None => self.after(SECOND, Event::Backup),
        }
    }

    /// The present database is lost, and the last copy takes its place. What the station had learnt since is forgotten;
    /// what piles have not been told is safe, they tell again.
    fn restore(&mut self) -> Step {
        let Some(backup) = &self.backup else {
            self.power_cut();
            return Ok(());
        };
        let Some(process) = self.process.take() else {
            return Ok(());
        };
        let at = station::wall(self.now, self.physics.clock_off_ms);
        let after = match self.head_office.is_some() {
            true => AfterRestore::Recovery,
            false => AfterRestore::NewRun,
        };
        let image = station::restored(backup.image.clone(), &self.site, at, after);
        let image = image.map_err(|error| format!("the copy cannot be restored: {error}"))?;
        self.gone_with_disk = self.oracle.charges();
        self.oracle = backup.oracle.clone();
        self.committed_at = backup.committed_at;
        drop(process);
        self.restores += 1;
        let down = self.between(MINUTE, 20 * MINUTE);
        self.goes_down(image, down, false);
        if self.head_office.is_none() {
            self.enter_receipts_again();
        }
        Ok(())
    }

    pub(super) fn step_clock(&mut self, by_ms: i64) {
        self.note(|| format!("the station's clock is put forward by {by_ms} ms"));
        self.physics.step_clock(self.now, by_ms);
    }

    /// The pile's board is changed: another meter, an empty memory, and whatever it had not told is lost.
    fn replace_pile(&mut self, pile: usize) -> Step {
        let now = self.now;
        self.break_link(pile)?;
        let id = self.units[pile].id.clone();
        let meter = self.units[pile].pile.meter(CONNECTOR).unwrap_or_default();
        let digits = self.units[pile].rolls_over_at;
        if let Some(session) = self.physics.running(&id) {
            session.ended = Some(now);
            session.energy = Some(counted(session.meter_start, meter, digits));
        }
        let replaced = self.units[pile].replaced + 1;
        let power = self.units[pile].power;
        let seed = self.rng.next_u64();
        let spec = self.spec(&id, power, replaced, seed);
        let unit = &mut self.units[pile];
        unit.replaced = replaced;
        unit.visit = None;
        unit.behaviours.clear();
        unit.lies = false;
        unit.hushed = false;
        unit.speaks_since = now;
        unit.take_on(&spec);
        unit.pile = Pile::new(spec, Flash::default(), domain::time::Mono(now));
        self.tell_pile(pile, Input::Wake)
    }
}

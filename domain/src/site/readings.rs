//! Which readings of a connector's register are believed, whatever message they came in, and what follows where the register
//! is found elsewhere: a slip is dropped, and what is no slip a person decides.

use super::{Turn, live::Live};
use crate::{
    fact::Fact,
    ids::Outlet,
    meter::Rollback,
    planted::{Bug, is_planted},
    plausible::{RegisterWatch, Seen, Source, Verdict},
    resolution::is_well_below,
    site::Rows,
    time::Now,
    units::Energy,
};

impl Live {
    /// The watch of a connector's register, which goes on from what the rows know. The station may have been off since then,
    /// more than once.
    pub(super) fn register_watch(&mut self, outlet: &Outlet, rows: &Rows, now: Now) -> &mut RegisterWatch {
        self.registers.entry(outlet.clone()).or_insert_with(|| {
            let connector = rows.connector(outlet);
            let known = connector.and_then(|connector| Some((connector, connector.register?)));
            known.map_or_else(RegisterWatch::default, |(connector, known)| {
                let mut watch = RegisterWatch::known(connector.register_at.mono, known);
                watch.let_pass(rows.clock.away_ms(now, connector.register_at));
                watch
            })
        })
    }
}

/// Why it is not certain where a register is. Whatever it is, a person who has looked ends it: `pile meter-cleared`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtKind {
    /// It was found lower: another meter, or one that runs backwards. The next session waits for a person.
    Lower,
    /// It was found higher than can be. The next session waits for a person.
    Jumped,
    /// The pile keeps saying what cannot be; what was believed before counts until enough readings agree.
    Waiting,
    /// It was found elsewhere, and a session has been looked at since. The line before can still be returned to.
    Left,
}

/// A doubt about where a connector's register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterDoubt {
    /// What it is.
    pub kind: DoubtKind,
    /// Known before.
    pub known: Energy,
    /// Found.
    pub found: Energy,
}

impl super::Site {
    /// The doubt that there is about a connector's register, the gravest first. One reading that waits is none: the next one
    /// settles it.
    pub fn register_doubt(&self, outlet: &Outlet) -> Option<RegisterDoubt> {
        let connector = self.rows.connector(outlet)?;
        let marked = |kind| move |Rollback { known, found }| RegisterDoubt { kind, known, found };
        let watch = self.live.registers.get(outlet);
        let between = |kind, known: Seen, found: Seen| RegisterDoubt {
            kind,
            known: known.register,
            found: found.register,
        };
        let waits = || {
            let watch = watch?;
            let doubt = watch.doubt().filter(|doubt| doubt.count() > 1)?;
            Some(between(DoubtKind::Waiting, watch.believed()?, doubt.last()))
        };
        let left = || Some(between(DoubtKind::Left, watch?.left()?, watch?.believed()?));
        let jump = connector.jump.map(marked(DoubtKind::Jumped));
        let lower = connector.rollback.map(marked(DoubtKind::Lower));
        jump.or(lower).or_else(waits).or_else(left)
    }
}

impl Turn<'_> {
    /// Takes a reading that a heartbeat or a boot brings, and journals what it says of the register. It is not to be used
    /// for anything where it is [`Verdict::Waiting`].
    pub(super) fn read_register(&mut self, outlet: &Outlet, register: Energy, source: Source) -> Verdict {
        if is_planted(Bug::BelieveEveryReading) {
            return Verdict::Believed;
        }
        let power = self.power_of(outlet);
        let (now, site) = (self.now, &mut *self.site);
        let watch = site.live.register_watch(outlet, &site.rows, now);
        let verdict = watch.take(now.mono, register, power, source);
        match verdict {
            Verdict::Believed | Verdict::SlipDropped { .. } => self.hold_to_readings(outlet, source),
            Verdict::Waiting => self.ignore("impossible_jump"),
            Verdict::SlipWithdrawn { wrong } | Verdict::Returned { wrong } => {
                self.withdraw(outlet, wrong, register);
                self.register_moved(outlet, wrong, register);
            }
            Verdict::Adopted { known, found, .. } if found < known => {
                self.forget_idle(outlet);
                self.register_moved(outlet, known, found);
            }
            Verdict::Adopted { known, found, .. } => match self.is_meter_before_at(outlet, found) {
                true => self.register_moved(outlet, known, found),
                false => {
                    let outlet = outlet.clone();
                    self.journal(Fact::RegisterJumped { outlet, known, found });
                }
            },
        }
        verdict
    }

    /// The one place that says what it means that a register is not where it was believed to be, at `wrong`, but at `found`,
    /// whoever found it: a message, a boot, or a person who has looked.
    pub(super) fn register_moved(&mut self, outlet: &Outlet, wrong: Energy, found: Energy) {
        let connector = self.site.rows.connector(outlet);
        let is_lower = found < wrong;
        let (goes_back, contradicts) = connector.map_or((false, false), |connector| {
            let contradicts = !connector.claims_nothing_above(found);
            let is_within_present = !is_lower && connector.rollback.is_none() && contradicts;
            (connector.is_meter_before_at(found) && !is_within_present, contradicts)
        });
        // A register that nobody believed is no end of a meter.
        let jump = connector.and_then(|connector| connector.jump);
        let explained = connector.and_then(|connector| connector.book.explained_to());
        let known = jump.map_or(wrong, |jump| wrong.min(jump.known.max(explained.unwrap_or(jump.known))));
        let (register, outlet) = (found, outlet.clone());
        self.journal(if goes_back {
            Fact::RegisterReturned {
                outlet,
                wrong,
                register,
            }
        } else if is_well_below(known, found) && contradicts {
            let rollback = Rollback { known, found };
            Fact::RegisterRolledBack { outlet, rollback }
        } else {
            Fact::RegisterCorrected {
                outlet,
                wrong,
                register,
            }
        });
    }

    fn is_meter_before_at(&self, outlet: &Outlet, register: Energy) -> bool {
        let connector = self.site.rows.connector(outlet);
        connector.is_some_and(|connector| connector.is_meter_before_at(register))
    }

    /// A record or a bill may have said that the register is higher than it is: what the pile reads after it is right.
    fn hold_to_readings(&mut self, outlet: &Outlet, source: Source) {
        let Some(connector) = self.site.rows.connector(outlet) else {
            return;
        };
        let (Some(stored), Some(known)) = (
            connector.register.filter(|_| source == Source::Heartbeat),
            self.site.live.last_known_register(outlet, &self.site.rows),
        ) else {
            return;
        };
        if known < stored {
            self.journal(Fact::RegisterCorrected {
                outlet: outlet.clone(),
                wrong: stored,
                register: known,
            });
        }
    }

    /// The register as it is believed, in place of a reading that is not.
    pub(super) fn believed_register(&self, outlet: &Outlet) -> Option<Energy> {
        if is_planted(Bug::BelieveEveryReading) {
            return None;
        }
        let watch = self.site.live.registers.get(outlet)?;
        watch.believed().map(|seen| seen.register)
    }

    /// What was made of a reading that was a slip is taken back; where it was too low, with all that went on from it.
    fn withdraw(&mut self, outlet: &Outlet, wrong: Energy, register: Energy) {
        self.forget_idle(outlet);
        if let Some(live) = self.site.live.outlets.get_mut(outlet) {
            while live.readings.withdraw_latest(wrong) && wrong < register {
                let Some(before) = live.readings.latest() else { break };
                live.readings.withdraw_latest(before.register);
            }
            live.flow = crate::flow::FlowWatch::default();
        }
    }

    /// When the register stood where says nothing of a register that is elsewhere now.
    pub(super) fn forget_idle(&mut self, outlet: &Outlet) {
        if let Some(live) = self.site.live.outlets.get_mut(outlet) {
            live.idle = crate::alignment::IdleReadings::default();
        }
    }

    /// A person has looked: the register is where it was last read. If that is lower than it was believed to be, it is another
    /// meter's, or it began again at zero.
    pub(super) fn believe_latest(&mut self, outlet: &Outlet) -> Option<Energy> {
        let now = self.now.mono;
        let known = self.site.live.last_known_register(outlet, &self.site.rows);
        let watch = self.site.live.registers.get_mut(outlet)?;
        let (latest, believed) = (watch.latest()?.register, watch.believed()?);
        // A record may have come since the pile last said anything; it is no reading of the pile's, though.
        let (at, read) = match watch.doubt().is_some() {
            true => (now, latest),
            false => (believed.at, known.unwrap_or(latest)),
        };
        watch.resolved_by_person(at, latest);
        let believed = believed.register;
        let is_elsewhere = latest < believed || self.is_meter_before_at(outlet, read);
        let is_new = self.site.rows.connector(outlet).is_some_and(|connector| {
            let began = connector.rollback.map(|rollback| rollback.found);
            began != Some(read) && connector.book.base() != Some(read)
        });
        if is_elsewhere && is_new {
            self.forget_idle(outlet);
            self.register_moved(outlet, believed, read);
        }
        if let Some(live) = self.site.live.outlets.get_mut(outlet) {
            live.report.meter_kwh = read;
        }
        Some(read)
    }

    /// A person has believed a bill: what waited, because it lay so far above what was known, is the register now. What
    /// waits below it is no part of that.
    pub(super) fn believe_higher(&mut self, outlet: &Outlet) {
        let watch = self.site.live.registers.get(outlet);
        let watch = watch.filter(|watch| watch.doubt().is_some());
        let waits = watch.and_then(|watch| Some((watch.latest()?.register, watch.believed()?.register)));
        if waits.is_some_and(|(latest, believed)| latest >= believed) {
            self.believe_latest(outlet);
        }
    }
}

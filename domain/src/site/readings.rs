//! Which readings of a connector's register are believed, whatever message they came in, and what follows where the register
//! is found elsewhere: a slip is dropped, and what is no slip a person decides.

use super::{Turn, live::Live};
use crate::{
    fact::Fact,
    ids::Outlet,
    meter::Rollback,
    planted::{Bug, is_planted},
    plausible::{RegisterWatch, Source, Verdict},
    site::Rows,
    units::Energy,
};

impl Live {
    /// The watch of a connector's register, which goes on from what the rows know.
    pub(super) fn register_watch(&mut self, outlet: &Outlet, rows: &Rows) -> &mut RegisterWatch {
        let away_ms = self.away_ms;
        self.registers.entry(outlet.clone()).or_insert_with(|| {
            let connector = rows.connector(outlet);
            let known = connector.and_then(|connector| Some((connector.register_at, connector.register?)));
            let mut watch = known.map_or_else(RegisterWatch::default, |(at, known)| RegisterWatch::known(at, known));
            watch.let_pass(away_ms);
            watch
        })
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
        let (now, site) = (self.now.mono, &mut *self.site);
        let watch = site.live.register_watch(outlet, &site.rows);
        let verdict = watch.take(now, register, power, source);
        let outlet = outlet.clone();
        match verdict {
            Verdict::Believed | Verdict::SlipDropped { .. } => {}
            Verdict::Waiting => self.ignore("impossible_jump"),
            Verdict::SlipWithdrawn { wrong } | Verdict::Returned { wrong } => {
                self.withdraw(&outlet, wrong);
                self.journal(Fact::RegisterCorrected {
                    outlet,
                    wrong,
                    register,
                });
            }
            Verdict::Adopted { known, found, .. } if found < known => {
                self.forget_idle(&outlet);
                self.journal(Fact::RegisterRolledBack {
                    outlet,
                    rollback: Rollback { known, found },
                });
            }
            Verdict::Adopted { known, found, .. } => {
                self.journal(Fact::RegisterJumped { outlet, known, found });
            }
        }
        verdict
    }

    /// The register as it is believed, in place of a reading that is not.
    pub(super) fn believed_register(&self, outlet: &Outlet) -> Option<Energy> {
        let watch = self.site.live.registers.get(outlet)?;
        watch.believed().map(|seen| seen.register)
    }

    /// What was made of a reading that was a slip is taken back.
    fn withdraw(&mut self, outlet: &Outlet, wrong: Energy) {
        self.forget_idle(outlet);
        if let Some(live) = self.site.live.outlets.get_mut(outlet) {
            live.readings.withdraw_latest(wrong);
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
        let watch = self.site.live.registers.get_mut(outlet)?;
        let latest = watch.latest()?.register;
        let lower = watch
            .believed()
            .map(|seen| seen.register)
            .filter(|known| latest < *known);
        watch.resolved_by_person(now, latest);
        if let Some(known) = lower {
            self.forget_idle(outlet);
            let (outlet, found) = (outlet.clone(), latest);
            let rollback = Rollback { known, found };
            self.journal(Fact::RegisterRolledBack { outlet, rollback });
        }
        Some(latest)
    }

    /// A person has believed a bill: what waited, because it lay so far above what was known, is the register now. What
    /// waits below it is no part of that.
    pub(super) fn believe_higher(&mut self, outlet: &Outlet) {
        let watch = self.site.live.registers.get(outlet);
        let waits = watch.and_then(|watch| Some((watch.latest()?.register, watch.believed()?.register)));
        if waits.is_some_and(|(latest, believed)| latest >= believed) {
            self.believe_latest(outlet);
        }
    }
}

//! What really flowed: every session of every simulated pile, as its meter counted it, whatever anybody says of it.

use super::{Time, oracle::EPOCH};
use domain::{
    ids::{CardId, OrderId, PileId},
    order::Basis,
    rating::{Bill, Reading},
    time::Wall,
    units::{Energy, Power},
};
use std::collections::BTreeMap;

/// How far the times of a bill may be off, in milliseconds: the noise that the station takes for the network's, the
/// network's own delays, and the drift of a pile's clock over days of silence.
const TIMES_OFF_MS: u64 = 30_000;

const YEAR_MS: i64 = 365 * 86_400_000;

/// One session. Its power is constant, so that what flowed until any moment is known.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) pile: PileId,
    pub(super) began: Time,
    pub(super) ended: Option<Time>,
    pub(super) meter_start: Energy,
    /// Counted by the meter, once it has ended.
    pub(super) energy: Option<Energy>,
    pub(super) power: Power,
    /// Its pile was told to lie about it, or to miscount.
    pub(super) lies: bool,
    /// When the car took nothing: since when, and until when if it is over.
    pub(super) pauses: Vec<(Time, Option<Time>)>,
    /// The card of a session that the pile began by itself.
    pub(super) card: Option<CardId>,
    /// The step in which the register shows what it has counted.
    pub(super) step: Energy,
}

impl Session {
    /// What had flowed by then, in 0.1 Wh.
    pub(super) fn flowed(&self, at: Time) -> i64 {
        let until = self.ended.map_or(at, |ended| ended.min(at));
        let paused = self.pauses.iter().map(|(from, to)| {
            let to = to.unwrap_or(until).min(until);
            to.saturating_sub((*from).max(self.began))
        });
        let paused: u64 = paused.sum();
        let ms = until.saturating_sub(self.began).saturating_sub(paused);
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        let flowed = self.power.energy_in_ms(ms).0;
        self.energy.map_or(flowed, |energy| flowed.min(energy.0))
    }
}

/// All sessions, and how the station's clock stands to the time of the world.
#[derive(Debug, Clone, Default)]
pub(super) struct Physics {
    pub(super) sessions: BTreeMap<OrderId, Vec<Session>>,
    /// Station wall time less the world's.
    pub(super) clock_off_ms: i64,
    /// What [`Physics::clock_off_ms`] was before, and until when.
    pub(super) clock_was_off: Vec<(Time, i64)>,
    /// From when until when the station knows nothing of what happened: from the last commit that it remembers until it
    /// started again.
    pub(super) unwitnessed: Vec<(Time, Time)>,
    /// The station's clock has lost its battery: by so much it was put back.
    pub(super) clock_lost_ms: Option<i64>,
    pub(super) started: usize,
}

impl Physics {
    /// The station's clock is put forward, or back.
    pub(super) fn step_clock(&mut self, now: Time, by_ms: i64) {
        // By a clock that has lost its battery nothing may be paid, whenever.
        if self.clock_off_ms.abs() < YEAR_MS {
            self.clock_was_off.push((now, self.clock_off_ms));
        }
        self.clock_off_ms += by_ms;
    }

    /// The running session of a pile.
    pub(super) fn running(&mut self, pile: &PileId) -> Option<&mut Session> {
        let all = self.sessions.values_mut().flatten();
        all.into_iter()
            .find(|session| session.pile == *pile && session.ended.is_none())
    }

    /// What the meters counted for an order, in 0.1 Wh; what flows now counts as if it never ended.
    pub(super) fn delivered(&self, order: &OrderId) -> i64 {
        let sessions = self.sessions.get(order).into_iter().flatten();
        sessions
            .map(|session| session.energy.map_or(i64::MAX / 4, |energy| energy.0))
            .max()
            .unwrap_or(0)
    }

    /// The steps of the station's clock since `began` that the station knows nothing of, all together, in milliseconds.
    pub(super) fn unseen_steps_ms(&self, began: Time) -> u64 {
        let off_ms = self.clock_was_off.iter().map(|(_, off_ms)| *off_ms);
        let off_ms = off_ms.skip(1).chain(std::iter::once(self.clock_off_ms));
        let steps = self.clock_was_off.iter().zip(off_ms);
        let unseen = steps.filter(|((at, _), _)| {
            let mut unwitnessed = self.unwitnessed.iter();
            *at >= began && unwitnessed.any(|(from, until)| (from..until).contains(&at))
        });
        let by_ms = unseen.map(|((_, before), after)| before.abs_diff(after));
        by_ms.filter(|by_ms| *by_ms < YEAR_MS.unsigned_abs()).sum()
    }

    /// Whether a bill is of what flowed, and of when it flowed; `sampled` if its record has readings of the session.
    pub(super) fn check_bill(
        &self,
        order: &OrderId,
        (basis, bill): (Basis, &Bill),
        sampled: bool,
        now: Time,
    ) -> Result<(), String> {
        let sessions = || self.sessions.get(order).into_iter().flatten();
        // An estimate begins with what the station knew of the register. Two sessions have one name where a station that was
        // restored gave it again.
        let began_there = sessions().find(|session| session.meter_start == bill.start.register);
        let estimated = sessions().next().filter(|_| basis == Basis::Estimate);
        let Some(session) = began_there.or(estimated) else {
            return match self.sessions.get(order) {
                Some(sessions) if sessions.iter().any(|session| session.lies) => Ok(()),
                _ if bill.energy == Energy::ZERO => Ok(()),
                _ => Err(format!("nothing flowed from register {} on", bill.start.register)),
            };
        };
        if session.lies {
            return Ok(());
        }
        if basis == Basis::Estimate {
            let flowed = session.flowed(now);
            return if self.clock_lost_ms.is_some() && bill.energy > Energy::ZERO {
                Err("it was estimated by a clock that cannot be right".to_owned())
            } else if bill.energy.0 < flowed + session.step.0 {
                Ok(())
            } else {
                Err(format!("estimated at {}, {flowed} × 0.1 Wh flowed", bill.energy))
            };
        }
        if session.energy != Some(bill.energy) {
            return Err(format!("billed {}, {:?} flowed", bill.energy, session.energy));
        }
        if self.clock_lost_ms.is_some() {
            return Err("it was rated by a clock that cannot be right".to_owned());
        }
        // A step of which the station knows nothing: the times are by the clock as it was then.
        let unwitnessed = self.unwitnessed.iter();
        let around = unwitnessed.filter(|(from, until)| (*from..*until).contains(&session.began));
        let last_seen = around.map(|(from, _)| *from).min().unwrap_or(session.began);
        let before = self.clock_was_off.iter().filter(|(until, _)| *until >= last_seen);
        let mut wrong = Ok(());
        for off_ms in std::iter::once(self.clock_off_ms).chain(before.map(|(_, off_ms)| *off_ms)) {
            wrong = session.check_times(bill, off_ms, sampled);
            if wrong.is_ok() {
                break;
            }
        }
        wrong
    }
}

impl Session {
    /// Whether a bill is of when it flowed, by a station's clock that is off by so much. Where a car paused and no readings
    /// tell when, only those that the bill has can be right.
    fn check_times(&self, bill: &Bill, off_ms: i64, sampled: bool) -> Result<(), String> {
        let slack = self.power.energy_in_ms(i64::try_from(TIMES_OFF_MS).unwrap_or(0)).0 + 2 * self.step.0;
        let flowed_by = |wall: Wall| self.flowed(u64::try_from(wall.0 - EPOCH.0 - off_ms).unwrap_or(0));
        if !sampled && !self.pauses.is_empty() {
            let near = |wall: Wall, at: Time| {
                (wall.0 - EPOCH.0 - off_ms).abs_diff(i64::try_from(at).unwrap_or(0)) < TIMES_OFF_MS
            };
            if !near(bill.start.at, self.began) || !self.ended.is_some_and(|ended| near(bill.stop.at, ended)) {
                return Err(format!("it was not from {} to {}", bill.start.at, bill.stop.at));
            }
            let mut readings = bill.readings.iter();
            let off = |reading: &&Reading| {
                let counted = (reading.register - bill.start.register).0;
                (flowed_by(reading.at) - counted).abs() > slack
            };
            return match readings.find(off) {
                Some(reading) => Err(format!("at {} it did not read {}", reading.at, reading.register)),
                None => Ok(()),
            };
        }
        for segment in &bill.segments {
            let flowed = flowed_by(segment.to) - flowed_by(segment.from);
            if (flowed - segment.energy.0).abs() > slack {
                return Err(format!(
                    "from {} to {} it bills {}, {flowed} × 0.1 Wh flowed then",
                    segment.from, segment.to, segment.energy
                ));
            }
        }
        Ok(())
    }
}

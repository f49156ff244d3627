//! What really flowed: every session of every simulated pile, as its meter counted it, whatever anybody says of it.

use super::{Time, oracle::EPOCH};
use domain::{
    ids::{OrderId, PileId},
    order::Basis,
    rating::Bill,
    units::{Energy, Power},
};
use std::collections::BTreeMap;

/// How far the times of a bill may be off, in milliseconds: the noise that the station takes for the network's, the
/// network's own delays, and the drift of a pile's clock over days of silence.
const TIMES_OFF_MS: u64 = 30_000;

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
    /// Its pile's clock was put forward or back meanwhile.
    pub(super) pile_clock_stepped: bool,
    /// How often its pile's board, meter and memory had been changed.
    pub(super) board: u32,
    /// The pile's memory was lost before its record was told.
    pub(super) is_lost: bool,
}

impl Session {
    /// What had flowed by then, in 0.1 Wh.
    pub(super) fn flowed(&self, at: Time) -> i64 {
        let until = self.ended.map_or(at, |ended| ended.min(at));
        let ms = i64::try_from(until.saturating_sub(self.began)).unwrap_or(i64::MAX);
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
    /// When the station's clock was last put forward or back.
    pub(super) clock_stepped: Option<Time>,
    pub(super) started: usize,
}

impl Physics {
    /// Every session with its order's number.
    pub(super) fn all(&self) -> impl Iterator<Item = (&OrderId, &Session)> {
        let all = self.sessions.iter();
        all.flat_map(|(order, sessions)| sessions.iter().map(move |session| (order, session)))
    }

    /// A pile's clock was put forward or back: the times of its sessions are of two clocks.
    pub(super) fn doubt_times(&mut self, pile: &PileId) {
        let all = self.sessions.values_mut().flatten();
        all.filter(|session| session.pile == *pile)
            .for_each(|session| session.pile_clock_stepped = true);
    }

    /// The board of a pile is changed: what it had not told is lost, whatever that was.
    pub(super) fn lose(&mut self, pile: &PileId) {
        let all = self.sessions.values_mut().flatten();
        all.filter(|session| session.pile == *pile)
            .for_each(|session| session.is_lost = true);
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

    /// Whether a bill is of what flowed, and of when it flowed.
    pub(super) fn check_bill(&self, order: &OrderId, basis: Basis, bill: &Bill, now: Time) -> Result<(), String> {
        let mut sessions = self.sessions.get(order).into_iter().flatten();
        // An estimate begins with what the station knew of the register.
        let of_it = |session: &&Session| session.meter_start == bill.start.register || basis == Basis::Estimate;
        let Some(session) = sessions.find(of_it) else {
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
            return if bill.energy.0 <= flowed {
                Ok(())
            } else {
                Err(format!("estimated at {}, {flowed} × 0.1 Wh flowed", bill.energy))
            };
        }
        if session.energy != Some(bill.energy) {
            return Err(format!("billed {}, {:?} flowed", bill.energy, session.energy));
        }
        let stepped = self.clock_stepped.is_some_and(|at| at + 3_600_000 >= session.began);
        if stepped || session.pile_clock_stepped {
            return Ok(());
        }
        let slack = session.power.energy_in_ms(i64::try_from(TIMES_OFF_MS).unwrap_or(0)).0 + 2;
        for segment in &bill.segments {
            let world = |wall: domain::time::Wall| u64::try_from(wall.0 - EPOCH.0 - self.clock_off_ms).unwrap_or(0);
            let flowed = session.flowed(world(segment.to)) - session.flowed(world(segment.from));
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

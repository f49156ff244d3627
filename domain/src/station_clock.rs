//! What the station knows of its own wall clock: the steps it took, and whether it can be right at all.
//! A box whose battery is empty wakes up in 1970; it goes on earning, and believes no price by such a clock.

use crate::{
    fact::Fact,
    journal::Stamp,
    time::{Mono, Now, Wall},
};
use serde::{Deserialize, Serialize};

/// 2026-01-01: a clock that shows less has lost its battery, whoever says that it is right.
pub const EARLIEST: Wall = Wall(1_767_225_600_000);
/// How many steps are remembered: more than a station sees between a session and its late record. Forgetting the oldest
/// loses nothing: a session before it is before the later ones too.
pub const STEPS_MAX: usize = 16;
/// How far behind the journal's last entry a clock that nobody vouches for may be, in milliseconds: a clock that was ahead
/// and is put right by hand must not keep a station waiting.
pub const BEHIND_JOURNAL_MS: i64 = 86_400_000;

/// A step of the station's wall clock against elapsed time that was large enough to be journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStep {
    /// When, by elapsed time.
    pub mono: Mono,
    /// What the wall clock showed afterwards.
    pub at: Wall,
    /// By how much it was put forward, in milliseconds; negative is backwards.
    pub by_ms: i64,
}

/// Since when the clock cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The last time that is certain: it was later than this when the doubt began.
    pub certain: Wall,
    /// When it began, by elapsed time.
    pub since: Mono,
}

impl Doubt {
    /// It is this late at least: what was certain, and the time that has passed since.
    pub fn not_before(&self, now: Mono) -> Wall {
        let passed = i64::try_from(now.ms_since(self.since)).unwrap_or(i64::MAX);
        self.certain.after_ms(passed)
    }
}

/// When something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// By the wall clock as it was then.
    pub at: Wall,
    /// By elapsed time.
    pub mono: Mono,
}

/// What is kept of the station's wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StationClock {
    /// It cannot be right.
    pub doubt: Option<Doubt>,
    /// Its last steps, newest last, at most [`STEPS_MAX`].
    pub steps: Vec<ClockStep>,
    /// When it was last found that the clock had been put elsewhere while the station was off, as that run of the station
    /// has it. A pile that was not heard since was measured by the clock before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_found: Option<Found>,
}

impl StationClock {
    /// Takes a fact into account; returns whether it said anything of the clock.
    pub(crate) fn apply(&mut self, stamp: Stamp, fact: &Fact) -> bool {
        match fact {
            Fact::ClockStepped { by_ms } => {
                if self.steps.len() == STEPS_MAX {
                    self.steps.remove(0);
                }
                self.steps.push(ClockStep {
                    mono: stamp.mono,
                    at: stamp.at,
                    by_ms: *by_ms,
                });
            }
            Fact::ClockMoveFound { .. } => {
                self.move_found = Some(Found {
                    at: stamp.at,
                    mono: stamp.mono,
                });
            }
            Fact::ClockDoubted { certain } => {
                self.doubt = Some(Doubt {
                    certain: *certain,
                    since: stamp.mono,
                });
            }
            Fact::ClockBelieved { .. } => self.doubt = None,
            _ => return false,
        }
        true
    }

    /// By how much the clock has been put forward since `mono`, in milliseconds; `None` where steps of then are forgotten.
    pub fn moved_since(&self, mono: Mono) -> Option<i64> {
        let oldest = self.steps.first().filter(|_| self.steps.len() == STEPS_MAX);
        if oldest.is_some_and(|oldest| oldest.mono > mono) {
            return None;
        }
        let since = self.steps.iter().filter(|step| step.mono > mono);
        Some(since.fold(0_i64, |moved_ms, step| moved_ms.saturating_add(step.by_ms)))
    }

    /// When it was last found that the clock had been put elsewhere while the station was off, by the clock as it is now.
    pub fn move_found(&self) -> Option<Wall> {
        let found = self.move_found?;
        // More steps than are remembered lie between: what was heard before them is doubted for those.
        Some(found.at.after_ms(self.moved_since(found.mono).unwrap_or(0)))
    }

    /// For how long the station was off between two moments, in milliseconds: what the wall clock, its steps aside, counted
    /// and elapsed time did not. None is known of where nobody can tell.
    pub fn away_ms(&self, now: Now, since: Now) -> u64 {
        let moved_ms = self.moved_since(since.mono);
        let passed = moved_ms.map(|moved_ms| now.wall.ms_since(since.wall).saturating_sub(moved_ms));
        let passed = passed.and_then(|passed| u64::try_from(passed).ok());
        passed.unwrap_or(0).saturating_sub(now.mono.ms_since(since.mono))
    }

    /// The steps since `mono`, oldest first.
    pub fn steps_since(&self, mono: Mono) -> impl Iterator<Item = &ClockStep> {
        self.steps.iter().filter(move |step| step.mono >= mono)
    }
}

/// What vouches for the wall clock, or speaks against it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vouchers {
    /// It is synchronised, or a person has said that it is right.
    pub(crate) trusted: bool,
    /// It was trusted once, and it is this late at least.
    pub(crate) not_before: Option<Wall>,
    /// The journal's last entry.
    pub(crate) journaled: Wall,
    /// How far behind what is certain it may be, in milliseconds.
    pub(crate) slack_ms: i64,
}

impl Vouchers {
    /// The last certain time, if a clock that shows `wall` cannot be right.
    pub(crate) fn against(&self, wall: Wall) -> Option<Wall> {
        if self.trusted && wall >= EARLIEST {
            return None;
        }
        let certain = self
            .not_before
            .filter(|certain| wall.after_ms(self.slack_ms) < *certain);
        certain.or_else(|| (wall.after_ms(BEHIND_JOURNAL_MS) < self.journaled).then_some(self.journaled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Wall {
        Wall::parse(text).unwrap()
    }

    #[test]
    fn a_clock_is_doubted_where_something_speaks_against_it() {
        let journaled = at("2026-03-02T12:00:00+08:00");
        let nobody = Vouchers {
            trusted: false,
            not_before: None,
            journaled,
            slack_ms: 60_000,
        };
        let reset = at("1970-01-01T00:00:10Z");
        assert_eq!(nobody.against(reset), Some(journaled));
        assert_eq!(
            nobody.against(journaled.after_ms(-3_600_000)),
            None,
            "put right by hand"
        );
        assert_eq!(nobody.against(journaled.after_ms(3_600_000)), None);
        let trusted = Vouchers {
            trusted: true,
            ..nobody
        };
        assert_eq!(trusted.against(journaled.after_ms(-90_000_000)), None);
        assert_eq!(trusted.against(reset), Some(journaled), "whoever says that it is right");
        let certain = journaled.after_ms(500_000);
        let once = Vouchers {
            not_before: Some(certain),
            ..nobody
        };
        assert_eq!(once.against(certain.after_ms(-60_001)), Some(certain));
        assert_eq!(once.against(certain.after_ms(-60_000)), None);
    }

    #[test]
    fn the_last_steps_are_remembered_and_no_more() {
        let mut clock = StationClock::default();
        for by_ms in 0..100 {
            let stamp = Stamp {
                seq: 1,
                at: Wall(0),
                mono: Mono(0),
            };
            assert!(clock.apply(stamp, &Fact::ClockStepped { by_ms }));
        }
        assert_eq!((clock.steps.len(), clock.steps[0].by_ms), (STEPS_MAX, 84));
    }

    #[test]
    fn the_time_away_is_what_elapsed_time_did_not_count_and_no_step() {
        let (then, hour) = (at("2026-03-02T12:00:00+08:00"), 3_600_000);
        let now = |mono, after_ms| Now {
            wall: then.after_ms(after_ms),
            mono: Mono(mono),
        };
        let mut clock = StationClock::default();
        // Off for two hours in all, however often it was started in between.
        assert_eq!(clock.away_ms(now(1_000, 2 * hour + 1_000), now(0, 0)), 7_200_000);
        assert_eq!(clock.away_ms(now(1_000, 1_000), now(0, 0)), 0);
        assert_eq!(clock.away_ms(now(1_000, -hour), now(0, 0)), 0, "nobody can tell");
        let stamp = Stamp {
            seq: 1,
            at: then.after_ms(hour),
            mono: Mono(500),
        };
        clock.apply(stamp, &Fact::ClockStepped { by_ms: hour });
        assert_eq!(
            clock.away_ms(now(1_000, hour + 1_000), now(0, 0)),
            0,
            "a step is no time"
        );
        assert_eq!(clock.away_ms(now(1_000, 2 * hour + 1_000), now(0, 0)), 3_600_000);
        assert_eq!(
            clock.away_ms(now(1_000, hour), now(500, 0)),
            3_599_500,
            "since the step"
        );
    }

    #[test]
    fn what_is_certain_grows_with_elapsed_time() {
        let doubt = Doubt {
            certain: Wall(1_000),
            since: Mono(500),
        };
        assert_eq!(doubt.not_before(Mono(700)), Wall(1_200));
        assert_eq!(doubt.not_before(Mono(0)), Wall(1_000));
    }
}

//! The clock inside a pile: set once, drifting, and corrected by the station's `time` messages.
//! It maps elapsed time to what the pile believes the time of day is, and back, in whole milliseconds.

use domain::time::{Mono, Wall};

/// A running clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    shown: Wall,
    at: Mono,
    drift_ppm: i64,
}

impl Clock {
    /// A clock that shows `shown` at `at` and gains `drift_ppm` microseconds a second.
    pub(crate) fn new(at: Mono, shown: Wall, drift_ppm: i32) -> Self {
        Self {
            shown,
            at,
            drift_ppm: i64::from(drift_ppm).clamp(-100_000, 100_000),
        }
    }

    /// Sets it to `shown`; it keeps drifting from there.
    pub(crate) fn set(&mut self, at: Mono, shown: Wall) {
        (self.at, self.shown) = (at, shown);
    }

    /// What it shows at `at`, kept inside the years a message may carry.
    pub(crate) fn wall(&self, at: Mono) -> Wall {
        let elapsed = signed(at.ms_since(self.at));
        let gained = i64::try_from(i128::from(elapsed) * i128::from(self.drift_ppm) / 1_000_000).unwrap_or(0);
        let latest = Wall(Wall::RANGE.end.0 - 1);
        self.shown
            .after_ms(elapsed)
            .after_ms(gained)
            .clamp(Wall::RANGE.start, latest)
    }

    /// The first instant, not before the clock was last set, at which it shows `wall` or later.
    pub(crate) fn first_at(&self, wall: Wall) -> Mono {
        let ahead = wall.ms_since(self.shown).max(0);
        let rate = 1_000_000 + self.drift_ppm;
        let mut at = self
            .at
            .after_ms(unsigned(i128::from(ahead) * 1_000_000 / i128::from(rate)));
        // The division above and the one in `wall` round; the true instant is at most a few milliseconds away.
        while at > self.at && self.wall(Mono(at.0 - 1)) >= wall {
            at = Mono(at.0 - 1);
        }
        while self.wall(at) < wall && self.wall(at) < Wall(Wall::RANGE.end.0 - 1) {
            at = at.after_ms(1);
        }
        at
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn unsigned(ms: i128) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_clock_adds_elapsed_time() {
        let clock = Clock::new(Mono(500), Wall(1_000_000), 0);
        assert_eq!(clock.wall(Mono(1_500)), Wall(1_001_000));
        assert_eq!(clock.first_at(Wall(1_001_000)), Mono(1_500));
        assert_eq!(
            clock.first_at(Wall(1)),
            Mono(500),
            "what it shows already, it shows since it was set"
        );
    }

    #[test]
    fn a_drifting_clock_is_inverted_to_the_millisecond() {
        for drift in [-50_000, -20, 0, 20, 50_000] {
            let clock = Clock::new(Mono(7), Wall(1_700_000_000_000), drift);
            for ahead in [0, 1, 999, 60_000, 86_400_000] {
                let wall = Wall(1_700_000_000_000 + ahead);
                let at = clock.first_at(wall);
                assert!(clock.wall(at) >= wall, "{drift} {ahead}");
                assert!(at == Mono(7) || clock.wall(Mono(at.0 - 1)) < wall, "{drift} {ahead}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_goes_on_from_there() {
        let mut clock = Clock::new(Mono(0), Wall(0), 1_000);
        assert_eq!(clock.wall(Mono(10_000)), Wall(10_010));
        clock.set(Mono(10_000), Wall(50_000));
        assert_eq!(clock.wall(Mono(20_000)), Wall(60_010));
    }
}

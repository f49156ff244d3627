//! Simulated time against real time: how fast the simulation runs, and when on the real clock a simulated instant is.
//! Real time is tokio's, so that a test may pause it.

use domain::time::Mono;
use std::time::Duration;
use tokio::time::Instant;

/// The elapsed time of a simulation. All its piles share one.
#[derive(Debug, Clone, Copy)]
pub struct SimTime {
    began: Instant,
    speed: u32,
}

impl SimTime {
    /// Begins now, `speed` times as fast as real time; 0 counts as 1.
    pub fn begin(speed: u32) -> Self {
        Self {
            began: Instant::now(),
            speed: speed.max(1),
        }
    }

    /// Simulated milliseconds since the beginning.
    pub fn now(&self) -> Mono {
        let elapsed = self.began.elapsed().as_micros() * u128::from(self.speed) / 1_000;
        Mono(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// How fast it runs.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// The first real instant at which [`SimTime::now`] shows `at`; a year away for what is further than that.
    pub fn instant(&self, at: Mono) -> Instant {
        const YEAR_US: u128 = 366 * 86_400 * 1_000_000;
        let us = (u128::from(at.0) * 1_000).div_ceil(u128::from(self.speed)).min(YEAR_US);
        self.began + Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_instants_are_found_on_the_real_clock() {
        for speed in [1, 7, 60, 1_000] {
            let time = SimTime::begin(speed);
            for at in [0, 1, 999, 86_400_000] {
                let us = (time.instant(Mono(at)) - time.began).as_micros();
                assert!(
                    us * u128::from(speed) / 1_000 >= u128::from(at),
                    "not too early: {speed} {at}"
                );
                assert!(
                    us == 0 || (us - 1) * u128::from(speed) < u128::from(at) * 1_000,
                    "not late: {speed} {at}"
                );
            }
        }
        assert_eq!(SimTime::begin(0).speed(), 1);
    }
}

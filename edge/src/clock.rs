//! The station's two clocks, read from the operating system: wall time, and elapsed time that goes on across restarts.
//! A rate above one makes both run faster, for demonstrations and tests with simulated piles.

use domain::time::{Mono, Now, Wall};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where elapsed time stood at the last commit: it goes on from there after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Elapsed station time.
    pub mono: Mono,
    /// The kernel's boot, where it can be told: within the same boot the time since is known.
    pub kernel_boot: Option<String>,
    /// Milliseconds since that boot.
    pub kernel_uptime_ms: u64,
}

/// The station's clocks.
#[derive(Debug)]
pub struct SiteClock {
    started: Instant,
    mono_at_start: Mono,
    wall_at_start: Option<Wall>,
    rate: u32,
}

impl SiteClock {
    /// Goes on from `mark`. Time that passed while the daemon was down counts where the machine stayed up; through a
    /// power cut deadlines keep what was left of them.
    pub fn resume(mark: &Mark) -> Self {
        let away = match (&mark.kernel_boot, kernel_boot()) {
            (Some(before), Some(now)) if *before == now => kernel_uptime_ms().saturating_sub(mark.kernel_uptime_ms),
            _ => 0,
        };
        Self {
            started: Instant::now(),
            mono_at_start: mark.mono.after_ms(away),
            wall_at_start: None,
            rate: 1,
        }
    }

    /// Runs `rate` times as fast as the world, from `start` if given. For demonstrations and tests.
    #[must_use]
    pub fn simulated(mut self, rate: u32, start: Option<Wall>) -> Self {
        self.rate = rate.max(1);
        self.wall_at_start = Some(start.unwrap_or_else(system_wall));
        self
    }

    /// The present.
    pub fn now(&self) -> Now {
        let elapsed = self.started.elapsed().as_millis().saturating_mul(u128::from(self.rate));
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let wall = match self.wall_at_start {
            Some(start) => start.after_ms(i64::try_from(elapsed).unwrap_or(i64::MAX)),
            None => system_wall(),
        };
        Now {
            mono: self.mono_at_start.after_ms(elapsed),
            wall,
        }
    }

    /// How long until elapsed time reaches `at`, in the world's time.
    pub fn until(&self, at: Mono) -> Duration {
        let ms = at.ms_since(self.now().mono);
        Duration::from_millis(ms.div_ceil(u64::from(self.rate)))
    }

    /// Where elapsed time stands, to be stored.
    pub fn mark(&self) -> Mark {
        Mark {
            mono: self.now().mono,
            kernel_boot: kernel_boot(),
            kernel_uptime_ms: kernel_uptime_ms(),
        }
    }
}

/// The operating system's wall clock.
pub(crate) fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn kernel_boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .map(|id| id.trim().to_owned())
}

/// From `/proc/uptime`: seconds since boot with two places, suspended time included.
fn kernel_uptime_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let digits: String = text
        .split(' ')
        .next()
        .unwrap_or("")
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits
        .parse::<u64>()
        .map_or(0, |hundredths| hundredths.saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_goes_on_from_the_mark() {
        let mark = Mark {
            mono: Mono(5_000),
            kernel_boot: None,
            kernel_uptime_ms: 0,
        };
        let clock = SiteClock::resume(&mark);
        assert!(clock.now().mono >= Mono(5_000) && clock.now().mono < Mono(65_000));

        let up_ms = 10_000;
        let mark = Mark {
            mono: Mono(5_000),
            kernel_boot: kernel_boot(),
            kernel_uptime_ms: kernel_uptime_ms() - up_ms,
        };
        let since = SiteClock::resume(&mark).now().mono.0;
        assert!(
            (5_000 + up_ms..5_000 + up_ms + 60_000).contains(&since),
            "the machine stayed up: {since}"
        );
    }

    #[test]
    fn a_simulated_clock_runs_from_where_it_is_told() {
        let start = Wall::parse("2026-03-01T07:50:00+08:00").unwrap();
        let clock = SiteClock::resume(&Mark::default()).simulated(60, Some(start));
        let now = clock.now();
        assert!(now.wall >= start && now.wall.ms_since(start) < 3_600_000);
        assert!(clock.until(now.mono.after_ms(60_000)) <= Duration::from_secs(1));
    }
}

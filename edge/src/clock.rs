//! The station's two clocks, read from the operating system: wall time, and elapsed time that goes on across restarts.
//! A rate above one makes both run faster, for demonstrations and tests with simulated piles.

pub use domain::station_clock::EARLIEST;
use domain::time::{Mono, Now, Wall};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where elapsed time stood at the last commit: it goes on from there after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Elapsed station time.
    pub mono: Mono,
    /// The kernel's boot, where it can be told: within the same boot the time since is known.
    pub kernel_boot: Option<String>,
    /// Milliseconds since that boot.
    pub kernel_uptime_ms: u64,
    /// The last moment at which the wall clock was trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certain: Option<Certain>,
}

/// A moment by both clocks, at which the wall clock was trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certain {
    /// Elapsed station time.
    pub mono: Mono,
    /// Wall time.
    pub wall: Wall,
}

impl From<Now> for Certain {
    fn from(Now { mono, wall }: Now) -> Self {
        Self { mono, wall }
    }
}

/// What the station knows of the true time, whatever its wall clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownTime {
    /// The wall clock is trusted, and shows this.
    Is(Wall),
    /// It is not; but it was, and so much time has passed since, or more.
    NotBefore(Wall),
    /// It never was.
    Unknown,
}

/// Whether the wall clock is trusted, and when it was last.
#[derive(Debug, Default)]
struct Trust {
    trusted: bool,
    certain: Option<Certain>,
}

/// The station's clocks.
#[derive(Debug)]
pub struct SiteClock {
    trust: Mutex<Trust>,
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
            trust: Mutex::new(Trust {
                trusted: false,
                certain: mark.certain,
            }),
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

    /// Says whether the wall clock is right: synchronised, or kept so by a person.
    pub fn set_trusted(&self, trusted: bool) {
        let now = self.now();
        let mut trust = self.trust();
        if trust.trusted && now.wall >= EARLIEST {
            trust.certain = Some(now.into());
        }
        trust.trusted = trusted;
    }

    /// What is known of the true time. While the clock is not trusted, that is when it last was and the time that has
    /// certainly passed since: power cuts are not counted.
    pub fn known(&self) -> KnownTime {
        let now = self.now();
        let trust = self.trust();
        if trust.trusted && now.wall >= EARLIEST {
            return KnownTime::Is(now.wall);
        }
        trust.certain.map_or(KnownTime::Unknown, |certain| {
            let passed = i64::try_from(now.mono.ms_since(certain.mono)).unwrap_or(i64::MAX);
            KnownTime::NotBefore(certain.wall.after_ms(passed))
        })
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where elapsed time stands, to be stored.
    pub fn mark(&self) -> Mark {
        let now = self.now();
        let trust = self.trust();
        let is_certain = trust.trusted && now.wall >= EARLIEST;
        Mark {
            mono: now.mono,
            kernel_boot: kernel_boot(),
            kernel_uptime_ms: kernel_uptime_ms(),
            certain: if is_certain { Some(now.into()) } else { trust.certain },
        }
    }
}

/// The operating system's wall clock.
pub(crate) fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Asked for once: it is the same as long as this process lives, and every commit wants it.
fn kernel_boot() -> Option<String> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    BOOT.get_or_init(|| read().map(|id| id.trim().to_owned())).clone()
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
            certain: None,
        };
        let clock = SiteClock::resume(&mark);
        assert!(clock.now().mono >= Mono(5_000) && clock.now().mono < Mono(65_000));

        let up_ms = 10_000;
        let mark = Mark {
            mono: Mono(5_000),
            kernel_boot: kernel_boot(),
            kernel_uptime_ms: kernel_uptime_ms() - up_ms,
            certain: None,
        };
        let since = SiteClock::resume(&mark).now().mono.0;
        assert!(
            (5_000 + up_ms..5_000 + up_ms + 60_000).contains(&since),
            "the machine stayed up: {since}"
        );
    }

    #[test]
    fn what_was_certain_once_bounds_the_time_while_the_clock_is_not_trusted() {
        let at = |text: &str| Wall::parse(text).unwrap();
        let clock = |mark: &Mark, start| SiteClock::resume(mark).simulated(1, Some(at(start)));
        let before = clock(&Mark::default(), "2026-05-01T00:00:00Z");
        assert_eq!(before.known(), KnownTime::Unknown);
        before.set_trusted(true);
        assert!(matches!(before.known(), KnownTime::Is(wall) if wall >= at("2026-05-01T00:00:00Z")));

        // The battery of the clock is empty, and it is trusted all the same.
        let after = clock(&before.mark(), "1970-01-01T00:00:00Z");
        for trusted in [false, true] {
            after.set_trusted(trusted);
            let KnownTime::NotBefore(wall) = after.known() else {
                panic!("{:?}", after.known());
            };
            assert!(
                wall >= at("2026-05-01T00:00:00Z") && wall < at("2026-05-01T00:01:00Z"),
                "{wall}"
            );
        }
        assert_eq!(
            after.mark().certain.unwrap().wall.0 / 60_000,
            at("2026-05-01T00:00:00Z").0 / 60_000
        );

        // A clock that ran ahead while it was trusted and was put right poisons nothing.
        let ahead = clock(&before.mark(), "2099-01-01T00:00:00Z");
        ahead.set_trusted(true);
        let right = clock(&ahead.mark(), "2026-05-02T00:00:00Z");
        right.set_trusted(true);
        assert!(matches!(right.known(), KnownTime::Is(wall) if wall < at("2026-05-02T00:01:00Z")));
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

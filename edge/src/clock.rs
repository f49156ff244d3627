//! The station's two clocks, read from the operating system: wall time, and elapsed time that goes on across restarts.
//! A rate above one makes both run faster, for demonstrations; tests have clocks that stand until they are moved.

pub use domain::station_clock::EARLIEST;
use domain::time::{Mono, Now, Wall};
use serde::{Deserialize, Serialize};
pub use service::tls::KnownTime;
use service::tls::TrueTime;
use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// Where elapsed time stood at the last commit: it goes on from there after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Elapsed station time.
    pub mono: Mono,
    /// What the wall clock showed; none in the mark of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<Wall>,
    /// The kernel's boot, where it can be told: within the same boot the time since is known.
    pub kernel_boot: Option<String>,
    /// Milliseconds since that boot.
    pub kernel_uptime_ms: u64,
    /// The last moment at which the wall clock was trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certain: Option<Certain>,
}

impl Mark {
    /// Where elapsed time goes on in the next run of the program, if none is known to have passed meanwhile: later than all that was
    /// written. In the same moment as the last entry nothing would tell which came first, that entry or a step that the wall clock
    /// took while the station was off.
    pub fn goes_on_at(&self) -> Mono {
        self.mono.after_ms(u64::from(self.wall.is_some()))
    }
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

/// Whether the wall clock is trusted, and when it was last.
#[derive(Debug, Default)]
struct Trust {
    trusted: bool,
    certain: Option<Certain>,
}

/// What moves the clocks.
#[derive(Debug)]
enum Pace {
    /// They run with the world's time, so many times as fast.
    Runs { started: Instant, rate: u32 },
    /// They stand, so many milliseconds after their start, until somebody moves them. Whoever waits for a time is woken
    /// by the channel.
    Stands(watch::Sender<u64>),
}

/// The station's clocks.
#[derive(Debug)]
pub struct SiteClock {
    trust: Mutex<Trust>,
    pace: Pace,
    mono_at_start: Mono,
    /// By how much elapsed time was put ahead since the start, in milliseconds.
    ahead_ms: AtomicU64,
    wall_at_start: Option<Wall>,
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
            pace: Pace::Runs {
                started: Instant::now(),
                rate: 1,
            },
            mono_at_start: mark.goes_on_at().after_ms(away),
            ahead_ms: AtomicU64::new(0),
            wall_at_start: None,
        }
    }

    /// Runs `rate` times as fast as the world, from `start` if given. For demonstrations and tests of whole daemons.
    #[must_use]
    pub fn simulated(mut self, rate: u32, start: Option<Wall>) -> Self {
        self.pace = Pace::Runs {
            started: Instant::now(),
            rate: rate.max(1),
        };
        self.wall_at_start = Some(start.unwrap_or_else(system_wall));
        self
    }

    /// Stands at `start` until it is moved by [`SiteClock::advance`], so that what a test sees does not depend on how
    /// fast the machine is.
    #[must_use]
    pub fn standing(mut self, start: Wall) -> Self {
        self.pace = Pace::Stands(watch::Sender::new(0));
        self.wall_at_start = Some(start);
        self
    }

    /// Moves clocks that stand, and wakes whoever waits for a time.
    ///
    /// # Panics
    /// If they run: nobody moves those.
    pub fn advance(&self, ms: u64) {
        let Pace::Stands(elapsed) = &self.pace else {
            panic!("clocks that run are moved by time alone");
        };
        elapsed.send_modify(|elapsed| *elapsed = elapsed.saturating_add(ms));
    }

    /// The present.
    pub fn now(&self) -> Now {
        let elapsed = match &self.pace {
            Pace::Runs { started, rate } => {
                let elapsed = started.elapsed().as_millis().saturating_mul(u128::from(*rate));
                u64::try_from(elapsed).unwrap_or(u64::MAX)
            }
            Pace::Stands(elapsed) => *elapsed.borrow(),
        };
        let wall = match self.wall_at_start {
            Some(start) => start.after_ms(i64::try_from(elapsed).unwrap_or(i64::MAX)),
            None => system_wall(),
        };
        Now {
            mono: self.mono_at_start.after_ms(elapsed).after_ms(self.ahead_ms()),
            wall,
        }
    }

    fn ahead_ms(&self) -> u64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }

    /// Elapsed time goes on after `mono`, if it has not come so far: that much was counted before this machine was started, and was
    /// written ([`Mark::goes_on_at`]).
    pub fn go_on_after(&self, mono: Mono) {
        let behind_ms = mono.after_ms(1).ms_since(self.now().mono);
        self.ahead_ms.fetch_add(behind_ms, Ordering::SeqCst);
    }

    /// It is `wall` at least, as somebody vouches who knows.
    pub fn was_certainly(&self, wall: Wall) {
        let mono = self.now().mono;
        self.trust().certain = Some(Certain { mono, wall });
    }

    /// Waits until elapsed time has reached `at`.
    pub async fn reached(&self, at: Mono) {
        match &self.pace {
            Pace::Runs { rate, .. } => {
                let ms = at.ms_since(self.now().mono);
                tokio::time::sleep(Duration::from_millis(ms.div_ceil(u64::from(*rate)))).await;
            }
            Pace::Stands(elapsed) => {
                let wanted = at.ms_since(self.mono_at_start.after_ms(self.ahead_ms()));
                let mut elapsed = elapsed.subscribe();
                let reached = elapsed.wait_for(|elapsed| *elapsed >= wanted).await;
                reached.expect("the sender is borrowed here, so it lives");
            }
        }
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
            wall: Some(now.wall),
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

impl TrueTime for SiteClock {
    fn wall(&self) -> Wall {
        self.now().wall
    }

    fn known(&self) -> KnownTime {
        SiteClock::known(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        card::{Card, HeldBy, Holding},
        ids::MemberId,
        station_clock::{ClockStep, StationClock},
    };

    #[test]
    fn elapsed_time_goes_on_from_the_mark() {
        let mark = Mark {
            mono: Mono(5_000),
            ..Mark::default()
        };
        let clock = SiteClock::resume(&mark);
        assert!(clock.now().mono >= Mono(5_000) && clock.now().mono < Mono(65_000));

        let up_ms = 10_000;
        let mark = Mark {
            mono: Mono(5_000),
            kernel_boot: kernel_boot(),
            kernel_uptime_ms: kernel_uptime_ms() - up_ms,
            ..Mark::default()
        };
        let since = SiteClock::resume(&mark).now().mono.0;
        assert!(
            (5_000 + up_ms..5_000 + up_ms + 60_000).contains(&since),
            "the machine stayed up: {since}"
        );
    }

    #[test]
    fn a_step_while_the_station_was_off_came_after_its_last_entry() {
        let at = |text: &str| Wall::parse(text).unwrap();
        let [v, u]: [MemberId; 2] = ["v", "u"].map(|id| id.parse().unwrap());
        let before = SiteClock::resume(&Mark::default()).standing(at("2026-05-01T18:00:00Z"));
        // The last that was written before the power went: the card is another member's. Then its clock was put back by three hours.
        let Now { mono, wall } = before.now();
        let after = SiteClock::resume(&Mark {
            kernel_boot: None,
            ..before.mark()
        })
        .standing(at("2026-05-01T15:05:00Z"));
        let found = after.now();
        assert_eq!(found.mono, mono.after_ms(1));
        let card = Card::with([(v, wall.after_ms(-3_600_000), Mono(0)), (u.clone(), wall, mono)].map(
            |(member, since, mono)| Holding {
                member: Some(member),
                since,
                mono: Some(mono),
            },
        ));
        let clock = StationClock {
            steps: vec![ClockStep {
                mono: found.mono,
                at: found.wall,
                by_ms: found.wall.ms_since(wall),
            }],
            ..StationClock::default()
        };
        let began = found.wall.after_ms(60_000);
        assert_eq!(card.held_at(Some(began), &clock), HeldBy::Member(&u));
    }

    #[test]
    fn what_was_certain_once_bounds_the_time_while_the_clock_is_not_trusted() {
        const MINUTE_MS: u64 = 60_000;
        let at = |text: &str| Wall::parse(text).unwrap();
        // As through a power cut: the time between the two lives of the station is not counted.
        let clock = |mark: Mark, start| {
            let mark = Mark {
                kernel_boot: None,
                ..mark
            };
            SiteClock::resume(&mark).standing(at(start))
        };
        let before = clock(Mark::default(), "2026-05-01T00:00:00Z");
        assert_eq!(before.known(), KnownTime::Unknown);
        before.set_trusted(true);
        assert_eq!(before.known(), KnownTime::Is(at("2026-05-01T00:00:00Z")));

        // The battery of the clock is empty, and it is trusted all the same.
        let after = clock(before.mark(), "1970-01-01T00:00:00Z");
        after.advance(MINUTE_MS);
        for trusted in [false, true] {
            after.set_trusted(trusted);
            // Its elapsed time has gone on a millisecond later.
            assert_eq!(after.known(), KnownTime::NotBefore(at("2026-05-01T00:01:00.001Z")));
        }
        assert_eq!(after.mark().certain.unwrap().wall, at("2026-05-01T00:00:00Z"));

        // A clock that ran ahead while it was trusted and was put right poisons nothing.
        let ahead = clock(before.mark(), "2099-01-01T00:00:00Z");
        ahead.set_trusted(true);
        let right = clock(ahead.mark(), "2026-05-02T00:00:00Z");
        right.set_trusted(true);
        assert_eq!(right.known(), KnownTime::Is(at("2026-05-02T00:00:00Z")));
    }

    #[test]
    fn elapsed_time_goes_on_from_what_was_counted_before() {
        let clock = SiteClock::resume(&Mark::default()).standing(Wall(0));
        clock.advance(1_000);
        clock.go_on_after(Mono(500));
        assert_eq!(clock.now().mono, Mono(1_000), "it never goes back");
        clock.go_on_after(Mono(60_000));
        clock.advance(5);
        assert_eq!(
            clock.now(),
            Now {
                mono: Mono(60_006),
                wall: Wall(1_005)
            }
        );
        assert_eq!(clock.mark().mono, Mono(60_006));
    }

    #[tokio::test]
    async fn a_simulated_clock_runs_from_where_it_is_told() {
        let start = Wall::parse("2026-03-01T07:50:00+08:00").unwrap();
        let clock = SiteClock::resume(&Mark::default()).simulated(60_000, Some(start));
        let then = clock.now().mono.after_ms(60_000);
        clock.reached(then).await;
        let now = clock.now();
        assert!(now.mono >= then && now.wall >= start.after_ms(60_000));
        clock.reached(Mono(0)).await;
    }

    #[tokio::test]
    async fn a_standing_clock_moves_when_it_is_told_and_wakes_whoever_waits() {
        let start = Wall::parse("2026-03-01T07:50:00+08:00").unwrap();
        let mark = Mark {
            mono: Mono(5_000),
            ..Mark::default()
        };
        let clock = SiteClock::resume(&mark).standing(start);
        let at = |ms: u32| Now {
            mono: Mono(5_000 + u64::from(ms)),
            wall: start.after_ms(ms.into()),
        };
        assert_eq!(clock.now(), at(0));
        clock.reached(Mono(5_000)).await;
        let (reached, ()) = tokio::join!(
            async {
                clock.reached(Mono(5_100)).await;
                clock.now()
            },
            async {
                clock.advance(99);
                tokio::task::yield_now().await;
                clock.advance(1);
            }
        );
        assert_eq!(reached, at(100));
    }
}

//! Head office's clocks: those of the machine, which somebody keeps right.

use crate::desk::Clock;
use domain::time::{Mono, Wall};
use service::tls::{KnownTime, TrueTime};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The machine's clocks; in a demonstration at another time.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock {
    begun: Instant,
    /// By how much the machine's clock is behind what is told, in milliseconds.
    behind_ms: i64,
}

impl MachineClock {
    /// Elapsed time begins now.
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            behind_ms: 0,
        }
    }

    /// The same where a demonstration says that it is another time now.
    #[must_use]
    pub fn demonstrating(self, start: Option<Wall>) -> Self {
        Self {
            behind_ms: start.map_or(0, |start| start.ms_since(system_wall())),
            ..self
        }
    }

    fn told(self) -> Wall {
        system_wall().after_ms(self.behind_ms)
    }
}

impl Clock for MachineClock {
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wall(&self) -> Wall {
        self.told()
    }
}

impl TrueTime for MachineClock {
    fn wall(&self) -> Wall {
        self.told()
    }

    fn known(&self) -> KnownTime {
        KnownTime::Is(self.told())
    }
}

/// What the machine's clock shows.
pub fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

//! Head office's clocks: those of the machine, which somebody keeps right.

use crate::desk::Clock;
use domain::time::{Mono, Wall};
use service::tls::{KnownTime, TrueTime};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock {
    begun: Instant,
}

impl MachineClock {
    /// Elapsed time begins now.
    pub fn start() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Clock for MachineClock {
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wall(&self) -> Wall {
        system_wall()
    }
}

impl TrueTime for MachineClock {
    fn wall(&self) -> Wall {
        system_wall()
    }

    fn known(&self) -> KnownTime {
        KnownTime::Is(system_wall())
    }
}

/// What the machine's clock shows.
pub fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

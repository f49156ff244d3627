//! What all connections of a broker share: its limits, its gatekeeper, who has which session, and what is counted.
//! A leaf for everything in `front` and for `lifecycle`, which act on it.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, watch};

use crate::config::Config;
use crate::front::limits::Admission;
use crate::front::refusals::RefusalLog;
use crate::gatekeeper::Gatekeeper;
use crate::quota::Quotas;
use crate::retained::Retained;
use crate::router::Router;
use crate::sessions::Sessions;
use crate::stats::{Counters, Stats};
use crate::topic::TopicLimits;

/// What all connections share.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) gatekeeper: Arc<dyn Gatekeeper>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sessions: Sessions,
    pub(crate) deadlines_changed: Arc<Notify>,
    pub(crate) router: Router,
    pub(crate) topics: TopicLimits,
    pub(crate) admission: Admission,
    pub(crate) quotas: Quotas,
    pub(crate) refusals: RefusalLog,
    pub(crate) authentications: Semaphore,
    pub(crate) connected: AtomicU64,
    retained: Mutex<Retained>,
    last_connection: AtomicU64,
    closing: watch::Sender<bool>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Must be called inside a tokio runtime.
    pub(crate) fn new(config: Config, gatekeeper: Arc<dyn Gatekeeper>) -> Arc<Self> {
        let config = config.with_bounded_durations();
        let counters = Arc::new(Counters::default());
        let deadlines_changed = Arc::new(Notify::new());
        let (closing, _) = watch::channel(false);
        Arc::new(Self {
            router: Router::new(&config, counters.clone()),
            sessions: Sessions::new(&config, deadlines_changed.clone()),
            deadlines_changed,
            topics: TopicLimits {
                // Longer ones cannot be written: their length has two bytes.
                bytes_max: config.topic_bytes_max.min(usize::from(u16::MAX)),
                levels_max: config.topic_levels_max,
            },
            admission: Admission::new(config.connections_max, config.connections_per_address_max),
            quotas: Quotas::new(&config),
            refusals: RefusalLog::new(Instant::now()),
            authentications: Semaphore::new(config.authentications_max.max(1)),
            connected: AtomicU64::new(0),
            retained: Mutex::new(Retained::new(config.retained_messages_max, config.retained_bytes_max)),
            last_connection: AtomicU64::new(0),
            closing,
            counters,
            gatekeeper,
            config,
        })
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn lock_retained(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number for a new connection; also makes assigned client ids unique.
    pub(crate) fn next_connection(&self) -> u64 {
        self.last_connection.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Resolves when the broker is shutting down.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closing = self.closing.subscribe();
        async move {
            // An error means that the broker is gone, which is as good as closed.
            drop(closing.wait_for(|closing| *closing).await);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let (retained, retained_bytes) = {
            let retained = self.lock_retained();
            (retained.len() as u64, retained.bytes() as u64)
        };
        Stats {
            connected: self.connected.load(Ordering::Relaxed),
            sessions: self.sessions.len() as u64,
            retained,
            retained_bytes,
            ..self.counters.snapshot()
        }
    }
}

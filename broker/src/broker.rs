//! The broker as the embedding program holds it, and the state that its connections share.
//! `Broker` owns the listeners' side; `Handle` is for everybody who sends.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};

use crate::config::Config;
use crate::front::accept;
use crate::front::limits::Admission;
use crate::front::refusals::RefusalLog;
use crate::gatekeeper::{DisconnectCause, Gatekeeper};
use crate::handle::Handle;
use crate::lifecycle;
use crate::quota::Quotas;
use crate::retained::Retained;
use crate::router::Router;
use crate::sessions::Sessions;
use crate::stats::{Counters, Stats};
use crate::topic::TopicLimits;

/// An MQTT broker. Its threads and the tokio tasks it spawns live until the process ends; one per process is meant.
#[derive(Debug)]
pub struct Broker {
    core: Arc<Core>,
}

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

impl Broker {
    /// Makes a broker that asks `gatekeeper`. Must be called inside a tokio runtime with time and I/O enabled.
    ///
    /// # Errors
    /// If the router's threads cannot be started.
    pub fn new(config: Config, gatekeeper: Arc<dyn Gatekeeper>) -> std::io::Result<Self> {
        let config = config.with_bounded_durations();
        let counters = Arc::new(Counters::default());
        let deadlines_changed = Arc::new(Notify::new());
        let (closing, _) = watch::channel(false);
        let core = Arc::new(Core {
            router: Router::start(&config, counters.clone())?,
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
        });
        tokio::spawn(lifecycle::sweep(Arc::downgrade(&core)));
        Ok(Self { core })
    }

    /// For publishing, disconnecting and counting; cheap to clone.
    pub fn handle(&self) -> Handle {
        Handle::new(self.core.clone())
    }

    /// Accepts plain MQTT connections until [`shutdown`](Self::shutdown). Spawn it, once per listener.
    pub fn serve(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + 'static {
        accept::serve(self.core.clone(), listener, None)
    }

    /// Accepts MQTT connections over TLS until [`shutdown`](Self::shutdown). Handshakes run beside each other with a
    /// time-out each. Each new connection uses the configuration that the channel holds then, so certificates are
    /// rotated by sending a new one; the sender may be dropped if they never are.
    pub fn serve_tls(
        &self,
        listener: TcpListener,
        tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        accept::serve(self.core.clone(), listener, Some(tls))
    }

    /// Resolves when the fan-out to shared subscribers has died. It cannot be restarted: end the process with an exit
    /// code other than 0 and let the service manager start it again. Nothing that was acknowledged is lost by that.
    pub fn router_died(&self) -> impl Future<Output = ()> + Send + 'static {
        let core = self.core.clone();
        async move { core.router.died().await }
    }

    /// Stops accepting, sends what is acknowledged and DISCONNECT 0x8B to everybody, and waits for the connections to
    /// end, at most for `grace`. Returns whether all have ended.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.core.closing.send_replace(true);
        for cell in self.core.sessions.all() {
            cell.close(DisconnectCause::ServerShuttingDown);
        }
        tokio::time::timeout(grace, self.core.admission.all_gone())
            .await
            .is_ok()
    }
}

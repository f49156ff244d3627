//! The broker as the embedding program holds it: listeners in, a handle out, and its end.
//! `Broker` owns the listeners' side; `Handle` is for everybody who sends.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::core::Core;
use crate::front::accept;
use crate::gatekeeper::{DisconnectCause, Gatekeeper};
use crate::handle::Handle;
use crate::lifecycle;

/// An MQTT broker. Its threads and the tokio tasks it spawns live until the process ends; one per process is meant.
#[derive(Debug)]
pub struct Broker {
    core: Arc<Core>,
}

impl Broker {
    /// Makes a broker that asks `gatekeeper`. Must be called inside a tokio runtime with time and I/O enabled.
    pub fn new(config: Config, gatekeeper: Arc<dyn Gatekeeper>) -> Self {
        let core = Core::new(config, gatekeeper);
        tokio::spawn(lifecycle::sweep(Arc::downgrade(&core)));
        Self { core }
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
        self.core.close();
        for cell in self.core.sessions.all() {
            cell.close(DisconnectCause::ServerShuttingDown);
        }
        tokio::time::timeout(grace, self.core.admission.all_gone())
            .await
            .is_ok()
    }
}

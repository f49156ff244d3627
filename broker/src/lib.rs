//! An MQTT 3.1.1 and 5 broker as a library: a front door, sessions and fan-out. It knows nothing of charging.
//! What may connect, publish and subscribe, and what must be on disk before a PUBACK, is the [`Gatekeeper`]'s to say.
//!
//! ```text
//! let broker = Broker::new(Config::default(), gatekeeper)?;          // inside a tokio runtime
//! let handle: Handle = broker.handle();                              // cheap to clone, all methods sync
//! tokio::spawn(broker.serve(TcpListener::bind("0.0.0.0:1883").await?));
//! tokio::spawn(broker.serve_tls(listener, tls /* watch::Receiver<Arc<rustls::ServerConfig>> */));
//! handle.publish_to("P1", Message::new("hf/v1/pile/P1/down/command", payload).qos(QoS::AtLeastOnce))?;
//! handle.publish_shared(Message::new("hf/v1/site/display", payload))?;
//! handle.disconnect("P1", DisconnectCause::AdministrativeAction);
//! handle.kick_identity(&identity);                                   // ends its connections and sessions
//! handle.stats();
//! broker.router_died().await;                                        // then end the process with a code ≠ 0
//! broker.shutdown(Duration::from_secs(5)).await;                     // stop accepting, DISCONNECT 0x8B, drain
//! ```
mod broker;
mod codec;
mod config;
mod front;
mod gatekeeper;
mod handle;
mod lifecycle;
mod message;
mod rate;
mod receipt;
mod retained;
mod router;
mod session;
mod sessions;
mod stats;
mod topic;

pub use broker::Broker;
pub use config::{ClientIdRule, Config, Rate};
pub use gatekeeper::{
    BoxFuture, Client, ConnectRefusal, ConnectRequest, DisconnectCause, Gatekeeper, Identity, Protocol, Route,
    Subscribing,
};
pub use handle::{Handle, PublishError, Sent};
pub use message::{Message, Publish, PublishProperties, QoS, USER_PROPERTIES_MAX};
pub use receipt::{Outcome, Receipt, RefusalReason};
pub use stats::Stats;

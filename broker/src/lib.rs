//! An MQTT 3.1.1 and 5 broker as a library: a front door, sessions and fan-out. It knows nothing of charging.
//! What may connect, publish and subscribe, and what must be on disk before a PUBACK, is the [`Gatekeeper`]'s to say.
//!
//! ```no_run
//! # async fn run(gatekeeper: std::sync::Arc<dyn broker::Gatekeeper>) -> Result<(), Box<dyn std::error::Error>> {
//! use broker::{Broker, Config, Message, QoS};
//!
//! let broker = Broker::new(Config::default(), gatekeeper);
//! tokio::spawn(broker.serve(tokio::net::TcpListener::bind("0.0.0.0:1883").await?));
//! let handle = broker.handle();
//! handle.publish_to("P1", Message::new("hf/v1/pile/P1/down/command", "{}").qos(QoS::AtLeastOnce))?;
//! handle.publish_shared(Message::new("hf/v1/site/display", "{}").retain())?;
//! broker.router_died().await; // then end the process
//! broker.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//! - `front`: accept loops, TLS, login, the loop of one connection, SUBSCRIBE; the only part with sockets.
//! - `codec`: packets from and to the wire. *Never panics, never reads past a packet.*
//! - `session`: what a client id owns, without I/O. *Time is an input; acknowledgements go out in order.*
//! - `sessions`, `lifecycle`: who has which session; attach, take-over, leave, expiry, wills.
//! - `core`: what all connections share.
//! - `router`: the fence around rumqttd's router, which runs from the first shared subscription on. *The only place that
//!   names rumqttd; sees no topic of a client.*
//! - `gatekeeper`, `receipt`, `handle`, `message`, `config`, `stats`: what the embedding program touches.
//! - `fuzz`: what must be so whatever bytes come, for `cargo xtask fuzz`; only with the feature of that name.
//! - `quota`: what an identity may take, over all its connections; rates and addresses are those of `limits`.
//! - `retained`, `topic`: retained messages, names and filters.
//!
//! *Nowhere* is a lock held while something is awaited or the gatekeeper is asked, and *nothing* that a client sends is
//! kept without a bound from [`Config`].

mod broker;
mod codec;
mod config;
mod core;
mod front;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod gatekeeper;
mod handle;
mod lifecycle;
mod message;
mod quota;
mod receipt;
mod retained;
mod router;
mod runtime;
mod session;
mod sessions;
mod stats;
mod topic;

pub use broker::Broker;
pub use config::{ClientIdRule, Config};
pub use gatekeeper::{
    Admitted, BoxFuture, Client, ConnectRefusal, ConnectRequest, Credential, DisconnectCause, Gatekeeper, Identity,
    Protocol, Route, Subscribing,
};
pub use handle::{Handle, PublishError, Sent};
pub use limits::{Limited, Rate, RateLimit, RateLimits, TokenBucket, network_of};
pub use message::{Message, Publish, PublishProperties, QoS, USER_PROPERTIES_MAX};
pub use receipt::{Outcome, Receipt, RefusalReason};
pub use runtime::{ServingThread, runtime};
pub use stats::Stats;

//! What a person sets: `edge.toml`, with overrides from the environment.

use domain::{ids::SiteId, policy::Policy, time::Wall};
use std::{net::SocketAddr, path::PathBuf};

/// The station's configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which site this is.
    pub site: SiteId,
    /// The site's time zone, an IANA name.
    pub time_zone: String,
    /// Where the database lives.
    pub data_dir: PathBuf,
    /// The Unix socket for the command line and the sync agent.
    pub socket: PathBuf,
    /// The largest memory redb may use for its cache, in bytes.
    pub cache_bytes: usize,
    /// A tariff file that is added at the first start, when there is none yet.
    pub first_tariff: Option<PathBuf>,
    /// The MQTT front door.
    pub mqtt: Mqtt,
    /// Where the HTTP API listens; nowhere but on the socket if not given.
    pub http_listen: Option<SocketAddr>,
    /// The station's rules.
    pub policy: Policy,
    /// Its clocks.
    pub clock: ClockConfig,
}

/// The MQTT front door.
#[derive(Debug, Clone, PartialEq)]
pub struct Mqtt {
    /// Plain TCP listeners.
    pub listen: Vec<SocketAddr>,
    /// The TLS listener.
    pub tls: Option<MqttTls>,
    /// Limits of the broker.
    pub connections_max: usize,
    /// Open sockets from one address.
    pub connections_per_address_max: usize,
}

/// MQTT over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttTls {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
    /// Piles with a certificate from this authority need no password, PEM.
    pub client_ca: Option<PathBuf>,
}

/// The station's clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockConfig {
    /// Whether the wall clock is trusted from the start: piles are told the time, and the station says so.
    pub trusted: bool,
    /// For demonstrations: both clocks run this many times as fast.
    pub rate: u32,
    /// For demonstrations: the wall clock starts here.
    pub start: Option<Wall>,
}

//! What a person sets: `edge.toml`, with overrides from the environment.
//! Everything that is wrong is found before anything starts, and told with file, line, key and what to do.

mod check;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod keys;
#[cfg(test)]
mod tests;

pub use service::config::ConfigFault;

use check::Draft;
use domain::{ids::SiteId, policy::Policy, time::Wall};
use keys::KEYS;
use protocol::key::PublicKeys;
use service::{config::environment::of_process, tls};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// What the name of every override begins with. The rest is the key in capitals, with `__` between its parts.
pub const ENVIRONMENT: &str = "HOLDFAST_EDGE__";

/// The station's configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which site this is.
    pub site: SiteId,
    /// The site's time zone, an IANA name.
    pub time_zone: String,
    /// Where the database lives.
    pub data_dir: PathBuf,
    /// The Unix socket for the command line.
    pub socket: PathBuf,
    /// The Unix socket for the program that speaks with head office, whose callers may do nothing else.
    pub sync_socket: Option<PathBuf>,
    /// The largest memory redb may use for its cache, in bytes.
    pub cache_bytes: usize,
    /// The reserve on the disk that is given up when it is full, in bytes.
    pub reserve_bytes: u64,
    /// What is logged, in the words of [`tracing_subscriber::EnvFilter`].
    pub log: String,
    /// A tariff file that is added at the first start, when there is none yet.
    pub first_tariff: Option<PathBuf>,
    /// The MQTT front door.
    pub mqtt: Mqtt,
    /// The HTTP API.
    pub http: Http,
    /// The station's certificate and whose certificates it believes, for whatever listens with TLS.
    pub tls: tls::Config,
    /// The station's rules.
    pub policy: Policy,
    /// Its clocks.
    pub clock: ClockConfig,
    /// How long it keeps what is over.
    pub retention: Retention,
    /// Its head office, if it has one.
    pub head_office: HeadOffice,
}

/// A station's head office.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeadOffice {
    /// What head office signs with: each of these counts. None where the station works alone.
    pub public_keys: PublicKeys,
    /// The number that it has given the site. With it head office owns wallets, cards and refunds, and the desk does not do them
    /// by itself any more; without it the line carries the journal, and the station decides all of it as before.
    pub site_number: Option<u64>,
}

impl HeadOffice {
    /// The most keys: the one that counts, and others while they take its place.
    pub const KEYS_MAX: usize = 4;

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        !self.public_keys.0.is_empty()
    }
}

/// How long a station keeps what is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Orders that ended, the journal, messages that were dealt with.
    pub days: u32,
    /// Samples.
    pub samples_days: u32,
    /// Nothing goes that head office has not acknowledged.
    pub until_acknowledged: bool,
}

impl Retention {
    /// The shortest that may be set, in days: head office may come back from a backup and ask again.
    pub const DAYS_MIN: u32 = 35;
    /// The longest: a hundred years, which is for ever.
    pub const DAYS_MAX: u32 = 36_525;
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            days: 180,
            samples_days: Self::DAYS_MIN,
            until_acknowledged: false,
        }
    }
}

/// The MQTT front door.
#[derive(Debug, Clone, PartialEq)]
pub struct Mqtt {
    /// Plain TCP listeners.
    pub listen: Vec<SocketAddr>,
    /// The TLS listener.
    pub tls_listen: Option<SocketAddr>,
    /// Open sockets in all.
    pub connections_max: usize,
    /// Open sockets from one address.
    pub connections_per_address_max: usize,
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it listens without TLS.
    pub listen: Option<SocketAddr>,
    /// Where it listens with TLS; on the Unix socket it always does.
    pub tls_listen: Option<SocketAddr>,
    /// Open connections from one address.
    pub connections_per_address_max: usize,
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

impl Config {
    /// Reads the file at `path`, then `environment` over it.
    ///
    /// Of `environment` only names that begin with [`ENVIRONMENT`] are looked at.
    ///
    /// # Errors
    /// [`ConfigFault`] with everything that is wrong, not only the first of it.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigFault> {
        let text = service::config::text_of(path)?;
        Self::of_text(path, &text, environment)
    }

    /// As [`Config::load`], with the text of the file in hand.
    fn of_text(
        path: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigFault> {
        let mut draft = Draft::new(path.parent().unwrap_or(Path::new("")));
        let mut found = service::config::read(path, text, KEYS, ENVIRONMENT, environment, &mut draft)?;
        let config = draft.check(&mut found);
        found.result(config)
    }

    /// As [`Config::load`], with the process's own environment. No other place asks for a variable, but what systemd gives.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_here(path: &Path) -> Result<Self, ConfigFault> {
        Self::load(path, of_process(ENVIRONMENT))
    }

    /// Whether anything listens with TLS.
    pub fn has_tls(&self) -> bool {
        self.mqtt.tls_listen.is_some() || self.http.tls_listen.is_some()
    }

    /// What applies where the file says nothing but the site.
    pub fn new(site: SiteId) -> Self {
        let limits = broker::Config::default();
        Self {
            site,
            time_zone: "Asia/Shanghai".to_owned(),
            data_dir: PathBuf::from("/var/lib/holdfast"),
            socket: PathBuf::from("/run/holdfast/edge.sock"),
            sync_socket: Some(PathBuf::from("/run/holdfast-sync/sync.sock")),
            cache_bytes: 8 * 1024 * 1024,
            reserve_bytes: 64 * 1024 * 1024,
            log: "info".to_owned(),
            first_tariff: None,
            mqtt: Mqtt {
                listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))],
                tls_listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8883))),
                connections_max: limits.connections_max,
                connections_per_address_max: limits.connections_per_address_max,
            },
            http: Http {
                listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
                tls_listen: None,
                connections_per_address_max: 128,
            },
            tls: tls::Config {
                table: "mqtt.tls",
                renew_with: "`holdfast-edge pile cert`",
                names: Vec::new(),
                own: None,
                client_ca: None,
            },
            policy: Policy::default(),
            clock: ClockConfig {
                trusted: false,
                rate: 1,
                start: None,
            },
            retention: Retention::default(),
            head_office: HeadOffice::default(),
        }
    }
}

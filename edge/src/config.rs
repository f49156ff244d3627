//! What a person sets: `edge.toml`, with overrides from the environment.
//! Everything that is wrong is found before anything starts, and told with file, line, key and what to do.

mod check;
pub mod environment;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod given;
mod keys;
mod source;
#[cfg(test)]
mod tests;

use check::Draft;
use domain::{ids::SiteId, policy::Policy, time::Wall};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

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
    /// The reserve on the disk that is given up when it is full, in bytes.
    pub reserve_bytes: u64,
    /// What is logged, in the words of [`tracing_subscriber::EnvFilter`].
    pub log: String,
    /// A tariff file that is added at the first start, when there is none yet.
    pub first_tariff: Option<PathBuf>,
    /// The MQTT front door.
    pub mqtt: Mqtt,
    /// Where the HTTP API listens; nowhere but on the socket if not given.
    pub http_listen: Option<SocketAddr>,
    /// Open HTTP connections from one address.
    pub http_connections_per_address_max: usize,
    /// The station's rules.
    pub policy: Policy,
    /// Its clocks.
    pub clock: ClockConfig,
    /// How long it keeps what is over.
    pub retention: Retention,
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
    pub tls: Option<MqttTls>,
    /// Open sockets in all.
    pub connections_max: usize,
    /// Open sockets from one address.
    pub connections_per_address_max: usize,
}

/// MQTT over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttTls {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names and addresses besides this machine's own, for the certificate that the station makes itself.
    pub names: Vec<String>,
    /// The station's certificate; the station makes one itself if not given.
    pub station: Option<StationFiles>,
    /// The authority whose certificates piles show, PEM; the station's own if not given.
    pub client_ca: Option<PathBuf>,
}

/// A certificate of somebody else's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationFiles {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
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
    /// Of `environment` only names that begin with [`environment::PREFIX`] are looked at; the process's own is
    /// [`environment::of_process`].
    ///
    /// # Errors
    /// [`ConfigFault`] with everything that is wrong, not only the first of it.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigFault> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!(
                "cannot be read: {error}. Check the path and that this user may read it; the commented `edge.toml` that comes with Holdfast is a start"
            );
            let fault = Fault {
                origin: Origin::File { line: None },
                key: String::new(),
                message,
            };
            ConfigFault {
                path: path.to_owned(),
                faults: vec![fault],
            }
        })?;
        Self::of_text(path, &text, environment)
    }

    /// As [`load`](Self::load), with the text of the file in hand.
    fn of_text(
        path: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigFault> {
        let told = |faults| ConfigFault {
            path: path.to_owned(),
            faults,
        };
        let mut faults = Faults::default();
        let mut draft = Draft::new(path.parent().unwrap_or(Path::new("")));
        source::file(text, &mut draft, &mut faults).map_err(|not_toml| told(vec![not_toml]))?;
        environment::apply(environment, &mut draft, &mut faults);
        let config = draft.check(&mut faults);
        match config {
            Some(config) if faults.0.is_empty() => Ok(config),
            _ => Err(told(faults.0)),
        }
    }

    /// What applies where the file says nothing but the site.
    pub fn new(site: SiteId) -> Self {
        let limits = broker::Config::default();
        Self {
            site,
            time_zone: "Asia/Shanghai".to_owned(),
            data_dir: PathBuf::from("/var/lib/holdfast"),
            socket: PathBuf::from("/run/holdfast/edge.sock"),
            cache_bytes: 8 * 1024 * 1024,
            reserve_bytes: 64 * 1024 * 1024,
            log: "info".to_owned(),
            first_tariff: None,
            mqtt: Mqtt {
                listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))],
                tls: Some(MqttTls {
                    listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8883)),
                    names: Vec::new(),
                    station: None,
                    client_ca: None,
                }),
                connections_max: limits.connections_max,
                connections_per_address_max: limits.connections_per_address_max,
            },
            http_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            http_connections_per_address_max: 128,
            policy: Policy::default(),
            clock: ClockConfig {
                trusted: false,
                rate: 1,
                start: None,
            },
            retention: Retention::default(),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The file that was read.
    pub path: PathBuf,
    /// What is wrong, in the order in which it was found; never empty, and cut where nobody would read on.
    pub faults: Vec<Fault>,
}

/// What was found so far.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn note(&mut self, origin: Origin, key: &str, message: String) {
        const FAULTS_MAX: usize = 50;
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault {
                origin,
                key: key.to_owned(),
                message,
            });
        }
    }

    /// Whether something was said about this key.
    fn name(&self, key: &str) -> bool {
        self.0.iter().any(|fault| fault.key == key)
    }
}

/// One thing that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was said.
    pub origin: Origin,
    /// Which key, with its tables: `mqtt.tls.listen`. Empty where the whole file is meant.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the file.
    File {
        /// The line, counted from 1, where there is one to name.
        line: Option<usize>,
    },
    /// By this environment variable.
    Variable(String),
}

impl std::error::Error for ConfigFault {}

impl fmt::Display for ConfigFault {
    /// One line for each fault, in the form that editors and terminals make links of: `file:line: key: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match &fault.origin {
                Origin::File { line: Some(line) } => write!(f, "{}:{line}: ", self.path.display())?,
                Origin::File { line: None } => write!(f, "{}: ", self.path.display())?,
                Origin::Variable(name) => write!(f, "environment variable {name}: ")?,
            }
            if !fault.key.is_empty() {
                write!(f, "{}: ", escaped(&fault.key))?;
            }
            f.write_str(&escaped(&fault.message))?;
        }
        Ok(())
    }
}

/// A name or value that is quoted may have anything in it; a terminal must show it and not obey it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

//! What a person sets: `central.toml`, with overrides from the environment.
//! Everything that is wrong is found before anything starts, and told with file, line, key and what to do.

mod bills;
mod check;
mod keys;
#[cfg(test)]
mod tests;

use crate::{
    alerts::{conditions::Thresholds, smtp::Security},
    bills::mapped::Mapping,
    door,
    store::Place,
};
use check::Draft;
use domain::{time::Wall, units::Fen};
use keys::KEYS;
use service::{
    config::{ConfigFault, environment::of_process},
    tls,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// What the name of every override begins with. The rest is the key in capitals, with `__` between its parts.
pub const ENVIRONMENT: &str = "HOLDFAST_CENTRAL__";

/// Head office's configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name of this process among those that share the database.
    pub process: String,
    /// Where its files live: the database, if that is a file, and the certificate authority.
    pub data_dir: PathBuf,
    /// The Unix socket for the command line.
    pub socket: PathBuf,
    /// What is logged, in the words of [`tracing_subscriber::EnvFilter`].
    pub log: String,
    /// Where the clock starts, in a demonstration.
    pub clock_start: Option<Wall>,
    /// Where the database is.
    pub database: Place,
    /// How sites come in.
    pub sites: Sites,
    /// The HTTP API.
    pub http: Http,
    /// The certificate that whatever listens with TLS shows.
    pub tls: tls::Config,
    /// What people are told of.
    pub alerts: Alerts,
    /// What one person may decide of orders that were paid.
    pub after_sales: AfterSales,
    /// The mini-program's back end, where there is one that is told.
    pub mini_program: Option<MiniProgram>,
    /// Channels' bills.
    pub bills: Bills,
    /// Who gets reports of days that were reconciled.
    pub reports: Reports,
}

/// Who gets reports of days that were reconciled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reports {
    /// By mail, through the server that alerts go by.
    pub mail_to: Vec<String>,
    /// By a webhook.
    pub webhook: Option<Webhook>,
    /// Whether what is not final yet goes out, too.
    pub provisional: bool,
}

/// How channels' bills come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bills {
    /// A folder that is watched for them.
    pub folder: Option<PathBuf>,
    /// How the columns of CSV files are called, by channel.
    pub csv: Vec<Mapping>,
}

/// What one person may decide of orders that were paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AfterSales {
    /// Refunds of one order that together exceed this wait for a second person.
    pub refund_second_person_above: Fen,
    /// A bill that differs by more than this from the one first settled does.
    pub bill_second_person_above: Fen,
}

impl Default for AfterSales {
    fn default() -> Self {
        Self {
            refund_second_person_above: Fen(5_000),
            bill_second_person_above: Fen(5_000),
        }
    }
}

/// The mini-program's back end, as a server that is told of what members are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MiniProgram {
    /// Where it is.
    pub webhook: Webhook,
    /// An authority whose certificates it may show, besides those that the machine believes; PEM.
    pub authority: Option<PathBuf>,
    /// Whether it may be inside of a private network, or on this machine.
    pub allow_private: bool,
    /// For how long an event is tried, in milliseconds, before it is a dead letter.
    pub tried_ms: i64,
}

/// What people are told of, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alerts {
    /// From where on something is the matter.
    pub thresholds: Thresholds,
    /// An authority whose certificates servers may show that are told, besides those that the machine believes; PEM.
    pub authority: Option<PathBuf>,
    /// By a webhook.
    pub webhook: Option<Webhook>,
    /// By mail.
    pub mail: Option<Mail>,
}

/// Who gets mail, and by which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Host name or address of the server that takes it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// From whom it is.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// User name and the file with the password, where the server wants them.
    pub user: Option<(String, PathBuf)>,
}

/// A server that is told of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is.
    pub address: WebhookAddress,
    /// The file with the secret that messages are signed with.
    pub secret_file: PathBuf,
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookAddress {
    /// On this machine, without TLS.
    Plain {
        /// Its address.
        at: SocketAddr,
        /// Path and query.
        path: String,
    },
    /// Anywhere, with TLS.
    Https {
        /// Host name or address, which is also the name in its certificate.
        host: String,
        /// TCP port.
        port: u16,
        /// Path and query.
        path: String,
    },
}

impl WebhookAddress {
    /// Its address, where it is given as one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Plain { at, .. } => Some(at.ip()),
            Self::Https { host, .. } => host.parse().ok(),
        }
    }
}

/// How sites come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sites {
    /// Head office's own MQTT listener with TLS.
    pub listen: Option<SocketAddr>,
    /// The broker that sites meet head office at, where that is not its own.
    pub broker: Option<Broker>,
    /// What a site that enrols is told: host and port of the broker, or of each of its nodes. None: found by itself.
    pub addresses: Vec<String>,
    /// Open connections from one address to head office's own listener.
    pub connections_per_address_max: usize,
}

impl Sites {
    /// What a site that enrols is told, where head office's own listener has this port: at least one host and port.
    pub fn told(&self, names: &[String], port: u16) -> Vec<String> {
        match self.addresses.is_empty() {
            true => vec![reached_at(names, port)],
            false => self.addresses.clone(),
        }
    }
}

/// Host and port by which other machines probably reach this one.
fn reached_at(names: &[String], port: u16) -> String {
    let names = tls::names_of_this_machine(names);
    let host = names.first().map_or("localhost", String::as_str);
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

/// A broker of somebody else's.
#[derive(Clone, PartialEq)]
pub struct Broker {
    /// Host and port of each of its nodes, which are tried in turn; at least one. With TLS a host is also the name in the
    /// certificate.
    pub addresses: Vec<(String, u16)>,
    /// Whether it is spoken to without TLS.
    pub plain: bool,
    /// The authority of its certificate, PEM; head office's own if not given.
    pub authority: Option<PathBuf>,
    /// User name and the file with the password, where it wants them.
    pub user: Option<(String, PathBuf)>,
    /// Certificate and key that are shown to it, PEM, where it wants them.
    pub certificate: Option<tls::CertificateFiles>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broker({:?}, plain: {})", self.addresses, self.plain)
    }
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it listens without TLS.
    pub listen: Option<SocketAddr>,
    /// Where it listens with TLS. Sites enrol here.
    pub tls_listen: Option<SocketAddr>,
    /// What an enrolment file says of where that is: host and port.
    pub address: Option<String>,
    /// Open connections from one address.
    pub connections_per_address_max: usize,
}

impl Http {
    /// What an invitation says of where HTTPS is, where that listens on this port.
    pub fn told(&self, names: &[String], port: u16) -> String {
        self.address.clone().unwrap_or_else(|| reached_at(names, port))
    }
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
    pub(crate) fn of_text(
        path: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigFault> {
        let mut draft = Draft::new(path.parent().unwrap_or(Path::new("")));
        let mut found = service::config::read(path, text, KEYS, ENVIRONMENT, environment, &mut draft)?;
        let config = draft.check(&mut found);
        found.result(config)
    }

    /// As [`Config::load`], with the process's own environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_here(path: &Path) -> Result<Self, ConfigFault> {
        Self::load(path, of_process(ENVIRONMENT))
    }

    /// Whether anything listens with TLS.
    pub fn has_tls(&self) -> bool {
        self.sites.listen.is_some() || self.http.tls_listen.is_some()
    }
}

impl Default for Config {
    /// What applies where the file says nothing.
    fn default() -> Self {
        let data_dir = PathBuf::from("/var/lib/holdfast-central");
        Self {
            process: "head-office".to_owned(),
            database: Place::File(data_dir.join("central.sqlite")),
            data_dir,
            socket: PathBuf::from("/run/holdfast-central/central.sock"),
            log: "info".to_owned(),
            clock_start: None,
            sites: Sites {
                listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8884))),
                broker: None,
                addresses: Vec::new(),
                connections_per_address_max: door::CONNECTIONS_PER_ADDRESS_MAX,
            },
            http: Http {
                listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8090))),
                tls_listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8444))),
                address: None,
                connections_per_address_max: 128,
            },
            tls: tls::Config {
                table: "tls",
                renew_with: "`holdfast-central site enrol`",
                names: Vec::new(),
                own: None,
                client_ca: None,
            },
            alerts: Alerts::default(),
            after_sales: AfterSales::default(),
            mini_program: None,
            bills: Bills::default(),
            reports: Reports::default(),
        }
    }
}

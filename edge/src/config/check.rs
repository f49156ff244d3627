//! What no single value shows: whether the configuration fits together. Here a draft becomes a [`Config`].

use super::{Config, Faults, MqttTls, Origin, StationFiles, given::Given, given::shortened, keys};
use domain::ids::SiteId;
use jiff::tz::TimeZoneDatabase;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use tracing_subscriber::EnvFilter;

/// The longest path of a Unix socket: `sun_path` has 108 bytes, and the last is zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The configuration while it is read.
pub(super) struct Draft {
    pub(super) site: Option<SiteId>,
    /// Everything else. Its site is a placeholder until [`Draft::check`].
    pub(super) config: Config,
    pub(super) tls: Tls,
    pub(super) plain_mqtt_beyond_loopback: bool,
    pub(super) plain_http_beyond_loopback: bool,
    pub(super) demonstration: bool,
    /// The folder of the file: relative paths count from here.
    folder: PathBuf,
    /// Where each key was given last.
    origins: BTreeMap<&'static str, Origin>,
}

/// `[mqtt.tls]` before it is known to be complete.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) listen: Option<SocketAddr>,
    pub(super) names: Vec<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
}

impl Draft {
    pub(super) fn new(folder: &Path) -> Self {
        let placeholder = SiteId::new("unnamed").expect("seven letters are a site id");
        let config = Config::new(placeholder);
        Self {
            site: None,
            tls: Tls {
                listen: config.mqtt.tls.as_ref().map(|tls| tls.listen),
                ..Tls::default()
            },
            config,
            plain_mqtt_beyond_loopback: false,
            plain_http_beyond_loopback: false,
            demonstration: false,
            folder: folder.to_owned(),
            origins: BTreeMap::new(),
        }
    }

    /// Remembers where a key was given, for what the checks have to say about it.
    pub(super) fn given(&mut self, key: &'static str, origin: Origin) {
        self.origins.insert(key, origin);
    }

    /// A path; a relative one counts from the folder of the file.
    pub(super) fn path(&self, given: &Given) -> Result<PathBuf, String> {
        match given.text()? {
            "" => Err("is empty; give a path".to_owned()),
            text if text.contains('\0') => Err("contains a zero byte; give a path".to_owned()),
            text => Ok(self.folder.join(text)),
        }
    }

    /// Checks what the values mean together.
    pub(super) fn check(mut self, faults: &mut Faults) -> Option<Config> {
        // A site that was given, but wrongly, has been told already.
        if self.site.is_none() && !faults.name("site") {
            let message =
                "is missing; give this station's id, such as `site = \"station-1\"`, at the top of the file".to_owned();
            faults.note(Origin::File { line: None }, "site", message);
        }
        let origins = std::mem::take(&mut self.origins);
        let mut fault = |key: &str, message: String| {
            let origin = origins.get(key).cloned().unwrap_or(Origin::File { line: None });
            faults.note(origin, key, message);
        };
        self.check_place(&mut fault);
        self.check_listeners(&mut fault);
        self.check_clock(&mut fault);
        self.check_policy(&mut fault);
        self.config.mqtt.tls = self.tls(&mut fault);
        self.config.site = self.site?;
        Some(self.config)
    }

    fn check_place(&self, fault: &mut dyn FnMut(&str, String)) {
        let config = &self.config;
        let zones = TimeZoneDatabase::bundled();
        if zones.get(&config.time_zone).is_err() {
            let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
            let nearest = keys::nearest(&config.time_zone, names.iter().map(String::as_str));
            let zone = shortened(&config.time_zone);
            fault(
                "time_zone",
                match nearest {
                    Some(name) => format!("`{zone}` is not a known time zone; did you mean \"{name}\"?"),
                    None => format!("`{zone}` is not a known time zone; give an IANA name such as \"Asia/Shanghai\""),
                },
            );
        }
        let socket_bytes = config.socket.as_os_str().as_bytes().len();
        if socket_bytes > SOCKET_PATH_BYTES_MAX {
            fault(
                "socket",
                format!(
                    "is {socket_bytes} bytes long, and the system allows {SOCKET_PATH_BYTES_MAX}; give a shorter path"
                ),
            );
        }
        if let Err(error) = EnvFilter::try_new(&config.log) {
            fault(
                "log",
                format!(
                    "`{}` is not a log filter ({error}); give a level (error, warn, info, debug, trace), or levels for parts of the program such as \"info,broker=debug\"",
                    shortened(&config.log)
                ),
            );
        }
    }

    fn check_listeners(&self, fault: &mut dyn FnMut(&str, String)) {
        let config = &self.config;
        let beyond = |address: &&SocketAddr| !address.ip().is_loopback();
        if let Some(address) = config.mqtt.listen.iter().find(beyond)
            && !self.plain_mqtt_beyond_loopback
        {
            fault(
                "mqtt.listen",
                format!(
                    "{address} would carry the piles' secrets over the network in the clear; let piles use TLS (`[mqtt.tls]`), or set `plain_beyond_loopback = true` under `[mqtt]` for a LAN that only piles are on"
                ),
            );
        }
        if let Some(address) = config.http_listen.as_ref().filter(beyond)
            && !self.plain_http_beyond_loopback
        {
            fault(
                "http.listen",
                format!(
                    "{address} would carry access tokens over the network in the clear; listen on 127.0.0.1 behind a proxy that speaks TLS, or set `plain_beyond_loopback = true` under `[http]` for a network that you trust"
                ),
            );
        }
        if config.mqtt.listen.is_empty() && self.tls.listen.is_none() {
            fault(
                "mqtt.listen",
                "is empty and there is no `[mqtt.tls]` listener: no pile could connect; give an address".to_owned(),
            );
        }
        let tcp = |address: &SocketAddr| address.port() != 0;
        let others = config.mqtt.listen.iter().chain(self.tls.listen.as_ref());
        if let Some(address) = config.http_listen.as_ref().filter(|address| tcp(address))
            && others.clone().any(|other| other == address)
        {
            fault("http.listen", format!("{address} is taken by MQTT; give another port"));
        }
        if let Some(address) = self.tls.listen.as_ref().filter(|address| tcp(address))
            && config.mqtt.listen.contains(address)
        {
            fault(
                "mqtt.tls.listen",
                format!("{address} is also in `mqtt.listen`, without TLS; give another port, usually 8883"),
            );
        }
    }

    /// `[mqtt.tls]`: nothing, or what a listener needs; a certificate with its key.
    fn tls(&mut self, fault: &mut dyn FnMut(&str, String)) -> Option<MqttTls> {
        let Tls {
            listen,
            names,
            certificate,
            private_key,
            client_ca,
        } = std::mem::take(&mut self.tls);
        let others = !names.is_empty() || certificate.is_some() || private_key.is_some() || client_ca.is_some();
        if listen.is_none() && others {
            fault(
                "mqtt.tls.listen",
                "is empty, so nothing uses the other keys under `[mqtt.tls]`; give an address such as \"0.0.0.0:8883\""
                    .to_owned(),
            );
        }
        let alone = |missing: &str, given: &str| {
            format!("is missing; `{given}` needs `{missing}`, or leave both out for a certificate of the station's own")
        };
        let station = match (certificate, private_key) {
            (Some(certificate), Some(private_key)) => Some(StationFiles {
                certificate,
                private_key,
            }),
            (None, None) => None,
            (Some(_), None) => {
                fault("mqtt.tls.private_key", alone("private_key", "certificate"));
                None
            }
            (None, Some(_)) => {
                fault("mqtt.tls.certificate", alone("certificate", "private_key"));
                None
            }
        };
        if station.is_some() && !names.is_empty() {
            fault(
                "mqtt.tls.names",
                "is for the certificate that the station makes itself, and `certificate` names another; remove one of them"
                    .to_owned(),
            );
        }
        Some(MqttTls {
            listen: listen?,
            names,
            station,
            client_ca,
        })
    }

    fn check_clock(&self, fault: &mut dyn FnMut(&str, String)) {
        let clock = &self.config.clock;
        if self.demonstration {
            return;
        }
        let advice = "orders would be rated by a time that is not so. For a demonstration set `demonstration = true` under `[clock]`; otherwise remove it";
        if clock.rate != 1 {
            fault(
                "clock.rate",
                format!("{} is not the speed of time; {advice}", clock.rate),
            );
        }
        if clock.start.is_some() {
            fault("clock.start", advice.to_owned());
        }
    }

    fn check_policy(&self, fault: &mut dyn FnMut(&str, String)) {
        let policy = &self.config.policy;
        if !(policy.prepay_min..=policy.prepay_max).contains(&policy.prepay_default) {
            fault(
                "policy.prepay_default",
                format!(
                    "\"{}\" is not between `prepay_min` \"{}\" and `prepay_max` \"{}\"",
                    policy.prepay_default, policy.prepay_min, policy.prepay_max
                ),
            );
        }
        if policy.telemetry_below_bytes < policy.orders_below_bytes {
            fault(
                "disk.telemetry_below",
                "is less than `orders_below`: telemetry is given up before orders are refused; give a larger size"
                    .to_owned(),
            );
        }
        if policy.record_overdue_ms <= policy.record_request_ms {
            fault(
                "policy.record_overdue",
                "is not longer than `record_request`: an estimate would take the record's place before the pile was asked for it; give a longer time"
                    .to_owned(),
            );
        }
    }
}

//! What no single value shows: whether the configuration fits together. Here a draft becomes a [`Config`].

use super::Config;
use domain::ids::SiteId;
use jiff::tz::TimeZoneDatabase;
use service::{
    config::{Found, nearest, shortened},
    tls::CertificateFiles,
};
use std::{
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
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
    pub(super) plain_mqtt_beyond_loopback: bool,
    pub(super) plain_http_beyond_loopback: bool,
    pub(super) demonstration: bool,
    /// The folder of the file: relative paths count from here.
    pub(super) folder: PathBuf,
}

impl Draft {
    pub(super) fn new(folder: &Path) -> Self {
        let placeholder = SiteId::new("unnamed").expect("seven letters are a site id");
        let config = Config::new(placeholder);
        Self {
            site: None,
            certificate: None,
            private_key: None,
            config,
            plain_mqtt_beyond_loopback: false,
            plain_http_beyond_loopback: false,
            demonstration: false,
            folder: folder.to_owned(),
        }
    }

    /// Checks what the values mean together.
    pub(super) fn check(mut self, found: &mut Found) -> Option<Config> {
        // A site that was given, but wrongly, has been told already.
        if self.site.is_none() && !found.names("site") {
            let message = "is missing; give this station's id, such as `site = \"station-1\"`, at the top of the file";
            found.fault("site", message);
        }
        self.check_place(found);
        self.check_listeners(found);
        self.check_clock(found);
        self.check_policy(found);
        // What head office does not have is on this disk alone.
        self.config.retention.until_acknowledged |= self.config.head_office.is_set();
        self.join(found);
        self.config.tls.own = self.own_certificate(found);
        self.config.site = self.site?;
        Some(self.config)
    }

    /// With a head office that has given the site its number, that owns what it owns.
    fn join(&mut self, found: &mut Found) {
        let site_number = self.config.head_office.site_number;
        if site_number.is_some() && !self.config.head_office.is_set() {
            let message = "says that head office knows this site, and `public_key` beside it is missing; `holdfast-sync enrol` shows both";
            found.fault("head_office.site_number", message);
        }
        self.config.policy.site_number = site_number;
        self.config.policy.head_office = site_number.is_some();
    }

    fn check_place(&self, found: &mut Found) {
        let config = &self.config;
        let zones = TimeZoneDatabase::bundled();
        if zones.get(&config.time_zone).is_err() {
            let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
            let nearest = nearest(&config.time_zone, names.iter().map(String::as_str));
            let zone = shortened(&config.time_zone);
            found.fault(
                "time_zone",
                match nearest {
                    Some(name) => format!("`{zone}` is not a known time zone; did you mean \"{name}\"?"),
                    None => format!("`{zone}` is not a known time zone; give an IANA name such as \"Asia/Shanghai\""),
                },
            );
        }
        let sync_socket = config.sync_socket.as_deref().map(|path| ("sync_socket", path));
        for (key, path) in [("socket", config.socket.as_path())].into_iter().chain(sync_socket) {
            let bytes = path.as_os_str().as_bytes().len();
            if bytes > SOCKET_PATH_BYTES_MAX {
                let message = format!(
                    "is {bytes} bytes long, and the system allows {SOCKET_PATH_BYTES_MAX}; give a shorter path"
                );
                found.fault(key, message);
            }
        }
        if config.sync_socket.as_ref() == Some(&config.socket) {
            let message =
                "is `socket` too, whose callers are administrators; give another path, in a folder of its own";
            found.fault("sync_socket", message);
        }
        if let Err(error) = EnvFilter::try_new(&config.log) {
            found.fault(
                "log",
                format!(
                    "`{}` is not a log filter ({error}); give a level (error, warn, info, debug, trace), or levels for parts of the program such as \"info,broker=debug\"",
                    shortened(&config.log)
                ),
            );
        }
    }

    fn check_listeners(&self, found: &mut Found) {
        let (mqtt, http) = (&self.config.mqtt, &self.config.http);
        let beyond = |address: &&SocketAddr| !address.ip().is_loopback();
        if let Some(address) = mqtt.listen.iter().find(beyond)
            && !self.plain_mqtt_beyond_loopback
        {
            found.fault(
                "mqtt.listen",
                format!(
                    "{address} would carry the piles' secrets over the network in the clear; let piles use TLS (`[mqtt.tls]`), or set `plain_beyond_loopback = true` under `[mqtt]` for a LAN that only piles are on"
                ),
            );
        }
        if let Some(address) = http.listen.as_ref().filter(beyond)
            && !self.plain_http_beyond_loopback
        {
            found.fault(
                "http.listen",
                format!(
                    "{address} would carry access tokens over the network in the clear; let callers use HTTPS (`[http.tls]`), or set `plain_beyond_loopback = true` under `[http]` for a network that you trust"
                ),
            );
        }
        if mqtt.listen.is_empty() && mqtt.tls_listen.is_none() {
            found.fault(
                "mqtt.listen",
                "is empty and there is no `[mqtt.tls]` listener: no pile could connect; give an address",
            );
        }
        self.check_ports(found);
    }

    /// No two listeners have the same address.
    fn check_ports(&self, found: &mut Found) {
        let (mqtt, http) = (&self.config.mqtt, &self.config.http);
        // Port 0 is another one each time.
        let fixed = |address: &SocketAddr| address.port() != 0;
        if let Some(address) = mqtt.tls_listen.filter(fixed)
            && mqtt.listen.contains(&address)
        {
            found.fault(
                "mqtt.tls.listen",
                format!("{address} is also in `mqtt.listen`, without TLS; give another port, usually 8883"),
            );
        }
        let of_mqtt = |address: &SocketAddr| mqtt.listen.contains(address) || mqtt.tls_listen.as_ref() == Some(address);
        for (key, address) in [("http.listen", http.listen), ("http.tls.listen", http.tls_listen)] {
            if let Some(address) = address.filter(fixed).filter(of_mqtt) {
                found.fault(key, format!("{address} is taken by MQTT; give another port"));
            }
        }
        if let Some(address) = http.tls_listen.filter(fixed)
            && http.listen == Some(address)
        {
            found.fault(
                "http.tls.listen",
                format!("{address} is also `http.listen`, without TLS; give another port, usually 8443"),
            );
        }
    }

    /// A certificate with its key, or neither.
    fn own_certificate(&mut self, found: &mut Found) -> Option<CertificateFiles> {
        let (certificate, private_key) = (self.certificate.take(), self.private_key.take());
        let tls = &self.config.tls;
        let given = !tls.names.is_empty() || certificate.is_some() || private_key.is_some() || tls.client_ca.is_some();
        if !self.config.has_tls() && given {
            found.fault(
                "mqtt.tls.listen",
                "is empty, and so is `http.tls.listen`: nothing uses the other keys under `[mqtt.tls]`; give an address such as \"0.0.0.0:8883\"",
            );
        }
        let alone = |missing: &str, given: &str| {
            format!("is missing; `{given}` needs `{missing}`, or leave both out for a certificate of the station's own")
        };
        let own = match (certificate, private_key) {
            (Some(certificate), Some(private_key)) => Some(CertificateFiles {
                certificate,
                private_key,
            }),
            (None, None) => None,
            (Some(_), None) => {
                found.fault("mqtt.tls.private_key", alone("private_key", "certificate"));
                None
            }
            (None, Some(_)) => {
                found.fault("mqtt.tls.certificate", alone("certificate", "private_key"));
                None
            }
        };
        if own.is_some() && !self.config.tls.names.is_empty() {
            found.fault(
                "mqtt.tls.names",
                "is for the certificate that the station makes itself, and `certificate` names another; remove one of them",
            );
        }
        own
    }

    fn check_clock(&self, found: &mut Found) {
        let clock = &self.config.clock;
        if self.demonstration {
            return;
        }
        let advice = "orders would be rated by a time that is not so. For a demonstration set `demonstration = true` under `[clock]`; otherwise remove it";
        if clock.rate != 1 {
            found.fault(
                "clock.rate",
                format!("{} is not the speed of time; {advice}", clock.rate),
            );
        }
        if clock.start.is_some() {
            found.fault("clock.start", advice.to_owned());
        }
    }

    fn check_policy(&self, found: &mut Found) {
        let policy = &self.config.policy;
        if !(policy.prepay_min..=policy.prepay_max).contains(&policy.prepay_default) {
            found.fault(
                "policy.prepay_default",
                format!(
                    "\"{}\" is not between `prepay_min` \"{}\" and `prepay_max` \"{}\"",
                    policy.prepay_default, policy.prepay_min, policy.prepay_max
                ),
            );
        }
        if policy.telemetry_below_bytes < policy.orders_below_bytes {
            found.fault(
                "disk.telemetry_below",
                "is less than `orders_below`: telemetry is given up before orders are refused; give a larger size"
                    .to_owned(),
            );
        }
        if policy.record_overdue_ms <= policy.record_request_ms {
            found.fault(
                "policy.record_overdue",
                "is not longer than `record_request`: an estimate would take the record's place before the pile was asked for it; give a longer time"
                    .to_owned(),
            );
        }
    }
}

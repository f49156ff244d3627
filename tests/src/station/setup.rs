//! What a station under test is like, and the configuration file that says so.

use super::{StationProcess, repository};
use domain::time::Wall;
use std::path::PathBuf;

/// The site that stations under test are.
pub const SITE: &str = "test-site";
/// What a station under test is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which site it is.
    pub site: String,
    /// The station's time zone.
    pub time_zone: String,
    /// Both clocks run this many times as fast as the world's.
    pub rate: u32,
    /// Where the wall clock stands at the first start; `None` is the world's time. From there it goes on at `rate`
    /// whether the daemon runs or not, as a clock with a battery does.
    pub clock_start: Option<Wall>,
    /// The tariff file.
    pub tariff: PathBuf,
    /// More lines for the configuration file's `[policy]`.
    pub policy: String,
    /// Whether piles can come over TLS, and more lines for the configuration file's `[mqtt.tls]`.
    pub tls: Option<String>,
    /// Whether the station trusts its clock.
    pub clock_trusted: bool,
    /// More lines for the configuration file's `[mqtt]`.
    pub mqtt: String,
    /// Lines for the configuration file's `[head_office]`.
    pub head_office: String,
}

impl Setup {
    /// The example tariff, at the world's pace.
    pub fn new() -> Self {
        Self {
            site: SITE.to_owned(),
            time_zone: "Asia/Shanghai".to_owned(),
            rate: 1,
            clock_start: None,
            tariff: repository().join("config/tariffs/example.toml"),
            policy: String::new(),
            tls: None,
            clock_trusted: true,
            mqtt: String::new(),
            head_office: String::new(),
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl StationProcess {
    pub(super) fn write_config(&self) -> anyhow::Result<()> {
        let Setup {
            site,
            time_zone,
            rate,
            tariff,
            policy,
            tls,
            clock_trusted,
            mqtt: mqtt_lines,
            head_office,
            ..
        } = &self.setup;
        let tls = match tls {
            Some(more) => format!("listen = \"{}\"\n{more}", self.mqtt_tls),
            None => "listen = \"\"".to_owned(),
        };
        let (mqtt, http, tariff) = (self.mqtt, self.http, tariff.display());
        let clock = match self.clock {
            Some(_) => format!("demonstration = true\nrate = {rate}\nstart = \"{}\"\n", self.wall()),
            None => String::new(),
        };
        let text = format!(
            "site = \"{site}\"\ntime_zone = \"{time_zone}\"\ndata_dir = \"data\"\nsocket = \"edge.sock\"\nsync_socket = \"sync/edge.sock\"\n\
             first_tariff = \"{tariff}\"\n\n[mqtt]\nlisten = [\"{mqtt}\"]\n{mqtt_lines}\n\n[mqtt.tls]\n{tls}\n\n[http]\nlisten = \"{http}\"\n\n\
             [disk]\nreserve = \"1MiB\"\n\n[clock]\ntrusted = {clock_trusted}\n{clock}\n[head_office]\n{head_office}\n[policy]\n{policy}\n",
        );
        Ok(std::fs::write(self.config_path(), text)?)
    }
}

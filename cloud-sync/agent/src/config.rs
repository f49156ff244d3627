//! What a person sets: `sync.toml`, with overrides from the environment. Where head office is and who this box is there comes
//! from the enrolment.

use service::{
    config::{ConfigFault, Found, Key, environment::of_process, shortened},
    keys,
};
use std::path::{Path, PathBuf};
use tracing_subscriber::EnvFilter;

/// What the name of every override begins with. The rest is the key in capitals, with `__` between its parts.
pub const ENVIRONMENT: &str = "HOLDFAST_SYNC__";

/// The configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The socket that the station keeps for this program.
    pub station_socket: PathBuf,
    /// Where this program keeps its key and what it got when it enrolled.
    pub data_dir: PathBuf,
    /// The Unix socket for `holdfast-sync status`.
    pub socket: PathBuf,
    /// What is logged, in the words of [`EnvFilter`].
    pub log: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            station_socket: PathBuf::from("/run/holdfast-sync/sync.sock"),
            data_dir: PathBuf::from("/var/lib/holdfast-sync"),
            socket: PathBuf::from("/run/holdfast-agent/status.sock"),
            log: "info".to_owned(),
        }
    }
}

struct Draft {
    config: Config,
    /// The folder of the file: relative paths count from here.
    folder: PathBuf,
}

/// Every key, in the order of `sync.toml`.
const KEYS: &[Key<Draft>] = keys! {
    "station_socket" => |draft, given| draft.config.station_socket = given.path(&draft.folder)?;
    "data_dir" => |draft, given| draft.config.data_dir = given.path(&draft.folder)?;
    "socket" => |draft, given| draft.config.socket = given.path(&draft.folder)?;
    "log" => |draft, given| draft.config.log = given.text()?.to_owned();
};

impl Config {
    /// Reads the file at `path`, then `environment` over it.
    ///
    /// # Errors
    /// [`ConfigFault`] with everything that is wrong, not only the first of it.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigFault> {
        let text = service::config::text_of(path)?;
        let mut draft = Draft {
            config: Self::default(),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let mut found = service::config::read(path, &text, KEYS, ENVIRONMENT, environment, &mut draft)?;
        check(&draft.config, &mut found);
        found.result(Some(draft.config))
    }

    /// As [`Config::load`], with the process's own environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_here(path: &Path) -> Result<Self, ConfigFault> {
        Self::load(path, of_process(ENVIRONMENT))
    }
}

fn check(config: &Config, found: &mut Found) {
    if let Err(error) = EnvFilter::try_new(&config.log) {
        let given = shortened(&config.log);
        let advice = "give a level (error, warn, info, debug, trace), or levels for parts of the program such as \"info,sync=debug\"";
        found.fault("log", format!("`{given}` is not a log filter ({error}); {advice}"));
    }
    if config.socket == config.station_socket {
        let message = "is `station_socket` too, which is the station's; give another path";
        found.fault("socket", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packaged() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/sync.toml")
    }

    #[test]
    fn the_packaged_file_says_the_defaults_and_names_every_key() {
        assert_eq!(Config::load(&packaged(), []).unwrap(), Config::default());
        let text = std::fs::read_to_string(packaged()).unwrap();
        for key in KEYS {
            assert!(text.contains(&format!("\n{} = ", key.path)), "{}", key.path);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
        let variables = [
            ("HOLDFAST_SYNC__LOG", "info,a=b=c"),
            ("HOLDFAST_SYNC__SOCKET", "/run/holdfast-sync/sync.sock"),
            ("HOLDFAST_SYNC__STATION", "x"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let fault = Config::load(&packaged(), variables).unwrap_err().to_string();
        for part in ["is not a log filter", "is `station_socket` too", "overrides no key"] {
            assert!(fault.contains(part), "{fault}");
        }
    }
}

//! Configuration files: TOML with overrides from the environment, read by one list of keys.
//! Everything that is wrong is found before anything starts, and told with file, line, key and what to do.

pub mod environment;
mod given;
mod source;

pub use given::{Given, shortened, split_address};

use crate::escape::Escaped;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// One key, and how its value is read into a draft of the configuration.
pub struct Key<D> {
    /// With its tables: `mqtt.tls.listen`.
    pub path: &'static str,
    /// Reads the value, or says what is wrong with it and what to give instead.
    pub set: fn(&mut D, &Given) -> Result<(), String>,
}

/// A list of keys: `"mqtt.listen" => |draft, given| draft.listen = given.addresses()?;` and so on.
#[macro_export]
macro_rules! keys {
    ($($path:literal => |$draft:ident, $given:ident| $set:expr;)+) => {
        &[$($crate::config::Key { path: $path, set: |$draft, $given| { $set; Ok(()) } }),+]
    };
}

/// The text of the file at `path`.
///
/// # Errors
/// It cannot be read.
pub fn text_of(path: &Path) -> Result<String, ConfigFault> {
    std::fs::read_to_string(path).map_err(|error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let message = format!(
            "cannot be read: {error}. Check the path and that this user may read it; the commented `{name}` that comes with Holdfast is a start"
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
    })
}

/// Reads `text`, that of the file at `path`, into `draft`, then what `environment` overrides, under names that begin with
/// `prefix`.
///
/// # Errors
/// The text is not TOML: nothing of it counts. Any other fault is in what is returned, for the checks of what the values
/// mean together to add to.
pub fn read<D>(
    path: &Path,
    text: &str,
    keys: &[Key<D>],
    prefix: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    draft: &mut D,
) -> Result<Found, ConfigFault> {
    let mut found = Found {
        path: path.to_owned(),
        ..Found::default()
    };
    source::file(text, keys, draft, &mut found).map_err(|fault| ConfigFault {
        path: path.to_owned(),
        faults: vec![fault],
    })?;
    environment::apply(environment, prefix, keys, draft, &mut found);
    Ok(found)
}

/// What was found so far: faults, and where each key was given.
#[derive(Default)]
pub struct Found {
    path: PathBuf,
    faults: Vec<Fault>,
    /// Where each key was given last.
    origins: BTreeMap<&'static str, Origin>,
}

impl Found {
    /// Notes what is wrong with a key, where that was given.
    pub fn fault(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::File { line: None });
        self.note(origin, key, message.into());
    }

    /// Whether something was said about this key.
    pub fn names(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.key == key)
    }

    /// The configuration, if nothing was wrong.
    ///
    /// # Errors
    /// Everything that is.
    pub fn result<C>(self, config: Option<C>) -> Result<C, ConfigFault> {
        match config {
            Some(config) if self.faults.is_empty() => Ok(config),
            _ => Err(ConfigFault {
                path: self.path,
                faults: self.faults,
            }),
        }
    }

    fn note(&mut self, origin: Origin, key: &str, message: String) {
        const FAULTS_MAX: usize = 50;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault {
                origin,
                key: key.to_owned(),
                message,
            });
        }
    }

    /// Sets one key, or says why not.
    fn set<D>(&mut self, key: &Key<D>, given: &Given, origin: Origin, draft: &mut D) {
        match (key.set)(draft, given) {
            Ok(()) => {
                self.origins.insert(key.path, origin);
            }
            Err(message) => self.note(origin, key.path, message),
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
                write!(f, "{}: ", Escaped(&fault.key))?;
            }
            // A name or value that is quoted may have anything in it; a terminal must show it and not obey it.
            write!(f, "{}", Escaped(&fault.message))?;
        }
        Ok(())
    }
}

/// The name that was probably meant, if one comes near.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().take(80).collect();
    known
        .map(|name| (strsim::damerau_levenshtein(&given, name), name))
        .filter(|(edits, name)| *edits <= (name.len() / 3).clamp(1, 4))
        .min()
        .map(|(_, name)| name)
}

//! One site's desk at head office: it takes what the site says, one after the other, and answers.

pub mod core;

use domain::time::{Mono, Wall};
use protocol::{frame::HqEpoch, key::SigningKey};
use std::sync::{Arc, PoisonError, RwLock};

/// For how long a process holds a site before it has to go on with it, in milliseconds (rule 9).
pub const LEASE_MS: i64 = 20_000;

/// What head office is to sites.
#[derive(Debug)]
pub struct Office {
    /// The name of this process among those that share the database.
    pub process: String,
    /// Which life of the database it is.
    pub hq_epoch: HqEpoch,
    /// What it signs with.
    pub key: Signs,
}

/// The key that a process signs with: another one from when the database says so.
#[derive(Debug)]
pub struct Signs(RwLock<Arc<SigningKey>>);

impl From<SigningKey> for Signs {
    fn from(key: SigningKey) -> Self {
        Self(RwLock::new(Arc::new(key)))
    }
}

impl Signs {
    /// The key by now.
    pub fn with(&self) -> Arc<SigningKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// It is this one from now on; whether that is another.
    pub fn now_with(&self, key: SigningKey) -> bool {
        let mut signs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = signs.public() != key.public();
        if is_other {
            *signs = Arc::new(key);
        }
        is_other
    }
}

/// Time, as the desk needs it.
pub trait Clock: Send + Sync {
    /// Elapsed time of this process.
    fn mono(&self) -> Mono;
    /// The time of day.
    fn wall(&self) -> Wall;
}

//! Secrets of machines and tokens of people: made here, shown once, kept as hashes.
//! They have 256 random bits, so one SHA-256 is enough to keep them (`docs/decisions/0004`).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::journal::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// A secret that has just been made. It is shown once and never stored.
pub struct Secret(String);

impl Secret {
    /// 256 bits from the operating system, in 43 characters.
    ///
    /// # Errors
    /// If the operating system gives no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The text to show.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }
}

/// What is kept of a secret: its SHA-256, hex.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(String);

impl SecretHash {
    /// The hash of a presented secret.
    pub fn of(secret: &[u8]) -> Self {
        Self(hex(&Sha256::digest(secret)))
    }

    /// As it was stored.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// To be stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `presented` is the secret; takes the same time either way.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.is(&Self::of(presented))
    }

    /// Whether both are of the same secret; takes the same time either way.
    pub fn is(&self, other: &Self) -> bool {
        bool::from(self.0.as_bytes().ct_eq(other.0.as_bytes()))
    }
}

impl fmt::Debug for SecretHash {
    /// Not the hash: it has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_hash_alone() {
        let (secret, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_eq!(secret.reveal().len(), 43);
        assert!(secret.hash().matches(secret.reveal().as_bytes()));
        assert!(!secret.hash().matches(other.reveal().as_bytes()));
        assert!(!format!("{:?}", secret.hash()).contains(secret.hash().as_str()));
    }
}

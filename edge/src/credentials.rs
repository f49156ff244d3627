//! Secrets of piles and tokens of people and machines: made here, shown once, kept as hashes.
//! They have 256 random bits, so one SHA-256 is enough to keep them (`docs/decisions/0004`).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::ids::PileId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};
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
        Self(
            Sha256::digest(secret)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// As it was stored.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// To be stored.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `presented` is the secret; takes the same time either way.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.is(&Self::of(presented))
    }

    /// Whether both are of the same secret; takes the same time either way.
    fn is(&self, other: &Self) -> bool {
        bool::from(self.0.as_bytes().ct_eq(other.0.as_bytes()))
    }
}

/// What a caller of the API may do. Each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Places and stops orders: a mini-program's back end, a kiosk.
    Station,
    /// Decides reviews and quarantine, refunds, tops up, takes payments: the desk.
    Service,
    /// Everything: piles, tariffs, tokens.
    Admin,
}

/// A token as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// A name for people and logs.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What is kept of it.
    pub hash: SecretHash,
}

/// All secrets, in memory; every change is on disk before it counts.
#[derive(Default)]
pub struct Credentials {
    piles: RwLock<BTreeMap<PileId, SecretHash>>,
    tokens: RwLock<BTreeMap<String, Token>>,
}

/// A change to be committed with the facts it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub enum CredentialChange {
    /// A pile has this secret now.
    SetPile(PileId, SecretHash),
    /// A pile has none.
    RemovePile(PileId),
    /// A token was made.
    SetToken(Token),
    /// A token was taken back.
    RemoveToken(String),
}

impl Credentials {
    /// As stored.
    pub fn new(piles: BTreeMap<PileId, SecretHash>, tokens: BTreeMap<String, Token>) -> Self {
        Self {
            piles: RwLock::new(piles),
            tokens: RwLock::new(tokens),
        }
    }

    /// Whether `secret` is this pile's.
    pub fn pile_matches(&self, pile: &PileId, secret: &[u8]) -> bool {
        let piles = self.piles.read().unwrap_or_else(PoisonError::into_inner);
        piles.get(pile).is_some_and(|hash| hash.matches(secret))
    }

    /// The token that was presented, if there is one: its name and role.
    pub fn token(&self, presented: &str) -> Option<(String, Role)> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let presented = SecretHash::of(presented.as_bytes());
        let found = tokens.values().find(|token| token.hash.is(&presented))?;
        Some((found.name.clone(), found.role))
    }

    /// All tokens' names and roles.
    pub fn tokens(&self) -> Vec<(String, Role)> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.values().map(|token| (token.name.clone(), token.role)).collect()
    }

    /// Makes a committed change count.
    pub fn apply(&self, change: CredentialChange) {
        let mut piles = self.piles.write().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            CredentialChange::SetPile(pile, hash) => {
                piles.insert(pile, hash);
            }
            CredentialChange::RemovePile(pile) => {
                piles.remove(&pile);
            }
            CredentialChange::SetToken(token) => {
                tokens.insert(token.name.clone(), token);
            }
            CredentialChange::RemoveToken(name) => {
                tokens.remove(&name);
            }
        }
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
        let credentials = Credentials::default();
        let pile = PileId::new("P1").unwrap();
        assert!(!credentials.pile_matches(&pile, b""));
        credentials.apply(CredentialChange::SetPile(pile.clone(), secret.hash()));
        assert!(credentials.pile_matches(&pile, secret.reveal().as_bytes()));
        credentials.apply(CredentialChange::RemovePile(pile.clone()));
        assert!(!credentials.pile_matches(&pile, secret.reveal().as_bytes()));
    }
}

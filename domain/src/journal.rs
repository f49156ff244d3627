//! The journal: facts in a row, each sealed to the one before by SHA-256, without gaps.
//! What is hashed is the stored bytes, never a re-serialisation of what was read from them.

use crate::{
    fact::Fact,
    ids::SiteId,
    time::{Mono, Wall},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry of an epoch is sealed to.
    pub const GENESIS: Self = Self([0; 32]);

    /// `SHA-256(prev ‖ bytes)`: the hash of an entry with these stored bytes after one with hash `prev`.
    pub fn seal(prev: &Self, bytes: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(prev.0);
        hasher.update(bytes);
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When and in which place a fact was journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Counts from 1 within the epoch, without gaps.
    pub seq: u64,
    /// By the wall clock.
    pub at: Wall,
    /// By elapsed time.
    pub mono: Mono,
}

/// A journal entry as it is stored and carried to head office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which site.
    pub site: SiteId,
    /// Which run of the journal: a random id, new after every restore.
    pub epoch: String,
    /// When, and in which place.
    pub stamp: Stamp,
    /// What happened.
    pub fact: Fact,
}

impl Entry {
    /// The bytes that are stored and sealed.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("facts have string keys and no failing serializer")
    }

    /// Reads stored bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_depends_on_every_byte_and_on_what_came_before() {
        // (head -c 32 /dev/zero; printf abc) | sha256sum
        let sealed = Hash::seal(&Hash::GENESIS, b"abc");
        assert_eq!(
            sealed.to_string(),
            "365aa7d8f7f9402c4b9434502b4cc89ddb09fe50d7cd95b493b834c62d5a5370"
        );
        assert_ne!(sealed, Hash::seal(&Hash::GENESIS, b"abd"));
        assert_ne!(sealed, Hash::seal(&sealed, b"abc"));
    }
}

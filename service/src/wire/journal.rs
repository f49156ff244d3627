//! A journal as it is sent: places in it, and entries as they are stored.

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::journal::{Hash, Head};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The last entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournalHead {
    /// Its number; zero if there is none.
    pub seq: u64,
    /// Its hash, hex.
    pub hash: String,
}

impl From<Head> for JournalHead {
    fn from(head: Head) -> Self {
        Self {
            seq: head.seq,
            hash: head.hash.to_string(),
        }
    }
}

/// One journal entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournalEntry {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of the hash before and the bytes, hex.
    pub hash: String,
    /// The stored bytes, base64: a JSON text.
    pub bytes: String,
}

impl JournalEntry {
    /// An entry by its number, its hash and its stored bytes.
    pub fn new(seq: u64, hash: Hash, bytes: &[u8]) -> Self {
        Self {
            seq,
            hash: hash.to_string(),
            bytes: STANDARD.encode(bytes),
        }
    }
}

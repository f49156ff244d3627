//! The journal: facts in a row, each sealed to the one before by SHA-256, without gaps. Its form is described in
//! `docs/journal.md`. What is hashed is the stored bytes, never a re-serialisation of what was read from them.
//!
//! | type | for whom |
//! |---|---|
//! | [`Head`], [`Walk`] | whoever checks the chain: they know of an entry no more than its number |
//! | [`Written`] | whoever shows an entry or passes it on: its fact may be of a kind that is not known here |
//! | [`Entry`] | whoever draws conclusions from its fact, and so must know it |

mod chain;
mod written;

pub use chain::{Broken, Hash, Head, NotAHead, Walk, hex};
pub use written::{NotReadable, Written, WrittenFact};

use crate::{
    fact::Fact,
    ids::SiteId,
    time::{Mono, Now, Wall},
};
use serde::{Deserialize, Serialize};

/// When and in which place a fact was journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Counts from 1 over the life of the site, without gaps, through every restore.
    pub seq: u64,
    /// By the wall clock.
    pub at: Wall,
    /// By elapsed time.
    pub mono: Mono,
}

impl Stamp {
    /// The stamp of an entry with these stored bytes, whatever it tells.
    ///
    /// # Errors
    /// [`NotReadable::NoEntry`].
    pub fn of_entry(bytes: &[u8]) -> Result<Self, NotReadable> {
        #[derive(Deserialize)]
        struct Stamped {
            stamp: Stamp,
        }
        let read = serde_json::from_slice(bytes).map(|Stamped { stamp }| stamp);
        read.map_err(|error| NotReadable::NoEntry { why: error.to_string() })
    }

    /// The moment by both clocks.
    pub fn now(self) -> Now {
        Now {
            mono: self.mono,
            wall: self.at,
        }
    }
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
        Self::bytes_of(&self.site, &self.epoch, self.stamp, &self.fact)
    }

    /// The bytes that are stored and sealed, of an entry with these parts.
    pub fn bytes_of(site: &SiteId, epoch: &str, stamp: Stamp, fact: &Fact) -> Vec<u8> {
        /// As [`Entry`], field by field.
        #[derive(Serialize)]
        struct Parts<'a> {
            site: &'a SiteId,
            epoch: &'a str,
            stamp: Stamp,
            fact: &'a Fact,
        }
        let parts = Parts {
            site,
            epoch,
            stamp,
            fact,
        };
        serde_json::to_vec(&parts).expect("facts have string keys and no failing serializer")
    }

    /// Reads stored bytes. Fields that are not known here are passed over: a newer program may have written them.
    ///
    /// # Errors
    /// [`NotReadable`]: it is no entry, or this program does not know what it tells.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotReadable> {
        serde_json::from_slice(bytes).map_err(|error| NotReadable::of(bytes, &error))
    }
}

//! An entry as it is written, whether or not its fact is known here: a newer program may have written it.
//! What an entry leads to is another matter: that takes [`Entry`](super::Entry), and where it cannot be read, a newer program.

use super::Stamp;
use crate::{
    fact::Fact,
    ids::{OrderId, PileId, SiteId},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// A journal entry whose fact need not be known here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Written {
    /// Which site.
    pub site: SiteId,
    /// Which run of the journal.
    pub epoch: String,
    /// When, and in which place.
    pub stamp: Stamp,
    /// What happened.
    pub fact: WrittenFact,
}

/// What happened, in the words of whoever wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenFact {
    /// The name of its kind; [`Fact::KINDS`] has those that are known here.
    pub kind: String,
    /// Its fields.
    pub body: Map<String, Value>,
}

impl<'de> Deserialize<'de> for WrittenFact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut facts = Map::deserialize(deserializer)?.into_iter();
        match (facts.next(), facts.next()) {
            (Some((kind, Value::Object(body))), None) => Ok(Self { kind, body }),
            _ => Err(de::Error::custom("a fact is one object under the name of its kind")),
        }
    }
}

impl WrittenFact {
    /// The order in whose log it stands, by the rule of new facts: it is named `order`.
    pub fn order(&self) -> Option<OrderId> {
        self.body.get("order")?.as_str()?.parse().ok()
    }

    /// The pile in whose log it stands, likewise: it is named `pile`, or is that of an `outlet`.
    pub fn pile(&self) -> Option<PileId> {
        let outlet = self.body.get("outlet").and_then(|outlet| outlet.get("pile"));
        self.body.get("pile").or(outlet)?.as_str()?.parse().ok()
    }
}

impl Written {
    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`NotReadable::NoEntry`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotReadable> {
        serde_json::from_slice(bytes).map_err(|error| NotReadable::NoEntry { why: error.to_string() })
    }
}

/// Why stored bytes cannot be read as an [`Entry`](super::Entry).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// They do not have the form of an entry.
    #[error("this is no journal entry: {why}")]
    NoEntry {
        /// What is wrong.
        why: String,
    },
    /// A newer program wrote it.
    #[error(
        "journal entry {seq} tells of {kind}, which this version does not know: a newer one wrote it, so install that one \
         (or a later one) to go on. The entry is kept, passed on and verified as it is"
    )]
    UnknownKind {
        /// The entry's number.
        seq: u64,
        /// The name of the kind.
        kind: String,
    },
    /// Its kind is known, and something that it says is not.
    #[error(
        "journal entry {seq} tells of {kind} in words that this version does not know ({why}): a newer one wrote it, so \
         install that one (or a later one) to go on. The entry is kept, passed on and verified as it is"
    )]
    UnknownWord {
        /// The entry's number.
        seq: u64,
        /// The name of the kind.
        kind: String,
        /// What is not known.
        why: String,
    },
}

impl NotReadable {
    /// Why these bytes are no [`Entry`](super::Entry), where `error` is how that failed.
    pub(super) fn of(bytes: &[u8], error: &serde_json::Error) -> Self {
        let Written { stamp, fact, .. } = match Written::from_bytes(bytes) {
            Ok(written) => written,
            Err(no_entry) => return no_entry,
        };
        let (seq, kind) = (stamp.seq, fact.kind);
        match Fact::KINDS.contains(&kind.as_str()) {
            false => Self::UnknownKind { seq, kind },
            true => Self::UnknownWord {
                seq,
                kind,
                why: error.to_string(),
            },
        }
    }
}

//! What a station says of itself on `up/status`: retained, sent after every connect, and its will.
//! To head office it is the hello that the next acknowledgement answers.

use crate::{
    frame::{HqEpoch, Nonce},
    key::PublicKey,
};
use domain::{ids::SiteId, journal::Head, time::Wall};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error},
};

/// The longest status that is read, in bytes: it is kept, and shown to people.
pub const STATUS_BYTES_MAX: usize = 4_096;

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// It is there.
    Online(Box<Hello>),
    /// Its connection ended.
    Offline {
        /// Whose.
        site: SiteId,
    },
}

/// What a station is, and how far its journal goes. What the copy at head office does not need is for people: where a newer or
/// older station says it otherwise or not at all, it is left out, and the hello counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which.
    pub site: SiteId,
    /// The version of the line that it speaks, [`crate::VERSION`].
    pub protocol: u32,
    /// The version of the station's program; empty where it is not known.
    #[serde(default, deserialize_with = "if_readable")]
    pub station: String,
    /// The version of the program that speaks for it; empty where it is not known.
    #[serde(default, deserialize_with = "if_readable")]
    pub agent: String,
    /// The run of its journal; empty where it is not known.
    #[serde(default, deserialize_with = "if_readable")]
    pub epoch: String,
    /// The place after which its journal begins: what is before is pruned.
    pub begins_after: Head,
    /// The place of its last entry.
    pub head: Head,
    /// How far head office has it, to the station's knowledge.
    #[serde(default, deserialize_with = "if_readable")]
    pub acknowledged: Option<Head>,
    /// It was restored from a copy and waits for what head office has beyond it.
    #[serde(default)]
    pub recovering: bool,
    /// Which life of head office it goes by: the last that answered a hello of its, and follows its journal.
    #[serde(default, deserialize_with = "if_readable")]
    pub hq_epoch: Option<HqEpoch>,
    /// How far it has taken the directives of that life.
    #[serde(default, deserialize_with = "if_readable")]
    pub directives: DirectivesTaken,
    /// When the oldest entry that is not acknowledged was journaled, by the station's clock.
    #[serde(default, deserialize_with = "if_readable")]
    pub waiting_since: Option<Wall>,
    /// Where the station's days begin, as a name of the IANA time-zone database; empty where it is not known.
    #[serde(default, deserialize_with = "if_readable")]
    pub time_zone: String,
    /// The key that its batches are signed with, as it says.
    #[serde(default, deserialize_with = "if_readable")]
    pub key: Option<PublicKey>,
    /// What the answer to this hello says again.
    pub nonce: Nonce,
}

/// The number of the last directive that was taken, of each row; 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirectivesTaken {
    /// Of those about orders and money.
    pub orders: u64,
    /// Of all others.
    pub others: u64,
}

/// A value, or the default where it is none.
fn if_readable<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

impl Status {
    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a status has string keys and no failing serializer")
    }

    /// Reads one of at most [`STATUS_BYTES_MAX`]. Fields that are not known are passed over: a newer station may have said them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if bytes.len() > STATUS_BYTES_MAX {
            return Err(serde_json::Error::custom(format!(
                "it has {} bytes, and at most {STATUS_BYTES_MAX} are read",
                bytes.len()
            )));
        }
        serde_json::from_slice(bytes)
    }

    /// Whose it is.
    pub fn site(&self) -> &SiteId {
        match self {
            Self::Online(hello) => &hello.site,
            Self::Offline { site } => site,
        }
    }
}

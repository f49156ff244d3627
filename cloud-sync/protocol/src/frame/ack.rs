//! How far head office has a site's journal, signed: the station prunes by it, and goes on after a restore by it.

use super::{Fields, HqEpoch, Malformed, Nonce, Sealed, seal};
use crate::{
    key::{PublicKeys, SigningKey},
    topic::{Kind, Topic},
};
use domain::{
    ids::SiteId,
    journal::{Hash, Head},
};

const MAGIC: &str = "HFA1";

/// What head office makes of a site's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It follows.
    Following,
    /// The next entry tells of something that head office's version does not know: it goes on once that is upgraded.
    Ahead,
    /// The next entry contradicts those before it: people are told.
    Broken,
    /// Another entry stands in the place of one that head office has: people are told.
    Forked,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Following, Self::Ahead, Self::Broken, Self::Forked];

    /// Its number in an acknowledgement.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name, for people and in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Following => "following",
            Self::Ahead => "ahead",
            Self::Broken => "broken",
            Self::Forked => "forked",
        }
    }

    /// The state of this name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// Head office has everything up to this place, on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Which life of head office's database says so.
    pub hq_epoch: HqEpoch,
    /// What it makes of the journal.
    pub state: State,
    /// The place: always the end of a step of the station.
    pub head: Head,
    /// Which hello it answers; [`Nonce::NONE`] where it answers none.
    pub nonce: Nonce,
}

impl Ack {
    /// `HFA1 hq_epoch:16 state:u8 seq:u64 hash:32 nonce:16 sig:64`.
    pub fn to_bytes(&self, site: &SiteId, key: &SigningKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + 16 + 1 + 8 + 32 + 16 + 64);
        bytes.extend_from_slice(MAGIC.as_bytes());
        bytes.extend_from_slice(&self.hq_epoch.0);
        bytes.push(self.state.number());
        bytes.extend_from_slice(&self.head.seq.to_be_bytes());
        bytes.extend_from_slice(&self.head.hash.0);
        bytes.extend_from_slice(&self.nonce.0);
        seal(bytes, &Topic::new(site.clone(), Kind::Ack), key)
    }

    /// Reads one that `keys` have signed for this site.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_bytes(bytes: &[u8], site: &SiteId, keys: &PublicKeys) -> Result<Self, Malformed> {
        let ack = Self::unverified(bytes)?;
        Sealed::verified(bytes, &Topic::new(site.clone(), Kind::Ack), keys)?;
        Ok(ack)
    }

    /// Reads one without looking at who signed it: for whoever only carries it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn unverified(bytes: &[u8]) -> Result<Self, Malformed> {
        Fields::of(bytes, "acknowledgement", MAGIC)?;
        let content = Sealed::split(bytes)?.content;
        let mut fields = Fields::of(content, "acknowledgement", MAGIC)?;
        let hq_epoch = HqEpoch(fields.take()?);
        let state = fields.byte()?;
        let ack = Self {
            hq_epoch,
            state: State::ALL
                .into_iter()
                .find(|known| known.number() == state)
                .ok_or_else(|| Malformed::Value(format!("it has a state that this version does not know: {state}")))?,
            head: Head {
                seq: fields.number()?,
                hash: Hash(fields.take()?),
            },
            nonce: Nonce(fields.take()?),
        };
        fields.end()?;
        Ok(ack)
    }
}

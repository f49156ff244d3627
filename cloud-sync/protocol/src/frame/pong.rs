//! Head office is there, and this is its time: the answer to a ping, signed.

use super::{Fields, Malformed, Nonce, Sealed, seal};
use crate::{
    key::{PublicKeys, SigningKey},
    topic::{Kind, Topic},
};
use domain::{ids::SiteId, time::Wall};

const MAGIC: &str = "HFP1";

/// The answer to a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// The ping's number.
    pub nonce: Nonce,
    /// Head office's clock when it answered.
    pub now: Wall,
}

impl Pong {
    /// `HFP1 nonce:16 now_ms:u64 sig:64`.
    pub fn to_bytes(&self, site: &SiteId, key: &SigningKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + 16 + 8 + 64);
        bytes.extend_from_slice(MAGIC.as_bytes());
        bytes.extend_from_slice(&self.nonce.0);
        bytes.extend_from_slice(&self.now.0.to_be_bytes());
        seal(bytes, &Topic::new(site.clone(), Kind::Pong), key)
    }

    /// Reads one that `keys` have signed for this site.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_bytes(bytes: &[u8], site: &SiteId, keys: &PublicKeys) -> Result<Self, Malformed> {
        let pong = Self::unverified(bytes)?;
        Sealed::verified(bytes, &Topic::new(site.clone(), Kind::Pong), keys)?;
        Ok(pong)
    }

    /// Reads one without looking at who signed it: for whoever only carries it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn unverified(bytes: &[u8]) -> Result<Self, Malformed> {
        Fields::of(bytes, "pong", MAGIC)?;
        let content = Sealed::split(bytes)?.content;
        let mut fields = Fields::of(content, "pong", MAGIC)?;
        let pong = Self {
            nonce: Nonce(fields.take()?),
            now: Wall(i64::from_be_bytes(fields.take()?)),
        };
        fields.end()?;
        if !Wall::RANGE.contains(&pong.now) {
            return Err(Malformed::Value("its time is outside 1970 to 2200".to_owned()));
        }
        Ok(pong)
    }
}

//! Entries that head office hands back to a station which was restored from a copy: a batch under head office's signature.
//! What proves it is that signature and the chain; the station's own signature in it is of a key that may be gone.

use super::{Batch, Fields, Malformed, Sealed, seal};
use crate::{
    key::{PublicKeys, SigningKey},
    topic::{Kind, Topic},
};
use domain::ids::SiteId;

const MAGIC: &str = "HFT1";

/// A batch that is handed back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail(pub Batch);

impl Tail {
    /// `HFT1 batch sig:64`.
    pub fn to_bytes(&self, site: &SiteId, key: &SigningKey) -> Vec<u8> {
        let bytes = [MAGIC.as_bytes(), &self.0.to_bytes()].concat();
        seal(bytes, &Topic::new(site.clone(), Kind::Tail), key)
    }

    /// Reads one that `keys` have signed for this site.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_bytes(bytes: &[u8], site: &SiteId, keys: &PublicKeys) -> Result<Self, Malformed> {
        Fields::of(bytes, "tail", MAGIC)?;
        let content = Sealed::verified(bytes, &Topic::new(site.clone(), Kind::Tail), keys)?;
        let batch = Fields::of(content, "tail", MAGIC)?.rest();
        Batch::from_bytes(batch).map(Self)
    }
}

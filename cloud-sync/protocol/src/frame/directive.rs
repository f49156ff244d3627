//! What head office has a station do: one directive, signed for this site. A broker between, or the program that carries it, can
//! make none, and change none.

use super::{Fields, Malformed, Sealed, seal};
use crate::{
    key::{PublicKeys, SigningKey},
    topic::{Kind, Topic},
};
use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow, HqEpoch},
    ids::SiteId,
    journal::hex,
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const MAGIC: &str = "HFD1";
/// The longest directive, in bytes: a tariff version is the longest.
pub const DIRECTIVE_BYTES_MAX: usize = 256 * 1_024;

/// A directive that head office has signed.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedDirective {
    /// Which.
    pub no: DirectiveNo,
    /// SHA-256 of its JSON, hex: what a station says again when it has taken it.
    pub sha256: String,
    /// What it says, or why this program cannot read it: a newer head office may have another kind, and its number counts all the
    /// same.
    pub content: Result<Directive, String>,
}

/// Its JSON: `{"hq_epoch":…,"row":…,"n":…,"do":{"lease":{…}}}`.
#[derive(Serialize)]
struct Said<'a> {
    hq_epoch: HqEpoch,
    row: DirectiveRow,
    n: u64,
    #[serde(rename = "do")]
    what: &'a Directive,
}

#[derive(Deserialize)]
struct Heard<'a> {
    hq_epoch: HqEpoch,
    row: DirectiveRow,
    n: u64,
    #[serde(rename = "do", borrow)]
    what: &'a RawValue,
}

impl SignedDirective {
    /// The JSON of a directive. It is kept as it was made: what is sent again is the same to the byte.
    pub fn json(no: DirectiveNo, directive: &Directive) -> Vec<u8> {
        let DirectiveNo { hq_epoch, row, n } = no;
        let said = Said {
            hq_epoch,
            row,
            n,
            what: directive,
        };
        serde_json::to_vec(&said).expect("a directive has string keys and no failing serializer")
    }

    /// `HFD1 json sig:64`.
    pub fn to_bytes(json: &[u8], site: &SiteId, key: &SigningKey) -> Vec<u8> {
        let bytes = [MAGIC.as_bytes(), json].concat();
        seal(bytes, &Topic::new(site.clone(), Kind::Directive), key)
    }

    /// Reads one that `keys` have signed for this site.
    ///
    /// # Errors
    /// [`Malformed`]: it says not even which directive it is, or nobody who may has signed it.
    pub fn from_bytes(bytes: &[u8], site: &SiteId, keys: &PublicKeys) -> Result<Self, Malformed> {
        if bytes.len() > DIRECTIVE_BYTES_MAX {
            return Err(Malformed::TooLarge(bytes.len()));
        }
        Fields::of(bytes, "directive", MAGIC)?;
        let content = Sealed::verified(bytes, &Topic::new(site.clone(), Kind::Directive), keys)?;
        let json = Fields::of(content, "directive", MAGIC)?.rest();
        let heard: Heard<'_> = serde_json::from_slice(json).map_err(|error| Malformed::Value(error.to_string()))?;
        let Heard { hq_epoch, row, n, what } = heard;
        Ok(Self {
            no: DirectiveNo { hq_epoch, row, n },
            sha256: hex(digest(&SHA256, json).as_ref()),
            content: serde_json::from_str(what.get()).map_err(|error| error.to_string()),
        })
    }
}

//! A lease in a driver's hands (凭证), as text for a link or a QR code: `HFV1 json sig:64` in base64url without padding.

use crate::{
    frame::Malformed,
    key::{PublicKeys, SIGNATURE_LEN, Signature, SigningKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    head_office::{HqEpoch, Voucher},
    ids::{MemberId, SiteId},
    time::Wall,
    units::Fen,
};
use serde::{Deserialize, Serialize};

const MAGIC: &str = "HFV1";
/// The longest voucher, in bytes: a larger one makes a QR code that is hard to read off a phone.
pub const VOUCHER_BYTES_MAX: usize = 300;
/// The longest text, in characters.
pub const VOUCHER_TEXT_MAX: usize = VOUCHER_BYTES_MAX.div_ceil(3) * 4;
/// The most that is carried of a name, in characters: it is for people at the desk.
const NAME_CHARS_MAX: usize = 20;

/// Its JSON has short names, as it is carried in a QR code.
#[derive(Serialize, Deserialize)]
struct Said {
    #[serde(rename = "s")]
    site: SiteId,
    #[serde(rename = "q")]
    hq_epoch: HqEpoch,
    #[serde(rename = "e")]
    epoch: String,
    #[serde(rename = "i")]
    id: String,
    #[serde(rename = "m")]
    member: MemberId,
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "a")]
    amount: Fen,
    /// Seconds since 1970.
    #[serde(rename = "x")]
    expires_s: i64,
}

/// What a signature is over: it stands for a voucher of this site and for nothing else.
fn signed(site: &SiteId, content: &[u8]) -> Vec<u8> {
    [format!("hf/v1/site/{site}/voucher").as_bytes(), content].concat()
}

/// A voucher as text. It ends at a whole second, and carries as much of the name as fits into [`VOUCHER_BYTES_MAX`].
pub fn to_text(voucher: &Voucher, key: &SigningKey) -> String {
    let mut said = Said {
        site: voucher.site.clone(),
        hq_epoch: voucher.hq_epoch,
        epoch: voucher.epoch.clone(),
        id: voucher.id.clone(),
        member: voucher.member.clone(),
        name: voucher.name.chars().take(NAME_CHARS_MAX).collect(),
        amount: voucher.amount,
        expires_s: voucher.expires_at.0 / 1_000,
    };
    let written = |said: &Said| {
        let json = serde_json::to_vec(said).expect("a voucher has string keys and no failing serializer");
        [MAGIC.as_bytes(), &json].concat()
    };
    let mut content = written(&said);
    while content.len() + SIGNATURE_LEN > VOUCHER_BYTES_MAX && said.name.pop().is_some() {
        content = written(&said);
    }
    let signature = key.sign(&signed(&voucher.site, &content));
    URL_SAFE_NO_PAD.encode([&content[..], &signature.0].concat())
}

/// Reads one that `keys` have signed, for whichever site.
///
/// # Errors
/// [`Malformed`].
pub fn from_text(text: &str, keys: &PublicKeys) -> Result<Voucher, Malformed> {
    if text.len() > VOUCHER_TEXT_MAX {
        return Err(Malformed::TooLarge(text.len()));
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(text.trim())
        .map_err(|_| Malformed::Value("a voucher is base64url without padding".to_owned()))?;
    let (content, signature) = bytes
        .split_last_chunk::<SIGNATURE_LEN>()
        .ok_or(Malformed::Length(bytes.len()))?;
    let json = content.strip_prefix(MAGIC.as_bytes()).ok_or(Malformed::Kind {
        what: "voucher",
        magic: MAGIC,
    })?;
    let said: Said = serde_json::from_slice(json).map_err(|error| Malformed::Value(error.to_string()))?;
    keys.verify(&signed(&said.site, content), &Signature(*signature))?;
    let expires_at = said.expires_s.checked_mul(1_000).map(Wall);
    let expires_at = expires_at.filter(|at| Wall::RANGE.contains(at));
    Ok(Voucher {
        site: said.site,
        hq_epoch: said.hq_epoch,
        epoch: said.epoch,
        id: said.id,
        member: said.member,
        name: said.name,
        amount: said.amount,
        expires_at: expires_at.ok_or_else(|| Malformed::Value("its end is outside 1970 to 2200".to_owned()))?,
    })
}

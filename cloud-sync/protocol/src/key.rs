//! Ed25519 keys (RFC 8032): a station signs what it journals, head office what it acknowledges and hands back.
//! A broker between them, or a program on the box that faces the WAN, holds neither key.

use domain::head_office::HqKey;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The length of a signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// A signature over some bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; SIGNATURE_LEN]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&domain::journal::hex(&self.0))
    }
}

/// The half of a key that everybody may know. As text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&domain::journal::hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an Ed25519 key: 64 hexadecimal digits")]
pub struct NotAKey(String);

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        from_hex(text)
            .map(Self)
            .ok_or_else(|| NotAKey(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl From<HqKey> for PublicKey {
    fn from(HqKey(key): HqKey) -> Self {
        Self(key)
    }
}

impl From<PublicKey> for HqKey {
    fn from(PublicKey(key): PublicKey) -> Self {
        Self(key)
    }
}

/// `N` bytes from twice as many hexadecimal digits.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The keys that count: more than one while a new one takes the place of an old one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublicKeys(pub Vec<PublicKey>);

/// No key that counts has signed this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not signed by a key that counts: it was changed on its way, or comes from somebody else")]
pub struct NotSigned;

impl PublicKeys {
    /// Which of the keys has signed `message`.
    ///
    /// # Errors
    /// [`NotSigned`]: none.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<PublicKey, NotSigned> {
        let signed_by = |key: &&PublicKey| {
            UnparsedPublicKey::new(&ED25519, key.0)
                .verify(message, &signature.0)
                .is_ok()
        };
        self.0.iter().find(signed_by).copied().ok_or(NotSigned)
    }
}

impl FromIterator<PublicKey> for PublicKeys {
    fn from_iter<T: IntoIterator<Item = PublicKey>>(keys: T) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl From<PublicKey> for PublicKeys {
    fn from(key: PublicKey) -> Self {
        Self(vec![key])
    }
}

/// A key with the half that its owner keeps.
pub struct SigningKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    // By hand: the seed must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl SigningKey {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// The key of this seed (the "private key" of RFC 8032 §5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed of Ed25519");
        Self { seed, pair }
    }

    /// The key that [`SigningKey::to_text`] wrote.
    ///
    /// # Errors
    /// [`NotAKey`], without saying what it read.
    pub fn from_text(text: &str) -> Result<Self, NotAKey> {
        from_hex(text.trim())
            .map(Self::from_seed)
            .ok_or_else(|| NotAKey("…".to_owned()))
    }

    /// The seed in hexadecimal digits, for a file that only its owner may read.
    pub fn to_text(&self) -> String {
        format!("{}\n", domain::journal::hex(&self.seed))
    }

    /// The half that others check signatures with.
    pub fn public(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref();
        PublicKey(bytes.try_into().expect("public keys of Ed25519 have 32 bytes"))
    }

    /// A signature over `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let bytes = self.pair.sign(message);
        Signature(bytes.as_ref().try_into().expect("signatures of Ed25519 have 64 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_rfc_8032() {
        // RFC 8032 §7.1, TEST 2.
        let seed = from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        let key = SigningKey::from_seed(seed);
        assert_eq!(
            key.public().to_string(),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        assert_eq!(
            format!("{:?}", key.sign(&[0x72])),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn of_several_keys_the_one_that_signed_is_named_and_no_other_counts() {
        let [old, new, strange] = [1, 2, 3].map(|n| SigningKey::from_seed([n; 32]));
        let keys = PublicKeys(vec![old.public(), new.public()]);
        assert_eq!(keys.verify(b"m", &new.sign(b"m")), Ok(new.public()));
        assert_eq!(keys.verify(b"n", &new.sign(b"m")), Err(NotSigned));
        assert_eq!(keys.verify(b"m", &strange.sign(b"m")), Err(NotSigned));
        assert_eq!(PublicKeys::default().verify(b"m", &old.sign(b"m")), Err(NotSigned));
    }

    #[test]
    fn a_key_is_read_as_it_is_written_and_its_seed_is_in_no_log() {
        let key = SigningKey::from_seed([7; 32]);
        let again = SigningKey::from_text(&key.to_text()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert!(!format!("{key:?}").contains("0707"));
        let error = SigningKey::from_text("0707070707").unwrap_err().to_string();
        assert!(!error.contains("0707"), "{error}");
        assert!("zz".repeat(32).parse::<PublicKey>().is_err());
    }
}

//! Binary messages. Integers are big-endian; a message ends with its signature, over its topic and all that is before.
//! A message is checked from its outside inwards: kind, lengths, signature, and only then what is in it.

mod ack;
mod batch;
mod directive;
mod pong;
mod tail;

pub use ack::{Ack, State};
pub use batch::{BATCH_ENTRIES_MAX, BATCH_PACKED_MAX, BATCH_RAW_MAX, Batch, FRAME_MAX, STEP_RAW_MAX, Unpacked};
pub use directive::{DIRECTIVE_BYTES_MAX, SignedDirective};
pub use pong::Pong;
pub use tail::Tail;

use crate::{
    key::{NotSigned, PublicKeys, SIGNATURE_LEN, Signature, SigningKey, from_hex},
    pack::NotUnpacked,
    topic::Topic,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number that a station makes at random for each hello and each ping; whatever answers it says it again, under a
/// signature. An old answer that is sent once more is known by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// Of what answers no question.
    pub const NONE: Self = Self([0; 16]);

    /// A new one.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

pub use domain::head_office::HqEpoch;

macro_rules! as_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&domain::journal::hex(&self.0))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                from_hex(&text).map(Self).ok_or_else(|| {
                    format!(
                        "{:?} is not 32 hexadecimal digits",
                        text.chars().take(40).collect::<String>()
                    )
                })
            }
        }
    };
}
as_hex!(Nonce);

/// Why bytes are not a message of the line.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It does not begin as it should.
    #[error("it is no {what}: it does not begin with {magic}")]
    Kind {
        /// What was expected.
        what: &'static str,
        /// How that begins.
        magic: &'static str,
    },
    /// Something is missing at its end, or stands behind it.
    #[error("its length is wrong: {0} bytes")]
    Length(usize),
    /// It is larger than anything that is sent.
    #[error("it is too large: {0} bytes")]
    TooLarge(usize),
    /// A number in it is none that it can have.
    #[error("{0}")]
    Value(String),
    /// Nobody who may has signed it.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// What is packed in it is damaged, or newer than this program.
    #[error(transparent)]
    Packed(#[from] NotUnpacked),
}

/// A message that ends with a signature over its topic and all of it that is before.
struct Sealed<'a> {
    /// What was signed, without the topic.
    content: &'a [u8],
    signature: Signature,
}

impl<'a> Sealed<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (content, signature) = bytes
            .split_last_chunk::<SIGNATURE_LEN>()
            .ok_or(Malformed::Length(bytes.len()))?;
        Ok(Self {
            content,
            signature: Signature(*signature),
        })
    }

    fn verified(bytes: &'a [u8], topic: &Topic, keys: &PublicKeys) -> Result<&'a [u8], Malformed> {
        let Self { content, signature } = Self::split(bytes)?;
        keys.verify(&signed(topic, content), &signature)?;
        Ok(content)
    }
}

/// What a signature is over.
fn signed(topic: &Topic, content: &[u8]) -> Vec<u8> {
    [topic.to_string().as_bytes(), content].concat()
}

/// `content` with a signature behind it.
fn seal(mut content: Vec<u8>, topic: &Topic, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&signed(topic, &content));
    content.extend_from_slice(&signature.0);
    content
}

/// Takes fields off the front of a message whose length was checked, or says that it was not long enough.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    whole: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8], what: &'static str, magic: &'static str) -> Result<Self, Malformed> {
        let rest = bytes
            .strip_prefix(magic.as_bytes())
            .ok_or(Malformed::Kind { what, magic })?;
        Ok(Self {
            rest,
            whole: bytes.len(),
        })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed::Length(self.whole))?;
        self.rest = rest;
        Ok(*field)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn short(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_be_bytes)
    }

    /// Everything that was not taken.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    fn end(self) -> Result<(), Malformed> {
        match self.rest {
            [] => Ok(()),
            _ => Err(Malformed::Length(self.whole)),
        }
    }
}

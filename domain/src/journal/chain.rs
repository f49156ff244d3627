//! The chain of a journal: each entry sealed to the one before by SHA-256, without gaps, and what a break of it is.
//! It knows of an entry no more than its number, so that it can be followed by whoever does not know every fact.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry of a site is sealed to.
    pub const GENESIS: Self = Self([0; 32]);

    /// `SHA-256(prev ‖ bytes)`: the hash of an entry with these stored bytes after one with hash `prev`.
    pub fn seal(prev: &Self, bytes: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(prev.0);
        hasher.update(bytes);
        Self(hasher.finalize().into())
    }

    /// What a content is known by, apart from the journal.
    pub fn of(content: &[u8]) -> Self {
        Self::seal(&Self::GENESIS, content)
    }
}

/// Bytes as hexadecimal digits, two for each.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |bits: u8| char::from(b"0123456789abcdef"[usize::from(bits)]);
    let two = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    bytes.iter().flat_map(two).collect()
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no hash, or no place in a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAHead {
    /// Not 64 hexadecimal digits.
    #[error("{0:?} is not a hash: 64 hexadecimal digits")]
    Hash(String),
    /// Not a number, a colon and a hash.
    #[error("{0:?} is not a place in a journal: an entry's number, a colon and its hash of 64 hexadecimal digits")]
    Head(String),
}

impl FromStr for Hash {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let wrong = || NotAHead::Hash(text.chars().take(80).collect());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (i, byte) in hash.iter_mut().enumerate() {
            let digits = text.get(2 * i..2 * i + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for Hash {
    type Error = NotAHead;

    fn try_from(text: String) -> Result<Self, NotAHead> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// A place in the journal: an entry and its hash, which stands for everything up to there. As a text `57:9f86d0…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The entry's number; zero before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// Before the first entry.
    pub const START: Self = Self {
        seq: 0,
        hash: Hash::GENESIS,
    };

    /// Goes on to the entry that is stored next, if that is what was sealed. What the entry tells need not be known: a
    /// newer program may have written it.
    ///
    /// # Errors
    /// [`Broken`]: what is wrong; this place stays where it was.
    pub fn follow(&mut self, seq: u64, hash: Hash, bytes: &[u8]) -> Result<(), Broken> {
        let next = self.seq + 1;
        if seq != next {
            return Err(Broken::Missing { seq: next, found: seq });
        }
        if Hash::seal(&self.hash, bytes) != hash {
            return Err(Broken::NotSealed { seq });
        }
        let says = number_of(bytes).map_err(|error| Broken::Unreadable {
            seq,
            why: error.to_string(),
        })?;
        if says != seq {
            return Err(Broken::Misnumbered { seq, says });
        }
        *self = Self { seq, hash };
        Ok(())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let wrong = || NotAHead::Head(text.chars().take(100).collect());
        let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            seq: seq.parse().map_err(|_| wrong())?,
            hash: hash.parse().map_err(|_| wrong())?,
        })
    }
}

/// Follows a journal from one place to its end, and looks whether it goes through the places that are known from
/// elsewhere: what was cut off at the end leaves no other trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    head: Head,
    known: Vec<Head>,
}

impl Walk {
    /// Begins after `from`. A place before it cannot be compared with anything, and is not looked for.
    ///
    /// # Errors
    /// [`Broken::Fork`] if one of the places is `from`, with another hash.
    pub fn new(from: Head, known: impl IntoIterator<Item = Head>) -> Result<Self, Broken> {
        let known = known.into_iter().filter(|known| known.seq >= from.seq).collect();
        let mut walk = Self { head: from, known };
        walk.pass()?;
        Ok(walk)
    }

    /// Where it has come to.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Goes on to the entry that is stored next.
    ///
    /// # Errors
    /// As [`Head::follow`], and [`Broken::Fork`].
    pub fn follow(&mut self, seq: u64, hash: Hash, bytes: &[u8]) -> Result<(), Broken> {
        self.head.follow(seq, hash, bytes)?;
        self.pass()
    }

    /// There are no more entries. Returns the last.
    ///
    /// # Errors
    /// [`Broken::CutOff`] if there should be more.
    pub fn end(self) -> Result<Head, Broken> {
        match self.known.iter().map(|known| known.seq).max() {
            Some(known) => Err(Broken::CutOff {
                end: self.head.seq,
                known,
            }),
            None => Ok(self.head),
        }
    }

    fn pass(&mut self) -> Result<(), Broken> {
        let head = self.head;
        if let Some(other) = self
            .known
            .iter()
            .find(|known| known.seq == head.seq && known.hash != head.hash)
        {
            return Err(Broken::Fork {
                seq: head.seq,
                found: head.hash,
                known: other.hash,
            });
        }
        self.known.retain(|known| known.seq != head.seq);
        Ok(())
    }
}

/// The number that an entry was sealed under: all that its place in the chain is checked by.
fn number_of(bytes: &[u8]) -> Result<u64, serde_json::Error> {
    #[derive(Deserialize)]
    struct Numbered {
        stamp: Number,
    }
    #[derive(Deserialize)]
    struct Number {
        seq: u64,
    }
    serde_json::from_slice(bytes).map(|Numbered { stamp }| stamp.seq)
}

/// Why a journal is not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is not there.
    #[error("entry {seq} is missing: entry {found} stands in its place")]
    Missing {
        /// Which.
        seq: u64,
        /// What is there instead.
        found: u64,
    },
    /// Something was changed, in this entry or before it.
    #[error("entry {seq} is not what was sealed: its hash does not fit its content and the entry before")]
    NotSealed {
        /// Which.
        seq: u64,
    },
    /// It was sealed, but is no entry.
    #[error("entry {seq} cannot be read: {why}")]
    Unreadable {
        /// Which.
        seq: u64,
        /// What is wrong.
        why: String,
    },
    /// It was sealed under another number.
    #[error("entry {seq} says that it is {says}")]
    Misnumbered {
        /// Under which number it is stored.
        seq: u64,
        /// Under which it was sealed.
        says: u64,
    },
    /// The journal ends before an entry that is known from elsewhere.
    #[error("the journal ends at entry {end}, but entry {known} was there: the end of it is missing")]
    CutOff {
        /// The last entry there is.
        end: u64,
        /// The entry that is known to have been there.
        known: u64,
    },
    /// An entry has another hash than is known from elsewhere.
    #[error("entry {seq} is another than the one that was there: its hash is {found} and was {known}")]
    Fork {
        /// Which.
        seq: u64,
        /// The hash that it has.
        found: Hash,
        /// The hash that it had.
        known: Hash,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fact::Fact,
        ids::SiteId,
        journal::{Entry, Stamp},
        time::{Mono, Wall},
    };

    #[test]
    fn a_seal_depends_on_every_byte_and_on_what_came_before() {
        // (head -c 32 /dev/zero; printf abc) | sha256sum
        let sealed = Hash::seal(&Hash::GENESIS, b"abc");
        assert_eq!(
            sealed.to_string(),
            "365aa7d8f7f9402c4b9434502b4cc89ddb09fe50d7cd95b493b834c62d5a5370"
        );
        assert_ne!(sealed, Hash::seal(&Hash::GENESIS, b"abd"));
        assert_ne!(sealed, Hash::seal(&sealed, b"abc"));
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let head = Head {
            seq: 57,
            hash: Hash::seal(&Hash::GENESIS, b"abc"),
        };
        assert_eq!(head.to_string().parse(), Ok(head));
        let json = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&json).unwrap(), head);
        let hash = head.hash.to_string();
        for wrong in [
            "",
            "57",
            ":",
            &hash,
            &format!("57:{}", &hash[1..]),
            &format!("57:+{}", &hash[1..]),
            "57:ä",
        ] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }

    fn entries(count: u64) -> Vec<(u64, Hash, Vec<u8>)> {
        let mut hash = Hash::GENESIS;
        let sealed = (1..=count).map(|seq| {
            let entry = Entry {
                site: SiteId::new("s").unwrap(),
                epoch: "e".to_owned(),
                stamp: Stamp {
                    seq,
                    at: Wall(1),
                    mono: Mono(1),
                },
                fact: Fact::ClockStepped { by_ms: 1 },
            };
            let bytes = entry.to_bytes();
            hash = Hash::seal(&hash, &bytes);
            (seq, hash, bytes)
        });
        sealed.collect()
    }

    fn walk(entries: &[(u64, Hash, Vec<u8>)]) -> Result<Head, Broken> {
        let mut head = Head::START;
        for (seq, hash, bytes) in entries {
            head.follow(*seq, *hash, bytes)?;
        }
        Ok(head)
    }

    #[test]
    fn one_flipped_byte_anywhere_is_found() {
        let good = entries(3);
        walk(&good).unwrap();
        for at in 0..good[1].2.len() {
            let mut bad = good.clone();
            bad[1].2[at] ^= 1;
            assert_eq!(walk(&bad), Err(Broken::NotSealed { seq: 2 }), "byte {at}");
        }
        let mut bad = good;
        bad[1].1.0[0] ^= 1;
        assert_eq!(walk(&bad), Err(Broken::NotSealed { seq: 2 }));
    }

    #[test]
    fn an_end_that_is_missing_or_another_is_found_by_who_knows_it() {
        let entries = entries(4);
        let place = |n: usize| Head {
            seq: entries[n].0,
            hash: entries[n].1,
        };
        let walk = |from: usize, to: usize, known: Head| {
            let mut walk = Walk::new(place(from), [known])?;
            for (seq, hash, bytes) in &entries[from + 1..to] {
                walk.follow(*seq, *hash, bytes)?;
            }
            walk.end()
        };
        assert_eq!(walk(0, 4, place(3)), Ok(place(3)));
        assert_eq!(
            walk(2, 4, place(1)),
            Ok(place(3)),
            "what lies before the beginning is not looked for"
        );
        assert_eq!(walk(0, 3, place(3)), Err(Broken::CutOff { end: 3, known: 4 }));
        for n in [0, 2, 3] {
            let other = Head {
                hash: Hash::GENESIS,
                ..place(n)
            };
            let said = walk(0, 4, other).unwrap_err();
            assert!(
                matches!(said, Broken::Fork { seq, .. } if seq == place(n).seq),
                "{said}"
            );
        }
    }

    #[test]
    fn a_missing_entry_is_found() {
        let mut bad = entries(3);
        bad.remove(1);
        assert_eq!(walk(&bad), Err(Broken::Missing { seq: 2, found: 3 }));
    }
}

//! A batch: entries of a site's journal, as they are stored, packed. Their hashes are not sent: they follow from the hash
//! before the first. The station signs the place of the last, so nobody on the way can put another entry in.

use super::{Fields, Malformed, Sealed, signed};
use crate::{
    key::{PublicKey, PublicKeys, Signature, SigningKey},
    pack::{self, Packer},
    topic::{Kind, Topic},
};
use domain::{
    ids::SiteId,
    journal::{Broken, Hash, Head},
};

const MAGIC: &str = "HFJ1";
/// What stands before the body.
const HEAD_LEN: usize = MAGIC.len() + 1 + 2 + 4 + 8 + 32;

/// The most entries in a batch, unless a single step of the station is longer.
pub const BATCH_ENTRIES_MAX: usize = 1_000;
/// The most stored bytes in a batch, unless a single step of the station is longer.
pub const BATCH_RAW_MAX: usize = 2 * 1024 * 1024;
/// The most packed bytes in a batch, unless a single step of the station is longer.
pub const BATCH_PACKED_MAX: usize = 512 * 1024;
/// The most stored bytes of anything that is unpacked at all. A step holds a few messages of 256 KiB, or the report of a
/// day with one line for each connector. The program on the box holds it about eight times over, in 256 MiB: as the station's answer,
/// as entries, joined, packed, and in the buffers of the line.
pub const STEP_RAW_MAX: usize = 16 * 1024 * 1024;
/// The most bytes of a message on the line. What cannot be packed at all is a little longer than it was.
pub const FRAME_MAX: usize = STEP_RAW_MAX + 64 * 1024;

/// Entries that follow each other, packed.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    /// The number of the first.
    pub first: u64,
    /// The hash of the entry before the first.
    pub prev: Hash,
    /// How many there are; never none.
    pub count: u16,
    /// Which dictionary they are packed with; 0 is none.
    pub dictionary: u8,
    /// How long they are when unpacked, with a line feed between each two.
    pub raw: u32,
    /// They.
    pub body: Vec<u8>,
    /// By the station, over its place of the last.
    pub signature: Signature,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last, packed) = (self.first, self.last(), self.body.len());
        write!(f, "Batch({first}..={last}, {} bytes in {packed})", self.raw)
    }
}

/// What a station signs: its journal's topic, and the place of an entry. It stands for everything up to there.
pub(crate) fn place_signed(site: &SiteId, place: Head) -> Vec<u8> {
    let content = [place.seq.to_be_bytes().as_slice(), &place.hash.0].concat();
    signed(&Topic::new(site.clone(), Kind::Journal), &content)
}

impl Batch {
    /// The station's signature over a place in its journal.
    pub fn sign(site: &SiteId, place: Head, key: &SigningKey) -> Signature {
        key.sign(&place_signed(site, place))
    }

    /// Packs the stored bytes of the entries that follow on `before`; the signature is over the place of the last.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`]: more than ever may be sent together; [`Malformed::Value`]: none, or more than 65,535.
    pub fn pack(
        before: Head,
        entries: &[impl AsRef<[u8]>],
        signature: Signature,
        packer: &mut Packer,
    ) -> Result<Self, Malformed> {
        let count = u16::try_from(entries.len()).ok().filter(|count| *count > 0);
        let count = count.ok_or_else(|| Malformed::Value(format!("{} entries are no batch", entries.len())))?;
        let mut raw = Vec::with_capacity(entries.iter().map(|entry| entry.as_ref().len() + 1).sum());
        for entry in entries {
            if !raw.is_empty() {
                raw.push(b'\n');
            }
            raw.extend_from_slice(entry.as_ref());
        }
        if raw.len() > STEP_RAW_MAX {
            return Err(Malformed::TooLarge(raw.len()));
        }
        Ok(Self {
            first: before.seq + 1,
            prev: before.hash,
            count,
            dictionary: packer.dictionary(),
            raw: u32::try_from(raw.len()).map_err(|_| Malformed::TooLarge(raw.len()))?,
            body: packer.pack(&raw),
            signature,
        })
    }

    /// The number of the last entry.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count)).saturating_sub(1)
    }

    /// The place before the first entry.
    pub fn before(&self) -> Head {
        Head {
            seq: self.first.saturating_sub(1),
            hash: self.prev,
        }
    }

    /// `HFJ1 dictionary:u8 count:u16 raw:u32 first:u64 prev:32 body sig:64`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LEN + self.body.len() + 64);
        bytes.extend_from_slice(MAGIC.as_bytes());
        bytes.push(self.dictionary);
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(&self.raw.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.prev.0);
        bytes.extend_from_slice(&self.body);
        bytes.extend_from_slice(&self.signature.0);
        bytes
    }

    /// Reads one, without looking at what is packed in it, nor at who signed it: the place that is signed is known only
    /// once it is [unpacked](Self::unpack).
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > FRAME_MAX {
            return Err(Malformed::TooLarge(bytes.len()));
        }
        let mut fields = Fields::of(bytes, "batch", MAGIC)?;
        let dictionary = fields.byte()?;
        let count = fields.short()?;
        let raw = u32::from_be_bytes(fields.take()?);
        let first = fields.number()?;
        let prev = Hash(fields.take()?);
        let Sealed {
            content: body,
            signature,
        } = Sealed::split(fields.rest())?;
        if count == 0 || first == 0 || first.checked_add(u64::from(count)).is_none() {
            return Err(Malformed::Value(format!(
                "it holds {count} entries from number {first} on"
            )));
        }
        if raw as usize > STEP_RAW_MAX {
            return Err(Malformed::TooLarge(raw as usize));
        }
        Ok(Self {
            first,
            prev,
            count,
            dictionary,
            raw,
            body: body.to_vec(),
            signature,
        })
    }

    /// The entries with their hashes. That each has the number of its place is not looked at: [`Unpacked::follow`] does.
    ///
    /// # Errors
    /// [`Malformed::Packed`]; [`Malformed::Value`] where there are more or fewer than it says.
    pub fn unpack(&self) -> Result<Unpacked, Malformed> {
        let raw = pack::unpack(self.dictionary, &self.body, self.raw as usize)?;
        let mut entries = Vec::with_capacity(usize::from(self.count));
        let (mut start, mut hash) = (0, self.prev);
        for bytes in raw.split(|byte| *byte == b'\n') {
            hash = Hash::seal(&hash, bytes);
            entries.push((start..start + bytes.len(), hash));
            start += bytes.len() + 1;
        }
        if entries.len() != usize::from(self.count) {
            let found = entries.len();
            return Err(Malformed::Value(format!(
                "it says {} entries and holds {found}",
                self.count
            )));
        }
        Ok(Unpacked {
            before: self.before(),
            raw,
            entries,
        })
    }

    /// Who signed the place of the last entry, of keys that count.
    ///
    /// # Errors
    /// [`Malformed::NotSigned`].
    pub fn verify(&self, site: &SiteId, unpacked: &Unpacked, keys: &PublicKeys) -> Result<PublicKey, Malformed> {
        Ok(keys.verify(&place_signed(site, unpacked.head()), &self.signature)?)
    }
}

/// The entries of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    before: Head,
    raw: Vec<u8>,
    entries: Vec<(std::ops::Range<usize>, Hash)>,
}

impl Unpacked {
    /// Number, hash and stored bytes of each.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (u64, Hash, &[u8])> + ExactSizeIterator {
        let first = self.before.seq + 1;
        let with_number = move |(n, (range, hash)): (usize, &(std::ops::Range<usize>, Hash))| {
            (first + n as u64, *hash, &self.raw[range.clone()])
        };
        self.entries.iter().enumerate().map(with_number)
    }

    /// The place before them.
    pub fn before(&self) -> Head {
        self.before
    }

    /// The place of the last.
    pub fn head(&self) -> Head {
        let last = self.entries.last();
        Head {
            seq: self.before.seq + self.entries.len() as u64,
            hash: last.map_or(self.before.hash, |(_, hash)| *hash),
        }
    }

    /// Whether each was sealed under the number of its place.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn follow(&self) -> Result<Head, Broken> {
        let mut head = self.before;
        for (seq, hash, bytes) in self.entries() {
            head.follow(seq, hash, bytes)?;
        }
        Ok(head)
    }
}

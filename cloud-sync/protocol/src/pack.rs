//! How entries are packed: zstd (RFC 8878), with a dictionary that both ends have, because a batch is short and its entries
//! resemble those of every other station. `cargo xtask dictionary` makes one; a number, once given, stays its own for ever.

use std::{io, sync::LazyLock};
use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

/// zstd's level of compression: of the cheap ones, so that a small box catches up beside its work.
const LEVEL: i32 = 5;

/// The dictionary that is packed with; 0 is none.
pub const NEWEST: u8 = 1;

/// Every dictionary there ever was, by number from 1.
const SHIPPED: [&[u8]; NEWEST as usize] = [include_bytes!("../dictionaries/1.zstd")];

static TO_PACK: LazyLock<Vec<EncoderDictionary<'static>>> = LazyLock::new(|| {
    SHIPPED
        .iter()
        .map(|bytes| EncoderDictionary::copy(bytes, LEVEL))
        .collect()
});
static TO_UNPACK: LazyLock<Vec<DecoderDictionary<'static>>> =
    LazyLock::new(|| SHIPPED.iter().map(|bytes| DecoderDictionary::copy(bytes)).collect());

/// Packs, one after the other.
pub struct Packer {
    dictionary: u8,
    compressor: Compressor<'static>,
}

impl Packer {
    /// With the newest dictionary.
    pub fn new() -> Self {
        Self::with(NEWEST)
    }

    /// With one dictionary, or none.
    ///
    /// # Panics
    /// There is no such dictionary.
    pub fn with(dictionary: u8) -> Self {
        let compressor = match dictionary.checked_sub(1) {
            None => Compressor::new(LEVEL),
            Some(index) => Compressor::with_prepared_dictionary(&TO_PACK[usize::from(index)]),
        };
        Self {
            dictionary,
            compressor: compressor.expect("memory for a compressor is there, and its level is one of zstd's"),
        }
    }

    /// The number of its dictionary.
    pub fn dictionary(&self) -> u8 {
        self.dictionary
    }

    /// Packs these bytes.
    pub fn pack(&mut self, raw: &[u8]) -> Vec<u8> {
        self.compressor
            .compress(raw)
            .expect("the room that compression can need at most is given to it")
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

/// Why packed bytes are not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum NotUnpacked {
    /// A newer program packed them.
    #[error("it is packed with dictionary {0}, which this version does not have: install a newer one")]
    Dictionary(u8),
    /// They are none, or more than they say.
    #[error("it cannot be unpacked into the {raw} bytes that it says: {why}")]
    Damaged {
        /// How many bytes it should be.
        raw: usize,
        /// What the library says.
        why: io::Error,
    },
}

/// Unpacks what should be exactly `raw` bytes, and never makes room for more.
///
/// # Errors
/// [`NotUnpacked`].
pub fn unpack(dictionary: u8, packed: &[u8], raw: usize) -> Result<Vec<u8>, NotUnpacked> {
    let damaged = |why| NotUnpacked::Damaged { raw, why };
    let decompressor = match dictionary.checked_sub(1) {
        None => Decompressor::new(),
        Some(index) => {
            let known = TO_UNPACK.get(usize::from(index));
            Decompressor::with_prepared_dictionary(known.ok_or(NotUnpacked::Dictionary(dictionary))?)
        }
    };
    let bytes = decompressor
        .and_then(|mut decompressor| decompressor.decompress(packed, raw))
        .map_err(damaged)?;
    if bytes.len() != raw {
        let why = io::Error::other(format!("there are {}", bytes.len()));
        return Err(damaged(why));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_with_every_dictionary() {
        let raw = br#"{"site":"s01","fact":{"DayBegan":{"day":"2026-01-01"}}}"#.repeat(40);
        for dictionary in 0..=NEWEST {
            let packed = Packer::with(dictionary).pack(&raw);
            assert!(packed.len() < raw.len() / 4);
            assert_eq!(unpack(dictionary, &packed, raw.len()).unwrap(), raw);
        }
    }

    #[test]
    fn a_dictionary_that_was_shipped_stays_what_it_is() {
        let shipped = SHIPPED.map(|bytes| domain::journal::Hash::of(bytes).to_string());
        assert_eq!(
            shipped,
            ["a5cbf58aa0f4f5d0e7f575786a7d18bf43660e0f666c0552bd566e42fad18278"]
        );
    }

    #[test]
    fn a_bomb_is_not_unpacked_beyond_what_it_says() {
        let bomb = Packer::with(0).pack(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 16 * 1024);
        assert!(unpack(0, &bomb, 1024).is_err());
    }

    #[test]
    fn what_is_shorter_than_it_says_is_refused() {
        let packed = Packer::with(0).pack(b"abc");
        assert!(unpack(0, &packed, 4).is_err());
        assert!(unpack(0, &packed, 2).is_err());
        assert_eq!(unpack(0, &packed, 3).unwrap(), b"abc");
    }

    #[test]
    fn a_dictionary_that_is_not_known_is_named() {
        let error = unpack(NEWEST + 1, b"", 0).unwrap_err().to_string();
        assert!(error.contains("install a newer one"), "{error}");
    }
}

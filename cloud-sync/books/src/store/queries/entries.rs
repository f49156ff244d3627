//! A site's journal, entry by entry, out of the batches in which it came.

use crate::store::{Row, StoreError, Tx};
use domain::journal::Hash;
use protocol::{
    frame::{Batch, Unpacked},
    key::{SIGNATURE_LEN, Signature},
};

/// The most stored bytes in one page, save that a single entry always goes.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// An entry as it is stored: its number, its hash and its bytes.
pub type Stored = (u64, Hash, Vec<u8>);

/// A batch whose signature nobody asks for: `first, prev, dictionary, raw, body, last`.
pub(super) fn packed(mut row: Row) -> Result<Packed, StoreError> {
    let bad = |what: &str| StoreError::Broken(format!("{what} of a batch is not as it was kept"));
    let (first, last) = (row.count(0)?, row.count(5)?);
    let count = last.checked_sub(first).and_then(|more| (more + 1).try_into().ok());
    let prev: [u8; 32] = row.bytes(1)?.try_into().map_err(|_| bad("the hash before"))?;
    Ok(Packed {
        first,
        batch: Batch {
            first,
            prev: Hash(prev),
            count: count.ok_or_else(|| bad("the number of entries"))?,
            dictionary: row.count(2)?.try_into().map_err(|_| bad("the dictionary"))?,
            raw: row.count(3)?.try_into().map_err(|_| bad("the length"))?,
            body: row.bytes(4)?,
            signature: Signature([0; SIGNATURE_LEN]),
        },
    })
}

/// A batch to be unpacked.
pub(super) struct Packed {
    /// The number of its first entry.
    pub(super) first: u64,
    batch: Batch,
}

impl Packed {
    /// Its entries.
    pub(super) fn unpack(&self) -> Result<Unpacked, StoreError> {
        self.batch
            .unpack()
            .map_err(|error| StoreError::Broken(error.to_string()))
    }
}

/// Entries after a number, in order, at most so many, by the branch that is followed; and the hash that the first is sealed to.
///
/// # Errors
/// [`StoreError`].
pub fn after(tx: &mut dyn Tx, site: &str, seq: u64, limit: usize) -> Result<(Option<Hash>, Vec<Stored>), StoreError> {
    let (mut entries, mut from, mut bytes) = (Vec::new(), seq, 0);
    let mut sealed_to = (seq == 0).then_some(Hash::GENESIS);
    loop {
        let row = tx.query_optional(
            "SELECT b.first, b.prev, b.dictionary, b.raw, b.body, b.last FROM site s \
             JOIN batch b ON b.site = s.id AND b.branch = s.branch \
             WHERE s.id = $1 AND b.first <= $2 AND b.last > $3 ORDER BY b.first DESC LIMIT 1",
            &[site.into(), from.saturating_add(1).into(), from.into()],
        )?;
        let Some(row) = row else {
            return Ok((sealed_to, entries));
        };
        let unpacked = packed(row)?.unpack()?;
        let before = unpacked.before();
        if before.seq == seq {
            sealed_to = Some(before.hash);
        }
        for (number, hash, stored) in unpacked.entries() {
            if number == seq {
                sealed_to = Some(hash);
            }
            if number <= from {
                continue;
            }
            bytes += stored.len();
            if entries.len() >= limit || (bytes > BYTES_MAX && !entries.is_empty()) {
                return Ok((sealed_to, entries));
            }
            entries.push((number, hash, stored.to_vec()));
            from = number;
        }
    }
}

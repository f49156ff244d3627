//! Retained messages to piles: what a subscriber gets at once, also after a restart.
//! Topic → payload, written with the commit that lets the message out; bounded in rows and bytes.

use super::{StoreError, tables::RETAINED};
use redb::{ReadTransaction, WriteTransaction};
use std::collections::BTreeMap;

/// The most retained messages on the disk: as many as the broker keeps in memory.
const ROWS_MAX: usize = 16_384;
/// The most bytes of their topics and payloads.
const BYTES_MAX: usize = 32 << 20;

/// What is retained, as it is on the disk, or will be with the next commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retained {
    by_topic: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl Retained {
    /// Keeps a message in place of its topic's last; an empty one removes that. Returns whether there is something to
    /// write: not if it is what is kept already, nor if it has no room, where the topic's last is removed instead.
    pub fn set(&mut self, topic: &str, payload: &[u8]) -> bool {
        self.set_within(topic, payload, ROWS_MAX, BYTES_MAX)
    }

    fn set_within(&mut self, topic: &str, payload: &[u8], rows_max: usize, bytes_max: usize) -> bool {
        let before = self.by_topic.remove(topic);
        self.bytes -= before.as_ref().map_or(0, |before| topic.len() + before.len());
        let bytes = topic.len() + payload.len();
        let fits = self.by_topic.len() < rows_max && self.bytes + bytes <= bytes_max;
        if payload.is_empty() || !fits {
            return before.is_some();
        }
        self.bytes += bytes;
        self.by_topic.insert(topic.to_owned(), payload.to_vec());
        before.is_none_or(|before| before != payload)
    }

    /// The payload that is kept for a topic.
    pub fn get(&self, topic: &str) -> Option<&[u8]> {
        self.by_topic.get(topic).map(Vec::as_slice)
    }

    /// Everything, by topic.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.by_topic
            .iter()
            .map(|(topic, payload)| (topic.as_str(), payload.as_slice()))
    }
}

/// Writes what has changed: a payload, or none where the topic has none any more.
pub(super) fn write(write: &WriteTransaction, changed: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut table = write.open_table(RETAINED)?;
    for (topic, payload) in changed {
        match payload {
            Some(payload) => table.insert(topic.as_str(), payload.as_slice())?,
            None => table.remove(topic.as_str())?,
        };
    }
    Ok(())
}

/// Everything that is retained.
pub(super) fn read(read: &ReadTransaction) -> Result<Retained, StoreError> {
    let table = read.open_table(RETAINED)?;
    let mut retained = Retained::default();
    for row in table.range::<&str>(..)? {
        let (topic, payload) = row?;
        retained.set(topic.value(), payload.value());
    }
    Ok(retained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_already_is_not_written_again() {
        let mut retained = Retained::default();
        assert!(retained.set("a", b"1"));
        assert!(!retained.set("a", b"1"));
        assert!(retained.set("a", b"2"));
        assert_eq!(retained.get("a"), Some(&b"2"[..]));
        assert!(retained.set("a", b""));
        assert!(!retained.set("a", b""));
        assert_eq!(retained, Retained::default());
    }

    #[test]
    fn rows_and_bytes_are_bounded() {
        let mut retained = Retained::default();
        assert!(retained.set_within("a", b"123", 2, 10));
        assert!(retained.set_within("b", b"123", 2, 10));
        assert!(!retained.set_within("c", b"1", 2, 10), "too many");
        assert!(retained.set_within("b", b"12345", 2, 10), "as many bytes as may be");
        assert!(
            retained.set_within("b", b"123456", 2, 10),
            "one more: there is none now"
        );
        assert_eq!(retained.iter().collect::<Vec<_>>(), [("a", &b"123"[..])]);
        assert!(!retained.set_within("c", b"1234567", 2, 10), "too many bytes");
        assert!(retained.set_within("c", b"12345", 2, 10));
        assert_eq!(retained.bytes, 10);
    }
}

//! What must be so whatever bytes come: messages of piles and journal entries. `cargo xtask fuzz` looks for bytes by which
//! it is not; what was found, and a case of every kind, lies in `fuzz/corpus/` and is played again by the tests here.

use crate::journal::{Broken, Entry, Hash, Head, Stamp};

pub use crate::messages::fuzz::pile_message;

/// The most entries that one input makes.
const ENTRIES_MAX: usize = 32;

/// A journal: one entry a line.
///
/// An entry that is read and written again is read as the same. Lines that are sealed one after the other are followed up to
/// the first that is no entry or is out of place, and no further; one flipped bit is noticed at its own entry.
pub fn journal(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(ENTRIES_MAX).collect();
    for line in &lines {
        if let Ok(entry) = Entry::from_bytes(line) {
            written_again_is_the_same(&entry);
            assert_eq!(
                Stamp::of_entry(line),
                Ok(entry.stamp),
                "what can be applied can be verified"
            );
        }
    }
    let mut head = Head::START;
    for line in &lines {
        // An entry of a kind that only a newer program knows is followed too.
        let stamp = Stamp::of_entry(line);
        let (before, seq) = (head, head.seq + 1);
        let hash = Hash::seal(&head.hash, line);
        if let Some(broken) = a_flipped_bit(line) {
            assert_eq!(head.follow(seq, hash, &broken), Err(Broken::NotSealed { seq }));
        }
        assert_eq!(
            head.follow(seq + 1, hash, line),
            Err(Broken::Missing { seq, found: seq + 1 })
        );
        assert_eq!(head, before, "what is refused moves nothing");
        match (head.follow(seq, hash, line), stamp) {
            // What follows needs the number alone.
            (Ok(()), stamp) => {
                assert!(stamp.is_err() || stamp.is_ok_and(|stamp| stamp.seq == seq));
                assert_eq!(head, Head { seq, hash });
            }
            (Err(Broken::Misnumbered { says, .. }), stamp) => {
                assert!(stamp.is_err() || stamp.is_ok_and(|stamp| stamp.seq == says));
                assert_ne!(says, seq);
                break;
            }
            (Err(Broken::Unreadable { .. }), Err(_)) => break,
            (followed, stamp) => panic!("{followed:?}, but the line was read as {stamp:?}"),
        }
    }
}

fn written_again_is_the_same(entry: &Entry) {
    let written = entry.to_bytes();
    let again = Entry::from_bytes(&written).expect("what was written can be read");
    assert_eq!(again, *entry);
    assert_eq!(again.to_bytes(), written);
}

/// The line with one bit changed; which one follows from the line.
fn a_flipped_bit(line: &[u8]) -> Option<Vec<u8>> {
    let Hash([first, second, ..]) = Hash::of(line);
    let at = usize::from(u16::from_be_bytes([first, second])).checked_rem(line.len())?;
    let mut broken = line.to_vec();
    broken[at] ^= 1 << (first % 8);
    Some(broken)
}

#[cfg(test)]
#[path = "../../fuzz/src/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::corpus::play;

    #[test]
    fn messages_of_piles_that_were_found_keep_the_rules() {
        play("pile", super::pile_message);
    }

    #[test]
    fn journals_that_were_found_keep_the_rules() {
        play("journal", super::journal);
    }
}

//! What was judged once is not judged again by what has happened since.

use super::Time;
use domain::journal::Hash;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// How entries were judged when they were journaled, by number. Where head office hands one back after a restore it is the same
/// entry, and the world has gone on. Copies of an oracle share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Judged(Rc<RefCell<BTreeMap<u64, Judgement>>>);

#[derive(Debug, Clone)]
struct Judgement {
    hash: Hash,
    at: Time,
    /// Once it was looked at: what is wrong with a bill, if anything.
    doubt: Option<Option<String>>,
}

impl Judged {
    /// When an entry was journaled: `now`, if it was not followed before.
    pub(super) fn at(&self, seq: u64, hash: Hash, now: Time) -> Time {
        let fresh = Judgement {
            hash,
            at: now,
            doubt: None,
        };
        let mut all = self.0.borrow_mut();
        let judged = all.entry(seq).or_insert_with(|| fresh.clone());
        if judged.hash != hash {
            *judged = fresh;
        }
        judged.at
    }

    /// What is wrong with the bill of an entry, if anything.
    pub(super) fn doubt(&self, seq: u64, look: impl FnOnce() -> Option<String>) -> Option<String> {
        let mut all = self.0.borrow_mut();
        let judged = all.get_mut(&seq)?;
        judged.doubt.get_or_insert_with(look).clone()
    }
}

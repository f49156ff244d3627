//! What was judged once is not judged again by what has happened since.

use super::Time;
use domain::journal::Hash;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// How entries were judged when they were journaled, by their hashes: of one number there are several where a station left a branch. Where
/// head office hands one back after a restore it is the same entry, and the world has gone on. Copies of an oracle share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Judged(Rc<RefCell<BTreeMap<[u8; 32], Judgement>>>);

#[derive(Debug, Clone)]
struct Judgement {
    at: Time,
    /// Once it was looked at: what is wrong with a bill, if anything.
    doubt: Option<Option<String>>,
}

impl Judged {
    /// When an entry was journaled: `now`, if it was not followed before.
    pub(super) fn at(&self, entry: Hash, now: Time) -> Time {
        let fresh = Judgement { at: now, doubt: None };
        self.0.borrow_mut().entry(entry.0).or_insert(fresh).at
    }

    /// What is wrong with the bill of an entry, if anything.
    pub(super) fn doubt(&self, entry: &Hash, look: impl FnOnce() -> Option<String>) -> Option<String> {
        let mut all = self.0.borrow_mut();
        let judged = all.get_mut(&entry.0)?;
        judged.doubt.get_or_insert_with(look).clone()
    }
}

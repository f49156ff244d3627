//! What a change of a register's book means for the business days: sums that change, and findings that come and go.
//! The book keeps no sums itself; whoever changes it posts what it gets back.

use super::{Session, Span, Unrecorded, UnrecordedClass};
use crate::{ids::OrderId, time::Day, units::Energy};

/// Which sum of a business day a posting belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PostedAs {
    /// Energy of an order.
    Metered(OrderId),
    /// Energy of a quarantine item, by its number.
    Unbilled(u64),
    /// Energy of no session.
    Unrecorded {
        /// The order that it was found before.
        before: Option<OrderId>,
        /// How it was found.
        class: UnrecordedClass,
    },
}

/// A change of a business day's sums. Where the day has its report, it is an adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The business day.
    pub day: Day,
    /// Which of its sums.
    pub what: PostedAs,
    /// By how much; negative: less.
    pub change: Energy,
}

/// A finding of unrecorded energy that a session explains after all, wholly or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The finding as it was.
    pub was: Unrecorded,
    /// What of it still is unrecorded: the findings that take its place. Empty: it is gone.
    pub now: Vec<Span>,
}

/// What a change of the book means for the sums and findings of business days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "what is not posted is missing from the sums of its day"]
pub struct RegisterChanges {
    /// Changes of sums, one at most for each day and sum, and none of zero.
    pub postings: Vec<Posting>,
    /// Spans that now are unrecorded: new findings.
    pub found: Vec<Unrecorded>,
    /// Findings that shrank or went.
    pub corrected: Vec<Correction>,
    /// Sessions that had to be folded, because too many waited, though they were provisional, of quarantine or not counted.
    /// Their energy is posted to the day given here. A later claim by the same name owns only what is new in it.
    pub forgotten: Vec<Session>,
}

impl RegisterChanges {
    pub(super) fn post(&mut self, day: Day, what: PostedAs, change: Energy) {
        let same = |posting: &&mut Posting| posting.day == day && posting.what == what;
        match self.postings.iter_mut().find(same) {
            Some(posting) => posting.change += change,
            None => self.postings.push(Posting { day, what, change }),
        }
        self.postings.retain(|posting| posting.change != Energy::ZERO);
    }
}

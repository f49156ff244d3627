//! Looking after a copy: whether the database still says what the sites' journals say, and making it say so again.
//!
//! | file | holds |
//! |---|---|
//! | `replica` | a site's rows against its journal, and made anew from it |
//! | `journal` | whether a journal is whole and its site's own |
//! | `ledger` | whether the books add up, and all movements as CSV |
//! | `fork` | which branch of a journal lives |
//! | `opening` | a station with a history joins |
//! | `closing` | what is open at a site that never comes back |
//!
//! What only looks runs in a transaction that reads ([`Db::read`](crate::store::Db::read)): it sees one state, and holds nobody up.

pub mod closing;
pub mod fork;
pub mod journal;
pub mod ledger;
pub mod opening;
pub mod replica;

/// The most differences that are told one by one.
pub const DIFFERENCES_MAX: usize = 100;

/// A row, or a balance, that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of which table or account.
    pub of: String,
    /// Which: the key of a row.
    pub key: String,
    /// In which way, in words.
    pub what: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of, key, what } = self;
        write!(f, "{of} {key}: {what}")
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// How many rows, batches or accounts were looked at.
    pub looked_at: u64,
    /// How many of them differ.
    pub differ: u64,
    /// The first of them, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

impl Verified {
    fn note(&mut self, of: impl Into<String>, key: impl Into<String>, what: impl Into<String>) {
        self.differ += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference {
                of: of.into(),
                key: key.into(),
                what: what.into(),
            });
        }
    }

    /// Whether all is as it must be.
    pub fn is_right(&self) -> bool {
        self.differ == 0
    }
}

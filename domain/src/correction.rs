//! Corrections of a settled order's bill: what they are measured by, when one person is not enough, and who counts as two.
//! Rules alone: `site/corrections.rs` decides by them, the order's row keeps what waits.

use crate::{order::BillVersion, settlement::Split, time::Wall, units::Fen};
use serde::{Deserialize, Serialize};

/// What the name of a caller begins with who came over the station's Unix socket and showed no token. Whoever may open the
/// socket comes by such a name, so it tells nobody apart. No token's name has a colon.
pub const ANONYMOUS: &str = "local:";

/// The most versions that an order's bill may have while people correct it; each is kept for as long as the order.
pub const BILL_VERSIONS_MAX: usize = 64;

/// A correction that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number: the journal number of the fact that proposed it.
    pub number: u64,
    /// For electricity.
    pub electricity: Fen,
    /// For service.
    pub service: Fen,
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub by: String,
    /// Since when.
    pub at: Wall,
}

impl Proposal {
    /// The bill that is wanted.
    pub fn bill(&self) -> Split {
        Split {
            electricity: self.electricity,
            service: self.service,
        }
    }
}

/// The second person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The number of the proposal that was approved.
    pub proposal: u64,
    /// Who approved it.
    pub by: String,
}

/// The settlement that corrections are measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSettled {
    /// What the driver paid or owed by it.
    pub fee: Fen,
    /// The pile's record had not come: the settlement that the record brings takes its place.
    pub estimated: bool,
}

impl FirstSettled {
    /// What corrections are measured by after another settlement by `bill`; `before` is what they were measured by until
    /// then, `estimated` says whether the record is still missing.
    ///
    /// A person's bill never takes the place of the first settlement, so that many small corrections are measured like a
    /// large one.
    pub fn after(before: Option<Self>, bill: &BillVersion, estimated: bool) -> Self {
        let fee = bill.fee();
        match before {
            Some(before) if !before.estimated || bill.is_persons() => before,
            _ => Self { fee, estimated },
        }
    }

    /// By how much a bill of `fee` differs from it, either way.
    pub fn differs(&self, fee: Fen) -> Fen {
        (fee - self.fee).max(self.fee - fee)
    }
}

/// Whether these are two people, as far as the station can tell.
pub fn are_two_people(one: &str, other: &str) -> bool {
    one != other && !is_anonymous(one) && !is_anonymous(other)
}

/// Whether this name may be anybody's who is on the machine.
pub fn is_anonymous(name: &str) -> bool {
    name.starts_with(ANONYMOUS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Basis;

    fn bill(basis: Basis, fee: i64) -> BillVersion {
        BillVersion {
            basis,
            electricity: Fen(fee),
            service: Fen::ZERO,
            detail: None,
            reason: None,
            by: None,
            at: Wall(0),
            approval: None,
        }
    }

    #[test]
    fn corrections_are_measured_by_the_first_settlement_and_by_the_record_once_it_is_there() {
        let estimate = FirstSettled::after(None, &bill(Basis::Estimate, 600), true);
        assert_eq!((estimate.fee, estimate.estimated), (Fen(600), true));
        let corrected = FirstSettled::after(Some(estimate), &bill(Basis::Correction, 100), true);
        assert_eq!(corrected, estimate, "a person's bill is not what it is measured by");
        let record = FirstSettled::after(Some(corrected), &bill(Basis::Record, 900), false);
        assert_eq!((record.fee, record.estimated), (Fen(900), false));
        let later = FirstSettled::after(Some(record), &bill(Basis::Record, 5_000), false);
        assert_eq!(later, record, "once the record has settled it, that stays");
        assert_eq!(
            (record.differs(Fen(100)), record.differs(Fen(1_000))),
            (Fen(800), Fen(100))
        );
    }

    #[test]
    fn two_people_have_two_names_that_are_theirs_alone() {
        assert!(are_two_people("alice", "bob"));
        for (one, other) in [
            ("alice", "alice"),
            ("local:0", "alice"),
            ("alice", "local:0"),
            ("local:0", "local:1000"),
        ] {
            assert!(!are_two_people(one, other), "{one} and {other}");
        }
    }
}

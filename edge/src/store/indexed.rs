//! Which indexes a stored entry stands in: by the fact that it tells, or, where a newer program has written it, by what it
//! names (`docs/journal.md`, *The rules of a fact*).

use super::{StoreError, read::bad};
use domain::{
    fact::{Fact, PileLog},
    ids::{MemberId, OrderId, PileId},
    journal::{Entry, NotReadable, Written},
    time::Wall,
};

/// Where to find an entry.
pub(super) struct Indexed {
    /// When it was journaled.
    pub(super) at: Wall,
    /// In the log of this order.
    pub(super) order: Option<OrderId>,
    /// In the log of this pile.
    pub(super) pile: Option<PileId>,
    /// Among the notices of this member.
    pub(super) notified: Option<MemberId>,
}

/// In which pile's log a fact stands, where `at` says at which pile an order runs.
pub(super) fn pile_of(
    fact: &Fact,
    at: impl FnOnce(&OrderId) -> Result<Option<PileId>, StoreError>,
) -> Result<Option<PileId>, StoreError> {
    match fact.pile_log() {
        Some(PileLog::Of(pile)) => Ok(Some(pile.clone())),
        Some(PileLog::OfOrder(order)) => at(order),
        None => Ok(None),
    }
}

impl Indexed {
    /// Where to find the entry with these stored bytes, where `at` says at which pile an order runs.
    pub(super) fn read(
        seq: u64,
        bytes: &[u8],
        at: impl FnOnce(&OrderId) -> Result<Option<PileId>, StoreError>,
    ) -> Result<Self, StoreError> {
        let no_entry = |error: NotReadable| bad("journal", &seq.to_string(), error);
        let Ok(Entry { stamp, fact, .. }) = Entry::from_bytes(bytes) else {
            let written = Written::from_bytes(bytes).map_err(no_entry)?;
            return Ok(Self {
                at: written.stamp.at,
                order: written.fact.order(),
                pile: written.fact.pile(),
                notified: None,
            });
        };
        let pile = pile_of(&fact, at)?;
        let order = fact.order().cloned();
        let notified = match fact {
            Fact::Notified { member, .. } => Some(member),
            _ => None,
        };
        Ok(Self {
            at: stamp.at,
            order,
            pile,
            notified,
        })
    }
}

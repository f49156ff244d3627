//! What head office had the station do, and which vouchers it took, out of the journal in a snapshot. No index leads there: the
//! journal is looked through from its end, so many entries at a time.

use super::{Page, Reader};
use crate::store::{
    StoreError,
    read::{entry, split_entry},
    tables,
};
use domain::{
    fact::Fact,
    head_office::{DirectiveNo, LeasedBy, RefusedDirective},
    ids::{MemberId, OrderId},
    journal::{Entry, Stamp},
    time::Wall,
    units::Fen,
};

/// How many entries one page looks through: some tens of milliseconds.
const LOOKED_AT_MAX: usize = 20_000;
/// How many entries of a directive's own step are looked at.
const STEP_MAX: u64 = 64;

/// A directive that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectiveTaken {
    /// When, and in which place.
    pub stamp: Stamp,
    /// Which.
    pub directive: DirectiveNo,
    /// Why it was not done.
    pub refused: Option<RefusedDirective>,
    /// The kinds of what was journaled before it in the same moment, in order: a step has one time.
    pub journaled: Vec<&'static str>,
    /// The order that it was about.
    pub order: Option<OrderId>,
    /// Whose money came or went.
    pub member: Option<MemberId>,
    /// How much of it.
    pub amount: Option<Fen>,
}

/// What became of vouchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfVouchers {
    /// One was taken.
    Taken {
        /// Its number.
        id: String,
        /// Whose.
        member: MemberId,
        /// How much it carried.
        amount: Fen,
    },
    /// Those that end at this time or before are taken no more.
    Closed {
        /// Until when.
        until: Wall,
    },
}

impl Reader {
    /// Directives that were taken, newest first, before this entry, at most so many; all of them or those that were refused.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn directives(
        &self,
        refused_alone: bool,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<DirectiveTaken>, StoreError> {
        self.looked_through(&["DirectiveTaken"], before, limit, |found| {
            let Fact::DirectiveTaken { directive, refused, .. } = found.fact else {
                return Ok(None);
            };
            if refused_alone && refused.is_none() {
                return Ok(None);
            }
            let mut taken = DirectiveTaken {
                stamp: found.stamp,
                directive,
                refused,
                journaled: Vec::new(),
                order: None,
                member: None,
                amount: None,
            };
            self.add_step(&mut taken)?;
            Ok(Some(taken))
        })
    }

    /// What became of vouchers, newest first, before this entry, at most so many.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn vouchers(&self, before: Option<u64>, limit: usize) -> Result<Page<(Stamp, OfVouchers)>, StoreError> {
        self.looked_through(&["LeaseReceived", "VouchersClosed"], before, limit, |found| {
            let what = match found.fact {
                Fact::LeaseReceived {
                    member,
                    amount,
                    by: LeasedBy::Voucher { id, .. },
                } => OfVouchers::Taken { id, member, amount },
                Fact::VouchersClosed { until } => OfVouchers::Closed { until },
                _ => return Ok(None),
            };
            Ok(Some((found.stamp, what)))
        })
    }

    /// Adds what was journaled in the step that a directive ended: all of a step has one time.
    fn add_step(&self, taken: &mut DirectiveTaken) -> Result<(), StoreError> {
        let first = taken.stamp.seq.saturating_sub(STEP_MAX);
        let mut step = Vec::new();
        self.each_entry(first..taken.stamp.seq, |seq, bytes| {
            match Entry::from_bytes(bytes) {
                Ok(found) if found.stamp.now() == taken.stamp.now() => match found.fact {
                    // Another one, of the same moment.
                    Fact::DirectiveTaken { .. } => step.clear(),
                    fact => step.push((seq, fact)),
                },
                _ => step.clear(),
            }
            Ok(())
        })?;
        for (_, fact) in step {
            taken.journaled.push(fact.kind());
            if taken.order.is_none() {
                taken.order = fact.order().cloned();
            }
            if taken.amount.is_some() {
                continue;
            }
            if let Fact::LeaseReceived { member, amount, .. }
            | Fact::LeaseReturned { member, amount, .. }
            | Fact::DebtPaid { member, amount, .. } = fact
            {
                (taken.member, taken.amount) = (Some(member), Some(amount));
            }
        }
        Ok(())
    }

    /// Entries whose kind is one of these, newest first, as far as `read` takes them. A page is shorter than `limit` where nothing
    /// more was found in as many entries as one looks through; the next goes on there.
    fn looked_through<T>(
        &self,
        kinds: &[&str],
        before: Option<u64>,
        limit: usize,
        read: impl Fn(Entry) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for (looked_at, row) in journal.range(..before.unwrap_or(u64::MAX))?.rev().enumerate() {
            let (seq, stored) = row?;
            let seq = seq.value();
            if page.items.len() == limit || looked_at == LOOKED_AT_MAX {
                page.next = Some(seq + 1);
                break;
            }
            let (_, bytes) = split_entry(seq, stored.value())?;
            // Most entries are of other kinds, and need not be read for that.
            let names = |kind: &&str| bytes.windows(kind.len()).any(|some| some == kind.as_bytes());
            if kinds.iter().any(names)
                && let Some(item) = read(entry(seq, bytes)?)?
            {
                page.items.push(item);
            }
        }
        Ok(page)
    }
}

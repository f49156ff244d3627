//! Quarantine in a snapshot: one item, lists by reason, and what waits.
//! The index of open items tells their reason, so that most are passed over unread.

use super::{LOOKED_AT_MAX, Page, Reader, parse};
use crate::store::{StoreError, tables};
use domain::{fact::QuarantineReason, quarantine::QuarantineItem, time::Wall};
use redb::{ReadableTable, ReadableTableMetadata};

/// Which quarantined messages to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Those dealt with too.
    pub closed: bool,
    /// Put aside for this reason; `None` is any.
    pub why: Option<QuarantineReason>,
}

/// What waits in quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenItems {
    /// All of it.
    pub all: u64,
    /// Of which records that contradict the one their order has; counted among the oldest 10,000.
    pub conflicts: u64,
    /// Of which bills that the pile splits otherwise; counted likewise.
    pub rating_differences: u64,
    /// When the oldest of it was put aside.
    pub oldest: Option<Wall>,
}

/// Numbers of quarantined messages, and whether they may be admitted.
type Numbers = Box<dyn Iterator<Item = Result<(u64, bool), StoreError>>>;

/// How many open quarantine items are counted by their reasons.
const COUNTED_MAX: usize = 10_000;

impl Reader {
    /// One quarantined message.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn quarantine_item(&self, number: u64) -> Result<Option<QuarantineItem>, StoreError> {
        let quarantine = self.read.open_table(tables::QUARANTINE)?;
        quarantine
            .get(number)?
            .map(|row| parse("quarantine", &number, row.value()))
            .transpose()
    }

    /// Quarantined messages, newest first, before `before`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn quarantine(
        &self,
        filter: QuarantineFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<QuarantineItem>, StoreError> {
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for (looked_at, number) in self.items_before(filter, before.unwrap_or(u64::MAX))?.enumerate() {
            if page.items.len() == limit || looked_at == LOOKED_AT_MAX {
                return Ok(page);
            }
            let (number, may_be_admitted) = number?;
            page.next = Some(number);
            if may_be_admitted {
                let item = self.quarantine_item(number)?;
                let admitted = item.filter(|item| filter.why.is_none_or(|why| item.why == why));
                page.items.extend(admitted);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// Numbers of quarantined messages before `end`, newest first, and whether they may be admitted: the index of open ones
    /// tells which are of another reason.
    fn items_before(&self, filter: QuarantineFilter, end: u64) -> Result<Numbers, StoreError> {
        Ok(if filter.closed {
            let rows = self.read.open_table(tables::QUARANTINE)?.range(..end)?.rev();
            Box::new(rows.map(|row| Ok((row?.0.value(), true))))
        } else {
            let rows = self.read.open_table(tables::QUARANTINE_OPEN)?.range(..end)?.rev();
            Box::new(rows.map(move |row| {
                let (number, why) = row?;
                let admitted = filter.why.is_none_or(|wanted| wanted.word() == why.value());
                Ok((number.value(), admitted))
            }))
        })
    }

    /// What waits in quarantine.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn open_items(&self) -> Result<OpenItems, StoreError> {
        let index = self.read.open_table(tables::QUARANTINE_OPEN)?;
        let mut open = OpenItems {
            all: index.len()?,
            ..OpenItems::default()
        };
        for row in index.iter()?.take(COUNTED_MAX) {
            match row?.1.value() {
                why if why == QuarantineReason::Conflict.word() => open.conflicts += 1,
                why if why == QuarantineReason::RatingDiffers.word() => open.rating_differences += 1,
                _ => {}
            }
        }
        if let Some((oldest, _)) = index.first()? {
            open.oldest = self.quarantine_item(oldest.value())?.map(|item| item.at);
        }
        Ok(open)
    }
}

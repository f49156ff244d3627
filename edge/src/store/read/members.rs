//! Members in a snapshot: who they are, which cards they hold or held, and what they were told.
//! What they own lies in their accounts.

use super::{Page, Reader, bad, entry, parse};
use crate::store::{StoreError, tables};
use domain::{
    card::Card,
    ids::{CardId, MemberId},
    journal::Entry,
    member::Member,
};
use std::ops::Bound;

impl Reader {
    /// One member.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn member(&self, id: &MemberId) -> Result<Option<Member>, StoreError> {
        let members = self.read.open_table(tables::MEMBERS)?;
        members
            .get(id.as_str())?
            .map(|row| parse("members", id, row.value()))
            .transpose()
    }

    /// Members in order of their ids, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn members(&self, after: Option<&str>, limit: usize) -> Result<Vec<Member>, StoreError> {
        let members = self.read.open_table(tables::MEMBERS)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Vec::new();
        for row in members.range::<&str>((start, Bound::Unbounded))?.take(limit) {
            let (id, row) = row?;
            page.push(parse("members", &id.value(), row.value())?);
        }
        Ok(page)
    }

    /// A card with its holders.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn card(&self, id: &CardId) -> Result<Option<Card>, StoreError> {
        let cards = self.read.open_table(tables::CARDS)?;
        let card = cards.get(id.as_str())?;
        card.map(|row| parse("cards", id, row.value())).transpose()
    }

    /// Every card that was ever given to anybody, with its holders, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn cards(&self, after: Option<&str>, limit: usize) -> Result<Vec<(CardId, Card)>, StoreError> {
        let cards = self.read.open_table(tables::CARDS)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Vec::new();
        for row in cards.range::<&str>((start, Bound::Unbounded))?.take(limit) {
            let (id, row) = row?;
            let card = CardId::new(id.value()).map_err(|error| bad("cards", id.value(), error))?;
            page.push((card, parse("cards", &id.value(), row.value())?));
        }
        Ok(page)
    }

    /// What a member was told, newest first, before `before` (a journal seq), at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn notices(&self, member: &MemberId, before: Option<u64>, limit: usize) -> Result<Page<Entry>, StoreError> {
        self.entries_of(tables::NOTICES_BY_MEMBER, member.as_str(), before, limit, entry)
    }
}
